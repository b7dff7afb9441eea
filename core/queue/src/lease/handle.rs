//! A lease: a range of a lent buffer, counted.

use std::fmt;
use std::ops::{Bound, Deref, RangeBounds};
use std::ptr::NonNull;

use super::{Inner, State};
use crate::sync::{Arc, Ordering};

/// A range of bytes in a lent buffer. Any number may overlap; the last one returns the buffer.
///
/// Cloning and cutting cost one atomic increment and copy nothing. May move between threads and be
/// read from several.
pub struct Lease {
    /// Kept alive by the buffer: while it is out, it owns one count of the `Arc`, which the last lease
    /// gives back. So a lease costs one counter, not two.
    inner: NonNull<Inner>,
    index: u32,
    start: u32,
    len: u32,
}

// SAFETY: a lease gives shared access to bytes, and exclusive access only through `&mut` while it is the
// only one; the counter and the free list are atomic.
unsafe impl Send for Lease {}
// SAFETY: as above; `&Lease` only reads.
unsafe impl Sync for Lease {}

impl Lease {
    /// The only lease of a buffer just popped from the free list.
    #[inline]
    pub(super) fn first(inner: Arc<Inner>, index: u32) -> Self {
        let len = inner.memory.size as u32;
        // Relaxed: the buffer is ours alone until this lease goes to another thread.
        inner.states[index as usize].references.store(1, Ordering::Relaxed);
        let inner = Arc::into_raw(inner).cast_mut();
        // SAFETY: an `Arc`'s pointer is never null.
        Self { inner: unsafe { NonNull::new_unchecked(inner) }, index, start: 0, len }
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.state().witness.reads();
        // SAFETY: initialised from the start and inside the buffer; while any lease is shared nobody
        // writes, and `as_mut_slice` on this one would need `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start_pointer(), self.len as usize) }
    }

    /// The bytes, to be written, if this is the only lease of its buffer.
    #[inline]
    pub fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        if !self.is_unique() {
            return None;
        }
        self.state().witness.writes();
        // SAFETY: inside the buffer and initialised; no other lease exists, and none can be made while
        // this one is borrowed.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start_pointer(), self.len as usize) })
    }

    /// Whether no other lease of the buffer is left.
    #[inline]
    pub fn is_unique(&self) -> bool {
        // Acquire: pairs with the Release in `drop`; reads by leases that are gone come before our writes.
        self.state().references.load(Ordering::Acquire) == 1
    }

    /// A lease of a part of the same bytes.
    ///
    /// Panics when the range is not inside `0..len`.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let mut part = self.clone();
        part.narrow(range);
        part
    }

    /// Cuts in two at `at`: the bytes before it and those from it on.
    ///
    /// Panics when `at` is beyond the end.
    pub fn split(mut self, at: usize) -> (Self, Self) {
        let rest = self.slice(at..);
        self.narrow(..at);
        (self, rest)
    }

    /// Makes this lease one of a part of its bytes. Keeps it unique, if it was.
    ///
    /// Panics when the range is not inside `0..len`.
    pub fn narrow(&mut self, range: impl RangeBounds<usize>) {
        let len = self.len as usize;
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => len,
        };
        assert!(start <= end && end <= len, "range {start}..{end} of a lease of {len} bytes");
        // In u32 by the check: `len` is, and `start` of the new range stays inside the buffer.
        self.start += start as u32;
        self.len = (end - start) as u32;
    }

    /// Gives the bytes in a form fit to be kept: a copy when there are few, so that they do not hold a
    /// whole buffer back, else this lease. Copies are counted; the limit is the pool's.
    pub fn retain(self) -> Retained {
        // SAFETY: alive while this lease is.
        let inner = unsafe { self.inner.as_ref() };
        if self.len as usize > inner.retain_copy_max {
            return Retained::Lease(self);
        }
        // Relaxed, both: counts that order nothing.
        inner.counters.retain_copies.fetch_add(1, Ordering::Relaxed);
        inner.counters.retain_copied_bytes.fetch_add(u64::from(self.len), Ordering::Relaxed);
        Retained::Copy(self.as_slice().into())
    }

    /// Which buffer of the pool this is in: below [`Pool::count`](super::Pool::count).
    pub fn index(&self) -> usize {
        self.index as usize
    }

    /// Where in its buffer the lease starts, in bytes.
    pub fn offset(&self) -> usize {
        self.start as usize
    }

    #[inline]
    fn start_pointer(&self) -> *mut u8 {
        // SAFETY: alive while this lease is.
        let inner = unsafe { self.inner.as_ref() };
        inner.memory.buffer(self.index).wrapping_add(self.start as usize)
    }

    #[inline]
    fn state(&self) -> &State {
        // SAFETY: alive while this lease is.
        let inner = unsafe { self.inner.as_ref() };
        &inner.states[self.index as usize]
    }
}

impl Clone for Lease {
    #[inline]
    fn clone(&self) -> Self {
        // Relaxed: we hold a lease, so the count is not 0; handing the clone over orders the rest.
        let before = self.state().references.fetch_add(1, Ordering::Relaxed);
        if before > REFERENCES_MAX {
            // Only leaked leases get here, and a wrapped count would free memory in use.
            std::process::abort();
        }
        Self { inner: self.inner, index: self.index, start: self.start, len: self.len }
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        // AcqRel: Release puts our use of the bytes before the last drop; Acquire lets the last one see all.
        if self.state().references.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        // SAFETY: `first` turned one count of the `Arc` into this pointer, once for each time the buffer
        // goes out, and only the last lease gets here.
        let inner = unsafe { Arc::from_raw(self.inner.as_ptr().cast_const()) };
        inner.free.push(self.index);
    }
}

impl Deref for Lease {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("index", &self.index)
            .field("start", &self.start)
            .field("len", &self.len)
            .finish()
    }
}

/// Bytes to keep: see [`Lease::retain`].
#[derive(Debug)]
pub enum Retained {
    /// Few: copied, the buffer may go back.
    Copy(Box<[u8]>),
    /// Many: still in the buffer.
    Lease(Lease),
}

impl Deref for Retained {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Copy(bytes) => bytes,
            Self::Lease(lease) => lease,
        }
    }
}

impl AsRef<[u8]> for Retained {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Half of what the counter holds, as in the standard library: room for those who count past it at once.
const REFERENCES_MAX: u32 = u32::MAX / 2;
