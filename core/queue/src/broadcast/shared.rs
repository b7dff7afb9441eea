//! What all ends of a ring share: the slots, how far they are filled, and the gate before their next use.

use crossbeam_utils::CachePadded;

use super::seats::Seats;
use super::{Options, WhenFull};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering, Slots, View, slots_for};

pub(super) struct Shared<T> {
    /// Events below are filled. With one writer exact; with many a lower bound that lies between two batches, and
    /// `filled_from` finds the rest.
    pub published: CachePadded<AtomicU64>,
    /// Where the next claim of one of many writers starts. Not used with one writer.
    pub claimed: CachePadded<AtomicU64>,
    pub gate: CachePadded<Gate>,
    pub seats: Seats,
    /// With many writers: for the position where a batch starts, where that batch ends. Empty with one writer.
    pub ends: Box<[AtomicU64]>,
    pub counts: CachePadded<Counts>,
    /// How many writers there are.
    pub writers: CachePadded<AtomicUsize>,
    pub when_full: WhenFull,
    /// Of `slots`, which is beside it.
    pub view: View<T>,
    /// Owner of the memory, reached through `view`.
    _slots: Slots<T>,
}

/// What keeps writers from slots that somebody may read.
pub(super) struct Gate {
    /// Nobody starts to read below. Written before the look at the readers that makes it true.
    pub floor: AtomicU64,
    /// Values below are dropped, and nobody reads them: their slots may be filled again.
    pub released: AtomicU64,
    /// How often a reader has joined.
    pub joins: AtomicU64,
    /// Whether a writer is dropping values between `released` and the floor.
    pub is_releasing: AtomicBool,
}

pub(super) struct Counts {
    pub dropped_newest: AtomicU64,
    pub missed: AtomicU64,
    pub refused: AtomicU64,
}

impl<T> Shared<T> {
    pub(super) fn new(options: Options, is_multi: bool) -> Self {
        let len = slots_for(options.capacity);
        if let WhenFull::DropOldest { at_once } = options.when_full {
            assert!((1..=len).contains(&at_once), "at_once is {at_once}, limit is 1..={len}");
        }
        let slots = Slots::new(len);
        let zero = || AtomicU64::new(0);
        Self {
            published: CachePadded::new(zero()),
            claimed: CachePadded::new(zero()),
            gate: CachePadded::new(Gate {
                floor: zero(),
                released: zero(),
                joins: zero(),
                is_releasing: AtomicBool::new(false),
            }),
            seats: Seats::new(options.readers_max),
            ends: (0..if is_multi { len } else { 0 }).map(|_| zero()).collect(),
            counts: CachePadded::new(Counts { dropped_newest: zero(), missed: zero(), refused: zero() }),
            writers: CachePadded::new(AtomicUsize::new(1)),
            when_full: options.when_full,
            view: slots.view(),
            _slots: slots,
        }
    }

    /// The number of slots.
    #[inline]
    pub(super) fn capacity(&self) -> u64 {
        self.view.len() as u64
    }

    /// Up to where events are filled without a gap, and known to all from now on.
    #[inline]
    pub(super) fn published_now(&self) -> u64 {
        // Acquire: pairs with the Release of `Writer::publish_to`, or of `filled_from` by whoever looked before.
        let published = self.published.load(Ordering::Acquire);
        if self.ends.is_empty() { published } else { self.filled_from(published) }
    }

    /// Follows the batches of many writers from `start`, the end of one of them, to the first gap or a lap further on.
    ///
    /// `start` may be old: writers may have gone round the ring since. Then the slot tells of a batch a lap or more ahead, between which
    /// and `start` there may be gaps, and the way starts again at what is published by now.
    #[inline]
    pub(super) fn filled_from(&self, start: u64) -> u64 {
        let mut filled = start;
        while filled - start < self.capacity() {
            // Acquire: pairs with the Release in `SharedWriter`; the batch that starts here is filled.
            let end = self.ends[filled as usize & (self.ends.len() - 1)].load(Ordering::Acquire);
            // From an earlier lap, at most `filled`: all batches of that lap had ended by here.
            if end <= filled {
                break;
            }
            if end - filled <= self.capacity() {
                filled = end;
                continue;
            }
            // Acquire: as in `published_now`. Above `filled`: who fills a slot again has seen more published than it frees.
            let published = self.published.load(Ordering::Acquire);
            debug_assert!(
                published > filled,
                "published {published}, and a batch ends at {end} after {filled}"
            );
            if published <= filled {
                break;
            }
            filled = published;
        }
        if filled > start {
            // Release: hands what was acquired above on to those who start here. The greatest wins, so that a
            // floor, which is never above it, stays below for all.
            self.published.fetch_max(filled, Ordering::Release);
        }
        filled
    }

    pub(super) fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in the writers' `Drop`; orders all events before the answer.
        self.writers.load(Ordering::Acquire) == 0
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if !std::mem::needs_drop::<T>() {
            return;
        }
        // Relaxed: the last owner is alone; dropping the other `Arc`s ordered their work before this.
        let released = self.gate.released.load(Ordering::Relaxed);
        let filled = self.published_now();
        for (start, len) in self.view.parts(released as usize, (filled - released) as usize) {
            // SAFETY: filled, not dropped yet, and nobody else is left to touch them.
            unsafe { std::ptr::slice_from_raw_parts_mut(start, len).drop_in_place() };
        }
    }
}
