//! The ring of shared buffers that the kernel picks from. Source: `io_uring_register_buf_ring(3)`, kernel 5.19.

use crate::io::{Buffers, Empty};
use crate::sys::memory::Region;
use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use std::sync::atomic::{AtomicU16, Ordering};

/// Entries that name idle buffers, written by us and consumed by the kernel. Invariant: the entries in
/// `head..tail` name buffers that nobody here uses.
pub(super) struct BufRing {
    entries: Region,
    count: u16,
    tail: u16,
    /// Buffers in the kernel's hands.
    given: u16,
    /// As many as it gets at a time: a small set that is used again and again stays in the cache.
    pub given_max: u16,
}

impl BufRing {
    /// Registers a ring of `count` entries (a power of two) as group `group`; the kernel has `given_max` buffers at most. Errors: `EINVAL` (kernel before 5.19), `ENOMEM`.
    pub fn new(ring: &IoUring, group: u16, count: u16, given_max: u16) -> std::io::Result<BufRing> {
        let entries = Region::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let address = entries.pointer(0, entries.len()) as u64;
        // SAFETY: the region has room for `count` entries and is dropped after the io_uring (see `Ring::drop`).
        unsafe { ring.submitter().register_buf_ring_with_flags(address, count, group, 0) }?;
        Ok(BufRing { entries, count, tail: 0, given: 0, given_max })
    }

    /// Gives idle buffers to the kernel, as `take` finds some. Returns how many the kernel has.
    pub fn provide(&mut self, buffers: &mut Buffers, take: fn(&mut Buffers) -> Option<Empty>) -> usize {
        let before = self.tail;
        while self.given < self.given_max.min(self.count) {
            let Some(empty) = take(buffers) else { break };
            let slot = usize::from(self.tail & (self.count - 1)) * size_of::<BufRingEntry>();
            let entry = self.entries.pointer(slot, size_of::<BufRingEntry>()).cast::<BufRingEntry>();
            // SAFETY: inside the region, aligned (16 bytes from a page start), initialised (zeroed), and not read by the kernel before
            // the tail is published.
            let entry = unsafe { &mut *entry };
            entry.set_addr(buffers.pointer_mut(&empty) as u64);
            entry.set_len(buffers.capacity(&empty) as u32);
            entry.set_bid(empty.number());
            self.tail = self.tail.wrapping_add(1);
            self.given += 1;
        }
        if self.tail != before {
            let base = self.entries.pointer(0, size_of::<BufRingEntry>()).cast::<BufRingEntry>();
            // SAFETY: `base` is the start of the registered ring.
            let tail = unsafe { BufRingEntry::tail(base) };
            // SAFETY: the tail is an aligned u16 in the region, only written here and read by the kernel.
            let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
            // Release: publishes the entries before the tail to the kernel, which reads it with acquire.
            tail.store(self.tail, Ordering::Release);
        }
        usize::from(self.given)
    }

    /// The kernel has handed one back.
    pub fn on_filled(&mut self) {
        self.given -= 1;
    }
}
