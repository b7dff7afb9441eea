//! The life of a back end: idle, starting, active, draining, stopped, idle again; and its accidents.
//!
//! One table says which event leads where; what is not in the table is refused and changes nothing, so a late
//! or repeated message from an agent does no harm. Deadlines bound each state that waits for somebody else:
//! a start, a drain, and the back-off of a failed one.

use super::backoff::Backoff;
use crate::random::Random;
use crate::time::{Duration, Instant};

/// Where a back end stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleState {
    /// In the pool; nothing of ours runs there.
    Idle,
    /// The process was told to start; its port does not answer yet.
    Starting,
    /// On the child list, gets requests.
    Active,
    /// Gets no new request; finishes those in flight.
    Draining,
    /// Told to stop. The node goes back once the process is known to be gone.
    Stopped,
    /// The process is gone or did not come up; tried again after a back-off.
    Failed,
    /// Runs, but health checks took it out for a while.
    Ejected,
}

/// What can happen to a back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleEvent {
    /// It was borrowed: the agent is told to start the service.
    Start,
    /// The port answers.
    Ready,
    /// Health checks no longer trust it.
    Eject,
    /// It passed its trial.
    Recover,
    /// Somebody wants it off the list.
    Drain,
    /// Nothing is in flight any more.
    Drained,
    /// The process ended without being told to.
    Exited,
    /// The deadline of the state has passed.
    Deadline,
    /// The process is known to be gone and the lease is given back.
    Released,
}

impl LifecycleState {
    /// All states, in the order of the table.
    pub const ALL: [LifecycleState; 7] = [
        LifecycleState::Idle,
        LifecycleState::Starting,
        LifecycleState::Active,
        LifecycleState::Draining,
        LifecycleState::Stopped,
        LifecycleState::Failed,
        LifecycleState::Ejected,
    ];

    /// The transition table: the state after `event`, or `None` where the event has no place.
    pub const fn on(self, event: LifecycleEvent) -> Option<LifecycleState> {
        use LifecycleEvent as E;
        use LifecycleState as S;
        Some(match (self, event) {
            (S::Idle, E::Start) => S::Starting,

            (S::Starting, E::Ready) => S::Active,
            (S::Starting, E::Exited | E::Deadline) => S::Failed,
            // Nothing was ever sent to it, so nothing has to be waited for.
            (S::Starting, E::Drain) => S::Stopped,

            (S::Active, E::Eject) => S::Ejected,
            (S::Active, E::Drain) => S::Draining,
            (S::Active, E::Exited) => S::Failed,

            (S::Ejected, E::Recover) => S::Active,
            (S::Ejected, E::Drain) => S::Draining,
            (S::Ejected, E::Exited) => S::Failed,

            (S::Draining, E::Drained | E::Deadline | E::Exited) => S::Stopped,

            (S::Failed, E::Deadline) => S::Starting,
            (S::Failed, E::Drain) => S::Stopped,

            (S::Stopped, E::Released) => S::Idle,
            _ => return None,
        })
    }

    /// True while the back end counts as somebody's: from the start to the release.
    pub const fn is_borrowed(self) -> bool {
        !matches!(self, LifecycleState::Idle)
    }
}

impl LifecycleEvent {
    /// All events, in the order of the table.
    pub const ALL: [LifecycleEvent; 9] = [
        LifecycleEvent::Start,
        LifecycleEvent::Ready,
        LifecycleEvent::Eject,
        LifecycleEvent::Recover,
        LifecycleEvent::Drain,
        LifecycleEvent::Drained,
        LifecycleEvent::Exited,
        LifecycleEvent::Deadline,
        LifecycleEvent::Released,
    ];
}

/// The deadlines of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifecycleConfig {
    /// From `Start` until the port must answer.
    pub start_max: Duration,
    /// From `Drain` until requests still in flight are cut off.
    pub drain_max: Duration,
    /// How long a failed one waits before it is started again; doubles with each failure in a row.
    pub restart: Backoff,
}

/// A service that takes more than 10 s to open its port is taken for broken; 30 s let nearly all requests end.
impl Default for LifecycleConfig {
    fn default() -> Self {
        LifecycleConfig {
            start_max: Duration::from_secs(10),
            drain_max: Duration::from_secs(30),
            restart: Backoff {
                base: Duration::from_millis(500),
                max: Duration::from_secs(30),
                jitter_per_mille: 200,
            },
        }
    }
}

/// An event that has no place in the present state. It changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The state, which stays.
    pub state: LifecycleState,
    /// What was refused.
    pub event: LifecycleEvent,
}

/// The state of one back end with its deadline.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    config: LifecycleConfig,
    random: Random,
    state: LifecycleState,
    since: Instant,
    deadline: Option<Instant>,
    failures: u32,
}

impl Lifecycle {
    /// An idle back end. `seed` is for the jitter of restarts.
    pub fn new(config: LifecycleConfig, seed: u64) -> Lifecycle {
        Lifecycle {
            config,
            random: Random::new(seed),
            state: LifecycleState::Idle,
            since: Instant::ZERO,
            deadline: None,
            failures: 0,
        }
    }

    /// The present state.
    pub fn state(&self) -> LifecycleState {
        self.state
    }

    /// When the present state began.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Failures in a row: starts that failed and processes that ended, since it was last active for longer
    /// than the longest back-off, or idle. An owner with enough of it sends `Drain`.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Applies `event` and returns the new state.
    ///
    /// Errors: [`Refusal`] when the table has no such transition; nothing has changed then.
    pub fn handle(&mut self, now: Instant, event: LifecycleEvent) -> Result<LifecycleState, Refusal> {
        let state = self.state.on(event).ok_or(Refusal { state: self.state, event })?;
        let was_steady = matches!(self.state, LifecycleState::Active)
            && now.saturating_sub(self.since) > self.config.restart.max;
        if state == LifecycleState::Idle || was_steady {
            self.failures = 0;
        }
        self.deadline = match state {
            LifecycleState::Starting => Some(now + self.config.start_max),
            LifecycleState::Draining => Some(now + self.config.drain_max),
            LifecycleState::Failed => {
                self.failures = self.failures.saturating_add(1);
                Some(now + self.config.restart.delay(self.failures, &mut self.random))
            }
            _ => None,
        };
        self.state = state;
        self.since = now;
        Ok(state)
    }

    /// Applies the deadline when it has passed; returns the new state then.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<LifecycleState> {
        if self.deadline? > now {
            return None;
        }
        self.handle(now, LifecycleEvent::Deadline).ok()
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Asserts what must hold between two calls; meant for tests and simulations.
    pub fn check_invariants(&self) {
        let waits = self.state.on(LifecycleEvent::Deadline).is_some();
        assert_eq!(self.deadline.is_some(), waits, "exactly the states with a way out by deadline have one");
        assert!(self.state != LifecycleState::Idle || self.failures == 0, "an idle one has a clean slate");
    }
}

#[cfg(test)]
mod tests;
