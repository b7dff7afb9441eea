//! Floor 4: a forwarder on one shard: clients on one side, back ends on the other.
//!
//! What may pass and how it is framed is decided in `clustercore_proto::forward`, who gets a request in
//! `clustercore_proto::policy`; here bytes are pumped as those machines say. Generic over the driver, so the simulator runs the same code.
//!
//! Invariants: a client has at most one exchange, an exchange at most one link or one job; a link serves one exchange at a time. A response
//! that cannot be completed is cut by a reset, so that nobody takes it for whole. What waits (requests, bytes, connections) is bounded by
//! [`ForwarderConfig`].

mod backend;
mod choice;
mod client;
mod config;
mod dispatch;
mod drain;
mod failure;
mod flow;
pub(crate) mod handler;
mod health;
mod id;
mod input;
mod job;
mod reply;
mod request;
mod serve;
pub mod service;
mod side;
mod timers;
mod tunnel;

pub(crate) use client::{Owners, Role};
pub(crate) use config::check_thresholds;
pub use config::{BackendConfig, ForwarderConfig, JobAddress, Mode, ProxyProtocol};
pub use id::ForwarderId;
pub(crate) use job::LegId;
pub use job::PathTrouble;
pub use service::{Backend, BackendState, Service};

use crate::counters::CounterBlock;
use crate::io::{Driver, Event, Instant, Lease, ListenerId, SpliceEnd, StreamId};
use client::{Client, ClientId, Exchange, Link, LinkId};
use clustercore_proto::policy::{BackendKey, Cause, RequestQueue, Router};
use clustercore_proto::time::Wheel;
use flow::FlowLimits;
use hdrhistogram::Histogram;
use health::Probe;
use job::Legs;
use service::Children;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What a forwarder tells its owner.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ForwardEvent {
    /// A drain is over: nothing is in flight (`in_flight` 0), or its deadline has passed with some left.
    BackendDrained {
        /// The back end.
        backend: BackendKey,
        /// Requests still in flight.
        in_flight: u32,
    },
    /// A back end is distrusted.
    BackendEjected {
        /// The back end.
        backend: BackendKey,
        /// For how long at least.
        duration: Duration,
        /// Why.
        cause: Cause,
    },
    /// A back end is trusted again.
    BackendReturned {
        /// The back end.
        backend: BackendKey,
    },
    /// Messages to a back end's job handler do not get through: its requests go by TCP until they do.
    PathBroken {
        /// The back end.
        backend: BackendKey,
        /// Why.
        why: PathTrouble,
    },
    /// Messages get through again.
    PathRestored {
        /// The back end.
        backend: BackendKey,
    },
    /// The first request has to wait, since no back end may take it.
    Saturated {
        /// Requests in flight on this shard.
        in_flight: u32,
    },
    /// Accepting has stopped for a while.
    AcceptPaused {
        /// The kernel's error number (`EMFILE`, ...), or 0 when `clients_max` is reached.
        errno: i32,
    },
}

impl std::fmt::Display for ForwardEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ForwardEvent::BackendDrained { backend, in_flight: 0 } => {
                write!(f, "back end {} is drained", backend.0)
            }
            ForwardEvent::BackendDrained { backend, in_flight } => {
                write!(
                    f,
                    "the deadline to drain back end {} has passed with {in_flight} in flight",
                    backend.0
                )
            }
            ForwardEvent::BackendEjected { backend, duration, cause } => {
                write!(f, "back end {} is ejected for {} ms: {cause:?}", backend.0, duration.as_millis())
            }
            ForwardEvent::BackendReturned { backend } => write!(f, "back end {} is trusted again", backend.0),
            ForwardEvent::PathBroken { backend, why } => {
                write!(
                    f,
                    "messages to back end {} do not get through ({why}): it is served by TCP",
                    backend.0
                )
            }
            ForwardEvent::PathRestored { backend } => {
                write!(f, "messages to back end {} get through again", backend.0)
            }
            ForwardEvent::Saturated { in_flight } => {
                write!(f, "requests wait: no back end may take one ({in_flight} active)")
            }
            ForwardEvent::AcceptPaused { errno: 0 } => {
                write!(f, "accepting pauses: as many clients as may be")
            }
            ForwardEvent::AcceptPaused { errno } => {
                write!(f, "accepting pauses: {}", crate::io::Errno(*errno).to_io())
            }
        }
    }
}

/// A timer of the wheel: whose, and what it was set for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerKey {
    pub forwarder: u16,
    pub what: Timer,
}

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timer {
    /// Of a client's slot, whoever has it then: one entry serves all the short connections that come and go meanwhile.
    Client(ClientId),
    Link(LinkId, StreamId),
    Probe(u32, StreamId),
    Queue,
    Health,
    Accept,
    Drain(BackendKey),
    Leg(LegId),
}

/// What a forwarder works with during one event.
pub(crate) struct Io<'a, D> {
    pub driver: &'a mut D,
    pub owners: &'a mut Owners,
    pub wheel: &'a mut Wheel<TimerKey>,
    pub now: Instant,
    pub events: &'a mut Vec<(ForwarderId, ForwardEvent)>,
}

/// One service's forwarder on one shard.
#[derive(Debug)]
pub struct Forwarder {
    id: ForwarderId,
    shard: usize,
    service: Arc<Service>,
    children: Arc<Children>,
    version: u64,
    router: Router,
    clients: Slots<Client>,
    /// When the wheel looks at each slot of `clients` next; `MAX` where it does not. Outlives the client in the slot.
    client_timers: Vec<Instant>,
    links: Slots<Link>,
    probes: Slots<Probe>,
    idle: HashMap<BackendKey, Vec<LinkId>>,
    legs: Legs,
    queue: RequestQueue<ClientId>,
    queue_timer: Instant,
    saturated_told: bool,
    /// Clients whose next request may be looked at, once the call under way has returned: no request is answered inside another's.
    ready: Vec<ClientId>,
    /// A place has become free: whoever waits may be served.
    freed: bool,
    listeners: Vec<ListenerId>,
    accept_paused: bool,
    counters: Arc<CounterBlock>,
    latency: Latency,
    #[expect(clippy::vec_box, reason = "the boxes themselves are reused, they do not move")]
    spare: Vec<Box<Exchange>>,
    #[expect(clippy::vec_box, reason = "the boxes themselves are reused, they do not move")]
    spare_clients: Vec<Box<Client>>,
    health_timer: Instant,
}

/// Time from a complete request head to the response's first and last byte, in nanoseconds up to an hour, three digits.
#[derive(Clone, Debug)]
pub struct Latency {
    /// To the head of the response.
    pub first_byte: Histogram<u64>,
    /// To the end of the response, as handed to the kernel.
    pub last_byte: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("the bounds are in order");
        Latency { first_byte: histogram(), last_byte: histogram() }
    }
}

impl Forwarder {
    pub(crate) fn new(id: ForwarderId, shard: usize, service: Arc<Service>, seed: u64) -> Forwarder {
        let router = Router::new(service.config.router, seed);
        let queue = RequestQueue::new(service.config.queue_max);
        Forwarder {
            id,
            shard,
            children: service.children(),
            version: 0,
            router,
            clients: Slots::default(),
            client_timers: Vec::new(),
            links: Slots::default(),
            probes: Slots::default(),
            idle: HashMap::new(),
            legs: Legs::new(seed),
            queue,
            queue_timer: Instant::MAX,
            saturated_told: false,
            ready: Vec::new(),
            freed: false,
            listeners: Vec::new(),
            accept_paused: false,
            counters: Arc::default(),
            latency: Latency::default(),
            spare: Vec::new(),
            spare_clients: Vec::new(),
            health_timer: Instant::MAX,
            service,
        }
    }

    /// What it is called by.
    pub fn id(&self) -> ForwarderId {
        self.id
    }

    /// The service it is part of.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<CounterBlock> {
        &self.counters
    }

    /// Its latencies since the last reset.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Forgets the latencies.
    pub fn reset_latency(&mut self) {
        self.latency = Latency::default();
    }

    /// Its listeners.
    pub fn listeners(&self) -> &[ListenerId] {
        &self.listeners
    }

    pub(crate) fn add_listener(&mut self, listener: ListenerId) {
        self.listeners.push(listener);
    }

    fn flow_limits(&self) -> FlowLimits {
        FlowLimits {
            window: self.service.config.window_bytes,
            splice_min: self.service.config.splice_bytes_min,
        }
    }

    fn emit<D: Driver>(&self, io: &mut Io<'_, D>, event: ForwardEvent) {
        io.events.push((self.id, event));
    }

    /// An event of one of its streams.
    pub(crate) fn on_event<D: Driver>(&mut self, io: &mut Io<'_, D>, role: Role, event: Event) {
        match (event, role) {
            (Event::Data { lease, .. }, Role::Client(id)) => self.on_client_data(io, id, lease),
            (Event::Data { lease, .. }, Role::Link(id)) => self.on_link_data(io, id, lease),
            (Event::Sent { unsent, .. }, Role::Client(id)) => self.on_client_sent(io, id, unsent),
            (Event::Sent { .. }, Role::Link(id)) => self.on_link_sent(io, id),
            (Event::Connected { result, .. }, Role::Link(id)) => self.on_link_connected(io, id, result),
            (Event::End { .. }, Role::Client(id)) => self.on_client_end(io, id),
            (Event::End { .. }, Role::Link(id)) => self.on_link_end(io, id),
            (Event::Failed { .. }, Role::Client(id)) => self.abort_client(io, id),
            (Event::Failed { errno, .. }, Role::Link(id)) => self.on_link_failed(io, id, errno),
            (Event::RecvStopped { .. }, Role::Client(id)) => self.on_client_stopped(io, id),
            (Event::RecvStopped { .. }, Role::Link(id)) => self.on_link_stopped(io, id),
            (Event::Spliced { moved, end, .. }, role) => self.on_spliced(io, role, moved, end),
            (event, Role::Probe(id)) => self.on_probe_event(io, id, event),
            _ => {}
        }
    }

    /// Does what the event before has made possible: next requests of clients, requests that waited for a place.
    pub(crate) fn settle<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        loop {
            if let Some(id) = self.ready.pop() {
                self.client_progress(io, id);
            } else if std::mem::take(&mut self.freed) {
                self.serve_queue(io);
            } else {
                return;
            }
        }
    }

    fn on_spliced<D: Driver>(&mut self, io: &mut Io<'_, D>, source: Role, moved: u64, end: SpliceEnd) {
        match source {
            Role::Client(id) => self.on_client_spliced(io, id, moved, end),
            Role::Link(id) => self.on_link_spliced(io, id, moved, end),
            Role::Probe(_) => {}
        }
    }

    fn release<D: Driver>(io: &mut Io<'_, D>, lease: Lease) {
        io.driver.release(lease);
    }
}

/// A slab of boxes: dense indexes, memory that grows with use.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Option<Box<T>>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    fn insert(&mut self, value: impl Into<Box<T>>) -> u32 {
        let value = Some(value.into());
        match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = value;
                index
            }
            None => {
                self.slots.push(value);
                (self.slots.len() - 1) as u32
            }
        }
    }
    fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.as_deref()
    }
    fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.as_deref_mut()
    }
    fn remove(&mut self, index: u32) -> Option<Box<T>> {
        let value = self.slots.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(value)
    }
    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
    fn ids(&self) -> Vec<u32> {
        (0..self.slots.len() as u32).filter(|index| self.get(*index).is_some()).collect()
    }
}
