/* ENet as a peer: reliable messages on one channel, from one process to another on loopback. */
#include "messages.h"

#include <enet/enet.h>

enum { OUTSTANDING_MAX = 4096, BUFFER_BYTES = 8 << 20, DONE = 7 };

/* A host with one peer and one channel; `address` is NULL for a client. */
static ENetHost *host_at(const ENetAddress *address) {
    ENetHost *host = enet_host_create(address, 1, 1, 0, 0);
    if (host == NULL) fail("enet_host_create");
    enet_socket_set_option(host->socket, ENET_SOCKOPT_RCVBUF, BUFFER_BYTES);
    enet_socket_set_option(host->socket, ENET_SOCKOPT_SNDBUF, BUFFER_BYTES);
    return host;
}

static struct side receive(const struct options *options, int port_pipe) {
    struct side side = {0};
    ENetEvent event;
    ENetAddress bound = {.host = ENET_HOST_ANY, .port = 0};
    ENetHost *host = host_at(&bound);
    uint64_t cpu_start = 0;
    int is_over = 0;
    if (enet_socket_get_address(host->socket, &bound) != 0) fail("enet_socket_get_address");
    if (write(port_pipe, &bound.port, sizeof bound.port) != sizeof bound.port) fail("write");
    double until = now_seconds() + options->seconds + 20;
    while (!is_over && now_seconds() < until) {
        int found = enet_host_service(host, &event, 50);
        while (found > 0) {
            if (event.type == ENET_EVENT_TYPE_RECEIVE) {
                if (side.messages == 0) cpu_start = cpu_ns();
                if (event.packet->dataLength != options->bytes) fail("the length of a message");
                side.messages += 1;
                enet_packet_destroy(event.packet);
            } else if (event.type == ENET_EVENT_TYPE_DISCONNECT) {
                is_over = 1;
            }
            found = enet_host_check_events(host, &event);
        }
    }
    side.cpu_ns = cpu_ns() - cpu_start;
    enet_host_flush(host);
    enet_host_destroy(host);
    return side;
}

/* Messages that are not acknowledged: ENet frees a packet when it is. */
static size_t outstanding;

static void on_freed(ENetPacket *packet) {
    (void)packet;
    outstanding -= 1;
}

static struct side send_all(const struct options *options, uint16_t port) {
    struct side side = {0};
    ENetEvent event;
    ENetAddress address = {.port = port};
    ENetHost *host = host_at(NULL);
    enet_address_set_host_ip(&address, "127.0.0.1");
    ENetPeer *peer = enet_host_connect(host, &address, 1, 0);
    if (peer == NULL || enet_host_service(host, &event, 5000) <= 0 || event.type != ENET_EVENT_TYPE_CONNECT)
        fail("connecting");
    char *payload = malloc(options->bytes);
    memset(payload, 0x5a, options->bytes);
    uint64_t cpu_start = cpu_ns();
    double until = now_seconds() + options->seconds;
    while (now_seconds() < until) {
        while (outstanding < OUTSTANDING_MAX) {
            ENetPacket *packet = enet_packet_create(payload, options->bytes, ENET_PACKET_FLAG_RELIABLE);
            packet->freeCallback = on_freed;
            if (enet_peer_send(peer, 0, packet) != 0) fail("enet_peer_send");
            outstanding += 1;
            side.messages += 1;
        }
        if (enet_host_service(host, &event, 1) < 0) fail("enet_host_service");
    }
    side.cpu_ns = cpu_ns() - cpu_start;
    until = now_seconds() + 10;
    enet_peer_disconnect_later(peer, DONE);
    while (now_seconds() < until) {
        if (enet_host_service(host, &event, 10) > 0 && event.type == ENET_EVENT_TYPE_DISCONNECT) break;
    }
    enet_host_destroy(host);
    free(payload);
    return side;
}

int main(int argc, char **argv) {
    struct options options = parse(argc, argv);
    if (enet_initialize() != 0) fail("enet_initialize");
    return run(&options, receive, send_all);
}
