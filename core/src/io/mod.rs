//! Floor 3: what the loop asks of the kernel, as one interface with three drivers.
//!
//! A [`Driver`] moves bytes and reports what happened; it decides nothing. Wishes (`connect`, `recv`,
//! `send`, ...) are collected and take effect in the next [`Driver::turn`], which submits once, waits at
//! most as long as it is told, and appends [`Event`]s. `UringDriver`, `EpollDriver` and `SimDriver` pass
//! the same conformance suite (`core/tests/driver`).
//!
//! Received bytes are lent: a [`Lease`] is a counted reference to a part of a buffer of the driver's
//! [`Buffers`]; it is plain data, so whoever receives one must give it on to `send` or to `release`.

use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

pub use clustercore_proto::time::Instant;

mod any;
pub(crate) mod clock;
mod config;
mod datagram;
pub mod epoll;
mod lingering;
mod op_table;
mod readiness;
mod sendq;
pub mod sim;
mod table;
mod train_queue;
pub mod uring;

pub(crate) use crate::sys::buffers::Empty;
pub use crate::sys::buffers::{Buffers, BuffersConfig, Lease};
pub use any::{AnyDriver, DriverChoice, open};
pub use config::{DatagramsConfig, DriverConfig, DriverKind, Features, ListenOptions, StreamOptions};
pub use datagram::{DatagramCounters, DatagramOptions, Ecn, SteerByByte, TRAIN_BYTES_MAX, Train, TrainBytes};
pub(crate) use lingering::Lingering;
pub use op_table::{OpTable, Step, UserData};
pub(crate) use sendq::SendQueue;
pub(crate) use table::Table;
pub(crate) use train_queue::Part;

/// A stream (a TCP connection) of one driver: slot and generation, so that a late use of an ended
/// stream is noticed and ignored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct StreamId {
    /// Slot in the driver's table: dense, reused, fit for indexing a side table.
    pub index: u32,
    /// Counts the uses of the slot.
    pub generation: u32,
}

/// A listening socket of one driver.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ListenerId(pub u32);

/// A datagram socket of one driver.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct DatagramId(pub u32);

/// Error number of the kernel (`errno`, positive), as in `errno(3)`; the simulator uses the same ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Errno(pub i32);

impl Errno {
    /// The number of an `io::Error`, or `EIO` when it has none.
    pub fn from_io(error: &std::io::Error) -> Self {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
    /// As a `std::io::Error`, which knows the system's words for it.
    pub fn to_io(self) -> std::io::Error {
        std::io::Error::from_raw_os_error(self.0)
    }
}

/// How a stream ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Close {
    /// What is queued is sent first, then the socket is closed. A quarter of `streams_max` may linger so at a time, and none for more than a
    /// minute in which the peer takes nothing; beyond that the one closed first is reset.
    AfterSend,
    /// At once; what is queued is dropped and the peer gets a reset.
    Abort,
}

/// Bytes to send: owned by the caller until now, or lent by this driver.
#[derive(Debug)]
pub enum Chunk {
    /// A buffer from [`Driver::buffer`] (or any other); the driver keeps it for reuse.
    Owned(Vec<u8>),
    /// A part of a received buffer; released by the driver when it has been sent.
    Lease(Lease),
    /// Bytes that several streams send.
    Shared(Arc<Vec<u8>>),
}

/// How a splice ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpliceEnd {
    /// All bytes asked for have been handed to the target's socket.
    Done,
    /// The source ended (FIN) before; what it sent has been handed on.
    SourceEnd,
    /// Reading failed.
    SourceFailed(Errno),
    /// Writing failed.
    TargetFailed(Errno),
}

/// What happened. Events of one stream come in order; none comes for a stream after `close`.
#[derive(Debug)]
pub enum Event {
    /// A connection was accepted. No bytes are read until `recv` or `recv_block` asks.
    Accepted {
        /// The listener it came in on.
        listener: ListenerId,
        /// The new stream.
        stream: StreamId,
        /// The address at the other end.
        peer: SocketAddr,
    },
    /// Accepting failed (descriptors used up, memory); the listener is paused until `accept_resume`.
    AcceptFailed {
        /// The listener.
        listener: ListenerId,
        /// Why: `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, ...
        errno: Errno,
    },
    /// A `connect` ended. On `Err` the stream is still to be closed by the owner.
    Connected {
        /// The stream that `connect` returned.
        stream: StreamId,
        /// `Err(ECONNREFUSED)`, ...
        result: Result<(), Errno>,
    },
    /// Bytes arrived. The lease is never empty.
    Data {
        /// The stream.
        stream: StreamId,
        /// The bytes.
        lease: Lease,
    },
    /// The other side will send nothing more (FIN); all its data came before. Receiving has stopped.
    End {
        /// The stream.
        stream: StreamId,
    },
    /// Reading or writing failed (reset, broken pipe, ...). Queued chunks have been released; receiving has
    /// stopped. Comes at most once; the owner still closes the stream.
    Failed {
        /// The stream.
        stream: StreamId,
        /// Why.
        errno: Errno,
    },
    /// Answer to `recv_stop`: no further `Data` comes until `recv` or `recv_block` asks again. Not sent when `End` or
    /// `Failed` came first.
    RecvStopped {
        /// The stream.
        stream: StreamId,
    },
    /// Bytes of the stream's send queue were taken by the kernel.
    Sent {
        /// The stream.
        stream: StreamId,
        /// Bytes that still wait in the queue; 0 when it is empty.
        unsent: u32,
    },
    /// A `splice` ended.
    Spliced {
        /// Where the bytes came from.
        source: StreamId,
        /// Where they went.
        target: StreamId,
        /// Bytes handed to the target, in all.
        moved: u64,
        /// How it ended. On anything but `Done` and `SourceEnd` both streams are to be closed.
        end: SpliceEnd,
    },
    /// Datagrams arrived: `lease` holds one or several of `segment` bytes each (the last may be shorter). An empty lease is one datagram
    /// without bytes; `segment` is 1 then. To hold on to a few bytes of it for long, see [`Driver::keep`].
    Datagrams {
        /// The socket.
        socket: DatagramId,
        /// The sender.
        from: SocketAddr,
        /// Bytes of each datagram in the train.
        segment: u32,
        /// The mark of congestion control on all of them; `NotCapable` where the socket did not ask for it.
        ecn: Ecn,
        /// The bytes.
        lease: Lease,
    },
    /// Trains of a datagram socket were taken by the kernel; at most one such event per socket and turn.
    DatagramsSent {
        /// The socket.
        socket: DatagramId,
        /// Bytes that still wait; 0 when nothing does.
        unsent: usize,
    },
    /// Sending on a datagram socket failed (a train, or the part of a long one that travels together, was dropped), or an ICMP error came.
    /// `ENOBUFS`: too many trains wait, or the device's own queue is full. `EINVAL`: a train that cannot be meant.
    DatagramFailed {
        /// The socket.
        socket: DatagramId,
        /// Why.
        errno: Errno,
    },
    /// Somebody rang the [`Waker`].
    Woken,
}

/// Rings a driver out of its wait, from any thread.
#[derive(Clone, Debug)]
pub struct Waker(pub(crate) Arc<OwnedFd>);

impl Waker {
    /// Ends the current or the next wait of the driver. Costs one system call (about 0.3 us, plus about 10 us of
    /// wake-up when the other side sleeps): ring once per batch.
    pub fn wake(&self) {
        // An eventfd that is full (EAGAIN) is already ringing.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

/// Moves bytes for one shard. See the module's text.
///
/// Calls about a stream that has ended or was never there do nothing (leases given to them are released): the owner
/// may always be one event behind.
pub trait Driver {
    /// Which driver this is.
    fn kind(&self) -> DriverKind;
    /// The features in use, for people: "multishot accept, multishot recv, buffer ring, ...".
    fn features(&self) -> Features;
    /// Driver time of the current turn: nanoseconds since the driver started. Read once per turn.
    fn now(&self) -> Instant;
    /// A descriptor that is readable when `turn` has something to do, for embedding in another loop; `None` in the simulator.
    fn fd(&self) -> Option<RawFd>;
    /// Something to ring the driver with; `None` in the simulator.
    fn waker(&self) -> Option<Waker>;

    /// Opens a listening socket and starts accepting. Errors: as `bind(2)` and `listen(2)`.
    fn listen(&mut self, address: SocketAddr, options: &ListenOptions) -> std::io::Result<ListenerId>;
    /// Accepts on a socket that the caller has bound and put to listen.
    fn listen_fd(&mut self, fd: OwnedFd) -> std::io::Result<ListenerId>;
    /// The address the listener is bound to.
    fn listener_address(&self, listener: ListenerId) -> Option<SocketAddr>;
    /// Stops accepting for now; connections wait in the kernel's backlog. One or a few that were under way may still come.
    fn accept_pause(&mut self, listener: ListenerId);
    /// Accepts again after `accept_pause` or `AcceptFailed`.
    fn accept_resume(&mut self, listener: ListenerId);
    /// Closes the listener. Accepted streams go on.
    fn unlisten(&mut self, listener: ListenerId);

    /// Starts to connect; `Event::Connected` tells the end. Errors: no descriptor, table full.
    fn connect(&mut self, address: SocketAddr, options: &StreamOptions) -> std::io::Result<StreamId>;
    /// The local address of a stream, when it has one.
    fn local_address(&self, stream: StreamId) -> Option<SocketAddr>;

    /// Receive from now on into shared buffers, event after event, until `recv_stop`, `End` or `Failed`.
    fn recv(&mut self, stream: StreamId);
    /// Ends `recv`; `RecvStopped` follows, after `Data` that was under way.
    fn recv_stop(&mut self, stream: StreamId);
    /// Receive once, into a buffer of the stream's own of at most `len_max` bytes: one `Data` (or `End`, `Failed`) follows. Only
    /// when not receiving otherwise. Under memory pressure the buffer is smaller, never absent.
    fn recv_block(&mut self, stream: StreamId, len_max: usize);
    /// An empty buffer to fill and `send`, reused from earlier sends.
    fn buffer(&mut self) -> Vec<u8>;
    /// Gives a buffer back unsent.
    fn recycle(&mut self, buffer: Vec<u8>);
    /// Queues bytes. All that one turn queues on a stream leaves in as few system calls as can be; `Sent` tells progress.
    fn send(&mut self, stream: StreamId, chunk: Chunk);
    /// Bytes queued and not yet taken by the kernel.
    fn unsent(&self, stream: StreamId) -> usize;
    /// Bytes given to `send` or spliced that the peer has not acknowledged: those that wait here and those in the socket (SIOCOUTQ, tcp(7)).
    /// It falls as the peer's system takes bytes, so that who reads slowly is told from who reads nothing. A FIN that is not acknowledged counts
    /// as a byte. A system call: for time-outs, not for every turn.
    ///
    /// Bytes of one send under way may be counted twice until it has ended, so it falls in steps of up to 64 KiB. 0 for a stream that has
    /// ended or is not connected and has nothing queued.
    fn outstanding(&self, stream: StreamId) -> usize;
    /// After what is queued: no more from this side (FIN). Receiving goes on.
    fn shutdown(&mut self, stream: StreamId);
    /// Ends the stream; no event of it comes afterwards. Leases received from it stay valid until released.
    fn close(&mut self, stream: StreamId, how: Close);
    /// Moves `len` bytes (or all until the source's end, `u64::MAX`) from `source` to `target` inside the kernel where it can. Neither may be
    /// receiving (source) or have anything queued (target). One `Spliced` follows.
    ///
    /// `false`: no pipe to be had (`pipes_max`, descriptors, feature masked); nothing was started, use `recv_block` and `send`.
    #[must_use]
    fn splice(&mut self, source: StreamId, target: StreamId, len: u64) -> bool;
    /// Bytes moved so far by the splice that reads from `source`; 0 when there is none. For progress time-outs.
    fn spliced(&self, source: StreamId) -> u64;

    /// Opens a datagram socket and receives on it from now on. The first one takes the memory to receive into
    /// ([`DatagramsConfig::buffers`]). Errors: as `bind(2)`; `ENOMEM`; `EINVAL` for options that cannot be.
    fn bind_datagram(
        &mut self,
        address: SocketAddr,
        options: &DatagramOptions,
    ) -> std::io::Result<DatagramId>;
    /// The address a datagram socket is bound to.
    fn datagram_address(&self, socket: DatagramId) -> Option<SocketAddr>;
    /// Bytes that may wait to be received in the socket, as they are asked for in [`DatagramOptions`].
    fn datagram_receive_buffer(&self, socket: DatagramId) -> Option<usize>;
    /// What has passed through a datagram socket; `None` when it is closed.
    fn datagram_counters(&self, socket: DatagramId) -> Option<DatagramCounters>;
    /// Queues a train. The kernel reads the bytes where they lie; it has them all when [`Driver::datagrams_unsent`] says 0. Beyond
    /// [`DatagramsConfig::trains_queued_max`] it is dropped and `DatagramFailed` tells `ENOBUFS`.
    fn send_datagrams(&mut self, socket: DatagramId, to: SocketAddr, train: Train);
    /// Bytes queued and not yet taken by the kernel.
    fn datagrams_unsent(&self, socket: DatagramId) -> usize;
    /// Closes a datagram socket. What can be sent at once is, the rest is dropped.
    fn close_datagram(&mut self, socket: DatagramId);

    /// The buffers that leases point into.
    fn buffers(&self) -> &Buffers;
    /// The bytes of a lease.
    fn bytes(&self, lease: &Lease) -> &[u8] {
        self.buffers().bytes(lease)
    }
    /// The bytes of a lease, to be changed where they lie; `None` when there is another lease of the same buffer.
    fn bytes_mut(&mut self, lease: &mut Lease) -> Option<&mut [u8]>;
    /// A second reference to the same bytes, to be sent or released as well.
    fn retain(&mut self, lease: &Lease) -> Lease;
    /// Cuts off the first `count` bytes as a lease of their own. Panics when there are fewer.
    fn split(&mut self, lease: &mut Lease, count: usize) -> Lease;
    /// A lease of the same bytes that may be held for long: a few of them (up to 2 KiB) of a received train move into memory of their own
    /// size, so that they do not hold the room of a whole train. Others are returned as they are.
    fn keep(&mut self, lease: Lease) -> Lease;
    /// Gives a lease back.
    fn release(&mut self, lease: Lease);

    /// One turn: submits all wishes, waits until something happened or `timeout` has passed (`None`: no limit; zero: do not
    /// wait), appends events. Errors are the driver's own end (the ring is unusable), never a stream's.
    fn turn(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> std::io::Result<()>;
    /// Whether the next turn has something to do without waiting: wishes not yet submitted, events kept back. Who embeds the driver
    /// in a loop of its own calls `turn` before it waits for `fd`.
    fn pending(&self) -> bool;
    /// Streams open now.
    fn streams_open(&self) -> usize;
}
