//! Byte streams: two endpoints, and between them, each way, a link on which segments arrive in order.

use super::net::{Action, Net, Owner};
use crate::io::{Errno, Instant};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A listening socket.
pub(super) struct Listener {
    pub owner: Owner,
    pub address: SocketAddr,
    backlog_max: usize,
    /// Endpoints that wait to be accepted.
    backlog: VecDeque<u64>,
}

/// One end of a connection.
pub(super) struct Endpoint {
    pub owner: Owner,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    peer: Option<u64>,
    phase: Phase,
    /// Taken from the program and not yet under way.
    send: VecDeque<u8>,
    /// Bytes under way, or arrived and unread: the part of the peer's window that is used.
    window_used: usize,
    /// The last send was a partial one; room comes later.
    stuffed: bool,
    /// A send found no room: tell when there is some.
    blocked: bool,
    fin_wanted: bool,
    fin_sent: bool,
    receive: VecDeque<u8>,
    fin_received: bool,
    /// To be told once, by the next call.
    error: Option<Errno>,
    abort: bool,
    /// The program has closed it; it lives until its FIN is sent.
    orphan: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    Dead,
}

/// What one endpoint has sent and the other has not got yet, in order.
pub(super) struct Link {
    from: IpAddr,
    to: IpAddr,
    receiver: u64,
    flights: VecDeque<(Instant, Flight)>,
}

impl Link {
    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }
}

#[derive(Debug)]
enum Flight {
    /// The connection stands (SYN and ACK).
    Established,
    Bytes(Vec<u8>),
    Fin,
    Reset,
    /// The program at the other end has read this many bytes.
    Window(usize),
}

impl Net {
    pub fn listener_at(&self, address: SocketAddr) -> Option<u64> {
        self.listeners.iter().find(|(_, listener)| listener.address == address).map(|(id, _)| *id)
    }

    pub fn listen(&mut self, owner: Owner, address: SocketAddr, backlog: i32) -> Result<u64, Errno> {
        let address = self.bind(owner.program, address, |net, bound| net.listener_at(bound).is_some())?;
        let id = self.number();
        let backlog_max = usize::try_from(backlog).unwrap_or(0).max(1);
        self.listeners.insert(id, Listener { owner, address, backlog_max, backlog: VecDeque::new() });
        Ok(id)
    }

    pub fn unlisten(&mut self, id: u64) {
        let Some(listener) = self.listeners.remove(&id) else { return };
        for endpoint in listener.backlog {
            self.abort(endpoint);
        }
    }

    pub fn accept(&mut self, id: u64) -> Result<(u64, SocketAddr), Errno> {
        let listener = self.listeners.get_mut(&id).ok_or(Errno(libc::EBADF))?;
        loop {
            let endpoint = listener.backlog.pop_front().ok_or(Errno(libc::EAGAIN))?;
            if let Some(found) = self.endpoints.get(&endpoint) {
                return Ok((endpoint, found.remote));
            }
        }
    }

    /// A socket to connect with, or one end of a connection asked for.
    pub fn endpoint(
        &mut self,
        owner: Owner,
        local: SocketAddr,
        remote: SocketAddr,
        peer: Option<u64>,
    ) -> u64 {
        let id = self.number();
        let endpoint = Endpoint {
            owner,
            local,
            remote,
            peer,
            phase: if peer.is_some() { Phase::Open } else { Phase::Connecting },
            send: VecDeque::new(),
            window_used: 0,
            stuffed: false,
            blocked: false,
            fin_wanted: false,
            fin_sent: false,
            receive: VecDeque::new(),
            fin_received: false,
            error: None,
            abort: false,
            orphan: false,
        };
        self.endpoints.insert(id, endpoint);
        id
    }

    pub fn connect(&mut self, id: u64, address: SocketAddr) -> Result<(), Errno> {
        let latency = self.latency();
        let timeout = self.config.connect_timeout;
        self.endpoints.get_mut(&id).ok_or(Errno(libc::ECONNRESET))?.remote = address;
        self.schedule(latency, Action::Syn { client: id });
        self.schedule(timeout, Action::ConnectTimeout { client: id });
        Err(Errno(libc::EINPROGRESS))
    }

    pub fn on_syn(&mut self, client: u64) {
        let Some(found) = self.endpoints.get(&client).filter(|found| found.phase == Phase::Connecting) else {
            return;
        };
        let (owner, local, remote) = (found.owner, found.local, found.remote);
        self.trace.add(self.now, format_args!("syn {local} {remote}"));
        if self.is_blocked(local.ip(), remote.ip()) {
            return self.schedule(SYN_AGAIN, Action::Syn { client });
        }
        let listener = self.listener_at(remote).filter(|_| !self.refused.contains(&remote));
        let Some(listener) = listener else {
            // The answer takes its way back; whether somebody listens by then does not matter.
            return self.fail(client, owner, Errno(libc::ECONNREFUSED));
        };
        let found = &self.listeners[&listener];
        let server_owner = Owner { token: None, ..found.owner };
        if found.backlog.len() >= found.backlog_max {
            return self.schedule(SYN_AGAIN, Action::Syn { client });
        }
        let server = self.endpoint(server_owner, remote, local, Some(client));
        self.fly(server, Flight::Established);
        if let Some(listener) = self.listeners.get_mut(&listener) {
            listener.backlog.push_back(server);
            let owner = listener.owner;
            self.tell(owner, true, false, false);
        }
    }

    pub fn on_connect_timeout(&mut self, client: u64) {
        if let Some(found) = self.endpoints.get(&client)
            && found.phase == Phase::Connecting
        {
            self.fail(client, found.owner, Errno(libc::ETIMEDOUT));
        }
    }

    pub fn on_room(&mut self, id: u64) {
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.stuffed = false;
            self.tell_room(id);
        }
    }

    /// The front of what this endpoint has sent arrives, and all behind it that is due.
    pub fn on_arrive(&mut self, sender: u64) {
        while let Some(link) = self.links.get_mut(&sender) {
            let (from, to, receiver) = (link.from, link.to, link.receiver);
            if link.flights.front().is_none_or(|(at, _)| *at > self.now) || self.is_blocked(from, to) {
                break;
            }
            let Some((_, flight)) = self.links.get_mut(&sender).and_then(|link| link.flights.pop_front())
            else {
                break;
            };
            match &flight {
                Flight::Bytes(bytes) => {
                    self.trace.add(self.now, format_args!("{sender}->{receiver} {}", bytes.len()))
                }
                other => self.trace.add(self.now, format_args!("{sender}->{receiver} {other:?}")),
            }
            self.on_flight(sender, receiver, flight);
        }
        if !self.endpoints.contains_key(&sender) && self.links.get(&sender).is_some_and(Link::is_empty) {
            self.links.remove(&sender);
        }
    }

    fn on_flight(&mut self, sender: u64, receiver: u64, flight: Flight) {
        let Some(endpoint) = self.endpoints.get_mut(&receiver) else {
            // Nobody there any more: a kernel answers data with a reset.
            if matches!(flight, Flight::Bytes(_) | Flight::Established) {
                self.reset_from_nowhere(sender, receiver);
            }
            return;
        };
        let owner = endpoint.owner;
        match flight {
            Flight::Established => {
                endpoint.peer = Some(sender);
                endpoint.phase = Phase::Open;
                self.tell(owner, false, true, false);
                self.flow(receiver);
            }
            Flight::Bytes(bytes) => {
                if endpoint.orphan {
                    return self.abort(receiver);
                }
                endpoint.receive.extend(bytes);
                self.tell(owner, true, false, false);
            }
            Flight::Fin => {
                endpoint.fin_received = true;
                self.tell(owner, true, false, true);
            }
            Flight::Reset => {
                let errno = if endpoint.fin_received { Errno(libc::EPIPE) } else { Errno(libc::ECONNRESET) };
                self.fail(receiver, owner, errno);
            }
            Flight::Window(count) => {
                endpoint.window_used -= count.min(endpoint.window_used);
                self.flow(receiver);
            }
        }
    }

    pub fn recv(&mut self, id: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
        let endpoint = self.endpoints.get_mut(&id).ok_or(Errno(libc::ECONNRESET))?;
        let count = bytes.len().min(endpoint.receive.len());
        if count > 0 {
            for (place, byte) in bytes.iter_mut().zip(endpoint.receive.drain(..count)) {
                *place = byte;
            }
            if endpoint.phase == Phase::Open {
                self.fly(id, Flight::Window(count));
            }
            return Ok(count);
        }
        if let Some(errno) = endpoint.error.take() {
            return Err(errno);
        }
        if endpoint.fin_received || endpoint.phase == Phase::Dead { Ok(0) } else { Err(Errno(libc::EAGAIN)) }
    }

    pub fn send(&mut self, id: u64, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let endpoint = self.endpoints.get_mut(&id).ok_or(Errno(libc::ECONNRESET))?;
        if let Some(errno) = endpoint.error.take() {
            return Err(errno);
        }
        if endpoint.phase == Phase::Dead || endpoint.fin_wanted {
            return Err(Errno(libc::EPIPE));
        }
        let room = self.config.send_buffer_bytes.saturating_sub(endpoint.send.len());
        let whole = slices.iter().map(|slice| slice.len()).sum::<usize>().min(room);
        if whole == 0 || endpoint.stuffed {
            endpoint.blocked = true;
            return Err(Errno(libc::EAGAIN));
        }
        let partial = self.random.chance(self.config.partial_send_per_mille);
        let count = if partial { 1 + self.random.below(whole as u64) as usize } else { whole };
        let mut left = count;
        for slice in slices {
            let part = &slice[..left.min(slice.len())];
            endpoint.send.extend(part);
            left -= part.len();
        }
        if count < whole {
            endpoint.stuffed = true;
            let pause = self.latency();
            self.schedule(pause, Action::Room { endpoint: id });
        }
        self.flow(id);
        Ok(count)
    }

    /// Bytes that have not arrived at the other end.
    pub fn unacknowledged(&self, id: u64) -> usize {
        let Some(endpoint) = self.endpoints.get(&id) else { return 0 };
        let under_way = self.links.get(&id).map_or(0, |link| {
            let bytes = |(_, flight): &(Instant, Flight)| {
                if let Flight::Bytes(bytes) = flight { bytes.len() } else { 0 }
            };
            link.flights.iter().map(bytes).sum()
        });
        endpoint.send.len() + under_way
    }

    pub fn shutdown(&mut self, id: u64) {
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.fin_wanted = true;
            self.flow(id);
        }
    }

    pub fn set_abort(&mut self, id: u64) {
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.abort = true;
        }
    }

    /// The program has closed the socket.
    pub fn close(&mut self, id: u64) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        // Unread bytes are lost, which the other side must be told (RFC 2525, 2.17).
        if endpoint.abort || !endpoint.receive.is_empty() || endpoint.phase != Phase::Open {
            return self.abort(id);
        }
        endpoint.orphan = true;
        endpoint.owner.token = None;
        endpoint.fin_wanted = true;
        self.flow(id);
    }

    /// Ends an endpoint with a reset for the other side.
    pub fn abort(&mut self, id: u64) {
        let Some(endpoint) = self.endpoints.remove(&id) else { return };
        if endpoint.phase == Phase::Open
            && let Some(peer) = endpoint.peer
        {
            self.fly_between(id, (endpoint.local.ip(), endpoint.remote.ip()), peer, Flight::Reset);
        }
    }

    pub fn take_error(&mut self, id: u64) -> Option<Errno> {
        match self.endpoints.get_mut(&id) {
            Some(endpoint) => endpoint.error.take(),
            None => Some(Errno(libc::ECONNRESET)),
        }
    }

    /// Sets who is told, and tells what is ready already.
    pub fn watch(&mut self, id: u64, owner: Owner) {
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.owner = owner;
            let dead = endpoint.phase == Phase::Dead;
            let readable = !endpoint.receive.is_empty() || endpoint.fin_received;
            let room = endpoint.send.len() < self.config.send_buffer_bytes && !endpoint.stuffed;
            let writable = endpoint.phase == Phase::Open && room;
            if readable || writable || dead {
                self.tell(owner, readable, writable, dead);
            }
        } else if let Some(listener) = self.listeners.get_mut(&id) {
            listener.owner = owner;
            if !listener.backlog.is_empty() {
                self.tell(owner, true, false, false);
            }
        } else {
            self.tell(owner, false, false, true);
        }
    }

    pub fn reset_between(&mut self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.trace.add(self.now, format_args!("reset {local} {remote}"));
        let ends: Vec<(u64, Owner)> = self
            .endpoints
            .iter()
            .filter(|(_, end)| {
                (end.local, end.remote) == (local, remote) || (end.remote, end.local) == (local, remote)
            })
            .map(|(id, end)| (*id, end.owner))
            .collect();
        for (id, owner) in &ends {
            self.fail(*id, *owner, Errno(libc::ECONNRESET));
        }
        !ends.is_empty()
    }

    /// Puts on its way what the window allows, then the FIN.
    fn flow(&mut self, id: u64) {
        while let Some(endpoint) = self.endpoints.get_mut(&id) {
            let window = self.config.receive_buffer_bytes.saturating_sub(endpoint.window_used);
            let ready = endpoint.send.len().min(window).min(self.config.segment_bytes_max.max(1));
            if endpoint.phase != Phase::Open || ready == 0 {
                break;
            }
            let count = 1 + self.random.below(ready as u64) as usize;
            let bytes: Vec<u8> = endpoint.send.drain(..count).collect();
            endpoint.window_used += count;
            self.fly(id, Flight::Bytes(bytes));
        }
        self.tell_room(id);
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let done = endpoint.send.is_empty() && endpoint.phase == Phase::Open;
        if endpoint.fin_wanted && !endpoint.fin_sent && done {
            endpoint.fin_sent = true;
            self.fly(id, Flight::Fin);
        }
        if self.endpoints.get(&id).is_some_and(|endpoint| endpoint.orphan && endpoint.fin_sent) {
            self.endpoints.remove(&id);
        }
    }

    fn tell_room(&mut self, id: u64) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if endpoint.blocked && !endpoint.stuffed && endpoint.send.len() < self.config.send_buffer_bytes {
            endpoint.blocked = false;
            let owner = endpoint.owner;
            self.tell(owner, false, true, false);
        }
    }

    fn fly(&mut self, sender: u64, flight: Flight) {
        let Some(endpoint) = self.endpoints.get(&sender) else { return };
        let Some(peer) = endpoint.peer else { return };
        self.fly_between(sender, (endpoint.local.ip(), endpoint.remote.ip()), peer, flight);
    }

    fn fly_between(&mut self, sender: u64, (from, to): (IpAddr, IpAddr), receiver: u64, flight: Flight) {
        let latency = self.latency();
        let link = self.links.entry(sender).or_insert(Link { from, to, receiver, flights: VecDeque::new() });
        let last = link.flights.back().map_or(Instant::ZERO, |(at, _)| *at);
        let at = last.max(self.now + latency);
        link.flights.push_back((at, flight));
        self.schedule(at.saturating_sub(self.now), Action::Arrive { sender });
    }

    /// Answers what came for an endpoint that is gone.
    fn reset_from_nowhere(&mut self, sender: u64, gone: u64) {
        if let Some(endpoint) = self.endpoints.get(&sender) {
            let path = (endpoint.remote.ip(), endpoint.local.ip());
            self.fly_between(gone, path, sender, Flight::Reset);
        }
    }

    /// The connection is dead at this end; the program is told by its next call.
    fn fail(&mut self, id: u64, owner: Owner, errno: Errno) {
        let discard = self.random.chance(500);
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if endpoint.orphan {
            self.endpoints.remove(&id);
            return;
        }
        endpoint.phase = Phase::Dead;
        endpoint.error = Some(errno);
        endpoint.send.clear();
        // Systems differ in whether bytes that arrived before a reset can still be read.
        if discard {
            endpoint.receive.clear();
        }
        self.tell(owner, true, true, true);
    }
}

/// An unanswered SYN is sent again after this time.
const SYN_AGAIN: Duration = Duration::from_secs(1);
