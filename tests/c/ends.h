/* Two shards with an endpoint each, in one thread, that talk over loopback. */
#ifndef ENDS_H
#define ENDS_H

#include "support.h"

#include "clustercore_runs.h"

#define PAYLOAD_MAX 4096
#define ARRIVED_MAX 4096

struct arrived {
    clc_connection connection;
    clc_stream stream;
    uint64_t sequence;
    size_t len;
    uint64_t sum;
    char start[64];
};

struct end {
    clc_shard *shard;
    clc_endpoint *endpoint;
    clc_address address;
    struct arrived *arrived;
    size_t arrived_len;
    clc_connection connection; /* of the last CONNECTED or ACCEPTED */
    int begun, writable, gone;
    uint32_t reason;
    uint64_t code, unconfirmed;
    char text[64];
    int by_runs; /* messages are taken by runs */
    int has_key; /* of the endpoint: its peers must have one too */
    uint8_t identity[CLC_KEY_BYTES]; /* of the last CONNECTED or ACCEPTED */
    uint32_t refuse_code;
    int is_idle; /* nothing is turned */
};

struct pair {
    struct end client, server;
    int is_ready;
};

static inline uint64_t sum_of(clc_bytes bytes) {
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < bytes.len; i++) sum = (sum ^ bytes.data[i]) * 1099511628211u;
    return sum;
}

static inline clc_bytes bytes_of(const void *data, size_t len) { return (clc_bytes){.data = data, .len = len}; }
static inline clc_bytes text_of(const char *text) { return bytes_of(text, strlen(text)); }

static inline void end_keep(struct end *end, const clc_message *message) {
    assert_true(end->arrived_len < ARRIVED_MAX);
    assert_int_equal(message->endpoint, clc_endpoint_id(end->endpoint));
    struct arrived *arrived = &end->arrived[end->arrived_len++];
    size_t start = message->payload.len < sizeof arrived->start - 1 ? message->payload.len : sizeof arrived->start - 1;
    *arrived = (struct arrived){.connection = message->connection,
                                .stream = message->stream,
                                .sequence = message->sequence,
                                .len = message->payload.len,
                                .sum = sum_of(message->payload)};
    if (start > 0) memcpy(arrived->start, message->payload.data, start);
}

static inline void end_take_runs(struct end *end) {
    clc_run runs[3];
    size_t len = 3;
    while (len == 3) {
        assert_ok(clc_shard_runs(end->shard, runs, 3, &len));
        for (size_t i = 0; i < len; i++) {
            clc_bytes rest = runs[i].bytes, payload;
            uint32_t count = 0;
            while (clc_run_next(&runs[i], &rest, &payload)) {
                end_keep(end, &(clc_message){.payload = payload,
                                             .sequence = runs[i].first + count++,
                                             .connection = runs[i].connection,
                                             .stream = runs[i].stream,
                                             .endpoint = runs[i].endpoint});
            }
            assert_int_equal(count, runs[i].count);
        }
    }
}

static inline void end_turn(struct end *end) {
    clc_message messages[3]; /* few, so that a batch is left over */
    clc_connection_event events[2];
    size_t len = 3;
    if (end->is_idle) return;
    assert_ok(clc_shard_turn(end->shard));
    if (end->by_runs) end_take_runs(end);
    while (len == 3) {
        assert_ok(clc_shard_messages(end->shard, messages, 3, &len));
        for (size_t i = 0; i < len; i++) end_keep(end, &messages[i]);
    }
    for (len = 2; len == 2;) {
        assert_ok(clc_shard_connection_events(end->shard, events, 2, &len));
        for (size_t i = 0; i < len; i++) {
            clc_connection_event *event = &events[i];
            switch (event->kind) {
            case CLC_CONNECTION_EVENT_KIND_CONNECTED:
            case CLC_CONNECTION_EVENT_KIND_ACCEPTED:
                end->begun += 1;
                end->connection = event->connection;
                assert_int_not_equal(event->epoch, 0);
                assert_int_equal(event->has_identity, end->has_key);
                memcpy(end->identity, event->identity, sizeof end->identity);
                break;
            case CLC_CONNECTION_EVENT_KIND_WRITABLE: end->writable += 1; break;
            case CLC_CONNECTION_EVENT_KIND_GONE:
                end->gone += 1;
                end->reason = event->reason;
                end->code = event->code;
                end->refuse_code = event->refuse_code;
                if (event->text.len > 0) memcpy(end->text, event->text.data, event->text.len);
                for (size_t j = 0; j < event->unconfirmed_len; j++) {
                    end->unconfirmed += event->unconfirmed[j].last - event->unconfirmed[j].first + 1;
                }
                break;
            default: fail_msg("an event of kind %u", event->kind);
            }
        }
    }
}

#define BOTH_UNTIL(pair, condition)                                              \
    do {                                                                         \
        int64_t end_ = now_ns() + 20 * SECOND_NS;                                \
        while (!(condition)) {                                                   \
            if (now_ns() > end_) fail_msg("not in 20 seconds: %s", #condition);  \
            end_turn(&(pair)->client);                                           \
            end_turn(&(pair)->server);                                           \
            usleep(100);                                                         \
        }                                                                        \
    } while (0)

static inline int end_open(struct end *end, uint32_t driver, const clc_endpoint_options *endpoint) {
    clc_shard_options options;
    assert_ok(clc_shard_options_init(&options, sizeof options));
    options.driver = driver;
    int status = clc_shard_new(&options, &end->shard);
    if (status < 0) {
        /* Only where this machine forbids it; everything else is a failure. */
        assert_int_equal(driver, CLC_DRIVER_URING);
        assert_true(status == CLC_ERROR_IO_URING_FORBIDDEN || status == CLC_ERROR_UNSUPPORTED_KERNEL);
        return 0;
    }
    assert_ok(clc_endpoint_open(end->shard, "127.0.0.1:0", endpoint, &end->endpoint));
    assert_ok(clc_endpoint_address(end->endpoint, &end->address));
    end->has_key = endpoint != NULL && endpoint->key != NULL;
    end->arrived = calloc(ARRIVED_MAX, sizeof *end->arrived);
    return 1;
}

static inline void end_close(struct end *end) {
    clc_endpoint_free(end->endpoint);
    clc_shard_free(end->shard);
    free(end->arrived);
}

static inline int pair_set_up(void **state, uint32_t driver) {
    struct pair *pair = calloc(1, sizeof *pair);
    clc_endpoint_options options;
    *state = pair;
    assert_ok(clc_endpoint_options_init(&options, sizeof options));
    options.receive_window_bytes = options.stream_window_bytes = 256 << 10;
    options.message_bytes_max = 200000;
    options.handshake_timeout_ns = SECOND_NS / 2;
    if (!end_open(&pair->client, driver, &options)) return 0;
    pair->is_ready = 1;
    end_open(&pair->server, driver, &options);
    clc_connection connection;
    assert_ok(clc_endpoint_connect(pair->client.endpoint, pair->server.address.text, NULL, &connection));
    BOTH_UNTIL(pair, pair->client.begun == 1 && pair->server.begun == 1);
    assert_int_equal(pair->client.connection.index, connection.index);
    assert_int_equal(pair->client.connection.generation, connection.generation);
    return 0;
}

static inline int pair_set_up_uring(void **state) { return pair_set_up(state, CLC_DRIVER_URING); }
static inline int pair_set_up_epoll(void **state) { return pair_set_up(state, CLC_DRIVER_EPOLL); }

static inline int pair_tear_down(void **state) {
    struct pair *pair = *state;
    if (pair->is_ready) {
        end_close(&pair->client);
        end_close(&pair->server);
    }
    free(pair);
    return 0;
}

#define PAIR(state)               \
    struct pair *pair = *(state); \
    if (!pair->is_ready) skip()

#define PAIR_ON(driver, test) {#test " on " #driver, test, pair_set_up_##driver, pair_tear_down, NULL}
#define PAIR_ON_BOTH(test) PAIR_ON(uring, test), PAIR_ON(epoll, test)

#endif /* ENDS_H */
