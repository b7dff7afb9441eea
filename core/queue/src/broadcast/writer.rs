//! The one writing end of a ring, and its claims.

use std::fmt;

use super::WhenFull;
use super::shared::Shared;
use crate::sync::{Arc, Ordering, View};

/// The only writer of a ring. One thread at a time; may move between threads.
///
/// Readers see [`is_closed`](super::Reader::is_closed) when it is gone. Nobody is woken: ring the bells yourself.
pub struct Writer<T> {
    shared: Arc<Shared<T>>,
    /// Of the slots, which `shared` keeps alive.
    view: View<T>,
    /// Where the next event goes; nobody else writes `shared.published`.
    tail: u64,
    /// Positions below may be filled, as far as known.
    room_end: u64,
    slowest: Option<usize>,
}

impl<T> Writer<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        let (view, room_end) = (shared.view.copy(), shared.capacity());
        Self { shared, view, tail: 0, room_end, slowest: None }
    }

    /// Appends one event.
    ///
    /// Errors: [`Full`] gives it back, under [`WhenFull::Refuse`], and under [`WhenFull::DropOldest`] while a reader's batch
    /// pins the room. Under [`WhenFull::DropNewest`] it is dropped and counted instead.
    #[inline]
    pub fn publish(&mut self, event: T) -> Result<(), Full<T>> {
        if self.room(1) == 0 {
            return self.shared.turn_away(event, 1);
        }
        // SAFETY: `room` found the slot at `tail` empty and read by nobody.
        unsafe { self.view.write(self.tail as usize, event) };
        self.publish_to(1);
        Ok(())
    }

    /// Appends events from the front of `events` in one step, as many as there is room for. Returns how many.
    ///
    /// The rest stays in `events`, except under [`WhenFull::DropNewest`], which drops and counts it. Errors: `Full(())` when there is
    /// something to write and not even one event fits, where [`publish`](Self::publish) says so.
    #[inline]
    pub fn publish_from(&mut self, events: &mut Vec<T>) -> Result<usize, Full<()>> {
        let count = self.room(events.len()).min(events.len());
        if count > 0 {
            move_in(&self.view, self.tail, events, count);
            self.publish_to(count);
        }
        self.shared.settle_rest(count, events)
    }

    /// Opens a claim of up to `count_max` free slots, which readers see in one step when it is filled.
    ///
    /// `None` when there is no room or `count_max` is 0. Under [`WhenFull::DropOldest`] this overruns who is in the way.
    #[inline]
    pub fn claim(&mut self, count_max: usize) -> Option<Claim<'_, T>> {
        let count = self.room(count_max).min(count_max);
        (count > 0).then(|| Claim { writer: self, count, filled: 0 })
    }

    /// Drops what all readers have passed, without waiting for the room to be needed. For a writer that goes idle.
    pub fn reclaim(&mut self) {
        self.room_end = self.shared.reclaim();
    }

    /// Events the ring holds.
    pub fn capacity(&self) -> usize {
        self.view.len()
    }

    /// Free slots as far as known, looking for more only when they are fewer than `wanted`.
    #[inline]
    fn room(&mut self, wanted: usize) -> usize {
        let wanted = wanted.min(self.view.len()) as u64;
        if self.room_end - self.tail < wanted {
            self.room_end = self.shared.make_room(self.tail + wanted, &mut self.slowest);
        }
        (self.room_end - self.tail) as usize
    }

    /// Hands `count` filled slots from `tail` on to the readers.
    #[inline]
    fn publish_to(&mut self, count: usize) {
        self.tail += count as u64;
        // Release: publishes the events below `tail` to the Acquire in `Reader::ready`.
        self.shared.published.store(self.tail, Ordering::Release);
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `Shared::is_closed`, so that who sees it sees all events.
        self.shared.writers.fetch_sub(1, Ordering::Release);
    }
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("tail", &self.tail).field("capacity", &self.capacity()).finish()
    }
}

/// Free slots of a ring, to be filled and published in one step.
pub struct Claim<'a, T> {
    writer: &'a mut Writer<T>,
    count: usize,
    filled: usize,
}

impl<T> Claim<'_, T> {
    /// How many events fit; at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a claim is never empty")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Moves events from `events` into the ring until it or the claim ends, then publishes them. Returns how many.
    ///
    /// Takes no event that does not fit. Events already taken are published even if `events` panics.
    #[inline]
    pub fn fill_from(mut self, events: impl IntoIterator<Item = T>) -> usize {
        let mut events = events.into_iter();
        for (start, len) in self.writer.view.parts(self.writer.tail as usize, self.count) {
            for offset in 0..len {
                let Some(event) = events.next() else { return self.filled };
                // SAFETY: the parts are `count` free slots of ours from `tail` on, found by `claim`.
                unsafe { start.wrapping_add(offset).write(event) };
                self.filled += 1;
            }
        }
        self.filled
    }
}

impl<T> Drop for Claim<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.filled > 0 {
            self.writer.publish_to(self.filled);
        }
    }
}

impl<T> fmt::Debug for Claim<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("len", &self.count).finish()
    }
}

/// There is no room now; the event comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring is full: the slowest reader has to read, or to leave")
    }
}

impl<T: fmt::Debug> std::error::Error for Full<T> {}

/// Moves the first `count` of `events`, at most all and at most a ring, into free slots from `position` on.
///
/// The slots belong to the caller alone and are empty. No foreign code runs here, so nothing can fail half way.
#[inline]
pub(super) fn move_in<T>(view: &View<T>, position: u64, events: &mut Vec<T>, count: usize) {
    debug_assert!(count <= events.len());
    let left = events.len() - count;
    // SAFETY: shorter than before; the first `count` values move into the ring, the others to the front, below.
    unsafe { events.set_len(0) };
    let mut source: *const T = events.as_ptr();
    for (target, len) in view.parts(position as usize, count) {
        // SAFETY: the parts are free slots of the caller's, and `source` has as many values left.
        unsafe { target.copy_from_nonoverlapping(source, len) };
        source = source.wrapping_add(len);
    }
    if left > 0 {
        // SAFETY: `left` values from `source` on are still in the vector's memory; the two may overlap.
        unsafe { events.as_mut_ptr().copy_from(source, left) };
        // SAFETY: they are now at the front.
        unsafe { events.set_len(left) };
    }
}

impl<T> Shared<T> {
    /// What becomes of an event without room.
    #[cold]
    pub(super) fn turn_away<E>(&self, event: E, count: u64) -> Result<(), Full<E>> {
        if self.when_full == WhenFull::DropNewest {
            // Relaxed: a count.
            self.counts.dropped_newest.fetch_add(count, Ordering::Relaxed);
            return Ok(());
        }
        // Relaxed: a count.
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        Err(Full(event))
    }

    /// What becomes of the events of a batch for which there was no room, after `count` have been written.
    #[inline]
    pub(super) fn settle_rest(&self, count: usize, rest: &mut Vec<T>) -> Result<usize, Full<()>> {
        if !rest.is_empty() && (count == 0 || self.when_full == WhenFull::DropNewest) {
            self.turn_away((), rest.len() as u64)?;
            rest.clear();
        }
        Ok(count)
    }
}
