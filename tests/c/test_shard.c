/* A shard: its loop, its thread, its end. */
#include "shard.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_loop_asleep_on_the_descriptor_is_woken),
        ON_BOTH(another_thread_is_refused_after_the_first_turn),
        ON_BOTH(a_wait_is_ended_by_a_wake),
        /* On io_uring buffers that the kernel may still write to are given up, which the leak sanitizer would tell. */
        ON(epoll, it_may_be_freed_when_its_thread_has_gone),
        ON_BOTH(a_child_of_fork_only_forgets_it),
        cmocka_unit_test(handles_may_be_freed_in_any_order),
    };
    return cmocka_run_group_tests_name("shard", tests, NULL, NULL);
}
