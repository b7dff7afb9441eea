//! Lanes on their way to the receiver: a stack that many push to and one empties.
//!
//! Emptying takes all at once, so nothing is ever popped that another push could have put back (no ABA). Source: R. K. Treiber 1986.

use std::ptr;

use crate::spsc::Consumer;
use crate::sync::{AtomicPtr, Ordering};

/// The lanes that have been opened and not been taken by the receiver.
pub(super) struct Joining<T> {
    top: AtomicPtr<Joined<T>>,
}

struct Joined<T> {
    lane: Consumer<T>,
    below: *mut Joined<T>,
}

// SAFETY: the pointers own what they point to, one owner at a time; lanes move to the thread that takes them, which needs `T: Send`.
unsafe impl<T: Send> Sync for Joining<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Joining<T> {}

impl<T> Joining<T> {
    pub fn new() -> Self {
        Self { top: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Adds a lane.
    pub fn push(&self, lane: Consumer<T>) {
        // Relaxed: the pointer is only compared and stored here, never followed.
        let mut top = self.top.load(Ordering::Relaxed);
        let joined = Box::into_raw(Box::new(Joined { lane, below: top }));
        // Release: publishes the lane to the Acquire in `take`. The swap of another push in between carries it on.
        while let Err(now) = self.top.compare_exchange_weak(top, joined, Ordering::Release, Ordering::Relaxed)
        {
            top = now;
            // SAFETY: not published yet, so it is this call's alone.
            unsafe { (*joined).below = top };
        }
    }

    /// Whether there may be a lane to take.
    #[inline]
    pub fn is_empty(&self) -> bool {
        // Relaxed: `take` orders; a fence stands between this and what a bell's sleeper has announced.
        self.top.load(Ordering::Relaxed).is_null()
    }

    /// Gives all lanes to `take`, oldest last.
    pub fn take(&self, mut take: impl FnMut(Consumer<T>)) {
        // Acquire: pairs with the Releases in `push`.
        let mut top = self.top.swap(ptr::null_mut(), Ordering::Acquire);
        while !top.is_null() {
            // SAFETY: made by `push` from a box, and the swap made it this call's alone.
            let joined = unsafe { Box::from_raw(top) };
            top = joined.below;
            take(joined.lane);
        }
    }
}

impl<T> Drop for Joining<T> {
    fn drop(&mut self) {
        self.take(drop);
    }
}
