//! Trains of datagrams through the ring.

use super::{BufRing, Held, Incoming, Kind, Op, Outgoing, Ring};
use crate::io::{Buffers, Empty};
use io_uring::{opcode, types};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

impl Ring {
    /// Takes the memory that trains are received into, with the first datagram socket: `count` buffers, a power of two. Errors: `ENOMEM`,
    /// `EINVAL`; `EEXIST` on another thread than the ring's.
    pub fn set_up_trains(&mut self, count: u16) -> io::Result<()> {
        self.buffers.set_up_trains(count)?;
        if self.trains.is_none() && self.features.multishot_recv {
            *self.trains = Some(BufRing::new(&self.ring, TRAIN_GROUP, count, TRAINS_GIVEN_MAX as u16)?);
        }
        Ok(())
    }

    /// Whether one request receives many trains, into buffers that the kernel picks (6.0).
    pub fn picks_trains(&self) -> bool {
        self.trains.is_some()
    }

    /// Hands idle train buffers to the kernel. Returns how many the kernel has.
    pub fn provide_trains(&mut self) -> usize {
        match &mut *self.trains {
            Some(trains) => trains.provide(&mut self.buffers, Buffers::take_train),
            None => 0,
        }
    }

    /// The train buffer that a completion names, now ours, with `len` bytes that the kernel wrote. `None` for a number that the kernel
    /// cannot have meant.
    ///
    /// The kernel has as many buffers as are filled out of the cache: few where trains are long, many where single datagrams come.
    pub fn filled_train(&mut self, number: u16, len: u32) -> Option<Empty> {
        let trains = self.trains.as_mut()?;
        let empty = self.buffers.filled_train(number)?;
        trains.on_filled();
        self.train_bytes = self.train_bytes - self.train_bytes / 16 + len / 16;
        let given_max = TRAINS_CACHED_BYTES / self.train_bytes.max(1);
        trains.given_max = given_max.clamp(TRAINS_GIVEN_MIN, TRAINS_GIVEN_MAX) as u16;
        Some(empty)
    }

    /// Whether the last completion of an operation is still to be looked at.
    pub fn is_in_flight(&self, op: Op) -> bool {
        self.table.get(op).is_some()
    }

    /// Receives trains until cancelled or out of buffers, each into a buffer that the kernel picks (see [`crate::sys::message::parse_picked`]).
    pub fn receive_trains(
        &mut self,
        fd: BorrowedFd<'_>,
        incoming: Box<Incoming>,
        kind: Kind,
    ) -> io::Result<Op> {
        let fd = types::Fd(fd.as_raw_fd());
        self.start(kind, Held::Incoming(incoming), |held, _| {
            let Held::Incoming(incoming) = held else { unreachable!("just made") };
            opcode::RecvMsgMulti::new(fd, incoming.head.prepare_picked(), TRAIN_GROUP).build()
        })
    }

    /// Receives one train into the buffer that `incoming` has.
    pub fn receive_train(
        &mut self,
        fd: BorrowedFd<'_>,
        incoming: Box<Incoming>,
        kind: Kind,
    ) -> io::Result<Op> {
        let fd = types::Fd(fd.as_raw_fd());
        self.start(kind, Held::Incoming(incoming), |held, buffers| {
            let Held::Incoming(incoming) = held else { unreachable!("just made") };
            let (pointer, room) = match &incoming.buffer {
                Some(buffer) => (buffers.pointer_mut(buffer), buffers.capacity(buffer)),
                None => (std::ptr::null_mut(), 0),
            };
            opcode::RecvMsg::new(fd, incoming.head.prepare_receive(pointer, room)).build()
        })
    }

    /// Sends the part that `outgoing` has, as one datagram or cut by the kernel. Waits for room in the socket.
    pub fn send_train(&mut self, fd: BorrowedFd<'_>, outgoing: Box<Outgoing>, kind: Kind) -> io::Result<Op> {
        let fd = types::Fd(fd.as_raw_fd());
        self.start(kind, Held::Outgoing(outgoing), |held, _| {
            let Held::Outgoing(outgoing) = held else { unreachable!("just made") };
            let Outgoing { part, head } = &mut **outgoing;
            let part = part.as_ref().expect("a send has something to send");
            let bytes = part.bytes();
            let segment = part.is_train().then_some(part.segment as u16);
            let message = head.prepare_send(part.to, bytes.as_ptr(), bytes.len(), segment, part.ecn);
            opcode::SendMsg::new(fd, message).flags(libc::MSG_NOSIGNAL as u32).build()
        })
    }
}

/// The buffer group of the train buffers.
const TRAIN_GROUP: u16 = 1;
/// Train buffers that the kernel has at a time: at most (it fills up to 32 of them for one socket at once), and at least.
const TRAINS_GIVEN_MAX: u32 = 64;
const TRAINS_GIVEN_MIN: u32 = 8;
/// Bytes of received trains that are still in the cache when they are looked at, about.
const TRAINS_CACHED_BYTES: u32 = 512 << 10;
