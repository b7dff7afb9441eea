//! The ring of the floor programs: one issuer, deferred task work, and a group of provided receive buffers.

use io_uring::{IoUring, Submitter, squeue, types::BufRingEntry};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Builds a ring with the features that cost least: one issuer, deferred and cooperative task work.
///
/// `entries` is the length of the submission queue; the completion queue is four times as long, because one
/// multishot operation completes many times.
pub fn build(entries: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_cqsize(entries * 4)
        .build(entries)
}

/// Queues `entry`, submitting what is queued when the queue is full.
///
/// # Safety
/// Memory and descriptors that `entry` names stay valid until its completion.
pub unsafe fn push(ring: &mut IoUring, entry: &squeue::Entry) {
    loop {
        // SAFETY: the caller vouches for what the entry names.
        let queued = unsafe { ring.submission().push(entry) };
        if queued.is_ok() {
            return;
        }
        ring.submit().expect("the kernel takes queued entries");
    }
}

/// A ring of equal receive buffers that the kernel picks from, as provided buffers (kernel 5.19).
///
/// Invariant: a buffer is either the kernel's or the program's; `release` gives it back, once per completion that
/// handed it out. Limit: 32768 buffers.
pub struct BufferRing {
    entries: NonNull<BufRingEntry>,
    layout: Layout,
    tail: u16,
    mask: u16,
    group: u16,
    storage: Vec<u8>,
    buffer_bytes: usize,
}

impl BufferRing {
    /// Registers `count` (a power of two) buffers of `buffer_bytes` as group `group`.
    ///
    /// The ring must be dropped before the value returned. Errors: the kernel's, for example before 5.19.
    pub fn new(submitter: &Submitter<'_>, group: u16, count: u16, buffer_bytes: usize) -> io::Result<Self> {
        assert!(count.is_power_of_two(), "{count} buffers: not a power of two");
        let layout = Layout::from_size_align(usize::from(count) * size_of::<BufRingEntry>(), 4096)
            .expect("a ring of at most 512 KiB");
        // SAFETY: the layout has a size above zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(entries) = NonNull::new(memory.cast::<BufRingEntry>()) else { handle_alloc_error(layout) };
        let mut buffers = Self {
            entries,
            layout,
            tail: 0,
            mask: count - 1,
            group,
            storage: vec![0; usize::from(count) * buffer_bytes],
            buffer_bytes,
        };
        // SAFETY: the memory is page-aligned, `count` entries long and lives as long as the value, which the
        // caller keeps longer than the ring.
        unsafe { submitter.register_buf_ring_with_flags(entries.as_ptr() as u64, count, group, 0) }?;
        for id in 0..count {
            buffers.release(id);
        }
        Ok(buffers)
    }

    /// The group that receive operations name.
    pub fn group(&self) -> u16 {
        self.group
    }

    /// Where buffer `id` starts; valid as long as this value lives.
    pub fn pointer(&self, id: u16) -> *const u8 {
        self.storage[usize::from(id) * self.buffer_bytes..].as_ptr()
    }

    /// Gives buffer `id` back to the kernel.
    pub fn release(&mut self, id: u16) {
        let address = self.pointer(id) as u64;
        let index = usize::from(self.tail & self.mask);
        // SAFETY: the index is below the number of entries that were allocated.
        let slot = unsafe { self.entries.add(index) };
        // SAFETY: the kernel reads entries below the published tail only; this one is above it, so it is ours.
        let entry = unsafe { &mut *slot.as_ptr() };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the pointer is the first entry of the ring, as the call asks.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: the tail is two aligned bytes inside the first entry that nothing else writes.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: publishes the entry to the kernel, which loads the tail with acquire.
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout; the ring that knew it is gone, as `new` asks.
        unsafe { dealloc(self.entries.as_ptr().cast(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use io_uring::{cqueue, opcode, types::Fd};
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_released_buffer_is_handed_out_again() {
        let mut ring = build(8).unwrap();
        let mut buffers = BufferRing::new(&ring.submitter(), 3, 2, 64).unwrap();
        let (reader, mut writer) = UnixStream::pair().unwrap();
        let entry = opcode::RecvMulti::new(Fd(reader.as_raw_fd()), buffers.group()).build();
        // SAFETY: the reader and the buffers outlive the ring's use in this test.
        unsafe { push(&mut ring, &entry) };
        for turn in 0..5u8 {
            writer.write_all(&[turn; 10]).unwrap();
            ring.submit_and_wait(1).unwrap();
            let completion = ring.completion().next().unwrap();
            assert_eq!(completion.result(), 10, "turn {turn}");
            assert!(cqueue::more(completion.flags()));
            let id = cqueue::buffer_select(completion.flags()).unwrap();
            let start = usize::from(id) * 64;
            assert_eq!(buffers.storage[start..start + 10], [turn; 10]);
            buffers.release(id);
        }
        drop(ring);
    }
}
