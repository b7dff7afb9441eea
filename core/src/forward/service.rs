//! What all shards of one service share: its child list, the load and health of each back end.
//!
//! The child list is an immutable snapshot behind a version: a shard compares one number per request and takes the new list
//! when it changed. In-flight counts are one padded cell per shard and back end with a single writer, summed by readers, so that
//! levels are the service's, not a shard's. Health changes rarely: a lock that is taken on failures, and on successes only
//! while a back end is not fully trusted.
//!
//! A drain is over when every shard knows of it and nothing is in flight on any: a shard that has not heard yet may be about to
//! begin a request. A shard that has ended knows of every drain and has nothing in flight.

use super::config::{BackendConfig, ForwarderConfig};
use crate::io::Instant;
use clustercore_proto::policy::{
    BackendKey, Candidates, FailureKind, Health, HealthChange, HealthState, Level, Load, RouterConfig,
    Thresholds,
};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// The common state of a service.
#[derive(Debug)]
pub struct Service {
    /// Settings, the same on every shard; of the thresholds, those at the start.
    pub config: ForwarderConfig,
    /// Medium in the upper half, High in the lower.
    thresholds: AtomicU64,
    /// Its forwarders are to go.
    closed: AtomicBool,
    /// Which shards have no forwarder of it any more. Written under the lock of `children`, so that no back end is added past it.
    ended: Box<[AtomicBool]>,
    version: AtomicU64,
    children: RwLock<Arc<Children>>,
    next_key: AtomicU32,
}

/// A snapshot of who serves.
#[derive(Debug, Default, Clone)]
pub struct Children {
    /// The child list, in the order of adding.
    pub list: Vec<Arc<Backend>>,
    /// The local instance, which serves while the list is empty.
    pub local: Option<Arc<Backend>>,
    /// Former local instances: no new requests, they finish what is in flight.
    pub retiring: Vec<Arc<Backend>>,
}

impl Children {
    /// All of them: the list, the local instance, former ones.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.list.iter().chain(&self.local).chain(&self.retiring)
    }
}

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

impl Service {
    /// A service for `shards` shards with an empty list.
    pub fn new(config: ForwarderConfig, shards: usize) -> Arc<Service> {
        Arc::new(Service {
            thresholds: AtomicU64::new(pack(config.router.thresholds)),
            config,
            closed: AtomicBool::new(false),
            ended: (0..shards.max(1)).map(|_| AtomicBool::new(false)).collect(),
            version: AtomicU64::new(1),
            children: RwLock::default(),
            next_key: AtomicU32::new(1),
        })
    }

    /// Changes with every change of the list.
    pub fn version(&self) -> u64 {
        // Acquire: with the release of `change`; who sees the number finds the list.
        self.version.load(Ordering::Acquire)
    }

    /// How requests are routed now: the settings with the thresholds of now.
    pub fn router(&self) -> RouterConfig {
        // Acquire: with the release of `change`, when the version told of them; else a moment old does.
        RouterConfig { thresholds: unpack(self.thresholds.load(Ordering::Acquire)), ..self.config.router }
    }

    /// Changes where Medium and High begin. Each shard takes them with its next look at the list.
    pub fn set_thresholds(&self, thresholds: Thresholds) {
        self.change(|_| self.thresholds.store(pack(thresholds), Ordering::Release));
    }

    /// The list of now.
    pub fn children(&self) -> Arc<Children> {
        self.children.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Children) -> T) -> T {
        let mut children = self.children.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Children::clone(&children);
        let result = change(&mut next);
        *children = Arc::new(next);
        // Release: the list is in place before the number says so.
        self.version.fetch_add(1, Ordering::Release);
        result
    }

    fn make(&self, config: BackendConfig, now: Instant) -> Arc<Backend> {
        let key = BackendKey(self.next_key.fetch_add(1, Ordering::Relaxed));
        let health =
            self.config.health.map(|config| Mutex::new(Health::new_warming(config, now, u64::from(key.0))));
        Arc::new(Backend {
            key,
            weight: AtomicU32::new(config.weight.max(1)),
            reading_per_mille: AtomicU32::new(0),
            state: AtomicU32::new(BackendState::Active as u32),
            shards: self.ended.iter().map(|_| ShardCell::default()).collect(),
            // A new one warms up: slow start is the health machine's.
            untrusted: AtomicBool::new(health.is_some()),
            trust_again_ns: AtomicU64::new(0),
            health,
            drain_deadline_ns: AtomicU64::new(u64::MAX),
            drained_told: AtomicBool::new(false),
            config,
        })
    }

    /// Appends a back end to the child list.
    pub fn add(&self, config: BackendConfig, now: Instant) -> BackendKey {
        let backend = self.make(config, now);
        let key = backend.key;
        self.change(|children| {
            self.skip_ended(&backend);
            children.list.push(backend);
        });
        key
    }

    /// Sets or removes the local instance. The one before gets no new requests and finishes what is in flight there.
    pub fn set_local(&self, config: Option<BackendConfig>, now: Instant) -> Option<BackendKey> {
        let backend = config.map(|config| self.make(config, now));
        let key = backend.as_ref().map(|backend| backend.key);
        self.change(|children| {
            if let Some(backend) = &backend {
                self.skip_ended(backend);
            }
            if let Some(old) = std::mem::replace(&mut children.local, backend) {
                old.begin_drain(Instant::MAX);
                children.retiring.push(old);
            }
            // Those whose drain was told at its deadline are nobody's to take off: they go when they are done.
            children.retiring.retain(|old| !old.is_told() || old.in_flight() > 0);
        });
        key
    }

    /// The back end of that key, the local instance and former ones too.
    pub fn find(&self, key: BackendKey) -> Option<Arc<Backend>> {
        self.children().iter().find(|backend| backend.key == key).cloned()
    }

    /// No new requests from now on; at `deadline` the drain is given up. `false` when it is not there, is draining already or removed.
    pub fn drain(&self, key: BackendKey, deadline: Instant) -> bool {
        self.change(|children| {
            children
                .iter()
                .find(|backend| backend.key == key)
                .is_some_and(|backend| backend.begin_drain(deadline))
        })
    }

    /// Takes it off the list, or ends a former local instance.
    pub fn remove(&self, key: BackendKey) -> Option<Arc<Backend>> {
        self.change(|children| {
            let removed = take(&mut children.list, key).or_else(|| take(&mut children.retiring, key))?;
            removed.state.store(BackendState::Removed as u32, Ordering::Release);
            Some(removed)
        })
    }

    /// Forgets a former local instance that has nothing in flight any more.
    pub(crate) fn forget_retired(&self, key: BackendKey) {
        if self.children().retiring.iter().any(|backend| backend.key == key) {
            self.change(|children| take(&mut children.retiring, key));
        }
    }

    /// The forwarders of all shards are to go, each when its shard looks next.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether the forwarders are to go.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether no shard has a forwarder of it any more.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.iter().all(|ended| ended.load(Ordering::Acquire))
    }

    /// A shard has ended, well or not, or its forwarder has: nothing of it is in flight any more, and no drain waits for it, now or
    /// later.
    pub(crate) fn end_shard(&self, shard: usize) {
        self.change(|children| {
            // Release: who finds all ended finds their forwarders gone.
            self.ended[shard].store(true, Ordering::Release);
            for backend in children.iter() {
                backend.shards[shard].in_flight.store(0, Ordering::Relaxed);
                backend.note_drain(shard);
            }
        });
    }

    /// No drain of a new back end waits for what has ended.
    fn skip_ended(&self, backend: &Backend) {
        for (shard, ended) in self.ended.iter().enumerate() {
            // Relaxed: under the lock, see `end_shard`.
            if ended.load(Ordering::Relaxed) {
                backend.note_drain(shard);
            }
        }
    }
}

fn pack(thresholds: Thresholds) -> u64 {
    u64::from(thresholds.medium) << 32 | u64::from(thresholds.high)
}

fn unpack(packed: u64) -> Thresholds {
    Thresholds { medium: (packed >> 32) as u32, high: packed as u32 }
}

fn take(list: &mut Vec<Arc<Backend>>, key: BackendKey) -> Option<Arc<Backend>> {
    let index = list.iter().position(|backend| backend.key == key)?;
    Some(list.remove(index))
}

impl Backend {
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
    fn begin_drain(&self, deadline: Instant) -> bool {
        if self.state() != BackendState::Active {
            return false;
        }
        self.drain_deadline_ns.store(deadline.as_nanos(), Ordering::Relaxed);
        // Release: who sees the state finds the deadline.
        let (active, draining) = (BackendState::Active as u32, BackendState::Draining as u32);
        self.state.compare_exchange(active, draining, Ordering::Release, Ordering::Relaxed).is_ok()
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

    fn note_drain(&self, shard: usize) {
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

    fn is_told(&self) -> bool {
        self.drained_told.load(Ordering::Acquire)
    }
}

/// The child list as the router sees it, for one request.
pub(crate) struct View<'a> {
    pub list: &'a [Arc<Backend>],
    pub now: Instant,
    /// Back ends that this request has tried.
    pub tried: &'a [BackendKey],
    /// Whether those that warm up count as warm: when nobody else has room, slow start does not make requests wait.
    pub all_warm: bool,
}

impl Candidates for View<'_> {
    fn len(&self) -> usize {
        self.list.len()
    }
    fn load(&self, index: usize) -> Load {
        self.list[index].load()
    }
    fn is_eligible(&self, index: usize) -> bool {
        let backend = &self.list[index];
        backend.state() == BackendState::Active
            && !self.tried.contains(&backend.key)
            && !matches!(backend.health_state(self.now), HealthState::Ejected { .. })
    }
    fn warmth(&self, index: usize) -> u32 {
        match self.list[index].health_state(self.now) {
            HealthState::Warming { per_mille } if !self.all_warm => per_mille,
            // One on trial gets one request at a time, whole.
            _ => 1000,
        }
    }
    fn limit(&self, index: usize) -> u32 {
        self.list[index].config.in_flight_max
    }
    fn reading_per_mille(&self, index: usize) -> u32 {
        self.list[index].reading_per_mille()
    }
}

#[cfg(test)]
mod tests;
