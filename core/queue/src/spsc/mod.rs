//! A bounded ring between one producing and one consuming thread.
//!
//! Each side owns one position and keeps a copy of the other's, which it refreshes only when the copy
//! says full or empty: in steady flow the two threads touch each other's cache lines once per lap or
//! chunk, not once per item. Items go one by one ([`Producer::push`], [`Consumer::pop`]) or in chunks
//! that are published in one step ([`Producer::write_chunk`], [`Consumer::read_chunk`]).
//!
//! Invariants: `head <= tail <= head + capacity` in wrapping order; slots `head..tail` hold values and
//! belong to the consumer, the others are empty and belong to the producer.
//! Source: L. Lamport 1983, with the cached positions of FastForward and MCRingBuffer.

mod chunk;

use std::fmt;

use crossbeam_utils::CachePadded;

pub use self::chunk::{Drain, ReadChunk, WriteChunk};
use crate::slip::Slip;
use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering, Slots, View, slots_for};

/// Makes a ring for at least `capacity` items: any number from 1 on, rounded up to a power of two.
///
/// Panics when `capacity` is 0 or beyond a quarter of the address space.
pub fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let slots = Slots::new(slots_for(capacity));
    let (producer_view, consumer_view) = (slots.view(), slots.view());
    let shared = Arc::new(Shared {
        head: CachePadded::new(AtomicUsize::new(0)),
        tail: CachePadded::new(AtomicUsize::new(0)),
        producer_gone: AtomicBool::new(false),
        consumer_gone: AtomicBool::new(false),
        slots,
    });
    let producer = Producer { shared: Arc::clone(&shared), slots: producer_view, tail: 0, head_seen: 0 };
    (producer, Consumer { shared, slots: consumer_view, head: 0, tail_seen: 0, slip: Slip::default() })
}

/// The writing end of a ring. One thread at a time; may move between threads.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// Of `shared.slots`, which `shared` keeps alive.
    slots: View<T>,
    /// Where the next item goes; nobody else writes `shared.tail`.
    tail: usize,
    /// The consumer's position when last looked at; the real one is here or further on.
    head_seen: usize,
}

impl<T> Producer<T> {
    /// Appends one item.
    ///
    /// Errors: [`Full`] gives the item back. A consumer that is gone makes no difference until the ring
    /// is full; see [`is_abandoned`](Self::is_abandoned).
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), Full<T>> {
        if self.free_for(1) == 0 {
            return Err(Full(value));
        }
        // SAFETY: `free_for` found the slot at `tail` outside `head..tail`, so it is empty and ours.
        unsafe { self.slots.write(self.tail, value) };
        self.publish(1);
        Ok(())
    }

    /// Opens a chunk of up to `count_max` free slots, which become visible to the consumer in one step.
    ///
    /// `None` when the ring is full or `count_max` is 0.
    #[inline]
    pub fn write_chunk(&mut self, count_max: usize) -> Option<WriteChunk<'_, T>> {
        let count = self.free_for(count_max).min(count_max);
        (count > 0).then(|| WriteChunk::new(self, count))
    }

    /// Appends copies of as many of `values` as there is room for, in one step. Returns how many.
    #[inline]
    pub fn push_slice(&mut self, values: &[T]) -> usize
    where
        T: Copy,
    {
        self.write_chunk(values.len()).map_or(0, |chunk| chunk.copy_from(values))
    }

    /// How many items could be pushed now, at least; the consumer may be making room.
    pub fn free(&mut self) -> usize {
        self.free_for(usize::MAX)
    }

    /// The number of items the ring holds: what was asked for, rounded up to a power of two.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Whether the consumer is gone, so that nothing pushed will ever be popped.
    pub fn is_abandoned(&self) -> bool {
        // Relaxed: nothing of the consumer's is read on the strength of this.
        self.shared.consumer_gone.load(Ordering::Relaxed)
    }

    /// Free slots as far as known, looking at the consumer's position only when that is below `wanted`.
    #[inline]
    fn free_for(&mut self, wanted: usize) -> usize {
        let capacity = self.slots.len();
        let free = capacity - self.tail.wrapping_sub(self.head_seen);
        if free >= wanted {
            return free;
        }
        // Acquire: pairs with the Release in `Consumer::release`; the consumer is done with those slots.
        self.head_seen = self.shared.head.load(Ordering::Acquire);
        capacity - self.tail.wrapping_sub(self.head_seen)
    }

    /// Hands `count` filled slots from `tail` on to the consumer.
    #[inline]
    fn publish(&mut self, count: usize) {
        self.tail = self.tail.wrapping_add(count);
        // Release: publishes slots [old tail, tail) to the Acquire in `Consumer::ready_for`.
        self.shared.tail.store(self.tail, Ordering::Release);
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `Consumer::is_abandoned`, so that who sees it sees all items.
        self.shared.producer_gone.store(true, Ordering::Release);
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("tail", &self.tail).field("capacity", &self.capacity()).finish()
    }
}

/// The reading end of a ring. One thread at a time; may move between threads.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    /// Of `shared.slots`, which `shared` keeps alive.
    slots: View<T>,
    /// Where the next item is; nobody else writes `shared.head`.
    head: usize,
    /// The producer's position when last looked at; the real one is here or further on.
    tail_seen: usize,
    /// How `pop` keeps its distance to the producer.
    slip: Slip,
}

impl<T> Consumer<T> {
    /// Takes the oldest item, or `None` when there is none now.
    ///
    /// When the items known of are used up it pauses (1 to 16 processor hints of some 20 ns, longer while it finds
    /// few) before it looks for more: a consumer on the producer's heels fights it for two cache lines per item,
    /// and falling back by a few items costs less (the "temporal slipping" of FastForward). One that polls an empty ring does not pause.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.ready_apart() == 0 {
            return None;
        }
        // SAFETY: `ready_apart` found the slot at `head` inside `head..tail`: filled, ours, released below.
        let value = unsafe { self.slots.read(self.head) };
        self.release(1);
        Some(value)
    }

    /// Opens a chunk of up to `count_max` items to look at in place. `None` when there is none now.
    ///
    /// The items stay in the ring until they are consumed or drained through the chunk.
    #[inline]
    pub fn read_chunk(&mut self, count_max: usize) -> Option<ReadChunk<'_, T>> {
        let count = self.ready_for(count_max).min(count_max);
        (count > 0).then(|| ReadChunk::new(self, count))
    }

    /// As [`read_chunk`](Self::read_chunk), and keeps its distance to the producer as [`pop`](Self::pop) does.
    #[inline]
    pub(crate) fn read_chunk_apart(&mut self, count_max: usize) -> Option<ReadChunk<'_, T>> {
        let count = self.ready_apart().min(count_max);
        (count > 0).then(|| ReadChunk::new(self, count))
    }

    /// How many items could be popped now, at least; the producer may be adding some.
    pub fn ready(&mut self) -> usize {
        self.ready_for(usize::MAX)
    }

    /// Whether nothing is there now. This is the look to take between `Bell::prepare_sleep` and blocking.
    pub fn is_empty(&mut self) -> bool {
        self.ready_for(1) == 0
    }

    /// The number of items the ring holds: what was asked for, rounded up to a power of two.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Whether the producer is gone. All it ever pushed is visible to a `pop` after this said `true`.
    pub fn is_abandoned(&self) -> bool {
        // Acquire: pairs with the Release in `Producer::drop`; orders the last items before the answer.
        self.shared.producer_gone.load(Ordering::Acquire)
    }

    /// Items ready as far as known, looking at the producer's position only when that is below `wanted`.
    #[inline]
    fn ready_for(&mut self, wanted: usize) -> usize {
        let ready = self.tail_seen.wrapping_sub(self.head);
        if ready >= wanted {
            return ready;
        }
        // Acquire: pairs with the Release in `Producer::publish`; the slots before it are filled.
        self.tail_seen = self.shared.tail.load(Ordering::Acquire);
        self.tail_seen.wrapping_sub(self.head)
    }

    /// Items ready as far as known. When there are none it keeps its distance before it looks at the producer's position.
    #[inline]
    fn ready_apart(&mut self) -> usize {
        if self.tail_seen == self.head {
            self.slip.pause();
            match self.ready_for(1) {
                0 => return 0,
                found => self.slip.found(found),
            }
        }
        self.tail_seen.wrapping_sub(self.head)
    }

    /// Gives `count` emptied slots from `head` on back to the producer.
    #[inline]
    fn release(&mut self, count: usize) {
        self.head = self.head.wrapping_add(count);
        // Release: our moves out of slots [old head, head) come before the Acquire in `Producer::free_for`.
        self.shared.head.store(self.head, Ordering::Release);
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        // Relaxed: only a hint to the producer; the last owner of the ring drops what is left in it.
        self.shared.consumer_gone.store(true, Ordering::Relaxed);
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("head", &self.head).field("capacity", &self.capacity()).finish()
    }
}

/// The ring is full; the value comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring is full")
    }
}

impl<T: fmt::Debug> std::error::Error for Full<T> {}

struct Shared<T> {
    /// Written by the consumer only.
    head: CachePadded<AtomicUsize>,
    /// Written by the producer only.
    tail: CachePadded<AtomicUsize>,
    producer_gone: AtomicBool,
    consumer_gone: AtomicBool,
    slots: Slots<T>,
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Relaxed: the last owner is alone; dropping the other `Arc` ordered its work before this.
        let mut head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        let slots = self.slots.view();
        while head != tail {
            // SAFETY: slots `head..tail` are filled, and nobody else is left to touch them.
            drop(unsafe { slots.read(head) });
            head = head.wrapping_add(1);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
