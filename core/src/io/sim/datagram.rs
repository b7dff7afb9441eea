//! Datagrams: each on its own way, lost, doubled, delayed or damaged as the seed decides.

use super::net::{Action, Net, Owner};
use crate::io::{DatagramOptions, Ecn, Errno, SteerByByte, TRAIN_BYTES_MAX};
use crate::sys::message::Arrived;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// A datagram socket.
pub(super) struct DatagramSocket {
    pub owner: Owner,
    pub address: SocketAddr,
    received: VecDeque<Datagram>,
    bytes: usize,
    pub bytes_max: usize,
    /// Sends with ECT(0), and tells the marks of what comes.
    ecn: bool,
    reuse_port: bool,
    steer: Option<SteerByByte>,
}

/// One datagram.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    ecn: Ecn,
    bytes: Vec<u8>,
}

impl Net {
    /// The socket at `to` that a datagram goes to: where several share the address, the one that they are steered to, else by a hash of
    /// the sender.
    fn datagram_at(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Option<u64> {
        let group = || self.datagrams.iter().filter(|(_, socket)| socket.address == to);
        let count = group().count();
        let steered = group().filter_map(|(_, socket)| socket.steer).next_back().map(|steer| {
            let byte = bytes.get(steer.offset as usize).copied().unwrap_or(0);
            usize::from(byte) % steer.shards as usize
        });
        let place = match steered {
            Some(place) if place < count => place,
            _ => usize::from(from.port()) % count.max(1),
        };
        group().nth(place).map(|(id, _)| *id)
    }

    pub fn bind_datagram(
        &mut self,
        owner: Owner,
        address: SocketAddr,
        options: &DatagramOptions,
    ) -> Result<u64, Errno> {
        if options.steer.is_some_and(|steer| !(1..=256).contains(&steer.shards)) {
            return Err(Errno(libc::EINVAL));
        }
        let address = self.bind(owner.program, address, |net, bound| {
            let shares = |socket: &DatagramSocket| options.reuse_port && socket.reuse_port;
            net.datagrams.values().any(|socket| socket.address == bound && !shares(socket))
        })?;
        let id = self.number();
        let bytes_max = match options.receive_buffer_bytes {
            0 => self.config.datagram_buffer_bytes,
            bytes => bytes,
        };
        let socket = DatagramSocket {
            owner,
            address,
            received: VecDeque::new(),
            bytes: 0,
            bytes_max,
            ecn: options.ecn,
            reuse_port: options.reuse_port,
            steer: options.steer,
        };
        self.datagrams.insert(id, socket);
        Ok(id)
    }

    pub fn watch_datagram(&mut self, id: u64, owner: Owner) {
        let Some(socket) = self.datagrams.get_mut(&id) else { return };
        socket.owner = owner;
        if !socket.received.is_empty() {
            self.tell(owner, true, false, false);
        }
    }

    pub fn send_datagram(
        &mut self,
        id: u64,
        to: SocketAddr,
        bytes: &[u8],
        ecn: Option<Ecn>,
    ) -> Result<(), Errno> {
        let socket = self.datagrams.get(&id).ok_or(Errno(libc::ENETDOWN))?;
        let from = socket.address;
        let ecn = ecn.unwrap_or(if socket.ecn { Ecn::Capable0 } else { Ecn::NotCapable });
        if bytes.len() > TRAIN_BYTES_MAX {
            return Err(Errno(libc::EMSGSIZE));
        }
        let copies = if self.random.chance(self.config.duplicate_per_mille) { 2 } else { 1 };
        for _ in 0..copies {
            if self.random.chance(self.config.loss_per_mille) {
                self.trace.add(self.now, format_args!("lost {from} {to} {}", bytes.len()));
                continue;
            }
            let mut bytes = bytes.to_vec();
            if self.random.chance(self.config.corrupt_per_mille) && !bytes.is_empty() {
                let bit = self.random.below(bytes.len() as u64 * 8) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            // Without the delay, one way keeps the order, as a single path does.
            let late = self.random.chance(self.config.reorder_per_mille);
            let tenth = self.random.below(10) as u32 + 1;
            let delay = self.config.latency_max
                + if late { self.config.latency_max * tenth } else { Default::default() };
            let mark = self.config.mark_per_mille > 0 && self.random.chance(self.config.mark_per_mille);
            let ecn = if mark && ecn != Ecn::NotCapable { Ecn::Congested } else { ecn };
            self.schedule(delay, Action::Datagram(Datagram { from, to, ecn, bytes }));
        }
        Ok(())
    }

    pub fn on_datagram(&mut self, datagram: Datagram) {
        let Datagram { from, to, bytes, .. } = &datagram;
        self.trace.add(self.now, format_args!("datagram {from} {to} {}", bytes.len()));
        if self.is_blocked(from.ip(), to.ip()) {
            return;
        }
        let Some(id) = self.datagram_at(*from, *to, bytes) else { return };
        let Some(socket) = self.datagrams.get_mut(&id) else { return };
        if socket.bytes + bytes.len() > socket.bytes_max {
            return;
        }
        socket.bytes += bytes.len();
        socket.received.push_back(datagram);
        let owner = socket.owner;
        self.tell(owner, true, false, false);
    }

    /// Receives one, and with `trains` as many behind it as a kernel would join: of one sender, size and mark, the last may be shorter.
    pub fn recv_datagrams(
        &mut self,
        id: u64,
        room: &mut [u8],
        trains: bool,
    ) -> Result<(usize, Arrived), Errno> {
        let socket = self.datagrams.get_mut(&id).ok_or(Errno(libc::ENETDOWN))?;
        let first = socket.received.pop_front().ok_or(Errno(libc::EAGAIN))?;
        socket.bytes -= first.bytes.len();
        let (segment, mut len) = (first.bytes.len(), first.bytes.len());
        let ecn = if socket.ecn { first.ecn } else { Ecn::NotCapable };
        let mut arrived = Arrived { from: Some(first.from), segment: None, ecn, truncated: len > room.len() };
        if arrived.truncated {
            return Ok((room.len(), arrived));
        }
        room[..len].copy_from_slice(&first.bytes);
        while trains && segment > 0 && len.is_multiple_of(segment) {
            let fits = |next: &Datagram| {
                (next.from, next.ecn) == (first.from, first.ecn)
                    && next.bytes.len() <= segment.min(room.len() - len)
            };
            if !socket.received.front().is_some_and(|next| fits(next) && !next.bytes.is_empty()) {
                break;
            }
            let Some(next) = socket.received.pop_front() else { break };
            socket.bytes -= next.bytes.len();
            room[len..][..next.bytes.len()].copy_from_slice(&next.bytes);
            len += next.bytes.len();
            arrived.segment = Some(segment);
        }
        Ok((len, arrived))
    }
}
