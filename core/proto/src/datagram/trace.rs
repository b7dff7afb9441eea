//! What an endpoint tells a [`Tracer`] about packets, paths and states: for people who look for the reason of something.
//!
//! Without a tracer it costs a look at an empty place per packet that arrives and per train that leaves, and nothing is allocated.
//! Events borrow what they speak of. How they look in a file is in `docs/protocol/datagram.md`, "Trace".

use super::event::GoneReason;
use super::id::{Connection, WireId};
use super::stats::PathReport;
use crate::time::Instant;
use alloc::boxed::Box;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

/// Takes events in the order in which they happen.
pub trait Tracer: Send {
    /// Something happened at `now`; to a connection, if it concerns one that is there.
    fn trace(&mut self, now: Instant, connection: Option<Connection>, event: TraceEvent<'_>);
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum TraceEvent<'a> {
    /// A connection has keys and can be talked over.
    Opened {
        /// Its id here.
        own: WireId,
        /// Its id at the peer.
        peer_id: WireId,
        /// Where the peer is.
        peer: SocketAddr,
        /// Whether this side began it.
        is_client: bool,
    },
    /// A packet without a connection left or came: of a handshake, or an answer.
    Handshake {
        /// init, cookie, accept, versions, reset or refuse.
        kind: &'static str,
        /// The other side.
        address: SocketAddr,
        /// Bytes of the packet.
        bytes: usize,
        /// Whether it left here.
        is_sent: bool,
    },
    /// A data packet left.
    Sent {
        /// Its number.
        number: u64,
        /// Its bytes.
        bytes: usize,
        /// Whether it asks for an acknowledgement.
        is_eliciting: bool,
        /// Whether it looks for the path's MTU.
        is_probe: bool,
        /// Packets of its train, and its place there.
        train: (u32, u32),
    },
    /// A valid data packet came, for the first time.
    Received {
        /// Its number.
        number: u64,
        /// Its bytes.
        bytes: usize,
        /// Its mark (RFC 3168).
        mark: u8,
    },
    /// A packet came and was dropped.
    Dropped {
        /// Why.
        why: DropReason,
        /// Where it came from.
        from: SocketAddr,
        /// Its bytes.
        bytes: usize,
    },
    /// A packet counts as lost.
    Lost {
        /// Its number.
        number: u64,
        /// Its bytes.
        bytes: usize,
        /// Whether it looked for the path's MTU.
        is_probe: bool,
    },
    /// An acknowledgement was overdue for the so manieth time.
    ProbeTimeout {
        /// Time-outs since the last acknowledgement.
        count: u32,
    },
    /// A direction has a new key.
    KeyUpdated {
        /// Whether it is the one that we seal with.
        is_own: bool,
        /// The first packet of it that left or came.
        number: u64,
    },
    /// The peer was heard from another address, which is being asked.
    PathSuspected {
        /// That address.
        address: SocketAddr,
    },
    /// The peer is at another address.
    PathMoved {
        /// That address.
        peer: SocketAddr,
    },
    /// How things stand after something has happened. Told often: who writes it down compares it with the last one.
    Status(TraceStatus),
    /// The owner is told that the connection is over.
    Closed {
        /// Why.
        reason: &'a GoneReason,
    },
    /// The name of the connection is free.
    Released,
}

/// How a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceStatus {
    /// As in the table of `docs/protocol/datagram.md`: accepting, open, finishing, closing, draining or gone.
    pub state: &'static str,
    /// What is known of the path.
    pub path: PathReport,
    /// The last sample of the round trip.
    pub rtt_latest: Duration,
    /// Its mean deviation.
    pub rtt_deviation: Duration,
    /// Whether the window doubles per round trip.
    pub is_slow_start: bool,
    /// Packets leave at this rate at most.
    pub pacing_bytes_per_second: u64,
}

/// Why a packet was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropReason {
    /// It cannot be read.
    Malformed,
    /// It is for a connection that is not there.
    Unknown,
    /// It came before.
    Repeated,
    /// Its trailer does not check.
    Corrupt,
    /// A stream had too many gaps to take it.
    Deferred,
}

impl DropReason {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::Malformed => "malformed",
            DropReason::Unknown => "unknown_connection",
            DropReason::Repeated => "repeated",
            DropReason::Corrupt => "corrupt",
            DropReason::Deferred => "deferred",
        }
    }
}

/// The place of a tracer in an endpoint, and the time of what happens now.
#[derive(Default)]
pub(super) struct Trace {
    tracer: Option<Box<dyn Tracer>>,
    now: Instant,
}

impl Trace {
    pub fn set(&mut self, tracer: Option<Box<dyn Tracer>>) {
        self.tracer = tracer;
    }

    /// What is told from here on happens at `now`.
    #[inline]
    pub fn at(&mut self, now: Instant) {
        self.now = now;
    }

    #[inline]
    pub fn is_on(&self) -> bool {
        self.tracer.is_some()
    }

    /// Tells an event, which is made only if somebody listens.
    #[inline]
    pub fn note<'a>(&mut self, connection: Option<Connection>, event: impl FnOnce() -> TraceEvent<'a>) {
        if self.is_on() {
            self.tell(connection, event());
        }
    }

    #[cold]
    fn tell(&mut self, connection: Option<Connection>, event: TraceEvent<'_>) {
        if let Some(tracer) = &mut self.tracer {
            tracer.trace(self.now, connection, event);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("is_on", &self.is_on()).finish()
    }
}
