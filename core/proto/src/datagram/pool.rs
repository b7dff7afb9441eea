//! Buffers of trains, used again.

use super::writer::Trains;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Free buffers of two sizes, and buffers that somebody else still reads.
#[derive(Debug, Default)]
pub struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    shared: VecDeque<Arc<Vec<u8>>>,
    #[expect(clippy::vec_box, reason = "the boxes themselves are reused, they do not move")]
    trains: Vec<Box<Trains>>,
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

    /// Room for trains of a writer, empty.
    pub fn take_trains(&mut self) -> Box<Trains> {
        self.trains.pop().unwrap_or_default()
    }

    /// Takes such room back, empty.
    pub fn give_trains(&mut self, trains: Box<Trains>) {
        if self.trains.len() < TRAINS_KEPT {
            self.trains.push(trains);
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
const TRAINS_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_by_their_size() {
        let mut pool = Pool::default();
        let (mut small, mut large) = (pool.take_small(1472), pool.take_large());
        assert!(small.capacity() >= SMALL_BYTES && large.capacity() >= LARGE_BYTES);
        small.push(1);
        large.push(2);
        let places = (small.as_ptr(), large.as_ptr());
        pool.give(large);
        pool.give(small);
        let (small, large) = (pool.take_small(1200), pool.take_large());
        assert_eq!((small.as_ptr(), large.as_ptr()), places);
        assert!(small.is_empty() && large.is_empty());
    }

    #[test]
    fn a_buffer_that_somebody_reads_is_not_handed_out() {
        let mut pool = Pool::default();
        let shared = Arc::new(pool.take_small(1472));
        let place = shared.as_ptr();
        pool.give_shared(Arc::clone(&shared));
        let others: Vec<_> = (0..10).map(|_| pool.take_small(1472)).collect();
        assert!(others.iter().all(|other| other.as_ptr() != place));
        drop(shared);
        let again = pool.take_small(1472);
        assert_eq!(again.as_ptr(), place);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut pool = Pool::default();
        for _ in 0..2 * SMALL_KEPT {
            pool.give(Vec::with_capacity(SMALL_BYTES));
        }
        let held = Arc::new(Vec::new());
        for _ in 0..2 * SHARED_KEPT {
            pool.give_shared(Arc::clone(&held));
        }
        assert_eq!((pool.small.len(), pool.shared.len()), (SMALL_KEPT, SHARED_KEPT));
        pool.give(Vec::with_capacity(10));
        assert!(pool.take_small(1).capacity() >= SMALL_BYTES, "what is too small is not kept");
    }
}
