/* What the peers of messages have in common: options, CPU time, and the report of two processes. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct options {
    size_t bytes;
    double seconds;
};

/* What one side did. */
struct side {
    uint64_t messages;
    uint64_t cpu_ns;
};

static inline void fail(const char *what) {
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static inline uint64_t clock_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline double now_seconds(void) { return (double)clock_ns(CLOCK_MONOTONIC) * 1e-9; }

/* All threads of the process: a library's own too. */
static inline uint64_t cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

/* --bytes N --seconds S */
static inline struct options parse(int argc, char **argv) {
    struct options options = {.bytes = 64, .seconds = 1.0};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--bytes") == 0) {
            options.bytes = strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--seconds") == 0) {
            options.seconds = strtod(argv[i + 1], NULL);
        } else {
            fprintf(stderr, "%s is not an option\n", argv[i]);
            exit(2);
        }
    }
    if (options.bytes == 0) options.bytes = 1;
    return options;
}

/* Receives in a process of its own, whose port comes through the first pipe and whose report through the second; sends in this one. Prints a
 * JSON line with the fields of clustercore-messages. */
static inline int run(const struct options *options, struct side (*receive)(const struct options *, int port_pipe),
                      struct side (*send)(const struct options *, uint16_t port)) {
    int ports[2], reports[2];
    struct side sent, received;
    uint16_t port = 0;
    if (pipe(ports) != 0 || pipe(reports) != 0) fail("pipe");
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        close(ports[0]);
        received = receive(options, ports[1]);
        if (write(reports[1], &received, sizeof received) != sizeof received) fail("write");
        exit(0);
    }
    close(ports[1]);
    close(reports[1]);
    if (read(ports[0], &port, sizeof port) != sizeof port) fail("the receiver");
    sent = send(options, port);
    if (read(reports[0], &received, sizeof received) != sizeof received) fail("the receiver");
    waitpid(child, NULL, 0);
    printf("{\"work\": \"stream\", \"bytes\": %zu, \"sent\": %llu, \"received\": %llu, \"messages_per_second\": %.1f, "
           "\"sender_cpu_ns\": %.2f, \"receiver_cpu_ns\": %.2f}\n",
           options->bytes, (unsigned long long)sent.messages, (unsigned long long)received.messages,
           (double)received.messages / options->seconds, (double)sent.cpu_ns / (double)(sent.messages ? sent.messages : 1),
           (double)received.cpu_ns / (double)(received.messages ? received.messages : 1));
    if (sent.messages != received.messages) {
        fprintf(stderr, "%llu messages were sent, %llu have arrived\n", (unsigned long long)sent.messages,
                (unsigned long long)received.messages);
        return 1;
    }
    return 0;
}

#endif
