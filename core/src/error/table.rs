//! The table of error codes. Generated from `core/errors.toml` by `cargo xtask gen`; do not edit.

/// Where the cause of an error usually is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// This program: an argument, a bound, a state.
    Local,
    /// The other end of a connection, whichever it is.
    Peer,
    /// A back end.
    Upstream,
    /// A client.
    Downstream,
    /// The kernel of this machine.
    Kernel,
}

impl Side {
    /// The word for it in messages, Python and the docs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Side::Local => "local",
            Side::Peer => "peer",
            Side::Upstream => "upstream",
            Side::Downstream => "downstream",
            Side::Kernel => "kernel",
        }
    }
}

/// What went wrong, by registered number.
///
/// Numbers stay for good; new ones are added, so match with a wildcard arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
#[non_exhaustive]
pub enum Code {
    /// An argument has a value outside its range.
    ///
    /// The message names the argument, its value and the limit.
    InvalidArgument = 1,
    /// A required pointer is NULL.
    ///
    /// Only from C. The function's documentation says which pointers may be NULL.
    NullArgument = 2,
    /// The shard belongs to another thread.
    ///
    /// A shard is bound to the thread of its first turn. Use a node to be called from any thread.
    WrongThread = 3,
    /// The handle is closed.
    ///
    /// The node, shard, forwarder or listener was closed before this call; make a new one.
    Closed = 4,
    /// The operation is not possible in the present state.
    ///
    /// For example draining a back end that is already being drained. The message names the state.
    WrongState = 5,
    /// The name is already in use.
    ///
    /// Names of forwarders, back ends, nodes and services are unique within their owner.
    AlreadyExists = 6,
    /// The output buffer is too small.
    ///
    /// Nothing was written. The required size is reported; call again with that much room.
    BufferTooSmall = 7,
    /// A value is above its configured limit.
    ///
    /// The message names the length and the limit; raise the limit or send less.
    TooLarge = 8,
    /// The address is not of the form host:port.
    ///
    /// Write `127.0.0.1:8080` or `[::1]:8080`. Host names are not resolved here.
    BadAddress = 9,
    /// The configuration is not valid.
    ///
    /// Two settings contradict each other or one is missing; the message names them.
    BadConfiguration = 10,
    /// The file descriptor is not a listening stream socket.
    ///
    /// `listen(fd)` wants a TCP socket on which bind and listen were called.
    NotAListener = 11,
    /// The field struct_size is not one that this library knows.
    ///
    /// Only from C. Set `struct_size` to the size of the struct; a newer header needs a newer library.
    UnknownStructSize = 12,
    /// The handle was made before fork and is used in the child.
    ///
    /// Rings and threads do not survive fork. Make nodes and shards after it.
    Forked = 13,
    /// The operation is not supported in this build or mode.
    ///
    /// For example an HTTP setting on a TCP forwarder. The message says which.
    NotSupported = 14,
    /// Clear messages outside loopback.
    ///
    /// An endpoint without keys was to be opened on an address outside loopback. Give it a key, or say
    /// insecure in so many words.
    InsecureAddress = 15,
    /// A key is needed and was not given.
    ///
    /// The endpoint is in secure mode: a connection needs the public key of its peer.
    NoKey = 16,
    /// The queue is full.
    ///
    /// The other side has not caught up. Poll, then try again; the depth is configured.
    QueueFull = 20,
    /// Memory could not be had.
    ///
    /// An allocation or mapping failed, or a configured memory bound is reached.
    OutOfMemory = 21,
    /// No more file descriptors.
    ///
    /// Raise the limit (`ulimit -n`, `LimitNOFILE=`) or lower `connections_max`. Accepting resumes by
    /// itself.
    DescriptorsExhausted = 22,
    /// The limit of connections is reached.
    ///
    /// Every connection slot of the shard is in use; raise `connections_max` or add shards.
    ConnectionsExhausted = 23,
    /// Every buffer is lent out.
    ///
    /// Release received messages sooner, or configure more buffers.
    BuffersExhausted = 24,
    /// The limit of locked memory is reached.
    ///
    /// Raise it (`ulimit -l`, `LimitMEMLOCK=`) or ask for fewer fixed buffers.
    LockedMemoryExhausted = 25,
    /// The child list is full.
    ///
    /// Remove a back end first, or raise `backends_max`.
    TooManyBackends = 26,
    /// The time allowed has passed.
    ///
    /// The message names the wait and its limit.
    Timeout = 30,
    /// A signal interrupted the wait.
    ///
    /// Nothing was lost; call again.
    Interrupted = 31,
    /// Nothing is ready.
    ///
    /// The call does not wait. Wait for the descriptor to become readable, then call again.
    WouldBlock = 32,
    /// The operation was cancelled.
    ///
    /// Its owner was closed or removed while it ran.
    Cancelled = 33,
    /// The address is already in use.
    ///
    /// Another program listens there: `ss -ltnp` shows which. Stop it or choose another port.
    AddressInUse = 40,
    /// The address is not one of this machine, or its ports are used up.
    ///
    /// `ip addr` lists the addresses. For outgoing connections widen `net.ipv4.ip_local_port_range`.
    AddressNotAvailable = 41,
    /// The kernel refuses permission.
    ///
    /// Ports below `net.ipv4.ip_unprivileged_port_start` need CAP_NET_BIND_SERVICE.
    PermissionDenied = 42,
    /// The kernel lacks something that is required.
    ///
    /// Linux 6.1 is the floor. `clustercore doctor` says what is missing.
    UnsupportedKernel = 43,
    /// The use of io_uring is forbidden here.
    ///
    /// `kernel.io_uring_disabled` or a seccomp filter refuses it, and the driver `uring` was asked for. Use
    /// `auto`.
    IoUringForbidden = 44,
    /// A system call failed.
    ///
    /// The message names the call and the kernel's error.
    Io = 45,
    /// The connection was refused.
    ///
    /// Nothing listens at that address.
    ConnectionRefused = 50,
    /// The other end reset the connection.
    ///
    /// It ended or crashed in the middle of an exchange.
    ConnectionReset = 51,
    /// The other end closed before the exchange was complete.
    ///
    /// What arrived so far is not the whole.
    PeerClosed = 52,
    /// The network or host cannot be reached.
    ///
    /// There is no route, or the neighbour does not answer.
    Unreachable = 53,
    /// The other end broke the protocol.
    ///
    /// What arrived does not parse; it was counted and dropped.
    Protocol = 54,
    /// The connection is not open.
    ///
    /// It has not been made yet, it is closing, or it is over. Wait for Connected, or connect again.
    NotConnected = 55,
    /// No forwarder has this name or key.
    ///
    /// It was never made, or it was closed.
    NoSuchForwarder = 60,
    /// No back end has this key.
    ///
    /// It was removed, or the key is from another forwarder.
    NoSuchBackend = 61,
    /// No listener has this key.
    ///
    /// It was closed, or the key is from another forwarder.
    NoSuchListener = 62,
    /// No back end may be used.
    ///
    /// The child list is empty, or all in it are draining or ejected.
    NoBackend = 63,
    /// Every back end is at its limit.
    ///
    /// Clients get 503 with Retry-After once the queue is full as well.
    Saturated = 64,
    /// The client's request is refused.
    ///
    /// It is ambiguous or malformed; the client got a 4xx or 5xx answer and its connection was closed.
    BadRequest = 65,
    /// The back end's response is refused.
    ///
    /// It is ambiguous or malformed; the client got a 502 answer.
    BadResponse = 66,
    /// The pool has no node of this name.
    ///
    /// Add the node to the pool first.
    NoSuchNode = 67,
    /// The pool has no service of this name.
    ///
    /// Add the service to the pool first.
    NoSuchService = 68,
    /// The fencing token is not the present one.
    ///
    /// The lease has expired or went to another service; what this holder orders is refused.
    StaleToken = 69,
    /// The pool has no node to lend.
    ///
    /// Every node is leased, and fairness gives this service no more. Ask again later.
    PoolExhausted = 70,
    /// There is no such endpoint.
    ///
    /// It was closed, or it is another shard's.
    NoSuchEndpoint = 71,
    /// There is no such datagram socket.
    ///
    /// It was closed, or it is another shard's.
    NoSuchSocket = 72,
    /// There is no such call.
    ///
    /// It has ended: by its reply, by its caller, or with its connection.
    NoSuchCall = 73,
    /// As many calls as may be are outstanding on the connection.
    ///
    /// Collect replies first, or open the endpoint with more slots.
    TooManyCalls = 74,
    /// The call did not go well.
    ///
    /// Its status says why, its outcome whether the procedure was executed: only when it was not, or when
    /// that makes no difference, call again.
    CallFailed = 75,
    /// The text is not a key of the kind that is wanted.
    ///
    /// A private key is a line `clc-private-x25519 BASE64`, a public one `clc-public-x25519 BASE64`.
    /// `clustercore keygen` makes both.
    BadKey = 80,
    /// Others than its owner can get at the private key.
    ///
    /// Run `chmod 600` on the file. If somebody may have read it, make a new key.
    KeyExposed = 81,
    /// The file exists and is not written over.
    ///
    /// Name another file, or remove it first.
    FileExists = 82,
    /// A defect in clustercore was caught at its boundary.
    ///
    /// Please report it with the message. The handle it happened on must be closed.
    Panic = 90,
    /// An internal invariant does not hold.
    ///
    /// Please report it with the message.
    Internal = 91,
}

impl Code {
    /// Every code, in ascending order of number.
    pub const ALL: &'static [Code] = &[
        Code::InvalidArgument,
        Code::NullArgument,
        Code::WrongThread,
        Code::Closed,
        Code::WrongState,
        Code::AlreadyExists,
        Code::BufferTooSmall,
        Code::TooLarge,
        Code::BadAddress,
        Code::BadConfiguration,
        Code::NotAListener,
        Code::UnknownStructSize,
        Code::Forked,
        Code::NotSupported,
        Code::InsecureAddress,
        Code::NoKey,
        Code::QueueFull,
        Code::OutOfMemory,
        Code::DescriptorsExhausted,
        Code::ConnectionsExhausted,
        Code::BuffersExhausted,
        Code::LockedMemoryExhausted,
        Code::TooManyBackends,
        Code::Timeout,
        Code::Interrupted,
        Code::WouldBlock,
        Code::Cancelled,
        Code::AddressInUse,
        Code::AddressNotAvailable,
        Code::PermissionDenied,
        Code::UnsupportedKernel,
        Code::IoUringForbidden,
        Code::Io,
        Code::ConnectionRefused,
        Code::ConnectionReset,
        Code::PeerClosed,
        Code::Unreachable,
        Code::Protocol,
        Code::NotConnected,
        Code::NoSuchForwarder,
        Code::NoSuchBackend,
        Code::NoSuchListener,
        Code::NoBackend,
        Code::Saturated,
        Code::BadRequest,
        Code::BadResponse,
        Code::NoSuchNode,
        Code::NoSuchService,
        Code::StaleToken,
        Code::PoolExhausted,
        Code::NoSuchEndpoint,
        Code::NoSuchSocket,
        Code::NoSuchCall,
        Code::TooManyCalls,
        Code::CallFailed,
        Code::BadKey,
        Code::KeyExposed,
        Code::FileExists,
        Code::Panic,
        Code::Internal,
    ];

    /// The registered number, above zero. The C interface returns it negated.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The code of a registered number, `None` for any other.
    #[must_use]
    pub const fn from_number(number: i32) -> Option<Code> {
        Some(match number {
            1 => Code::InvalidArgument,
            2 => Code::NullArgument,
            3 => Code::WrongThread,
            4 => Code::Closed,
            5 => Code::WrongState,
            6 => Code::AlreadyExists,
            7 => Code::BufferTooSmall,
            8 => Code::TooLarge,
            9 => Code::BadAddress,
            10 => Code::BadConfiguration,
            11 => Code::NotAListener,
            12 => Code::UnknownStructSize,
            13 => Code::Forked,
            14 => Code::NotSupported,
            15 => Code::InsecureAddress,
            16 => Code::NoKey,
            20 => Code::QueueFull,
            21 => Code::OutOfMemory,
            22 => Code::DescriptorsExhausted,
            23 => Code::ConnectionsExhausted,
            24 => Code::BuffersExhausted,
            25 => Code::LockedMemoryExhausted,
            26 => Code::TooManyBackends,
            30 => Code::Timeout,
            31 => Code::Interrupted,
            32 => Code::WouldBlock,
            33 => Code::Cancelled,
            40 => Code::AddressInUse,
            41 => Code::AddressNotAvailable,
            42 => Code::PermissionDenied,
            43 => Code::UnsupportedKernel,
            44 => Code::IoUringForbidden,
            45 => Code::Io,
            50 => Code::ConnectionRefused,
            51 => Code::ConnectionReset,
            52 => Code::PeerClosed,
            53 => Code::Unreachable,
            54 => Code::Protocol,
            55 => Code::NotConnected,
            60 => Code::NoSuchForwarder,
            61 => Code::NoSuchBackend,
            62 => Code::NoSuchListener,
            63 => Code::NoBackend,
            64 => Code::Saturated,
            65 => Code::BadRequest,
            66 => Code::BadResponse,
            67 => Code::NoSuchNode,
            68 => Code::NoSuchService,
            69 => Code::StaleToken,
            70 => Code::PoolExhausted,
            71 => Code::NoSuchEndpoint,
            72 => Code::NoSuchSocket,
            73 => Code::NoSuchCall,
            74 => Code::TooManyCalls,
            75 => Code::CallFailed,
            80 => Code::BadKey,
            81 => Code::KeyExposed,
            82 => Code::FileExists,
            90 => Code::Panic,
            91 => Code::Internal,
            _ => return None,
        })
    }

    /// The registered name, such as `QUEUE_FULL`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::NullArgument => "NULL_ARGUMENT",
            Code::WrongThread => "WRONG_THREAD",
            Code::Closed => "CLOSED",
            Code::WrongState => "WRONG_STATE",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::BufferTooSmall => "BUFFER_TOO_SMALL",
            Code::TooLarge => "TOO_LARGE",
            Code::BadAddress => "BAD_ADDRESS",
            Code::BadConfiguration => "BAD_CONFIGURATION",
            Code::NotAListener => "NOT_A_LISTENER",
            Code::UnknownStructSize => "UNKNOWN_STRUCT_SIZE",
            Code::Forked => "FORKED",
            Code::NotSupported => "NOT_SUPPORTED",
            Code::InsecureAddress => "INSECURE_ADDRESS",
            Code::NoKey => "NO_KEY",
            Code::QueueFull => "QUEUE_FULL",
            Code::OutOfMemory => "OUT_OF_MEMORY",
            Code::DescriptorsExhausted => "DESCRIPTORS_EXHAUSTED",
            Code::ConnectionsExhausted => "CONNECTIONS_EXHAUSTED",
            Code::BuffersExhausted => "BUFFERS_EXHAUSTED",
            Code::LockedMemoryExhausted => "LOCKED_MEMORY_EXHAUSTED",
            Code::TooManyBackends => "TOO_MANY_BACKENDS",
            Code::Timeout => "TIMEOUT",
            Code::Interrupted => "INTERRUPTED",
            Code::WouldBlock => "WOULD_BLOCK",
            Code::Cancelled => "CANCELLED",
            Code::AddressInUse => "ADDRESS_IN_USE",
            Code::AddressNotAvailable => "ADDRESS_NOT_AVAILABLE",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::UnsupportedKernel => "UNSUPPORTED_KERNEL",
            Code::IoUringForbidden => "IO_URING_FORBIDDEN",
            Code::Io => "IO",
            Code::ConnectionRefused => "CONNECTION_REFUSED",
            Code::ConnectionReset => "CONNECTION_RESET",
            Code::PeerClosed => "PEER_CLOSED",
            Code::Unreachable => "UNREACHABLE",
            Code::Protocol => "PROTOCOL",
            Code::NotConnected => "NOT_CONNECTED",
            Code::NoSuchForwarder => "NO_SUCH_FORWARDER",
            Code::NoSuchBackend => "NO_SUCH_BACKEND",
            Code::NoSuchListener => "NO_SUCH_LISTENER",
            Code::NoBackend => "NO_BACKEND",
            Code::Saturated => "SATURATED",
            Code::BadRequest => "BAD_REQUEST",
            Code::BadResponse => "BAD_RESPONSE",
            Code::NoSuchNode => "NO_SUCH_NODE",
            Code::NoSuchService => "NO_SUCH_SERVICE",
            Code::StaleToken => "STALE_TOKEN",
            Code::PoolExhausted => "POOL_EXHAUSTED",
            Code::NoSuchEndpoint => "NO_SUCH_ENDPOINT",
            Code::NoSuchSocket => "NO_SUCH_SOCKET",
            Code::NoSuchCall => "NO_SUCH_CALL",
            Code::TooManyCalls => "TOO_MANY_CALLS",
            Code::CallFailed => "CALL_FAILED",
            Code::BadKey => "BAD_KEY",
            Code::KeyExposed => "KEY_EXPOSED",
            Code::FileExists => "FILE_EXISTS",
            Code::Panic => "PANIC",
            Code::Internal => "INTERNAL",
        }
    }

    /// What is wrong, in lower case and without a full stop.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Code::InvalidArgument => "an argument has a value outside its range",
            Code::NullArgument => "a required pointer is NULL",
            Code::WrongThread => "the shard belongs to another thread",
            Code::Closed => "the handle is closed",
            Code::WrongState => "the operation is not possible in the present state",
            Code::AlreadyExists => "the name is already in use",
            Code::BufferTooSmall => "the output buffer is too small",
            Code::TooLarge => "a value is above its configured limit",
            Code::BadAddress => "the address is not of the form host:port",
            Code::BadConfiguration => "the configuration is not valid",
            Code::NotAListener => "the file descriptor is not a listening stream socket",
            Code::UnknownStructSize => "the field struct_size is not one that this library knows",
            Code::Forked => "the handle was made before fork and is used in the child",
            Code::NotSupported => "the operation is not supported in this build or mode",
            Code::InsecureAddress => "clear messages outside loopback",
            Code::NoKey => "a key is needed and was not given",
            Code::QueueFull => "the queue is full",
            Code::OutOfMemory => "memory could not be had",
            Code::DescriptorsExhausted => "no more file descriptors",
            Code::ConnectionsExhausted => "the limit of connections is reached",
            Code::BuffersExhausted => "every buffer is lent out",
            Code::LockedMemoryExhausted => "the limit of locked memory is reached",
            Code::TooManyBackends => "the child list is full",
            Code::Timeout => "the time allowed has passed",
            Code::Interrupted => "a signal interrupted the wait",
            Code::WouldBlock => "nothing is ready",
            Code::Cancelled => "the operation was cancelled",
            Code::AddressInUse => "the address is already in use",
            Code::AddressNotAvailable => "the address is not one of this machine, or its ports are used up",
            Code::PermissionDenied => "the kernel refuses permission",
            Code::UnsupportedKernel => "the kernel lacks something that is required",
            Code::IoUringForbidden => "the use of io_uring is forbidden here",
            Code::Io => "a system call failed",
            Code::ConnectionRefused => "the connection was refused",
            Code::ConnectionReset => "the other end reset the connection",
            Code::PeerClosed => "the other end closed before the exchange was complete",
            Code::Unreachable => "the network or host cannot be reached",
            Code::Protocol => "the other end broke the protocol",
            Code::NotConnected => "the connection is not open",
            Code::NoSuchForwarder => "no forwarder has this name or key",
            Code::NoSuchBackend => "no back end has this key",
            Code::NoSuchListener => "no listener has this key",
            Code::NoBackend => "no back end may be used",
            Code::Saturated => "every back end is at its limit",
            Code::BadRequest => "the client's request is refused",
            Code::BadResponse => "the back end's response is refused",
            Code::NoSuchNode => "the pool has no node of this name",
            Code::NoSuchService => "the pool has no service of this name",
            Code::StaleToken => "the fencing token is not the present one",
            Code::PoolExhausted => "the pool has no node to lend",
            Code::NoSuchEndpoint => "there is no such endpoint",
            Code::NoSuchSocket => "there is no such datagram socket",
            Code::NoSuchCall => "there is no such call",
            Code::TooManyCalls => "as many calls as may be are outstanding on the connection",
            Code::CallFailed => "the call did not go well",
            Code::BadKey => "the text is not a key of the kind that is wanted",
            Code::KeyExposed => "others than its owner can get at the private key",
            Code::FileExists => "the file exists and is not written over",
            Code::Panic => "a defect in clustercore was caught at its boundary",
            Code::Internal => "an internal invariant does not hold",
        }
    }

    /// True when the same call may succeed later without the caller changing anything.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Code::QueueFull
                | Code::DescriptorsExhausted
                | Code::ConnectionsExhausted
                | Code::BuffersExhausted
                | Code::Timeout
                | Code::Interrupted
                | Code::WouldBlock
                | Code::ConnectionRefused
                | Code::ConnectionReset
                | Code::PeerClosed
                | Code::Unreachable
                | Code::NoBackend
                | Code::Saturated
                | Code::PoolExhausted
                | Code::TooManyCalls
        )
    }

    /// Where the cause usually is.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Code::InvalidArgument => Side::Local,
            Code::NullArgument => Side::Local,
            Code::WrongThread => Side::Local,
            Code::Closed => Side::Local,
            Code::WrongState => Side::Local,
            Code::AlreadyExists => Side::Local,
            Code::BufferTooSmall => Side::Local,
            Code::TooLarge => Side::Local,
            Code::BadAddress => Side::Local,
            Code::BadConfiguration => Side::Local,
            Code::NotAListener => Side::Local,
            Code::UnknownStructSize => Side::Local,
            Code::Forked => Side::Local,
            Code::NotSupported => Side::Local,
            Code::InsecureAddress => Side::Local,
            Code::NoKey => Side::Local,
            Code::QueueFull => Side::Local,
            Code::OutOfMemory => Side::Local,
            Code::DescriptorsExhausted => Side::Kernel,
            Code::ConnectionsExhausted => Side::Local,
            Code::BuffersExhausted => Side::Local,
            Code::LockedMemoryExhausted => Side::Kernel,
            Code::TooManyBackends => Side::Local,
            Code::Timeout => Side::Local,
            Code::Interrupted => Side::Local,
            Code::WouldBlock => Side::Local,
            Code::Cancelled => Side::Local,
            Code::AddressInUse => Side::Kernel,
            Code::AddressNotAvailable => Side::Kernel,
            Code::PermissionDenied => Side::Kernel,
            Code::UnsupportedKernel => Side::Kernel,
            Code::IoUringForbidden => Side::Kernel,
            Code::Io => Side::Kernel,
            Code::ConnectionRefused => Side::Upstream,
            Code::ConnectionReset => Side::Peer,
            Code::PeerClosed => Side::Peer,
            Code::Unreachable => Side::Upstream,
            Code::Protocol => Side::Peer,
            Code::NotConnected => Side::Local,
            Code::NoSuchForwarder => Side::Local,
            Code::NoSuchBackend => Side::Local,
            Code::NoSuchListener => Side::Local,
            Code::NoBackend => Side::Upstream,
            Code::Saturated => Side::Upstream,
            Code::BadRequest => Side::Downstream,
            Code::BadResponse => Side::Upstream,
            Code::NoSuchNode => Side::Local,
            Code::NoSuchService => Side::Local,
            Code::StaleToken => Side::Local,
            Code::PoolExhausted => Side::Local,
            Code::NoSuchEndpoint => Side::Local,
            Code::NoSuchSocket => Side::Local,
            Code::NoSuchCall => Side::Local,
            Code::TooManyCalls => Side::Local,
            Code::CallFailed => Side::Peer,
            Code::BadKey => Side::Local,
            Code::KeyExposed => Side::Local,
            Code::FileExists => Side::Local,
            Code::Panic => Side::Local,
            Code::Internal => Side::Local,
        }
    }
}
