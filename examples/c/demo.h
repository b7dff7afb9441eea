/* What the examples need beside the library: tiny servers to forward to, and a tiny client. */
#ifndef DEMO_H
#define DEMO_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

#include "clustercore.h"

/* The driver of a node, and of a shard beside one. valgrind runs one thread at a time, and (3.19) does not let go of it while a
 * thread waits in io_uring_enter, so there a node's threads and ours would wait for each other.
 */
static inline uint32_t node_driver(void) { return RUNNING_ON_VALGRIND ? CLC_DRIVER_EPOLL : CLC_DRIVER_AUTO; }

/* Ends the program with the library's words when a call has failed. */
static inline void check(clc_status status) {
    if (status < 0) {
        clc_print_error(stderr, status);
        exit(1);
    }
}

/* A server that answers every request with its name, on a thread. Up to 62 connections at a time. */
struct server {
    const char *name;
    int listener;
    int stop; /* the end of a pipe that is written to */
    pthread_t thread;
    char address[32];
    struct pollfd polled[64]; /* the other end, the listener, the connections */
    nfds_t polled_len;
};

static inline void server_answer(struct server *server, nfds_t index) {
    char request[4096], answer[256];
    int client = server->polled[index].fd;
    ssize_t got = read(client, request, sizeof request - 1);
    int answer_len = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                              strlen(server->name), server->name);
    request[got > 0 ? got : 0] = 0;
    /* A head as short as the examples' comes in one piece on loopback. */
    if (strstr(request, "\r\n\r\n") == NULL || write(client, answer, (size_t)answer_len) != answer_len) {
        close(client);
        server->polled[index] = server->polled[--server->polled_len];
    }
}

static inline void *server_run(void *argument) {
    struct server *server = argument;
    while (poll(server->polled, server->polled_len, -1) > 0 && server->polled[0].revents == 0) {
        for (nfds_t i = server->polled_len; i-- > 2;) {
            if (server->polled[i].revents != 0) server_answer(server, i);
        }
        if (server->polled[1].revents != 0 && server->polled_len < 64) {
            int client = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
            if (client >= 0) server->polled[server->polled_len++] = (struct pollfd){.fd = client, .events = POLLIN};
        }
    }
    while (server->polled_len > 0) close(server->polled[--server->polled_len].fd);
    return NULL;
}

static inline void server_start(struct server *server, const char *name) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int stop[2];
    server->name = name;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server->listener < 0 || bind(server->listener, (struct sockaddr *)&address, len) < 0 ||
        listen(server->listener, 64) < 0 || getsockname(server->listener, (struct sockaddr *)&address, &len) < 0 ||
        pipe2(stop, O_CLOEXEC) < 0) {
        perror("server");
        exit(1);
    }
    snprintf(server->address, sizeof server->address, "127.0.0.1:%d", ntohs(address.sin_port));
    server->stop = stop[1];
    server->polled[0] = (struct pollfd){.fd = stop[0], .events = POLLIN};
    server->polled[1] = (struct pollfd){.fd = server->listener, .events = POLLIN};
    server->polled_len = 2;
    if (pthread_create(&server->thread, NULL, server_run, server) != 0) {
        fprintf(stderr, "server: no thread\n");
        exit(1);
    }
}

static inline void server_stop(struct server *server) {
    if (write(server->stop, "", 1) != 1) perror("server");
    pthread_join(server->thread, NULL);
    close(server->stop);
}

/* A connected socket, or -1. */
static inline int client_connect(uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval timeout = {.tv_sec = 10};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client < 0) return -1;
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connect(client, (struct sockaddr *)&address, sizeof address) < 0) {
        close(client);
        return -1;
    }
    return client;
}

/* One request on a connection of its own, waiting for the answer: its body, or "" when there was none. */
static inline const char *client_get(uint16_t port, char *answer, size_t capacity) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n";
    size_t used = 0;
    ssize_t got;
    int client = client_connect(port);
    answer[0] = 0;
    if (client < 0) return answer;
    if (write(client, request, sizeof request - 1) == (ssize_t)sizeof request - 1) {
        while (used < capacity - 1 && (got = read(client, answer + used, capacity - 1 - used)) > 0) used += (size_t)got;
    }
    answer[used] = 0;
    close(client);
    char *body = strstr(answer, "\r\n\r\n");
    return body == NULL ? "" : body + 4;
}

#endif /* DEMO_H */
