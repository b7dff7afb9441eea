//! Fixed-size buffers from one allocation, lent by reference count and returned from any thread.
//!
//! A [`Pool`] has a number of buffers of one size, both fixed when it is made. [`Pool::take`] lends one
//! as a [`Lease`], which may be written while it is the only one, and then cut and cloned for the price
//! of a counter. The last lease of a buffer puts it back. The memory lives until pool and leases are gone.
//!
//! Bounds: `count` buffers out at once, then [`Pool::take`] says `None` and counts it.
//! A lease pins its whole buffer; [`Lease::retain`] copies a small part out instead.
//!
//! ```
//! use clustercore_queue::lease::Pool;
//!
//! let pool = Pool::new(2, 2048);
//! let mut train = pool.take().unwrap();
//! train.as_mut_slice().unwrap()[..10].copy_from_slice(b"helloworld");
//! let (hello, rest) = train.split(5);
//! let world = rest.slice(..5);
//! assert_eq!((&*hello, &*world), (&b"hello"[..], &b"world"[..]));
//! assert_eq!(pool.in_use(), 1);
//! drop((hello, world, rest));
//! assert_eq!(pool.in_use(), 0);
//! ```

mod free;
mod handle;

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::NonNull;

use crossbeam_utils::CachePadded;

use self::free::FreeList;
pub use self::handle::{Lease, Retained};
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering, Witness};

/// A bounded set of equal buffers. Clones are the same pool.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

impl Pool {
    /// A pool of `count` buffers of `size` bytes, all zero, with the default limit for copies on retain.
    ///
    /// The memory is one page-aligned allocation of `count` times `size` rounded up to 64 bytes.
    /// Panics when `count` is 0 or above 16,777,214, `size` is 0 or above `u32::MAX`, or the product is
    /// more than the address space holds.
    pub fn new(count: usize, size: usize) -> Self {
        Self::with_retain_copy_max(count, size, RETAIN_COPY_BYTES)
    }

    /// As [`new`](Self::new); [`Lease::retain`] copies what is at most `retain_copy_max` bytes long.
    pub fn with_retain_copy_max(count: usize, size: usize, retain_copy_max: usize) -> Self {
        assert!(size > 0 && u32::try_from(size).is_ok(), "buffer size is {size}, limit is 1..={}", u32::MAX);
        let free = FreeList::new(count);
        let memory = Memory::new(count, size);
        let states = (0..count)
            .map(|_| CachePadded::new(State { references: AtomicU32::new(0), witness: Witness::new() }))
            .collect();
        let counters = CachePadded::new(Counters::new());
        Self { inner: Arc::new(Inner { memory, free, states, counters, retain_copy_max }) }
    }

    /// Lends a buffer, or `None` when all are out. Its bytes are what was last left in it, zeros at first.
    #[inline]
    pub fn take(&self) -> Option<Lease> {
        let Some(index) = self.inner.free.pop() else {
            // Relaxed: a count, read by nobody who decides.
            self.inner.counters.exhausted.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        Some(Lease::first(Arc::clone(&self.inner), index))
    }

    /// How many buffers there are.
    pub fn count(&self) -> usize {
        self.inner.states.len()
    }

    /// How many bytes each buffer has.
    pub fn size(&self) -> usize {
        self.inner.memory.size
    }

    /// How many buffers are out. Looks at each buffer, so it is for reports; others may move meanwhile.
    pub fn in_use(&self) -> usize {
        // Relaxed: a count of moments that are gone already.
        self.inner.states.iter().filter(|state| state.references.load(Ordering::Relaxed) > 0).count()
    }

    /// What has happened so far.
    pub fn counters(&self) -> PoolCounters {
        let counters = &self.inner.counters;
        PoolCounters {
            takes: self.inner.free.pops(),
            // Relaxed, all three: counts that order nothing.
            exhausted: counters.exhausted.load(Ordering::Relaxed),
            retain_copies: counters.retain_copies.load(Ordering::Relaxed),
            retain_copied_bytes: counters.retain_copied_bytes.load(Ordering::Relaxed),
        }
    }

    /// The whole allocation, start and bytes, for registering it with the kernel once.
    ///
    /// Valid while the pool or any lease lives. Buffer `i` starts [`stride`](Self::stride) times `i` in.
    pub fn region(&self) -> (*const u8, usize) {
        let memory = &self.inner.memory;
        (memory.base.as_ptr(), memory.layout.size())
    }

    /// Bytes from the start of one buffer to that of the next: the size rounded up to 64.
    pub fn stride(&self) -> usize {
        self.inner.memory.stride
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("count", &self.count())
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

/// What a pool has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounters {
    /// Buffers lent. Wraps at 2^40.
    pub takes: u64,
    /// Times that no buffer was left.
    pub exhausted: u64,
    /// Times that [`Lease::retain`] copied.
    pub retain_copies: u64,
    /// Bytes that it copied.
    pub retain_copied_bytes: u64,
}

/// What pool and leases share.
struct Inner {
    memory: Memory,
    free: FreeList,
    states: Box<[CachePadded<State>]>,
    counters: CachePadded<Counters>,
    retain_copy_max: usize,
}

/// Who uses one buffer. Padded: neighbours are used by different threads.
struct State {
    /// Leases of the buffer; 0 while it is in the pool.
    references: AtomicU32,
    witness: Witness,
}

struct Counters {
    exhausted: AtomicU64,
    retain_copies: AtomicU64,
    retain_copied_bytes: AtomicU64,
}

impl Counters {
    fn new() -> Self {
        Self {
            exhausted: AtomicU64::new(0),
            retain_copies: AtomicU64::new(0),
            retain_copied_bytes: AtomicU64::new(0),
        }
    }
}

/// The one allocation.
struct Memory {
    base: NonNull<u8>,
    layout: Layout,
    size: usize,
    stride: usize,
}

// SAFETY: plain bytes that this owns. Who may touch which of them is decided by the leases: shared reads
// by many, writes only through a unique one.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(count: usize, size: usize) -> Self {
        let stride = size.next_multiple_of(STRIDE);
        let bytes = stride.checked_mul(count).expect("pool is larger than the address space");
        let layout = Layout::from_size_align(bytes, PAGE).expect("pool is larger than the address space");
        // SAFETY: the layout is not empty, as `count` and `size` are not 0.
        let base = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
        Self { base, layout, size, stride }
    }

    /// Start of the buffer `index`, which is below the count.
    #[inline]
    fn buffer(&self, index: u32) -> *mut u8 {
        self.base.as_ptr().wrapping_add(index as usize * self.stride)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and the leases, each of which keeps the pool's
        // inside alive, are gone.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

/// Cache line: buffers of different threads share none.
const STRIDE: usize = 64;
/// Page: what direct I/O and registered buffers want.
const PAGE: usize = 4096;
/// Copying this much costs about as much as a cache miss or two: cheaper than a buffer out of use.
const RETAIN_COPY_BYTES: usize = 1024;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
