/* A server and its caller: results, a failure in words, and many calls at a time.
 *
 * Both are in one program here; between two programs or machines nothing is different but the address.
 */
#include "demo.h"

#include <ctype.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

static atomic_int is_over;

static uint32_t shout(void *user, const clc_call_context *context, clc_bytes arguments, clc_call_reply *reply) {
    (void)user, (void)context;
    if (arguments.len == 0) {
        clc_call_reply_text(reply, "there is nothing to shout");
        return 3; /* INVALID_ARGUMENT */
    }
    for (size_t i = 0; i < arguments.len; i++) {
        uint8_t letter = (uint8_t)toupper(arguments.data[i]);
        clc_call_reply_write(reply, (clc_bytes){&letter, 1});
    }
    return 0;
}

static void *serve(void *server) {
    while (!is_over) check(clc_call_server_turn(server, 20000000));
    clc_call_server_free(server); /* by the thread that has turned it */
    return NULL;
}

static clc_bytes text(const char *text) { return (clc_bytes){.data = (const uint8_t *)text, .len = strlen(text)}; }

int main(void) {
    const clc_method methods[] = {{"Shout", shout}};
    clc_call_server *server = NULL;
    clc_channel *channel = NULL;
    clc_address address;
    pthread_t thread;
    clc_call_server_options serving = {.struct_size = sizeof serving, .driver = node_driver()};
    clc_channel_options calling = {.struct_size = sizeof calling, .driver = node_driver()};
    check(clc_call_server_open("127.0.0.1:0", &serving, &server));
    check(clc_call_server_add(server, "demo.Voice", methods, 1, CLC_CALL_PLACE_WORKER, NULL));
    check(clc_call_server_address(server, &address));
    if (pthread_create(&thread, NULL, serve, server) != 0) return 1;

    clc_call_options within = {.struct_size = sizeof within, .timeout_ns = 5000000000};
    clc_call_result result;
    check(clc_channel_open(address.text, &calling, &channel));
    check(clc_channel_call(channel, "demo.Voice/Shout", text("hello"), &within, &result));
    printf("%.*s\n", (int)result.results.len, (const char *)result.results.data);
    if (clc_channel_call(channel, "demo.Voice/Shout", text(""), &within, &result) == CLC_ERROR_CALL_FAILED) {
        const char *outcome = result.outcome == CLC_OUTCOME_EXECUTED ? "executed" : "not executed";
        printf("%s, %s: %s\n", result.status == 3 ? "INVALID_ARGUMENT" : "?", outcome, result.text);
    }
    for (uint64_t number = 0; number < 100; number++) {
        char words[32];
        snprintf(words, sizeof words, "call %" PRIu64, number);
        check(clc_channel_submit(channel, "demo.Voice/Shout", text(words), &within, number, NULL));
    }
    int ended = 0;
    while (ended < 100) {
        uint64_t number;
        check(clc_channel_turn(channel, 100000000));
        while (clc_channel_next(channel, &number, &result) == 1) ended += result.status == 0;
    }
    printf("%d calls have ended\n", ended);

    is_over = 1;
    pthread_join(thread, NULL);
    clc_channel_free(channel);
    return 0;
}
