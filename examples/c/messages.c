/* Two endpoints exchange messages over loopback, each exactly once and in order, and finish.
 *
 * Both belong to one shard here; between two programs or machines nothing is different but the address.
 */
#include "demo.h"

struct program {
    clc_shard *shard;
    clc_endpoint *client, *server;
    clc_connection connection; /* of the client */
    int connected, answers, gone;
};

static clc_bytes text(const char *text) { return (clc_bytes){.data = (const uint8_t *)text, .len = strlen(text)}; }

static void send_questions(struct program *program) {
    clc_stream stream = {.number = 0, .kind = CLC_STREAM_KIND_ORDERED};
    for (int i = 1; i <= 3; i++) {
        char question[32];
        snprintf(question, sizeof question, "question %d", i);
        check(clc_endpoint_send(program->client, program->connection, stream, text(question), NULL));
    }
}

static void on_connection_event(struct program *program, const clc_connection_event *event) {
    const char *who = event->endpoint == clc_endpoint_id(program->client) ? "client" : "server";
    switch (event->kind) {
    case CLC_CONNECTION_EVENT_KIND_CONNECTED:
        printf("%s: connected\n", who);
        send_questions(program);
        break;
    case CLC_CONNECTION_EVENT_KIND_GONE:
        if (event->reason == CLC_GONE_REASON_CLOSED_BY_PEER) {
            printf("%s: closed by the peer: %.*s\n", who, (int)event->text.len, (const char *)event->text.data);
        }
        program->gone += 1;
        break;
    default: break;
    }
}

static void on_message(struct program *program, const clc_message *message) {
    int len = (int)message->payload.len;
    const char *payload = (const char *)message->payload.data; /* lent until the next turn */
    if (message->endpoint == clc_endpoint_id(program->server)) {
        char answer[64];
        printf("server: message %d is \"%.*s\"\n", (int)message->sequence, len, payload);
        snprintf(answer, sizeof answer, "answer to %.*s", len, payload);
        check(clc_endpoint_send(program->server, message->connection, message->stream, text(answer), NULL));
        return;
    }
    printf("client: message %d is \"%.*s\"\n", (int)message->sequence, len, payload);
    /* After the last answer: end the connection as soon as everything has arrived. */
    if (++program->answers == 3) {
        check(clc_endpoint_close_connection(program->client, program->connection, 256, "that is all", 1));
    }
}

static void turn(struct program *program) {
    clc_connection_event events[8];
    clc_message messages[64];
    size_t len;
    check(clc_shard_turn_for(program->shard, 100000000));
    do {
        check(clc_shard_connection_events(program->shard, events, 8, &len));
        for (size_t i = 0; i < len; i++) on_connection_event(program, &events[i]);
    } while (len == 8);
    do {
        check(clc_shard_messages(program->shard, messages, 64, &len));
        for (size_t i = 0; i < len; i++) on_message(program, &messages[i]);
    } while (len == 64);
}

int main(void) {
    struct program program = {0};
    clc_address address;
    check(clc_shard_new(NULL, &program.shard));
    check(clc_endpoint_open(program.shard, "127.0.0.1:0", NULL, &program.server));
    check(clc_endpoint_open(program.shard, "127.0.0.1:0", NULL, &program.client));
    check(clc_endpoint_address(program.server, &address));
    check(clc_endpoint_connect(program.client, address.text, NULL, &program.connection));
    while (program.gone < 2) turn(&program);
    clc_endpoint_free(program.client);
    clc_endpoint_free(program.server);
    clc_shard_free(program.shard);
    return 0;
}
