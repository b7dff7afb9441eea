//! The scaler: when the child list grows and when it shrinks.

use crate::argument::{
    SIGNALS, choice, contradiction, count, moment, ordered, per_core, reading, seconds, thresholds,
};
use crate::errors::Answer;
use clustercore::Result;
use clustercore::proto::policy::{
    AddReason, BackendKey, ChildSample, Decision, LifecycleState, Load, Readings, RemoveReason, Sample,
    ScalerConfig, Signal, Thresholds,
};
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Decides when a back end is added and when one is given back, from samples of the load. A pure machine:
/// no clock, no socket.
///
/// The reason to add must last `hold_add` seconds, the reason to remove `hold_remove`; between two
/// decisions lie at least `cool_down` seconds. From `backends_min` to `backends_max` back ends. Load from
/// `medium_per_core` on is Medium, from `high_per_core` on High; `signal` says what load is: "in_flight",
/// requests in flight per core; "cpu", the busy share of the cores, 0 to 1; "latency", response time in
/// milliseconds, for which both must be given. None means the default, see `default_thresholds`. Raises
/// InvalidArgument, BadConfiguration.
#[pyclass(frozen, module = "clustercore")]
pub struct Scaler(Mutex<clustercore::proto::policy::Scaler>);

/// A child as Python gives it: key, requests in flight, cores, state.
type Child = (u32, i64, i64, String);

/// "add" or "remove", the key to be removed, the reason.
#[derive(IntoPyObject)]
enum Told {
    Add((&'static str, String)),
    Remove((&'static str, u32, String)),
}

#[pymethods]
impl Scaler {
    #[new]
    #[pyo3(signature = (*, hold_add=0.05, hold_remove=5.0, cool_down=0.25, backends_min=0, backends_max=3,
        signal="in_flight", medium_per_core=None, high_per_core=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        hold_add: f64,
        hold_remove: f64,
        cool_down: f64,
        backends_min: i64,
        backends_max: i64,
        signal: &str,
        medium_per_core: Option<f64>,
        high_per_core: Option<f64>,
    ) -> Answer<Scaler> {
        let signal = choice("signal", signal, SIGNALS)?;
        let nanoseconds = |length: Duration| length.as_nanos() as u64;
        let config = ScalerConfig {
            thresholds: thresholds(signal, medium_per_core, high_per_core)?,
            signal,
            hold_ns_add: nanoseconds(seconds("hold_add", hold_add)?),
            hold_ns_remove: nanoseconds(seconds("hold_remove", hold_remove)?),
            cool_down_ns: nanoseconds(seconds("cool_down", cool_down)?),
            backends_min: count("backends_min", backends_min, 0..=BACKENDS_MAX)?,
            backends_max: count("backends_max", backends_max, 0..=BACKENDS_MAX)?,
        };
        if config.backends_min > config.backends_max {
            let text =
                format!("backends_min is {backends_min}; it must not be above backends_max ({backends_max})");
            return Err(contradiction(text).into());
        }
        ordered(config.thresholds)?;
        Ok(Scaler(Mutex::new(clustercore::proto::policy::Scaler::new(config))))
    }

    /// Looks at one sample. Returns None, ("add", reason) or ("remove", key, reason).
    ///
    /// `now` is seconds of a clock that does not go back. `local` is (requests in flight, cores) of the
    /// front end itself; `children` the child list in its order, (key, requests in flight, cores, state)
    /// each, with the state "starting", "active" or "draining"; `pool_idle` the nodes that could be had.
    /// `readings` are the samples of another signal than "in_flight", in its unit: the front end's own, and
    /// one for each child. A decision that could not be carried out comes again after the cool-down.
    #[pyo3(signature = (now, local, children, pool_idle, readings=None))]
    fn step(
        &self,
        now: f64,
        local: (i64, i64),
        children: Vec<Child>,
        pool_idle: i64,
        readings: Option<(f64, Vec<f64>)>,
    ) -> Answer<Option<Told>> {
        let now = moment("now", now)?;
        let mut samples = Vec::with_capacity(children.len());
        for (key, in_flight, cores, state) in &children {
            let state = choice("state", state, STATES)?;
            samples.push(ChildSample { key: BackendKey(*key), load: load(*in_flight, *cores)?, state });
        }
        let sample = Sample {
            local: load(local.0, local.1)?,
            children: &samples,
            pool_idle: count("pool_idle", pool_idle, 0..=BACKENDS_MAX)?,
            starting: samples.iter().filter(|child| child.state == LifecycleState::Starting).count(),
        };
        let (local, children) = readings.unwrap_or_default();
        let children: Result<Vec<u32>> = children.iter().map(|value| reading("readings", *value)).collect();
        let readings =
            Readings { local_per_mille: reading("readings", local)?, children_per_mille: &children? };
        let mut scaler = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let signal = scaler.config().signal;
        Ok(match scaler.step_with(now, &sample, &readings) {
            Decision::Nothing => None,
            Decision::Add { reason } => Some(Told::Add(("add", why_add(signal, reason)))),
            Decision::Remove { key, reason } => {
                Some(Told::Remove(("remove", key.0, why_remove(signal, reason))))
            }
        })
    }

    /// Changes where Medium and High begin; hold times run on. Raises InvalidArgument,
    /// BadConfiguration.
    #[pyo3(signature = (*, medium_per_core, high_per_core))]
    fn set_thresholds(&self, medium_per_core: f64, high_per_core: f64) -> Answer<()> {
        let thresholds = Thresholds {
            medium: per_core("medium_per_core", medium_per_core)?,
            high: per_core("high_per_core", high_per_core)?,
        };
        ordered(thresholds)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).set_thresholds(thresholds);
        Ok(())
    }

    /// Decisions taken so far.
    #[getter]
    fn decisions(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).decisions()
    }

    fn __repr__(&self) -> String {
        let scaler = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ScalerConfig { backends_min, backends_max, .. } = *scaler.config();
        format!(
            "<clustercore.Scaler of {backends_min} to {backends_max} back ends, {} decisions>",
            scaler.decisions()
        )
    }
}

fn load(in_flight: i64, cores: i64) -> Result<Load> {
    let in_flight = count("in_flight", in_flight, 0..=u32::MAX)?;
    Ok(Load { in_flight, cores: count("cores", cores, 1..=u32::MAX)?, weight: 1 })
}

fn why_add(signal: Signal, reason: AddReason) -> String {
    let load = |percent| in_words(signal, percent);
    match reason {
        AddReason::FrontEndHigh { percent, threshold, held } => format!(
            "the front end has {}, High from {}, for {:.2} s",
            load(percent),
            bare(signal, threshold),
            held.as_secs_f64()
        ),
        AddReason::AllHigh { active, percent_min, threshold, held } => format!(
            "all {active} back ends have at least {}, High from {}, for {:.2} s",
            load(percent_min),
            bare(signal, threshold),
            held.as_secs_f64()
        ),
        AddReason::BelowMinimum { count, min } => {
            format!("{count} back ends are fewer than the minimum of {min}")
        }
    }
}

fn why_remove(signal: Signal, reason: RemoveReason) -> String {
    let load = |percent| in_words(signal, percent);
    match reason {
        RemoveReason::AllLow { active, percent_max, threshold, held } => format!(
            "idle, and all {active} back ends have at most {}, Low below {}, for {:.2} s",
            load(percent_max),
            bare(signal, threshold),
            held.as_secs_f64()
        ),
        RemoveReason::LastIdle { local_percent, threshold, held } => format!(
            "idle, and the front end has {}, Low below {}, for {:.2} s",
            load(local_percent),
            bare(signal, threshold),
            held.as_secs_f64()
        ),
        RemoveReason::AboveMaximum { count, max } => {
            format!("{count} back ends are more than the maximum of {max}")
        }
    }
}

/// A load with its unit.
fn in_words(signal: Signal, percent: u32) -> String {
    match signal {
        Signal::InFlight => format!("{} requests per core", bare(signal, percent)),
        Signal::Cpu => format!("{} of its CPU busy", bare(signal, percent)),
        Signal::Latency => format!("a response time of {}", bare(signal, percent)),
    }
}

/// A threshold beside a load that has its unit already.
fn bare(signal: Signal, percent: u32) -> String {
    match signal {
        Signal::InFlight => format!("{}", f64::from(percent) / 100.0),
        Signal::Cpu => format!("{percent} %"),
        Signal::Latency => format!("{} ms", f64::from(percent) / 100.0),
    }
}

const STATES: &[(&str, LifecycleState)] = &[
    ("starting", LifecycleState::Starting),
    ("active", LifecycleState::Active),
    ("draining", LifecycleState::Draining),
];

const BACKENDS_MAX: usize = 1 << 20;
