/* One end of a transfer between two programs; what is sent is described in examples/rust/src/bin/clustercore-peer.rs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clustercore.h"

#define MESSAGES 500
#define LIMIT_SECONDS 30
#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

struct peer {
    clc_shard *shard;
    clc_endpoint *endpoint;
    clc_connection connection;
    uint64_t count, sum;
    int is_connected;
};

static int failed(void) {
    clc_print_error(stderr, clc_last_error_status());
    return 1;
}

static void add(struct peer *peer, clc_bytes bytes) {
    for (size_t i = 0; i < bytes.len; i++) peer->sum = (peer->sum ^ bytes.data[i]) * FNV_PRIME;
    peer->count += 1;
}

static int open_peer(struct peer *peer, clc_address *address) {
    *peer = (struct peer){.sum = FNV_OFFSET};
    return clc_shard_new(NULL, &peer->shard) < 0 ||
           clc_endpoint_open(peer->shard, "127.0.0.1:0", NULL, &peer->endpoint) < 0 ||
           clc_endpoint_address(peer->endpoint, address) < 0;
}

/* The end of the connection, or NONE; -1 after a failure. */
static int end_of(struct peer *peer, clc_connection_event *end) {
    clc_connection_event events[4];
    size_t len = 4;
    while (len == 4) {
        if (clc_shard_connection_events(peer->shard, events, 4, &len) < 0) return -1;
        for (size_t i = 0; i < len; i++) {
            if (events[i].kind == CLC_CONNECTION_EVENT_KIND_CONNECTED) peer->is_connected = 1;
            if (events[i].kind == CLC_CONNECTION_EVENT_KIND_GONE) {
                *end = events[i];
                return (int)events[i].reason;
            }
        }
    }
    return CLC_GONE_REASON_NONE;
}

static int receive(struct peer *peer, time_t limit) {
    while (time(NULL) < limit) {
        clc_message messages[64];
        clc_connection_event end;
        size_t len = 64;
        if (clc_shard_turn_for(peer->shard, 100000000) < 0) return failed();
        while (len == 64) {
            if (clc_shard_messages(peer->shard, messages, 64, &len) < 0) return failed();
            for (size_t i = 0; i < len; i++) {
                if (messages[i].sequence != peer->count) {
                    fprintf(stderr, "message %" PRIu64 " came in the place of %" PRIu64 "\n", messages[i].sequence,
                            peer->count);
                    return 1;
                }
                add(peer, messages[i].payload);
            }
        }
        int reason = end_of(peer, &end);
        if (reason == CLC_GONE_REASON_CLOSED_BY_PEER) {
            printf("%" PRIu64 " messages, sum %016" PRIx64 ", end %" PRIu64 " %.*s\n", peer->count, peer->sum, end.code,
                   (int)end.text.len, (const char *)end.text.data);
            return 0;
        }
        if (reason < 0) return failed();
        if (reason != CLC_GONE_REASON_NONE) break;
    }
    fprintf(stderr, "the end did not come\n");
    return 1;
}

static int send_messages(struct peer *peer, time_t limit) {
    static uint8_t bytes[100000];
    while (time(NULL) < limit) {
        clc_connection_event end;
        if (clc_shard_turn_for(peer->shard, 100000000) < 0) return failed();
        int reason = end_of(peer, &end);
        if (reason == CLC_GONE_REASON_CLOSED && end.unconfirmed_len == 0) {
            printf("%" PRIu64 " messages, sum %016" PRIx64 "\n", peer->count, peer->sum);
            return 0;
        }
        if (reason < 0) return failed();
        if (reason != CLC_GONE_REASON_NONE) break;
        while (peer->is_connected && peer->count < MESSAGES) {
            size_t number = (size_t)peer->count;
            clc_bytes payload = {.data = bytes, .len = number % 100 == 99 ? 100000 : number * number % 3000};
            for (size_t i = 0; i < payload.len; i++) bytes[i] = (uint8_t)(number * 31 + i * 7);
            clc_status status = clc_endpoint_send(peer->endpoint, peer->connection, (clc_stream){0}, payload, NULL);
            if (status == CLC_ERROR_WOULD_BLOCK) break;
            if (status < 0) return failed();
            add(peer, payload);
            if (peer->count == MESSAGES &&
                clc_endpoint_close_connection(peer->endpoint, peer->connection, 300, "done", 1) < 0) {
                return failed();
            }
        }
    }
    fprintf(stderr, "the end did not come\n");
    return 1;
}

int main(int argc, char **argv) {
    struct peer peer;
    clc_address address;
    int result = 2;
    if (open_peer(&peer, &address)) return failed();
    if (argc == 2 && strcmp(argv[1], "receive") == 0) {
        printf("%s\n", address.text);
        fflush(stdout);
        result = receive(&peer, time(NULL) + LIMIT_SECONDS);
    } else if (argc == 3 && strcmp(argv[1], "send") == 0) {
        if (clc_endpoint_connect(peer.endpoint, argv[2], NULL, &peer.connection) < 0) return failed();
        result = send_messages(&peer, time(NULL) + LIMIT_SECONDS);
    } else {
        fprintf(stderr, "usage: peer receive | send IP:PORT\n");
    }
    clc_endpoint_free(peer.endpoint);
    clc_shard_free(peer.shard);
    return result;
}
