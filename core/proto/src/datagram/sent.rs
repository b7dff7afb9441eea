//! What has left and is not settled: trains, with a bit for each of their packets.
//!
//! Source: RFC 9002, 6 (loss by later packets and by time). Packets of a train share their time and have successive numbers,
//! so the work per packet is a bit.

use super::ranges::Ranges;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

/// A train that has left.
#[derive(Debug)]
pub struct Sent {
    /// Number of its first packet.
    pub first: u64,
    /// Packets.
    pub count: u32,
    /// Length of each packet but the last.
    pub stride: u32,
    /// Bytes of all packets.
    pub len: u32,
    /// Packets that are neither acknowledged nor lost.
    pub flying: u64,
    /// Packets that ask for an acknowledgement.
    pub eliciting: u64,
    /// The packets as they were sealed. `None` when nothing of them would be sent again.
    pub bytes: Option<Arc<Vec<u8>>>,
    /// The key phase they were sealed in.
    pub phase: bool,
    /// When it left.
    pub at: Instant,
    /// Whether the window kept the sender from sending more.
    pub was_limited: bool,
    /// A search for the path's MTU: its loss says nothing about congestion.
    pub is_probe: bool,
}

impl Sent {
    /// Where packet `index` lies in the train.
    pub fn range(&self, index: u32) -> Range<usize> {
        let start = index as usize * self.stride as usize;
        start..(start + self.stride as usize).min(self.len as usize)
    }

    fn bytes_of(&self, mask: u64) -> u64 {
        let whole = u64::from(mask.count_ones()) * u64::from(self.stride);
        let last = self.count - 1;
        if mask >> last & 1 == 1 {
            whole - u64::from(self.stride) + self.range(last).len() as u64
        } else {
            whole
        }
    }
}

/// What an acknowledgement has settled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settled {
    /// Bytes newly acknowledged.
    pub bytes: u64,
    /// When the newest of them left.
    pub newest: Option<Instant>,
    /// Whether that one asked for an acknowledgement.
    pub newest_is_eliciting: bool,
    /// Its number.
    pub newest_number: u64,
    /// Whether the window limited the sender when one of them left.
    pub was_limited: bool,
    /// Packets newly acknowledged.
    pub packets: u64,
    /// Something that counted as lost has arrived after all.
    pub is_spurious: bool,
    /// Length of the longest packet among them, of those that are as long as the others of their train.
    pub longest: u32,
    /// Length of the longest probe of the path's MTU among them.
    pub probe_bytes: Option<u32>,
}

/// A packet that is lost.
#[derive(Debug)]
pub struct Lost<'a> {
    /// Its train.
    pub train: &'a Sent,
    /// Its place there.
    pub index: u32,
}

/// All trains in flight of one connection, ascending.
#[derive(Debug, Default)]
pub struct Flight {
    trains: VecDeque<Sent>,
    bytes: u64,
    eliciting: u64,
    /// Numbers that were given up, if any were, to notice when they arrive after all.
    lost: Option<Box<Ranges>>,
}

impl Flight {
    /// Bytes in flight.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Packets in flight that ask for an acknowledgement.
    pub fn eliciting(&self) -> u64 {
        self.eliciting
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.trains.is_empty()
    }

    /// The trains, the oldest first.
    pub fn trains(&self) -> impl Iterator<Item = &Sent> {
        self.trains.iter()
    }

    /// When the newest eliciting train left.
    pub fn newest_eliciting(&self) -> Option<Instant> {
        self.trains.iter().rev().find(|train| train.flying & train.eliciting != 0).map(|train| train.at)
    }

    /// Enters a train. Its numbers are above all before.
    pub fn push(&mut self, train: Sent) {
        self.bytes += train.bytes_of(train.flying);
        self.eliciting += u64::from((train.flying & train.eliciting).count_ones());
        self.trains.push_back(train);
    }

    fn settle(train: &mut Sent, mask: u64, bytes: &mut u64, eliciting: &mut u64) {
        *bytes -= train.bytes_of(mask);
        *eliciting -= u64::from((mask & train.eliciting).count_ones());
        train.flying &= !mask;
    }

    /// Takes the numbers `start..=end` as arrived. Trains that are settled go through `free`.
    pub fn acknowledge(&mut self, start: u64, end: u64, settled: &mut Settled, mut free: impl FnMut(Sent)) {
        let mut place = self.trains.partition_point(|train| train.first + u64::from(train.count) <= start);
        let mut emptied = false;
        while let Some(train) = self.trains.get_mut(place) {
            if train.first > end {
                break;
            }
            let mask = train.flying & mask_of(train, start, end);
            if mask != 0 {
                let highest = 63 - mask.leading_zeros();
                let number = train.first + u64::from(highest);
                if settled.newest.is_none() || number > settled.newest_number {
                    settled.newest = Some(train.at);
                    settled.newest_number = number;
                    settled.newest_is_eliciting = mask & train.eliciting != 0;
                }
                settled.bytes += train.bytes_of(mask);
                settled.packets += u64::from(mask.count_ones());
                settled.longest = settled.longest.max(train.stride.min(train.len));
                settled.was_limited |= train.was_limited;
                if train.is_probe {
                    settled.probe_bytes = settled.probe_bytes.max(Some(train.len));
                }
                Self::settle(train, mask, &mut self.bytes, &mut self.eliciting);
                emptied |= train.flying == 0;
            }
            place += 1;
        }
        if let Some(lost) = self.lost.as_mut().filter(|lost| !lost.is_empty()) {
            let start = start.max(lost.floor());
            let mut left = (end + 1).saturating_sub(start);
            lost.missing(start, end + 1, |from, to| left -= to - from);
            if left > 0 {
                settled.is_spurious = true;
                // Later acknowledgements say it again; it is news once.
                lost.forget_below(end + 1);
            }
        }
        if emptied {
            self.sweep(&mut free);
        }
    }

    /// Finds what is lost now that `largest` has arrived: `threshold` numbers below it, or older than `delay`. `each` sees every lost packet
    /// in order; settled trains go through `free`. Returns when the next packet will be lost by time.
    pub fn detect_lost(
        &mut self,
        now: Instant,
        largest: u64,
        threshold: u64,
        delay: Duration,
        mut each: impl FnMut(Lost<'_>),
        mut free: impl FnMut(Sent),
    ) -> Option<Instant> {
        let mut due = None;
        let mut emptied = false;
        for train in &mut self.trains {
            if train.first > largest {
                break;
            }
            let below = train.flying & mask_of(train, 0, largest);
            if below == 0 {
                continue;
            }
            let by_number = match (largest + 1).checked_sub(threshold) {
                Some(limit) if limit > 0 => below & mask_of(train, 0, limit - 1),
                _ => 0,
            };
            let mask = if train.at + delay <= now { below } else { by_number };
            if mask != below {
                due = Some(due.unwrap_or(Instant::MAX).min(train.at + delay));
            }
            if mask != 0 {
                emptied |=
                    Self::lose(train, mask, &mut self.bytes, &mut self.eliciting, &mut self.lost, &mut each);
            }
        }
        if emptied {
            self.sweep(&mut free);
        }
        due
    }

    /// Gives up the oldest packet that asks for an acknowledgement, as a probe. It does not count as lost.
    pub fn give_up_oldest(&mut self, each: impl FnOnce(Lost<'_>), mut free: impl FnMut(Sent)) {
        let Some(train) = self.trains.iter_mut().find(|train| train.flying & train.eliciting != 0) else {
            return;
        };
        let index = (train.flying & train.eliciting).trailing_zeros();
        Self::settle(train, 1 << index, &mut self.bytes, &mut self.eliciting);
        each(Lost { train, index });
        self.sweep(&mut free);
    }

    /// Forgets lazy packets that left before `before`: nobody will say what became of them.
    pub fn forget_lazy(&mut self, before: Instant) {
        let mut emptied = false;
        for train in &mut self.trains {
            if train.at > before {
                break;
            }
            let mask = train.flying & !train.eliciting;
            if mask != 0 {
                Self::settle(train, mask, &mut self.bytes, &mut self.eliciting);
                emptied |= train.flying == 0;
            }
        }
        if emptied {
            self.sweep(&mut |_| {});
        }
    }

    fn lose(
        train: &mut Sent,
        mask: u64,
        bytes: &mut u64,
        eliciting: &mut u64,
        lost: &mut Option<Box<Ranges>>,
        each: &mut impl FnMut(Lost<'_>),
    ) -> bool {
        Self::settle(train, mask, bytes, eliciting);
        let mut left = mask;
        while left != 0 {
            let index = left.trailing_zeros();
            left &= left - 1;
            let number = train.first + u64::from(index);
            lost.get_or_insert_default().insert_range(number, number + 1, LOST_RANGES_MAX);
            each(Lost { train, index });
        }
        train.flying == 0
    }

    /// Takes settled trains out; mostly they are the first ones.
    fn sweep(&mut self, free: &mut impl FnMut(Sent)) {
        while self.trains.front().is_some_and(|train| train.flying == 0) {
            self.trains.pop_front().into_iter().for_each(&mut *free);
        }
        if self.trains.iter().any(|train| train.flying == 0) {
            for _ in 0..self.trains.len() {
                let Some(train) = self.trains.pop_front() else { break };
                if train.flying == 0 { free(train) } else { self.trains.push_back(train) }
            }
        }
        if self.trains.is_empty() {
            // Given back only when large: a busy connection needs it again at once.
            self.trains.shrink_to(TRAINS_KEPT);
        }
    }

    /// What must hold, for tests.
    pub fn check_invariants(&self) {
        let (mut bytes, mut eliciting, mut above) = (0, 0, 0);
        for train in &self.trains {
            assert!(train.first >= above && train.count >= 1 && train.flying != 0);
            above = train.first + u64::from(train.count);
            bytes += train.bytes_of(train.flying);
            eliciting += u64::from((train.flying & train.eliciting).count_ones());
        }
        assert_eq!((bytes, eliciting), (self.bytes, self.eliciting));
    }
}

/// The packets of a train whose numbers lie in `start..=end`.
fn mask_of(train: &Sent, start: u64, end: u64) -> u64 {
    let all = if train.count >= 64 { u64::MAX } else { (1 << train.count) - 1 };
    let low = start.saturating_sub(train.first);
    if low >= 64 || end < train.first {
        return 0;
    }
    let high = end - train.first;
    let up_to_high = if high >= 63 { u64::MAX } else { (1 << (high + 1)) - 1 };
    all & up_to_high & (u64::MAX << low)
}

/// Lost numbers remembered, in ranges.
const LOST_RANGES_MAX: usize = 32;
const TRAINS_KEPT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn train(first: u64, count: u32, at_ms: u64) -> Sent {
        let all = if count == 64 { u64::MAX } else { (1 << count) - 1 };
        Sent {
            first,
            count,
            stride: 100,
            len: 100 * count - 50,
            flying: all,
            eliciting: all,
            bytes: None,
            phase: false,
            at: Instant::from_nanos(at_ms * 1_000_000),
            was_limited: false,
            is_probe: false,
        }
    }

    fn acknowledge(flight: &mut Flight, start: u64, end: u64) -> (Settled, u32) {
        let (mut settled, mut freed) = (Settled::default(), 0);
        flight.acknowledge(start, end, &mut settled, |_| freed += 1);
        flight.check_invariants();
        (settled, freed)
    }

    #[test]
    fn a_train_is_freed_when_its_last_packet_is_acknowledged() {
        let mut flight = Flight::default();
        flight.push(train(0, 10, 1));
        flight.push(train(12, 64, 2));
        assert_eq!(flight.bytes(), 950 + 6350);
        let (settled, freed) = acknowledge(&mut flight, 0, 8);
        assert_eq!((settled.bytes, settled.packets, freed), (900, 9, 0));
        let (settled, freed) = acknowledge(&mut flight, 0, 20);
        assert_eq!((settled.bytes, settled.newest_number, freed), (50 + 900, 20, 1));
        let (_, freed) = acknowledge(&mut flight, 0, 75);
        assert_eq!((freed, flight.bytes(), flight.eliciting()), (1, 0, 0));
    }

    #[test]
    fn packets_are_lost_by_later_ones_and_by_time() {
        let mut flight = Flight::default();
        flight.push(train(0, 4, 1));
        flight.push(train(4, 4, 10));
        acknowledge(&mut flight, 5, 5);
        let mut lost = vec![];
        let mut detect = |flight: &mut Flight, now_ms: u64| {
            let now = Instant::from_nanos(now_ms * 1_000_000);
            let each = |packet: Lost<'_>| lost.push(packet.train.first + u64::from(packet.index));
            flight.detect_lost(now, 5, 3, Duration::from_millis(20), each, |_| {})
        };
        assert_eq!(detect(&mut flight, 11), Some(Instant::from_nanos(21_000_000)));
        assert_eq!(detect(&mut flight, 21), Some(Instant::from_nanos(30_000_000)));
        assert_eq!(detect(&mut flight, 30), None);
        assert_eq!(lost, [0, 1, 2, 3, 4]);
        flight.check_invariants();
        let (settled, _) = acknowledge(&mut flight, 0, 2);
        assert!(settled.is_spurious && settled.bytes == 0);
        let (settled, _) = acknowledge(&mut flight, 0, 2);
        assert!(!settled.is_spurious, "said again, it is no news");
        let (settled, _) = acknowledge(&mut flight, 0, 5);
        assert!(settled.is_spurious, "3 and 4 have arrived too");
    }

    #[test]
    fn giving_up_the_oldest_leaves_the_others() {
        let mut flight = Flight::default();
        flight.push(Sent { eliciting: 0, ..train(0, 1, 1) });
        flight.push(train(1, 2, 1));
        flight.push(train(3, 2, 1));
        let mut lost = 0;
        flight.give_up_oldest(|packet| lost += packet.train.first + u64::from(packet.index), |_| {});
        assert_eq!((lost, flight.eliciting()), (1, 3));
        flight.forget_lazy(Instant::from_nanos(2_000_000));
        assert_eq!(flight.trains().count(), 2);
        flight.check_invariants();
    }
}
