//! The sending end: a lane of its own.

use std::fmt;

use super::Shared;
use crate::spsc::{self, Full, Producer};
use crate::sync::{Arc, Ordering};

/// A sending end of a queue. A clone sends into the same queue by a lane of its own; one per thread.
///
/// The receiver sees `Closed` once all senders are gone and the queue is empty. Dropping the last
/// sender wakes nobody: ring the bell yourself after it.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    lane: Producer<T>,
}

impl<T> Sender<T> {
    /// Opens a lane.
    pub(super) fn open(shared: Arc<Shared<T>>) -> Self {
        let (lane, receiving) = spsc::ring(shared.capacity);
        // Relaxed: whoever opens a lane holds a sender or both ends, so the count is not 0 meanwhile, or nobody looks yet.
        shared.senders.fetch_add(1, Ordering::Relaxed);
        shared.joining.push(receiving);
        Self { shared, lane }
    }

    /// Appends one item, or says at once why it cannot.
    ///
    /// Errors: `Full` when this sender's lane has no room, `Closed` when the receiver is gone; both give the item back.
    #[inline]
    pub fn try_send(&mut self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError::Closed(value));
        }
        self.lane.push(value).map_err(|Full(value)| SendError::Full(value))
    }

    /// Appends items of `values`, as many as there is room for, which become visible in one step.
    ///
    /// Returns how many were sent; the rest stays in `values`. No item is taken that does not fit. What an
    /// iterator has yielded before it panics is sent.
    ///
    /// Errors: `Full(())` when not even one fits, `Closed(())` when the receiver is gone; nothing has been
    /// taken then. An empty `values` is `Ok(0)`.
    #[inline]
    pub fn try_send_many<I>(&mut self, values: &mut I) -> Result<usize, SendError<()>>
    where
        I: ExactSizeIterator<Item = T>,
    {
        if self.is_closed() {
            return Err(SendError::Closed(()));
        }
        match values.len() {
            0 => Ok(0),
            wanted => self
                .lane
                .write_chunk(wanted)
                .map_or(Err(SendError::Full(())), |chunk| Ok(chunk.fill_from(values))),
        }
    }

    /// Whether the receiver is gone, or has closed the queue. What its thread did before that is visible to a caller that gets `true`.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `Receiver::close`: who asked for something finds the answer that came before.
        self.shared.receiver_gone.load(Ordering::Acquire)
    }

    /// The number of items that this sender may have in the queue: what was asked for, rounded up to a power of two.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self::open(Arc::clone(&self.shared))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // Release: what this sender sent, and the lane it opened, come before the Acquire with which the receiver finds the count
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
            Self::Full(_) => "the sender has as much in the queue as it may: the receiver does not keep up",
            Self::Closed(_) => "the receiver is gone",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for SendError<T> {}
