//! One generator thread: an epoll loop over its connections.
//!
//! Open loop: request `i` is due at `i * interval`, whatever the answers do; one that finds no free connection waits, and
//! its latency counts from the time it was due, so that a slow server cannot slow its own measurement down
//! (coordinated omission). Closed loop: a connection asks again as soon as it is answered.

use crate::options::Plan;
use crate::response::{Progress, Response, ResponseError};
use crate::schedule::Schedule;
use crate::socket;
use crate::tally::{Failure, Tally, Times};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, sockopt};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What the threads of one run share.
#[derive(Default)]
pub struct Shared {
    /// Answers so far, for the progress line.
    pub answered: AtomicU64,
    /// CRC32C of the first body with bit 32 set; 0 before it.
    first_checksum: AtomicU64,
}

impl Shared {
    /// The checksum that all bodies are compared with, once there is one.
    pub fn checksum(&self) -> Option<u32> {
        let value = self.first_checksum.load(Ordering::Relaxed); // Relaxed: the value itself is all there is
        (value != 0).then_some(value as u32)
    }

    fn is_expected(&self, checksum: u32) -> bool {
        let value = u64::from(checksum) | 1 << 32;
        // Relaxed: only one value is ever stored, and nothing else is published with it.
        match self.first_checksum.compare_exchange(0, value, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(first) => first == value,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Connecting,
    Sending,
    Receiving,
}

/// One place for a connection; the socket in it changes.
struct Connection {
    socket: Option<OwnedFd>,
    generation: u32,
    state: State,
    calls: u64,
    sent: usize,
    intended_ns: u64,
    connect_ns: u64,
    sent_ns: u64,
    first_ns: u64,
    response: Response,
}

/// A generator thread.
pub struct Worker<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    start: Instant,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    free: Vec<u32>,
    /// Closed loop: places that failed to connect, and when they try again.
    resting: VecDeque<(u64, u32)>,
    schedule: Schedule,
    active: usize,
    buffer: Vec<u8>,
    tally: Tally,
}

impl<'a> Worker<'a> {
    /// Makes a thread's state; nothing is sent before [`Worker::run`]. `start` is the time 0 of the plan.
    pub fn new(plan: &'a Plan, shared: &'a Shared, start: Instant) -> rustix::io::Result<Self> {
        let connections = (0..plan.connections)
            .map(|_| Connection {
                socket: None,
                generation: 0,
                state: State::Free,
                calls: 0,
                sent: 0,
                intended_ns: 0,
                connect_ns: 0,
                sent_ns: 0,
                first_ns: 0,
                response: Response::default(),
            })
            .collect();
        Ok(Self {
            plan,
            shared,
            start,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections,
            free: (0..plan.connections as u32).rev().collect(),
            resting: VecDeque::new(),
            schedule: Schedule::new(plan),
            active: 0,
            buffer: vec![0; 256 * 1024],
            tally: Tally::default(),
        })
    }

    /// Runs the plan to its end and returns what was counted.
    ///
    /// Errors: those of epoll itself; everything that befalls a request is counted instead.
    pub fn run(mut self) -> rustix::io::Result<Tally> {
        // Timers of this thread may otherwise be 50 us late. A refusal costs precision only, which the lag shows.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let cpu_start = crate::cpu::thread_ns();
        let mut events: Vec<epoll::Event> = Vec::with_capacity(512);
        let mut next_scan_ns = SCAN_NS;
        loop {
            let now = self.now();
            self.start_due(now);
            if now >= next_scan_ns {
                self.expire(now);
                next_scan_ns = now + SCAN_NS;
            }
            if self.active == 0 && self.schedule.is_over(self.now()) {
                break;
            }
            events.clear();
            let timeout = self.timeout(self.now(), next_scan_ns);
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            for event in &events {
                self.on_event(event.data.u64());
            }
        }
        for due_ns in self.schedule.clone().unsent() {
            if self.is_measured(due_ns) {
                self.tally.failed(Failure::Unsent);
            }
        }
        self.tally.cpu_ns = crate::cpu::thread_ns() - cpu_start;
        self.tally.requests_all = self.schedule.started();
        Ok(self.tally)
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Starts all that is due and finds a free place.
    fn start_due(&mut self, now: u64) {
        while self.resting.front().is_some_and(|&(at, _)| at <= now) {
            let (_, place) = self.resting.pop_front().expect("just seen");
            self.free.push(place);
        }
        while !self.free.is_empty()
            && let Some(intended_ns) = self.schedule.start_next(self.now())
        {
            let place = self.free.pop().expect("not empty");
            self.begin(place, intended_ns);
        }
    }

    /// How long to sleep: to the next due request when a place is free for it, else to the next scan.
    fn timeout(&self, now: u64, next_scan_ns: u64) -> Timespec {
        let mut until = next_scan_ns;
        if let (false, Some(due_ns)) = (self.free.is_empty(), self.schedule.next_due_ns()) {
            until = until.min(due_ns);
        }
        if let Some(&(at, _)) = self.resting.front() {
            until = until.min(at);
        }
        // The end is met on time too.
        let until = if now < self.plan.until_ns { until.min(self.plan.until_ns) } else { until };
        let ns = until.saturating_sub(now);
        Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
    }

    /// Starts the next request in `place`, on its open connection or on a new one.
    fn begin(&mut self, place: u32, intended_ns: u64) {
        self.active += 1;
        let connection = &mut self.connections[place as usize];
        connection.intended_ns = intended_ns;
        connection.sent = 0;
        connection.first_ns = 0;
        connection.response.start(self.plan.has_checksum);
        if connection.socket.is_some() {
            connection.state = State::Sending;
            return self.send(place);
        }
        self.connect(place);
    }

    fn connect(&mut self, place: u32) {
        let now = self.now();
        let socket = match socket::stream(self.plan.address) {
            Ok(socket) => socket,
            Err(_) => return self.fail(place, Failure::Descriptors),
        };
        let outcome = rustix::net::connect(&socket, &self.plan.address);
        let connection = &mut self.connections[place as usize];
        connection.connect_ns = now;
        connection.calls = 0;
        connection.generation = connection.generation.wrapping_add(1);
        connection.state = State::Connecting;
        match outcome {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(Errno::ADDRNOTAVAIL) => return self.fail(place, Failure::Descriptors),
            Err(_) => return self.fail(place, Failure::Connect),
        }
        let data = EventData::new_u64(u64::from(connection.generation) << 32 | u64::from(place));
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET | EventFlags::RDHUP;
        if epoll::add(&self.epoll, socket.as_fd(), data, flags).is_err() {
            return self.fail(place, Failure::Descriptors);
        }
        connection.socket = Some(socket);
    }

    fn on_event(&mut self, data: u64) {
        let place = data as u32;
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        if connection.generation != (data >> 32) as u32 {
            return; // of a socket that this place had before
        }
        match connection.state {
            State::Connecting => {
                let Some(socket) = &connection.socket else { return };
                if !matches!(sockopt::socket_error(socket), Ok(Ok(()))) {
                    return self.fail(place, Failure::Connect);
                }
                if rustix::net::getpeername(socket).is_err() {
                    return; // still on its way
                }
                connection.state = State::Sending;
                let connect_ns = connection.connect_ns;
                let now = self.now();
                if connect_ns >= self.plan.measure_from_ns {
                    self.tally.connect.saturating_record(now - connect_ns);
                }
                self.send(place);
            }
            State::Sending => self.send(place),
            State::Receiving => self.receive(place),
            State::Free => self.on_idle_event(place),
        }
    }

    fn send(&mut self, place: u32) {
        let now = self.now();
        let connection = &mut self.connections[place as usize];
        let Some(socket) = &connection.socket else { return };
        if connection.sent == 0 {
            connection.sent_ns = now;
            if self.plan.interval_ns.is_none() {
                // Closed loop with keep-alive: time counts from the sending. A connection made for the request counts.
                connection.intended_ns = if connection.calls == 0 { connection.connect_ns } else { now };
            }
        }
        let request = &self.plan.request;
        match rustix::net::send(socket, &request[connection.sent..], SendFlags::NOSIGNAL) {
            Ok(sent) => connection.sent += sent,
            Err(Errno::AGAIN) => return,
            Err(_) => return self.fail(place, Failure::Reset),
        }
        if connection.sent == request.len() {
            connection.calls += 1;
            connection.state = State::Receiving;
        }
    }

    fn receive(&mut self, place: u32) {
        loop {
            let connection = &mut self.connections[place as usize];
            let Some(socket) = &connection.socket else { return };
            let received = match rustix::net::recv(socket, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((_, received)) => received,
                Err(Errno::AGAIN) => return,
                Err(_) => return self.fail(place, Failure::Reset),
            };
            if received == 0 {
                if !connection.response.has_bytes() {
                    return self.fail(place, Failure::Closed);
                }
                return match connection.response.end() {
                    Ok(()) => self.complete(place, false),
                    Err(_) => self.fail(place, Failure::Truncated),
                };
            }
            if !connection.response.has_bytes() {
                connection.first_ns = self.start.elapsed().as_nanos() as u64;
            }
            match connection.response.feed(&self.buffer[..received]) {
                Ok(Progress::More) => {}
                Ok(Progress::Complete(used)) if used == received => return self.complete(place, true),
                // Nothing was asked that the rest could answer.
                Ok(Progress::Complete(_)) | Err(ResponseError::BadFraming) => {
                    return self.fail(place, Failure::Framing);
                }
                Err(ResponseError::Truncated) => return self.fail(place, Failure::Truncated),
            }
        }
    }

    /// The answer is whole: count it, and use the connection again when both sides may.
    fn complete(&mut self, place: u32, is_open: bool) {
        let now = self.now();
        let connection = &mut self.connections[place as usize];
        let response = &connection.response;
        let is_corrupt = self.plan.expect_bytes.is_some_and(|expected| expected != response.body_bytes())
            || response.checksum().is_some_and(|checksum| !self.shared.is_expected(checksum));
        if is_corrupt && response.status() < 400 {
            return self.fail(place, Failure::Corrupt);
        }
        let times = Times {
            intended_ns: connection.intended_ns,
            sent_ns: connection.sent_ns,
            first_ns: connection.first_ns,
            last_ns: now,
        };
        let is_kept = is_open && !response.is_closing() && connection.calls < self.plan.calls_max;
        let (status, body_bytes) = (response.status(), response.body_bytes());
        if self.is_measured(times.intended_ns) {
            self.tally.answered(times, status, body_bytes);
        }
        if self.is_measured(now) {
            self.tally.answered_in_window += 1;
        }
        self.shared.answered.fetch_add(1, Ordering::Relaxed); // Relaxed: a figure for the progress line
        if !is_kept {
            self.close(place);
        }
        self.connections[place as usize].state = State::Free;
        self.active -= 1;
        // On the same connection at once, without another turn of the loop.
        match self.schedule.start_next(now) {
            Some(intended_ns) => self.begin(place, intended_ns),
            None => self.free.push(place),
        }
    }

    fn fail(&mut self, place: u32, failure: Failure) {
        let now = self.now();
        self.close(place);
        let connection = &mut self.connections[place as usize];
        connection.state = State::Free;
        let intended_ns = connection.intended_ns;
        self.active -= 1;
        if self.is_measured(intended_ns) {
            self.tally.failed(failure);
        }
        // A short rest, so that a server that refuses does not turn the loop into a busy one.
        self.resting.push_back((now + REST_NS, place));
    }

    /// The server closed a connection that waits in the pool (nothing else makes one ready).
    fn on_idle_event(&mut self, place: u32) {
        let connection = &mut self.connections[place as usize];
        let Some(socket) = &connection.socket else { return };
        let mut byte = [0u8; 1];
        match rustix::net::recv(socket, &mut byte[..], RecvFlags::PEEK) {
            Err(Errno::AGAIN) => {}
            _ => self.close(place),
        }
    }

    fn close(&mut self, place: u32) {
        let connection = &mut self.connections[place as usize];
        connection.socket = None;
        connection.generation = connection.generation.wrapping_add(1);
    }

    fn is_measured(&self, at_ns: u64) -> bool {
        (self.plan.measure_from_ns..self.plan.until_ns).contains(&at_ns)
    }

    /// Ends requests that have waited for too long, from the time they were really sent.
    fn expire(&mut self, now: u64) {
        for place in 0..self.connections.len() as u32 {
            let connection = &self.connections[place as usize];
            let since = match connection.state {
                State::Free => continue,
                State::Connecting => connection.connect_ns,
                State::Sending | State::Receiving => connection.sent_ns,
            };
            if now.saturating_sub(since) >= self.plan.timeout_ns {
                self.fail(place, Failure::Timeout);
            }
        }
    }
}

const SCAN_NS: u64 = 50_000_000;
const REST_NS: u64 = 10_000_000;
