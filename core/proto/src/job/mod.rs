//! Requests in messages: what front end and job handler say to each other.
//!
//! [`Message`] is the codec, [`Exchanges`] the front end's table, [`Sending`] and [`Receiving`] the credit of an exchange's two directions.
//! `docs/protocol/jobs.md` has the bytes and the states. Invariants: what cannot be read exactly is refused; nobody sends more than
//! the credit, and who does is found out.

mod direction;
mod exchange;
mod message;

pub use direction::{Receiving, Sending, Violation};
pub use exchange::{Accepted, EXCHANGES_MAX, ExchangeId, Exchanges, Opened};
pub use message::{Message, Why};

use crate::datagram::{StreamId, StreamKind};

/// Where messages go that are a whole direction of an exchange.
pub const WHOLE: StreamId = match StreamId::new(0, StreamKind::Unordered) {
    Some(stream) => stream,
    None => StreamId::DEFAULT,
};

/// Where all other messages of an exchange go, in order.
pub fn stream_of(exchange: ExchangeId) -> StreamId {
    StreamId::new(1 + exchange.to_wire() % STREAMS, StreamKind::Ordered).unwrap_or(StreamId::DEFAULT)
}

/// Ordered streams that the exchanges share.
const STREAMS: u32 = 16;

/// Bytes of a request that may be sent before the handler has raised its credit.
pub const REQUEST_CREDIT: u64 = 64 << 10;
/// Bytes of a request that an open carries at most; a longer head does not go by messages.
pub const OPEN_BYTES_MAX: usize = 48 << 10;
/// Bytes of a part at most.
pub const PART_BYTES_MAX: usize = 16 << 10;
/// Bytes in front of a message's content, at most.
pub const HEAD_BYTES_MAX: usize = 1 + 5 + 1 + 10;
/// A message is never longer than this.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Codes of a close, from `CloseCode::APPLICATION` on.
pub mod close {
    /// A message that cannot be, or more than the credit.
    pub const VIOLATION: u64 = 256;
    /// The handler ends.
    pub const ENDING: u64 = 257;
}
