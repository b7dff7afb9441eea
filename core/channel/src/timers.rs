//! One timer wheel for everything that waits: expiry, earliest delivery, acknowledgements, waits, pacing.
//!
//! Unlike the wheel of the protocols this one can cancel, in constant time: an event that may live for a day is mostly
//! gone in a millisecond, and a timer that stayed behind for each would fill the memory. Owners keep the handle and
//! give it up when the timer fires. Nothing fires early; what fires is at most one tick late.
//!
//! Source: G. Varghese, T. Lauck, "Hashed and hierarchical timing wheels", SOSP 1987. The level of a timer is the highest
//! digit (base 64) in which its tick differs from the current tick.

use clustercore_proto::time::Instant;

/// No timer.
pub(crate) const NO_TIMER: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Timers<K: Copy> {
    elapsed: u64,
    levels: Vec<Level>,
    entries: Vec<Entry<K>>,
    free: u32,
    len: usize,
    /// No timer is due before this tick.
    first: u64,
}

#[derive(Clone, Debug)]
struct Level {
    occupied: u64,
    heads: [u32; 64],
    tails: [u32; 64],
}

#[derive(Debug)]
struct Entry<K> {
    tick: u64,
    previous: u32,
    next: u32,
    level: u8,
    slot: u8,
    key: K,
}

impl<K: Copy> Timers<K> {
    pub fn new() -> Timers<K> {
        Timers {
            elapsed: 0,
            levels: vec![Level { occupied: 0, heads: [NO_TIMER; 64], tails: [NO_TIMER; 64] }; LEVELS],
            entries: Vec::new(),
            free: NO_TIMER,
            len: 0,
            first: u64::MAX,
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// A timer at `at`, rounded up to a tick.
    pub fn insert(&mut self, at: Instant, key: K) -> u32 {
        let tick = at.as_nanos().div_ceil(TICK_NS).max(self.elapsed);
        let entry = Entry { tick, previous: NO_TIMER, next: NO_TIMER, level: 0, slot: 0, key };
        let handle = self.free;
        let handle = if handle == NO_TIMER {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            self.free = self.entries[handle as usize].next;
            self.entries[handle as usize] = entry;
            handle
        };
        self.len += 1;
        self.first = self.first.min(tick);
        self.link(handle);
        handle
    }

    /// Takes a timer out that has not fired; [`NO_TIMER`] is fine.
    pub fn cancel(&mut self, handle: u32) {
        if handle != NO_TIMER {
            self.unlink(handle);
            self.release(handle);
        }
    }

    /// The next timer due at `now`; its handle is void from here on.
    #[inline]
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let target = now.as_nanos() / TICK_NS;
        if target < self.first {
            return None;
        }
        self.pop_due(target)
    }

    /// When a timer fires, rounded up to a tick.
    pub fn at(&self, handle: u32) -> Instant {
        Instant::from_nanos(self.entries[handle as usize].tick.saturating_mul(TICK_NS))
    }

    /// When to look again.
    pub fn next(&self) -> Option<Instant> {
        let (level, slot, _) = self.earliest()?;
        let mut tick = u64::MAX;
        let mut handle = self.levels[level].heads[slot];
        while handle != NO_TIMER {
            let entry = &self.entries[handle as usize];
            tick = tick.min(entry.tick);
            handle = entry.next;
        }
        Some(Instant::from_nanos(tick.saturating_mul(TICK_NS)))
    }

    fn pop_due(&mut self, target: u64) -> Option<K> {
        while let Some((level, slot, start)) = self.earliest() {
            if start > target {
                self.first = start;
                self.elapsed = self.elapsed.max(target);
                return None;
            }
            self.elapsed = self.elapsed.max(start);
            let head = self.levels[level].heads[slot];
            if level == 0 {
                self.unlink(head);
                let key = self.entries[head as usize].key;
                self.release(head);
                return Some(key);
            }
            let mut handle = head;
            while handle != NO_TIMER {
                let next = self.entries[handle as usize].next;
                self.unlink(handle);
                self.link(handle);
                handle = next;
            }
        }
        self.first = u64::MAX;
        self.elapsed = self.elapsed.max(target);
        None
    }

    /// Level, slot and first tick of what comes next. Lower levels are always earlier.
    fn earliest(&self) -> Option<(usize, usize, u64)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        let shift = level as u32 * 6;
        let current = self.elapsed >> shift & 63;
        let ahead = self.levels[level].occupied >> current << current;
        let slot = ahead.trailing_zeros() as u64;
        let above = if shift + 6 >= 64 { 0 } else { self.elapsed >> (shift + 6) << (shift + 6) };
        Some((level, slot as usize, above | slot << shift))
    }

    fn link(&mut self, handle: u32) {
        let entry = &mut self.entries[handle as usize];
        let differing = (entry.tick ^ self.elapsed) | 1;
        let level = (63 - differing.leading_zeros()) / 6;
        let slot = entry.tick >> (level * 6) & 63;
        (entry.level, entry.slot) = (level as u8, slot as u8);
        let lists = &mut self.levels[level as usize];
        let tail = lists.tails[slot as usize];
        (entry.previous, entry.next) = (tail, NO_TIMER);
        lists.tails[slot as usize] = handle;
        lists.occupied |= 1 << slot;
        if tail == NO_TIMER {
            lists.heads[slot as usize] = handle;
        } else {
            self.entries[tail as usize].next = handle;
        }
    }

    fn unlink(&mut self, handle: u32) {
        let Entry { previous, next, level, slot, .. } = self.entries[handle as usize];
        let lists = &mut self.levels[level as usize];
        if previous == NO_TIMER {
            lists.heads[slot as usize] = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next == NO_TIMER {
            lists.tails[slot as usize] = previous;
        } else {
            self.entries[next as usize].previous = previous;
        }
        if lists.heads[slot as usize] == NO_TIMER {
            lists.occupied &= !(1 << slot);
        }
    }

    fn release(&mut self, handle: u32) {
        self.entries[handle as usize].next = self.free;
        self.free = handle;
        self.len -= 1;
    }
}

/// A millisecond.
const TICK_NS: u64 = 1_000_000;

/// Digits of a tick.
const LEVELS: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;
    use clustercore_proto::random::Random;

    #[test]
    fn fires_what_a_sorted_list_would_and_forgets_what_is_cancelled() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut timers = Timers::new();
            let mut model: Vec<(u64, u32, u32)> = Vec::new();
            let mut now = random.below(1 << 40);
            assert_eq!(timers.pop(Instant::from_nanos(now * TICK_NS)), None);
            for key in 0..300 {
                let span = random.below(30);
                let tick = now + random.below(1 << span);
                model.push((tick, key, timers.insert(Instant::from_nanos(tick * TICK_NS), key)));
                if random.chance(300) {
                    let (_, _, handle) = model.swap_remove(random.below(model.len() as u64) as usize);
                    timers.cancel(handle);
                }
                if random.chance(200) {
                    let span = random.below(28);
                    now += random.below(1 << span);
                    let mut fired: Vec<u32> = Vec::new();
                    while let Some(key) = timers.pop(Instant::from_nanos(now * TICK_NS)) {
                        fired.push(key);
                    }
                    let mut due: Vec<_> = model.extract_if(.., |(tick, ..)| *tick <= now).collect();
                    due.sort_by_key(|(tick, key, _)| (*tick, *key));
                    let mut expected: Vec<u32> = due.iter().map(|(_, key, _)| *key).collect();
                    expected.sort_unstable();
                    fired.sort_unstable();
                    assert_eq!(fired, expected, "seed {seed}");
                }
                let next = model.iter().map(|(tick, ..)| *tick).min();
                assert_eq!(
                    timers.next(),
                    next.map(|tick| Instant::from_nanos(tick * TICK_NS)),
                    "seed {seed}"
                );
                assert_eq!(timers.len(), model.len());
            }
        }
    }
}
