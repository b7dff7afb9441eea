//! A hierarchical timer wheel.
//!
//! One wheel serves all timers of a shard: connections, retries, probes, drains. What it promises:
//! - `insert` is O(1); firing is O(1) amortised (a timer moves down at most once per level);
//! - nothing fires early, and nothing fires more than one tick after its deadline if the owner of the wheel
//!   calls [`Wheel::advance`] when [`Wheel::next`] says so;
//! - timers of one tick fire in the order of their insertion;
//! - no allocation once the wheel has held its high-water mark of timers.
//!
//! There is no cancel. Most timers are pushed back again and again (an idle time-out moves with every byte),
//! and a wheel that can cancel pays for it on each push. The idiom instead:
//!
//! ```
//! use clustercore_proto::time::{Duration, Instant, Wheel};
//!
//! #[derive(Clone, Copy)]
//! struct Key { slot: u32, generation: u32 }          // names the owner, and which life of the owner
//! struct Owner { generation: u32, deadline: Instant } // the owner keeps the truth
//!
//! let mut wheel = Wheel::new();
//! let mut owner = Owner { generation: 1, deadline: Instant::from_nanos(2_000_000) };
//! wheel.insert(owner.deadline, Key { slot: 0, generation: 1 });
//! owner.deadline = Instant::from_nanos(9_000_000);    // pushed back: the wheel is not told
//!
//! let now = Instant::from_nanos(3_000_000);
//! let mut expired = 0;
//! while let Some(key) = wheel.pop(now) {
//!     if key.generation != owner.generation {
//!         continue;                                   // an earlier owner of the slot: nothing to do
//!     } else if owner.deadline > now {
//!         wheel.insert(owner.deadline, key);          // moved meanwhile: sleep on
//!     } else {
//!         expired += 1;                               // a real expiry
//!     }
//! }
//! assert_eq!(expired, 0);
//! assert_eq!(wheel.next(), Some(Instant::from_nanos(9_000_000)));
//! ```
//!
//! A deadline that moves *earlier* needs a second `insert`; the later one is then found stale as above.
//!
//! Source: G. Varghese, T. Lauck, "Hashed and hierarchical timing wheels", SOSP 1987. The level of a timer is
//! the highest digit (base 64) in which its tick differs from the current tick, so all timers of a lower level
//! are earlier than all timers of a higher one.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Instant, nanos};

/// A timer wheel whose timers carry a key of type `K`. See the module's text for the idiom of use.
#[derive(Debug)]
pub struct Wheel<K: Copy> {
    tick_ns: u64,
    /// The tick up to which everything has fired.
    elapsed: u64,
    levels: Vec<Level>,
    entries: Vec<Entry<K>>,
    /// Head of the list of free entries.
    free: u32,
    len: usize,
}

impl<K: Copy> Wheel<K> {
    /// A wheel with ticks of one millisecond.
    pub fn new() -> Wheel<K> {
        Wheel::with_tick(TICK_DEFAULT, 0)
    }

    /// A wheel with ticks of length `tick` (at least one nanosecond) and room for `capacity` timers; it grows
    /// when more are inserted.
    pub fn with_tick(tick: Duration, capacity: usize) -> Wheel<K> {
        let tick_ns = nanos(tick).max(1);
        let tick_max = u64::MAX.div_ceil(tick_ns);
        let levels = (u64::BITS - tick_max.leading_zeros()).div_ceil(DIGIT_BITS) as usize;
        Wheel {
            tick_ns,
            elapsed: 0,
            levels: vec![Level::EMPTY; levels],
            entries: Vec::with_capacity(capacity),
            free: NONE,
            len: 0,
        }
    }

    /// Timers in the wheel, the stale ones included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when no timer is in the wheel.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a timer that fires at `at`, rounded up to a whole tick. A moment in the past fires at the next
    /// `advance` or `pop`. The same key may be in the wheel any number of times.
    ///
    /// Panics beyond `u32::MAX - 1` timers, which no memory of ours can hold.
    pub fn insert(&mut self, at: Instant, key: K) {
        let tick = at.as_nanos().div_ceil(self.tick_ns).max(self.elapsed);
        let entry = Entry { tick, next: NONE, key };
        let index = if self.free == NONE {
            let index = u32::try_from(self.entries.len()).ok().filter(|&index| index != NONE);
            self.entries.push(entry);
            index.expect("fewer than 2^32 - 1 timers")
        } else {
            let index = self.free;
            self.free = self.entries[index as usize].next;
            self.entries[index as usize] = entry;
            index
        };
        self.len += 1;
        self.link(index);
    }

    /// Calls `fire` with the key of each timer that is due at `now`, earliest tick first.
    pub fn advance(&mut self, now: Instant, fire: &mut impl FnMut(K)) {
        while let Some(key) = self.pop(now) {
            fire(key);
        }
    }

    /// Takes out the next timer that is due at `now`, so that the caller may `insert` between two of them.
    ///
    /// A caller that inserts moments at or before `now` in its loop gets them in the same loop.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let target = now.as_nanos() / self.tick_ns;
        while let Some((level, slot, start)) = self.earliest_slot() {
            if start > target {
                break;
            }
            self.elapsed = start;
            if level == 0 {
                return Some(self.take_first(slot));
            }
            self.cascade(level, slot);
        }
        self.elapsed = self.elapsed.max(target);
        None
    }

    /// When the next timer is due, rounded up to a whole tick: the time to sleep to. `None` when the wheel is
    /// empty. Reads one word per level, and one more.
    pub fn next(&self) -> Option<Instant> {
        let (level, slot, _) = self.earliest_slot()?;
        let tick = self.levels[level].slots[slot].tick_min;
        Some(Instant::from_nanos(tick.saturating_mul(self.tick_ns)))
    }

    /// Asserts what must hold between two calls; meant for tests and simulations.
    pub fn check_invariants(&self) {
        let mut count = 0;
        for (level, Level { occupied, slots }) in self.levels.iter().enumerate() {
            for (slot, list) in slots.iter().enumerate() {
                assert_eq!(occupied >> slot & 1 == 1, list.head != NONE, "bitmap and list agree");
                let mut tick_min = u64::MAX;
                let mut index = list.head;
                while index != NONE {
                    let entry = &self.entries[index as usize];
                    assert!(entry.tick >= self.elapsed, "a timer never lies in the past");
                    assert_eq!((level, slot), place(self.elapsed, entry.tick), "a timer lies in its slot");
                    tick_min = tick_min.min(entry.tick);
                    count += 1;
                    assert!(count <= self.len, "lists hold no cycle");
                    if entry.next == NONE {
                        assert_eq!(index, list.tail, "tail is the last");
                    }
                    index = entry.next;
                }
                if list.head != NONE {
                    assert_eq!(list.tick_min, tick_min, "the slot knows its earliest timer");
                }
            }
        }
        assert_eq!(count, self.len, "every timer is in one list");
    }

    /// Level, slot and first tick of the slot that holds the earliest timer.
    fn earliest_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        let slot = self.levels[level].occupied.trailing_zeros();
        let shift = level as u32 * DIGIT_BITS;
        // The digits above the slot's are those of `elapsed`; the ones below are zero.
        let above = self.elapsed.checked_shr(shift + DIGIT_BITS).unwrap_or(0);
        let start = above.checked_shl(shift + DIGIT_BITS).unwrap_or(0) | u64::from(slot) << shift;
        Some((level, slot as usize, start))
    }

    /// Appends the entry to the list of its slot.
    fn link(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick;
        let (level, slot) = place(self.elapsed, tick);
        let level = &mut self.levels[level];
        let list = &mut level.slots[slot];
        if list.head == NONE {
            level.occupied |= 1 << slot;
            *list = Slot { head: index, tail: index, tick_min: tick };
        } else {
            self.entries[list.tail as usize].next = index;
            list.tail = index;
            list.tick_min = list.tick_min.min(tick);
        }
    }

    /// Takes the first timer out of a slot of level 0, all of whose timers share one tick.
    fn take_first(&mut self, slot: usize) -> K {
        let level = &mut self.levels[0];
        let index = level.slots[slot].head;
        let entry = &mut self.entries[index as usize];
        level.slots[slot].head = entry.next;
        if entry.next == NONE {
            level.occupied &= !(1 << slot);
        }
        entry.next = self.free;
        self.free = index;
        self.len -= 1;
        self.entries[index as usize].key
    }

    /// Deals the timers of a slot whose time has come out to the levels below.
    fn cascade(&mut self, level: usize, slot: usize) {
        let level = &mut self.levels[level];
        level.occupied &= !(1 << slot);
        let mut index = level.slots[slot].head;
        level.slots[slot] = Slot::EMPTY;
        while index != NONE {
            let next = core::mem::replace(&mut self.entries[index as usize].next, NONE);
            self.link(index);
            index = next;
        }
    }
}

impl<K: Copy> Default for Wheel<K> {
    fn default() -> Self {
        Wheel::new()
    }
}

/// Level and slot of a timer for `tick`, which is not before `elapsed`.
fn place(elapsed: u64, tick: u64) -> (usize, usize) {
    let differing = (elapsed ^ tick) | 1;
    let level = (u64::BITS - 1 - differing.leading_zeros()) / DIGIT_BITS;
    let slot = tick >> (level * DIGIT_BITS) & (SLOTS as u64 - 1);
    (level as usize, slot as usize)
}

#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    tick: u64,
    next: u32,
    key: K,
}

/// A list of entries; `tail` and `tick_min` mean something only while `head` is not `NONE`.
#[derive(Clone, Copy, Debug)]
struct Slot {
    head: u32,
    tail: u32,
    tick_min: u64,
}

impl Slot {
    const EMPTY: Slot = Slot { head: NONE, tail: NONE, tick_min: 0 };
}

#[derive(Clone, Debug)]
struct Level {
    /// Bit `n` is set while slot `n` holds a timer.
    occupied: u64,
    slots: [Slot; SLOTS],
}

impl Level {
    const EMPTY: Level = Level { occupied: 0, slots: [Slot::EMPTY; SLOTS] };
}

const TICK_DEFAULT: Duration = Duration::from_millis(1);
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests;
