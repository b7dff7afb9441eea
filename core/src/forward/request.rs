//! A request's way to its back end: the head, then the body as it comes.

use super::client::{ClientId, LinkId, Phase};
use super::{Forwarder, Io};
use crate::counters::Counter;
use crate::io::{Chunk, Driver, SpliceEnd};
use clustercore_proto::policy::FailureKind;

impl Forwarder {
    /// Sends the head, with a small body in the same buffer, and what else of the body is here.
    pub(super) fn send_request<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(exchange) = client.exchange.as_mut() else { return };
        let Some(link) = exchange.link.and_then(|link| self.links.get_mut(link)) else { return };
        let mut out = io.driver.buffer();
        out.extend_from_slice(&exchange.head);
        let joined = exchange.request.join(io.driver, &mut client.side, &mut out, JOIN_MAX);
        link.scan.reset();
        client.phase = Phase::Waiting;
        match joined {
            Ok(joined) => {
                self.counters.add(Counter::CopiedJoined, joined as u64);
                self.counters.add(Counter::BytesToBackend, joined as u64);
                io.driver.send(link.side.stream, Chunk::Owned(out));
            }
            Err(_) => {
                io.driver.recycle(out);
                return self.bad_request_body(io, id);
            }
        }
        self.pump_request(io, id);
    }

    /// Hands on what there is of the request's body (or of the tunnel's bytes to the back end).
    pub(super) fn pump_request<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let limits = self.flow_limits();
        let config = &self.service.config;
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(exchange) = client.exchange.as_mut() else { return };
        if exchange.job.is_some() {
            return match self.pump_job(io, id) {
                Ok(()) => self.after_pump(io, id),
                Err(_) => self.bad_request_body(io, id),
            };
        }
        let Some(link) = exchange.link.and_then(|link| self.links.get_mut(link)) else { return };
        let before = exchange.request.moved();
        if !exchange.request.is_done() {
            let pumped =
                exchange.request.pump(io.driver, &mut client.side, &link.side, limits, &self.counters);
            self.counters.add(Counter::BytesToBackend, exchange.request.moved() - before);
            match pumped {
                Err(_) => return self.bad_request_body(io, id),
                Ok(true) if client.phase == Phase::Tunnel => client.deadline = io.now + config.idle_timeout,
                // An upload goes on while its answer has begun.
                Ok(true) if client.phase == Phase::Responding => {
                    client.deadline = io.now + config.body_timeout
                }
                Ok(_) => {}
            }
        }
        self.after_pump(io, id);
    }

    /// When a request counts as slow, and whether more of the client is read.
    fn after_pump<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let config = &self.service.config;
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(exchange) = client.exchange.as_mut() else { return };
        if client.phase == Phase::Waiting {
            if client.side.is_over() && !exchange.request.is_done() {
                // It ended within the request, before there was a back end to tell.
                return self.abort_client(io, id);
            }
            let done = exchange.request.is_done() || exchange.awaits_continue();
            client.deadline = io.now + if done { config.response_timeout } else { config.body_timeout };
            self.arm_client(io, id);
        }
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.exchange.as_ref().is_some_and(|exchange| exchange.request.is_done()) {
            // Read on, to notice the end of the client, but not without bound.
            if client.side.input.len() > AHEAD_BYTES_MAX {
                client.side.stop(io.driver)
            } else {
                client.side.read(io.driver)
            }
        }
    }

    pub(super) fn on_link_sent<D: Driver>(&mut self, io: &mut Io<'_, D>, link_id: LinkId) {
        let Some(id) = self.links.get(link_id).and_then(|link| link.client) else { return };
        let Some(exchange) = self.clients.get(id).and_then(|client| client.exchange.as_ref()) else { return };
        if !exchange.request.is_done() {
            self.pump_request(io, id);
        }
    }

    pub(super) fn on_client_spliced<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        id: ClientId,
        moved: u64,
        end: SpliceEnd,
    ) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.side.reading = super::side::Reading::Off;
        let Some(exchange) = client.exchange.as_mut() else { return };
        exchange.request.on_spliced(moved);
        exchange.progress = 0;
        self.counters.add(Counter::BytesSpliced, moved);
        self.counters.add(Counter::BytesToBackend, moved);
        match end {
            SpliceEnd::Done => self.pump_request(io, id),
            SpliceEnd::SourceEnd => self.on_client_end(io, id),
            SpliceEnd::SourceFailed(_) => self.abort_client(io, id),
            SpliceEnd::TargetFailed(_) => match exchange.link {
                Some(link) => self.fail_link(io, link, FailureKind::Reset),
                None => self.abort_client(io, id),
            },
        }
    }

    /// The client broke the framing of its body: the back end must not take what it got for a whole request.
    pub(super) fn bad_request_body<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        self.counters.inc(Counter::RequestsRefused);
        let Some(client) = self.clients.get(id) else { return };
        if client.phase >= Phase::Responding {
            return self.abort_client(io, id);
        }
        self.detach(io, id);
        let Some(client) = self.clients.get_mut(id) else { return };
        if let Some(exchange) = client.exchange.take() {
            self.counters.dec(Counter::RequestsActive);
            Self::recycle(&mut self.spare, exchange);
        }
        let mut out = io.driver.buffer();
        clustercore_proto::forward::http::local_response(400, false, None, &mut out);
        io.driver.send(client.side.stream, Chunk::Owned(out));
        self.linger(io, id);
    }
}

/// A body of up to this many bytes is copied behind its head: one buffer, one send.
pub(super) const JOIN_MAX: usize = 4 << 10;
/// What a client may send ahead of its next request's turn.
const AHEAD_BYTES_MAX: usize = 64 << 10;
