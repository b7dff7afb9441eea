//! A quick lane that queues share: written once, read by each at its own pace.
//!
//! Consumers that want the same and are held to the same bounds would each have the same events in their queues. Here an
//! event is put down once for all of them, and each remembers only where it is: handing a batch over costs a copy of its
//! places, and letting go of it two counters. An event is done with when the slowest reader has passed it (gating by the
//! slowest, as in the paper's circular queue); who falls behind by half of its bound leaves the lane with what it has not
//! read, so that nobody ever has to give way here, and nobody waits for it.

use crate::queue::Plain;
use std::collections::VecDeque;

/// Events for several queues. Positions count up over its life.
#[derive(Debug)]
pub(crate) struct SharedLane {
    pub route: u32,
    pub bounds: Bounds,
    /// The queues that read it.
    pub readers: Vec<u32>,
    entries: VecDeque<Entry>,
    /// The position of the first entry.
    first: u64,
    /// Bytes ever put down.
    bytes: u64,
    /// Readers that have read everything.
    idle: Vec<u32>,
}

/// What a queue may hold: the same for all readers of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bounds {
    pub length_max: u32,
    pub bytes_max: u64,
}

/// Where a queue is in its lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reading {
    pub lane: u32,
    /// The position that it reads next.
    next: u64,
    /// Bytes put down before that.
    bytes: u64,
}

impl Reading {
    /// The position that it reads next.
    #[inline]
    pub fn next(&self) -> u64 {
        self.next
    }
}

#[derive(Debug)]
struct Entry {
    plain: Plain,
    /// Bytes put down before it.
    bytes: u64,
    /// Those who read it next.
    readers: u32,
}

impl SharedLane {
    pub fn new(route: u32, bounds: Bounds) -> SharedLane {
        let (readers, entries, idle) = (Vec::new(), VecDeque::new(), Vec::new());
        SharedLane { route, bounds, readers, entries, first: 0, bytes: 0, idle }
    }

    /// The queue reads what comes from now on. `lane` is this one's number.
    pub fn join(&mut self, queue: u32, lane: u32) -> Reading {
        self.readers.push(queue);
        self.idle.push(queue);
        Reading { lane, next: self.end(), bytes: self.bytes }
    }

    /// A queue reads no longer; what it has not read is the caller's to keep. [`SharedLane::retain`] and
    /// [`SharedLane::pop_done`] come after.
    pub fn depart(&mut self, reading: &Reading) {
        if let Some(place) = self.entry(reading.next) {
            self.entries[place].readers -= 1;
        }
    }

    /// Forgets the readers that have departed.
    pub fn retain(&mut self, is_reading: impl Fn(u32) -> bool) {
        self.readers.retain(|queue| is_reading(*queue));
        self.idle.retain(|queue| is_reading(*queue));
    }

    /// What it has not read: events and bytes.
    #[inline]
    pub fn backlog(&self, reading: &Reading) -> (u32, u64) {
        ((self.end() - reading.next) as u32, self.bytes - reading.bytes)
    }

    /// What it has not read, in order.
    #[inline]
    pub fn unread(&self, reading: &Reading) -> impl ExactSizeIterator<Item = &Plain> {
        self.entries.range((reading.next - self.first) as usize..).map(|entry| &entry.plain)
    }

    /// Beside its backlog, an event of `size` bytes would take more than half of what a queue may hold.
    pub fn is_behind(&self, reading: &Reading, size: u32) -> bool {
        let (len, bytes) = self.backlog(reading);
        let Bounds { length_max, bytes_max } = self.bounds;
        len >= length_max / 2 || bytes + u64::from(size) > bytes_max / 2
    }

    /// The slowest reader may have no room for another event of `size` bytes.
    #[inline]
    pub fn is_full_for(&self, size: u32) -> bool {
        let first = self.entries.front().map_or(self.bytes, |entry| entry.bytes);
        let Bounds { length_max, bytes_max } = self.bounds;
        self.entries.len() >= length_max as usize || self.bytes - first + u64::from(size) > bytes_max
    }

    /// Puts an event down. The readers that had nothing are moved to `woken`.
    #[inline]
    pub fn push(&mut self, plain: Plain, woken: &mut Vec<u32>) {
        self.entries.push_back(Entry { plain, bytes: self.bytes, readers: self.idle.len() as u32 });
        self.bytes += u64::from(plain.size);
        woken.append(&mut self.idle);
    }

    /// The queue has read `count` more. [`SharedLane::pop_done`] comes after.
    #[inline]
    pub fn advance(&mut self, queue: u32, reading: &mut Reading, count: u32) {
        let place = (reading.next - self.first) as usize;
        self.entries[place].readers -= 1;
        reading.next += u64::from(count);
        match self.entry(reading.next) {
            Some(place) => {
                reading.bytes = self.entries[place].bytes;
                self.entries[place].readers += 1;
            }
            None => {
                reading.bytes = self.bytes;
                self.idle.push(queue);
            }
        }
    }

    /// The place in the store of an event that everybody has read; it is out of the lane.
    #[inline]
    pub fn pop_done(&mut self) -> Option<u32> {
        let entry = self.entries.pop_front_if(|entry| entry.readers == 0)?;
        self.first += 1;
        Some(entry.plain.kept)
    }

    /// The one that is `place` behind the one that it reads next, which is there.
    #[inline]
    pub fn get(&self, reading: &Reading, place: usize) -> &Plain {
        &self.entries[(reading.next - self.first) as usize + place].plain
    }

    /// The event that a reader is at.
    pub fn at(&self, reading: &Reading) -> Option<&Plain> {
        self.entry(reading.next).map(|place| &self.entries[place].plain)
    }

    /// All that is in it.
    pub fn entries(&self) -> impl Iterator<Item = &Plain> {
        self.entries.iter().map(|entry| &entry.plain)
    }

    #[inline]
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    #[inline]
    fn entry(&self, position: u64) -> Option<usize> {
        let place = (position - self.first) as usize;
        (place < self.entries.len()).then_some(place)
    }

    /// What must hold between calls, given where its readers are.
    pub fn check_invariants(&self, readings: &[(u32, Reading)]) {
        assert_eq!(self.readers.len(), readings.len(), "each reader once");
        assert!(!readings.is_empty(), "a lane without readers is taken away");
        assert!(self.entries.iter().is_sorted_by_key(|entry| entry.plain.offset), "by age");
        assert!(self.entries.front().is_none_or(|entry| entry.readers > 0), "what all have read is gone");
        for (place, entry) in self.entries.iter().enumerate() {
            let here = readings.iter().filter(|(_, it)| it.next == self.first + place as u64);
            assert!(here.clone().all(|(_, it)| it.bytes == entry.bytes));
            assert_eq!(here.count(), entry.readers as usize, "who reads an event next is counted");
        }
        for (queue, reading) in readings {
            assert!(self.readers.contains(queue));
            assert!((self.first..=self.end()).contains(&reading.next));
            assert_eq!(self.idle.contains(queue), reading.next == self.end(), "idle is who has read all");
            let (len, bytes) = self.backlog(reading);
            assert!(len <= self.bounds.length_max && bytes <= self.bounds.bytes_max, "a queue's bounds");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { length_max: 8, bytes_max: 1000 };

    fn plain(offset: u64) -> Plain {
        Plain { offset, kept: 100 + offset as u32, size: 10 }
    }

    fn done(lane: &mut SharedLane) -> Vec<u32> {
        std::iter::from_fn(|| lane.pop_done()).collect()
    }

    #[test]
    fn an_event_is_done_with_when_the_slowest_has_passed_it() {
        let mut lane = SharedLane::new(0, BOUNDS);
        let (mut quick, mut slow) = (lane.join(1, 0), lane.join(2, 0));
        let mut woken = Vec::new();
        (0..4).for_each(|offset| lane.push(plain(offset), &mut woken));
        assert_eq!(woken, [1, 2], "once each");
        lane.advance(1, &mut quick, 4);
        assert!(done(&mut lane).is_empty());
        lane.advance(2, &mut slow, 3);
        assert_eq!(done(&mut lane), [100, 101, 102]);
        assert_eq!((lane.backlog(&quick), lane.backlog(&slow)), ((0, 0), (1, 10)));
        assert_eq!(lane.at(&slow).map(|plain| plain.offset), Some(3));
        lane.check_invariants(&[(1, quick), (2, slow)]);
        woken.clear();
        lane.push(plain(4), &mut woken);
        assert_eq!(woken, [1], "the other one knows already");
    }

    #[test]
    fn who_leaves_holds_up_nobody() {
        let mut lane = SharedLane::new(0, BOUNDS);
        let (mut quick, slow) = (lane.join(1, 0), lane.join(2, 0));
        let mut woken = Vec::new();
        (0..4).for_each(|offset| lane.push(plain(offset), &mut woken));
        lane.advance(1, &mut quick, 4);
        assert!(lane.is_behind(&slow, 10) && !lane.is_behind(&quick, 10));
        assert_eq!(lane.unread(&slow).len(), 4);
        lane.depart(&slow);
        lane.retain(|queue| queue == 1);
        assert_eq!(done(&mut lane), [100, 101, 102, 103]);
        lane.check_invariants(&[(1, quick)]);
        lane.depart(&quick);
        lane.retain(|_| false);
        assert!(lane.readers.is_empty() && lane.idle.is_empty());
    }

    #[test]
    fn it_is_full_by_events_and_by_bytes() {
        let mut lane = SharedLane::new(0, BOUNDS);
        let reading = lane.join(1, 0);
        assert!(!lane.is_full_for(1000) && lane.is_full_for(1001));
        let mut woken = Vec::new();
        (0..8).for_each(|offset| lane.push(plain(offset), &mut woken));
        assert!(lane.is_full_for(1));
        assert_eq!(lane.backlog(&reading), (8, 80));
    }
}
