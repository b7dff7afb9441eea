//! Reliable datagrams: messages between endpoints over UDP, exactly once while both live.
//!
//! [`Endpoint`] is a machine: trains of datagrams and time go in, messages, [`Event`]s and trains come out. What it promises, and
//! how the bytes look, is in `docs/protocol/datagram.md`. Invariants: nothing is handed out twice or (on ordered streams) out of
//! turn; memory stays within [`Config::memory_max`]; a packet that does not check changes nothing.

mod builder;
mod config;
mod connection;
mod control;
mod endpoint;
mod event;
mod frame;
mod handshake;
mod id;
mod mtu;
mod pacer;
mod packet;
mod parameters;
mod pool;
mod ranges;
mod receive_stream;
mod rtt;
mod security;
mod send_stream;
mod sent;
mod stats;
mod trace;
mod writer;

pub use config::{BadConfig, Config, PACKET_BYTES_MAX};
pub use connection::SendError;
pub use control::{Acknowledged, ControlKind, Controller, Cubic};
pub use endpoint::{ConnectError, Endpoint, MessageClaim};
pub use event::{CloseCode, Content, Event, GoneReason, Inbox, MESSAGE_COST, Run, messages};
pub use frame::{Acknowledgement, EcnCounts, FragmentFrame, Frame, Frames, MessagesFrame};
pub use id::{Connection, Sequence, StreamId, StreamKind, WireId};
pub use packet::{Body, DataHeader, HEADER_BYTES, INIT_BYTES, Long, VERSION};
pub use parameters::{Parameters, RefuseCode};
pub use security::{Established, MacUse, Protector, Security};
pub use stats::{PathReport, Stats};
pub use trace::{DropReason, TraceEvent, TraceStatus, Tracer};

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;

/// Datagrams that leave together, to one address.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// Holds the datagrams; kept by the machine until they are acknowledged, and not written to before the last other reference is gone.
    pub bytes: Arc<Vec<u8>>,
    /// Where they lie in `bytes`.
    pub range: Range<usize>,
    /// Length of each but the last, which may be shorter.
    pub segment: u32,
    /// To be marked as capable of congestion notification (ECT(0), RFC 3168).
    pub is_ecn: bool,
    /// Longer than the path is known to take: must not be cut on the way, and its failure to leave is no error.
    pub is_probe: bool,
}

/// Takes trains.
pub trait TxSink {
    /// A train leaves.
    fn transmit(&mut self, train: Transmit);
}

impl<F: FnMut(Transmit)> TxSink for F {
    fn transmit(&mut self, train: Transmit) {
        self(train);
    }
}

/// Datagrams that have arrived together.
#[derive(Debug)]
pub struct Train<'a> {
    /// The sender.
    pub from: SocketAddr,
    /// The datagrams; opened in place.
    pub bytes: &'a mut [u8],
    /// Length of each but the last, which may be shorter.
    pub segment: usize,
    /// Their mark (the two lowest bits of the traffic class, RFC 3168).
    pub mark: u8,
}
