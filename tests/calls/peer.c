/* One end of calls between two programs; see examples/rust/src/bin/clustercore-call-peer.rs. The stubs are made from
 * demo.proto by the test. */
#include "demo.clc.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)

static void check(clc_status status) {
    if (status != CLC_OK) {
        clc_print_error(stderr, status);
        exit(1);
    }
}

static uint32_t add(void *user, const clc_call_context *context, const Clustercore__Demo__AddRequest *request,
                    Clustercore__Demo__AddReply *reply, clc_call_reply *words) {
    (void)user, (void)context, (void)words;
    for (size_t i = 0; i < request->n_numbers; i++) reply->sum += request->numbers[i];
    reply->by = strdup("c");
    return 0;
}

static void measure_tree(const Clustercore__Demo__Tree *tree, Clustercore__Demo__Measures *measures) {
    for (size_t i = 0; i < tree->n_leaves; i++) {
        const Clustercore__Demo__Tree__Leaf *leaf = tree->leaves[i];
        size_t len = leaf->content.len;
        measures->leaves++;
        measures->bytes += len;
        measures->names = realloc(measures->names, (measures->n_names + 1) * sizeof *measures->names);
        measures->names[measures->n_names++] = strdup(leaf->name);
        measures->contents.data = realloc(measures->contents.data, measures->contents.len + len + 1);
        if (len > 0) memcpy(measures->contents.data + measures->contents.len, leaf->content.data, len);
        measures->contents.len += len;
    }
    for (size_t i = 0; i < tree->n_branches; i++) measure_tree(tree->branches[i], measures);
}

static uint32_t measure(void *user, const clc_call_context *context, const Clustercore__Demo__Tree *request,
                        Clustercore__Demo__Measures *reply, clc_call_reply *words) {
    (void)user, (void)context, (void)words;
    measure_tree(request, reply);
    return 0;
}

static uint32_t fail(void *user, const clc_call_context *context, const Clustercore__Demo__AddRequest *request,
                     Clustercore__Demo__AddReply *reply, clc_call_reply *words) {
    (void)user, (void)request, (void)reply;
    clc_bytes who = {(const uint8_t *)"nobody", 6};
    clc_call_context_metadata(context, "who", &who);
    char text[100];
    snprintf(text, sizeof text, "nothing for %.*s", (int)who.len, (const char *)who.data);
    clc_call_reply_text(words, text);
    return 5;
}

static int64_t sum_of(const Clustercore__Demo__AddRequest *request) {
    int64_t sum = 0;
    for (size_t i = 0; i < request->n_numbers; i++) sum += request->numbers[i];
    return sum;
}

static uint32_t running(void *user, const clc_call_context *context, clc_call_parts *parts, clc_call_reply *words) {
    (void)user, (void)context, (void)words;
    Clustercore__Demo__AddReply reply = CLUSTERCORE__DEMO__ADD_REPLY__INIT;
    Clustercore__Demo__AddRequest *request;
    int got;
    reply.by = "c";
    while ((got = clustercore_demo_calculator_running_parts_next(parts, &request)) == 1) {
        reply.sum += sum_of(request);
        clustercore__demo__add_request__free_unpacked(request, NULL);
        if (clustercore_demo_calculator_running_parts_send(parts, &reply) != CLC_OK) break;
    }
    return got == 0 ? 0 : clc_call_parts_status(parts);
}

static uint32_t total(void *user, const clc_call_context *context, clc_call_parts *parts,
                      Clustercore__Demo__AddReply *reply, clc_call_reply *words) {
    (void)user, (void)context, (void)words;
    Clustercore__Demo__AddRequest *request;
    int got;
    while ((got = clustercore_demo_calculator_total_parts_next(parts, &request)) == 1) {
        reply->sum += sum_of(request);
        clustercore__demo__add_request__free_unpacked(request, NULL);
    }
    return got == 0 ? 0 : clc_call_parts_status(parts);
}

static uint32_t each(void *user, const clc_call_context *context, const Clustercore__Demo__AddRequest *request,
                     clc_call_parts *parts, clc_call_reply *words) {
    (void)user, (void)context, (void)words;
    Clustercore__Demo__AddReply reply = CLUSTERCORE__DEMO__ADD_REPLY__INIT;
    for (size_t i = 0; i < request->n_numbers; i++) {
        reply.sum = request->numbers[i];
        if (clustercore_demo_calculator_each_parts_send(parts, &reply) != CLC_OK) return clc_call_parts_status(parts);
    }
    return 0;
}

static int serve(void) {
    static const clustercore_demo_calculator_handlers handlers = {.add = add,
                                                                  .measure = measure,
                                                                  .fail = fail,
                                                                  .running = running,
                                                                  .total = total,
                                                                  .each = each};
    clc_call_server *server = NULL;
    clc_address address;
    check(clc_call_server_open("127.0.0.1:0", NULL, &server));
    check(clustercore_demo_calculator_serve(server, &handlers, CLC_CALL_PLACE_WORKER));
    check(clc_call_server_address(server, &address));
    printf("%s\n", address.text);
    fflush(stdout);
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (poll(&input, 1, 0) == 0) check(clc_call_server_turn(server, SECOND_NS / 50));
    clc_call_server_free(server);
    return 0;
}

static void stream(clc_channel *channel, const clc_call_options *within) {
    Clustercore__Demo__AddRequest request = CLUSTERCORE__DEMO__ADD_REQUEST__INIT;
    Clustercore__Demo__AddReply *reply = NULL;
    clc_call_handle handle;
    clc_call_result result;
    int64_t number;
    request.numbers = &number;
    request.n_numbers = 1;
    check(clustercore_demo_calculator_running(channel, within, 1, &handle));
    printf("running");
    for (number = 1; number <= 5; number++) {
        check(clustercore_demo_calculator_running_send(channel, handle, &request, CLC_NEVER_NS));
        if (clustercore_demo_calculator_running_take(channel, handle, CLC_NEVER_NS, &reply) != 1) exit(1);
        printf(" %" PRId64, reply->sum);
        clustercore__demo__add_reply__free_unpacked(reply, NULL);
    }
    check(clc_channel_end_parts(channel, handle));
    check(clc_channel_stream_status(channel, handle, CLC_NEVER_NS, &result));
    printf(": ok\n");

    /* More than may be under way at a time, both ways. */
    number = 1;
    check(clustercore_demo_calculator_total(channel, within, 2, &handle));
    for (int i = 0; i < 20000; i++) {
        check(clustercore_demo_calculator_total_send(channel, handle, &request, CLC_NEVER_NS));
    }
    check(clc_channel_end_parts(channel, handle));
    check(clustercore_demo_calculator_total_status(channel, handle, CLC_NEVER_NS, &reply, &result));
    printf("total %" PRId64 "\n", reply->sum);
    clustercore__demo__add_reply__free_unpacked(reply, NULL);

    static int64_t ones[20000];
    for (int i = 0; i < 20000; i++) ones[i] = 1;
    request.numbers = ones;
    request.n_numbers = 20000;
    int64_t sum = 0;
    int count = 0;
    check(clustercore_demo_calculator_each(channel, &request, within, 3, &handle));
    while (clustercore_demo_calculator_each_take(channel, handle, CLC_NEVER_NS, &reply) == 1) {
        sum += reply->sum;
        count++;
        clustercore__demo__add_reply__free_unpacked(reply, NULL);
    }
    check(clc_channel_stream_status(channel, handle, CLC_NEVER_NS, &result));
    printf("each %" PRId64 " in %d: ok\n", sum, count);
}

static int call(const char *address) {
    clc_channel *channel = NULL;
    clc_call_options within = {.struct_size = sizeof within, .timeout_ns = 20 * SECOND_NS};
    check(clc_channel_open(address, NULL, &channel));

    int64_t numbers[100];
    for (int i = 0; i < 100; i++) numbers[i] = i + 1;
    Clustercore__Demo__AddRequest request = CLUSTERCORE__DEMO__ADD_REQUEST__INIT;
    request.numbers = numbers;
    request.n_numbers = 100;
    Clustercore__Demo__AddReply *sum = NULL;
    check(clustercore_demo_calculator_add(channel, &request, &within, &sum, NULL));
    printf("sum %" PRId64 "\n", sum->sum);
    fprintf(stderr, "added by %s\n", sum->by);
    clustercore__demo__add_reply__free_unpacked(sum, NULL);

    static uint8_t large[100000];
    memset(large, 'c', sizeof large);
    Clustercore__Demo__Tree__Leaf leaf[3] = {CLUSTERCORE__DEMO__TREE__LEAF__INIT, CLUSTERCORE__DEMO__TREE__LEAF__INIT,
                                             CLUSTERCORE__DEMO__TREE__LEAF__INIT};
    leaf[0].name = "a", leaf[0].content = (ProtobufCBinaryData){3, (uint8_t *)"aaa"};
    leaf[1].name = "b";
    leaf[2].name = "c", leaf[2].content = (ProtobufCBinaryData){sizeof large, large};
    Clustercore__Demo__Tree branch = CLUSTERCORE__DEMO__TREE__INIT, empty = CLUSTERCORE__DEMO__TREE__INIT,
                            tree = CLUSTERCORE__DEMO__TREE__INIT;
    branch.n_leaves = 1, branch.leaves = (Clustercore__Demo__Tree__Leaf *[]){&leaf[2]};
    tree.n_leaves = 2, tree.leaves = (Clustercore__Demo__Tree__Leaf *[]){&leaf[0], &leaf[1]};
    tree.n_branches = 2, tree.branches = (Clustercore__Demo__Tree *[]){&branch, &empty};
    Clustercore__Demo__Measures *measures = NULL;
    check(clustercore_demo_calculator_measure(channel, &tree, &within, &measures, NULL));
    printf("%" PRIu32 " leaves, %" PRIu64 " bytes:", measures->leaves, measures->bytes);
    for (size_t i = 0; i < measures->n_names; i++) printf(" %s", measures->names[i]);
    printf(", %.4s\n", (const char *)measures->contents.data);
    clustercore__demo__measures__free_unpacked(measures, NULL);

    clc_pair who = {"who", {(const uint8_t *)"you", 3}};
    clc_call_options named = within;
    named.metadata = &who;
    named.metadata_len = 1;
    Clustercore__Demo__AddRequest none = CLUSTERCORE__DEMO__ADD_REQUEST__INIT;
    clc_call_result result;
    if (clustercore_demo_calculator_fail(channel, &none, &named, NULL, &result) != CLC_ERROR_CALL_FAILED) return 1;
    printf("%s %s: %s\n", result.status == 5 ? "NOT_FOUND" : "?", result.outcome == CLC_OUTCOME_EXECUTED ? "true" : "false",
           result.text);

    /* Many at a time, in whatever order. */
    for (int64_t number = 0; number < 200; number++) {
        int64_t two[] = {number, number};
        request.numbers = two;
        request.n_numbers = 2;
        check(clustercore_demo_calculator_add_submit(channel, &request, &within, (uint64_t)number, NULL));
    }
    int64_t sums = 0;
    for (int ended = 0; ended < 200;) {
        check(clc_channel_turn(channel, SECOND_NS / 10));
        uint64_t token;
        while (clc_channel_next(channel, &token, &result) == 1) {
            if (result.status != 0) return fprintf(stderr, "%s\n", result.text), 1;
            sum = clustercore__demo__add_reply__unpack(NULL, result.results.len, result.results.data);
            if (sum == NULL) return 1;
            sums += sum->sum;
            ended++;
            clustercore__demo__add_reply__free_unpacked(sum, NULL);
        }
    }
    printf("many %" PRId64 "\n", sums);
    stream(channel, &within);
    clc_channel_free(channel);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "serve") == 0) return serve();
    if (argc == 3 && strcmp(argv[1], "call") == 0) return call(argv[2]);
    fprintf(stderr, "usage: peer serve | call IP:PORT\n");
    return 2;
}
