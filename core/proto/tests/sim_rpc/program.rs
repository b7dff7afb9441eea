//! A program with an endpoint that calls and is called.

use super::net::{Datagram, Net};
use super::security::TestSecurity;
use clustercore_proto::datagram::{self, Connection, Endpoint, Event, Run, StreamId, Train, Transmit};
use clustercore_proto::rpc::{
    Arguments, CallId, CallOptions, Calls, Config, Incoming, IncomingCall, Method, Outcome, Results, Status,
    is_of_calls,
};
use clustercore_proto::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// The one procedure: waits as long as its arguments say, then gives them back. It also counts.
pub const ECHO: Method = Method::new("sim.Echo/Echo");

/// An event of a program, with bytes of its own.
#[derive(Clone, Debug)]
pub enum Told {
    /// A call of ours has ended.
    Ended {
        call: CallId,
        token: u64,
        status: Status,
        outcome: Outcome,
        results: Vec<u8>,
    },
    /// A part of the results of a call of ours.
    Part {
        call: CallId,
        token: u64,
        bytes: Vec<u8>,
    },
    Writable {
        token: u64,
    },
}

/// A call in the hands of the server's program.
#[derive(Debug)]
struct Work {
    tag: u64,
    /// When the handler begins, and when it has ended.
    begins: Instant,
    ends: Instant,
    has_begun: bool,
    arguments: Vec<u8>,
    /// The arguments are complete.
    is_whole: bool,
    /// Parts to be sent back.
    echo: VecDeque<Vec<u8>>,
}

pub struct Program {
    pub endpoint: Endpoint<TestSecurity>,
    pub calls: Calls,
    pub address: SocketAddr,
    pub is_paused: bool,
    pub socket: VecDeque<Datagram>,
    /// Tags of calls whose handler has begun, by how often.
    pub executions: BTreeMap<u64, u32>,
    pub told: Vec<Told>,
    pub connected: Vec<Connection>,
    pub gone: Vec<Connection>,
    work: BTreeMap<CallId, Work>,
    arrived: Vec<(Connection, StreamId, u64, Vec<Vec<u8>>)>,
}

/// Arguments: a tag, how long the call waits before it begins and how long it takes (in ms), then anything.
pub fn arguments(tag: u64, waits_ms: u32, takes_ms: u32, len: usize) -> Vec<u8> {
    let mut bytes = tag.to_le_bytes().to_vec();
    bytes.extend(waits_ms.to_le_bytes());
    bytes.extend(takes_ms.to_le_bytes());
    bytes.extend((0..len).map(|index| (tag as usize + index * 7) as u8));
    bytes
}

impl Program {
    pub fn new(
        now: Instant,
        address: SocketAddr,
        transport: datagram::Config,
        config: Config,
        security: TestSecurity,
    ) -> Program {
        let mut endpoint = Endpoint::new(Instant::ZERO, transport, security).unwrap();
        endpoint.handle_timeout(now);
        Program {
            endpoint,
            calls: Calls::new(now, config),
            address,
            is_paused: false,
            socket: VecDeque::new(),
            executions: BTreeMap::new(),
            told: Vec::new(),
            connected: Vec::new(),
            gone: Vec::new(),
            work: BTreeMap::new(),
            arrived: Vec::new(),
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        let work = self.work.values().flat_map(|work| {
            // One that waits for parts, or for room to send them, is woken by what arrives.
            let is_due = work.is_whole && work.echo.is_empty();
            [(!work.has_begun).then_some(work.begins), is_due.then_some(work.ends)].into_iter().flatten()
        });
        work.chain(self.endpoint.next_timeout()).chain(self.calls.next_timeout()).min()
    }

    pub fn call(
        &mut self,
        now: Instant,
        connection: Connection,
        bytes: &[u8],
        token: u64,
        timeout: Option<Duration>,
    ) -> Option<CallId> {
        let arguments = Arguments { method: ECHO, bytes, has_parts: false };
        let options = CallOptions { timeout, token, ..CallOptions::default() };
        self.calls.call(now, &mut self.endpoint, connection, &arguments, &options).ok()
    }

    /// One turn: what has arrived, what is due, what leaves.
    pub fn turn(&mut self, now: Instant, net: &mut Net) {
        if self.is_paused {
            return;
        }
        self.receive(now);
        self.endpoint.handle_timeout(now);
        let events: Vec<Event> = std::iter::from_fn(|| self.endpoint.poll_event()).collect();
        for event in &events {
            match event {
                Event::Connected { connection, .. } => self.connected.push(*connection),
                Event::Gone { connection, .. } => self.gone.push(*connection),
                _ => {}
            }
            let Program { calls, endpoint, work, told, executions, .. } = self;
            calls.on_event(endpoint, event, &mut |incoming| take(now, incoming, work, told, executions));
        }
        let Program { calls, endpoint, work, told, executions, .. } = self;
        calls.handle_timeout(now, endpoint, &mut |incoming| take(now, incoming, work, told, executions));
        self.serve(now);
        self.calls.check_invariants();
        let from = self.address;
        self.endpoint.transmit(now, usize::MAX, &mut |train: Transmit| {
            for datagram in train.bytes[train.range].chunks(train.segment as usize) {
                net.send(now, from, train.to, datagram, if train.is_ecn { 2 } else { 0 });
            }
        });
        self.endpoint.check_invariants();
    }

    fn receive(&mut self, now: Instant) {
        while let Some(Datagram { from, mut bytes, mark, .. }) = self.socket.pop_front() {
            let arrived = &mut self.arrived;
            let segment = bytes.len();
            self.endpoint.handle(now, Train { from, bytes: &mut bytes, segment, mark }, &mut |run: Run<
                '_,
            >| {
                let mut messages = Vec::new();
                run.for_each(|bytes| messages.push(bytes.to_vec()));
                arrived.push((run.connection, run.stream, run.cost, messages));
            });
        }
        for (connection, stream, cost, messages) in std::mem::take(&mut self.arrived) {
            for bytes in messages {
                assert!(is_of_calls(stream));
                let Program { calls, endpoint, work, told, executions, .. } = self;
                calls.on_message(now, endpoint, connection, stream, &bytes, &mut |incoming| {
                    take(now, incoming, work, told, executions);
                });
            }
            self.endpoint.consume(connection, stream, cost);
        }
        // Parts are read at once by callers.
        for told in &self.told {
            if let Told::Part { call, bytes, .. } = told {
                self.calls.consume(&mut self.endpoint, *call, true, bytes.len());
            }
        }
    }

    /// Begins and ends what is in our hands.
    fn serve(&mut self, now: Instant) {
        let names: Vec<CallId> = self.work.keys().copied().collect();
        for call in names {
            let Some(work) = self.work.get_mut(&call) else { continue };
            if !work.has_begun && work.begins <= now {
                work.has_begun = true;
                *self.executions.entry(work.tag).or_default() += 1;
            }
            while let Some(part) = work.echo.front() {
                if self.calls.send_results(&mut self.endpoint, call, part).is_err() {
                    break;
                }
                let len = part.len();
                work.echo.pop_front();
                self.calls.consume(&mut self.endpoint, call, false, len);
            }
            let is_done = work.has_begun && work.ends <= now && work.is_whole && work.echo.is_empty();
            if is_done {
                let results = Results { bytes: &work.arguments, ..Results::default() };
                let _ = self.calls.reply(&mut self.endpoint, call, &results);
                self.work.remove(&call);
            }
        }
        // Who was cancelled before it began is not executed, and says so.
        let cancelled: Vec<CallId> =
            self.work.iter().filter(|(_, work)| work.ends == CANCELLED).map(|(call, _)| *call).collect();
        for call in cancelled {
            let results = Results { status: Status::Cancelled, is_not_executed: true, ..Results::default() };
            let _ = self.calls.reply(&mut self.endpoint, call, &results);
            self.work.remove(&call);
        }
    }
}

/// Marks work that is to be given up before it has begun.
const CANCELLED: Instant = Instant::MAX;

fn take(
    now: Instant,
    incoming: Incoming<'_>,
    work: &mut BTreeMap<CallId, Work>,
    told: &mut Vec<Told>,
    executions: &mut BTreeMap<u64, u32>,
) {
    match incoming {
        Incoming::Call(IncomingCall { call, arguments, has_parts, method, .. }) => {
            assert_eq!(method, ECHO);
            let tag = u64::from_le_bytes(arguments[..8].try_into().unwrap());
            let millis = |at: usize| {
                Duration::from_millis(u32::from_le_bytes(arguments[at..at + 4].try_into().unwrap()).into())
            };
            let begins = now + millis(8);
            let has_begun = begins <= now;
            if has_begun {
                *executions.entry(tag).or_default() += 1;
            }
            let before = work.insert(
                call,
                Work {
                    tag,
                    begins,
                    ends: begins + millis(12),
                    has_begun,
                    arguments: arguments.to_vec(),
                    is_whole: !has_parts,
                    echo: VecDeque::new(),
                },
            );
            assert!(before.is_none(), "{call:?} was handed out twice");
        }
        Incoming::Cancelled { call } => {
            // What has begun goes on to its end; nobody may be there to hear of it.
            if let Some(work) = work.get_mut(&call)
                && !work.has_begun
            {
                work.begins = CANCELLED;
                work.ends = CANCELLED;
            }
        }
        Incoming::Reply(reply) => told.push(Told::Ended {
            call: reply.call,
            token: reply.token,
            status: reply.status,
            outcome: reply.outcome,
            results: reply.results.to_vec(),
        }),
        Incoming::Part { call, is_ours: false, is_last, bytes, .. } => {
            if let Some(work) = work.get_mut(&call) {
                assert!(!work.is_whole, "nothing comes after the last part");
                work.echo.push_back(bytes.to_vec());
                work.is_whole = is_last;
            }
        }
        Incoming::Part { call, token, bytes, .. } => {
            told.push(Told::Part { call, token, bytes: bytes.to_vec() });
        }
        Incoming::Writable { token, is_ours: true, .. } => told.push(Told::Writable { token }),
        Incoming::Writable { .. } => {}
    }
}
