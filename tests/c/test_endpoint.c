/* Endpoints of reliable datagrams: messages of every kind and size, written in place, closed, refused. */
#include "ends.h"

#define DEFAULT_STREAM ((clc_stream){0})

static void fill(uint8_t *bytes, size_t len, unsigned seed) {
    for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)(i * 31 + seed * 17 + (i >> 8));
}

/* Sends, and turns both where that must wait. */
static uint64_t send_waiting(struct pair *pair, clc_stream stream, clc_bytes payload) {
    uint64_t sequence = UINT64_MAX;
    int64_t end = now_ns() + 20 * SECOND_NS;
    for (;;) {
        clc_status status =
            clc_endpoint_send(pair->client.endpoint, pair->client.connection, stream, payload, &sequence);
        if (status == CLC_OK) return sequence;
        assert_int_equal(status, CLC_ERROR_WOULD_BLOCK);
        assert_true(now_ns() < end);
        end_turn(&pair->client);
        end_turn(&pair->server);
    }
}

static void exchange(struct pair *pair) {
    static uint8_t bytes[200000];
    size_t sizes[] = {0, 1, 127, 128, 1300, 1400, 5000, 200000};
    size_t count = 600;
    uint64_t *sums = calloc(count, sizeof *sums);
    for (size_t i = 0; i < count; i++) {
        size_t len = i % 50 == 49 ? sizes[i / 50 % 8] : i * 7 % 1300;
        fill(bytes, len, (unsigned)i);
        sums[i] = sum_of(bytes_of(bytes, len));
        assert_int_equal(send_waiting(pair, DEFAULT_STREAM, bytes_of(bytes, len)), i);
    }
    BOTH_UNTIL(pair, pair->server.arrived_len == count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pair->server.arrived[i].sequence, i);
        assert_true(pair->server.arrived[i].sum == sums[i]);
    }
    free(sums);
}

static void messages_of_all_sizes_arrive_once_and_in_order(void **state) {
    PAIR(state);
    exchange(pair);
}

static void runs_bring_the_same(void **state) {
    PAIR(state);
    pair->server.by_runs = 1;
    exchange(pair);
}

static void messages_and_runs_go_on_where_the_other_stopped(void **state) {
    PAIR(state);
    clc_message message;
    clc_run run;
    clc_bytes rest, payload;
    size_t len = 0;
    int64_t end = now_ns() + 20 * SECOND_NS;
    for (int i = 0; i < 5; i++) send_waiting(pair, DEFAULT_STREAM, bytes_of("abcde" + i, 1));
    end_turn(&pair->client);
    while (len == 0) {
        assert_true(now_ns() < end);
        end_turn(&pair->client);
        assert_ok(clc_shard_turn(pair->server.shard));
        assert_ok(clc_shard_messages(pair->server.shard, &message, 1, &len));
    }
    assert_int_equal(message.payload.data[0], 'a');
    /* All five left in one packet, so that they are one run. */
    assert_ok(clc_shard_runs(pair->server.shard, &run, 1, &len));
    assert_int_equal(len, 1);
    assert_int_equal(run.count, 4);
    assert_int_equal(run.first, 1);
    rest = run.bytes;
    for (int i = 1; i < 5; i++) {
        assert_true(clc_run_next(&run, &rest, &payload));
        assert_int_equal(payload.data[0], 'a' + i);
    }
    assert_false(clc_run_next(&run, &rest, &payload));
    assert_ok(clc_shard_messages(pair->server.shard, &message, 1, &len));
    assert_int_equal(len, 0);
}

static void streams_of_all_kinds_carry_messages(void **state) {
    PAIR(state);
    for (uint32_t kind = CLC_STREAM_KIND_ORDERED; kind <= CLC_STREAM_KIND_UNRELIABLE; kind++) {
        clc_stream stream = {.number = 40 + kind, .kind = kind};
        char text[32];
        snprintf(text, sizeof text, "kind %u", kind);
        send_waiting(pair, stream, text_of(text));
    }
    BOTH_UNTIL(pair, pair->server.arrived_len == 4);
    uint32_t seen = 0;
    for (size_t i = 0; i < 4; i++) {
        struct arrived *arrived = &pair->server.arrived[i];
        assert_int_equal(arrived->stream.number, 40 + arrived->stream.kind);
        assert_int_equal(arrived->start[5], '0' + arrived->stream.kind);
        assert_int_equal(arrived->sequence, 0);
        seen |= 1u << arrived->stream.kind;
    }
    assert_int_equal(seen, 15);
    assert_fails(clc_endpoint_send(pair->client.endpoint, pair->client.connection,
                                   (clc_stream){.kind = 4}, text_of("x"), NULL),
                 CLC_ERROR_INVALID_ARGUMENT, "kind is 4; it must be 0 to 3");
    assert_fails(clc_endpoint_send(pair->client.endpoint, pair->client.connection,
                                   (clc_stream){.number = 1u << 30}, text_of("x"), NULL),
                 CLC_ERROR_INVALID_ARGUMENT, "number is 1073741824");
}

static void a_message_is_written_in_place_and_answered(void **state) {
    PAIR(state);
    uint8_t *room = NULL;
    uint64_t sequence = 9;
    clc_connection connection = pair->client.connection;
    clc_endpoint *endpoint = pair->client.endpoint;
    assert_fails(clc_endpoint_commit(endpoint, 0, NULL), CLC_ERROR_WRONG_STATE, "nothing is claimed");
    assert_fails(clc_endpoint_claim(endpoint, connection, DEFAULT_STREAM, 5000, &room), CLC_ERROR_TOO_LARGE,
                 "message is 5000 bytes");
    assert_null(room);
    assert_ok(clc_endpoint_claim(endpoint, connection, DEFAULT_STREAM, 100, &room));
    /* Nothing may come between. */
    assert_fails(clc_shard_turn(pair->client.shard), CLC_ERROR_WRONG_STATE, "commit it first");
    assert_fails(clc_shard_turn_for(pair->client.shard, 0), CLC_ERROR_WRONG_STATE, "commit it first");
    assert_fails(clc_endpoint_send(endpoint, connection, DEFAULT_STREAM, text_of("x"), NULL), CLC_ERROR_WRONG_STATE,
                 "commit it first");
    assert_fails(clc_endpoint_claim(endpoint, connection, DEFAULT_STREAM, 5, &room), CLC_ERROR_WRONG_STATE, "commit");
    assert_fails(clc_endpoint_close_connection(endpoint, connection, 0, NULL, 0), CLC_ERROR_WRONG_STATE, "commit");
    assert_fails(clc_endpoint_close(endpoint), CLC_ERROR_WRONG_STATE, "commit");
    memcpy(room, "hello", 5);
    assert_ok(clc_endpoint_commit(endpoint, 5, &sequence));
    assert_int_equal(sequence, 0);
    BOTH_UNTIL(pair, pair->server.arrived_len == 1);
    assert_string_equal(pair->server.arrived[0].start, "hello");
    assert_ok(clc_endpoint_send(pair->server.endpoint, pair->server.arrived[0].connection, DEFAULT_STREAM,
                                text_of("and hello to you"), NULL));
    BOTH_UNTIL(pair, pair->client.arrived_len == 1);
    assert_string_equal(pair->client.arrived[0].start, "and hello to you");
    /* A claim that is left open goes with its endpoint. */
    assert_ok(clc_endpoint_claim(endpoint, connection, DEFAULT_STREAM, 100, &room));
    clc_endpoint_free(endpoint);
    pair->client.endpoint = NULL;
    assert_ok(clc_shard_turn(pair->client.shard));
}

static void a_slow_reader_holds_the_sender_and_loses_nothing(void **state) {
    PAIR(state);
    static uint8_t bytes[1000];
    uint64_t sent = 0;
    int64_t end = now_ns() + 20 * SECOND_NS;
    clc_status status = CLC_OK;
    pair->server.is_idle = 1;
    while (status != CLC_ERROR_WOULD_BLOCK) {
        assert_true(now_ns() < end);
        status = clc_endpoint_send(pair->client.endpoint, pair->client.connection, DEFAULT_STREAM,
                                   bytes_of(bytes, sizeof bytes), NULL);
        sent += status == CLC_OK;
        end_turn(&pair->client);
    }
    assert_true(clc_status_is_retryable(status));
    assert_in_range(sent, 150, 300); /* a window of 256 KiB, or what the system grants */
    pair->server.is_idle = 0;
    BOTH_UNTIL(pair, pair->client.writable > 0 && pair->server.arrived_len == sent);
    send_waiting(pair, DEFAULT_STREAM, text_of("more"));
    BOTH_UNTIL(pair, pair->server.arrived_len == sent + 1);
}

static void closing_tells_the_peer_and_what_was_sent_arrives_before(void **state) {
    PAIR(state);
    clc_path_report path;
    assert_ok(clc_endpoint_path(pair->client.endpoint, pair->client.connection, &path));
    assert_true(path.packet_bytes >= 1200 && path.rtt_ns > 0);
    for (int i = 0; i < 100; i++) send_waiting(pair, DEFAULT_STREAM, text_of("before the end"));
    assert_ok(clc_endpoint_close_connection(pair->client.endpoint, pair->client.connection, 300, "bye", 1));
    BOTH_UNTIL(pair, pair->client.gone == 1 && pair->server.gone == 1);
    assert_int_equal(pair->server.arrived_len, 100);
    assert_int_equal(pair->server.reason, CLC_GONE_REASON_CLOSED_BY_PEER);
    assert_int_equal(pair->server.code, 300);
    assert_string_equal(pair->server.text, "bye");
    assert_int_equal(pair->client.reason, CLC_GONE_REASON_CLOSED);
    assert_int_equal(pair->client.unconfirmed, 0);
    assert_int_equal(clc_endpoint_send(pair->client.endpoint, pair->client.connection, DEFAULT_STREAM, text_of("late"),
                                       NULL),
                     CLC_ERROR_NOT_CONNECTED);
    clc_connection never = {.index = 77};
    assert_int_equal(clc_endpoint_path(pair->client.endpoint, never, &path), CLC_ERROR_NOT_CONNECTED);
}

static void what_is_not_confirmed_is_told_at_the_end(void **state) {
    PAIR(state);
    pair->server.is_idle = 1;
    for (int i = 0; i < 7; i++) send_waiting(pair, DEFAULT_STREAM, text_of("to nobody"));
    end_turn(&pair->client);
    assert_ok(clc_endpoint_close_connection(pair->client.endpoint, pair->client.connection, 256, NULL, 0));
    BOTH_UNTIL(pair, pair->client.gone == 1);
    assert_int_equal(pair->client.unconfirmed, 7);
}

static void a_peer_that_is_not_there_is_gone_with_its_reason(void **state) {
    PAIR(state);
    clc_connection connection;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char text[32];
    int silent = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(silent, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(silent, (struct sockaddr *)&address, &len), 0);
    snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(address.sin_port));
    assert_ok(clc_endpoint_connect(pair->client.endpoint, text, NULL, &connection));
    assert_int_equal(clc_endpoint_send(pair->client.endpoint, connection, DEFAULT_STREAM, text_of("x"), NULL),
                     CLC_ERROR_NOT_CONNECTED);
    BOTH_UNTIL(pair, pair->client.gone == 1);
    assert_int_equal(pair->client.reason, CLC_GONE_REASON_UNREACHABLE);
    close(silent);
}

static void garbage_is_counted_and_dropped(void **state) {
    PAIR(state);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t bytes[200];
    clc_message_stats stats;
    int stranger = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    to.sin_port = htons(pair->server.address.port);
    for (size_t len = 0; len < sizeof bytes; len++) {
        for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)(i * 37 + len) | 0x40;
        assert_int_equal(sendto(stranger, bytes, len, 0, (struct sockaddr *)&to, sizeof to), len);
    }
    send_waiting(pair, DEFAULT_STREAM, text_of("still there"));
    BOTH_UNTIL(pair, pair->server.arrived_len == 1);
    assert_ok(clc_endpoint_stats(pair->server.endpoint, &stats));
    assert_true(stats.packets_malformed + stats.packets_unknown >= 190);
    close(stranger);
}

static void *call_from_elsewhere(void *argument) {
    struct pair *pair = argument;
    static const int wrong = CLC_ERROR_WRONG_THREAD;
    struct end *end = &pair->client;
    clc_endpoint *endpoint;
    clc_address address;
    clc_connection connection;
    clc_message message;
    clc_run run;
    clc_connection_event event;
    clc_datagram datagram;
    clc_path_report path;
    clc_message_stats stats;
    uint8_t *room;
    size_t len;
    uintptr_t failures = 0;
    failures += clc_endpoint_open(end->shard, "127.0.0.1:0", NULL, &endpoint) != wrong;
    failures += clc_endpoint_address(end->endpoint, &address) != wrong;
    failures += clc_endpoint_connect(end->endpoint, "127.0.0.1:1", NULL, &connection) != wrong;
    failures += clc_endpoint_send(end->endpoint, end->connection, DEFAULT_STREAM, text_of("x"), NULL) != wrong;
    failures += clc_endpoint_claim(end->endpoint, end->connection, DEFAULT_STREAM, 9, &room) != wrong;
    failures += clc_endpoint_commit(end->endpoint, 0, NULL) != wrong;
    failures += clc_endpoint_close_connection(end->endpoint, end->connection, 0, NULL, 0) != wrong;
    failures += clc_endpoint_path(end->endpoint, end->connection, &path) != wrong;
    failures += clc_endpoint_stats(end->endpoint, &stats) != wrong;
    failures += clc_endpoint_close(end->endpoint) != wrong;
    failures += clc_shard_messages(end->shard, &message, 1, &len) != wrong;
    failures += clc_shard_runs(end->shard, &run, 1, &len) != wrong;
    failures += clc_shard_connection_events(end->shard, &event, 1, &len) != wrong;
    failures += clc_shard_datagrams(end->shard, &datagram, 1, &len) != wrong;
    return (void *)failures;
}

static void another_thread_is_refused(void **state) {
    PAIR(state);
    pthread_t thread;
    void *failures = NULL;
    assert_int_equal(pthread_create(&thread, NULL, call_from_elsewhere, pair), 0);
    pthread_join(thread, &failures);
    assert_int_equal((uintptr_t)failures, 0);
    send_waiting(pair, DEFAULT_STREAM, text_of("still mine"));
    BOTH_UNTIL(pair, pair->server.arrived_len == 1);
}

static void a_closed_endpoint_and_a_freed_shard_say_so(void **state) {
    PAIR(state);
    clc_address address;
    clc_connection connection = pair->client.connection;
    clc_endpoint *endpoint = pair->client.endpoint;
    assert_ok(clc_endpoint_close(endpoint));
    assert_fails(clc_endpoint_close(endpoint), CLC_ERROR_NO_SUCH_ENDPOINT, "there is no endpoint");
    assert_int_equal(clc_endpoint_send(endpoint, connection, DEFAULT_STREAM, text_of("x"), NULL),
                     CLC_ERROR_NO_SUCH_ENDPOINT);
    clc_shard_free(pair->client.shard);
    assert_fails(clc_endpoint_address(endpoint, &address), CLC_ERROR_CLOSED, "the shard was freed");
    assert_int_equal(clc_endpoint_send(endpoint, connection, DEFAULT_STREAM, text_of("x"), NULL), CLC_ERROR_CLOSED);
    assert_int_equal(clc_endpoint_close(endpoint), CLC_ERROR_CLOSED);
    assert_int_equal(clc_endpoint_commit(endpoint, 0, NULL), CLC_ERROR_CLOSED);
    pair->client.shard = NULL; /* the tear-down frees the endpoint */
}

static void a_child_of_fork_only_forgets_it(void **state) {
    PAIR(state);
    pid_t child = fork();
    if (child == 0) {
        struct end *end = &pair->client;
        clc_message message;
        size_t len;
        int failures = 0;
        failures += clc_shard_messages(end->shard, &message, 1, &len) != CLC_ERROR_FORKED;
        failures += clc_endpoint_address(end->endpoint, &end->address) != CLC_ERROR_FORKED;
        failures += clc_endpoint_send(end->endpoint, end->connection, DEFAULT_STREAM, text_of("x"), NULL) !=
                    CLC_ERROR_FORKED;
        failures += clc_endpoint_close(end->endpoint) != CLC_ERROR_FORKED;
        clc_endpoint_free(end->endpoint);
        clc_shard_free(end->shard);
        _exit(failures);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    send_waiting(pair, DEFAULT_STREAM, text_of("the parent's"));
    BOTH_UNTIL(pair, pair->server.arrived_len == 1);
}

static void clear_messages_outside_loopback_must_be_asked_for(void **state) {
    PAIR(state);
    clc_endpoint_options options;
    clc_endpoint *endpoint = NULL;
    clc_connection connection;
    static const uint8_t key[32] = {1};
    clc_shard *shard = pair->client.shard;
    assert_ok(clc_endpoint_options_init(&options, sizeof options));
    assert_fails(clc_endpoint_open(shard, "0.0.0.0:0", &options, &endpoint), CLC_ERROR_INSECURE_ADDRESS,
                 "0.0.0.0:0 is outside loopback");
    assert_null(endpoint);
    options.insecure = 1;
    assert_ok(clc_endpoint_open(shard, "0.0.0.0:0", &options, &endpoint));
    clc_endpoint_free(endpoint);
    options.packet_bytes_max = 100;
    assert_fails(clc_endpoint_open(shard, "127.0.0.1:0", &options, &endpoint), CLC_ERROR_BAD_CONFIGURATION,
                 "packet_bytes_max is 100");
    assert_fails(clc_endpoint_connect(pair->client.endpoint, pair->server.address.text, key, &connection),
                 CLC_ERROR_BAD_CONFIGURATION, "a clear endpoint cannot check it");
    assert_fails(clc_endpoint_connect(pair->client.endpoint, "somewhere", NULL, &connection), CLC_ERROR_BAD_ADDRESS,
                 "peer is");
}

static void a_trace_is_written_where_it_is_asked_for(void **state) {
    PAIR(state);
    clc_endpoint_options options;
    clc_endpoint *endpoint = NULL;
    char path[64], line[64] = "";
    clc_shard *shard = pair->client.shard;
    snprintf(path, sizeof path, "/tmp/clustercore-trace-%d.sqlog", (int)getpid());
    assert_ok(clc_endpoint_options_init(&options, sizeof options));
    options.trace_path = path;
    assert_ok(clc_endpoint_open(shard, "127.0.0.1:0", &options, &endpoint));
    clc_endpoint_free(endpoint);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_memory_equal(line, "\x1e{\"file_schema\":", 16);
    fclose(file);
    assert_int_equal(unlink(path), 0);
    options.trace_path = "/nowhere/trace";
    endpoint = NULL;
    assert_fails(clc_endpoint_open(shard, "127.0.0.1:0", &options, &endpoint), CLC_ERROR_IO, "make the trace");
    options.trace_path = NULL;
    options.key_log_path = "/nowhere/keys";
    assert_fails(clc_endpoint_open(shard, "127.0.0.1:0", &options, &endpoint), CLC_ERROR_BAD_CONFIGURATION,
                 "a clear endpoint has no keys");
    assert_null(endpoint);
}

static void null_is_refused_everywhere(void **state) {
    PAIR(state);
    clc_shard *shard = pair->client.shard;
    clc_endpoint *endpoint = pair->client.endpoint, *out;
    clc_connection connection = pair->client.connection;
    clc_address address;
    clc_message message;
    clc_run run;
    clc_connection_event event;
    clc_path_report path;
    clc_message_stats stats;
    clc_endpoint_options options = {0};
    uint8_t *room;
    size_t len;
    assert_null_argument(clc_endpoint_open(NULL, "127.0.0.1:0", NULL, &out), "shard");
    assert_null_argument(clc_endpoint_open(shard, NULL, NULL, &out), "address");
    assert_null_argument(clc_endpoint_open(shard, "127.0.0.1:0", NULL, NULL), "endpoint_out");
    assert_null_argument(clc_endpoint_address(NULL, &address), "endpoint");
    assert_null_argument(clc_endpoint_address(endpoint, NULL), "address_out");
    assert_int_equal(clc_endpoint_id(NULL), 0);
    assert_null_argument(clc_endpoint_connect(NULL, "127.0.0.1:1", NULL, &connection), "endpoint");
    assert_null_argument(clc_endpoint_connect(endpoint, NULL, NULL, &connection), "peer");
    assert_null_argument(clc_endpoint_connect(endpoint, "127.0.0.1:1", NULL, NULL), "connection_out");
    assert_null_argument(clc_endpoint_send(NULL, connection, DEFAULT_STREAM, text_of("x"), NULL), "endpoint");
    assert_null_argument(clc_endpoint_send(endpoint, connection, DEFAULT_STREAM, bytes_of(NULL, 1), NULL), "payload");
    assert_null_argument(clc_endpoint_claim(NULL, connection, DEFAULT_STREAM, 9, &room), "endpoint");
    assert_null_argument(clc_endpoint_claim(endpoint, connection, DEFAULT_STREAM, 9, NULL), "room_out");
    assert_null_argument(clc_endpoint_commit(NULL, 0, NULL), "endpoint");
    assert_null_argument(clc_endpoint_close_connection(NULL, connection, 0, NULL, 0), "endpoint");
    assert_null_argument(clc_endpoint_path(NULL, connection, &path), "endpoint");
    assert_null_argument(clc_endpoint_path(endpoint, connection, NULL), "report_out");
    assert_null_argument(clc_endpoint_stats(NULL, &stats), "endpoint");
    assert_null_argument(clc_endpoint_stats(endpoint, NULL), "stats_out");
    assert_null_argument(clc_endpoint_close(NULL), "endpoint");
    assert_null_argument(clc_endpoint_options_init(NULL, sizeof options), "options");
    assert_null_argument(clc_shard_messages(NULL, &message, 1, &len), "shard");
    assert_null_argument(clc_shard_messages(shard, NULL, 1, &len), "messages_out");
    assert_null_argument(clc_shard_messages(shard, &message, 1, NULL), "messages_len_out");
    assert_null_argument(clc_shard_runs(NULL, &run, 1, &len), "shard");
    assert_null_argument(clc_shard_runs(shard, NULL, 1, &len), "runs_out");
    assert_null_argument(clc_shard_runs(shard, &run, 1, NULL), "runs_len_out");
    assert_null_argument(clc_shard_connection_events(NULL, &event, 1, &len), "shard");
    assert_null_argument(clc_shard_connection_events(shard, NULL, 1, &len), "events_out");
    assert_null_argument(clc_shard_connection_events(shard, &event, 1, NULL), "events_len_out");
    clc_endpoint_free(NULL);
    WRONG_SIZES(clc_endpoint_options, clc_endpoint_options_init(&options, size));
    WRONG_SIZES(clc_endpoint_options,
                (options.struct_size = size, clc_endpoint_open(shard, "127.0.0.1:0", &options, &out)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PAIR_ON_BOTH(messages_of_all_sizes_arrive_once_and_in_order),
        PAIR_ON_BOTH(runs_bring_the_same),
        PAIR_ON_BOTH(messages_and_runs_go_on_where_the_other_stopped),
        PAIR_ON_BOTH(streams_of_all_kinds_carry_messages),
        PAIR_ON_BOTH(a_message_is_written_in_place_and_answered),
        PAIR_ON_BOTH(a_slow_reader_holds_the_sender_and_loses_nothing),
        PAIR_ON_BOTH(closing_tells_the_peer_and_what_was_sent_arrives_before),
        PAIR_ON_BOTH(what_is_not_confirmed_is_told_at_the_end),
        PAIR_ON_BOTH(a_peer_that_is_not_there_is_gone_with_its_reason),
        PAIR_ON_BOTH(garbage_is_counted_and_dropped),
        PAIR_ON_BOTH(another_thread_is_refused),
        PAIR_ON_BOTH(a_closed_endpoint_and_a_freed_shard_say_so),
        PAIR_ON_BOTH(a_child_of_fork_only_forgets_it),
        PAIR_ON(epoll, clear_messages_outside_loopback_must_be_asked_for),
        PAIR_ON(epoll, a_trace_is_written_where_it_is_asked_for),
        PAIR_ON(epoll, null_is_refused_everywhere),
    };
    return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
