//! What all shards of one service share: its child list.
//!
//! The child list is an immutable snapshot behind a version: a shard compares one number per request and takes the new list
//! when it changed.

pub use super::backend::{Backend, BackendState};
use super::config::{BackendConfig, ForwarderConfig};
use crate::io::Instant;
use clustercore_proto::policy::{BackendKey, RouterConfig, Thresholds};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

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
        Arc::new(Backend::new(key, config, self.config.health, self.ended.len(), now))
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
            removed.mark_removed();
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
                backend.end_shard(shard);
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

#[cfg(test)]
mod tests;
