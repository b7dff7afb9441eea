//! Floor 4: a node: shards on threads of ours, and a handle for any thread.
//!
//! Commands go in through one bounded queue per shard, events and log records come out through one ring per shard, with one
//! eventfd that is readable when something waits. A wake-up is a system call and is made only when the other side sleeps.

mod builder;
mod command;
mod link;
mod services;
mod worker;

pub use builder::NodeBuilder;

use crate::counters::{COUNTERS, Counter};
use crate::error::{Code, Error, Result};
use crate::forward::{BackendConfig, ForwardEvent, ForwarderConfig, Latency, Service, check_thresholds};
use crate::io::ListenOptions;
use crate::log::{LogLevel, LogRecord};
use crate::shard::{BackendStatus, ForwarderId, Shard, backends, drain, no_such_backend, set_reading};
use clustercore_proto::policy::{BackendKey, Thresholds};
use clustercore_queue::bell::Bell;
use clustercore_queue::spsc;
use command::Message;
use link::ShardLink;
use services::{Entry, Services};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An event with the forwarder that it came from.
pub type NodeEvent = (ForwarderId, ForwardEvent);

/// Shards on threads of their own. Cheap to clone; any thread may call. The threads end with [`Node::close`] or the last clone.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    links: Vec<ShardLink>,
    outlet: Arc<Outlet>,
    messages: Mutex<Vec<spsc::Consumer<Message>>>,
    services: Services,
    report: String,
}

/// Where messages of all shards come out.
pub(crate) struct Outlet {
    bell: Bell,
    fd: OwnedFd,
}

impl Outlet {
    /// Something was published.
    pub(crate) fn ring(&self) {
        if self.bell.ring() {
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }
}

/// What one poll brought.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events, in order per shard.
    pub events: Vec<NodeEvent>,
    /// Log records.
    pub logs: Vec<LogRecord>,
}

impl Node {
    /// Starts to build one.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// Which driver and features run, and why.
    pub fn driver_report(&self) -> &str {
        &self.shared.report
    }

    /// How many shards it has.
    pub fn shards(&self) -> usize {
        self.shared.links.len()
    }

    /// Readable when `poll` has something to bring.
    pub fn event_fd(&self) -> RawFd {
        self.shared.outlet.fd.as_raw_fd()
    }

    /// Waits for at most `timeout` (`None`: no limit) until events or log records wait, and takes them, up to `max` of them (at
    /// least 1). An interruption by a signal ends the wait with an empty batch.
    pub fn poll(&self, timeout: Option<Duration>, max: usize) -> Result<Batch> {
        let end = timeout.map(|timeout| Instant::now() + timeout);
        let mut batch = Batch::default();
        let max = max.max(1);
        loop {
            let mut count = [0; 8];
            let _ = rustix::io::read(&self.shared.outlet.fd, &mut count);
            self.take(&mut batch, max);
            // From here on the shards ring; what they published before is seen by one more look. The bell stays armed after the
            // return, so that the descriptor tells an outer loop.
            std::mem::forget(self.shared.outlet.bell.prepare_sleep());
            self.take(&mut batch, max);
            let taken = batch.events.len() + batch.logs.len();
            if taken >= max {
                // There may be more: keep the descriptor readable.
                let _ = rustix::io::write(&self.shared.outlet.fd, &1u64.to_ne_bytes());
            }
            if taken > 0 {
                return Ok(batch);
            }
            if self.is_closed() {
                // Others may be waiting: they find out too.
                let _ = rustix::io::write(&self.shared.outlet.fd, &1u64.to_ne_bytes());
                return Err(Error::new(Code::Closed, "the node is closed"));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(batch);
            }
            match wait_readable(&self.shared.outlet.fd, left) {
                Ok(()) => {}
                Err(rustix::io::Errno::INTR) => return Ok(batch),
                Err(errno) => return Err(Error::from_io("wait for events", &errno.into())),
            }
        }
    }

    fn take(&self, batch: &mut Batch, max: usize) {
        let mut rings = lock(&self.shared.messages);
        for ring in rings.iter_mut() {
            while batch.events.len() + batch.logs.len() < max {
                match ring.pop() {
                    Some(Message::Event(id, event)) => batch.events.push((id, event)),
                    Some(Message::Log(record)) => batch.logs.push(record),
                    None => break,
                }
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.shared.links.iter().all(ShardLink::is_ended)
    }

    /// Sends a command to one shard and waits for its answer.
    fn ask<T: Send + 'static>(
        &self,
        index: usize,
        act: impl FnOnce(&mut Shard) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.shared.links[index].ask(act)?
    }

    fn entry(&self, id: ForwarderId) -> Result<Entry> {
        self.shared.services.get(id)
    }

    /// Adds a forwarder: one service, on every shard. The place of one that was removed is used again, its id is not.
    ///
    /// Errors: `BadConfiguration`, `Closed`, `QueueFull`, `TooLarge` (65535 forwarders are there); nothing has been added then.
    pub fn add_forwarder(&self, config: ForwarderConfig) -> Result<ForwarderId> {
        config.check()?;
        let service = Service::new(config, self.shards());
        let id = self.shared.services.hold()?;
        let attach = |index| {
            let service = Arc::clone(&service);
            self.ask(index, move |shard| shard.attach_at(id, service))
        };
        let mut counters = Vec::with_capacity(self.shards());
        for index in 0..self.shards() {
            match attach(index) {
                Ok(block) => counters.push(block),
                Err(error) => {
                    // This shard and those after it have none; the others take theirs off.
                    (index..self.shards()).for_each(|index| service.end_shard(index));
                    self.shared.services.give_up(id, Arc::clone(&service));
                    self.end_forwarder(&service);
                    return Err(error);
                }
            }
        }
        self.shared.services.fill(id, Entry { service, counters });
        Ok(id)
    }

    /// Ends a forwarder with all its connections. When it returns they are closed, save on a shard whose command queue is full: there
    /// it happens next.
    ///
    /// Errors: `NoSuchForwarder`.
    pub fn remove_forwarder(&self, id: ForwarderId) -> Result<()> {
        let service = self.shared.services.take(id)?;
        self.end_forwarder(&service);
        Ok(())
    }

    /// Lets all shards end their forwarder of a service.
    fn end_forwarder(&self, service: &Service) {
        service.close();
        // No queue can be too full for this. Where no shard is left nothing is left to end.
        let _ = self.tell_shards();
        for index in 0..self.shards() {
            // A shard looks at its services before it answers.
            let _ = self.ask(index, |_| Ok(()));
        }
    }

    /// Accepts clients on an address, on every shard. Returns the address, with the port that the system chose for port 0.
    ///
    /// Errors: as [`Shard::listen`].
    pub fn listen(&self, id: ForwarderId, address: SocketAddr) -> Result<SocketAddr> {
        self.entry(id)?;
        let mut address = address;
        let options = ListenOptions { reuse_port: self.shards() > 1, ..ListenOptions::default() };
        for index in 0..self.shards() {
            address = self.ask(index, move |shard| shard.listen(id, address, &options))?;
        }
        Ok(address)
    }

    /// Accepts clients on a socket that is bound and listens already; every shard accepts from it.
    ///
    /// Errors: `NotAListener`, `DescriptorsExhausted`, `NoSuchForwarder`.
    pub fn listen_fd(&self, id: ForwarderId, fd: OwnedFd) -> Result<Option<SocketAddr>> {
        self.entry(id)?;
        let mut address = None;
        for index in 0..self.shards() {
            let twin = fd.try_clone().map_err(|error| Error::from_io("duplicate the descriptor", &error))?;
            address = self.ask(index, move |shard| shard.listen_fd(id, twin))?;
        }
        Ok(address)
    }

    /// Tells all shards that a child list has changed. No queue can be too full for that.
    ///
    /// Errors: `Closed` when no shard is left.
    fn tell_shards(&self) -> Result<()> {
        self.shared.links.iter().for_each(ShardLink::change_list);
        if self.is_closed() { Err(Error::new(Code::Closed, "the node is closed")) } else { Ok(()) }
    }

    /// Appends a back end to the child list of every shard.
    pub fn add_backend(&self, id: ForwarderId, config: BackendConfig) -> Result<BackendKey> {
        let key = self.entry(id)?.service.add(config, crate::io::clock::now());
        self.tell_shards()?;
        Ok(key)
    }

    /// Sets or takes away the local instance, which serves while the child list is empty. See [`Shard::set_local`].
    pub fn set_local(&self, id: ForwarderId, config: Option<BackendConfig>) -> Result<Option<BackendKey>> {
        let key = self.entry(id)?.service.set_local(config, crate::io::clock::now());
        self.tell_shards()?;
        Ok(key)
    }

    /// Gives a back end no new requests; `BackendDrained` tells when nothing is in flight, or that `deadline` has passed.
    ///
    /// Errors: `NoSuchBackend`, `WrongState` (it is draining already).
    pub fn drain_backend(&self, id: ForwarderId, key: BackendKey, deadline: Duration) -> Result<()> {
        let deadline = crate::io::clock::now() + deadline;
        drain(&self.entry(id)?.service, key, deadline)?;
        self.tell_shards()
    }

    /// Takes a back end off the list at once, see [`Shard::remove_backend`].
    ///
    /// Errors: `NoSuchBackend`.
    pub fn remove_backend(&self, id: ForwarderId, key: BackendKey) -> Result<()> {
        self.entry(id)?.service.remove(key).ok_or_else(|| no_such_backend(key))?;
        self.tell_shards()
    }

    /// Changes a back end's share.
    ///
    /// Errors: `NoSuchBackend`, `InvalidArgument` (0).
    pub fn set_weight(&self, id: ForwarderId, key: BackendKey, weight: u32) -> Result<()> {
        if weight == 0 {
            return Err(Error::new(Code::InvalidArgument, "weight is 0; it must be at least 1"));
        }
        let backend = self.entry(id)?.service.find(key).ok_or_else(|| no_such_backend(key))?;
        backend.set_weight(weight);
        Ok(())
    }

    /// Notes a sample of a back end's signal, in per mille of its scale, see `Signal`. The local instance has a key too.
    ///
    /// Errors: `NoSuchBackend`.
    pub fn set_reading(&self, id: ForwarderId, key: BackendKey, per_mille: u32) -> Result<()> {
        if set_reading(&self.entry(id)?.service, key, per_mille)? { self.tell_shards() } else { Ok(()) }
    }

    /// Changes where Medium and High begin, from the next request of each shard on.
    ///
    /// Errors: `BadConfiguration` (Medium above High).
    pub fn set_thresholds(&self, id: ForwarderId, thresholds: Thresholds) -> Result<()> {
        check_thresholds(thresholds)?;
        self.entry(id)?.service.set_thresholds(thresholds);
        self.tell_shards()
    }

    /// All back ends of a forwarder, the local instance first.
    pub fn backends(&self, id: ForwarderId) -> Result<Vec<BackendStatus>> {
        Ok(backends(&self.entry(id)?.service, crate::io::clock::now()))
    }

    /// One counter of a forwarder, summed over the shards.
    pub fn counter(&self, id: ForwarderId, counter: Counter) -> Result<u64> {
        Ok(self.entry(id)?.counters.iter().map(|block| block.get(counter)).fold(0, u64::wrapping_add))
    }

    /// All counters of a forwarder, summed over the shards: label and value in the fixed order.
    pub fn counters(&self, id: ForwarderId) -> Result<Vec<(&'static str, u64)>> {
        let entry = self.entry(id)?;
        let sum = |counter| entry.counters.iter().map(|block| block.get(counter)).fold(0, u64::wrapping_add);
        Ok(COUNTERS.iter().map(|(counter, label, _, _)| (*label, sum(*counter))).collect())
    }

    /// The latencies of a forwarder over all shards since the last reset; `reset` begins anew.
    pub fn latency(&self, id: ForwarderId, reset: bool) -> Result<Latency> {
        self.entry(id)?;
        let mut sum = Latency::default();
        for index in 0..self.shards() {
            let part = self.ask(index, move |shard| {
                let part = shard.latency(id)?.clone();
                if reset {
                    shard.forwarder_mut(id)?.reset_latency();
                }
                Ok(part)
            })?;
            // Same bounds, so adding cannot fail.
            let _ = sum.first_byte.add(&part.first_byte);
            let _ = sum.last_byte.add(&part.last_byte);
        }
        Ok(sum)
    }

    /// Ends all threads and connections. Later calls get `Closed`. Does nothing when called again.
    pub fn close(&self) {
        self.shared.close();
    }
}

impl Shared {
    fn close(&self) {
        // All at once, then one by one.
        self.links.iter().for_each(ShardLink::stop);
        self.links.iter().for_each(ShardLink::join);
        self.outlet.ring();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_readable(fd: &OwnedFd, timeout: Option<Duration>) -> rustix::io::Result<()> {
    let mut polled = [rustix::event::PollFd::from_borrowed_fd(fd.as_fd(), rustix::event::PollFlags::IN)];
    let timeout = timeout.and_then(|timeout| rustix::event::Timespec::try_from(timeout).ok());
    rustix::event::poll(&mut polled, timeout.as_ref()).map(|_| ())
}

/// Level of the records about events, for sinks.
pub(crate) fn level_of(event: &ForwardEvent) -> LogLevel {
    match event {
        ForwardEvent::BackendEjected { .. }
        | ForwardEvent::PathBroken { .. }
        | ForwardEvent::Saturated { .. }
        | ForwardEvent::AcceptPaused { .. } => LogLevel::Warn,
        _ => LogLevel::Info,
    }
}

#[cfg(test)]
mod tests;
