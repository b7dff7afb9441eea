//! Remote procedure calls over connections of reliable datagrams, executed at most once.
//!
//! [`Calls`] is a machine beside [`crate::datagram::Endpoint`]: messages of its streams and time go in; [`Incoming`] calls and replies,
//! and messages to be sent, come out. What it promises, and how the bytes look, is in `docs/protocol/rpc.md`. Invariants: a call is
//! handed to the server's owner at most once; the caller's owner is told the end of each call exactly once; an [`Outcome`] is never wrong.

mod call;
mod callee;
mod caller;
mod config;
mod event;
mod message;
mod metadata;
mod parts;
mod peer;
mod port;
mod retry;
mod status;
mod table;

pub use call::{Arguments, CallError, CallId, CallOptions, Method, ReplyError, Results};
pub use config::Config;
pub use event::{Incoming, IncomingCall, IncomingReply};
pub use message::{CallMessage, Message, PartMessage, ReplyMessage, WorkState};
pub use metadata::{Metadata, MetadataRef};
pub use parts::PART_OVERHEAD;
pub use port::Port;
pub use retry::{Attempt, RetryPolicy};
pub use status::{Outcome, Status};
pub use table::{Calls, Stats};

use crate::datagram::{StreamId, StreamKind};

/// The first number of the streams that belong to calls.
pub const STREAMS_FROM: u32 = 1 << 29;
/// Ordered streams of a connection that streamed calls share.
pub const ORDERED_STREAMS: u32 = 64;

/// Whether a stream belongs to calls.
pub const fn is_of_calls(stream: StreamId) -> bool {
    stream.number() >= STREAMS_FROM
}

const fn stream(offset: u32, kind: StreamKind) -> StreamId {
    match StreamId::new(STREAMS_FROM + offset, kind) {
        Some(stream) => stream,
        None => StreamId::DEFAULT,
    }
}

/// Calls and replies that fit a packet.
const PACKETS: StreamId = stream(0, StreamKind::Unreliable);
/// Those that do not.
const WHOLE: StreamId = stream(0, StreamKind::Unordered);

/// The ordered stream of the streamed calls of a slot.
const fn ordered(slot: u32) -> StreamId {
    stream(slot % ORDERED_STREAMS, StreamKind::Ordered)
}
