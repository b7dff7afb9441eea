"""Exceptions of clustercore. Generated from core/errors.toml by `cargo xtask gen`; do not edit."""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AddressInUse",
    "AddressNotAvailable",
    "AlreadyExists",
    "BadAddress",
    "BadConfiguration",
    "BadKey",
    "BadRequest",
    "BadResponse",
    "BufferTooSmall",
    "BuffersExhausted",
    "CallFailed",
    "Cancelled",
    "Closed",
    "ClusterError",
    "ConnectionRefused",
    "ConnectionReset",
    "ConnectionsExhausted",
    "DescriptorsExhausted",
    "FileExists",
    "Forked",
    "InputOutput",
    "InsecureAddress",
    "Internal",
    "Interrupted",
    "InvalidArgument",
    "IoUringForbidden",
    "KeyExposed",
    "LockedMemoryExhausted",
    "NoBackend",
    "NoKey",
    "NoSuchBackend",
    "NoSuchCall",
    "NoSuchEndpoint",
    "NoSuchForwarder",
    "NoSuchListener",
    "NoSuchNode",
    "NoSuchService",
    "NoSuchSocket",
    "NotAListener",
    "NotConnected",
    "NotSupported",
    "NullArgument",
    "OutOfMemory",
    "Panic",
    "PeerClosed",
    "PermissionDenied",
    "PoolExhausted",
    "ProtocolViolation",
    "QueueFull",
    "Saturated",
    "StaleToken",
    "Timeout",
    "TooLarge",
    "TooManyBackends",
    "TooManyCalls",
    "UnknownStructSize",
    "Unreachable",
    "UnsupportedKernel",
    "WouldBlock",
    "WrongState",
    "WrongThread",
    "from_code",
]


class ClusterError(Exception):
    """Base of every exception that clustercore raises.

    ``code`` is the registered number, ``name`` its name, ``retryable`` says whether the same call may
    succeed later, and ``side`` where the cause usually is.
    """

    code: ClassVar[int] = 0
    name: ClassVar[str] = ""
    retryable: ClassVar[bool] = False
    side: ClassVar[str] = "local"

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else self.name


class InvalidArgument(ClusterError, ValueError):
    """An argument has a value outside its range.

    The message names the argument, its value and the limit.
    """

    code = 1
    name = "INVALID_ARGUMENT"
    retryable = False
    side = "local"


class NullArgument(ClusterError, ValueError):
    """A required pointer is NULL.

    Only from C. The function's documentation says which pointers may be NULL.
    """

    code = 2
    name = "NULL_ARGUMENT"
    retryable = False
    side = "local"


class WrongThread(ClusterError, RuntimeError):
    """The shard belongs to another thread.

    A shard is bound to the thread of its first turn. Use a node to be called from any thread.
    """

    code = 3
    name = "WRONG_THREAD"
    retryable = False
    side = "local"


class Closed(ClusterError, RuntimeError):
    """The handle is closed.

    The node, shard, forwarder or listener was closed before this call; make a new one.
    """

    code = 4
    name = "CLOSED"
    retryable = False
    side = "local"


class WrongState(ClusterError, RuntimeError):
    """The operation is not possible in the present state.

    For example draining a back end that is already being drained. The message names the state.
    """

    code = 5
    name = "WRONG_STATE"
    retryable = False
    side = "local"


class AlreadyExists(ClusterError, ValueError):
    """The name is already in use.

    Names of forwarders, back ends, nodes and services are unique within their owner.
    """

    code = 6
    name = "ALREADY_EXISTS"
    retryable = False
    side = "local"


class BufferTooSmall(ClusterError, ValueError):
    """The output buffer is too small.

    Nothing was written. The required size is reported; call again with that much room.
    """

    code = 7
    name = "BUFFER_TOO_SMALL"
    retryable = False
    side = "local"


class TooLarge(ClusterError, ValueError):
    """A value is above its configured limit.

    The message names the length and the limit; raise the limit or send less.
    """

    code = 8
    name = "TOO_LARGE"
    retryable = False
    side = "local"


class BadAddress(ClusterError, ValueError):
    """The address is not of the form host:port.

    Write `127.0.0.1:8080` or `[::1]:8080`. Host names are not resolved here.
    """

    code = 9
    name = "BAD_ADDRESS"
    retryable = False
    side = "local"


class BadConfiguration(ClusterError, ValueError):
    """The configuration is not valid.

    Two settings contradict each other or one is missing; the message names them.
    """

    code = 10
    name = "BAD_CONFIGURATION"
    retryable = False
    side = "local"


class NotAListener(ClusterError, ValueError):
    """The file descriptor is not a listening stream socket.

    `listen(fd)` wants a TCP socket on which bind and listen were called.
    """

    code = 11
    name = "NOT_A_LISTENER"
    retryable = False
    side = "local"


class UnknownStructSize(ClusterError, ValueError):
    """The field struct_size is not one that this library knows.

    Only from C. Set `struct_size` to the size of the struct; a newer header needs a newer library.
    """

    code = 12
    name = "UNKNOWN_STRUCT_SIZE"
    retryable = False
    side = "local"


class Forked(ClusterError, RuntimeError):
    """The handle was made before fork and is used in the child.

    Rings and threads do not survive fork. Make nodes and shards after it.
    """

    code = 13
    name = "FORKED"
    retryable = False
    side = "local"


class NotSupported(ClusterError, NotImplementedError):
    """The operation is not supported in this build or mode.

    For example an HTTP setting on a TCP forwarder. The message says which.
    """

    code = 14
    name = "NOT_SUPPORTED"
    retryable = False
    side = "local"


class InsecureAddress(ClusterError):
    """Clear messages outside loopback.

    An endpoint without keys was to be opened on an address outside loopback. Give it a key, or say
    insecure in so many words.
    """

    code = 15
    name = "INSECURE_ADDRESS"
    retryable = False
    side = "local"


class NoKey(ClusterError):
    """A key is needed and was not given.

    The endpoint is in secure mode: a connection needs the public key of its peer.
    """

    code = 16
    name = "NO_KEY"
    retryable = False
    side = "local"


class QueueFull(ClusterError):
    """The queue is full.

    The other side has not caught up. Poll, then try again; the depth is configured.
    """

    code = 20
    name = "QUEUE_FULL"
    retryable = True
    side = "local"


class OutOfMemory(ClusterError, MemoryError):
    """Memory could not be had.

    An allocation or mapping failed, or a configured memory bound is reached.
    """

    code = 21
    name = "OUT_OF_MEMORY"
    retryable = False
    side = "local"


class DescriptorsExhausted(ClusterError, OSError):
    """No more file descriptors.

    Raise the limit (`ulimit -n`, `LimitNOFILE=`) or lower `connections_max`. Accepting resumes by
    itself.
    """

    code = 22
    name = "DESCRIPTORS_EXHAUSTED"
    retryable = True
    side = "kernel"


class ConnectionsExhausted(ClusterError):
    """The limit of connections is reached.

    Every connection slot of the shard is in use; raise `connections_max` or add shards.
    """

    code = 23
    name = "CONNECTIONS_EXHAUSTED"
    retryable = True
    side = "local"


class BuffersExhausted(ClusterError, BufferError):
    """Every buffer is lent out.

    Release received messages sooner, or configure more buffers.
    """

    code = 24
    name = "BUFFERS_EXHAUSTED"
    retryable = True
    side = "local"


class LockedMemoryExhausted(ClusterError, OSError):
    """The limit of locked memory is reached.

    Raise it (`ulimit -l`, `LimitMEMLOCK=`) or ask for fewer fixed buffers.
    """

    code = 25
    name = "LOCKED_MEMORY_EXHAUSTED"
    retryable = False
    side = "kernel"


class TooManyBackends(ClusterError):
    """The child list is full.

    Remove a back end first, or raise `backends_max`.
    """

    code = 26
    name = "TOO_MANY_BACKENDS"
    retryable = False
    side = "local"


class Timeout(ClusterError, TimeoutError):
    """The time allowed has passed.

    The message names the wait and its limit.
    """

    code = 30
    name = "TIMEOUT"
    retryable = True
    side = "local"


class Interrupted(ClusterError, InterruptedError):
    """A signal interrupted the wait.

    Nothing was lost; call again.
    """

    code = 31
    name = "INTERRUPTED"
    retryable = True
    side = "local"


class WouldBlock(ClusterError, BlockingIOError):
    """Nothing is ready.

    The call does not wait. Wait for the descriptor to become readable, then call again.
    """

    code = 32
    name = "WOULD_BLOCK"
    retryable = True
    side = "local"


class Cancelled(ClusterError):
    """The operation was cancelled.

    Its owner was closed or removed while it ran.
    """

    code = 33
    name = "CANCELLED"
    retryable = False
    side = "local"


class AddressInUse(ClusterError, OSError):
    """The address is already in use.

    Another program listens there: `ss -ltnp` shows which. Stop it or choose another port.
    """

    code = 40
    name = "ADDRESS_IN_USE"
    retryable = False
    side = "kernel"


class AddressNotAvailable(ClusterError, OSError):
    """The address is not one of this machine, or its ports are used up.

    `ip addr` lists the addresses. For outgoing connections widen `net.ipv4.ip_local_port_range`.
    """

    code = 41
    name = "ADDRESS_NOT_AVAILABLE"
    retryable = False
    side = "kernel"


class PermissionDenied(ClusterError, PermissionError):
    """The kernel refuses permission.

    Ports below `net.ipv4.ip_unprivileged_port_start` need CAP_NET_BIND_SERVICE.
    """

    code = 42
    name = "PERMISSION_DENIED"
    retryable = False
    side = "kernel"


class UnsupportedKernel(ClusterError, OSError):
    """The kernel lacks something that is required.

    Linux 6.1 is the floor. `clustercore doctor` says what is missing.
    """

    code = 43
    name = "UNSUPPORTED_KERNEL"
    retryable = False
    side = "kernel"


class IoUringForbidden(ClusterError, PermissionError):
    """The use of io_uring is forbidden here.

    `kernel.io_uring_disabled` or a seccomp filter refuses it, and the driver `uring` was asked for. Use
    `auto`.
    """

    code = 44
    name = "IO_URING_FORBIDDEN"
    retryable = False
    side = "kernel"


class InputOutput(ClusterError, OSError):
    """A system call failed.

    The message names the call and the kernel's error.
    """

    code = 45
    name = "IO"
    retryable = False
    side = "kernel"


class ConnectionRefused(ClusterError, ConnectionRefusedError):
    """The connection was refused.

    Nothing listens at that address.
    """

    code = 50
    name = "CONNECTION_REFUSED"
    retryable = True
    side = "upstream"


class ConnectionReset(ClusterError, ConnectionResetError):
    """The other end reset the connection.

    It ended or crashed in the middle of an exchange.
    """

    code = 51
    name = "CONNECTION_RESET"
    retryable = True
    side = "peer"


class PeerClosed(ClusterError, ConnectionError):
    """The other end closed before the exchange was complete.

    What arrived so far is not the whole.
    """

    code = 52
    name = "PEER_CLOSED"
    retryable = True
    side = "peer"


class Unreachable(ClusterError, OSError):
    """The network or host cannot be reached.

    There is no route, or the neighbour does not answer.
    """

    code = 53
    name = "UNREACHABLE"
    retryable = True
    side = "upstream"


class ProtocolViolation(ClusterError, ConnectionError):
    """The other end broke the protocol.

    What arrived does not parse; it was counted and dropped.
    """

    code = 54
    name = "PROTOCOL"
    retryable = False
    side = "peer"


class NotConnected(ClusterError, ConnectionError):
    """The connection is not open.

    It has not been made yet, it is closing, or it is over. Wait for Connected, or connect again.
    """

    code = 55
    name = "NOT_CONNECTED"
    retryable = False
    side = "local"


class NoSuchForwarder(ClusterError, LookupError):
    """No forwarder has this name or key.

    It was never made, or it was closed.
    """

    code = 60
    name = "NO_SUCH_FORWARDER"
    retryable = False
    side = "local"


class NoSuchBackend(ClusterError, LookupError):
    """No back end has this key.

    It was removed, or the key is from another forwarder.
    """

    code = 61
    name = "NO_SUCH_BACKEND"
    retryable = False
    side = "local"


class NoSuchListener(ClusterError, LookupError):
    """No listener has this key.

    It was closed, or the key is from another forwarder.
    """

    code = 62
    name = "NO_SUCH_LISTENER"
    retryable = False
    side = "local"


class NoBackend(ClusterError):
    """No back end may be used.

    The child list is empty, or all in it are draining or ejected.
    """

    code = 63
    name = "NO_BACKEND"
    retryable = True
    side = "upstream"


class Saturated(ClusterError):
    """Every back end is at its limit.

    Clients get 503 with Retry-After once the queue is full as well.
    """

    code = 64
    name = "SATURATED"
    retryable = True
    side = "upstream"


class BadRequest(ClusterError):
    """The client's request is refused.

    It is ambiguous or malformed; the client got a 4xx or 5xx answer and its connection was closed.
    """

    code = 65
    name = "BAD_REQUEST"
    retryable = False
    side = "downstream"


class BadResponse(ClusterError):
    """The back end's response is refused.

    It is ambiguous or malformed; the client got a 502 answer.
    """

    code = 66
    name = "BAD_RESPONSE"
    retryable = False
    side = "upstream"


class NoSuchNode(ClusterError, LookupError):
    """The pool has no node of this name.

    Add the node to the pool first.
    """

    code = 67
    name = "NO_SUCH_NODE"
    retryable = False
    side = "local"


class NoSuchService(ClusterError, LookupError):
    """The pool has no service of this name.

    Add the service to the pool first.
    """

    code = 68
    name = "NO_SUCH_SERVICE"
    retryable = False
    side = "local"


class StaleToken(ClusterError):
    """The fencing token is not the present one.

    The lease has expired or went to another service; what this holder orders is refused.
    """

    code = 69
    name = "STALE_TOKEN"
    retryable = False
    side = "local"


class PoolExhausted(ClusterError):
    """The pool has no node to lend.

    Every node is leased, and fairness gives this service no more. Ask again later.
    """

    code = 70
    name = "POOL_EXHAUSTED"
    retryable = True
    side = "local"


class NoSuchEndpoint(ClusterError, LookupError):
    """There is no such endpoint.

    It was closed, or it is another shard's.
    """

    code = 71
    name = "NO_SUCH_ENDPOINT"
    retryable = False
    side = "local"


class NoSuchSocket(ClusterError, LookupError):
    """There is no such datagram socket.

    It was closed, or it is another shard's.
    """

    code = 72
    name = "NO_SUCH_SOCKET"
    retryable = False
    side = "local"


class NoSuchCall(ClusterError, LookupError):
    """There is no such call.

    It has ended: by its reply, by its caller, or with its connection.
    """

    code = 73
    name = "NO_SUCH_CALL"
    retryable = False
    side = "local"


class TooManyCalls(ClusterError):
    """As many calls as may be are outstanding on the connection.

    Collect replies first, or open the endpoint with more slots.
    """

    code = 74
    name = "TOO_MANY_CALLS"
    retryable = True
    side = "local"


class CallFailed(ClusterError):
    """The call did not go well.

    Its status says why, its outcome whether the procedure was executed: only when it was not, or when
    that makes no difference, call again.
    """

    code = 75
    name = "CALL_FAILED"
    retryable = False
    side = "peer"
    status: str
    outcome: str
    text: str
    metadata: dict[str, bytes]


class BadKey(ClusterError, ValueError):
    """The text is not a key of the kind that is wanted.

    A private key is a line `clc-private-x25519 BASE64`, a public one `clc-public-x25519 BASE64`.
    `clustercore keygen` makes both.
    """

    code = 80
    name = "BAD_KEY"
    retryable = False
    side = "local"


class KeyExposed(ClusterError, PermissionError):
    """Others than its owner can get at the private key.

    Run `chmod 600` on the file. If somebody may have read it, make a new key.
    """

    code = 81
    name = "KEY_EXPOSED"
    retryable = False
    side = "local"


class FileExists(ClusterError, FileExistsError):
    """The file exists and is not written over.

    Name another file, or remove it first.
    """

    code = 82
    name = "FILE_EXISTS"
    retryable = False
    side = "local"


class Panic(ClusterError, RuntimeError):
    """A defect in clustercore was caught at its boundary.

    Please report it with the message. The handle it happened on must be closed.
    """

    code = 90
    name = "PANIC"
    retryable = False
    side = "local"


class Internal(ClusterError, RuntimeError):
    """An internal invariant does not hold.

    Please report it with the message.
    """

    code = 91
    name = "INTERNAL"
    retryable = False
    side = "local"


_CLASSES: dict[int, type[ClusterError]] = {
    1: InvalidArgument,
    2: NullArgument,
    3: WrongThread,
    4: Closed,
    5: WrongState,
    6: AlreadyExists,
    7: BufferTooSmall,
    8: TooLarge,
    9: BadAddress,
    10: BadConfiguration,
    11: NotAListener,
    12: UnknownStructSize,
    13: Forked,
    14: NotSupported,
    15: InsecureAddress,
    16: NoKey,
    20: QueueFull,
    21: OutOfMemory,
    22: DescriptorsExhausted,
    23: ConnectionsExhausted,
    24: BuffersExhausted,
    25: LockedMemoryExhausted,
    26: TooManyBackends,
    30: Timeout,
    31: Interrupted,
    32: WouldBlock,
    33: Cancelled,
    40: AddressInUse,
    41: AddressNotAvailable,
    42: PermissionDenied,
    43: UnsupportedKernel,
    44: IoUringForbidden,
    45: InputOutput,
    50: ConnectionRefused,
    51: ConnectionReset,
    52: PeerClosed,
    53: Unreachable,
    54: ProtocolViolation,
    55: NotConnected,
    60: NoSuchForwarder,
    61: NoSuchBackend,
    62: NoSuchListener,
    63: NoBackend,
    64: Saturated,
    65: BadRequest,
    66: BadResponse,
    67: NoSuchNode,
    68: NoSuchService,
    69: StaleToken,
    70: PoolExhausted,
    71: NoSuchEndpoint,
    72: NoSuchSocket,
    73: NoSuchCall,
    74: TooManyCalls,
    75: CallFailed,
    80: BadKey,
    81: KeyExposed,
    82: FileExists,
    90: Panic,
    91: Internal,
}


def from_code(code: int, message: str) -> ClusterError:
    """Make the exception of a registered number; an unknown number becomes a plain ``ClusterError``."""
    return _CLASSES.get(code, ClusterError)(message)
