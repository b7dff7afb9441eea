//! What happens when a back end fails at some point of an exchange.

use super::client::{ClientId, LinkId, Phase};
use super::flow::Flow;
use super::service::Backend;
use super::side::Reading;
use super::{ForwardEvent, Forwarder, Io, Mode};
use crate::counters::Counter;
use crate::io::{Close, Driver, Errno};
use clustercore_proto::forward::http::may_retry;
use clustercore_proto::policy::{EjectionGuard, FailureKind, HealthChange, HealthState};

/// How an exchange has failed on its back end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    pub kind: FailureKind,
    /// Something of it may have reached the service.
    pub is_given: bool,
    /// Not a byte of a response has come.
    pub nothing_back: bool,
    pub blame: Blame,
}

/// What it says about the back end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blame {
    /// It has failed.
    Backend,
    /// Nothing: a connection that had served others was over. The next try takes a new one.
    KeptConnection,
    /// Nothing: messages did not get through. The next try goes by TCP.
    Path,
}

impl Forwarder {
    pub(super) fn on_link_failed<D: Driver>(&mut self, io: &mut Io<'_, D>, link_id: LinkId, _errno: Errno) {
        match self.links.get(link_id) {
            Some(link) if link.client.is_some() => self.fail_link(io, link_id, FailureKind::Reset),
            Some(_) => self.drop_link(io, link_id),
            None => {}
        }
    }

    /// The exchange on a link cannot be completed there: it is tried elsewhere, answered by us, or cut.
    pub(super) fn fail_link<D: Driver>(&mut self, io: &mut Io<'_, D>, link_id: LinkId, kind: FailureKind) {
        let Some(link) = self.links.get(link_id) else { return };
        let Some(id) = link.client else { return self.drop_link(io, link_id) };
        let is_given = link.connected;
        let Some(client) = self.clients.get(id) else { return self.drop_link(io, link_id) };
        let Some(exchange) = client.exchange.as_ref() else { return self.drop_link(io, link_id) };
        let nothing_back = !exchange.response_started && link.side.input.is_empty();
        // A kept connection that ends without a byte was most likely closed by the back end before the request came: not its failure.
        let is_stale = exchange.reused && nothing_back && kind == FailureKind::Reset;
        let blame = if is_stale { Blame::KeptConnection } else { Blame::Backend };
        self.fail(io, id, Failed { kind, is_given, nothing_back, blame });
    }

    /// The exchange of a client has failed on its back end: it is tried elsewhere, answered by us, or cut.
    pub(super) fn fail<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, failed: Failed) {
        let Failed { kind, is_given, nothing_back, blame } = failed;
        let Some(client) = self.clients.get_mut(id) else { return };
        let (phase, tcp) = (client.phase, self.service.config.mode == Mode::Tcp);
        let Some(exchange) = client.exchange.as_mut() else { return };
        let Some(backend) = exchange.backend.clone() else { return };
        let is_its_fault = blame == Blame::Backend;
        // A splice under way has taken bytes that nobody has any more.
        let replayable = exchange.request.moved() == 0 && client.side.reading != Reading::Splice;
        // What went with the head in one message is still here, should nobody have executed it.
        let is_kept = replayable || exchange.request.moved() == exchange.body.len() as u64;
        let retry = phase <= Phase::Waiting
            && exchange.retries < self.service.config.retries_max
            // A back end that was too slow is given up once: not every back end in turn has to be.
            && (kind != FailureKind::Timeout || exchange.retries == 0)
            && if tcp {
                !is_given
            } else {
                is_kept && may_retry(exchange.plan.method, is_given, !nothing_back, replayable, false)
            };
        if phase < Phase::Tunnel && is_its_fault {
            self.counters.inc(Counter::BackendFailures);
        }
        if let Some(exchange) = self.clients.get_mut(id).and_then(|client| client.exchange.as_mut()) {
            // The failure is the trial's outcome, unless it says nothing about the back end.
            exchange.trial &= !is_its_fault;
        }
        self.detach(io, id);
        if phase < Phase::Tunnel && is_its_fault && backend.state() == super::BackendState::Active {
            self.note_failure(io, &backend, kind);
        }
        if retry {
            self.counters.inc(Counter::Retries);
            let Some(client) = self.clients.get_mut(id) else { return };
            let Some(exchange) = client.exchange.as_mut() else { return };
            exchange.retries += 1;
            match blame {
                Blame::Backend => exchange.tried.push(backend.key),
                Blame::KeptConnection => exchange.fresh = true,
                Blame::Path => exchange.by_tcp = true,
            }
            if !exchange.body.is_empty() {
                client.side.input.put_back(std::mem::take(&mut exchange.body));
                exchange.request = Flow::new(exchange.plan.framing, &self.service.config.limits, false);
            }
            client.phase = Phase::Queued;
            self.dispatch(io, id);
            return;
        }
        match phase {
            Phase::Responding => {
                self.counters.inc(Counter::ResponsesCut);
                self.close_client(io, id, Close::Abort);
            }
            Phase::Tunnel => self.close_client(io, id, Close::Abort),
            _ => self.answer(io, id, if kind == FailureKind::Timeout { 504 } else { 502 }),
        }
        self.freed = true;
    }

    /// Tells the back end's health machine of a failure, and keeps enough of the list in service.
    pub(super) fn note_failure<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        backend: &Backend,
        kind: FailureKind,
    ) {
        let Some(config) = self.service.config.health else {
            let _ = backend.on_failure(self.shard, io.now, kind, std::time::Duration::ZERO);
            return;
        };
        let change = backend.on_failure(self.shard, io.now, kind, config.window);
        self.tell_health(io, backend, change);
        self.schedule_health(io);
    }

    pub(super) fn tell_health<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        backend: &Backend,
        change: Option<HealthChange>,
    ) {
        match change {
            None | Some(HealthChange::OnTrial) => {}
            Some(HealthChange::Returned) => {
                self.emit(io, ForwardEvent::BackendReturned { backend: backend.key })
            }
            Some(HealthChange::Ejected { until, cause }) => {
                let out =
                    |backend: &Backend| matches!(backend.health_state(io.now), HealthState::Ejected { .. });
                let others = self.children.list.iter().filter(|child| child.key != backend.key);
                let ejected = others.filter(|child| out(child)).count();
                let listed = self.children.list.iter().any(|child| child.key == backend.key);
                if !listed || !EjectionGuard::default().allows(ejected, self.children.list.len()) {
                    // Too many are out already, or it is the only one: better a doubtful back end than none.
                    backend.with_health(io.now, |health| health.pardon(io.now));
                    return;
                }
                self.counters.inc(Counter::Ejections);
                let duration = until.saturating_sub(io.now);
                self.emit(io, ForwardEvent::BackendEjected { backend: backend.key, duration, cause });
            }
        }
    }
}
