//! Trains leave.

use super::acknowledge::FRAME_BYTES_MAX;
use super::{Machine, Shared, State, Words};
use crate::datagram::builder::{Builder, PACKETS_MAX, Written};
use crate::datagram::frame::{self, LATEST_HEAD_MAX};
use crate::datagram::packet::{DataHeader, HEADER_BYTES, NUMBER_MAX, RESET_BYTES};
use crate::datagram::security::Protector;
use crate::datagram::sent::Sent;
use crate::datagram::trace::TraceEvent;
use crate::datagram::{Transmit, TxSink};
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// What a train is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    /// Messages and what rides with them.
    Data,
    /// Acknowledgements and answers: neither limited nor kept.
    Control,
    /// The search for the path's MTU.
    Probe,
}

impl<P: Protector> Machine<P> {
    /// Hands out trains until nothing is left, the window is full, or `trains_max` have left. False: there is more for another round.
    pub fn transmit(
        &mut self,
        now: Instant,
        shared: &mut Shared<'_>,
        trains_max: usize,
        sink: &mut impl TxSink,
    ) -> bool {
        if !self.state.is_live() {
            self.transmit_close(now, shared, sink);
            return true;
        }
        self.transmit_paths(now, shared, sink);
        self.write_control(shared);
        let mut trains = 0;
        let mut is_limited = false;
        loop {
            self.write_latest(now, shared);
            let Some(written) = self.next_train(now, shared, &mut is_limited) else { break };
            let written = self.append_acknowledgement(now, written);
            self.emit(now, shared, self.path.peer, written, Purpose::Data, is_limited, sink);
            trains += 1;
            if trains >= trains_max {
                break;
            }
        }
        if self.is_held_up_by_lazy() {
            self.transmit_ping(now, shared, sink);
        }
        if self.receive.acknowledging.is_due_now() {
            self.transmit_acknowledgement(now, shared, sink);
        }
        self.transmit_probe(now, shared, sink);
        if !self.has_data() {
            self.send.main.relax(shared.pool);
            self.send.repair.relax(shared.pool);
        }
        // What is not acknowledged by anybody (unreliable messages) has left now.
        self.finish_if_settled(now, shared);
        self.transmit_close(now, shared, sink);
        trains < trains_max || !self.has_data()
    }

    /// The train that may leave now; whole, or as much as the window takes when nothing else is under way.
    fn next_train(
        &mut self,
        now: Instant,
        shared: &mut Shared<'_>,
        is_limited: &mut bool,
    ) -> Option<Written> {
        let is_repair = !self.send.repair.is_empty();
        let send = &mut self.send;
        let writer = if is_repair { &mut send.repair } else { &mut send.main };
        if writer.front().is_none() {
            writer.close();
        }
        let len = writer.front()?.buffer.len() as u64;
        let in_flight = send.flight.bytes();
        let room = self.path.control.window().saturating_sub(in_flight);
        let stride = writer.front()?.stride as u64;
        let mut allowed = len;
        let is_probe = send.probe_credit > 0;
        if is_probe {
            allowed = allowed.min(u64::from(send.probe_credit) * stride);
            send.probe_credit = send.probe_credit.saturating_sub(allowed.div_ceil(stride) as u32);
        } else if len > room {
            *is_limited = true;
            // Waiting for a whole train costs nothing while something is under way; of a window of few packets it would idle half.
            let window = self.path.control.window();
            let worth = if window < SMALL_WINDOW * stride { (window / 8).max(stride) } else { window / 2 };
            if in_flight > 0 && room < worth {
                return None;
            }
            allowed = room.max(stride);
        }
        let burst = self.path.pacer.burst();
        allowed = allowed.min(burst.max(stride));
        let due = self.path.pacer.due(now, allowed);
        if due > now && !is_probe {
            send.pace_due = Some(due);
            return None;
        }
        send.pace_due = None;
        let written = writer.pop()?;
        // The last packet may be shorter than the others.
        let packets = (allowed / stride).max(1);
        if allowed >= len || packets >= u64::from(written.count) {
            return Some(written);
        }
        let (head, tail) = cut(written, packets as u32, shared.pool);
        writer.put_back(tail);
        Some(head)
    }

    /// Latest messages go before all others: with the trains of repair, one of which at a time holds them.
    fn write_latest(&mut self, now: Instant, shared: &mut Shared<'_>) {
        if self.send.latest_due == 0 || !self.send.repair.is_empty() {
            return;
        }
        // While nothing may leave, the newest value is still to come.
        let is_paced = self.send.pace_due.is_some_and(|due| due > now);
        let is_full = self.send.flight.bytes() >= self.path.control.window();
        if self.send.probe_credit == 0 && (is_paced || is_full) {
            return;
        }
        let shape = self.shape();
        self.send.latest_due = 0;
        for stream in self.send.streams.iter_mut() {
            let id = stream.id;
            let Some(latest) = stream.latest.as_mut().filter(|latest| latest.is_due) else { continue };
            latest.is_due = false;
            let need = LATEST_HEAD_MAX + latest.payload.len();
            let packet = self.send.repair.packet(shared.pool, shape, need);
            packet.frame(true, need, |out| frame::put_latest(out, id, latest.sequence, &latest.payload));
        }
    }

    /// Windows and pings join the open train.
    fn write_control(&mut self, shared: &mut Shared<'_>) {
        let shape = self.shape();
        if self.receive.window_due {
            self.receive.window_due = false;
            let credit = self.receive.credit;
            let packet = self.send.main.packet(shared.pool, shape, 11);
            packet.frame(true, 11, |out| frame::put_window(out, credit));
        }
        for stream in core::mem::take(&mut self.receive.stream_windows_due) {
            let Some(state) = super::find_stream(&mut self.receive.streams, &mut self.receive.last, stream)
            else {
                continue;
            };
            let credit = state.credit;
            let packet = self.send.main.packet(shared.pool, shape, 16);
            packet.frame(true, 16, |out| frame::put_stream_window(out, stream, credit));
        }
        if core::mem::take(&mut self.send.ping_due)
            && self.send.main.is_empty()
            && self.send.repair.is_empty()
        {
            self.send.main.packet(shared.pool, shape, 1).frame(true, 1, |out| out.push(frame::PING));
        }
    }

    /// Puts an acknowledgement into the last packet of a train; one that is due and finds no room there goes behind it, as its short last
    /// packet.
    fn append_acknowledgement(&mut self, now: Instant, mut written: Written) -> Written {
        if !self.receive.acknowledging.has_news() {
            return written;
        }
        let trailer = self.protector.trailer_bytes();
        let last = (written.count as usize - 1) * written.stride;
        let limit = if written.count == 1 { self.path.search.packet_bytes() } else { written.stride };
        let room = (last + limit).saturating_sub(written.buffer.len());
        let acknowledging = &mut self.receive.acknowledging;
        if room >= ACKNOWLEDGEMENT_ROOM_MIN && !written.is_padded {
            written.buffer.truncate(written.buffer.len() - trailer);
            acknowledging.put(now, &mut written.buffer, room.min(FRAME_BYTES_MAX));
            written.buffer.resize(written.buffer.len() + trailer, 0);
            if written.count == 1 {
                written.stride = written.buffer.len();
            }
            return written;
        }
        let end = written.count as usize * written.stride;
        let room = written.stride.saturating_sub(HEADER_BYTES + trailer).min(FRAME_BYTES_MAX);
        let is_possible = acknowledging.is_due_now()
            && (2..PACKETS_MAX).contains(&written.count)
            && room >= ACKNOWLEDGEMENT_ROOM_MIN
            && end + room <= TRAIN_BYTES_LIMIT;
        if is_possible {
            // What was the last packet gets the length of the others.
            written.buffer.resize(end + HEADER_BYTES, 0);
            acknowledging.put(now, &mut written.buffer, room);
            written.buffer.resize(written.buffer.len() + trailer, 0);
            written.count += 1;
            written.has_silent_end = true;
        }
        written
    }

    fn control_packet(&self, shared: &mut Shared<'_>) -> Builder {
        let shape = self.shape();
        let buffer = shared.pool.take_small(shape.packet_bytes);
        Builder::new(buffer, shape.packet_bytes, shape.trailer, shape.packet_bytes)
    }

    fn transmit_acknowledgement(&mut self, now: Instant, shared: &mut Shared<'_>, sink: &mut impl TxSink) {
        let mut packet = self.control_packet(shared);
        let room = packet.room().min(FRAME_BYTES_MAX);
        let acknowledging = &mut self.receive.acknowledging;
        packet.frame(false, room, |out| {
            acknowledging.put(now, out, room);
        });
        if packet.is_empty() {
            return shared.pool.give(packet.finish().buffer);
        }
        shared.stats.acknowledgements_alone += 1;
        self.emit(now, shared, self.path.peer, packet.finish(), Purpose::Control, false, sink);
    }

    /// Whether the window is full of packets that nobody has to acknowledge.
    fn is_held_up_by_lazy(&self) -> bool {
        let send = &self.send;
        self.has_data() && send.pace_due.is_none() && send.flight.eliciting() == 0 && !send.flight.is_empty()
    }

    /// Asks for an acknowledgement, whatever the window says.
    fn transmit_ping(&mut self, now: Instant, shared: &mut Shared<'_>, sink: &mut impl TxSink) {
        let mut packet = self.control_packet(shared);
        packet.frame(true, 1, |out| out.push(frame::PING));
        self.emit(now, shared, self.path.peer, packet.finish(), Purpose::Data, true, sink);
    }

    /// Challenges and responses, each to the address that it is about.
    fn transmit_paths(&mut self, now: Instant, shared: &mut Shared<'_>, sink: &mut impl TxSink) {
        let response = self.path.take_response().map(|(to, value)| (to, true, value));
        let challenge = self.path.take_challenge(now).map(|(to, value)| (to, false, value));
        for (to, is_response, value) in response.into_iter().chain(challenge) {
            let mut packet = self.control_packet(shared);
            packet.frame(false, 9, |out| frame::put_path(out, is_response, value));
            self.emit(now, shared, to, packet.finish(), Purpose::Control, false, sink);
        }
    }

    fn transmit_close(&mut self, now: Instant, shared: &mut Shared<'_>, sink: &mut impl TxSink) {
        let Some(Words { code, text }) = self.state.take_close() else { return };
        let mut packet = self.control_packet(shared);
        packet.frame(false, 270, |out| frame::put_close(out, code, &text));
        self.emit(now, shared, self.path.peer, packet.finish(), Purpose::Control, false, sink);
    }

    /// The next step of the search for the path's MTU: a ping, padded.
    fn transmit_probe(&mut self, now: Instant, shared: &mut Shared<'_>, sink: &mut impl TxSink) {
        if self.state != State::Open || self.send.acknowledged.is_none() {
            return;
        }
        let Some(bytes) = self.path.search.probe(now) else { return };
        let trailer = self.protector.trailer_bytes();
        let mut buffer = shared.pool.take_small(bytes);
        buffer.resize(HEADER_BYTES, 0);
        buffer.push(frame::PING);
        buffer.resize(bytes.max(HEADER_BYTES + 1 + trailer), 0);
        let stride = buffer.len();
        let written =
            Written { buffer, stride, count: 1, eliciting: 1, has_silent_end: false, is_padded: true };
        self.emit(now, shared, self.path.peer, written, Purpose::Probe, false, sink);
    }

    /// Numbers, seals and sends a train.
    #[expect(clippy::too_many_arguments, reason = "what a train is and what for")]
    fn emit(
        &mut self,
        now: Instant,
        shared: &mut Shared<'_>,
        to: SocketAddr,
        mut written: Written,
        purpose: Purpose,
        is_limited: bool,
        sink: &mut impl TxSink,
    ) {
        if self.send.number_next + u64::from(written.count) > NUMBER_MAX {
            // Who is told so twice gets no number for it.
            if self.state.is_live() {
                self.violate(now, shared, crate::datagram::event::CloseCode::Exhausted);
            }
            return;
        }
        if self.send.probes_sent > 0 && written.count == 1 && written.buffer.len() < RESET_BYTES {
            // As long as a Reset: a peer that was started anew answers nothing shorter with it.
            written.buffer.resize(RESET_BYTES, 0);
            written.stride = RESET_BYTES;
        }
        self.update_key(now, shared);
        let phase = self.protector.phase();
        let first = self.send.number_next;
        for (index, packet) in written.buffer.chunks_mut(written.stride).enumerate() {
            let number = first + index as u64;
            let header =
                DataHeader { phase, source_shard: shared.config.shard, number, target: self.peer_id };
            header.write(packet);
            self.protector.seal(number, packet);
        }
        if shared.trace.is_on() {
            self.trace_sent(shared, first, &written, purpose == Purpose::Probe);
        }
        self.send.number_next += u64::from(written.count);
        shared.stats.packets_sent += u64::from(written.count);
        shared.stats.trains_sent += 1;
        let len = written.buffer.len();
        let is_eliciting = written.eliciting != 0;
        if written.count > 1 && len < written.buffer.capacity() / 4 {
            // A short train does not keep the room of a long one until it is acknowledged.
            let exact = written.buffer.as_slice().to_vec();
            shared.pool.give(core::mem::replace(&mut written.buffer, exact));
        }
        let bytes = Arc::new(written.buffer);
        let keeps = is_eliciting && purpose == Purpose::Data;
        if !keeps {
            shared.pool.give_shared(Arc::clone(&bytes));
        }
        if purpose != Purpose::Control {
            if self.send.flight.eliciting() == 0 && self.send.probes_sent == 0 {
                self.send.progress = now;
            }
            if is_eliciting {
                self.asked = now;
            }
            self.path.pacer.take(len as u64);
            let tracked = written.count - u32::from(written.has_silent_end);
            let all = if tracked >= 64 { u64::MAX } else { (1 << tracked) - 1 };
            self.send.flight.push(Sent {
                first,
                count: written.count,
                stride: written.stride as u32,
                len: len as u32,
                flying: all,
                eliciting: written.eliciting,
                bytes: keeps.then(|| Arc::clone(&bytes)),
                phase,
                at: now,
                was_limited: is_limited
                    || self.send.flight.bytes() + len as u64 >= self.path.control.window() / 2,
                is_probe: purpose == Purpose::Probe,
            });
        }
        sink.transmit(Transmit {
            to,
            bytes,
            range: 0..len,
            segment: written.stride as u32,
            is_ecn: self.path.has_ecn,
            is_probe: purpose == Purpose::Probe,
        });
    }

    /// A new key when this one has served long enough.
    fn update_key(&mut self, now: Instant, shared: &mut Shared<'_>) {
        let (number, since) = self.key_since;
        let is_worn = self.send.number_next - number >= shared.config.key_packets_max
            || now.saturating_sub(since) >= shared.config.key_lifetime;
        if !is_worn || self.key_rest.is_some() || self.send.acknowledged < Some(number) {
            return;
        }
        // The one before must be out of use: the peer's copy of it forgotten, and none of its packets to be opened and sent again.
        let oldest = self.send.flight.trains().find(|train| train.bytes.is_some());
        if oldest.is_none_or(|train| train.first >= number) {
            self.protector.update_key();
            self.key_since = (self.send.number_next, now);
            self.key_rest = Some(now + self.linger());
            shared.stats.key_updates += 1;
            let number = self.send.number_next;
            shared.trace.note(Some(self.name), || TraceEvent::KeyUpdated { is_own: true, number });
        }
    }
}

/// Takes the first `packets` of a train away from it.
fn cut(written: Written, packets: u32, pool: &mut crate::datagram::pool::Pool) -> (Written, Written) {
    let at = packets as usize * written.stride;
    let mut head: Vec<u8> = if at <= written.stride { pool.take_small(at) } else { pool.take_large() };
    head.extend_from_slice(&written.buffer[..at]);
    let mut buffer = written.buffer;
    buffer.drain(..at);
    let mask = (1 << packets) - 1;
    let head = Written {
        buffer: head,
        stride: written.stride,
        count: packets,
        eliciting: written.eliciting & mask,
        has_silent_end: false,
        is_padded: true,
    };
    let tail = Written {
        stride: written.stride.min(buffer.len()),
        buffer,
        count: written.count - packets,
        eliciting: written.eliciting >> packets,
        has_silent_end: false,
        is_padded: written.is_padded,
    };
    (head, tail)
}

/// Packets of a window that longer trains than a part of it would leave idle.
const SMALL_WINDOW: u64 = 32;
/// What a UDP datagram of IPv4 can carry.
const TRAIN_BYTES_LIMIT: usize = 65_507;
/// An acknowledgement of one range takes less.
const ACKNOWLEDGEMENT_ROOM_MIN: usize = 24;
