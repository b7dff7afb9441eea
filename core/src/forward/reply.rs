//! The response's way back, and the end of an exchange.

use super::client::{ClientId, LinkId, Phase};
use super::flow::{Flow, LARGE};
use super::request::JOIN_MAX;
use super::side::Reading;
use super::{Forwarder, Io, ProxyProtocol};
use crate::counters::Counter;
use crate::io::{Chunk, Close, Driver, Lease, SpliceEnd};
use clustercore_proto::forward::http::{Framing, forward_response_resumed};
use clustercore_proto::policy::FailureKind;

impl Forwarder {
    pub(super) fn on_link_data<D: Driver>(&mut self, io: &mut Io<'_, D>, link_id: LinkId, lease: Lease) {
        let Some(link) = self.links.get_mut(link_id) else { return Self::release(io, lease) };
        let copied = link.side.on_data(io.driver, lease);
        self.counters.add(Counter::CopiedPieces, copied as u64);
        let Some(id) = link.client else {
            // Bytes that nobody asked for: this connection cannot be trusted with a request.
            return self.drop_link(io, link_id);
        };
        match self.clients.get(id).map(|client| client.phase) {
            Some(Phase::Waiting) => self.read_response(io, id, link_id),
            Some(Phase::Responding) => self.pump_response(io, id),
            Some(Phase::Tunnel) => self.pump_tunnel_to_client(io, id),
            _ => {}
        }
    }

    pub(super) fn on_link_stopped<D: Driver>(&mut self, io: &mut Io<'_, D>, link_id: LinkId) {
        let Some(link) = self.links.get_mut(link_id) else { return };
        link.side.on_stopped();
        let Some(id) = link.client else { return link.listen(io.driver) };
        match self.clients.get(id).map(|client| client.phase) {
            Some(Phase::Responding) => self.pump_response(io, id),
            Some(Phase::Tunnel) => self.pump_tunnel_to_client(io, id),
            Some(Phase::Waiting) => link.listen(io.driver),
            _ => {}
        }
    }

    /// Reads heads until the final one is there.
    fn read_response<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, link_id: LinkId) {
        let config = &self.service.config;
        loop {
            let Some(client) = self.clients.get_mut(id) else { return };
            let Some(exchange) = client.exchange.as_mut() else { return };
            let Some(link) = self.links.get_mut(link_id) else { return };
            if link.side.input.is_empty() {
                return link.listen(io.driver);
            }
            // With the rest of the request unread, the next head may never be found.
            let keep = exchange.plan.keep_alive && exchange.request.is_done() && !client.side.is_over();
            let mut out = io.driver.buffer();
            let input = link.side.input.front(io.driver);
            let seen = input.len();
            let plan = forward_response_resumed(
                &mut link.scan,
                input,
                &exchange.plan,
                &config.via,
                keep,
                &config.limits,
                &mut out,
            );
            let plan = match plan {
                Ok(Some(plan)) => plan,
                Ok(None) => {
                    io.driver.recycle(out);
                    let copied = link.side.input.gather(io.driver);
                    self.counters.add(Counter::CopiedPieces, copied as u64);
                    if link.side.input.len() > seen {
                        continue;
                    }
                    return link.listen(io.driver);
                }
                Err(_) => {
                    io.driver.recycle(out);
                    return self.fail_link(io, link_id, FailureKind::Protocol);
                }
            };
            link.side.input.advance(io.driver, plan.head_len);
            exchange.response_started = true;
            if plan.interim {
                self.counters.inc(Counter::Responses1xx);
                io.driver.send(client.side.stream, Chunk::Owned(out));
                continue;
            }
            exchange.first_byte = Some(io.now);
            exchange.answer = Some(plan);
            self.counters.inc(counter_of(plan.status));
            if plan.tunnel {
                io.driver.send(client.side.stream, Chunk::Owned(out));
                return self.open_tunnel(io, id);
            }
            exchange.response = Flow::new(plan.framing, &config.limits, plan.dechunk);
            client.phase = Phase::Responding;
            client.deadline = io.now + config.body_timeout;
            let joined = exchange.response.join(io.driver, &mut link.side, &mut out, JOIN_MAX);
            io.driver.send(client.side.stream, Chunk::Owned(out));
            match joined {
                Ok(joined) => {
                    self.counters.add(Counter::CopiedJoined, joined as u64);
                    self.counters.add(Counter::BytesToClient, joined as u64);
                }
                Err(_) => return self.fail_link(io, link_id, FailureKind::Protocol),
            }
            return self.pump_response(io, id);
        }
    }

    /// Hands on what there is of the response's body; with its last byte the exchange ends.
    pub(super) fn pump_response<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let limits = self.flow_limits();
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(exchange) = client.exchange.as_mut() else { return };
        if exchange.job.is_some() {
            return self.grant_response(io, id);
        }
        let Some(link_id) = exchange.link else { return };
        let Some(link) = self.links.get_mut(link_id) else { return };
        if !exchange.response.is_done() {
            let before = exchange.response.moved();
            let pumped =
                exchange.response.pump(io.driver, &mut link.side, &client.side, limits, &self.counters);
            self.counters.add(Counter::BytesToClient, exchange.response.moved() - before);
            match pumped {
                Err(_) => return self.fail_link(io, link_id, FailureKind::Protocol),
                Ok(true) => client.deadline = io.now + self.service.config.body_timeout,
                Ok(false) => {}
            }
        }
        if exchange.response.is_done() {
            self.finish(io, id);
        } else if link.side.ended && link.side.input.is_empty() {
            self.on_response_end(io, id, link_id);
        } else {
            self.arm_client(io, id);
        }
    }

    pub(super) fn on_link_spliced<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        link_id: LinkId,
        moved: u64,
        end: SpliceEnd,
    ) {
        let Some(link) = self.links.get_mut(link_id) else { return };
        link.side.reading = Reading::Off;
        let Some(id) = link.client else { return };
        let Some(exchange) = self.clients.get_mut(id).and_then(|client| client.exchange.as_mut()) else {
            return;
        };
        exchange.response.on_spliced(moved);
        exchange.progress = 0;
        self.counters.add(Counter::BytesSpliced, moved);
        self.counters.add(Counter::BytesToClient, moved);
        match end {
            SpliceEnd::Done => self.pump_response(io, id),
            SpliceEnd::SourceEnd => self.on_link_end(io, link_id),
            SpliceEnd::SourceFailed(_) => self.fail_link(io, link_id, FailureKind::Reset),
            SpliceEnd::TargetFailed(_) => self.abort_client(io, id),
        }
    }

    pub(super) fn on_link_end<D: Driver>(&mut self, io: &mut Io<'_, D>, link_id: LinkId) {
        let Some(link) = self.links.get_mut(link_id) else { return };
        link.side.on_end();
        let Some(id) = link.client else { return self.drop_link(io, link_id) };
        match self.clients.get(id).map(|client| client.phase) {
            Some(Phase::Responding) => self.pump_response(io, id),
            Some(Phase::Tunnel) => self.tunnel_link_end(io, id),
            _ => self.fail_link(io, link_id, FailureKind::Reset),
        }
    }

    /// The back end has closed while a response was on its way.
    fn on_response_end<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, link_id: LinkId) {
        let Some(exchange) = self.clients.get_mut(id).and_then(|client| client.exchange.as_mut()) else {
            return;
        };
        if exchange.response.on_end() {
            self.finish(io, id);
        } else {
            self.fail_link(io, link_id, FailureKind::Reset);
        }
    }

    /// The response has been handed on in whole: the link is kept or closed, the client goes on or is closed.
    pub(super) fn finish<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(mut exchange) = client.exchange.take() else { return };
        let Some(answer) = exchange.answer else { return };
        self.counters.dec(Counter::RequestsActive);
        let first = exchange.first_byte.unwrap_or(io.now).saturating_sub(exchange.started);
        let last = io.now.saturating_sub(exchange.started);
        self.latency.first_byte.saturating_record(first.as_nanos() as u64);
        self.latency.last_byte.saturating_record(last.as_nanos() as u64);
        let whole = exchange.request.is_done();
        let keep_client = exchange.plan.keep_alive && !answer.close_client && whole && !client.side.is_over();
        let (link_id, job) = (exchange.link, exchange.job.take());
        let large = exchange.response.moved() >= LARGE;
        let backend = exchange.backend.clone();
        let sent = exchange.sent;
        Self::recycle(&mut self.spare, exchange);
        client.phase = Phase::Idle;
        if let Some(link_id) = link_id {
            if let Some(link) = self.links.get_mut(link_id) {
                link.large = large;
            }
            self.keep_or_drop(
                io,
                link_id,
                answer.backend_keep_alive && whole && answer.framing != Framing::UntilClose,
            );
        }
        if let Some(job) = job {
            self.end_job(io, job);
        }
        if let Some(backend) = backend {
            backend.on_end(self.shard);
            if answer.status >= 500 && answer.status != 501 && answer.status != 505 {
                self.note_failure(io, &backend, FailureKind::ServerError);
            } else {
                let latency = io.now.saturating_sub(sent).as_nanos() as u64;
                let change = backend.on_success(self.shard, io.now, latency);
                self.tell_health(io, &backend, change);
            }
            self.tell_drained(io, &backend);
        }
        if keep_client {
            self.ready.push(id);
        } else if whole && self.clients.get(id).is_some_and(|client| client.side.input.is_empty()) {
            self.close_client(io, id, Close::AfterSend);
        } else {
            self.linger(io, id);
        }
        self.freed = true;
    }

    /// Keeps a link for the next request, or closes it.
    fn keep_or_drop<D: Driver>(&mut self, io: &mut Io<'_, D>, link_id: LinkId, reusable: bool) {
        let config = &self.service.config;
        let Some(link) = self.links.get_mut(link_id) else { return };
        link.client = None;
        let kept = self.idle.entry(link.backend.key).or_default();
        let reusable = reusable
            && !link.side.ended
            && link.side.input.is_empty()
            && link.backend.state() == super::BackendState::Active
            && config.proxy_out == ProxyProtocol::Off
            && kept.len() < config.backend_idle_max;
        if !reusable {
            return self.drop_link(io, link_id);
        }
        kept.push(link_id);
        link.served += 1;
        link.idle_until = io.now + config.backend_idle_timeout;
        link.listen(io.driver);
        self.arm_link(io, link_id);
    }
}

/// Where a final response of this status is counted.
pub(super) fn counter_of(status: u16) -> Counter {
    match status {
        100..200 => Counter::Responses1xx,
        200..300 => Counter::Responses2xx,
        300..400 => Counter::Responses3xx,
        400..500 => Counter::Responses4xx,
        _ => Counter::Responses5xx,
    }
}
