//! Packets without a connection that wait to leave: a bounded number, at a bounded rate.

use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

#[derive(Debug)]
pub(super) struct Answers {
    queue: VecDeque<(SocketAddr, Vec<u8>)>,
    per_second: u64,
    tokens: u64,
    filled: Instant,
}

impl Answers {
    pub fn new(now: Instant, per_second: u32) -> Answers {
        let per_second = u64::from(per_second);
        Answers { queue: VecDeque::new(), per_second, tokens: per_second.div_ceil(10), filled: now }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes the place of one answer; false: there were too many of late.
    pub fn allow(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_sub(self.filled).as_nanos();
        let gained = elapsed * u128::from(self.per_second) / 1_000_000_000;
        if gained > 0 {
            self.filled = now;
            let gained = u64::try_from(gained).unwrap_or(u64::MAX);
            self.tokens = self.tokens.saturating_add(gained).min(self.per_second.div_ceil(10));
        }
        if self.tokens == 0 || self.queue.len() >= QUEUED_MAX {
            return false;
        }
        self.tokens -= 1;
        true
    }

    pub fn push(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.queue.push_back((to, bytes));
    }

    pub fn pop(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.queue.pop_front()
    }
}

const QUEUED_MAX: usize = 1024;
