//! Buffers of trains, used again.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Free buffers of two sizes, and buffers that somebody else still reads.
#[derive(Debug, Default)]
pub struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    shared: VecDeque<Arc<Vec<u8>>>,
}

impl Pool {
    /// An empty buffer for one packet of `bytes`.
    pub fn take_small(&mut self, bytes: usize) -> Vec<u8> {
        self.collect();
        self.small.pop().unwrap_or_else(|| Vec::with_capacity(SMALL_BYTES.max(bytes)))
    }

    /// An empty buffer for a whole train.
    pub fn take_large(&mut self) -> Vec<u8> {
        self.collect();
        self.large.pop().unwrap_or_else(|| Vec::with_capacity(LARGE_BYTES))
    }

    /// Takes a buffer back.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() >= LARGE_BYTES {
            if self.large.len() < LARGE_KEPT {
                self.large.push(buffer);
            }
        } else if buffer.capacity() >= SMALL_BYTES && self.small.len() < SMALL_KEPT {
            self.small.push(buffer);
        }
    }

    /// Takes a buffer back that the kernel may still read.
    pub fn give_shared(&mut self, buffer: Arc<Vec<u8>>) {
        if self.shared.len() < SHARED_KEPT {
            self.shared.push_back(buffer);
        }
    }

    fn collect(&mut self) {
        for _ in 0..4 {
            let Some(buffer) = self.shared.pop_front() else { return };
            match Arc::try_unwrap(buffer) {
                Ok(buffer) => self.give(buffer),
                Err(buffer) => {
                    self.shared.push_front(buffer);
                    return;
                }
            }
        }
    }
}

/// A packet of a path with an MTU of 1500, and an acknowledgement.
const SMALL_BYTES: usize = 2048;
/// A train with its last acknowledgement.
pub const LARGE_BYTES: usize = 65_536;
const SMALL_KEPT: usize = 4096;
const LARGE_KEPT: usize = 256;
const SHARED_KEPT: usize = 8192;
