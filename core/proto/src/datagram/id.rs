//! Names: connections on the wire and at the interface, streams, sequences.

use core::fmt;

/// A connection of one endpoint, for its owner: slot and generation, so that a late use of an ended one is noticed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Connection {
    /// Slot in the endpoint's table: dense, reused, fit for indexing a side table.
    pub index: u32,
    /// Counts the uses of the slot.
    pub generation: u32,
}

/// A connection id on the wire, chosen by the one who receives under it: shard in the lowest byte (a filter of the kernel
/// reads it), slot in the next 20 bits, 36 random bits above.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireId(pub u64);

impl WireId {
    /// Slots that can be told apart.
    pub const SLOTS_MAX: usize = 1 << 20;

    /// An id for `slot` of `shard`; the upper bits of `random` make it hard to guess.
    pub fn new(shard: u8, slot: u32, random: u64) -> WireId {
        WireId(u64::from(shard) | u64::from(slot & 0xf_ffff) << 8 | random << 28)
    }

    /// The shard that it is steered to.
    pub fn shard(self) -> u8 {
        self.0 as u8
    }

    /// The slot in that shard's table.
    pub fn slot(self) -> usize {
        (self.0 >> 8 & 0xf_ffff) as usize
    }
}

impl fmt::Debug for WireId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a stream promises.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StreamKind {
    /// Each message exactly once, in order.
    Ordered,
    /// Each message exactly once, as it comes.
    Unordered,
    /// The newest message arrives; older ones may be skipped, none comes after a newer one.
    Latest,
    /// At most once, no retransmission; a message must fit a packet.
    Unreliable,
}

/// A stream of a connection: a number of 30 bits and a kind. It exists from its first message on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// The ordered stream 0, where nothing else is asked for.
    pub const DEFAULT: StreamId = StreamId(0);
    /// Numbers are below this.
    pub const NUMBER_MAX: u32 = (1 << 30) - 1;

    /// Stream `number` of a kind. `None` beyond [`StreamId::NUMBER_MAX`].
    pub const fn new(number: u32, kind: StreamKind) -> Option<StreamId> {
        if number > Self::NUMBER_MAX {
            return None;
        }
        Some(StreamId(number << 2 | kind as u32))
    }

    /// As on the wire: the kind in the lowest two bits.
    pub const fn to_wire(self) -> u32 {
        self.0
    }

    /// From the wire; every value is a stream.
    pub const fn from_wire(value: u32) -> StreamId {
        StreamId(value)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0 >> 2
    }

    /// The kind.
    pub const fn kind(self) -> StreamKind {
        match self.0 & 3 {
            0 => StreamKind::Ordered,
            1 => StreamKind::Unordered,
            2 => StreamKind::Latest,
            _ => StreamKind::Unreliable,
        }
    }

    /// Whether its messages cost credit and are retransmitted.
    pub(super) const fn is_reliable(self) -> bool {
        self.0 & 3 < 2
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind(), self.number())
    }
}

/// Place of a message in its stream, from 0.
pub type Sequence = u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_id_carries_shard_and_slot() {
        let id = WireId::new(7, 0xf_ffff, u64::MAX);
        assert_eq!((id.shard(), id.slot()), (7, 0xf_ffff));
        assert_ne!(WireId::new(7, 1, 1), WireId::new(7, 1, 2));
    }

    #[test]
    fn a_stream_is_number_and_kind() {
        for kind in [StreamKind::Ordered, StreamKind::Unordered, StreamKind::Latest, StreamKind::Unreliable] {
            let stream = StreamId::new(StreamId::NUMBER_MAX, kind).unwrap();
            assert_eq!((stream.number(), stream.kind()), (StreamId::NUMBER_MAX, kind));
            assert_eq!(StreamId::from_wire(stream.to_wire()), stream);
        }
        assert_eq!(StreamId::new(1 << 30, StreamKind::Ordered), None);
    }
}
