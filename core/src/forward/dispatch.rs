//! From a request to a connection to a back end.

use super::choice::Choice;
use super::client::{ClientId, Link, LinkId, Phase, Role};
use super::service::Backend;
use super::side::Side;
use super::{ForwardEvent, Forwarder, Io, Mode, ProxyProtocol};
use crate::counters::Counter;
use crate::io::{Chunk, Close, Driver, Errno, Instant, StreamOptions};
use clustercore_proto::forward::http::HeadScan;
use clustercore_proto::forward::proxy::{self, ProxyHeader};
use clustercore_proto::policy::{FailureKind, Health};
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
        self.refresh_legs(io);
        self.see_drains(io);
        self.schedule_health(io);
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
        exchange.backend = Some(Arc::clone(&backend));
        exchange.sent = io.now;
        if backend.config.job.is_some() && self.try_job(io, id, &backend) {
            return;
        }
        self.assign_link(io, id, backend);
    }

    /// Gives a request to a back end by TCP.
    pub(super) fn assign_link<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, backend: Arc<Backend>) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(exchange) = client.exchange.as_mut() else { return };
        let fresh = std::mem::take(&mut exchange.fresh);
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
        io.owners.set(stream, self.id.index(), Role::Link(link_id));
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
        let Some(client) = self.clients.get_mut(id) else { return };
        client.learn_address(io.driver);
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

    /// Takes the exchange off its back end: the link is closed, the load goes down.
    pub(super) fn detach<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(exchange) = self.clients.get_mut(id).and_then(|client| client.exchange.as_mut()) else {
            return;
        };
        let (link, backend) = (exchange.link.take(), exchange.backend.take());
        let job = exchange.job.take();
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
        if let Some(job) = job {
            self.end_job(io, job);
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
        self.fail_removed_legs(io);
    }
}
