//! What operations in flight are and own.

use crate::io::{Buffers, Chunk, DatagramId, Empty, ListenerId, StreamId};
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
                if let Some(block) = incoming.block.take() {
                    buffers.put_back(block);
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

/// Room for one train of datagrams with its address and segment size.
#[derive(Debug)]
pub struct Incoming {
    /// Where the bytes go; set by [`super::Ring::recv_message`], taken by the receiver.
    pub block: Option<Empty>,
    address: RawAddress,
    control: Control,
    vector: libc::iovec,
    message: libc::msghdr,
}

// SAFETY: the raw pointers inside are only set by `prepare` and only read by the kernel.
unsafe impl Send for Incoming {}

impl Incoming {
    /// Reused from train to train.
    pub fn new() -> Box<Incoming> {
        // SAFETY: `iovec` is plain data for which zero is a value.
        let vector = unsafe { std::mem::zeroed() };
        // SAFETY: and so is `msghdr`.
        let message = unsafe { std::mem::zeroed() };
        Box::new(Incoming {
            block: None,
            address: RawAddress::empty(),
            control: Control([0; 8]),
            vector,
            message,
        })
    }

    pub(super) fn prepare(&mut self, buffers: &Buffers) -> *mut libc::msghdr {
        if let Some(block) = &self.block {
            self.vector =
                libc::iovec { iov_base: buffers.pointer_mut(block).cast(), iov_len: buffers.capacity(block) };
        }
        let (name, name_len) = self.address.parts_mut();
        self.message.msg_name = name;
        self.message.msg_namelen = name_len;
        self.message.msg_iov = &raw mut self.vector;
        self.message.msg_iovlen = 1;
        self.message.msg_control = self.control.0.as_mut_ptr().cast();
        self.message.msg_controllen = size_of::<Control>();
        &raw mut self.message
    }

    /// The sender, after the receive has ended.
    pub fn from(&self) -> Option<std::net::SocketAddr> {
        self.address.to_address()
    }

    /// Bytes of each datagram of the train when the kernel joined several (UDP_GRO), after the receive has ended.
    pub fn segment(&self) -> Option<u32> {
        // SAFETY: the message points at our own control buffer, whose valid length the kernel has set.
        let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const self.message) };
        while !header.is_null() {
            // SAFETY: not NULL, so a whole header within the control buffer.
            let head = unsafe { header.read_unaligned() };
            if head.cmsg_level == libc::SOL_UDP && head.cmsg_type == libc::UDP_GRO {
                // SAFETY: the data of this header starts here.
                let data = unsafe { libc::CMSG_DATA(header) };
                // SAFETY: UDP_GRO carries an int.
                let segment = unsafe { data.cast::<libc::c_int>().read_unaligned() };
                return u32::try_from(segment).ok();
            }
            // SAFETY: `header` is a header of this message.
            header = unsafe { libc::CMSG_NXTHDR(&raw const self.message, header) };
        }
        None
    }
}

/// A train of datagrams on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// The bytes of all datagrams.
    pub bytes: Vec<u8>,
    address: RawAddress,
    segment: Option<u16>,
    control: Control,
    vector: libc::iovec,
    message: libc::msghdr,
}

// SAFETY: the raw pointers inside are only set by `prepare` and only read by the kernel; they point at what the value owns.
unsafe impl Send for Outgoing {}

impl Outgoing {
    /// `segment`: bytes of each datagram when there are several (UDP_SEGMENT).
    pub fn new(to: std::net::SocketAddr, bytes: Vec<u8>, segment: Option<u16>) -> Box<Outgoing> {
        // SAFETY: `iovec` is plain data for which zero is a value.
        let vector = unsafe { std::mem::zeroed() };
        // SAFETY: and so is `msghdr`.
        let message = unsafe { std::mem::zeroed() };
        Box::new(Outgoing { bytes, address: to.into(), segment, control: Control([0; 8]), vector, message })
    }

    pub(super) fn prepare(&mut self) -> *const libc::msghdr {
        self.vector = libc::iovec { iov_base: self.bytes.as_mut_ptr().cast(), iov_len: self.bytes.len() };
        let (name, name_len) = self.address.parts();
        self.message.msg_name = name.cast_mut().cast();
        self.message.msg_namelen = name_len;
        self.message.msg_iov = &raw mut self.vector;
        self.message.msg_iovlen = 1;
        if let Some(segment) = self.segment {
            // SAFETY: plain arithmetic on a constant.
            self.message.msg_controllen = unsafe { libc::CMSG_SPACE(2) } as usize;
            self.message.msg_control = self.control.0.as_mut_ptr().cast();
            // SAFETY: the control buffer is aligned and large enough for one header.
            let header = unsafe { libc::CMSG_FIRSTHDR(&raw const self.message) };
            let head = libc::cmsghdr {
                // SAFETY: plain arithmetic on a constant.
                cmsg_len: unsafe { libc::CMSG_LEN(2) } as usize,
                cmsg_level: libc::SOL_UDP,
                cmsg_type: libc::UDP_SEGMENT,
            };
            // SAFETY: points into the control buffer, with room for the header.
            unsafe { header.write(head) };
            // SAFETY: the data follows the header inside the buffer.
            let data = unsafe { libc::CMSG_DATA(header) };
            // SAFETY: there is room for two bytes of data.
            unsafe { data.cast::<u16>().write_unaligned(segment) };
        }
        &raw const self.message
    }
}

/// Ancillary data, aligned as its headers want it.
#[derive(Debug)]
struct Control([u64; 8]);
