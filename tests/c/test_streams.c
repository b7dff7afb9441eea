/* Streamed calls: parts both ways, their bounds, and nothing is leaked or used after its end. */
#include "support.h"

#define MILLISECOND_NS UINT64_C(1000000)

static atomic_int is_over;

/* Sends every part back, and how many they were. */
static uint32_t echo(void *user, const clc_call_context *context, clc_bytes arguments, clc_call_parts *parts,
                     clc_call_reply *reply) {
    (void)context;
    clc_bytes part;
    int got, count = 0;
    while ((got = clc_call_parts_next(parts, &part)) == 1) {
        count++;
        if (clc_call_parts_send(parts, part) != CLC_OK) break;
    }
    atomic_fetch_add((atomic_int *)user, 1);
    if (clc_call_parts_status(parts) != 0) {
        clc_call_reply_text(reply, "let go");
        return clc_call_parts_status(parts);
    }
    char text[32];
    int len = snprintf(text, sizeof text, "%.*s%d", (int)arguments.len, (const char *)arguments.data, count);
    clc_call_reply_write(reply, (clc_bytes){(const uint8_t *)text, (size_t)len});
    return 0;
}

static uint32_t too_long(void *user, const clc_call_context *context, clc_bytes arguments, clc_call_parts *parts,
                         clc_call_reply *reply) {
    (void)user, (void)context, (void)arguments;
    static const uint8_t bytes[65537];
    clc_call_parts_send(parts, (clc_bytes){bytes, 3});
    clc_status status = clc_call_parts_send(parts, (clc_bytes){bytes, sizeof bytes});
    clc_call_reply_text(reply, clc_last_error_message());
    return status == CLC_ERROR_CALL_FAILED ? 11 : 2;
}

static void *serve(void *server) {
    while (!is_over) assert_ok(clc_call_server_turn(server, 10 * MILLISECOND_NS));
    clc_call_server_free(server);
    return NULL;
}

static clc_bytes text(const char *text) { return (clc_bytes){(const uint8_t *)text, strlen(text)}; }

struct demo {
    clc_channel *channel;
    pthread_t thread;
    atomic_int count;
};

static void begin(struct demo *demo) {
    const clc_streamed_method methods[] = {{"Echo", echo}, {"TooLong", too_long}};
    clc_call_server_options options = {.struct_size = sizeof options, .workers = 2};
    clc_call_server *server = NULL;
    clc_address address;
    is_over = 0;
    demo->count = 0;
    assert_ok(clc_call_server_open("127.0.0.1:0", &options, &server));
    assert_ok(clc_call_server_add_streamed(server, "test.Stream", methods, 2, &demo->count));
    assert_fails(clc_call_server_add_streamed(server, "test.Stream", methods, 1, NULL), CLC_ERROR_BAD_CONFIGURATION,
                 "Echo of test.Stream is registered already");
    assert_null_argument(clc_call_server_add_streamed(server, "test.Stream", NULL, 1, NULL), "methods");
    assert_ok(clc_call_server_address(server, &address));
    assert_int_equal(pthread_create(&demo->thread, NULL, serve, server), 0);
    assert_ok(clc_channel_open(address.text, NULL, &demo->channel));
}

static void end(struct demo *demo) {
    is_over = 1;
    pthread_join(demo->thread, NULL);
    clc_channel_free(demo->channel);
}

static void parts_go_both_ways(void **state) {
    (void)state;
    struct demo demo;
    clc_call_handle handle;
    clc_call_result result;
    clc_bytes part;
    clc_call_options within = {.struct_size = sizeof within, .timeout_ns = 20000 * MILLISECOND_NS};
    begin(&demo);
    assert_ok(clc_channel_stream(demo.channel, "test.Stream/Echo", text("n="), &within, 7, &handle));
    assert_int_equal(clc_channel_take_part(demo.channel, handle, 0, &part), CLC_ERROR_WOULD_BLOCK);
    assert_int_equal(clc_channel_stream_status(demo.channel, handle, 0, &result), CLC_ERROR_WOULD_BLOCK);
    for (int i = 0; i < 100; i++) {
        char words[16];
        snprintf(words, sizeof words, "part %d", i);
        assert_ok(clc_channel_send_part(demo.channel, handle, text(words), CLC_NEVER_NS));
        assert_int_equal(clc_channel_take_part(demo.channel, handle, CLC_NEVER_NS, &part), 1);
        assert_int_equal(part.len, strlen(words));
        assert_memory_equal(part.data, words, part.len);
    }
    assert_ok(clc_channel_end_parts(demo.channel, handle));
    assert_int_equal(clc_channel_take_part(demo.channel, handle, CLC_NEVER_NS, &part), 0);
    assert_ok(clc_channel_stream_status(demo.channel, handle, CLC_NEVER_NS, &result));
    assert_int_equal(result.results.len, 5);
    assert_memory_equal(result.results.data, "n=100", 5);
    assert_int_equal(clc_channel_take_part(demo.channel, handle, 0, &part), CLC_ERROR_NO_SUCH_CALL);
    assert_int_equal(demo.count, 1);
    end(&demo);
}

static void what_stirs_is_told_by_its_token(void **state) {
    (void)state;
    struct demo demo;
    clc_call_handle handles[8];
    clc_call_result result;
    clc_bytes part;
    int taken[8] = {0}, ended = 0;
    begin(&demo);
    for (uint64_t i = 0; i < 8; i++) {
        assert_ok(clc_channel_stream(demo.channel, "test.Stream/Echo", text(""), NULL, i, &handles[i]));
    }
    int sent[8] = {0};
    int64_t until = now_ns() + 20 * SECOND_NS;
    while (ended < 8) {
        uint64_t token;
        assert_true(now_ns() < until);
        assert_ok(clc_channel_turn(demo.channel, 10 * MILLISECOND_NS));
        while (clc_channel_stirred(demo.channel, &token) == 1) {
            assert_true(token < 8);
            while (sent[token] < 50) {
                clc_status status = clc_channel_send_part(demo.channel, handles[token], text("x"), 0);
                if (status == CLC_ERROR_WOULD_BLOCK) break;
                assert_ok(status);
                if (++sent[token] == 50) assert_ok(clc_channel_end_parts(demo.channel, handles[token]));
            }
            int got;
            while ((got = clc_channel_take_part(demo.channel, handles[token], 0, &part)) == 1) taken[token]++;
            if (got == 0) {
                assert_ok(clc_channel_stream_status(demo.channel, handles[token], 0, &result));
                ended++;
            }
        }
    }
    for (int i = 0; i < 8; i++) assert_int_equal(taken[i], 50);
    end(&demo);
}

static void what_is_too_long_or_over_is_said(void **state) {
    (void)state;
    struct demo demo;
    clc_call_handle handle, none = {9, 9};
    clc_call_result result;
    clc_bytes part;
    uint64_t token;
    static const uint8_t bytes[65537];
    begin(&demo);
    assert_ok(clc_channel_stream(demo.channel, "test.Stream/TooLong", text(""), NULL, 1, &handle));
    assert_fails(clc_channel_send_part(demo.channel, handle, (clc_bytes){bytes, sizeof bytes}, CLC_NEVER_NS),
                 CLC_ERROR_TOO_LARGE, "65537 bytes, limit is 65536");
    assert_int_equal(clc_channel_take_part(demo.channel, handle, CLC_NEVER_NS, &part), 1);
    assert_int_equal(clc_channel_take_part(demo.channel, handle, CLC_NEVER_NS, &part), 0);
    assert_int_equal(clc_channel_stream_status(demo.channel, handle, CLC_NEVER_NS, &result), CLC_ERROR_CALL_FAILED);
    assert_int_equal(result.status, 11);
    assert_non_null(strstr(result.text, "65537 bytes, limit is 65536"));
    assert_int_equal(clc_channel_send_part(demo.channel, none, text(""), 0), CLC_ERROR_NO_SUCH_CALL);
    assert_int_equal(clc_channel_end_parts(demo.channel, none), CLC_ERROR_NO_SUCH_CALL);
    clc_channel_stream_drop(demo.channel, none);
    clc_channel_stream_drop(NULL, none);
    assert_null_argument(clc_channel_stream(NULL, "a/b", text(""), NULL, 0, &handle), "channel");
    assert_null_argument(clc_channel_stream(demo.channel, "a/b", text(""), NULL, 0, NULL), "handle_out");
    assert_int_equal(clc_channel_stirred(NULL, &token), CLC_ERROR_NULL_ARGUMENT);
    assert_int_equal(clc_call_parts_next(NULL, &part), CLC_ERROR_NULL_ARGUMENT);
    assert_int_equal(clc_call_parts_send(NULL, part), CLC_ERROR_NULL_ARGUMENT);
    assert_int_equal(clc_call_parts_status(NULL), 13);
    end(&demo);
}

static void a_dropped_call_lets_its_handler_go(void **state) {
    (void)state;
    struct demo demo;
    clc_call_handle handle;
    clc_bytes part;
    begin(&demo);
    assert_ok(clc_channel_stream(demo.channel, "test.Stream/Echo", text(""), NULL, 1, &handle));
    assert_ok(clc_channel_send_part(demo.channel, handle, text("x"), CLC_NEVER_NS));
    assert_int_equal(clc_channel_take_part(demo.channel, handle, CLC_NEVER_NS, &part), 1);
    clc_channel_stream_drop(demo.channel, handle);
    int64_t until = now_ns() + 20 * SECOND_NS;
    while (demo.count < 1) {
        assert_true(now_ns() < until);
        assert_ok(clc_channel_turn(demo.channel, 10 * MILLISECOND_NS));
    }
    /* Freed with a call that has not ended; its handler ends with the server. */
    assert_ok(clc_channel_stream(demo.channel, "test.Stream/Echo", text(""), NULL, 2, &handle));
    assert_ok(clc_channel_turn(demo.channel, 10 * MILLISECOND_NS));
    end(&demo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_go_both_ways),
        cmocka_unit_test(what_stirs_is_told_by_its_token),
        cmocka_unit_test(what_is_too_long_or_over_is_said),
        cmocka_unit_test(a_dropped_call_lets_its_handler_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
