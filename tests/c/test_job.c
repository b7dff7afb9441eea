/* Message mode: a service that takes requests itself, and a front end whose messages do not get through. */
#include "support.h"

struct place {
    clc_shard *shard;
    clc_forwarder *front;
    clc_address address; /* of the front end */
    clc_endpoint *endpoint;
    clc_address job;
    clc_job_service *service;
};

static void open_place(struct place *place, uint64_t connect_timeout_ns) {
    clc_forwarder_options options;
    memset(place, 0, sizeof *place);
    assert_ok(clc_shard_new(NULL, &place->shard));
    assert_ok(clc_forwarder_options_init(&options, sizeof options));
    options.connect_timeout_ns = connect_timeout_ns;
    assert_ok(clc_shard_add_forwarder(place->shard, &options, &place->front));
    assert_ok(clc_forwarder_listen(place->front, "127.0.0.1:0", &place->address));
    assert_ok(clc_endpoint_open(place->shard, "127.0.0.1:0", NULL, &place->endpoint));
    assert_ok(clc_endpoint_address(place->endpoint, &place->job));
    assert_ok(clc_job_service_new(place->endpoint, 0, 0, &place->service));
}

static void close_place(struct place *place) {
    clc_job_service_free(place->service);
    clc_endpoint_free(place->endpoint);
    clc_forwarder_free(place->front);
    clc_shard_free(place->shard);
}

/* Answers with a body of `len` bytes of the letter that the request's number gives. */
static void answer(struct place *place, const clc_job_request *request, int number, size_t len) {
    static char response[4096];
    assert_true(request->bytes.len > 4);
    assert_memory_equal(request->bytes.data, "GET ", 4);
    assert_int_equal(request->is_head, 0);
    int head = snprintf(response, sizeof response, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
    memset(response + head, 'a' + number, len);
    clc_bytes bytes = {.data = (const uint8_t *)response, .len = (size_t)head + len};
    assert_ok(clc_job_service_answer(place->service, request, bytes));
    assert_fails(clc_job_service_answer(place->service, request, bytes), CLC_ERROR_NOT_CONNECTED, "nobody waits");
}

static int all_done(struct client *clients, int count) {
    for (int i = 0; i < count; i++) {
        if (!atomic_load(&clients[i].is_done)) return 0;
    }
    return 1;
}

static void a_linked_service_answers_the_requests_of_a_front_end(void **state) {
    (void)state;
    struct place place;
    struct client clients[5];
    int answered = 0;
    open_place(&place, 2 * SECOND_NS);
    clc_backend_options backend = backend_at("127.0.0.1:9");
    backend.job_address = place.job.text;
    assert_ok(clc_forwarder_add_backend(place.front, &backend, NULL));
    for (int i = 0; i < 5; i++) client_start(&clients[i], place.address.port);
    int64_t end = now_ns() + 20 * SECOND_NS;
    while (!all_done(clients, 5) && now_ns() < end) {
        clc_job_request requests[2];
        size_t len = 2;
        assert_ok(clc_shard_turn_for(place.shard, 1000000));
        while (len == 2) {
            assert_ok(clc_job_service_requests(place.service, requests, 2, &len));
            for (size_t i = 0; i < len; i++) answer(&place, &requests[i], answered++, 3000);
        }
    }
    assert_int_equal(answered, 5);
    int seen = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(client_finish(&clients[i], NULL), 200);
        const char *body = strstr(clients[i].answer, "\r\n\r\n") + 4;
        assert_int_equal(strlen(body), 3000);
        seen |= 1 << (body[0] - 'a');
    }
    assert_int_equal(seen, 31);
    uint64_t values[CLC_COUNTER_COPIED_MESSAGES + 1];
    size_t known = 0;
    assert_ok(clc_forwarder_counters(place.front, values, CLC_COUNTER_COPIED_MESSAGES + 1, &known));
    assert_int_equal(values[CLC_COUNTER_JOB_REQUESTS], 5);
    assert_int_equal(values[CLC_COUNTER_BACKEND_CONNECTS], 0);
    close_place(&place);
}

static void a_front_end_without_a_path_serves_by_tcp_and_says_so(void **state) {
    (void)state;
    struct place place;
    struct server server;
    struct client client;
    uint32_t key;
    open_place(&place, SECOND_NS / 2);
    server_start(&server, "by tcp");
    clc_backend_options backend = backend_at(server.address);
    backend.job_address = "127.0.0.1:9"; /* nobody answers datagrams there */
    assert_ok(clc_forwarder_add_backend(place.front, &backend, &key));
    client_start(&client, place.address.port);
    int64_t end = now_ns() + 20 * SECOND_NS;
    while (!atomic_load(&client.is_done) && now_ns() < end) assert_ok(clc_shard_turn_for(place.shard, 1000000));
    assert_int_equal(client_finish(&client, "by tcp"), 200);
    clc_event events[8];
    size_t len = 0;
    int broken = 0;
    assert_ok(clc_shard_events(place.shard, events, 8, &len));
    for (size_t i = 0; i < len; i++) {
        if (events[i].kind == CLC_EVENT_KIND_PATH_BROKEN) {
            broken += 1;
            assert_int_equal(events[i].backend, key);
            assert_int_equal(events[i].cause, CLC_PATH_TROUBLE_UNREACHABLE);
        }
    }
    assert_int_equal(broken, 1);
    close_place(&place);
    server_stop(&server);
}

static void what_a_job_address_lacks_is_named(void **state) {
    (void)state;
    struct place place;
    open_place(&place, SECOND_NS);
    clc_backend_options backend = backend_at("127.0.0.1:9");
    backend.job_address = "nowhere";
    assert_int_equal(clc_forwarder_add_backend(place.front, &backend, NULL), CLC_ERROR_BAD_ADDRESS);
    backend.job_address = place.job.text;
    backend.job_public_key = "no key";
    assert_int_equal(clc_forwarder_add_backend(place.front, &backend, NULL), CLC_ERROR_BAD_KEY);
    char private_key[CLC_KEY_TEXT_BYTES], public_key[CLC_KEY_TEXT_BYTES];
    assert_ok(clc_key_generate(private_key, sizeof private_key));
    assert_ok(clc_key_public(private_key, public_key, sizeof public_key));
    backend.job_address = NULL;
    backend.job_public_key = public_key;
    assert_fails(clc_forwarder_add_backend(place.front, &backend, NULL), CLC_ERROR_INVALID_ARGUMENT,
                 "job_address is not");
    close_place(&place);
}

static void null_is_refused_everywhere(void **state) {
    (void)state;
    struct place place;
    clc_job_request request = {0};
    clc_job_service *out;
    size_t len;
    open_place(&place, SECOND_NS);
    assert_null_argument(clc_job_service_new(NULL, 0, 0, &out), "endpoint");
    assert_null_argument(clc_job_service_new(place.endpoint, 0, 0, NULL), "service_out");
    assert_null_argument(clc_job_service_requests(NULL, &request, 1, &len), "service");
    assert_null_argument(clc_job_service_requests(place.service, NULL, 1, &len), "requests_out");
    assert_null_argument(clc_job_service_requests(place.service, &request, 1, NULL), "requests_len_out");
    assert_null_argument(clc_job_service_answer(NULL, &request, (clc_bytes){0}), "service");
    assert_null_argument(clc_job_service_answer(place.service, NULL, (clc_bytes){0}), "request");
    assert_null_argument(clc_job_service_answer(place.service, &request, (clc_bytes){.len = 1}), "response");
    clc_job_service_free(NULL);
    close_place(&place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_linked_service_answers_the_requests_of_a_front_end),
        cmocka_unit_test(a_front_end_without_a_path_serves_by_tcp_and_says_so),
        cmocka_unit_test(what_a_job_address_lacks_is_named),
        cmocka_unit_test(null_is_refused_everywhere),
    };
    return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
