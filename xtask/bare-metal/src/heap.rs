//! A heap that only grows: enough for a program that runs once.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

struct Heap {
    bytes: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

// SAFETY: every byte is handed out at most once, by the atomic `used`.
unsafe impl Sync for Heap {}

// SAFETY: blocks lie within `bytes`, do not overlap, and are aligned as asked.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.bytes.get().cast::<u8>();
        // Relaxed: the program has one thread.
        let mut start = base as usize + self.used.load(Ordering::Relaxed);
        start = start.next_multiple_of(layout.align());
        let end = start - base as usize + layout.size();
        if end > SIZE {
            return null_mut();
        }
        self.used.store(end, Ordering::Relaxed);
        base.wrapping_add(start - base as usize)
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static HEAP: Heap = Heap { bytes: UnsafeCell::new([0; SIZE]), used: AtomicUsize::new(0) };

const SIZE: usize = 4 << 20;
