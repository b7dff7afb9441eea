//! Sending again what was lost, in new packets.

use super::{Machine, Shared};
use crate::datagram::frame::{Frame, Frames};
use crate::datagram::id::{Sequence, StreamId, StreamKind};
use crate::datagram::packet::HEADER_BYTES;
use crate::datagram::ranges::Ranges;
use crate::datagram::security::Protector;
use crate::datagram::sent::{Lost, Sent};
use crate::datagram::trace::TraceEvent;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// A lost packet, away from its train.
pub(super) struct LostPacket {
    bytes: Option<Arc<Vec<u8>>>,
    range: Range<usize>,
    number: u64,
    phase: bool,
    is_probe: bool,
    at: Instant,
}

impl LostPacket {
    pub fn new(lost: &Lost<'_>) -> LostPacket {
        let Lost { train, index } = lost;
        LostPacket {
            bytes: train.bytes.clone(),
            range: train.range(*index),
            number: train.first + u64::from(*index),
            phase: train.phase,
            is_probe: train.is_probe,
            at: train.at,
        }
    }
}

impl<P: Protector> Machine<P> {
    /// Looks for lost packets after an acknowledgement or when time has passed.
    pub(super) fn detect_lost(&mut self, now: Instant, shared: &mut Shared<'_>) {
        let Some(largest) = self.send.acknowledged else { return };
        let mut lost = Vec::new();
        let pool = &mut *shared.pool;
        self.send.loss_due = self.send.flight.detect_lost(
            now,
            largest,
            self.send.reordering,
            self.path.rtt.loss_delay(),
            |packet| lost.push(LostPacket::new(&packet)),
            |train| free(pool, train),
        );
        if lost.is_empty() {
            return;
        }
        let mut is_black_hole = false;
        for packet in &lost {
            shared.stats.packets_lost += 1;
            let (number, bytes, is_probe) = (packet.number, packet.range.len(), packet.is_probe);
            shared.trace.note(Some(self.name), || TraceEvent::Lost { number, bytes, is_probe });
            if packet.is_probe {
                self.path.search.on_probe_lost(now, self.path.rtt.smoothed());
                continue;
            }
            self.path.control.on_congestion(now, packet.at);
            is_black_hole |= self.path.search.on_lost(now, packet.range.len(), 1);
        }
        if self.is_persistent(&lost) {
            self.path.control.on_persistent_congestion();
            self.send.reordering = super::REORDERING_MIN;
        }
        self.path.pace(now);
        if is_black_hole {
            self.shorten(shared);
        }
        self.resend(shared, lost);
    }

    /// Whether losses that show together span so long a time that the path carried nothing meanwhile (RFC 9002, 7.6): a probe time-out alone may
    /// be a peer that did not get to run.
    fn is_persistent(&self, lost: &[LostPacket]) -> bool {
        let times = || lost.iter().filter(|packet| !packet.is_probe).map(|packet| packet.at);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return false };
        let timeout = self.path.rtt.probe_timeout(self.peer_limits.acknowledgement_delay());
        self.path.rtt.is_measured() && last.saturating_sub(first) >= timeout * PERSISTENT_TIMEOUTS
    }

    /// The oldest packet that asks for an acknowledgement goes again.
    pub(super) fn resend_oldest(&mut self, now: Instant, shared: &mut Shared<'_>) {
        let mut lost = Vec::new();
        let pool = &mut *shared.pool;
        self.send
            .flight
            .give_up_oldest(|packet| lost.push(LostPacket::new(&packet)), |train| free(pool, train));
        if lost.iter().any(|packet| packet.is_probe) {
            self.path.search.on_probe_lost(now, self.path.rtt.smoothed());
        }
        let longest = lost.iter().filter(|packet| !packet.is_probe).map(|packet| packet.range.len()).max();
        if longest.is_some_and(|bytes| self.path.search.on_lost(now, bytes, PROBE_WEIGHT)) {
            self.shorten(shared);
        }
        self.resend(shared, lost);
    }

    /// Writes the frames of lost packets into repair trains.
    fn resend(&mut self, shared: &mut Shared<'_>, lost: Vec<LostPacket>) {
        for packet in lost {
            let Some(bytes) = packet.bytes else { continue };
            let mut copy = bytes[packet.range].to_vec();
            if self.protector.reopen(packet.number, packet.phase, &mut copy) {
                let end = copy.len() - self.protector.trailer_bytes();
                self.rewrite(shared, &copy[HEADER_BYTES..end]);
            }
        }
        self.send.repair.close();
    }

    /// The path takes shorter packets than those that wait: they are written anew.
    fn shorten(&mut self, shared: &mut Shared<'_>) {
        self.path.control.on_packet_bytes(self.path.search.packet_bytes());
        let trailer = self.protector.trailer_bytes();
        for mut writer in [core::mem::take(&mut self.send.repair), core::mem::take(&mut self.send.main)] {
            writer.close();
            while let Some(written) = writer.pop() {
                for packet in written.buffer.chunks(written.stride) {
                    self.rewrite(shared, &packet[HEADER_BYTES..packet.len() - trailer]);
                }
                shared.pool.give(written.buffer);
            }
        }
    }

    /// Writes frames again, as they make sense now.
    fn rewrite(&mut self, shared: &mut Shared<'_>, frames: &[u8]) {
        let shape = self.shape();
        let mut frames = Frames::new(frames);
        while let Ok(Some(frame)) = frames.next_frame() {
            match frame {
                Frame::Messages(frame) => {
                    for (place, payload) in crate::datagram::event::messages(frame.content).enumerate() {
                        let sequence = frame.first + place as u64;
                        self.send.repair.message(shared.pool, shape, frame.stream, sequence, payload);
                    }
                }
                Frame::Fragment(part) => self.send.repair.fragments(
                    shared.pool,
                    shape,
                    part.stream,
                    part.sequence,
                    part.total,
                    part.offset,
                    part.bytes,
                ),
                Frame::Latest(stream, sequence, _) => self.latest_lost(stream, sequence),
                Frame::Window(_) => self.receive.window_due = true,
                Frame::StreamWindow(stream, _) => {
                    if !self.receive.stream_windows_due.contains(&stream) {
                        self.receive.stream_windows_due.push(stream);
                    }
                }
                Frame::Ping
                | Frame::Acknowledgement(_)
                | Frame::Unreliable(..)
                | Frame::Challenge(_)
                | Frame::Response(_)
                | Frame::Close { .. } => {}
            }
        }
    }

    fn latest_lost(&mut self, stream: StreamId, sequence: Sequence) {
        if let Some(latest) = self.send.streams.get(stream).and_then(|stream| stream.latest.as_mut())
            && latest.sequence == sequence
            && !latest.is_due
        {
            latest.is_due = true;
            self.send.latest_due += 1;
        }
    }

    /// Messages that are not known to have arrived: first and last of each range.
    pub(super) fn unconfirmed(&mut self) -> Vec<(StreamId, Sequence, Sequence)> {
        let mut found = Unconfirmed::default();
        let trailer = self.protector.trailer_bytes();
        let mut flying = Vec::new();
        for train in self.send.flight.trains() {
            for index in 0..train.count {
                if train.flying >> index & 1 == 1 {
                    flying.push(LostPacket::new(&Lost { train, index }));
                }
            }
        }
        for packet in flying {
            let Some(bytes) = packet.bytes else { continue };
            let mut copy = bytes[packet.range].to_vec();
            if self.protector.reopen(packet.number, packet.phase, &mut copy) {
                found.add(&copy[HEADER_BYTES..copy.len() - trailer]);
            }
        }
        for mut writer in [core::mem::take(&mut self.send.repair), core::mem::take(&mut self.send.main)] {
            writer.close();
            while let Some(written) = writer.pop() {
                for packet in written.buffer.chunks(written.stride) {
                    found.add(&packet[HEADER_BYTES..packet.len() - trailer]);
                }
            }
        }
        for stream in self.send.streams.iter_mut() {
            if stream.id.kind() == StreamKind::Ordered && found.0.contains_key(&stream.id) {
                // What lies behind a gap may have arrived, but was not handed out.
                found.extend_to_end(stream.id, stream.next);
            }
            if let Some(latest) = stream.latest.take_if(|latest| latest.is_due) {
                found.0.entry(stream.id).or_default().insert(latest.sequence, usize::MAX);
            }
        }
        self.send.latest_due = 0;
        // On an ordered stream what came later may have arrived and waits for ever.
        for stream in self.send.streams.iter_mut().filter(|stream| stream.id.kind() == StreamKind::Ordered) {
            if let Some(ranges) = found.0.get_mut(&stream.id)
                && let Some(range) = ranges.descending().last()
            {
                ranges.insert_range(*range.start(), stream.next, usize::MAX);
            }
        }
        found.into_list()
    }
}

pub(super) fn free(pool: &mut crate::datagram::pool::Pool, train: Sent) {
    train.bytes.into_iter().for_each(|bytes| pool.give_shared(bytes));
}

#[derive(Default)]
struct Unconfirmed(BTreeMap<StreamId, Ranges>);

impl Unconfirmed {
    fn add(&mut self, frames: &[u8]) {
        let mut frames = Frames::new(frames);
        while let Ok(Some(frame)) = frames.next_frame() {
            let (stream, first, count) = match frame {
                Frame::Messages(frame) => (frame.stream, frame.first, u64::from(frame.count)),
                Frame::Fragment(frame) => (frame.stream, frame.sequence, 1),
                Frame::Latest(stream, sequence, _) => (stream, sequence, 1),
                _ => continue,
            };
            debug_assert!(stream.kind() != StreamKind::Unreliable);
            self.0.entry(stream).or_default().insert_range(first, first + count, usize::MAX);
        }
    }

    /// From the first of a stream on to the last that was sent.
    fn extend_to_end(&mut self, stream: StreamId, next: Sequence) {
        if let Some(ranges) = self.0.get_mut(&stream)
            && let Some(first) = ranges.descending().last()
        {
            ranges.insert_range(*first.start(), next, usize::MAX);
        }
    }

    fn into_list(self) -> Vec<(StreamId, Sequence, Sequence)> {
        let mut list = Vec::new();
        for (stream, ranges) in self.0 {
            let mut own: Vec<_> =
                ranges.descending().map(|range| (stream, *range.start(), *range.end())).collect();
            own.reverse();
            list.append(&mut own);
        }
        list
    }
}

/// RFC 9002, 7.6.1.
const PERSISTENT_TIMEOUTS: u32 = 3;
/// What a probe time-out weighs in lost packets, for the notice of a black hole.
const PROBE_WEIGHT: u8 = 3;
