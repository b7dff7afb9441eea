//! What all connections of a server share.

use crate::event::EventLimits;
use crate::filter::{FilterLimits, Filters};
use crate::hook::HookConfig;
use clustercore_proto::forward::http::HeadLimits;
use clustercore_proto::time::Duration;
use std::sync::Arc;

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Of heads.
    pub head: HeadLimits,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Events in one batch that comes in.
    pub batch_events_max: usize,
    /// Events in one batch that goes out.
    pub pull_events_max: u32,
    /// Bytes of a batch after which no further event is put into it.
    pub pull_bytes_max: usize,
    /// Bytes of answers that nobody has fetched, beyond which no further request is begun.
    pub output_bytes_max: usize,
    /// How long a consumer may wait for events.
    pub wait_max: Duration,
    /// How long a supplier waits until his events are on disk.
    pub write_timeout: Duration,
    /// From the first byte of a request to its last.
    pub request_timeout: Duration,
    /// How long a connection may rest.
    pub idle_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            head: HeadLimits::default(),
            body_bytes_max: 4 << 20,
            batch_events_max: 4096,
            pull_events_max: 4096,
            pull_bytes_max: 1 << 20,
            output_bytes_max: 256 << 10,
            wait_max: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
        }
    }
}

/// What faces are made with.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Bounds of a connection.
    pub limits: HttpLimits,
    /// Bounds of an event.
    pub event_limits: EventLimits,
    /// Where filters are compiled, so that equal ones are one.
    pub filters: Arc<Filters>,
    /// Channels and durable consumers go to disk before it is said that they are there.
    pub is_durable: bool,
    /// Where web hooks may lead, and how many there may be.
    pub hooks: Arc<HookConfig>,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            limits: HttpLimits::default(),
            event_limits: EventLimits::default(),
            filters: Arc::new(Filters::new(FilterLimits::default())),
            is_durable: false,
            hooks: Arc::default(),
        }
    }
}
