//! Datagrams of the io_uring driver: many trains at a time in both directions.
//!
//! A socket sends what is queued in parts as large as the kernel takes, a bounded number at a time. It receives with one
//! request for many trains where the kernel has that, else with a few requests for one train each; either way into the train buffers,
//! and when all of these are lent out it stops until one is back.

use super::*;
use crate::io::train_queue::{Body, Shells, TrainQueue, refuses_trains};
use crate::io::{Empty, Part};
use crate::sys::datagram;
use crate::sys::message::{Arrived, PICKED_HEAD_BYTES, parse_picked};
use crate::sys::ring::{Incoming, Outgoing};

/// All datagram sockets of a driver, and what they share.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    pub sockets: BTreeMap<u32, DatagramSocket>,
    /// Sockets with something to send, or with fewer receives in flight than they want.
    dirty: Vec<DatagramId>,
    /// Sockets that found no buffer to receive into.
    starved: Vec<DatagramId>,
    /// Sockets that have sent in this turn.
    sent: Vec<DatagramId>,
    shells: Shells,
    #[expect(clippy::vec_box, reason = "the boxes themselves are reused, they do not move")]
    outgoing: Vec<Box<Outgoing>>,
    #[expect(clippy::vec_box, reason = "the boxes themselves are reused, they do not move")]
    incoming: Vec<Box<Incoming>>,
}

/// A datagram socket.
#[derive(Debug)]
pub(super) struct DatagramSocket {
    fd: OwnedFd,
    queue: TrainQueue,
    /// Sends in flight, and their bytes.
    sending: usize,
    sending_bytes: usize,
    /// Parts that came back unsent since the last sends, to go first and in order.
    returned: usize,
    /// Receives in flight.
    receives: Vec<Op>,
    /// Datagrams that the kernel cuts from one send; 1 where it cuts none.
    segments_max: usize,
    counters: DatagramCounters,
    /// In the lists of the same name.
    dirty: bool,
    starved: bool,
    sent: bool,
}

impl Datagrams {
    pub fn fd(&self, id: DatagramId) -> Option<&OwnedFd> {
        self.sockets.get(&id.0).map(|socket| &socket.fd)
    }

    pub fn counters(&self, id: DatagramId) -> Option<DatagramCounters> {
        self.sockets.get(&id.0).map(|socket| socket.counters)
    }

    pub fn unsent(&self, id: DatagramId) -> usize {
        self.sockets.get(&id.0).map_or(0, DatagramSocket::unsent)
    }

    /// Whether the next turn has something to do for a socket.
    pub fn is_pending(&self, buffers: &Buffers) -> bool {
        !self.dirty.is_empty() || (!self.starved.is_empty() && buffers.trains_idle() > 0)
    }

    /// Closes all.
    pub fn clear(&mut self) {
        self.sockets.clear();
    }

    fn touch(&mut self, id: DatagramId) {
        if let Some(socket) = self.sockets.get_mut(&id.0)
            && !std::mem::replace(&mut socket.dirty, true)
        {
            self.dirty.push(id);
        }
    }
}

impl DatagramSocket {
    fn unsent(&self) -> usize {
        self.queue.bytes() + self.sending_bytes
    }

    fn put_back(&mut self, part: Part) {
        self.queue.put_back(self.returned, part);
        self.returned += 1;
    }
}

impl UringDriver {
    pub(super) fn datagram_bind(
        &mut self,
        address: SocketAddr,
        options: &DatagramOptions,
    ) -> io::Result<DatagramId> {
        let fd = datagram::bind(address, options)?;
        self.ring.set_up_trains(self.config.datagrams.buffers)?;
        let offload = self.config.mask.udp_offload;
        if offload {
            datagram::set_coalescing(&fd);
        }
        let id = DatagramId(self.number());
        let socket = DatagramSocket {
            fd,
            queue: TrainQueue::default(),
            sending: 0,
            sending_bytes: 0,
            returned: 0,
            receives: Vec::new(),
            segments_max: if offload { datagram::segments_max() } else { 1 },
            counters: DatagramCounters::default(),
            dirty: false,
            starved: false,
            sent: false,
        };
        self.datagrams.sockets.insert(id.0, socket);
        self.datagrams.touch(id);
        Ok(id)
    }

    pub(super) fn datagram_send(&mut self, id: DatagramId, to: SocketAddr, train: Train) {
        let Some(socket) = self.datagrams.sockets.get_mut(&id.0) else {
            return Body::Whole(train.bytes).recycle(&mut self.datagrams.shells, &mut self.spare);
        };
        let room = self.config.datagrams.trains_queued_max.saturating_sub(socket.sending);
        match socket.queue.push(to, train, room) {
            Ok(()) => self.datagrams.touch(id),
            Err((bytes, errno)) => {
                socket.counters.refused += 1;
                Body::Whole(bytes).recycle(&mut self.datagrams.shells, &mut self.spare);
                self.ready.push(Event::DatagramFailed { socket: id, errno });
            }
        }
    }

    pub(super) fn datagram_close(&mut self, id: DatagramId) {
        self.send_trains(id);
        let Some(mut socket) = self.datagrams.sockets.remove(&id.0) else { return };
        socket.queue.clear(&mut self.datagrams.shells, &mut self.spare);
        for op in socket.receives {
            self.ring.cancel(op);
        }
        self.ring.close(socket.fd);
    }

    /// Before a turn: puts into flight what is wanted.
    pub(super) fn flush_datagrams(&mut self) {
        if !self.datagrams.starved.is_empty() && self.ring.buffers().trains_idle() > 0 {
            for id in std::mem::take(&mut self.datagrams.starved) {
                if let Some(socket) = self.datagrams.sockets.get_mut(&id.0) {
                    socket.starved = false;
                }
                self.datagrams.touch(id);
            }
        }
        self.ring.provide_trains();
        let mut dirty = std::mem::take(&mut self.datagrams.dirty);
        for id in dirty.drain(..) {
            if let Some(socket) = self.datagrams.sockets.get_mut(&id.0) {
                socket.dirty = false;
                self.send_trains(id);
                self.receive_trains(id);
            }
        }
        self.datagrams.dirty = dirty;
    }

    /// After a turn: tells whose trains were taken by the kernel.
    pub(super) fn tell_datagrams_sent(&mut self, events: &mut Vec<Event>) {
        for id in self.datagrams.sent.drain(..) {
            if let Some(socket) = self.datagrams.sockets.get_mut(&id.0) {
                socket.sent = false;
                events.push(Event::DatagramsSent { socket: id, unsent: socket.unsent() });
            }
        }
    }

    fn send_trains(&mut self, id: DatagramId) {
        let datagrams = &mut self.datagrams;
        let Some(socket) = datagrams.sockets.get_mut(&id.0) else { return };
        socket.returned = 0;
        while socket.sending < SENDS_MAX
            && let Some(part) = socket.queue.pop(socket.segments_max, &mut datagrams.shells)
        {
            let bytes = part.range.len();
            let mut outgoing = datagrams.outgoing.pop().unwrap_or_else(Outgoing::new);
            outgoing.part = Some(part);
            match self.ring.send_train(socket.fd.as_fd(), outgoing, Kind::SendMessage(id)) {
                Ok(_) => {
                    socket.sending += 1;
                    socket.sending_bytes += bytes;
                }
                Err(error) => {
                    let errno = Errno::from_io(&error);
                    self.ready.push(Event::DatagramFailed { socket: id, errno });
                    return;
                }
            }
        }
    }

    pub(super) fn on_datagrams_sent(&mut self, id: DatagramId, done: Done, events: &mut Vec<Event>) {
        let Held::Outgoing(mut outgoing) = done.held else { return };
        let part = outgoing.part.take();
        let datagrams = &mut self.datagrams;
        if datagrams.outgoing.len() < BOXES_KEPT_MAX {
            datagrams.outgoing.push(outgoing);
        }
        let Some(part) = part else { return };
        let Some(socket) = datagrams.sockets.get_mut(&id.0) else {
            return part.body.recycle(&mut datagrams.shells, &mut self.spare);
        };
        socket.sending -= 1;
        socket.sending_bytes -= part.range.len();
        match done.result {
            Ok(_) => socket.counters.on_sent(part.range.len(), part.segment),
            // Nothing was sent: once more.
            Err(Errno(libc::EINTR | libc::EAGAIN)) => {
                socket.put_back(part);
                return datagrams.touch(id);
            }
            Err(errno) if part.is_train() && refuses_trains(errno) => {
                if errno.0 == libc::EIO {
                    // The device cannot: no train of this socket goes that way.
                    socket.segments_max = 1;
                }
                socket.put_back(Part { singly: true, ..part });
                return datagrams.touch(id);
            }
            Err(errno) => events.push(Event::DatagramFailed { socket: id, errno }),
        }
        part.body.recycle(&mut datagrams.shells, &mut self.spare);
        if !std::mem::replace(&mut socket.sent, true) {
            datagrams.sent.push(id);
        }
        if !socket.queue.is_empty() {
            datagrams.touch(id);
        }
    }

    /// Puts receives into flight, as many as the socket wants and buffers allow.
    fn receive_trains(&mut self, id: DatagramId) {
        let picks = self.ring.picks_trains();
        let wanted = if picks { 1 } else { RECEIVES_SINGLE };
        let datagrams = &mut self.datagrams;
        let Some(socket) = datagrams.sockets.get_mut(&id.0) else { return };
        // Where each receive has a buffer, idle sockets must leave some to others.
        let half = usize::from(self.config.datagrams.buffers) / 2;
        while socket.receives.len() < wanted
            && (picks || socket.receives.is_empty() || self.ring.buffers().trains_idle() > half)
        {
            let mut incoming = datagrams.incoming.pop().unwrap_or_else(Incoming::new);
            if !picks {
                incoming.buffer = self.ring.buffers_mut().take_train();
            }
            let (fd, kind) = (socket.fd.as_fd(), Kind::RecvMessage(id));
            let started = if picks && self.ring.provide_trains() > 0 {
                self.ring.receive_trains(fd, incoming, kind)
            } else if incoming.buffer.is_some() {
                self.ring.receive_train(fd, incoming, kind)
            } else {
                datagrams.incoming.push(incoming);
                break;
            };
            match started {
                Ok(op) => socket.receives.push(op),
                Err(error) => {
                    let errno = Errno::from_io(&error);
                    self.ready.push(Event::DatagramFailed { socket: id, errno });
                    break;
                }
            }
        }
        if socket.receives.is_empty() && !std::mem::replace(&mut socket.starved, true) {
            socket.counters.pauses += 1;
            datagrams.starved.push(id);
        }
    }

    pub(super) fn on_datagrams(&mut self, id: DatagramId, done: Done, events: &mut Vec<Event>) {
        let mut incoming = if let Held::Incoming(incoming) = done.held { Some(incoming) } else { None };
        if let Some(number) = done.buffer {
            self.on_picked(id, number, done.result, events);
        } else if let Some(incoming) = &mut incoming
            && let Some(buffer) = incoming.buffer.take()
        {
            match done.result {
                Ok(len) => self.on_train(id, buffer, incoming.arrived(), 0, len as usize, events),
                Err(_) => self.ring.buffers_mut().put_back(buffer),
            }
        }
        if let Some(incoming) = incoming
            && self.datagrams.incoming.len() < BOXES_KEPT_MAX
        {
            self.datagrams.incoming.push(incoming);
        }
        let Some(socket) = self.datagrams.sockets.get_mut(&id.0) else { return };
        if let Err(errno) = done.result
            && !matches!(errno.0, libc::ECANCELED | libc::EINTR | libc::EAGAIN | libc::ENOBUFS)
        {
            // An ICMP error of an earlier datagram: told, and on with the next one.
            events.push(Event::DatagramFailed { socket: id, errno });
        }
        if !done.more {
            socket.receives.retain(|op| self.ring.is_in_flight(*op));
            self.datagrams.touch(id);
        }
    }

    /// A train in a buffer that the kernel picked.
    fn on_picked(
        &mut self,
        id: DatagramId,
        number: u16,
        result: Result<u32, Errno>,
        events: &mut Vec<Event>,
    ) {
        let Some(mut buffer) = self.ring.filled_train(number, result.unwrap_or(0)) else { return };
        let bytes = self.ring.buffers_mut().bytes_mut(&mut buffer);
        let len = result.map_or(0, |len| bytes.len().min(len as usize));
        match parse_picked(&bytes[..len]) {
            Some((arrived, len)) => self.on_train(id, buffer, arrived, PICKED_HEAD_BYTES, len, events),
            None => self.ring.buffers_mut().put_back(buffer),
        }
    }

    /// A train at `offset` of a buffer.
    fn on_train(
        &mut self,
        id: DatagramId,
        buffer: Empty,
        arrived: Arrived,
        offset: usize,
        len: usize,
        events: &mut Vec<Event>,
    ) {
        let socket = self.datagrams.sockets.get_mut(&id.0);
        let (Some(socket), Some(from), false) = (socket, arrived.from, arrived.truncated) else {
            if let Some(socket) = self.datagrams.sockets.get_mut(&id.0)
                && arrived.truncated
            {
                socket.counters.truncated += 1;
            }
            return self.ring.buffers_mut().put_back(buffer);
        };
        let segment = arrived.segment.unwrap_or(len).clamp(1, len.max(1));
        socket.counters.on_received(len, segment);
        let lease = self.ring.buffers_mut().lend(buffer, offset, len);
        let (segment, ecn) = (segment as u32, arrived.ecn);
        events.push(Event::Datagrams { socket: id, from, segment, ecn, lease });
    }
}

/// Sends of one socket in flight at a time; the others wait in its queue.
const SENDS_MAX: usize = 64;
/// Receives of one socket in flight where each receives one train.
const RECEIVES_SINGLE: usize = 4;
const BOXES_KEPT_MAX: usize = 256;
