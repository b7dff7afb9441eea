/* What the C tests share: cmocka, servers on threads to forward to, a blocking client, waits with a deadline. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clustercore.h"

#define assert_ok(call)                                                                             \
    do {                                                                                            \
        clc_status status_ = (call);                                                                \
        if (status_ < 0) fail_msg("%s: %s (%d)", #call, clc_last_error_message(), (int)status_);    \
    } while (0)

/* Fails with that status, and the words to it contain `words`. */
#define assert_fails(call, status, words)                                                           \
    do {                                                                                            \
        assert_int_equal(call, status);                                                             \
        if (strstr(clc_last_error_message(), words) == NULL) {                                      \
            fail_msg("%s says \"%s\", not \"%s\"", #call, clc_last_error_message(), words);         \
        }                                                                                           \
    } while (0)

#define assert_null_argument(call, name) assert_fails(call, CLC_ERROR_NULL_ARGUMENT, name " is NULL")

/* Each size that the struct never had is refused; `call` uses it as `size`. */
#define WRONG_SIZES(type, call)                                                                \
    do {                                                                                       \
        size_t sizes_[] = {0, 1, sizeof(type) - 8, sizeof(type) + 8, SIZE_MAX};                \
        for (size_t i_ = 0; i_ < sizeof sizes_ / sizeof sizes_[0]; i_++) {                     \
            size_t size = sizes_[i_];                                                          \
            assert_fails(call, CLC_ERROR_UNKNOWN_STRUCT_SIZE, "the struct_size of " #type);    \
        }                                                                                      \
    } while (0)

#define SECOND_NS INT64_C(1000000000)

static inline int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static inline int loopback_listener(uint16_t *port_out) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 64), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    *port_out = ntohs(address.sin_port);
    return listener;
}

/* A server that answers each request with its name, on connections one after the other, each for one request. While
 * `hold` is set an answer waits.
 */
struct server {
    const char *name;
    int listener;
    pthread_t thread;
    char address[32];
    atomic_int hold;
    atomic_int delay_us;
    atomic_int requests;
};

static inline void *server_run(void *argument) {
    struct server *server = argument;
    int client;
    while ((client = accept(server->listener, NULL, NULL)) >= 0) {
        char request[4096], answer[256];
        ssize_t got = read(client, request, sizeof request - 1);
        if (got > 0) {
            atomic_fetch_add(&server->requests, 1);
            usleep((useconds_t)atomic_load(&server->delay_us));
            while (atomic_load(&server->hold)) usleep(1000);
            int len = snprintf(answer, sizeof answer,
                               "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                               strlen(server->name), server->name);
            ssize_t sent = send(client, answer, (size_t)len, MSG_NOSIGNAL);
            (void)sent;
        }
        close(client);
    }
    return NULL;
}

static inline void server_start(struct server *server, const char *name) {
    uint16_t port;
    memset(server, 0, sizeof *server);
    server->name = name;
    server->listener = loopback_listener(&port);
    snprintf(server->address, sizeof server->address, "127.0.0.1:%d", port);
    assert_int_equal(pthread_create(&server->thread, NULL, server_run, server), 0);
}

static inline void server_stop(struct server *server) {
    atomic_store(&server->hold, 0);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
}

/* One request on a connection of its own, on a thread of its own. */
struct client {
    uint16_t port;
    pthread_t thread;
    char answer[4096];
    atomic_int is_done;
};

static inline void *client_run(void *argument) {
    struct client *client = argument;
    static const char request[] = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(client->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval timeout = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t used = 0;
    ssize_t got;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1) {
        while (used < sizeof client->answer - 1 &&
               (got = read(fd, client->answer + used, sizeof client->answer - 1 - used)) > 0) {
            used += (size_t)got;
        }
    }
    client->answer[used] = 0;
    close(fd);
    atomic_store(&client->is_done, 1);
    return NULL;
}

static inline void client_start(struct client *client, uint16_t port) {
    memset(client, 0, sizeof *client);
    client->port = port;
    assert_int_equal(pthread_create(&client->thread, NULL, client_run, client), 0);
}

/* The status line's number; `body` is compared where it is not NULL. */
static inline int client_finish(struct client *client, const char *body) {
    pthread_join(client->thread, NULL);
    const char *found = strstr(client->answer, "\r\n\r\n");
    int status = found == NULL ? 0 : atoi(client->answer + strlen("HTTP/1.1 "));
    if (body != NULL) assert_string_equal(found == NULL ? "no answer" : found + 4, body);
    return status;
}

/* What a log sink has been told. */
struct records {
    int count;
    char last[256];
    char all[4096];
};

static inline void record(void *user, uint32_t level, const char *text) {
    struct records *records = user;
    assert_in_range(level, CLC_LOG_LEVEL_ERROR, CLC_LOG_LEVEL_INFO);
    records->count += 1;
    snprintf(records->last, sizeof records->last, "%s", text);
    size_t used = strlen(records->all);
    snprintf(records->all + used, sizeof records->all - used, "%s\n", text);
}

static inline clc_backend_options backend_at(const char *address) {
    clc_backend_options options;
    assert_ok(clc_backend_options_init(&options, sizeof options));
    options.address = address;
    return options;
}

#endif /* SUPPORT_H */
