"""The data plane of a cluster: the core moves bytes between clients and back ends, your program decides.

    with clustercore.Node() as node:
        web = node.forwarder("web")
        web.listen("127.0.0.1:8080")
        web.add_backend("10.0.0.2:80")
        for event in node.poll(timeout=1.0):
            ...

A `Node` has threads of its own and is commanded from any thread; a `Shard` is embedded in a loop of yours and
has no thread. `Scaler`, `AutoThresholds` and `Pool` are pure machines for whoever lends back ends.
`clustercore.aio` is for asyncio.
"""

import warnings
from typing import TypeAlias

from clustercore import errors
from clustercore._errors import (
    AddressInUse,
    AddressNotAvailable,
    AlreadyExists,
    BadAddress,
    BadConfiguration,
    BadRequest,
    BadResponse,
    BuffersExhausted,
    BufferTooSmall,
    Cancelled,
    Closed,
    ClusterError,
    ConnectionRefused,
    ConnectionReset,
    ConnectionsExhausted,
    DescriptorsExhausted,
    Forked,
    InputOutput,
    Internal,
    Interrupted,
    InvalidArgument,
    IoUringForbidden,
    LockedMemoryExhausted,
    NoBackend,
    NoSuchBackend,
    NoSuchForwarder,
    NoSuchListener,
    NoSuchNode,
    NoSuchService,
    NotAListener,
    NotSupported,
    NullArgument,
    OutOfMemory,
    Panic,
    PeerClosed,
    PermissionDenied,
    PoolExhausted,
    ProtocolViolation,
    QueueFull,
    StaleToken,
    Timeout,
    TooLarge,
    TooManyBackends,
    UnknownStructSize,
    Unreachable,
    UnsupportedKernel,
    WouldBlock,
    WrongState,
    WrongThread,
)
from clustercore._native import (
    IS_DEBUG_BUILD,
    AcceptPaused,
    AutoThresholds,
    Backend,
    BackendDrained,
    BackendEjected,
    BackendReturned,
    Forwarder,
    HealthConfig,
    Lease,
    Node,
    Pool,
    Saturated,
    Scaler,
    Shard,
    __version__,
    counters,
    probe,
)

BackendBack = BackendReturned
"""The name of `BackendReturned` in programs written before it was settled."""

Event: TypeAlias = AcceptPaused | BackendDrained | BackendEjected | BackendReturned | Saturated
"""What `Node.poll` and `Shard.events` bring."""

__all__ = [
    "AcceptPaused",
    "AddressInUse",
    "AddressNotAvailable",
    "AlreadyExists",
    "AutoThresholds",
    "Backend",
    "BackendBack",
    "BackendDrained",
    "BackendEjected",
    "BackendReturned",
    "BadAddress",
    "BadConfiguration",
    "BadRequest",
    "BadResponse",
    "BufferTooSmall",
    "BuffersExhausted",
    "Cancelled",
    "Closed",
    "ClusterError",
    "ConnectionRefused",
    "ConnectionReset",
    "ConnectionsExhausted",
    "DescriptorsExhausted",
    "Event",
    "Forked",
    "Forwarder",
    "HealthConfig",
    "InputOutput",
    "Internal",
    "Interrupted",
    "InvalidArgument",
    "IoUringForbidden",
    "Lease",
    "LockedMemoryExhausted",
    "NoBackend",
    "NoSuchBackend",
    "NoSuchForwarder",
    "NoSuchListener",
    "NoSuchNode",
    "NoSuchService",
    "Node",
    "NotAListener",
    "NotSupported",
    "NullArgument",
    "OutOfMemory",
    "Panic",
    "PeerClosed",
    "PermissionDenied",
    "Pool",
    "PoolExhausted",
    "ProtocolViolation",
    "QueueFull",
    "Saturated",
    "Scaler",
    "Shard",
    "StaleToken",
    "Timeout",
    "TooLarge",
    "TooManyBackends",
    "UnknownStructSize",
    "Unreachable",
    "UnsupportedKernel",
    "WouldBlock",
    "WrongState",
    "WrongThread",
    "__version__",
    "counters",
    "errors",
    "probe",
]

if IS_DEBUG_BUILD:
    warnings.warn("clustercore is a debug build, many times slower than a release", stacklevel=2)
