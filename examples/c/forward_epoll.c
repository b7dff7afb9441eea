/* A program with an epoll loop of its own embeds a shard: a forwarder in front of two back ends, with no thread of the
 * library's and no callback from one.
 *
 *     forward_epoll                                       two servers and a client of its own, then it ends
 *     forward_epoll LISTEN SECONDS BACKEND [BACKEND...]   forwards for that long: 127.0.0.1:8080 60 127.0.0.1:9001
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <time.h>

#include "demo.h"

struct program {
    int epoll;
    clc_shard *shard;
    clc_forwarder *forwarder;
    uint16_t port;
    uint32_t backend_first;
    int64_t deadline_ns;
    /* the demonstration's client: a socket of the program's own in the same loop */
    int client;
    int answers;
    int is_drained;
    int is_done;
};

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void watch(struct program *program, int fd) {
    struct epoll_event interest = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(program->epoll, EPOLL_CTL_ADD, fd, &interest) < 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

static void on_log(void *user, uint32_t level, const char *text) {
    (void)user;
    if (level <= CLC_LOG_LEVEL_WARN) fprintf(stderr, "clustercore: %s\n", text);
}

static void open_shard(struct program *program, const char *listen, char **backends, int backends_len) {
    clc_forwarder_options options;
    clc_address address;
    check(clc_shard_new(NULL, &program->shard));
    check(clc_shard_set_log_sink(program->shard, on_log, NULL));
    printf("driver %.5s\n", clc_shard_driver_report(program->shard));

    check(clc_forwarder_options_init(&options, sizeof options));
    options.name = "example";
    options.policy = CLC_POLICY_ROUND_ROBIN;
    options.slow_start_ns = 1; /* a new back end gets its full share at once */
    check(clc_shard_add_forwarder(program->shard, &options, &program->forwarder));
    for (int i = 0; i < backends_len; i++) {
        clc_backend_options backend;
        uint32_t key;
        check(clc_backend_options_init(&backend, sizeof backend));
        backend.address = backends[i];
        check(clc_forwarder_add_backend(program->forwarder, &backend, &key));
        if (i == 0) program->backend_first = key;
    }
    check(clc_forwarder_listen(program->forwarder, listen, &address));
    program->port = address.port;
    printf("listening on %s\n", address.text);
    watch(program, clc_shard_fd(program->shard));
}

/* Turn the shard, then look at what it has to say. Every pass of the loop does this, whatever woke it. */
static void on_shard(struct program *program) {
    clc_event events[64];
    size_t events_len = 0;
    check(clc_shard_turn(program->shard));
    do {
        check(clc_shard_events(program->shard, events, 64, &events_len));
        for (size_t i = 0; i < events_len; i++) {
            if (events[i].kind == CLC_EVENT_KIND_BACKEND_DRAINED) {
                printf("back end %u is drained, %u in flight\n", events[i].backend, events[i].in_flight);
                check(clc_forwarder_remove_backend(program->forwarder, events[i].backend));
                program->is_drained = 1;
            }
        }
    } while (events_len == 64);
}

/* How long epoll may wait, in milliseconds, rounded up so that a timer is due when the wait ends. */
static int timeout_ms(struct program *program) {
    int64_t timeout_ns, left_ns = program->deadline_ns - now_ns();
    check(clc_shard_next_timeout_ns(program->shard, &timeout_ns));
    if (timeout_ns < 0 || timeout_ns > left_ns) timeout_ns = left_ns < 0 ? 0 : left_ns;
    return (int)((timeout_ns + 999999) / 1000000);
}

static void client_ask(struct program *program) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: example\r\n\r\n";
    if (write(program->client, request, sizeof request - 1) != (ssize_t)sizeof request - 1) {
        perror("write");
        exit(1);
    }
}

/* Six requests on one connection, one after the other; after the fourth, the first back end is drained. */
static void on_client(struct program *program) {
    char answer[4096];
    ssize_t got = read(program->client, answer, sizeof answer - 1);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        fprintf(stderr, "the connection ended\n");
        exit(1);
    }
    answer[got] = 0; /* so short an answer comes in one piece on loopback */
    const char *body = strstr(answer, "\r\n\r\n");
    printf("request %d is answered by %s\n", ++program->answers, body == NULL ? "nobody" : body + 4);
    if (program->answers == 4) {
        check(clc_forwarder_drain_backend(program->forwarder, program->backend_first, 5000000000));
    } else if (program->answers == 6) {
        program->is_done = 1;
        return;
    }
    client_ask(program);
}

static void run(struct program *program) {
    while (!program->is_done && now_ns() < program->deadline_ns) {
        struct epoll_event ready[16];
        on_shard(program);
        int count = epoll_wait(program->epoll, ready, 16, timeout_ms(program));
        for (int i = 0; i < count; i++) {
            if (ready[i].data.fd == program->client) on_client(program);
        }
    }
}

static void summary(struct program *program) {
    uint64_t requests, answered;
    check(clc_forwarder_counter(program->forwarder, CLC_COUNTER_REQUESTS, &requests));
    check(clc_forwarder_counter(program->forwarder, CLC_COUNTER_RESPONSES2XX, &answered));
    printf("%llu requests, %llu answered with 2xx\n", (unsigned long long)requests, (unsigned long long)answered);
}

static void demonstrate(struct program *program) {
    struct server one, two;
    server_start(&one, "one");
    server_start(&two, "two");
    char *backends[] = {one.address, two.address};
    program->deadline_ns = now_ns() + 20000000000;
    open_shard(program, "127.0.0.1:0", backends, 2);
    program->client = client_connect(program->port); /* the kernel completes it before the shard accepts */
    fcntl(program->client, F_SETFL, O_NONBLOCK);
    watch(program, program->client);
    client_ask(program);
    run(program);
    summary(program);
    close(program->client);
    clc_forwarder_free(program->forwarder);
    clc_shard_free(program->shard);
    server_stop(&one);
    server_stop(&two);
}

int main(int argc, char **argv) {
    struct program program = {.client = -1, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    if (argc == 1) {
        demonstrate(&program);
        close(program.epoll);
        return program.is_done && program.is_drained ? 0 : 1;
    }
    if (argc < 4) {
        fprintf(stderr, "usage: forward_epoll [LISTEN SECONDS BACKEND [BACKEND...]]\n");
        return 2;
    }
    program.deadline_ns = now_ns() + atoll(argv[2]) * 1000000000;
    open_shard(&program, argv[1], argv + 3, argc - 3);
    fflush(stdout);
    run(&program);
    summary(&program);
    clc_forwarder_free(program.forwarder);
    clc_shard_free(program.shard);
    close(program.epoll);
    return 0;
}
