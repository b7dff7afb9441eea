/* Calls: what goes wrong is said, and nothing is leaked or used after its end. */
#include "support.h"

#define MILLISECOND_NS UINT64_C(1000000)

static atomic_int is_over;

static uint32_t echo(void *user, const clc_call_context *context, clc_bytes arguments, clc_call_reply *reply) {
    (void)context;
    atomic_fetch_add((atomic_int *)user, 1);
    clc_call_reply_write(reply, arguments);
    return 0;
}

static uint32_t odd(void *user, const clc_call_context *context, clc_bytes arguments, clc_call_reply *reply) {
    (void)user, (void)arguments, (void)reply;
    assert_true(clc_call_context_time_left_ns(context) <= UINT64_C(10000) * MILLISECOND_NS);
    assert_int_equal(clc_call_context_is_cancelled(context), 0);
    clc_bytes value;
    return clc_call_context_metadata(context, "status", &value) ? value.data[0] : 300;
}

static void *serve(void *server) {
    while (!is_over) assert_ok(clc_call_server_turn(server, 10 * MILLISECOND_NS));
    /* By the thread that has turned it: another could not end what the kernel has in hand. */
    clc_call_server_free(server);
    return NULL;
}

static clc_bytes text(const char *text) { return (clc_bytes){(const uint8_t *)text, strlen(text)}; }

static void calls_come_back_from_workers_and_from_the_loop(void **state) {
    (void)state;
    for (uint32_t place = CLC_CALL_PLACE_WORKER; place <= CLC_CALL_PLACE_LOOP; place++) {
        const clc_method methods[] = {{"Echo", echo}, {"Odd", odd}};
        clc_call_server_options options = {.struct_size = sizeof options, .workers = 2};
        clc_call_server *server = NULL;
        clc_channel *channel = NULL;
        clc_address address;
        atomic_int count = 0;
        pthread_t thread;
        is_over = 0;
        assert_ok(clc_call_server_open("127.0.0.1:0", &options, &server));
        assert_ok(clc_call_server_add(server, "test.Echo", methods, 2, place, &count));
        assert_fails(clc_call_server_add(server, "test.Echo", methods, 2, place, &count), CLC_ERROR_BAD_CONFIGURATION,
                     "test.Echo is registered already");
        assert_ok(clc_call_server_set_health(server, "test.Echo", 0));
        assert_ok(clc_call_server_address(server, &address));
        assert_int_equal(pthread_create(&thread, NULL, serve, server), 0);

        clc_pair pair = {"status", text("\x06")};
        clc_call_options within = {.struct_size = sizeof within, .timeout_ns = 10000 * MILLISECOND_NS};
        clc_call_result result;
        assert_ok(clc_channel_open(address.text, NULL, &channel));
        assert_true(clc_channel_fd(channel) >= 0);
        assert_ok(clc_channel_call(channel, "test.Echo/Echo", text("hello"), &within, &result));
        assert_int_equal(result.results.len, 5);
        assert_memory_equal(result.results.data, "hello", 5);
        assert_fails(clc_channel_call(channel, "test.Echo/Odd", text(""), &within, &result), CLC_ERROR_CALL_FAILED,
                     "returned 300, which is no status");
        within.metadata = &pair;
        within.metadata_len = 1;
        assert_int_equal(clc_channel_call(channel, "test.Echo/Odd", text(""), &within, &result), CLC_ERROR_CALL_FAILED);
        assert_int_equal(result.status, 6);
        assert_int_equal(result.outcome, CLC_OUTCOME_EXECUTED);
        assert_int_equal(clc_channel_call(channel, "test.Echo/None", text(""), &within, &result), CLC_ERROR_CALL_FAILED);
        assert_int_equal(result.status, 12);
        assert_int_equal(result.outcome, CLC_OUTCOME_NOT_EXECUTED);
        assert_ok(clc_channel_call(channel, "grpc.health.v1.Health/Check", text("\x0a\x09test.Echo"), NULL, &result));
        assert_memory_equal(result.results.data, "\x08\x02", 2);

        for (uint64_t token = 0; token < 500; token++) {
            assert_ok(clc_channel_submit(channel, "test.Echo/Echo", text("many"), &within, token, NULL));
        }
        int ended = 0;
        while (ended < 500) {
            uint64_t token;
            assert_ok(clc_channel_turn(channel, 10 * MILLISECOND_NS));
            while (clc_channel_next(channel, &token, &result) == 1) {
                assert_int_equal(result.status, 0);
                assert_true(token < 500);
                ended++;
            }
        }
        assert_int_equal(count, 501);
        is_over = 1;
        pthread_join(thread, NULL);
        clc_channel_free(channel);
    }
}

static void what_cannot_be_is_said_in_words(void **state) {
    (void)state;
    clc_channel *channel = NULL;
    clc_call_server *server = NULL;
    clc_call_result result;
    clc_channel_options bad = {.struct_size = 3};
    assert_fails(clc_channel_open(NULL, NULL, &channel), CLC_ERROR_NULL_ARGUMENT, "name is NULL");
    assert_fails(clc_channel_open("127.0.0.1:1", &bad, &channel), CLC_ERROR_UNKNOWN_STRUCT_SIZE, "clc_channel_options is 3");
    assert_fails(clc_channel_open("nobody", NULL, &channel), CLC_ERROR_NO_SUCH_SERVICE, "nobody");
    assert_fails(clc_channel_open("192.0.2.1:7", NULL, &channel), CLC_ERROR_INSECURE_ADDRESS, "192.0.2.1:7");
    clc_channel_options names = {.struct_size = sizeof names, .names = "a.B"};
    assert_fails(clc_channel_open("a.B", &names, &channel), CLC_ERROR_BAD_CONFIGURATION, "line 1");
    assert_fails(clc_call_server_open("127.0.0.1", NULL, &server), CLC_ERROR_BAD_ADDRESS, "127.0.0.1");
    assert_fails(clc_call_server_open("0.0.0.0:0", NULL, &server), CLC_ERROR_INSECURE_ADDRESS, "0.0.0.0:0");
    assert_int_equal(clc_channel_call(NULL, "a/b", text(""), NULL, &result), CLC_ERROR_NULL_ARGUMENT);
    assert_int_equal(clc_channel_turn(NULL, 0), CLC_ERROR_NULL_ARGUMENT);
    assert_int_equal(clc_channel_next_timeout_ns(NULL), 0);
    assert_int_equal(clc_call_server_turn(NULL, 0), CLC_ERROR_NULL_ARGUMENT);
    clc_channel_free(NULL);
    clc_call_server_free(NULL);
    clc_call_reply_write(NULL, text(""));
    assert_int_equal(clc_call_context_is_cancelled(NULL), 0);
}

static void a_call_to_nobody_was_not_executed(void **state) {
    (void)state;
    clc_channel *channel = NULL;
    clc_call_result result;
    clc_call_handle handle;
    uint64_t token;
    clc_call_options soon = {.struct_size = sizeof soon, .timeout_ns = 100 * MILLISECOND_NS};
    assert_ok(clc_channel_open("127.0.0.1:9", NULL, &channel));
    assert_int_equal(clc_channel_call(channel, "a.B/C", text(""), &soon, &result), CLC_ERROR_CALL_FAILED);
    assert_int_equal(result.outcome, CLC_OUTCOME_NOT_EXECUTED);
    assert_ok(clc_channel_submit(channel, "a.B/C", text("x"), NULL, 7, &handle));
    assert_ok(clc_channel_cancel(channel, handle));
    assert_int_equal(clc_channel_next(channel, &token, &result), 1);
    assert_int_equal(token, 7);
    assert_int_equal(result.status, 1);
    assert_int_equal(clc_channel_next(channel, &token, &result), 0);
    /* Freed with a call that has not ended. */
    assert_ok(clc_channel_submit(channel, "a.B/C", text("x"), NULL, 8, NULL));
    clc_channel_free(channel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_come_back_from_workers_and_from_the_loop),
        cmocka_unit_test(what_cannot_be_is_said_in_words),
        cmocka_unit_test(a_call_to_nobody_was_not_executed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
