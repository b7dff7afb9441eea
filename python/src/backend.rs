//! A back end as it stands, and the settings of health checks.

use crate::argument::{count, invalid, per_mille, seconds};
use crate::errors::Answer;
use clustercore::BackendStatus;
use clustercore::forward::BackendState;
use clustercore::proto::policy::{Backoff, HealthConfig as Config, HealthState, Level, ProbeConfig};
use pyo3::prelude::*;

/// A back end as it stood at the moment of asking.
#[pyclass(frozen, get_all, eq, module = "clustercore")]
#[derive(PartialEq)]
pub struct Backend {
    /// Key, unique within the forwarder for good.
    key: u32,
    /// Name, for people.
    name: String,
    /// Where its service listens, "ip:port".
    address: String,
    /// On the list: "active", "draining" or "removed"; of active ones "ejected", "trial" and "warming" tell what
    /// health checks think.
    state: &'static str,
    /// Load: "low", "medium" or "high".
    level: &'static str,
    /// Requests in flight.
    in_flight: u32,
    /// Requests begun, ever.
    requests: u64,
    /// Exchanges that failed, ever.
    failures: u64,
    /// Share relative to others.
    weight: u32,
    /// Cores of its node.
    cores: u32,
    /// Mean time of its completed requests in microseconds.
    latency_us_mean: f64,
    /// Time of its completed requests in microseconds, summed.
    latency_us_total: f64,
    /// The latest sample told by `set_backend`: the busy share of its cores, or milliseconds.
    reading: f64,
}

#[pymethods]
impl Backend {
    fn __repr__(&self) -> String {
        format!(
            "Backend(key={}, name='{}', address='{}', state='{}', level='{}', in_flight={})",
            self.key, self.name, self.address, self.state, self.level, self.in_flight
        )
    }
}

impl From<BackendStatus> for Backend {
    fn from(status: BackendStatus) -> Backend {
        Backend {
            key: status.key.0,
            state: state(&status),
            level: match status.level {
                Level::Low => "low",
                Level::Medium => "medium",
                Level::High => "high",
            },
            name: status.name,
            address: status.address.to_string(),
            in_flight: status.in_flight,
            requests: status.requests,
            failures: status.failures,
            weight: status.weight,
            cores: status.cores,
            latency_us_mean: status.latency_ns_mean as f64 / 1000.0,
            latency_us_total: status.latency_ns_total as f64 / 1000.0,
            reading: f64::from(status.reading_per_mille) / 1000.0,
        }
    }
}

fn state(status: &BackendStatus) -> &'static str {
    match (status.state, status.health) {
        (BackendState::Draining, _) => "draining",
        (BackendState::Removed, _) => "removed",
        (BackendState::Active, HealthState::Ejected { .. }) => "ejected",
        (BackendState::Active, HealthState::Trial) => "trial",
        (BackendState::Active, HealthState::Warming { .. }) => "warming",
        (BackendState::Active, HealthState::Healthy) => "active",
    }
}

/// When trust in a back end ends and how it comes back. Times are in seconds.
///
/// Requests that fail tell about their back end in any case. With `interval`, probes are sent besides: GET
/// of `path` in HTTP mode (2xx and 3xx are good), a connection in TCP mode; after `fall` bad ones in a row
/// a back end is ejected, and may return after `rise` good ones. `failures_max` failed requests in a row
/// eject, or a ratio above `error_ratio_max` among at least `window_requests_min` requests within `window`.
/// An ejection lasts `ejection`, doubles with each that follows soon up to `ejection_max`, and ends after
/// `trial_successes` good trial requests; for `slow_start` the share then grows.
///
/// Raises InvalidArgument.
#[pyclass(frozen, eq, module = "clustercore")]
#[derive(Clone, PartialEq)]
pub struct HealthConfig {
    pub path: String,
    pub config: Config,
}

#[pymethods]
impl HealthConfig {
    #[new]
    #[pyo3(signature = (*, path="/", interval=None, timeout=1.0, rise=2, fall=3, failures_max=5, error_ratio_max=0.5,
        window_requests_min=20, window=10.0, ejection=1.0, ejection_max=60.0, trial_successes=2, slow_start=5.0))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        path: &str,
        interval: Option<f64>,
        timeout: f64,
        rise: i64,
        fall: i64,
        failures_max: i64,
        error_ratio_max: f64,
        window_requests_min: i64,
        window: f64,
        ejection: f64,
        ejection_max: f64,
        trial_successes: i64,
        slow_start: f64,
    ) -> Answer<HealthConfig> {
        let probe = match interval {
            Some(interval) if interval > 0.0 => Some(ProbeConfig {
                interval: seconds("interval", interval)?,
                timeout: seconds("timeout", timeout)?,
                rise: count("rise", rise, 1..=1000)?,
                fall: count("fall", fall, 1..=1000)?,
            }),
            Some(interval) => {
                return Err(invalid(format!("interval is {interval} s; it must be above 0")).into());
            }
            None => None,
        };
        let base = seconds("ejection", ejection)?;
        let max = seconds("ejection_max", ejection_max)?;
        if base > max {
            let text =
                format!("ejection is {ejection} s; it must not be above ejection_max ({ejection_max} s)");
            return Err(invalid(text).into());
        }
        let defaults = Config::default();
        let config = Config {
            failures_max: count("failures_max", failures_max, 1..=u32::MAX)?,
            error_per_mille_max: per_mille("error_ratio_max", error_ratio_max)?,
            window_requests_min: count("window_requests_min", window_requests_min, 1..=u32::MAX)?,
            window: seconds("window", window)?,
            ejection: Backoff { base, max, ..defaults.ejection },
            trial_successes: count("trial_successes", trial_successes, 1..=1000)?,
            slow_start: seconds("slow_start", slow_start)?,
            probe,
            ..defaults
        };
        Ok(HealthConfig { path: path.to_owned(), config })
    }

    fn __repr__(&self) -> String {
        match self.config.probe {
            Some(probe) => {
                format!("HealthConfig(path='{}', interval={})", self.path, probe.interval.as_secs_f64())
            }
            None => "HealthConfig()".to_owned(),
        }
    }
}
