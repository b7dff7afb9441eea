//! Packets without a connection come in.

use super::answers::Purpose;
use super::{Content, Endpoint, Slot};
use crate::datagram::connection::{Beginning, Machine, Shared, State, Unheard};
use crate::datagram::event::{Event, GoneReason};
use crate::datagram::handshake::{is_cookie_good, make_cookie, parameters, reset_token};
use crate::datagram::id::{Connection, WireId};
use crate::datagram::packet::{Body, DataHeader, INIT_BYTES, Long, RESET_BYTES, VERSION};
use crate::datagram::parameters::{Parameters, RefuseCode};
use crate::datagram::security::Security;
use crate::datagram::trace::DropReason;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

impl<S: Security> Endpoint<S> {
    pub(super) fn on_long(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let Ok(packet) = Long::read(bytes, |bytes| self.security.check(bytes)) else {
            self.stats.packets_malformed += 1;
            return self.trace_dropped(DropReason::Malformed, from, bytes.len());
        };
        self.trace_handshake(packet.body.name(), from, bytes.len(), false);
        match packet.body {
            Body::Init { epoch, cookie, handshake } => {
                self.on_init(now, from, &packet, epoch, cookie, handshake)
            }
            Body::Reset(token) => self.on_reset(from, packet.source, token),
            Body::Cookie(cookie) => {
                if let Some((index, _)) = self.connecting(from, packet.target, packet.source.0)
                    && let Content::Connecting(connecting) = &mut self.slots[index as usize].content
                    && connecting.on_cookie(now, cookie)
                {
                    self.make_ready(index);
                }
            }
            Body::Accept { epoch, handshake } => self.on_accept(now, from, &packet, epoch, handshake),
            Body::Refuse(code) => {
                if let Some((index, _)) = self.connecting_by_own(from, packet.target) {
                    self.give_up(index, GoneReason::Refused(code));
                }
            }
            Body::Versions(versions) => {
                let has_ours = versions.chunks_exact(2).any(|version| version == VERSION.to_le_bytes());
                // A list with our version is no answer to an Init of that version.
                if !has_ours && let Some((index, _)) = self.connecting_by_own(from, packet.target) {
                    self.give_up(index, GoneReason::NoCommonVersion);
                }
            }
        }
    }

    /// The attempt to `from` that a Cookie is for: it echoes the random target of our Init.
    fn connecting(&self, from: SocketAddr, own: u64, target: u64) -> Option<(u32, WireId)> {
        let found = self.connecting_by_own(from, own)?;
        match &self.slots[found.0 as usize].content {
            Content::Connecting(connecting) if connecting.target == target => Some(found),
            _ => None,
        }
    }

    fn connecting_by_own(&self, from: SocketAddr, own: u64) -> Option<(u32, WireId)> {
        let own = WireId(own);
        match &self.slots.get(own.slot())?.content {
            Content::Connecting(connecting) if connecting.own == own && connecting.peer == from => {
                Some((own.slot() as u32, own))
            }
            _ => None,
        }
    }

    fn on_init(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &Long<'_>,
        epoch: u64,
        cookie: &[u8],
        handshake: &[u8],
    ) {
        if packet.version != VERSION {
            let versions = VERSION.to_le_bytes();
            return self.answer(now, from, packet.source.0, packet.source, Body::Versions(&versions));
        }
        if !self.config.is_accepting {
            let refuse = Body::Refuse(RefuseCode::NotAccepting);
            return self.answer(now, from, packet.source.0, packet.source, refuse);
        }
        if let Some(&index) = self.by_peer.get(&(from, packet.source)) {
            return self.accept_again(now, from, index);
        }
        if !is_cookie_good(now, &self.config, &self.security, from, packet, epoch, cookie) {
            let cookie = make_cookie(now, &self.security, from, packet, epoch);
            let echo = WireId(packet.target);
            return self.answer(now, from, packet.source.0, echo, Body::Cookie(&cookie));
        }
        let is_crowded = self.half_open * 4 >= self.config.connections_max.max(4);
        let slot = if is_crowded { None } else { self.take_slot() };
        let Some((index, own)) = slot else {
            let refuse = Body::Refuse(RefuseCode::Full);
            return self.answer(now, from, packet.source.0, packet.source, refuse);
        };
        let parameters = parameters(&self.config, &self.security, own);
        let responded = self.security.respond(handshake, &parameters).and_then(|(established, reply)| {
            let limits = Parameters::read(&established.parameters).ok()?;
            Some((established, limits, reply))
        });
        let Some((established, limits, reply)) = responded else {
            self.release(index);
            self.stats.handshakes_refused += 1;
            let refuse = Body::Refuse(RefuseCode::Handshake);
            return self.answer(now, from, packet.source.0, packet.source, refuse);
        };
        let accept = Long {
            source_shard: self.config.shard,
            version: VERSION,
            target: packet.source.0,
            source: own,
            body: Body::Accept { epoch: self.config.epoch, handshake: &reply },
        };
        let mut bytes = Vec::new();
        accept.write(|bytes| self.security.check(bytes), &mut bytes);
        debug_assert!(bytes.len() <= INIT_BYTES);
        let beginning = Beginning {
            name: Connection { index, generation: self.slots[index as usize].generation },
            own,
            peer_id: packet.source,
            peer: from,
            peer_epoch: epoch,
            protector: established.protector,
            limits,
            state: State::Accepting,
        };
        let mut machine = Machine::new(now, &self.config, beginning);
        machine.is_half_open = true;
        machine.unheard = Some(Box::new(Unheard { accept: bytes.clone(), identity: established.identity }));
        self.half_open += 1;
        self.enter(index, machine, false);
        self.answers.push(from, "accept", bytes);
    }

    fn enter(&mut self, index: u32, machine: Machine<S::Protector>, is_client: bool) {
        machine.trace_opened(&mut self.trace, is_client);
        self.security.on_established(machine.own, machine.peer_id);
        self.by_peer.insert((machine.peer(), machine.peer_id), index);
        self.slots[index as usize].content = Content::Open(Box::new(machine));
        self.schedule(index);
    }

    /// The client did not hear our Accept.
    fn accept_again(&mut self, now: Instant, from: SocketAddr, index: u32) {
        let Some(Slot { content: Content::Open(machine), .. }) = self.slots.get(index as usize) else {
            return;
        };
        if let Some(bytes) = machine.unheard.as_ref().map(|unheard| unheard.accept.clone()) {
            if self.answers.allow(now, Purpose::Handshake) {
                self.answers.push(from, "accept", bytes);
            } else {
                self.stats.answers_dropped += 1;
            }
        }
    }

    fn on_accept(&mut self, now: Instant, from: SocketAddr, packet: &Long<'_>, epoch: u64, handshake: &[u8]) {
        let Some((index, own)) = self.connecting_by_own(from, packet.target) else { return };
        if self.by_peer.contains_key(&(from, packet.source)) {
            // An id that another connection to that peer has already.
            self.stats.packets_malformed += 1;
            return;
        }
        let generation = self.slots[index as usize].generation;
        let Content::Connecting(connecting) = &mut self.slots[index as usize].content else { return };
        let Some(established) = self.security.finish(&mut connecting.pending, handshake) else {
            // Not the peer's: the true one may still come.
            self.stats.handshakes_refused += 1;
            return;
        };
        let sent = connecting.sent;
        let Ok(limits) = Parameters::read(&established.parameters) else {
            return self.give_up(index, GoneReason::Refused(RefuseCode::Handshake));
        };
        self.end_earlier_epochs(from, epoch);
        let connection = Connection { index, generation };
        let identity = established.identity;
        let beginning = Beginning {
            name: connection,
            own,
            peer_id: packet.source,
            peer: from,
            peer_epoch: epoch,
            protector: established.protector,
            limits,
            state: State::Open,
        };
        let mut machine = Machine::new(now, &self.config, beginning);
        machine.on_opened(now.saturating_sub(sent));
        self.enter(index, machine, true);
        self.events.push_back(Event::Connected { connection, epoch, identity });
        self.make_ready(index);
    }

    /// The program at `from` has another epoch now: what was with the one before is over.
    pub(super) fn end_earlier_epochs(&mut self, from: SocketAddr, epoch: u64) {
        let range = (from, WireId(0))..=(from, WireId(u64::MAX));
        let earlier: Vec<u32> = self.by_peer.range(range).map(|(_, &index)| index).collect();
        for index in earlier {
            let Some(Slot { content: Content::Open(machine), .. }) = self.slots.get_mut(index as usize)
            else {
                continue;
            };
            if machine.peer_epoch != epoch {
                let mut shared = Shared {
                    config: &self.config,
                    pool: &mut self.pool,
                    events: &mut self.events,
                    stats: &mut self.stats,
                    trace: &mut self.trace,
                };
                machine.vanish(&mut shared, GoneReason::Restarted);
                self.settle(index);
            }
        }
    }

    /// A data packet for an id that is not ours: its sender is told, in fewer bytes than it sent.
    pub(super) fn on_unknown(&mut self, now: Instant, from: SocketAddr, header: &DataHeader, len: usize) {
        self.stats.packets_unknown += 1;
        self.trace_dropped(DropReason::Unknown, from, len);
        if len < RESET_BYTES {
            return;
        }
        let token = reset_token(&self.security, header.target);
        let before = self.stats.answers_sent;
        self.answer(now, from, u64::from(header.source_shard), header.target, Body::Reset(token));
        self.stats.resets_sent += self.stats.answers_sent - before;
    }

    /// The peer knows nothing of `unknown`: true, if it has the token that it gave us for that id.
    fn on_reset(&mut self, from: SocketAddr, unknown: WireId, token: [u8; 16]) {
        let Some(&index) = self.by_peer.get(&(from, unknown)) else { return };
        let Some(Slot { content: Content::Open(machine), .. }) = self.slots.get_mut(index as usize) else {
            return;
        };
        if machine.reset_token() != token {
            self.stats.packets_malformed += 1;
            return;
        }
        let mut shared = Shared {
            config: &self.config,
            pool: &mut self.pool,
            events: &mut self.events,
            stats: &mut self.stats,
            trace: &mut self.trace,
        };
        machine.vanish(&mut shared, GoneReason::Restarted);
        self.settle(index);
    }

    fn answer(&mut self, now: Instant, to: SocketAddr, target: u64, source: WireId, body: Body<'_>) {
        let purpose = if let Body::Reset(_) = body { Purpose::Reset } else { Purpose::Handshake };
        if !self.answers.allow(now, purpose) {
            self.stats.answers_dropped += 1;
            return;
        }
        let kind = body.name();
        let packet = Long { source_shard: self.config.shard, version: VERSION, target, source, body };
        let mut bytes = Vec::new();
        packet.write(|bytes| self.security.check(bytes), &mut bytes);
        self.stats.answers_sent += 1;
        self.answers.push(to, kind, bytes);
    }
}
