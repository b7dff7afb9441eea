//! The calls of all connections of an endpoint.

use super::call::{Arguments, CallError, CallId, CallOptions, ReplyError, Results};
use super::config::Config;
use super::event::Incoming;
use super::peer::{Peer, Shared};
use super::port::Port;
use crate::datagram::{Connection, Event, GoneReason, StreamId};
use crate::time::{Instant, Wheel};
use alloc::vec::Vec;
use core::time::Duration;

/// Counts since the endpoint began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Calls made.
    pub calls: u64,
    /// Calls of ours that a reply has ended.
    pub replies: u64,
    /// Calls of ours that ended without a reply.
    pub failures: u64,
    /// Calls repeated.
    pub retries: u64,
    /// Questions whether a call is worked on.
    pub asks: u64,
    /// Calls of peers handed to the owner.
    pub served: u64,
    /// Calls of peers refused.
    pub refused: u64,
    /// Calls and replies that came again.
    pub repeats: u64,
    /// Replies that were longer than can be carried.
    pub replies_too_large: u64,
    /// Parts sent, of arguments and of results.
    pub parts_sent: u64,
    /// Parts that were not sent because the receiver, or the transport, had no room.
    pub parts_blocked: u64,
    /// Parts received and handed to the owner.
    pub parts_received: u64,
    /// Messages that cannot be read, or may not come.
    pub malformed: u64,
}

/// Calls on the connections of one endpoint, in both directions. `port` is that endpoint everywhere, `inbox` takes what comes.
#[derive(Debug)]
pub struct Calls {
    config: Config,
    peers: Vec<Option<Peer>>,
    wheel: Wheel<Connection>,
    stats: Stats,
    in_hands: u32,
    scratch: Vec<u8>,
}

impl Calls {
    /// No calls yet.
    pub fn new(now: Instant, config: Config) -> Calls {
        let mut wheel = Wheel::with_tick(TICK, 0);
        wheel.advance(now, &mut |_| {});
        Calls { config, peers: Vec::new(), wheel, stats: Stats::default(), in_hands: 0, scratch: Vec::new() }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What has been counted.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Calls of peers that the owner has not replied to.
    pub fn in_hands(&self) -> u32 {
        self.in_hands
    }

    /// Calls of ours on a connection that have not ended.
    pub fn outstanding(&self, connection: Connection) -> usize {
        self.peer_ref(connection).map_or(0, |peer| peer.caller.outstanding_len())
    }

    /// Makes a call on an open connection. Its end comes as [`Incoming::Reply`], exactly once.
    ///
    /// Errors: no call was made, nothing will come.
    #[inline]
    pub fn call(
        &mut self,
        now: Instant,
        port: &mut impl Port,
        connection: Connection,
        arguments: &Arguments<'_>,
        options: &CallOptions<'_>,
    ) -> Result<CallId, CallError> {
        let (peer, mut shared) = self.peer_or_new(connection).ok_or(CallError::NotOpen)?;
        let made = peer.caller.call(now, connection, arguments, options, port, &mut shared);
        self.schedule(connection);
        made
    }

    /// Asks for the end of a call of ours: its reply tells what became of it.
    ///
    /// Errors: `NoSuchCall`.
    pub fn cancel(&mut self, now: Instant, port: &mut impl Port, call: CallId) -> Result<(), CallError> {
        let (peer, mut shared) = self.peer(call.connection).ok_or(CallError::NoSuchCall)?;
        let cancelled = peer.caller.cancel(now, call, port, &mut shared);
        self.schedule(call.connection);
        cancelled
    }

    /// Sends a part of the arguments of a streamed call of ours.
    ///
    /// Errors: `WouldBlock` ([`Incoming::Writable`] tells when to go on), `TooLarge`, `NoSuchCall`, `NotOpen`.
    pub fn send_arguments(
        &mut self,
        port: &mut impl Port,
        call: CallId,
        bytes: &[u8],
        is_last: bool,
    ) -> Result<(), CallError> {
        let (peer, mut shared) = self.peer(call.connection).ok_or(CallError::NoSuchCall)?;
        peer.caller.send_part(call, bytes, is_last, port, &mut shared)
    }

    /// Sends a part of the results of a streamed call that is served. [`Calls::reply`] ends it.
    ///
    /// Errors: as [`Calls::send_arguments`].
    pub fn send_results(
        &mut self,
        port: &mut impl Port,
        call: CallId,
        bytes: &[u8],
    ) -> Result<(), CallError> {
        let (peer, mut shared) = self.peer(call.connection).ok_or(CallError::NoSuchCall)?;
        peer.callee.send_part(call, bytes, port, &mut shared)
    }

    /// The owner has read a part of a call, of so many bytes, which makes room for more.
    pub fn consume(&mut self, port: &mut impl Port, call: CallId, is_ours: bool, len: usize) {
        if let Some((peer, mut shared)) = self.peer(call.connection) {
            if is_ours {
                peer.caller.consume(call, len, port, &mut shared);
            } else {
                peer.callee.consume(call, len, port, &mut shared);
            }
        }
    }

    /// Replies to a call that is served.
    ///
    /// Errors: `NoSuchCall`: nobody waits for it.
    #[inline]
    pub fn reply(
        &mut self,
        port: &mut impl Port,
        call: CallId,
        results: &Results<'_>,
    ) -> Result<(), ReplyError> {
        let (peer, mut shared) = self.peer(call.connection).ok_or(ReplyError::NoSuchCall)?;
        peer.callee.reply(call, results, port, &mut shared)
    }

    /// A message has come on a stream of calls ([`super::is_of_calls`]).
    #[inline]
    pub fn on_message(
        &mut self,
        now: Instant,
        port: &mut impl Port,
        connection: Connection,
        stream: StreamId,
        bytes: &[u8],
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        let Some((peer, mut shared)) = self.peer_or_new(connection) else { return };
        peer.on_message(now, stream, bytes, port, &mut shared, inbox);
        self.schedule(connection);
    }

    /// Something happened to a connection.
    pub fn on_event(&mut self, port: &mut impl Port, event: &Event, inbox: &mut impl FnMut(Incoming<'_>)) {
        match event {
            Event::Writable { connection } => {
                if let Some((peer, mut shared)) = self.peer(*connection) {
                    peer.caller.on_writable(*connection, port, &mut shared, inbox);
                    peer.callee.on_writable(*connection, port, &mut shared, inbox);
                }
            }
            Event::Gone { connection, reason, .. } => {
                if let Some((peer, mut shared)) = self.peer(*connection) {
                    peer.caller.on_gone(*connection, why(reason), &mut shared, inbox);
                    peer.callee.on_gone(*connection, &mut shared, inbox);
                    self.peers[connection.index as usize] = None;
                }
            }
            _ => {}
        }
    }

    /// When [`Calls::handle_timeout`] is to be called; `None` for never.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        port: &mut impl Port,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        while let Some(connection) = self.wheel.pop(now) {
            let Some((peer, mut shared)) = self.peer(connection) else { continue };
            if peer.entered.is_some_and(|entered| entered <= now) {
                peer.entered = None;
            }
            peer.caller.on_timeout(now, connection, port, &mut shared, inbox);
            peer.callee.flush(connection, port, &mut shared);
            self.schedule(connection);
        }
    }

    /// What must hold between calls, for tests.
    pub fn check_invariants(&self) {
        let mut executing = 0;
        for peer in self.peers.iter().flatten() {
            peer.caller.check_invariants();
            peer.callee.check_invariants();
            executing += peer.callee.executing();
            if let Some(next) = peer.caller.next() {
                assert!(peer.entered.is_some_and(|entered| entered <= next), "a time-out is forgotten");
            }
        }
        assert_eq!(executing, self.in_hands as usize, "calls in the owner's hands are counted");
        self.wheel.check_invariants();
    }

    #[inline]
    fn schedule(&mut self, connection: Connection) {
        let Some(peer) = self.peers.get_mut(connection.index as usize).and_then(Option::as_mut) else {
            return;
        };
        let Some(next) = peer.caller.next() else { return };
        if peer.entered.is_none_or(|entered| next < entered) {
            peer.entered = Some(next);
            self.wheel.insert(next, connection);
        }
    }

    fn peer_ref(&self, connection: Connection) -> Option<&Peer> {
        self.peers.get(connection.index as usize)?.as_ref().filter(|peer| peer.connection == connection)
    }

    #[inline]
    fn peer(&mut self, connection: Connection) -> Option<(&mut Peer, Shared<'_>)> {
        let Calls { config, peers, stats, in_hands, scratch, .. } = self;
        let peer = peers.get_mut(connection.index as usize)?.as_mut()?;
        let shared = Shared { config, stats, in_hands, scratch };
        (peer.connection == connection).then_some((peer, shared))
    }

    /// `None` for a connection whose place has another one with calls.
    #[inline]
    fn peer_or_new(&mut self, connection: Connection) -> Option<(&mut Peer, Shared<'_>)> {
        let index = connection.index as usize;
        if self.peers.len() <= index {
            self.peers.resize_with(index + 1, || None);
        }
        let peer = self.peers[index].get_or_insert_with(|| Peer::new(connection));
        if peer.connection != connection && peer.is_idle() {
            *peer = Peer::new(connection);
        }
        self.peer(connection)
    }
}

fn why(reason: &GoneReason) -> &'static str {
    match reason {
        GoneReason::Closed => "the connection was closed",
        GoneReason::ClosedByPeer { .. } => "the server closed the connection",
        GoneReason::Unreachable => "the server cannot be reached",
        GoneReason::Refused(_) => "the server refused the connection",
        GoneReason::NoCommonVersion => "the server speaks none of our versions",
        GoneReason::Silent => "the server is silent",
        GoneReason::Restarted => "the server was restarted",
        GoneReason::Violation(_) => "the server broke the protocol",
    }
}

/// Grain of time-outs.
const TICK: Duration = Duration::from_millis(1);
