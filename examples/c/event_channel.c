/* An event channel: a supplier, a consumer that chooses by a filter, and one that acknowledges what it has done.
 *
 * Supplier and consumers do not know each other; each knows the server. All are in one program here; between several programs or
 * machines nothing is different but the address.
 */
#include "demo.h"

#include <pthread.h>
#include <stdatomic.h>

#define SECOND_NS UINT64_C(1000000000)

static atomic_int is_over;

static void *serve(void *server) {
    while (!is_over) check(clc_channel_server_turn(server, SECOND_NS / 50));
    clc_channel_server_free(server); /* by the thread that has turned it */
    return NULL;
}

static clc_bytes text(const char *text) { return (clc_bytes){.data = (const uint8_t *)text, .len = strlen(text)}; }

static clc_participant *join(const char *url, const char *name, const char *token) {
    clc_participant_options options = {.struct_size = sizeof options, .token = token, .name = name, .driver = node_driver()};
    clc_participant *participant = NULL;
    check(clc_participant_new(url, &options, &participant));
    return participant;
}

/* What was asked for before is in effect when this is answered. */
static const char *ask(clc_participant *participant, const char *json) {
    const char *answer = NULL;
    check(clc_participant_ask(participant, json, 10 * SECOND_NS, &answer));
    return answer;
}

/* Emits a measurement of each node. */
static void supply(clc_participant *supplier) {
    static const struct {
        const char *id, *node;
        double load;
    } measured[] = {{"1", "node-1", 0.25}, {"2", "node-2", 0.9}, {"3", "node-3", 0.5}, {"4", "node-1", 0.8}};
    clc_channel_field fields[4];
    clc_channel_event events[4];
    uint64_t handle = 0;
    size_t taken = 0, untaken = 4;
    memset(events, 0, sizeof events);
    memset(fields, 0, sizeof fields);
    for (int i = 0; i < 4; i++) {
        fields[i] = (clc_channel_field){.name = text("load"), .kind = CLC_CHANNEL_FIELD_KIND_FLOAT, .real = measured[i].load};
        events[i].id = text(measured[i].id);
        events[i].source = text("/cluster/monitor");
        events[i].type = text("load");
        events[i].name = text(measured[i].node);
        events[i].fields = &fields[i];
        events[i].fields_len = 1;
    }
    check(clc_participant_supply(supplier, NULL, 1, &handle));
    check(clc_participant_emit(supplier, handle, events, 4, &taken));
    while (untaken > 0) {
        check(clc_participant_turn(supplier, SECOND_NS / 10));
        check(clc_participant_untaken(supplier, handle, &untaken));
    }
    printf("supplier: %zu events are taken\n", taken);
}

/* Prints the loads that its filter lets through: `count` of them. */
static void watch(clc_participant *watcher, int count) {
    while (count > 0) {
        clc_channel_delivery deliveries[8];
        size_t len = 0;
        check(clc_participant_turn(watcher, SECOND_NS / 10));
        check(clc_participant_take(watcher, deliveries, 8, &len));
        for (size_t i = 0; i < len; i++, count--) {
            const clc_channel_event *event = &deliveries[i].event; /* lent until the next take */
            printf("watcher: %.*s has load %.2f\n", (int)event->name.len, (const char *)event->name.data,
                   event->fields[0].real);
        }
    }
}

/* Acknowledges each event, the first one at the second try only. */
static void work(clc_participant *worker, uint64_t handle, int count) {
    int again = 0;
    while (count > 0) {
        clc_channel_delivery deliveries[8];
        size_t len = 0;
        check(clc_participant_turn(worker, SECOND_NS / 10));
        check(clc_participant_take(worker, deliveries, 8, &len));
        for (size_t i = 0; i < len; i++) {
            const clc_channel_delivery *got = &deliveries[i];
            if (got->event.id.data[0] == '1' && got->tries == 0) {
                check(clc_participant_reject(worker, handle, &got->delivery, 1, 0));
            } else {
                check(clc_participant_acknowledge(worker, handle, &got->delivery, 1));
                again += got->tries > 0;
                count--;
            }
        }
    }
    ask(worker, "{\"op\":\"ping\"}"); /* the last acknowledgement has arrived */
    printf("worker: all is done, %d at the second try\n", again);
}

int main(void) {
    clc_channel_access *access = NULL;
    clc_channel_server *server = NULL;
    clc_participant *supplier, *watcher, *worker;
    clc_address tcp, udp, rpc;
    char by_tcp[80], by_udp[80], by_rpc[80];
    uint64_t watching = 0, working = 0;
    pthread_t thread;

    check(clc_channel_access_new(&access));
    check(clc_channel_access_add_token(access, "secret of the monitor", "monitor", CLC_RIGHT_EMIT, NULL));
    check(clc_channel_access_add_token(access, "secret of the staff", "staff", CLC_RIGHT_CONSUME, NULL));
    clc_channel_server_options serving = {.struct_size = sizeof serving, .access = access, .driver = node_driver()};
    check(clc_channel_server_new(&serving, &server));
    clc_channel_access_free(access);
    check(clc_channel_server_listen_tcp(server, "127.0.0.1:0", &tcp));
    check(clc_channel_server_listen_udp(server, "127.0.0.1:0", &udp));
    check(clc_channel_server_listen_rpc(server, "127.0.0.1:0", &rpc));
    if (pthread_create(&thread, NULL, serve, server) != 0) return 1;

    snprintf(by_tcp, sizeof by_tcp, "tcp://%s", tcp.text);
    snprintf(by_udp, sizeof by_udp, "udp://%s", udp.text);
    snprintf(by_rpc, sizeof by_rpc, "rpc://%s", rpc.text);
    supplier = join(by_tcp, "monitor", "secret of the monitor");
    watcher = join(by_tcp, "watcher", "secret of the staff");
    worker = join(by_udp, "worker", "secret of the staff");
    check(clc_participant_consume(watcher, "\"spec\":{\"filter\":\"load > 0.75\"}", &watching));
    check(clc_participant_consume(worker, "\"name\":\"worker\",\"spec\":{\"qos\":{\"acknowledgement\":\"explicit\"}}", &working));
    printf("watcher: %s\n", ask(watcher, "{\"op\":\"list\"}"));
    ask(worker, "{\"op\":\"ping\"}");

    /* A link may be exchanged for one of another kind while events flow: the queue of a consumer with a name stays. */
    check(clc_participant_relink(worker, by_rpc));
    ask(worker, "{\"op\":\"ping\"}");
    supply(supplier);
    watch(watcher, 2);
    work(worker, working, 4);

    clc_participant_free(supplier);
    clc_participant_free(watcher);
    clc_participant_free(worker);
    is_over = 1;
    pthread_join(thread, NULL);
    return 0;
}
