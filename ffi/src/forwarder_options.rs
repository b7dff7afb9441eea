//! What a forwarder is told.

use crate::clc_status;
use crate::options::{self, Options, bound, one_of, or};
use crate::scaler::signal_and_thresholds;
use crate::status::boundary;
use crate::text::optional;
use clustercore::Result;
use clustercore::forward::{ForwarderConfig, Mode, ProxyProtocol};
use clustercore::proto::policy::{Policy, ProbeConfig};
use clustercore::security::PrivateKey;
use std::ffi::c_char;
use std::time::Duration;

/// What passes through a forwarder.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_mode {
    /// HTTP/1.1, request by request.
    Http = 0,
    /// Bytes, connection by connection.
    Tcp = 1,
}

/// Which back end gets a request. One at High gets nothing under any policy.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_policy {
    /// The first Low one in list order; when none is Low, round robin over those at Medium.
    Levels = 0,
    /// Each in its turn, by weight.
    RoundRobin = 1,
    /// The lowest (in_flight + 1) / weight.
    LeastRequests = 2,
    /// The less loaded of two drawn at random by weight.
    PowerOfTwo = 3,
}

/// The PROXY protocol on one side of a forwarder.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_proxy_protocol {
    /// None.
    Off = 0,
    /// Version 1, text. When reading: either version.
    V1 = 1,
    /// Version 2, binary. When reading: either version.
    V2 = 2,
}

/// A forwarder's settings. 0 and NULL mean the default, which clc_forwarder_options_init writes out; where 0 itself
/// makes sense, CLC_NONE says it. The strings are copied.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_forwarder_options {
    /// sizeof(clc_forwarder_options)
    pub struct_size: usize,
    /// Name of the service, for people ("service").
    pub name: *const c_char,
    /// Our name in Via: a token or host ("clustercore").
    pub via: *const c_char,
    /// Path of active probes ("/"); a probe of a TCP service is a connection.
    pub probe_path: *const c_char,
    /// How long a request waits for a back end.
    pub queue_timeout_ns: u64,
    /// From the first byte of a head to its end, and for a PROXY header.
    pub head_timeout_ns: u64,
    /// Between requests on a client's connection, and of a tunnel without traffic.
    pub idle_timeout_ns: u64,
    /// From the request to the response's head.
    pub response_timeout_ns: u64,
    /// To connect to a back end.
    pub connect_timeout_ns: u64,
    /// Without progress in a body, either way.
    pub body_timeout_ns: u64,
    /// An idle connection to a back end is closed after this.
    pub backend_idle_timeout_ns: u64,
    /// The first ejection of a back end that fails; doubles with each that follows soon.
    pub ejection_ns_base: u64,
    /// The longest ejection.
    pub ejection_ns_max: u64,
    /// A back end that is new or comes back gets its full share only after this; 1 for at once.
    pub slow_start_ns: u64,
    /// From one active probe to the next. Default: no probes.
    pub probe_interval_ns: u64,
    /// An answer to a probe after this is none.
    pub probe_timeout_ns: u64,
    /// Bytes on their way to a slow reader before reading from the other side pauses, at least 16384.
    pub window_bytes: u64,
    /// Bodies with at least this many bytes to go are spliced; UINT64_MAX for none.
    pub splice_bytes_min: u64,
    /// A clc_mode.
    pub mode: u32,
    /// A clc_policy.
    pub policy: u32,
    /// From here on a back end is Medium, in per cent of the scale of `signal`.
    pub medium_percent: u32,
    /// From here on a back end is High and gets nothing.
    pub high_percent: u32,
    /// Requests of one shard that wait for a back end, at most; CLC_NONE for none.
    pub queue_max: u32,
    /// Seconds in Retry-After of a 503.
    pub retry_after_s: u32,
    /// How often a request is tried again elsewhere, at most; CLC_NONE for never.
    pub retries_max: u32,
    /// Idle connections kept to each back end by one shard, at most; CLC_NONE for none.
    pub backend_idle_max: u32,
    /// Clients of one shard at a time, at most; others wait in the backlog.
    pub clients_max: u32,
    /// A clc_proxy_protocol: from clients (a load balancer in front of us).
    pub proxy_in: u32,
    /// A clc_proxy_protocol: to back ends. Then no connection is shared by clients.
    pub proxy_out: u32,
    /// 1: keep what a client says in Forwarded and X-Forwarded-*, and append. 0: replace.
    pub trust_forwarded: u32,
    /// Bytes of a whole request or response head, 256 to 1048576.
    pub head_bytes_max: u32,
    /// Fields of a head, up to 128.
    pub headers_max: u32,
    /// Bytes of a request target.
    pub target_bytes_max: u32,
    /// 1: back ends are never ejected and never probed. 0: they are, as the fields below say.
    pub health_off: u32,
    /// Failed requests in a row that eject a back end.
    pub failures_max: u32,
    /// Good probes in a row until a back end that fell may return (2).
    pub probe_rise: u32,
    /// Bad probes in a row until it falls (3).
    pub probe_fall: u32,
    /// A clc_signal: what the thresholds are compared with. The sampled ones are told by clc_forwarder_set_reading. With
    /// CLC_SIGNAL_LATENCY both thresholds must be given.
    pub signal: u32,
    /// Our private key towards job handlers that have one, text as of clc_key_generate.
    pub job_private_key: *const c_char,
    /// 1: clear messages to job handlers outside loopback, in so many words.
    pub job_insecure: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: C layout, the size first, integers and pointers that may be NULL.
unsafe impl Options for clc_forwarder_options {
    const NAME: &'static str = "clc_forwarder_options";
    // Before there were jobs, and now.
    const SIZES: &'static [usize] = &[size_of::<Self>() - 16, size_of::<Self>()];
}

/// Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_forwarder_options). Strings are left
/// NULL.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_options_init(
    options: *mut clc_forwarder_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, defaults()) }
    })
}

fn defaults() -> clc_forwarder_options {
    let config = ForwarderConfig::default();
    let health = config.health.unwrap_or_default();
    let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    clc_forwarder_options {
        queue_timeout_ns: ns(config.queue_timeout),
        head_timeout_ns: ns(config.head_timeout),
        idle_timeout_ns: ns(config.idle_timeout),
        response_timeout_ns: ns(config.response_timeout),
        connect_timeout_ns: ns(config.connect_timeout),
        body_timeout_ns: ns(config.body_timeout),
        backend_idle_timeout_ns: ns(config.backend_idle_timeout),
        ejection_ns_base: ns(health.ejection.base),
        ejection_ns_max: ns(health.ejection.max),
        slow_start_ns: ns(health.slow_start),
        probe_timeout_ns: ns(PROBE_TIMEOUT),
        window_bytes: config.window_bytes as u64,
        splice_bytes_min: config.splice_bytes_min,
        medium_percent: config.router.thresholds.medium,
        high_percent: config.router.thresholds.high,
        queue_max: config.queue_max as u32,
        retry_after_s: config.retry_after,
        retries_max: config.retries_max,
        backend_idle_max: config.backend_idle_max as u32,
        clients_max: config.clients_max as u32,
        head_bytes_max: config.limits.head_bytes_max as u32,
        headers_max: config.limits.headers_max as u32,
        target_bytes_max: config.limits.target_bytes_max as u32,
        failures_max: health.failures_max,
        probe_rise: PROBE_RISE,
        probe_fall: PROBE_FALL,
        ..clc_forwarder_options::zeroed()
    }
}

/// The settings that the options ask for.
///
/// # Safety
/// As the parameter `options` of `clc_shard_add_forwarder`.
pub(crate) unsafe fn config(options: *const clc_forwarder_options) -> Result<ForwarderConfig> {
    // SAFETY: NULL or a struct of the size that it says, per the contract.
    let options = unsafe { options::read(options) }?;
    let mut config = settings(&options)?;
    // SAFETY: NULL or NUL-terminated, per the contract; copied at once.
    if let Some(name) = unsafe { optional("name", options.name) }? {
        config.name = name.into();
    }
    // SAFETY: as above.
    if let Some(via) = unsafe { optional("via", options.via) }? {
        config.via = via.into();
    }
    // SAFETY: as above.
    if let Some(path) = unsafe { optional("probe_path", options.probe_path) }? {
        config.probe_path = path.into();
    }
    // SAFETY: as above.
    if let Some(key) = unsafe { optional("job_private_key", options.job_private_key) }? {
        config.job_key = Some(PrivateKey::parse(key)?);
    }
    Ok(config)
}

/// All settings but the strings.
fn settings(options: &clc_forwarder_options) -> Result<ForwarderConfig> {
    let mut config = ForwarderConfig::default();
    let no_yes = [false, true];
    let policies = [Policy::Levels, Policy::RoundRobin, Policy::LeastRequests, Policy::PowerOfTwo];
    let versions = [ProxyProtocol::Off, ProxyProtocol::V1, ProxyProtocol::V2];
    config.mode = one_of("mode", options.mode, &[Mode::Http, Mode::Tcp])?;
    config.router.policy = one_of("policy", options.policy, &policies)?;
    config.proxy_in = one_of("proxy_in", options.proxy_in, &versions)?;
    config.proxy_out = one_of("proxy_out", options.proxy_out, &versions)?;
    config.trust_forwarded = one_of("trust_forwarded", options.trust_forwarded, &no_yes)?;

    (config.router.signal, config.router.thresholds) =
        signal_and_thresholds(options.signal, options.medium_percent, options.high_percent)?;
    config.queue_max = bound(options.queue_max, config.queue_max);
    config.retries_max = bound(options.retries_max, config.retries_max as usize) as u32;
    config.backend_idle_max = bound(options.backend_idle_max, config.backend_idle_max);
    config.retry_after = or(options.retry_after_s, config.retry_after);
    config.clients_max = or(options.clients_max as usize, config.clients_max);
    config.window_bytes = or(options.window_bytes as usize, config.window_bytes);
    config.splice_bytes_min = or(options.splice_bytes_min, config.splice_bytes_min);
    config.limits.head_bytes_max = or(options.head_bytes_max as usize, config.limits.head_bytes_max);
    config.limits.headers_max = or(options.headers_max as usize, config.limits.headers_max);
    config.limits.target_bytes_max = or(options.target_bytes_max as usize, config.limits.target_bytes_max);

    config.queue_timeout = time(options.queue_timeout_ns, config.queue_timeout);
    config.head_timeout = time(options.head_timeout_ns, config.head_timeout);
    config.idle_timeout = time(options.idle_timeout_ns, config.idle_timeout);
    config.response_timeout = time(options.response_timeout_ns, config.response_timeout);
    config.connect_timeout = time(options.connect_timeout_ns, config.connect_timeout);
    config.body_timeout = time(options.body_timeout_ns, config.body_timeout);
    config.backend_idle_timeout = time(options.backend_idle_timeout_ns, config.backend_idle_timeout);

    let mut health = config.health.unwrap_or_default();
    health.failures_max = or(options.failures_max, health.failures_max);
    health.ejection.base = time(options.ejection_ns_base, health.ejection.base);
    health.ejection.max = time(options.ejection_ns_max, health.ejection.max);
    health.slow_start = time(options.slow_start_ns, health.slow_start);
    health.probe = (options.probe_interval_ns != 0).then(|| ProbeConfig {
        interval: Duration::from_nanos(options.probe_interval_ns),
        timeout: time(options.probe_timeout_ns, PROBE_TIMEOUT),
        rise: or(options.probe_rise, PROBE_RISE),
        fall: or(options.probe_fall, PROBE_FALL),
    });
    config.job_insecure = one_of("job_insecure", options.job_insecure, &no_yes)?;
    let health_off = one_of("health_off", options.health_off, &no_yes)?;
    config.health = (!health_off).then_some(health);
    Ok(config)
}

fn time(ns: u64, default: Duration) -> Duration {
    if ns == 0 { default } else { Duration::from_nanos(ns) }
}

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const PROBE_RISE: u32 = 2;
const PROBE_FALL: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::CLC_NONE;
    use clustercore::Code;

    #[test]
    fn zero_and_the_written_defaults_are_the_same_settings() {
        let zero = settings(&clc_forwarder_options::zeroed()).unwrap();
        let written = settings(&defaults()).unwrap();
        assert_eq!(format!("{zero:?}"), format!("{written:?}"));
        assert_eq!(format!("{zero:?}"), format!("{:?}", ForwarderConfig::default()));
    }

    #[test]
    fn none_is_not_the_default() {
        let options = clc_forwarder_options {
            queue_max: CLC_NONE,
            retries_max: CLC_NONE,
            backend_idle_max: CLC_NONE,
            health_off: 1,
            ..clc_forwarder_options::zeroed()
        };
        let config = settings(&options).unwrap();
        assert_eq!((config.queue_max, config.retries_max, config.backend_idle_max), (0, 0, 0));
        assert_eq!(config.health, None);
    }

    #[test]
    fn choices_out_of_range_are_named() {
        let options = clc_forwarder_options { policy: 4, ..clc_forwarder_options::zeroed() };
        assert_eq!(settings(&options).unwrap_err().to_string(), "policy is 4; it must be 0 to 3");
        let options = clc_forwarder_options { trust_forwarded: 2, ..clc_forwarder_options::zeroed() };
        assert_eq!(settings(&options).unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn the_struct_has_no_padding_that_a_later_field_could_hide_in() {
        assert_eq!(size_of::<clc_forwarder_options>(), 8 * (2 + 3 + 14) + 4 * 22);
        assert_eq!(size_of::<crate::clc_backend_options>(), 8 * 5 + 4 * 4);
    }
}
