//! Thresholds learnt from response time against concurrency.

use crate::argument::{SIGNALS, choice, count, moment, ordered, per_core, seconds, thresholds};
use crate::errors::Answer;
use clustercore::proto::policy::{AutoConfig, Signal, Thresholds};
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Learns where Medium and High begin from response times against requests in flight. A pure machine.
///
/// `medium_per_core` and `high_per_core` hold until something has been learnt (None: `default_thresholds`); `cores` are those of the
/// server that is observed. Medium is at the knee: the concurrency up to which responses take at most
/// `knee_ratio` of the least time; High where they take `high_ratio` of it. An average counts from
/// `samples_min` observations on, until `forget_after` seconds without a new one. Raises InvalidArgument,
/// BadConfiguration.
#[pyclass(frozen, module = "clustercore")]
pub struct AutoThresholds(Mutex<clustercore::proto::policy::AutoThresholds>);

#[pymethods]
impl AutoThresholds {
    #[new]
    #[pyo3(signature = (*, cores=1, medium_per_core=None, high_per_core=None, knee_ratio=1.35, high_ratio=3.0,
        samples_min=50, forget_after=600.0))]
    fn new(
        cores: i64,
        medium_per_core: Option<f64>,
        high_per_core: Option<f64>,
        knee_ratio: f64,
        high_ratio: f64,
        samples_min: i64,
        forget_after: f64,
    ) -> Answer<AutoThresholds> {
        let start = thresholds(Signal::InFlight, medium_per_core, high_per_core)?;
        ordered(start)?;
        let config = AutoConfig {
            start,
            cores: count("cores", cores, 1..=65_536)?,
            // Hundredths, as thresholds are.
            knee_per_cent: per_core("knee_ratio", knee_ratio)?,
            high_per_cent: per_core("high_ratio", high_ratio)?,
            samples_min: count("samples_min", samples_min, 1..=u32::MAX)?,
            forget_after: seconds("forget_after", forget_after)?,
            ..AutoConfig::default()
        };
        Ok(AutoThresholds(Mutex::new(clustercore::proto::policy::AutoThresholds::new(config))))
    }

    /// A request that was sent as one of `in_flight` (itself included) was answered after `latency`
    /// seconds; `now` is seconds of a clock that does not go back.
    fn observe(&self, now: f64, in_flight: i64, latency: f64) -> Answer<()> {
        let now = moment("now", now)?;
        let in_flight = count("in_flight", in_flight, 1..=u32::MAX)?;
        let latency = seconds("latency", latency)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).observe(now, in_flight, latency);
        Ok(())
    }

    /// Requests in flight per core from which on a load is Medium, and High, as far as they are known now.
    fn thresholds(&self) -> (f64, f64) {
        let Thresholds { medium, high } = self.0.lock().unwrap_or_else(PoisonError::into_inner).thresholds();
        (f64::from(medium) / 100.0, f64::from(high) / 100.0)
    }

    /// The least average response time in seconds, None before there is one.
    fn latency_min(&self) -> Option<f64> {
        let least = self.0.lock().unwrap_or_else(PoisonError::into_inner).latency_min();
        least.map(|latency| latency.as_secs_f64())
    }

    fn __repr__(&self) -> String {
        let (medium, high) = self.thresholds();
        format!("<clustercore.AutoThresholds medium={medium} high={high}>")
    }
}

/// Where Medium and High begin when nothing else is said, in the signal's unit: requests in flight per core,
/// or the busy share of the cores. None for "latency": what is long depends on the service.
#[pyfunction]
#[pyo3(signature = (signal="in_flight"))]
pub fn default_thresholds(signal: &str) -> Answer<Option<(f64, f64)>> {
    let thresholds = choice("signal", signal, SIGNALS)?.thresholds();
    Ok(thresholds.map(|Thresholds { medium, high }| (f64::from(medium) / 100.0, f64::from(high) / 100.0)))
}
