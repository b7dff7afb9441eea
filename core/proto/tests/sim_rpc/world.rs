//! A server, its callers, a network, a clock, and everything that must hold between them.

use super::net::{Conditions, Net};
use super::program::{Program, Told, arguments};
use super::security::TestSecurity;
use clustercore_proto::datagram::{self, Connection};
use clustercore_proto::rpc::{Arguments, CallError, CallId, CallOptions, Config, Outcome, Status};
use clustercore_proto::time::Instant;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The program that serves.
pub const SERVER: usize = 0;

/// A call, as those know it who see everything.
#[derive(Debug)]
pub struct Made {
    pub by: usize,
    pub name: CallId,
    pub sent: Vec<u8>,
    pub end: Option<(Status, Outcome)>,
    /// Parts that are still to be sent, of those that a streamed call has.
    pub parts_left: Vec<Vec<u8>>,
    pub parts: Vec<u8>,
    pub echoed: Vec<u8>,
    /// Its program has died.
    pub is_forgotten: bool,
}

pub struct World {
    pub now: Instant,
    pub net: Net,
    pub programs: Vec<Program>,
    pub made: BTreeMap<u64, Made>,
    executions: BTreeMap<u64, u32>,
    open: Vec<Option<Connection>>,
    transport: datagram::Config,
    config: Config,
    seed: u64,
    runs: Vec<u64>,
    next_tag: u64,
}

fn address(program: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, program as u8 + 1], 4000 + program as u16))
}

impl World {
    pub fn new(seed: u64, callers: usize, config: Config, conditions: Conditions) -> World {
        let transport = datagram::Config {
            connections_max: 64,
            is_path_known: true,
            message_bytes_max: 20_000,
            send_buffer_bytes: 1 << 18,
            receive_window: 1 << 17,
            stream_window: 1 << 16,
            gone_after: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(30),
            ..datagram::Config::default()
        };
        let mut world = World {
            now: Instant::ZERO,
            net: Net::new(seed, conditions),
            programs: Vec::new(),
            made: BTreeMap::new(),
            executions: BTreeMap::new(),
            open: vec![None; callers + 1],
            transport,
            config,
            seed,
            runs: vec![0; callers + 1],
            next_tag: 1,
        };
        for index in 0..=callers {
            let program = world.start(index);
            world.programs.push(program);
        }
        world
    }

    fn start(&self, index: usize) -> Program {
        let run = self.runs[index];
        let seed = self.seed ^ (index as u64) << 40 ^ run << 20 ^ 0x52;
        let transport = datagram::Config { epoch: 1 + run, ..self.transport.clone() };
        let security = TestSecurity::new(seed, index as u64, self.seed.is_multiple_of(2));
        Program::new(self.now, address(index), transport, self.config.clone(), security)
    }

    /// A program dies and is started anew.
    pub fn crash(&mut self, index: usize) {
        self.collect(index);
        self.runs[index] += 1;
        self.programs[index] = self.start(index);
        self.open[index] = None;
        for made in self.made.values_mut().filter(|made| made.by == index && made.end.is_none()) {
            made.is_forgotten = true;
        }
    }

    /// A connection for a caller, if it has none.
    pub fn connect(&mut self, caller: usize) {
        let has_one = self.open[caller].is_some() || self.programs[caller].endpoint.connections() > 0;
        if !has_one {
            let key = Some([SERVER as u8; 32]);
            let _ = self.programs[caller].endpoint.connect(self.now, address(SERVER), key);
        }
    }

    /// A call of the echo; its tag, if it could be made.
    pub fn call(
        &mut self,
        by: usize,
        waits_ms: u32,
        takes_ms: u32,
        len: usize,
        timeout: Option<Duration>,
    ) -> Option<u64> {
        let (tag, now) = (self.next_tag, self.now);
        let sent = arguments(tag, waits_ms, takes_ms, len);
        let connection = self.open[by]?;
        let name = self.programs[by].call(now, connection, &sent, tag, timeout)?;
        self.enter(by, tag, name, sent, Vec::new());
        Some(tag)
    }

    /// A call whose arguments and results come in parts.
    pub fn call_streamed(&mut self, by: usize, parts: usize, part_len: usize) -> Option<u64> {
        let (tag, now) = (self.next_tag, self.now);
        let sent = arguments(tag, 0, 0, 0);
        let connection = self.open[by]?;
        let Program { calls, endpoint, .. } = &mut self.programs[by];
        let first = Arguments { method: super::program::ECHO, bytes: &sent, has_parts: true };
        let options = CallOptions { token: tag, is_streamed: true, ..CallOptions::default() };
        let name = calls.call(now, endpoint, connection, &first, &options).ok()?;
        let parts = (0..parts).map(|part| (0..part_len).map(|at| (part * 31 + at) as u8).collect());
        self.enter(by, tag, name, sent, parts.collect());
        self.push_parts(tag);
        Some(tag)
    }

    fn enter(&mut self, by: usize, tag: u64, name: CallId, sent: Vec<u8>, parts: Vec<Vec<u8>>) {
        self.next_tag += 1;
        let made = Made {
            by,
            name,
            sent,
            end: None,
            parts: parts.concat(),
            parts_left: parts.into_iter().rev().collect(),
            echoed: Vec::new(),
            is_forgotten: false,
        };
        self.made.insert(tag, made);
    }

    fn push_parts(&mut self, tag: u64) {
        let Some(made) = self.made.get_mut(&tag) else { return };
        let Program { calls, endpoint, .. } = &mut self.programs[made.by];
        while let Some(part) = made.parts_left.last() {
            match calls.send_arguments(endpoint, made.name, part, made.parts_left.len() == 1) {
                Ok(()) => drop(made.parts_left.pop()),
                Err(CallError::WouldBlock | CallError::NoSuchCall | CallError::NotOpen) => return,
                Err(error) => panic!("part: {error:?}"),
            }
        }
    }

    pub fn cancel(&mut self, tag: u64) {
        let made = &self.made[&tag];
        if made.end.is_none() && !made.is_forgotten {
            let Program { calls, endpoint, .. } = &mut self.programs[made.by];
            calls.cancel(self.now, endpoint, made.name).unwrap();
        }
    }

    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        self.run(until, |_| false);
    }

    /// Runs until the time has come, or `is_enough`. Whether it is.
    pub fn run(&mut self, until: Instant, is_enough: impl Fn(&World) -> bool) -> bool {
        for _ in 0..TURNS_MAX {
            for index in 0..self.programs.len() {
                while self.net.next().is_some_and(|at| at <= self.now) {
                    let Some(datagram) = self.net.arrive(self.now) else { break };
                    let to = self.programs.iter().position(|program| program.address == datagram.to);
                    if let Some(to) = to {
                        self.programs[to].socket.push_back(datagram);
                    }
                }
                self.programs[index].turn(self.now, &mut self.net);
                self.collect(index);
            }
            if is_enough(self) {
                return true;
            }
            let awake = self.programs.iter().filter(|program| !program.is_paused);
            let wants_now = awake.clone().any(|program| program.endpoint.wants_to_send());
            let next = awake.filter_map(Program::next_timeout).chain(self.net.next()).min();
            match next {
                _ if wants_now => self.now += Duration::from_micros(50),
                Some(next) if next < until => self.now = next.max(self.now + Duration::from_micros(1)),
                _ => {
                    self.now = until;
                    return is_enough(self);
                }
            }
            if self.now >= until {
                self.now = until;
                return is_enough(self);
            }
        }
        panic!("too many turns");
    }

    /// Takes down what a program was told.
    fn collect(&mut self, index: usize) {
        let program = &mut self.programs[index];
        for (tag, count) in std::mem::take(&mut program.executions) {
            *self.executions.entry(tag).or_default() += count;
        }
        for connection in program.connected.drain(..) {
            self.open[index] = Some(connection);
        }
        for connection in program.gone.drain(..) {
            if self.open[index] == Some(connection) {
                self.open[index] = None;
            }
        }
        for told in std::mem::take(&mut program.told) {
            match told {
                Told::Ended { call, token, status, outcome, results } => {
                    let made = self.made.get_mut(&token).expect("a call that was made");
                    assert_eq!((made.name, made.by), (call, index));
                    assert_eq!(made.end, None, "{token} has ended twice");
                    made.end = Some((status, outcome));
                    if status == Status::Ok {
                        assert_eq!(results, made.sent, "the results are those of this call");
                        let same =
                            made.echoed.iter().zip(&made.parts).take_while(|(one, other)| one == other);
                        assert!(
                            made.echoed == made.parts,
                            "{token}: of {} bytes of parts {} came back, the first {} as they were",
                            made.parts.len(),
                            made.echoed.len(),
                            same.count()
                        );
                    }
                }
                Told::Part { token, bytes, .. } => {
                    self.made.get_mut(&token).expect("a call that was made").echoed.extend(bytes);
                }
                Told::Writable { token } => self.push_parts(token),
            }
        }
    }

    /// All calls have ended.
    pub fn is_settled(&self) -> bool {
        self.made.values().all(|made| made.end.is_some() || made.is_forgotten)
    }

    /// How often a call was executed.
    pub fn executions(&self, tag: u64) -> u32 {
        self.executions.get(&tag).copied().unwrap_or(0)
    }

    /// Nothing was executed twice, and no outcome is wrong. Everything has had its time.
    pub fn check(&self) {
        for (tag, made) in &self.made {
            let executions = self.executions(*tag);
            assert!(executions <= 1, "{tag} was executed {executions} times");
            match made.end {
                Some((status, Outcome::Executed)) => {
                    assert_eq!(executions, 1, "{tag} ({status}) is said to have been executed");
                }
                Some((status, Outcome::NotExecuted)) => {
                    assert_eq!(executions, 0, "{tag} ({status}) is said not to have been executed");
                }
                Some((status, Outcome::Unknown)) => assert_ne!(status, Status::Ok),
                None => assert!(made.is_forgotten, "{tag} has not ended"),
            }
        }
    }

    /// How many calls ended with an outcome.
    pub fn ended(&self, outcome: Outcome) -> usize {
        self.made.values().filter(|made| made.end.is_some_and(|(_, end)| end == outcome)).count()
    }
}

const TURNS_MAX: usize = 2_000_000;
