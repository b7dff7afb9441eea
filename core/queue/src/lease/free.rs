//! Which buffers are in the pool: a lock-free stack of their indices.
//!
//! Last in, first out, so that a buffer still warm in the cache goes out next. The top is one word: an
//! index and a count of pops. The count makes a swap fail when the same index has been out and back in
//! between (the ABA problem) and is the number of takes for free. It has 40 bits: to be fooled, a thread
//! would have to be suspended in mid-pop for exactly a multiple of 2^40 takes, some hours at full speed.
//! Source: R. K. Treiber 1986.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Indices of free buffers.
pub(super) struct FreeList {
    top: CachePadded<AtomicU64>,
    /// For each index, the one below it in the stack.
    below: Box<[AtomicU32]>,
}

impl FreeList {
    /// All of `0..count` free, 0 on top.
    pub(super) fn new(count: usize) -> Self {
        assert!((1..=COUNT_MAX).contains(&count), "buffer count is {count}, limit is 1..={COUNT_MAX}");
        let below = (1..=count as u32).map(|next| if next == count as u32 { NONE } else { next });
        Self { top: CachePadded::new(AtomicU64::new(0)), below: below.map(AtomicU32::new).collect() }
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<u32> {
        // Acquire: pairs with the Release of `push`, for the buffer's bytes and the index below it.
        let mut top = self.top.load(Ordering::Acquire);
        loop {
            let index = top as u32 & NONE;
            if index == NONE {
                return None;
            }
            // Relaxed: written before the push that we acquired; if it changed since, the swap fails.
            let below = self.below[index as usize].load(Ordering::Relaxed);
            let pops = (top >> INDEX_BITS).wrapping_add(1);
            let next = pops << INDEX_BITS | u64::from(below);
            // Success: nothing to publish, and the pushes below stay visible, since a swap continues their
            // release sequence. Acquire on failure: as for the load above.
            match self.top.compare_exchange_weak(top, next, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(index),
                Err(now) => top = now,
            }
        }
    }

    /// Puts `index` back, which a pop has given out.
    #[inline]
    pub(super) fn push(&self, index: u32) {
        // Relaxed: a guess, for the swap to confirm.
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the swap.
            self.below[index as usize].store(top as u32 & NONE, Ordering::Relaxed);
            let next = top & !u64::from(NONE) | u64::from(index);
            // Release: publishes `below` and all use of the buffer to the Acquire of the pop.
            match self.top.compare_exchange_weak(top, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// How many pops succeeded, modulo 2^40.
    pub(super) fn pops(&self) -> u64 {
        // Relaxed: a count.
        self.top.load(Ordering::Relaxed) >> INDEX_BITS
    }
}

const INDEX_BITS: u32 = 24;
/// The index that means "nothing below".
const NONE: u32 = (1 << INDEX_BITS) - 1;
const COUNT_MAX: usize = NONE as usize - 1;
