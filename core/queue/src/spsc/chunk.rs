//! Views of several slots at once: filled by the producer, read in place by the consumer.
//!
//! A chunk borrows its end of the ring, so there is never more than one per end. What a chunk has done
//! becomes visible to the other side in one step, also when a caller's iterator or `Drop` panics.

use std::fmt;

use super::{Consumer, Producer};

/// Free slots of a ring, to be filled and published in one step.
pub struct WriteChunk<'a, T> {
    producer: &'a mut Producer<T>,
    count: usize,
    /// Slots filled and not published yet.
    filled: usize,
}

impl<'a, T> WriteChunk<'a, T> {
    #[inline]
    pub(super) fn new(producer: &'a mut Producer<T>, count: usize) -> Self {
        Self { producer, count, filled: 0 }
    }

    /// How many items fit; at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a chunk is never empty")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Moves items from `values` into the ring until it or the chunk ends, then publishes them.
    ///
    /// Returns how many. Takes no item that does not fit. Items already taken are published even if
    /// `values` panics.
    #[inline]
    pub fn fill_from(mut self, values: impl IntoIterator<Item = T>) -> usize {
        let mut values = values.into_iter();
        for (start, len) in self.producer.slots.parts(self.producer.tail, self.count) {
            for offset in 0..len {
                let Some(value) = values.next() else { return self.filled };
                // SAFETY: the parts are `count` free slots of ours from `tail` on, found by `write_chunk`.
                unsafe { start.wrapping_add(offset).write(value) };
                self.filled += 1;
            }
        }
        self.filled
    }

    /// Copies the first `len()` of `values`, or all if they are fewer, and publishes them. Returns how many.
    #[inline]
    pub fn copy_from(mut self, values: &[T]) -> usize
    where
        T: Copy,
    {
        let count = self.count.min(values.len());
        let mut source = values.as_ptr();
        for (target, len) in self.producer.slots.parts(self.producer.tail, count) {
            // SAFETY: the parts are free slots of ours and together `count` long; `source` has as many
            // left, and a caller's slice cannot overlap memory that only the ring can reach.
            unsafe { target.copy_from_nonoverlapping(source, len) };
            source = source.wrapping_add(len);
        }
        self.filled = count;
        count
    }
}

impl<T> Drop for WriteChunk<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.filled > 0 {
            self.producer.publish(self.filled);
        }
    }
}

impl<T> fmt::Debug for WriteChunk<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteChunk").field("len", &self.count).finish()
    }
}

/// The oldest items of a ring, in place. Dropping the chunk leaves them there.
pub struct ReadChunk<'a, T> {
    consumer: &'a mut Consumer<T>,
    count: usize,
}

impl<'a, T> ReadChunk<'a, T> {
    #[inline]
    pub(super) fn new(consumer: &'a mut Consumer<T>, count: usize) -> Self {
        Self { consumer, count }
    }

    /// How many items there are; at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a chunk is never empty")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// The items in order: those before the end of the ring's memory, then those after it.
    ///
    /// The second slice is empty unless the chunk wraps.
    #[inline]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        let [(first, first_len), (second, second_len)] =
            self.consumer.slots.parts(self.consumer.head, self.count);
        // SAFETY: filled slots that belong to the consumer, which the chunk borrows for as long.
        let first = unsafe { std::slice::from_raw_parts(first, first_len) };
        // SAFETY: as above.
        let second = unsafe { std::slice::from_raw_parts(second, second_len) };
        (first, second)
    }

    /// As [`as_slices`](Self::as_slices), to be changed in place.
    #[inline]
    pub fn as_mut_slices(&mut self) -> (&mut [T], &mut [T]) {
        let [(first, first_len), (second, second_len)] =
            self.consumer.slots.parts(self.consumer.head, self.count);
        // SAFETY: filled slots that belong to the consumer, which the chunk borrows alone.
        let first = unsafe { std::slice::from_raw_parts_mut(first, first_len) };
        // SAFETY: as above, and the two parts do not overlap.
        let second = unsafe { std::slice::from_raw_parts_mut(second, second_len) };
        (first, second)
    }

    /// Drops the first `count` items and gives their slots back in one step.
    ///
    /// Panics when `count` is above `len()`.
    #[inline]
    pub fn consume(self, count: usize) {
        assert!(count <= self.count, "{count} items to consume, the chunk has {}", self.count);
        let parts = self.consumer.slots.parts(self.consumer.head, count);
        // Releases also when an item's `Drop` panics: the slot must not be dropped twice.
        let _released = Release { consumer: self.consumer, count };
        for (start, len) in parts {
            // SAFETY: filled slots of the consumer's; `_released` gives them away right after.
            unsafe { std::ptr::slice_from_raw_parts_mut(start, len).drop_in_place() };
        }
    }

    /// Moves the items out, oldest first. Dropping the iterator early leaves the others in the ring.
    #[inline]
    pub fn drain(self) -> Drain<'a, T> {
        Drain { taken: Release { consumer: self.consumer, count: 0 }, count: self.count }
    }
}

impl<T> fmt::Debug for ReadChunk<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadChunk").field("len", &self.count).finish()
    }
}

/// Moves the items of a [`ReadChunk`] out. Their slots go back in one step when this is dropped.
pub struct Drain<'a, T> {
    taken: Release<'a, T>,
    count: usize,
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        if self.taken.count == self.count {
            return None;
        }
        let position = self.taken.consumer.head.wrapping_add(self.taken.count);
        self.taken.count += 1;
        // SAFETY: a filled slot of the consumer's, counted as taken so that it is read once.
        Some(unsafe { self.taken.consumer.slots.read(position) })
    }

    /// Part by part, without looking for the ring's end at each item: what `sum`, `for_each` and
    /// `collect` go through.
    #[inline]
    fn fold<B, F: FnMut(B, T) -> B>(mut self, initial: B, mut step: F) -> B {
        let position = self.taken.consumer.head.wrapping_add(self.taken.count);
        let mut result = initial;
        for (start, len) in self.taken.consumer.slots.parts(position, self.len()) {
            for offset in 0..len {
                self.taken.count += 1;
                // SAFETY: filled slots of the consumer's, each counted as taken before it is read.
                result = step(result, unsafe { start.wrapping_add(offset).read() });
            }
        }
        result
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.count - self.taken.count;
        (left, Some(left))
    }
}

impl<T> ExactSizeIterator for Drain<'_, T> {}

impl<T> fmt::Debug for Drain<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &self.len()).finish()
    }
}

/// Gives `count` slots back to the producer when dropped.
struct Release<'a, T> {
    consumer: &'a mut Consumer<T>,
    count: usize,
}

impl<T> Drop for Release<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.count > 0 {
            self.consumer.release(self.count);
        }
    }
}
