//! Bytes received and not yet used, in order, where they lie.

use crate::io::{Chunk, Driver, Lease};
use std::collections::VecDeque;

/// Received bytes of one side of an exchange.
#[derive(Debug, Default)]
pub(super) struct Input {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are used up, when it is an owned one.
    used: usize,
    len: usize,
}

impl Input {
    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it holds no more memory of its own than a few pieces need.
    pub fn is_small(&self) -> bool {
        self.chunks.capacity() <= CHUNKS_KEPT_MAX
    }

    /// Adds bytes at the end.
    pub fn push<D: Driver>(&mut self, driver: &mut D, chunk: Chunk) {
        let len = match &chunk {
            Chunk::Owned(bytes) => bytes.len(),
            Chunk::Lease(lease) => lease.len(),
            Chunk::Shared(bytes) => bytes.len(),
        };
        if len == 0 {
            release(driver, chunk);
            return;
        }
        self.len += len;
        self.chunks.push_back(chunk);
    }

    /// Adds lent bytes behind others that wait: a small piece is copied, so that a sender of single bytes does not pin a buffer with each.
    /// Returns how many bytes were copied.
    pub fn push_waiting<D: Driver>(&mut self, driver: &mut D, lease: Lease) -> usize {
        if self.chunks.is_empty() || lease.len() > PIECE_BYTES_MAX {
            self.push(driver, Chunk::Lease(lease));
            return 0;
        }
        let count = lease.len();
        if !matches!(self.chunks.back(), Some(Chunk::Owned(bytes)) if bytes.len() + count <= bytes.capacity())
        {
            let buffer = driver.buffer();
            self.chunks.push_back(Chunk::Owned(buffer));
        }
        if let Some(Chunk::Owned(bytes)) = self.chunks.back_mut() {
            bytes.extend_from_slice(driver.bytes(&lease));
        }
        self.len += count;
        driver.release(lease);
        count
    }

    /// Puts bytes back in front of all others.
    pub fn put_back(&mut self, bytes: Vec<u8>) {
        let used = std::mem::take(&mut self.used);
        if used > 0
            && let Some(Chunk::Owned(front)) = self.chunks.front_mut()
        {
            front.drain(..used);
        }
        self.len += bytes.len();
        self.chunks.push_front(Chunk::Owned(bytes));
    }

    /// The first bytes that lie together.
    pub fn front<'a, D: Driver>(&'a self, driver: &'a D) -> &'a [u8] {
        match self.chunks.front() {
            None => &[],
            Some(Chunk::Owned(bytes)) => &bytes[self.used..],
            Some(Chunk::Lease(lease)) => driver.bytes(lease),
            Some(Chunk::Shared(bytes)) => &bytes[self.used..],
        }
    }

    /// Whether all bytes lie together in a buffer of our own, so that no received buffer is held.
    pub fn is_gathered(&self) -> bool {
        self.chunks.len() <= 1 && !matches!(self.chunks.front(), Some(Chunk::Lease(_)))
    }

    /// Copies all bytes into one buffer of our own, so that a head in pieces lies together and a slow sender holds no received buffer.
    /// Returns how many bytes were copied.
    pub fn gather<D: Driver>(&mut self, driver: &mut D) -> usize {
        if self.is_gathered() {
            return 0;
        }
        let copied = self.len;
        let mut whole = match self.chunks.front_mut() {
            Some(Chunk::Owned(bytes)) if self.used == 0 => std::mem::take(bytes),
            _ => driver.buffer(),
        };
        let skip_first = !whole.is_empty();
        whole.reserve(self.len);
        let used = std::mem::take(&mut self.used);
        for (index, chunk) in std::mem::take(&mut self.chunks).into_iter().enumerate() {
            match &chunk {
                Chunk::Owned(_) if index == 0 && skip_first => {}
                Chunk::Owned(bytes) => whole.extend_from_slice(&bytes[if index == 0 { used } else { 0 }..]),
                Chunk::Lease(lease) => whole.extend_from_slice(driver.bytes(lease)),
                Chunk::Shared(bytes) => {
                    whole.extend_from_slice(&bytes[if index == 0 { used } else { 0 }..]);
                }
            }
            release(driver, chunk);
        }
        debug_assert_eq!(whole.len(), self.len);
        self.chunks.push_back(Chunk::Owned(whole));
        copied
    }

    /// Forgets the first `count` bytes, which lie together.
    pub fn advance<D: Driver>(&mut self, driver: &mut D, count: usize) {
        if count == 0 {
            return;
        }
        self.len -= count;
        let whole = match self.chunks.front_mut() {
            None => return,
            Some(Chunk::Owned(bytes)) => {
                self.used += count;
                self.used == bytes.len()
            }
            Some(Chunk::Lease(lease)) => {
                lease.advance(count);
                lease.is_empty()
            }
            Some(Chunk::Shared(bytes)) => {
                self.used += count;
                self.used == bytes.len()
            }
        };
        if whole {
            self.used = 0;
            if let Some(chunk) = self.chunks.pop_front() {
                release(driver, chunk);
            }
        }
    }

    /// Takes the first `count` bytes, which lie together, to be sent on. Lent bytes are not copied.
    pub fn take<D: Driver>(&mut self, driver: &mut D, count: usize) -> Chunk {
        let part = match self.chunks.front_mut() {
            None => return Chunk::Owned(Vec::new()),
            Some(Chunk::Lease(lease)) if lease.len() > count => {
                self.len -= count;
                return Chunk::Lease(driver.split(lease, count));
            }
            Some(Chunk::Lease(_)) => None,
            Some(Chunk::Owned(bytes)) if self.used == 0 && bytes.len() == count => None,
            Some(Chunk::Owned(bytes)) => Some(bytes[self.used..self.used + count].to_vec()),
            Some(Chunk::Shared(bytes)) => Some(bytes[self.used..self.used + count].to_vec()),
        };
        match part {
            Some(part) => {
                self.advance(driver, count);
                Chunk::Owned(part)
            }
            None => {
                self.len -= count;
                self.chunks.pop_front().unwrap_or(Chunk::Owned(Vec::new()))
            }
        }
    }

    /// Forgets everything.
    pub fn clear<D: Driver>(&mut self, driver: &mut D) {
        for chunk in self.chunks.drain(..) {
            release(driver, chunk);
        }
        self.used = 0;
        self.len = 0;
    }
}

/// Pieces that there is room for without another look at it.
const CHUNKS_KEPT_MAX: usize = 16;
/// A lease of up to this many bytes is copied rather than kept waiting.
pub(super) const PIECE_BYTES_MAX: usize = 2 << 10;

fn release<D: Driver>(driver: &mut D, chunk: Chunk) {
    match chunk {
        Chunk::Owned(bytes) => driver.recycle(bytes),
        Chunk::Lease(lease) => driver.release(lease),
        Chunk::Shared(_) => {}
    }
}
