//! One back end of a service, as all shards share it: its load and health, and where its drain stands.
//!
//! In-flight counts are one padded cell per shard with a single writer, summed by readers, so that levels are the service's,
//! not a shard's. Health changes rarely: a lock that is taken on failures, and on successes only while the back end is not
//! fully trusted.
//!
//! A drain is over when every shard knows of it and nothing is in flight on any: a shard that has not heard yet may be about to
//! begin a request. A shard that has ended knows of every drain and has nothing in flight.

use super::config::BackendConfig;
use crate::io::Instant;
use clustercore_proto::policy::{
    BackendKey, FailureKind, Health, HealthChange, HealthConfig, HealthState, Level, Load, RouterConfig,
};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where a back end of the child list stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum BackendState {
    /// Gets requests.
    Active = 0,
    /// Gets no new request; finishes those in flight.
    Draining = 1,
    /// Taken off the list.
    Removed = 2,
}

/// One back end: shared, mostly read.
#[derive(Debug)]
pub struct Backend {
    /// Its key, unique within the service for good.
    pub key: BackendKey,
    /// What it was added with.
    pub config: BackendConfig,
    weight: AtomicU32,
    /// The latest sample of the service's signal, in per mille of its scale.
    reading_per_mille: AtomicU32,
    state: AtomicU32,
    shards: Box<[ShardCell]>,
    /// Whether successes matter to the health machine.
    untrusted: AtomicBool,
    /// When a failure has been long enough ago to stop counting successes, in driver nanoseconds.
    trust_again_ns: AtomicU64,
    health: Option<Mutex<Health>>,
    /// When a drain is given up, in driver nanoseconds. Written before the state says `Draining`.
    drain_deadline_ns: AtomicU64,
    drained_told: AtomicBool,
}

/// What one shard counts for one back end.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ShardCell {
    /// The shard has seen the drain: it begins no request here any more.
    knows_drain: AtomicBool,
    in_flight: AtomicU32,
    requests: AtomicU64,
    failures: AtomicU64,
    latency_ns: AtomicU64,
}

impl Backend {
    /// One that is new to `shards` shards.
    pub(super) fn new(
        key: BackendKey,
        config: BackendConfig,
        health: Option<HealthConfig>,
        shards: usize,
        now: Instant,
    ) -> Backend {
        let health = health.map(|config| Mutex::new(Health::new_warming(config, now, u64::from(key.0))));
        Backend {
            key,
            weight: AtomicU32::new(config.weight.max(1)),
            reading_per_mille: AtomicU32::new(0),
            state: AtomicU32::new(BackendState::Active as u32),
            shards: (0..shards).map(|_| ShardCell::default()).collect(),
            // A new one warms up: slow start is the health machine's.
            untrusted: AtomicBool::new(health.is_some()),
            trust_again_ns: AtomicU64::new(0),
            health,
            drain_deadline_ns: AtomicU64::new(u64::MAX),
            drained_told: AtomicBool::new(false),
            config,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> BackendState {
        match self.state.load(Ordering::Acquire) {
            0 => BackendState::Active,
            1 => BackendState::Draining,
            _ => BackendState::Removed,
        }
    }

    /// From active to draining and from nothing else: what was removed stays removed. Called under the lock of the list alone, so
    /// that the deadline is that of the drain which begins.
    pub(super) fn begin_drain(&self, deadline: Instant) -> bool {
        if self.state() != BackendState::Active {
            return false;
        }
        self.drain_deadline_ns.store(deadline.as_nanos(), Ordering::Relaxed);
        // Release: who sees the state finds the deadline.
        let (active, draining) = (BackendState::Active as u32, BackendState::Draining as u32);
        self.state.compare_exchange(active, draining, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// It was taken off the list: from whatever it was, and for good.
    pub(super) fn mark_removed(&self) {
        self.state.store(BackendState::Removed as u32, Ordering::Release);
    }

    /// A shard has ended: it has nothing in flight here, and no drain waits for it.
    pub(super) fn end_shard(&self, shard: usize) {
        self.shards[shard].in_flight.store(0, Ordering::Relaxed);
        self.note_drain(shard);
    }

    /// Its share relative to others.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Changes its share.
    pub fn set_weight(&self, weight: u32) {
        self.weight.store(weight.max(1), Ordering::Relaxed);
    }

    /// The latest sample of the service's signal, in per mille of its scale; 0 before the first.
    pub fn reading_per_mille(&self) -> u32 {
        self.reading_per_mille.load(Ordering::Relaxed)
    }

    /// Notes a sample of the service's signal. Requests in flight are counted here, so that signal ignores it.
    pub fn set_reading(&self, per_mille: u32) {
        self.reading_per_mille.store(per_mille, Ordering::Relaxed);
    }

    /// Requests in flight on all shards.
    pub fn in_flight(&self) -> u32 {
        // Relaxed: a count that is a moment old does for a level.
        self.shards.iter().map(|cell| cell.in_flight.load(Ordering::Relaxed)).sum()
    }

    /// Requests begun on all shards, ever.
    pub fn requests(&self) -> u64 {
        self.shards.iter().map(|cell| cell.requests.load(Ordering::Relaxed)).sum()
    }

    /// Failures on all shards, ever.
    pub fn failures(&self) -> u64 {
        self.shards.iter().map(|cell| cell.failures.load(Ordering::Relaxed)).sum()
    }

    /// Mean time from request to the response's end, in nanoseconds, over all completed ones.
    pub fn latency_ns_mean(&self) -> u64 {
        let done = self.requests().saturating_sub(self.failures() + u64::from(self.in_flight()));
        self.latency_ns_total().checked_div(done).unwrap_or(0)
    }

    /// Time from request to the response's end, in nanoseconds, summed over all completed ones.
    pub fn latency_ns_total(&self) -> u64 {
        self.shards.iter().map(|cell| cell.latency_ns.load(Ordering::Relaxed)).sum()
    }

    /// In flight, cores and weight together.
    pub fn load(&self) -> Load {
        Load { in_flight: self.in_flight(), cores: self.config.cores.max(1), weight: self.weight() }
    }

    /// Its level by the signal and the thresholds of these settings.
    pub fn level(&self, router: &RouterConfig) -> Level {
        router.thresholds.level_of(router.signal.percent(self.load(), self.reading_per_mille()))
    }

    /// A request begins on a shard.
    pub(crate) fn on_start(&self, shard: usize) {
        let cell = &self.shards[shard];
        // Relaxed load and store: this shard is the only writer.
        cell.in_flight.store(cell.in_flight.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        cell.requests.store(cell.requests.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// A request ends on a shard, well or not.
    pub(crate) fn on_end(&self, shard: usize) {
        let cell = &self.shards[shard];
        cell.in_flight.store(cell.in_flight.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    /// A response was complete.
    pub(crate) fn on_success(&self, shard: usize, now: Instant, latency_ns: u64) -> Option<HealthChange> {
        let cell = &self.shards[shard];
        cell.latency_ns.store(cell.latency_ns.load(Ordering::Relaxed) + latency_ns, Ordering::Relaxed);
        if !self.untrusted.load(Ordering::Relaxed) {
            return None;
        }
        let mut health = self.health()?;
        let change = health.on_success(now);
        self.note(&health, now);
        change
    }

    /// An exchange failed.
    pub(crate) fn on_failure(
        &self,
        shard: usize,
        now: Instant,
        kind: FailureKind,
        window: Duration,
    ) -> Option<HealthChange> {
        let cell = &self.shards[shard];
        cell.failures.store(cell.failures.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let mut health = self.health()?;
        self.trust_again_ns.store((now + window).as_nanos(), Ordering::Relaxed);
        self.untrusted.store(true, Ordering::Relaxed);
        health.on_failure(now, kind)
    }

    /// The health machine, when there is one.
    pub(crate) fn health(&self) -> Option<MutexGuard<'_, Health>> {
        Some(self.health.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something with the health machine and notes whether it trusts the back end afterwards.
    pub(crate) fn with_health<T>(&self, now: Instant, act: impl FnOnce(&mut Health) -> T) -> Option<T> {
        let mut health = self.health()?;
        let result = act(&mut health);
        self.note(&health, now);
        Some(result)
    }

    /// Healthy, ejected, on trial or warming.
    pub fn health_state(&self, now: Instant) -> HealthState {
        if !self.untrusted.load(Ordering::Relaxed) {
            return HealthState::Healthy;
        }
        self.with_health(now, |health| health.state(now)).unwrap_or(HealthState::Healthy)
    }

    fn note(&self, health: &Health, now: Instant) {
        let trusted = health.state(now) == HealthState::Healthy
            && now.as_nanos() >= self.trust_again_ns.load(Ordering::Relaxed);
        self.untrusted.store(!trusted, Ordering::Relaxed);
    }

    /// A shard sees the state. When it is draining, the shard begins no request here from now on; the first time it gets the deadline.
    pub(crate) fn see_drain(&self, shard: usize) -> Option<Instant> {
        // Relaxed: this shard is the only writer while it lives.
        if self.state() != BackendState::Draining || self.shards[shard].knows_drain.load(Ordering::Relaxed) {
            return None;
        }
        self.note_drain(shard);
        Some(Instant::from_nanos(self.drain_deadline_ns.load(Ordering::Relaxed)))
    }

    pub(super) fn note_drain(&self, shard: usize) {
        // Release: who reads that this shard knows finds every request that it had begun before.
        self.shards[shard].knows_drain.store(true, Ordering::Release);
    }

    /// `true` once: when draining is over and nobody was told yet. Ask after the end of a request and after [`Backend::see_drain`].
    pub(crate) fn take_drained(&self) -> bool {
        if self.state() != BackendState::Draining || self.is_told() {
            return false;
        }
        // SeqCst: pairs with itself on the other shards. Each writes (a request has ended, it knows of the drain), passes the fence,
        // and reads what all wrote: the last one to pass sees everything, so that somebody tells.
        fence(Ordering::SeqCst);
        // Acquire: with the release of `note_drain`, before the counts are read.
        self.shards.iter().all(|cell| cell.knows_drain.load(Ordering::Acquire))
            && self.in_flight() == 0
            && !self.drained_told.swap(true, Ordering::AcqRel)
    }

    /// `true` once: when the drain's deadline has passed and nobody was told yet.
    pub(crate) fn take_drain_expired(&self, now: Instant) -> bool {
        self.state() == BackendState::Draining
            // A timer of a forwarder that had this number before knows another deadline.
            && now.as_nanos() >= self.drain_deadline_ns.load(Ordering::Relaxed)
            && !self.drained_told.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_told(&self) -> bool {
        self.drained_told.load(Ordering::Acquire)
    }
}
