/* Messages in secure mode: both ends are proven by their keys, and a stranger is not let in.
 *
 * A key is made once, with `clustercore keygen --out FILE`, and loaded with clc_key_load; here all are made anew.
 */
#include "demo.h"

struct side {
    clc_endpoint *endpoint;
    char key[CLC_KEY_TEXT_BYTES], public_key[CLC_KEY_TEXT_BYTES];
};

struct program {
    clc_shard *shard;
    struct side server, client, stranger;
    clc_address address; /* of the server */
    int gone;
};

static void make_key(struct side *side) {
    check(clc_key_generate(side->key, sizeof side->key));
    check(clc_key_public(side->key, side->public_key, sizeof side->public_key));
}

/* `allow` has the public keys that are let in; NULL is everybody. */
static void open_endpoint(struct program *program, struct side *side, const char *allow) {
    clc_endpoint_options options = {.struct_size = sizeof options, .key = side->key, .allow = allow};
    check(clc_endpoint_open(program->shard, "127.0.0.1:0", &options, &side->endpoint));
}

/* Whoever connects says whom he expects. */
static void connect_to_server(struct program *program, struct side *side) {
    uint8_t key[CLC_KEY_BYTES];
    clc_connection connection;
    check(clc_key_public_to_bytes(program->server.public_key, key));
    check(clc_endpoint_connect(side->endpoint, program->address.text, key, &connection));
}

static const char *is_proven(const clc_connection_event *event, const struct side *side) {
    char public_key[CLC_KEY_TEXT_BYTES];
    if (!event->has_identity) return "false";
    check(clc_key_public_from_bytes(event->identity, public_key, sizeof public_key));
    return strcmp(public_key, side->public_key) == 0 ? "true" : "false";
}

static void on_connection_event(struct program *program, const clc_connection_event *event) {
    static const char secret[] = "a secret";
    clc_bytes payload = {.data = (const uint8_t *)secret, .len = sizeof secret - 1};
    clc_stream stream = {.number = 0, .kind = CLC_STREAM_KIND_ORDERED};
    switch (event->kind) {
    case CLC_CONNECTION_EVENT_KIND_CONNECTED:
        printf("client: the server is proven: %s\n", is_proven(event, &program->server));
        break;
    case CLC_CONNECTION_EVENT_KIND_ACCEPTED:
        printf("server: the client is proven: %s\n", is_proven(event, &program->client));
        check(clc_endpoint_send(program->server.endpoint, event->connection, stream, payload, NULL));
        break;
    case CLC_CONNECTION_EVENT_KIND_GONE:
        program->gone += 1;
        if (event->reason == CLC_GONE_REASON_REFUSED && event->refuse_code == CLC_REFUSE_CODE_HANDSHAKE) {
            printf("stranger: refused: the handshake was not right\n");
        } else if (event->endpoint == clc_endpoint_id(program->client.endpoint)) {
            connect_to_server(program, &program->stranger);
        }
        break;
    default: break;
    }
}

static void turn(struct program *program) {
    clc_connection_event events[8];
    clc_message messages[8];
    size_t len;
    check(clc_shard_turn_for(program->shard, 100000000));
    do {
        check(clc_shard_connection_events(program->shard, events, 8, &len));
        for (size_t i = 0; i < len; i++) on_connection_event(program, &events[i]);
    } while (len == 8);
    do {
        check(clc_shard_messages(program->shard, messages, 8, &len));
        for (size_t i = 0; i < len; i++) {
            printf("client: message %d is \"%.*s\"\n", (int)messages[i].sequence, (int)messages[i].payload.len,
                   (const char *)messages[i].payload.data);
            check(clc_endpoint_close_connection(program->client.endpoint, messages[i].connection, 256, "that is all",
                                                1));
        }
    } while (len == 8);
}

int main(void) {
    struct program program = {0};
    make_key(&program.server);
    make_key(&program.client);
    make_key(&program.stranger);
    check(clc_shard_new(NULL, &program.shard));
    open_endpoint(&program, &program.server, program.client.public_key);
    open_endpoint(&program, &program.client, NULL);
    open_endpoint(&program, &program.stranger, NULL);
    check(clc_endpoint_address(program.server.endpoint, &program.address));
    connect_to_server(&program, &program.client);
    while (program.gone < 3) turn(&program);
    clc_endpoint_free(program.stranger.endpoint);
    clc_endpoint_free(program.client.endpoint);
    clc_endpoint_free(program.server.endpoint);
    clc_shard_free(program.shard);
    return 0;
}
