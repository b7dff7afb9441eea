/* A node: shards on threads of the library, events polled in batches by a thread of ours. Here a back end is borrowed and
 * given back while the local instance serves alone before and after.
 */
#include "demo.h"

/* Runs on the thread that polls, from within the poll. */
static void on_log(void *user, uint32_t level, const char *text) {
    int *count = user;
    (void)level;
    (void)text;
    *count += 1;
}

static void ask(uint16_t port) {
    char answer[4096];
    printf("answered by %s\n", client_get(port, answer, sizeof answer));
}

/* Polls until the drain of `backend` is over, for at most ten seconds. */
static void wait_for_drain(clc_node *node, uint32_t backend) {
    for (int tries = 0; tries < 100; tries++) {
        clc_event events[64];
        size_t events_len = 0;
        check(clc_node_poll(node, events, 64, /*timeout_ns=*/100000000, &events_len));
        for (size_t i = 0; i < events_len; i++) {
            if (events[i].kind == CLC_EVENT_KIND_BACKEND_DRAINED && events[i].backend == backend) {
                printf("drained, %u in flight\n", events[i].in_flight);
                return;
            }
        }
    }
    fprintf(stderr, "the back end was not drained\n");
    exit(1);
}

static void show_counters(clc_forwarder *forwarder) {
    uint64_t values[CLC_COUNTER_TUNNELS + 1];
    size_t known = 0;
    check(clc_forwarder_counters(forwarder, values, sizeof values / sizeof values[0], &known));
    for (uint32_t i = CLC_COUNTER_REQUESTS; i <= CLC_COUNTER_RESPONSES5XX; i++) {
        printf("%s: %llu %s\n", clc_counter_label(i), (unsigned long long)values[i], clc_counter_unit(i));
    }
}

int main(void) {
    struct server local, slave;
    clc_node_options options;
    clc_shard_options shard;
    clc_backend_options backend;
    clc_node *node;
    clc_forwarder *forwarder;
    clc_address address;
    clc_latency latency;
    uint32_t key;
    int records = 0;
    server_start(&local, "the local instance");
    server_start(&slave, "the slave");

    check(clc_shard_options_init(&shard, sizeof shard));
    shard.driver = node_driver();
    check(clc_node_options_init(&options, sizeof options));
    options.shards = 2;
    options.shard = &shard;
    check(clc_node_new(&options, &node));
    check(clc_node_set_log_sink(node, on_log, &records));
    check(clc_node_add_forwarder(node, NULL, &forwarder));
    check(clc_backend_options_init(&backend, sizeof backend));
    backend.address = local.address;
    check(clc_forwarder_set_local(forwarder, &backend, NULL));
    check(clc_forwarder_listen(forwarder, "127.0.0.1:0", &address));

    ask(address.port);
    backend.address = slave.address;
    backend.name = "slave 1";
    check(clc_forwarder_add_backend(forwarder, &backend, &key));
    ask(address.port);
    ask(address.port);
    check(clc_forwarder_drain_backend(forwarder, key, 5000000000));
    wait_for_drain(node, key);
    check(clc_forwarder_remove_backend(forwarder, key));
    ask(address.port);

    show_counters(forwarder);
    check(clc_forwarder_latency(forwarder, /*reset=*/0, &latency));
    printf("%llu times measured\n", (unsigned long long)latency.last_byte.count);
    printf("the log %s\n", records > 0 ? "has records" : "is empty");
    clc_forwarder_free(forwarder);
    clc_node_free(node);
    server_stop(&local);
    server_stop(&slave);
    return 0;
}
