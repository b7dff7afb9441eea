/* The C interface of clustercore. Generated from the crate in ffi by `cargo xtask gen`; do not edit.
 *
 * Handles are opaque: made by a function ending in _new or _add_forwarder, ended by the matching _free, for which NULL
 * is fine; anything else on a handle that was freed, a second _free too, is undefined. What can fail returns a clc_status:
 * 0, or a negative number of clustercore_errors.h, and clc_last_error_message() has the words. Outputs end in _out and
 * are written on success only, unless a function says more. Options are structs whose first field is their size. Each
 * function says which threads may call it. The guide is docs/c-interface.md.
 */

#ifndef CLUSTERCORE_H
#define CLUSTERCORE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "clustercore_errors.h"

/**
 * A right: to put events in.
 */
#define CLC_RIGHT_EMIT 1

/**
 * A right: to get events out.
 */
#define CLC_RIGHT_CONSUME 2

/**
 * A right: to create, set and delete, also what belongs to others; holds the other two.
 */
#define CLC_RIGHT_ADMINISTER 4

/**
 * In `has`: the event has a priority.
 */
#define CLC_EVENT_HAS_PRIORITY 1

/**
 * In `has`: the event has an expiry.
 */
#define CLC_EVENT_HAS_EXPIRY 2

/**
 * In `has`: the event has a start.
 */
#define CLC_EVENT_HAS_START 4

/**
 * In `has`: the event has a time.
 */
#define CLC_EVENT_HAS_TIME 8

/**
 * In `has`: the event has a sequence number.
 */
#define CLC_EVENT_HAS_SEQUENCE 16

/**
 * In a time whose 0 means the default: never.
 */
#define CLC_NEVER_NS UINT64_MAX

/**
 * Room for any key as text, its final NUL included.
 */
#define CLC_KEY_TEXT_BYTES 64

/**
 * Bytes of a public key, as clc_endpoint_connect takes it and the identity of an event has it.
 */
#define CLC_KEY_BYTES 32

/**
 * In a bound whose 0 means the default: really none.
 */
#define CLC_NONE UINT32_MAX

/**
 * Version of the binary interface that this header describes: the number in the library's soname. It grows
 * when a program has to be compiled anew.
 */
#define CLC_ABI_VERSION 1

/**
 * Which driver moves the bytes.
 */
typedef enum clc_driver {
  /**
   * io_uring where the system allows it, else epoll.
   */
  CLC_DRIVER_AUTO = 0,
  /**
   * io_uring or an error.
   */
  CLC_DRIVER_URING = 1,
  /**
   * epoll.
   */
  CLC_DRIVER_EPOLL = 2,
} clc_driver;

/**
 * What passes through a forwarder.
 */
typedef enum clc_mode {
  /**
   * HTTP/1.1, request by request.
   */
  CLC_MODE_HTTP = 0,
  /**
   * Bytes, connection by connection.
   */
  CLC_MODE_TCP = 1,
} clc_mode;

/**
 * Which back end gets a request. One at High gets nothing under any policy.
 */
typedef enum clc_policy {
  /**
   * The first Low one in list order; when none is Low, round robin over those at Medium.
   */
  CLC_POLICY_LEVELS = 0,
  /**
   * Each in its turn, by weight.
   */
  CLC_POLICY_ROUND_ROBIN = 1,
  /**
   * The lowest (in_flight + 1) / weight.
   */
  CLC_POLICY_LEAST_REQUESTS = 2,
  /**
   * The less loaded of two drawn at random by weight.
   */
  CLC_POLICY_POWER_OF_TWO = 3,
} clc_policy;

/**
 * The PROXY protocol on one side of a forwarder.
 */
typedef enum clc_proxy_protocol {
  /**
   * None.
   */
  CLC_PROXY_PROTOCOL_OFF = 0,
  /**
   * Version 1, text. When reading: either version.
   */
  CLC_PROXY_PROTOCOL_V1 = 1,
  /**
   * Version 2, binary. When reading: either version.
   */
  CLC_PROXY_PROTOCOL_V2 = 2,
} clc_proxy_protocol;

/**
 * Where a back end of the child list stands.
 */
typedef enum clc_backend_state {
  /**
   * Gets requests.
   */
  CLC_BACKEND_STATE_ACTIVE = 0,
  /**
   * Gets no new request; finishes those in flight.
   */
  CLC_BACKEND_STATE_DRAINING = 1,
  /**
   * Taken off the list.
   */
  CLC_BACKEND_STATE_REMOVED = 2,
} clc_backend_state;

/**
 * What a back end may be given.
 */
typedef enum clc_health {
  /**
   * Its full share.
   */
  CLC_HEALTH_HEALTHY = 0,
  /**
   * Nothing.
   */
  CLC_HEALTH_EJECTED = 1,
  /**
   * One request at a time.
   */
  CLC_HEALTH_TRIAL = 2,
  /**
   * A growing share.
   */
  CLC_HEALTH_WARMING = 3,
} clc_health;

/**
 * How busy a back end is.
 */
typedef enum clc_level {
  /**
   * Below medium_percent.
   */
  CLC_LEVEL_LOW = 0,
  /**
   * From medium_percent to below high_percent.
   */
  CLC_LEVEL_MEDIUM = 1,
  /**
   * At high_percent or above: gets nothing.
   */
  CLC_LEVEL_HIGH = 2,
} clc_level;

/**
 * What an event says.
 */
typedef enum clc_event_kind {
  /**
   * Something that this header does not know yet.
   */
  CLC_EVENT_KIND_UNKNOWN = 0,
  /**
   * A drain is over. `backend`; `in_flight` is 0, or the deadline has passed with so many left.
   */
  CLC_EVENT_KIND_BACKEND_DRAINED = 1,
  /**
   * A back end is distrusted. `backend`, `duration_ns` (at least), `cause`, `failures`, `failure`.
   */
  CLC_EVENT_KIND_BACKEND_EJECTED = 2,
  /**
   * A back end is trusted again. `backend`.
   */
  CLC_EVENT_KIND_BACKEND_RETURNED = 3,
  /**
   * The first request has to wait: no back end may take it. `in_flight` on this shard.
   */
  CLC_EVENT_KIND_SATURATED = 4,
  /**
   * Accepting has stopped for a while. `os_error` is the kernel's error number, or 0 when clients_max is
   * reached.
   */
  CLC_EVENT_KIND_ACCEPT_PAUSED = 5,
  /**
   * Messages to a back end's job handler do not get through: its requests go by TCP. `backend`, `cause` (a clc_path_trouble).
   */
  CLC_EVENT_KIND_PATH_BROKEN = 6,
  /**
   * Messages get through again. `backend`.
   */
  CLC_EVENT_KIND_PATH_RESTORED = 7,
} clc_event_kind;

/**
 * Why a back end was ejected.
 */
typedef enum clc_cause {
  /**
   * Does not apply, or this header does not know it yet.
   */
  CLC_CAUSE_NONE = 0,
  /**
   * `failures` requests failed in a row, the last one by `failure`.
   */
  CLC_CAUSE_FAILURES = 1,
  /**
   * `failures` of the last requests failed, too many.
   */
  CLC_CAUSE_ERROR_RATIO = 2,
  /**
   * `failures` probes failed in a row.
   */
  CLC_CAUSE_PROBES = 3,
  /**
   * A trial request failed by `failure`.
   */
  CLC_CAUSE_TRIAL = 4,
} clc_cause;

/**
 * How an exchange with a back end failed.
 */
typedef enum clc_failure {
  /**
   * Does not apply.
   */
  CLC_FAILURE_NONE = 0,
  /**
   * No connection.
   */
  CLC_FAILURE_CONNECT = 1,
  /**
   * No answer in time.
   */
  CLC_FAILURE_TIMEOUT = 2,
  /**
   * The connection broke before the answer was whole.
   */
  CLC_FAILURE_RESET = 3,
  /**
   * The answer was not valid.
   */
  CLC_FAILURE_PROTOCOL = 4,
  /**
   * The answer says that the server failed (HTTP 5xx).
   */
  CLC_FAILURE_SERVER_ERROR = 5,
} clc_failure;

/**
 * How important a log record is.
 */
typedef enum clc_log_level {
  /**
   * Something does not work.
   */
  CLC_LOG_LEVEL_ERROR = 1,
  /**
   * Something works less well than it should.
   */
  CLC_LOG_LEVEL_WARN = 2,
  /**
   * Something changed.
   */
  CLC_LOG_LEVEL_INFO = 3,
} clc_log_level;

/**
 * What is counted. Numbers stay for good; new ones come at the end.
 */
typedef enum clc_counter {
  /**
   * Connections accepted from clients.
   */
  CLC_COUNTER_CLIENTS_ACCEPTED = 0,
  /**
   * Client connections open now.
   */
  CLC_COUNTER_CLIENTS_OPEN = 1,
  /**
   * Client connections that ended with an error or a reset in the middle of an exchange.
   */
  CLC_COUNTER_CLIENTS_ABORTED = 2,
  /**
   * Requests whose head was complete and accepted.
   */
  CLC_COUNTER_REQUESTS = 3,
  /**
   * Requests in flight now, waiting ones included.
   */
  CLC_COUNTER_REQUESTS_ACTIVE = 4,
  /**
   * Requests refused for their form (400, 414, 417, 431, 501, 505).
   */
  CLC_COUNTER_REQUESTS_REFUSED = 5,
  /**
   * Responses 1xx forwarded.
   */
  CLC_COUNTER_RESPONSES1XX = 6,
  /**
   * Responses 2xx, from back ends.
   */
  CLC_COUNTER_RESPONSES2XX = 7,
  /**
   * Responses 3xx, from back ends.
   */
  CLC_COUNTER_RESPONSES3XX = 8,
  /**
   * Responses 4xx, from back ends.
   */
  CLC_COUNTER_RESPONSES4XX = 9,
  /**
   * Responses 5xx, from back ends.
   */
  CLC_COUNTER_RESPONSES5XX = 10,
  /**
   * Requests answered 502 by us: the back end failed and no retry was allowed.
   */
  CLC_COUNTER_ANSWERED502 = 11,
  /**
   * Requests answered 503 by us: no back end in time, or the queue was full.
   */
  CLC_COUNTER_ANSWERED503 = 12,
  /**
   * Requests answered 504 by us: the back end did not answer in time.
   */
  CLC_COUNTER_ANSWERED504 = 13,
  /**
   * Requests answered 408 by us: the client was too slow.
   */
  CLC_COUNTER_ANSWERED408 = 14,
  /**
   * Responses cut in the middle: the client connection was reset so that nobody takes them for whole.
   */
  CLC_COUNTER_RESPONSES_CUT = 15,
  /**
   * Requests sent again to another back end.
   */
  CLC_COUNTER_RETRIES = 16,
  /**
   * Requests that had to wait for a back end.
   */
  CLC_COUNTER_QUEUED = 17,
  /**
   * Requests that wait now.
   */
  CLC_COUNTER_QUEUE_LENGTH = 18,
  /**
   * Connections opened to back ends.
   */
  CLC_COUNTER_BACKEND_CONNECTS = 19,
  /**
   * Connections to back ends that could not be opened or timed out.
   */
  CLC_COUNTER_BACKEND_CONNECTS_FAILED = 20,
  /**
   * Exchanges in which the back end failed.
   */
  CLC_COUNTER_BACKEND_FAILURES = 21,
  /**
   * Requests sent on a connection that had served others before.
   */
  CLC_COUNTER_BACKEND_REUSES = 22,
  /**
   * Active probes sent.
   */
  CLC_COUNTER_PROBES = 23,
  /**
   * Active probes that failed.
   */
  CLC_COUNTER_PROBES_FAILED = 24,
  /**
   * Bytes of bodies and tunnels towards back ends.
   */
  CLC_COUNTER_BYTES_TO_BACKEND = 25,
  /**
   * Bytes of bodies and tunnels towards clients.
   */
  CLC_COUNTER_BYTES_TO_CLIENT = 26,
  /**
   * Bytes that moved by splice.
   */
  CLC_COUNTER_BYTES_SPLICED = 27,
  /**
   * Bytes copied: small bodies joined to a head.
   */
  CLC_COUNTER_COPIED_JOINED = 28,
  /**
   * Bytes copied: heads that came in pieces.
   */
  CLC_COUNTER_COPIED_PIECES = 29,
  /**
   * Bytes copied: chunked bodies opened for HTTP/1.0 clients.
   */
  CLC_COUNTER_COPIED_DECHUNKED = 30,
  /**
   * Time-outs of clients that were idle between requests.
   */
  CLC_COUNTER_IDLE_TIMEOUTS = 31,
  /**
   * Times accepting stopped for want of descriptors or memory.
   */
  CLC_COUNTER_ACCEPT_FAILURES = 32,
  /**
   * Back ends ejected.
   */
  CLC_COUNTER_EJECTIONS = 33,
  /**
   * PROXY headers refused.
   */
  CLC_COUNTER_PROXY_REFUSED = 34,
  /**
   * Tunnels opened (upgrade, CONNECT, TCP mode).
   */
  CLC_COUNTER_TUNNELS = 35,
  /**
   * Requests that went to a job handler in messages.
   */
  CLC_COUNTER_JOB_REQUESTS = 36,
  /**
   * Requests that went by TCP because messages to their back end's job handler did not get through.
   */
  CLC_COUNTER_JOB_FALLBACKS = 37,
  /**
   * Times the path of messages to a job handler broke.
   */
  CLC_COUNTER_PATHS_BROKEN = 38,
  /**
   * Bytes copied: bodies between client and messages.
   */
  CLC_COUNTER_COPIED_MESSAGES = 39,
} clc_counter;

/**
 * What the load is measured by.
 */
typedef enum clc_signal {
  /**
   * Requests in flight per core; 100 % is one request per core.
   */
  CLC_SIGNAL_IN_FLIGHT = 0,
  /**
   * CPU time used by the node, read from `reading_per_mille`; 100 % is all of its cores.
   */
  CLC_SIGNAL_CPU = 1,
  /**
   * Response time, read from `reading_per_mille`; 100 % is the service's target.
   */
  CLC_SIGNAL_LATENCY = 2,
} clc_signal;

/**
 * Where a sampled back end stands. Only active ones take part in decisions.
 */
typedef enum clc_child_state {
  /**
   * On the child list, gets requests.
   */
  CLC_CHILD_STATE_ACTIVE = 0,
  /**
   * Its port does not answer yet. Count it in `starting` too.
   */
  CLC_CHILD_STATE_STARTING = 1,
  /**
   * Finishes what it has.
   */
  CLC_CHILD_STATE_DRAINING = 2,
  /**
   * Health checks took it out.
   */
  CLC_CHILD_STATE_EJECTED = 3,
} clc_child_state;

/**
 * What to do.
 */
typedef enum clc_decision_kind {
  /**
   * Leave the list as it is.
   */
  CLC_DECISION_KIND_NOTHING = 0,
  /**
   * Borrow a back end and start the service there.
   */
  CLC_DECISION_KIND_ADD = 1,
  /**
   * Drain `backend` and give it back.
   */
  CLC_DECISION_KIND_REMOVE = 2,
} clc_decision_kind;

/**
 * What a stream promises.
 */
typedef enum clc_stream_kind {
  /**
   * Each message exactly once, in order.
   */
  CLC_STREAM_KIND_ORDERED = 0,
  /**
   * Each message exactly once, as it comes.
   */
  CLC_STREAM_KIND_UNORDERED = 1,
  /**
   * The newest message arrives; older ones may be skipped, none comes after a newer one.
   */
  CLC_STREAM_KIND_LATEST = 2,
  /**
   * At most once, no retransmission; a message must fit a packet.
   */
  CLC_STREAM_KIND_UNRELIABLE = 3,
} clc_stream_kind;

/**
 * What an event of a connection says.
 */
typedef enum clc_connection_event_kind {
  /**
   * Something that this header does not know yet.
   */
  CLC_CONNECTION_EVENT_KIND_UNKNOWN = 0,
  /**
   * clc_endpoint_connect has ended well. `epoch`, `identity`.
   */
  CLC_CONNECTION_EVENT_KIND_CONNECTED = 1,
  /**
   * A peer has connected. `peer`, `epoch`, `identity`.
   */
  CLC_CONNECTION_EVENT_KIND_ACCEPTED = 2,
  /**
   * There is room again after a WOULD_BLOCK.
   */
  CLC_CONNECTION_EVENT_KIND_WRITABLE = 3,
  /**
   * The peer has moved to another address. `peer`.
   */
  CLC_CONNECTION_EVENT_KIND_MOVED = 4,
  /**
   * The connection is over. `reason`, `unconfirmed`; by `reason` also `code`, `text`, `refuse_code`.
   */
  CLC_CONNECTION_EVENT_KIND_GONE = 5,
} clc_connection_event_kind;

/**
 * Why a connection is over.
 */
typedef enum clc_gone_reason {
  /**
   * Does not apply, or this header does not know it yet.
   */
  CLC_GONE_REASON_NONE = 0,
  /**
   * We closed it.
   */
  CLC_GONE_REASON_CLOSED = 1,
  /**
   * The peer closed it, with `code` and `text`.
   */
  CLC_GONE_REASON_CLOSED_BY_PEER = 2,
  /**
   * Nobody answered the handshake.
   */
  CLC_GONE_REASON_UNREACHABLE = 3,
  /**
   * The peer said no; `refuse_code` says why.
   */
  CLC_GONE_REASON_REFUSED = 4,
  /**
   * The peer speaks none of our versions.
   */
  CLC_GONE_REASON_NO_COMMON_VERSION = 5,
  /**
   * Nothing was acknowledged for too long, or nothing came.
   */
  CLC_GONE_REASON_SILENT = 6,
  /**
   * The peer's program was started anew and knows nothing of us.
   */
  CLC_GONE_REASON_RESTARTED = 7,
  /**
   * The peer broke the protocol; `code` says how (docs/protocol/datagram.md).
   */
  CLC_GONE_REASON_VIOLATION = 8,
} clc_gone_reason;

/**
 * Why a peer has refused a connection.
 */
typedef enum clc_refuse_code {
  /**
   * Does not apply.
   */
  CLC_REFUSE_CODE_NONE = 0,
  /**
   * It has no room for another connection; later perhaps.
   */
  CLC_REFUSE_CODE_FULL = 1,
  /**
   * It takes no connections.
   */
  CLC_REFUSE_CODE_NOT_ACCEPTING = 2,
  /**
   * The handshake was not right: wrong key, unknown peer, parameters that make no sense.
   */
  CLC_REFUSE_CODE_HANDSHAKE = 3,
  /**
   * Something that a later version says.
   */
  CLC_REFUSE_CODE_OTHER = 4,
} clc_refuse_code;

/**
 * Why messages to a job handler do not get through.
 */
typedef enum clc_path_trouble {
  /**
   * Nobody answers there.
   */
  CLC_PATH_TROUBLE_UNREACHABLE = 1,
  /**
   * The handler refuses: it is full, our key is not let in, or it speaks another version.
   */
  CLC_PATH_TROUBLE_REFUSED = 2,
  /**
   * It acknowledges nothing any more.
   */
  CLC_PATH_TROUBLE_SILENT = 3,
  /**
   * It was started anew and knows nothing of us.
   */
  CLC_PATH_TROUBLE_RESTARTED = 4,
  /**
   * It has closed the connection.
   */
  CLC_PATH_TROUBLE_CLOSED = 5,
  /**
   * One of us broke the protocol.
   */
  CLC_PATH_TROUBLE_VIOLATION = 6,
  /**
   * There is no socket for it here, or no key.
   */
  CLC_PATH_TROUBLE_NO_SOCKET = 7,
} clc_path_trouble;

/**
 * Why.
 */
typedef enum clc_reason {
  /**
   * Does not apply.
   */
  CLC_REASON_NONE = 0,
  /**
   * Add: the front end serves alone and is High.
   */
  CLC_REASON_FRONT_END_HIGH = 1,
  /**
   * Add: every active back end is High.
   */
  CLC_REASON_ALL_HIGH = 2,
  /**
   * Add: there are fewer than backends_min.
   */
  CLC_REASON_BELOW_MINIMUM = 3,
  /**
   * Remove: every active back end is Low and this one is idle.
   */
  CLC_REASON_ALL_LOW = 4,
  /**
   * Remove: the only active back end is idle and the front end is Low.
   */
  CLC_REASON_LAST_IDLE = 5,
  /**
   * Remove: there are more than backends_max.
   */
  CLC_REASON_ABOVE_MAXIMUM = 6,
} clc_reason;

/**
 * What a pool says to a request.
 */
typedef enum clc_pool_answer_kind {
  /**
   * None for you; `refusal` says why.
   */
  CLC_POOL_ANSWER_KIND_REFUSED = 0,
  /**
   * Here is one: `lease`.
   */
  CLC_POOL_ANSWER_KIND_GRANTED = 1,
  /**
   * Wait: `lease`, another service's, was revoked in your favour. Ask again when it has been given back or is over.
   */
  CLC_POOL_ANSWER_KIND_REVOKE = 2,
} clc_pool_answer_kind;

/**
 * Why a service gets no node now.
 */
typedef enum clc_refusal {
  /**
   * Does not apply.
   */
  CLC_REFUSAL_NONE = 0,
  /**
   * It holds `held` nodes, which is its maximum.
   */
  CLC_REFUSAL_AT_MAXIMUM = 1,
  /**
   * The `idle` idle nodes are kept for the minima of others, and nobody holds more than is fair.
   */
  CLC_REFUSAL_KEPT_FOR_MINIMA = 2,
  /**
   * None of `nodes` nodes is idle, and nobody holds more than is fair beside its `held`.
   */
  CLC_REFUSAL_FAIR_SHARE = 3,
} clc_refusal;

/**
 * What is known of the execution of a call.
 */
typedef enum clc_outcome {
  /**
   * The handler has run, once.
   */
  CLC_OUTCOME_EXECUTED = 0,
  /**
   * The handler has not run and will not.
   */
  CLC_OUTCOME_NOT_EXECUTED = 1,
  /**
   * Nobody can say.
   */
  CLC_OUTCOME_UNKNOWN = 2,
} clc_outcome;

/**
 * Where handlers run.
 */
typedef enum clc_call_place {
  /**
   * On threads of the pool: they may wait and compute, several at a time.
   */
  CLC_CALL_PLACE_WORKER = 0,
  /**
   * In the loop of the server: fastest, for what takes microseconds.
   */
  CLC_CALL_PLACE_LOOP = 1,
} clc_call_place;

/**
 * What the value of a field is.
 */
typedef enum clc_channel_field_kind {
  /**
   * Text, in `bytes`.
   */
  CLC_CHANNEL_FIELD_KIND_TEXT = 0,
  /**
   * Bytes, in `bytes`.
   */
  CLC_CHANNEL_FIELD_KIND_BYTES = 1,
  /**
   * A whole number, in `number`.
   */
  CLC_CHANNEL_FIELD_KIND_INT = 2,
  /**
   * A number with a fraction, in `real`.
   */
  CLC_CHANNEL_FIELD_KIND_FLOAT = 3,
  /**
   * 0 or 1, in `number`.
   */
  CLC_CHANNEL_FIELD_KIND_BOOL = 4,
  /**
   * Nanoseconds since the beginning of 1970 (UTC), in `number`.
   */
  CLC_CHANNEL_FIELD_KIND_TIME = 5,
} clc_channel_field_kind;

/**
 * What is promised of an event.
 */
typedef enum clc_reliability {
  /**
   * What proxy, group and channel say.
   */
  CLC_RELIABILITY_UNSET = 0,
  /**
   * In memory only: gone with the process.
   */
  CLC_RELIABILITY_BEST_EFFORT = 1,
  /**
   * Confirmed when it is on disk, delivered also after a restart.
   */
  CLC_RELIABILITY_PERSISTENT = 2,
} clc_reliability;

/**
 * What happened.
 */
typedef enum clc_participant_news_kind {
  /**
   * The server knows us: `text` is our name there.
   */
  CLC_PARTICIPANT_NEWS_KIND_WELCOME = 0,
  /**
   * The event `number` of `handle` was not taken and is not sent again: `refusal`, `text`.
   */
  CLC_PARTICIPANT_NEWS_KIND_REFUSED = 1,
  /**
   * `count` events of `handle` from `number` on are on disk.
   */
  CLC_PARTICIPANT_NEWS_KIND_CONFIRMED = 2,
  /**
   * The event `number` of `handle` was taken and will not be kept: `refusal`.
   */
  CLC_PARTICIPANT_NEWS_KIND_LOST = 3,
  /**
   * The consumer `handle` has pulled and found nothing; now it finds something.
   */
  CLC_PARTICIPANT_NEWS_KIND_READABLE = 4,
  /**
   * The server asks the supplier `handle` for `count` events at most.
   */
  CLC_PARTICIPANT_NEWS_KIND_WANTED = 5,
  /**
   * `handle` could not be had, or is gone: `text`.
   */
  CLC_PARTICIPANT_NEWS_KIND_GONE = 6,
  /**
   * The server ends the connection: `text`.
   */
  CLC_PARTICIPANT_NEWS_KIND_BYE = 7,
} clc_participant_news_kind;

/**
 * Why an event is not taken.
 */
typedef enum clc_channel_refusal {
  /**
   * It is taken.
   */
  CLC_CHANNEL_REFUSAL_NONE = 0,
  /**
   * The proxy is not there.
   */
  CLC_CHANNEL_REFUSAL_NO_SUCH_PROXY = 1,
  /**
   * The proxy is suspended.
   */
  CLC_CHANNEL_REFUSAL_SUSPENDED = 2,
  /**
   * The supplier's buffer is full.
   */
  CLC_CHANNEL_REFUSAL_BUFFER_FULL = 3,
  /**
   * The channel is full.
   */
  CLC_CHANNEL_REFUSAL_CHANNEL_FULL = 4,
  /**
   * It is too large.
   */
  CLC_CHANNEL_REFUSAL_TOO_LARGE = 5,
  /**
   * It is being taken.
   */
  CLC_CHANNEL_REFUSAL_IN_PROGRESS = 6,
  /**
   * It cannot be written to disk.
   */
  CLC_CHANNEL_REFUSAL_NOT_WRITTEN = 7,
  /**
   * It breaks the server's limits.
   */
  CLC_CHANNEL_REFUSAL_INVALID = 8,
  /**
   * One before it was refused.
   */
  CLC_CHANNEL_REFUSAL_BEHIND = 9,
} clc_channel_refusal;

/**
 * Learns where Medium and High begin from response times against requests in flight. Pure: it has no clock and no thread.
 * One thread at a time may call it.
 */
typedef struct clc_auto_thresholds clc_auto_thresholds;

/**
 * What a handler knows of its call besides its arguments; valid until it returns.
 */
typedef struct clc_call_context clc_call_context;

/**
 * The parts of a streamed call, for its handler; valid until it returns.
 */
typedef struct clc_call_parts clc_call_parts;

/**
 * What a handler writes; valid until it returns.
 */
typedef struct clc_call_reply clc_call_reply;

/**
 * Serves procedures on one address. It belongs to the thread of its first turn: others get WRONG_THREAD then.
 */
typedef struct clc_call_server clc_call_server;

/**
 * Calls to the servers of a name. It belongs to the thread of its first turn (or blocking call): others get WRONG_THREAD then.
 */
typedef struct clc_channel clc_channel;

/**
 * Tokens and who they stand for. Any thread may call its functions.
 */
typedef struct clc_channel_access clc_channel_access;

/**
 * Serves event channels (docs/channel.md). It belongs to the thread of its first turn: others get WRONG_THREAD then.
 */
typedef struct clc_channel_server clc_channel_server;

/**
 * An endpoint of reliable datagrams of a shard: one address, connections to and from others. The shard's thread may call its
 * functions.
 */
typedef struct clc_endpoint clc_endpoint;

/**
 * A forwarder of a shard or of a node. With a shard, the shard's thread may call; with a node, any thread. Counters
 * may be read by any thread.
 */
typedef struct clc_forwarder clc_forwarder;

/**
 * Takes requests that front ends send in messages to an endpoint (docs/protocol/jobs.md). The shard's thread may call its functions.
 */
typedef struct clc_job_service clc_job_service;

/**
 * A node: shards on threads of its own. Any thread may call it.
 */
typedef struct clc_node clc_node;

/**
 * Speaks to one server of event channels (docs/channel.md). When its link is lost it makes another by itself and goes on: what it supplies and
 * consumes is opened again, and what was not taken is sent again. It belongs to the thread of its first turn: others get WRONG_THREAD then.
 */
typedef struct clc_participant clc_participant;

/**
 * Leases nodes to services by minimum, maximum and weight. Pure: it has no clock, no thread, and reaches no node. Nodes and
 * services are numbers of the caller's choice; times are nanoseconds of any clock, and one before a time that was given
 * counts as that one. One thread at a time may call it.
 */
typedef struct clc_pool clc_pool;

/**
 * Decides from a sequence of samples. Pure: it has no clock, no thread, and starts nothing. One thread at a time
 * may call it.
 */
typedef struct clc_scaler clc_scaler;

/**
 * A shard: one ring, one loop. It belongs to the thread of its first turn: from then on other threads get
 * WRONG_THREAD, except where a function says that any thread may call it. Before that it may be handed from
 * thread to thread, one at a time. Has no threads of its own.
 */
typedef struct clc_shard clc_shard;

/**
 * A socket for plain datagrams of a shard. The shard's thread may call its functions.
 */
typedef struct clc_socket clc_socket;

/**
 * CLC_OK (0), or one of the negative numbers of clustercore_errors.h.
 */
typedef int32_t clc_status;

/**
 * How the learning goes. 0 means the default in every field but the first.
 */
typedef struct clc_auto_thresholds_options {
  /**
   * sizeof(clc_auto_thresholds_options)
   */
  size_t struct_size;
  /**
   * An average that was not renewed for so long no longer counts, in nanoseconds (10 min).
   */
  uint64_t forget_after_ns;
  /**
   * Where Medium begins until something has been learnt, in per cent as in clc_scaler_options.
   */
  uint32_t medium_percent;
  /**
   * Where High begins until something has been learnt, in per cent as in clc_scaler_options.
   */
  uint32_t high_percent;
  /**
   * Cores of the server that is observed (1).
   */
  uint32_t cores;
  /**
   * Response time up to which a server counts as unburdened, in per cent of the least time (135): Medium is there.
   */
  uint32_t knee_ratio_percent;
  /**
   * Response time from which on a server counts as High, in per cent of the least time (300).
   */
  uint32_t high_ratio_percent;
  /**
   * Observations that a concurrency must have before its average counts (50).
   */
  uint32_t samples_min;
} clc_auto_thresholds_options;

/**
 * A back end to be added. 0 and NULL mean the default where there is one. The strings are copied.
 */
typedef struct clc_backend_options {
  /**
   * sizeof(clc_backend_options)
   */
  size_t struct_size;
  /**
   * Where its service listens: `127.0.0.1:8080` or `[::1]:8080`. Must be given.
   */
  const char *address;
  /**
   * Name, for people; need not be unique (the address).
   */
  const char *name;
  /**
   * Share relative to others (1).
   */
  uint32_t weight;
  /**
   * Cores of its node: load is requests in flight per core (1).
   */
  uint32_t cores;
  /**
   * Requests in flight, at most (no limit).
   */
  uint32_t in_flight_max;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Where its job handler listens, as `address`: requests go there in messages, and to `address` what cannot, and everything
   * while messages do not get through. NULL: all go to `address`.
   */
  const char *job_address;
  /**
   * The handler's public key, text as of clc_key_public. NULL: messages are clear.
   */
  const char *job_public_key;
} clc_backend_options;

/**
 * A back end as it stands now.
 */
typedef struct clc_backend_status {
  /**
   * Its key, unique within the forwarder for good.
   */
  uint32_t backend;
  /**
   * A clc_backend_state.
   */
  uint32_t state;
  /**
   * A clc_health.
   */
  uint32_t health;
  /**
   * A clc_level.
   */
  uint32_t level;
  /**
   * Requests in flight.
   */
  uint32_t in_flight;
  /**
   * Share relative to others.
   */
  uint32_t weight;
  /**
   * Cores of its node.
   */
  uint32_t cores;
  /**
   * 1 when it is the local instance.
   */
  uint32_t is_local;
  /**
   * Requests begun, ever.
   */
  uint64_t requests;
  /**
   * Exchanges that failed, ever.
   */
  uint64_t failures;
  /**
   * Mean time of its completed requests in nanoseconds.
   */
  uint64_t latency_ns_mean;
  /**
   * Time of its completed requests in nanoseconds, summed.
   */
  uint64_t latency_ns_total;
  /**
   * The latest sample told by clc_forwarder_set_reading.
   */
  uint64_t reading_per_mille;
  /**
   * 0.
   */
  uint64_t reserved[3];
  /**
   * Its name, cut where it is longer.
   */
  char name[64];
  /**
   * Where its service listens.
   */
  char address[64];
} clc_backend_status;

/**
 * Bytes of somebody else's. `data` may be NULL when `len` is 0.
 */
typedef struct clc_bytes {
  /**
   * The first of them.
   */
  const uint8_t *data;
  /**
   * How many.
   */
  size_t len;
} clc_bytes;

/**
 * Executes a streamed call: takes the parts of its arguments by clc_call_parts_next and sends those of its results by clc_call_parts_send; what it
 * writes to `reply` goes behind the parts. Returns as a clc_handler; when `parts` have failed, clc_call_parts_status.
 */
typedef uint32_t (*clc_streamed_handler)(void *user,
                                         const struct clc_call_context *context,
                                         struct clc_bytes arguments,
                                         struct clc_call_parts *parts,
                                         struct clc_call_reply *reply);

/**
 * A streamed method and its handler.
 */
typedef struct clc_streamed_method {
  /**
   * Its name within the service.
   */
  const char *name;
  /**
   * Its handler.
   */
  clc_streamed_handler handler;
} clc_streamed_method;

/**
 * How to open a server. 0 means the default in every field but the first.
 */
typedef struct clc_call_server_options {
  /**
   * sizeof(clc_call_server_options)
   */
  size_t struct_size;
  /**
   * The server's key in secure mode, `clc-private-x25519 BASE64`; NULL for clear calls.
   */
  const char *private_key;
  /**
   * Public keys that are let in, one a line; NULL for all.
   */
  const char *allowed_keys;
  /**
   * Spins this long before a wait blocks (not at all).
   */
  uint64_t spin_ns;
  /**
   * Threads for handlers that are not run in the loop (one a core).
   */
  uint32_t workers;
  /**
   * Calls that may wait for a thread; more are refused as busy (1024).
   */
  uint32_t queue_max;
  /**
   * Calls that may be in the hands of handlers, of all callers (16384).
   */
  uint32_t calls_max;
  /**
   * 1: clear calls on an address outside loopback are meant.
   */
  uint32_t insecure;
  /**
   * A clc_driver.
   */
  uint32_t driver;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_call_server_options;

/**
 * An address and its port, as text and as a number.
 */
typedef struct clc_address {
  /**
   * `127.0.0.1:8080` or `[::1]:8080`.
   */
  char text[64];
  /**
   * The port; 0 when the address is not one of IP.
   */
  uint16_t port;
} clc_address;

/**
 * Executes a call: writes its results by clc_call_reply_write and returns 0; or returns another code of google.rpc.Code, with words by
 * clc_call_reply_text.
 */
typedef uint32_t (*clc_handler)(void *user,
                                const struct clc_call_context *context,
                                struct clc_bytes arguments,
                                struct clc_call_reply *reply);

/**
 * A method and its handler.
 */
typedef struct clc_method {
  /**
   * Its name within the service.
   */
  const char *name;
  /**
   * Its handler.
   */
  clc_handler handler;
} clc_method;

/**
 * How to open a channel. 0 means the default in every field but the first.
 */
typedef struct clc_channel_options {
  /**
   * sizeof(clc_channel_options)
   */
  size_t struct_size;
  /**
   * This end's key in secure mode, `clc-private-x25519 BASE64`; NULL for clear calls.
   */
  const char *private_key;
  /**
   * Names and their servers: a line of name, address and, in secure mode, the server's public key, for each; NULL for none.
   */
  const char *names;
  /**
   * A call of which nothing is heard for this long has failed (10 s).
   */
  uint64_t silence_ns;
  /**
   * Spins this long before a wait blocks (not at all).
   */
  uint64_t spin_ns;
  /**
   * Calls that may be under way (4096).
   */
  uint32_t slots_max;
  /**
   * Calls that have not ended, the waiting ones included (65536).
   */
  uint32_t calls_max;
  /**
   * Times that a call is made, the first included, when it was not executed or is idempotent (4).
   */
  uint32_t attempts_max;
  /**
   * 1: clear calls to addresses outside loopback are meant.
   */
  uint32_t insecure;
  /**
   * A clc_driver.
   */
  uint32_t driver;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_channel_options;

/**
 * A pair that travels with a call.
 */
typedef struct clc_pair {
  /**
   * NUL-terminated.
   */
  const char *key;
  /**
   * Bytes.
   */
  struct clc_bytes value;
} clc_pair;

/**
 * How one call is made. 0 means the default in every field but the first.
 */
typedef struct clc_call_options {
  /**
   * sizeof(clc_call_options)
   */
  size_t struct_size;
  /**
   * It has failed when it has not ended after this long, all attempts together (never).
   */
  uint64_t timeout_ns;
  /**
   * Pairs that travel with it, `metadata_len` of them.
   */
  const struct clc_pair *metadata;
  /**
   * How many.
   */
  size_t metadata_len;
  /**
   * 1: it may be executed twice as well as once.
   */
  uint32_t is_idempotent;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_call_options;

/**
 * How a call has ended. Bytes and text are lent until the next function that is called on the channel.
 */
typedef struct clc_call_result {
  /**
   * Code of google.rpc.Code: 0 is OK, 8 busy, 14 unavailable.
   */
  uint32_t status;
  /**
   * A clc_outcome.
   */
  uint32_t outcome;
  /**
   * The results.
   */
  struct clc_bytes results;
  /**
   * Words for people, "" when all is well.
   */
  const char *text;
} clc_call_result;

/**
 * Names a submitted call.
 */
typedef struct clc_call_handle {
  /**
   * Its place.
   */
  uint64_t place;
  /**
   * Counts the calls of the channel.
   */
  uint64_t number;
} clc_call_handle;

/**
 * How to make a server of event channels. 0 and NULL mean the default in every field but the first, which
 * clc_channel_server_options_init writes out.
 */
typedef struct clc_channel_server_options {
  /**
   * sizeof(clc_channel_server_options)
   */
  size_t struct_size;
  /**
   * Who may come in; NULL: nobody with a token. It is copied.
   */
  const struct clc_channel_access *access;
  /**
   * Where events go that were tried too often; NULL: they are counted only.
   */
  const char *dead_letter_channel;
  /**
   * The proxy of a consumer with a name outlives its connection for this long (30 s).
   */
  uint64_t linger_ns;
  /**
   * Spins this long before a wait blocks (not at all).
   */
  uint64_t spin_ns;
  /**
   * Bytes of events that wait for one participant to take them, at most by one frame more (256 KiB).
   */
  size_t unsent_bytes_max;
  /**
   * 1: who has no token may everything: where the network itself admits only who may.
   */
  uint32_t open_to_anybody;
  /**
   * 1: clear bytes on addresses outside loopback are meant.
   */
  uint32_t insecure;
  /**
   * A clc_driver.
   */
  uint32_t driver;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The file where persistent events, channels and durable consumers are kept; it is made where there is none, and belongs to one server
   * at a time. NULL: nowhere, and persistent events are lost.
   */
  const char *journal;
  /**
   * Bytes of events on their way into the journal, at least 2 MiB (64 MiB); what comes then waits in its channel.
   */
  size_t journal_queue_bytes_max;
  /**
   * The server's key for UDP and remote calls, `clc-private-x25519 BASE64`; NULL: clear ones. TCP and HTTP are always clear.
   */
  const char *private_key;
  /**
   * Public keys of participants that are let in with such a link, one a line; NULL for all.
   */
  const char *allowed_keys;
  /**
   * Where web hooks may lead: networks as IP/BITS, `loopback`, or `anywhere` alone, one a line. NULL: to loopback, and nowhere when the server
   * listens outside loopback.
   */
  const char *hook_targets;
} clc_channel_server_options;

/**
 * What a server has counted since it was made.
 */
typedef struct clc_channel_server_counts {
  /**
   * Connections accepted.
   */
  uint64_t sessions;
  /**
   * Connections ended because what they sent was no protocol, or without a valid token.
   */
  uint64_t violations;
  /**
   * Events that participants emitted and that were taken.
   */
  uint64_t taken;
  /**
   * Events that participants emitted and that were refused.
   */
  uint64_t refused;
  /**
   * Events handed to participants.
   */
  uint64_t delivered;
  /**
   * Frames of events written.
   */
  uint64_t batches;
  /**
   * Frames of events that were written already for somebody else.
   */
  uint64_t shared;
  /**
   * Events that were tried too often.
   */
  uint64_t dead_letters;
  /**
   * Events that were written to the journal.
   */
  uint64_t written;
  /**
   * Events that should have been, and were not.
   */
  uint64_t not_written;
  /**
   * 0.
   */
  uint64_t reserved[6];
} clc_channel_server_counts;

/**
 * A connection of one endpoint: a value, to be copied and compared. One that is over reaches nobody.
 */
typedef struct clc_connection {
  /**
   * Its place: small, used again, fit for indexing an array of yours.
   */
  uint32_t index;
  /**
   * Counts the uses of the place.
   */
  uint32_t generation;
} clc_connection;

/**
 * An IP address and a port, as numbers.
 */
typedef struct clc_ip_port {
  /**
   * The address, most significant byte first: 4 bytes of version 4 and zeros, or 16 of version 6.
   */
  uint8_t ip[16];
  /**
   * The interface of a link-local address of version 6, else 0.
   */
  uint32_t scope;
  /**
   * The port, in the order of this machine.
   */
  uint16_t port;
  /**
   * 4 or 6; 0: none.
   */
  uint16_t version;
} clc_ip_port;

/**
 * A stream of a connection; it exists from its first message on. All zero is the ordered stream 0.
 */
typedef struct clc_stream {
  /**
   * Its number, below 2^30; each kind has numbers of its own.
   */
  uint32_t number;
  /**
   * A clc_stream_kind.
   */
  uint32_t kind;
} clc_stream;

/**
 * Messages of ours that are not known to have arrived.
 */
typedef struct clc_unconfirmed {
  /**
   * Their stream.
   */
  struct clc_stream stream;
  /**
   * Sequence of the first.
   */
  uint64_t first;
  /**
   * Sequence of the last.
   */
  uint64_t last;
} clc_unconfirmed;

/**
 * Something happened to a connection. `kind` says which of the other fields apply; those that do not are 0.
 */
typedef struct clc_connection_event {
  /**
   * A clc_connection_event_kind.
   */
  uint32_t kind;
  /**
   * The endpoint, see clc_endpoint_id.
   */
  uint32_t endpoint;
  /**
   * The connection.
   */
  struct clc_connection connection;
  /**
   * Where the peer is.
   */
  struct clc_ip_port peer;
  /**
   * Which run of its program the peer is: another one after a restart.
   */
  uint64_t epoch;
  /**
   * The peer's public key, when `has_identity`.
   */
  uint8_t identity[32];
  /**
   * 1 in secure mode, else 0.
   */
  uint32_t has_identity;
  /**
   * A clc_gone_reason.
   */
  uint32_t reason;
  /**
   * The code of a close; an application's are from 256 on.
   */
  uint64_t code;
  /**
   * The peer's words; lent until the next call of clc_shard_connection_events on the shard.
   */
  struct clc_bytes text;
  /**
   * Ranges of messages; lent likewise.
   */
  const struct clc_unconfirmed *unconfirmed;
  /**
   * How many ranges.
   */
  size_t unconfirmed_len;
  /**
   * A clc_refuse_code.
   */
  uint32_t refuse_code;
  /**
   * 0.
   */
  uint32_t reserved[5];
} clc_connection_event;

/**
 * How to open an endpoint. 0 and NULL mean the default in every field but the first; where 0 itself makes sense, CLC_NEVER_NS
 * says so. The strings are copied.
 */
typedef struct clc_endpoint_options {
  /**
   * sizeof(clc_endpoint_options)
   */
  size_t struct_size;
  /**
   * Bytes of a connection that wait to be sent or acknowledged (4 MiB).
   */
  uint64_t send_buffer_bytes;
  /**
   * Credit of a connection: bytes, plus 16 a message, that have arrived and are not yet given back by a turn (4 MiB). What the
   * system grants the socket bounds it.
   */
  uint64_t receive_window_bytes;
  /**
   * Credit of each stream, at most that of the connection (4 MiB).
   */
  uint64_t stream_window_bytes;
  /**
   * Bytes of a message (1 MiB).
   */
  uint64_t message_bytes_max;
  /**
   * Bytes that may wait in the socket (twice the window of a connection).
   */
  uint64_t receive_buffer_bytes;
  /**
   * A fixed congestion window in bytes, for a path whose capacity is set aside; it yields to nobody. Default: CUBIC.
   */
  uint64_t fixed_window_bytes;
  /**
   * Tells this run of the program from its others (the time).
   */
  uint64_t epoch;
  /**
   * A connection without a valid packet for this long is gone (60 s); CLC_NEVER_NS: never.
   */
  uint64_t idle_timeout_ns;
  /**
   * Pings when nothing else was sent for this long (never).
   */
  uint64_t keep_alive_ns;
  /**
   * A peer that acknowledges nothing for this long while something waits is gone (10 s).
   */
  uint64_t gone_after_ns;
  /**
   * Connecting takes this long at most (10 s).
   */
  uint64_t handshake_timeout_ns;
  /**
   * An acknowledgement waits this long for something to ride on (5 ms).
   */
  uint64_t acknowledgement_delay_ns;
  /**
   * Connections at a time (16384).
   */
  uint32_t connections_max;
  /**
   * Streams of a connection in each direction (1024).
   */
  uint32_t streams_max;
  /**
   * Bytes of a packet, UDP payload (1472); the path may take less.
   */
  uint32_t packet_bytes_max;
  /**
   * 1: packets of `packet_bytes_max` are known to pass; otherwise the path is searched from 1200 on.
   */
  uint32_t is_path_known;
  /**
   * 1: peers may not connect.
   */
  uint32_t refuses_peers;
  /**
   * 1: packets are not marked as capable of congestion notification.
   */
  uint32_t without_ecn;
  /**
   * 1: clear messages on an address outside loopback are meant.
   */
  uint32_t insecure;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The private key of this endpoint, text as clc_key_load gives it: secure mode, and every connection needs the key of its
   * peer. Default: clear mode.
   */
  const char *key;
  /**
   * Which clients are let in, in secure mode: their public keys, text with one a line; what follows a `#` is a comment, and ""
   * lets nobody in. Default: everybody who has a key; the event ACCEPTED tells whose it is.
   */
  const char *allow;
  /**
   * A new file in qlog's manner (`.sqlog`) that tells what happens, packet by packet; NULL: none. To look for the reason of something.
   */
  const char *trace_path;
  /**
   * A file to which the secrets of connections are appended, in secure mode; NULL: none. Whoever reads it can read what is sent.
   */
  const char *key_log_path;
} clc_endpoint_options;

/**
 * What a connection knows of its path.
 */
typedef struct clc_path_report {
  /**
   * Smoothed round trip, in nanoseconds.
   */
  uint64_t rtt_ns;
  /**
   * The shortest one, in nanoseconds.
   */
  uint64_t rtt_ns_min;
  /**
   * Bytes that may be in flight.
   */
  uint64_t window_bytes;
  /**
   * Bytes in flight.
   */
  uint64_t in_flight_bytes;
  /**
   * Longest packet, bytes of UDP payload.
   */
  uint32_t packet_bytes;
  /**
   * 1 when packets are marked as capable of congestion notification, else 0.
   */
  uint32_t has_ecn;
  /**
   * 0.
   */
  uint64_t reserved[3];
} clc_path_report;

/**
 * Counts since an endpoint was opened.
 */
typedef struct clc_message_stats {
  /**
   * Data packets sent.
   */
  uint64_t packets_sent;
  /**
   * Trains sent.
   */
  uint64_t trains_sent;
  /**
   * Packets sent that hold an acknowledgement and nothing else.
   */
  uint64_t acknowledgements_alone;
  /**
   * Valid data packets received, each once.
   */
  uint64_t packets_received;
  /**
   * Packets that came again.
   */
  uint64_t packets_repeated;
  /**
   * Packets whose trailer does not check.
   */
  uint64_t packets_corrupt;
  /**
   * Packets for a connection that is not there.
   */
  uint64_t packets_unknown;
  /**
   * Bytes that are no packet of ours.
   */
  uint64_t packets_malformed;
  /**
   * Packets dropped because a stream had too many gaps.
   */
  uint64_t packets_deferred;
  /**
   * Packets taken for lost.
   */
  uint64_t packets_lost;
  /**
   * Acknowledgements that showed a loss to be none.
   */
  uint64_t losses_spurious;
  /**
   * Probe time-outs.
   */
  uint64_t probes;
  /**
   * Marks of congestion that peers reported.
   */
  uint64_t ecn_marks;
  /**
   * Answers without a connection that were not given because there were too many.
   */
  uint64_t answers_dropped;
  /**
   * Cookies, refusals and versions sent.
   */
  uint64_t answers_sent;
  /**
   * Resets sent.
   */
  uint64_t resets_sent;
  /**
   * Handshakes that were refused.
   */
  uint64_t handshakes_refused;
  /**
   * Connections ended because the peer broke the protocol.
   */
  uint64_t violations;
  /**
   * Key updates of ours.
   */
  uint64_t key_updates;
  /**
   * 0.
   */
  uint64_t reserved[13];
} clc_message_stats;

/**
 * A forwarder's settings. 0 and NULL mean the default, which clc_forwarder_options_init writes out; where 0 itself
 * makes sense, CLC_NONE says it. The strings are copied.
 */
typedef struct clc_forwarder_options {
  /**
   * sizeof(clc_forwarder_options)
   */
  size_t struct_size;
  /**
   * Name of the service, for people ("service").
   */
  const char *name;
  /**
   * Our name in Via: a token or host ("clustercore").
   */
  const char *via;
  /**
   * Path of active probes ("/"); a probe of a TCP service is a connection.
   */
  const char *probe_path;
  /**
   * How long a request waits for a back end.
   */
  uint64_t queue_timeout_ns;
  /**
   * From the first byte of a head to its end, and for a PROXY header.
   */
  uint64_t head_timeout_ns;
  /**
   * Between requests on a client's connection, and of a tunnel without traffic.
   */
  uint64_t idle_timeout_ns;
  /**
   * From the request to the response's head.
   */
  uint64_t response_timeout_ns;
  /**
   * To connect to a back end.
   */
  uint64_t connect_timeout_ns;
  /**
   * Without progress in a body, either way.
   */
  uint64_t body_timeout_ns;
  /**
   * An idle connection to a back end is closed after this.
   */
  uint64_t backend_idle_timeout_ns;
  /**
   * The first ejection of a back end that fails; doubles with each that follows soon.
   */
  uint64_t ejection_ns_base;
  /**
   * The longest ejection.
   */
  uint64_t ejection_ns_max;
  /**
   * A back end that is new or comes back gets its full share only after this; 1 for at once.
   */
  uint64_t slow_start_ns;
  /**
   * From one active probe to the next. Default: no probes.
   */
  uint64_t probe_interval_ns;
  /**
   * An answer to a probe after this is none.
   */
  uint64_t probe_timeout_ns;
  /**
   * Bytes on their way to a slow reader before reading from the other side pauses, at least 16384.
   */
  uint64_t window_bytes;
  /**
   * Bodies with at least this many bytes to go are spliced; UINT64_MAX for none.
   */
  uint64_t splice_bytes_min;
  /**
   * A clc_mode.
   */
  uint32_t mode;
  /**
   * A clc_policy.
   */
  uint32_t policy;
  /**
   * From here on a back end is Medium, in per cent of the scale of `signal`.
   */
  uint32_t medium_percent;
  /**
   * From here on a back end is High and gets nothing.
   */
  uint32_t high_percent;
  /**
   * Requests of one shard that wait for a back end, at most; CLC_NONE for none.
   */
  uint32_t queue_max;
  /**
   * Seconds in Retry-After of a 503.
   */
  uint32_t retry_after_s;
  /**
   * How often a request is tried again elsewhere, at most; CLC_NONE for never.
   */
  uint32_t retries_max;
  /**
   * Idle connections kept to each back end by one shard, at most; CLC_NONE for none.
   */
  uint32_t backend_idle_max;
  /**
   * Clients of one shard at a time, at most; others wait in the backlog.
   */
  uint32_t clients_max;
  /**
   * A clc_proxy_protocol: from clients (a load balancer in front of us).
   */
  uint32_t proxy_in;
  /**
   * A clc_proxy_protocol: to back ends. Then no connection is shared by clients.
   */
  uint32_t proxy_out;
  /**
   * 1: keep what a client says in Forwarded and X-Forwarded-*, and append. 0: replace.
   */
  uint32_t trust_forwarded;
  /**
   * Bytes of a whole request or response head, 256 to 1048576.
   */
  uint32_t head_bytes_max;
  /**
   * Fields of a head, up to 128.
   */
  uint32_t headers_max;
  /**
   * Bytes of a request target.
   */
  uint32_t target_bytes_max;
  /**
   * 1: back ends are never ejected and never probed. 0: they are, as the fields below say.
   */
  uint32_t health_off;
  /**
   * Failed requests in a row that eject a back end.
   */
  uint32_t failures_max;
  /**
   * Good probes in a row until a back end that fell may return (2).
   */
  uint32_t probe_rise;
  /**
   * Bad probes in a row until it falls (3).
   */
  uint32_t probe_fall;
  /**
   * A clc_signal: what the thresholds are compared with. The sampled ones are told by clc_forwarder_set_reading. With
   * CLC_SIGNAL_LATENCY both thresholds must be given.
   */
  uint32_t signal;
  /**
   * Our private key towards job handlers that have one, text as of clc_key_generate.
   */
  const char *job_private_key;
  /**
   * 1: clear messages to job handlers outside loopback, in so many words.
   */
  uint32_t job_insecure;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_forwarder_options;

/**
 * A request that has come whole. It may be answered whenever its time has come, in any order.
 */
typedef struct clc_job_request {
  /**
   * The front end's connection.
   */
  struct clc_connection connection;
  /**
   * What the front end calls it.
   */
  uint32_t exchange;
  /**
   * 1: its response has no body, whatever its fields say (HEAD).
   */
  uint32_t is_head;
  /**
   * Head and body, HTTP/1.1; lent until the next clc_job_service_requests.
   */
  struct clc_bytes bytes;
} clc_job_request;

/**
 * A distribution of times in nanoseconds, to three digits. All 0 when `count` is.
 */
typedef struct clc_distribution {
  /**
   * How many requests.
   */
  uint64_t count;
  /**
   * The least.
   */
  uint64_t ns_min;
  /**
   * The arithmetic mean.
   */
  uint64_t ns_mean;
  /**
   * Half of all took at most this.
   */
  uint64_t ns_p50;
  /**
   * 90 of 100 took at most this.
   */
  uint64_t ns_p90;
  /**
   * 99 of 100 took at most this.
   */
  uint64_t ns_p99;
  /**
   * 999 of 1000 took at most this.
   */
  uint64_t ns_p999;
  /**
   * The most.
   */
  uint64_t ns_max;
} clc_distribution;

/**
 * Times from a complete request head to the response's first and last byte.
 */
typedef struct clc_latency {
  /**
   * To the head of the response.
   */
  struct clc_distribution first_byte;
  /**
   * To the end of the response, as handed to the kernel.
   */
  struct clc_distribution last_byte;
} clc_latency;

/**
 * A message that has arrived.
 */
typedef struct clc_message {
  /**
   * Its bytes, lent until the next turn of the shard.
   */
  struct clc_bytes payload;
  /**
   * Its place in its stream, from 0; always 0 on unreliable streams.
   */
  uint64_t sequence;
  /**
   * The connection.
   */
  struct clc_connection connection;
  /**
   * The stream.
   */
  struct clc_stream stream;
  /**
   * The endpoint, see clc_endpoint_id.
   */
  uint32_t endpoint;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_message;

/**
 * Messages of one stream that came together. `clustercore_runs.h` has a function to walk them.
 */
typedef struct clc_run {
  /**
   * All of them in one piece, lent until the next turn: each a length (LEB128, unsigned) and its bytes; or, when `is_packed`
   * is 0, one message alone without a length.
   */
  struct clc_bytes bytes;
  /**
   * Sequence of the first; the others follow it, but on unreliable streams, where all are 0.
   */
  uint64_t first;
  /**
   * The connection.
   */
  struct clc_connection connection;
  /**
   * The stream.
   */
  struct clc_stream stream;
  /**
   * The endpoint, see clc_endpoint_id.
   */
  uint32_t endpoint;
  /**
   * How many messages.
   */
  uint32_t count;
  /**
   * 1 or 0.
   */
  uint32_t is_packed;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_run;

/**
 * A plain datagram that has arrived.
 */
typedef struct clc_datagram {
  /**
   * Its bytes, lent until the next turn of the shard.
   */
  struct clc_bytes payload;
  /**
   * The sender.
   */
  struct clc_ip_port from;
  /**
   * The socket, see clc_socket_id.
   */
  uint32_t socket;
  /**
   * Its mark of congestion control, the two lowest bits of the traffic class (RFC 3168); 0 unless the socket was bound with `ecn`.
   */
  uint32_t ecn;
} clc_datagram;

/**
 * How to make a shard. 0 means the default in every field but the first.
 */
typedef struct clc_shard_options {
  /**
   * sizeof(clc_shard_options)
   */
  size_t struct_size;
  /**
   * Spins this long before a wait blocks, in nanoseconds: trades CPU for latency. Default: not at all.
   */
  uint64_t spin_ns;
  /**
   * Seed of the random choices: the same seed and the same events give the same choices.
   */
  uint64_t seed;
  /**
   * A clc_driver.
   */
  uint32_t driver;
  /**
   * Connections at a time, of clients and to back ends together (20000).
   */
  uint32_t streams_max;
  /**
   * Submission queue entries, 1 to 32768 (1024); more wishes in one turn are submitted in several calls.
   */
  uint32_t submissions;
  /**
   * Shared receive buffers, a power of two up to 32768 (512).
   */
  uint32_t buffers_count;
  /**
   * Bytes of each shared receive buffer, 1024 to 1048576 (16384).
   */
  uint32_t buffer_bytes;
  /**
   * Pipes kept for splicing large bodies (256).
   */
  uint32_t pipes_max;
} clc_shard_options;

/**
 * How to make a node. 0 means the default in every field but the first.
 */
typedef struct clc_node_options {
  /**
   * sizeof(clc_node_options)
   */
  size_t struct_size;
  /**
   * Threads with a shard each, 1 to 256 (1).
   */
  uint32_t shards;
  /**
   * Commands and events that may wait, per shard, 16 to 65536 (1024).
   */
  uint32_t queue_depth;
  /**
   * How to make each shard; NULL for the defaults.
   */
  const struct clc_shard_options *shard;
} clc_node_options;

/**
 * Something that happened. `kind` says which of the other fields apply; those that do not are 0. It holds no
 * memory of the library: nothing has to be released.
 */
typedef struct clc_event {
  /**
   * A clc_event_kind.
   */
  uint32_t kind;
  /**
   * The forwarder, see clc_forwarder_id.
   */
  uint32_t forwarder;
  /**
   * The back end's key; 0 for none.
   */
  uint32_t backend;
  /**
   * Requests in flight.
   */
  uint32_t in_flight;
  /**
   * A length of time in nanoseconds.
   */
  uint64_t duration_ns;
  /**
   * The kernel's error number (EMFILE, ...).
   */
  int32_t os_error;
  /**
   * A clc_cause, or a clc_path_trouble.
   */
  uint32_t cause;
  /**
   * How many failures.
   */
  uint32_t failures;
  /**
   * A clc_failure.
   */
  uint32_t failure;
  /**
   * 0.
   */
  uint64_t reserved[3];
} clc_event;

/**
 * Gets a log record: `level` is a clc_log_level, `text` one line without a line end, valid during the call.
 *
 * Called on the thread that turns the shard or polls the node, from within that call, never on a thread
 * of the library. It may call the library, but must not throw, and not jump out of itself.
 */
typedef void (*clc_log_sink)(void *user, uint32_t level, const char *text);

/**
 * How to make a participant. 0 and NULL mean the default in every field but the first, which clc_participant_options_init writes out.
 */
typedef struct clc_participant_options {
  /**
   * sizeof(clc_participant_options)
   */
  size_t struct_size;
  /**
   * Shows the server who we are; NULL: nobody in particular.
   */
  const char *token;
  /**
   * Our name, for people; NULL: none.
   */
  const char *name;
  /**
   * Spins this long before a wait blocks (not at all).
   */
  uint64_t spin_ns;
  /**
   * Events that wait to be taken; with more, the link is not read (16384).
   */
  size_t inbox_max;
  /**
   * 1: a clear link to an address outside loopback is meant.
   */
  uint32_t insecure;
  /**
   * A clc_driver.
   */
  uint32_t driver;
  /**
   * The public key that the server must have, `clc-public-x25519 BASE64`; NULL: a clear link. For `udp://` and `rpc://`.
   */
  const char *server_key;
  /**
   * Our own key, `clc-private-x25519 BASE64`, for a server that lets in only those that it knows; NULL: one is made for each link to a
   * server with a key. With it every link over datagrams needs the server's key.
   */
  const char *private_key;
} clc_participant_options;

/**
 * A field of an event, by which filters choose.
 */
typedef struct clc_channel_field {
  /**
   * 1 to 20 lower-case letters and digits.
   */
  struct clc_bytes name;
  /**
   * A clc_channel_field_kind, which says where the value is.
   */
  uint32_t kind;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The value, for whole numbers, booleans and times.
   */
  int64_t number;
  /**
   * The value, for numbers with a fraction.
   */
  double real;
  /**
   * The value, for text (UTF-8) and bytes.
   */
  struct clc_bytes bytes;
} clc_channel_field;

/**
 * A structured event, one to one with CloudEvents 1.0. All text is UTF-8 with its length, without a final NUL; what is empty is not there.
 * Each event has an `id`, a `source` and a `type`. Numbers count when their bit is in `has`. Times are nanoseconds since the beginning of
 * 1970 (UTC).
 */
typedef struct clc_channel_event {
  /**
   * Unique among the events of its source.
   */
  struct clc_bytes id;
  /**
   * Who made it: a URI reference.
   */
  struct clc_bytes source;
  /**
   * Its type.
   */
  struct clc_bytes type;
  /**
   * The trade that its type belongs to.
   */
  struct clc_bytes domain;
  /**
   * What it is about.
   */
  struct clc_bytes name;
  /**
   * The media type of the body.
   */
  struct clc_bytes content_type;
  /**
   * The schema of the body, a URI.
   */
  struct clc_bytes schema;
  /**
   * Its ordering key: events with the same one reach a consumer in order.
   */
  struct clc_bytes key;
  /**
   * Its body: any bytes.
   */
  struct clc_bytes body;
  /**
   * Its fields, `fields_len` of them.
   */
  const struct clc_channel_field *fields;
  /**
   * How many.
   */
  size_t fields_len;
  /**
   * When it happened: CLC_EVENT_HAS_TIME.
   */
  uint64_t time_ns;
  /**
   * From this moment on nobody wants it: CLC_EVENT_HAS_EXPIRY.
   */
  uint64_t expiry_ns;
  /**
   * Before this moment nobody gets it: CLC_EVENT_HAS_START.
   */
  uint64_t start_ns;
  /**
   * Its number among those of its source, which counts up: CLC_EVENT_HAS_SEQUENCE.
   */
  uint64_t sequence;
  /**
   * Which numbers it has: a sum of CLC_EVENT_HAS_...
   */
  uint32_t has;
  /**
   * 0 to 255, more is more urgent: CLC_EVENT_HAS_PRIORITY.
   */
  uint32_t priority;
  /**
   * A clc_reliability.
   */
  uint32_t reliability;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_channel_event;

/**
 * Something that a participant should know. What `kind` does not name is 0 or "".
 */
typedef struct clc_participant_news {
  /**
   * The supplier or consumer.
   */
  uint64_t handle;
  /**
   * An event's number: those that clc_participant_emit takes for a handle are counted from 0 on.
   */
  uint64_t number;
  /**
   * How many.
   */
  uint64_t count;
  /**
   * Words, NUL-terminated; lent until the next clc_participant_news_take.
   */
  const char *text;
  /**
   * A clc_participant_news_kind. Kinds are added over time: ignore those that you do not know.
   */
  uint32_t kind;
  /**
   * A clc_channel_refusal.
   */
  uint32_t refusal;
  /**
   * 0.
   */
  uint64_t reserved[2];
} clc_participant_news;

/**
 * An event that has arrived for a consumer.
 */
typedef struct clc_channel_delivery {
  /**
   * The consumer, as clc_participant_consume has named it.
   */
  uint64_t handle;
  /**
   * Its place in the channel's order.
   */
  uint64_t offset;
  /**
   * The name by which it is acknowledged or rejected; 0: it is not to be.
   */
  uint64_t delivery;
  /**
   * How often it was handed over before.
   */
  uint32_t tries;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The event, lent.
   */
  struct clc_channel_event event;
} clc_channel_delivery;

/**
 * Lengths of time of a pool, in nanoseconds. 0 means the default in every field but the first and the last; 1 is as good as
 * none.
 */
typedef struct clc_pool_options {
  /**
   * sizeof(clc_pool_options)
   */
  size_t struct_size;
  /**
   * From a grant or a renewal to the end of the lease (5 s).
   */
  uint64_t lease_ns;
  /**
   * From the end of a lease until the node may go to somebody else: more than clocks can drift apart in one lease and
   * the last messages can be under way (1 s).
   */
  uint64_t guard_ns;
  /**
   * How long the holder of a revoked lease may drain; until the end promised last, if that is later (30 s).
   */
  uint64_t revoke_grace_ns;
  /**
   * How long a node that was given back for a service is kept for that one (5 s).
   */
  uint64_t reserve_ns;
  /**
   * Tokens rise from here: the last one of the life before, or 0.
   */
  uint64_t token;
} clc_pool_options;

/**
 * The right of a service to use a node for a while.
 */
typedef struct clc_lease {
  /**
   * The fencing token: larger than that of every lease before, of any node; never 0.
   */
  uint64_t token;
  /**
   * From this moment of the pool's clock on it is over, unless renewed; in nanoseconds.
   */
  uint64_t expires_ns;
  /**
   * The node.
   */
  uint32_t node;
  /**
   * Who may use it.
   */
  uint32_t service;
  /**
   * 0.
   */
  uint64_t reserved;
} clc_lease;

/**
 * What a service may have of a pool. 0 means the default in every field but the first.
 */
typedef struct clc_share_options {
  /**
   * sizeof(clc_share_options)
   */
  size_t struct_size;
  /**
   * Nodes kept for it (0).
   */
  uint32_t nodes_min;
  /**
   * Nodes it never exceeds (no limit); CLC_NONE for none at all.
   */
  uint32_t nodes_max;
  /**
   * Its part beside the others' when nodes are short (1).
   */
  uint32_t weight;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_share_options;

/**
 * The answer to a request; fields that do not apply are 0.
 */
typedef struct clc_pool_answer {
  /**
   * The lease that is granted, or revoked.
   */
  struct clc_lease lease;
  /**
   * A clc_pool_answer_kind.
   */
  uint32_t kind;
  /**
   * A clc_refusal.
   */
  uint32_t refusal;
  /**
   * Nodes that the service holds.
   */
  uint32_t held;
  /**
   * Idle nodes of the pool.
   */
  uint32_t idle;
  /**
   * Nodes of the pool.
   */
  uint32_t nodes;
  /**
   * 0.
   */
  uint32_t reserved[3];
} clc_pool_answer;

/**
 * A lease that goes on.
 */
typedef struct clc_renewal {
  /**
   * Its new end, in nanoseconds of the pool's clock.
   */
  uint64_t expires_ns;
  /**
   * When it was revoked: drain and give back by then, it will not be renewed beyond; in nanoseconds of the pool's
   * clock, else 0.
   */
  uint64_t give_back_by_ns;
  /**
   * 1 when it was revoked, else 0.
   */
  uint32_t is_revoked;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_renewal;

/**
 * What a scaler goes by. 0 means the default in every field but the first.
 */
typedef struct clc_scaler_options {
  /**
   * sizeof(clc_scaler_options)
   */
  size_t struct_size;
  /**
   * How long the reason to add must last, in nanoseconds; 1 for not at all.
   */
  uint64_t hold_ns_add;
  /**
   * How long the reason to remove must last, in nanoseconds; 1 for not at all.
   */
  uint64_t hold_ns_remove;
  /**
   * The least time between two decisions, in nanoseconds; 1 for none.
   */
  uint64_t cool_down_ns;
  /**
   * A clc_signal. With CLC_SIGNAL_LATENCY both thresholds must be given.
   */
  uint32_t signal;
  /**
   * From here on a load is Medium, in per cent.
   */
  uint32_t medium_percent;
  /**
   * From here on a load is High, in per cent.
   */
  uint32_t high_percent;
  /**
   * Back ends kept even when there is nothing to do (0).
   */
  uint32_t backends_min;
  /**
   * Back ends never exceeded (no limit).
   */
  uint32_t backends_max;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_scaler_options;

/**
 * One back end of the child list as sampled.
 */
typedef struct clc_child_sample {
  /**
   * Who it is: the number that a decision names.
   */
  uint32_t backend;
  /**
   * Requests sent to it and not yet answered.
   */
  uint32_t in_flight;
  /**
   * Cores of its node; 0 counts as 1.
   */
  uint32_t cores;
  /**
   * A clc_child_state.
   */
  uint32_t state;
  /**
   * The sample of a signal other than requests in flight, in per mille.
   */
  uint32_t reading_per_mille;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_child_sample;

/**
 * One look at the front end and its child list.
 */
typedef struct clc_sample {
  /**
   * sizeof(clc_sample)
   */
  size_t struct_size;
  /**
   * The child list in its order, which is the order of adding; NULL when `children_len` is 0.
   */
  const struct clc_child_sample *children;
  /**
   * How many there are.
   */
  size_t children_len;
  /**
   * Requests in flight on the front end itself.
   */
  uint32_t local_in_flight;
  /**
   * Cores of the front end; 0 counts as 1.
   */
  uint32_t local_cores;
  /**
   * The sample of a signal other than requests in flight, in per mille.
   */
  uint32_t local_reading_per_mille;
  /**
   * Nodes that could be had now.
   */
  uint32_t pool_idle;
  /**
   * Back ends being started, on the child list or not.
   */
  uint32_t starting;
  /**
   * 0.
   */
  uint32_t reserved;
} clc_sample;

/**
 * What to do, with the numbers that led to it; fields that do not apply are 0.
 */
typedef struct clc_decision {
  /**
   * A clc_decision_kind.
   */
  uint32_t kind;
  /**
   * A clc_reason.
   */
  uint32_t reason;
  /**
   * The back end to remove.
   */
  uint32_t backend;
  /**
   * The load that decided, in per cent.
   */
  uint32_t percent;
  /**
   * The threshold that it was compared with, in per cent.
   */
  uint32_t threshold_percent;
  /**
   * Back ends active, or with a minimum or maximum: active or starting.
   */
  uint32_t count;
  /**
   * How long the reason has lasted, in nanoseconds.
   */
  uint64_t held_ns;
  /**
   * 0.
   */
  uint64_t reserved[2];
} clc_decision;

/**
 * How to bind a socket. 0 means the default in every field but the first.
 */
typedef struct clc_socket_options {
  /**
   * sizeof(clc_socket_options)
   */
  size_t struct_size;
  /**
   * Bytes that may wait to be received; default: the system's choice.
   */
  uint32_t receive_buffer_bytes;
  /**
   * Bytes that may wait to be sent; default: the system's choice.
   */
  uint32_t send_buffer_bytes;
  /**
   * 1: send with ECT(0), and tell the mark of what is received.
   */
  uint32_t ecn;
  /**
   * 1: never fragment; what is larger than the device's MTU is lost.
   */
  uint32_t dont_fragment;
  /**
   * 1: several sockets on one address share its datagrams.
   */
  uint32_t reuse_port;
  /**
   * 1: a socket of IPv6 takes no IPv4.
   */
  uint32_t ipv6_only;
} clc_socket_options;

/**
 * What has passed through a socket since it was bound.
 */
typedef struct clc_datagram_counters {
  /**
   * Calls on the kernel's stack to send; a long train is sent in several.
   */
  uint64_t trains_sent;
  /**
   * Datagrams in them.
   */
  uint64_t datagrams_sent;
  /**
   * Trains received.
   */
  uint64_t trains_received;
  /**
   * Datagrams in them.
   */
  uint64_t datagrams_received;
  /**
   * Received trains that did not fit the buffer; dropped.
   */
  uint64_t truncated;
  /**
   * Times that receiving stopped because all buffers were lent out.
   */
  uint64_t pauses;
  /**
   * Trains refused because too many waited.
   */
  uint64_t refused;
  /**
   * 0.
   */
  uint64_t reserved[5];
} clc_datagram_counters;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_auto_thresholds_options).
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_auto_thresholds_options_init(struct clc_auto_thresholds_options *options, size_t struct_size);

/**
 * Makes one that has learnt nothing yet. `options` may be NULL for the defaults. Ends with clc_auto_thresholds_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, BAD_CONFIGURATION. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or a struct of the size that it says; `thresholds_out` is NULL or writable.
 */
clc_status clc_auto_thresholds_new(const struct clc_auto_thresholds_options *options,
                                   struct clc_auto_thresholds **thresholds_out);

/**
 * Ends it. NULL is fine. Any thread may call this.
 *
 * # Safety
 * `thresholds` is NULL or one that was not freed before; no other call on it is running.
 */
void clc_auto_thresholds_free(struct clc_auto_thresholds *thresholds);

/**
 * A request that was sent as one of `in_flight` (itself included) was answered after `latency_ns`. `now_ns` is the time on
 * any clock that never goes back, in nanoseconds.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT. One thread at a time may call this.
 *
 * # Safety
 * `thresholds` is NULL or a live one that no other thread uses now.
 */
clc_status clc_auto_thresholds_observe(struct clc_auto_thresholds *thresholds,
                                       uint64_t now_ns,
                                       uint32_t in_flight,
                                       uint64_t latency_ns);

/**
 * From where on a load is Medium, and High, as far as that is known now: in per cent, as clc_scaler_options takes them.
 *
 * Errors: NULL_ARGUMENT. One thread at a time may call this.
 *
 * # Safety
 * `thresholds` is NULL or a live one that nobody changes now; the outputs are NULL or writable.
 */
clc_status clc_auto_thresholds_get(const struct clc_auto_thresholds *thresholds,
                                   uint32_t *medium_percent_out,
                                   uint32_t *high_percent_out);

/**
 * The least average response time in nanoseconds; UINT64_MAX before there is one.
 *
 * Errors: NULL_ARGUMENT. One thread at a time may call this.
 *
 * # Safety
 * `thresholds` is NULL or a live one that nobody changes now; `latency_ns_out` is NULL or writable.
 */
clc_status clc_auto_thresholds_latency_min_ns(const struct clc_auto_thresholds *thresholds,
                                              uint64_t *latency_ns_out);

/**
 * Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_backend_options). The address is left
 * NULL.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_backend_options_init(struct clc_backend_options *options,
                                    size_t struct_size);

/**
 * Appends a back end to the child list. `backend_out` may be NULL, else gets its key, which is never 0.
 *
 * Errors: NULL_ARGUMENT (also for the address), BAD_ADDRESS, BAD_KEY, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT,
 * NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or with a node any thread, may call this.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder; `options` is NULL or a struct of the size that it says, and its strings
 * are NULL or NUL-terminated; `backend_out` is NULL or writable.
 */
clc_status clc_forwarder_add_backend(struct clc_forwarder *forwarder,
                                     const struct clc_backend_options *options,
                                     uint32_t *backend_out);

/**
 * Sets the local instance, which serves while the child list is empty; `options` NULL takes it away. `backend_out` may
 * be NULL, else gets its key, or 0.
 *
 * Errors: as clc_forwarder_add_backend. The shard's thread, or with a node any thread, may call this.
 *
 * # Safety
 * As clc_forwarder_add_backend.
 */
clc_status clc_forwarder_set_local(struct clc_forwarder *forwarder,
                                   const struct clc_backend_options *options,
                                   uint32_t *backend_out);

/**
 * Gives a back end no new requests. The event CLC_EVENT_KIND_BACKEND_DRAINED tells when nothing is in flight there, or
 * that `deadline_ns` nanoseconds have passed. Then remove it.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_BACKEND, WRONG_STATE (it is draining already), NO_SUCH_FORWARDER, CLOSED,
 * WRONG_THREAD, FORKED. The shard's thread, or with a node any thread, may call this.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder.
 */
clc_status clc_forwarder_drain_backend(struct clc_forwarder *forwarder,
                                       uint32_t backend,
                                       uint64_t deadline_ns);

/**
 * Takes a back end off the list at once: what is in flight there is tried elsewhere where that is allowed, else
 * answered 502 or cut. Drain it first, and no request is lost.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_BACKEND, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or
 * with a node any thread, may call this.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder.
 */
clc_status clc_forwarder_remove_backend(struct clc_forwarder *forwarder,
                                        uint32_t backend);

/**
 * Changes a back end's share relative to others; at least 1.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, NO_SUCH_BACKEND, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The
 * shard's thread, or with a node any thread, may call this.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder.
 */
clc_status clc_forwarder_set_weight(struct clc_forwarder *forwarder,
                                    uint32_t backend,
                                    uint32_t weight);

/**
 * Tells a sample of the forwarder's signal for a back end, in per mille of its scale: CPU time used there (1000 is all
 * of its cores), or response time (1000 is the target). Requests in flight are counted by the library itself; with that
 * signal a reading has no effect. Between two samples a burst goes unseen: give such back ends an `in_flight_max` too.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_BACKEND, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or with
 * a node any thread, may call this.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder.
 */
clc_status clc_forwarder_set_reading(struct clc_forwarder *forwarder,
                                     uint32_t backend,
                                     uint32_t reading_per_mille);

/**
 * Changes where Medium and High begin, in per cent of the signal's scale, from the next request on.
 *
 * Errors: NULL_ARGUMENT, BAD_CONFIGURATION (Medium above High), NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The
 * shard's thread, or with a node any thread, may call this.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder.
 */
clc_status clc_forwarder_set_thresholds(struct clc_forwarder *forwarder,
                                        uint32_t medium_percent,
                                        uint32_t high_percent);

/**
 * Writes how each back end stands into `backends_out`, the local instance first, then the child list in its order;
 * `*backends_len_out` is how many there are. With too little room nothing is written but that number.
 *
 * Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or
 * with a node any thread, may call this.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder; `backends_out` has room for `capacity` structs, or is NULL and
 * `capacity` is 0; `backends_len_out` is NULL or writable.
 */
clc_status clc_forwarder_backends(const struct clc_forwarder *forwarder,
                                  struct clc_backend_status *backends_out,
                                  size_t capacity,
                                  size_t *backends_len_out);

/**
 * Adds `count` streamed methods to a service, `package.Service`, which may be there already. Their handlers get `user` and run on threads of the
 * pool, several at a time; each has its thread until it returns. What `user` points to must live until the server is freed.
 *
 * Errors: as clc_call_server_add.
 *
 * # Safety
 * `server` is NULL or a live server; `service` is NULL or NUL-terminated; `methods` has `count` readable ones; the handlers may be called
 * with `user` on any thread until the server is freed.
 */
clc_status clc_call_server_add_streamed(struct clc_call_server *server,
                                        const char *service,
                                        const struct clc_streamed_method *methods,
                                        size_t count,
                                        void *user);

/**
 * The next part of the arguments of a streamed call, waiting for it: 1 and the part, lent until the next one; 0 when no more come.
 *
 * Errors: NULL_ARGUMENT; CALL_FAILED: the call was cancelled, is late, or its caller is gone: the handler returns clc_call_parts_status.
 *
 * # Safety
 * `parts` is NULL or that of a handler that runs; `part_out` is NULL or writable.
 */
int clc_call_parts_next(struct clc_call_parts *parts,
                        struct clc_bytes *part_out);

/**
 * Sends a part of the results of a streamed call, waiting for room.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT; CALL_FAILED: as clc_call_parts_next, or the part is longer than 64 KiB.
 *
 * # Safety
 * `parts` is NULL or that of a handler that runs; `part` is readable.
 */
clc_status clc_call_parts_send(struct clc_call_parts *parts,
                               struct clc_bytes part);

/**
 * 0 while the caller waits for a streamed call; else a code of google.rpc.Code for why it does not: 1 cancelled, 4 late. 13 for NULL.
 *
 * # Safety
 * `parts` is NULL or that of a handler that runs.
 */
uint32_t clc_call_parts_status(const struct clc_call_parts *parts);

/**
 * Opens a server on an address such as `127.0.0.1:7000`; with port 0 the system chooses one. `options` may be NULL. It answers
 * `grpc.health.v1.Health/Check` from the start. Ends with clc_call_server_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, BAD_ADDRESS, BAD_KEY, INSECURE_ADDRESS, BAD_CONFIGURATION, ADDRESS_IN_USE,
 * ADDRESS_NOT_AVAILABLE, PERMISSION_DENIED, OUT_OF_MEMORY. Any thread may call this.
 *
 * # Safety
 * `address` is NULL or NUL-terminated; `options` is NULL or a struct of the size that it says, its pointers NULL or NUL-terminated;
 * `server_out` is NULL or writable.
 */
clc_status clc_call_server_open(const char *address,
                                const struct clc_call_server_options *options,
                                struct clc_call_server **server_out);

/**
 * The address that a server is bound to. Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED.
 *
 * # Safety
 * `server` is NULL or a live server; `address_out` is NULL or writable.
 */
clc_status clc_call_server_address(const struct clc_call_server *server, struct clc_address *address_out);

/**
 * Adds a service of `count` methods, `package.Service`, or more methods to one that is there. Their handlers get `user`; with
 * CLC_CALL_PLACE_WORKER they run on several threads at a time. What `user` points to must live until the server is freed.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, BAD_CONFIGURATION (a method is there already), WRONG_THREAD, FORKED.
 *
 * # Safety
 * `server` is NULL or a live server; `service` is NULL or NUL-terminated; `methods` has `count` readable ones; the handlers may be called
 * with `user` where `place` says, until the server is freed.
 */
clc_status clc_call_server_add(struct clc_call_server *server,
                               const char *service,
                               const struct clc_method *methods,
                               size_t count,
                               uint32_t place,
                               void *user);

/**
 * Says whether a service is well (`is_serving` not 0); "" is the whole server.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, WRONG_THREAD, FORKED.
 *
 * # Safety
 * `server` is NULL or a live server; `service` is NULL or NUL-terminated.
 */
clc_status clc_call_server_set_health(struct clc_call_server *server, const char *service, int is_serving);

/**
 * Does all there is to do now; waits for at most `timeout_ns` when that is nothing, CLC_NEVER_NS: until something happens.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED, IO.
 *
 * # Safety
 * `server` is NULL or a live server.
 */
clc_status clc_call_server_turn(struct clc_call_server *server,
                                uint64_t timeout_ns);

/**
 * A descriptor that is readable when clc_call_server_turn has something to do. Errors: NULL_ARGUMENT, NOT_SUPPORTED, WRONG_THREAD, FORKED.
 *
 * # Safety
 * `server` is NULL or a live server.
 */
int clc_call_server_fd(const struct clc_call_server *server);

/**
 * How long the descriptor may be waited for before a turn is due all the same, in nanoseconds; UINT64_MAX: for ever. 0 for NULL and on a
 * wrong thread.
 *
 * # Safety
 * `server` is NULL or a live server.
 */
uint64_t clc_call_server_next_timeout_ns(const struct clc_call_server *server);

/**
 * Ends a server when the handlers that run have ended. NULL is fine. To be called by the thread that has turned it: freed by another, what the
 * kernel has in hand stays allocated.
 *
 * # Safety
 * `server` is NULL or a server that was not freed before; no other call on it is running.
 */
void clc_call_server_free(struct clc_call_server *server);

/**
 * Time until the deadline of a call, in nanoseconds; UINT64_MAX without one or for NULL.
 *
 * # Safety
 * `context` is NULL or that of a handler that runs.
 */
uint64_t clc_call_context_time_left_ns(const struct clc_call_context *context);

/**
 * 1 when the caller wants the call no more: who can stop may. 0 for NULL.
 *
 * # Safety
 * `context` is NULL or that of a handler that runs.
 */
int clc_call_context_is_cancelled(const struct clc_call_context *context);

/**
 * The value of a key that travelled with a call: 1, or 0 when it is not there; NULL anywhere: 0.
 *
 * # Safety
 * `context` is NULL or that of a handler that runs; `key` is NULL or NUL-terminated; `value_out` is NULL or writable.
 */
int clc_call_context_metadata(const struct clc_call_context *context,
                              const char *key,
                              struct clc_bytes *value_out);

/**
 * Appends bytes to the results of a call. Does nothing for NULL.
 *
 * # Safety
 * `reply` is NULL or that of a handler that runs; `bytes` is readable.
 */
clc_status clc_call_reply_write(struct clc_call_reply *reply, struct clc_bytes bytes);

/**
 * Says in words what went wrong with a call. Does nothing for NULL.
 *
 * # Safety
 * `reply` is NULL or that of a handler that runs; `text` is NULL or NUL-terminated.
 */
clc_status clc_call_reply_text(struct clc_call_reply *reply, const char *text);

/**
 * Opens a channel to the servers of `name`, which is among the names of `options` or an address itself, `127.0.0.1:7000`. Connects
 * with the first turn. `options` may be NULL for the defaults. Ends with clc_channel_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, NO_SUCH_SERVICE, INSECURE_ADDRESS, BAD_CONFIGURATION, BAD_ADDRESS,
 * BAD_KEY, DESCRIPTORS_EXHAUSTED, OUT_OF_MEMORY. Any thread may call this.
 *
 * # Safety
 * `name` is NULL or NUL-terminated; `options` is NULL or a struct of the size that it says, its pointers NULL or NUL-terminated;
 * `channel_out` is NULL or writable.
 */
clc_status clc_channel_open(const char *name,
                            const struct clc_channel_options *options,
                            struct clc_channel **channel_out);

/**
 * Makes a call of `method`, `package.Service/Method`, and waits until it has ended. `*result_out` is written when it is made, whatever
 * came of it. `options` may be NULL.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, WRONG_THREAD, FORKED, IO; CALL_FAILED: it was made and its status is not
 * OK.
 *
 * # Safety
 * `channel` is NULL or a live channel; `method` is NULL or NUL-terminated; `arguments` is readable; `options` is NULL or a struct of
 * the size that it says with as many readable pairs as it says; `result_out` is NULL or writable.
 */
clc_status clc_channel_call(struct clc_channel *channel,
                            const char *method,
                            struct clc_bytes arguments,
                            const struct clc_call_options *options,
                            struct clc_call_result *result_out);

/**
 * Makes a call and does not wait: clc_channel_next gives its end, with `token`. `handle_out` may be NULL.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, FORKED.
 *
 * # Safety
 * As clc_channel_call; `handle_out` is NULL or writable.
 */
clc_status clc_channel_submit(struct clc_channel *channel,
                              const char *method,
                              struct clc_bytes arguments,
                              const struct clc_call_options *options,
                              uint64_t token,
                              struct clc_call_handle *handle_out);

/**
 * Asks the server to end a submitted call; how it ends is told as ever. One that has ended is left alone.
 *
 * Errors: NULL_ARGUMENT, FORKED.
 *
 * # Safety
 * `channel` is NULL or a live channel.
 */
clc_status clc_channel_cancel(struct clc_channel *channel, struct clc_call_handle handle);

/**
 * A submitted call that has ended: 1, its token and its result; 0 when there is none now.
 *
 * Errors: NULL_ARGUMENT, FORKED.
 *
 * # Safety
 * `channel` is NULL or a live channel; `token_out` and `result_out` are NULL or writable.
 */
int clc_channel_next(struct clc_channel *channel, uint64_t *token_out, struct clc_call_result *result_out);

/**
 * Does all there is to do now; waits for at most `timeout_ns` when that is nothing, CLC_NEVER_NS: until something happens.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED, IO.
 *
 * # Safety
 * `channel` is NULL or a live channel.
 */
clc_status clc_channel_turn(struct clc_channel *channel,
                            uint64_t timeout_ns);

/**
 * A descriptor that is readable when clc_channel_turn has something to do. Errors: NULL_ARGUMENT, NOT_SUPPORTED, FORKED.
 *
 * # Safety
 * `channel` is NULL or a live channel.
 */
int clc_channel_fd(const struct clc_channel *channel);

/**
 * How long the descriptor may be waited for before a turn is due all the same, in nanoseconds; UINT64_MAX: for ever. 0 for NULL.
 *
 * # Safety
 * `channel` is NULL or a live channel.
 */
uint64_t clc_channel_next_timeout_ns(const struct clc_channel *channel);

/**
 * Ends a channel; calls that have not ended are forgotten. NULL is fine.
 *
 * # Safety
 * `channel` is NULL or a channel that was not freed before; no other call on it is running.
 */
void clc_channel_free(struct clc_channel *channel);

/**
 * Makes an access that lets nobody in yet. Ends with clc_channel_access_free.
 *
 * Errors: NULL_ARGUMENT. Any thread may call this.
 *
 * # Safety
 * `access_out` is NULL or writable.
 */
clc_status clc_channel_access_new(struct clc_channel_access **access_out);

/**
 * Who has `token` is `name` and has these rights, some of CLC_RIGHT_...; on the channel of this name only, or on all when `channel` is NULL.
 * Called again with the same token and name it grants more. Servers that were made before do not learn of it.
 *
 * Errors: NULL_ARGUMENT; INVALID_ARGUMENT: an empty token, or one of another name; other rights. Any thread may call this.
 *
 * # Safety
 * `access` is NULL or a live access; `token`, `name` and `channel` are NULL or NUL-terminated.
 */
clc_status clc_channel_access_add_token(struct clc_channel_access *access,
                                        const char *token,
                                        const char *name,
                                        uint32_t rights,
                                        const char *channel);

/**
 * Frees an access; servers that were made with it go on. NULL is fine. Any thread may call this.
 *
 * # Safety
 * `access` is NULL or an access that was not freed before; no other call on it is running.
 */
void clc_channel_access_free(struct clc_channel_access *access);

/**
 * Writes the defaults into `options`, of the size that the caller's header has for it: sizeof(clc_channel_server_options).
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_channel_server_options_init(struct clc_channel_server_options *options,
                                           size_t struct_size);

/**
 * Makes a server with the default channel, and with what its journal has. Listen next, then turn it. `options` may be NULL. Ends with clc_channel_server_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, BAD_CONFIGURATION (also: what the journal has cannot be made again), BAD_KEY,
 * IO (of the journal: another server has it open, for example), IO_URING_FORBIDDEN, UNSUPPORTED_KERNEL, DESCRIPTORS_EXHAUSTED,
 * OUT_OF_MEMORY. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or a struct of the size that it says, with NULL or a live access, and NULL or NUL-terminated texts; `server_out` is NULL
 * or writable.
 */
clc_status clc_channel_server_new(const struct clc_channel_server_options *options,
                                  struct clc_channel_server **server_out);

/**
 * Listens for participants over TCP, on an address such as `127.0.0.1:7000`; with port 0 the system chooses one. `address_out` may be NULL,
 * else gets the address with the port.
 *
 * Errors: NULL_ARGUMENT, BAD_ADDRESS, INSECURE_ADDRESS, ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, PERMISSION_DENIED, DESCRIPTORS_EXHAUSTED,
 * WRONG_THREAD, FORKED.
 *
 * # Safety
 * `server` is NULL or a live server; `address` is NULL or NUL-terminated; `address_out` is NULL or writable.
 */
clc_status clc_channel_server_listen_tcp(struct clc_channel_server *server,
                                         const char *address,
                                         struct clc_address *address_out);

/**
 * Listens for participants over reliable datagrams (UDP), once. Otherwise as clc_channel_server_listen_tcp.
 *
 * Errors: as clc_channel_server_listen_tcp; BAD_CONFIGURATION: it listens for datagrams already.
 *
 * # Safety
 * As clc_channel_server_listen_tcp.
 */
clc_status clc_channel_server_listen_udp(struct clc_channel_server *server,
                                         const char *address,
                                         struct clc_address *address_out);

/**
 * Listens for participants over remote calls, once: each is a streamed call of `clustercore.channel.v1.Channels/Connect`
 * (docs/protocol/channels.proto). Otherwise as clc_channel_server_listen_tcp.
 *
 * Errors: as clc_channel_server_listen_tcp; BAD_CONFIGURATION: it listens for calls already.
 *
 * # Safety
 * As clc_channel_server_listen_tcp.
 */
clc_status clc_channel_server_listen_rpc(struct clc_channel_server *server,
                                         const char *address,
                                         struct clc_address *address_out);

/**
 * Listens for HTTP/1.1: CloudEvents in by POST and out by GET, channels and consumers as JSON (docs/channel.md). Otherwise as
 * clc_channel_server_listen_tcp.
 *
 * Errors: as clc_channel_server_listen_tcp.
 *
 * # Safety
 * As clc_channel_server_listen_tcp.
 */
clc_status clc_channel_server_listen_http(struct clc_channel_server *server,
                                          const char *address,
                                          struct clc_address *address_out);

/**
 * Does what there is to do; waits for at most `timeout_ns` when there is nothing, CLC_NEVER_NS: until something happens.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED, IO.
 *
 * # Safety
 * `server` is NULL or a live server.
 */
clc_status clc_channel_server_turn(struct clc_channel_server *server,
                                   uint64_t timeout_ns);

/**
 * A descriptor that is readable when clc_channel_server_turn has something to do. Turn it now and then all the same: it has times to keep.
 *
 * Errors: NULL_ARGUMENT, NOT_SUPPORTED, WRONG_THREAD, FORKED.
 *
 * # Safety
 * `server` is NULL or a live server.
 */
int clc_channel_server_fd(const struct clc_channel_server *server);

/**
 * What a server has counted.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED.
 *
 * # Safety
 * `server` is NULL or a live server; `counts_out` is NULL or writable.
 */
clc_status clc_channel_server_stats(const struct clc_channel_server *server,
                                    struct clc_channel_server_counts *counts_out);

/**
 * Why a server takes no persistent events any more: its journal has failed. Empty text: it does, or has no journal. 512 bytes are enough.
 * It goes on with everything else; what was confirmed is there when a server is made anew with that journal.
 *
 * Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL, WRONG_THREAD, FORKED.
 *
 * # Safety
 * `server` is NULL or a live server; `text_out` is NULL or has room for `capacity` bytes.
 */
clc_status clc_channel_server_failure(const struct clc_channel_server *server,
                                      char *text_out,
                                      size_t capacity);

/**
 * Ends a server with all its connections. NULL is fine. To be called by the thread that has turned it: freed by another, what the kernel has
 * in hand stays allocated.
 *
 * # Safety
 * `server` is NULL or a server that was not freed before; no other call on it is running.
 */
void clc_channel_server_free(struct clc_channel_server *server);

/**
 * Takes what has happened to connections of all endpoints of the shard since the last call, oldest first, at most `capacity`
 * events; call again while it fills the array. What they point to is lent until the next call.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard; `events_out` is NULL or has room for `capacity` events; `events_len_out` is NULL or
 * writable.
 */
clc_status clc_shard_connection_events(struct clc_shard *shard,
                                       struct clc_connection_event *events_out,
                                       size_t capacity,
                                       size_t *events_len_out);

/**
 * How many counters the loaded library has: their numbers are 0 to one less. Any thread may call this.
 */
size_t clc_counter_count(void);

/**
 * The name of a counter: "requests". NULL when there is none of this number. Valid for good. Any thread may call
 * this.
 */
const char *clc_counter_label(uint32_t counter);

/**
 * The unit of a counter: "bytes". NULL when there is none of this number. Valid for good. Any thread may call
 * this.
 */
const char *clc_counter_unit(uint32_t counter);

/**
 * What a counter counts, a sentence. NULL when there is none of this number. Valid for good. Any thread may call
 * this.
 */
const char *clc_counter_help(uint32_t counter);

/**
 * Reads one counter of a forwarder, `counter` being a clc_counter; with a node, the sum over its shards.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, NO_SUCH_FORWARDER, FORKED. Any thread may call this, also with a shard, and it
 * disturbs no turn. With a shard the last values stay readable after the forwarder was closed.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder; `value_out` is NULL or writable.
 */
clc_status clc_forwarder_counter(const struct clc_forwarder *forwarder,
                                 uint32_t counter,
                                 uint64_t *value_out);

/**
 * Reads all counters of a forwarder into `values_out`, by their numbers; `*values_len_out` is how many there are.
 * With less room than that, the first `capacity` of them are written.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_FORWARDER, FORKED. Any thread may call this, as clc_forwarder_counter.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder; `values_out` has room for `capacity` numbers, or is NULL and `capacity` is
 * 0; `values_len_out` is NULL or writable.
 */
clc_status clc_forwarder_counters(const struct clc_forwarder *forwarder,
                                  uint64_t *values_out,
                                  size_t capacity,
                                  size_t *values_len_out);

/**
 * Opens an endpoint on an address such as `127.0.0.1:9000`; with port 0 the system chooses one. `options` may be NULL for the
 * defaults. Ends with clc_endpoint_free.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT (text that is not UTF-8), UNKNOWN_STRUCT_SIZE, BAD_ADDRESS, BAD_KEY, INSECURE_ADDRESS
 * (clear messages outside loopback that nobody asked for), BAD_CONFIGURATION, ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE,
 * PERMISSION_DENIED, OUT_OF_MEMORY, TOO_LARGE (4096 endpoints are there), WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard; `address` is NULL or NUL-terminated; `options` is NULL or a struct of the size that it
 * says, whose strings are NULL or NUL-terminated; `endpoint_out` is NULL or writable.
 */
clc_status clc_endpoint_open(struct clc_shard *shard,
                             const char *address,
                             const struct clc_endpoint_options *options,
                             struct clc_endpoint **endpoint_out);

/**
 * The address that an endpoint is bound to.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_ENDPOINT, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `endpoint` is NULL or a live endpoint; `address_out` is NULL or writable.
 */
clc_status clc_endpoint_address(const struct clc_endpoint *endpoint, struct clc_address *address_out);

/**
 * The number that messages and events of this endpoint carry. Any thread may call this; 0 for NULL.
 *
 * # Safety
 * `endpoint` is NULL or a live endpoint.
 */
uint32_t clc_endpoint_id(const struct clc_endpoint *endpoint);

/**
 * Begins a connection to a peer such as `127.0.0.1:9000`; an event tells the end, CONNECTED or GONE. `key` is the public key,
 * CLC_KEY_BYTES bytes (clc_key_public_to_bytes), that the peer must have, in secure mode; else NULL.
 *
 * Errors: NULL_ARGUMENT, BAD_ADDRESS, CONNECTIONS_EXHAUSTED, NO_KEY, BAD_KEY (one that nobody can have), BAD_CONFIGURATION (a
 * key, and the endpoint is clear), NO_SUCH_ENDPOINT, WRONG_STATE, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `endpoint` is NULL or a live endpoint; `peer` is NULL or NUL-terminated; `key` is NULL or has 32 readable bytes;
 * `connection_out` is NULL or writable.
 */
clc_status clc_endpoint_connect(struct clc_endpoint *endpoint,
                                const char *peer,
                                const uint8_t *key,
                                struct clc_connection *connection_out);

/**
 * Sends a message on a stream of a connection: it is copied and leaves with the next turn. `sequence_out` may be NULL, else
 * gets its place in the stream.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT (the stream), WOULD_BLOCK (an event WRITABLE tells when to go on), NOT_CONNECTED,
 * TOO_LARGE (the message, or as many streams as the peer takes), NO_SUCH_ENDPOINT, WRONG_STATE, CLOSED, WRONG_THREAD, FORKED.
 * The shard's thread may call this.
 *
 * # Safety
 * `endpoint` is NULL or a live endpoint; `payload` is readable; `sequence_out` is NULL or writable.
 */
clc_status clc_endpoint_send(struct clc_endpoint *endpoint,
                             struct clc_connection connection,
                             struct clc_stream stream,
                             struct clc_bytes payload,
                             uint64_t *sequence_out);

/**
 * Room for a message of at most `len` bytes, to be written in place: it must fit a packet, on a reliable stream.
 * clc_endpoint_commit ends it; until then the shard answers WRONG_STATE to a turn and to what else concerns connections.
 * `*room_out` gets where to write.
 *
 * Errors: as clc_endpoint_send; TOO_LARGE also for what does not fit a packet. The shard's thread may call this.
 *
 * # Safety
 * `endpoint` is NULL or a live endpoint; `room_out` is NULL or writable.
 */
clc_status clc_endpoint_claim(struct clc_endpoint *endpoint,
                              struct clc_connection connection,
                              struct clc_stream stream,
                              size_t len,
                              uint8_t **room_out);

/**
 * Ends a claim: the first `len` bytes of the room are the message, at most what was claimed. `sequence_out` may be NULL.
 *
 * Errors: NULL_ARGUMENT, WRONG_STATE (nothing is claimed on this endpoint), CLOSED, WRONG_THREAD, FORKED. The shard's thread
 * may call this.
 *
 * # Safety
 * `endpoint` is NULL or a live endpoint; `sequence_out` is NULL or writable.
 */
clc_status clc_endpoint_commit(struct clc_endpoint *endpoint,
                               size_t len,
                               uint64_t *sequence_out);

/**
 * Ends a connection: at once, or when all that was sent has arrived (`is_finishing` not 0). The peer gets `code`, an
 * application's are from 256 on, and `text`, which may be NULL; an event GONE follows.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT (the text is not UTF-8), NO_SUCH_ENDPOINT, WRONG_STATE, CLOSED, WRONG_THREAD,
 * FORKED. The shard's thread may call this.
 *
 * # Safety
 * `endpoint` is NULL or a live endpoint; `text` is NULL or NUL-terminated.
 */
clc_status clc_endpoint_close_connection(struct clc_endpoint *endpoint,
                                         struct clc_connection connection,
                                         uint64_t code,
                                         const char *text,
                                         int is_finishing);

/**
 * What is known of the path of a connection.
 *
 * Errors: NULL_ARGUMENT, NOT_CONNECTED (it is over), NO_SUCH_ENDPOINT, CLOSED, WRONG_THREAD, FORKED. The shard's thread may
 * call this.
 *
 * # Safety
 * `endpoint` is NULL or a live endpoint; `report_out` is NULL or writable.
 */
clc_status clc_endpoint_path(const struct clc_endpoint *endpoint,
                             struct clc_connection connection,
                             struct clc_path_report *report_out);

/**
 * What an endpoint has counted since it was opened.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_ENDPOINT, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `endpoint` is NULL or a live endpoint; `stats_out` is NULL or writable.
 */
clc_status clc_endpoint_stats(const struct clc_endpoint *endpoint, struct clc_message_stats *stats_out);

/**
 * Closes an endpoint. Its connections end without a word to their peers: close and finish them before. The handle stays valid,
 * answers NO_SUCH_ENDPOINT and must be freed.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_ENDPOINT, WRONG_STATE, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `endpoint` is NULL or a live endpoint.
 */
clc_status clc_endpoint_close(struct clc_endpoint *endpoint);

/**
 * Closes an endpoint where that was not done, and frees the handle; a claim on it ends without a message. NULL is fine. Before
 * or after its shard is freed.
 *
 * Any thread may call this; but only the shard's thread closes the endpoint with it: freed by another, it stays open until the
 * shard ends.
 *
 * # Safety
 * `endpoint` is NULL or an endpoint that was not freed before; no other call on it is running.
 */
void clc_endpoint_free(struct clc_endpoint *endpoint);

/**
 * Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_endpoint_options). Any thread may call this.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_endpoint_options_init(struct clc_endpoint_options *options,
                                     size_t struct_size);

/**
 * Adds a forwarder to a shard. `options` may be NULL for the defaults. Ends with clc_forwarder_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, BAD_CONFIGURATION, WRONG_THREAD, FORKED. The shard's
 * thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard; `options` is NULL or a struct of the size that it says, and its strings are
 * NULL or NUL-terminated; `forwarder_out` is NULL or writable.
 */
clc_status clc_shard_add_forwarder(struct clc_shard *shard,
                                   const struct clc_forwarder_options *options,
                                   struct clc_forwarder **forwarder_out);

/**
 * Adds a forwarder to a node, on every shard of it. `options` may be NULL for the defaults. Ends with
 * clc_forwarder_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, BAD_CONFIGURATION, QUEUE_FULL, CLOSED, FORKED. Any
 * thread may call this.
 *
 * # Safety
 * `node` is NULL or a live node; the rest as clc_shard_add_forwarder.
 */
clc_status clc_node_add_forwarder(struct clc_node *node,
                                  const struct clc_forwarder_options *options,
                                  struct clc_forwarder **forwarder_out);

/**
 * Ends a forwarder with all its connections. The handle stays valid, answers NO_SUCH_FORWARDER and must be freed.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or with a node any
 * thread, may call this.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder.
 */
clc_status clc_forwarder_close(struct clc_forwarder *forwarder);

/**
 * Closes a forwarder where that was not done, and frees the handle. NULL is fine. Before or after its shard or
 * node is freed.
 *
 * Any thread may call this; but only the shard's thread closes the forwarder with it: freed by another, it goes on
 * until the shard ends.
 *
 * # Safety
 * `forwarder` is NULL or a forwarder that was not freed before; no other call on it is running.
 */
void clc_forwarder_free(struct clc_forwarder *forwarder);

/**
 * The number that events of this forwarder carry. Any thread may call this; 0 for NULL.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder.
 */
uint32_t clc_forwarder_id(const struct clc_forwarder *forwarder);

/**
 * Accepts clients on an address such as `127.0.0.1:8080` or `[::]:80`; with port 0 the system chooses one. `address_out`
 * may be NULL, else gets the address with the port.
 *
 * Errors: NULL_ARGUMENT, BAD_ADDRESS, ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, PERMISSION_DENIED,
 * DESCRIPTORS_EXHAUSTED, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or with a node any
 * thread, may call this.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder; `address` is NULL or NUL-terminated; `address_out` is NULL or writable.
 */
clc_status clc_forwarder_listen(struct clc_forwarder *forwarder,
                                const char *address,
                                struct clc_address *address_out);

/**
 * Accepts clients on a TCP socket on which bind and listen were called already: by the embedding program, or by the
 * one that started it (socket activation). The library makes a duplicate for itself; the caller's descriptor stays
 * the caller's, to keep or close. `address_out` may be NULL.
 *
 * Errors: NULL_ARGUMENT, NOT_A_LISTENER, DESCRIPTORS_EXHAUSTED, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The
 * shard's thread, or with a node any thread, may call this.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder; `address_out` is NULL or writable.
 */
clc_status clc_forwarder_listen_fd(struct clc_forwarder *forwarder,
                                   int fd,
                                   struct clc_address *address_out);

/**
 * Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_forwarder_options). Strings are left
 * NULL.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_forwarder_options_init(struct clc_forwarder_options *options,
                                      size_t struct_size);

/**
 * Reads an address such as `127.0.0.1:8080` or `[::1]:8080`. Any thread may call this.
 *
 * Errors: NULL_ARGUMENT, BAD_ADDRESS.
 *
 * # Safety
 * `text` is NULL or NUL-terminated; `ip_port_out` is NULL or writable.
 */
clc_status clc_ip_port_parse(const char *text, struct clc_ip_port *ip_port_out);

/**
 * Writes an address as text. Any thread may call this.
 *
 * Errors: NULL_ARGUMENT, BAD_ADDRESS.
 *
 * # Safety
 * `ip_port` is NULL or readable; `address_out` is NULL or writable.
 */
clc_status clc_ip_port_format(const struct clc_ip_port *ip_port, struct clc_address *address_out);

/**
 * Looks up a host, with `port` in each address: at most `capacity` of them, in the order in which they should be tried.
 * `*addresses_len_out` gets how many there are, also with BUFFER_TOO_SMALL, when nothing else is written.
 *
 * Asks the system (getaddrinfo) and waits for it as long as that takes: not for a thread that turns a shard. Any thread may
 * call this.
 *
 * Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL, UNREACHABLE (there is none).
 *
 * # Safety
 * `host` is NULL or NUL-terminated; `addresses_out` is NULL or has room for `capacity` addresses; `addresses_len_out` is
 * NULL or writable.
 */
clc_status clc_resolve(const char *host,
                       uint16_t port,
                       struct clc_address *addresses_out,
                       size_t capacity,
                       size_t *addresses_len_out);

/**
 * Makes a service on an endpoint that accepts connections; nothing else may read the endpoint's messages. Requests of more than
 * `request_bytes_max` bytes (0: 1 MiB) are refused, as are more than `requests_max` (0: 4096) that are not answered. Ends with
 * clc_job_service_free.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_ENDPOINT, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `endpoint` is NULL or a live endpoint; `service_out` is NULL or writable.
 */
clc_status clc_job_service_new(struct clc_endpoint *endpoint,
                               size_t request_bytes_max,
                               size_t requests_max,
                               struct clc_job_service **service_out);

/**
 * Takes the requests that have come whole, at most `capacity` of them. Call it after each turn, and again while it fills the array:
 * what a turn has brought is gone with the next one.
 *
 * Errors: NULL_ARGUMENT, CLOSED, WRONG_STATE, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `service` is NULL or a live service; `requests_out` is NULL or has room for `capacity` requests; `requests_len_out` is NULL or
 * writable.
 */
clc_status clc_job_service_requests(struct clc_job_service *service,
                                    struct clc_job_request *requests_out,
                                    size_t capacity,
                                    size_t *requests_len_out);

/**
 * Answers a request with `response`: head and body, HTTP/1.1, of any length. It is copied and leaves with the next turns, as the
 * front end takes it.
 *
 * Errors: NULL_ARGUMENT; NOT_CONNECTED when nobody waits for it any more; CLOSED, WRONG_STATE, WRONG_THREAD, FORKED. The shard's
 * thread may call this.
 *
 * # Safety
 * `service` is NULL or a live service; `request` is NULL or readable; `response` is readable.
 */
clc_status clc_job_service_answer(struct clc_job_service *service,
                                  const struct clc_job_request *request,
                                  struct clc_bytes response);

/**
 * Frees a service; its endpoint goes on. NULL is fine. Any thread may call this.
 *
 * # Safety
 * `service` is NULL or a service that was not freed before; no other call on it is running.
 */
void clc_job_service_free(struct clc_job_service *service);

/**
 * Makes a new private key: text of the form `clc-private-x25519 BASE64` in `private_out`, which has room for `capacity`
 * bytes; CLC_KEY_TEXT_BYTES are enough. Keep it secret, and overwrite the buffer when it is saved.
 *
 * Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL, INTERNAL. Any thread may call this.
 *
 * # Safety
 * `private_out` is NULL or has room for `capacity` bytes.
 */
clc_status clc_key_generate(char *private_out,
                            size_t capacity);

/**
 * Writes the public key to a private one into `public_out`, which has room for `capacity` bytes: text of the form
 * `clc-public-x25519 BASE64`; CLC_KEY_TEXT_BYTES are enough.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, BAD_KEY, BUFFER_TOO_SMALL. Any thread may call this.
 *
 * # Safety
 * `private_key` is NULL or NUL-terminated text; `public_out` is NULL or has room for `capacity` bytes.
 */
clc_status clc_key_public(const char *private_key,
                          char *public_out,
                          size_t capacity);

/**
 * CLC_OK when `public_key` is the text of a public key that somebody can have.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, BAD_KEY. Any thread may call this.
 *
 * # Safety
 * `public_key` is NULL or NUL-terminated text.
 */
clc_status clc_key_check_public(const char *public_key);

/**
 * Writes the CLC_KEY_BYTES bytes of a public key, given as text, into `bytes_out`: what clc_endpoint_connect wants.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, BAD_KEY. Any thread may call this.
 *
 * # Safety
 * `public_key` is NULL or NUL-terminated text; `bytes_out` is NULL or has room for CLC_KEY_BYTES bytes.
 */
clc_status clc_key_public_to_bytes(const char *public_key,
                                   uint8_t *bytes_out);

/**
 * Writes a public key of CLC_KEY_BYTES bytes, such as the identity of an event, as text into `public_out`, which has room for
 * `capacity` bytes; CLC_KEY_TEXT_BYTES are enough.
 *
 * Errors: NULL_ARGUMENT, BAD_KEY (nobody can have it), BUFFER_TOO_SMALL. Any thread may call this.
 *
 * # Safety
 * `bytes` is NULL or has CLC_KEY_BYTES readable bytes; `public_out` is NULL or has room for `capacity` bytes.
 */
clc_status clc_key_public_from_bytes(const uint8_t *bytes,
                                     char *public_out,
                                     size_t capacity);

/**
 * Writes a private key to a new file that only its owner can read (mode 0600).
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, BAD_KEY; FILE_EXISTS, and what is there stays; PERMISSION_DENIED, IO. Any thread may
 * call this.
 *
 * # Safety
 * `private_key` and `path` are NULL or NUL-terminated text.
 */
clc_status clc_key_save(const char *private_key,
                        const char *path);

/**
 * Reads a private key from a file into `private_out`, which has room for `capacity` bytes; CLC_KEY_TEXT_BYTES are enough.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT; KEY_EXPOSED when others than its owner can get at the file; BAD_KEY,
 * BUFFER_TOO_SMALL, PERMISSION_DENIED, IO. Any thread may call this.
 *
 * # Safety
 * `path` is NULL or NUL-terminated text; `private_out` is NULL or has room for `capacity` bytes.
 */
clc_status clc_key_load(const char *path,
                        char *private_out,
                        size_t capacity);

/**
 * Reads the latencies of a forwarder since the last reset; `reset` not 0 begins anew.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, QUEUE_FULL, FORKED. The shard's thread, or with a node
 * any thread, may call this; a node asks its shards, so it costs a wake-up each.
 *
 * # Safety
 * `forwarder` is NULL or a live forwarder; `latency_out` is NULL or writable.
 */
clc_status clc_forwarder_latency(struct clc_forwarder *forwarder,
                                 int reset,
                                 struct clc_latency *latency_out);

/**
 * Takes messages that the last turn has brought, of all endpoints of the shard, at most `capacity` of them; call again while it
 * fills the array. Their bytes are lent until the next turn, which gives their room back to the senders: what nobody has taken
 * by then is lost.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard; `messages_out` is NULL or has room for `capacity` messages; `messages_len_out` is NULL or
 * writable.
 */
clc_status clc_shard_messages(struct clc_shard *shard,
                              struct clc_message *messages_out,
                              size_t capacity,
                              size_t *messages_len_out);

/**
 * As clc_shard_messages, but a whole run of messages at a time, for speed. Both go on where the other has stopped.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard; `runs_out` is NULL or has room for `capacity` runs; `runs_len_out` is NULL or writable.
 */
clc_status clc_shard_runs(struct clc_shard *shard,
                          struct clc_run *runs_out,
                          size_t capacity,
                          size_t *runs_len_out);

/**
 * Takes plain datagrams that the last turn has brought, of all sockets of the shard, at most `capacity` of them; call again
 * while it fills the array. Their bytes are lent until the next turn; what nobody has taken by then is lost.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard; `datagrams_out` is NULL or has room for `capacity` datagrams; `datagrams_len_out` is NULL
 * or writable.
 */
clc_status clc_shard_datagrams(struct clc_shard *shard,
                               struct clc_datagram *datagrams_out,
                               size_t capacity,
                               size_t *datagrams_len_out);

/**
 * Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_node_options).
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_node_options_init(struct clc_node_options *options, size_t struct_size);

/**
 * Makes a node and starts its threads. `options` may be NULL for the defaults. Ends with clc_node_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, IO_URING_FORBIDDEN, UNSUPPORTED_KERNEL,
 * OUT_OF_MEMORY, DESCRIPTORS_EXHAUSTED. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or a struct of the size that it says, and so is its field `shard`; `node_out` is NULL or
 * writable.
 */
clc_status clc_node_new(const struct clc_node_options *options, struct clc_node **node_out);

/**
 * Ends a node with its threads, forwarders and connections, and waits for the threads. NULL is fine. Handles of its
 * forwarders stay valid and must be freed too; a thread that waits in clc_node_poll gets CLOSED.
 *
 * Any thread may call this. A child of fork only forgets it.
 *
 * # Safety
 * `node` is NULL or a node that was not freed before, and no other call on it begins from now on.
 */
void clc_node_free(struct clc_node *node);

/**
 * Waits for at most `timeout_ns` nanoseconds (negative: no limit; 0: not at all) until events or log records
 * wait, and takes them: events into `events_out`, at most `capacity` of them, records to the sink from within this
 * call. Returns with no event when the time has passed, when a signal came, or when there were records only. The
 * events are copies and hold no memory.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT (`capacity` 0), CLOSED, FORKED. Any thread may call this; each event goes
 * to one caller.
 *
 * # Safety
 * `node` is NULL or a live node; `events_out` is NULL or has room for `capacity` events; `events_len_out` is
 * NULL or writable.
 */
clc_status clc_node_poll(struct clc_node *node,
                         struct clc_event *events_out,
                         size_t capacity,
                         int64_t timeout_ns,
                         size_t *events_len_out);

/**
 * A descriptor that is readable (EPOLLIN, POLLIN) when clc_node_poll has something to bring, for an event loop. It
 * stays the node's: do not read it, do not close it. Call clc_node_poll with a time-out of 0 until it brings nothing,
 * then wait. Negative: a clc_status.
 *
 * Any thread may call this.
 *
 * # Safety
 * `node` is NULL or a live node.
 */
int clc_node_event_fd(const struct clc_node *node);

/**
 * Sets where log records go; NULL: nowhere. `user` is given to each call. Records from before come with the next
 * poll that finds them.
 *
 * Errors: NULL_ARGUMENT, FORKED. Any thread may call this; a poll that is running may still use the one
 * before.
 *
 * # Safety
 * `node` is NULL or a live node; `sink` may be called with `user` by every thread that polls, until another is set
 * and those polls have returned.
 */
clc_status clc_node_set_log_sink(struct clc_node *node,
                                 clc_log_sink sink,
                                 void *user);

/**
 * Which driver and features run, and why: "uring: multishot_accept, ...". Valid as long as the node; NULL for
 * NULL. Any thread may call this.
 *
 * # Safety
 * `node` is NULL or a live node.
 */
const char *clc_node_driver_report(const struct clc_node *node);

/**
 * Makes a participant that begins to connect to `url`: `tcp://127.0.0.1:7000`, `udp://127.0.0.1:7000` for reliable datagrams, or
 * `rpc://127.0.0.1:7000` for a remote call. `options` may be NULL. Ends with clc_participant_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, INSECURE_ADDRESS, BAD_KEY, BAD_CONFIGURATION (a key, and TCP), NO_KEY (a key of
 * ours, and none of the server's), IO_URING_FORBIDDEN, UNSUPPORTED_KERNEL,
 * DESCRIPTORS_EXHAUSTED, OUT_OF_MEMORY. Any thread may call this.
 *
 * # Safety
 * `url` is NULL or NUL-terminated; `options` is NULL or a struct of the size that it says, its texts NULL or NUL-terminated;
 * `participant_out` is NULL or writable.
 */
clc_status clc_participant_new(const char *url,
                               const struct clc_participant_options *options,
                               struct clc_participant **participant_out);

/**
 * Exchanges the link for one to `url`, of another kind perhaps, while events flow: nothing that was emitted is lost. To a server without a key;
 * clc_participant_relink_keyed goes to others.
 *
 * Errors: as clc_participant_relink_keyed.
 *
 * # Safety
 * `participant` is NULL or a live participant; `url` is NULL or NUL-terminated.
 */
clc_status clc_participant_relink(struct clc_participant *participant,
                                  const char *url);

/**
 * As clc_participant_relink, to a server that must have the public key `server_key`; NULL: none. Our own key is that of the options.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, INSECURE_ADDRESS, BAD_KEY, BAD_CONFIGURATION (a key, and TCP), NO_KEY (a key of ours, and none of
 * the server's), DESCRIPTORS_EXHAUSTED, WRONG_THREAD, FORKED; the link is then the one before. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant; `url` and `server_key` are NULL or NUL-terminated.
 */
clc_status clc_participant_relink_keyed(struct clc_participant *participant,
                                        const char *url,
                                        const char *server_key);

/**
 * Becomes a supplier of `spec`: members of a JSON object (docs/protocol/channel.md), `"channel":"load"` for example; NULL for the default
 * channel. `is_patient` 1: what the server refuses for now is sent again until it is taken; 0: it is told and dropped. When the server refuses the
 * supplier itself, news of the kind Gone say why.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant; `spec` is NULL or NUL-terminated; `handle_out` is NULL or writable.
 */
clc_status clc_participant_supply(struct clc_participant *participant,
                                  const char *spec,
                                  int is_patient,
                                  uint64_t *handle_out);

/**
 * Becomes a consumer of `spec`: members of a JSON object (docs/protocol/channel.md), `"channel":"load","spec":{"filter":"load > 5"}` for example; NULL for
 * everything of the default channel. When the server refuses, news of the kind Gone say why.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant; `spec` is NULL or NUL-terminated; `handle_out` is NULL or writable.
 */
clc_status clc_participant_consume(struct clc_participant *participant,
                                   const char *spec,
                                   uint64_t *handle_out);

/**
 * Gives a supplier or a consumer up, with what waits of it. One that is not there is left alone.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant.
 */
clc_status clc_participant_close(struct clc_participant *participant, uint64_t handle);

/**
 * Emits events as the supplier `handle`; `*taken_out` is how many were taken up, from the first on. They are copied and leave with the next turn.
 *
 * Errors: NULL_ARGUMENT; WOULD_BLOCK: none was, because as many wait for the server as may: turn and try again; INVALID_ARGUMENT: no such
 * supplier, or an event that cannot be, and none was taken; WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant; `events` has `events_len` readable ones, whose texts, bodies and fields are readable;
 * `taken_out` is NULL or writable.
 */
clc_status clc_participant_emit(struct clc_participant *participant,
                                uint64_t handle,
                                const struct clc_channel_event *events,
                                size_t events_len,
                                size_t *taken_out);

/**
 * How many events of a supplier the server has not taken yet: 0 when all have arrived.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT (no such supplier), WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant; `count_out` is NULL or writable.
 */
clc_status clc_participant_untaken(struct clc_participant *participant,
                                   uint64_t handle,
                                   size_t *count_out);

/**
 * Asks the server something, a JSON object with `op` (docs/protocol/channel.md), and waits for the answer: a JSON object, lent until the next
 * clc_participant_ask on this participant, or its end. Turns the participant while it waits.
 *
 * Errors: NULL_ARGUMENT, INVALID_ARGUMENT, TIMEOUT; CALL_FAILED: the server refuses, in its words, or the link was lost; WRONG_THREAD, FORKED, IO.
 * The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant; `json` is NULL or NUL-terminated; `answer_out` is NULL or writable.
 */
clc_status clc_participant_ask(struct clc_participant *participant,
                               const char *json,
                               uint64_t timeout_ns,
                               const char **answer_out);

/**
 * Does what there is to do; waits for at most `timeout_ns` when there is nothing, CLC_NEVER_NS: until something happens.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED, IO.
 *
 * # Safety
 * `participant` is NULL or a live participant.
 */
clc_status clc_participant_turn(struct clc_participant *participant,
                                uint64_t timeout_ns);

/**
 * 1 when the link is there, else 0.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant.
 */
int clc_participant_is_linked(const struct clc_participant *participant);

/**
 * A descriptor that is readable when clc_participant_turn has something to do.
 *
 * Errors: NULL_ARGUMENT, NOT_SUPPORTED, WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant.
 */
int clc_participant_fd(const struct clc_participant *participant);

/**
 * How long the descriptor may be waited for before a turn is due all the same, in nanoseconds; UINT64_MAX: for ever. 0 for NULL and on a
 * wrong thread.
 *
 * # Safety
 * `participant` is NULL or a live participant.
 */
uint64_t clc_participant_next_timeout_ns(const struct clc_participant *participant);

/**
 * Ends a participant; what the server has not taken (clc_participant_untaken) may be lost. NULL is fine. To be called by the thread that has
 * turned it: freed by another, what the kernel has in hand stays allocated.
 *
 * # Safety
 * `participant` is NULL or a participant that was not freed before; no other call on it is running.
 */
void clc_participant_free(struct clc_participant *participant);

/**
 * Takes the news that have come, at most `capacity` of them. Call it after each turn, and again while it fills the array.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant; `news_out` is NULL or has room for `capacity` of them; `news_len_out` is NULL or writable.
 */
clc_status clc_participant_news_take(struct clc_participant *participant,
                                     struct clc_participant_news *news_out,
                                     size_t capacity,
                                     size_t *news_len_out);

/**
 * Writes the defaults into `options`, of the size that the caller's header has for it: sizeof(clc_participant_options).
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_participant_options_init(struct clc_participant_options *options,
                                        size_t struct_size);

/**
 * Takes the events that have come for all consumers, at most `capacity` of them. They are lent until the next clc_participant_take on this
 * participant, or its end. Call it after each turn, and again while it fills the array.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant; `deliveries_out` is NULL or has room for `capacity` of them; `deliveries_len_out` is NULL or
 * writable.
 */
clc_status clc_participant_take(struct clc_participant *participant,
                                struct clc_channel_delivery *deliveries_out,
                                size_t capacity,
                                size_t *deliveries_len_out);

/**
 * Done with these deliveries of the consumer `handle`: they do not come again. Leaves with the next turn.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant; `deliveries` has `deliveries_len` readable ones.
 */
clc_status clc_participant_acknowledge(struct clc_participant *participant,
                                       uint64_t handle,
                                       const uint64_t *deliveries,
                                       size_t deliveries_len);

/**
 * Could not deal with these deliveries of the consumer `handle`; `is_for_good` 1: nobody is to try again, 0: they come again. Leaves with the
 * next turn.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * As clc_participant_acknowledge.
 */
clc_status clc_participant_reject(struct clc_participant *participant,
                                  uint64_t handle,
                                  const uint64_t *deliveries,
                                  size_t deliveries_len,
                                  int is_for_good);

/**
 * Asks for events of a consumer in pull mode: those that are there, `events_max` at most. When there are none, news of the kind Readable tell
 * as soon as there are some. Leaves with the next turn; without a link it is forgotten.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
 *
 * # Safety
 * `participant` is NULL or a live participant.
 */
clc_status clc_participant_pull(struct clc_participant *participant,
                                uint64_t handle,
                                uint32_t events_max);

/**
 * Makes a pool without nodes and services. `options` may be NULL for the defaults. Ends with clc_pool_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or a struct of the size that it says; `pool_out` is NULL or writable.
 */
clc_status clc_pool_new(const struct clc_pool_options *options, struct clc_pool **pool_out);

/**
 * Ends a pool; nobody is told. NULL is fine. Any thread may call this.
 *
 * # Safety
 * `pool` is NULL or a pool that was not freed before; no other call on it is running.
 */
void clc_pool_free(struct clc_pool *pool);

/**
 * Adds a node.
 *
 * Errors: NULL_ARGUMENT, ALREADY_EXISTS. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that no other thread uses now.
 */
clc_status clc_pool_add_node(struct clc_pool *pool, uint32_t node);

/**
 * Takes a node out, for good or because it died. `ended_out` may be NULL, else `*ended_out` is the lease that ends by this, or
 * all zero when the node was not leased.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_NODE. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that no other thread uses now; `ended_out` is NULL or writable.
 */
clc_status clc_pool_remove_node(struct clc_pool *pool,
                                uint32_t node,
                                struct clc_lease *ended_out);

/**
 * Announces a service, or changes what it may have; leases it holds already stay. `options` may be NULL for the defaults.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT; BAD_CONFIGURATION when the minimum is above the maximum, or the
 * minima sum up to more than there are nodes. Nothing has changed then. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that no other thread uses now; `options` is NULL or a struct of the size that it says.
 */
clc_status clc_pool_add_service(struct clc_pool *pool,
                                uint32_t service,
                                const struct clc_share_options *options);

/**
 * Forgets a service: it gets nothing more. Its leases end as others do.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_SERVICE. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that no other thread uses now.
 */
clc_status clc_pool_remove_service(struct clc_pool *pool, uint32_t service);

/**
 * Asks for one more node for a service. Asking again while a revocation in its favour is open does not revoke another.
 * A refusal is an answer, not an error.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_SERVICE. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that no other thread uses now; `answer_out` is NULL or writable.
 */
clc_status clc_pool_request(struct clc_pool *pool,
                            uint64_t now_ns,
                            uint32_t service,
                            struct clc_pool_answer *answer_out);

/**
 * Renews the lease of a node.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_NODE; STALE_TOKEN when the lease is over or another's. With the last two the holder must not
 * use the node any more. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that no other thread uses now; `renewal_out` is NULL or writable.
 */
clc_status clc_pool_renew(struct clc_pool *pool,
                          uint64_t now_ns,
                          uint32_t node,
                          uint64_t token,
                          struct clc_renewal *renewal_out);

/**
 * Gives a node back before its time; the service there must have been stopped.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_NODE, STALE_TOKEN; the node is not touched then. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that no other thread uses now.
 */
clc_status clc_pool_release(struct clc_pool *pool,
                            uint64_t now_ns,
                            uint32_t node,
                            uint64_t token);

/**
 * Frees the nodes whose leases ended at least the guard time ago, and writes those leases into `leases_out`;
 * `*leases_len_out` is how many there are. With too little room nothing happens and nothing is written but that number.
 *
 * Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that no other thread uses now; `leases_out` has room for `capacity` structs, or is NULL and
 * `capacity` is 0; `leases_len_out` is NULL or writable.
 */
clc_status clc_pool_expire(struct clc_pool *pool,
                           uint64_t now_ns,
                           struct clc_lease *leases_out,
                           size_t capacity,
                           size_t *leases_len_out);

/**
 * Writes all leases into `leases_out`, by node; `*leases_len_out` is how many there are. With too little room nothing is
 * written but that number.
 *
 * Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that nobody changes now; `leases_out` has room for `capacity` structs, or is NULL and
 * `capacity` is 0; `leases_len_out` is NULL or writable.
 */
clc_status clc_pool_leases(const struct clc_pool *pool,
                           struct clc_lease *leases_out,
                           size_t capacity,
                           size_t *leases_len_out);

/**
 * How many nodes requests of a service would be granted now, one after the other.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_SERVICE. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that nobody changes now; `nodes_out` is NULL or writable.
 */
clc_status clc_pool_idle_for(const struct clc_pool *pool, uint32_t service, uint32_t *nodes_out);

/**
 * When clc_pool_expire is due next, in nanoseconds of the pool's clock; UINT64_MAX when there is nothing to wait for.
 *
 * Errors: NULL_ARGUMENT. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that nobody changes now; `at_ns_out` is NULL or writable.
 */
clc_status clc_pool_next_expiry_ns(const struct clc_pool *pool,
                                   uint64_t *at_ns_out);

/**
 * The last token given out: keep it over a restart, for clc_pool_options. 0 for NULL. One thread at a time may call this.
 *
 * # Safety
 * `pool` is NULL or a live pool that nobody changes now.
 */
uint64_t clc_pool_token(const struct clc_pool *pool);

/**
 * Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_pool_options).
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_pool_options_init(struct clc_pool_options *options, size_t struct_size);

/**
 * Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_share_options).
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_share_options_init(struct clc_share_options *options, size_t struct_size);

/**
 * Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_scaler_options).
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_scaler_options_init(struct clc_scaler_options *options, size_t struct_size);

/**
 * Makes a scaler that has seen nothing yet. `options` may be NULL for the defaults. Ends with clc_scaler_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, BAD_CONFIGURATION. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or a struct of the size that it says; `scaler_out` is NULL or writable.
 */
clc_status clc_scaler_new(const struct clc_scaler_options *options,
                          struct clc_scaler **scaler_out);

/**
 * Ends a scaler. NULL is fine. Any thread may call this.
 *
 * # Safety
 * `scaler` is NULL or a scaler that was not freed before; no other call on it is running.
 */
void clc_scaler_free(struct clc_scaler *scaler);

/**
 * Looks at one sample. `now_ns` is the time on any clock that never goes back, in nanoseconds. The caller carries a
 * decision out, or not, and samples on; one that could not be carried out comes again after the cool-down.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT. One thread at a time may call this.
 *
 * # Safety
 * `scaler` is NULL or a live scaler that no other thread uses now; `sample` is NULL or a struct of the size that
 * it says with as many children as it says; `decision_out` is NULL or writable.
 */
clc_status clc_scaler_step(struct clc_scaler *scaler,
                           uint64_t now_ns,
                           const struct clc_sample *sample,
                           struct clc_decision *decision_out);

/**
 * How many decisions to add or remove a scaler has taken: the number of reconfigurations. 0 for NULL. One thread at a
 * time may call this.
 *
 * # Safety
 * `scaler` is NULL or a live scaler.
 */
uint64_t clc_scaler_decisions(const struct clc_scaler *scaler);

/**
 * Makes a shard. `options` may be NULL for the defaults. Ends with clc_shard_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, IO_URING_FORBIDDEN, UNSUPPORTED_KERNEL,
 * OUT_OF_MEMORY, DESCRIPTORS_EXHAUSTED. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or a struct of the size that it says; `shard_out` is NULL or writable.
 */
clc_status clc_shard_new(const struct clc_shard_options *options, struct clc_shard **shard_out);

/**
 * Ends a shard with all its forwarders, endpoints, sockets and connections. NULL is fine. Their handles stay valid,
 * answer CLOSED and must be freed too.
 *
 * The shard's thread may call this. So may another one when the shard's thread no longer uses it; but once the shard
 * has turned, the kernel may then keep buffers of it, which are lost to the process. A child of fork only forgets it.
 *
 * # Safety
 * `shard` is NULL or a shard that was not freed before; no other call on it is running.
 */
void clc_shard_free(struct clc_shard *shard);

/**
 * A descriptor that is readable (EPOLLIN, POLLIN) when clc_shard_turn has something to do. It stays the same and
 * stays the shard's: do not read it, do not close it. Negative: a clc_status.
 *
 * Any thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard.
 */
int clc_shard_fd(const struct clc_shard *shard);

/**
 * How long the descriptor may be waited for before clc_shard_turn has something to do anyway, in nanoseconds;
 * 0: turn now; -1: no limit. Ask after each turn.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard; `timeout_ns_out` is NULL or writable.
 */
clc_status clc_shard_next_timeout_ns(const struct clc_shard *shard, int64_t *timeout_ns_out);

/**
 * Does all there is to do now, without waiting. The first turn binds the shard to the calling thread. Log records
 * go to the sink from within this call; events wait for clc_shard_events.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED; IO when the driver can go no further; WRONG_STATE between
 * clc_endpoint_claim and clc_endpoint_commit. The shard's thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard.
 */
clc_status clc_shard_turn(struct clc_shard *shard);

/**
 * As clc_shard_turn, but first waits for at most `timeout_ns` nanoseconds (negative: no limit) until there is
 * something to do: for a thread with no loop of its own. What it produces is sent by the next turn.
 *
 * Errors: as clc_shard_turn. The shard's thread may call this; clc_shard_wake ends the wait.
 *
 * # Safety
 * `shard` is NULL or a live shard.
 */
clc_status clc_shard_turn_for(struct clc_shard *shard, int64_t timeout_ns);

/**
 * Ends the present or the next wait of the shard. Any thread may call this.
 *
 * Errors: NULL_ARGUMENT, FORKED.
 *
 * # Safety
 * `shard` is NULL or a live shard.
 */
clc_status clc_shard_wake(const struct clc_shard *shard);

/**
 * Takes the events since the last call, oldest first, at most `capacity` of them; call again while it fills the
 * array. They are copies and hold no memory. Beyond 4096 that nobody took the oldest are lost; the log says so.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard; `events_out` is NULL or has room for `capacity` events; `events_len_out` is
 * NULL or writable.
 */
clc_status clc_shard_events(struct clc_shard *shard,
                            struct clc_event *events_out,
                            size_t capacity,
                            size_t *events_len_out);

/**
 * Sets where log records go; NULL: nowhere. `user` is given to each call. Records from before, up to 256, come with
 * the next turn.
 *
 * Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard; `sink` may be called with `user` until another is set or the shard is freed.
 */
clc_status clc_shard_set_log_sink(struct clc_shard *shard,
                                  clc_log_sink sink,
                                  void *user);

/**
 * Which driver and features run, and why: "uring: multishot_accept, ...". Valid as long as the shard; NULL for
 * NULL. Any thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard.
 */
const char *clc_shard_driver_report(const struct clc_shard *shard);

/**
 * Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_shard_options).
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_shard_options_init(struct clc_shard_options *options, size_t struct_size);

/**
 * Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_socket_options). Any thread may call this.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE.
 *
 * # Safety
 * `options` is NULL or has room for `struct_size` bytes.
 */
clc_status clc_socket_options_init(struct clc_socket_options *options,
                                   size_t struct_size);

/**
 * Binds a socket to an address such as `127.0.0.1:9000` or `[::]:0`; with port 0 the system chooses one. `options` may be NULL
 * for the defaults. Ends with clc_socket_free.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, BAD_ADDRESS, ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, PERMISSION_DENIED,
 * OUT_OF_MEMORY, TOO_LARGE (4096 sockets are there), WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `shard` is NULL or a live shard; `address` is NULL or NUL-terminated; `options` is NULL or a struct of the size that it
 * says; `socket_out` is NULL or writable.
 */
clc_status clc_socket_bind(struct clc_shard *shard,
                           const char *address,
                           const struct clc_socket_options *options,
                           struct clc_socket **socket_out);

/**
 * Sends `bytes` to one address, cut into datagrams of `segment` bytes each, the last one of what is left; 0: as one datagram.
 * They are copied and leave with the next turn. Nothing is promised of them.
 *
 * Errors: NULL_ARGUMENT, BAD_ADDRESS, WOULD_BLOCK (too many wait), TOO_LARGE (a datagram is longer than 65,507 bytes),
 * NO_SUCH_SOCKET, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `socket` is NULL or a live socket; `to` is NULL or readable; `bytes` are readable.
 */
clc_status clc_socket_send(struct clc_socket *socket,
                           const struct clc_ip_port *to,
                           struct clc_bytes bytes,
                           uint32_t segment);

/**
 * The address that a socket is bound to.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_SOCKET, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `socket` is NULL or a live socket; `address_out` is NULL or writable.
 */
clc_status clc_socket_address(const struct clc_socket *socket, struct clc_address *address_out);

/**
 * What has passed through a socket.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_SOCKET, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `socket` is NULL or a live socket; `counters_out` is NULL or writable.
 */
clc_status clc_socket_counters(const struct clc_socket *socket, struct clc_datagram_counters *counters_out);

/**
 * The number that datagrams of this socket carry. Any thread may call this; 0 for NULL.
 *
 * # Safety
 * `socket` is NULL or a live socket.
 */
uint32_t clc_socket_id(const struct clc_socket *socket);

/**
 * Closes a socket. What can be sent at once is. The handle stays valid, answers NO_SUCH_SOCKET and must be freed.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_SOCKET, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
 *
 * # Safety
 * `socket` is NULL or a live socket.
 */
clc_status clc_socket_close(struct clc_socket *socket);

/**
 * Closes a socket where that was not done, and frees the handle. NULL is fine. Before or after its shard is freed.
 *
 * Any thread may call this; but only the shard's thread closes the socket with it: freed by another, it stays open until the
 * shard ends.
 *
 * # Safety
 * `socket` is NULL or a socket that was not freed before; no other call on it is running.
 */
void clc_socket_free(struct clc_socket *socket);

/**
 * The words to the last call that failed on this thread: they name the thing, the value and the limit. "" when
 * none failed. Valid until the next call that fails on this thread; calls that succeed leave it alone.
 *
 * Any thread may call this, each has its own.
 */
const char *clc_last_error_message(void);

/**
 * The status of the last call that failed on this thread, or CLC_OK. Any thread may call this.
 */
clc_status clc_last_error_status(void);

/**
 * What a status means in general: "the queue is full". Never NULL, valid for good. Any thread may call this.
 */
const char *clc_status_message(clc_status status);

/**
 * The name of a status without its prefix: "QUEUE_FULL", "OK". Never NULL, valid for good. Any thread may call
 * this.
 */
const char *clc_status_name(clc_status status);

/**
 * 1 when the same call may succeed later without the caller changing anything, else 0. Any thread may call
 * this.
 */
int clc_status_is_retryable(clc_status status);

/**
 * Writes one line about `status` to `stream`: the words of this thread's last error when it had this
 * status, else what the status means in general. Does nothing when `stream` is NULL. Any thread may call this.
 *
 * # Safety
 * `stream` is NULL or an open stream.
 */
void clc_print_error(FILE *stream,
                     clc_status status);

/**
 * Makes a streamed call of `method`, `package.Service/Method`, with `arguments` (which may be empty) before any part. It leaves with the next
 * turn. clc_channel_stirred gives `token` when something comes. `options` may be NULL. Ends with clc_channel_stream_status or
 * clc_channel_stream_drop.
 *
 * Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, FORKED.
 *
 * # Safety
 * As clc_channel_call; `handle_out` is NULL or writable.
 */
clc_status clc_channel_stream(struct clc_channel *channel,
                              const char *method,
                              struct clc_bytes arguments,
                              const struct clc_call_options *options,
                              uint64_t token,
                              struct clc_call_handle *handle_out);

/**
 * Sends a part of the arguments of a streamed call, turning the channel for at most `timeout_ns` while there is no room; 0: not at all,
 * CLC_NEVER_NS: until there is, or the call has ended.
 *
 * Errors: NULL_ARGUMENT, WOULD_BLOCK: there was no room, nothing was sent; TOO_LARGE: more than 64 KiB; NO_SUCH_CALL: the call has ended, or its parts
 * have; WRONG_THREAD, FORKED, IO.
 *
 * # Safety
 * `channel` is NULL or a live channel; `part` is readable.
 */
clc_status clc_channel_send_part(struct clc_channel *channel,
                                 struct clc_call_handle handle,
                                 struct clc_bytes part,
                                 uint64_t timeout_ns);

/**
 * Sends no more parts of a streamed call. Does nothing when said before.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_CALL, FORKED.
 *
 * # Safety
 * `channel` is NULL or a live channel.
 */
clc_status clc_channel_end_parts(struct clc_channel *channel, struct clc_call_handle handle);

/**
 * The next part of the results of a streamed call, turning the channel for at most `timeout_ns` until it is there: 1 and the part, lent until the next
 * function that is called on the channel; 0: the call has ended and all parts were taken, clc_channel_stream_status tells how.
 *
 * Errors: NULL_ARGUMENT, WOULD_BLOCK: no part has come; NO_SUCH_CALL, WRONG_THREAD, FORKED, IO.
 *
 * # Safety
 * `channel` is NULL or a live channel; `part_out` is NULL or writable.
 */
int clc_channel_take_part(struct clc_channel *channel,
                          struct clc_call_handle handle,
                          uint64_t timeout_ns,
                          struct clc_bytes *part_out);

/**
 * How a streamed call has ended, turning the channel for at most `timeout_ns` until it has; parts that were not taken are dropped. The handle
 * ends with it.
 *
 * Errors: NULL_ARGUMENT, WOULD_BLOCK: it has not ended; NO_SUCH_CALL, WRONG_THREAD, FORKED, IO; CALL_FAILED: it has ended, its status is not OK, and
 * `*result_out` is written.
 *
 * # Safety
 * `channel` is NULL or a live channel; `result_out` is NULL or writable.
 */
clc_status clc_channel_stream_status(struct clc_channel *channel,
                                     struct clc_call_handle handle,
                                     uint64_t timeout_ns,
                                     struct clc_call_result *result_out);

/**
 * Cancels a streamed call and forgets it. Does nothing for NULL, and for one that was ended.
 *
 * # Safety
 * `channel` is NULL or a live channel.
 */
void clc_channel_stream_drop(struct clc_channel *channel, struct clc_call_handle handle);

/**
 * A streamed call on which something came since it was told: parts, room for them, its end. 1 and its token; 0 when there is none.
 *
 * Errors: NULL_ARGUMENT, FORKED.
 *
 * # Safety
 * `channel` is NULL or a live channel; `token_out` is NULL or writable.
 */
int clc_channel_stirred(struct clc_channel *channel,
                        uint64_t *token_out);

/**
 * Binds a socket for plain datagrams of IPv4 on every address of this machine; port 0 lets the system choose. They are neither
 * protected nor checked. Returns a handle, 0 or more, for the three calls below, or a negative clc_status.
 *
 * Errors: ADDRESS_IN_USE, PERMISSION_DENIED, OUT_OF_MEMORY, DESCRIPTORS_EXHAUSTED, TOO_LARGE (1024 are open). Any thread may
 * call this; the handle is the caller's thread's.
 */
int clc_udp_open(uint16_t port);

/**
 * Sends a datagram at once. `*address_out` of clc_udp_read is where to answer to.
 *
 * Errors: NULL_ARGUMENT, BAD_ADDRESS, NO_SUCH_SOCKET, WOULD_BLOCK, TOO_LARGE (longer than 65,507 bytes), WRONG_THREAD, FORKED. The
 * thread that opened it may call this.
 *
 * # Safety
 * `to` is NULL or readable; `payload` is readable.
 */
clc_status clc_udp_write(int handle,
                         const struct clc_ip_port *to,
                         struct clc_bytes payload);

/**
 * Waits for a datagram, without limit. `*len_out` gets its length; what is beyond `capacity` bytes is lost. `from_out` may be
 * NULL, else gets the sender.
 *
 * Errors: NULL_ARGUMENT, NO_SUCH_SOCKET, WRONG_THREAD, FORKED. The thread that opened it may call this.
 *
 * # Safety
 * `buffer_out` is NULL or has room for `capacity` bytes; `len_out` and `from_out` are NULL or writable.
 */
clc_status clc_udp_read(int handle,
                        struct clc_ip_port *from_out,
                        uint8_t *buffer_out,
                        size_t capacity,
                        size_t *len_out);

/**
 * Closes the socket; the handle may then be another's.
 *
 * Errors: NO_SUCH_SOCKET, WRONG_THREAD (another one is using it), FORKED. The thread that opened it may call this.
 */
clc_status clc_udp_close(int handle);

/**
 * Version of the library, such as "0.1.0". Any thread may call this.
 */
const char *clc_version(void);

/**
 * Version of the binary interface of the library that is loaded; compare it with CLC_ABI_VERSION. Any
 * thread may call this.
 */
unsigned int clc_abi_version(void);

/**
 * Writes what this machine offers into `text_out`, a line each: kernel, driver with its features and why it was
 * chosen, limits. At most `capacity` bytes with the final NUL; 1024 are enough.
 *
 * Opens a driver for a moment and changes nothing. Any thread may call this.
 *
 * Errors: NULL_ARGUMENT; BUFFER_TOO_SMALL, and the message says how many bytes it takes.
 *
 * # Safety
 * `text_out` is NULL or has room for `capacity` bytes.
 */
clc_status clc_probe(char *text_out,
                     size_t capacity);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CLUSTERCORE_H */
