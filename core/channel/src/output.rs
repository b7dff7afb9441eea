//! What the engine wants done, and what it answers.

use crate::event::Event;
use crate::id::{ConsumerProxyId, DeliveryId, SupplierProxyId};
use std::fmt;

/// Something for the owner to do, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Write this event to disk, then say so by `persisted`.
    Persist {
        /// Its place in the channel's order.
        offset: u64,
        /// The event.
        event: Event,
    },
    /// The channel was made, or its configuration was changed: whoever keeps persistent events keeps that too.
    Configured,
    /// A durable consumer with a name was made, or what it asks for was changed.
    ConsumerKept {
        /// Its proxy.
        proxy: SupplierProxyId,
    },
    /// Such a consumer was removed.
    ConsumerGone {
        /// What its proxy was.
        proxy: SupplierProxyId,
    },
    /// Tell the supplier that these receipts are kept: on disk, or wanted by nobody.
    Confirmed {
        /// His proxy.
        proxy: ConsumerProxyId,
        /// The first receipt.
        first: u64,
        /// The last receipt.
        last: u64,
    },
    /// Tell the supplier that this receipt is not kept after all; he may send the event again.
    Lost {
        /// His proxy.
        proxy: ConsumerProxyId,
        /// The receipt.
        receipt: u64,
        /// Why.
        reason: Refusal,
    },
    /// Ask a supplier for events, then give what he has by `pulled`.
    Pull {
        /// His proxy.
        proxy: ConsumerProxyId,
        /// How many at most.
        max: u32,
    },
    /// Tell a pulling consumer, who found nothing, that there is something.
    Readable {
        /// His proxy.
        proxy: SupplierProxyId,
    },
    /// A consumer that is an address was made: events are to be sent there.
    Hooked {
        /// Its proxy.
        proxy: SupplierProxyId,
    },
    /// An event has been tried too often, or was rejected for good.
    DeadLetter {
        /// The proxy of the last try.
        proxy: SupplierProxyId,
        /// The event.
        event: Event,
        /// How often it was handed over.
        tries: u16,
    },
}

/// Why an event is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No such proxy, or it was removed.
    NoSuchProxy,
    /// The proxy or its group is suspended.
    Suspended,
    /// The proxy's buffer is full.
    BufferFull {
        /// Events that it holds.
        length: u32,
    },
    /// The channel holds as much as it may.
    ChannelFull {
        /// Events that it holds.
        events: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The event alone is larger than the buffer.
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// Those of the buffer.
        max: u64,
    },
    /// The same event is being written to disk: ask again.
    InProgress,
    /// The disk did not take it.
    NotWritten,
}

impl Refusal {
    /// True when the same event may be taken later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Refusal::NoSuchProxy | Refusal::TooLarge { .. })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoSuchProxy => write!(f, "there is no such proxy (any more): make one"),
            Refusal::Suspended => write!(f, "the proxy or its group is suspended: wait until it is resumed"),
            Refusal::BufferFull { length } => write!(f, "the buffer holds {length} events, its limit: wait"),
            Refusal::ChannelFull { events, bytes } => {
                write!(f, "the channel holds {events} events of {bytes} bytes, its limit: wait")
            }
            Refusal::TooLarge { bytes, max } => write!(f, "the event is {bytes} bytes, the buffer {max}"),
            Refusal::InProgress => write!(f, "the same event is being written: ask again"),
            Refusal::NotWritten => write!(f, "the event could not be written to disk: send it again"),
        }
    }
}

impl std::error::Error for Refusal {}

/// What became of events that a supplier pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pushed {
    /// Events dealt with, from the first on: each has a receipt.
    pub taken: u64,
    /// The receipt of the first; the others follow.
    pub receipt: u64,
    /// Of those taken, repeats of earlier ones.
    pub repeats: u64,
    /// Of those taken, to be confirmed when they are on disk; the others are done with.
    pub unwritten: u64,
    /// Why the next one was not taken.
    pub refusal: Option<Refusal>,
}

/// An event handed to a consumer.
#[derive(Clone, Copy, Debug)]
pub struct Handed<'a> {
    /// The event.
    pub event: &'a Event,
    /// Its name for the acknowledgement.
    pub delivery: DeliveryId,
    /// Its place in the channel's order; 0 for one delivered directly.
    pub offset: u64,
    /// How often it was handed over before.
    pub tries: u16,
}
