/* A service without a TCP port: it takes requests in messages and answers them itself.
 *
 * The front end is a node of its own threads here; its back end has the service's endpoint as its job address. Between two programs or
 * machines nothing is different but the address.
 */
#include "demo.h"

struct visit {
    uint16_t port; /* of the front end */
    char answers[3][512];
};

static void *visit_run(void *argument) {
    struct visit *visit = argument;
    for (int i = 0; i < 3; i++) {
        char answer[512];
        snprintf(visit->answers[i], sizeof visit->answers[i], "%s", client_get(visit->port, answer, sizeof answer));
    }
    return NULL;
}

/* Answers with a number and the first line of the request. */
static void answer(clc_job_service *service, const clc_job_request *request, int number) {
    const char *bytes = (const char *)request->bytes.data, *end = memchr(bytes, '\r', request->bytes.len);
    char body[128], response[256];
    int body_len = snprintf(body, sizeof body, "answer %d to \"%.*s\"", number, (int)(end - bytes), bytes);
    int len = snprintf(response, sizeof response, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", body_len, body);
    check(clc_job_service_answer(service, request,
                                 (clc_bytes){.data = (const uint8_t *)response, .len = (size_t)len}));
}

int main(void) {
    clc_shard *shard;
    clc_endpoint *endpoint;
    clc_job_service *service;
    clc_shard_options own_shard, front_shard;
    clc_node_options options;
    clc_node *node;
    clc_forwarder *front;
    clc_backend_options backend;
    clc_address job, address;
    struct visit visit = {0};
    pthread_t visitor;
    check(clc_shard_options_init(&own_shard, sizeof own_shard));
    own_shard.driver = node_driver(); /* it waits while the node's threads work */
    check(clc_shard_new(&own_shard, &shard));
    check(clc_endpoint_open(shard, "127.0.0.1:0", NULL, &endpoint));
    check(clc_endpoint_address(endpoint, &job));
    check(clc_job_service_new(endpoint, 0, 0, &service));

    check(clc_shard_options_init(&front_shard, sizeof front_shard));
    front_shard.driver = node_driver();
    check(clc_node_options_init(&options, sizeof options));
    options.shard = &front_shard;
    check(clc_node_new(&options, &node));
    check(clc_node_add_forwarder(node, NULL, &front));
    check(clc_forwarder_listen(front, "127.0.0.1:0", &address));
    check(clc_backend_options_init(&backend, sizeof backend));
    backend.address = "127.0.0.1:9"; /* nobody: this service has no TCP port */
    backend.job_address = job.text;
    check(clc_forwarder_add_backend(front, &backend, NULL));

    visit.port = address.port;
    if (pthread_create(&visitor, NULL, visit_run, &visit) != 0) return 1;
    for (int answered = 0; answered < 3;) {
        clc_job_request requests[16];
        size_t len;
        check(clc_shard_turn_for(shard, 100000000));
        do {
            check(clc_job_service_requests(service, requests, 16, &len));
            for (size_t i = 0; i < len; i++) answer(service, &requests[i], ++answered);
        } while (len == 16);
    }
    /* The last answer leaves with the turns that follow. */
    for (int i = 0; i < 10; i++) check(clc_shard_turn_for(shard, 10000000));
    pthread_join(visitor, NULL);
    for (int i = 0; i < 3; i++) printf("%s\n", visit.answers[i]);

    clc_forwarder_free(front);
    clc_node_free(node);
    clc_job_service_free(service);
    clc_endpoint_free(endpoint);
    clc_shard_free(shard);
    return 0;
}
