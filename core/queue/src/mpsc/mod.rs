//! A bounded queue from many sending threads to one receiving thread: a lane per sender.
//!
//! Each [`Sender`] writes into a ring of its own ([`spsc`](crate::spsc)), which the [`Receiver`] reads in turn. So senders share
//! nothing that either writes: no position is fought for, no item waits for another sender's, and what is sent costs what it
//! costs between two threads. Cloning a sender opens a lane: it allocates, and hangs the lane into a list from which the
//! receiver takes it at its next look.
//!
//! - Order: what one sender sends arrives in order. Between senders there is none, also where one has told another of it.
//! - Bounds: `capacity` items per sender; as many lanes as there are senders. A lane goes when its sender is gone and it is empty.
//! - Fairness: the receiver takes at most [`TURN_MAX`] items from a lane before it looks at the next.
//! - Cost of looking into an empty queue: one load per lane.
//!
//! Invariants: a lane is written by one sender and read by the receiver; it is known to exactly one of the list of joining lanes
//! and the receiver. Source: a queue per producer as in the fast-forwarding literature, e.g. C. Desrochers' ConcurrentQueue.

mod joining;
mod receiver;
mod sender;

use crossbeam_utils::CachePadded;

use self::joining::Joining;
pub use self::receiver::{Receiver, RecvError, TURN_MAX};
pub use self::sender::{SendError, Sender};
use crate::sync::{Arc, AtomicBool, AtomicUsize, slots_for};

/// Makes a queue whose senders may each have at least `capacity` items in it: any number from 1 on, rounded up to a power of two.
///
/// Panics when `capacity` is 0 or beyond a quarter of the address space.
pub fn ring<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        joining: CachePadded::new(Joining::new()),
        senders: CachePadded::new(AtomicUsize::new(0)),
        receiver_gone: CachePadded::new(AtomicBool::new(false)),
        capacity: slots_for(capacity),
    });
    (Sender::open(Arc::clone(&shared)), Receiver::new(shared))
}

/// What the ends share beside the lanes: things that change when senders or the receiver come and go.
struct Shared<T> {
    /// Lanes that the receiver has not taken yet.
    joining: CachePadded<Joining<T>>,
    senders: CachePadded<AtomicUsize>,
    /// Beside `capacity`, which never changes.
    receiver_gone: CachePadded<AtomicBool>,
    capacity: usize,
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
