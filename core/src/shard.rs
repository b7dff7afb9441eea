//! Floor 4: a shard: one driver, one loop, its own sockets, buffers and machines, owned by the thread that turns it.
//!
//! One turn: submit what was wished for, reap completions, feed the machines, run due timers. The bytes that a turn
//! produces leave with the next one, in one submission; [`Shard::turn`] does that before it returns.

mod builder;
mod status;

pub use builder::ShardBuilder;
pub use status::BackendStatus;
pub(crate) use status::backends;

use crate::counters::{Counter, CounterBlock};
use crate::error::{Code, Error, Result};
use crate::forward::{
    Backend, BackendConfig, BackendState, ForwardEvent, Forwarder, ForwarderConfig, Io, Latency, Owners,
    Service, TimerKey,
};
use crate::io::{AnyDriver, Driver, DriverKind, Event, Instant, ListenOptions, ListenerId, Waker};
use crate::log::{Log, LogLevel, LogRecord};
use clustercore_proto::policy::BackendKey;
use clustercore_proto::time::Wheel;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

/// A forwarder of a shard or node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ForwarderId(pub u16);

/// One ring, one loop, one owner. Bound to the thread of its first turn.
pub struct Shard<D: Driver = AnyDriver> {
    driver: D,
    report: String,
    index: usize,
    seed: u64,
    owners: Owners,
    wheel: Wheel<TimerKey>,
    forwarders: Vec<Option<Forwarder>>,
    listeners: Vec<(ListenerId, u16)>,
    inbox: Vec<Event>,
    events: Vec<(u16, ForwardEvent)>,
    log: Log,
    woken: bool,
    thread: Option<ThreadId>,
}

impl Shard {
    /// Starts to build one.
    pub fn builder() -> ShardBuilder {
        ShardBuilder::default()
    }

    /// The descriptor of [`Shard::fd`], borrowed. Errors: `DescriptorsExhausted`, `WrongThread` (another thread turns the shard).
    pub fn borrow_fd(&self) -> Result<BorrowedFd<'_>> {
        self.driver.borrow_fd().map_err(|error| match error.raw_os_error() {
            Some(libc::EEXIST) => Error::from(Code::WrongThread),
            _ => Error::from_io("make the shard's descriptor", &error),
        })
    }
}

impl<D: Driver> Shard<D> {
    /// A shard over a driver that is open already: the simulator, for example.
    pub fn with_driver(driver: D, report: impl Into<String>, seed: u64) -> Shard<D> {
        let report = report.into();
        let mut log = Log::default();
        log.push(LogLevel::Info, format!("driver {report}"));
        Shard {
            driver,
            report,
            index: 0,
            seed,
            owners: Owners::default(),
            wheel: Wheel::new(),
            forwarders: Vec::new(),
            listeners: Vec::new(),
            inbox: Vec::new(),
            events: Vec::new(),
            log,
            woken: false,
            thread: None,
        }
    }

    /// Its place among the shards of a node.
    pub(crate) fn set_index(&mut self, index: usize) {
        self.index = index;
    }

    /// Which driver and features run, and why: "uring: multishot_accept, ...".
    pub fn driver_report(&self) -> &str {
        &self.report
    }

    /// The driver, for tests and for code that embeds one.
    pub fn driver(&self) -> &D {
        &self.driver
    }

    /// The driver, for tests and for code that embeds one.
    pub fn driver_mut(&mut self) -> &mut D {
        &mut self.driver
    }

    /// Readable when `turn` has something to do; `None` in the simulator.
    pub fn fd(&self) -> Option<RawFd> {
        self.driver.fd()
    }

    /// Rings the shard out of a wait, from any thread; `None` in the simulator.
    pub fn waker(&self) -> Option<Waker> {
        self.driver.waker()
    }

    /// How long `fd` may be waited for before `turn` has timers to run; `None`: no timer. Zero: turn now.
    pub fn next_timeout(&self) -> Option<Duration> {
        if self.driver.pending() {
            return Some(Duration::ZERO);
        }
        let now = self.time();
        self.wheel.next().map(|at| at.saturating_sub(now))
    }

    /// Does all there is to do now, without waiting, and submits what came of it.
    ///
    /// Errors: `WrongThread`; `Io` when the driver can go no further.
    pub fn turn(&mut self) -> Result<()> {
        self.turn_for(Some(Duration::ZERO))?;
        for _ in 0..FLUSHES_MAX {
            if !self.driver.pending() {
                break;
            }
            self.turn_for(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// One turn that waits for at most `timeout` (`None`: until something happens) when there is nothing to do. What it produces is
    /// submitted by the next turn.
    ///
    /// Errors: as [`Shard::turn`].
    pub fn turn_for(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.check_thread()?;
        self.thread.get_or_insert_with(|| std::thread::current().id());
        let due = self.next_timeout();
        let timeout = match (timeout, due) {
            (Some(timeout), Some(due)) => Some(timeout.min(due)),
            (timeout, due) => timeout.or(due),
        };
        let mut inbox = std::mem::take(&mut self.inbox);
        let result = self.driver.turn(timeout, &mut inbox);
        for event in inbox.drain(..) {
            self.route(event);
        }
        self.inbox = inbox;
        let now = self.driver.now();
        while let Some(key) = self.wheel.pop(now) {
            self.with_forwarder(key.forwarder, |forwarder, io| forwarder.on_timer(io, key.what));
        }
        if self.events.len() > EVENTS_KEPT_MAX {
            // Nobody takes them: the oldest go, and the log says so.
            let lost = self.events.len() - EVENTS_KEPT_MAX;
            self.events.drain(..lost);
            self.log.push(
                LogLevel::Warn,
                format!("{lost} events were lost: nobody took them (limit {EVENTS_KEPT_MAX})"),
            );
        }
        result.map_err(|error| Error::from_io("turn the driver", &error))
    }

    /// What reaches the driver is for the thread of the first turn alone; before that turn any thread may prepare the shard.
    fn check_thread(&self) -> Result<()> {
        if self.thread.is_none_or(|thread| thread == std::thread::current().id()) {
            return Ok(());
        }
        Err(Error::new(
            Code::WrongThread,
            "the shard belongs to the thread of its first turn; use a node to be called from any thread",
        ))
    }

    fn route(&mut self, event: Event) {
        let stream = match &event {
            Event::Data { stream, .. }
            | Event::Sent { stream, .. }
            | Event::Connected { stream, .. }
            | Event::End { stream }
            | Event::Failed { stream, .. }
            | Event::RecvStopped { stream } => *stream,
            Event::Spliced { source, .. } => *source,
            Event::Accepted { listener, stream, peer } => {
                let (listener, stream, peer) = (*listener, *stream, *peer);
                match self.listener_owner(listener) {
                    Some(owner) => {
                        self.with_forwarder(owner, |forwarder, io| {
                            forwarder.on_accepted(io, listener, stream, peer)
                        });
                    }
                    None => self.driver.close(stream, crate::io::Close::Abort),
                }
                return;
            }
            Event::AcceptFailed { listener, errno } => {
                let errno = *errno;
                if let Some(owner) = self.listener_owner(*listener) {
                    self.with_forwarder(owner, |forwarder, io| forwarder.pause_accepting(io, errno));
                }
                return;
            }
            Event::Woken => {
                self.woken = true;
                return;
            }
            Event::Datagrams { .. } | Event::DatagramsSent { .. } | Event::DatagramFailed { .. } => {
                if let Event::Datagrams { lease, .. } = event {
                    self.driver.release(lease);
                }
                return;
            }
        };
        match self.owners.get(stream) {
            Some(owner) => {
                self.with_forwarder(owner.forwarder, |forwarder, io| {
                    forwarder.on_event(io, owner.role, event)
                });
            }
            None => {
                if let Event::Data { lease, .. } = event {
                    self.driver.release(lease);
                }
            }
        }
    }

    fn listener_owner(&self, listener: ListenerId) -> Option<u16> {
        self.listeners.iter().find(|(id, _)| *id == listener).map(|(_, owner)| *owner)
    }

    fn with_forwarder<T>(
        &mut self,
        index: u16,
        act: impl FnOnce(&mut Forwarder, &mut Io<'_, D>) -> T,
    ) -> Option<T> {
        let forwarder = self.forwarders.get_mut(usize::from(index))?.as_mut()?;
        let mut io = Io {
            now: self.driver.now(),
            driver: &mut self.driver,
            owners: &mut self.owners,
            wheel: &mut self.wheel,
            events: &mut self.events,
        };
        let result = act(forwarder, &mut io);
        forwarder.settle(&mut io);
        Some(result)
    }

    /// Events since the last call. They hold no buffers.
    pub fn events(&mut self) -> impl Iterator<Item = (ForwarderId, ForwardEvent)> + '_ {
        self.events.drain(..).map(|(index, event)| (ForwarderId(index), event))
    }

    /// Log records since the last call.
    pub fn take_logs(&mut self) -> Vec<LogRecord> {
        if self.log.is_empty() { Vec::new() } else { self.log.take() }
    }

    /// Whether the waker was rung since the last call.
    pub fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }

    /// Adds a forwarder for a service of this shard alone. The number of one that was removed is used again.
    ///
    /// Errors: `BadConfiguration`, `TooLarge` (65535 forwarders are there), `WrongThread`.
    pub fn add_forwarder(&mut self, config: ForwarderConfig) -> Result<ForwarderId> {
        self.check_thread()?;
        config.check()?;
        let free = self.forwarders.iter().position(Option::is_none).unwrap_or(self.forwarders.len());
        if free >= FORWARDERS_MAX {
            return Err(too_many_forwarders());
        }
        let id = ForwarderId(free as u16);
        self.attach_at(id, Service::new(config, 1))?;
        Ok(id)
    }

    /// Adds this shard's forwarder of a service that several shards share, under the number that it has on all of them. Returns its
    /// counters.
    ///
    /// Errors: `AlreadyExists`, `TooLarge`.
    pub(crate) fn attach_at(&mut self, id: ForwarderId, service: Arc<Service>) -> Result<Arc<CounterBlock>> {
        let index = usize::from(id.0);
        if index >= FORWARDERS_MAX {
            return Err(too_many_forwarders());
        }
        if index >= self.forwarders.len() {
            self.forwarders.resize_with(index + 1, || None);
        }
        if self.forwarders[index].is_some() {
            return Err(Error::new(Code::AlreadyExists, format!("there is a forwarder {index} already")));
        }
        // What one of the same number left behind is not of this one.
        self.events.retain(|(owner, _)| *owner != id.0);
        let seed = self.seed ^ (u64::from(id.0) << 32) ^ self.index as u64;
        let forwarder = Forwarder::new(id.0, self.index, service, seed);
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
        self.with_forwarder(id.0, |forwarder, io| forwarder.close_all(io));
        self.listeners.retain(|(_, owner)| *owner != id.0);
        self.forwarders[usize::from(id.0)] = None;
        service.end_shard(self.index);
        Ok(())
    }

    /// A forwarder.
    pub fn forwarder(&self, id: ForwarderId) -> Result<&Forwarder> {
        self.forwarders.get(usize::from(id.0)).and_then(Option::as_ref).ok_or_else(|| no_such_forwarder(id))
    }

    /// A forwarder.
    pub fn forwarder_mut(&mut self, id: ForwarderId) -> Result<&mut Forwarder> {
        self.forwarders
            .get_mut(usize::from(id.0))
            .and_then(Option::as_mut)
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
        self.listeners.push((listener, id.0));
        if let Some(address) = self.driver.listener_address(listener) {
            self.log.push(LogLevel::Info, format!("forwarder {}: listening on {address}", id.0));
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
        self.with_forwarder(id.0, |forwarder, io| forwarder.on_list_changed(io));
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
        self.with_forwarder(id.0, |forwarder, io| forwarder.on_list_changed(io));
        Ok(key)
    }

    /// Gives a back end no new requests. `BackendDrained` tells when nothing is in flight, or that `deadline` has passed.
    ///
    /// Errors: `NoSuchBackend`, `WrongState` (it is draining already), `WrongThread`.
    pub fn drain_backend(&mut self, id: ForwarderId, key: BackendKey, deadline: Duration) -> Result<()> {
        self.check_thread()?;
        drain(self.forwarder(id)?.service(), key, self.time() + deadline)?;
        self.with_forwarder(id.0, |forwarder, io| forwarder.on_list_changed(io));
        Ok(())
    }

    /// Takes a back end off the list at once: what is in flight there is tried elsewhere where that is allowed, else answered 502 or cut.
    ///
    /// Errors: `NoSuchBackend`, `WrongThread`.
    pub fn remove_backend(&mut self, id: ForwarderId, key: BackendKey) -> Result<()> {
        self.check_thread()?;
        let removed = self.forwarder(id)?.service().remove(key);
        removed.ok_or_else(|| no_such_backend(key))?;
        self.with_forwarder(id.0, |forwarder, io| forwarder.on_list_changed(io));
        Ok(())
    }

    /// Looks at all services again after another thread changed one or closed it.
    pub(crate) fn list_changed(&mut self) {
        for index in 0..self.forwarders.len() as u16 {
            let id = ForwarderId(index);
            match self.forwarder(id) {
                Ok(forwarder) if forwarder.service().is_closed() => {
                    if let Err(error) = self.remove_forwarder(id) {
                        self.log.push(LogLevel::Error, format!("forwarder {index} stays: {error}"));
                    }
                }
                Ok(_) => drop(self.with_forwarder(index, |forwarder, io| forwarder.on_list_changed(io))),
                Err(_) => {}
            }
        }
    }

    /// The shard ends: nothing of it is in flight any more, and no drain waits for it.
    pub(crate) fn end_services(&mut self) {
        for (index, forwarder) in self.forwarders.iter().enumerate() {
            for backend in forwarder.iter().flat_map(Forwarder::end_with_shard) {
                self.events.push((index as u16, ForwardEvent::BackendDrained { backend, in_flight: 0 }));
            }
        }
    }

    /// A back end of a forwarder.
    pub fn backend(&self, id: ForwarderId, key: BackendKey) -> Result<Arc<Backend>> {
        self.forwarder(id)?.service().find(key).ok_or_else(|| no_such_backend(key))
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

    fn time(&self) -> Instant {
        // Driver time stands still between turns; only the simulator's is the true one.
        if self.driver.kind() == DriverKind::Sim { self.driver.now() } else { crate::io::clock::now() }
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

pub(crate) fn too_many_forwarders() -> Error {
    Error::new(Code::TooLarge, format!("there are {FORWARDERS_MAX} forwarders, which is as many as may be"))
}

pub(crate) fn no_such_forwarder(id: ForwarderId) -> Error {
    Error::new(Code::NoSuchForwarder, format!("there is no forwarder {}", id.0))
}

pub(crate) fn no_such_backend(key: BackendKey) -> Error {
    Error::new(Code::NoSuchBackend, format!("there is no back end {} on the child list", key.0))
}

/// Forwarders of a shard: their numbers have 16 bits, and one is left over.
pub(crate) const FORWARDERS_MAX: usize = 65_535;
/// Submissions that follow a turn's work before the caller gets the loop back.
const FLUSHES_MAX: usize = 4;
/// Events that wait for the owner.
const EVENTS_KEPT_MAX: usize = 4096;

#[cfg(test)]
mod tests;
