//! The sending end: claim, fill, stamp.

use std::fmt;

use crossbeam_utils::CachePadded;

use super::{Shared, Stamp};
use crate::sync::{Arc, AtomicUsize, Ordering};

/// A sending end of a ring. Clones send into the same ring; a clone per thread is fastest.
///
/// The receiver sees `Closed` once all senders are gone and the ring is empty. Dropping the last
/// sender wakes nobody: ring the bell yourself after it.
pub struct Sender<T> {
    pub(super) shared: Arc<Shared<T>>,
    /// This handle's copies of the shared positions, away from other handles.
    seen: CachePadded<Seen>,
}

/// Positions as last seen through one handle: hints that save reading the contended ones.
struct Seen {
    tail: AtomicUsize,
    head: AtomicUsize,
}

impl<T> Sender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        let seen = Seen { tail: AtomicUsize::new(0), head: AtomicUsize::new(0) };
        Self { shared, seen: CachePadded::new(seen) }
    }

    /// Appends one item, or says at once why it cannot.
    ///
    /// Errors: `Full` when there is no room, `Closed` when the receiver is gone; both give the item back.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError::Closed(value));
        }
        let Some((position, _)) = self.claim(1) else { return Err(SendError::Full(value)) };
        let slot = self.shared.slot(position);
        // SAFETY: `claim` gave the position to this call alone, and the receiver is done with the slot.
        unsafe { slot.write(value) };
        // Release: publishes the value to the Acquire of the stamp in the receiver.
        slot.stamp.store(Stamp::filled(position), Ordering::Release);
        Ok(())
    }

    /// Appends items of `values` as one unbroken batch, as many as there is room for, in one claim.
    ///
    /// Returns how many were sent; the rest stays in `values`. No item is taken that does not fit. An
    /// iterator that yields fewer than its `len()`, or panics, leaves holes which the receiver skips.
    ///
    /// Errors: `Full(())` when not even one fits, `Closed(())` when the receiver is gone; nothing has been
    /// taken then. An empty `values` is `Ok(0)`.
    #[inline]
    pub fn try_send_many<I>(&self, values: &mut I) -> Result<usize, SendError<()>>
    where
        I: ExactSizeIterator<Item = T>,
    {
        if self.is_closed() {
            return Err(SendError::Closed(()));
        }
        let wanted = values.len();
        if wanted == 0 {
            return Ok(0);
        }
        let (first, count) = self.claim(wanted).ok_or(SendError::Full(()))?;
        let mut batch = Batch { shared: &self.shared, next: first, end: first.wrapping_add(count) };
        for value in values.take(count) {
            batch.fill(value);
        }
        Ok(batch.next.wrapping_sub(first))
    }

    /// Whether the receiver is gone, or has closed the ring. What its thread did before that is visible to a caller that gets `true`.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `Receiver::close`: who asked for something finds the answer that came before.
        self.shared.receiver_gone.load(Ordering::Acquire)
    }

    /// The number of items the ring holds: what was asked for, rounded up to a power of two.
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// Takes up to `wanted` positions for this call. `None` when the ring is full.
    ///
    /// Starts from the tail that this handle saw last: when the guess is wrong, the failed swap brings
    /// the real one along with its cache line, which a separate load first would fetch twice.
    #[inline]
    fn claim(&self, wanted: usize) -> Option<(usize, usize)> {
        let capacity = self.shared.slots.len();
        // Acquire: pairs with the Releases of `seen.tail` and of `tail` itself, here and below. Whoever
        // claimed up to a tail knew a head that left room for it, so who sees that tail finds, when it
        // looks, at least that head: this loop repeats only when others have moved on.
        let mut tail = self.seen.tail.load(Ordering::Acquire);
        // Acquire: pairs with the Release in `refresh_head`, for a handle shared between threads: who uses
        // this head must have the receiver's moves up to it ordered before.
        let mut head = self.seen.head.load(Ordering::Acquire);
        loop {
            let used = tail.wrapping_sub(head);
            if used > capacity {
                // One of the two copies is old: the head by more than a ring, or the tail is behind it.
                head = self.refresh_head();
                if tail.wrapping_sub(head) > capacity {
                    // Acquire: as above.
                    tail = self.shared.tail.load(Ordering::Acquire);
                }
                continue;
            }
            let free = capacity - used;
            if free < wanted {
                let fresh = self.refresh_head();
                if fresh != head {
                    head = fresh;
                    continue;
                }
                if free == 0 {
                    return None;
                }
            }
            let count = wanted.min(free);
            let end = tail.wrapping_add(count);
            // Release and, on failure, Acquire: as above. Values are ordered by stamps, not by this.
            match self.shared.tail.compare_exchange_weak(tail, end, Ordering::Release, Ordering::Acquire) {
                Ok(_) => {
                    // Release: as above.
                    self.seen.tail.store(end, Ordering::Release);
                    return Some((tail, count));
                }
                Err(now) => tail = now,
            }
        }
    }

    /// Looks at the receiver's position, and remembers it.
    fn refresh_head(&self) -> usize {
        // Acquire: pairs with the Release in `Receiver::release`; the receiver is done with those slots.
        let head = self.shared.head.load(Ordering::Acquire);
        // Release: hands that order on to other threads that share this handle.
        self.seen.head.store(head, Ordering::Release);
        head
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        // Relaxed: whoever clones holds a sender, so the count cannot reach 0 meanwhile.
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Self::new(Arc::clone(&self.shared))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // Release: what this sender sent comes before the Acquire with which the receiver finds the count
        // at 0; the decrements of the others carry it on.
        self.shared.senders.fetch_sub(1, Ordering::Release);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// Why an item was not sent. The item comes back in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError<T> {
    /// There is no room now.
    Full(T),
    /// The receiver is gone for good.
    Closed(T),
}

impl<T> SendError<T> {
    /// The item that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Closed(value) => value,
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the ring is full",
            Self::Closed(_) => "the receiver is gone",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for SendError<T> {}

/// Claimed positions being filled in order. Those left when it is dropped become holes.
struct Batch<'a, T> {
    shared: &'a Shared<T>,
    next: usize,
    end: usize,
}

impl<T> Batch<'_, T> {
    #[inline]
    fn fill(&mut self, value: T) {
        let slot = self.shared.slot(self.next);
        // SAFETY: `next..end` was claimed for this batch, and each position is filled once.
        unsafe { slot.write(value) };
        // Release: publishes the value to the Acquire of the stamp in the receiver.
        slot.stamp.store(Stamp::filled(self.next), Ordering::Release);
        self.next = self.next.wrapping_add(1);
    }
}

impl<T> Drop for Batch<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let mut position = self.next;
        while position != self.end {
            // Release: as for a value, so that the receiver's claim on the slot comes after ours.
            self.shared.slot(position).stamp.store(Stamp::hole(position), Ordering::Release);
            position = position.wrapping_add(1);
        }
    }
}
