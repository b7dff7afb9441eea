//! Streams in the direction of sending.

use super::event::MESSAGE_COST;
use super::id::{Sequence, StreamId};
use alloc::vec::Vec;

/// A stream that we send on.
#[derive(Debug)]
pub struct SendStream {
    /// Which.
    pub id: StreamId,
    /// Sequence of the next message.
    pub next: Sequence,
    /// What messages have cost so far.
    pub used: u64,
    /// What they may cost, as the peer says.
    pub credit: u64,
    /// The newest message of a latest stream.
    pub latest: Option<Latest>,
}

/// The newest value of a latest stream.
#[derive(Debug)]
pub struct Latest {
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Its sequence.
    pub sequence: Sequence,
    /// Waits to be sent.
    pub is_due: bool,
}

/// All of them, by id.
#[derive(Debug, Default)]
pub struct SendStreams {
    streams: Vec<SendStream>,
    last: usize,
}

impl SendStreams {
    /// How many.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// The stream, if it has been used.
    #[inline]
    pub fn get(&mut self, id: StreamId) -> Option<&mut SendStream> {
        if self.streams.get(self.last).is_some_and(|stream| stream.id == id) {
            return self.streams.get_mut(self.last);
        }
        let place = self.streams.binary_search_by_key(&id, |stream| stream.id).ok()?;
        self.last = place;
        self.streams.get_mut(place)
    }

    /// The stream, new with `credit` if need be.
    pub fn open(&mut self, id: StreamId, credit: u64) -> &mut SendStream {
        let place = self.streams.partition_point(|stream| stream.id < id);
        if self.streams.get(place).is_none_or(|stream| stream.id != id) {
            if self.streams.is_empty() {
                // Most connections have one.
                self.streams.reserve_exact(1);
            }
            self.streams.insert(place, SendStream { id, next: 0, used: 0, credit, latest: None });
        }
        self.last = place;
        &mut self.streams[place]
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut SendStream> {
        self.streams.iter_mut()
    }
}

/// What a message of `len` bytes costs of the window.
pub fn cost(len: usize) -> u64 {
    len as u64 + MESSAGE_COST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagram::StreamKind;

    fn id(number: u32) -> StreamId {
        StreamId::new(number, StreamKind::Ordered).unwrap()
    }

    #[test]
    fn streams_are_found_whatever_the_order_in_which_they_were_opened() {
        let mut streams = SendStreams::default();
        for number in [5, 1, 9, 3, 7, 1] {
            streams.open(id(number), u64::from(number)).next += 1;
        }
        assert_eq!(streams.len(), 5);
        for number in [1, 9, 5, 3, 7, 7, 1] {
            let stream = streams.get(id(number)).unwrap();
            assert_eq!((stream.id, stream.credit), (id(number), u64::from(number)));
            assert_eq!(stream.next, if number == 1 { 2 } else { 1 });
        }
        assert!(streams.get(id(2)).is_none() && streams.get(id(10)).is_none());
        assert!(streams.iter_mut().map(|stream| stream.id).is_sorted());
    }

    #[test]
    fn an_empty_message_costs_something_too() {
        assert_eq!((cost(0), cost(100)), (16, 116));
    }
}
