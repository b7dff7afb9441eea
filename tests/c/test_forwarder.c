/* A forwarder: its back ends and listeners, what it counts and tells. */
#include "shard.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_BOTH(requests_take_turns_over_the_back_ends),
        ON_BOTH(too_little_room_for_the_back_ends_says_how_much),
        ON_BOTH(the_local_instance_serves_while_the_list_is_empty),
        ON_BOTH(a_drain_waits_for_what_is_in_flight),
        ON_BOTH(a_drain_ends_at_its_deadline),
        ON_BOTH(a_back_end_that_is_not_there_is_ejected),
        ON_BOTH(a_listener_of_the_programs_own_is_served),
        ON_BOTH(a_closed_handle_reaches_nobody_elses_forwarder),
    };
    return cmocka_run_group_tests_name("forwarder", tests, NULL, NULL);
}
