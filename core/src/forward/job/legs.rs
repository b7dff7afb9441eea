//! Legs come, break, are tried again, and go.

use super::leg::{Leg, LegId, LegState, PathTrouble, Port};
use crate::counters::Counter;
use crate::forward::client::{ClientId, Phase};
use crate::forward::failure::Blame;
use crate::forward::{BackendState, ForwardEvent, Forwarder, Io, Slots, Timer, TimerKey};
use crate::io::{Driver, Ecn, Instant, Lease};
use crate::messages::Mail;
use clustercore_proto::datagram::Event;
use clustercore_proto::job::close;
use clustercore_proto::policy::{BackendKey, Backoff, FailureKind};
use clustercore_proto::random::Random;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The legs of a forwarder.
#[derive(Debug)]
pub(in crate::forward) struct Legs {
    pub(super) slots: Slots<Leg>,
    random: Random,
    mail: Mail,
    news: Vec<(LegId, Event)>,
}

impl Legs {
    pub fn new(seed: u64) -> Legs {
        Legs {
            slots: Slots::default(),
            random: Random::new(seed ^ LEGS_SEED),
            mail: Mail::default(),
            news: Vec::new(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.len() == 0
    }

    /// The leg to a back end.
    pub(super) fn find(&self, key: BackendKey) -> Option<LegId> {
        let is_its = |id: &LegId| self.slots.get(*id).is_some_and(|leg| leg.backend.key == key);
        (0..self.slots.slots.len() as LegId).find(is_its)
    }

    /// When one of them wants a turn.
    pub fn due(&self) -> Option<Instant> {
        let ports = self.slots.slots.iter().flatten().filter_map(|leg| leg.port.as_ref());
        ports.filter_map(|port| port.endpoint.next_timeout()).min()
    }
}

impl Forwarder {
    /// Whether it has legs, which want a look in every turn.
    pub(crate) fn has_legs(&self) -> bool {
        !self.legs.is_empty()
    }

    /// When a leg wants a turn.
    pub(crate) fn legs_due(&self) -> Option<Instant> {
        self.legs.due()
    }

    /// New back ends get a leg, those that are gone lose theirs.
    pub(in crate::forward) fn refresh_legs<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        let children = Arc::clone(&self.children);
        for backend in children.list.iter().chain(children.local.iter()) {
            let is_wanted = backend.config.job.is_some()
                && backend.state() == BackendState::Active
                && self.goes_by_messages();
            if is_wanted && self.legs.find(backend.key).is_none() {
                let leg = self.legs.slots.insert(Leg::new(Arc::clone(backend)));
                self.open_leg(io, leg);
            }
        }
        for leg in self.legs.slots.ids() {
            self.close_leg_if_unused(io, leg);
        }
    }

    /// A leg to a back end that gets no more requests ends with its last exchange.
    pub(super) fn close_leg_if_unused<D: Driver>(&mut self, io: &mut Io<'_, D>, id: LegId) {
        let Some(leg) = self.legs.slots.get(id) else { return };
        let children = &self.children;
        let is_listed = children
            .list
            .iter()
            .chain(children.local.iter())
            .any(|child| child.key == leg.backend.key && child.state() == BackendState::Active);
        if !is_listed && leg.exchanges.is_empty() && leg.waiting.is_empty() {
            self.close_port(io, id);
            self.legs.slots.remove(id);
        }
    }

    /// Exchanges on back ends that were taken off the list fail over or end.
    pub(in crate::forward) fn fail_removed_legs<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        for id in self.legs.slots.ids() {
            let is_removed =
                self.legs.slots.get(id).is_some_and(|leg| leg.backend.state() == BackendState::Removed);
            if is_removed {
                self.fail_all(io, id, FailureKind::Reset, Blame::Backend);
                self.close_leg_if_unused(io, id);
            }
        }
    }

    /// The forwarder ends; its clients are gone.
    pub(in crate::forward) fn close_legs<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        for id in self.legs.slots.ids() {
            self.close_port(io, id);
            self.legs.slots.remove(id);
        }
    }

    fn open_leg<D: Driver>(&mut self, io: &mut Io<'_, D>, id: LegId) {
        let Some(leg) = self.legs.slots.get_mut(id) else { return };
        let Some(address) = &leg.backend.config.job else { return };
        match Port::open(io.driver, io.now, address, &self.service.config) {
            Ok(port) => {
                io.owners.set_leg(port.endpoint.socket, self.id.index(), id);
                leg.port = Some(port);
            }
            Err(_) => self.break_leg(io, id, PathTrouble::NoSocket),
        }
    }

    /// Ends the socket of a leg, with a word to the handler.
    fn close_port<D: Driver>(&mut self, io: &mut Io<'_, D>, id: LegId) {
        let Some(mut port) = self.legs.slots.get_mut(id).and_then(|leg| leg.port.take()) else { return };
        port.endpoint.machine.close(io.now, port.outbox.connection(), 0, b"", false);
        port.endpoint.drive(io.driver, io.now);
        io.owners.clear_leg(port.endpoint.socket);
        io.driver.close_datagram(port.endpoint.socket);
    }

    /// Time-outs and trains of all legs, and what has happened to their connections.
    pub(crate) fn drive_legs<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        for id in 0..self.legs.slots.slots.len() as LegId {
            let Some(port) = self.legs.slots.get_mut(id).and_then(|leg| leg.port.as_mut()) else { continue };
            port.endpoint.drive(io.driver, io.now);
            while let Some(event) = port.endpoint.machine.poll_event() {
                self.legs.news.push((id, event));
            }
        }
        self.take_news(io);
    }

    fn take_news<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        if self.legs.news.is_empty() {
            return;
        }
        for (id, event) in std::mem::take(&mut self.legs.news) {
            match event {
                Event::Connected { .. } => self.on_leg_connected(io, id),
                Event::Gone { reason, .. } => self.break_leg(io, id, PathTrouble::from(&reason)),
                Event::Writable { .. } => self.flush_leg(io, id),
                Event::Moved { .. } | Event::Accepted { .. } => {}
            }
        }
    }

    /// A train has come from a handler.
    pub(crate) fn on_leg_train<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        id: LegId,
        arrival: (SocketAddr, u32, Ecn),
        mut lease: Lease,
    ) {
        let mut mail = std::mem::take(&mut self.legs.mail);
        if let Some(port) = self.legs.slots.get_mut(id).and_then(|leg| leg.port.as_mut()) {
            port.endpoint.read_train(io.driver, io.now, arrival, &mut lease, &mut mail);
            let socket = port.endpoint.socket;
            for index in 0..mail.len() {
                if !self.on_leg_message(io, id, &mail, index, &lease) {
                    self.close_violator(io, id);
                    break;
                }
            }
            let port = self.legs.slots.get_mut(id).and_then(|leg| leg.port.as_mut());
            if let Some(port) = port.filter(|port| port.endpoint.socket == socket) {
                // At once: what a slow client has not taken is held back by the credit of its exchange.
                mail.clear(|connection, stream, cost| {
                    port.endpoint.machine.consume(connection, stream, cost)
                });
                while let Some(event) = port.endpoint.machine.poll_event() {
                    self.legs.news.push((id, event));
                }
            }
        }
        mail.clear(|_, _, _| {});
        self.legs.mail = mail;
        io.driver.release(lease);
        self.take_news(io);
    }

    /// The handler broke the rules: it is told so, and not trusted further.
    fn close_violator<D: Driver>(&mut self, io: &mut Io<'_, D>, id: LegId) {
        let Some(port) = self.legs.slots.get_mut(id).and_then(|leg| leg.port.as_mut()) else { return };
        let connection = port.outbox.connection();
        port.endpoint.machine.close(io.now, connection, close::VIOLATION, b"not a job message", false);
    }

    fn on_leg_connected<D: Driver>(&mut self, io: &mut Io<'_, D>, id: LegId) {
        let Some(leg) = self.legs.slots.get_mut(id) else { return };
        let before = std::mem::replace(&mut leg.state, LegState::Open);
        leg.attempts = 0;
        let waiting = std::mem::take(&mut leg.waiting);
        let backend = Arc::clone(&leg.backend);
        if before == LegState::Broken {
            self.emit(io, ForwardEvent::PathRestored { backend: backend.key });
        }
        for client in waiting {
            if self.waits_for(client, backend.key) && !self.begin_job(io, client, id) {
                self.assign_link(io, client, Arc::clone(&backend));
            }
        }
        self.close_leg_if_unused(io, id);
    }

    /// Messages do not get through: what is on its way fails over, the next requests go by TCP.
    fn break_leg<D: Driver>(&mut self, io: &mut Io<'_, D>, id: LegId, why: PathTrouble) {
        let Some(leg) = self.legs.slots.get_mut(id) else { return };
        let before = std::mem::replace(&mut leg.state, LegState::Broken);
        leg.attempts += 1;
        let delay = RETRY.delay(leg.attempts, &mut self.legs.random);
        leg.retry = io.now + delay;
        let what = Timer::Leg(id);
        io.wheel.insert(leg.retry, TimerKey { forwarder: self.id.index(), what });
        let waiting = std::mem::take(&mut leg.waiting);
        let backend = Arc::clone(&leg.backend);
        self.close_port(io, id);
        if before != LegState::Broken {
            self.counters.inc(Counter::PathsBroken);
            self.emit(io, ForwardEvent::PathBroken { backend: backend.key, why });
        }
        for client in waiting {
            if self.waits_for(client, backend.key) {
                self.counters.inc(Counter::JobFallbacks);
                self.assign_link(io, client, Arc::clone(&backend));
            }
        }
        self.fail_all(io, id, FailureKind::Reset, Blame::Path);
        self.close_leg_if_unused(io, id);
    }

    /// Whether a client's request still waits for the leg to this back end.
    fn waits_for(&self, client: ClientId, backend: BackendKey) -> bool {
        let Some(client) = self.clients.get(client) else { return false };
        let Some(exchange) = &client.exchange else { return false };
        client.phase == Phase::Connecting
            && exchange.link.is_none()
            && exchange.job.is_none()
            && exchange.backend.as_ref().is_some_and(|other| other.key == backend)
    }

    fn fail_all<D: Driver>(&mut self, io: &mut Io<'_, D>, id: LegId, kind: FailureKind, blame: Blame) {
        let Some(leg) = self.legs.slots.get(id) else { return };
        let clients: Vec<ClientId> =
            leg.exchanges.ids().filter_map(|exchange| leg.exchanges.get(exchange).copied()).collect();
        for client in clients {
            let exchange = self.clients.get(client).and_then(|client| client.exchange.as_ref());
            let failed = exchange.and_then(|exchange| {
                let job = exchange.job.as_ref().filter(|job| job.leg == id)?;
                Some(job.failed(exchange, kind, blame))
            });
            if let Some(failed) = failed {
                self.fail(io, client, failed);
            }
        }
    }

    pub(in crate::forward) fn on_leg_timer<D: Driver>(&mut self, io: &mut Io<'_, D>, id: LegId) {
        let Some(leg) = self.legs.slots.get_mut(id) else { return };
        if leg.state == LegState::Broken && leg.port.is_none() && leg.retry <= io.now {
            self.open_leg(io, id);
        }
    }

    /// There is room on the connection again.
    fn flush_leg<D: Driver>(&mut self, io: &mut Io<'_, D>, id: LegId) {
        let Some(port) = self.legs.slots.get_mut(id).and_then(|leg| leg.port.as_mut()) else { return };
        let mut gone = Vec::new();
        port.outbox.flush(&mut port.endpoint, |client| gone.extend(client));
        for client in gone {
            let exchange = self.clients.get_mut(client).and_then(|client| client.exchange.as_mut());
            if let Some(job) = exchange.and_then(|exchange| exchange.job.as_mut()).filter(|job| job.leg == id)
            {
                job.is_blocked = false;
                self.pump_request(io, client);
            }
        }
    }
}

/// How long a broken leg rests.
const RETRY: Backoff =
    Backoff { base: Duration::from_millis(100), max: Duration::from_secs(5), jitter_per_mille: 200 };
/// So that legs and router do not draw the same numbers.
const LEGS_SEED: u64 = 0x6c65_6773;
