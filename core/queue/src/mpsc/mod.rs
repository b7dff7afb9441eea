//! A bounded ring from many sending threads to one receiving thread.
//!
//! A sender claims positions by one compare-and-swap of `tail`, a batch as cheaply as an item, fills
//! the slots, and stamps each with its position. The receiver takes slots in order as their stamps
//! appear, without an atomic read-modify-write and without writing to the slot, and gives room back
//! by storing `head`. Senders look at `head` only when their copy of it says that the ring is full.
//!
//! - Order: what one sender sends arrives in order, and a batch arrives unbroken. Between senders
//!   the order is that of the claims.
//! - A sender that is suspended between claim and stamp delays what comes behind it; nothing is lost,
//!   and other senders and the receiver never spin on it: `recv` says `Empty`.
//!
//! Invariants: `head <= tail <= head + capacity`; a slot in `head..tail` belongs to the sender that claimed
//! it until its stamp says so, then to the receiver until `head` passes it.
//! Source: D. Vyukov's bounded queue, whose per-slot sequence this keeps for one direction only.

mod receiver;
mod sender;

use std::mem::MaybeUninit;

use crossbeam_utils::CachePadded;

pub use self::receiver::{Receiver, RecvError};
pub use self::sender::{SendError, Sender};
use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering, Witness, slots_for};

/// Makes a ring for at least `capacity` items: any number from 1 on, rounded up to a power of two.
///
/// Panics when `capacity` is 0 or beyond a quarter of the address space.
pub fn ring<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let slots = slots_for(capacity);
    let shared = Arc::new(Shared {
        tail: CachePadded::new(AtomicUsize::new(0)),
        head: CachePadded::new(AtomicUsize::new(0)),
        senders: CachePadded::new(AtomicUsize::new(1)),
        receiver_gone: CachePadded::new(AtomicBool::new(false)),
        slots: (0..slots).map(|_| Slot::new()).collect(),
    });
    (Sender::new(Arc::clone(&shared)), Receiver::new(shared))
}

/// What the two ends share. Each counter has cache lines of its own.
struct Shared<T> {
    /// Next position to be claimed. Written by senders.
    tail: CachePadded<AtomicUsize>,
    /// Next position to be received. Written by the receiver.
    head: CachePadded<AtomicUsize>,
    senders: CachePadded<AtomicUsize>,
    /// Beside `slots`, which every sender reads as well: both hardly ever change.
    receiver_gone: CachePadded<AtomicBool>,
    slots: Box<[Slot<T>]>,
}

// SAFETY: a slot's value is reached only by the one sender that claimed its position, then, once it is
// stamped, by the one receiver; both move `T` between threads, which needs `T: Send`.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    #[inline]
    fn slot(&self, position: usize) -> &Slot<T> {
        let index = position & (self.slots.len() - 1);
        // SAFETY: the length is a power of two, so the mask keeps the index below it.
        unsafe { self.slots.get_unchecked(index) }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Relaxed: the last owner is alone; dropping the other `Arc`s ordered their work before this.
        let mut head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        while head != tail {
            let slot = self.slot(head);
            // A claimed position is stamped before its sender lets go of the ring.
            if slot.stamp.load(Ordering::Relaxed) == Stamp::filled(head) {
                // SAFETY: stamped as filled, and nobody else is left to touch it.
                drop(unsafe { slot.read() });
            }
            head = head.wrapping_add(1);
        }
    }
}

/// One place in the ring. The stamp lies beside the value, so that both travel in one cache line.
struct Slot<T> {
    stamp: AtomicUsize,
    value: std::cell::UnsafeCell<MaybeUninit<T>>,
    witness: Witness,
}

impl<T> Slot<T> {
    fn new() -> Self {
        Self {
            stamp: AtomicUsize::new(Stamp::NEVER),
            value: std::cell::UnsafeCell::new(MaybeUninit::uninit()),
            witness: Witness::new(),
        }
    }

    /// Puts a value in.
    ///
    /// # Safety
    /// The caller has claimed the position, so that the slot is empty and its own.
    #[inline]
    unsafe fn write(&self, value: T) {
        self.witness.writes();
        // SAFETY: nobody else touches the slot, per the contract above.
        unsafe { self.value.get().cast::<T>().write(value) }
    }

    /// Moves the value out.
    ///
    /// # Safety
    /// The slot is stamped as filled, the caller is the receiver, and reads it once.
    #[inline]
    unsafe fn read(&self) -> T {
        self.witness.writes();
        // SAFETY: initialised and reached by nobody else, per the contract above.
        unsafe { self.value.get().cast::<T>().read() }
    }
}

/// What a slot says about a position: twice its successor, plus one for a hole.
///
/// Stamps of one slot differ from lap to lap, so an old one is never taken for a new one. A hole is a
/// position whose sender had nothing to put there (its iterator ended early or panicked).
struct Stamp;

impl Stamp {
    /// No position's stamp on the first lap: 0 would be that of position -1.
    const NEVER: usize = 0;

    #[inline]
    fn filled(position: usize) -> usize {
        position.wrapping_add(1).wrapping_mul(2)
    }

    #[inline]
    fn hole(position: usize) -> usize {
        Self::filled(position) | 1
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
