//! All connections of one socket.

mod answers;
mod opening;
mod timers;
mod verbs;

pub(super) use timers::Entered;

pub use verbs::{ConnectError, MessageClaim};

use super::config::{BadConfig, Config};
use super::connection::{Arrival, Machine, Shared, State};
use super::event::{CloseCode, Event, GoneReason, Inbox};
use super::handshake::Connecting;
use super::id::{Connection, WireId};
use super::packet::{DataHeader, HEADER_BYTES, Long};
use super::pool::Pool;
use super::security::Security;
use super::stats::{PathReport, Stats};
use super::trace::{DropReason, Trace, TraceEvent, Tracer};
use super::{Train, Transmit, TxSink};
use crate::time::{Instant, Wheel};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque, btree_map::Entry};
use alloc::sync::Arc;
use alloc::vec::Vec;
use answers::Answers;
use core::net::SocketAddr;
use core::time::Duration;

/// A machine for all connections of one socket. See `docs/protocol/datagram.md`.
///
/// After each round of inputs ([`Endpoint::handle`], [`Endpoint::handle_timeout`], verbs) the owner calls [`Endpoint::transmit`] and takes
/// the events; [`Endpoint::next_timeout`] says when to come again.
pub struct Endpoint<S: Security> {
    config: Config,
    security: S,
    slots: Vec<Slot<S>>,
    free: Vec<u32>,
    /// By the peer's address and connection id.
    by_peer: BTreeMap<(SocketAddr, WireId), u32>,
    half_open: usize,
    pool: Pool,
    events: VecDeque<Event>,
    stats: Stats,
    wheel: Wheel<Connection>,
    ready: VecDeque<u32>,
    answers: Answers,
    trace: Trace,
}

/// A place of the table.
struct Slot<S: Security> {
    generation: u32,
    content: Content<S>,
}

enum Content<S: Security> {
    Free,
    Connecting(Box<Connecting<S::Pending>>),
    Open(Box<Machine<S::Protector>>),
}

impl<S: Security> Endpoint<S> {
    /// An endpoint without connections. Errors: a configuration value that is out of bounds.
    pub fn new(now: Instant, config: Config, security: S) -> Result<Endpoint<S>, BadConfig> {
        config.check()?;
        let mut wheel = Wheel::with_tick(TICK, 0);
        wheel.advance(now, &mut |_| {});
        Ok(Endpoint {
            answers: Answers::new(now, config.answers_per_second),
            config,
            security,
            slots: Vec::new(),
            free: Vec::new(),
            by_peer: BTreeMap::new(),
            half_open: 0,
            pool: Pool::default(),
            events: VecDeque::new(),
            stats: Stats::default(),
            wheel,
            ready: VecDeque::new(),
            trace: Trace::default(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Who is told what happens, packet by packet; `None` for nobody.
    pub fn set_tracer(&mut self, tracer: Option<Box<dyn Tracer>>) {
        self.trace.set(tracer);
    }

    /// What it has counted.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Connections, those that are beginning or ending included.
    pub fn connections(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The next event. Messages come through the inbox of [`Endpoint::handle`].
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// As [`Endpoint::poll_event`], but the end of a connection and what comes behind it stay until its last words have left: for an owner
    /// that asks between [`Endpoint::handle`] and [`Endpoint::transmit`].
    pub fn poll_event_but_gone(&mut self) -> Option<Event> {
        if matches!(self.events.front(), Some(Event::Gone { .. })) { None } else { self.events.pop_front() }
    }

    /// When [`Endpoint::handle_timeout`] is to be called; `None` for never.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// Entries of time-outs, those included that will be found to have moved.
    pub fn timers(&self) -> usize {
        self.wheel.len()
    }

    /// Whether [`Endpoint::transmit`] has something to do.
    pub fn wants_to_send(&self) -> bool {
        !self.ready.is_empty() || !self.answers.is_empty()
    }

    /// What is known of the path of a connection.
    pub fn path(&self, connection: Connection) -> Option<PathReport> {
        self.machine(connection).map(Machine::path_report)
    }

    /// Where the peer of a connection is.
    pub fn peer(&self, connection: Connection) -> Option<SocketAddr> {
        self.machine(connection).map(Machine::peer)
    }

    /// Bytes of a connection that wait to be sent or acknowledged.
    pub fn buffered(&self, connection: Connection) -> usize {
        self.machine(connection).map_or(0, Machine::buffered)
    }

    /// Takes datagrams that have arrived together. Messages in them are handed to `inbox`.
    pub fn handle(&mut self, now: Instant, train: Train<'_>, inbox: &mut impl Inbox) {
        let Train { from, bytes, segment, mark } = train;
        self.trace.at(now);
        let mut touched: Option<u32> = None;
        for (index, packet) in bytes.chunks_mut(segment.max(1)).enumerate() {
            let place = index * segment + HEADER_BYTES;
            let Some(header) = DataHeader::read(packet) else {
                if Long::is_one(packet) {
                    self.on_long(now, from, packet);
                } else {
                    self.stats.packets_malformed += 1;
                    self.trace_dropped(DropReason::Malformed, from, packet.len());
                }
                continue;
            };
            let slot = header.target.slot();
            match self.slots.get_mut(slot).map(|slot| &mut slot.content) {
                Some(Content::Open(machine)) if machine.own == header.target => {
                    if touched != Some(slot as u32)
                        && let Some(before) = touched.replace(slot as u32)
                    {
                        self.settle(before);
                    }
                    // The borrow of `slots` ends with each packet: `settle` may free the slot.
                    let Some(Slot { content: Content::Open(machine), .. }) = self.slots.get_mut(slot) else {
                        continue;
                    };
                    // Only a new address asks for it.
                    let random = if from == machine.peer() { 0 } else { self.security.random() };
                    let arrival = Arrival { now, from, mark, place, random };
                    let mut shared = Shared {
                        config: &self.config,
                        pool: &mut self.pool,
                        events: &mut self.events,
                        stats: &mut self.stats,
                        trace: &mut self.trace,
                    };
                    machine.on_packet(arrival, header, packet, &mut shared, inbox);
                }
                Some(Content::Connecting(connecting)) if connecting.own == header.target => {
                    // It has overtaken the Accept; it will come again.
                    self.stats.packets_unknown += 1;
                    self.trace_dropped(DropReason::Unknown, from, packet.len());
                }
                _ => self.on_unknown(now, from, &header, packet.len()),
            }
        }
        if let Some(slot) = touched {
            self.settle(slot);
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.trace.at(now);
        while let Some(name) = self.wheel.pop(now) {
            let Some(slot) = self.slots.get_mut(name.index as usize) else { continue };
            if slot.generation != name.generation {
                continue;
            }
            match &mut slot.content {
                Content::Free => {}
                Content::Connecting(connecting) => {
                    connecting.entered.on_fired(now);
                    if connecting.until <= now {
                        self.give_up(name.index, GoneReason::Unreachable);
                    } else {
                        self.make_ready(name.index);
                        self.schedule(name.index);
                    }
                }
                Content::Open(machine) => {
                    machine.entered.on_fired(now);
                    let mut shared = Shared {
                        config: &self.config,
                        pool: &mut self.pool,
                        events: &mut self.events,
                        stats: &mut self.stats,
                        trace: &mut self.trace,
                    };
                    if machine.due(&shared) <= now {
                        machine.on_timeout(now, &mut shared);
                        self.make_ready(name.index);
                    }
                    self.settle(name.index);
                }
            }
        }
    }

    /// Hands out what may leave now, `trains_max` trains at most (a few more when several connections take turns). False: there is more.
    pub fn transmit(&mut self, now: Instant, trains_max: usize, sink: &mut impl TxSink) -> bool {
        self.trace.at(now);
        while let Some((to, kind, bytes)) = self.answers.pop() {
            let range = 0..bytes.len();
            self.trace_handshake(kind, to, bytes.len(), true);
            let segment = bytes.len() as u32;
            sink.transmit(Transmit {
                to,
                bytes: Arc::new(bytes),
                range,
                segment,
                is_ecn: false,
                is_probe: false,
            });
        }
        let mut counting = Counting { sink, trains: 0 };
        let mut rounds = self.ready.len().saturating_add(trains_max);
        while let Some(index) = self.ready.pop_front() {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            match &mut slot.content {
                Content::Free => continue,
                Content::Connecting(connecting) => {
                    connecting.is_ready = false;
                    if connecting.due <= now {
                        let mut bytes = Vec::new();
                        connecting.write(now, &self.config, |bytes| self.security.check(bytes), &mut bytes);
                        let (to, len) = (connecting.peer, bytes.len());
                        self.trace.note(None, || TraceEvent::Handshake {
                            kind: "init",
                            address: to,
                            bytes: len,
                            is_sent: true,
                        });
                        counting.transmit(Transmit {
                            to,
                            bytes: Arc::new(bytes),
                            range: 0..len,
                            segment: len as u32,
                            is_ecn: false,
                            is_probe: false,
                        });
                    }
                    self.schedule(index);
                }
                Content::Open(machine) => {
                    machine.is_ready = false;
                    let mut shared = Shared {
                        config: &self.config,
                        pool: &mut self.pool,
                        events: &mut self.events,
                        stats: &mut self.stats,
                        trace: &mut self.trace,
                    };
                    if !machine.transmit(now, &mut shared, TRAINS_PER_ROUND, &mut counting) {
                        machine.is_ready = true;
                        self.ready.push_back(index);
                    }
                    self.settle_quietly(index);
                }
            }
            rounds = rounds.saturating_sub(1);
            if counting.trains >= trains_max || rounds == 0 {
                break;
            }
        }
        self.ready.is_empty()
    }

    fn machine(&self, name: Connection) -> Option<&Machine<S::Protector>> {
        match self.slots.get(name.index as usize) {
            Some(Slot { generation, content: Content::Open(machine) }) if *generation == name.generation => {
                Some(machine)
            }
            _ => None,
        }
    }

    fn make_ready(&mut self, index: u32) {
        let is_ready = match self.slots.get_mut(index as usize).map(|slot| &mut slot.content) {
            Some(Content::Open(machine)) => &mut machine.is_ready,
            Some(Content::Connecting(connecting)) => &mut connecting.is_ready,
            _ => return,
        };
        if !core::mem::replace(is_ready, true) {
            self.ready.push_back(index);
        }
    }

    /// After something happened to a connection: it may want to send, its time-out may have moved, it may be over.
    fn settle(&mut self, index: u32) {
        if let Some(Slot { content: Content::Open(machine), .. }) = self.slots.get(index as usize)
            && machine.wants_to_send()
        {
            self.make_ready(index);
        }
        self.settle_quietly(index);
    }

    fn settle_quietly(&mut self, index: u32) {
        let Some(Slot { content: Content::Open(machine), .. }) = self.slots.get_mut(index as usize) else {
            return;
        };
        machine.trace_status(&mut self.trace);
        if machine.is_half_open && machine.state != State::Accepting {
            machine.is_half_open = false;
            self.half_open -= 1;
            if machine.state.is_live() {
                // Only now: an Init may be an old one that somebody repeats.
                let (from, epoch) = (machine.peer(), machine.peer_epoch);
                self.end_earlier_epochs(from, epoch);
                return self.settle_quietly(index);
            }
        }
        let key = (machine.peer(), machine.peer_id);
        if let Some(before) = machine.moved_from.take()
            && *before != key.0
        {
            // The peer has moved.
            self.by_peer.remove(&(*before, key.1));
            if let Entry::Vacant(place) = self.by_peer.entry(key) {
                place.insert(index);
            } else {
                // To where another connection has its id: no honest peer does that.
                let mut shared = Shared {
                    config: &self.config,
                    pool: &mut self.pool,
                    events: &mut self.events,
                    stats: &mut self.stats,
                    trace: &mut self.trace,
                };
                machine.vanish(&mut shared, GoneReason::Violation(CloseCode::Frame));
                return self.release(index);
            }
        }
        if machine.state == State::Gone {
            self.by_peer.remove(&key);
            self.release(index);
        } else {
            self.schedule(index);
        }
    }

    /// Enters the next time-out of a connection into the wheel, when it is earlier than the one that is there.
    fn schedule(&mut self, index: u32) {
        let Some(Slot { generation, content }) = self.slots.get_mut(index as usize) else { return };
        let (due, entered) = match content {
            Content::Free => return,
            // Its turn in `transmit` comes, and its time-out after that.
            Content::Open(machine) if machine.is_ready => return,
            Content::Connecting(connecting) if connecting.is_ready => return,
            Content::Connecting(connecting) => {
                (connecting.due.min(connecting.until), &mut connecting.entered)
            }
            Content::Open(machine) => {
                let shared = Shared {
                    config: &self.config,
                    pool: &mut self.pool,
                    events: &mut self.events,
                    stats: &mut self.stats,
                    trace: &mut self.trace,
                };
                (machine.due(&shared), &mut machine.entered)
            }
        };
        if entered.enter(due) {
            self.wheel.insert(due, Connection { index, generation: *generation });
        }
    }

    fn release(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let name = Connection { index, generation: slot.generation };
        slot.content = Content::Free;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        self.trace.note(Some(name), || TraceEvent::Released);
    }

    fn trace_dropped(&mut self, why: DropReason, from: SocketAddr, bytes: usize) {
        self.trace.note(None, || TraceEvent::Dropped { why, from, bytes });
    }

    fn trace_handshake(&mut self, kind: &'static str, address: SocketAddr, bytes: usize, is_sent: bool) {
        self.trace.note(None, || TraceEvent::Handshake { kind, address, bytes, is_sent });
    }

    /// What must hold between calls, for tests.
    pub fn check_invariants(&self) {
        let (mut half_open, mut free) = (0, 0);
        for (index, slot) in self.slots.iter().enumerate() {
            match &slot.content {
                Content::Free => free += 1,
                Content::Connecting(connecting) => assert_eq!(connecting.own.slot(), index),
                Content::Open(machine) => {
                    machine.check_invariants();
                    half_open += usize::from(machine.is_half_open);
                    assert_eq!(
                        self.by_peer.get(&(machine.entered_as(), machine.peer_id)),
                        Some(&(index as u32))
                    );
                    assert!(
                        !machine.wants_to_send() || machine.is_ready || machine.is_waiting(),
                        "{:?} is forgotten",
                        machine.name
                    );
                }
            }
        }
        assert_eq!((free, half_open), (self.free.len(), self.half_open));
    }
}

/// A sink that counts.
struct Counting<'a, T> {
    sink: &'a mut T,
    trains: usize,
}

impl<T: TxSink> TxSink for Counting<'_, T> {
    fn transmit(&mut self, train: Transmit) {
        self.trains += 1;
        self.sink.transmit(train);
    }
}

/// Trains of one connection before the next one has its turn.
const TRAINS_PER_ROUND: usize = 4;
/// Grain of time-outs and pacing.
const TICK: Duration = Duration::from_micros(64);
