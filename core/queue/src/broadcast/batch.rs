//! Events in place, on loan to one reader.

use std::fmt;

use super::reader::Reader;

/// The next events of a reader, in place. Dropping the batch leaves them unread; see [`consume`](Self::consume).
#[must_use = "dropped, the events stay unread"]
pub struct Batch<'a, T> {
    reader: &'a mut Reader<T>,
    count: usize,
    missed: u64,
}

impl<'a, T> Batch<'a, T> {
    #[inline]
    pub(super) fn new(reader: &'a mut Reader<T>, count: usize, missed: u64) -> Self {
        Self { reader, count, missed }
    }

    /// How many events there are; at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// How many events the reader lost before these, since the batch before: the writer has overrun it.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The position of the first event: how many were published before it.
    pub fn position(&self) -> u64 {
        self.reader.position
    }

    /// The events in order: those before the end of the ring's memory, then those after it.
    #[inline]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        let [(first, first_len), (second, second_len)] =
            self.reader.view.shared_parts(self.reader.position as usize, self.count);
        // SAFETY: filled, and kept from writers by the reader's seat while the batch, which borrows it, lives; others only read.
        let first = unsafe { std::slice::from_raw_parts(first, first_len) };
        // SAFETY: as above.
        let second = unsafe { std::slice::from_raw_parts(second, second_len) };
        (first, second)
    }

    /// The events in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (first, second) = self.as_slices();
        first.iter().chain(second)
    }

    /// Passes the first `count` events.
    ///
    /// Panics when `count` is above `len()`.
    #[inline]
    pub fn consume(mut self, count: usize) {
        assert!(count <= self.count, "{count} events to consume, the batch has {}", self.count);
        self.pass(count);
    }

    /// Passes each event as it is given out.
    #[inline]
    pub(super) fn passing(self) -> Passing<'a, T> {
        Passing { batch: self, next: 0 }
    }

    /// Moves the cursor behind the first `count` events when the batch is dropped, right after this.
    #[inline]
    fn pass(&mut self, count: usize) {
        let reader = &mut *self.reader;
        reader.view.still_reads(reader.position as usize, self.count);
        reader.position += count as u64;
        reader.shared.seats.set(reader.seat, reader.position, false);
        self.count = 0;
    }
}

impl<T> Drop for Batch<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        self.reader.missed_again(self.missed);
        self.pass(0);
    }
}

impl<T> fmt::Debug for Batch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.count).field("missed", &self.missed).finish()
    }
}

/// Gives out the events of a batch and passes those given out when it is dropped.
pub(super) struct Passing<'a, T> {
    batch: Batch<'a, T>,
    next: usize,
}

impl<T> Passing<'_, T> {
    #[inline]
    pub(super) fn next(&mut self) -> Option<&T> {
        if self.next == self.batch.count {
            return None;
        }
        let position = self.batch.reader.position as usize + self.next;
        self.next += 1;
        let [(event, _), _] = self.batch.reader.view.shared_parts(position, 1);
        // SAFETY: filled and kept from writers, as in `as_slices`.
        Some(unsafe { &*event })
    }
}

impl<T> Drop for Passing<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.batch.pass(self.next);
    }
}
