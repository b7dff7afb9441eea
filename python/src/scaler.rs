//! The scaler: when the child list grows and when it shrinks.

use crate::argument::{contradiction, count, moment, per_core, seconds};
use crate::errors::Answer;
use clustercore::Result;
use clustercore::proto::policy::{
    AddReason, BackendKey, ChildSample, Decision, LifecycleState, Load, RemoveReason, Sample, ScalerConfig,
    Signal, Thresholds,
};
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Decides when a back end is added and when one is given back, from samples of the load. A pure machine:
/// no clock, no socket.
///
/// The reason to add must last `hold_add` seconds, the reason to remove `hold_remove`; between two
/// decisions lie at least `cool_down` seconds. From `backends_min` to `backends_max` back ends. Requests in
/// flight per core from `medium_per_core` on are Medium, from `high_per_core` on High. Raises
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
        medium_per_core=4.0, high_per_core=16.0))]
    fn new(
        hold_add: f64,
        hold_remove: f64,
        cool_down: f64,
        backends_min: i64,
        backends_max: i64,
        medium_per_core: f64,
        high_per_core: f64,
    ) -> Answer<Scaler> {
        let nanoseconds = |length: Duration| length.as_nanos() as u64;
        let config = ScalerConfig {
            thresholds: Thresholds {
                medium: per_core("medium_per_core", medium_per_core)?,
                high: per_core("high_per_core", high_per_core)?,
            },
            signal: Signal::InFlight,
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
        if config.thresholds.medium > config.thresholds.high {
            let text = format!(
                "medium_per_core is {medium_per_core}; it must not be above high_per_core ({high_per_core})"
            );
            return Err(contradiction(text).into());
        }
        Ok(Scaler(Mutex::new(clustercore::proto::policy::Scaler::new(config))))
    }

    /// Looks at one sample. Returns None, ("add", reason) or ("remove", key, reason).
    ///
    /// `now` is seconds of a clock that does not go back. `local` is (requests in flight, cores) of the
    /// front end itself; `children` the child list in its order, (key, requests in flight, cores, state)
    /// each, with the state "starting", "active" or "draining"; `pool_idle` the nodes that could be had. A
    /// decision that could not be carried out comes again after the cool-down.
    #[pyo3(signature = (now, local, children, pool_idle))]
    fn step(
        &self,
        now: f64,
        local: (i64, i64),
        children: Vec<Child>,
        pool_idle: i64,
    ) -> Answer<Option<Told>> {
        let now = moment("now", now)?;
        let mut samples = Vec::with_capacity(children.len());
        for (key, in_flight, cores, state) in &children {
            let state = crate::argument::choice("state", state, STATES)?;
            samples.push(ChildSample { key: BackendKey(*key), load: load(*in_flight, *cores)?, state });
        }
        let sample = Sample {
            local: load(local.0, local.1)?,
            children: &samples,
            pool_idle: count("pool_idle", pool_idle, 0..=BACKENDS_MAX)?,
            starting: samples.iter().filter(|child| child.state == LifecycleState::Starting).count(),
        };
        let decision = self.0.lock().unwrap_or_else(PoisonError::into_inner).step(now, &sample);
        Ok(match decision {
            Decision::Nothing => None,
            Decision::Add { reason } => Some(Told::Add(("add", why_add(reason)))),
            Decision::Remove { key, reason } => Some(Told::Remove(("remove", key.0, why_remove(reason)))),
        })
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

fn why_add(reason: AddReason) -> String {
    match reason {
        AddReason::FrontEndHigh { percent, threshold, held } => format!(
            "the front end has {} requests per core, High from {}, for {:.2} s",
            per(percent),
            per(threshold),
            held.as_secs_f64()
        ),
        AddReason::AllHigh { active, percent_min, threshold, held } => format!(
            "all {active} back ends have at least {} requests per core, High from {}, for {:.2} s",
            per(percent_min),
            per(threshold),
            held.as_secs_f64()
        ),
        AddReason::BelowMinimum { count, min } => {
            format!("{count} back ends are fewer than the minimum of {min}")
        }
    }
}

fn why_remove(reason: RemoveReason) -> String {
    match reason {
        RemoveReason::AllLow { active, percent_max, threshold, held } => format!(
            "idle, and all {active} back ends have at most {} requests per core, Low below {}, for {:.2} s",
            per(percent_max),
            per(threshold),
            held.as_secs_f64()
        ),
        RemoveReason::LastIdle { local_percent, threshold, held } => format!(
            "idle, and the front end has {} requests per core, Low below {}, for {:.2} s",
            per(local_percent),
            per(threshold),
            held.as_secs_f64()
        ),
        RemoveReason::AboveMaximum { count, max } => {
            format!("{count} back ends are more than the maximum of {max}")
        }
    }
}

fn per(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

const STATES: &[(&str, LifecycleState)] = &[
    ("starting", LifecycleState::Starting),
    ("active", LifecycleState::Active),
    ("draining", LifecycleState::Draining),
];

const BACKENDS_MAX: usize = 1 << 20;
