//! What an endpoint tells its owner.

use super::id::{Connection, Sequence, StreamId};
use super::parameters::RefuseCode;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Something happened to a connection. Messages come through [`Inbox`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// `connect` has ended well.
    Connected {
        /// The connection.
        connection: Connection,
        /// Which run of its program the peer is.
        epoch: u64,
        /// Its public key, in secure mode.
        identity: Option<[u8; 32]>,
    },
    /// A peer has connected.
    Accepted {
        /// The connection.
        connection: Connection,
        /// Where it came from.
        peer: SocketAddr,
        /// Which run of its program the peer is.
        epoch: u64,
        /// Its public key, in secure mode.
        identity: Option<[u8; 32]>,
    },
    /// There is room again after a `WouldBlock`.
    Writable {
        /// The connection.
        connection: Connection,
    },
    /// The peer has moved to another address.
    Moved {
        /// The connection.
        connection: Connection,
        /// Where it is now.
        peer: SocketAddr,
    },
    /// The connection is over; its name is not used any more.
    Gone {
        /// The connection.
        connection: Connection,
        /// Why.
        reason: GoneReason,
        /// Messages of ours that are not known to have arrived: first and last of each range, by stream.
        unconfirmed: Vec<(StreamId, Sequence, Sequence)>,
    },
}

/// Why a connection is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GoneReason {
    /// We closed it.
    Closed,
    /// The peer closed it.
    ClosedByPeer {
        /// Its code.
        code: u64,
        /// Its words.
        text: Vec<u8>,
    },
    /// Nobody answered the handshake.
    Unreachable,
    /// The peer said no.
    Refused(RefuseCode),
    /// The peer speaks none of our versions.
    NoCommonVersion,
    /// Nothing was acknowledged for `gone_after`, or nothing came for `idle_timeout`.
    Silent,
    /// The peer's program was started anew and knows nothing of us.
    Restarted,
    /// The peer broke the protocol.
    Violation(CloseCode),
}

/// Codes of a close that come from the protocol; an application's are from [`CloseCode::APPLICATION`] on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum CloseCode {
    /// All is well.
    None = 0,
    /// A frame could not be read.
    Frame = 1,
    /// More than the window.
    FlowControl = 2,
    /// More streams than allowed.
    Streams = 3,
    /// A message longer than allowed, or a fragment that contradicts an earlier one.
    Message = 4,
    /// An acknowledgement of what was never sent.
    Acknowledgement = 5,
    /// A half-received message made no progress.
    Reassembly = 6,
    /// The packet numbers are used up; connect again.
    Exhausted = 7,
}

impl CloseCode {
    /// The lowest code that an application may use.
    pub const APPLICATION: u64 = 256;
}

/// Messages of one stream that came together.
#[derive(Debug)]
pub struct Run<'a> {
    /// Whose.
    pub connection: Connection,
    /// The stream.
    pub stream: StreamId,
    /// Sequence of the first; 0 on unreliable streams.
    pub first: Sequence,
    /// How many.
    pub count: u32,
    /// What they cost of the window: to be given back by [`super::Endpoint::consume`]. 0 on streams without credit.
    pub cost: u64,
    /// The messages.
    pub content: Content<'a>,
}

/// Where the messages of a run are.
#[derive(Debug)]
pub enum Content<'a> {
    /// Where they arrived: each a length (LEB128) and its bytes, beginning at `place` of the train.
    Lent {
        /// Offset in the train that is being handled.
        place: usize,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// One message where it arrived, without a length before it.
    Single {
        /// Offset in the train that is being handled.
        place: usize,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// Copied, because something before them was missing: each a length and its bytes.
    Kept(Vec<u8>),
    /// One message put together from parts: its bytes, without a length.
    Whole(Vec<u8>),
}

impl Run<'_> {
    /// Calls `each` with every message.
    pub fn for_each(&self, mut each: impl FnMut(&[u8])) {
        match &self.content {
            Content::Whole(bytes) => each(bytes),
            Content::Single { bytes, .. } => each(bytes),
            Content::Lent { bytes, .. } => messages(bytes).for_each(each),
            Content::Kept(bytes) => messages(bytes).for_each(each),
        }
    }
}

/// The messages of packed content: each a length (LEB128) and its bytes. Ends early at what cannot be read.
#[inline]
pub fn messages(mut packed: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (len, head) = crate::wire::varint::get(packed)?;
        let message = packed.get(head..)?.get(..usize::try_from(len).ok()?)?;
        packed = &packed[head + message.len()..];
        Some(message)
    })
}

/// What a message costs of the window besides its bytes.
pub const MESSAGE_COST: u64 = 16;

/// Takes messages as they are found in a train.
pub trait Inbox {
    /// Messages have arrived. Lent ones are valid until the call returns; who keeps the train may read them there later.
    fn messages(&mut self, run: Run<'_>);
}

impl<F: FnMut(Run<'_>)> Inbox for F {
    fn messages(&mut self, run: Run<'_>) {
        self(run);
    }
}
