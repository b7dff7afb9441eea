//! Writes messages and fragments into trains, one after the other.

use super::builder::{Builder, Claim, Written};
use super::frame::{FRAGMENT_HEAD_MAX, put_fragment};
use super::id::{Sequence, StreamId};
use super::packet::HEADER_BYTES;
use super::pool::{LARGE_BYTES, Pool};
use crate::wire::varint;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// How trains are to look now.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of a packet.
    pub packet_bytes: usize,
    /// Of these, for the trailer.
    pub trailer: usize,
    /// Bytes of a train.
    pub train_bytes_max: usize,
}

impl Shape {
    /// What frames may take of a packet.
    pub fn room(&self) -> usize {
        self.packet_bytes - HEADER_BYTES - self.trailer
    }
}

/// Trains that wait to leave; takes memory while there are some.
#[derive(Debug, Default)]
pub struct Writer(Option<Box<Trains>>);

/// What waits.
#[derive(Debug, Default)]
pub struct Trains {
    closed: VecDeque<Written>,
    open: Option<Builder>,
    /// Bytes of the closed trains.
    closed_bytes: usize,
}

impl Trains {
    fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.as_ref().is_none_or(Builder::is_empty)
    }
}

impl Writer {
    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        let Some(trains) = &self.0 else { return 0 };
        trains.closed_bytes + trains.open.as_ref().map_or(0, Builder::len)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|trains| trains.is_empty())
    }

    /// Appends a message if the open packet has room for it.
    #[inline]
    pub fn message_if_room(&mut self, stream: StreamId, sequence: Sequence, payload: &[u8]) -> bool {
        self.open().is_some_and(|open| open.message(stream, sequence, payload))
    }

    /// Appends a message of a reliable stream, in parts when it is longer than a packet.
    pub fn message(
        &mut self,
        pool: &mut Pool,
        shape: Shape,
        stream: StreamId,
        sequence: Sequence,
        payload: &[u8],
    ) {
        if self.message_if_room(stream, sequence, payload) {
            return;
        }
        let need = MESSAGE_HEAD_MAX + payload.len();
        if need > shape.room() {
            return self.fragments(pool, shape, stream, sequence, payload.len() as u64, 0, payload);
        }
        let is_written = self.packet(pool, shape, need).message(stream, sequence, payload);
        debug_assert!(is_written, "a packet with room for it was asked for");
    }

    /// Room to write a message of at most `len` bytes in place. `None` when it is longer than a packet.
    pub fn claim(
        &mut self,
        pool: &mut Pool,
        shape: Shape,
        stream: StreamId,
        sequence: Sequence,
        len: usize,
    ) -> Option<Claim> {
        let need = MESSAGE_HEAD_MAX + len;
        if need > shape.room() {
            return None;
        }
        if let Some(claim) = self.open().and_then(|open| open.claim(stream, sequence, len)) {
            return Some(claim);
        }
        self.packet(pool, shape, need).claim(stream, sequence, len)
    }

    /// The train that is being written.
    #[inline]
    pub fn open(&mut self) -> Option<&mut Builder> {
        self.0.as_mut()?.open.as_mut()
    }

    /// Appends a part of a message, cut where packets end.
    #[expect(clippy::too_many_arguments, reason = "the fields of a fragment frame")]
    pub fn fragments(
        &mut self,
        pool: &mut Pool,
        shape: Shape,
        stream: StreamId,
        sequence: Sequence,
        total: u64,
        mut offset: u64,
        mut bytes: &[u8],
    ) {
        while !bytes.is_empty() {
            let room = self.open().map_or(0, |open| open.room());
            if room < FRAGMENT_HEAD_MAX + FRAGMENT_WANTED.min(bytes.len()) {
                // What is left of this packet is not worth a cut.
                self.packet(pool, shape, (FRAGMENT_HEAD_MAX + bytes.len()).min(shape.room()));
            }
            let Some(open) = self.open() else { return };
            let len = bytes.len().min(open.room() - FRAGMENT_HEAD_MAX).min(usize::from(u16::MAX));
            let (part, rest) = bytes.split_at(len);
            open.frame(true, FRAGMENT_HEAD_MAX + len, |out| {
                put_fragment(out, stream, sequence, total, offset, part)
            });
            offset += len as u64;
            bytes = rest;
        }
    }

    /// Appends a message of an unreliable stream; false when it is longer than a packet.
    pub fn unreliable(&mut self, pool: &mut Pool, shape: Shape, stream: StreamId, payload: &[u8]) -> bool {
        let need = MESSAGE_HEAD_MAX + payload.len();
        if need > shape.room() {
            return false;
        }
        self.open().is_some_and(|open| open.unreliable(stream, payload))
            || self.packet(pool, shape, need).unreliable(stream, payload)
    }

    /// The open train with a packet that has at least `need` bytes of room; `need` fits a packet of `shape`.
    pub fn packet(&mut self, pool: &mut Pool, shape: Shape, need: usize) -> &mut Builder {
        let is_fit = match self.open() {
            Some(open) if open.room() >= need => true,
            Some(open) => {
                if open.capacity() < LARGE_BYTES && open.len() + shape.packet_bytes > open.capacity() {
                    let larger = pool.take_large();
                    pool.give(open.grow(larger));
                }
                open.next_packet(need)
            }
            None => false,
        };
        if !is_fit {
            self.close();
        }
        let trains = self.0.get_or_insert_with(|| pool.take_trains());
        trains.open.get_or_insert_with(|| {
            let buffer = pool.take_small(shape.packet_bytes);
            Builder::new(buffer, shape.packet_bytes, shape.trailer, shape.train_bytes_max)
        })
    }

    /// Ends the open train.
    pub fn close(&mut self) {
        let Some(trains) = &mut self.0 else { return };
        if let Some(open) = trains.open.take_if(|open| !open.is_empty()) {
            let written = open.finish();
            trains.closed_bytes += written.buffer.len();
            trains.closed.push_back(written);
        }
    }

    /// The next closed train.
    pub fn front(&self) -> Option<&Written> {
        self.0.as_ref()?.closed.front()
    }

    /// Takes the next closed train.
    pub fn pop(&mut self) -> Option<Written> {
        let trains = self.0.as_mut()?;
        let written = trains.closed.pop_front()?;
        trains.closed_bytes -= written.buffer.len();
        Some(written)
    }

    /// Puts a train back in front: what was cut off one that could not leave whole.
    pub fn put_back(&mut self, written: Written) {
        let trains = self.0.get_or_insert_default();
        trains.closed_bytes += written.buffer.len();
        trains.closed.push_front(written);
    }

    /// Gives up all memory, if nothing waits.
    pub fn relax(&mut self, pool: &mut Pool) {
        let Some(mut trains) = self.0.take_if(|trains| trains.is_empty()) else { return };
        if let Some(open) = trains.open.take() {
            pool.give(open.finish().buffer);
        }
        pool.give_trains(trains);
    }
}

/// Bytes before a message that begins a frame, at most: type, stream, sequence, count and length, its own length.
pub const MESSAGE_HEAD_MAX: usize = 1 + 5 + varint::LEN_MAX + 4 + 5;
/// A fragment that does not begin its packet has so many bytes at least, unless it is the last one.
const FRAGMENT_WANTED: usize = 256;

#[cfg(test)]
mod tests;
