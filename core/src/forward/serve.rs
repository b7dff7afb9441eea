//! The client's side: connections, heads, the ends of exchanges.

use super::client::{Client, ClientId, Exchange, Phase, Role};
use super::flow::Flow;
use super::{ForwardEvent, Forwarder, Io, Mode, ProxyProtocol, Timer};
use crate::counters::Counter;
use crate::io::{Chunk, Close, Driver, Errno, Lease, ListenerId, StreamId};
use clustercore_proto::forward::http::{
    Framing, Method, Reject, RequestContext, RequestPlan, Version, client_fields, forward_request_resumed,
    local_response,
};
use clustercore_proto::forward::proxy::{self, ProxyHeader};
use clustercore_proto::policy::Health;
use std::net::SocketAddr;

impl Forwarder {
    /// A client has connected.
    pub(crate) fn on_accepted<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        listener: ListenerId,
        stream: StreamId,
        peer: SocketAddr,
    ) {
        let config = &self.service.config;
        let local = io.driver.listener_address(listener).unwrap_or(peer);
        let phase = if config.proxy_in == ProxyProtocol::Off { Phase::Idle } else { Phase::Proxy };
        let mut client = self.spare_clients.pop().unwrap_or_else(|| Client::new(&config.limits));
        client.begin(stream, peer, local, phase);
        client.deadline =
            io.now + if phase == Phase::Proxy { config.head_timeout } else { config.idle_timeout };
        client.side.read(io.driver);
        let direct = config.mode == Mode::Tcp && phase == Phase::Idle;
        let id = self.clients.insert(client);
        io.owners.set(stream, self.id.index(), Role::Client(id));
        self.counters.inc(Counter::ClientsAccepted);
        self.counters.inc(Counter::ClientsOpen);
        self.arm_client(io, id);
        if self.clients.len() >= self.service.config.clients_max {
            self.pause_accepting(io, Errno(0));
        }
        if direct {
            self.start_tcp(io, id);
        }
    }

    /// Accepting failed, or there are as many clients as may be.
    pub(crate) fn pause_accepting<D: Driver>(&mut self, io: &mut Io<'_, D>, errno: Errno) {
        if errno.0 != 0 {
            self.counters.inc(Counter::AcceptFailures);
            io.wheel.insert(
                io.now + ACCEPT_RETRY,
                super::TimerKey { forwarder: self.id.index(), what: Timer::Accept },
            );
        }
        for listener in &self.listeners {
            io.driver.accept_pause(*listener);
        }
        if !std::mem::replace(&mut self.accept_paused, true) {
            self.emit(io, ForwardEvent::AcceptPaused { errno: errno.0 });
        }
    }

    /// Accepts again when there is room.
    pub(super) fn resume_accepting<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        if self.accept_paused && self.clients.len() < self.service.config.clients_max {
            self.accept_paused = false;
            for listener in &self.listeners {
                io.driver.accept_resume(*listener);
            }
        }
    }

    pub(super) fn on_client_data<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, lease: Lease) {
        let Some(client) = self.clients.get_mut(id) else { return Self::release(io, lease) };
        if client.phase == Phase::Lingering {
            return client.side.on_unwanted(io.driver, lease);
        }
        let copied = client.side.on_data(io.driver, lease);
        self.counters.add(Counter::CopiedPieces, copied as u64);
        match client.phase {
            Phase::Proxy | Phase::Idle | Phase::Head => self.client_progress(io, id),
            Phase::Queued | Phase::Connecting => {
                if client.side.input.len() > EARLY_BYTES_MAX {
                    client.side.stop(io.driver);
                }
            }
            Phase::Waiting | Phase::Responding | Phase::Tunnel => self.pump_request(io, id),
            Phase::Lingering => {}
        }
    }

    pub(super) fn on_client_stopped<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.side.on_stopped();
        match client.phase {
            Phase::Proxy | Phase::Idle | Phase::Head => self.client_progress(io, id),
            Phase::Waiting | Phase::Responding | Phase::Tunnel => self.pump_request(io, id),
            Phase::Queued | Phase::Connecting => {}
            Phase::Lingering => client.side.read(io.driver),
        }
    }

    /// Does what the client's bytes allow while no exchange is under way.
    pub(super) fn client_progress<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        loop {
            let config = &self.service.config;
            let Some(client) = self.clients.get_mut(id) else { return };
            match client.phase {
                Phase::Proxy => {
                    if !self.read_proxy(io, id) {
                        return;
                    }
                }
                Phase::Idle => {
                    if client.side.input.is_empty() {
                        if client.side.ended {
                            return self.close_client(io, id, Close::AfterSend);
                        }
                        client.side.read(io.driver);
                        client.deadline = io.now + config.idle_timeout;
                        return self.arm_client(io, id);
                    }
                    if io.driver.unsent(client.side.stream) > config.window_bytes {
                        // It sends requests and does not read answers: the next one waits until it does.
                        if client.side.input.len() > EARLY_BYTES_MAX {
                            client.side.stop(io.driver);
                        }
                        return self.arm_client(io, id);
                    }
                    client.phase = Phase::Head;
                    client.scan.reset();
                    client.deadline = io.now + config.head_timeout;
                }
                Phase::Head => {
                    if !self.read_head(io, id) {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// Reads a PROXY header. `true`: there was one, go on.
    fn read_proxy<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        client.side.input.gather(io.driver);
        match proxy::decode(client.side.input.front(io.driver)) {
            Ok(Some(header)) => {
                client.side.input.advance(io.driver, header.len);
                if let ProxyHeader::Tcp { source, destination } = header.header {
                    client.peer = source;
                    client.local = destination;
                }
                client.phase = Phase::Idle;
                if self.service.config.mode == Mode::Tcp {
                    self.start_tcp(io, id);
                    return false;
                }
                true
            }
            Ok(None) if !client.side.ended => {
                client.side.read(io.driver);
                false
            }
            Ok(None) | Err(_) => {
                self.counters.inc(Counter::ProxyRefused);
                self.close_client(io, id, Close::Abort);
                false
            }
        }
    }

    /// Reads a request head. `true`: there was one and it is on its way.
    fn read_head<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) -> bool {
        let config = &self.service.config;
        let Some(client) = self.clients.get_mut(id) else { return false };
        let mut exchange = self.spare.pop().unwrap_or_else(Exchange::new);
        exchange.head.clear();
        let mut context = RequestContext {
            client: client.peer,
            local: client.local,
            secure: false,
            via: &config.via,
            trust_forwarded: config.trust_forwarded,
            fields: &[],
        };
        if client.is_served && client.fields.is_empty() && !config.trust_forwarded {
            // The first request writes them where they are needed: most connections of one request keep no copy.
            client.fields.reserve_exact(FIELDS_BYTES);
            client_fields(&context, &mut client.fields);
        }
        context.fields = &client.fields;
        let input = client.side.input.front(io.driver);
        let plan = match forward_request_resumed(
            &mut client.scan,
            input,
            &context,
            &config.limits,
            &mut exchange.head,
        ) {
            Ok(Some(plan)) if plan.version == Version::Http10 && client.learn_address(io.driver) => {
                // It may have no Host and get our address for one: once more, now that it is known.
                self.spare.push(exchange);
                return true;
            }
            Ok(Some(plan)) => plan,
            Ok(None) => {
                self.spare.push(exchange);
                return self.wait_for_head(io, id);
            }
            Err(reject) => {
                self.spare.push(exchange);
                self.refuse(io, id, reject);
                return false;
            }
        };
        client.side.input.advance(io.driver, plan.head_len);
        exchange.begin(plan, Flow::new(plan.framing, &config.limits, false), io.now);
        client.exchange = Some(exchange);
        client.is_served = true;
        client.phase = Phase::Queued;
        self.counters.inc(Counter::Requests);
        self.counters.inc(Counter::RequestsActive);
        self.enqueue_or_dispatch(io, id);
        false
    }

    /// A head in pieces is put together in memory of its own, so that a slow sender holds no received buffer. `true`: there was more of it.
    fn wait_for_head<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        let before = client.side.input.front(io.driver).len();
        let copied = client.side.input.gather(io.driver);
        self.counters.add(Counter::CopiedPieces, copied as u64);
        if client.side.input.len() > before {
            return true;
        }
        if client.side.ended {
            self.close_client(io, id, Close::AfterSend);
            return false;
        }
        client.side.read(io.driver);
        self.arm_client(io, id);
        false
    }

    /// A connection of a TCP service: one exchange for all of it.
    fn start_tcp<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let plan = RequestPlan {
            head_len: 0,
            method: Method::Other,
            version: Version::Http11,
            framing: Framing::UntilClose,
            keep_alive: false,
            expect_continue: false,
            upgrade: false,
            connect: true,
        };
        let mut exchange = self.spare.pop().unwrap_or_else(Exchange::new);
        exchange.head.clear();
        exchange.begin(plan, Flow::new(Framing::UntilClose, &self.service.config.limits, false), io.now);
        let Some(client) = self.clients.get_mut(id) else { return };
        client.exchange = Some(exchange);
        client.phase = Phase::Queued;
        self.counters.inc(Counter::Requests);
        self.counters.inc(Counter::RequestsActive);
        self.enqueue_or_dispatch(io, id);
    }

    /// Answers a head that cannot be forwarded, and closes.
    fn refuse<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, reject: Reject) {
        self.counters.inc(Counter::RequestsRefused);
        let Some(client) = self.clients.get_mut(id) else { return };
        let mut out = io.driver.buffer();
        reject.response(&mut out);
        io.driver.send(client.side.stream, Chunk::Owned(out));
        self.linger(io, id);
    }

    /// Answers an exchange ourselves. The link must be gone already.
    pub(super) fn answer<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, status: u16) {
        let counter = match status {
            502 => Counter::Answered502,
            503 => Counter::Answered503,
            504 => Counter::Answered504,
            _ => Counter::Answered408,
        };
        self.counters.inc(counter);
        let tcp = self.service.config.mode == Mode::Tcp;
        let retry_after = (status == 503).then_some(self.service.config.retry_after);
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(exchange) = client.exchange.take() else { return };
        self.counters.dec(Counter::RequestsActive);
        let keep =
            exchange.plan.keep_alive && exchange.request.is_done() && !client.side.is_over() && status != 408;
        Self::recycle(&mut self.spare, exchange);
        if tcp {
            return self.close_client(io, id, Close::Abort);
        }
        let mut out = io.driver.buffer();
        local_response(status, keep, retry_after, &mut out);
        io.driver.send(client.side.stream, Chunk::Owned(out));
        if keep {
            client.phase = Phase::Idle;
            self.ready.push(id);
        } else {
            self.linger(io, id);
        }
    }

    /// After our last words: no more from us; what the client still sends is read and forgotten for a while, because closing a
    /// socket with unread bytes resets it and the client may lose the answer.
    pub(super) fn linger<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.phase = Phase::Lingering;
        client.side.on_splice_cancelled();
        client.side.input.clear(io.driver);
        io.driver.shutdown(client.side.stream);
        if client.side.ended {
            return self.close_client(io, id, Close::AfterSend);
        }
        client.side.read(io.driver);
        client.deadline = io.now + LINGER;
        self.arm_client(io, id);
    }

    /// The client's connection ends, with or without an exchange.
    pub(super) fn close_client<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, how: Close) {
        let Some(mut client) = self.clients.remove(id) else { return };
        if let Some(mut exchange) = client.exchange.take() {
            self.counters.dec(Counter::RequestsActive);
            if let Some(link) = exchange.link {
                self.drop_link(io, link);
            }
            if let Some(job) = exchange.job.take() {
                self.end_job(io, job);
            }
            if let Some(backend) = &exchange.backend {
                if exchange.trial {
                    backend.with_health(io.now, Health::cancel_trial);
                }
                backend.on_end(self.shard);
                self.tell_drained(io, backend);
            }
            Self::recycle(&mut self.spare, exchange);
        }
        if client.phase == Phase::Queued {
            self.queue.remove(&id);
            self.note_queue();
        }
        client.side.input.clear(io.driver);
        io.owners.clear(client.side.stream);
        io.driver.close(client.side.stream, how);
        self.counters.dec(Counter::ClientsOpen);
        if self.spare_clients.len() < SPARE_MAX && client.is_small() {
            self.spare_clients.push(client);
        }
        self.resume_accepting(io);
        self.freed = true;
    }

    /// The client is gone or broke the rules: everything of it ends now.
    pub(super) fn abort_client<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(client) = self.clients.get(id) else { return };
        if client.exchange.is_some() {
            self.counters.inc(Counter::ClientsAborted);
        }
        self.close_client(io, id, Close::Abort);
    }

    pub(super) fn on_client_end<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.side.on_end();
        match client.phase {
            Phase::Proxy | Phase::Idle | Phase::Head => self.client_progress(io, id),
            Phase::Lingering => self.close_client(io, id, Close::AfterSend),
            Phase::Tunnel => self.tunnel_client_end(io, id),
            Phase::Queued | Phase::Connecting | Phase::Waiting | Phase::Responding => {
                let Some(exchange) = &client.exchange else { return };
                // Half-closed after a whole request: it still wants its answer. Within a request: it gave up.
                let tcp = self.service.config.mode == Mode::Tcp;
                let waiting =
                    exchange.request.remaining().is_some_and(|left| left > client.side.input.len() as u64);
                if !tcp && !exchange.request.is_done() && (waiting || client.phase >= Phase::Waiting) {
                    self.abort_client(io, id);
                }
            }
        }
    }

    pub(super) fn on_client_sent<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, unsent: u32) {
        let config = &self.service.config;
        let Some(client) = self.clients.get_mut(id) else { return };
        match client.phase {
            Phase::Responding => {
                client.deadline = io.now + config.body_timeout;
                if unsent as usize <= config.window_bytes {
                    self.pump_response(io, id);
                }
            }
            Phase::Tunnel => {
                client.deadline = io.now + config.idle_timeout;
                self.pump_tunnel_to_client(io, id);
            }
            Phase::Idle => {
                // The last answer leaves piece by piece.
                client.deadline = io.now + config.idle_timeout;
                if !client.side.input.is_empty() {
                    self.client_progress(io, id);
                }
            }
            _ => {}
        }
    }

    #[expect(clippy::vec_box, reason = "the boxes themselves are reused, they do not move")]
    pub(super) fn recycle(spare: &mut Vec<Box<Exchange>>, mut exchange: Box<Exchange>) {
        exchange.backend = None;
        if spare.len() < SPARE_MAX {
            spare.push(exchange);
        }
    }

    /// Ends the forwarder: listeners, clients, links, probes.
    pub(crate) fn close_all<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        for listener in std::mem::take(&mut self.listeners) {
            io.driver.unlisten(listener);
        }
        for id in self.clients.ids() {
            self.close_client(io, id, Close::Abort);
        }
        for id in self.links.ids() {
            self.drop_link(io, id);
        }
        for id in self.probes.ids() {
            self.drop_probe(io, id);
        }
        self.close_legs(io);
    }
}

/// Whether reading pauses while a client waits: it may send this much ahead.
const EARLY_BYTES_MAX: usize = 64 << 10;
/// What a client's fields take, about.
const FIELDS_BYTES: usize = 128;
const SPARE_MAX: usize = 256;
const ACCEPT_RETRY: std::time::Duration = std::time::Duration::from_millis(100);
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);
