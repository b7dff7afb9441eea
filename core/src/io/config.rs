//! What a driver is told at its start, and what it says about itself.

/// Which driver moves the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DriverKind {
    /// io_uring.
    Uring,
    /// epoll, where io_uring is forbidden.
    Epoll,
    /// The simulator.
    Sim,
}

impl DriverKind {
    /// The name used in configuration files and reports.
    pub fn name(self) -> &'static str {
        match self {
            DriverKind::Uring => "uring",
            DriverKind::Epoll => "epoll",
            DriverKind::Sim => "sim",
        }
    }
}

/// Kernel features, each on its own so that a test can mask one. The floor is kernel 6.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// One accept request for many connections (5.19).
    pub multishot_accept: bool,
    /// One receive request for many completions (6.0).
    pub multishot_recv: bool,
    /// Receive buffers picked by the kernel from a shared ring (5.19).
    pub buffer_ring: bool,
    /// `SINGLE_ISSUER | DEFER_TASKRUN` (6.1): completions are made on our thread, when we ask.
    pub defer_taskrun: bool,
    /// A submission ring without its index array (6.6).
    pub no_sqarray: bool,
    /// UDP segmentation and receive offload.
    pub udp_offload: bool,
    /// Socket-to-socket splice.
    pub splice: bool,
}

impl Features {
    /// Everything: the mask that masks nothing.
    pub const ALL: Features = Features {
        multishot_accept: true,
        multishot_recv: true,
        buffer_ring: true,
        defer_taskrun: true,
        no_sqarray: true,
        udp_offload: true,
        splice: true,
    };
    /// What Debian 12's own kernel (6.1) has.
    pub const KERNEL_6_1: Features = Features { no_sqarray: false, ..Features::ALL };
    /// Nothing that can be done without.
    pub const NONE: Features = Features {
        multishot_accept: false,
        multishot_recv: false,
        buffer_ring: false,
        defer_taskrun: false,
        no_sqarray: false,
        udp_offload: false,
        splice: false,
    };

    /// What both have.
    pub fn and(self, other: Features) -> Features {
        Features {
            multishot_accept: self.multishot_accept && other.multishot_accept,
            multishot_recv: self.multishot_recv && other.multishot_recv,
            buffer_ring: self.buffer_ring && other.buffer_ring,
            defer_taskrun: self.defer_taskrun && other.defer_taskrun,
            no_sqarray: self.no_sqarray && other.no_sqarray,
            udp_offload: self.udp_offload && other.udp_offload,
            splice: self.splice && other.splice,
        }
    }

    /// Name and presence of each, in a fixed order.
    pub fn list(self) -> [(&'static str, bool); 7] {
        [
            ("multishot_accept", self.multishot_accept),
            ("multishot_recv", self.multishot_recv),
            ("buffer_ring", self.buffer_ring),
            ("defer_taskrun", self.defer_taskrun),
            ("no_sqarray", self.no_sqarray),
            ("udp_offload", self.udp_offload),
            ("splice", self.splice),
        ]
    }
}

impl std::fmt::Display for Features {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut first = true;
        for (name, present) in self.list() {
            if present {
                write!(f, "{}{name}", if first { "" } else { ", " })?;
                first = false;
            }
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

/// Sizes and bounds of a driver. All memory but the blocks and the buffers for datagrams is taken at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DriverConfig {
    /// Streams at a time, accepted and connected together.
    pub streams_max: usize,
    /// Submission queue entries; more wishes in one turn are submitted in several calls.
    pub submissions: u32,
    /// Shared receive buffers: how many and of how many bytes, and how much memory blocks may take.
    pub buffers: super::BuffersConfig,
    /// Buffers and queues of datagram sockets.
    pub datagrams: DatagramsConfig,
    /// Pipes kept for splicing, at most; beyond that splices are done through blocks.
    pub pipes_max: usize,
    /// Spin for this long before a wait blocks, in nanoseconds; 0 blocks at once.
    pub spin_ns: u64,
    /// Features to do without even where the kernel has them.
    pub mask: Features,
}

impl Default for DriverConfig {
    fn default() -> Self {
        DriverConfig {
            streams_max: 20_000,
            submissions: 1024,
            buffers: super::BuffersConfig::default(),
            datagrams: DatagramsConfig::default(),
            pipes_max: 256,
            spin_ns: 0,
            mask: Features::ALL,
        }
    }
}

/// Bounds for datagram sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatagramsConfig {
    /// Trains that are received and not yet released, of all sockets together: a power of two. Each has a buffer of 64 KiB, whose memory is
    /// taken with the first socket (and from the system as it is touched).
    pub buffers: u16,
    /// Trains that may wait to be sent on one socket.
    pub trains_queued_max: usize,
}

impl Default for DatagramsConfig {
    fn default() -> Self {
        DatagramsConfig { buffers: 64, trains_queued_max: 1024 }
    }
}

/// How to listen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenOptions {
    /// Connections that wait to be accepted, at most (the kernel cuts it at `net.core.somaxconn`).
    pub backlog: i32,
    /// Several sockets on one address share its connections (one per shard).
    pub reuse_port: bool,
    /// Options that accepted streams inherit.
    pub stream: StreamOptions,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions { backlog: 4096, reuse_port: false, stream: StreamOptions::default() }
    }
}

/// Socket options of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamOptions {
    /// Congestion control: "cubic" by default, since the system's own may be bbr without fq, which costs a third more
    /// CPU here (`docs/decisions`). `None` leaves the system's.
    pub congestion: Option<&'static str>,
    /// Send small segments at once.
    pub nodelay: bool,
}

impl Default for StreamOptions {
    fn default() -> Self {
        StreamOptions { congestion: Some("cubic"), nodelay: true }
    }
}
