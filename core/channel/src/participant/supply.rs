//! Events on their way to the server: in order, kept until taken, sent again from the first one refused.

use crate::event::Event;
use crate::wire::{Code, put_emit};
use clustercore_proto::time::{Duration, Instant};
use std::collections::VecDeque;

/// How a supplier behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SupplyConfig {
    /// What the server refuses for now is sent again until it is taken. Otherwise it is told, and dropped.
    pub is_patient: bool,
    /// Events that the server has not taken, at most.
    pub waiting_max: usize,
    /// Wait before the first try again; it doubles with each.
    pub retry_min: Duration,
    /// The longest such wait.
    pub retry_max: Duration,
}

impl Default for SupplyConfig {
    fn default() -> SupplyConfig {
        SupplyConfig {
            is_patient: true,
            waiting_max: 8192,
            retry_min: Duration::from_millis(1),
            retry_max: Duration::from_millis(200),
        }
    }
}

/// Events that were taken up for sending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Emitted {
    /// The number of the first.
    pub first: u64,
    /// How many.
    pub count: usize,
}

#[derive(Debug)]
pub(super) struct Supply {
    spec: String,
    config: SupplyConfig,
    /// Not taken yet; the first has number `first`.
    events: VecDeque<Event>,
    first: u64,
    /// The number of the next to be sent.
    sent: u64,
    /// Frames without an answer.
    unanswered: u32,
    /// Something was refused: nothing is sent before all frames are answered and, where there is one, this moment has come.
    refused: Option<Option<Instant>>,
    wait: Duration,
}

impl Supply {
    pub fn new(spec: &str, config: SupplyConfig) -> Supply {
        Supply {
            spec: spec.to_owned(),
            config,
            events: VecDeque::new(),
            first: 0,
            sent: 0,
            unanswered: 0,
            refused: None,
            wait: config.retry_min,
        }
    }

    pub fn spec(&self) -> &str {
        &self.spec
    }

    pub fn config(&self) -> &SupplyConfig {
        &self.config
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    pub fn untaken(&self) -> usize {
        self.events.len()
    }

    /// Takes up as many as there is room for.
    pub fn queue(&mut self, events: &[Event]) -> Emitted {
        let first = self.first + self.events.len() as u64;
        let count = events.len().min(self.config.waiting_max.saturating_sub(self.events.len()));
        self.events.extend(events[..count].iter().cloned());
        Emitted { first, count }
    }

    /// The link is gone: all that was not taken is to be sent again.
    pub fn rewind(&mut self) {
        (self.sent, self.unanswered, self.refused, self.wait) = (self.first, 0, None, self.config.retry_min);
    }

    pub fn transmit(&mut self, handle: u64, out: &mut Vec<u8>) {
        while self.refused.is_none() && self.unanswered < FRAMES_MAX {
            let from = (self.sent - self.first) as usize;
            let mut bytes = 0;
            let batch = self.events.range(from..).take(BATCH_MAX).take_while(|event| {
                let is_first = bytes == 0;
                bytes += event.size();
                is_first || bytes <= BATCH_BYTES_MAX
            });
            let count = batch.count();
            if count == 0 {
                return;
            }
            put_emit(out, handle, self.sent, self.events.range(from..from + count));
            self.sent += count as u64;
            self.unanswered += 1;
        }
    }

    /// The server's answer to a frame. The number of an event that was refused and is given up.
    pub fn on_taken(&mut self, now: Instant, first: u64, count: u64, refusal: Code) -> Option<u64> {
        self.unanswered = self.unanswered.saturating_sub(1);
        let mut given_up = None;
        if first == self.first && count <= self.sent - self.first {
            self.events.drain(..count as usize);
            self.first += count;
            if count > 0 {
                self.wait = self.config.retry_min;
            }
            let is_refused = !matches!(refusal, Code::None | Code::Behind);
            if is_refused && refusal.is_retryable() && self.config.is_patient {
                self.refused = Some(Some(now + self.wait));
                self.wait = (self.wait * 2).min(self.config.retry_max);
            } else if is_refused && self.events.pop_front().is_some() {
                given_up = Some(self.first);
                self.first += 1;
                self.refused = Some(None);
            }
        }
        if self.refused == Some(None) && self.unanswered == 0 {
            self.retry();
        }
        given_up
    }

    /// When what was refused is to be sent again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.refused.flatten().filter(|_| self.unanswered == 0)
    }

    pub fn retry(&mut self) {
        self.refused = None;
        self.sent = self.first;
    }
}

/// Frames under way.
const FRAMES_MAX: u32 = 16;
/// Events of a frame.
const BATCH_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests;
