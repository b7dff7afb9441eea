//! When the child list grows and when it shrinks: the load manager's decision.
//!
//! | child list | condition, held for the hold time | decision |
//! | --- | --- | --- |
//! | nobody active | the front end is High | add the first |
//! | some active | all of them High | add |
//! | several active | all Low and one idle | remove the idle one that was added last |
//! | one active | it is idle, and the front end Low | remove it: the front end serves alone |
//! | fewer than the minimum, more than the maximum | | add, remove |
//!
//! Between two decisions lies the cool-down. While a back end starts nothing else is decided, except that the
//! minimum is filled: the one that starts is the answer to the load seen now.

use super::lifecycle::LifecycleState;
use super::load::{BackendKey, Level, Load, Signal, Thresholds};
use crate::time::{Duration, Instant};

/// What the scaler goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalerConfig {
    /// Where Medium and High begin.
    pub thresholds: Thresholds,
    /// What is compared with them.
    pub signal: Signal,
    /// How long the reason to add must last, in nanoseconds.
    pub hold_ns_add: u64,
    /// How long the reason to remove must last, in nanoseconds.
    pub hold_ns_remove: u64,
    /// The least time between two decisions, in nanoseconds.
    pub cool_down_ns: u64,
    /// Back ends kept even when there is nothing to do.
    pub backends_min: usize,
    /// Back ends never exceeded.
    pub backends_max: usize,
}

/// Adding is fast, because clients wait; giving back is slow, because a start costs more than an idle node.
impl Default for ScalerConfig {
    fn default() -> Self {
        ScalerConfig {
            thresholds: Thresholds::default(),
            signal: Signal::InFlight,
            hold_ns_add: 50_000_000,
            hold_ns_remove: 5_000_000_000,
            cool_down_ns: 250_000_000,
            backends_min: 0,
            backends_max: usize::MAX,
        }
    }
}

/// One back end of the child list as sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildSample {
    /// Who it is.
    pub key: BackendKey,
    /// Its load.
    pub load: Load,
    /// Only `Active` ones take part in decisions.
    pub state: LifecycleState,
}

/// One look at the front end and its child list.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Load of the front end itself.
    pub local: Load,
    /// The child list in list order, which is the order of adding.
    pub children: &'a [ChildSample],
    /// Nodes that could be had now.
    pub pool_idle: usize,
    /// Back ends being started, on the child list or not.
    pub starting: usize,
}

/// Samples of a signal other than [`Signal::InFlight`], in per mille of its scale.
#[derive(Clone, Copy, Debug)]
pub struct Readings<'a> {
    /// Of the front end.
    pub local_per_mille: u32,
    /// Of each child, in the order of [`Sample::children`]; a missing one counts as 0.
    pub children_per_mille: &'a [u32],
}

/// What to do, with the numbers that led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Leave the list as it is.
    Nothing,
    /// Borrow a back end and start the service there.
    Add {
        /// Why.
        reason: AddReason,
    },
    /// Drain this back end and give it back.
    Remove {
        /// Which one.
        key: BackendKey,
        /// Why.
        reason: RemoveReason,
    },
}

/// Why a back end is added. Percentages are those of the configured signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddReason {
    /// The front end serves alone and is High.
    FrontEndHigh {
        /// Its load.
        percent: u32,
        /// Where High begins.
        threshold: u32,
        /// How long it has been so.
        held: Duration,
    },
    /// Every active back end is High.
    AllHigh {
        /// Active back ends.
        active: usize,
        /// The least loaded of them.
        percent_min: u32,
        /// Where High begins.
        threshold: u32,
        /// How long it has been so.
        held: Duration,
    },
    /// There are fewer than configured.
    BelowMinimum {
        /// Back ends active or starting.
        count: usize,
        /// The configured minimum.
        min: usize,
    },
}

/// Why a back end is removed. Percentages are those of the configured signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveReason {
    /// Every active back end is Low and this one is idle.
    AllLow {
        /// Active back ends.
        active: usize,
        /// The most loaded of them.
        percent_max: u32,
        /// Where Low ends.
        threshold: u32,
        /// How long it has been so.
        held: Duration,
    },
    /// The only active back end is idle and the front end is Low.
    LastIdle {
        /// Load of the front end.
        local_percent: u32,
        /// Where Low ends.
        threshold: u32,
        /// How long it has been so.
        held: Duration,
    },
    /// There are more than configured.
    AboveMaximum {
        /// Back ends active or starting.
        count: usize,
        /// The configured maximum.
        max: usize,
    },
}

/// Decides from a sequence of samples; remembers only since when its two conditions hold.
#[derive(Clone, Debug)]
pub struct Scaler {
    config: ScalerConfig,
    high_since: Option<Instant>,
    low_since: Option<Instant>,
    decided_at: Option<Instant>,
    decisions: u64,
}

impl Scaler {
    /// A scaler that has seen nothing yet.
    pub fn new(config: ScalerConfig) -> Scaler {
        Scaler { config, high_since: None, low_since: None, decided_at: None, decisions: 0 }
    }

    /// What the scaler goes by.
    pub fn config(&self) -> &ScalerConfig {
        &self.config
    }

    /// Changes what it goes by. Hold times run on.
    pub fn set_config(&mut self, config: ScalerConfig) {
        self.config = config;
    }

    /// Changes where Medium and High begin. Hold times run on.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.config.thresholds = thresholds;
    }

    /// Decisions taken so far: the number of reconfigurations.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Looks at one sample by requests in flight. `now` must not go back between two calls.
    ///
    /// The caller carries a decision out, or not, and samples on; a decision that could not be carried out
    /// comes again after the cool-down.
    pub fn step(&mut self, now: Instant, sample: &Sample<'_>) -> Decision {
        self.step_with(now, sample, &Readings { local_per_mille: 0, children_per_mille: &[] })
    }

    /// As `step`, for a signal that is sampled.
    pub fn step_with(&mut self, now: Instant, sample: &Sample<'_>, readings: &Readings<'_>) -> Decision {
        let view = View::new(&self.config, sample, readings);
        let held_high = hold(&mut self.high_since, now, view.wants_more());
        let held_low = hold(&mut self.low_since, now, view.wants_less());
        let since_decision = self.decided_at.map(|at| now.saturating_sub(at));
        if since_decision.is_some_and(|passed| passed < Duration::from_nanos(self.config.cool_down_ns)) {
            return Decision::Nothing;
        }
        let decision = self.decide(&view, held_high, held_low);
        if decision != Decision::Nothing {
            self.high_since = None;
            self.low_since = None;
            self.decided_at = Some(now);
            self.decisions += 1;
        }
        decision
    }

    fn decide(&self, view: &View<'_>, held_high: Option<Duration>, held_low: Option<Duration>) -> Decision {
        let ScalerConfig { thresholds, backends_min, backends_max, .. } = self.config;
        let count = view.active + view.sample.starting;
        let can_add = view.sample.pool_idle > 0 && count < backends_max;
        if count < backends_min && can_add {
            return Decision::Add { reason: AddReason::BelowMinimum { count, min: backends_min } };
        }
        if view.sample.starting > 0 {
            return Decision::Nothing;
        }
        if let (true, Some(key)) = (count > backends_max, view.last_active) {
            let reason = RemoveReason::AboveMaximum { count, max: backends_max };
            return Decision::Remove { key: view.last_idle.unwrap_or(key), reason };
        }
        if let Some(held) = held_high.filter(|held| *held >= Duration::from_nanos(self.config.hold_ns_add))
            && can_add
        {
            return Decision::Add { reason: view.add_reason(thresholds.high, held) };
        }
        if let Some(held) = held_low.filter(|held| *held >= Duration::from_nanos(self.config.hold_ns_remove))
            && let Some(key) = view.last_idle
            && view.active > backends_min
        {
            return Decision::Remove { key, reason: view.remove_reason(thresholds.medium, held) };
        }
        Decision::Nothing
    }
}

/// What matters of a sample.
struct View<'a> {
    sample: &'a Sample<'a>,
    thresholds: Thresholds,
    local_percent: u32,
    active: usize,
    percent_min: u32,
    percent_max: u32,
    last_active: Option<BackendKey>,
    last_idle: Option<BackendKey>,
}

impl<'a> View<'a> {
    fn new(config: &ScalerConfig, sample: &'a Sample<'a>, readings: &Readings<'_>) -> View<'a> {
        let mut view = View {
            sample,
            thresholds: config.thresholds,
            local_percent: config.signal.percent(sample.local, readings.local_per_mille),
            active: 0,
            percent_min: u32::MAX,
            percent_max: 0,
            last_active: None,
            last_idle: None,
        };
        for (index, child) in sample.children.iter().enumerate() {
            if child.state != LifecycleState::Active {
                continue;
            }
            let reading = readings.children_per_mille.get(index).copied().unwrap_or(0);
            let percent = config.signal.percent(child.load, reading);
            view.active += 1;
            view.percent_min = view.percent_min.min(percent);
            view.percent_max = view.percent_max.max(percent);
            view.last_active = Some(child.key);
            if child.load.in_flight == 0 {
                view.last_idle = Some(child.key);
            }
        }
        view
    }

    /// The condition to add, but for the bounds.
    fn wants_more(&self) -> bool {
        let percent = if self.active == 0 { self.local_percent } else { self.percent_min };
        self.sample.starting == 0 && self.thresholds.level_of(percent) == Level::High
    }

    /// The condition to remove, but for the bounds.
    fn wants_less(&self) -> bool {
        let low = |percent| self.thresholds.level_of(percent) == Level::Low;
        self.sample.starting == 0
            && self.last_idle.is_some()
            && low(self.percent_max)
            && (self.active > 1 || low(self.local_percent))
    }

    fn add_reason(&self, threshold: u32, held: Duration) -> AddReason {
        match self.active {
            0 => AddReason::FrontEndHigh { percent: self.local_percent, threshold, held },
            active => AddReason::AllHigh { active, percent_min: self.percent_min, threshold, held },
        }
    }

    fn remove_reason(&self, threshold: u32, held: Duration) -> RemoveReason {
        match self.active {
            1 => RemoveReason::LastIdle { local_percent: self.local_percent, threshold, held },
            active => RemoveReason::AllLow { active, percent_max: self.percent_max, threshold, held },
        }
    }
}

/// Keeps since when a condition holds, and tells for how long, if it does.
fn hold(since: &mut Option<Instant>, now: Instant, condition: bool) -> Option<Duration> {
    *since = condition.then(|| since.unwrap_or(now));
    since.map(|since| now.saturating_sub(since))
}

#[cfg(test)]
mod tests;
