//! What operations in flight are and own.

use crate::io::{Buffers, Chunk, DatagramId, Empty, ListenerId, Part, StreamId};
use crate::sys::message::{Arrived, MessageHead};
use crate::sys::socket::RawAddress;

/// Which operation, and whose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Connections on a listener.
    Accept(ListenerId),
    /// A connection to a peer.
    Connect(StreamId),
    /// Bytes into shared buffers.
    Recv(StreamId),
    /// Bytes into a block, once.
    RecvBlock(StreamId),
    /// Bytes out.
    Send(StreamId),
    /// Bytes that wait until the socket takes some again.
    SendReady(StreamId),
    /// A splice that waits for its source or its target; named by the source.
    Splice(StreamId),
    /// Datagrams in.
    RecvMessage(DatagramId),
    /// Datagrams out.
    SendMessage(DatagramId),
    /// The eventfd of the waker.
    Wake,
}

/// Memory that an operation owns while it is in flight.
#[derive(Debug)]
pub enum Held {
    /// None.
    Nothing,
    /// Where to connect to.
    Address(Box<RawAddress>),
    /// A buffer to be filled.
    Block(Empty),
    /// Bytes to be sent.
    Send(Box<SendFlight>),
    /// A train of datagrams to be received.
    Incoming(Box<Incoming>),
    /// A train of datagrams to be sent.
    Outgoing(Box<Outgoing>),
}

impl Held {
    /// Returns buffers and leases to where they came from.
    pub fn give_back(self, buffers: &mut Buffers) {
        match self {
            Held::Block(block) => buffers.put_back(block),
            Held::Send(mut flight) => {
                for chunk in flight.chunks.drain(..) {
                    if let Chunk::Lease(lease) = chunk {
                        buffers.release(lease);
                    }
                }
            }
            Held::Incoming(mut incoming) => {
                if let Some(buffer) = incoming.buffer.take() {
                    buffers.put_back(buffer);
                }
            }
            Held::Nothing | Held::Address(_) | Held::Outgoing(_) => {}
        }
    }
}

/// Chunks that travel in one send.
#[derive(Debug)]
pub struct SendFlight {
    /// At most [`SendFlight::CHUNKS_MAX`]; set before the send, untouched until it has ended.
    pub chunks: Vec<Chunk>,
    /// Bytes of the chunks together.
    pub len: usize,
    /// Bytes that earlier sends of this flight have done.
    pub sent: usize,
    vectors: [libc::iovec; Self::CHUNKS_MAX],
    message: libc::msghdr,
}

// SAFETY: the raw pointers inside are only set by `prepare` and only read by the kernel; they point at what `chunks` owns.
unsafe impl Send for SendFlight {}

pub(super) enum Prepared {
    One(*const u8, u32),
    Many(*const libc::msghdr),
}

impl SendFlight {
    /// Chunks in one flight at most.
    pub const CHUNKS_MAX: usize = 16;

    /// An empty one, to be filled and reused.
    pub fn new() -> Box<SendFlight> {
        // SAFETY: `iovec` is plain data for which zero is a value.
        let vectors = unsafe { std::mem::zeroed() };
        // SAFETY: and so is `msghdr`.
        let message = unsafe { std::mem::zeroed() };
        Box::new(SendFlight {
            chunks: Vec::with_capacity(Self::CHUNKS_MAX),
            len: 0,
            sent: 0,
            vectors,
            message,
        })
    }

    /// Points at the bytes that are still to be sent.
    pub(super) fn prepare(&mut self, buffers: &Buffers) -> Prepared {
        let mut skip = self.sent;
        let mut count = 0;
        for chunk in &self.chunks {
            let (pointer, len) = match chunk {
                Chunk::Owned(bytes) => (bytes.as_ptr(), bytes.len()),
                Chunk::Lease(lease) => (buffers.pointer(lease), lease.len()),
                Chunk::Shared(bytes) => (bytes.as_ptr(), bytes.len()),
            };
            if skip >= len {
                skip -= len;
                continue;
            }
            let base = pointer.wrapping_add(skip).cast_mut().cast();
            self.vectors[count] = libc::iovec { iov_base: base, iov_len: len - skip };
            skip = 0;
            count += 1;
        }
        if count == 1 {
            let only = &self.vectors[0];
            return Prepared::One(
                only.iov_base.cast_const().cast(),
                only.iov_len.min(u32::MAX as usize) as u32,
            );
        }
        self.message.msg_iov = self.vectors.as_mut_ptr();
        self.message.msg_iovlen = count;
        Prepared::Many(&raw const self.message)
    }
}

/// A receive of trains: many into buffers that the kernel picks, or one into a buffer of its own.
#[derive(Debug)]
pub struct Incoming {
    /// Where the bytes of one train go; set by [`super::Ring::receive_train`], taken by the receiver.
    pub buffer: Option<Empty>,
    pub(super) head: MessageHead,
}

impl Incoming {
    /// Reused from train to train.
    pub fn new() -> Box<Incoming> {
        Box::new(Incoming { buffer: None, head: MessageHead::new() })
    }

    /// What came with the train, after the receive of one has ended.
    pub fn arrived(&self) -> Arrived {
        self.head.arrived()
    }
}

/// A train of datagrams on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// The bytes and where they go; set before the send, untouched until it has ended.
    pub part: Option<Part>,
    pub(super) head: MessageHead,
}

impl Outgoing {
    /// An empty one, to be filled and reused.
    pub fn new() -> Box<Outgoing> {
        Box::new(Outgoing { part: None, head: MessageHead::new() })
    }
}
