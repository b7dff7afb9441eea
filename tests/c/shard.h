/* A shard in a loop of the program's own, on each driver, with a forwarder in front of two servers. */
#ifndef SHARD_H
#define SHARD_H

#include "support.h"

#include <sys/epoll.h>

struct fixture {
    clc_shard *shard;
    clc_forwarder *forwarder;
    struct server one, two;
    uint16_t port;
    int epoll;
};

static inline int set_up_with(void **state, uint32_t driver) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    clc_shard_options options;
    clc_forwarder_options forwarder;
    clc_address address;
    assert_ok(clc_shard_options_init(&options, sizeof options));
    options.driver = driver;
    *state = fixture;
    int status = clc_shard_new(&options, &fixture->shard);
    if (status < 0) {
        /* Only where this machine forbids it; everything else is a failure. */
        assert_int_equal(driver, CLC_DRIVER_URING);
        assert_true(status == CLC_ERROR_IO_URING_FORBIDDEN || status == CLC_ERROR_UNSUPPORTED_KERNEL);
        printf("io_uring is not allowed here: %s\n", clc_last_error_message());
        return 0;
    }
    assert_ok(clc_forwarder_options_init(&forwarder, sizeof forwarder));
    forwarder.policy = CLC_POLICY_ROUND_ROBIN;
    forwarder.slow_start_ns = 1;
    forwarder.name = "test";
    assert_ok(clc_shard_add_forwarder(fixture->shard, &forwarder, &fixture->forwarder));
    server_start(&fixture->one, "one");
    server_start(&fixture->two, "two");
    assert_ok(clc_forwarder_listen(fixture->forwarder, "127.0.0.1:0", &address));
    fixture->port = address.port;
    assert_int_equal(atoi(strchr(address.text, ':') + 1), address.port);
    fixture->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event interest = {.events = EPOLLIN};
    assert_int_equal(epoll_ctl(fixture->epoll, EPOLL_CTL_ADD, clc_shard_fd(fixture->shard), &interest), 0);
    return 0;
}

static inline int set_up_uring(void **state) { return set_up_with(state, CLC_DRIVER_URING); }
static inline int set_up_epoll(void **state) { return set_up_with(state, CLC_DRIVER_EPOLL); }

static inline int tear_down(void **state) {
    struct fixture *fixture = *state;
    if (fixture->epoll != 0) {
        clc_forwarder_free(fixture->forwarder);
        clc_shard_free(fixture->shard);
        server_stop(&fixture->one);
        server_stop(&fixture->two);
        close(fixture->epoll);
    }
    free(fixture);
    return 0;
}

#define FIXTURE(state)                  \
    struct fixture *fixture = *(state); \
    if (fixture->epoll == 0) skip()

static inline uint32_t add(struct fixture *fixture, struct server *server) {
    clc_backend_options backend = backend_at(server->address);
    uint32_t key = 0;
    backend.name = server->name;
    assert_ok(clc_forwarder_add_backend(fixture->forwarder, &backend, &key));
    assert_int_not_equal(key, 0);
    return key;
}

/* One pass of the loop: as long as the shard says, at most 100 ms for what the loop cannot see. */
static inline void pass(struct fixture *fixture) {
    struct epoll_event ready;
    int64_t timeout_ns;
    assert_ok(clc_shard_turn(fixture->shard));
    assert_ok(clc_shard_next_timeout_ns(fixture->shard, &timeout_ns));
    int ms = timeout_ns < 0 || timeout_ns > SECOND_NS / 10 ? 100 : (int)((timeout_ns + 999999) / 1000000);
    int count = epoll_wait(fixture->epoll, &ready, 1, ms);
    assert_true(count >= 0 || errno == EINTR);
}

/* Passes until the condition holds, for at most ten seconds. */
#define PASS_UNTIL(fixture, condition)                                          \
    do {                                                                        \
        int64_t end_ = now_ns() + 10 * SECOND_NS;                               \
        while (!(condition)) {                                                  \
            if (now_ns() > end_) fail_msg("not in ten seconds: %s", #condition); \
            pass(fixture);                                                      \
        }                                                                       \
    } while (0)

static inline int get(struct fixture *fixture, const char *body) {
    struct client client;
    client_start(&client, fixture->port);
    PASS_UNTIL(fixture, atomic_load(&client.is_done));
    return client_finish(&client, body);
}

static inline uint64_t counter(struct fixture *fixture, uint32_t which) {
    uint64_t value;
    assert_ok(clc_forwarder_counter(fixture->forwarder, which, &value));
    return value;
}

/* Takes events one at a time, so that a batch is left over, until one of that kind is found. */
static inline int take(struct fixture *fixture, uint32_t kind, clc_event *event) {
    size_t len = 1;
    while (len == 1) {
        assert_ok(clc_shard_events(fixture->shard, event, 1, &len));
        if (len == 1 && event->kind == kind) return 1;
    }
    return 0;
}

#define ON(driver, test) {#test " on " #driver, test, set_up_##driver, tear_down, NULL}
#define ON_BOTH(test) ON(uring, test), ON(epoll, test)

#endif /* SHARD_H */
