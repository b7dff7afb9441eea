//! The job handler: takes requests in messages and hands them to the service beside it, over TCP on loopback.
//!
//! The other half of message mode; see `docs/protocol/jobs.md`. It has a driver and a loop of its own (one shard that serves nobody
//! else), so that it can be a process by itself. Invariants: a task has at most one link, a link at most one task; what waits is
//! bounded by credit on the side of messages and by windows on the side of the service.

mod config;
mod link;
mod peer;
mod response;
mod task;

pub use config::HandlerConfig;

use crate::error::{Error, Result};
use crate::io::{AnyDriver, Close, Driver, DriverKind, Event, Instant, Lease, StreamId, Waker};
use crate::messages::{Endpoint, Mail};
use clustercore_proto::datagram::{Connection, Event as ConnectionEvent};
use clustercore_proto::job::close;
use clustercore_proto::time::Wheel;
use link::{Link, LinkId};
use peer::Peer;
use std::net::SocketAddr;
use std::time::Duration;
use task::{Task, TaskId};

use super::Slots;

/// What a handler has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HandlerStats {
    /// Requests begun.
    pub requests: u64,
    /// Requests under way now.
    pub active: u64,
    /// Responses that were whole.
    pub responses: u64,
    /// Requests to which the service gave no whole response.
    pub failures: u64,
    /// Requests that front ends gave up.
    pub aborts: u64,
    /// Connections opened to the service.
    pub connects: u64,
    /// Front ends' connections that ended because they broke the protocol.
    pub violations: u64,
}

/// A job handler.
pub struct Handler<D: Driver = AnyDriver> {
    driver: D,
    config: HandlerConfig,
    endpoint: Endpoint,
    address: SocketAddr,
    /// By the index of their connection.
    peers: Vec<Option<Peer>>,
    tasks: Slots<Task>,
    links: Slots<Link>,
    /// Links that wait for a task.
    idle: Vec<LinkId>,
    /// Whose a stream is, by its slot.
    owners: Vec<Option<(u32, LinkId)>>,
    wheel: Wheel<(LinkId, StreamId)>,
    /// Tasks whose messages have gone after a wait.
    freed: Vec<TaskId>,
    inbox: Vec<Event>,
    mail: Mail,
    scratch: Vec<u8>,
    stats: HandlerStats,
    is_ending: bool,
}

impl Handler<AnyDriver> {
    /// Opens a driver and listens. Errors: those of [`Handler::with_driver`] and of opening a driver.
    pub fn open(
        choice: crate::io::DriverChoice,
        spin: Duration,
        listen: SocketAddr,
        config: HandlerConfig,
    ) -> Result<Handler> {
        let io = crate::io::DriverConfig { spin_ns: spin.as_nanos() as u64, ..Default::default() };
        let (driver, _) = crate::io::open(choice, io)?;
        Handler::with_driver(driver, listen, config)
    }
}

impl<D: Driver> Handler<D> {
    /// A handler over a driver that is open already, which listens for front ends at `listen`; port 0 lets the system choose.
    ///
    /// Errors: `InsecureAddress` (clear messages outside loopback), `BadConfiguration`, `AddressInUse`, `AddressNotAvailable`.
    pub fn with_driver(mut driver: D, listen: SocketAddr, mut config: HandlerConfig) -> Result<Handler<D>> {
        config.check()?;
        let now = driver.now();
        let endpoint = Endpoint::open(&mut driver, now, listen, config.endpoint(listen))?;
        let address = driver.datagram_address(endpoint.socket).unwrap_or(listen);
        Ok(Handler {
            driver,
            config,
            endpoint,
            address,
            peers: Vec::new(),
            tasks: Slots::default(),
            links: Slots::default(),
            idle: Vec::new(),
            owners: Vec::new(),
            wheel: Wheel::new(),
            freed: Vec::new(),
            inbox: Vec::new(),
            mail: Mail::default(),
            scratch: Vec::new(),
            stats: HandlerStats::default(),
            is_ending: false,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted.
    pub fn stats(&self) -> HandlerStats {
        HandlerStats { active: self.tasks.len() as u64, ..self.stats }
    }

    /// Connections of front ends.
    pub fn peers(&self) -> usize {
        self.endpoint.machine.connections()
    }

    /// Rings it out of a wait, from any thread; `None` in the simulator.
    pub fn waker(&self) -> Option<Waker> {
        self.driver.waker()
    }

    /// The driver, for tests.
    pub fn driver(&self) -> &D {
        &self.driver
    }

    /// Takes no new requests; those under way go on.
    pub fn end(&mut self) {
        self.is_ending = true;
    }

    /// Whether it was told to end and nothing is under way any more.
    pub fn is_ended(&self) -> bool {
        self.is_ending && self.tasks.len() == 0
    }

    /// Tells its front ends that it goes, so that none waits for it.
    pub fn close(&mut self) {
        let now = self.time();
        for index in 0..self.peers.len() {
            if let Some(peer) = &self.peers[index] {
                self.endpoint.machine.close(now, peer.outbox.connection(), close::ENDING, b"ending", false);
            }
        }
        self.endpoint.drive(&mut self.driver, now);
        let mut events = Vec::new();
        // What can be sent at once is.
        let _ = self.driver.turn(Some(Duration::ZERO), &mut events);
        for event in events {
            if let Event::Data { lease, .. } | Event::Datagrams { lease, .. } = event {
                self.driver.release(lease);
            }
        }
    }

    /// Does what there is to do; waits for at most `timeout` (`None`: until something happens) when there is nothing.
    ///
    /// Errors: `Io` when the driver can go no further.
    pub fn turn_for(&mut self, timeout: Option<Duration>) -> Result<()> {
        let now = self.time();
        self.endpoint.drive(&mut self.driver, now);
        self.take_news();
        let timeout = match (timeout, self.next_timeout()) {
            (Some(timeout), Some(due)) => Some(timeout.min(due)),
            (timeout, due) => timeout.or(due),
        };
        let mut inbox = std::mem::take(&mut self.inbox);
        let result = self.driver.turn(timeout, &mut inbox);
        for event in inbox.drain(..) {
            self.on_event(event);
            self.pump_freed();
        }
        self.inbox = inbox;
        let now = self.driver.now();
        while let Some((link, stream)) = self.wheel.pop(now) {
            self.on_link_timer(now, link, stream);
        }
        self.take_news();
        result.map_err(|error| Error::from_io("turn the driver", &error))
    }

    fn next_timeout(&self) -> Option<Duration> {
        if self.driver.pending() {
            return Some(Duration::ZERO);
        }
        let now = self.time();
        let due = [self.wheel.next(), self.endpoint.next_timeout()].into_iter().flatten().min();
        due.map(|at| at.saturating_sub(now))
    }

    fn time(&self) -> Instant {
        if self.driver.kind() == DriverKind::Sim { self.driver.now() } else { crate::io::clock::now() }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Datagrams { from, segment, ecn, lease, .. } => self.on_train((from, segment, ecn), lease),
            Event::Data { stream, lease } => match self.link_of(stream) {
                Some(link) => self.on_link_data(link, lease),
                None => self.driver.release(lease),
            },
            Event::Connected { stream, result } => {
                if let Some(link) = self.link_of(stream) {
                    self.on_link_connected(link, result.is_ok());
                }
            }
            Event::Sent { stream, unsent } => {
                if let Some(link) = self.link_of(stream) {
                    self.on_link_sent(link, unsent as usize);
                }
            }
            Event::End { stream } => {
                if let Some(link) = self.link_of(stream) {
                    self.on_link_end(link);
                }
            }
            Event::Failed { stream, .. } => {
                if let Some(link) = self.link_of(stream) {
                    self.on_link_failed(link);
                }
            }
            Event::RecvStopped { stream } => {
                if let Some(link) = self.link_of(stream) {
                    self.on_link_stopped(link);
                }
            }
            Event::Accepted { stream, .. } => self.driver.close(stream, Close::Abort),
            _ => {}
        }
    }

    fn on_train(&mut self, arrival: (SocketAddr, u32, crate::io::Ecn), mut lease: Lease) {
        let now = self.driver.now();
        let mut mail = std::mem::take(&mut self.mail);
        self.endpoint.read_train(&mut self.driver, now, arrival, &mut lease, &mut mail);
        // A connection is told before its first messages.
        self.take_news();
        for index in 0..mail.len() {
            let connection = mail.get(index, self.driver.bytes(&lease)).0;
            if !self.on_message(now, connection, &mail, index, &lease) {
                self.close_violator(now, connection);
            }
        }
        let machine = &mut self.endpoint.machine;
        mail.clear(|connection, stream, cost| machine.consume(connection, stream, cost));
        self.mail = mail;
        self.driver.release(lease);
        self.take_news();
    }

    fn take_news(&mut self) {
        while let Some(event) = self.endpoint.machine.poll_event() {
            match event {
                ConnectionEvent::Accepted { connection, .. } => self.on_peer(connection),
                ConnectionEvent::Gone { connection, .. } => self.on_peer_gone(connection),
                ConnectionEvent::Writable { connection } => self.flush(connection),
                ConnectionEvent::Connected { .. } | ConnectionEvent::Moved { .. } => {}
            }
        }
        self.pump_freed();
    }

    fn close_violator(&mut self, now: Instant, connection: Connection) {
        if self.peer(connection).is_some() {
            self.stats.violations += 1;
            self.endpoint.machine.close(now, connection, close::VIOLATION, b"not a job message", false);
        }
    }
}
