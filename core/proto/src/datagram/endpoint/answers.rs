//! Packets without a connection that wait to leave: a bounded number, at a bounded rate.

use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// What an answer is for. Each has a rate of its own: packets for unknown ids are cheap to make, and must not keep clients from
/// their cookies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// To an Init.
    Handshake,
    /// To a packet for an id that is not ours.
    Reset,
}

#[derive(Debug)]
pub(super) struct Answers {
    queue: VecDeque<(SocketAddr, &'static str, Vec<u8>)>,
    handshakes: Bucket,
    resets: Bucket,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_second: u64,
    tokens: u64,
    filled: Instant,
}

impl Answers {
    pub fn new(now: Instant, per_second: u32) -> Answers {
        let per_second = u64::from(per_second);
        let bucket = Bucket { per_second, tokens: per_second.div_ceil(10), filled: now };
        Answers { queue: VecDeque::new(), handshakes: bucket, resets: bucket }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes the place of one answer; false: there were too many of late.
    pub fn allow(&mut self, now: Instant, purpose: Purpose) -> bool {
        let bucket = match purpose {
            Purpose::Handshake => &mut self.handshakes,
            Purpose::Reset => &mut self.resets,
        };
        self.queue.len() < QUEUED_MAX && bucket.take(now)
    }

    /// `kind` says in a word what it is.
    pub fn push(&mut self, to: SocketAddr, kind: &'static str, bytes: Vec<u8>) {
        self.queue.push_back((to, kind, bytes));
    }

    pub fn pop(&mut self) -> Option<(SocketAddr, &'static str, Vec<u8>)> {
        self.queue.pop_front()
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_sub(self.filled).as_nanos();
        let gained = elapsed * u128::from(self.per_second) / 1_000_000_000;
        if gained > 0 {
            // Up to the moment of the last whole one: the rest of the time is not lost.
            let nanos = gained * 1_000_000_000 / u128::from(self.per_second);
            self.filled += Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            let gained = u64::try_from(gained).unwrap_or(u64::MAX);
            self.tokens = self.tokens.saturating_add(gained).min(self.per_second.div_ceil(10));
        }
        let is_there = self.tokens > 0;
        self.tokens -= u64::from(is_there);
        is_there
    }
}

const QUEUED_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn answers_come_at_their_rate_however_often_one_asks() {
        for step in [1, 3, 70, 130] {
            let mut answers = Answers::new(at(0), 10);
            let given =
                (0..10_000).step_by(step).filter(|&ms| answers.allow(at(ms), Purpose::Handshake)).count();
            // Ten a second, and the one that was there; asked more rarely, each is given.
            let most = (10_000 / step).min(101);
            assert!((most.saturating_sub(3)..=most + 1).contains(&given), "every {step} ms: {given}");
        }
    }

    #[test]
    fn what_was_saved_up_is_a_tenth_of_a_second() {
        let mut answers = Answers::new(at(0), 1000);
        assert_eq!((0..1000).filter(|_| answers.allow(at(60_000), Purpose::Handshake)).count(), 100);
    }

    #[test]
    fn resets_keep_nobody_from_a_cookie() {
        let mut answers = Answers::new(at(0), 1000);
        while answers.allow(at(0), Purpose::Reset) {}
        assert!(answers.allow(at(0), Purpose::Handshake));
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut answers = Answers::new(at(0), u32::MAX);
        let to = SocketAddr::from(([10, 0, 0, 1], 1));
        let mut queued = 0;
        while answers.allow(at(queued), Purpose::Reset) {
            answers.push(to, "cookie", Vec::new());
            queued += 1;
        }
        assert_eq!(queued, QUEUED_MAX as u64);
        assert!(answers.pop().is_some() && answers.allow(at(queued), Purpose::Reset));
    }

    #[test]
    fn none_are_given_at_a_rate_of_none() {
        let mut answers = Answers::new(at(0), 0);
        assert!(!answers.allow(at(1_000_000), Purpose::Reset));
    }
}
