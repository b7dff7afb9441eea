/* Error codes of clustercore. Generated from core/errors.toml by `cargo xtask gen`; do not edit.
 *
 * A clc_status is 0 or one of these negative numbers. Numbers stay for good.
 */
#ifndef CLUSTERCORE_ERRORS_H
#define CLUSTERCORE_ERRORS_H

enum {
  /* an argument has a value outside its range. The message names the argument, its value and the limit. */
  CLC_ERROR_INVALID_ARGUMENT = -1,
  /* a required pointer is NULL. Only from C. The function's documentation says which pointers may be NULL. */
  CLC_ERROR_NULL_ARGUMENT = -2,
  /* the shard belongs to another thread. A shard is bound to the thread of its first turn. Use a node to be called from any thread. */
  CLC_ERROR_WRONG_THREAD = -3,
  /* the handle is closed. The node, shard, forwarder or listener was closed before this call; make a new one. */
  CLC_ERROR_CLOSED = -4,
  /* the operation is not possible in the present state. For example draining a back end that is already being drained. The message names the state. */
  CLC_ERROR_WRONG_STATE = -5,
  /* the name is already in use. Names of forwarders, back ends, nodes and services are unique within their owner. */
  CLC_ERROR_ALREADY_EXISTS = -6,
  /* the output buffer is too small. Nothing was written. The required size is reported; call again with that much room. */
  CLC_ERROR_BUFFER_TOO_SMALL = -7,
  /* a value is above its configured limit. The message names the length and the limit; raise the limit or send less. */
  CLC_ERROR_TOO_LARGE = -8,
  /* the address is not of the form host:port. Write `127.0.0.1:8080` or `[::1]:8080`. Host names are not resolved here. */
  CLC_ERROR_BAD_ADDRESS = -9,
  /* the configuration is not valid. Two settings contradict each other or one is missing; the message names them. */
  CLC_ERROR_BAD_CONFIGURATION = -10,
  /* the file descriptor is not a listening stream socket. `listen(fd)` wants a TCP socket on which bind and listen were called. */
  CLC_ERROR_NOT_A_LISTENER = -11,
  /* the field struct_size is not one that this library knows. Only from C. Set `struct_size` to the size of the struct; a newer header needs a newer library. */
  CLC_ERROR_UNKNOWN_STRUCT_SIZE = -12,
  /* the handle was made before fork and is used in the child. Rings and threads do not survive fork. Make nodes and shards after it. */
  CLC_ERROR_FORKED = -13,
  /* the operation is not supported in this build or mode. For example an HTTP setting on a TCP forwarder. The message says which. */
  CLC_ERROR_NOT_SUPPORTED = -14,
  /* clear messages outside loopback. An endpoint without keys was to be opened on an address outside loopback. Give it a key, or say insecure in so many words. */
  CLC_ERROR_INSECURE_ADDRESS = -15,
  /* a key is needed and was not given. The endpoint is in secure mode: a connection needs the public key of its peer. */
  CLC_ERROR_NO_KEY = -16,
  /* the queue is full. The other side has not caught up. Poll, then try again; the depth is configured. */
  CLC_ERROR_QUEUE_FULL = -20,
  /* memory could not be had. An allocation or mapping failed, or a configured memory bound is reached. */
  CLC_ERROR_OUT_OF_MEMORY = -21,
  /* no more file descriptors. Raise the limit (`ulimit -n`, `LimitNOFILE=`) or lower `connections_max`. Accepting resumes by itself. */
  CLC_ERROR_DESCRIPTORS_EXHAUSTED = -22,
  /* the limit of connections is reached. Every connection slot of the shard is in use; raise `connections_max` or add shards. */
  CLC_ERROR_CONNECTIONS_EXHAUSTED = -23,
  /* every buffer is lent out. Release received messages sooner, or configure more buffers. */
  CLC_ERROR_BUFFERS_EXHAUSTED = -24,
  /* the limit of locked memory is reached. Raise it (`ulimit -l`, `LimitMEMLOCK=`) or ask for fewer fixed buffers. */
  CLC_ERROR_LOCKED_MEMORY_EXHAUSTED = -25,
  /* the child list is full. Remove a back end first, or raise `backends_max`. */
  CLC_ERROR_TOO_MANY_BACKENDS = -26,
  /* the time allowed has passed. The message names the wait and its limit. */
  CLC_ERROR_TIMEOUT = -30,
  /* a signal interrupted the wait. Nothing was lost; call again. */
  CLC_ERROR_INTERRUPTED = -31,
  /* nothing is ready. The call does not wait. Wait for the descriptor to become readable, then call again. */
  CLC_ERROR_WOULD_BLOCK = -32,
  /* the operation was cancelled. Its owner was closed or removed while it ran. */
  CLC_ERROR_CANCELLED = -33,
  /* the address is already in use. Another program listens there: `ss -ltnp` shows which. Stop it or choose another port. */
  CLC_ERROR_ADDRESS_IN_USE = -40,
  /* the address is not one of this machine, or its ports are used up. `ip addr` lists the addresses. For outgoing connections widen `net.ipv4.ip_local_port_range`. */
  CLC_ERROR_ADDRESS_NOT_AVAILABLE = -41,
  /* the kernel refuses permission. Ports below `net.ipv4.ip_unprivileged_port_start` need CAP_NET_BIND_SERVICE. */
  CLC_ERROR_PERMISSION_DENIED = -42,
  /* the kernel lacks something that is required. Linux 6.1 is the floor. `clustercore doctor` says what is missing. */
  CLC_ERROR_UNSUPPORTED_KERNEL = -43,
  /* the use of io_uring is forbidden here. `kernel.io_uring_disabled` or a seccomp filter refuses it, and the driver `uring` was asked for. Use `auto`. */
  CLC_ERROR_IO_URING_FORBIDDEN = -44,
  /* a system call failed. The message names the call and the kernel's error. */
  CLC_ERROR_IO = -45,
  /* the connection was refused. Nothing listens at that address. */
  CLC_ERROR_CONNECTION_REFUSED = -50,
  /* the other end reset the connection. It ended or crashed in the middle of an exchange. */
  CLC_ERROR_CONNECTION_RESET = -51,
  /* the other end closed before the exchange was complete. What arrived so far is not the whole. */
  CLC_ERROR_PEER_CLOSED = -52,
  /* the network or host cannot be reached. There is no route, or the neighbour does not answer. */
  CLC_ERROR_UNREACHABLE = -53,
  /* the other end broke the protocol. What arrived does not parse; it was counted and dropped. */
  CLC_ERROR_PROTOCOL = -54,
  /* the connection is not open. It has not been made yet, it is closing, or it is over. Wait for Connected, or connect again. */
  CLC_ERROR_NOT_CONNECTED = -55,
  /* no forwarder has this name or key. It was never made, or it was closed. */
  CLC_ERROR_NO_SUCH_FORWARDER = -60,
  /* no back end has this key. It was removed, or the key is from another forwarder. */
  CLC_ERROR_NO_SUCH_BACKEND = -61,
  /* no listener has this key. It was closed, or the key is from another forwarder. */
  CLC_ERROR_NO_SUCH_LISTENER = -62,
  /* no back end may be used. The child list is empty, or all in it are draining or ejected. */
  CLC_ERROR_NO_BACKEND = -63,
  /* every back end is at its limit. Clients get 503 with Retry-After once the queue is full as well. */
  CLC_ERROR_SATURATED = -64,
  /* the client's request is refused. It is ambiguous or malformed; the client got a 4xx or 5xx answer and its connection was closed. */
  CLC_ERROR_BAD_REQUEST = -65,
  /* the back end's response is refused. It is ambiguous or malformed; the client got a 502 answer. */
  CLC_ERROR_BAD_RESPONSE = -66,
  /* the pool has no node of this name. Add the node to the pool first. */
  CLC_ERROR_NO_SUCH_NODE = -67,
  /* the pool has no service of this name. Add the service to the pool first. */
  CLC_ERROR_NO_SUCH_SERVICE = -68,
  /* the fencing token is not the present one. The lease has expired or went to another service; what this holder orders is refused. */
  CLC_ERROR_STALE_TOKEN = -69,
  /* the pool has no node to lend. Every node is leased, and fairness gives this service no more. Ask again later. */
  CLC_ERROR_POOL_EXHAUSTED = -70,
  /* there is no such endpoint. It was closed, or it is another shard's. */
  CLC_ERROR_NO_SUCH_ENDPOINT = -71,
  /* there is no such datagram socket. It was closed, or it is another shard's. */
  CLC_ERROR_NO_SUCH_SOCKET = -72,
  /* there is no such call. It has ended: by its reply, by its caller, or with its connection. */
  CLC_ERROR_NO_SUCH_CALL = -73,
  /* as many calls as may be are outstanding on the connection. Collect replies first, or open the endpoint with more slots. */
  CLC_ERROR_TOO_MANY_CALLS = -74,
  /* the call did not go well. Its status says why, its outcome whether the procedure was executed: only when it was not, or when that makes no difference, call again. */
  CLC_ERROR_CALL_FAILED = -75,
  /* the text is not a key of the kind that is wanted. A private key is a line `clc-private-x25519 BASE64`, a public one `clc-public-x25519 BASE64`. `clustercore keygen` makes both. */
  CLC_ERROR_BAD_KEY = -80,
  /* others than its owner can get at the private key. Run `chmod 600` on the file. If somebody may have read it, make a new key. */
  CLC_ERROR_KEY_EXPOSED = -81,
  /* the file exists and is not written over. Name another file, or remove it first. */
  CLC_ERROR_FILE_EXISTS = -82,
  /* a defect in clustercore was caught at its boundary. Please report it with the message. The handle it happened on must be closed. */
  CLC_ERROR_PANIC = -90,
  /* an internal invariant does not hold. Please report it with the message. */
  CLC_ERROR_INTERNAL = -91,
  /* no error: every function that can fail returns this or one of the above */
  CLC_OK = 0
};

/* X(name, status, retryable, message) for each error: expand it to make a table of your own. */
#define CLC_ERRORS(X) \
  X(INVALID_ARGUMENT, CLC_ERROR_INVALID_ARGUMENT, 0, "an argument has a value outside its range") \
  X(NULL_ARGUMENT, CLC_ERROR_NULL_ARGUMENT, 0, "a required pointer is NULL") \
  X(WRONG_THREAD, CLC_ERROR_WRONG_THREAD, 0, "the shard belongs to another thread") \
  X(CLOSED, CLC_ERROR_CLOSED, 0, "the handle is closed") \
  X(WRONG_STATE, CLC_ERROR_WRONG_STATE, 0, "the operation is not possible in the present state") \
  X(ALREADY_EXISTS, CLC_ERROR_ALREADY_EXISTS, 0, "the name is already in use") \
  X(BUFFER_TOO_SMALL, CLC_ERROR_BUFFER_TOO_SMALL, 0, "the output buffer is too small") \
  X(TOO_LARGE, CLC_ERROR_TOO_LARGE, 0, "a value is above its configured limit") \
  X(BAD_ADDRESS, CLC_ERROR_BAD_ADDRESS, 0, "the address is not of the form host:port") \
  X(BAD_CONFIGURATION, CLC_ERROR_BAD_CONFIGURATION, 0, "the configuration is not valid") \
  X(NOT_A_LISTENER, CLC_ERROR_NOT_A_LISTENER, 0, "the file descriptor is not a listening stream socket") \
  X(UNKNOWN_STRUCT_SIZE, CLC_ERROR_UNKNOWN_STRUCT_SIZE, 0, "the field struct_size is not one that this library knows") \
  X(FORKED, CLC_ERROR_FORKED, 0, "the handle was made before fork and is used in the child") \
  X(NOT_SUPPORTED, CLC_ERROR_NOT_SUPPORTED, 0, "the operation is not supported in this build or mode") \
  X(INSECURE_ADDRESS, CLC_ERROR_INSECURE_ADDRESS, 0, "clear messages outside loopback") \
  X(NO_KEY, CLC_ERROR_NO_KEY, 0, "a key is needed and was not given") \
  X(QUEUE_FULL, CLC_ERROR_QUEUE_FULL, 1, "the queue is full") \
  X(OUT_OF_MEMORY, CLC_ERROR_OUT_OF_MEMORY, 0, "memory could not be had") \
  X(DESCRIPTORS_EXHAUSTED, CLC_ERROR_DESCRIPTORS_EXHAUSTED, 1, "no more file descriptors") \
  X(CONNECTIONS_EXHAUSTED, CLC_ERROR_CONNECTIONS_EXHAUSTED, 1, "the limit of connections is reached") \
  X(BUFFERS_EXHAUSTED, CLC_ERROR_BUFFERS_EXHAUSTED, 1, "every buffer is lent out") \
  X(LOCKED_MEMORY_EXHAUSTED, CLC_ERROR_LOCKED_MEMORY_EXHAUSTED, 0, "the limit of locked memory is reached") \
  X(TOO_MANY_BACKENDS, CLC_ERROR_TOO_MANY_BACKENDS, 0, "the child list is full") \
  X(TIMEOUT, CLC_ERROR_TIMEOUT, 1, "the time allowed has passed") \
  X(INTERRUPTED, CLC_ERROR_INTERRUPTED, 1, "a signal interrupted the wait") \
  X(WOULD_BLOCK, CLC_ERROR_WOULD_BLOCK, 1, "nothing is ready") \
  X(CANCELLED, CLC_ERROR_CANCELLED, 0, "the operation was cancelled") \
  X(ADDRESS_IN_USE, CLC_ERROR_ADDRESS_IN_USE, 0, "the address is already in use") \
  X(ADDRESS_NOT_AVAILABLE, CLC_ERROR_ADDRESS_NOT_AVAILABLE, 0, "the address is not one of this machine, or its ports are used up") \
  X(PERMISSION_DENIED, CLC_ERROR_PERMISSION_DENIED, 0, "the kernel refuses permission") \
  X(UNSUPPORTED_KERNEL, CLC_ERROR_UNSUPPORTED_KERNEL, 0, "the kernel lacks something that is required") \
  X(IO_URING_FORBIDDEN, CLC_ERROR_IO_URING_FORBIDDEN, 0, "the use of io_uring is forbidden here") \
  X(IO, CLC_ERROR_IO, 0, "a system call failed") \
  X(CONNECTION_REFUSED, CLC_ERROR_CONNECTION_REFUSED, 1, "the connection was refused") \
  X(CONNECTION_RESET, CLC_ERROR_CONNECTION_RESET, 1, "the other end reset the connection") \
  X(PEER_CLOSED, CLC_ERROR_PEER_CLOSED, 1, "the other end closed before the exchange was complete") \
  X(UNREACHABLE, CLC_ERROR_UNREACHABLE, 1, "the network or host cannot be reached") \
  X(PROTOCOL, CLC_ERROR_PROTOCOL, 0, "the other end broke the protocol") \
  X(NOT_CONNECTED, CLC_ERROR_NOT_CONNECTED, 0, "the connection is not open") \
  X(NO_SUCH_FORWARDER, CLC_ERROR_NO_SUCH_FORWARDER, 0, "no forwarder has this name or key") \
  X(NO_SUCH_BACKEND, CLC_ERROR_NO_SUCH_BACKEND, 0, "no back end has this key") \
  X(NO_SUCH_LISTENER, CLC_ERROR_NO_SUCH_LISTENER, 0, "no listener has this key") \
  X(NO_BACKEND, CLC_ERROR_NO_BACKEND, 1, "no back end may be used") \
  X(SATURATED, CLC_ERROR_SATURATED, 1, "every back end is at its limit") \
  X(BAD_REQUEST, CLC_ERROR_BAD_REQUEST, 0, "the client's request is refused") \
  X(BAD_RESPONSE, CLC_ERROR_BAD_RESPONSE, 0, "the back end's response is refused") \
  X(NO_SUCH_NODE, CLC_ERROR_NO_SUCH_NODE, 0, "the pool has no node of this name") \
  X(NO_SUCH_SERVICE, CLC_ERROR_NO_SUCH_SERVICE, 0, "the pool has no service of this name") \
  X(STALE_TOKEN, CLC_ERROR_STALE_TOKEN, 0, "the fencing token is not the present one") \
  X(POOL_EXHAUSTED, CLC_ERROR_POOL_EXHAUSTED, 1, "the pool has no node to lend") \
  X(NO_SUCH_ENDPOINT, CLC_ERROR_NO_SUCH_ENDPOINT, 0, "there is no such endpoint") \
  X(NO_SUCH_SOCKET, CLC_ERROR_NO_SUCH_SOCKET, 0, "there is no such datagram socket") \
  X(NO_SUCH_CALL, CLC_ERROR_NO_SUCH_CALL, 0, "there is no such call") \
  X(TOO_MANY_CALLS, CLC_ERROR_TOO_MANY_CALLS, 1, "as many calls as may be are outstanding on the connection") \
  X(CALL_FAILED, CLC_ERROR_CALL_FAILED, 0, "the call did not go well") \
  X(BAD_KEY, CLC_ERROR_BAD_KEY, 0, "the text is not a key of the kind that is wanted") \
  X(KEY_EXPOSED, CLC_ERROR_KEY_EXPOSED, 0, "others than its owner can get at the private key") \
  X(FILE_EXISTS, CLC_ERROR_FILE_EXISTS, 0, "the file exists and is not written over") \
  X(PANIC, CLC_ERROR_PANIC, 0, "a defect in clustercore was caught at its boundary") \
  X(INTERNAL, CLC_ERROR_INTERNAL, 0, "an internal invariant does not hold")

#endif /* CLUSTERCORE_ERRORS_H */
