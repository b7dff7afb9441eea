//! The receiving end: follow the stamps, give room back.

use std::fmt;

use super::{Shared, Stamp};
use crate::sync::{Arc, Ordering};

/// The one receiving end of a ring. One thread at a time; may move between threads.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// Where the next item is; nobody else writes `shared.head`.
    pub(super) head: usize,
    /// How many items `drain` takes before it gives their room back.
    release_every: usize,
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        let release_every = (shared.slots.len() / 4).clamp(1, RELEASE_EVERY_MAX);
        Self { shared, head: 0, release_every }
    }

    /// Takes the oldest item. Never waits.
    ///
    /// Errors: `Empty` when there is none now, `Closed` when there is none and all senders are gone.
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        loop {
            match self.peek() {
                Some(Found::Value) => return Ok(self.take_and_release()),
                Some(Found::Hole) => self.release(1),
                None if !self.is_closed() => return Err(RecvError::Empty),
                // The senders are gone, and all they sent is visible now: look a last time.
                None if self.peek().is_none() => return Err(RecvError::Closed),
                None => {}
            }
        }
    }

    /// Gives up to `count_max` items to `take`, oldest first. Returns how many; 0 is the time to ask
    /// [`is_closed`](Self::is_closed).
    ///
    /// Room goes back to the senders every quarter of the ring, at most 64 items, and at the end, also
    /// when `take` panics.
    #[inline]
    pub fn drain(&mut self, take: &mut impl FnMut(T), count_max: usize) -> usize {
        let release_every = self.release_every;
        let mut taken = Taken { receiver: self, passed: 0 };
        let mut count = 0;
        while count < count_max {
            match taken.next() {
                Some(Some(value)) => {
                    count += 1;
                    take(value);
                }
                Some(None) => {}
                None => break,
            }
            if taken.passed == release_every {
                taken.give_back();
            }
        }
        count
    }

    /// Whether nothing is there now. This is the look to take between `Bell::prepare_sleep` and blocking.
    pub fn is_empty(&self) -> bool {
        self.peek().is_none()
    }

    /// Whether all senders are gone. Everything they sent is visible to a `recv` after this said `true`.
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with the Releases in `Sender::drop`; orders all items before the answer.
        self.shared.senders.load(Ordering::Acquire) == 0
    }

    /// Lets senders send no more. What is in the ring stays to be received, and an item may still come from a sender that
    /// was about to send it; one that comes when nobody receives any longer stays in the ring until its last sender goes.
    pub fn close(&mut self) {
        // Release: pairs with the Acquire in `Sender::is_closed`.
        self.shared.receiver_gone.store(true, Ordering::Release);
    }

    /// The number of items the ring holds: what was asked for, rounded up to a power of two.
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    #[inline]
    fn peek(&self) -> Option<Found> {
        self.found_at(self.head)
    }

    #[inline]
    fn found_at(&self, position: usize) -> Option<Found> {
        // Acquire: pairs with the Release of the stamp by the sender; the value is written.
        let stamp = self.shared.slot(position).stamp.load(Ordering::Acquire);
        if stamp == Stamp::filled(position) {
            Some(Found::Value)
        } else if stamp == Stamp::hole(position) {
            Some(Found::Hole)
        } else {
            None
        }
    }

    /// Moves the value at `head` out, which `peek` has found there.
    #[inline]
    fn take_and_release(&mut self) -> T {
        // SAFETY: stamped as filled, and released at once so that it is read once.
        let value = unsafe { self.shared.slot(self.head).read() };
        self.release(1);
        value
    }

    /// Gives `count` emptied slots from `head` on back to the senders.
    #[inline]
    fn release(&mut self, count: usize) {
        self.head = self.head.wrapping_add(count);
        // Release: our moves out of the slots before it come before the Acquire in `Sender::refresh_head`.
        self.shared.head.store(self.head, Ordering::Release);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // The last owner of the ring drops what is left in it.
        self.close();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("head", &self.head).field("capacity", &self.capacity()).finish()
    }
}

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// There is nothing now.
    Empty,
    /// There is nothing, and all senders are gone for good.
    Closed,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the ring is empty",
            Self::Closed => "all senders are gone",
        })
    }
}

impl std::error::Error for RecvError {}

/// What lies at a stamped position.
enum Found {
    Value,
    Hole,
}

/// Positions that a drain has passed and not given back yet.
struct Taken<'a, T> {
    receiver: &'a mut Receiver<T>,
    passed: usize,
}

impl<T> Taken<'_, T> {
    /// The next position: a value, a hole, or not stamped yet.
    #[inline]
    fn next(&mut self) -> Option<Option<T>> {
        let position = self.receiver.head.wrapping_add(self.passed);
        let found = self.receiver.found_at(position)?;
        self.passed += 1;
        match found {
            // SAFETY: stamped as filled, and counted as passed so that it is read once.
            Found::Value => Some(Some(unsafe { self.receiver.shared.slot(position).read() })),
            Found::Hole => Some(None),
        }
    }

    #[inline]
    fn give_back(&mut self) {
        let passed = std::mem::take(&mut self.passed);
        self.receiver.release(passed);
    }
}

impl<T> Drop for Taken<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.passed > 0 {
            self.give_back();
        }
    }
}

/// Long enough to spare the senders' copy of `head`, short enough not to starve them.
const RELEASE_EVERY_MAX: usize = 64;
