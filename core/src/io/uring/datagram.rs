//! Datagrams of the io_uring driver: one train at a time in each direction's operation.

use super::*;
use crate::sys::ring::{Incoming, Outgoing};

/// A datagram socket.
#[derive(Debug)]
pub(super) struct DatagramSocket {
    pub fd: OwnedFd,
    op: Option<Op>,
    offload: bool,
}

impl UringDriver {
    pub(super) fn datagram_bind(&mut self, address: SocketAddr) -> io::Result<DatagramId> {
        let fd = socket::datagram(address)?;
        let offload = self.config.mask.udp_offload && socket::set_datagram_coalescing(&fd);
        let id = DatagramId(self.number());
        self.datagrams.insert(id.0, DatagramSocket { fd, op: None, offload });
        self.datagram_arm(id, Incoming::new());
        Ok(id)
    }

    fn datagram_arm(&mut self, id: DatagramId, incoming: Box<Incoming>) {
        let Some(socket) = self.datagrams.get_mut(&id.0) else { return };
        match self.ring.recv_message(socket.fd.as_fd(), incoming, Kind::RecvMessage(id)) {
            Ok(op) => socket.op = Some(op),
            Err(error) => {
                self.ready.push(Event::DatagramFailed { socket: id, errno: Errno::from_io(&error) })
            }
        }
    }

    pub(super) fn on_datagrams(&mut self, id: DatagramId, done: Done, events: &mut Vec<Event>) {
        let Held::Incoming(mut incoming) = done.held else { return };
        let block = incoming.block.take();
        let open = self.datagrams.contains_key(&id.0);
        match (done.result, block, incoming.from()) {
            (Ok(len), Some(block), Some(from)) if open && len > 0 => {
                let lease = self.ring.buffers_mut().lend(block, 0, len as usize);
                let segment = incoming.segment().unwrap_or(len).clamp(1, len);
                events.push(Event::Datagrams { socket: id, from, segment, lease });
            }
            (result, block, _) => {
                if let Some(block) = block {
                    self.ring.buffers_mut().put_back(block);
                }
                match result {
                    Err(errno) if open && errno.0 != libc::ECANCELED && errno.0 != libc::EINTR => {
                        // An ICMP error of an earlier datagram: told, and on with the next one.
                        events.push(Event::DatagramFailed { socket: id, errno });
                    }
                    _ => {}
                }
            }
        }
        if open {
            self.datagram_arm(id, incoming);
        }
    }

    pub(super) fn datagram_send(&mut self, id: DatagramId, to: SocketAddr, bytes: Vec<u8>, segment: u32) {
        let Some(socket) = self.datagrams.get(&id.0) else { return };
        let segment = segment.clamp(1, 65_535) as usize;
        let trains = if bytes.len() <= segment {
            vec![Outgoing::new(to, bytes, None)]
        } else if socket.offload {
            // A train has at most 64 segments on every kernel since 4.18 (128 since 6.3).
            let step = segment * SEGMENTS_MAX.min(TRAIN_BYTES_MAX / segment).max(1);
            bytes
                .chunks(step)
                .map(|part| {
                    Outgoing::new(to, part.to_vec(), (part.len() > segment).then_some(segment as u16))
                })
                .collect()
        } else {
            bytes.chunks(segment).map(|part| Outgoing::new(to, part.to_vec(), None)).collect()
        };
        for train in trains {
            let Some(socket) = self.datagrams.get(&id.0) else { return };
            if let Err(error) = self.ring.send_message(socket.fd.as_fd(), train, Kind::SendMessage(id)) {
                self.ready.push(Event::DatagramFailed { socket: id, errno: Errno::from_io(&error) });
                return;
            }
        }
    }

    pub(super) fn on_datagrams_sent(&mut self, id: DatagramId, done: &Done, events: &mut Vec<Event>) {
        let open = self.datagrams.contains_key(&id.0);
        if let (Err(errno), true) = (done.result, open) {
            events.push(Event::DatagramFailed { socket: id, errno });
        }
    }

    pub(super) fn datagram_close(&mut self, id: DatagramId) {
        let Some(socket) = self.datagrams.remove(&id.0) else { return };
        if let Some(op) = socket.op {
            self.ring.cancel(op);
        }
        self.ring.close(socket.fd);
    }
}

const SEGMENTS_MAX: usize = 64;
/// Payload of one UDP train: 64 KiB less the headers.
const TRAIN_BYTES_MAX: usize = 65_000;
