/* A streamed call: words go one way while counts come the other, then what the handler says at the end.
 *
 * The handler waits for parts and for room on a thread of the pool; whoever does not take parts makes the other side wait.
 */
#include "demo.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_int is_over;

static clc_bytes text(const char *text) { return (clc_bytes){.data = (const uint8_t *)text, .len = strlen(text)}; }

static uint32_t read_words(void *user, const clc_call_context *context, clc_bytes arguments, clc_call_parts *parts,
                           clc_call_reply *reply) {
    (void)user, (void)context, (void)arguments;
    size_t letters = 0;
    clc_bytes word;
    int got;
    while ((got = clc_call_parts_next(parts, &word)) == 1) {
        char words[64];
        letters += word.len;
        snprintf(words, sizeof words, "%zu letters so far", letters);
        if (clc_call_parts_send(parts, text(words)) != CLC_OK) return clc_call_parts_status(parts);
    }
    if (got < 0) return clc_call_parts_status(parts);
    clc_call_reply_write(reply, text("read to the end"));
    return 0;
}

static void *serve(void *server) {
    while (!is_over) check(clc_call_server_turn(server, 20000000));
    clc_call_server_free(server); /* by the thread that has turned it */
    return NULL;
}

int main(void) {
    const clc_streamed_method methods[] = {{"Read", read_words}};
    clc_call_server *server = NULL;
    clc_channel *channel = NULL;
    clc_address address;
    pthread_t thread;
    clc_call_server_options serving = {.struct_size = sizeof serving, .driver = node_driver()};
    clc_channel_options calling = {.struct_size = sizeof calling, .driver = node_driver()};
    check(clc_call_server_open("127.0.0.1:0", &serving, &server));
    check(clc_call_server_add_streamed(server, "demo.Reader", methods, 1, NULL));
    check(clc_call_server_address(server, &address));
    if (pthread_create(&thread, NULL, serve, server) != 0) return 1;

    clc_call_options within = {.struct_size = sizeof within, .timeout_ns = 5000000000};
    clc_call_result result;
    clc_call_handle stream;
    clc_bytes count;
    const char *words[] = {"many", "a", "mickle"};
    check(clc_channel_open(address.text, &calling, &channel));
    check(clc_channel_stream(channel, "demo.Reader/Read", text(""), &within, 0, &stream));
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        check(clc_channel_send_part(channel, stream, text(words[i]), CLC_NEVER_NS));
        check(clc_channel_take_part(channel, stream, CLC_NEVER_NS, &count));
        printf("%s: %.*s\n", words[i], (int)count.len, (const char *)count.data);
    }
    check(clc_channel_end_parts(channel, stream));
    check(clc_channel_stream_status(channel, stream, CLC_NEVER_NS, &result));
    printf("%.*s\n", (int)result.results.len, (const char *)result.results.data);

    /* Who wants no more says so; the handler, which waits for the next word, is let go. */
    check(clc_channel_stream(channel, "demo.Reader/Read", text(""), &within, 0, &stream));
    check(clc_channel_send_part(channel, stream, text("unfinished"), CLC_NEVER_NS));
    check(clc_channel_take_part(channel, stream, CLC_NEVER_NS, &count));
    check(clc_channel_cancel(channel, stream));
    if (clc_channel_stream_status(channel, stream, CLC_NEVER_NS, &result) == CLC_ERROR_CALL_FAILED) {
        printf("%s\n", result.status == 1 ? "CANCELLED" : "?");
    }

    is_over = 1;
    pthread_join(thread, NULL);
    clc_channel_free(channel);
    return 0;
}
