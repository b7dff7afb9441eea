//! Memory that the kernel writes into while nobody here holds a reference to it.

use std::ptr::NonNull;

/// A page-aligned block of zeroed memory, reached through offsets.
///
/// Invariant: the bytes of a range are borrowed as a slice only while the owner of the region (see
/// [`crate::io::Buffers`]) knows that the kernel does not write there.
#[derive(Debug)]
pub struct Region {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a region is plain memory that it owns alone; nothing in it is tied to a thread.
unsafe impl Send for Region {}

impl Region {
    /// Takes `len` bytes from the system (rounded up to pages, at least one). Errors: `ENOMEM`.
    pub fn new(len: usize) -> std::io::Result<Region> {
        let len = len.max(1).next_multiple_of(4096);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping touches no existing memory.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let start =
            NonNull::new(start.cast()).ok_or_else(|| std::io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Region { start, len })
    }

    /// Bytes in the region, at least a page.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The address of an offset, for the kernel. Panics outside the region.
    pub fn pointer(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset <= self.len && len <= self.len - offset, "range {offset}+{len} of {}", self.len);
        // SAFETY: `offset` is inside the mapping, as just checked.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// Bytes that the kernel does not write to now.
    ///
    /// # Safety
    /// No operation in flight writes to the range, and no `slice_mut` of it lives.
    pub unsafe fn slice(&self, offset: usize, len: usize) -> &[u8] {
        let start = self.pointer(offset, len);
        // SAFETY: in the mapping (checked by `pointer`), initialised (zeroed by the system), unaliased by writers per the contract.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    /// Bytes to write to ourselves.
    ///
    /// # Safety
    /// No operation in flight uses the range, and no other slice of it lives.
    #[expect(clippy::mut_from_ref, reason = "the contract makes the range exclusive, not the region")]
    pub unsafe fn slice_mut(&self, offset: usize, len: usize) -> &mut [u8] {
        let start = self.pointer(offset, len);
        // SAFETY: in the mapping, initialised, and exclusive per the contract.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone and ends here; operations that point into it ended before (see `sys::ring`).
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
