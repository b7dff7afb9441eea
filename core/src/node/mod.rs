//! Floor 4: a node: shards on threads of ours, and a handle for any thread.
//!
//! Commands go in through one bounded queue per shard, events and log records come out through one ring per shard, with one
//! eventfd that is readable when something waits. A wake-up is a system call and is made only when the other side sleeps.

mod command;
mod worker;

use crate::counters::{COUNTERS, Counter, CounterBlock};
use crate::error::{Code, Error, Result};
use crate::forward::{BackendConfig, ForwardEvent, ForwarderConfig, Latency, Service};
use crate::io::{DriverChoice, DriverConfig, ListenOptions, Waker};
use crate::log::{LogLevel, LogRecord};
use crate::shard::{BackendStatus, ForwarderId, Shard, backends, no_such_backend, no_such_forwarder};
use clustercore_proto::policy::BackendKey;
use clustercore_queue::bell::Bell;
use clustercore_queue::{mpsc, spsc};
use command::{Command, Message};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::mpsc as channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Builds a [`Node`].
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    shards: usize,
    choice: DriverChoice,
    config: DriverConfig,
    queue_depth: usize,
    seed: u64,
}

impl Default for NodeBuilder {
    fn default() -> Self {
        NodeBuilder {
            shards: 1,
            choice: DriverChoice::Auto,
            config: DriverConfig::default(),
            queue_depth: 1024,
            seed: 0,
        }
    }
}

impl NodeBuilder {
    /// Threads with a shard each, 1 to 256 (default 1).
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }
    /// Which driver (default: io_uring where the system allows it).
    pub fn driver(mut self, choice: DriverChoice) -> Self {
        self.choice = choice;
        self
    }
    /// Sizes and bounds of each shard.
    pub fn config(mut self, config: DriverConfig) -> Self {
        self.config = config;
        self
    }
    /// Spins this long before a shard blocks.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.config.spin_ns = spin.as_nanos() as u64;
        self
    }
    /// Commands and events that may wait, per shard, 16 to 65536 (default 1024).
    pub fn queue_depth(mut self, depth: usize) -> Self {
        self.queue_depth = depth;
        self
    }
    /// Seed of the random choices.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts the threads.
    ///
    /// Errors: `InvalidArgument`, `IoUringForbidden`, `UnsupportedKernel`, `OutOfMemory`, `DescriptorsExhausted`.
    pub fn build(self) -> Result<Node> {
        if !(1..=256).contains(&self.shards) {
            let text = format!("a node of {} shards; it must be 1 to 256", self.shards);
            return Err(Error::new(Code::InvalidArgument, text));
        }
        if !(16..=65_536).contains(&self.queue_depth) {
            let text = format!("queue_depth is {}; it must be 16 to 65536", self.queue_depth);
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        let fd = rustix::event::eventfd(0, flags)
            .map_err(|error| Error::from_io("make an eventfd", &error.into()))?;
        let shared = Arc::new(Outlet { bell: Bell::new(), fd });
        // Armed from the start: the descriptor tells of events before the first poll too.
        std::mem::forget(shared.bell.prepare_sleep());
        let mut links = Vec::new();
        let mut inlets = Vec::new();
        let mut reports = Vec::new();
        for index in 0..self.shards {
            let (commands, inbox) = mpsc::ring(self.queue_depth);
            let (outbox, messages) = spsc::ring(self.queue_depth);
            let (driver, report) = crate::io::open(self.choice, self.config)?;
            let mut shard = Shard::with_driver(driver, report.clone(), self.seed);
            shard.set_index(index);
            let waker = shard.waker().ok_or(Error::from(Code::Internal))?;
            let bell = Arc::new(Bell::new());
            let worker = worker::Worker {
                shard,
                inbox,
                bell: Arc::clone(&bell),
                outbox,
                outlet: Arc::clone(&shared),
                kept: Default::default(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("clustercore-{index}"))
                .spawn(move || worker.run())
                .map_err(|error| Error::from_io("start a shard's thread", &error))?;
            links.push(ShardLink { commands, bell, waker, thread: Mutex::new(Some(thread)) });
            inlets.push(messages);
            reports.push(report);
        }
        Ok(Node {
            shared: Arc::new(Shared {
                links,
                outlet: shared,
                messages: Mutex::new(inlets),
                services: RwLock::default(),
                report: reports.swap_remove(0),
            }),
        })
    }
}

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
    services: RwLock<Vec<Option<Entry>>>,
    report: String,
}

/// A service with the counters of each shard's forwarder.
#[derive(Clone)]
struct Entry {
    service: Arc<Service>,
    counters: Vec<Arc<CounterBlock>>,
}

struct ShardLink {
    commands: mpsc::Sender<Command>,
    bell: Arc<Bell>,
    waker: Waker,
    thread: Mutex<Option<JoinHandle<()>>>,
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
        self.shared.links.iter().all(|link| link.commands.is_closed())
    }

    /// Sends a command to one shard and waits for its answer.
    fn ask<T: Send + 'static>(
        &self,
        index: usize,
        act: impl FnOnce(&mut Shard) -> T + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = channel::sync_channel(1);
        let command = Command::Run(Box::new(move |shard| {
            // The asker may have gone; then nobody wants the answer.
            let _ = reply.send(act(shard));
        }));
        self.shared.links[index].send(command)?;
        answer.recv().map_err(|_| Error::new(Code::Closed, "the node is closed"))
    }

    fn entry(&self, id: ForwarderId) -> Result<Entry> {
        let services = self.shared.services.read().unwrap_or_else(PoisonError::into_inner);
        services.get(usize::from(id.0)).cloned().flatten().ok_or_else(|| no_such_forwarder(id))
    }

    /// Adds a forwarder: one service, on every shard.
    ///
    /// Errors: `BadConfiguration`, `Closed`.
    pub fn add_forwarder(&self, config: ForwarderConfig) -> Result<ForwarderId> {
        config.check()?;
        let service = Service::new(config, self.shards());
        // The lock orders the commands of two callers, so that every shard gives the same number.
        let mut services = self.shared.services.write().unwrap_or_else(PoisonError::into_inner);
        let mut counters = Vec::new();
        for index in 0..self.shards() {
            let service = Arc::clone(&service);
            counters.push(self.ask(index, move |shard| {
                let id = shard.attach(service);
                shard.counters(id).cloned()
            })??);
        }
        services.push(Some(Entry { service, counters }));
        Ok(ForwarderId((services.len() - 1) as u16))
    }

    /// Ends a forwarder with all its connections.
    pub fn remove_forwarder(&self, id: ForwarderId) -> Result<()> {
        self.entry(id)?;
        for index in 0..self.shards() {
            self.ask(index, move |shard| shard.remove_forwarder(id))??;
        }
        let mut services = self.shared.services.write().unwrap_or_else(PoisonError::into_inner);
        services[usize::from(id.0)] = None;
        Ok(())
    }

    /// Accepts clients on an address, on every shard. Returns the address, with the port that the system chose for port 0.
    ///
    /// Errors: as [`Shard::listen`].
    pub fn listen(&self, id: ForwarderId, address: SocketAddr) -> Result<SocketAddr> {
        self.entry(id)?;
        let mut address = address;
        let options = ListenOptions { reuse_port: self.shards() > 1, ..ListenOptions::default() };
        for index in 0..self.shards() {
            address = self.ask(index, move |shard| shard.listen(id, address, &options))??;
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
            address = self.ask(index, move |shard| shard.listen_fd(id, twin))??;
        }
        Ok(address)
    }

    fn tell_shards(&self, make: impl Fn() -> Command) -> Result<()> {
        self.shared.links.iter().try_for_each(|link| link.send(make()))
    }

    /// Appends a back end to the child list of every shard.
    pub fn add_backend(&self, id: ForwarderId, config: BackendConfig) -> Result<BackendKey> {
        let key = self.entry(id)?.service.add(config, crate::io::clock::now());
        self.tell_shards(|| Command::Run(Box::new(Shard::list_changed)))?;
        Ok(key)
    }

    /// Sets or takes away the local instance, which serves while the child list is empty.
    pub fn set_local(&self, id: ForwarderId, config: Option<BackendConfig>) -> Result<Option<BackendKey>> {
        let key = self.entry(id)?.service.set_local(config, crate::io::clock::now());
        self.tell_shards(|| Command::Run(Box::new(Shard::list_changed)))?;
        Ok(key)
    }

    /// Gives a back end no new requests; `BackendDrained` tells when nothing is in flight, or that `deadline` has passed.
    ///
    /// Errors: `NoSuchBackend`, `WrongState` (it is draining already).
    pub fn drain_backend(&self, id: ForwarderId, key: BackendKey, deadline: Duration) -> Result<()> {
        let service = self.entry(id)?.service;
        service.find(key).ok_or_else(|| no_such_backend(key))?;
        if !service.drain(key) {
            return Err(Error::new(Code::WrongState, format!("back end {} is draining already", key.0)));
        }
        self.tell_shards(|| {
            Command::Run(Box::new(move |shard: &mut Shard| shard.watch_drain(id, key, deadline)))
        })
    }

    /// Takes a back end off the list at once, see [`Shard::remove_backend`].
    ///
    /// Errors: `NoSuchBackend`.
    pub fn remove_backend(&self, id: ForwarderId, key: BackendKey) -> Result<()> {
        self.entry(id)?.service.remove(key).ok_or_else(|| no_such_backend(key))?;
        self.tell_shards(|| Command::Run(Box::new(Shard::list_changed)))
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
            let part = self.ask(index, move |shard| -> Result<Latency> {
                let part = shard.latency(id)?.clone();
                if reset {
                    shard.forwarder_mut(id)?.reset_latency();
                }
                Ok(part)
            })??;
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

impl ShardLink {
    fn send(&self, command: Command) -> Result<()> {
        match self.commands.try_send(command) {
            Ok(()) => {
                if self.bell.ring() {
                    self.waker.wake();
                }
                Ok(())
            }
            Err(mpsc::SendError::Full(_)) => Err(Error::new(
                Code::QueueFull,
                format!("{} commands wait for the shard already", self.commands.capacity()),
            )),
            Err(mpsc::SendError::Closed(_)) => Err(Error::new(Code::Closed, "the node is closed")),
        }
    }
}

impl Shared {
    fn close(&self) {
        for link in &self.links {
            let mut command = Command::Stop;
            // A full queue empties as the shard turns.
            for _ in 0..STOP_TRIES_MAX {
                match link.commands.try_send(command) {
                    Ok(()) => break,
                    Err(mpsc::SendError::Full(back)) => {
                        command = back;
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(mpsc::SendError::Closed(_)) => break,
                }
            }
            link.waker.wake();
            if let Some(thread) = lock(&link.thread).take()
                && thread.thread().id() != std::thread::current().id()
            {
                let _ = thread.join();
            }
        }
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
        | ForwardEvent::Saturated { .. }
        | ForwardEvent::AcceptPaused { .. } => LogLevel::Warn,
        _ => LogLevel::Info,
    }
}

const STOP_TRIES_MAX: usize = 1000;

#[cfg(test)]
mod tests;
