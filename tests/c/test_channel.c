/* Event channels: events come out as they went in, links are exchanged, who may not is told, and what goes wrong is said. */
#include "support.h"

static atomic_int is_over;

static void *serve(void *server) {
    while (!is_over) assert_ok(clc_channel_server_turn(server, SECOND_NS / 100));
    clc_channel_server_counts counts;
    assert_ok(clc_channel_server_stats(server, &counts));
    assert_true(counts.sessions > 0);
    clc_channel_server_free(server);
    return NULL;
}

struct place {
    clc_channel_server *server;
    pthread_t thread;
    char tcp[80], udp[80], rpc[80];
};

static void open_keyed(struct place *place, const char *private_key, const char *allowed_keys) {
    clc_channel_access *access = NULL;
    clc_address address;
    assert_ok(clc_channel_access_new(&access));
    assert_ok(clc_channel_access_add_token(access, "all", "all", CLC_RIGHT_ADMINISTER, NULL));
    assert_ok(clc_channel_access_add_token(access, "reads", "reader", CLC_RIGHT_CONSUME, "default"));
    clc_channel_server_options options = {
        .struct_size = sizeof options, .access = access, .private_key = private_key, .allowed_keys = allowed_keys};
    assert_ok(clc_channel_server_new(&options, &place->server));
    clc_channel_access_free(access);
    assert_ok(clc_channel_server_listen_tcp(place->server, "127.0.0.1:0", &address));
    snprintf(place->tcp, sizeof place->tcp, "tcp://%s", address.text);
    assert_ok(clc_channel_server_listen_udp(place->server, "127.0.0.1:0", &address));
    snprintf(place->udp, sizeof place->udp, "udp://%s", address.text);
    assert_fails(clc_channel_server_listen_udp(place->server, "127.0.0.1:0", NULL), CLC_ERROR_BAD_CONFIGURATION,
                 "listens for datagrams already");
    assert_ok(clc_channel_server_listen_rpc(place->server, "127.0.0.1:0", &address));
    snprintf(place->rpc, sizeof place->rpc, "rpc://%s", address.text);
    assert_fails(clc_channel_server_listen_rpc(place->server, "127.0.0.1:0", NULL), CLC_ERROR_BAD_CONFIGURATION,
                 "listens for calls already");
    assert_ok(clc_channel_server_listen_http(place->server, "127.0.0.1:0", NULL));
    is_over = 0;
    assert_int_equal(pthread_create(&place->thread, NULL, serve, place->server), 0);
}

static void open_place(struct place *place) { open_keyed(place, NULL, NULL); }

static void close_place(struct place *place) {
    is_over = 1;
    pthread_join(place->thread, NULL);
}

static clc_participant *join(const char *url, const char *token) {
    clc_participant_options options = {.struct_size = sizeof options, .token = token};
    clc_participant *participant = NULL;
    assert_ok(clc_participant_new(url, &options, &participant));
    return participant;
}

static const char *ask(clc_participant *participant, const char *json) {
    const char *answer = NULL;
    assert_ok(clc_participant_ask(participant, json, 20 * (uint64_t)SECOND_NS, &answer));
    return answer;
}

static clc_bytes text(const char *text) { return (clc_bytes){(const uint8_t *)text, strlen(text)}; }

static void assert_text(clc_bytes bytes, const char *wanted) {
    assert_int_equal(bytes.len, strlen(wanted));
    assert_memory_equal(bytes.data, wanted, bytes.len);
}

static clc_channel_event minimal(const char *id) {
    return (clc_channel_event){.id = text(id), .source = text("/test"), .type = text("load")};
}

/* Turns it until an event has come; fails when none does. */
static clc_channel_delivery next_delivery(clc_participant *consumer) {
    clc_channel_delivery delivery;
    size_t len = 0;
    int64_t end = now_ns() + 20 * SECOND_NS;
    while (len == 0) {
        assert_true(now_ns() < end);
        assert_ok(clc_participant_turn(consumer, SECOND_NS / 100));
        assert_ok(clc_participant_take(consumer, &delivery, 1, &len));
    }
    return delivery;
}

static void all_taken(clc_participant *supplier, uint64_t handle) {
    size_t untaken = 1;
    int64_t end = now_ns() + 20 * SECOND_NS;
    while (untaken > 0) {
        assert_true(now_ns() < end);
        assert_ok(clc_participant_turn(supplier, SECOND_NS / 100));
        assert_ok(clc_participant_untaken(supplier, handle, &untaken));
    }
}

static clc_participant_news next_news(clc_participant *participant, uint32_t kind) {
    clc_participant_news news = {.kind = UINT32_MAX};
    int64_t end = now_ns() + 20 * SECOND_NS;
    while (news.kind != kind) {
        size_t len = 0;
        assert_true(now_ns() < end);
        assert_ok(clc_participant_news_take(participant, &news, 1, &len));
        if (len == 0) assert_ok(clc_participant_turn(participant, SECOND_NS / 100));
    }
    return news;
}

static void an_event_comes_out_as_it_went_in(void **state) {
    (void)state;
    struct place place;
    open_place(&place);
    clc_participant *supplier = join(place.tcp, "all"), *consumer = join(place.udp, "reads");
    uint64_t supply = 0, consume = 0;
    size_t taken = 0;
    assert_ok(clc_participant_consume(consumer, NULL, &consume));
    ask(consumer, "{\"op\":\"ping\"}");
    assert_int_equal(clc_participant_is_linked(consumer), 1);
    assert_string_equal(next_news(consumer, CLC_PARTICIPANT_NEWS_KIND_WELCOME).text, "reader");

    clc_channel_field fields[] = {
        {.name = text("word"), .kind = CLC_CHANNEL_FIELD_KIND_TEXT, .bytes = text("a")},
        {.name = text("raw"), .kind = CLC_CHANNEL_FIELD_KIND_BYTES, .bytes = {(const uint8_t *)"\0\xff", 2}},
        {.name = text("count"), .kind = CLC_CHANNEL_FIELD_KIND_INT, .number = -5},
        {.name = text("load"), .kind = CLC_CHANNEL_FIELD_KIND_FLOAT, .real = 0.5},
        {.name = text("alive"), .kind = CLC_CHANNEL_FIELD_KIND_BOOL, .number = 1},
        {.name = text("since"), .kind = CLC_CHANNEL_FIELD_KIND_TIME, .number = 8},
    };
    clc_channel_event events[] = {minimal("1"), minimal("2")};
    events[0].domain = text("cluster");
    events[0].name = text("node-1");
    events[0].content_type = text("text/plain");
    events[0].schema = text("urn:load");
    events[0].key = text("k");
    events[0].body = text("busy");
    events[0].fields = fields;
    events[0].fields_len = 6;
    events[0].has = CLC_EVENT_HAS_PRIORITY | CLC_EVENT_HAS_TIME | CLC_EVENT_HAS_SEQUENCE;
    events[0].priority = 0;
    events[0].time_ns = 7;
    events[0].sequence = 9;
    events[0].reliability = CLC_RELIABILITY_BEST_EFFORT;
    assert_ok(clc_participant_supply(supplier, "", 1, &supply));
    assert_ok(clc_participant_emit(supplier, supply, events, 2, &taken));
    assert_int_equal(taken, 2);
    all_taken(supplier, supply);

    clc_channel_delivery got = next_delivery(consumer);
    assert_true(got.handle == consume && got.delivery == 0 && got.tries == 0);
    assert_text(got.event.id, "1");
    assert_text(got.event.source, "/test");
    assert_text(got.event.type, "load");
    assert_text(got.event.domain, "cluster");
    assert_text(got.event.name, "node-1");
    assert_text(got.event.content_type, "text/plain");
    assert_text(got.event.schema, "urn:load");
    assert_text(got.event.key, "k");
    assert_text(got.event.body, "busy");
    assert_int_equal(got.event.has, events[0].has);
    assert_true(got.event.priority == 0 && got.event.time_ns == 7 && got.event.sequence == 9);
    assert_int_equal(got.event.reliability, CLC_RELIABILITY_BEST_EFFORT);
    assert_int_equal(got.event.fields_len, 6);
    for (size_t i = 0; i < 6; i++) {
        const clc_channel_field *field = &got.event.fields[i];
        assert_int_equal(field->name.len, fields[i].name.len);
        assert_memory_equal(field->name.data, fields[i].name.data, field->name.len);
        assert_int_equal(field->kind, fields[i].kind);
        assert_true(field->number == fields[i].number && field->real == fields[i].real);
        assert_int_equal(field->bytes.len, fields[i].bytes.len);
        if (field->bytes.len > 0) assert_memory_equal(field->bytes.data, fields[i].bytes.data, field->bytes.len);
    }
    got = next_delivery(consumer);
    assert_text(got.event.id, "2");
    assert_true(got.event.has == 0 && got.event.fields_len == 0 && got.event.body.len == 0);
    clc_participant_free(supplier);
    clc_participant_free(consumer);
    close_place(&place);
}

static void links_are_exchanged_and_what_is_rejected_comes_again(void **state) {
    (void)state;
    struct place place;
    open_place(&place);
    clc_participant *both = join(place.tcp, "all");
    const char *spec = "\"name\":\"c\",\"spec\":{\"qos\":{\"acknowledgement\":\"explicit\",\"backoff\":0.001}}";
    uint64_t supply = 0, consume = 0;
    size_t taken = 0;
    assert_ok(clc_participant_consume(both, spec, &consume));
    assert_ok(clc_participant_supply(both, NULL, 1, &supply));
    ask(both, "{\"op\":\"ping\"}");
    assert_true(clc_participant_fd(both) >= 0);
    const char *links[] = {place.udp, place.rpc, place.tcp, place.rpc, place.udp, place.tcp};
    for (int round = 0; round < 6; round++) {
        clc_channel_event event = minimal(round % 2 ? "odd" : "even");
        assert_ok(clc_participant_emit(both, supply, &event, 1, &taken));
        assert_ok(clc_participant_relink(both, links[round]));
        clc_channel_delivery got = next_delivery(both);
        assert_true(got.delivery != 0 && got.tries == 0);
        assert_ok(clc_participant_reject(both, consume, &got.delivery, 1, 0));
        got = next_delivery(both);
        assert_int_equal(got.tries, 1);
        assert_text(got.event.id, round % 2 ? "odd" : "even");
        assert_ok(clc_participant_acknowledge(both, consume, &got.delivery, 1));
        all_taken(both, supply);
    }
    assert_ok(clc_participant_close(both, consume));
    assert_ok(clc_participant_close(both, consume));
    clc_participant_free(both);
    close_place(&place);
}

/* A participant of a server with keys is asked something, or told why it has no link. */
static void only_with_keys(const char *url, const char *server_key, const char *private_key, const char *trouble) {
    clc_participant_options options = {
        .struct_size = sizeof options, .token = "all", .server_key = server_key, .private_key = private_key};
    clc_participant *participant = NULL;
    const char *answer = NULL;
    assert_ok(clc_participant_new(url, &options, &participant));
    if (trouble == NULL) {
        assert_string_equal(ask(participant, "{\"op\":\"ping\"}"), "{}");
    } else {
        assert_fails(clc_participant_ask(participant, "{\"op\":\"ping\"}", SECOND_NS, &answer), CLC_ERROR_TIMEOUT, trouble);
    }
    clc_participant_free(participant);
}

static void a_link_with_keys_is_made_with_the_right_one_only(void **state) {
    (void)state;
    struct place place;
    char key[CLC_KEY_TEXT_BYTES], public_key[CLC_KEY_TEXT_BYTES], ours[CLC_KEY_TEXT_BYTES], our_public[CLC_KEY_TEXT_BYTES];
    assert_ok(clc_key_generate(key, sizeof key));
    assert_ok(clc_key_public(key, public_key, sizeof public_key));
    assert_ok(clc_key_generate(ours, sizeof ours));
    assert_ok(clc_key_public(ours, our_public, sizeof our_public));
    open_keyed(&place, key, our_public);
    const char *urls[] = {place.udp, place.rpc};
    const char *refused = "the server refuses the handshake: it has another key";
    for (int i = 0; i < 2; i++) {
        only_with_keys(urls[i], public_key, ours, NULL);
        only_with_keys(urls[i], our_public, ours, refused);
        only_with_keys(urls[i], public_key, NULL, refused);
        only_with_keys(urls[i], NULL, NULL, refused);
    }
    clc_participant_options options = {.struct_size = sizeof options, .token = "all", .private_key = ours};
    clc_participant *participant = NULL;
    assert_fails(clc_participant_new(place.udp, &options, &participant), CLC_ERROR_NO_KEY, "give the server's too");
    assert_ok(clc_participant_new(place.tcp, &options, &participant));
    ask(participant, "{\"op\":\"ping\"}");
    assert_fails(clc_participant_relink(participant, place.rpc), CLC_ERROR_NO_KEY, "give the server's too");
    assert_fails(clc_participant_relink_keyed(participant, place.rpc, "nonsense"), CLC_ERROR_BAD_KEY, "");
    assert_fails(clc_participant_relink_keyed(participant, place.tcp, public_key), CLC_ERROR_BAD_CONFIGURATION,
                 "cannot check the server's key");
    ask(participant, "{\"op\":\"ping\"}");
    for (int i = 0; i < 2; i++) {
        assert_ok(clc_participant_relink_keyed(participant, urls[i], public_key));
        ask(participant, "{\"op\":\"ping\"}");
    }
    assert_ok(clc_participant_relink_keyed(participant, place.tcp, NULL));
    ask(participant, "{\"op\":\"ping\"}");
    clc_participant_free(participant);
    close_place(&place);

    clc_channel_server *server = NULL;
    clc_channel_server_options serving = {.struct_size = sizeof serving, .allowed_keys = our_public};
    assert_fails(clc_channel_server_new(&serving, &server), CLC_ERROR_BAD_CONFIGURATION, "private_key is not");
    serving.private_key = "nonsense";
    assert_fails(clc_channel_server_new(&serving, &server), CLC_ERROR_BAD_KEY, "");
    assert_null(server);
}

static void who_pulls_gets_as_much_as_he_asks_for(void **state) {
    (void)state;
    struct place place;
    open_place(&place);
    clc_participant *both = join(place.tcp, "all");
    clc_channel_event events[] = {minimal("1"), minimal("2"), minimal("3")};
    uint64_t supply = 0, consume = 0;
    size_t taken = 0, len = 0;
    clc_channel_delivery delivery;
    assert_ok(clc_participant_consume(both, "\"spec\":{\"mode\":\"pull\"}", &consume));
    assert_ok(clc_participant_supply(both, NULL, 1, &supply));
    ask(both, "{\"op\":\"ping\"}");
    assert_ok(clc_participant_pull(both, consume, 2)); /* finds nothing, and wants to be told */
    ask(both, "{\"op\":\"ping\"}");
    assert_ok(clc_participant_emit(both, supply, events, 3, &taken));
    assert_true(next_news(both, CLC_PARTICIPANT_NEWS_KIND_READABLE).handle == consume);
    all_taken(both, supply);
    assert_ok(clc_participant_take(both, &delivery, 1, &len));
    assert_int_equal(len, 0);
    assert_ok(clc_participant_pull(both, consume, 2));
    assert_text(next_delivery(both).event.id, "1");
    assert_text(next_delivery(both).event.id, "2");
    ask(both, "{\"op\":\"ping\"}");
    assert_ok(clc_participant_take(both, &delivery, 1, &len));
    assert_int_equal(len, 0);
    clc_participant_free(both);
    close_place(&place);
}

static void who_may_not_is_told(void **state) {
    (void)state;
    struct place place;
    open_place(&place);
    clc_participant *reader = join(place.tcp, "reads"), *stranger = join(place.tcp, "wrong");
    const char *answer = NULL;
    uint64_t supply = 0;
    assert_ok(clc_participant_supply(reader, NULL, 1, &supply));
    clc_participant_news gone = next_news(reader, CLC_PARTICIPANT_NEWS_KIND_GONE);
    assert_true(gone.handle == supply);
    assert_non_null(strstr(gone.text, "denied"));
    assert_fails(clc_participant_ask(reader, "{\"op\":\"create\",\"channel\":\"x\"}", 20 * (uint64_t)SECOND_NS, &answer),
                 CLC_ERROR_CALL_FAILED, "denied");
    assert_null(answer);
    next_news(stranger, CLC_PARTICIPANT_NEWS_KIND_BYE);
    clc_participant_free(reader);
    clc_participant_free(stranger);
    close_place(&place);
}

/* Turns both until the participant hears of this; 1 when it does. */
static int hears(clc_channel_server *server, clc_participant *participant, int kind) {
    for (int i = 0; i < 2000; i++) {
        clc_participant_news news[8];
        size_t len = 0;
        assert_ok(clc_channel_server_turn(server, SECOND_NS / 500));
        assert_ok(clc_participant_turn(participant, SECOND_NS / 500));
        assert_ok(clc_participant_news_take(participant, news, 8, &len));
        for (size_t place = 0; place < len; place++)
            if ((int)news[place].kind == kind) return 1;
    }
    return 0;
}

static void a_journal_brings_back_what_was_confirmed(void **state) {
    (void)state;
    char folder[] = "/tmp/clustercore-c-XXXXXX", path[64], why[512] = "x";
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/journal", folder);
    clc_channel_server_options serving = {.struct_size = sizeof serving, .open_to_anybody = 1, .journal = path};
    const char *steady =
        "\"name\":\"steady\",\"spec\":{\"is_durable\":true,\"qos\":{\"acknowledgement\":\"explicit\"}}";
    for (int round = 0; round < 2; round++) {
        clc_channel_server *server = NULL, *second = NULL;
        clc_participant *participant = NULL;
        clc_address address;
        char url[96];
        uint64_t supply = 0, consume = 0;
        size_t taken = 0;
        assert_ok(clc_channel_server_new(&serving, &server));
        assert_fails(clc_channel_server_new(&serving, &second), CLC_ERROR_IO, "lock journal");
        assert_ok(clc_channel_server_listen_tcp(server, "127.0.0.1:0", &address));
        snprintf(url, sizeof url, "tcp://%s", address.text);
        assert_ok(clc_participant_new(url, NULL, &participant));
        assert_ok(clc_participant_consume(participant, steady, &consume));
        if (round == 0) {
            clc_channel_event event = minimal("1");
            event.reliability = CLC_RELIABILITY_PERSISTENT;
            assert_ok(clc_participant_supply(participant, NULL, 1, &supply));
            assert_ok(clc_participant_emit(participant, supply, &event, 1, &taken));
            assert_true(hears(server, participant, CLC_PARTICIPANT_NEWS_KIND_CONFIRMED));
            clc_channel_server_counts counts;
            assert_ok(clc_channel_server_stats(server, &counts));
            assert_true(counts.written == 1 && counts.not_written == 0);
        } else {
            clc_channel_delivery delivery;
            size_t len = 0;
            for (int i = 0; i < 2000 && len == 0; i++) {
                assert_ok(clc_channel_server_turn(server, SECOND_NS / 500));
                assert_ok(clc_participant_turn(participant, SECOND_NS / 500));
                assert_ok(clc_participant_take(participant, &delivery, 1, &len));
            }
            assert_int_equal(len, 1);
            assert_text(delivery.event.id, "1");
        }
        assert_ok(clc_channel_server_failure(server, why, sizeof why));
        assert_string_equal(why, "");
        assert_fails(clc_channel_server_failure(server, why, 0), CLC_ERROR_BUFFER_TOO_SMALL, "room for 0");
        clc_participant_free(participant);
        clc_channel_server_free(server);
    }
    clc_channel_server *server = NULL;
    serving.journal_queue_bytes_max = 1000;
    assert_fails(clc_channel_server_new(&serving, &server), CLC_ERROR_BAD_CONFIGURATION, "1000 bytes together");
    const char *endings[] = {"", ".lock", "-wal", "-shm"};
    for (int i = 0; i < 4; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", path, endings[i]);
        remove(name);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void *turn_elsewhere(void *participant) {
    assert_fails(clc_participant_turn(participant, 0), CLC_ERROR_WRONG_THREAD, "the thread of its first turn");
    return NULL;
}

static void what_cannot_be_is_said_in_words(void **state) {
    (void)state;
    clc_channel_access *access = NULL;
    clc_channel_server *server = NULL;
    clc_participant *participant = NULL;
    clc_channel_server_options serving;
    clc_participant_options joining;
    clc_channel_event event = minimal("1");
    clc_channel_delivery delivery;
    clc_participant_news news;
    const char *answer;
    uint64_t handle = 0;
    size_t len = 0;
    pthread_t thread;

    WRONG_SIZES(clc_channel_server_options, clc_channel_server_options_init(&serving, size));
    WRONG_SIZES(clc_participant_options, clc_participant_options_init(&joining, size));
    assert_ok(clc_channel_server_options_init(&serving, sizeof serving));
    assert_ok(clc_participant_options_init(&joining, sizeof joining));
    assert_true(serving.linger_ns == 30 * (uint64_t)SECOND_NS && joining.inbox_max == 16384);

    assert_ok(clc_channel_access_new(&access));
    assert_fails(clc_channel_access_add_token(access, "", "a", 1, NULL), CLC_ERROR_INVALID_ARGUMENT, "empty");
    assert_fails(clc_channel_access_add_token(access, "t", "a", 8, NULL), CLC_ERROR_INVALID_ARGUMENT, "rights is 8");
    clc_channel_access_free(access);

    serving.hook_targets = "10.0.0.0/8\nnowhere near";
    assert_fails(clc_channel_server_new(&serving, &server), CLC_ERROR_INVALID_ARGUMENT, "hook_targets");

    /* Programs that were compiled before there were a journal and keys. */
    serving.struct_size = offsetof(clc_channel_server_options, journal);
    joining.struct_size = offsetof(clc_participant_options, server_key);
    serving.journal = serving.private_key = joining.server_key = "/beyond what that header has";

    assert_ok(clc_channel_server_new(&serving, &server));
    assert_fails(clc_channel_server_listen_tcp(server, "0.0.0.0:0", NULL), CLC_ERROR_INSECURE_ADDRESS, "outside loopback");
    assert_fails(clc_channel_server_listen_tcp(server, "nonsense", NULL), CLC_ERROR_BAD_ADDRESS, "nonsense");
    assert_true(clc_channel_server_fd(server) >= 0);
    clc_channel_server_free(server);

    assert_fails(clc_participant_new("http://127.0.0.1:9", NULL, &participant), CLC_ERROR_INVALID_ARGUMENT, "tcp://IP:PORT");
    assert_fails(clc_participant_new("tcp://192.0.2.1:9", NULL, &participant), CLC_ERROR_INSECURE_ADDRESS, "192.0.2.1");
    assert_null(participant);
    assert_ok(clc_participant_new("tcp://127.0.0.1:9", &joining, &participant));
    assert_fails(clc_participant_relink(participant, "tcp://192.0.2.1:9"), CLC_ERROR_INSECURE_ADDRESS, "192.0.2.1");
    assert_fails(clc_participant_emit(participant, 77, &event, 1, &len), CLC_ERROR_INVALID_ARGUMENT, "no proxy 77");
    assert_ok(clc_participant_supply(participant, NULL, 1, &handle));
    assert_ok(clc_participant_emit(participant, handle, NULL, 0, &len));
    assert_null_argument(clc_participant_emit(participant, handle, NULL, 1, &len), "events");
    event.priority = 5;
    assert_fails(clc_participant_emit(participant, handle, &event, 1, &len), CLC_ERROR_INVALID_ARGUMENT,
                 "event 0: priority is 5, but CLC_EVENT_HAS_PRIORITY is not in has");
    event = minimal("");
    assert_fails(clc_participant_emit(participant, handle, &event, 1, &len), CLC_ERROR_INVALID_ARGUMENT, "has no id");
    event = minimal("1");
    clc_status status = CLC_OK;
    for (int i = 0; i <= 8192 && status == CLC_OK; i++) status = clc_participant_emit(participant, handle, &event, 1, &len);
    assert_int_equal(status, CLC_ERROR_WOULD_BLOCK);
    assert_fails(clc_participant_ask(participant, "{}", SECOND_NS / 100, &answer), CLC_ERROR_TIMEOUT, "127.0.0.1:9");
    assert_true(clc_participant_next_timeout_ns(participant) < 10 * (uint64_t)SECOND_NS);
    assert_int_equal(clc_participant_is_linked(participant), 0);
    assert_int_equal(pthread_create(&thread, NULL, turn_elsewhere, participant), 0);
    pthread_join(thread, NULL);
    assert_null_argument(clc_participant_take(participant, NULL, 1, &len), "deliveries_out");
    assert_null_argument(clc_participant_acknowledge(participant, handle, NULL, 1), "deliveries");
    clc_participant_free(participant);

    assert_null_argument(clc_channel_access_new(NULL), "access_out");
    assert_null_argument(clc_channel_access_add_token(NULL, "t", "a", 1, NULL), "access");
    assert_null_argument(clc_channel_server_new(NULL, NULL), "server_out");
    assert_null_argument(clc_channel_server_turn(NULL, 0), "server");
    assert_null_argument(clc_channel_server_fd(NULL), "server");
    assert_null_argument(clc_channel_server_failure(NULL, NULL, 0), "server");
    assert_null_argument(clc_channel_server_listen_rpc(NULL, "127.0.0.1:0", NULL), "server");
    assert_null_argument(clc_participant_relink(NULL, "tcp://127.0.0.1:9"), "participant");
    assert_null_argument(clc_channel_server_listen_http(NULL, "127.0.0.1:0", NULL), "server");
    assert_null_argument(clc_participant_new(NULL, NULL, &participant), "url");
    assert_null_argument(clc_participant_turn(NULL, 0), "participant");
    assert_null_argument(clc_participant_take(NULL, &delivery, 1, &len), "participant");
    assert_null_argument(clc_participant_news_take(NULL, &news, 1, &len), "participant");
    assert_null_argument(clc_participant_ask(NULL, "{}", 0, &answer), "participant");
    assert_null_argument(clc_participant_close(NULL, 1), "participant");
    assert_null_argument(clc_participant_pull(NULL, 1, 1), "participant");
    assert_null_argument(clc_participant_is_linked(NULL), "participant");
    assert_int_equal(clc_participant_next_timeout_ns(NULL), 0);
    clc_channel_access_free(NULL);
    clc_channel_server_free(NULL);
    clc_participant_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_comes_out_as_it_went_in),
        cmocka_unit_test(links_are_exchanged_and_what_is_rejected_comes_again),
        cmocka_unit_test(a_link_with_keys_is_made_with_the_right_one_only),
        cmocka_unit_test(who_pulls_gets_as_much_as_he_asks_for),
        cmocka_unit_test(who_may_not_is_told),
        cmocka_unit_test(a_journal_brings_back_what_was_confirmed),
        cmocka_unit_test(what_cannot_be_is_said_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
