//! Datagrams: each on its own way, lost, doubled, delayed or damaged as the seed decides.

use super::net::{Action, Net, Owner};
use crate::io::Errno;
use crate::io::readiness::Train;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// A datagram socket.
pub(super) struct DatagramSocket {
    pub owner: Owner,
    pub address: SocketAddr,
    received: VecDeque<Datagram>,
    bytes: usize,
}

/// One datagram.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl Net {
    pub fn datagram_at(&self, address: SocketAddr) -> Option<u64> {
        self.datagrams.iter().find(|(_, socket)| socket.address == address).map(|(id, _)| *id)
    }

    pub fn bind_datagram(&mut self, owner: Owner, address: SocketAddr) -> Result<u64, Errno> {
        let address = self.bind(owner.program, address, false)?;
        let id = self.number();
        self.datagrams.insert(id, DatagramSocket { owner, address, received: VecDeque::new(), bytes: 0 });
        Ok(id)
    }

    pub fn watch_datagram(&mut self, id: u64, owner: Owner) {
        let Some(socket) = self.datagrams.get_mut(&id) else { return };
        socket.owner = owner;
        if !socket.received.is_empty() {
            self.tell(owner, true, false, false);
        }
    }

    pub fn send_datagram(&mut self, id: u64, to: SocketAddr, bytes: &[u8]) -> Result<(), Errno> {
        let from = self.datagrams.get(&id).ok_or(Errno(libc::ENETDOWN))?.address;
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(Errno(libc::EMSGSIZE));
        }
        let copies = if self.random.chance(self.config.duplicate_per_mille) { 2 } else { 1 };
        for _ in 0..copies {
            if self.random.chance(self.config.loss_per_mille) {
                self.trace.add(self.now, format_args!("lost {from} {to} {}", bytes.len()));
                continue;
            }
            let mut bytes = bytes.to_vec();
            if self.random.chance(self.config.corrupt_per_mille) {
                let bit = self.random.below(bytes.len() as u64 * 8) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            // Without the delay, one way keeps the order, as a single path does.
            let late = self.random.chance(self.config.reorder_per_mille);
            let tenth = self.random.below(10) as u32 + 1;
            let delay = self.config.latency_max
                + if late { self.config.latency_max * tenth } else { Default::default() };
            self.schedule(delay, Action::Datagram(Datagram { from, to, bytes }));
        }
        Ok(())
    }

    pub fn on_datagram(&mut self, datagram: Datagram) {
        let Datagram { from, to, bytes } = &datagram;
        self.trace.add(self.now, format_args!("datagram {from} {to} {}", bytes.len()));
        if self.is_blocked(from.ip(), to.ip()) {
            return;
        }
        let Some(id) = self.datagram_at(*to) else { return };
        let Some(socket) = self.datagrams.get_mut(&id) else { return };
        if socket.bytes + bytes.len() > self.config.datagram_buffer_bytes {
            return;
        }
        socket.bytes += bytes.len();
        socket.received.push_back(datagram);
        let owner = socket.owner;
        self.tell(owner, true, false, false);
    }

    /// Receives one, and with `trains` as many behind it as a kernel would join: of one sender and size, the last may be shorter.
    pub fn recv_datagrams(&mut self, id: u64, room: &mut [u8], trains: bool) -> Result<Train, Errno> {
        let socket = self.datagrams.get_mut(&id).ok_or(Errno(libc::ENETDOWN))?;
        let first = socket.received.pop_front().ok_or(Errno(libc::EAGAIN))?;
        socket.bytes -= first.bytes.len();
        let (segment, from) = (first.bytes.len(), first.from);
        if segment > room.len() {
            // Does not fit: as good as lost.
            return Err(Errno(libc::EINTR));
        }
        room[..segment].copy_from_slice(&first.bytes);
        let mut train = Train { len: segment, segment, from };
        while trains && train.len.is_multiple_of(segment) {
            let fits = |next: &Datagram| {
                next.from == from && next.bytes.len() <= segment.min(room.len() - train.len)
            };
            if !socket.received.front().is_some_and(|next| fits(next) && !next.bytes.is_empty()) {
                break;
            }
            let Some(next) = socket.received.pop_front() else { break };
            socket.bytes -= next.bytes.len();
            room[train.len..][..next.bytes.len()].copy_from_slice(&next.bytes);
            train.len += next.bytes.len();
        }
        Ok(train)
    }
}

/// What an IPv4 UDP datagram can carry.
const DATAGRAM_BYTES_MAX: usize = 65_507;
