//! The search for the longest packet that a path takes, and the notice that it takes less than it did.
//!
//! Source: RFC 8899 (packetization layer path MTU discovery), 5.

use super::config::PACKET_BYTES_MAX;
use super::packet::INIT_BYTES;
use crate::time::Instant;
use core::time::Duration;

/// The search on one path. Lengths are UDP payloads.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    current: u16,
    /// Shorter than this is known not to pass, or not asked for.
    above: u16,
    max: u16,
    probing: u16,
    tries: u8,
    long_lost: u8,
    due: Instant,
}

impl Search {
    /// A path of which `is_known` says that it takes `max`; else it starts at 1,200.
    pub fn new(now: Instant, max: usize, is_known: bool) -> Search {
        // Bounded by the configuration.
        let max = u16::try_from(max.min(PACKET_BYTES_MAX)).unwrap_or(u16::MAX - 1);
        let current = if is_known { max } else { max.min(INIT_BYTES as u16) };
        Search { current, above: max + 1, max, probing: 0, tries: 0, long_lost: 0, due: now }
    }

    /// Length of the longest packet now.
    pub fn packet_bytes(&self) -> usize {
        usize::from(self.current)
    }

    /// When a probe should leave; [`Instant::MAX`] when nothing is to be found out.
    pub fn due(&self) -> Instant {
        if self.probing > 0 || self.above.saturating_sub(self.current) <= STEP_MIN {
            Instant::MAX
        } else {
            self.due
        }
    }

    /// Length of the probe that is due now; it is under way from then on.
    pub fn probe(&mut self, now: Instant) -> Option<usize> {
        if self.due() > now {
            return None;
        }
        // The maximum first: on most paths the search is over with it.
        let is_first = self.above > self.max;
        self.probing = if is_first { self.max } else { (self.current + self.above) / 2 };
        Some(usize::from(self.probing))
    }

    /// A probe has arrived: packets may be that long.
    pub fn on_probe_arrived(&mut self, bytes: u32) {
        let Ok(bytes) = u16::try_from(bytes) else { return };
        if bytes > self.current && bytes <= self.max {
            self.current = bytes;
            self.tries = 0;
        }
        if bytes == self.probing {
            self.probing = 0;
        }
    }

    /// A probe was lost: once may be bad luck.
    pub fn on_probe_lost(&mut self, now: Instant, rtt: Duration) {
        if self.probing == 0 {
            return;
        }
        self.tries += 1;
        if self.tries >= TRIES {
            self.above = self.probing;
            self.tries = 0;
        }
        self.probing = 0;
        self.due = now + rtt;
    }

    /// A packet of `bytes` has arrived.
    pub fn on_arrived(&mut self, bytes: u32) {
        if bytes > INIT_BYTES as u32 {
            self.long_lost = 0;
        }
    }

    /// A packet of `bytes` was lost, or a probe time-out (which has the weight of several) has passed with it under way. True: the path does not
    /// take long ones any more; packets are 1,200 bytes from now on.
    pub fn on_lost(&mut self, now: Instant, bytes: usize, weight: u8) -> bool {
        if self.current <= INIT_BYTES as u16 || bytes <= INIT_BYTES {
            return false;
        }
        self.long_lost = self.long_lost.saturating_add(weight);
        if self.long_lost < LONG_LOST_MAX {
            return false;
        }
        *self = Search { due: now + AGAIN_AFTER, ..Search::new(now, usize::from(self.max), false) };
        true
    }
}

/// Probes of one length.
const TRIES: u8 = 3;
/// Packets of more than 1,200 bytes lost in a row, none of which arrived in between.
const LONG_LOST_MAX: u8 = 6;
/// The search ends when no more than this can be gained.
const STEP_MIN: u16 = 16;
const AGAIN_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a path that takes `path` bytes; returns what was found and how many probes it took.
    fn search(path: usize, max: usize) -> (usize, usize) {
        let mut search = Search::new(Instant::ZERO, max, false);
        let (mut now, mut probes) = (Instant::ZERO, 0);
        while search.due() < Instant::MAX {
            now = now.max(search.due());
            let bytes = search.probe(now).unwrap();
            probes += 1;
            if bytes <= path {
                search.on_probe_arrived(bytes as u32);
            } else {
                search.on_probe_lost(now, Duration::from_millis(1));
            }
            assert!(probes < 100);
        }
        (search.packet_bytes(), probes)
    }

    #[test]
    fn the_maximum_is_tried_first() {
        assert_eq!(search(1472, 1472), (1472, 1));
        assert_eq!(search(9000, 1200), (1200, 0));
    }

    #[test]
    fn halving_finds_what_the_path_takes_within_a_step() {
        for path in [1200, 1300, 1444, 4000, 8999] {
            let (found, probes) = search(path, 9000);
            assert!(found <= path && path - found <= usize::from(STEP_MIN), "{path}: {found}");
            assert!(probes <= 40, "{probes}");
        }
    }

    #[test]
    fn a_black_hole_is_noticed_and_searched_again_later() {
        let mut search = Search::new(Instant::ZERO, 1472, true);
        for _ in 1..LONG_LOST_MAX {
            assert!(!search.on_lost(Instant::ZERO, 1300, 1));
        }
        assert!(!search.on_lost(Instant::ZERO, 1200, 100), "short ones say nothing");
        search.on_arrived(1300);
        for _ in 1..LONG_LOST_MAX {
            assert!(!search.on_lost(Instant::ZERO, 1300, 1));
        }
        assert!(search.on_lost(Instant::ZERO, 1300, 1));
        assert_eq!(search.packet_bytes(), 1200);
        assert_eq!(search.due(), Instant::ZERO + AGAIN_AFTER);
    }
}
