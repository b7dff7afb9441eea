/* A shard in a loop of the program's own, on each driver. */
#include "support.h"

#include <sys/epoll.h>

struct fixture {
    clc_shard *shard;
    clc_forwarder *forwarder;
    struct server one, two;
    uint16_t port;
    int epoll;
};

static int set_up_with(void **state, uint32_t driver) {
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

static int set_up_uring(void **state) { return set_up_with(state, CLC_DRIVER_URING); }
static int set_up_epoll(void **state) { return set_up_with(state, CLC_DRIVER_EPOLL); }

static int tear_down(void **state) {
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

static uint32_t add(struct fixture *fixture, struct server *server) {
    clc_backend_options backend = backend_at(server->address);
    uint32_t key = 0;
    backend.name = server->name;
    assert_ok(clc_forwarder_add_backend(fixture->forwarder, &backend, &key));
    assert_int_not_equal(key, 0);
    return key;
}

/* One pass of the loop: as long as the shard says, at most 100 ms for what the loop cannot see. */
static void pass(struct fixture *fixture) {
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

static int get(struct fixture *fixture, const char *body) {
    struct client client;
    client_start(&client, fixture->port);
    PASS_UNTIL(fixture, atomic_load(&client.is_done));
    return client_finish(&client, body);
}

static uint64_t counter(struct fixture *fixture, uint32_t which) {
    uint64_t value;
    assert_ok(clc_forwarder_counter(fixture->forwarder, which, &value));
    return value;
}

static void requests_take_turns_over_the_back_ends(void **state) {
    FIXTURE(state);
    clc_backend_status backends[4];
    clc_latency latency;
    size_t len = 0;
    assert_int_equal(get(fixture, NULL), 503);
    uint32_t one = add(fixture, &fixture->one);
    uint32_t two = add(fixture, &fixture->two);
    assert_int_equal(get(fixture, "one"), 200);
    assert_int_equal(get(fixture, "two"), 200);
    assert_int_equal(get(fixture, "one"), 200);

    assert_ok(clc_forwarder_set_weight(fixture->forwarder, two, 3));
    assert_ok(clc_forwarder_backends(fixture->forwarder, backends, 4, &len));
    assert_int_equal(len, 2);
    assert_int_equal(backends[0].backend, one);
    assert_string_equal(backends[0].name, "one");
    assert_string_equal(backends[0].address, fixture->one.address);
    assert_int_equal(backends[0].requests, 2);
    assert_int_equal(backends[0].state, CLC_BACKEND_STATE_ACTIVE);
    assert_int_equal(backends[0].health, CLC_HEALTH_HEALTHY);
    assert_int_equal(backends[0].level, CLC_LEVEL_LOW);
    assert_int_equal(backends[0].in_flight, 0);
    assert_int_equal(backends[1].weight, 3);
    assert_int_equal(backends[1].cores, 1);
    assert_int_equal(backends[1].is_local, 0);
    assert_true(backends[1].latency_ns_mean > 0);
    assert_int_equal(backends[1].latency_ns_total, backends[1].latency_ns_mean);

    assert_int_equal(counter(fixture, CLC_COUNTER_REQUESTS), 4);
    assert_int_equal(counter(fixture, CLC_COUNTER_RESPONSES2XX), 3);
    assert_int_equal(counter(fixture, CLC_COUNTER_ANSWERED503), 1);
    assert_ok(clc_forwarder_latency(fixture->forwarder, 1, &latency));
    assert_int_equal(latency.last_byte.count, 3);
    assert_true(latency.first_byte.ns_p50 > 0 && latency.first_byte.ns_p50 <= latency.first_byte.ns_max);
    assert_ok(clc_forwarder_latency(fixture->forwarder, 0, &latency));
    assert_int_equal(latency.last_byte.count, 0);
}

static void too_little_room_for_the_back_ends_says_how_much(void **state) {
    FIXTURE(state);
    clc_backend_status one = {.backend = 7};
    size_t len = 0;
    add(fixture, &fixture->one);
    add(fixture, &fixture->two);
    assert_fails(clc_forwarder_backends(fixture->forwarder, &one, 1, &len), CLC_ERROR_BUFFER_TOO_SMALL, "there are 2");
    assert_int_equal(len, 2);
    assert_int_equal(one.backend, 7);
    assert_int_equal(clc_forwarder_backends(fixture->forwarder, NULL, 0, &len), CLC_ERROR_BUFFER_TOO_SMALL);
    uint64_t values[2] = {7, 7};
    assert_ok(clc_forwarder_counters(fixture->forwarder, values, 1, &len));
    assert_int_equal(len, clc_counter_count());
    assert_int_equal(values[1], 7);
}

static void the_local_instance_serves_while_the_list_is_empty(void **state) {
    FIXTURE(state);
    clc_backend_options local = backend_at(fixture->two.address);
    uint32_t key = 0;
    assert_ok(clc_forwarder_set_local(fixture->forwarder, &local, &key));
    assert_int_not_equal(key, 0);
    assert_int_equal(get(fixture, "two"), 200);
    uint32_t one = add(fixture, &fixture->one);
    assert_int_equal(get(fixture, "one"), 200);
    assert_ok(clc_forwarder_remove_backend(fixture->forwarder, one));
    assert_int_equal(get(fixture, "two"), 200);
    assert_ok(clc_forwarder_set_local(fixture->forwarder, NULL, &key));
    assert_int_equal(key, 0);
    assert_int_equal(get(fixture, NULL), 503);
}

/* Takes events one at a time, so that a batch is left over, until one of that kind is found. */
static int take(struct fixture *fixture, uint32_t kind, clc_event *event) {
    size_t len = 1;
    while (len == 1) {
        assert_ok(clc_shard_events(fixture->shard, event, 1, &len));
        if (len == 1 && event->kind == kind) return 1;
    }
    return 0;
}

static void a_drain_waits_for_what_is_in_flight(void **state) {
    FIXTURE(state);
    struct client client;
    clc_event event;
    uint32_t one = add(fixture, &fixture->one);
    atomic_store(&fixture->one.hold, 1);
    client_start(&client, fixture->port);
    PASS_UNTIL(fixture, atomic_load(&fixture->one.requests) == 1);
    assert_ok(clc_forwarder_drain_backend(fixture->forwarder, one, (uint64_t)(20 * SECOND_NS)));
    assert_fails(clc_forwarder_drain_backend(fixture->forwarder, one, 0), CLC_ERROR_WRONG_STATE, "draining already");
    pass(fixture);
    assert_false(take(fixture, CLC_EVENT_KIND_BACKEND_DRAINED, &event));
    atomic_store(&fixture->one.hold, 0);
    PASS_UNTIL(fixture, take(fixture, CLC_EVENT_KIND_BACKEND_DRAINED, &event));
    assert_int_equal(event.backend, one);
    assert_int_equal(event.in_flight, 0);
    assert_int_equal(event.forwarder, clc_forwarder_id(fixture->forwarder));
    PASS_UNTIL(fixture, atomic_load(&client.is_done));
    assert_int_equal(client_finish(&client, "one"), 200);
    assert_ok(clc_forwarder_remove_backend(fixture->forwarder, one));
}

static void a_drain_ends_at_its_deadline(void **state) {
    FIXTURE(state);
    struct client client;
    clc_event event;
    uint32_t one = add(fixture, &fixture->one);
    atomic_store(&fixture->one.hold, 1);
    client_start(&client, fixture->port);
    PASS_UNTIL(fixture, atomic_load(&fixture->one.requests) == 1);
    assert_ok(clc_forwarder_drain_backend(fixture->forwarder, one, 20000000));
    PASS_UNTIL(fixture, take(fixture, CLC_EVENT_KIND_BACKEND_DRAINED, &event));
    assert_int_equal(event.in_flight, 1);
    atomic_store(&fixture->one.hold, 0);
    PASS_UNTIL(fixture, atomic_load(&client.is_done));
    assert_int_equal(client_finish(&client, "one"), 200);
}

static void a_back_end_that_is_not_there_is_ejected(void **state) {
    FIXTURE(state);
    uint16_t port;
    char address[32];
    clc_event event = {0};
    close(loopback_listener(&port));
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    clc_backend_options gone = backend_at(address);
    uint32_t key;
    assert_ok(clc_forwarder_add_backend(fixture->forwarder, &gone, &key));
    add(fixture, &fixture->one);
    /* Every request is answered all the same: it is tried again elsewhere. */
    for (int i = 0; i < 40 && event.kind == 0; i++) {
        assert_int_equal(get(fixture, "one"), 200);
        if (!take(fixture, CLC_EVENT_KIND_BACKEND_EJECTED, &event)) event.kind = 0;
    }
    assert_int_equal(event.kind, CLC_EVENT_KIND_BACKEND_EJECTED);
    assert_int_equal(event.backend, key);
    assert_int_equal(event.cause, CLC_CAUSE_FAILURES);
    assert_int_equal(event.failure, CLC_FAILURE_CONNECT);
    assert_int_equal(event.failures, 5);
    assert_true(event.duration_ns > 0);
}

static void a_listener_of_the_programs_own_is_served(void **state) {
    FIXTURE(state);
    clc_address address;
    uint16_t port;
    add(fixture, &fixture->one);
    int listener = loopback_listener(&port);
    assert_ok(clc_forwarder_listen_fd(fixture->forwarder, listener, &address));
    assert_int_equal(address.port, port);
    close(listener);
    fixture->port = port;
    assert_int_equal(get(fixture, "one"), 200);
}

static void the_log_goes_to_the_sink(void **state) {
    FIXTURE(state);
    struct records records = {0};
    assert_ok(clc_shard_set_log_sink(fixture->shard, record, &records));
    assert_ok(clc_shard_turn(fixture->shard));
    assert_non_null(strstr(records.all, "driver ")); /* from before the sink */
    assert_non_null(strstr(records.all, "listening on 127.0.0.1:"));
    uint32_t one = add(fixture, &fixture->one);
    assert_ok(clc_forwarder_drain_backend(fixture->forwarder, one, 0));
    PASS_UNTIL(fixture, strstr(records.all, "is drained") != NULL);
    int count = records.count;
    assert_ok(clc_shard_set_log_sink(fixture->shard, NULL, NULL));
    uint32_t two = add(fixture, &fixture->two);
    assert_ok(clc_forwarder_drain_backend(fixture->forwarder, two, 0));
    pass(fixture);
    assert_int_equal(records.count, count);
}

static void *ask_later(void *argument) {
    struct client *client = argument;
    usleep(30000);
    return client_run(client);
}

/* The kernel must wake a wait on the descriptor that began before there was anything to do. */
static void a_loop_asleep_on_the_descriptor_is_woken(void **state) {
    FIXTURE(state);
    add(fixture, &fixture->one);
    atomic_store(&fixture->one.delay_us, 30000); /* the answer, too, comes when the loop sleeps */
    for (int i = 0; i < 5; i++) {
        struct client client = {.port = fixture->port};
        assert_int_equal(pthread_create(&client.thread, NULL, ask_later, &client), 0);
        for (;;) {
            struct epoll_event ready;
            int64_t timeout_ns;
            assert_ok(clc_shard_turn(fixture->shard));
            if (counter(fixture, CLC_COUNTER_RESPONSES2XX) > (uint64_t)i) break;
            assert_ok(clc_shard_next_timeout_ns(fixture->shard, &timeout_ns));
            /* Whatever timers say: within five seconds there is news. */
            int ms = timeout_ns < 0 || timeout_ns > SECOND_NS ? 5000 : (int)((timeout_ns + 999999) / 1000000);
            int count = epoll_wait(fixture->epoll, &ready, 1, ms);
            if (count == 0 && ms == 5000) fail_msg("asleep in round %d", i);
        }
        PASS_UNTIL(fixture, atomic_load(&client.is_done));
        assert_int_equal(client_finish(&client, "one"), 200);
    }
}

struct nosy {
    clc_shard *shard;
    int calls;
    int status;
};

static void call_back(void *user, uint32_t level, const char *text) {
    struct nosy *nosy = user;
    int64_t timeout_ns;
    (void)level;
    (void)text;
    nosy->calls++;
    nosy->status = clc_shard_next_timeout_ns(nosy->shard, &timeout_ns);
    if (nosy->status == 0) nosy->status = clc_shard_turn(nosy->shard);
}

static void a_sink_may_call_the_library(void **state) {
    FIXTURE(state);
    struct nosy nosy = {.shard = fixture->shard, .status = 1};
    assert_ok(clc_shard_set_log_sink(fixture->shard, call_back, &nosy));
    assert_ok(clc_shard_turn(fixture->shard));
    assert_true(nosy.calls > 0);
    assert_int_equal(nosy.status, CLC_OK);
}

static void free_it(void *user, uint32_t level, const char *text) {
    clc_shard **shard = user;
    (void)level;
    (void)text;
    clc_shard_free(*shard);
    *shard = NULL;
}

static void a_sink_may_free_the_shard(void **state) {
    (void)state;
    clc_shard *shard;
    clc_forwarder *forwarder;
    assert_ok(clc_shard_new(NULL, &shard));
    assert_ok(clc_shard_add_forwarder(shard, NULL, &forwarder));
    assert_ok(clc_shard_set_log_sink(shard, free_it, &shard));
    assert_ok(clc_shard_turn(shard));
    assert_null(shard);
    assert_fails(clc_forwarder_drain_backend(forwarder, 1, 0), CLC_ERROR_CLOSED, "the shard was freed");
    clc_forwarder_free(forwarder);
}

static void *call_from_elsewhere(void *argument) {
    struct fixture *fixture = argument;
    static const int wrong = CLC_ERROR_WRONG_THREAD;
    clc_event event;
    clc_latency latency;
    clc_backend_options backend;
    clc_forwarder *forwarder;
    int64_t timeout_ns;
    size_t len;
    uint64_t value;
    uintptr_t failures = 0;
    clc_backend_options_init(&backend, sizeof backend);
    backend.address = "127.0.0.1:1";
    failures += clc_shard_turn(fixture->shard) != wrong;
    failures += clc_shard_turn_for(fixture->shard, 0) != wrong;
    failures += clc_shard_next_timeout_ns(fixture->shard, &timeout_ns) != wrong;
    failures += clc_shard_events(fixture->shard, &event, 1, &len) != wrong;
    failures += clc_shard_set_log_sink(fixture->shard, NULL, NULL) != wrong;
    failures += clc_shard_add_forwarder(fixture->shard, NULL, &forwarder) != wrong;
    failures += clc_forwarder_listen(fixture->forwarder, "127.0.0.1:0", NULL) != wrong;
    failures += clc_forwarder_add_backend(fixture->forwarder, &backend, NULL) != wrong;
    failures += clc_forwarder_set_local(fixture->forwarder, NULL, NULL) != wrong;
    failures += clc_forwarder_remove_backend(fixture->forwarder, 1) != wrong;
    failures += clc_forwarder_backends(fixture->forwarder, NULL, 0, &len) != wrong;
    failures += clc_forwarder_latency(fixture->forwarder, 0, &latency) != wrong;
    failures += clc_forwarder_close(fixture->forwarder) != wrong;
    failures += strstr(clc_last_error_message(), "the thread of its first turn") == NULL;
    /* these may be called from anywhere */
    failures += clc_shard_wake(fixture->shard) != CLC_OK;
    failures += clc_shard_fd(fixture->shard) < 0;
    failures += clc_forwarder_counter(fixture->forwarder, CLC_COUNTER_REQUESTS, &value) != CLC_OK;
    failures += clc_forwarder_counters(fixture->forwarder, &value, 1, &len) != CLC_OK;
    return (void *)failures;
}

static void another_thread_is_refused_after_the_first_turn(void **state) {
    FIXTURE(state);
    pthread_t thread;
    void *failures = NULL;
    assert_ok(clc_shard_turn(fixture->shard));
    assert_int_equal(pthread_create(&thread, NULL, call_from_elsewhere, fixture), 0);
    pthread_join(thread, &failures);
    assert_int_equal((uintptr_t)failures, 0);
    uint32_t one = add(fixture, &fixture->one);
    assert_int_equal(get(fixture, "one"), 200);
    assert_ok(clc_forwarder_remove_backend(fixture->forwarder, one));
}

static void *wake_soon(void *argument) {
    usleep(20000);
    clc_shard_wake(argument);
    return NULL;
}

static void a_wait_is_ended_by_a_wake(void **state) {
    FIXTURE(state);
    pthread_t thread;
    for (int i = 0; i < 3; i++) assert_ok(clc_shard_turn(fixture->shard));
    assert_int_equal(pthread_create(&thread, NULL, wake_soon, fixture->shard), 0);
    /* No limit: would hang without the wake. */
    assert_ok(clc_shard_turn_for(fixture->shard, -1));
    pthread_join(thread, NULL);
}

static void *turn_and_leave(void *argument) {
    struct fixture *fixture = argument;
    return clc_shard_turn(fixture->shard) == CLC_OK ? argument : NULL;
}

static void it_may_be_freed_when_its_thread_has_gone(void **state) {
    FIXTURE(state);
    pthread_t thread;
    void *result = NULL;
    add(fixture, &fixture->one);
    assert_int_equal(pthread_create(&thread, NULL, turn_and_leave, fixture), 0);
    pthread_join(thread, &result);
    assert_ptr_equal(result, fixture);
    assert_fails(clc_shard_turn(fixture->shard), CLC_ERROR_WRONG_THREAD, "first turn");
    /* the tear-down frees it here */
}

static void a_child_of_fork_only_forgets_it(void **state) {
    FIXTURE(state);
    assert_ok(clc_shard_turn(fixture->shard));
    pid_t child = fork();
    if (child == 0) {
        int64_t timeout_ns;
        int failures = 0;
        failures += clc_shard_turn(fixture->shard) != CLC_ERROR_FORKED;
        failures += clc_shard_fd(fixture->shard) != CLC_ERROR_FORKED;
        failures += clc_shard_wake(fixture->shard) != CLC_ERROR_FORKED;
        failures += clc_shard_next_timeout_ns(fixture->shard, &timeout_ns) != CLC_ERROR_FORKED;
        failures += clc_forwarder_close(fixture->forwarder) != CLC_ERROR_FORKED;
        clc_forwarder_free(fixture->forwarder);
        clc_shard_free(fixture->shard);
        _exit(failures);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    add(fixture, &fixture->one);
    assert_int_equal(get(fixture, "one"), 200);
}

static void a_closed_handle_reaches_nobody_elses_forwarder(void **state) {
    FIXTURE(state);
    clc_forwarder *first = NULL;
    clc_forwarder *second = NULL;
    uint64_t value;
    assert_ok(clc_shard_add_forwarder(fixture->shard, NULL, &first));
    assert_ok(clc_forwarder_close(first));
    /* it may well get the number of the first one */
    assert_ok(clc_shard_add_forwarder(fixture->shard, NULL, &second));
    assert_int_equal(clc_forwarder_listen(first, "127.0.0.1:0", NULL), CLC_ERROR_NO_SUCH_FORWARDER);
    assert_int_equal(clc_forwarder_close(first), CLC_ERROR_NO_SUCH_FORWARDER);
    clc_forwarder_free(first);
    assert_ok(clc_forwarder_listen(second, "127.0.0.1:0", NULL));
    assert_ok(clc_forwarder_counter(second, CLC_COUNTER_REQUESTS, &value));
    clc_forwarder_free(second);
}

static void handles_may_be_freed_in_any_order(void **state) {
    (void)state;
    clc_shard *shard;
    clc_forwarder *forwarder;
    uint64_t value = 7;
    assert_ok(clc_shard_new(NULL, &shard));
    assert_ok(clc_shard_add_forwarder(shard, NULL, &forwarder));
    clc_shard_free(shard);
    assert_fails(clc_forwarder_listen(forwarder, "127.0.0.1:0", NULL), CLC_ERROR_CLOSED, "the shard was freed");
    assert_ok(clc_forwarder_counter(forwarder, CLC_COUNTER_REQUESTS, &value));
    assert_int_equal(value, 0);
    clc_forwarder_free(forwarder);
}

#define ON(driver, test) {#test " on " #driver, test, set_up_##driver, tear_down, NULL}
#define ON_BOTH(test) ON(uring, test), ON(epoll, test)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_BOTH(requests_take_turns_over_the_back_ends),
        ON_BOTH(too_little_room_for_the_back_ends_says_how_much),
        ON_BOTH(the_local_instance_serves_while_the_list_is_empty),
        ON_BOTH(a_drain_waits_for_what_is_in_flight),
        ON_BOTH(a_drain_ends_at_its_deadline),
        ON_BOTH(a_back_end_that_is_not_there_is_ejected),
        ON_BOTH(a_listener_of_the_programs_own_is_served),
        ON_BOTH(a_loop_asleep_on_the_descriptor_is_woken),
        ON_BOTH(the_log_goes_to_the_sink),
        ON_BOTH(a_sink_may_call_the_library),
        cmocka_unit_test(a_sink_may_free_the_shard),
        ON_BOTH(another_thread_is_refused_after_the_first_turn),
        ON_BOTH(a_wait_is_ended_by_a_wake),
        /* On io_uring buffers that the kernel may still write to are given up, which the leak sanitizer would tell. */
        ON(epoll, it_may_be_freed_when_its_thread_has_gone),
        ON_BOTH(a_child_of_fork_only_forgets_it),
        ON_BOTH(a_closed_handle_reaches_nobody_elses_forwarder),
        cmocka_unit_test(handles_may_be_freed_in_any_order),
    };
    return cmocka_run_group_tests_name("shard", tests, NULL, NULL);
}
