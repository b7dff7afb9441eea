//! Back ends as people and load managers see them.

use crate::forward::{Backend, BackendState, Service};
use crate::io::Instant;
use clustercore_proto::policy::{BackendKey, HealthState, Level};
use std::net::SocketAddr;
use std::sync::Arc;

/// A back end as it stands now, for people and load managers.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendStatus {
    /// Its key.
    pub key: BackendKey,
    /// Its name.
    pub name: String,
    /// Where its service listens.
    pub address: SocketAddr,
    /// On the child list, draining, removed.
    pub state: BackendState,
    /// Healthy, ejected, on trial, warming.
    pub health: HealthState,
    /// Low, Medium or High.
    pub level: Level,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests begun, ever.
    pub requests: u64,
    /// Exchanges that failed, ever.
    pub failures: u64,
    /// Share relative to others.
    pub weight: u32,
    /// Cores of its node.
    pub cores: u32,
    /// Mean time of its completed requests in nanoseconds.
    pub latency_ns_mean: u64,
    /// Time of its completed requests in nanoseconds, summed.
    pub latency_ns_total: u64,
    /// The latest sample of the service's signal, in per mille of its scale.
    pub reading_per_mille: u32,
    /// Whether it is the local instance.
    pub local: bool,
}

/// All back ends of a service, the local instance first.
pub(crate) fn backends(service: &Service, now: Instant) -> Vec<BackendStatus> {
    let children = service.children();
    let router = service.router();
    let status = |backend: &Arc<Backend>, local: bool| BackendStatus {
        key: backend.key,
        name: backend.config.name.clone(),
        address: backend.config.address,
        state: backend.state(),
        health: backend.health_state(now),
        level: backend.level(&router),
        in_flight: backend.in_flight(),
        requests: backend.requests(),
        failures: backend.failures(),
        weight: backend.weight(),
        cores: backend.config.cores,
        latency_ns_mean: backend.latency_ns_mean(),
        latency_ns_total: backend.latency_ns_total(),
        reading_per_mille: backend.reading_per_mille(),
        local,
    };
    let local = children.local.iter().map(|backend| status(backend, true));
    local.chain(children.list.iter().map(|backend| status(backend, false))).collect()
}
