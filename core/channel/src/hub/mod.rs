//! A channel server without its sockets: participants' connections on one side, the engine on the other.
//!
//! Pure: bytes that a participant sent go in by [`Hub::receive`] (a stream) or [`Hub::receive_frame`] (a message), [`Hub::pump`] lets events
//! flow, bytes for participants come out by [`Hub::poll_send`]; [`Hub::sent`] says how far the face has got rid of them. A consumer whose
//! bytes are not taken gets no more of them than `unsent_bytes_max`: what comes then waits in its queue, by its own policy.
//! Equal batches for several consumers are written once and shared. Consumers that are an address are [web hooks](crate::hook): what their
//! connections want comes out by [`Hub::poll_hook`].

mod ask;
mod describe;
mod groups;
mod hand;
mod hooks;
mod http;
mod outputs;
mod question;
mod receive;
mod record;
mod restore;
mod session;
mod supply;
mod trouble;

pub use hooks::HookId;
pub use http::HttpId;
pub use record::{Persist, Record};
pub use restore::RestoreError;
pub use session::{Piece, SessionId};

use crate::access::Access;
use crate::engine::{Engine, EngineConfig, EngineError};
use crate::event::{Event, EventLimits, Text};
use crate::filter::{FilterLimits, Filters};
use crate::hook::HookConfig;
use crate::http::HttpLimits;
use crate::id::{ChannelId, ConsumerProxyId, SupplierProxyId};
use crate::slots::Slots;
use clustercore_proto::time::{Duration, Instant};
use session::Session;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What a hub is made with.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Of the engine.
    pub engine: EngineConfig,
    /// Who may do what.
    pub access: Access,
    /// Bounds of connections that speak HTTP.
    pub http: HttpLimits,
    /// Web hooks: where they may lead, and their bounds.
    pub hooks: HookConfig,
    /// What events are held to.
    pub limits: EventLimits,
    /// What filters are held to.
    pub filters: FilterLimits,
    /// Longest frame that is taken from a participant.
    pub frame_bytes_max: usize,
    /// Bytes of events that wait for a participant to take them, at most by one frame more.
    pub unsent_bytes_max: usize,
    /// Bytes of any kind that wait for a participant to take them: beyond, it asks and does not read, and its connection ends.
    pub unread_bytes_max: usize,
    /// How long a participant may take to say who it is.
    pub hello_timeout: Duration,
    /// Connections at most.
    pub sessions_max: u32,
    /// Proxies of one connection at most.
    pub handles_max: u32,
    /// How long the proxy of a consumer with a name outlives its connection.
    pub linger: Duration,
    /// Somebody writes events, channels and durable consumers to disk ([`Hub::poll_persist`]); otherwise persistent events are refused as
    /// not written, and the others last as long as the hub.
    pub is_durable: bool,
    /// Where events go that were tried too often; `None`: they are counted only.
    pub dead_letter_channel: Option<Text>,
}

impl Default for HubConfig {
    fn default() -> HubConfig {
        HubConfig {
            engine: EngineConfig::default(),
            access: Access::default(),
            http: HttpLimits::default(),
            hooks: HookConfig::default(),
            limits: EventLimits::default(),
            filters: FilterLimits::default(),
            frame_bytes_max: 4 << 20,
            unsent_bytes_max: 256 << 10,
            unread_bytes_max: 16 << 20,
            hello_timeout: Duration::from_secs(10),
            sessions_max: 65_536,
            handles_max: 1024,
            linger: Duration::from_secs(30),
            is_durable: false,
            dead_letter_channel: None,
        }
    }
}

/// What a hub has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HubStats {
    /// Connections accepted.
    pub sessions: u64,
    /// Connections ended because what they sent was no protocol, or without a valid secret.
    pub violations: u64,
    /// Events that participants emitted and that were taken.
    pub taken: u64,
    /// Events that participants emitted and that were refused.
    pub refused: u64,
    /// Events handed to participants.
    pub delivered: u64,
    /// Frames of events written.
    pub batches: u64,
    /// Frames of events that were written already for somebody else.
    pub shared: u64,
    /// Events that were tried too often.
    pub dead_letters: u64,
    /// Events that were written to disk.
    pub written: u64,
    /// Events that should have been, and were not.
    pub not_written: u64,
}

/// Whose a proxy is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    session: SessionId,
    handle: u64,
}

/// See the module's text.
pub struct Hub {
    config: HubConfig,
    engine: Engine,
    filters: Arc<Filters>,
    https: http::Connections,
    hooks: hooks::Hooks,
    sessions: Slots<Session>,
    /// Whose each supplier proxy is.
    consumers: HashMap<(ChannelId, SupplierProxyId), Place>,
    suppliers: supply::Suppliers,
    /// Who has not said yet who he is, and until when he may.
    strangers: VecDeque<(Instant, SessionId)>,
    /// Consumers with a name whose connection is gone, until when.
    lingering: Vec<(Instant, ChannelId, SupplierProxyId)>,
    /// Proxies of suppliers who are gone, whose buffers are not empty yet.
    leaving: Vec<(ChannelId, ConsumerProxyId)>,
    /// Sessions that have something to be sent.
    senders: VecDeque<SessionId>,
    ended: Vec<SessionId>,
    persists: VecDeque<Persist>,
    records: record::Records,
    frames: hand::Written,
    /// Scratch: the events of one frame.
    unpacked: Vec<Event>,
    stats: HubStats,
}

impl Hub {
    /// A hub with the engine's default channel.
    ///
    /// Errors: as [`Engine::new`].
    pub fn new(config: HubConfig) -> Result<Hub, EngineError> {
        let filters = Arc::new(Filters::new(config.filters));
        let engine = Engine::new(config.engine.clone())?;
        let hooks = hooks::Hooks::new(&config.hooks);
        Ok(Hub {
            records: record::Records::new(engine.default_channel()),
            engine,
            https: http::Connections::new(&config, &filters, Arc::clone(hooks.config())),
            hooks,
            filters,
            sessions: Slots::new(),
            consumers: HashMap::new(),
            suppliers: supply::Suppliers::default(),
            strangers: VecDeque::new(),
            lingering: Vec::new(),
            leaving: Vec::new(),
            senders: VecDeque::new(),
            ended: Vec::new(),
            persists: VecDeque::new(),
            frames: hand::Written::default(),
            unpacked: Vec::new(),
            stats: HubStats::default(),
            config,
        })
    }

    /// What it was made with.
    pub fn config(&self) -> &HubConfig {
        &self.config
    }

    /// The engine, for the server itself and for other faces.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The filters that are compiled.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// What was counted.
    pub fn stats(&self) -> HubStats {
        self.stats
    }

    /// Connections.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// A participant has connected. `None`: there are as many as may be.
    pub fn connect(&mut self, now: Instant) -> Option<SessionId> {
        if self.sessions.len() as u64 >= u64::from(self.config.sessions_max) {
            return None;
        }
        self.stats.sessions += 1;
        let (index, generation) = self.sessions.insert(Session::new(self.config.frame_bytes_max));
        let id = SessionId { index, generation };
        self.strangers.push_back((now + self.config.hello_timeout, id));
        Some(id)
    }

    /// A participant's connection is gone. Its consumers with a name stay for a while, its other proxies go.
    pub fn disconnect(&mut self, now: Instant, id: SessionId) {
        if self.session(id).is_none() {
            return;
        }
        let Some(session) = self.sessions.remove(id.index) else { return };
        for consumer in session.consumers.into_values() {
            self.leave(now, consumer.channel, consumer.proxy);
        }
        for supplier in session.suppliers.into_values() {
            self.release(now, &supplier);
        }
        self.suppliers.forget(id);
    }

    /// The consumer's proxy loses its connection.
    fn leave(&mut self, now: Instant, channel: ChannelId, proxy: SupplierProxyId) {
        self.consumers.remove(&(channel, proxy));
        let linger = self.config.linger;
        let Some(machine) = self.engine.machine(channel) else { return };
        let spec = machine.supplier_proxy(proxy);
        let is_named = spec.is_some_and(|spec| !spec.name.is_empty());
        if self.config.is_durable && spec.is_some_and(|spec| spec.is_kept()) {
            // It is there, and stays.
            let _ = machine.set_connected(now, proxy, false);
            return;
        }
        // A proxy that is not there any more has nothing to lose.
        if is_named && !linger.is_zero() {
            if machine.set_connected(now, proxy, false).is_ok() {
                self.lingering.push((now + linger, channel, proxy));
            }
        } else {
            let _ = machine.remove_supplier_proxy(now, proxy);
        }
    }

    /// A piece that is to be sent, and to whom. Pieces of one participant come in order.
    pub fn poll_send(&mut self) -> Option<(SessionId, Piece)> {
        loop {
            let id = *self.senders.front()?;
            let generation = self.sessions.generation(id.index);
            let session = self.sessions.get_mut(id.index).filter(|_| generation == Some(id.generation));
            if let Some(session) = session {
                if let Some(piece) = session.pieces.pop_front() {
                    session.waiting -= piece.as_slice().len();
                    return Some((id, piece));
                }
                session.is_queued = false;
                if session.is_ending {
                    self.ended.push(id);
                }
            }
            self.senders.pop_front();
        }
    }

    /// A connection that is to be closed when what was sent to it has gone, then [`Hub::disconnect`]ed.
    pub fn poll_ended(&mut self) -> Option<SessionId> {
        self.ended.pop()
    }

    /// So many of the bytes that were polled for a participant have not gone yet.
    pub fn sent(&mut self, id: SessionId, unsent: usize) {
        let unsent_max = self.config.unsent_bytes_max;
        let Some(session) = self.session_mut(id) else { return };
        session.unsent = session.waiting + unsent;
        if !session.is_blocked || session.unsent > unsent_max / 2 {
            return;
        }
        session.is_blocked = false;
        let consumers: Vec<_> = session.consumers.values().map(|it| (it.channel, it.proxy)).collect();
        for (channel, proxy) in consumers {
            if let Some(machine) = self.engine.machine(channel) {
                machine.writable(proxy);
            }
        }
    }

    /// When [`Hub::pump`] has something to do at the latest; a moment that has passed: at once.
    pub fn next_timeout(&mut self) -> Option<Instant> {
        let lingering = self.lingering.iter().map(|(until, ..)| *until).min();
        let stranger = self.strangers.front().map(|(until, _)| *until);
        let faces = [self.https.next_timeout(), self.hooks.next_timeout()];
        [self.engine.next_timeout(), lingering, stranger, faces[0], faces[1]].into_iter().flatten().min()
    }

    fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id.index).filter(|_| self.sessions.generation(id.index) == Some(id.generation))
    }

    fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let is_there = self.sessions.generation(id.index) == Some(id.generation);
        self.sessions.get_mut(id.index).filter(|_| is_there)
    }

    /// The participant has something to be sent.
    fn queue(&mut self, id: SessionId) {
        if let Some(session) = self.session_mut(id)
            && !session.is_queued
        {
            session.is_queued = true;
            self.senders.push_back(id);
        }
    }
}

#[cfg(test)]
mod tests;
