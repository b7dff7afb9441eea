/* ZeroMQ as a peer: push and pull over TCP on loopback, one I/O thread in each of the two processes. */
#include "messages.h"

#include <zmq.h>

enum { QUEUE_MESSAGES = 100000 };

static void *socket_of(void *context, int type) {
    int queue = QUEUE_MESSAGES, linger = 10000;
    void *socket = zmq_socket(context, type);
    if (socket == NULL) fail("zmq_socket");
    zmq_setsockopt(socket, ZMQ_SNDHWM, &queue, sizeof queue);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &queue, sizeof queue);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    return socket;
}

static struct side receive(const struct options *options, int port_pipe) {
    struct side side = {0};
    void *context = zmq_ctx_new(), *socket = socket_of(context, ZMQ_PULL);
    char endpoint[64];
    size_t len = sizeof endpoint;
    uint64_t cpu_start = 0;
    int timeout = 20000;
    zmq_msg_t message;
    if (zmq_bind(socket, "tcp://127.0.0.1:*") != 0) fail("zmq_bind");
    zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &len);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    uint16_t port = (uint16_t)strtoul(strrchr(endpoint, ':') + 1, NULL, 10);
    if (write(port_pipe, &port, sizeof port) != sizeof port) fail("write");
    zmq_msg_init(&message);
    for (;;) {
        if (zmq_msg_recv(&message, socket, 0) < 0) fail("zmq_msg_recv");
        if (zmq_msg_size(&message) == 0) break;
        if (zmq_msg_size(&message) != options->bytes) fail("the length of a message");
        if (side.messages == 0) cpu_start = cpu_ns();
        side.messages += 1;
    }
    side.cpu_ns = cpu_ns() - cpu_start;
    zmq_msg_close(&message);
    zmq_close(socket);
    zmq_ctx_term(context);
    return side;
}

static struct side send_all(const struct options *options, uint16_t port) {
    struct side side = {0};
    void *context = zmq_ctx_new(), *socket = socket_of(context, ZMQ_PUSH);
    char endpoint[64], *payload = malloc(options->bytes);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", port);
    memset(payload, 0x5a, options->bytes);
    if (zmq_connect(socket, endpoint) != 0) fail("zmq_connect");
    uint64_t cpu_start = cpu_ns();
    double until = now_seconds() + options->seconds;
    while (now_seconds() < until) {
        /* The clock is read once in 256 messages. */
        for (int i = 0; i < 256; i++) {
            if (zmq_send(socket, payload, options->bytes, 0) < 0) fail("zmq_send");
        }
        side.messages += 256;
    }
    side.cpu_ns = cpu_ns() - cpu_start;
    if (zmq_send(socket, "", 0, 0) < 0) fail("zmq_send");
    zmq_close(socket);
    zmq_ctx_term(context);
    free(payload);
    return side;
}

int main(int argc, char **argv) {
    struct options options = parse(argc, argv);
    return run(&options, receive, send_all);
}
