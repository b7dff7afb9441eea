//! The frames that carry events.

use super::WireError;
use super::frame::{begin, end, kind};
use super::packed::{Packer, Unpacker};
use super::view::EventView;
use crate::event::{Event, EventLimits};
use crate::id::DeliveryId;
use crate::output::Handed;
use clustercore_proto::wire::{Malformed, Reader, varint};

/// Appends an `Emit` of events that need not be packed before.
///
/// `first` is the number of the first one.
pub fn put_emit<'e>(
    out: &mut Vec<u8>,
    handle: u64,
    first: u64,
    events: impl ExactSizeIterator<Item = &'e Event>,
) {
    let start = begin(out, kind::EMIT);
    [handle, first, events.len() as u64].iter().for_each(|it| varint::put(out, *it));
    let mut packer = Packer::default();
    events.for_each(|event| packer.put(out, event));
    end(out, start);
}

/// Appends a `Deliver`.
pub fn put_deliver<'e>(
    out: &mut Vec<u8>,
    handle: u64,
    is_acknowledged: bool,
    batch: impl ExactSizeIterator<Item = Handed<'e>>,
) {
    let kind = if is_acknowledged { kind::DELIVER_TO_ACKNOWLEDGE } else { kind::DELIVER };
    let start = begin(out, kind);
    let mut batch = batch.peekable();
    let mut last = batch.peek().map_or(0, |it| it.offset);
    [handle, last, batch.len() as u64].iter().for_each(|it| varint::put(out, *it));
    let mut packer = Packer::default();
    for handed in batch {
        // The distance to the offset before, which may be behind it: zigzag.
        let distance = handed.offset.wrapping_sub(last) as i64;
        varint::put(out, (distance << 1 ^ distance >> 63) as u64);
        last = handed.offset;
        if is_acknowledged {
            let DeliveryId { index, generation } = handed.delivery;
            [u64::from(handed.tries), index.into(), generation.into()]
                .iter()
                .for_each(|it| varint::put(out, *it));
        }
        packer.put(out, handed.event);
    }
    end(out, start);
}

/// An event out of a `Deliver`.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered<E = Event> {
    /// The event.
    pub event: E,
    /// Its place in the channel's order.
    pub offset: u64,
    /// How often it was handed over before.
    pub tries: u16,
    /// To be acknowledged by this name.
    pub delivery: Option<DeliveryId>,
}

/// Reads the events of a `Deliver`, of `count` at most, and gives them to `sink`.
///
/// Errors: what follows cannot be read.
pub fn take_delivered(
    head: (u64, u64, bool),
    bytes: &[u8],
    limits: &EventLimits,
    sink: &mut impl FnMut(Delivered),
) -> Result<(), WireError> {
    let mut unpacker = Unpacker::default();
    walk(head, bytes, |reader| unpacker.take(reader, limits), sink)
}

/// The same, of events as they lie in the frame: nothing is copied, and no limits are looked at.
///
/// Errors: what follows cannot be read.
pub fn view_delivered<'a>(
    head: (u64, u64, bool),
    bytes: &'a [u8],
    sink: &mut impl FnMut(Delivered<EventView<'a>>),
) -> Result<(), WireError> {
    walk(head, bytes, |reader| Ok(EventView::take(reader)?), sink)
}

fn walk<'a, E>(
    (offset, count, is_acknowledged): (u64, u64, bool),
    bytes: &'a [u8],
    mut take: impl FnMut(&mut Reader<'a>) -> Result<E, WireError>,
    sink: &mut impl FnMut(Delivered<E>),
) -> Result<(), WireError> {
    let mut reader = Reader::new(bytes);
    let mut last = offset;
    for _ in 0..count {
        let zigzag = reader.varint()?;
        last = last.wrapping_add((zigzag >> 1) ^ (zigzag & 1).wrapping_neg());
        let (mut tries, mut delivery) = (0, None);
        if is_acknowledged {
            tries = u16::try_from(reader.varint()?).map_err(|_| Malformed)?;
            delivery = Some((reader.varint_u32()?, reader.varint_u32()?).into());
        }
        let event = take(&mut reader)?;
        sink(Delivered { event, offset: last, tries, delivery });
    }
    if reader.is_empty() { Ok(()) } else { Err(WireError::Malformed) }
}

#[cfg(test)]
mod tests;
