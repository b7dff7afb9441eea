"""The native part of clustercore. Import `clustercore`, which has everything in it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import (
    Any,
    ClassVar,
    Final,
    Literal,
    Protocol,
    Self,
    TypeAlias,
    TypedDict,
    Unpack,
    final,
    type_check_only,
)

from clustercore._errors import CallFailed

__all__ = [
    "IS_DEBUG_BUILD",
    "AcceptPaused",
    "Accepted",
    "AutoThresholds",
    "Backend",
    "BackendDrained",
    "BackendEjected",
    "BackendReturned",
    "CallContext",
    "CallHandle",
    "CallParts",
    "CallServer",
    "Channel",
    "ChannelEvent",
    "ChannelServer",
    "Connected",
    "Connection",
    "ConnectionGone",
    "Datagram",
    "DeferredCall",
    "Delivery",
    "Endpoint",
    "Forwarder",
    "HealthConfig",
    "Key",
    "Lease",
    "Message",
    "MessageBatch",
    "Moved",
    "Node",
    "Participant",
    "Path",
    "PathBroken",
    "PathRestored",
    "Pool",
    "Saturated",
    "Scaler",
    "Shard",
    "Socket",
    "Stream",
    "Writable",
    "__version__",
    "counters",
    "default_thresholds",
    "parse_public_key",
    "probe",
    "public_key_text",
    "resolve",
]

__version__: str
IS_DEBUG_BUILD: Final[bool]

_Log: TypeAlias = Callable[[str, str], object]
_Event: TypeAlias = (
    AcceptPaused | BackendDrained | BackendEjected | BackendReturned | PathBroken | PathRestored | Saturated
)
_ConnectionEvent: TypeAlias = Accepted | Connected | ConnectionGone | Moved | Writable
_Bytes: TypeAlias = bytes | bytearray | memoryview
_Server: TypeAlias = str | tuple[str, str]
_StreamKind: TypeAlias = Literal["ordered", "unordered", "latest", "unreliable"]

@type_check_only
class _HasFileno(Protocol):
    def fileno(self) -> int: ...

@type_check_only
class _ForwarderOptions(TypedDict, total=False):
    mode: str
    policy: str
    signal: str
    medium_per_core: float | None
    high_per_core: float | None
    queue_max: int
    queue_timeout: float
    retry_after: int
    retries_max: int
    head_timeout: float
    idle_timeout: float
    response_timeout: float
    connect_timeout: float
    body_timeout: float
    proxy_in: str
    proxy_out: str
    trust_forwarded: bool
    head_bytes_max: int
    headers_max: int
    clients_max: int
    health: HealthConfig | Literal["off"] | None
    job_key: Key | None
    job_insecure: bool

@type_check_only
class _EndpointOptions(TypedDict, total=False):
    key: Key | None
    allow: str | Iterable[str | _Bytes] | None
    window: int
    stream_window: int | None
    send_buffer: int
    receive_buffer: int
    message_bytes_max: int
    packet_bytes_max: int
    path_known: bool
    connections_max: int
    streams_max: int
    accepting: bool
    idle_timeout: float
    keep_alive: float
    gone_after: float
    handshake_timeout: float
    acknowledgement_delay: float
    fixed_window: int | None
    ecn: bool
    insecure: bool
    trace_path: str | PathLike[str] | None
    key_log_path: str | PathLike[str] | None

@type_check_only
class _SocketOptions(TypedDict, total=False):
    receive_buffer: int
    send_buffer: int
    ecn: bool
    dont_fragment: bool
    reuse_port: bool
    ipv6_only: bool

@final
class Node:
    """Shards on threads of their own, and a handle for any thread.

    `shards` threads (1 to 256); `driver` is "auto", "uring" or "epoll"; `spin_us` microseconds of spinning
    before a shard blocks; `connections_max` connections per shard, those to back ends included; `log` is
    called with (level, text) by `poll`, on the thread that polls. Use it as a context manager, or call
    `close`.

    Raises InvalidArgument, IoUringForbidden, UnsupportedKernel, OutOfMemory, DescriptorsExhausted.
    """

    def __new__(
        cls,
        *,
        shards: int = 1,
        driver: str = "auto",
        spin_us: int = 0,
        connections_max: int = 16384,
        log: _Log | None = None,
    ) -> Self: ...
    @property
    def driver(self) -> str:
        """Which driver and features run, and why: "uring: multishot_accept, ..."."""
    @property
    def shards(self) -> int:
        """How many shards it has."""
    def forwarder(self, name: str, **options: Unpack[_ForwarderOptions]) -> Forwarder:
        """Makes a forwarder for one service, on every shard; the options are those of Forwarder.

        Raises InvalidArgument, BadConfiguration, AlreadyExists (the name), Closed.
        """
    def poll(self, timeout: float | None = None, *, max: int = 1024) -> list[_Event]:
        """Waits until events are there and takes them, at most `max`; an empty list after `timeout`
        seconds. None waits without limit.

        Other threads run meanwhile, and a signal's handler may raise from here. Raises Closed, also when
        the node is closed during the wait.
        """
    def fileno(self) -> int:
        """A descriptor that is readable when `poll` has something to bring, for `select` and event loops."""
    def counters(self) -> dict[str, int]:
        """Counters by label, summed over all forwarders; see `clustercore.counters()`."""
    def close(self) -> None:
        """Ends all threads, forwarders and connections. Does nothing when called again."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Shard:
    """One ring, one loop, no thread of ours: wait until `fileno()` is readable or `next_timeout()` seconds
    have passed, call `turn()`, then look at `events()`.

    It belongs to the thread of its first turn; in others every call raises WrongThread. `driver`, `spin_us`
    and `connections_max` as for Node; `seed` makes random choices repeatable; `log` is called with (level,
    text) by `turn`.

    Raises InvalidArgument, IoUringForbidden, UnsupportedKernel, OutOfMemory, DescriptorsExhausted.
    """

    def __new__(
        cls,
        *,
        driver: str = "auto",
        spin_us: int = 0,
        connections_max: int = 16384,
        seed: int = 0,
        log: _Log | None = None,
    ) -> Self: ...
    @property
    def driver(self) -> str:
        """Which driver and features run, and why: "uring: multishot_accept, ..."."""
    def forwarder(self, name: str, **options: Unpack[_ForwarderOptions]) -> Forwarder:
        """Makes a forwarder for one service; the options are those of Forwarder.

        Raises InvalidArgument, BadConfiguration, AlreadyExists (the name), Closed, WrongThread.
        """
    def endpoint(self, address: str, **options: Unpack[_EndpointOptions]) -> Endpoint:
        """Opens an endpoint of reliable datagrams on "ip:port"; the options are those of Endpoint.

        Raises BadAddress, InsecureAddress, BadConfiguration, InvalidArgument, AddressInUse,
        AddressNotAvailable, PermissionDenied, TooLarge, Closed, WrongThread.
        """
    def bind(self, address: str, **options: Unpack[_SocketOptions]) -> Socket:
        """Binds a socket for plain datagrams to "ip:port"; the options are those of Socket.

        Raises BadAddress, InvalidArgument, AddressInUse, AddressNotAvailable, PermissionDenied, TooLarge,
        Closed, WrongThread.
        """
    def messages(self) -> list[Message]:
        """Messages that the last turn has brought, of all endpoints, each once. The next turn gives their
        room back to the senders; what nobody has taken by then is lost.
        """
    def message_batch(self) -> MessageBatch:
        """As `messages`, but all in one buffer with offsets, for speed."""
    def connection_events(self) -> list[_ConnectionEvent]:
        """What has happened to connections of all endpoints since the last call."""
    def datagrams(self) -> list[Datagram]:
        """Plain datagrams that the last turn has brought, of all sockets, each once; what nobody has taken by
        the next one is lost.
        """
    def fileno(self) -> int:
        """A descriptor that is readable when `turn` has something to do."""
    def next_timeout(self) -> float | None:
        """Seconds for which the descriptor may be waited for before `turn` has timers to run; None without
        timers, 0 for "turn now".
        """
    def turn(self, timeout: float = 0.0) -> None:
        """Does all there is to do now, and submits what came of it. Does not wait, unless `timeout` seconds
        are given: then for so long when there is nothing to do.

        Raises WrongThread, Closed; InputOutput when the driver can go no further.
        """
    def events(self) -> list[_Event]:
        """Events since the last call."""
    def close(self) -> None:
        """Ends all forwarders, endpoints, sockets and connections. Does nothing when called again. Raises
        WrongThread.
        """
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Endpoint:
    """Exchanges messages with other endpoints over UDP, exactly once while both live. Made by
    `Shard.endpoint`, whose options are here.

    Port 0 lets the system choose. `window` is the credit of a connection: bytes, plus 16 a message, that
    have arrived and that no turn has given back yet; `stream_window` that of each stream, None for the same.
    `send_buffer` bytes wait to be sent or acknowledged. `idle_timeout` and `keep_alive` 0 mean never; a
    peer that acknowledges nothing for `gone_after` is gone. Without `accepting` peers may not connect.
    `fixed_window` stands in for congestion control on a path whose capacity is set aside; `path_known` says
    that packets of `packet_bytes_max` pass. Times are in seconds, sizes in bytes.

    With `key` it is in secure mode: both ends are proven, nobody else reads or changes anything. `allow` has
    the public keys of the clients that are let in, each as text or as 32 bytes, or is the text of a list (one
    a line, `#` begins a comment); None lets everybody in who has a key, and Accepted tells whose it is.
    Without `key` messages are clear, which outside loopback must be asked for by `insecure`.

    To look for the reason of something: `trace_path` names a new file in qlog's manner (`.sqlog`) that tells
    what happens, packet by packet; to `key_log_path` the secrets of connections are appended, in secure mode:
    whoever reads that file can read what is sent.

    Raises BadAddress, BadKey, InsecureAddress, BadConfiguration, InvalidArgument, AddressInUse,
    AddressNotAvailable, PermissionDenied, TooLarge, KeyExposed, InputOutput, WrongThread, Closed.
    """

    def __new__(
        cls,
        owner: Shard,
        address: str,
        *,
        key: Key | None = None,
        allow: str | Iterable[str | _Bytes] | None = None,
        window: int = 4194304,
        stream_window: int | None = None,
        send_buffer: int = 4194304,
        receive_buffer: int = 0,
        message_bytes_max: int = 1048576,
        packet_bytes_max: int = 1472,
        path_known: bool = False,
        connections_max: int = 16384,
        streams_max: int = 1024,
        accepting: bool = True,
        idle_timeout: float = 60.0,
        keep_alive: float = 0.0,
        gone_after: float = 10.0,
        handshake_timeout: float = 10.0,
        acknowledgement_delay: float = 0.005,
        fixed_window: int | None = None,
        ecn: bool = True,
        insecure: bool = False,
        trace_path: str | PathLike[str] | None = None,
        key_log_path: str | PathLike[str] | None = None,
    ) -> Self: ...
    @property
    def address(self) -> str:
        """Where it is bound, "ip:port". Raises NoSuchEndpoint (it was closed)."""
    def connect(self, peer: str, key: str | _Bytes | None = None) -> Connection:
        """Begins a connection to "ip:port"; an event tells the end, Connected or ConnectionGone. `key` is the
        public key, text or 32 bytes, that the peer must have, in secure mode.

        Raises BadAddress, ConnectionsExhausted, NoKey, BadKey, BadConfiguration (a key, and the endpoint is
        clear), InvalidArgument, NoSuchEndpoint.
        """
    def stats(self) -> dict[str, int]:
        """What it has counted, by label."""
    def close(self) -> None:
        """Closes it. Its connections end without a word to their peers: finish them before. Does nothing when
        called again.
        """
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Connection:
    """A connection of an endpoint to a peer: a value. Made by `Endpoint.connect`, and named by messages and
    events.
    """

    @property
    def endpoint(self) -> Endpoint:
        """Its endpoint."""
    @property
    def index(self) -> int:
        """Its place: small, used again after its end."""
    @property
    def generation(self) -> int:
        """Counts the uses of the place."""
    def send(self, data: _Bytes, stream: int = 0, kind: str = "ordered") -> int:
        """Sends a message and returns its place in its stream, from 0; it leaves with the next turn.

        `kind` is what the stream promises: "ordered" and "unordered", each message exactly once; "latest",
        the newest one, older ones may be skipped; "unreliable", at most once. Each kind has streams 0 to
        2**30 - 1 of its own. Raises WouldBlock (the event Writable tells when to go on), NotConnected,
        TooLarge, InvalidArgument, NoSuchEndpoint.
        """
    def finish(self, code: int = 256, text: str = "") -> None:
        """Ends it when all that was sent has arrived; the peer gets `code`, 256 or more, and `text`.
        ConnectionGone follows.

        Raises InvalidArgument, NoSuchEndpoint.
        """
    def close(self, code: int = 256, text: str = "") -> None:
        """Ends it at once; the peer gets `code`, 256 or more, and `text`. ConnectionGone follows.

        Raises InvalidArgument, NoSuchEndpoint.
        """
    def path(self) -> Path:
        """What is known of its path. Raises NotConnected, NoSuchEndpoint."""
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Path:
    """What a connection knew of its path at the moment of asking. Times are in seconds."""

    @property
    def rtt(self) -> float:
        """Smoothed round trip."""
    @property
    def rtt_min(self) -> float:
        """The shortest one."""
    @property
    def window(self) -> int:
        """Bytes that may be in flight."""
    @property
    def in_flight(self) -> int:
        """Bytes in flight."""
    @property
    def packet_bytes(self) -> int:
        """Longest packet, bytes of UDP payload."""
    @property
    def ecn(self) -> bool:
        """Whether packets are marked as capable of congestion notification."""
    def __eq__(self, value: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Message:
    """A message that has arrived. Its bytes are a copy, and yours."""

    __match_args__: ClassVar[tuple[str, str, str, str, str]] = (
        "connection",
        "stream",
        "kind",
        "sequence",
        "payload",
    )
    @property
    def connection(self) -> Connection:
        """The connection it came by."""
    @property
    def stream(self) -> int:
        """Number of the stream."""
    @property
    def kind(self) -> _StreamKind:
        """Kind of the stream: "ordered", "unordered", "latest" or "unreliable"."""
    @property
    def sequence(self) -> int:
        """Its place in the stream, from 0; always 0 on unreliable ones."""
    @property
    def payload(self) -> bytes:
        """Its bytes."""

@final
class MessageBatch:
    """All messages of a turn in one buffer, for speed.

    Message `n` is `buffer[offsets[2 * n] : offsets[2 * n + 1]]`. `runs` tells whose they are: (connection,
    stream, kind, sequence of the first, how many) in the order of the buffer.
    """

    @property
    def buffer(self) -> bytes:
        """The bytes of all messages."""
    @property
    def offsets(self) -> memoryview:
        """Begin and end of each message in the buffer: a view of unsigned 32-bit numbers, two for each."""
    @property
    def runs(self) -> list[tuple[Connection, int, _StreamKind, int, int]]:
        """(connection, stream, kind, sequence of the first, how many) of messages that came together."""
    def to_list(self) -> list[bytes]:
        """The messages as bytes of their own."""
    def __len__(self) -> int: ...

@final
class Connected:
    """`Endpoint.connect` has ended well."""

    __match_args__: ClassVar[tuple[str]] = ("connection",)
    @property
    def connection(self) -> Connection:
        """The connection."""
    @property
    def epoch(self) -> int:
        """Which run of its program the peer is: another one after a restart."""
    @property
    def identity(self) -> bytes | None:
        """Its public key, in secure mode."""

@final
class Accepted:
    """A peer has connected."""

    __match_args__: ClassVar[tuple[str, str]] = ("connection", "peer")
    @property
    def connection(self) -> Connection:
        """The connection."""
    @property
    def peer(self) -> str:
        """Where it came from, "ip:port"."""
    @property
    def epoch(self) -> int:
        """Which run of its program the peer is: another one after a restart."""
    @property
    def identity(self) -> bytes | None:
        """Its public key, in secure mode."""

@final
class Writable:
    """There is room again after a WouldBlock."""

    __match_args__: ClassVar[tuple[str]] = ("connection",)
    @property
    def connection(self) -> Connection:
        """The connection."""

@final
class Moved:
    """The peer has moved to another address."""

    __match_args__: ClassVar[tuple[str, str]] = ("connection", "peer")
    @property
    def connection(self) -> Connection:
        """The connection."""
    @property
    def peer(self) -> str:
        """Where it is now, "ip:port"."""

@final
class ConnectionGone:
    """A connection is over."""

    __match_args__: ClassVar[tuple[str, str, str, str]] = ("connection", "reason", "code", "text")
    @property
    def connection(self) -> Connection:
        """The connection."""
    @property
    def reason(self) -> str:
        """Why: "closed" (by us), "closed_by_peer", "unreachable", "refused", "no_common_version", "silent",
        "restarted" (the peer's program) or "violation" (of the protocol by the peer).
        """
    @property
    def code(self) -> int:
        """The code of the peer's close, refusal or violation; else 0."""
    @property
    def text(self) -> str:
        """The peer's words, or what the code means."""
    @property
    def unconfirmed(self) -> list[tuple[int, _StreamKind, int, int]]:
        """Messages of ours that are not known to have arrived: (stream, kind, first, last) of each range."""

@final
class Socket:
    """Sends and receives plain datagrams, of which nothing is promised. Made by `Shard.bind`, whose options
    are here.

    Port 0 lets the system choose. `receive_buffer` and `send_buffer` are bytes that may wait in the socket,
    0 for the system's choice; `ecn` sends with ECT(0) and tells the mark of what is received; `reuse_port`
    lets several sockets share an address; an `ipv6_only` socket takes no IPv4.

    Raises BadAddress, AddressInUse, AddressNotAvailable, PermissionDenied, TooLarge, WrongThread, Closed.
    """

    def __new__(
        cls,
        owner: Shard,
        address: str,
        *,
        receive_buffer: int = 0,
        send_buffer: int = 0,
        ecn: bool = False,
        dont_fragment: bool = False,
        reuse_port: bool = False,
        ipv6_only: bool = False,
    ) -> Self: ...
    @property
    def address(self) -> str:
        """Where it is bound, "ip:port". Raises NoSuchSocket (it was closed)."""
    def send(self, to: str, data: _Bytes, segment: int | None = None) -> None:
        """Sends bytes to "ip:port", as one datagram or as many of `segment` bytes each; they leave with the
        next turn.

        Raises BadAddress, InvalidArgument, TooLarge (a datagram is longer than 65,507 bytes), WouldBlock (too
        many wait), NoSuchSocket.
        """
    def counters(self) -> dict[str, int]:
        """What has passed through it, by label."""
    def close(self) -> None:
        """Closes it; what can be sent at once is. Does nothing when called again."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Datagram:
    """A plain datagram that has arrived."""

    __match_args__: ClassVar[tuple[str, str, str]] = ("socket", "sender", "payload")
    @property
    def socket(self) -> Socket:
        """The socket."""
    @property
    def sender(self) -> str:
        """The sender, "ip:port"."""
    @property
    def payload(self) -> bytes:
        """Its bytes."""
    @property
    def ecn(self) -> int:
        """Its mark of congestion control, 0 to 3 (RFC 3168); 0 unless the socket was bound with `ecn`."""

@final
class Forwarder:
    """Forwards clients of one service to its back ends. Made by `Node.forwarder` and `Shard.forwarder`,
    whose options are here.

    `mode` is "http" or "tcp"; `policy` "levels", "round_robin", "least_requests" or "power_of_two".
    `medium_per_core` and `high_per_core` are the load from which on a back end is at Medium and at High.
    `signal` says what load is: "in_flight", requests in flight per core; "cpu", the busy share of its cores,
    0 to 1; "latency", response time in milliseconds, for which both thresholds must be given. The last two
    are told by `set_backend`. None means the default, see `default_thresholds`.

    At most `queue_max` requests wait, for at most `queue_timeout`; then clients get 503 with `retry_after`
    seconds. Times are in seconds, sizes in bytes. `health` is a HealthConfig, None for its defaults, or
    "off". `job_key` is our Key towards job handlers that have one; `job_insecure` allows clear messages to
    those outside loopback, in so many words.

    Raises InvalidArgument, BadConfiguration, AlreadyExists (the name), Closed.
    """

    def __new__(
        cls,
        owner: Node | Shard,
        name: str,
        *,
        mode: str = "http",
        policy: str = "levels",
        signal: str = "in_flight",
        medium_per_core: float | None = None,
        high_per_core: float | None = None,
        queue_max: int = 1024,
        queue_timeout: float = 5.0,
        retry_after: int = 1,
        retries_max: int = 2,
        head_timeout: float = 10.0,
        idle_timeout: float = 60.0,
        response_timeout: float = 60.0,
        connect_timeout: float = 2.0,
        body_timeout: float = 30.0,
        proxy_in: str = "off",
        proxy_out: str = "off",
        trust_forwarded: bool = False,
        head_bytes_max: int = 32768,
        headers_max: int = 100,
        clients_max: int = 16384,
        health: HealthConfig | Literal["off"] | None = None,
        job_key: Key | None = None,
        job_insecure: bool = False,
    ) -> Self: ...
    @property
    def name(self) -> str:
        """Name of the service."""
    def listen(self, address: str) -> str:
        """Accepts clients on "ip:port"; port 0 lets the system choose. Returns the address.

        Raises BadAddress, AddressInUse, AddressNotAvailable, PermissionDenied.
        """
    def listen_fd(self, fd: int | _HasFileno) -> str | None:
        """Accepts clients on a socket that is bound and listens already: its number, or an object with
        `fileno()`.

        The descriptor is duplicated; the caller keeps and closes its own. Returns the address, None when it
        has no IP address. Raises NotAListener, DescriptorsExhausted, OSError (not open).
        """
    def set_local(
        self,
        address: str | None,
        *,
        cores: int = 1,
        name: str | None = None,
        in_flight_max: int | None = None,
    ) -> int | None:
        """Sets the local instance, which serves while the child list is empty; None takes it away. Returns
        its key. `in_flight_max` bounds its requests in flight, None leaves that to the levels.
        """
    def add_backend(
        self,
        address: str,
        *,
        name: str | None = None,
        weight: int = 1,
        cores: int = 1,
        in_flight_max: int | None = None,
        job: str | None = None,
        job_key: str | None = None,
    ) -> int:
        """Appends a back end at "ip:port" to the child list and returns its key.

        `in_flight_max` bounds its requests in flight, None leaves that to the levels. `job` is the "ip:port"
        of its job handler, `job_key` the handler's public key: requests go there in messages, and by TCP to
        `address` while those do not get through (PathBroken, PathRestored). Raises BadAddress, BadKey,
        InvalidArgument.
        """
    def drain_backend(self, key: int, *, deadline: float = 10.0) -> None:
        """Gives a back end no new request; BackendDrained tells when nothing is in flight, or that
        `deadline` seconds have passed.

        It stays on the list until `remove_backend`. Raises NoSuchBackend, WrongState (it is draining
        already).
        """
    def remove_backend(self, key: int) -> None:
        """Takes a back end off the list at once. What is in flight there is tried elsewhere where that is
        allowed, else cut.

        Raises NoSuchBackend.
        """
    def set_backend(self, key: int, *, weight: int | None = None, reading: float | None = None) -> None:
        """Changes a back end's share relative to others, and tells a sample of the signal: the busy share of
        its cores, or milliseconds. The local instance has a key too.

        Raises NoSuchBackend, InvalidArgument.
        """
    def set_thresholds(self, *, medium_per_core: float, high_per_core: float) -> None:
        """Changes where Medium and High begin, from the next request on. Raises BadConfiguration (Medium
        above High), InvalidArgument.
        """
    def backends(self) -> list[Backend]:
        """The child list in its order."""
    def local(self) -> Backend | None:
        """The local instance, if there is one."""
    def stats(self) -> dict[str, int]:
        """Counters by label, see `clustercore.counters()`; besides them `local_in_flight`, requests at the
        local instance now.
        """
    def latency(self, *, reset: bool = False) -> dict[str, float]:
        """Response times in seconds since the last reset: "p50", "p90", "p99", "p999" and "max" to the end
        of the response, the same after "first_byte_" to its head. All are 0 before the first request.
        `reset` begins anew.
        """
    def close(self) -> None:
        """Ends the forwarder with all its connections. Does nothing when called again."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Backend:
    """A back end as it stood at the moment of asking."""

    @property
    def key(self) -> int:
        """Key, unique within the forwarder for good."""
    @property
    def name(self) -> str:
        """Name, for people."""
    @property
    def address(self) -> str:
        """Where its service listens, "ip:port"."""
    @property
    def state(self) -> Literal["active", "draining", "removed", "ejected", "trial", "warming"]:
        """On the list: "active", "draining" or "removed"; of active ones "ejected", "trial" and "warming"
        tell what health checks think.
        """
    @property
    def level(self) -> Literal["low", "medium", "high"]:
        """Load: "low", "medium" or "high"."""
    @property
    def in_flight(self) -> int:
        """Requests in flight."""
    @property
    def requests(self) -> int:
        """Requests begun, ever."""
    @property
    def failures(self) -> int:
        """Exchanges that failed, ever."""
    @property
    def weight(self) -> int:
        """Share relative to others."""
    @property
    def cores(self) -> int:
        """Cores of its node."""
    @property
    def latency_us_mean(self) -> float:
        """Mean time of its completed requests in microseconds."""
    @property
    def latency_us_total(self) -> float:
        """Time of its completed requests in microseconds, summed."""
    @property
    def reading(self) -> float:
        """The latest sample told by `set_backend`: the busy share of its cores, or milliseconds."""
    def __eq__(self, value: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class HealthConfig:
    """When trust in a back end ends and how it comes back. Times are in seconds.

    Requests that fail tell about their back end in any case. With `interval`, probes are sent besides: GET
    of `path` in HTTP mode (2xx and 3xx are good), a connection in TCP mode; after `fall` bad ones in a row
    a back end is ejected, and may return after `rise` good ones. `failures_max` failed requests in a row
    eject, or a ratio above `error_ratio_max` among at least `window_requests_min` requests within `window`.
    An ejection lasts `ejection`, doubles with each that follows soon up to `ejection_max`, and ends after
    `trial_successes` good trial requests; for `slow_start` the share then grows.

    Raises InvalidArgument.
    """

    def __new__(
        cls,
        *,
        path: str = "/",
        interval: float | None = None,
        timeout: float = 1.0,
        rise: int = 2,
        fall: int = 3,
        failures_max: int = 5,
        error_ratio_max: float = 0.5,
        window_requests_min: int = 20,
        window: float = 10.0,
        ejection: float = 1.0,
        ejection_max: float = 60.0,
        trial_successes: int = 2,
        slow_start: float = 5.0,
    ) -> Self: ...
    def __eq__(self, value: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class BackendDrained:
    """A drain is over: nothing is in flight any more, or its deadline has passed with some left."""

    __match_args__: Final = ("forwarder", "backend", "finished", "in_flight")
    def __new__(cls, forwarder: str, backend: int, finished: bool, in_flight: int) -> Self: ...
    @property
    def forwarder(self) -> str:
        """Name of the forwarder."""
    @property
    def backend(self) -> int:
        """Key of the back end."""
    @property
    def finished(self) -> bool:
        """Whether nothing is in flight any more."""
    @property
    def in_flight(self) -> int:
        """Requests still in flight."""
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class BackendEjected:
    """A back end is distrusted and gets no requests for a while."""

    __match_args__: Final = ("forwarder", "backend", "duration", "reason")
    def __new__(cls, forwarder: str, backend: int, duration: float, reason: str) -> Self: ...
    @property
    def forwarder(self) -> str:
        """Name of the forwarder."""
    @property
    def backend(self) -> int:
        """Key of the back end."""
    @property
    def duration(self) -> float:
        """For how long at least, in seconds."""
    @property
    def reason(self) -> str:
        """Why, for people."""
    def __eq__(self, value: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class BackendReturned:
    """A back end is trusted again."""

    __match_args__: Final = ("forwarder", "backend")
    def __new__(cls, forwarder: str, backend: int) -> Self: ...
    @property
    def forwarder(self) -> str:
        """Name of the forwarder."""
    @property
    def backend(self) -> int:
        """Key of the back end."""
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class PathBroken:
    """Messages to a back end's job handler do not get through: its requests go by TCP until they do."""

    __match_args__: Final = ("forwarder", "backend", "reason")
    def __new__(cls, forwarder: str, backend: int, reason: str) -> Self: ...
    @property
    def forwarder(self) -> str:
        """Name of the forwarder."""
    @property
    def backend(self) -> int:
        """Key of the back end."""
    @property
    def reason(self) -> str:
        """Why, for people."""
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class PathRestored:
    """Messages to a back end's job handler get through again."""

    __match_args__: Final = ("forwarder", "backend")
    def __new__(cls, forwarder: str, backend: int) -> Self: ...
    @property
    def forwarder(self) -> str:
        """Name of the forwarder."""
    @property
    def backend(self) -> int:
        """Key of the back end."""
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Saturated:
    """The first request has to wait, since no back end may take it."""

    __match_args__: Final = ("forwarder", "in_flight")
    def __new__(cls, forwarder: str, in_flight: int) -> Self: ...
    @property
    def forwarder(self) -> str:
        """Name of the forwarder."""
    @property
    def backend(self) -> None:
        """Always None: all back ends are meant."""
    @property
    def in_flight(self) -> int:
        """Requests in flight on the shard that says so."""
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class AcceptPaused:
    """Accepting clients has stopped for a while."""

    __match_args__: Final = ("forwarder", "errno")
    def __new__(cls, forwarder: str, errno: int) -> Self: ...
    @property
    def forwarder(self) -> str:
        """Name of the forwarder."""
    @property
    def backend(self) -> None:
        """Always None: no back end is meant."""
    @property
    def errno(self) -> int:
        """The kernel's error number (errno.EMFILE, ...), or 0 when there are as many clients as may be."""
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Scaler:
    """Decides when a back end is added and when one is given back, from samples of the load. A pure
    machine: no clock, no socket.

    The reason to add must last `hold_add` seconds, the reason to remove `hold_remove`; between two
    decisions lie at least `cool_down` seconds. From `backends_min` to `backends_max` back ends. Load from
    `medium_per_core` on is Medium, from `high_per_core` on High; `signal` says what load is: "in_flight",
    requests in flight per core; "cpu", the busy share of the cores, 0 to 1; "latency", response time in
    milliseconds, for which both must be given. None means the default, see `default_thresholds`. Raises
    InvalidArgument, BadConfiguration.
    """

    def __new__(
        cls,
        *,
        hold_add: float = 0.05,
        hold_remove: float = 5.0,
        cool_down: float = 0.25,
        backends_min: int = 0,
        backends_max: int = 3,
        signal: str = "in_flight",
        medium_per_core: float | None = None,
        high_per_core: float | None = None,
    ) -> Self: ...
    def step(
        self,
        now: float,
        local: tuple[int, int],
        children: Sequence[tuple[int, int, int, str]],
        pool_idle: int,
        readings: tuple[float, Sequence[float]] | None = None,
    ) -> tuple[Literal["add"], str] | tuple[Literal["remove"], int, str] | None:
        """Looks at one sample. Returns None, ("add", reason) or ("remove", key, reason).

        `now` is seconds of a clock that does not go back. `local` is (requests in flight, cores) of the
        front end itself; `children` the child list in its order, (key, requests in flight, cores, state)
        each, with the state "starting", "active" or "draining"; `pool_idle` the nodes that could be had.
        `readings` are the samples of another signal than "in_flight", in its unit: the front end's own, and
        one for each child. A decision that could not be carried out comes again after the cool-down.
        """
    def set_thresholds(self, *, medium_per_core: float, high_per_core: float) -> None:
        """Changes where Medium and High begin; hold times run on. Raises InvalidArgument,
        BadConfiguration.
        """
    @property
    def decisions(self) -> int:
        """Decisions taken so far."""

@final
class AutoThresholds:
    """Learns where Medium and High begin from response times against requests in flight. A pure machine.

    `medium_per_core` and `high_per_core` hold until something has been learnt (None: `default_thresholds`);
    `cores` are those of the server that is observed. Medium is at the knee: the concurrency up to which
    responses take at most `knee_ratio` of the least time; High where they take `high_ratio` of it. An average
    counts from `samples_min` observations on, until `forget_after` seconds without a new one. Raises
    InvalidArgument, BadConfiguration.
    """

    def __new__(
        cls,
        *,
        cores: int = 1,
        medium_per_core: float | None = None,
        high_per_core: float | None = None,
        knee_ratio: float = 1.35,
        high_ratio: float = 3.0,
        samples_min: int = 50,
        forget_after: float = 600.0,
    ) -> Self: ...
    def observe(self, now: float, in_flight: int, latency: float) -> None:
        """A request that was sent as one of `in_flight` (itself included) was answered after `latency`
        seconds; `now` is seconds of a clock that does not go back.
        """
    def thresholds(self) -> tuple[float, float]:
        """Requests in flight per core from which on a load is Medium, and High, as far as they are known
        now.
        """
    def latency_min(self) -> float | None:
        """The least average response time in seconds, None before there is one."""

def default_thresholds(
    signal: str = "in_flight",
) -> tuple[float, float] | None:
    """Where Medium and High begin when nothing else is said, in the signal's unit: requests in flight per
    core, or the busy share of the cores. None for "latency": what is long depends on the service.
    """

@final
class Pool:
    """Leases nodes to services by minimum, maximum and weight. A pure machine: time comes in as seconds of
    a clock that does not go back.

    A lease lasts `lease` seconds unless renewed; `guard` seconds after its end the node may go to another.
    The holder of a revoked lease may drain for `revoke_grace` seconds; what was given back for a service is
    kept for it for `reserve` seconds. Tokens rise from `token` on: pass the last one of the life before.
    Raises InvalidArgument.
    """

    def __new__(
        cls,
        *,
        lease: float = 5.0,
        guard: float = 1.0,
        revoke_grace: float = 30.0,
        reserve: float = 5.0,
        token: int = 0,
    ) -> Self: ...
    def add_node(self, name: str) -> None:
        """Adds a node. Raises AlreadyExists."""
    def remove_node(self, name: str) -> Lease | None:
        """Takes a node out, for good or because it died. Returns the lease that ends by this, if any.
        Raises NoSuchNode.
        """
    def add_service(self, name: str, minimum: int = 0, maximum: int = 1048576, weight: int = 1) -> None:
        """Announces a service, or changes what it may have: `minimum` nodes are kept for it, it never has
        more than `maximum`, and when nodes are short it gets its part by `weight`.

        Raises InvalidArgument; BadConfiguration when the minima sum up to more than there are nodes.
        """
    def remove_service(self, name: str) -> None:
        """Forgets a service: it gets nothing more. Its leases end as others do. Raises NoSuchService."""
    def request(
        self, now: float, service: str
    ) -> (
        tuple[Literal["granted"], str, int]
        | tuple[Literal["revoke"], str, str]
        | tuple[Literal["refused"], str]
    ):
        """Asks for one more node. Returns ("granted", node, token), ("revoke", other service, node) when
        that one has to give the node back first, or ("refused", reason).

        Raises NoSuchService.
        """
    def renew(self, now: float, node: str, token: int) -> tuple[float, float | None]:
        """Renews a lease. Returns (end, give back by): the second is a time when the lease was revoked,
        else None.

        Raises StaleToken when the lease is over or another's, NoSuchNode; the holder must not use the node
        any more.
        """
    def release(self, node: str, token: int, *, now: float | None = None) -> None:
        """Gives a node back; the service there must have been stopped. `now` is the latest time that was
        given, when None.

        Raises StaleToken, NoSuchNode; the node is not touched then.
        """
    def expire(self, now: float) -> list[Lease]:
        """Frees the nodes whose leases ended at least the guard time ago, and returns those leases."""
    def leases(self) -> list[Lease]:
        """All leases, by node."""
    def idle_for(self, service: str) -> int:
        """Nodes that requests of a service would be granted now, one after the other.

        Raises NoSuchService.
        """
    def next_expiry(self) -> float | None:
        """When `expire` is due next, in seconds of the pool's clock; None when nothing is leased."""
    @property
    def token(self) -> int:
        """The last token given out."""

@final
class Lease:
    """The right of a service to use a node until `expires`, in seconds of the pool's clock."""

    @property
    def node(self) -> str:
        """Name of the node."""
    @property
    def service(self) -> str:
        """Name of the service."""
    @property
    def token(self) -> int:
        """Larger than that of every lease before."""
    @property
    def expires(self) -> float:
        """When it is over unless renewed, in seconds."""
    def __eq__(self, value: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Channel:
    """Calls procedures of the servers of a name, over reliable datagrams. It belongs to the thread of its
    first turn.

    `name` is in `names`, a dictionary of names and their servers ("ip:port", or a pair of that and the
    server's public key), or is itself "ip:port". It connects to one server at a time, to the next when
    that one is gone. Calls are made again up to `attempts` times when they were not executed, or when it
    is not known and they are idempotent. A call of which nothing is heard for `silence` seconds has
    failed. `slots` calls may be under way, `calls_max` may wait besides. `key` is this end's Key, in
    secure mode; clear calls outside loopback must be asked for by `insecure`.

    Raises NoSuchService, InsecureAddress, BadConfiguration, BadAddress, BadKey, InvalidArgument.
    """

    def __new__(
        cls,
        name: str,
        *,
        names: dict[str, _Server | list[_Server]] | None = None,
        key: Key | None = None,
        insecure: bool = False,
        driver: str = "auto",
        spin_us: int = 0,
        slots: int = 4096,
        calls_max: int = 65536,
        attempts: int = 4,
        silence: float = 10.0,
    ) -> Self: ...
    def call(
        self,
        method: str,
        arguments: _Bytes,
        *,
        timeout: float | None = None,
        metadata: dict[str, bytes] | None = None,
        idempotent: bool = False,
    ) -> bytes:
        """Calls `method`, "package.Service/Method", and waits for its results; other threads run
        meanwhile. `timeout` is in seconds, `metadata` a dictionary of str and bytes.

        Raises CallFailed, with status, outcome and metadata.
        """
    def submit(
        self,
        method: str,
        arguments: _Bytes,
        owner: object,
        *,
        timeout: float | None = None,
        metadata: dict[str, bytes] | None = None,
        idempotent: bool = False,
    ) -> CallHandle:
        """Makes a call and does not wait: `ended` gives its results, with `owner`, which may be anything.
        Returns what `cancel` takes.
        """
    def stream(
        self,
        method: str,
        arguments: _Bytes | None = None,
        parts: Iterable[_Bytes] | None = None,
        *,
        timeout: float | None = None,
        metadata: dict[str, bytes] | None = None,
        idempotent: bool = False,
        token: int | None = None,
    ) -> Stream:
        """Makes a streamed call of `method`, "package.Service/Method", with `arguments` before any part: the
        parts of its results are what the Stream yields. `parts` is an iterable of those of its arguments,
        sent while results are taken; without it, `Stream.send` and `Stream.end` send them. With a
        `token`, `stirred` tells when something comes.
        """
    def stirred(self) -> list[int]:
        """Tokens of streamed calls on which something came since they were told: parts, room for them,
        their end.
        """
    def cancel(self, call: CallHandle) -> None:
        """Asks the server to end a submitted call; how it ends is told as ever. Does nothing when it has
        ended.
        """
    def ended(self) -> list[tuple[Any, bytes | CallFailed]]:
        """Submitted calls that have ended: a list of (owner, results or CallFailed)."""
    def turn(self, timeout: float = 0.0) -> None:
        """Does all there is to do now; waits for at most `timeout` seconds when that is nothing. Raises
        WrongThread, InputOutput.
        """
    def fileno(self) -> int:
        """A descriptor that is readable when `turn` has something to do."""
    def next_timeout(self) -> float | None:
        """Seconds for which the descriptor may be waited for before a turn is due all the same; None: for
        ever.
        """
    @property
    def outstanding(self) -> int:
        """Calls that have not ended."""

_FieldValue: TypeAlias = bool | int | float | str | bytes

@final
class ChannelEvent:
    """A structured event: what suppliers emit and consumers get. One to one with CloudEvents: `type` is its
    type, `name` its subject, `key` its partition key, `fields` its extensions, `body` its data. Times are
    seconds since 1970.

    Raises InvalidArgument: what is wrong with it.
    """

    def __new__(
        cls,
        id: str,
        source: str,
        type: str,
        *,
        domain: str = "",
        name: str = "",
        content_type: str = "",
        schema: str = "",
        time: float | None = None,
        priority: int | None = None,
        expiry: float | None = None,
        start: float | None = None,
        persistent: bool | None = None,
        key: str | None = None,
        sequence: int | None = None,
        fields: dict[str, _FieldValue] | None = None,
        body: _Bytes | None = None,
    ) -> Self: ...
    @property
    def id(self) -> str:
        """Its id, unique among the events of its source."""
    @property
    def source(self) -> str:
        """Who made it: a URI reference."""
    @property
    def type(self) -> str:
        """Its type."""
    @property
    def domain(self) -> str:
        """The trade that its type belongs to; may be empty."""
    @property
    def name(self) -> str:
        """What it is about; may be empty."""
    @property
    def content_type(self) -> str:
        """The media type of the body; may be empty."""
    @property
    def schema(self) -> str:
        """The schema of the body; may be empty."""
    @property
    def time(self) -> float | None:
        """When it happened."""
    @property
    def priority(self) -> int | None:
        """Its priority, 0 to 255."""
    @property
    def expiry(self) -> float | None:
        """From when on nobody wants it."""
    @property
    def start(self) -> float | None:
        """Before when nobody gets it."""
    @property
    def persistent(self) -> bool | None:
        """Whether it is to be on disk before it counts as taken."""
    @property
    def key(self) -> str | None:
        """Its ordering key."""
    @property
    def sequence(self) -> int | None:
        """Its number among those of its source."""
    @property
    def fields(self) -> dict[str, _FieldValue]:
        """Its filterable fields. A moment is a float."""
    @property
    def body(self) -> bytes:
        """Its body."""

@final
class Delivery:
    """An event that a consumer got."""

    @property
    def handle(self) -> int:
        """The consumer's proxy: what `Participant.consume` returned."""
    @property
    def event(self) -> ChannelEvent:
        """The event."""
    @property
    def offset(self) -> int:
        """Its place in the channel's order; 0 for one delivered directly."""
    @property
    def tries(self) -> int:
        """How often it was handed over before."""
    @property
    def delivery(self) -> int | None:
        """Its name for `Participant.acknowledge`; None when nothing is to be acknowledged."""

@final
class ChannelServer:
    """Serves event channels to participants over TCP, over reliable datagrams (`udp`) and in remote calls
    (`rpc`), and to everybody over HTTP (CloudEvents). Turn it, from one thread.

    `tokens` are secrets and whose they are: (name, rights), or (name, rights, channel), where rights are
    some of the words "emit consume administer". `open`: who shows no secret may everything. What is not
    loopback must be asked for by `insecure`. A consumer with a name keeps its queue for `linger` seconds
    without a connection. Events that were tried too often go to the channel `dead_letters`. Web hooks
    may lead to the networks `hook_targets`: IP/BITS, "loopback", or "anywhere" alone; without it to
    loopback, and nowhere when it listens outside loopback.

    `journal`: the file where persistent events, channels and durable consumers are kept, so that they are
    there again in the next server; it belongs to one at a time. Without it they last as long as the server,
    and persistent events are lost.

    With `key` what goes by `udp` and `rpc` is encrypted, and participants give the public key of it;
    `allow` are the public keys of those that are let in, all when it is left out. TCP and HTTP are always
    clear.

    Raises InsecureAddress, BadAddress, AddressInUse, AddressNotAvailable, BadConfiguration, BadKey,
    InvalidArgument, InputOutput.
    """

    def __new__(
        cls,
        *,
        tcp: str | None = None,
        udp: str | None = None,
        rpc: str | None = None,
        http: str | None = None,
        tokens: dict[str, tuple[str, str] | tuple[str, str, str]] | None = None,
        open: bool = False,
        key: Key | None = None,
        allow: str | Iterable[str | _Bytes] | None = None,
        insecure: bool = False,
        driver: str = "auto",
        spin_us: int = 0,
        linger: float = 30.0,
        dead_letters: str | None = None,
        journal: str | PathLike[str] | None = None,
        hook_targets: list[str] | None = None,
    ) -> Self: ...
    @property
    def tcp_address(self) -> str | None:
        """Where participants connect over TCP."""
    @property
    def udp_address(self) -> str | None:
        """Where participants connect over reliable datagrams."""
    @property
    def rpc_address(self) -> str | None:
        """Where participants connect in remote calls."""
    @property
    def http_address(self) -> str | None:
        """Where everybody connects over HTTP."""
    @property
    def failure(self) -> str | None:
        """Why it takes no persistent events any more: its journal has failed. None: it does, or has no
        journal. Raises WrongThread, Closed.
        """
    def turn(self, timeout: float = 0.0) -> None:
        """Does all there is to do now; waits for at most `timeout` seconds when that is nothing. Raises
        WrongThread, InputOutput, Closed.
        """
    def stats(self) -> dict[str, int]:
        """What was counted since it was made. Raises WrongThread, Closed."""
    def close(self) -> None:
        """Ends it: all connections are closed."""

@final
class Participant:
    """Speaks to one channel server, at "tcp://IP:PORT", "udp://IP:PORT" (reliable datagrams) or
    "rpc://IP:PORT" (a remote call): supplies, consumes, administers. When its link is lost it makes another
    by itself, opens its proxies again, and sends again what was not taken. For one thread at a time.

    `token` shows the server who we are, `name` is for people. With `inbox_max` events that nobody took, the
    link is not read. `server_key`, text or 32 bytes, is the public key that the server must have, over
    `udp` and `rpc`; `key` is our own, for a server that lets in only those that it knows, otherwise one is
    made for each link. With `key` each link over datagrams needs the server's.

    Raises InsecureAddress, InvalidArgument, BadKey, BadConfiguration (a key, and TCP), NoKey (a key of ours
    and none of the server's), and what opening a driver can.
    """

    def __new__(
        cls,
        server: str,
        *,
        token: str = "",
        name: str = "",
        server_key: str | _Bytes | None = None,
        key: Key | None = None,
        insecure: bool = False,
        driver: str = "auto",
        spin_us: int = 0,
        inbox_max: int = 16384,
    ) -> Self: ...
    @property
    def linked(self) -> bool:
        """Whether the link is there."""
    @property
    def trouble(self) -> str | None:
        """Why there is no link, while none could be made."""
    def supply(
        self, channel: str | None = None, *, spec: dict[str, Any] | None = None, patient: bool = True
    ) -> int:
        """Becomes a supplier of a channel (None: the default one). Without `spec` it shares the default
        push proxy; else `spec` says "mode", "qos", "filter", "mappings". A `patient` supplier sends again
        what the server refuses for now; else it is told by `news` and dropped. When the server refuses the
        proxy itself, `news` says "gone".
        """
    def consume(
        self, channel: str | None = None, *, name: str = "", spec: dict[str, Any] | None = None
    ) -> int:
        """Becomes a consumer of a channel. `spec` says "mode", "qos", "types", "filter", "mappings",
        "consumer_group", "start", "is_durable". One with a name keeps its queue for a while when the link
        is lost.
        """
    def close_proxy(self, handle: int) -> None:
        """Gives a proxy up."""
    def emit(self, handle: int, events: Sequence[ChannelEvent]) -> int:
        """Emits events; how many were taken up: fewer when 8192 wait for the server. They leave with the
        next turn.

        Raises InvalidArgument: no such proxy.
        """
    def take(self, max: int = 256, timeout: float = 0.0) -> list[Delivery]:
        """Events that have come, `max` at most; waits for at most `timeout` seconds for the first."""
    def acknowledge(self, handle: int, deliveries: Sequence[int]) -> None:
        """Done with these events, by `Delivery.delivery`."""
    def reject(self, handle: int, deliveries: Sequence[int], *, for_good: bool = False) -> None:
        """Could not deal with these events. `for_good`: nobody is to try again."""
    def pull(self, handle: int, max: int = 64) -> None:
        """Asks for events in pull mode."""
    def ask(self, question: dict[str, Any], timeout: float = 5.0) -> dict[str, Any]:
        """Asks the server something, a dictionary with "op", and waits for the answer:
        docs/protocol/channel.md lists what can be asked.

        Raises CallFailed with the server's words, Timeout.
        """
    def untaken(self, handle: int) -> int:
        """Events that the server has not taken yet. Raises InvalidArgument: no such proxy."""
    def flush(self, handle: int, timeout: float = 5.0) -> None:
        """Waits until the server has taken everything that was emitted through a proxy. Raises Timeout,
        InvalidArgument: no such proxy.
        """
    def turn(self, timeout: float = 0.0) -> None:
        """Does all there is to do now; waits for at most `timeout` seconds when that is nothing. Raises
        WrongThread, InputOutput, Closed.
        """
    def fileno(self) -> int:
        """A descriptor that is readable when `turn` has something to do."""
    def next_timeout(self) -> float | None:
        """Seconds for which the descriptor may be waited for before a turn is due all the same; None: for
        ever.
        """
    def relink(self, server: str, *, server_key: str | _Bytes | None = None) -> None:
        """Exchanges the link for another while events flow, to a server with the public key `server_key`,
        or to a clear one. Raises as making a participant does; the link is then the one before.
        """
    def news(self) -> list[dict[str, Any]]:
        """What happened: dictionaries with "what" (welcome, answer, refused, confirmed, lost, readable,
        wanted, gone, bye) and what belongs to it: "handle", "number", "count", "message", "max", "request".
        """
    def close(self) -> None:
        """Ends it."""

@final
class CallHandle:
    """Names a submitted call, for `Channel.cancel`."""

@final
class Stream:
    """A streamed call: an iterator of the parts of its results. Made by `Channel.stream`; as a context
    manager it is cancelled at the end of the block when it has not ended.

    The iteration ends with the call, and raises CallFailed when that has failed.
    """

    def send(self, part: _Bytes) -> None:
        """Sends a part of the arguments, waiting for room; other threads run meanwhile.

        Raises TooLarge (64 KiB), NoSuchCall (the call has ended: `results` tells how; or its parts have),
        WrongThread.
        """
    def try_send(self, part: _Bytes) -> bool:
        """Sends a part if there is room for it now. Raises TooLarge, NoSuchCall."""
    def end(self) -> None:
        """Sends no more parts. Does nothing when called again."""
    def try_take(self) -> bytes | None:
        """The next part of the results if one is there now, else None; see `is_over`."""
    @property
    def is_over(self) -> bool:
        """Whether the call has ended."""
    def results(self) -> bytes:
        """What the call has returned besides its parts, waiting for its end; parts that were not taken are
        dropped. Raises CallFailed.
        """
    def cancel(self) -> None:
        """Asks the server to end the call; how it ends is told as ever. Does nothing when it has ended."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class CallParts:
    """The parts of a streamed call, for its handler: an iterator of those of its arguments. `send` sends
    those of its results.
    """

    def send(self, part: _Bytes) -> None:
        """Sends a part of the results, waiting for room; other threads run meanwhile. Raises CallFailed when
        nobody waits for the call, or the part is longer than 64 KiB.
        """
    def try_send(self, part: _Bytes) -> bool:
        """Sends a part if there is room for it now. Raises as `send`."""
    def try_next(self) -> bytes | Literal[False] | None:
        """The next part of the arguments if one is there now, else None; False when no more come. Raises
        CallFailed when nobody waits for the call.
        """
    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...

@final
class CallServer:
    """Serves procedures on "ip:port". It belongs to the thread of its first turn: `serve`, or `turn` in a
    loop of yours.

    `add` makes services. Handlers run on `workers` threads, where they may wait, in the loop, or when the
    program takes their calls by `deferred`; `queue_max` calls may wait, more are refused as busy. `key`
    is the server's Key, in secure mode, and `allow` the public keys that are let in, None for all; clear
    calls outside loopback must be asked for by `insecure`.

    Raises BadAddress, InsecureAddress, BadConfiguration, AddressInUse, AddressNotAvailable,
    PermissionDenied, InvalidArgument.
    """

    def __new__(
        cls,
        address: str,
        *,
        workers: int = 4,
        queue_max: int = 1024,
        key: Key | None = None,
        allow: str | Iterable[str | _Bytes] | None = None,
        insecure: bool = False,
        driver: str = "auto",
        spin_us: int = 0,
        calls_max: int = 16384,
    ) -> Self: ...
    @property
    def address(self) -> str:
        """Where it listens, "ip:port"."""
    def add(
        self,
        service: str,
        methods: Mapping[str, Callable[..., Any] | None],
        *,
        place: Literal["worker", "loop", "deferred"] = "worker",
    ) -> None:
        """Adds a service "package.Service" of methods: a dictionary of names and handlers, each called
        with a CallContext and the arguments and returning the results, both bytes. What a handler raises
        is the caller's CallFailed: the status of a CallFailed, else UNKNOWN. `place` is "worker", "loop"
        or "deferred"; handlers of deferred methods may be None. Those that `streamed` has made serve
        streamed calls, on workers when `place` is "loop". A service that is there gets more methods.

        Raises BadConfiguration, InvalidArgument, Closed, WrongThread.
        """
    def set_health(self, service: str, is_serving: bool) -> None:
        """Says whether a service is well; "" is the whole server. `grpc.health.v1.Health/Check` asks for
        it.
        """
    def turn(self, timeout: float = 0.0) -> None:
        """Does all there is to do now; waits for at most `timeout` seconds when that is nothing. Raises
        WrongThread, Closed, InputOutput.
        """
    def serve(self, seconds: float | None = None) -> None:
        """Serves for so many seconds, or until a signal ends it; other threads run meanwhile."""
    def deferred(self) -> list[DeferredCall]:
        """Calls of deferred methods that have come, each once: to be answered by `reply`."""
    def stirred(self) -> list[DeferredCall]:
        """Deferred streamed calls on which something came since they were told: parts, room for them, their
        cancellation.
        """
    def reply(self, call: DeferredCall, results: _Bytes | BaseException) -> bool:
        """Answers a deferred call with results, or with an exception such as CallFailed. False when
        nobody waits for it any more.
        """
    def fileno(self) -> int:
        """A descriptor that is readable when `turn` has something to do."""
    def next_timeout(self) -> float | None:
        """Seconds for which the descriptor may be waited for before a turn is due all the same; None: for
        ever.
        """
    def close(self) -> None:
        """Ends it. Callers find their connections silent. Does nothing when called again."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class CallContext:
    """What a handler knows of a call besides its arguments."""

    @property
    def method(self) -> str:
        """ "package.Service/Method"."""
    @property
    def metadata(self) -> dict[str, bytes]:
        """What travelled with it: a dictionary of str and bytes."""
    @property
    def caller(self) -> str | None:
        """The public key of the caller, in secure mode; else None."""
    @property
    def time_left(self) -> float | None:
        """Seconds until its deadline; None without one."""
    @property
    def is_cancelled(self) -> bool:
        """Whether its caller wants it no more: known of deferred calls, else false."""

@final
class DeferredCall:
    """A call of a deferred method: `CallServer.reply` answers it."""

    @property
    def context(self) -> CallContext:
        """What is known of it."""
    @property
    def arguments(self) -> bytes:
        """Its arguments."""
    @property
    def parts(self) -> CallParts | None:
        """The parts of a streamed one, else None."""

@final
class Key:
    """The key of an endpoint in secure mode: a private key and the public one that follows from it.
    `Key.generate()`, `Key.load(path)` and `Key.parse(text)` give one.
    """

    @classmethod
    def generate(cls) -> Self:
        """A new key."""
    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Reads a private key from a file. Raises KeyExposed when others than its owner can get at the file,
        BadKey when there is no private key in it, OSError.
        """
    @classmethod
    def parse(cls, text: str) -> Self:
        """From the text of a private key, `clc-private-x25519 BASE64`. Raises BadKey."""
    def save(self, path: str | PathLike[str]) -> None:
        """Writes the private key to a new file that only its owner can read (mode 0600). Raises FileExists,
        and what is there stays; OSError.
        """
    @property
    def public(self) -> str:
        """The public key as text, `clc-public-x25519 BASE64`: what others know this endpoint by."""
    @property
    def public_bytes(self) -> bytes:
        """The public key as 32 bytes: what `identity` of an event has."""
    def to_private_text(self) -> str:
        """The private key as text, `clc-private-x25519 BASE64`. To be kept secret."""

def parse_public_key(text: str) -> str:
    """The public key in `text`, as it is written: `clc-public-x25519 BASE64`. Raises BadKey when it is none,
    or one that nobody can have.
    """

def public_key_text(key: str | _Bytes) -> str:
    """The text, `clc-public-x25519 BASE64`, of a public key given as 32 bytes, such as the `identity` of an
    event. Raises BadKey when nobody can have it, InvalidArgument.
    """

def probe() -> dict[str, object]:
    """What this kernel offers: which driver would run and why, its features, and the settings that matter
    for it.

    `kernel_advice` is what to change about the kernel, None when nothing. Limits are (soft, hard), None where
    there is none; a setting that this kernel does not have is None.
    """

def counters() -> list[tuple[str, str, str]]:
    """What is counted: (label, unit, meaning) of each counter, in a fixed order."""

def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, "ip:port" each, in the order in which they should be tried.

    Waits for the system as long as that takes, without the interpreter. Raises Unreachable, InvalidArgument.
    """
