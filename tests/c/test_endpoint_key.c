/* Endpoints in secure mode: both ends proven, strangers and wrong keys refused, options that make no sense. */
#include "ends.h"

#define DEFAULT_STREAM ((clc_stream){0})

struct key {
    char private_text[CLC_KEY_TEXT_BYTES], public_text[CLC_KEY_TEXT_BYTES];
    uint8_t bytes[CLC_KEY_BYTES];
};

static void make(struct key *key) {
    assert_ok(clc_key_generate(key->private_text, sizeof key->private_text));
    assert_ok(clc_key_public(key->private_text, key->public_text, sizeof key->public_text));
    assert_ok(clc_key_public_to_bytes(key->public_text, key->bytes));
}

/* A server that lets in `allow`, and a client with its own key. */
struct secure {
    struct pair pair;
    struct key server, client;
};

static clc_endpoint_options options_of(const struct key *key, const char *allow) {
    clc_endpoint_options options;
    assert_ok(clc_endpoint_options_init(&options, sizeof options));
    options.handshake_timeout_ns = SECOND_NS / 2;
    options.key = key->private_text;
    options.allow = allow;
    return options;
}

static int set_up(void **state, uint32_t driver) {
    struct secure *secure = calloc(1, sizeof *secure);
    *state = secure;
    make(&secure->server);
    make(&secure->client);
    clc_endpoint_options client = options_of(&secure->client, NULL);
    if (!end_open(&secure->pair.client, driver, &client)) return 0;
    secure->pair.is_ready = 1;
    char list[2 * CLC_KEY_TEXT_BYTES];
    snprintf(list, sizeof list, "# who may\n%s  # the client\n", secure->client.public_text);
    clc_endpoint_options server = options_of(&secure->server, list);
    end_open(&secure->pair.server, driver, &server);
    return 0;
}

static int set_up_uring(void **state) { return set_up(state, CLC_DRIVER_URING); }
static int set_up_epoll(void **state) { return set_up(state, CLC_DRIVER_EPOLL); }

static int tear_down(void **state) {
    struct secure *secure = *state;
    if (secure->pair.is_ready) {
        end_close(&secure->pair.client);
        end_close(&secure->pair.server);
    }
    free(secure);
    return 0;
}

#define SECURE(state)                 \
    struct secure *secure = *(state); \
    struct pair *pair = &secure->pair; \
    if (!pair->is_ready) skip()

static void connect_with(struct end *end, const struct pair *pair, const uint8_t *key) {
    clc_connection connection;
    assert_ok(clc_endpoint_connect(end->endpoint, pair->server.address.text, key, &connection));
}

static void both_ends_are_proven_and_messages_arrive(void **state) {
    SECURE(state);
    static uint8_t bytes[200000];
    char text[CLC_KEY_TEXT_BYTES];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7);
    connect_with(&pair->client, pair, secure->server.bytes);
    BOTH_UNTIL(pair, pair->client.begun == 1 && pair->server.begun == 1);
    assert_memory_equal(pair->client.identity, secure->server.bytes, CLC_KEY_BYTES);
    assert_memory_equal(pair->server.identity, secure->client.bytes, CLC_KEY_BYTES);
    assert_ok(clc_key_public_from_bytes(pair->server.identity, text, sizeof text));
    assert_string_equal(text, secure->client.public_text);
    assert_ok(clc_endpoint_send(pair->client.endpoint, pair->client.connection, DEFAULT_STREAM,
                                bytes_of(bytes, sizeof bytes), NULL));
    BOTH_UNTIL(pair, pair->server.arrived_len == 1);
    assert_int_equal(pair->server.arrived[0].len, sizeof bytes);
    assert_true(pair->server.arrived[0].sum == sum_of(bytes_of(bytes, sizeof bytes)));
}

static void a_stranger_is_refused(void **state) {
    SECURE(state);
    struct key key;
    struct end stranger = {0};
    make(&key);
    clc_endpoint_options options = options_of(&key, NULL);
    assert_true(end_open(&stranger, CLC_DRIVER_EPOLL, &options));
    connect_with(&stranger, pair, secure->server.bytes);
    int64_t end = now_ns() + 20 * SECOND_NS;
    while (stranger.gone == 0) {
        assert_true(now_ns() < end);
        end_turn(&stranger);
        end_turn(&pair->server);
        usleep(100);
    }
    assert_int_equal(stranger.reason, CLC_GONE_REASON_REFUSED);
    assert_int_equal(stranger.refuse_code, CLC_REFUSE_CODE_HANDSHAKE);
    assert_int_equal(pair->server.begun, 0);
    end_close(&stranger);
}

static void a_server_with_another_key_is_not_believed(void **state) {
    SECURE(state);
    struct key other;
    make(&other);
    connect_with(&pair->client, pair, other.bytes);
    BOTH_UNTIL(pair, pair->client.gone == 1);
    assert_int_equal(pair->client.reason, CLC_GONE_REASON_REFUSED);
    assert_int_equal(pair->client.begun + pair->server.begun, 0);
}

static void a_clear_client_is_not_let_in(void **state) {
    SECURE(state);
    clc_endpoint_options options;
    struct end clear = {0};
    assert_ok(clc_endpoint_options_init(&options, sizeof options));
    options.handshake_timeout_ns = SECOND_NS / 2;
    assert_true(end_open(&clear, CLC_DRIVER_EPOLL, &options));
    connect_with(&clear, pair, NULL);
    int64_t end = now_ns() + 20 * SECOND_NS;
    while (clear.gone == 0) {
        assert_true(now_ns() < end);
        end_turn(&clear);
        end_turn(&pair->server);
        usleep(100);
    }
    assert_int_equal(pair->server.begun, 0);
    end_close(&clear);
}

static void keys_that_make_no_sense_are_refused(void **state) {
    SECURE(state);
    static const uint8_t weak[CLC_KEY_BYTES];
    char text[CLC_KEY_TEXT_BYTES];
    uint8_t bytes[CLC_KEY_BYTES];
    clc_connection connection;
    clc_endpoint *endpoint = NULL, *client = pair->client.endpoint;
    clc_shard *shard = pair->client.shard;
    const char *to = pair->server.address.text;
    assert_fails(clc_endpoint_connect(client, to, NULL, &connection), CLC_ERROR_NO_KEY, "no public key was given");
    assert_fails(clc_endpoint_connect(client, to, weak, &connection), CLC_ERROR_BAD_KEY, "nobody can have");
    clc_endpoint_options options = options_of(&secure->client, NULL);
    options.key = NULL;
    options.allow = secure->client.public_text;
    assert_fails(clc_endpoint_open(shard, "127.0.0.1:0", &options, &endpoint), CLC_ERROR_BAD_CONFIGURATION,
                 "allow is given, and key is not");
    options.key = secure->client.public_text;
    assert_fails(clc_endpoint_open(shard, "127.0.0.1:0", &options, &endpoint), CLC_ERROR_BAD_KEY,
                 "key: this is a public key");
    options.key = options.allow = secure->client.private_text;
    assert_fails(clc_endpoint_open(shard, "127.0.0.1:0", &options, &endpoint), CLC_ERROR_BAD_KEY,
                 "allow: line 1: this is a private key");
    options.allow = "\xff";
    assert_fails(clc_endpoint_open(shard, "127.0.0.1:0", &options, &endpoint), CLC_ERROR_INVALID_ARGUMENT,
                 "allow is not UTF-8");
    assert_null(endpoint);
    assert_fails(clc_key_public_from_bytes(weak, text, sizeof text), CLC_ERROR_BAD_KEY, "nobody can have");
    assert_fails(clc_key_public_to_bytes("clc-public-x25519 AAAA", bytes), CLC_ERROR_BAD_KEY, "base64");
    assert_null_argument(clc_key_public_to_bytes(NULL, bytes), "public_key");
    assert_null_argument(clc_key_public_to_bytes(secure->client.public_text, NULL), "bytes_out");
    assert_null_argument(clc_key_public_from_bytes(NULL, text, sizeof text), "bytes");
    assert_null_argument(clc_key_public_from_bytes(secure->client.bytes, NULL, 64), "public_out");
}

static void a_key_opens_addresses_outside_loopback(void **state) {
    SECURE(state);
    clc_endpoint *endpoint = NULL;
    clc_endpoint_options options = options_of(&secure->client, NULL);
    assert_ok(clc_endpoint_open(pair->client.shard, "0.0.0.0:0", &options, &endpoint));
    clc_endpoint_free(endpoint);
    options.key = NULL;
    assert_fails(clc_endpoint_open(pair->client.shard, "0.0.0.0:0", &options, &endpoint), CLC_ERROR_INSECURE_ADDRESS,
                 "give a key");
}

/* As a program passes it that was compiled before there were keys. */
static void the_options_of_before_keys_are_clear(void **state) {
    SECURE(state);
    clc_endpoint *endpoint = NULL;
    clc_endpoint_options options = options_of(&secure->client, (const char *)1);
    options.key = (const char *)1;
    options.struct_size = offsetof(clc_endpoint_options, key);
    assert_ok(clc_endpoint_open(pair->client.shard, "127.0.0.1:0", &options, &endpoint));
    clc_endpoint_free(endpoint);
}

#define SECURE_ON(driver, test) {#test " on " #driver, test, set_up_##driver, tear_down, NULL}

int main(void) {
    const struct CMUnitTest tests[] = {
        SECURE_ON(uring, both_ends_are_proven_and_messages_arrive),
        SECURE_ON(epoll, both_ends_are_proven_and_messages_arrive),
        SECURE_ON(epoll, a_stranger_is_refused),
        SECURE_ON(epoll, a_server_with_another_key_is_not_believed),
        SECURE_ON(epoll, a_clear_client_is_not_let_in),
        SECURE_ON(epoll, keys_that_make_no_sense_are_refused),
        SECURE_ON(epoll, a_key_opens_addresses_outside_loopback),
        SECURE_ON(epoll, the_options_of_before_keys_are_clear),
    };
    return cmocka_run_group_tests_name("endpoint_key", tests, NULL, NULL);
}
