//! A writing end that others may write beside.

use std::fmt;

use super::shared::Shared;
use super::writer::{Full, move_in};
use crate::sync::{Arc, Ordering, View};

/// One of several writers of a ring. Clones write into the same ring; one per thread.
///
/// A batch is claimed by one swap and published by one store, and no foreign code runs in between. A thread that is suspended
/// just there holds back what was claimed behind it, until it runs again.
pub struct SharedWriter<T> {
    shared: Arc<Shared<T>>,
    /// Of the slots, which `shared` keeps alive.
    view: View<T>,
    /// Where this writer's last claim ended: a guess at where the next begins.
    tail: u64,
    /// Positions below may be filled, as far as known.
    room_end: u64,
    slowest: Option<usize>,
}

impl<T> SharedWriter<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        let (view, room_end) = (shared.view.copy(), shared.capacity());
        Self { shared, view, tail: 0, room_end, slowest: None }
    }

    /// Appends one event. Errors and policy as of [`Writer::publish`](super::Writer::publish).
    ///
    /// While another writer is dropping what was read, that room does not count yet.
    #[inline]
    pub fn publish(&mut self, event: T) -> Result<(), Full<T>> {
        let Some((position, _)) = self.claim(1) else { return self.shared.turn_away(event, 1) };
        // SAFETY: `claim` gave the position to this call alone, empty and read by nobody.
        unsafe { self.view.write(position as usize, event) };
        self.publish_batch(position, 1);
        Ok(())
    }

    /// Appends events from the front of `events` as one unbroken batch, as many as there is room for. Returns how many.
    ///
    /// The rest and the errors are as of [`Writer::publish_from`](super::Writer::publish_from).
    #[inline]
    pub fn publish_from(&mut self, events: &mut Vec<T>) -> Result<usize, Full<()>> {
        if events.is_empty() {
            return Ok(0);
        }
        let mut written = 0;
        if let Some((position, count)) = self.claim(events.len()) {
            move_in(&self.view, position, events, count);
            self.publish_batch(position, count);
            written = count;
        }
        self.shared.settle_rest(written, events)
    }

    /// Drops what all readers have passed, without waiting for the room to be needed. For writers that go idle.
    pub fn reclaim(&mut self) {
        self.room_end = self.shared.reclaim();
    }

    /// Events the ring holds.
    pub fn capacity(&self) -> usize {
        self.view.len()
    }

    /// Takes up to `wanted` positions, at least 1, for this call. `None` when there is no room.
    #[inline]
    fn claim(&mut self, wanted: usize) -> Option<(u64, usize)> {
        let wanted = wanted.min(self.view.len()) as u64;
        loop {
            if self.room_end < self.tail + wanted {
                // Relaxed: a guess, for the swap to confirm; what the slots need is ordered by `room_end`.
                self.tail = self.shared.claimed.load(Ordering::Relaxed);
                if self.room_end < self.tail + wanted {
                    self.room_end = self.shared.make_room(self.tail + wanted, &mut self.slowest);
                }
                if self.room_end <= self.tail {
                    return None;
                }
            }
            let count = wanted.min(self.room_end - self.tail);
            let end = self.tail + count;
            // Relaxed, both: the swap shares positions out; values are ordered by `ends` and `released`.
            let claimed = &self.shared.claimed;
            match claimed.compare_exchange_weak(self.tail, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(first) => {
                    self.tail = end;
                    return Some((first, count as usize));
                }
                Err(now) => self.tail = now,
            }
        }
    }

    #[inline]
    fn publish_batch(&self, position: u64, count: usize) {
        let end = &self.shared.ends[position as usize & (self.shared.ends.len() - 1)];
        // Release: publishes the batch to the Acquire in `Shared::filled_from`.
        end.store(position + count as u64, Ordering::Release);
    }
}

impl<T> Clone for SharedWriter<T> {
    fn clone(&self) -> Self {
        // Relaxed: whoever clones holds a writer, so the count cannot reach 0 meanwhile.
        self.shared.writers.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(&self.shared),
            view: self.view.copy(),
            tail: self.tail,
            room_end: self.room_end,
            slowest: None,
        }
    }
}

impl<T> Drop for SharedWriter<T> {
    fn drop(&mut self) {
        // Release: what this writer published comes before the Acquire that finds the count at 0; the decrements of the others
        // carry it on.
        self.shared.writers.fetch_sub(1, Ordering::Release);
    }
}

impl<T> fmt::Debug for SharedWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedWriter").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
