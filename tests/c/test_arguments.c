/* What a caller can get wrong: NULL everywhere, struct sizes, values, addresses, descriptors. */
#include "support.h"

struct fixture {
    clc_shard *shard;
    clc_forwarder *forwarder;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_ok(clc_shard_new(NULL, &fixture->shard));
    assert_ok(clc_shard_add_forwarder(fixture->shard, NULL, &fixture->forwarder));
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    clc_forwarder_free(fixture->forwarder);
    clc_shard_free(fixture->shard);
    free(fixture);
    return 0;
}

static void a_null_handle_is_refused_by_every_function(void **state) {
    (void)state;
    int64_t timeout;
    uint64_t value;
    size_t len;
    clc_event event;
    clc_forwarder *forwarder;
    clc_latency latency;
    clc_decision decision;
    clc_sample sample = {.struct_size = sizeof sample};
    clc_backend_options backend = backend_at("127.0.0.1:1");

    assert_null_argument(clc_shard_turn(NULL), "shard");
    assert_null_argument(clc_shard_turn_for(NULL, 0), "shard");
    assert_null_argument(clc_shard_wake(NULL), "shard");
    assert_null_argument(clc_shard_fd(NULL), "shard");
    assert_null_argument(clc_shard_next_timeout_ns(NULL, &timeout), "shard");
    assert_null_argument(clc_shard_events(NULL, &event, 1, &len), "shard");
    assert_null_argument(clc_shard_set_log_sink(NULL, NULL, NULL), "shard");
    assert_null_argument(clc_shard_add_forwarder(NULL, NULL, &forwarder), "shard");
    assert_null(clc_shard_driver_report(NULL));
    assert_null_argument(clc_node_poll(NULL, &event, 1, 0, &len), "node");
    assert_null_argument(clc_node_event_fd(NULL), "node");
    assert_null_argument(clc_node_set_log_sink(NULL, NULL, NULL), "node");
    assert_null_argument(clc_node_add_forwarder(NULL, NULL, &forwarder), "node");
    assert_null(clc_node_driver_report(NULL));
    assert_null_argument(clc_forwarder_close(NULL), "forwarder");
    assert_int_equal(clc_forwarder_id(NULL), 0);
    assert_null_argument(clc_forwarder_listen(NULL, "127.0.0.1:0", NULL), "forwarder");
    assert_null_argument(clc_forwarder_listen_fd(NULL, 0, NULL), "forwarder");
    assert_null_argument(clc_forwarder_add_backend(NULL, &backend, NULL), "forwarder");
    assert_null_argument(clc_forwarder_set_local(NULL, &backend, NULL), "forwarder");
    assert_null_argument(clc_forwarder_drain_backend(NULL, 1, 0), "forwarder");
    assert_null_argument(clc_forwarder_remove_backend(NULL, 1), "forwarder");
    assert_null_argument(clc_forwarder_set_weight(NULL, 1, 1), "forwarder");
    assert_null_argument(clc_forwarder_backends(NULL, NULL, 0, &len), "forwarder");
    assert_null_argument(clc_forwarder_counter(NULL, 0, &value), "forwarder");
    assert_null_argument(clc_forwarder_counters(NULL, &value, 1, &len), "forwarder");
    assert_null_argument(clc_forwarder_latency(NULL, 0, &latency), "forwarder");
    assert_null_argument(clc_scaler_step(NULL, 0, &sample, &decision), "scaler");
    assert_int_equal(clc_scaler_decisions(NULL), 0);
    clc_shard_free(NULL);
    clc_node_free(NULL);
    clc_forwarder_free(NULL);
    clc_scaler_free(NULL);
}

static void a_null_output_is_refused(void **state) {
    struct fixture *fixture = *state;
    clc_event event;
    size_t len;
    uint64_t value;
    assert_null_argument(clc_shard_new(NULL, NULL), "shard_out");
    assert_null_argument(clc_node_new(NULL, NULL), "node_out");
    assert_null_argument(clc_scaler_new(NULL, NULL), "scaler_out");
    assert_null_argument(clc_shard_add_forwarder(fixture->shard, NULL, NULL), "forwarder_out");
    assert_null_argument(clc_shard_next_timeout_ns(fixture->shard, NULL), "timeout_ns_out");
    assert_null_argument(clc_shard_events(fixture->shard, NULL, 1, &len), "events_out");
    assert_null_argument(clc_shard_events(fixture->shard, &event, 1, NULL), "events_len_out");
    assert_null_argument(clc_forwarder_backends(fixture->forwarder, NULL, 1, &len), "backends_out");
    assert_null_argument(clc_forwarder_backends(fixture->forwarder, NULL, 0, NULL), "backends_len_out");
    assert_null_argument(clc_forwarder_counter(fixture->forwarder, 0, NULL), "value_out");
    assert_null_argument(clc_forwarder_counters(fixture->forwarder, NULL, 1, &len), "values_out");
    assert_null_argument(clc_forwarder_counters(fixture->forwarder, &value, 1, NULL), "values_len_out");
    assert_null_argument(clc_forwarder_latency(fixture->forwarder, 0, NULL), "latency_out");
    assert_null_argument(clc_forwarder_listen(fixture->forwarder, NULL, NULL), "address");
    assert_null_argument(clc_forwarder_add_backend(fixture->forwarder, NULL, NULL), "options");
    assert_null_argument(clc_shard_options_init(NULL, sizeof(clc_shard_options)), "options");
    assert_null_argument(clc_node_options_init(NULL, sizeof(clc_node_options)), "options");
    assert_null_argument(clc_forwarder_options_init(NULL, sizeof(clc_forwarder_options)), "options");
    assert_null_argument(clc_backend_options_init(NULL, sizeof(clc_backend_options)), "options");
    assert_null_argument(clc_scaler_options_init(NULL, sizeof(clc_scaler_options)), "options");
}

static void structs_of_another_size_are_refused(void **state) {
    struct fixture *fixture = *state;
    clc_shard *shard = NULL;
    clc_node *node = NULL;
    clc_forwarder *forwarder = NULL;
    clc_scaler *scaler = NULL;
    clc_decision decision;
    clc_shard_options shard_options = {0};
    clc_node_options node_options = {0};
    clc_forwarder_options forwarder_options = {0};
    clc_backend_options backend_options = {0};
    clc_scaler_options scaler_options = {0};
    clc_sample sample = {0};
    assert_ok(clc_scaler_new(NULL, &scaler));

    WRONG_SIZES(clc_shard_options, clc_shard_options_init(&shard_options, size));
    WRONG_SIZES(clc_node_options, clc_node_options_init(&node_options, size));
    WRONG_SIZES(clc_forwarder_options, clc_forwarder_options_init(&forwarder_options, size));
    WRONG_SIZES(clc_backend_options, clc_backend_options_init(&backend_options, size));
    WRONG_SIZES(clc_scaler_options, clc_scaler_options_init(&scaler_options, size));
    WRONG_SIZES(clc_shard_options, (shard_options.struct_size = size, clc_shard_new(&shard_options, &shard)));
    WRONG_SIZES(clc_node_options, (node_options.struct_size = size, clc_node_new(&node_options, &node)));
    WRONG_SIZES(clc_forwarder_options,
                (forwarder_options.struct_size = size,
                 clc_shard_add_forwarder(fixture->shard, &forwarder_options, &forwarder)));
    WRONG_SIZES(clc_backend_options, (backend_options.struct_size = size,
                                      clc_forwarder_add_backend(fixture->forwarder, &backend_options, NULL)));
    WRONG_SIZES(clc_scaler_options,
                (scaler_options.struct_size = size, clc_scaler_new(&scaler_options, &(clc_scaler *){NULL})));
    WRONG_SIZES(clc_sample, (sample.struct_size = size, clc_scaler_step(scaler, 0, &sample, &decision)));
    /* a node's options point to a shard's */
    node_options.struct_size = sizeof node_options;
    node_options.shard = &shard_options;
    shard_options.struct_size = 3;
    assert_fails(clc_node_new(&node_options, &node), CLC_ERROR_UNKNOWN_STRUCT_SIZE, "clc_shard_options is 3");
    assert_null(shard);
    assert_null(node);
    assert_null(forwarder);
    clc_scaler_free(scaler);
}

static void zero_and_the_written_defaults_both_work(void **state) {
    struct fixture *fixture = *state;
    clc_forwarder_options options = {0};
    clc_forwarder *forwarder;
    options.struct_size = sizeof options;
    assert_ok(clc_shard_add_forwarder(fixture->shard, &options, &forwarder));
    assert_int_not_equal(clc_forwarder_id(forwarder), clc_forwarder_id(fixture->forwarder));
    clc_forwarder_free(forwarder);
    assert_ok(clc_forwarder_options_init(&options, sizeof options));
    assert_int_equal(options.queue_max, 1024);
    assert_int_equal(options.struct_size, sizeof options);
    assert_ok(clc_shard_add_forwarder(fixture->shard, &options, &forwarder));
    clc_forwarder_free(forwarder);
}

#define REFUSED(field, value, status, words)                                                              \
    do {                                                                                                  \
        clc_forwarder_options options_;                                                                   \
        clc_forwarder *forwarder_ = NULL;                                                                 \
        assert_ok(clc_forwarder_options_init(&options_, sizeof options_));                                \
        options_.field = value;                                                                           \
        assert_fails(clc_shard_add_forwarder(fixture->shard, &options_, &forwarder_), status, words);     \
        assert_null(forwarder_);                                                                          \
    } while (0)

static void settings_out_of_range_are_named(void **state) {
    struct fixture *fixture = *state;
    REFUSED(mode, 2, CLC_ERROR_INVALID_ARGUMENT, "mode is 2");
    REFUSED(policy, 4, CLC_ERROR_INVALID_ARGUMENT, "policy is 4");
    REFUSED(proxy_in, 3, CLC_ERROR_INVALID_ARGUMENT, "proxy_in is 3");
    REFUSED(trust_forwarded, 7, CLC_ERROR_INVALID_ARGUMENT, "trust_forwarded is 7");
    REFUSED(signal, 3, CLC_ERROR_INVALID_ARGUMENT, "signal is 3");
    REFUSED(medium_percent, 50000, CLC_ERROR_BAD_CONFIGURATION, "medium threshold (50000");
    REFUSED(head_bytes_max, 12, CLC_ERROR_BAD_CONFIGURATION, "head_bytes_max is 12");
    REFUSED(window_bytes, 1, CLC_ERROR_BAD_CONFIGURATION, "window_bytes is 1");
    REFUSED(via, "not a token", CLC_ERROR_BAD_CONFIGURATION, "via is");
    REFUSED(probe_path, "no-slash", CLC_ERROR_BAD_CONFIGURATION, "probe_path is");
    REFUSED(name, "\xff", CLC_ERROR_INVALID_ARGUMENT, "name is not UTF-8");
}

static void a_shard_out_of_range_is_refused(void **state) {
    (void)state;
    clc_shard *shard = NULL;
    clc_shard_options options;
    assert_ok(clc_shard_options_init(&options, sizeof options));
    options.driver = 3;
    assert_fails(clc_shard_new(&options, &shard), CLC_ERROR_INVALID_ARGUMENT, "driver is 3");
    options.driver = CLC_DRIVER_AUTO;
    options.buffers_count = 3;
    assert_fails(clc_shard_new(&options, &shard), CLC_ERROR_INVALID_ARGUMENT, "buffers_count is 3");
    options.buffers_count = 64;
    options.buffer_bytes = 5;
    assert_fails(clc_shard_new(&options, &shard), CLC_ERROR_INVALID_ARGUMENT, "buffer_bytes is 5");
    options.buffer_bytes = 4096;
    options.submissions = UINT32_MAX;
    assert_fails(clc_shard_new(&options, &shard), CLC_ERROR_INVALID_ARGUMENT, "submissions is");
    options.submissions = 64;
    options.streams_max = UINT32_MAX;
    assert_fails(clc_shard_new(&options, &shard), CLC_ERROR_INVALID_ARGUMENT, "streams_max is");
    assert_null(shard);
    options.streams_max = 16;
    assert_ok(clc_shard_new(&options, &shard));
    assert_ok(clc_shard_turn(shard));
    clc_shard_free(shard);
}

static void a_node_out_of_range_is_refused(void **state) {
    (void)state;
    clc_node *node = NULL;
    clc_node_options options = {.struct_size = sizeof options, .shards = 257};
    assert_fails(clc_node_new(&options, &node), CLC_ERROR_INVALID_ARGUMENT, "257 shards");
    options.shards = 1;
    options.queue_depth = 1;
    assert_fails(clc_node_new(&options, &node), CLC_ERROR_INVALID_ARGUMENT, "queue_depth is 1");
    assert_null(node);
}

static void addresses_are_checked(void **state) {
    struct fixture *fixture = *state;
    const char *wrong[] = {"", "localhost:80", "127.0.0.1", "127.0.0.1:99999", "[::1]", ":80", "\xff:1"};
    clc_address address = {.port = 7};
    uint32_t key = 7;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        clc_backend_options backend = backend_at(wrong[i]);
        int status = i == 6 ? CLC_ERROR_INVALID_ARGUMENT : CLC_ERROR_BAD_ADDRESS;
        assert_fails(clc_forwarder_listen(fixture->forwarder, wrong[i], &address), status, "address is");
        assert_fails(clc_forwarder_add_backend(fixture->forwarder, &backend, &key), status, "address is");
        assert_fails(clc_forwarder_set_local(fixture->forwarder, &backend, &key), status, "address is");
    }
    clc_backend_options backend = backend_at(NULL);
    assert_null_argument(clc_forwarder_add_backend(fixture->forwarder, &backend, &key), "address");
    backend = backend_at("127.0.0.1:1");
    backend.reserved = 1;
    assert_fails(clc_forwarder_add_backend(fixture->forwarder, &backend, &key), CLC_ERROR_INVALID_ARGUMENT, "reserved");
    assert_int_equal(key, 7);
    assert_int_equal(address.port, 7);
}

static void listening_where_one_cannot_says_why(void **state) {
    struct fixture *fixture = *state;
    uint16_t port;
    char taken[32];
    int listener = loopback_listener(&port);
    snprintf(taken, sizeof taken, "127.0.0.1:%d", port);
    assert_fails(clc_forwarder_listen(fixture->forwarder, taken, NULL), CLC_ERROR_ADDRESS_IN_USE, taken);
    close(listener);
    assert_fails(clc_forwarder_listen(fixture->forwarder, "192.0.2.1:8080", NULL), CLC_ERROR_ADDRESS_NOT_AVAILABLE,
                 "192.0.2.1:8080");
}

static void only_a_listener_is_taken_for_one(void **state) {
    struct fixture *fixture = *state;
    int pipes[2], idle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    clc_address address;
    assert_int_equal(pipe(pipes), 0);
    assert_fails(clc_forwarder_listen_fd(fixture->forwarder, -1, NULL), CLC_ERROR_NOT_A_LISTENER, "fd is -1");
    assert_fails(clc_forwarder_listen_fd(fixture->forwarder, 99999, NULL), CLC_ERROR_NOT_A_LISTENER, "fd is 99999");
    assert_true(clc_forwarder_listen_fd(fixture->forwarder, pipes[0], NULL) < 0);
    assert_fails(clc_forwarder_listen_fd(fixture->forwarder, idle, NULL), CLC_ERROR_NOT_A_LISTENER, "listen");
    assert_int_equal(close(pipes[0]), 0);
    assert_int_equal(close(pipes[1]), 0);
    assert_int_equal(close(idle), 0);

    uint16_t port;
    int listener = loopback_listener(&port);
    assert_ok(clc_forwarder_listen_fd(fixture->forwarder, listener, &address));
    assert_int_equal(address.port, port);
    assert_int_equal(close(listener), 0); /* still ours to close */
}

static void what_is_not_there_is_named(void **state) {
    struct fixture *fixture = *state;
    assert_fails(clc_forwarder_drain_backend(fixture->forwarder, 77, 0), CLC_ERROR_NO_SUCH_BACKEND, "77");
    assert_fails(clc_forwarder_remove_backend(fixture->forwarder, 77), CLC_ERROR_NO_SUCH_BACKEND, "77");
    assert_fails(clc_forwarder_set_weight(fixture->forwarder, 77, 1), CLC_ERROR_NO_SUCH_BACKEND, "77");
    assert_fails(clc_forwarder_set_weight(fixture->forwarder, 77, 0), CLC_ERROR_INVALID_ARGUMENT, "weight is 0");
    uint64_t value = 7;
    assert_fails(clc_forwarder_counter(fixture->forwarder, 9999, &value), CLC_ERROR_INVALID_ARGUMENT, "counter is 9999");
    assert_int_equal(value, 7);
    assert_ok(clc_forwarder_close(fixture->forwarder));
    assert_fails(clc_forwarder_close(fixture->forwarder), CLC_ERROR_NO_SUCH_FORWARDER, "forwarder");
    assert_fails(clc_forwarder_listen(fixture->forwarder, "127.0.0.1:0", NULL), CLC_ERROR_NO_SUCH_FORWARDER, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_null_handle_is_refused_by_every_function),
        cmocka_unit_test_setup_teardown(a_null_output_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(structs_of_another_size_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(zero_and_the_written_defaults_both_work, set_up, tear_down),
        cmocka_unit_test_setup_teardown(settings_out_of_range_are_named, set_up, tear_down),
        cmocka_unit_test(a_shard_out_of_range_is_refused),
        cmocka_unit_test(a_node_out_of_range_is_refused),
        cmocka_unit_test_setup_teardown(addresses_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(listening_where_one_cannot_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_a_listener_is_taken_for_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_named, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("arguments", tests, NULL, NULL);
}
