//! Equal buffers in one region, each with a count of the leases on it.

use crate::sys::memory::Region;

/// Buffers by number, from 0.
#[derive(Debug)]
pub(super) struct Pool {
    memory: Region,
    size: usize,
    leases: Vec<u32>,
    /// The one released last is used next: its bytes are in the cache.
    idle: Vec<u32>,
}

impl Pool {
    /// `count` buffers of `size` bytes; memory is taken from the system as it is touched. Errors: `ENOMEM`.
    pub fn new(count: u16, size: usize) -> std::io::Result<Pool> {
        let count = u32::from(count);
        Ok(Pool {
            memory: Region::new(count as usize * size)?,
            size,
            leases: vec![0; count as usize],
            idle: (0..count).rev().collect(),
        })
    }

    pub fn size(&self) -> usize {
        self.size
    }

    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// An idle buffer, which is the taker's until it is put back.
    pub fn take(&mut self) -> Option<u32> {
        self.idle.pop()
    }

    pub fn put_back(&mut self, number: u32) {
        self.idle.push(number);
    }

    /// Leases on a buffer; `None` for a number out of range.
    pub fn leases(&self, number: u32) -> Option<u32> {
        self.leases.get(number as usize).copied()
    }

    /// The same, to be changed. Panics for a number out of range.
    pub fn leases_mut(&mut self, number: u32) -> &mut u32 {
        &mut self.leases[number as usize]
    }

    /// The region, where the buffer starts in it, and the leases on it. Panics for a number out of range.
    pub fn place(&self, number: u32) -> (&Region, usize, u32) {
        (&self.memory, number as usize * self.size, self.leases[number as usize])
    }
}
