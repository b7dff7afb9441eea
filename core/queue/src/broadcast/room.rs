//! How a writer finds room: who reads where, whom to overrun, what to drop.
//!
//! A writer may fill a slot again when nobody reads it and nobody will. The first is seen in the seats. The second needs an
//! agreement with readers that start just now, since they look at the ring while the writer looks at them: the writer raises the
//! floor and then looks, the reader says where it is and then looks at the floor, each with a sequentially consistent fence
//! in between. So one of them sees the other: the writer leaves the reader's slots alone, or the reader moves up to
//! the floor.

use super::WhenFull;
use super::shared::Shared;
use crate::sync::{Ordering, fence};

impl<T> Shared<T> {
    /// Makes slots free for positions up to `wanted_end`, as far as readers and policy allow. `slowest` is the caller's memory of who
    /// held it back last. Returns up to where positions may be filled now; may be more or less than wanted.
    #[cold]
    #[inline(never)]
    pub(super) fn make_room(&self, wanted_end: u64, slowest: &mut Option<usize>) -> u64 {
        let known = self.room_end();
        if known >= wanted_end || self.is_held_back(known, slowest) {
            return known;
        }
        self.advance(wanted_end.saturating_sub(self.capacity()), slowest)
    }

    /// Drops what all readers have passed, and overruns nobody. Returns up to where positions may be filled now.
    pub(super) fn reclaim(&self) -> u64 {
        self.advance(0, &mut None)
    }

    /// Moves the floor to where all readers are, or up to `target` if it may overrun them; then frees what nobody reads below it.
    fn advance(&self, target: u64, slowest: &mut Option<usize>) -> u64 {
        let known = self.room_end();
        let published = self.published_now();
        loop {
            // Acquire: pairs with the Release in `Reader::join`.
            let joins = self.gate.joins.load(Ordering::Acquire);
            let mut passed = self.passed_by_all(published, slowest);
            if let WhenFull::DropOldest { at_once } = self.when_full
                && passed < target
            {
                let full_step = known.saturating_sub(self.capacity()) + at_once as u64;
                passed = passed.max(target.max(full_step).min(published));
            }
            // Release: pairs with the Acquire in `Reader::settle`: who sees the floor sees all published below it. That serves progress
            // only, no reader reads on the strength of it. The fence orders
            // it before the looks below. The greatest wins, among many writers.
            self.gate.floor.fetch_max(passed, Ordering::Release);
            // SeqCst: pairs with the fence in `Reader::settle`.
            fence(Ordering::SeqCst);
            if matches!(self.when_full, WhenFull::DropOldest { .. }) {
                // Who is below the floor and not reading will see the floor before it reads.
                let pinned = self.seats.iter().filter(|(_, place)| place.is_pinned);
                passed = pinned.fold(passed, |least, (_, place)| least.min(place.position));
            } else if self.gate.joins.load(Ordering::Relaxed) != joins {
                // Relaxed: ordered by the fence. Somebody joined and may have been overlooked.
                continue;
            }
            self.release(passed);
            return self.room_end();
        }
    }

    /// Up to where positions may be filled.
    #[inline]
    pub(super) fn room_end(&self) -> u64 {
        // Acquire: pairs with the Release in `release`: reading and dropping below are over.
        self.gate.released.load(Ordering::Acquire) + self.capacity()
    }

    /// Whether the reader that held the ring back last still does: one look in the place of many.
    fn is_held_back(&self, known: u64, slowest: &Option<usize>) -> bool {
        let Some(place) = slowest.and_then(|index| self.seats.get(index)) else { return false };
        let is_overrun = matches!(self.when_full, WhenFull::DropOldest { .. }) && !place.is_pinned;
        // At `known - capacity` begins what is not free yet.
        !is_overrun && place.position + self.capacity() <= known
    }

    /// Where the slowest reader is, `published` if nobody is behind that.
    ///
    /// A reader that may be overrun, is below the floor and not reading counts as on the floor: it will move there before it reads.
    /// One that may not be overrun can be below a floor that a writer had raised when it joined, and stays where it is.
    fn passed_by_all(&self, published: u64, slowest: &mut Option<usize>) -> u64 {
        // Relaxed: an old floor only makes a reader count as slower than it will be.
        let floor = match self.when_full {
            WhenFull::DropOldest { .. } => self.gate.floor.load(Ordering::Relaxed),
            _ => 0,
        };
        let mut least = published;
        *slowest = None;
        for (index, place) in self.seats.iter() {
            let position = if place.is_pinned { place.position } else { place.position.max(floor) };
            if position < least {
                (least, *slowest) = (position, Some(index));
            }
        }
        least
    }

    /// Drops the values below `passed` and gives their slots to the writers.
    ///
    /// One thread at a time drops; others find no more room until it has. `passed` is where nobody reads below, as `make_room` found.
    fn release(&self, passed: u64) {
        let gate = &self.gate;
        if !std::mem::needs_drop::<T>() {
            // Release: what this thread has acquired from the readers goes on to the writers that fill the slots.
            gate.released.fetch_max(passed, Ordering::Release);
            return;
        }
        // Acquire: pairs with the Release in `Releasing`: drops by others come before ours. Relaxed: no drop of ours.
        if gate.is_releasing.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        // Relaxed: only who holds the flag writes it.
        let released = gate.released.load(Ordering::Relaxed);
        let _releasing = Releasing { shared: self, passed: passed.max(released) };
        let count = passed.saturating_sub(released) as usize;
        for (start, len) in self.view.parts(released as usize, count) {
            // SAFETY: filled, since `passed` is at most what is published; not dropped yet; read by nobody any more; and
            // the flag makes this the only thread that drops.
            unsafe { std::ptr::slice_from_raw_parts_mut(start, len).drop_in_place() };
        }
    }
}

/// Gives the dropped slots away, also when the drop of a value panics.
struct Releasing<'a, T> {
    shared: &'a Shared<T>,
    passed: u64,
}

impl<T> Drop for Releasing<'_, T> {
    fn drop(&mut self) {
        // Release: the drops, and what was acquired from the readers, come before the next use of the slots.
        self.shared.gate.released.store(self.passed, Ordering::Release);
        // Release: pairs with the Acquire of the next one who takes the flag.
        self.shared.gate.is_releasing.store(false, Ordering::Release);
    }
}
