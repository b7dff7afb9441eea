//! The only door to atomics and shared cells in this crate, so that loom can stand in for them.
//!
//! Under `--cfg loom` the types are loom's, which explores every interleaving and reports accesses to
//! a cell that nothing orders. Otherwise they are the standard library's at no cost.

#[cfg(loom)]
pub(crate) use loom::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

use std::mem::MaybeUninit;

/// Watches the accesses to memory that lies elsewhere: nothing in production, a loom cell in a model.
///
/// Slices over several slots need plain contiguous memory, which loom's own cell cannot be. So the
/// memory is plain and each slot has a witness beside it that is told about every access.
pub(crate) struct Witness {
    #[cfg(loom)]
    cell: loom::cell::UnsafeCell<()>,
}

impl Witness {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(loom)]
            cell: loom::cell::UnsafeCell::new(()),
        }
    }

    /// Says that the calling thread reads the memory now. Fails the model if a write is not ordered before.
    #[inline]
    pub(crate) fn reads(&self) {
        #[cfg(loom)]
        self.cell.with(|_| ());
    }

    /// Says that the calling thread writes the memory, or moves out of it, now.
    #[inline]
    pub(crate) fn writes(&self) {
        #[cfg(loom)]
        self.cell.with_mut(|_| ());
    }
}

/// Contiguous slots of a ring, each initialised or not as the ring's positions say.
///
/// The length is a power of two. Knows nothing of who owns which slot; the rings do.
pub(crate) struct Slots<T> {
    cells: Box<[std::cell::UnsafeCell<MaybeUninit<T>>]>,
    #[cfg(loom)]
    witnesses: Box<[Witness]>,
}

// SAFETY: slots are reached only through the unsafe methods below, whose callers promise exclusive
// access (`write`, `read`) or say so where they use the pointers of `parts`; moving a `T` to another
// thread that way needs `T: Send`.
unsafe impl<T: Send> Sync for Slots<T> {}
// SAFETY: as above; the box itself may move freely.
unsafe impl<T: Send> Send for Slots<T> {}

impl<T> Slots<T> {
    /// `len` slots, none initialised. `len` is a power of two.
    pub(crate) fn new(len: usize) -> Self {
        assert!(len.is_power_of_two(), "ring length {len} is not a power of two");
        Self {
            cells: (0..len).map(|_| std::cell::UnsafeCell::new(MaybeUninit::uninit())).collect(),
            #[cfg(loom)]
            witnesses: (0..len).map(|_| Witness::new()).collect(),
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    #[inline]
    fn pointer(&self, index: usize) -> *mut T {
        debug_assert!(index < self.cells.len());
        let base = std::cell::UnsafeCell::raw_get(self.cells.as_ptr());
        base.cast::<T>().wrapping_add(index)
    }

    /// Puts `value` into the slot of `position`.
    ///
    /// # Safety
    /// The caller owns that slot alone, and it holds no value.
    #[inline]
    pub(crate) unsafe fn write(&self, position: usize, value: T) {
        let index = position & (self.len() - 1);
        #[cfg(loom)]
        self.witnesses[index].writes();
        // SAFETY: in bounds by the mask, and the caller owns the slot alone.
        unsafe { self.pointer(index).write(value) }
    }

    /// Moves the value out of the slot of `position`.
    ///
    /// # Safety
    /// The caller owns that slot alone, it holds a value, and the value is not used again.
    #[inline]
    pub(crate) unsafe fn read(&self, position: usize) -> T {
        let index = position & (self.len() - 1);
        #[cfg(loom)]
        self.witnesses[index].writes();
        // SAFETY: in bounds by the mask, initialised and owned by the caller.
        unsafe { self.pointer(index).read() }
    }

    /// The `count` slots from `position` on, as the part before the ring's end and the part after it.
    ///
    /// The pointers are valid for the lengths beside them. `count` is at most `len()`.
    pub(crate) fn parts(&self, position: usize, count: usize) -> [(*mut T, usize); 2] {
        debug_assert!(count <= self.len());
        let first = position & (self.len() - 1);
        let until_end = count.min(self.len() - first);
        #[cfg(loom)]
        for offset in 0..count {
            self.witnesses[(first + offset) & (self.len() - 1)].writes();
        }
        [(self.pointer(first), until_end), (self.pointer(0), count - until_end)]
    }
}

/// The number of slots for a wanted capacity: the next power of two, at least 1.
///
/// Panics when `capacity` is 0 or above 2^(bits-2): positions must tell full from empty and from far ahead.
pub(crate) fn slots_for(capacity: usize) -> usize {
    assert!(capacity > 0, "capacity is 0, at least 1 is needed");
    assert!(capacity <= usize::MAX >> 2, "capacity is {capacity}, limit is {}", usize::MAX >> 2);
    capacity.next_power_of_two()
}
