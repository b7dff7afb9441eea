//! Tells everything that is wrong with a quality of service before it is set.

use super::{Acknowledgement, Qos, Settings};
use std::fmt;

/// Where a quality of service is set, the widest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// For all of a channel.
    Channel,
    /// For the proxies of a group.
    Group,
    /// For one proxy.
    Proxy,
}

/// One thing that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QosProblem {
    /// A number is out of its range.
    OutOfRange {
        /// The property.
        property: &'static str,
        /// What was asked for; nanoseconds for times.
        value: u64,
        /// The least that is possible.
        min: u64,
        /// The most that is possible.
        max: u64,
    },
    /// Two properties do not go together.
    Conflict {
        /// The property that was set.
        property: &'static str,
        /// The one that it conflicts with, as it would hold.
        with: &'static str,
        /// Why.
        why: &'static str,
    },
}

/// Everything that is wrong, never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QosError {
    /// Each problem.
    pub problems: Vec<QosProblem>,
}

/// Whether `qos` can be set at `level` where the wider levels leave `wider`.
///
/// Errors: every problem, not only the first.
pub fn validate(level: Level, wider: &Settings, qos: &Qos) -> Result<Settings, QosError> {
    let settings = wider.narrowed(qos);
    let mut problems = Vec::new();
    let mut range = |property, value: Option<u64>, min, max| {
        if let Some(value) = value.filter(|value| !(min..=max).contains(value)) {
            problems.push(QosProblem::OutOfRange { property, value, min, max });
        }
    };
    let nanos = clustercore_proto::time::nanos;
    range("length_max", qos.length_max.map(u64::from), 1, LENGTH_MAX);
    range("bytes_max", qos.bytes_max, 1024, BYTES_MAX);
    range("batch_max", qos.batch_max.map(u64::from), 1, BATCH_MAX);
    range("in_flight_max", qos.in_flight_max.map(u64::from), 1, LENGTH_MAX);
    range("tries_max", qos.tries_max.map(u64::from), 1, 1000);
    range("weight", qos.weight.map(u64::from), 1, 4096);
    range("lifetime", qos.lifetime.map(nanos), 0, TIME_MAX_NS);
    range("delay", qos.delay.map(nanos), 0, TIME_MAX_NS);
    range("pacing", qos.pacing.map(nanos), 0, HOUR_NS);
    range("acknowledge_timeout", qos.acknowledge_timeout.map(nanos), 1_000_000, 24 * HOUR_NS);
    range("backoff", qos.backoff.map(nanos), 0, HOUR_NS);
    range("backoff_max", qos.backoff_max.map(nanos), 0, 24 * HOUR_NS);
    let mut conflict = |is_wrong: bool, property, with, why| {
        if is_wrong {
            problems.push(QosProblem::Conflict { property, with, why });
        }
    };
    let says = qos.backoff.is_some() || qos.backoff_max.is_some();
    let why = "the first wait is longer than the longest";
    conflict(says && settings.backoff > settings.backoff_max, "backoff", "backoff_max", why);
    let says = qos.batch_max.is_some() || qos.length_max.is_some();
    let is_wrong = says && settings.batch_max > settings.length_max && level == Level::Proxy;
    conflict(is_wrong && qos.batch_max.is_some(), "batch_max", "length_max", "no queue ever holds a batch");
    let says = qos.lifetime.is_some() || qos.delay.is_some();
    let is_wrong = says && !settings.lifetime.is_zero() && settings.delay >= settings.lifetime;
    conflict(is_wrong, "delay", "lifetime", "events expire before they are delivered");
    let is_unheard = level == Level::Proxy && settings.acknowledgement == Acknowledgement::None;
    let why = "nothing is acknowledged, so nothing is tried again";
    conflict(is_unheard && qos.tries_max.is_some(), "tries_max", "acknowledgement", why);
    conflict(is_unheard && qos.in_flight_max.is_some(), "in_flight_max", "acknowledgement", why);
    conflict(is_unheard && qos.acknowledge_timeout.is_some(), "acknowledge_timeout", "acknowledgement", why);
    if problems.is_empty() { Ok(settings) } else { Err(QosError { problems }) }
}

impl fmt::Display for QosProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QosProblem::OutOfRange { property, value, min, max } => {
                write!(f, "{property} is {value}, possible are {min} to {max}")
            }
            QosProblem::Conflict { property, with, why } => write!(f, "{property} against {with}: {why}"),
        }
    }
}

impl fmt::Display for QosError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for QosError {}

const LENGTH_MAX: u64 = 1 << 24;
const BYTES_MAX: u64 = 1 << 40;
const BATCH_MAX: u64 = 4096;
const HOUR_NS: u64 = 3_600_000_000_000;
/// A year.
const TIME_MAX_NS: u64 = 24 * 365 * HOUR_NS;

#[cfg(test)]
mod tests {
    use super::*;
    use clustercore_proto::time::Duration;

    #[test]
    fn all_problems_are_told_at_once() {
        let qos = Qos {
            length_max: Some(0),
            batch_max: Some(5000),
            backoff: Some(Duration::from_secs(60)),
            tries_max: Some(3),
            lifetime: Some(Duration::from_secs(1)),
            delay: Some(Duration::from_secs(1)),
            ..Qos::default()
        };
        let error = validate(Level::Proxy, &Settings::default(), &qos).unwrap_err();
        let names = error.problems.iter().map(|problem| match problem {
            QosProblem::OutOfRange { property, .. } | QosProblem::Conflict { property, .. } => *property,
        });
        let names = names.collect::<Vec<_>>();
        assert_eq!(names, ["length_max", "batch_max", "backoff", "batch_max", "delay", "tries_max"]);
        assert!(error.to_string().starts_with("length_max is 0, possible are 1 to 16777216; "));
    }

    #[test]
    fn what_the_wider_level_says_counts_for_conflicts() {
        let qos = Qos { tries_max: Some(3), ..Qos::default() };
        assert!(validate(Level::Proxy, &Settings::default(), &qos).is_err());
        assert!(validate(Level::Channel, &Settings::default(), &qos).is_ok());
        let wider = Settings { acknowledgement: Acknowledgement::Explicit, ..Settings::default() };
        assert_eq!(validate(Level::Proxy, &wider, &qos).unwrap().tries_max, 3);
    }
}
