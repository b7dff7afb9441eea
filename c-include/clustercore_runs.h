/* Walks the runs that clc_shard_runs brings, message by message, without a call of the library.
 *
 *     clc_bytes rest = run.bytes, message;
 *     while (clc_run_next(&run, &rest, &message)) on_message(message);
 */
#ifndef CLUSTERCORE_RUNS_H
#define CLUSTERCORE_RUNS_H

#include "clustercore.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Takes the next message of `run` from `*rest`, which begins as `run->bytes`; 0 when there is none left. */
static inline int clc_run_next(const clc_run *run, clc_bytes *rest, clc_bytes *message_out) {
    const uint8_t *next = rest->data;
    uint64_t len = 0;
    size_t head = 0;
    if (run->is_packed == 0) {
        /* One message, which may be empty: that it was taken is told by the pointer. */
        if (next == NULL) return 0;
        *message_out = *rest;
        rest->data = NULL;
        rest->len = 0;
        return 1;
    }
    do {
        if (head == rest->len || head == 9) return 0;
        len |= (uint64_t)(next[head] & 0x7f) << (7 * head);
    } while ((next[head++] & 0x80) != 0);
    if (len > rest->len - head) return 0;
    message_out->data = next + head;
    message_out->len = (size_t)len;
    rest->data = next + head + len;
    rest->len -= head + (size_t)len;
    return 1;
}

#ifdef __cplusplus
}
#endif

#endif /* CLUSTERCORE_RUNS_H */
