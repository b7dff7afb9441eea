//! When trust in a back end ends and how it comes back.

use crate::policy::Backoff;
use crate::time::Duration;

/// Active probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// From one probe to the next; up to a tenth of it is taken off at random.
    pub interval: Duration,
    /// An answer after this is none.
    pub timeout: Duration,
    /// Good probes in a row until a back end that fell may return.
    pub rise: u32,
    /// Bad probes in a row until it falls.
    pub fall: u32,
}

/// When trust ends and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// Failed requests in a row that eject.
    pub failures_max: u32,
    /// Failed requests of a window, in per mille, that eject.
    pub error_per_mille_max: u32,
    /// Requests that a window must have before its ratio counts.
    pub window_requests_min: u32,
    /// Length of the window.
    pub window: Duration,
    /// How long an ejection lasts; doubles with each that follows soon.
    pub ejection: Backoff,
    /// After so long without ejection the next one is the first again.
    pub forgive_after: Duration,
    /// Good trial requests until it returns.
    pub trial_successes: u32,
    /// A trial request without outcome is forgotten after this, and another may be sent.
    pub trial_timeout: Duration,
    /// Length of the slow start; zero for none.
    pub slow_start: Duration,
    /// Active probes, if any.
    pub probe: Option<ProbeConfig>,
}

/// Five in a row is no accident; half of at least twenty is a broken instance rather than a broken request. A
/// killed service is back within a second or two, so the first ejection is short.
impl Default for HealthConfig {
    fn default() -> Self {
        HealthConfig {
            failures_max: 5,
            error_per_mille_max: 500,
            window_requests_min: 20,
            window: Duration::from_secs(10),
            ejection: Backoff {
                base: Duration::from_secs(1),
                max: Duration::from_secs(60),
                jitter_per_mille: 200,
            },
            forgive_after: Duration::from_secs(120),
            trial_successes: 2,
            trial_timeout: Duration::from_secs(10),
            slow_start: Duration::from_secs(5),
            probe: None,
        }
    }
}
