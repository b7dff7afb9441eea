//! What all web hooks of a server share.

use super::target::HookTargets;
use clustercore_proto::forward::http::HeadLimits;
use clustercore_proto::time::Duration;

/// Bounds of web hooks.
#[derive(Clone, Debug)]
pub struct HookConfig {
    /// Where they may lead. By default to the server's own machine, and nowhere once it listens to others.
    pub targets: HookTargets,
    /// Who the server says it is: a DNS name for all servers of one system.
    pub origin: String,
    /// How many there may be.
    pub hooks_max: u32,
    /// Of the heads of answers.
    pub head: HeadLimits,
    /// Bytes of an answer's body. They are passed over.
    pub answer_bytes_max: usize,
    /// Events of one request in batched mode.
    pub batch_events_max: usize,
    /// Bytes of a batch after which no further event is put into it.
    pub batch_bytes_max: usize,
    /// How long a target may take to accept a connection.
    pub connect_timeout: Duration,
    /// From a request to the end of its answer. A consumer's `acknowledge_timeout` should be longer: when that has passed, the event
    /// goes out again.
    pub answer_timeout: Duration,
    /// How long a connection may rest.
    pub idle_timeout: Duration,
    /// Wait before a target that withheld its permission is asked again.
    pub ask_again: Duration,
    /// Wait after the first failure; it doubles with each one that follows.
    pub backoff: Duration,
    /// Where the wait stops doubling.
    pub backoff_max: Duration,
    /// As long as a target may put off by `Retry-After`.
    pub retry_after_max: Duration,
}

impl Default for HookConfig {
    fn default() -> HookConfig {
        HookConfig {
            targets: HookTargets::Loopback,
            origin: "clustercore".into(),
            hooks_max: 256,
            head: HeadLimits::default(),
            answer_bytes_max: 64 << 10,
            batch_events_max: 256,
            batch_bytes_max: 1 << 20,
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            ask_again: Duration::from_secs(60),
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(3600),
        }
    }
}
