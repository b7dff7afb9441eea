//! Trains that wait to be sent on one datagram socket, in order, and the parts they are sent in.

use super::datagram::{TRAIN_BYTES_MAX, Train, TrainBytes};
use super::sendq::Spare;
use super::{Ecn, Errno};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

/// A queue of trains. The first one may be sent in part.
#[derive(Debug, Default)]
pub(crate) struct TrainQueue {
    trains: VecDeque<Part>,
    bytes: usize,
}

/// As much of a train as travels together, or what is left of it.
#[derive(Debug)]
pub struct Part {
    pub to: SocketAddr,
    pub body: Body,
    pub range: Range<usize>,
    pub segment: usize,
    pub ecn: Option<Ecn>,
    /// The kernel refused to cut it: one datagram a call.
    pub singly: bool,
}

/// What a part keeps alive.
#[derive(Debug)]
pub enum Body {
    /// The whole of a train.
    Whole(TrainBytes),
    /// A train that was given away and is sent in several parts.
    Pieces(Arc<Vec<u8>>),
}

impl Body {
    /// The bytes of the whole train.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Body::Whole(bytes) => bytes.as_slice(),
            Body::Pieces(bytes) => bytes,
        }
    }

    /// Lets go of the bytes; a buffer that was given away is kept for reuse.
    pub(crate) fn recycle(self, shells: &mut Shells, spare: &mut Spare) {
        match self {
            Body::Whole(TrainBytes::Owned(bytes)) => spare.put(bytes),
            Body::Whole(TrainBytes::Shared(_)) => {}
            Body::Pieces(mut pieces) => {
                if let Some(bytes) = Arc::get_mut(&mut pieces) {
                    spare.put(std::mem::take(bytes));
                    shells.put(pieces);
                }
            }
        }
    }

    /// A second reference to the same bytes.
    fn share(&mut self, shells: &mut Shells) -> Body {
        match self {
            Body::Whole(TrainBytes::Owned(bytes)) => {
                let pieces = shells.wrap(std::mem::take(bytes));
                *self = Body::Pieces(Arc::clone(&pieces));
                Body::Pieces(pieces)
            }
            Body::Whole(TrainBytes::Shared(bytes)) => Body::Whole(TrainBytes::Shared(Arc::clone(bytes))),
            Body::Pieces(pieces) => Body::Pieces(Arc::clone(pieces)),
        }
    }
}

/// Empty reference counts, kept so that cutting a train in parts takes no memory.
#[derive(Debug, Default)]
pub(crate) struct Shells(Vec<Arc<Vec<u8>>>);

impl Shells {
    fn wrap(&mut self, bytes: Vec<u8>) -> Arc<Vec<u8>> {
        match self.0.pop() {
            Some(mut shell) => {
                if let Some(inside) = Arc::get_mut(&mut shell) {
                    *inside = bytes;
                }
                shell
            }
            None => Arc::new(bytes),
        }
    }

    /// `shell` is empty and nobody else's.
    fn put(&mut self, shell: Arc<Vec<u8>>) {
        if self.0.len() < SHELLS_MAX {
            self.0.push(shell);
        }
    }
}

impl TrainQueue {
    /// Adds a train at the end, unless `max` wait already (`ENOBUFS`) or it makes no sense (`EINVAL`).
    pub fn push(&mut self, to: SocketAddr, train: Train, max: usize) -> Result<(), (TrainBytes, Errno)> {
        if !train.is_sound() {
            return Err((train.bytes, Errno(libc::EINVAL)));
        }
        if self.trains.len() >= max {
            return Err((train.bytes, Errno(libc::ENOBUFS)));
        }
        self.bytes += train.range.len();
        self.trains.push_back(Part {
            to,
            segment: train.segment as usize,
            range: train.range,
            ecn: train.ecn,
            body: Body::Whole(train.bytes),
            singly: false,
        });
        Ok(())
    }

    /// Puts a part back that could not be sent, behind so many others.
    pub fn put_back(&mut self, place: usize, part: Part) {
        self.bytes += part.range.len();
        self.trains.insert(place.min(self.trains.len()), part);
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Trains that wait.
    pub fn len(&self) -> usize {
        self.trains.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.trains.is_empty()
    }

    /// The first train, to be sent where it lies.
    pub fn front(&self) -> Option<&Part> {
        self.trains.front()
    }

    /// The first train goes on datagram by datagram.
    pub fn front_singly(&mut self) {
        if let Some(first) = self.trains.front_mut() {
            first.singly = true;
        }
    }

    /// Forgets the first `count` bytes of the first train. It comes back when nothing of it is left.
    pub fn consume(&mut self, count: usize) -> Option<Part> {
        let first = self.trains.front_mut()?;
        self.bytes -= count;
        first.range.start += count;
        if first.range.is_empty() { self.trains.pop_front() } else { None }
    }

    /// Takes out as much of the first train as travels together when the kernel cuts into `segments_max` datagrams at most.
    pub fn pop(&mut self, segments_max: usize, shells: &mut Shells) -> Option<Part> {
        let first = self.trains.front_mut()?;
        let step = first.step(segments_max);
        if first.range.len() <= step {
            let part = self.trains.pop_front()?;
            self.bytes -= part.range.len();
            return Some(part);
        }
        let range = first.range.start..first.range.start + step;
        first.range.start = range.end;
        self.bytes -= step;
        Some(Part { body: first.body.share(shells), range, ..*first })
    }

    /// Lets go of everything.
    pub fn clear(&mut self, shells: &mut Shells, spare: &mut Spare) {
        for train in self.trains.drain(..) {
            train.body.recycle(shells, spare);
        }
        self.bytes = 0;
    }
}

impl Part {
    /// Bytes that one call may carry.
    pub fn step(&self, segments_max: usize) -> usize {
        let segments_max = if self.singly { 1 } else { segments_max };
        self.segment * segments_max.min(TRAIN_BYTES_MAX / self.segment).max(1)
    }

    /// Whether the kernel has to cut it.
    pub fn is_train(&self) -> bool {
        self.range.len() > self.segment
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.body.as_slice()[self.range.clone()]
    }
}

/// What the kernel says to a train that it (or the device) cannot cut, while it may take the datagrams one by one.
pub(crate) fn refuses_trains(errno: Errno) -> bool {
    matches!(errno.0, libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP)
}

const SHELLS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const TO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

    #[test]
    fn a_long_train_is_cut_without_a_copy_and_its_buffer_comes_back() {
        let (mut queue, mut shells, mut spare) = (TrainQueue::default(), Shells::default(), Spare::default());
        for _ in 0..2 {
            let bytes: Vec<u8> = (0..250u8).collect();
            let (address, capacity) = (bytes.as_ptr(), bytes.capacity());
            queue.push(TO, Train::owned(bytes, 10), 1).unwrap();
            let parts: Vec<Part> = std::iter::from_fn(|| queue.pop(8, &mut shells)).collect();
            let ranges: Vec<_> = parts.iter().map(|part| part.range.clone()).collect();
            assert_eq!(ranges, [0..80, 80..160, 160..240, 240..250]);
            assert!(parts.iter().all(|part| part.body.as_slice().as_ptr() == address));
            assert_eq!(parts.iter().map(Part::is_train).collect::<Vec<_>>(), [true, true, true, false]);
            assert_eq!((queue.bytes(), queue.len()), (0, 0));
            for part in parts {
                part.body.recycle(&mut shells, &mut spare);
            }
            let again = spare.take();
            assert_eq!((again.as_ptr(), again.capacity()), (address, capacity));
            assert_eq!(shells.0.len(), 1, "the count is kept as well");
        }
    }

    #[test]
    fn a_shared_train_is_its_owners_again_when_all_parts_are_gone() {
        let (mut queue, mut shells, mut spare) = (TrainQueue::default(), Shells::default(), Spare::default());
        let mut bytes = Arc::new(vec![7; 300]);
        queue.push(TO, Train::shared(&bytes, 100..300, 50), 1).unwrap();
        let first = queue.pop(3, &mut shells).unwrap();
        let second = queue.pop(3, &mut shells).unwrap();
        assert_eq!((first.range.clone(), second.range.clone()), (100..250, 250..300));
        first.body.recycle(&mut shells, &mut spare);
        assert!(Arc::get_mut(&mut bytes).is_none());
        second.body.recycle(&mut shells, &mut spare);
        assert!(Arc::get_mut(&mut bytes).is_some());
    }

    #[test]
    fn what_is_too_much_or_makes_no_sense_is_given_back() {
        let mut queue = TrainQueue::default();
        queue.push(TO, Train::owned(vec![1], 1), 1).unwrap();
        let errno = |outcome: Result<(), (TrainBytes, Errno)>| outcome.map_err(|(_, errno)| errno.0);
        assert_eq!(errno(queue.push(TO, Train::owned(vec![1], 1), 1)), Err(libc::ENOBUFS));
        assert_eq!(errno(queue.push(TO, Train::owned(vec![1], 0), 2)), Err(libc::EINVAL));
        assert_eq!(queue.bytes(), 1);
    }

    #[test]
    fn a_part_is_no_longer_than_a_datagram_may_be() {
        let mut queue = TrainQueue::default();
        let mut shells = Shells::default();
        queue.push(TO, Train::owned(vec![0; 200_000], 1472), 1).unwrap();
        let part = queue.pop(128, &mut shells).unwrap();
        assert_eq!(part.range.len(), 44 * 1472);
        queue.put_back(0, Part { singly: true, ..part });
        assert_eq!(queue.pop(128, &mut shells).unwrap().range, 0..1472);
        assert_eq!(queue.bytes(), 200_000 - 1472);
    }
}
