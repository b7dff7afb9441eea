/* A node: threads of the library, called from any thread. */
#include "support.h"

struct fixture {
    clc_node *node;
    clc_forwarder *forwarder;
    struct server one, two;
    uint16_t port;
};

static int set_up_with(void **state, uint32_t shards, uint32_t driver) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    clc_node_options options;
    clc_shard_options shard;
    clc_address address;
    assert_ok(clc_shard_options_init(&shard, sizeof shard));
    shard.driver = driver;
    assert_ok(clc_node_options_init(&options, sizeof options));
    options.shards = shards;
    options.shard = &shard;
    assert_ok(clc_node_new(&options, &fixture->node));
    assert_ok(clc_node_add_forwarder(fixture->node, NULL, &fixture->forwarder));
    assert_ok(clc_forwarder_listen(fixture->forwarder, "127.0.0.1:0", &address));
    fixture->port = address.port;
    server_start(&fixture->one, "one");
    server_start(&fixture->two, "two");
    *state = fixture;
    return 0;
}

static int set_up_auto(void **state) { return set_up_with(state, 2, CLC_DRIVER_AUTO); }
static int set_up_epoll(void **state) { return set_up_with(state, 1, CLC_DRIVER_EPOLL); }

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    clc_forwarder_free(fixture->forwarder);
    clc_node_free(fixture->node);
    server_stop(&fixture->one);
    server_stop(&fixture->two);
    free(fixture);
    return 0;
}

static uint32_t add(struct fixture *fixture, struct server *server) {
    clc_backend_options backend = backend_at(server->address);
    uint32_t key = 0;
    assert_ok(clc_forwarder_add_backend(fixture->forwarder, &backend, &key));
    assert_int_not_equal(key, 0);
    return key;
}

static int get(struct fixture *fixture, const char *body) {
    struct client client;
    client_start(&client, fixture->port);
    return client_finish(&client, body);
}

/* Polls until an event of that kind comes, for at most ten seconds. */
static clc_event await(clc_node *node, uint32_t kind) {
    int64_t end = now_ns() + 10 * SECOND_NS;
    while (now_ns() < end) {
        clc_event events[16];
        size_t len = 0;
        assert_ok(clc_node_poll(node, events, 16, SECOND_NS / 10, &len));
        for (size_t i = 0; i < len; i++) {
            if (events[i].kind == kind) return events[i];
        }
    }
    fail_msg("no event %u in ten seconds", kind);
    return (clc_event){0};
}

static void the_whole_life_of_a_back_end(void **state) {
    struct fixture *fixture = *state;
    clc_backend_options local = backend_at(fixture->one.address);
    clc_backend_status backends[2];
    clc_latency latency;
    size_t len;
    uint64_t value;
    uint32_t key;
    assert_int_equal(get(fixture, NULL), 503);
    assert_ok(clc_forwarder_set_local(fixture->forwarder, &local, NULL));
    assert_int_equal(get(fixture, "one"), 200);
    uint32_t two = add(fixture, &fixture->two);
    assert_int_equal(get(fixture, "two"), 200);
    assert_ok(clc_forwarder_set_weight(fixture->forwarder, two, 5));
    assert_ok(clc_forwarder_backends(fixture->forwarder, backends, 2, &len));
    assert_int_equal(len, 2);
    assert_int_equal(backends[0].is_local, 1);
    assert_int_equal(backends[1].weight, 5);
    assert_int_equal(backends[1].requests, 1);

    atomic_store(&fixture->two.hold, 1);
    struct client client;
    client_start(&client, fixture->port);
    int64_t end = now_ns() + 10 * SECOND_NS;
    while (atomic_load(&fixture->two.requests) < 2) {
        assert_true(now_ns() < end);
        usleep(1000);
    }
    assert_ok(clc_forwarder_drain_backend(fixture->forwarder, two, (uint64_t)(20 * SECOND_NS)));
    assert_fails(clc_forwarder_drain_backend(fixture->forwarder, two, 0), CLC_ERROR_WRONG_STATE, "draining already");
    assert_int_equal(get(fixture, "one"), 200);
    atomic_store(&fixture->two.hold, 0);
    clc_event event = await(fixture->node, CLC_EVENT_KIND_BACKEND_DRAINED);
    assert_int_equal(event.backend, two);
    assert_int_equal(event.in_flight, 0);
    assert_int_equal(event.forwarder, clc_forwarder_id(fixture->forwarder));
    assert_int_equal(client_finish(&client, "two"), 200);
    assert_ok(clc_forwarder_remove_backend(fixture->forwarder, two));
    assert_fails(clc_forwarder_remove_backend(fixture->forwarder, two), CLC_ERROR_NO_SUCH_BACKEND, "");
    assert_int_equal(get(fixture, "one"), 200);
    assert_ok(clc_forwarder_set_local(fixture->forwarder, NULL, &key));
    assert_int_equal(key, 0);

    assert_ok(clc_forwarder_counter(fixture->forwarder, CLC_COUNTER_REQUESTS, &value));
    assert_int_equal(value, 6);
    assert_ok(clc_forwarder_latency(fixture->forwarder, 1, &latency));
    assert_int_equal(latency.last_byte.count, 5);
    assert_ok(clc_forwarder_latency(fixture->forwarder, 0, &latency));
    assert_int_equal(latency.last_byte.count, 0);
}

static void the_descriptor_tells_of_events(void **state) {
    struct fixture *fixture = *state;
    clc_event events[4];
    size_t len = 1;
    struct pollfd polled = {.fd = clc_node_event_fd(fixture->node), .events = POLLIN};
    assert_true(polled.fd >= 0);
    /* The records of the start come first; without a sink they are dropped. */
    for (int i = 0; i < 10; i++) assert_ok(clc_node_poll(fixture->node, events, 4, 0, &len));
    assert_int_equal(len, 0);
    uint32_t one = add(fixture, &fixture->one);
    assert_ok(clc_forwarder_drain_backend(fixture->forwarder, one, (uint64_t)SECOND_NS));
    assert_int_equal(poll(&polled, 1, 10000), 1);
    assert_int_equal(await(fixture->node, CLC_EVENT_KIND_BACKEND_DRAINED).backend, one);
}

static void a_poll_without_room_is_refused(void **state) {
    struct fixture *fixture = *state;
    clc_event event;
    size_t len = 7;
    assert_fails(clc_node_poll(fixture->node, &event, 0, 0, &len), CLC_ERROR_INVALID_ARGUMENT, "capacity is 0");
    assert_null_argument(clc_node_poll(fixture->node, NULL, 1, 0, &len), "events_out");
    assert_null_argument(clc_node_poll(fixture->node, &event, 1, 0, NULL), "events_len_out");
    assert_int_equal(len, 7);
}

static void events_come_in_batches_of_the_asked_size(void **state) {
    struct fixture *fixture = *state;
    enum { count = 9 };
    uint32_t drained = 0;
    for (int i = 0; i < count; i++) {
        uint32_t key = add(fixture, &fixture->one);
        assert_ok(clc_forwarder_drain_backend(fixture->forwarder, key, (uint64_t)SECOND_NS));
    }
    int64_t end = now_ns() + 10 * SECOND_NS;
    while (drained < count) {
        clc_event events[3] = {{0}};
        size_t len = 0;
        assert_true(now_ns() < end);
        assert_ok(clc_node_poll(fixture->node, events, 2, SECOND_NS / 10, &len));
        assert_in_range(len, 0, 2);
        assert_int_equal(events[2].kind, 0);
        for (size_t i = 0; i < len; i++) drained += events[i].kind == CLC_EVENT_KIND_BACKEND_DRAINED;
    }
}

static void the_log_goes_to_the_sink_of_the_poll(void **state) {
    struct fixture *fixture = *state;
    struct records records = {0};
    clc_event events[4];
    size_t len;
    assert_ok(clc_node_set_log_sink(fixture->node, record, &records));
    uint32_t one = add(fixture, &fixture->one);
    assert_ok(clc_forwarder_drain_backend(fixture->forwarder, one, (uint64_t)SECOND_NS));
    int64_t end = now_ns() + 10 * SECOND_NS;
    while (strstr(records.all, "is drained") == NULL) {
        assert_true(now_ns() < end);
        assert_ok(clc_node_poll(fixture->node, events, 4, SECOND_NS / 10, &len));
    }
    assert_non_null(strstr(records.all, "driver "));
    assert_non_null(strstr(records.all, "listening on 127.0.0.1:"));
    assert_non_null(clc_node_driver_report(fixture->node));
    assert_non_null(strstr(records.all, clc_node_driver_report(fixture->node)));
}

static void a_listener_of_the_programs_own_is_served(void **state) {
    struct fixture *fixture = *state;
    clc_address address;
    uint16_t port;
    add(fixture, &fixture->one);
    int listener = loopback_listener(&port);
    assert_fails(clc_forwarder_listen_fd(fixture->forwarder, -1, NULL), CLC_ERROR_NOT_A_LISTENER, "fd is -1");
    assert_ok(clc_forwarder_listen_fd(fixture->forwarder, listener, &address));
    assert_int_equal(address.port, port);
    close(listener);
    fixture->port = port;
    for (int i = 0; i < 4; i++) assert_int_equal(get(fixture, "one"), 200);
}

enum { CALLERS = 4, ROUNDS = 25 };

static void *add_and_remove(void *argument) {
    struct fixture *fixture = argument;
    clc_backend_options backend;
    uintptr_t failures = 0;
    clc_backend_options_init(&backend, sizeof backend);
    backend.address = fixture->one.address;
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t key;
        clc_backend_status backends[CALLERS];
        size_t len;
        failures += clc_forwarder_add_backend(fixture->forwarder, &backend, &key) != CLC_OK;
        failures += clc_forwarder_backends(fixture->forwarder, backends, CALLERS, &len) != CLC_OK;
        failures += clc_forwarder_remove_backend(fixture->forwarder, key) != CLC_OK;
    }
    return (void *)failures;
}

static void any_thread_may_call(void **state) {
    struct fixture *fixture = *state;
    pthread_t threads[CALLERS];
    size_t len = 7;
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, add_and_remove, fixture), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        void *failures = NULL;
        pthread_join(threads[i], &failures);
        assert_int_equal((uintptr_t)failures, 0);
    }
    assert_ok(clc_forwarder_backends(fixture->forwarder, NULL, 0, &len));
    assert_int_equal(len, 0);
}

static void handles_may_be_freed_in_any_order(void **state) {
    (void)state;
    clc_node *node;
    clc_forwarder *forwarder;
    assert_ok(clc_node_new(NULL, &node));
    assert_ok(clc_node_add_forwarder(node, NULL, &forwarder));
    clc_node_free(node);
    assert_fails(clc_forwarder_listen(forwarder, "127.0.0.1:0", NULL), CLC_ERROR_CLOSED, "the node is closed");
    clc_forwarder_free(forwarder);
}

static void a_closed_forwarder_is_gone(void **state) {
    struct fixture *fixture = *state;
    assert_ok(clc_forwarder_close(fixture->forwarder));
    assert_fails(clc_forwarder_close(fixture->forwarder), CLC_ERROR_NO_SUCH_FORWARDER, "");
    assert_fails(clc_forwarder_listen(fixture->forwarder, "127.0.0.1:0", NULL), CLC_ERROR_NO_SUCH_FORWARDER, "");
}

static void a_child_of_fork_only_forgets_it(void **state) {
    struct fixture *fixture = *state;
    pid_t child = fork();
    if (child == 0) {
        clc_event event;
        size_t len;
        int failures = 0;
        failures += clc_node_poll(fixture->node, &event, 1, -1, &len) != CLC_ERROR_FORKED;
        failures += clc_node_event_fd(fixture->node) != CLC_ERROR_FORKED;
        failures += clc_forwarder_drain_backend(fixture->forwarder, 1, 0) != CLC_ERROR_FORKED;
        failures += clc_forwarder_close(fixture->forwarder) != CLC_ERROR_FORKED;
        clc_forwarder_free(fixture->forwarder);
        clc_node_free(fixture->node);
        _exit(failures);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    add(fixture, &fixture->one);
    assert_int_equal(get(fixture, "one"), 200);
}

#define ON(driver, test) {#test " on " #driver, test, set_up_##driver, tear_down, NULL}
#define ON_BOTH(test) ON(auto, test), ON(epoll, test)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_BOTH(the_whole_life_of_a_back_end),
        ON_BOTH(the_descriptor_tells_of_events),
        ON_BOTH(a_poll_without_room_is_refused),
        ON_BOTH(events_come_in_batches_of_the_asked_size),
        ON_BOTH(the_log_goes_to_the_sink_of_the_poll),
        ON_BOTH(a_listener_of_the_programs_own_is_served),
        ON_BOTH(any_thread_may_call),
        ON_BOTH(a_closed_forwarder_is_gone),
        ON_BOTH(a_child_of_fork_only_forgets_it),
        cmocka_unit_test(handles_may_be_freed_in_any_order),
    };
    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
