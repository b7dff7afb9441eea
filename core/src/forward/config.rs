//! What a forwarder is told.

use crate::security::PrivateKey;
use clustercore_proto::forward::http::HeadLimits;
use clustercore_proto::policy::{HealthConfig, RouterConfig, Thresholds};
use std::net::SocketAddr;
use std::time::Duration;

/// What passes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// HTTP/1.1, request by request.
    #[default]
    Http,
    /// Bytes, connection by connection.
    Tcp,
}

/// PROXY protocol (v1 and v2, HAProxy's proxy-protocol.txt) on one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProxyProtocol {
    /// None.
    #[default]
    Off,
    /// Version 1, text. When reading: either version.
    V1,
    /// Version 2, binary. When reading: either version.
    V2,
}

/// A forwarder's settings. Every bound is here; durations of zero mean "at once", not "never".
#[derive(Clone, Debug)]
pub struct ForwarderConfig {
    /// Name of the service, for people.
    pub name: String,
    /// What passes through.
    pub mode: Mode,
    /// Who gets a request: policy, thresholds, signal.
    pub router: RouterConfig,
    /// Limits on heads.
    pub limits: HeadLimits,
    /// Whether back ends are ejected on failures, how, and how they are probed. `None`: never ejected, never probed.
    pub health: Option<HealthConfig>,
    /// Path of active probes (HTTP) ; a probe of a TCP service is a connection.
    pub probe_path: String,
    /// Requests of one shard that wait for a back end, at most.
    pub queue_max: usize,
    /// How long one waits.
    pub queue_timeout: Duration,
    /// Seconds in `Retry-After` of a 503.
    pub retry_after: u32,
    /// How often a request is tried again elsewhere, at most.
    pub retries_max: u32,
    /// From the first byte of a head to its end (and for a PROXY header).
    pub head_timeout: Duration,
    /// Between requests on a client's connection, and of a tunnel without traffic.
    pub idle_timeout: Duration,
    /// From the request to the response's head.
    pub response_timeout: Duration,
    /// To connect to a back end.
    pub connect_timeout: Duration,
    /// Without progress in a body, either way.
    pub body_timeout: Duration,
    /// An idle connection to a back end is closed after this.
    pub backend_idle_timeout: Duration,
    /// Idle connections kept to each back end by one shard, at most.
    pub backend_idle_max: usize,
    /// Clients of one shard at a time, at most; others wait in the backlog.
    pub clients_max: usize,
    /// PROXY protocol from clients (a load balancer in front of us).
    pub proxy_in: ProxyProtocol,
    /// PROXY protocol to back ends; then no connection is shared by clients.
    pub proxy_out: ProxyProtocol,
    /// Keep what a client says in Forwarded and X-Forwarded-*, and append; else replace.
    pub trust_forwarded: bool,
    /// Our name in Via.
    pub via: String,
    /// Bytes on their way to a slow reader before reading from the other side pauses.
    pub window_bytes: usize,
    /// Bodies with at least this many bytes to go are spliced.
    pub splice_bytes_min: u64,
    /// Our key towards job handlers that have one.
    pub job_key: Option<PrivateKey>,
    /// Clear messages to job handlers outside loopback, in so many words.
    pub job_insecure: bool,
}

impl Default for ForwarderConfig {
    fn default() -> Self {
        ForwarderConfig {
            name: "service".into(),
            mode: Mode::Http,
            router: RouterConfig::default(),
            limits: HeadLimits::default(),
            health: Some(HealthConfig::default()),
            probe_path: "/".into(),
            queue_max: 1024,
            queue_timeout: Duration::from_secs(5),
            retry_after: 1,
            retries_max: 2,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            response_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(2),
            body_timeout: Duration::from_secs(30),
            backend_idle_timeout: Duration::from_secs(50),
            backend_idle_max: 1024,
            clients_max: 16_384,
            proxy_in: ProxyProtocol::Off,
            proxy_out: ProxyProtocol::Off,
            trust_forwarded: false,
            via: "clustercore".into(),
            window_bytes: 256 << 10,
            splice_bytes_min: 48 << 10,
            job_key: None,
            job_insecure: false,
        }
    }
}

/// A back end to be added to the child list.
#[derive(Clone, Debug)]
pub struct BackendConfig {
    /// Name, for people; need not be unique.
    pub name: String,
    /// Where its service listens.
    pub address: SocketAddr,
    /// Share relative to others, at least 1.
    pub weight: u32,
    /// Cores of its node: load is requests in flight per core.
    pub cores: u32,
    /// Requests in flight, at most.
    pub in_flight_max: u32,
    /// Where requests go in messages; `address` then serves what cannot, and everything while that path does not work.
    pub job: Option<JobAddress>,
}

/// Where the job handler of a back end listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobAddress {
    /// Its address.
    pub address: SocketAddr,
    /// Its public key, in secure mode.
    pub key: Option<[u8; 32]>,
}

impl BackendConfig {
    /// A back end of weight 1 with one core.
    pub fn new(address: SocketAddr) -> BackendConfig {
        BackendConfig {
            name: address.to_string(),
            address,
            weight: 1,
            cores: 1,
            in_flight_max: u32::MAX,
            job: None,
        }
    }
}

impl ForwarderConfig {
    /// Whether the settings fit together.
    ///
    /// Errors: `BadConfiguration` with the setting, its value and its limit.
    pub fn check(&self) -> crate::Result<()> {
        let bad = |text: String| Err(crate::Error::new(crate::Code::BadConfiguration, text));
        check_thresholds(self.router.thresholds)?;
        if !(256..=1 << 20).contains(&self.limits.head_bytes_max) {
            return bad(format!(
                "head_bytes_max is {}, it must be 256 to 1048576",
                self.limits.head_bytes_max
            ));
        }
        if self.clients_max == 0 {
            return bad("clients_max is 0, it must be at least 1".into());
        }
        if self.window_bytes < 16 << 10 {
            return bad(format!("window_bytes is {}, it must be at least 16384", self.window_bytes));
        }
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte);
        if self.via.is_empty() || !self.via.bytes().all(token) {
            return bad(format!("via is {:?}, it must be a token or host", self.via));
        }
        if !self.probe_path.starts_with('/')
            || self.probe_path.bytes().any(|byte| byte <= b' ' || byte == 127)
        {
            return bad(format!(
                "probe_path is {:?}, it must start with / and have no blanks",
                self.probe_path
            ));
        }
        Ok(())
    }
}

/// Whether Medium begins no later than High.
///
/// Errors: `BadConfiguration` with both.
pub(crate) fn check_thresholds(thresholds: Thresholds) -> crate::Result<()> {
    let Thresholds { medium, high } = thresholds;
    if medium > high {
        let text = format!("the medium threshold ({medium} %) is above the high one ({high} %)");
        return Err(crate::Error::new(crate::Code::BadConfiguration, text));
    }
    Ok(())
}
