//! The options of a forwarder, from Python's keyword arguments.

use crate::argument::{SIGNALS, choice, count, seconds, thresholds};
use crate::backend::HealthConfig;
use crate::errors::Answer;
use crate::key::Key;
use clustercore::forward::{ForwarderConfig, Mode, ProxyProtocol};
use clustercore::proto::forward::http::HeadLimits;
use clustercore::proto::policy::{HealthConfig as Health, Policy, RouterConfig};
use pyo3::prelude::*;

/// The keyword arguments as they come. Units and bounds are those of [`ForwarderConfig`]; times are in
/// seconds.
pub struct Options<'a> {
    pub mode: &'a str,
    pub policy: &'a str,
    pub signal: &'a str,
    pub medium_per_core: Option<f64>,
    pub high_per_core: Option<f64>,
    pub queue_max: i64,
    pub queue_timeout: f64,
    pub retry_after: i64,
    pub retries_max: i64,
    pub head_timeout: f64,
    pub idle_timeout: f64,
    pub response_timeout: f64,
    pub connect_timeout: f64,
    pub body_timeout: f64,
    pub proxy_in: &'a str,
    pub proxy_out: &'a str,
    pub trust_forwarded: bool,
    pub head_bytes_max: i64,
    pub headers_max: i64,
    pub clients_max: i64,
    pub health: Option<&'a Bound<'a, PyAny>>,
    pub job_key: Option<&'a Key>,
    pub job_insecure: bool,
}

impl Options<'_> {
    /// The settings. Errors: `InvalidArgument` with the option, its value and its limit.
    pub fn to_config(&self, name: &str) -> Answer<ForwarderConfig> {
        let (health, probe_path) = self.health()?;
        let signal = choice("signal", self.signal, SIGNALS)?;
        Ok(ForwarderConfig {
            name: name.to_owned(),
            mode: choice("mode", self.mode, &[("http", Mode::Http), ("tcp", Mode::Tcp)])?,
            router: RouterConfig {
                policy: choice("policy", self.policy, POLICIES)?,
                thresholds: thresholds(signal, self.medium_per_core, self.high_per_core)?,
                signal,
            },
            limits: HeadLimits {
                head_bytes_max: count("head_bytes_max", self.head_bytes_max, 256..=1 << 20)?,
                headers_max: count("headers_max", self.headers_max, 1..=10_000)?,
                ..HeadLimits::default()
            },
            health,
            probe_path,
            queue_max: count("queue_max", self.queue_max, 0..=1 << 20)?,
            queue_timeout: seconds("queue_timeout", self.queue_timeout)?,
            retry_after: count("retry_after", self.retry_after, 0..=86_400)?,
            retries_max: count("retries_max", self.retries_max, 0..=100)?,
            head_timeout: seconds("head_timeout", self.head_timeout)?,
            idle_timeout: seconds("idle_timeout", self.idle_timeout)?,
            response_timeout: seconds("response_timeout", self.response_timeout)?,
            connect_timeout: seconds("connect_timeout", self.connect_timeout)?,
            body_timeout: seconds("body_timeout", self.body_timeout)?,
            clients_max: count("clients_max", self.clients_max, 1..=1 << 24)?,
            // When reading, either version is understood.
            proxy_in: choice(
                "proxy_in",
                self.proxy_in,
                &[("off", ProxyProtocol::Off), ("v1v2", ProxyProtocol::V2)],
            )?,
            proxy_out: choice("proxy_out", self.proxy_out, PROXY_OUT)?,
            trust_forwarded: self.trust_forwarded,
            job_key: self.job_key.map(Key::private),
            job_insecure: self.job_insecure,
            ..ForwarderConfig::default()
        })
    }

    fn health(&self) -> Answer<(Option<Health>, String)> {
        let root = || "/".to_owned();
        let Some(health) = self.health else { return Ok((Some(Health::default()), root())) };
        if let Ok(health) = health.cast::<HealthConfig>() {
            let health = health.get();
            return Ok((Some(health.config), health.path.clone()));
        }
        let word: String = health.extract().map_err(|_| {
            pyo3::exceptions::PyTypeError::new_err("health must be a HealthConfig, \"off\" or None")
        })?;
        choice("health", &word, &[("off", ())])?;
        Ok((None, root()))
    }
}

const POLICIES: &[(&str, Policy)] = &[
    ("levels", Policy::Levels),
    ("round_robin", Policy::RoundRobin),
    ("least_requests", Policy::LeastRequests),
    ("power_of_two", Policy::PowerOfTwo),
];

const PROXY_OUT: &[(&str, ProxyProtocol)] =
    &[("off", ProxyProtocol::Off), ("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
