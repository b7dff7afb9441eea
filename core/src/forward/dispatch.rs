//! From a request to a connection to a back end, and the request's way there.

use super::client::{ClientId, Link, LinkId, Phase, Role};
use super::service::{Backend, View};
use super::side::Side;
use super::{ForwardEvent, Forwarder, Io, Mode, ProxyProtocol};
use crate::counters::Counter;
use crate::io::{Chunk, Close, Driver, Errno, Instant, SpliceEnd, StreamOptions};
use clustercore_proto::forward::http::HeadScan;
use clustercore_proto::forward::proxy::{self, ProxyHeader};
use clustercore_proto::policy::{BackendKey, FailureKind, Health, HealthState, Pick, Router};
use std::sync::Arc;

impl Forwarder {
    /// A new request: to a back end at once, or behind those that wait already.
    pub(super) fn enqueue_or_dispatch<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        if self.queue.is_empty() { self.dispatch(io, id) } else { self.enqueue(io, id) }
    }

    /// Chooses a back end for a client's request.
    pub(super) fn dispatch<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        self.refresh(io);
        match self.pick(io.now, id) {
            Choice::Backend(backend) => self.assign(io, id, backend),
            Choice::Wait => self.enqueue(io, id),
            Choice::Nobody => self.answer(io, id, 503),
        }
    }

    /// Takes the newest child list and thresholds, and closes what belongs to back ends that are no longer on it.
    pub(super) fn refresh<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        let version = self.service.version();
        if version == self.version {
            return;
        }
        self.version = version;
        self.children = self.service.children();
        self.router.set_config(self.service.router());
        let children = Arc::clone(&self.children);
        let kept = |backend: &Backend| {
            let listed =
                children.list.iter().chain(children.local.iter()).any(|child| child.key == backend.key);
            listed && backend.state() == super::BackendState::Active
        };
        for link in self.links.ids() {
            if self.links.get(link).is_some_and(|link| link.client.is_none() && !kept(&link.backend)) {
                self.drop_link(io, link);
            }
        }
        self.idle.retain(|_, links| !links.is_empty());
        self.see_drains(io);
        self.schedule_health(io);
    }

    fn pick(&mut self, now: Instant, id: ClientId) -> Choice {
        let Some(exchange) = self.clients.get_mut(id).and_then(|client| client.exchange.as_mut()) else {
            return Choice::Nobody;
        };
        let (list, local) = (&self.children.list[..], self.children.local.as_slice());
        if list.is_empty() && local.is_empty() {
            return Choice::Nobody;
        }
        // The local instance serves alone while nobody on the list may be asked: an empty list, all draining, ejected or tried.
        let choice = choose(&mut self.router, list, now, &exchange.tried)
            .or_else(|| choose(&mut self.router, local, now, &exchange.tried));
        if let Some(Choice::Backend(backend)) = &choice {
            exchange.trial = backend.health_state(now) == HealthState::Trial;
        }
        choice.unwrap_or_else(|| {
            // Everybody has been tried, is ejected or draining: the failed ones may be asked again, after a wait.
            exchange.tried.clear();
            Choice::Wait
        })
    }

    fn enqueue<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let deadline = io.now + self.service.config.queue_timeout;
        if self.queue.push(io.now, id, deadline).is_err() {
            return self.answer(io, id, 503);
        }
        let Some(client) = self.clients.get_mut(id) else { return };
        client.phase = Phase::Queued;
        client.deadline = Instant::MAX;
        self.counters.inc(Counter::Queued);
        self.note_queue();
        if !std::mem::replace(&mut self.saturated_told, true) {
            let in_flight = self.counters.get(Counter::RequestsActive) as u32;
            self.emit(io, ForwardEvent::Saturated { in_flight });
        }
        self.arm_queue(io);
    }

    pub(super) fn note_queue(&self) {
        let length = self.counters.get(Counter::QueueLength);
        self.counters.add(Counter::QueueLength, (self.queue.len() as u64).wrapping_sub(length));
    }

    /// Gives waiting requests to back ends that have room again, in order.
    pub(super) fn serve_queue<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        if self.queue.is_empty() {
            return;
        }
        self.refresh(io);
        for _ in 0..self.queue.len() {
            let Some(id) = self.queue.peek(io.now).copied() else { break };
            let choice = self.pick(io.now, id);
            if matches!(choice, Choice::Wait) {
                // It keeps its place: nobody behind it could be served either.
                break;
            }
            self.queue.pop(io.now);
            match choice {
                Choice::Backend(backend) => self.assign(io, id, backend),
                Choice::Nobody | Choice::Wait => self.answer(io, id, 503),
            }
        }
        self.note_queue();
        if self.queue.is_empty() {
            self.saturated_told = false;
        }
    }

    /// Gives a request to a back end: over a kept connection, or a new one.
    fn assign<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, backend: Arc<Backend>) {
        backend.on_start(self.shard);
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(exchange) = client.exchange.as_mut() else { return };
        let fresh = std::mem::take(&mut exchange.fresh);
        exchange.backend = Some(Arc::clone(&backend));
        exchange.sent = io.now;
        if !fresh && let Some(link_id) = self.idle.get_mut(&backend.key).and_then(Vec::pop) {
            exchange.link = Some(link_id);
            exchange.reused = true;
            if let Some(link) = self.links.get_mut(link_id) {
                link.client = Some(id);
            }
            self.counters.inc(Counter::BackendReuses);
            return self.send_request(io, id);
        }
        let options = StreamOptions::default();
        let stream = match io.driver.connect(backend.config.address, &options) {
            Ok(stream) => stream,
            Err(_) => {
                // Descriptors are used up here: that says nothing about the back end.
                self.counters.inc(Counter::BackendConnectsFailed);
                self.detach(io, id);
                return self.answer(io, id, 503);
            }
        };
        self.counters.inc(Counter::BackendConnects);
        let link_id = self.links.insert(Link {
            side: Side::new(stream),
            backend,
            client: Some(id),
            connected: false,
            served: 0,
            large: false,
            scan: HeadScan::for_response(&self.service.config.limits),
            idle_until: Instant::MAX,
            timer: Instant::MAX,
        });
        io.owners.set(stream, self.index, Role::Link(link_id));
        exchange.link = Some(link_id);
        exchange.reused = false;
        client.phase = Phase::Connecting;
        client.deadline = io.now + self.service.config.connect_timeout;
        self.arm_client(io, id);
    }

    pub(super) fn on_link_connected<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        link_id: LinkId,
        result: Result<(), Errno>,
    ) {
        let Some(link) = self.links.get_mut(link_id) else { return };
        let Some(id) = link.client else { return self.drop_link(io, link_id) };
        if result.is_err() {
            self.counters.inc(Counter::BackendConnectsFailed);
            return self.fail_link(io, link_id, FailureKind::Connect);
        }
        link.connected = true;
        link.listen(io.driver);
        self.send_proxy_header(io, id);
        if self.service.config.mode == Mode::Tcp {
            self.open_tunnel(io, id)
        } else {
            self.send_request(io, id)
        }
    }

    fn send_proxy_header<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let version = self.service.config.proxy_out;
        if version == ProxyProtocol::Off {
            return;
        }
        let Some(client) = self.clients.get(id) else { return };
        let Some(link) = client.exchange.as_ref().and_then(|exchange| self.links.get(exchange.link?)) else {
            return;
        };
        let mut out = io.driver.buffer();
        let header = ProxyHeader::Tcp { source: client.peer, destination: client.local };
        match version {
            ProxyProtocol::V1 => proxy::encode_v1(&header, &mut out),
            _ => proxy::encode_v2(&header, true, &mut out),
        }
        io.driver.send(link.side.stream, Chunk::Owned(out));
    }

    /// Sends the head, with a small body in the same buffer, and what else of the body is here.
    fn send_request<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
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
    fn bad_request_body<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
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

    /// Takes the exchange off its back end: the link is closed, the load goes down.
    pub(super) fn detach<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(exchange) = self.clients.get_mut(id).and_then(|client| client.exchange.as_mut()) else {
            return;
        };
        let (link, backend) = (exchange.link.take(), exchange.backend.take());
        let trial = std::mem::take(&mut exchange.trial);
        if let Some(backend) = backend {
            if trial {
                backend.with_health(io.now, Health::cancel_trial);
            }
            backend.on_end(self.shard);
            self.tell_drained(io, &backend);
        }
        if let Some(link) = link {
            self.drop_link(io, link);
        }
        if let Some(client) = self.clients.get_mut(id) {
            client.side.on_splice_cancelled();
        }
    }

    /// Closes a connection to a back end, at once.
    pub(super) fn drop_link<D: Driver>(&mut self, io: &mut Io<'_, D>, link_id: LinkId) {
        let Some(mut link) = self.links.remove(link_id) else { return };
        if link.client.is_none()
            && let Some(idle) = self.idle.get_mut(&link.backend.key)
        {
            idle.retain(|idle| *idle != link_id);
        }
        link.side.input.clear(io.driver);
        io.owners.clear(link.side.stream);
        io.driver
            .close(link.side.stream, if link.client.is_some() { Close::Abort } else { Close::AfterSend });
    }

    /// The child list has changed: exchanges on removed back ends fail over or end, waiting requests go to new ones.
    pub(crate) fn on_list_changed<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        self.refresh(io);
        self.freed = true;
        for link_id in self.links.ids() {
            let removed = |link: &Link| link.backend.state() == super::BackendState::Removed;
            if self.links.get(link_id).is_some_and(removed) {
                self.fail_link(io, link_id, FailureKind::Reset);
            }
        }
    }
}

/// A back end of the list for a request that has tried some; `None` when nobody may be asked at all.
fn choose(router: &mut Router, list: &[Arc<Backend>], now: Instant, tried: &[BackendKey]) -> Option<Choice> {
    let mut excluded = tried.to_vec();
    for _ in 0..list.len() {
        let mut view = View { list, now, tried: &excluded, all_warm: false };
        let mut pick = router.pick(&view);
        if pick == Pick::Saturated {
            view.all_warm = true;
            pick = router.pick(&view);
        }
        let backend = match pick {
            Pick::Backend(index) => &list[index],
            Pick::Saturated => return Some(Choice::Wait),
            // Those on trial that have their one request are busy, not gone.
            Pick::Empty if excluded.len() > tried.len() => return Some(Choice::Wait),
            Pick::Empty => return None,
        };
        let free = backend.health_state(now) != HealthState::Trial
            || backend.with_health(now, |health| health.begin_trial(now)).unwrap_or(true);
        if free {
            return Some(Choice::Backend(Arc::clone(backend)));
        }
        excluded.push(backend.key);
    }
    None
}

enum Choice {
    Backend(Arc<Backend>),
    Wait,
    Nobody,
}

/// A body of up to this many bytes is copied behind its head: one buffer, one send.
pub(super) const JOIN_MAX: usize = 4 << 10;
/// What a client may send ahead of its next request's turn.
const AHEAD_BYTES_MAX: usize = 64 << 10;
