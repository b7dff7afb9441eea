//! One connection: what is sent and not settled, what has arrived, and its path.

mod acknowledge;
mod ending;
mod input;
mod limits;
mod output;
mod path;
mod repair;
mod timers;
mod trace;

pub(super) use ending::State;
use ending::Words;
pub(super) use input::{Arrival, CONNECTION_GAPS_MAX};

use super::config::Config;
use super::endpoint::Entered;
use super::event::{CloseCode, Event, GoneReason};
use super::id::{Connection, Sequence, StreamId, StreamKind, WireId};
use super::packet;
use super::parameters::Parameters;
use super::pool::Pool;
use super::receive_stream::ReceiveStream;
use super::security::Protector;
use super::send_stream::{Latest, SendStreams, cost};
use super::sent::Flight;
use super::trace::TraceEvent;
use super::writer::{Shape, Writer};
use crate::time::Instant;
use acknowledge::Acknowledging;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use limits::PeerLimits;
use path::Path;

/// Why a message was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// The connection is not (or no longer) open for sending.
    NotOpen,
    /// The send buffer or the window is full; [`Event::Writable`] tells when to try again.
    WouldBlock,
    /// The message is longer than the peer (or, on an unreliable stream, a packet) takes.
    TooLarge {
        /// Its bytes.
        len: usize,
        /// What is taken.
        max: usize,
    },
    /// The peer takes no more streams.
    TooManyStreams {
        /// How many it takes.
        max: usize,
    },
}

/// What a connection shares with the others of its endpoint.
pub(super) struct Shared<'a> {
    pub config: &'a Config,
    pub pool: &'a mut Pool,
    pub events: &'a mut alloc::collections::VecDeque<Event>,
    pub stats: &'a mut super::stats::Stats,
    pub trace: &'a mut super::trace::Trace,
}

/// A connection. See the module's text.
#[derive(Debug)]
pub(super) struct Machine<P> {
    pub name: Connection,
    pub own: WireId,
    pub peer_id: WireId,
    pub peer_epoch: u64,
    pub state: State,
    pub protector: P,
    /// Of a server, until the first data packet shows that its Accept has arrived.
    pub unheard: Option<Box<Unheard>>,
    peer_limits: PeerLimits,
    path: Path,
    send: Sending,
    receive: Receiving,
    /// Numbers of the first packet under the present key, and when that was.
    key_since: (u64, Instant),
    /// Until when the peer may still have to open packets of our key before.
    key_rest: Option<Instant>,
    /// Phase of the peer's newest packet.
    peer_phase: bool,
    /// Until when packets of the peer's key before may be late.
    peer_key_rest: Option<Instant>,
    /// Last valid packet.
    heard: Instant,
    /// Last packet that asked for an acknowledgement.
    asked: Instant,
    /// When the wheel will look at this connection.
    pub entered: Entered,
    /// Is in the endpoint's list of those that have something to send.
    pub is_ready: bool,
    /// Counts among the endpoint's half-open ones.
    pub is_half_open: bool,
    /// The address under which the endpoint knows it, where the peer has moved from there.
    pub moved_from: Option<Box<SocketAddr>>,
}

/// A server's answer that the client may not have heard, and who the client is.
#[derive(Debug)]
pub(super) struct Unheard {
    pub accept: Vec<u8>,
    pub identity: Option<[u8; 32]>,
}

/// The direction of sending.
#[derive(Debug)]
struct Sending {
    number_next: u64,
    /// Highest number that the peer has acknowledged.
    acknowledged: Option<u64>,
    flight: Flight,
    main: Writer,
    repair: Writer,
    streams: SendStreams,
    used: u64,
    credit: u64,
    /// A send was refused since the last `Writable`.
    is_blocked: bool,
    latest_due: u32,
    ping_due: bool,
    loss_due: Option<Instant>,
    probes_sent: u32,
    /// Packets that may leave whatever the window says.
    probe_credit: u32,
    /// Last progress while something is in flight.
    progress: Instant,
    pace_due: Option<Instant>,
    /// Later packets that make one lost.
    reordering: u64,
}

/// The direction of receiving.
#[derive(Debug)]
struct Receiving {
    acknowledging: Acknowledging,
    streams: Vec<ReceiveStream>,
    last: usize,
    charged: u64,
    consumed: u64,
    credit: u64,
    window_due: bool,
    stream_windows_due: Vec<StreamId>,
    /// Ranges and pieces that all streams keep because something is missing.
    gaps: usize,
    /// Some message is half received: when to look whether it makes progress.
    reassembly_due: Option<Instant>,
}

/// What a new connection begins with.
pub(super) struct Beginning<P> {
    pub name: Connection,
    pub own: WireId,
    pub peer_id: WireId,
    pub peer: SocketAddr,
    pub peer_epoch: u64,
    pub protector: P,
    pub limits: Parameters,
    pub state: State,
}

impl<P: Protector> Machine<P> {
    pub fn new(now: Instant, config: &Config, beginning: Beginning<P>) -> Machine<P> {
        let Beginning { name, own, peer_id, peer, peer_epoch, protector, limits, state } = beginning;
        Machine {
            name,
            own,
            peer_id,
            peer_epoch,
            state,
            protector,
            unheard: None,
            peer_limits: PeerLimits::new(&limits),
            path: Path::new(now, config, peer, limits.packet_bytes_max as usize),
            send: Sending {
                number_next: 0,
                acknowledged: None,
                flight: Flight::default(),
                main: Writer::default(),
                repair: Writer::default(),
                streams: SendStreams::default(),
                used: 0,
                credit: limits.receive_window,
                is_blocked: false,
                latest_due: 0,
                ping_due: false,
                loss_due: None,
                probes_sent: 0,
                probe_credit: 0,
                progress: now,
                pace_due: None,
                reordering: REORDERING_MIN,
            },
            receive: Receiving {
                acknowledging: Acknowledging::default(),
                streams: Vec::new(),
                last: 0,
                charged: 0,
                consumed: 0,
                credit: config.receive_window as u64,
                window_due: false,
                stream_windows_due: Vec::new(),
                gaps: 0,
                reassembly_due: None,
            },
            key_since: (0, now),
            key_rest: None,
            peer_phase: false,
            peer_key_rest: None,
            heard: now,
            asked: now,
            entered: Entered::NONE,
            is_ready: false,
            is_half_open: false,
            moved_from: None,
        }
    }

    /// The client's handshake has ended: it took one round trip, and the server is told by a ping.
    pub fn on_opened(&mut self, rtt: core::time::Duration) {
        self.path.rtt.sample(rtt, core::time::Duration::ZERO);
        self.send.ping_due = true;
    }

    /// Whether what it has to send must wait for time or acknowledgements.
    pub fn is_waiting(&self) -> bool {
        self.send.pace_due.is_some() || !self.send.flight.is_empty()
    }

    /// Where the peer is.
    pub fn peer(&self) -> SocketAddr {
        self.path.peer
    }

    /// The address under which the endpoint knows it.
    pub fn entered_as(&self) -> SocketAddr {
        self.moved_from.as_deref().copied().unwrap_or(self.path.peer)
    }

    /// The token of a Reset from this peer.
    pub fn reset_token(&self) -> [u8; 16] {
        self.peer_limits.reset_token
    }

    /// Bytes that wait to be sent or acknowledged.
    pub fn buffered(&self) -> usize {
        self.send.flight.bytes() as usize + self.send.main.bytes() + self.send.repair.bytes()
    }

    /// Smoothed round trip, congestion window, longest packet: for people.
    pub fn path_report(&self) -> super::stats::PathReport {
        self.path.report(self.send.flight.bytes())
    }

    fn shape(&self) -> Shape {
        let packet_bytes = self.path.search.packet_bytes();
        let window_half = usize::try_from(self.path.control.window() / 2).unwrap_or(usize::MAX);
        let burst = usize::try_from(self.path.pacer.burst()).unwrap_or(usize::MAX);
        let train_bytes_max = TRAIN_BYTES_MAX.min(burst).min(window_half).max(2 * packet_bytes);
        Shape { packet_bytes, trailer: self.protector.trailer_bytes(), train_bytes_max }
    }

    /// Takes a message to be sent.
    #[inline]
    pub fn send(
        &mut self,
        shared: &mut Shared<'_>,
        stream: StreamId,
        payload: &[u8],
    ) -> Result<Sequence, SendError> {
        if stream.is_reliable() {
            let sequence = self.admit(shared.config, stream, payload.len())?;
            if !self.send.main.message_if_room(stream, sequence, payload) {
                let shape = self.shape();
                self.send.main.message(shared.pool, shape, stream, sequence, payload);
            }
            return Ok(sequence);
        }
        self.send_free(shared, stream, payload)
    }

    /// Takes messages for a reliable stream one after the other until one does not go; how many went, and why the next one did not.
    pub fn send_many<'m>(
        &mut self,
        shared: &mut Shared<'_>,
        stream: StreamId,
        messages: impl Iterator<Item = &'m [u8]>,
    ) -> (usize, Result<(), SendError>) {
        let mut count = 0;
        if !stream.is_reliable() {
            for payload in messages {
                if let Err(error) = self.send_free(shared, stream, payload) {
                    return (count, Err(error));
                }
                count += 1;
            }
            return (count, Ok(()));
        }
        if !self.state.is_sending() {
            return (0, Err(SendError::NotOpen));
        }
        let max = self.peer_limits.message_bytes_max.min(shared.config.message_bytes_max as u64) as usize;
        let mut buffer = shared.config.send_buffer_bytes.saturating_sub(self.buffered());
        let shape = self.shape();
        let state = match self.send.streams.get(stream) {
            Some(state) => state,
            None => match self.open_stream(stream) {
                Ok(state) => state,
                Err(error) => return (0, Err(error)),
            },
        };
        let (mut next, stream_credit) = (state.next, state.credit - state.used);
        let credit = (self.send.credit - self.send.used).min(stream_credit);
        let (mut used, mut result) = (0, Ok(()));
        for payload in messages {
            let len = payload.len();
            if len > max {
                result = Err(SendError::TooLarge { len, max });
                break;
            }
            if len > buffer || used + cost(len) > credit {
                self.send.is_blocked = true;
                result = Err(SendError::WouldBlock);
                break;
            }
            // Bytes of frames and packets are counted when the next call looks again.
            buffer -= len;
            used += cost(len);
            self.send.main.message(shared.pool, shape, stream, next, payload);
            next += 1;
            count += 1;
        }
        self.send.used += used;
        if let Some(state) = self.send.streams.get(stream) {
            state.used += used;
            state.next = next;
        }
        (count, result)
    }

    /// Room to write a message of at most `len` bytes in place, at most what fits a packet; its sequence.
    pub fn claim(
        &mut self,
        shared: &mut Shared<'_>,
        stream: StreamId,
        len: usize,
    ) -> Result<(super::builder::Claim, Sequence), SendError> {
        let shape = self.shape();
        let max = shape.room().saturating_sub(super::writer::MESSAGE_HEAD_MAX);
        if len > max || !stream.is_reliable() {
            return Err(SendError::TooLarge { len, max: if stream.is_reliable() { max } else { 0 } });
        }
        let sequence = self.admit(shared.config, stream, len)?;
        let claim = self.send.main.claim(shared.pool, shape, stream, sequence, len);
        claim.map(|claim| (claim, sequence)).ok_or(SendError::TooLarge { len, max })
    }

    /// The bytes of a claim.
    pub fn claimed(&mut self, claim: &super::builder::Claim) -> Option<&mut [u8]> {
        Some(self.send.main.open()?.claimed(claim))
    }

    /// Ends a claim of `claimed` bytes with the `len` that were written.
    pub fn commit(&mut self, claim: &super::builder::Claim, stream: StreamId, claimed: usize, len: usize) {
        if let Some(open) = self.send.main.open() {
            open.commit(claim, len);
        }
        // What was claimed and not written costs nothing.
        let spare = (claimed - len) as u64;
        self.send.used -= spare;
        if let Some(stream) = self.send.streams.get(stream) {
            stream.used -= spare;
        }
    }

    /// Whether a reliable message of `len` bytes may be sent now; takes its credit and its sequence.
    #[inline]
    fn admit(&mut self, config: &Config, stream: StreamId, len: usize) -> Result<Sequence, SendError> {
        if !self.state.is_sending() {
            return Err(SendError::NotOpen);
        }
        let max = self.message_bytes_max(config);
        if len > max {
            return Err(SendError::TooLarge { len, max });
        }
        let cost = cost(len);
        if self.buffered() + len > config.send_buffer_bytes || self.send.used + cost > self.send.credit {
            self.send.is_blocked = true;
            return Err(SendError::WouldBlock);
        }
        let state = match self.send.streams.get(stream) {
            Some(state) => state,
            None => self.open_stream(stream)?,
        };
        if state.used + cost > state.credit {
            self.send.is_blocked = true;
            return Err(SendError::WouldBlock);
        }
        state.used += cost;
        let sequence = state.next;
        state.next += 1;
        self.send.used += cost;
        Ok(sequence)
    }

    /// Bytes of a message that both sides take.
    fn message_bytes_max(&self, config: &Config) -> usize {
        let peer = usize::try_from(self.peer_limits.message_bytes_max).unwrap_or(usize::MAX);
        config.message_bytes_max.min(peer)
    }

    fn open_stream(&mut self, stream: StreamId) -> Result<&mut super::send_stream::SendStream, SendError> {
        let max = self.peer_limits.streams_max as usize;
        if self.send.streams.len() >= max {
            return Err(SendError::TooManyStreams { max });
        }
        Ok(self.send.streams.open(stream, self.peer_limits.stream_window))
    }

    /// Sends on a stream without credit.
    fn send_free(
        &mut self,
        shared: &mut Shared<'_>,
        stream: StreamId,
        payload: &[u8],
    ) -> Result<Sequence, SendError> {
        if !self.state.is_sending() {
            return Err(SendError::NotOpen);
        }
        let shape = self.shape();
        // A latest message is read from its slot when the packet is written, whatever the path takes then.
        let max = shape.room().min(packet::INIT_BYTES - packet::HEADER_BYTES - shape.trailer)
            - super::writer::MESSAGE_HEAD_MAX;
        let max = if stream.kind() == StreamKind::Latest {
            max
        } else {
            shape.room() - super::writer::MESSAGE_HEAD_MAX
        };
        let max = max.min(self.message_bytes_max(shared.config));
        if payload.len() > max {
            return Err(SendError::TooLarge { len: payload.len(), max });
        }
        if stream.kind() == StreamKind::Unreliable {
            if self.buffered() + payload.len() > shared.config.send_buffer_bytes {
                self.send.is_blocked = true;
                return Err(SendError::WouldBlock);
            }
            self.send.main.unreliable(shared.pool, shape, stream, payload);
            return Ok(0);
        }
        if self.send.streams.get(stream).is_none() {
            self.open_stream(stream)?;
        }
        let Some(state) = self.send.streams.get(stream) else { return Err(SendError::NotOpen) };
        let sequence = state.next;
        state.next += 1;
        let was_due = state.latest.as_ref().is_some_and(|latest| latest.is_due);
        let mut bytes = state.latest.take().map_or_else(Vec::new, |latest| latest.payload);
        bytes.clear();
        bytes.extend_from_slice(payload);
        state.latest = Some(Latest { payload: bytes, sequence, is_due: true });
        self.send.latest_due += u32::from(!was_due);
        Ok(sequence)
    }

    /// The owner has consumed messages that cost so much of the window.
    pub fn consume(&mut self, config: &Config, stream: StreamId, cost: u64) {
        if cost == 0 {
            return;
        }
        let receive = &mut self.receive;
        receive.consumed = (receive.consumed + cost).min(receive.charged);
        let window = config.receive_window as u64;
        if receive.consumed + window - receive.credit >= credit_step(config, window) {
            receive.credit = receive.consumed + window;
            receive.window_due = true;
        }
        let Some(state) = find_stream(&mut receive.streams, &mut receive.last, stream) else { return };
        state.consumed = (state.consumed + cost).min(state.charged);
        let window = config.stream_window as u64;
        if state.consumed + window - state.credit >= credit_step(config, window) {
            state.credit = state.consumed + window;
            if !receive.stream_windows_due.contains(&stream) {
                receive.stream_windows_due.push(stream);
            }
        }
    }

    /// Whether `transmit` has something to do.
    pub fn wants_to_send(&self) -> bool {
        if !self.state.is_live() {
            return self.state.has_close_due();
        }
        self.has_data()
            || self.has_control()
            || self.receive.acknowledging.is_due_now()
            || self.path.has_challenge_due()
    }

    fn has_data(&self) -> bool {
        self.send.latest_due > 0 || !self.send.repair.is_empty() || !self.send.main.is_empty()
    }

    fn has_control(&self) -> bool {
        self.receive.window_due
            || !self.receive.stream_windows_due.is_empty()
            || self.send.ping_due
            || self.path.has_response_due()
    }

    /// What must hold between calls, for tests.
    pub fn check_invariants(&self) {
        self.send.flight.check_invariants();
        assert!(self.send.used <= self.send.credit);
        assert!(self.receive.charged <= self.receive.credit);
        assert!(self.receive.consumed <= self.receive.charged);
        self.receive.streams.iter().for_each(ReceiveStream::check_invariants);
        assert_eq!(self.receive.gaps, self.receive.streams.iter().map(ReceiveStream::gaps).sum::<usize>());
    }

    fn tell_gone(&mut self, shared: &mut Shared<'_>, reason: GoneReason) {
        shared.trace.note(Some(self.name), || TraceEvent::Closed { reason: &reason });
        if self.state == State::Accepting {
            // Its owner has never heard of it.
            return;
        }
        let unconfirmed = self.unconfirmed();
        shared.events.push_back(Event::Gone { connection: self.name, reason, unconfirmed });
    }

    /// The peer broke the protocol: it is told so, and the owner too.
    fn violate(&mut self, now: Instant, shared: &mut Shared<'_>, code: CloseCode) {
        shared.stats.violations += 1;
        self.tell_gone(shared, GoneReason::Violation(code));
        self.begin_closing(now, Words { code: code as u64, text: Vec::new() });
    }
}

/// Credit goes back in steps of a quarter of the window, but never so large that the peer could lack what the longest message costs
/// while everything is consumed.
fn credit_step(config: &Config, window: u64) -> u64 {
    let spare = window.saturating_sub(cost(config.message_bytes_max));
    (window / 4).min(spare).max(1)
}

/// The stream of that id among those sorted by id; `last` remembers where it was.
#[inline]
fn find_stream<'a>(
    streams: &'a mut [ReceiveStream],
    last: &mut usize,
    stream: StreamId,
) -> Option<&'a mut ReceiveStream> {
    if streams.get(*last).is_some_and(|state| state.id == stream) {
        return streams.get_mut(*last);
    }
    let place = streams.binary_search_by_key(&stream, |state| state.id).ok()?;
    *last = place;
    streams.get_mut(place)
}

/// RFC 9002, 6.1.1.
const REORDERING_MIN: u64 = 3;
/// UDP payload that one send may carry, with some room for an acknowledgement behind it.
const TRAIN_BYTES_MAX: usize = 65_000;

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing(
        #[expect(dead_code, reason = "as large as the keys' place in a connection")] Option<Box<u8>>,
    );

    impl Protector for Nothing {
        fn trailer_bytes(&self) -> usize {
            0
        }
        fn seal(&mut self, _: u64, _: &mut [u8]) {}
        fn open(&mut self, _: u64, _: bool, _: &mut [u8]) -> bool {
            true
        }
        fn reopen(&mut self, _: u64, _: bool, _: &mut [u8]) -> bool {
            true
        }
    }

    /// Thousands of idle peers are waited for: what a connection takes is looked at when it grows beyond this size class of allocators.
    #[test]
    fn a_connection_takes_little_room() {
        assert!(size_of::<Machine<Nothing>>() <= 768, "{} bytes", size_of::<Machine<Nothing>>());
    }
}
