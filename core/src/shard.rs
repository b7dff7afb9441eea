//! Floor 4: a shard: one driver, one loop, its own sockets, buffers and machines, owned by the thread that turns it.
//!
//! One turn: submit what was wished for, reap completions, feed the machines, run due timers. The bytes that a turn
//! produces leave with the next one, in one submission; [`Shard::turn`] does that before it returns.

mod builder;
mod calls;
mod forwarders;
mod messages;
mod status;

pub use crate::forward::ForwarderId;
pub use builder::ShardBuilder;
pub(crate) use forwarders::{
    FORWARDERS_MAX, drain, no_such_backend, no_such_forwarder, set_reading, too_many_forwarders,
};
pub use status::BackendStatus;
pub(crate) use status::backends;

use crate::error::{Code, Error, Result};
use crate::forward::{ForwardEvent, Forwarder, Io, Owners, TimerKey};
use crate::io::{AnyDriver, DatagramId, Driver, DriverKind, Event, Instant, ListenerId, Waker};
use crate::log::{Log, LogLevel, LogRecord};
use crate::messages::{Arrivals, Endpoint, EndpointId, Places};
use crate::proto::datagram::Event as ConnectionEvent;
use clustercore_proto::time::Wheel;
use std::os::fd::{BorrowedFd, RawFd};
use std::thread::ThreadId;
use std::time::Duration;

/// One ring, one loop, one owner. Bound to the thread of its first turn.
pub struct Shard<D: Driver = AnyDriver> {
    driver: D,
    report: String,
    index: usize,
    seed: u64,
    owners: Owners,
    wheel: Wheel<TimerKey>,
    forwarders: Vec<Option<Forwarder>>,
    /// Who gets each place of `forwarders` next.
    next_ids: Vec<ForwarderId>,
    listeners: Vec<(ListenerId, u16)>,
    inbox: Vec<Event>,
    events: Vec<(ForwarderId, ForwardEvent)>,
    log: Log,
    woken: bool,
    thread: Option<ThreadId>,
    endpoints: Places<Endpoint>,
    sockets: Places<DatagramId>,
    /// What the owner may read until the next turn.
    arrivals: Arrivals,
    connection_events: Vec<(EndpointId, ConnectionEvent)>,
    /// For handlers to write results into.
    results: Vec<u8>,
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
            next_ids: Vec::new(),
            listeners: Vec::new(),
            inbox: Vec::new(),
            events: Vec::new(),
            log,
            woken: false,
            thread: None,
            endpoints: Places::default(),
            sockets: Places::default(),
            arrivals: Arrivals::default(),
            connection_events: Vec::new(),
            results: Vec::new(),
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
        let due = [self.wheel.next(), self.endpoints_due()].into_iter().flatten().min();
        due.map(|at| at.saturating_sub(now))
    }

    /// Does all there is to do now, without waiting, and submits what came of it.
    ///
    /// Errors: `WrongThread`; `Io` when the driver can go no further.
    pub fn turn(&mut self) -> Result<()> {
        self.turn_within(Some(Duration::ZERO))
    }

    /// As [`Shard::turn`], but waits for at most `timeout` (`None`: until something happens) when there is nothing to do. What came of it is
    /// submitted before it returns.
    ///
    /// Errors: as [`Shard::turn`].
    pub fn turn_within(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.return_arrivals();
        self.turn_once(timeout)?;
        for _ in 0..FLUSHES_MAX {
            if !self.driver.pending() {
                break;
            }
            self.turn_once(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// One turn that waits for at most `timeout` (`None`: until something happens) when there is nothing to do. What it produces is
    /// submitted by the next turn.
    ///
    /// Errors: as [`Shard::turn`].
    pub fn turn_for(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.return_arrivals();
        self.turn_once(timeout)
    }

    fn turn_once(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.check_thread()?;
        self.thread.get_or_insert_with(|| std::thread::current().id());
        // What the owner has queued since the last turn leaves with this one, acknowledgements on it.
        self.drive_endpoints(self.time());
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
            Event::Datagrams { .. } => return self.on_datagram_event(event),
            // The next turn goes on sending; what failed is as good as lost.
            Event::DatagramsSent { .. } | Event::DatagramFailed { .. } => return,
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
        let now = self.driver.now();
        self.with_forwarder_at(index, now, act)
    }

    fn with_forwarder_at<T>(
        &mut self,
        index: u16,
        now: Instant,
        act: impl FnOnce(&mut Forwarder, &mut Io<'_, D>) -> T,
    ) -> Option<T> {
        let forwarder = self.forwarders.get_mut(usize::from(index))?.as_mut()?;
        let mut io = Io {
            now,
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
        self.events.drain(..)
    }

    /// Log records since the last call.
    pub fn take_logs(&mut self) -> Vec<LogRecord> {
        if self.log.is_empty() { Vec::new() } else { self.log.take() }
    }

    /// Whether the waker was rung since the last call.
    pub fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }

    fn time(&self) -> Instant {
        // Driver time stands still between turns; only the simulator's is the true one.
        if self.driver.kind() == DriverKind::Sim { self.driver.now() } else { crate::io::clock::now() }
    }
}

/// Submissions that follow a turn's work before the caller gets the loop back.
const FLUSHES_MAX: usize = 4;
/// Events that wait for the owner.
const EVENTS_KEPT_MAX: usize = 4096;

#[cfg(test)]
mod tests;
