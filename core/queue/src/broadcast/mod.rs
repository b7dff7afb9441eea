//! One bounded ring, written once and read in place by many readers, each at its own pace.
//!
//! An event lies in memory once, however many read it: a reader gets batches of `&T` and moves its own cursor.
//! Readers come and go while the ring runs ([`Ring::subscribe`], dropping a [`Reader`]). Room is what all readers
//! have passed; what happens when there is none is [`WhenFull`]. One writer ([`single`]) or many ([`multi`]), which
//! claim and publish whole batches in one step. Many writers' events have one order, the same for all readers.
//!
//! Invariants: `released <= floor <= published <= claimed <= released + capacity`, where values below `released` have been dropped
//! and nobody reads below `floor`. A reader's cursor only grows. Positions are `u64` and do not wrap (500 years
//! at a thousand million a second).
//!
//! Values that all have passed are dropped when the writer next looks for room, or by `reclaim`: up to a capacity of
//! them stay until then, so a pool of leases wants that many buffers more.
//!
//! Bounds: `capacity` events, `readers_max` readers. Memory per reader: its seat, one padded cache line (128 bytes
//! on x86-64), taken at the start, and its handle of 72
//! bytes. A writer looks at all seats that were ever taken when it has used
//! up the room it knows of, at best once per lap; while the ring stays full it looks at the slowest reader alone.
//!
//! Nobody is woken here: ring the [`Bell`](crate::bell::Bell) of each sleeping thread after publishing. One bell per
//! thread is enough, also for a thread with many readers.
//!
//! ```
//! use clustercore_queue::broadcast::{Options, single};
//!
//! let (mut writer, ring) = single(Options { capacity: 8, ..Options::default() });
//! let (mut first, mut second) = (ring.subscribe().unwrap(), ring.subscribe().unwrap());
//! writer.publish_from(&mut vec!["open", "trade"]).unwrap();
//! let batch = first.read(10).unwrap();
//! assert_eq!(batch.iter().copied().collect::<Vec<_>>(), ["open", "trade"]);
//! batch.consume(2);
//! assert_eq!(second.for_each(1, |event| assert_eq!(*event, "open")), 1);
//! assert_eq!(second.lag(), 1);
//! ```
//!
//! Source: Disruptor (Thompson, Farley, Barker, Gee, Stewart 2011), with cursors that may be overrun; the pins and the
//! floor are hazard pointers (Michael 2004) for ranges of positions.

mod batch;
mod many;
mod reader;
mod room;
mod seats;
mod shared;
mod writer;

use std::fmt;

pub use self::batch::Batch;
pub use self::many::SharedWriter;
pub use self::reader::Reader;
use self::shared::Shared;
pub use self::writer::{Claim, Full, Writer};
use crate::sync::{Arc, Ordering};

/// Bounds and policy of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Events the ring holds, rounded up to a power of two.
    pub capacity: usize,
    /// Readers at the same time; a padded cache line each.
    pub readers_max: usize,
    /// What a writer does when the slowest reader leaves no room.
    pub when_full: WhenFull,
}

impl Default for Options {
    /// 1024 events, 64 readers, refuse when full.
    fn default() -> Self {
        Self { capacity: 1024, readers_max: 64, when_full: WhenFull::Refuse }
    }
}

/// What a writer does when the slowest reader leaves no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The event comes back as [`Full`]: the slowest reader sets the pace.
    Refuse,
    /// The event is dropped and counted in [`Counters::dropped_newest`].
    DropNewest,
    /// Readers that are too slow lose the oldest events, and each learns how many (see [`Batch::missed`]).
    ///
    /// The floor moves by at least `at_once` events, so that a look at all readers is paid for that many; 1 loses no more than it must.
    /// A reader in the middle of a batch keeps what it reads: the writer gets [`Full`] until the batch ends. So
    /// keep batches short, and clone out (a lease: one counter) what takes long.
    DropOldest {
        /// How far the floor moves at least, in events: `1..=capacity`.
        at_once: usize,
    },
}

/// A ring with one writer.
///
/// Panics when `capacity` is 0 or beyond a quarter of the address space, `readers_max` is 0, or `at_once` is not in
/// `1..=capacity`.
pub fn single<T: Send + Sync>(options: Options) -> (Writer<T>, Ring<T>) {
    let shared = Arc::new(Shared::new(options, false));
    (Writer::new(Arc::clone(&shared)), Ring { shared })
}

/// A ring with any number of writers: clone the one returned. Panics as [`single`] does.
pub fn multi<T: Send + Sync>(options: Options) -> (SharedWriter<T>, Ring<T>) {
    let shared = Arc::new(Shared::new(options, true));
    (SharedWriter::new(Arc::clone(&shared)), Ring { shared })
}

/// A ring's entrance for readers, and its counters. Clones are the same ring. Keeps the memory, not the writers, alive.
pub struct Ring<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Ring<T> {
    /// A reader of all that is published from now on.
    ///
    /// Errors: [`Crowded`] when `readers_max` are there.
    pub fn subscribe(&self) -> Result<Reader<T>, Crowded> {
        let start = self.shared.published_now();
        Reader::join(Arc::clone(&self.shared), start)
    }

    /// A reader of what the ring still has, then of what comes. What has been passed by all readers may be gone.
    ///
    /// Errors: [`Crowded`] when `readers_max` are there.
    pub fn subscribe_oldest(&self) -> Result<Reader<T>, Crowded> {
        // Relaxed: `Reader::join` looks again, after its fence.
        let start = self.shared.gate.floor.load(Ordering::Relaxed);
        Reader::join(Arc::clone(&self.shared), start)
    }

    /// How many readers there are, at this moment. Looks at each seat.
    pub fn readers(&self) -> usize {
        self.shared.seats.taken()
    }

    /// Events the ring holds: what was asked for, rounded up to a power of two.
    pub fn capacity(&self) -> usize {
        self.shared.view.len()
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        let counts = &self.shared.counts;
        Counters {
            published: self.shared.published_now(),
            // Relaxed, all three: counts that order nothing.
            dropped_newest: counts.dropped_newest.load(Ordering::Relaxed),
            missed: counts.missed.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
        }
    }
}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("capacity", &self.capacity()).field("readers", &self.readers()).finish()
    }
}

/// What has happened in a ring since it was made, in events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Put into the ring.
    pub published: u64,
    /// Dropped because the ring was full, under [`WhenFull::DropNewest`].
    pub dropped_newest: u64,
    /// Lost by readers that were overrun, summed over the readers that have found out.
    pub missed: u64,
    /// Answers of [`Full`], one for each call.
    pub refused: u64,
}

/// No seat is free for another reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded {
    /// The limit that was reached.
    pub readers_max: usize,
}

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ring has {} readers, its readers_max: raise it or drop a reader", self.readers_max)
    }
}

impl std::error::Error for Crowded {}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod model_tests;
#[cfg(all(test, not(loom)))]
mod tests;
