//! The forwarders of a shard: what their owner asks of them.

use super::{BackendStatus, ForwarderId, Shard, backends};
use crate::counters::{Counter, CounterBlock};
use crate::error::{Code, Error, Result};
use crate::forward::{
    Backend, BackendConfig, BackendState, ForwardEvent, Forwarder, ForwarderConfig, Latency, Service,
    check_thresholds,
};
use crate::io::{Driver, Instant, ListenOptions, ListenerId};
use crate::log::LogLevel;
use clustercore_proto::policy::{BackendKey, Level, Thresholds};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

impl<D: Driver> Shard<D> {
    /// Adds a forwarder for a service of this shard alone. The place of one that was removed is used again, its id is not.
    ///
    /// Errors: `BadConfiguration`, `TooLarge` (65535 forwarders are there), `WrongThread`.
    pub fn add_forwarder(&mut self, config: ForwarderConfig) -> Result<ForwarderId> {
        self.check_thread()?;
        config.check()?;
        let free = self.forwarders.iter().position(Option::is_none).unwrap_or(self.forwarders.len());
        if free >= FORWARDERS_MAX {
            return Err(too_many_forwarders());
        }
        let id = self.next_ids.get(free).copied().unwrap_or(ForwarderId::new(free as u16, 0));
        self.attach_at(id, Service::new(config, 1))?;
        Ok(id)
    }

    /// Adds this shard's forwarder of a service that several shards share, under the number that it has on all of them. Returns its
    /// counters.
    ///
    /// Errors: `AlreadyExists`, `TooLarge`.
    pub(crate) fn attach_at(&mut self, id: ForwarderId, service: Arc<Service>) -> Result<Arc<CounterBlock>> {
        let index = usize::from(id.index());
        if index >= FORWARDERS_MAX {
            return Err(too_many_forwarders());
        }
        if index >= self.forwarders.len() {
            self.forwarders.resize_with(index + 1, || None);
            let places = self.next_ids.len() as u16..=id.index();
            self.next_ids.extend(places.map(|place| ForwarderId::new(place, 0)));
        }
        if self.forwarders[index].is_some() {
            return Err(Error::new(Code::AlreadyExists, format!("there is a forwarder {id} already")));
        }
        // Nobody waits for what the one before left behind.
        self.events.retain(|(owner, _)| owner.index() != id.index());
        let seed = self.seed ^ (u64::from(id.index()) << 32) ^ self.index as u64;
        let forwarder = Forwarder::new(id, self.index, service, seed);
        let counters = Arc::clone(forwarder.counters());
        self.forwarders[index] = Some(forwarder);
        Ok(counters)
    }

    /// Ends a forwarder with all its connections.
    ///
    /// Errors: `NoSuchForwarder`, `WrongThread`.
    pub fn remove_forwarder(&mut self, id: ForwarderId) -> Result<()> {
        self.check_thread()?;
        let service = Arc::clone(self.forwarder(id)?.service());
        self.with_forwarder(id.index(), |forwarder, io| forwarder.close_all(io));
        self.listeners.retain(|(_, owner)| *owner != id.index());
        self.forwarders[usize::from(id.index())] = None;
        self.next_ids[usize::from(id.index())] = id.next();
        service.end_shard(self.index);
        Ok(())
    }

    /// A forwarder.
    pub fn forwarder(&self, id: ForwarderId) -> Result<&Forwarder> {
        self.forwarders
            .get(usize::from(id.index()))
            .and_then(Option::as_ref)
            .filter(|forwarder| forwarder.id() == id)
            .ok_or_else(|| no_such_forwarder(id))
    }

    /// A forwarder.
    pub fn forwarder_mut(&mut self, id: ForwarderId) -> Result<&mut Forwarder> {
        self.forwarders
            .get_mut(usize::from(id.index()))
            .and_then(Option::as_mut)
            .filter(|forwarder| forwarder.id() == id)
            .ok_or_else(|| no_such_forwarder(id))
    }

    /// Accepts clients of a forwarder on an address; port 0 lets the system choose. Returns the address.
    ///
    /// Errors: `AddressInUse`, `PermissionDenied`, `AddressNotAvailable`, `NoSuchForwarder`, `WrongThread`.
    pub fn listen(
        &mut self,
        id: ForwarderId,
        address: SocketAddr,
        options: &ListenOptions,
    ) -> Result<SocketAddr> {
        self.check_thread()?;
        self.forwarder(id)?;
        let listener = self
            .driver
            .listen(address, options)
            .map_err(|error| Error::from_io(format_args!("listen on {address}"), &error))?;
        self.enter_listener(id, listener);
        Ok(self.driver.listener_address(listener).unwrap_or(address))
    }

    /// Accepts clients of a forwarder on a socket that is bound and listens already.
    ///
    /// Errors: `NotAListener`, `NoSuchForwarder`, `WrongThread`.
    pub fn listen_fd(&mut self, id: ForwarderId, fd: OwnedFd) -> Result<Option<SocketAddr>> {
        self.check_thread()?;
        self.forwarder(id)?;
        let listener = self
            .driver
            .listen_fd(fd)
            .map_err(|error| Error::from_io("listen on the given descriptor", &error))?;
        self.enter_listener(id, listener);
        Ok(self.driver.listener_address(listener))
    }

    fn enter_listener(&mut self, id: ForwarderId, listener: ListenerId) {
        self.listeners.push((listener, id.index()));
        if let Some(address) = self.driver.listener_address(listener) {
            self.log.push(LogLevel::Info, format!("forwarder {id}: listening on {address}"));
        }
        if let Ok(forwarder) = self.forwarder_mut(id) {
            forwarder.add_listener(listener);
        }
    }

    /// Appends a back end to the child list.
    ///
    /// Errors: `NoSuchForwarder`, `WrongThread`.
    pub fn add_backend(&mut self, id: ForwarderId, config: BackendConfig) -> Result<BackendKey> {
        self.check_thread()?;
        let now = self.time();
        let service = Arc::clone(self.forwarder(id)?.service());
        let key = service.add(config, now);
        self.with_forwarder(id.index(), |forwarder, io| forwarder.on_list_changed(io));
        Ok(key)
    }

    /// Sets or takes away the local instance, which serves while the child list is empty. The one before gets no new requests and
    /// finishes what is in flight there; `BackendDrained` tells when that is done. To cut it, remove it by its key.
    ///
    /// Errors: `NoSuchForwarder`, `WrongThread`.
    pub fn set_local(
        &mut self,
        id: ForwarderId,
        config: Option<BackendConfig>,
    ) -> Result<Option<BackendKey>> {
        self.check_thread()?;
        let now = self.time();
        let service = Arc::clone(self.forwarder(id)?.service());
        let key = service.set_local(config, now);
        self.with_forwarder(id.index(), |forwarder, io| forwarder.on_list_changed(io));
        Ok(key)
    }

    /// Gives a back end no new requests. `BackendDrained` tells when nothing is in flight, or that `deadline` has passed.
    ///
    /// Errors: `NoSuchBackend`, `WrongState` (it is draining already), `WrongThread`.
    pub fn drain_backend(&mut self, id: ForwarderId, key: BackendKey, deadline: Duration) -> Result<()> {
        self.check_thread()?;
        drain(self.forwarder(id)?.service(), key, self.time() + deadline)?;
        self.with_forwarder(id.index(), |forwarder, io| forwarder.on_list_changed(io));
        Ok(())
    }

    /// Takes a back end off the list at once: what is in flight there is tried elsewhere where that is allowed, else answered 502 or cut.
    ///
    /// Errors: `NoSuchBackend`, `WrongThread`.
    pub fn remove_backend(&mut self, id: ForwarderId, key: BackendKey) -> Result<()> {
        self.check_thread()?;
        let removed = self.forwarder(id)?.service().remove(key);
        removed.ok_or_else(|| no_such_backend(key))?;
        self.with_forwarder(id.index(), |forwarder, io| forwarder.on_list_changed(io));
        Ok(())
    }

    /// Looks at all services again after another thread changed one or closed it.
    pub(crate) fn list_changed(&mut self) {
        for place in 0..self.forwarders.len() {
            let Some(forwarder) = &self.forwarders[place] else { continue };
            let id = forwarder.id();
            if !forwarder.service().is_closed() {
                self.with_forwarder(id.index(), |forwarder, io| forwarder.on_list_changed(io));
            } else if let Err(error) = self.remove_forwarder(id) {
                self.log.push(LogLevel::Error, format!("forwarder {id} stays: {error}"));
            }
        }
    }

    /// The shard ends: nothing of it is in flight any more, and no drain waits for it.
    pub(crate) fn end_services(&mut self) {
        for forwarder in self.forwarders.iter().flatten() {
            for backend in forwarder.end_with_shard() {
                self.events.push((forwarder.id(), ForwardEvent::BackendDrained { backend, in_flight: 0 }));
            }
        }
    }

    /// A back end of a forwarder.
    pub fn backend(&self, id: ForwarderId, key: BackendKey) -> Result<Arc<Backend>> {
        self.forwarder(id)?.service().find(key).ok_or_else(|| no_such_backend(key))
    }

    /// Notes a sample of a back end's signal, in per mille of its scale, see `Signal`. The local instance has a key too.
    ///
    /// Errors: `NoSuchBackend`, `WrongThread`.
    pub fn set_reading(&mut self, id: ForwarderId, key: BackendKey, per_mille: u32) -> Result<()> {
        self.check_thread()?;
        if set_reading(self.forwarder(id)?.service(), key, per_mille)? {
            self.with_forwarder(id.index(), |forwarder, io| forwarder.on_list_changed(io));
        }
        Ok(())
    }

    /// Changes where Medium and High begin, from the next request on.
    ///
    /// Errors: `BadConfiguration` (Medium above High), `WrongThread`.
    pub fn set_thresholds(&mut self, id: ForwarderId, thresholds: Thresholds) -> Result<()> {
        self.check_thread()?;
        check_thresholds(thresholds)?;
        self.forwarder(id)?.service().set_thresholds(thresholds);
        self.with_forwarder(id.index(), |forwarder, io| forwarder.on_list_changed(io));
        Ok(())
    }

    /// All back ends of a forwarder, the local instance first.
    pub fn backends(&self, id: ForwarderId) -> Result<Vec<BackendStatus>> {
        Ok(backends(self.forwarder(id)?.service(), self.time()))
    }

    /// The counters of a forwarder.
    pub fn counters(&self, id: ForwarderId) -> Result<&Arc<CounterBlock>> {
        Ok(self.forwarder(id)?.counters())
    }

    /// One counter of a forwarder.
    pub fn counter(&self, id: ForwarderId, counter: Counter) -> Result<u64> {
        Ok(self.forwarder(id)?.counters().get(counter))
    }

    /// The latencies of a forwarder since the last reset.
    pub fn latency(&self, id: ForwarderId) -> Result<&Latency> {
        Ok(self.forwarder(id)?.latency())
    }
}

/// Gives a back end of a service no new requests.
///
/// Errors: `NoSuchBackend`, `WrongState` (it is draining already).
pub(crate) fn drain(service: &Service, key: BackendKey, deadline: Instant) -> Result<()> {
    let backend = service.find(key).ok_or_else(|| no_such_backend(key))?;
    if service.drain(key, deadline) {
        return Ok(());
    }
    if backend.state() == BackendState::Removed {
        // By somebody else, in this moment.
        return Err(no_such_backend(key));
    }
    let name = &backend.config.name;
    Err(Error::new(Code::WrongState, format!("back end {} ({name}) is draining already", key.0)))
}

/// Notes a sample of a back end's signal; `true` when it has room again, so that requests which wait may go there.
///
/// Errors: `NoSuchBackend`.
pub(crate) fn set_reading(service: &Service, key: BackendKey, per_mille: u32) -> Result<bool> {
    let backend = service.find(key).ok_or_else(|| no_such_backend(key))?;
    let router = service.router();
    let was_high = backend.level(&router) == Level::High;
    backend.set_reading(per_mille);
    Ok(was_high && backend.level(&router) < Level::High)
}

pub(crate) fn too_many_forwarders() -> Error {
    Error::new(Code::TooLarge, format!("there are {FORWARDERS_MAX} forwarders, which is as many as may be"))
}

pub(crate) fn no_such_forwarder(id: ForwarderId) -> Error {
    Error::new(Code::NoSuchForwarder, format!("there is no forwarder {id}"))
}

pub(crate) fn no_such_backend(key: BackendKey) -> Error {
    Error::new(Code::NoSuchBackend, format!("there is no back end {} on the child list", key.0))
}

/// Forwarders of a shard: their places have 16 bits, and one is left over.
pub(crate) const FORWARDERS_MAX: usize = 65_535;
