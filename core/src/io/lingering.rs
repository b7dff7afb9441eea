//! Streams that their owner has closed while bytes were left to send: how many there may be.
//!
//! They take slots of the driver's table, and peers that read nothing could fill it with them. So a quarter of the table is theirs at
//! most; beyond that the one that was closed first is reset.

use super::StreamId;
use std::collections::VecDeque;

/// The streams that linger, oldest first. Ids of those that have ended stay in the queue until they are met or are too many.
#[derive(Debug)]
pub(crate) struct Lingering {
    queue: VecDeque<StreamId>,
    len: usize,
    max: usize,
}

impl Lingering {
    /// For a table of `streams_max`.
    pub fn new(streams_max: usize) -> Lingering {
        Lingering { queue: VecDeque::new(), len: 0, max: (streams_max / 4).max(1) }
    }

    /// Adds a stream, for which `is_lingering` holds already. Returns the one that has to go, if there are too many now; the caller ends it and
    /// says so by [`Lingering::removed`], as for any that ends.
    pub fn add(&mut self, stream: StreamId, is_lingering: impl Fn(StreamId) -> bool) -> Option<StreamId> {
        self.queue.push_back(stream);
        self.len += 1;
        if self.queue.len() > 2 * self.len + ENDED_MAX {
            self.queue.retain(|stream| is_lingering(*stream));
        }
        if self.len <= self.max {
            return None;
        }
        std::iter::from_fn(|| self.queue.pop_front()).find(|stream| is_lingering(*stream))
    }

    /// One of them has ended.
    pub fn removed(&mut self) {
        self.len -= 1;
    }
}

/// Ids of ended streams that may stay in the queue beside as many as there are lingering ones.
const ENDED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    fn id(index: u32) -> StreamId {
        StreamId { index, generation: 0 }
    }

    #[test]
    fn the_oldest_that_still_lingers_has_to_go() {
        let mut lingering = Lingering::new(8);
        let alive = RefCell::new(BTreeSet::new());
        let add = |lingering: &mut Lingering, index| {
            alive.borrow_mut().insert(id(index));
            lingering.add(id(index), |stream| alive.borrow().contains(&stream))
        };
        assert_eq!((add(&mut lingering, 0), add(&mut lingering, 1)), (None, None));
        alive.borrow_mut().remove(&id(0));
        lingering.removed();
        assert_eq!(add(&mut lingering, 2), None, "one has ended meanwhile");
        assert_eq!(add(&mut lingering, 3), Some(id(1)));
    }

    #[test]
    fn ended_streams_do_not_pile_up_behind_one_that_stays() {
        let mut lingering = Lingering::new(100);
        lingering.add(id(0), |_| true);
        for index in 1..10_000 {
            assert_eq!(lingering.add(id(index), |stream| stream == id(0) || stream == id(index)), None);
            lingering.removed();
        }
        assert!(lingering.queue.len() <= ENDED_MAX + 4, "{}", lingering.queue.len());
        assert_eq!(lingering.queue.front(), Some(&id(0)));
    }
}
