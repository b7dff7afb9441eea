//! Requests that wait while every back end is High.
//!
//! First in, first out, bounded, each with a deadline. Who finds it full gets 503 with Retry-After at once;
//! who waits past the deadline gets the same a little later. Nothing is lost in silence: an item comes out by
//! [`RequestQueue::pop`], [`RequestQueue::expire`] or [`RequestQueue::remove`], exactly once.

use alloc::collections::VecDeque;

use crate::time::{Duration, Instant, nanos};

/// The queue is full; the item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Requests waiting.
    pub len: usize,
    /// The configured bound.
    pub max: usize,
}

/// A bounded queue of requests, `T` naming one.
#[derive(Clone, Debug)]
pub struct RequestQueue<T> {
    waiting: VecDeque<Waiting<T>>,
    len_max: usize,
    /// No deadline lies before this moment.
    deadline_bound: Instant,
    /// Since when the queue has been serving without a pause: the last pop, or the push that ended a pause.
    busy_since: Instant,
    /// Moving average of the time between two pops while requests wait.
    pop_interval_ns: Option<u64>,
}

impl<T> RequestQueue<T> {
    /// A queue for at most `len_max` requests; all its memory is taken here.
    pub fn new(len_max: usize) -> RequestQueue<T> {
        RequestQueue {
            waiting: VecDeque::with_capacity(len_max),
            len_max,
            deadline_bound: Instant::MAX,
            busy_since: Instant::ZERO,
            pop_interval_ns: None,
        }
    }

    /// Requests waiting, those past their deadline included until `expire` takes them.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True when nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The bound.
    pub fn len_max(&self) -> usize {
        self.len_max
    }

    /// Appends `item`, which is to be served before `deadline`.
    ///
    /// Errors: [`Full`]; the item is dropped, so pass a key rather than the request itself.
    pub fn push(&mut self, now: Instant, item: T, deadline: Instant) -> Result<(), Full> {
        if self.waiting.len() >= self.len_max {
            return Err(Full { len: self.waiting.len(), max: self.len_max });
        }
        if self.waiting.is_empty() {
            self.busy_since = now;
            self.deadline_bound = deadline;
        }
        self.deadline_bound = self.deadline_bound.min(deadline);
        self.waiting.push_back(Waiting { item, deadline });
        Ok(())
    }

    /// Takes the request that has waited longest and is still in time. Late ones stay for `expire`.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        let index = self.waiting.iter().position(|waiting| waiting.deadline > now)?;
        let item = self.waiting.remove(index)?.item;
        let interval_ns = self.stall_ns(now);
        self.pop_interval_ns = Some(match self.pop_interval_ns {
            None => interval_ns,
            Some(mean_ns) => mean_ns - mean_ns / 8 + interval_ns / 8,
        });
        self.busy_since = now;
        Some(item)
    }

    /// The request that `pop` would take, for an owner who must know it before there is a place for it.
    pub fn peek(&self, now: Instant) -> Option<&T> {
        self.waiting.iter().find(|waiting| waiting.deadline > now).map(|waiting| &waiting.item)
    }

    /// Calls `late` with each request whose deadline has come, the longest waiting first.
    pub fn expire(&mut self, now: Instant, late: &mut impl FnMut(T)) {
        if self.deadline_bound > now {
            return;
        }
        self.deadline_bound = Instant::MAX;
        for _ in 0..self.waiting.len() {
            let Some(waiting) = self.waiting.pop_front() else { break };
            if waiting.deadline <= now {
                late(waiting.item);
            } else {
                self.deadline_bound = self.deadline_bound.min(waiting.deadline);
                self.waiting.push_back(waiting);
            }
        }
    }

    /// Takes one request out because its client has gone. True when it was waiting. Reads the whole queue.
    pub fn remove(&mut self, item: &T) -> bool
    where
        T: PartialEq,
    {
        let index = self.waiting.iter().position(|waiting| waiting.item == *item);
        index.and_then(|index| self.waiting.remove(index)).is_some()
    }

    /// A moment at or before which `expire` has nothing to do; `None` when nobody waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.deadline_bound)
    }

    /// What to tell a client that is turned away: how long those who wait now will take at the recent pace,
    /// in whole seconds as Retry-After wants it, from 1 to 60.
    pub fn retry_after(&self, now: Instant) -> Duration {
        let interval_ns = match self.pop_interval_ns {
            // When nothing has moved for longer than usual, the usual pace is history.
            Some(mean_ns) if !self.is_empty() => mean_ns.max(self.stall_ns(now)),
            Some(mean_ns) => mean_ns,
            None => self.stall_ns(now),
        };
        let wait_ns = u128::from(interval_ns) * (self.waiting.len() as u128 + 1);
        let seconds = wait_ns.div_ceil(1_000_000_000).clamp(1, RETRY_AFTER_SECONDS_MAX);
        Duration::from_secs(seconds as u64)
    }

    /// Asserts what must hold between two calls; meant for tests and simulations.
    pub fn check_invariants(&self) {
        assert!(self.waiting.len() <= self.len_max, "the bound holds");
        assert!(
            self.waiting.iter().all(|waiting| waiting.deadline >= self.deadline_bound),
            "no deadline before the bound"
        );
    }

    fn stall_ns(&self, now: Instant) -> u64 {
        nanos(now.saturating_sub(self.busy_since))
    }
}

#[derive(Clone, Debug)]
struct Waiting<T> {
    item: T,
    deadline: Instant,
}

const RETRY_AFTER_SECONDS_MAX: u128 = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn full_says_how_full() {
        let mut queue = RequestQueue::new(2);
        assert_eq!(queue.push(at(0), 'a', at(10)), Ok(()));
        assert_eq!(queue.push(at(0), 'b', at(10)), Ok(()));
        assert_eq!(queue.push(at(0), 'c', at(10)), Err(Full { len: 2, max: 2 }));
        assert_eq!(RequestQueue::new(0).push(at(0), 'a', at(10)), Err(Full { len: 0, max: 0 }));
    }

    #[test]
    fn late_ones_are_passed_over_and_reported() {
        let mut queue = RequestQueue::new(4);
        queue.push(at(0), 'a', at(5)).unwrap();
        queue.push(at(0), 'b', at(50)).unwrap();
        assert_eq!(queue.poll_timeout(), Some(at(5)));
        assert_eq!(queue.pop(at(5)), Some('b'));
        assert_eq!(queue.pop(at(5)), None);
        let mut late = Vec::new();
        queue.expire(at(5), &mut |item| late.push(item));
        assert_eq!(late, ['a']);
        assert_eq!(queue.poll_timeout(), None);
    }

    #[test]
    fn removed_one_never_comes_out() {
        let mut queue = RequestQueue::new(4);
        queue.push(at(0), 1, at(9)).unwrap();
        queue.push(at(0), 2, at(9)).unwrap();
        assert!(queue.remove(&1));
        assert!(!queue.remove(&1));
        assert_eq!(queue.pop(at(1)), Some(2));
    }

    #[test]
    fn retry_after_follows_the_pace() {
        let mut queue = RequestQueue::new(100);
        assert_eq!(queue.retry_after(at(0)).as_secs(), 1);
        for item in 0..100 {
            queue.push(at(0), item, at(1_000_000)).unwrap();
        }
        for step in 1..=40 {
            queue.pop(at(step * 200)).unwrap();
        }
        // 60 left at 200 ms each, and the one who asks.
        assert_eq!(queue.retry_after(at(8000)).as_secs(), 13);
        // Nothing has moved for a second: 61 at a second each, but never more than a minute.
        assert_eq!(queue.retry_after(at(9000)).as_secs(), 60);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push { in_ms: u64 },
        Pop,
        Expire,
        Remove { item: u32 },
    }

    fn op() -> impl Strategy<Value = (u64, Op)> {
        let op = prop_oneof![
            4 => (0u64..40).prop_map(|in_ms| Op::Push { in_ms }),
            2 => Just(Op::Pop),
            1 => Just(Op::Expire),
            1 => (0u32..60).prop_map(|item| Op::Remove { item }),
        ];
        (0u64..6, op)
    }

    proptest! {
        /// Against a plain list that is searched for everything.
        #[test]
        fn behaves_like_a_searched_list(len_max in 0usize..8, ops in prop::collection::vec(op(), 1..100)) {
            let mut queue = RequestQueue::new(len_max);
            let mut model: Vec<(u32, Instant)> = Vec::new();
            let mut ms = 0;
            for (item, (by_ms, op)) in ops.into_iter().enumerate() {
                ms += by_ms;
                let now = at(ms);
                match op {
                    Op::Push { in_ms } => {
                        let fits = model.len() < len_max;
                        prop_assert_eq!(queue.push(now, item as u32, at(ms + in_ms)).is_ok(), fits);
                        if fits {
                            model.push((item as u32, at(ms + in_ms)));
                        }
                    }
                    Op::Pop => {
                        let index = model.iter().position(|entry| entry.1 > now);
                        prop_assert_eq!(queue.pop(now), index.map(|index| model.remove(index).0));
                    }
                    Op::Expire => {
                        let mut late = Vec::new();
                        queue.expire(now, &mut |item| late.push(item));
                        let expected: Vec<u32> =
                            model.iter().filter(|entry| entry.1 <= now).map(|entry| entry.0).collect();
                        model.retain(|entry| entry.1 > now);
                        prop_assert_eq!(late, expected);
                    }
                    Op::Remove { item } => {
                        let waiting = model.iter().any(|entry| entry.0 == item);
                        model.retain(|entry| entry.0 != item);
                        prop_assert_eq!(queue.remove(&item), waiting);
                    }
                }
                queue.check_invariants();
                prop_assert_eq!(queue.len(), model.len());
                let next = model.iter().find(|entry| entry.1 > now).map(|entry| &entry.0);
                prop_assert_eq!(queue.peek(now), next);
                let earliest = model.iter().map(|entry| entry.1).min();
                prop_assert_eq!(queue.poll_timeout().is_some(), earliest.is_some());
                prop_assert!(queue.poll_timeout() <= earliest || earliest.is_none());
            }
        }
    }
}
