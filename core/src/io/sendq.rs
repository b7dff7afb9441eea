//! Bytes that wait to be sent on one stream, in order.

use super::{Buffers, Chunk};
use std::collections::VecDeque;
use std::io::IoSlice;

/// A queue of chunks. The first one may be sent in part.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are sent already, when it is no lease.
    sent: usize,
    unsent: usize,
}

impl SendQueue {
    /// Adds a chunk at the end. An empty one is recycled at once.
    pub fn push(&mut self, chunk: Chunk, buffers: &mut Buffers, spare: &mut Spare) {
        let len = chunk_len(&chunk);
        if len == 0 {
            drop_chunk(chunk, buffers, spare);
            return;
        }
        self.unsent += len;
        match (self.chunks.back_mut(), chunk) {
            // Small pieces behind each other share a buffer: a reader that is slow to take them holds no more than their bytes.
            (Some(Chunk::Owned(last)), Chunk::Owned(next)) if last.len() + next.len() <= last.capacity() => {
                last.extend_from_slice(&next);
                spare.put(next);
            }
            (_, chunk) => self.chunks.push_back(chunk),
        }
    }

    /// Whether it holds no more memory of its own than a few chunks need.
    pub fn is_small(&self) -> bool {
        self.chunks.capacity() <= CHUNKS_KEPT_MAX
    }

    /// Bytes that wait.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The first bytes as slices for a vectored write, `N` slices at most.
    pub fn slices<'a, const N: usize>(&'a self, buffers: &'a Buffers, out: &mut [IoSlice<'a>; N]) -> usize {
        let mut count = 0;
        for (chunk, slot) in self.chunks.iter().zip(out.iter_mut()) {
            let bytes = match chunk {
                Chunk::Owned(bytes) => &bytes[if count == 0 { self.sent } else { 0 }..],
                Chunk::Lease(lease) => buffers.bytes(lease),
                Chunk::Shared(bytes) => &bytes[if count == 0 { self.sent } else { 0 }..],
            };
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// Forgets the first `count` bytes, which have been sent; what they lay in is given back.
    pub fn consume(&mut self, mut count: usize, buffers: &mut Buffers, spare: &mut Spare) {
        self.unsent -= count;
        while count > 0 {
            let Some(first) = self.chunks.front_mut() else { return };
            let len = chunk_len(first) - self.sent;
            if count < len {
                match first {
                    Chunk::Owned(_) | Chunk::Shared(_) => self.sent += count,
                    Chunk::Lease(lease) => lease.advance(count),
                }
                return;
            }
            count -= len;
            self.sent = 0;
            if let Some(chunk) = self.chunks.pop_front() {
                drop_chunk(chunk, buffers, spare);
            }
        }
    }

    /// Takes the next chunk out, for a driver that hands whole chunks to the kernel. Nothing of it has been sent.
    pub fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.unsent -= chunk_len(&chunk);
        Some(chunk)
    }

    /// Gives everything back.
    pub fn clear(&mut self, buffers: &mut Buffers, spare: &mut Spare) {
        for chunk in self.chunks.drain(..) {
            drop_chunk(chunk, buffers, spare);
        }
        self.sent = 0;
        self.unsent = 0;
    }
}

/// Send buffers kept for reuse, a bounded number of bounded size.
#[derive(Debug, Default)]
pub(crate) struct Spare(Vec<Vec<u8>>);

impl Spare {
    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(2048))
    }
    /// Keeps a buffer for later, unless there are enough or it has grown large.
    pub fn put(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < SPARE_MAX && (1..=SPARE_BYTES_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

/// Bytes of a chunk.
pub(crate) fn chunk_len(chunk: &Chunk) -> usize {
    match chunk {
        Chunk::Owned(bytes) => bytes.len(),
        Chunk::Lease(lease) => lease.len(),
        Chunk::Shared(bytes) => bytes.len(),
    }
}

/// Gives back what a chunk lies in.
pub(crate) fn drop_chunk(chunk: Chunk, buffers: &mut Buffers, spare: &mut Spare) {
    match chunk {
        Chunk::Owned(bytes) => spare.put(bytes),
        Chunk::Lease(lease) => buffers.release(lease),
        Chunk::Shared(_) => {}
    }
}

/// Chunks that an empty queue may keep room for.
const CHUNKS_KEPT_MAX: usize = 16;
const SPARE_MAX: usize = 256;
const SPARE_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::BuffersConfig;

    #[test]
    fn a_partly_sent_queue_goes_on_where_it_stopped() {
        let mut buffers = Buffers::new(BuffersConfig::default()).unwrap();
        let mut spare = Spare::default();
        let mut queue = SendQueue::default();
        let mut empty = buffers.take_shared().unwrap();
        buffers.bytes_mut(&mut empty)[..4].copy_from_slice(b"body");
        let lease = buffers.lend(empty, 0, 4);
        queue.push(Chunk::Owned(b"head".to_vec()), &mut buffers, &mut spare);
        queue.push(Chunk::Owned(Vec::new()), &mut buffers, &mut spare);
        queue.push(Chunk::Lease(lease), &mut buffers, &mut spare);
        assert_eq!(queue.unsent(), 8);
        queue.consume(2, &mut buffers, &mut spare);
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(queue.slices(&buffers, &mut slices), 2);
        assert_eq!((&*slices[0], &*slices[1]), (&b"ad"[..], &b"body"[..]));
        queue.consume(3, &mut buffers, &mut spare);
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(queue.slices(&buffers, &mut slices), 1);
        assert_eq!(&*slices[0], b"ody");
        queue.consume(3, &mut buffers, &mut spare);
        assert!(queue.is_empty() && queue.unsent() == 0);
        assert_eq!(buffers.lent(), 0);
    }
}
