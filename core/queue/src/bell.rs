//! Who wakes whom: the protocol by which a consumer goes to sleep and a producer finds out.
//!
//! A wake-up is a system call and costs a sleeping core some 20 us, so it must happen only when the
//! consumer really sleeps, once per batch, and must never be forgotten. The bell holds one flag and
//! no kernel object: what to sleep on (an eventfd, a futex, a ring) is the caller's.
//!
//! - Consumer: [`Bell::prepare_sleep`], look into the queue once more, and only if it is still empty
//!   block; then drop the [`Doze`].
//! - Producer: publish (one item or a batch), then [`Bell::ring`]; if that says `true`, wake the consumer.
//!
//! Why nothing is lost: the consumer writes the flag and then reads the queue, the producer writes the
//! queue and then reads the flag, and each has a sequentially consistent fence in between. Whatever the
//! order, at least one of them sees the other's write. Source: Dekker's mutual exclusion, as in the
//! event counts of folly and of the Linux kernel's `wait_event`.
//!
//! ```
//! # use clustercore_queue::{bell::Bell, mpsc};
//! let bell = Bell::new();
//! let (mut sender, mut receiver) = mpsc::ring(4);
//! let doze = bell.prepare_sleep();
//! assert!(receiver.is_empty()); // now the consumer may block
//! sender.try_send(7).unwrap();
//! assert!(bell.ring()); // the producer has to make the wake-up call ...
//! assert!(!bell.ring()); // ... once
//! assert!(doze.wake());
//! assert_eq!(receiver.recv(), Ok(7));
//! ```

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicBool, Ordering, fence};

/// A flag that says whether the one consumer of a queue sleeps, or is about to.
///
/// Any number of threads may ring; one at a time may sleep. The flag has cache lines of its own:
/// while the consumer is awake, ringing only reads it.
#[derive(Debug)]
pub struct Bell {
    sleeping: CachePadded<AtomicBool>,
}

impl Bell {
    /// A bell whose consumer is awake.
    pub fn new() -> Self {
        Self { sleeping: CachePadded::new(AtomicBool::new(false)) }
    }

    /// Announces that the consumer is about to sleep. Look into the queue after this and before blocking.
    ///
    /// The consumer counts as awake again when the returned guard is dropped.
    pub fn prepare_sleep(&self) -> Doze<'_> {
        // Relaxed: the fence below orders it before the look into the queue.
        self.sleeping.store(true, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `ring`. Either that producer sees the flag, or the look into
        // the queue that follows here sees what it published.
        fence(Ordering::SeqCst);
        Doze { bell: self }
    }

    /// Tells the bell that something was published. Call it after the publication, once per batch.
    ///
    /// Returns `true` exactly when the caller must make the wake-up call: for each sleep at most one
    /// caller gets `true`. A consumer that changed its mind in the same moment may find a wake-up it no
    /// longer needs; [`Doze::wake`] tells it so.
    #[must_use = "true means that the consumer sleeps until this caller wakes it"]
    #[inline]
    pub fn ring(&self) -> bool {
        // SeqCst: pairs with the fence in `prepare_sleep`, orders the caller's publication before the load.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence; the common case is a consumer that is awake, and costs no write.
        self.sleeping.load(Ordering::Relaxed)
            // Release: pairs with the Acquire in `clear`, so that this claim comes before the next sleep. One
            // thread wins the flag; the others leave it alone, so that their trace cannot hide that sleep.
            && self.sleeping.compare_exchange(true, false, Ordering::Release, Ordering::Relaxed).is_ok()
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

/// The consumer's announcement that it sleeps, or is about to. Dropping it means: awake.
#[derive(Debug)]
#[must_use = "dropped at once, the consumer is never seen asleep"]
pub struct Doze<'a> {
    bell: &'a Bell,
}

impl Doze<'_> {
    /// Ends the sleep. `true` when a producer claimed the wake-up, so that its signal has arrived or will.
    ///
    /// A consumer that blocked may ignore the answer. One that found work instead may use it to expect
    /// one early return from its next wait.
    pub fn wake(self) -> bool {
        let rung = self.clear();
        std::mem::forget(self);
        rung
    }

    /// Counts the consumer as awake. `true` when a producer did that before.
    fn clear(&self) -> bool {
        // Acquire: pairs with the Release in `ring`, orders that claim before the next announcement. A
        // producer that has read `true` and not claimed yet finds `false`, or claims the next sleep: its
        // wake-up call comes early, which is harmless.
        !self.bell.sleeping.swap(false, Ordering::Acquire)
    }
}

impl Drop for Doze<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn awake_consumer_is_not_rung() {
        let bell = Bell::new();
        assert!(!bell.ring());
        drop(bell.prepare_sleep());
        assert!(!bell.ring());
    }

    #[test]
    fn each_sleep_is_rung_once() {
        let bell = Bell::default();
        for _ in 0..3 {
            let doze = bell.prepare_sleep();
            assert!(bell.ring());
            assert!(!bell.ring());
            assert!(doze.wake());
        }
    }

    #[test]
    fn wake_without_a_ring_says_so() {
        let bell = Bell::new();
        assert!(!bell.prepare_sleep().wake());
        assert!(!bell.ring());
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
