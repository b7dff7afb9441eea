//! Time passes.

use super::{Machine, Shared, State};
use crate::datagram::event::{CloseCode, GoneReason};
use crate::datagram::receive_stream::ReceiveStream;
use crate::datagram::security::Protector;
use crate::datagram::trace::TraceEvent;
use crate::time::Instant;
use core::time::Duration;

impl<P: Protector> Machine<P> {
    /// When something is due; [`Instant::MAX`] for never.
    pub fn due(&self, shared: &Shared<'_>) -> Instant {
        match &self.state {
            state if state.has_close_due() => return Instant::ZERO,
            State::Closing(closing) => return closing.until.min(closing.again),
            State::Draining { until, .. } => return *until,
            State::Gone => return Instant::ZERO,
            _ => {}
        }
        let config = shared.config;
        let has_asked = self.is_asking();
        let dues = [
            self.receive.acknowledging.due(),
            self.send.loss_due,
            self.probe_due(),
            has_asked.then(|| self.send.progress + config.gone_after),
            self.send.pace_due,
            self.lazy_due(),
            self.receive.reassembly_due,
            self.path.challenge_due(),
            self.key_rest,
            self.peer_key_rest,
            self.idle_due(config.idle_timeout),
            self.keep_alive_due(config.keep_alive),
            (self.state == State::Accepting).then(|| self.heard + config.handshake_timeout),
            (self.send.acknowledged.is_some() && self.state == State::Open).then(|| self.path.search.due()),
        ];
        dues.into_iter().map(|due| due.unwrap_or(Instant::MAX)).min().unwrap_or(Instant::MAX)
    }

    /// When a ping is due, if nothing else asks for an answer.
    fn keep_alive_due(&self, keep_alive: Duration) -> Option<Instant> {
        let is_quiet = self.send.flight.eliciting() == 0 && !self.has_data();
        (is_quiet && !keep_alive.is_zero()).then(|| self.asked + keep_alive)
    }

    /// Whether an acknowledgement is waited for.
    fn is_asking(&self) -> bool {
        self.send.flight.eliciting() > 0 || self.send.probes_sent > 0
    }

    fn idle_due(&self, own: Duration) -> Option<Instant> {
        let peer = self.peer_limits.idle_timeout();
        let timeout = match (own.is_zero(), peer.is_zero()) {
            (true, true) => return None,
            (true, false) => peer,
            (false, true) => own,
            (false, false) => own.min(peer),
        };
        // Never shorter than what it takes to notice a loss.
        Some(self.heard + timeout.max(self.linger()))
    }

    /// When lazy packets, of which nothing was heard, do not count as under way any more: for who waits for room.
    fn lazy_due(&self) -> Option<Instant> {
        let is_wanted = self.has_data() || self.send.is_blocked;
        let oldest = self.send.flight.trains().next().filter(|_| is_wanted)?;
        (oldest.flying & oldest.eliciting == 0).then(|| oldest.at + self.lazy_age())
    }

    fn lazy_age(&self) -> Duration {
        self.path.rtt.probe_timeout(self.peer_limits.acknowledgement_delay()) * 4
    }

    /// When an acknowledgement is overdue.
    fn probe_due(&self) -> Option<Instant> {
        let newest = self.send.flight.newest_eliciting()?;
        let timeout = self.path.rtt.probe_timeout(self.peer_limits.acknowledgement_delay());
        let backoff = 1 << self.send.probes_sent.min(BACKOFF_MAX);
        Some(newest + (timeout * backoff).min(PROBE_TIMEOUT_MAX))
    }

    /// Does what is due. Afterwards the endpoint asks `due` again.
    pub fn on_timeout(&mut self, now: Instant, shared: &mut Shared<'_>) {
        self.state.on_timeout(now);
        if !self.state.is_live() {
            return;
        }
        let config = shared.config;
        let is_silent = self.is_asking() && self.send.progress + config.gone_after <= now;
        let is_idle = self.idle_due(config.idle_timeout).is_some_and(|due| due <= now);
        let is_stuck = self.state == State::Accepting && self.heard + config.handshake_timeout <= now;
        if is_silent || is_idle || is_stuck {
            return self.vanish(shared, GoneReason::Silent);
        }
        self.receive.acknowledging.on_timeout(now);
        if self.send.loss_due.is_some_and(|due| due <= now) {
            self.detect_lost(now, shared);
        }
        if self.probe_due().is_some_and(|due| due <= now) {
            self.on_probe_timeout(now, shared);
        }
        if self.send.pace_due.is_some_and(|due| due <= now) {
            self.send.pace_due = None;
        }
        if self.keep_alive_due(config.keep_alive).is_some_and(|due| due <= now) {
            self.send.ping_due = true;
        }
        self.key_rest.take_if(|due| *due <= now);
        if self.peer_key_rest.take_if(|due| *due <= now).is_some() {
            self.protector.forget_old_key();
        }
        if self.receive.reassembly_due.is_some_and(|due| due <= now) {
            self.check_reassembly(now, shared);
        }
        // Lazy packets of which nothing was heard for long are not under way any more.
        let lazy_age = u64::try_from(self.lazy_age().as_nanos()).unwrap_or(u64::MAX);
        self.send.flight.forget_lazy(Instant::from_nanos(now.as_nanos().saturating_sub(lazy_age)));
        self.unblock(shared);
    }

    fn on_probe_timeout(&mut self, now: Instant, shared: &mut Shared<'_>) {
        shared.stats.probes += 1;
        self.send.probes_sent += 1;
        let count = self.send.probes_sent;
        shared.trace.note(Some(self.name), || TraceEvent::ProbeTimeout { count });
        self.send.probe_credit = 2;
        self.resend_oldest(now, shared);
        if !self.has_data() {
            // What was under way needs no repeating (a search of the path); the peer is asked all the same.
            self.send.ping_due = true;
        }
    }

    fn check_reassembly(&mut self, now: Instant, shared: &mut Shared<'_>) {
        let oldest = self.receive.streams.iter().filter_map(ReceiveStream::oldest_progress).min();
        self.receive.reassembly_due = oldest.map(|oldest| oldest + shared.config.reassembly_timeout);
        if self.receive.reassembly_due.is_some_and(|due| due <= now) {
            self.violate(now, shared, CloseCode::Reassembly);
        }
    }
}

/// Doublings of the probe time-out.
const BACKOFF_MAX: u32 = 10;
/// Probes come at least this often, so that a path that is back is noticed.
const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(2);
