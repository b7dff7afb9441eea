//! The thread that emits, reads and counts: one publisher and all subscribers on one epoll.
//!
//! Everything that was emitted has arrived, in order and at every subscriber, before CPU time is read, so that what the server spent
//! divides by whole deliveries.

use super::body::Mark;
use super::connection::{BUFFER_BYTES, Connection, LoadError};
use super::plan::Plan;
use super::protocol::{Item, Protocol};
use crate::cpu;
use hdrhistogram::Histogram;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use serde_json::{Value, json};
use std::io;
use std::time::{Duration, Instant};

/// One publisher and its subscribers, connected.
pub struct Driver<'a, P> {
    plan: &'a Plan,
    protocol: P,
    start: Instant,
    epoll: OwnedFd,
    publisher: Connection,
    subscribers: Vec<Subscriber>,
    /// Connected, subscribed, and never read.
    _stalled: Vec<Connection>,
    buffer: Vec<u8>,
    /// Those of a batch.
    bodies: Vec<Vec<u8>>,
    /// The batch that is being sent, and how much of it has been.
    out: Vec<u8>,
    out_sent: usize,
    emitted: u64,
    delivered: u64,
    latency: Histogram<u64>,
}

struct Subscriber {
    connection: Connection,
    next: u64,
}

impl<'a, P: Protocol> Driver<'a, P> {
    /// Connects everybody, one after the other.
    pub fn connect(plan: &'a Plan, protocol: P) -> Result<Self, LoadError> {
        let (mut subscribers, mut greeting) = (Vec::with_capacity(plan.subscribers), Vec::new());
        let mut buffer = vec![0; BUFFER_BYTES];
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for number in 0..plan.subscribers {
            greeting.clear();
            protocol.subscribe(number, &mut greeting);
            let connection = Connection::open(plan.to, &greeting, &protocol, &mut buffer, plan.patience())?;
            epoll::add(&epoll, &connection, EventData::new_u64(number as u64), EventFlags::IN)?;
            subscribers.push(Subscriber { connection, next: 0 });
        }
        let mut stalled = Vec::with_capacity(plan.stalled);
        for number in plan.subscribers..plan.subscribers + plan.stalled {
            greeting.clear();
            protocol.subscribe(number, &mut greeting);
            let connection = Connection::open(plan.to, &greeting, &protocol, &mut buffer, plan.patience())?;
            connection.narrow()?;
            stalled.push(connection);
        }
        greeting.clear();
        protocol.open(&mut greeting);
        let publisher = Connection::open(plan.to, &greeting, &protocol, &mut buffer, plan.patience())?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&epoll, &publisher, EventData::new_u64(PUBLISHER), flags)?;
        let latency = Histogram::new_with_bounds(1, 100_000_000_000, 3);
        let latency = latency.expect("bounds and digits are within what histograms allow");
        let start = Instant::now();
        let bodies = vec![vec![FILLING; plan.bytes]; plan.batch];
        let (out, out_sent, emitted, delivered) = (Vec::new(), 0, 0, 0);
        Ok(Self {
            plan,
            protocol,
            start,
            epoll,
            publisher,
            subscribers,
            _stalled: stalled,
            buffer,
            bodies,
            out,
            out_sent,
            emitted,
            delivered,
            latency,
        })
    }

    /// Emits for the time of the plan and reports the measured part.
    pub fn run(&mut self) -> Result<Value, LoadError> {
        self.emit_for(Duration::from_secs_f64(self.plan.warmup_seconds))?;
        self.latency.reset();
        let (emitted, delivered) = (self.emitted, self.delivered);
        let (server_ns, own_ns, begin) = (self.server_ns()?, cpu::thread_ns(), Instant::now());
        self.emit_for(Duration::from_secs_f64(self.plan.seconds))?;
        let (seconds, own_ns) = (begin.elapsed().as_secs_f64(), cpu::thread_ns() - own_ns);
        let server_ns = self.server_ns()?.saturating_sub(server_ns);
        let (events, deliveries) = (self.emitted - emitted, self.delivered - delivered);
        let us = |nanos: u64| nanos as f64 / 1000.0;
        Ok(json!({
            "subscribers": self.plan.subscribers,
            "batch": self.plan.batch,
            "bytes": self.plan.bytes,
            "seconds": seconds,
            "events": events,
            "deliveries": deliveries,
            "deliveries_per_second": deliveries as f64 / seconds,
            "server_cpu_ns": server_ns as f64 / deliveries as f64,
            "load_cpu_ns": own_ns as f64 / deliveries as f64,
            "latency_mean_us": self.latency.mean() / 1000.0,
            "latency_p50_us": us(self.latency.value_at_quantile(0.5)),
            "latency_p99_us": us(self.latency.value_at_quantile(0.99)),
            "latency_max_us": us(self.latency.max()),
        }))
    }

    /// Keeps the connections, answering what the server asks.
    pub fn hold(&mut self) -> Result<(), LoadError> {
        let until = Instant::now() + Duration::from_secs_f64(self.plan.seconds);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.turn(left)?;
        }
        Ok(())
    }

    fn emit_for(&mut self, length: Duration) -> Result<(), LoadError> {
        let begin = self.now_ns();
        let end = begin + length.as_nanos() as u64;
        let interval_ns = self.plan.rate.map(|rate| 1e9 / rate);
        for number in 0u64.. {
            let due = match interval_ns {
                Some(interval_ns) => begin + (number as f64 * interval_ns) as u64,
                None => self.now_ns(),
            };
            if due >= end {
                break;
            }
            self.wait_until(due)?;
            self.emit(due)?;
            if interval_ns.is_none() {
                self.settle()?;
            }
        }
        self.settle()
    }

    /// Reads until then.
    fn wait_until(&mut self, due_ns: u64) -> Result<(), LoadError> {
        while let Some(left) = due_ns.checked_sub(self.now_ns()).filter(|&left| left > 0) {
            self.turn(Duration::from_nanos(left))?;
        }
        Ok(())
    }

    /// Reads until everything that was emitted has arrived everywhere.
    fn settle(&mut self) -> Result<(), LoadError> {
        let (within, expected) = (self.plan.patience(), self.emitted * self.subscribers.len() as u64);
        let deadline = Instant::now() + within;
        while self.delivered < expected {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LoadError::Late { delivered: self.delivered, expected, within });
            }
            self.turn(left)?;
        }
        Ok(())
    }

    /// Sends a batch that was due then, as one piece where the socket takes it.
    fn emit(&mut self, due_ns: u64) -> Result<(), LoadError> {
        let within = self.plan.patience();
        let deadline = Instant::now() + within;
        while self.out_sent < self.out.len() {
            // The one before is not out yet: the time of this one runs on.
            if Instant::now() > deadline {
                let expected = self.emitted * self.subscribers.len() as u64;
                return Err(LoadError::Late { delivered: self.delivered, expected, within });
            }
            self.turn(Duration::from_millis(100))?;
        }
        self.out.clear();
        self.out_sent = 0;
        for body in &mut self.bodies {
            Mark { number: self.emitted, due_ns }.write(body);
            self.emitted += 1;
        }
        self.protocol.emit_batch(&self.bodies, &mut self.out);
        self.flush()
    }

    fn flush(&mut self) -> Result<(), LoadError> {
        while self.out_sent < self.out.len() {
            match self.publisher.send(&self.out[self.out_sent..])? {
                0 => break,
                sent => self.out_sent += sent,
            }
        }
        Ok(())
    }

    /// Waits for at most `left` and reads what has arrived.
    fn turn(&mut self, left: Duration) -> Result<(), LoadError> {
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
        let count = match epoll::wait(&self.epoll, &mut events[..], Some(&left)) {
            Ok(count) => count,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in &events[..count] {
            match event.data.u64() {
                PUBLISHER => self.on_publisher()?,
                number => self.on_subscriber(number as usize)?,
            }
        }
        Ok(())
    }

    fn on_publisher(&mut self) -> Result<(), LoadError> {
        while self.publisher.read(&self.protocol, &mut self.buffer, |_| Ok(()))? {}
        self.flush()
    }

    fn on_subscriber(&mut self, number: usize) -> Result<(), LoadError> {
        let now_ns = self.start.elapsed().as_nanos() as u64;
        let (bytes, batch) = (self.plan.bytes, self.plan.batch as u64);
        let Subscriber { connection, next } = &mut self.subscribers[number];
        let (delivered, latency) = (&mut self.delivered, &mut self.latency);
        connection.read(&self.protocol, &mut self.buffer, |item| {
            let Item::Event(body) = item else { return Ok(()) };
            let mark = Mark::read(body).filter(|_| body.len() == bytes);
            let mark = mark.ok_or(LoadError::Length { got: body.len(), emitted: bytes })?;
            if mark.number != *next {
                return Err(LoadError::Disorder { got: mark.number, expected: *next });
            }
            *next += 1;
            *delivered += 1;
            if next.is_multiple_of(batch) {
                // The last of its batch: the time of all of it.
                latency.saturating_record(now_ns.saturating_sub(mark.due_ns));
            }
            Ok(())
        })?;
        Ok(())
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn server_ns(&self) -> io::Result<u64> {
        self.plan.watch_pids.iter().map(|&pid| cpu::process_ns(pid)).sum()
    }
}

const PUBLISHER: u64 = u64::MAX;
const EVENTS: usize = 256;
const FILLING: u8 = 0x5a;
