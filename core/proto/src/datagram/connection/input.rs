//! A data packet comes in.

use super::acknowledge::Urgency;
use super::{Machine, Shared, State, find_stream};
use crate::datagram::control::Acknowledged;
use crate::datagram::event::{CloseCode, Content, Event, Inbox, Run};
use crate::datagram::frame::{Acknowledgement, Frame, Frames};
use crate::datagram::id::StreamId;
use crate::datagram::packet::{DataHeader, HEADER_BYTES};
use crate::datagram::receive_stream::{Limits, ReceiveStream, Trouble};
use crate::datagram::security::Protector;
use crate::datagram::sent::Settled;
use crate::datagram::trace::{DropReason, TraceEvent};
use crate::time::Instant;
use alloc::boxed::Box;
use core::net::SocketAddr;
use core::time::Duration;

/// How a packet came.
#[derive(Clone, Copy, Debug)]
pub(in crate::datagram) struct Arrival {
    pub now: Instant,
    pub from: SocketAddr,
    /// Its mark (RFC 3168).
    pub mark: u8,
    /// Where its frames begin in the train.
    pub place: usize,
    /// 64 bits that nobody can guess, for a challenge.
    pub random: u64,
}

impl<P: Protector> Machine<P> {
    /// Takes a packet of this connection: header and frames and trailer.
    pub fn on_packet(
        &mut self,
        arrival: Arrival,
        header: DataHeader,
        packet: &mut [u8],
        shared: &mut Shared<'_>,
        inbox: &mut impl Inbox,
    ) {
        let Arrival { now, from, mark, place, random } = arrival;
        let trailer = self.protector.trailer_bytes();
        if packet.len() < HEADER_BYTES + trailer {
            shared.stats.packets_malformed += 1;
            self.trace_dropped(shared, DropReason::Malformed, from, packet.len());
            return;
        }
        if self.receive.acknowledging.is_repeat(header.number) {
            shared.stats.packets_repeated += 1;
            self.trace_dropped(shared, DropReason::Repeated, from, packet.len());
            // It is said again, in case that nobody heard: but only for a packet that is not made up.
            if self.protector.open(header.number, header.phase, packet) {
                self.repeat(now, packet, trailer);
            }
            return;
        }
        if !self.protector.open(header.number, header.phase, packet) {
            shared.stats.packets_corrupt += 1;
            self.trace_dropped(shared, DropReason::Corrupt, from, packet.len());
            return;
        }
        shared.stats.packets_received += 1;
        let (name, number, bytes) = (Some(self.name), header.number, packet.len());
        shared.trace.note(name, || TraceEvent::Received { number, bytes, mark });
        self.heard = now;
        if header.phase != self.peer_phase && self.receive.acknowledging.is_newest(header.number) {
            self.peer_phase = header.phase;
            self.peer_key_rest = Some(now + self.linger());
            shared.trace.note(name, || TraceEvent::KeyUpdated { is_own: false, number });
        }
        if !self.state.is_live() {
            self.on_packet_at_the_end(now, packet, trailer, shared);
            return;
        }
        if self.state == State::Accepting {
            self.state = State::Open;
            let identity = self.unheard.take().and_then(|unheard| unheard.identity);
            let (connection, peer, epoch) = (self.name, self.path.peer, self.peer_epoch);
            shared.events.push_back(Event::Accepted { connection, peer, epoch, identity });
        }
        if from != self.path.peer && self.receive.acknowledging.is_newest(header.number) {
            self.path.suspect(now, from, random);
            shared.trace.note(name, || TraceEvent::PathSuspected { address: from });
        }
        let frames = &packet[HEADER_BYTES..packet.len() - trailer];
        match self.on_frames(now, from, frames, place, shared, inbox) {
            Ok(urgency) => {
                let delays = (shared.config.acknowledgement_delay, shared.config.acknowledgement_pause);
                self.receive.acknowledging.on_packet(now, header.number, urgency, mark, delays);
            }
            Err(Trouble::Later) => {
                shared.stats.packets_deferred += 1;
                self.trace_dropped(shared, DropReason::Deferred, from, bytes);
            }
            Err(Trouble::Violation(code)) => self.violate(now, shared, code),
        }
    }

    #[inline]
    fn trace_dropped(&self, shared: &mut Shared<'_>, why: DropReason, from: SocketAddr, bytes: usize) {
        shared.trace.note(Some(self.name), || TraceEvent::Dropped { why, from, bytes });
    }

    /// A packet that came before: if it asks for an acknowledgement, the peer may not have heard ours.
    fn repeat(&mut self, now: Instant, packet: &[u8], trailer: usize) {
        let mut frames = Frames::new(&packet[HEADER_BYTES..packet.len() - trailer]);
        while let Ok(Some(frame)) = frames.next_frame() {
            if urgency_of(&frame) == Urgency::Asking {
                self.receive.acknowledging.on_repeat(now);
                return;
            }
        }
    }

    fn on_packet_at_the_end(&mut self, now: Instant, packet: &[u8], trailer: usize, shared: &mut Shared<'_>) {
        let mut frames = Frames::new(&packet[HEADER_BYTES..packet.len() - trailer]);
        while let Ok(Some(frame)) = frames.next_frame() {
            if let Frame::Close { code, text } = frame {
                self.on_close(now, shared, code, text);
                return;
            }
        }
        self.state.on_packet_while_closing();
    }

    /// Reads the frames in turn; how much the packet asks for an acknowledgement.
    fn on_frames(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
        place: usize,
        shared: &mut Shared<'_>,
        inbox: &mut impl Inbox,
    ) -> Result<Urgency, Trouble> {
        let mut frames = Frames::new(bytes);
        let mut urgency = Urgency::Silent;
        while let Some(frame) = frames.next_frame().map_err(|_| Trouble::Violation(CloseCode::Frame))? {
            urgency = urgency.max(urgency_of(&frame));
            // Content lies at the end of what was read so far.
            let place_of = |content: &[u8]| place + bytes.len() - frames.rest_len() - content.len();
            match frame {
                Frame::Ping => {}
                Frame::Messages(messages) => {
                    let place = place_of(messages.content);
                    self.with_stream(shared, messages.stream, inbox, |stream, limits, charge, out| {
                        stream.on_messages(&messages, place, limits, charge, out)
                    })?;
                }
                Frame::Fragment(fragment) => {
                    self.with_stream(shared, fragment.stream, inbox, |stream, limits, charge, out| {
                        stream.on_fragment(now, &fragment, limits, charge, out)
                    })?;
                    self.watch_reassembly(now, shared.config.reassembly_timeout, fragment.stream);
                }
                Frame::Latest(stream, sequence, payload) => {
                    let place = place_of(payload);
                    let connection = self.name;
                    check_length(shared, payload)?;
                    let state = self.receive_stream(shared, stream)?;
                    if state.on_latest(sequence) {
                        let content = Content::Single { place, bytes: payload };
                        inbox.messages(Run {
                            connection,
                            stream,
                            first: sequence,
                            count: 1,
                            cost: 0,
                            content,
                        });
                    }
                }
                Frame::Unreliable(stream, content) => {
                    let place = place_of(content);
                    let mut count = 0;
                    for message in crate::datagram::event::messages(content) {
                        check_length(shared, message)?;
                        count += 1;
                    }
                    if count > 0 {
                        let content = Content::Lent { place, bytes: content };
                        let connection = self.name;
                        inbox.messages(Run { connection, stream, first: 0, count, cost: 0, content });
                    }
                }
                Frame::Acknowledgement(acknowledgement) => {
                    self.on_acknowledgement(now, &acknowledgement, shared)?
                }
                Frame::Window(credit) => {
                    self.send.credit = self.send.credit.max(credit);
                    self.unblock(shared);
                }
                Frame::StreamWindow(stream, credit) => {
                    if let Some(stream) = self.send.streams.get(stream) {
                        stream.credit = stream.credit.max(credit);
                    }
                    self.unblock(shared);
                }
                Frame::Challenge(value) => self.path.on_challenge(from, value),
                Frame::Response(value) => {
                    if let Some(peer) = self.path.on_response(value) {
                        let before = self.path.peer;
                        self.moved_from.get_or_insert_with(|| Box::new(before));
                        self.path.move_to(now, shared.config, peer);
                        shared.trace.note(Some(self.name), || TraceEvent::PathMoved { peer });
                        shared.events.push_back(Event::Moved { connection: self.name, peer });
                    }
                }
                Frame::Close { code, text } => {
                    self.on_close(now, shared, code, text);
                    return Ok(Urgency::Silent);
                }
            }
            if !self.state.is_live() {
                return Ok(Urgency::Silent);
            }
        }
        Ok(urgency)
    }

    fn receive_stream(
        &mut self,
        shared: &Shared<'_>,
        stream: StreamId,
    ) -> Result<&mut ReceiveStream, Trouble> {
        let receive = &mut self.receive;
        if find_stream(&mut receive.streams, &mut receive.last, stream).is_none() {
            if receive.streams.len() >= shared.config.streams_max {
                return Err(Trouble::Violation(CloseCode::Streams));
            }
            if receive.streams.is_empty() {
                // Most connections have one.
                receive.streams.reserve_exact(1);
            }
            let place = receive.streams.partition_point(|state| state.id < stream);
            receive.streams.insert(place, ReceiveStream::new(stream, shared.config.stream_window as u64));
            receive.last = place;
        }
        Ok(&mut receive.streams[receive.last])
    }

    #[inline]
    fn with_stream(
        &mut self,
        shared: &Shared<'_>,
        stream: StreamId,
        inbox: &mut impl Inbox,
        act: impl FnOnce(
            &mut ReceiveStream,
            Limits,
            &mut dyn FnMut(u64) -> bool,
            crate::datagram::receive_stream::Out<'_>,
        ) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let connection = self.name;
        self.receive_stream(shared, stream)?;
        let receive = &mut self.receive;
        let limits = Limits {
            message_bytes_max: shared.config.message_bytes_max as u64,
            is_crowded: receive.gaps >= CONNECTION_GAPS_MAX,
        };
        let (charged, credit) = (&mut receive.charged, receive.credit);
        let mut charge = |cost: u64| {
            let fits = *charged + cost <= credit;
            if fits {
                *charged += cost;
            }
            fits
        };
        let mut out = |first, count, cost, content: Content<'_>| {
            inbox.messages(Run { connection, stream, first, count, cost, content });
        };
        let stream = &mut receive.streams[receive.last];
        let before = stream.gaps();
        let result = act(stream, limits, &mut charge, &mut out);
        receive.gaps = receive.gaps + stream.gaps() - before;
        result
    }

    fn watch_reassembly(&mut self, now: Instant, timeout: Duration, stream: StreamId) {
        let receive = &mut self.receive;
        if receive.reassembly_due.is_some() {
            return;
        }
        let is_holding = find_stream(&mut receive.streams, &mut receive.last, stream)
            .is_some_and(|stream| stream.has_partials());
        if is_holding {
            receive.reassembly_due = Some(now + timeout);
        }
    }

    fn on_acknowledgement(
        &mut self,
        now: Instant,
        frame: &Acknowledgement<'_>,
        shared: &mut Shared<'_>,
    ) -> Result<(), Trouble> {
        if frame.largest >= self.send.number_next {
            return Err(Trouble::Violation(CloseCode::Acknowledgement));
        }
        let mut settled = Settled::default();
        let send = &mut self.send;
        for (start, end) in frame.ranges() {
            let pool = &mut *shared.pool;
            send.flight.acknowledge(start, end, &mut settled, |train| {
                train.bytes.into_iter().for_each(|bytes| pool.give_shared(bytes));
            });
        }
        send.acknowledged = send.acknowledged.max(Some(frame.largest));
        if let Some(newest) = settled.newest {
            send.progress = now;
            send.probes_sent = 0;
            send.probe_credit = 0;
            if settled.newest_number == frame.largest {
                let (sample, delay) = (now.saturating_sub(newest), Duration::from_micros(frame.delay_us));
                if settled.newest_is_eliciting {
                    self.path.rtt.sample(sample, delay.min(self.peer_limits.acknowledgement_delay()));
                } else {
                    self.path.rtt.sample_lazy(sample, delay);
                }
            }
            self.note_marks(now, frame, newest, settled.packets, shared);
            self.path.control.on_acknowledged(
                now,
                Acknowledged {
                    bytes: settled.bytes,
                    sent: newest,
                    was_limited: settled.was_limited,
                    rtt: self.path.rtt.smoothed(),
                },
            );
            self.path.pace(now);
            self.path.search.on_arrived(settled.longest);
        }
        if let Some(bytes) = settled.probe_bytes {
            self.path.search.on_probe_arrived(bytes);
            self.path.control.on_packet_bytes(self.path.search.packet_bytes());
        }
        if settled.is_spurious {
            shared.stats.losses_spurious += 1;
            self.path.control.on_spurious_loss();
            self.send.reordering = (self.send.reordering * 2).min(REORDERING_MAX);
        }
        self.detect_lost(now, shared);
        self.unblock(shared);
        self.finish_if_settled(now, shared);
        Ok(())
    }

    /// Congestion marks that the peer has counted.
    fn note_marks(
        &mut self,
        now: Instant,
        frame: &Acknowledgement<'_>,
        sent: Instant,
        packets: u64,
        shared: &mut Shared<'_>,
    ) {
        if !self.path.has_ecn || packets == 0 {
            return;
        }
        let Some(ecn) = frame.ecn else {
            // Marks do not arrive: the path or the peer's kernel takes them off.
            self.path.has_ecn = false;
            return;
        };
        // No more than was sent, whatever the peer says.
        let marked = ecn.ce.min(self.send.number_next);
        if marked > self.path.marks {
            shared.stats.ecn_marks += marked - self.path.marks;
            self.path.marks = marked;
            self.path.control.on_congestion(now, sent);
        }
    }

    /// Tells the owner that there is room again.
    pub(super) fn unblock(&mut self, shared: &mut Shared<'_>) {
        let has_room = self.buffered() <= shared.config.send_buffer_bytes / 4 * 3;
        if self.send.is_blocked && has_room && self.state.is_sending() {
            self.send.is_blocked = false;
            shared.events.push_back(Event::Writable { connection: self.name });
        }
    }
}

/// A message that is longer than it may be is the peer's fault.
fn check_length(shared: &Shared<'_>, message: &[u8]) -> Result<(), Trouble> {
    if message.len() > shared.config.message_bytes_max {
        return Err(Trouble::Violation(CloseCode::Message));
    }
    Ok(())
}

fn urgency_of(frame: &Frame<'_>) -> Urgency {
    match frame {
        Frame::Acknowledgement(_) | Frame::Close { .. } => Urgency::Silent,
        Frame::Unreliable(..) => Urgency::Lazy,
        _ => Urgency::Asking,
    }
}

/// Ranges and pieces that all streams together keep because something before them is missing.
pub(in crate::datagram) const CONNECTION_GAPS_MAX: usize = 8192;
/// Later packets that make one lost, at most: a path that shuffles more is waited out by time.
const REORDERING_MAX: u64 = 128;
