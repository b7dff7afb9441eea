//! Whether a back end is trusted.
//!
//! Two sources of news: the outcomes of real requests (passive) and probes (active). Distrust ejects the back
//! end for a back-off that doubles each time; then a few trial requests, one at a time, decide whether it comes
//! back, warming up by slow start, or goes out again.
//!
//! ```text
//!             failures in a row, error ratio, probes fall
//!   Healthy ────────────────────────────────────────────▶ Ejected ◀──┐
//!      ▲  ▲                                                 │ back-off over, or
//!      │  └──────── slow start over ──── Warming            │ probes rise again
//!      │                                   ▲  │ as Healthy  ▼
//!   pardon                                 └──┼────────── Trial ── a trial request fails ──▶ Ejected
//! ```

use crate::random::Random;
use crate::time::{Duration, Instant, nanos};

mod config;
mod guard;

pub use config::{HealthConfig, ProbeConfig};
pub use guard::EjectionGuard;

/// How a request to a back end failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection broke before the answer was whole.
    Reset,
    /// The answer was not valid.
    Protocol,
    /// The answer says that the server failed (HTTP 5xx).
    ServerError,
}

/// Why a back end was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This many requests failed in a row, the last one like this.
    Failures {
        /// Failures in a row.
        count: u32,
        /// How the last one failed.
        last: FailureKind,
    },
    /// Too many of the last requests failed.
    ErrorRatio {
        /// Failed requests of the window.
        failures: u32,
        /// All requests of the window.
        requests: u32,
    },
    /// This many probes failed in a row.
    Probes {
        /// Failures in a row.
        count: u32,
    },
    /// A trial request failed like this.
    Trial(FailureKind),
}

/// What a piece of news changed; for the event log and the owner's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthChange {
    /// Out until then at least.
    Ejected {
        /// End of the back-off.
        until: Instant,
        /// Why.
        cause: Cause,
    },
    /// May get trial requests.
    OnTrial,
    /// Trusted again; warms up.
    Returned,
}

/// What a back end may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// Its full share.
    Healthy,
    /// Nothing.
    Ejected {
        /// End of the back-off. In the past when the probes still fail.
        until: Instant,
    },
    /// One request at a time, see [`Health::begin_trial`].
    Trial,
    /// A growing share, 1..1000 per mille.
    Warming {
        /// The share of the moment.
        per_mille: u32,
    },
}

/// The trust in one back end; see the module's text.
///
/// The owner reports every outcome, calls [`Health::handle_timeout`] when [`Health::poll_timeout`] says so, and
/// asks an [`EjectionGuard`] whether an ejection may stand.
#[derive(Clone, Debug)]
pub struct Health {
    config: HealthConfig,
    random: Random,
    phase: Phase,
    failures: u32,
    window: Window,
    ejections: u32,
    /// When the last ejection ended.
    returned_at: Instant,
    probe: Probe,
}

impl Health {
    /// A trusted back end. The first probe is due within one interval of `now`.
    pub fn new(config: HealthConfig, now: Instant, seed: u64) -> Health {
        let mut random = Random::new(seed);
        let first = config.probe.map(|probe| {
            let interval_ns = nanos(probe.interval);
            now + Duration::from_nanos(random.below(interval_ns.saturating_add(1)))
        });
        Health {
            config,
            random,
            phase: Phase::Healthy,
            failures: 0,
            window: Window { began: now, requests: 0, failures: 0 },
            ejections: 0,
            returned_at: now,
            probe: Probe { next: first, deadline: None, bad: 0, good: 0, is_down: false },
        }
    }

    /// A trusted back end that starts with a slow start, as one that was just added does.
    pub fn new_warming(config: HealthConfig, now: Instant, seed: u64) -> Health {
        let mut health = Health::new(config, now, seed);
        health.phase = Phase::Warming { since: now };
        health
    }

    /// What the back end may be given at `now`.
    pub fn state(&self, now: Instant) -> HealthState {
        match self.phase {
            Phase::Healthy => HealthState::Healthy,
            Phase::Ejected { until } if until <= now && !self.probe.is_down => HealthState::Trial,
            Phase::Ejected { until } => HealthState::Ejected { until },
            Phase::Trial { .. } => HealthState::Trial,
            Phase::Warming { since } => {
                let passed_ns = u128::from(nanos(now.saturating_sub(since)));
                let whole_ns = u128::from(nanos(self.config.slow_start));
                match passed_ns * 1000 {
                    scaled if scaled >= whole_ns * 1000 => HealthState::Healthy,
                    scaled => HealthState::Warming { per_mille: ((scaled / whole_ns) as u32).max(1) },
                }
            }
        }
    }

    /// The share it may have at `now` in per mille: what `Candidates::warmth` wants. Zero while ejected or on
    /// trial.
    pub fn warmth(&self, now: Instant) -> u32 {
        match self.state(now) {
            HealthState::Healthy => 1000,
            HealthState::Warming { per_mille } => per_mille,
            HealthState::Ejected { .. } | HealthState::Trial => 0,
        }
    }

    /// Ejections in a row, each soon after the one before.
    pub fn ejections(&self) -> u32 {
        self.ejections
    }

    /// Takes the one place for a trial request. True when the caller may send one now, and must report its
    /// outcome; false when one is under way or the back end is not on trial.
    pub fn begin_trial(&mut self, now: Instant) -> bool {
        self.end_back_off(now);
        self.settle(now);
        match &mut self.phase {
            Phase::Trial { pending: pending @ None, .. } => {
                *pending = Some(now + self.config.trial_timeout);
                true
            }
            _ => false,
        }
    }

    /// Gives the place for a trial request back: the one that had it ended without saying anything about the back end.
    pub fn cancel_trial(&mut self) {
        if let Phase::Trial { pending, .. } = &mut self.phase {
            *pending = None;
        }
    }

    /// Forgets the probe under way: it could not be sent, for want of a descriptor here.
    pub fn forget_probe(&mut self) {
        self.probe.deadline = None;
    }

    /// A request was answered well.
    pub fn on_success(&mut self, now: Instant) -> Option<HealthChange> {
        self.settle(now);
        match &mut self.phase {
            Phase::Healthy | Phase::Warming { .. } => {
                self.failures = 0;
                self.window.count(now, self.config.window, false);
                None
            }
            // Outcomes of requests sent before the ejection say nothing new.
            Phase::Ejected { .. } | Phase::Trial { pending: None, .. } => None,
            Phase::Trial { pending, successes } => {
                *pending = None;
                *successes += 1;
                if *successes < self.config.trial_successes {
                    return None;
                }
                self.come_back(now);
                Some(HealthChange::Returned)
            }
        }
    }

    /// A request failed.
    pub fn on_failure(&mut self, now: Instant, kind: FailureKind) -> Option<HealthChange> {
        self.settle(now);
        match self.phase {
            Phase::Healthy | Phase::Warming { .. } => {
                self.failures = self.failures.saturating_add(1);
                self.window.count(now, self.config.window, true);
                let cause = self.distrust(kind)?;
                Some(self.eject(now, cause))
            }
            Phase::Ejected { .. } | Phase::Trial { pending: None, .. } => None,
            Phase::Trial { .. } => Some(self.eject(now, Cause::Trial(kind))),
        }
    }

    /// A probe was answered, well or not. A probe that is not answered in time counts by itself.
    pub fn on_probe(&mut self, now: Instant, ok: bool) -> Option<HealthChange> {
        let config = self.config.probe?;
        self.probe.deadline = None;
        if ok {
            self.probe.bad = 0;
            self.probe.good = self.probe.good.saturating_add(1);
            if !self.probe.is_down || self.probe.good < config.rise {
                return None;
            }
            self.probe.is_down = false;
            return self.end_back_off(now);
        }
        self.probe.good = 0;
        self.probe.bad = self.probe.bad.saturating_add(1);
        if self.probe.is_down || self.probe.bad < config.fall {
            return None;
        }
        self.probe.is_down = true;
        match self.phase {
            // Already out: it now stays out until the probes rise.
            Phase::Ejected { .. } => None,
            _ => Some(self.eject(now, Cause::Probes { count: self.probe.bad })),
        }
    }

    /// True once when a probe is to be sent now.
    pub fn poll_probe(&mut self, now: Instant) -> bool {
        let Some(config) = self.config.probe else { return false };
        if self.probe.deadline.is_some() || self.probe.next.is_none_or(|next| next > now) {
            return false;
        }
        let interval_ns = nanos(config.interval);
        let early_ns = self.random.below(interval_ns / 10 + 1);
        // At least a nanosecond later, or an interval of zero would never let the caller's loop end.
        self.probe.next = Some(now + Duration::from_nanos((interval_ns - early_ns).max(1)));
        self.probe.deadline = Some(now + config.timeout);
        true
    }

    /// Does what is due at `now`; see [`Health::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) -> Option<HealthChange> {
        let by_probe = match self.probe.deadline {
            Some(deadline) if deadline <= now => self.on_probe(now, false),
            _ => None,
        };
        self.settle(now);
        by_probe.or_else(|| self.end_back_off(now))
    }

    /// When `handle_timeout` or `poll_probe` is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let by_phase = match self.phase {
            Phase::Healthy => None,
            Phase::Ejected { .. } if self.probe.is_down => None,
            Phase::Ejected { until } => Some(until),
            Phase::Trial { pending, .. } => pending,
            Phase::Warming { since } => Some(since + self.config.slow_start),
        };
        let by_probe = self.probe.deadline.or(self.probe.next);
        [by_phase, by_probe].into_iter().flatten().min()
    }

    /// Takes an ejection back because too many are out already. Counting starts afresh.
    pub fn pardon(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Ejected { .. } | Phase::Trial { .. }) {
            self.phase = Phase::Healthy;
            self.ejections = self.ejections.saturating_sub(1);
            self.start_counting(now);
            // What brought the probes down must bring them down again.
            self.probe.is_down = false;
            self.probe.bad = 0;
        }
    }

    /// Asserts what must hold between two calls; meant for tests and simulations.
    pub fn check_invariants(&self) {
        assert!(self.window.failures <= self.window.requests);
        assert!(self.probe.good == 0 || self.probe.bad == 0, "a row of probes is good or bad");
        if self.probe.is_down {
            assert!(matches!(self.phase, Phase::Ejected { .. }), "failing probes keep it out");
        }
        if let Phase::Trial { successes, .. } = self.phase {
            assert!(successes < self.config.trial_successes.max(1));
        }
    }

    /// Ends what ends in silence: a slow start, the wait for a trial request.
    fn settle(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Trial { pending, .. } => *pending = pending.filter(|deadline| *deadline > now),
            Phase::Warming { since } if *since + self.config.slow_start <= now => self.phase = Phase::Healthy,
            _ => {}
        }
    }

    fn distrust(&self, last: FailureKind) -> Option<Cause> {
        let Window { requests, failures, .. } = self.window;
        if self.failures >= self.config.failures_max {
            return Some(Cause::Failures { count: self.failures, last });
        }
        let is_bad =
            u64::from(failures) * 1000 >= u64::from(requests) * u64::from(self.config.error_per_mille_max);
        (requests >= self.config.window_requests_min && is_bad)
            .then_some(Cause::ErrorRatio { failures, requests })
    }

    fn eject(&mut self, now: Instant, cause: Cause) -> HealthChange {
        if now.saturating_sub(self.returned_at) >= self.config.forgive_after {
            self.ejections = 0;
        }
        self.ejections = self.ejections.saturating_add(1);
        let until = now + self.config.ejection.delay(self.ejections, &mut self.random);
        self.phase = Phase::Ejected { until };
        self.start_counting(now);
        HealthChange::Ejected { until, cause }
    }

    /// From ejected to trial, if nothing speaks against it.
    fn end_back_off(&mut self, now: Instant) -> Option<HealthChange> {
        match self.phase {
            Phase::Ejected { until } if until <= now && !self.probe.is_down => {
                self.phase = Phase::Trial { pending: None, successes: 0 };
                Some(HealthChange::OnTrial)
            }
            _ => None,
        }
    }

    fn come_back(&mut self, now: Instant) {
        self.phase = Phase::Warming { since: now };
        self.returned_at = now;
        self.start_counting(now);
    }

    fn start_counting(&mut self, now: Instant) {
        self.failures = 0;
        self.window = Window { began: now, requests: 0, failures: 0 };
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Healthy,
    Ejected {
        until: Instant,
    },
    /// `pending` is the deadline of the trial request under way.
    Trial {
        pending: Option<Instant>,
        successes: u32,
    },
    Warming {
        since: Instant,
    },
}

/// Outcomes since a moment; a new window begins when one is over.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    requests: u32,
    failures: u32,
}

impl Window {
    fn count(&mut self, now: Instant, length: Duration, is_failure: bool) {
        if now.saturating_sub(self.began) >= length {
            *self = Window { began: now, requests: 0, failures: 0 };
        }
        self.requests = self.requests.saturating_add(1);
        self.failures = self.failures.saturating_add(u32::from(is_failure));
    }
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    next: Option<Instant>,
    /// Of the probe under way.
    deadline: Option<Instant>,
    bad: u32,
    good: u32,
    is_down: bool,
}

#[cfg(test)]
mod tests;
