//! The only door to atomics and shared cells in this crate, so that loom can stand in for them.
//!
//! Under `--cfg loom` the types are loom's, which explores every interleaving and reports accesses to
//! a cell that nothing orders. Otherwise they are the standard library's at no cost.

#[cfg(loom)]
pub(crate) use loom::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
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
/// The number of slots is a power of two. Knows nothing of who owns which slot; the rings do. This is the
/// owner of the memory; the ends of a ring reach it through copies of its [`View`].
pub(crate) struct Slots<T> {
    cells: Box<[std::cell::UnsafeCell<MaybeUninit<T>>]>,
    #[cfg(loom)]
    witnesses: Box<[Witness]>,
}

// SAFETY: slots are reached only through the unsafe methods of `View`, whose callers promise exclusive
// access (`write`, `read`) or say so where they use the pointers of `parts`; moving a `T` to another
// thread that way needs `T: Send`. Who shares slots between threads (`shared_parts`) asks for `T: Sync` itself.
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

    /// Where the slots are. Good while `self` lives, also when it moves: the memory stays.
    pub(crate) fn view(&self) -> View<T> {
        View {
            base: std::cell::UnsafeCell::raw_get(self.cells.as_ptr()).cast::<T>(),
            mask: self.cells.len() - 1,
            #[cfg(loom)]
            witnesses: self.witnesses.as_ptr(),
        }
    }
}

/// A copy of where the slots of a ring are, kept by each end so that it needs no look into shared memory.
///
/// Whoever keeps one keeps the [`Slots`] alive as well; each method relies on that.
pub(crate) struct View<T> {
    base: *mut T,
    mask: usize,
    #[cfg(loom)]
    witnesses: *const Witness,
}

// SAFETY: only a pointer to `Slots`, which may be reached from any thread if `T: Send`, as said there.
unsafe impl<T: Send> Sync for View<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for View<T> {}

impl<T> View<T> {
    /// Another one of the same slots.
    pub(crate) fn copy(&self) -> Self {
        Self {
            base: self.base,
            mask: self.mask,
            #[cfg(loom)]
            witnesses: self.witnesses,
        }
    }

    /// How many slots there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.mask + 1
    }

    #[inline]
    fn pointer(&self, position: usize) -> *mut T {
        self.base.wrapping_add(position & self.mask)
    }

    /// Puts `value` into the slot of `position`.
    ///
    /// # Safety
    /// The slots are alive, the caller owns that one alone, and it holds no value.
    #[inline]
    pub(crate) unsafe fn write(&self, position: usize, value: T) {
        self.touch(position);
        // SAFETY: in bounds by the mask, and the caller owns the slot alone.
        unsafe { self.pointer(position).write(value) }
    }

    /// Moves the value out of the slot of `position`.
    ///
    /// # Safety
    /// The slots are alive, the caller owns that one alone, it holds a value, which is not used again.
    #[inline]
    pub(crate) unsafe fn read(&self, position: usize) -> T {
        self.touch(position);
        // SAFETY: in bounds by the mask, initialised and owned by the caller.
        unsafe { self.pointer(position).read() }
    }

    /// The `count` slots from `position` on, as the part before the ring's end and the part after it.
    ///
    /// The pointers are valid for the lengths beside them. `count` is at most `len()`.
    #[inline]
    pub(crate) fn parts(&self, position: usize, count: usize) -> [(*mut T, usize); 2] {
        debug_assert!(count <= self.len());
        let until_end = count.min(self.len() - (position & self.mask));
        #[cfg(loom)]
        for offset in 0..count {
            self.touch(position.wrapping_add(offset));
        }
        [(self.pointer(position), until_end), (self.base, count - until_end)]
    }

    /// As [`parts`](Self::parts), to be read only, also by several threads at once.
    ///
    /// Say it again with [`still_reads`](Self::still_reads) when the reading ends.
    #[inline]
    pub(crate) fn shared_parts(&self, position: usize, count: usize) -> [(*const T, usize); 2] {
        debug_assert!(count <= self.len());
        self.still_reads(position, count);
        let until_end = count.min(self.len() - (position & self.mask));
        [(self.pointer(position), until_end), (self.base, count - until_end)]
    }

    /// Says that the calling thread reads these slots at this moment, too: a model then sees a write in between.
    #[inline]
    pub(crate) fn still_reads(&self, position: usize, count: usize) {
        #[cfg(loom)]
        for offset in 0..count {
            // SAFETY: as many witnesses as slots, alive with them, per the contract of the callers.
            let witness = unsafe { &*self.witnesses.wrapping_add(position.wrapping_add(offset) & self.mask) };
            witness.reads();
        }
        #[cfg(not(loom))]
        let _ = (position, count);
    }

    /// Starts to bring the slot of `position` near, for a look that is going to follow. A hint: reads nothing.
    #[inline]
    pub(crate) fn prefetch(&self, position: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: x86-64 has the instruction, and it faults on no address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.pointer(position).cast_const().cast::<i8>()) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = position;
    }

    #[inline]
    fn touch(&self, position: usize) {
        #[cfg(loom)]
        {
            // SAFETY: as many witnesses as slots, alive with them, per the contract of the callers.
            let witness = unsafe { &*self.witnesses.wrapping_add(position & self.mask) };
            witness.writes();
        }
        #[cfg(not(loom))]
        let _ = position;
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
