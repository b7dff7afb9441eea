//! A train that is being written: packets of one length, one behind the other in one buffer.

use super::frame;
use super::id::{Sequence, StreamId};
use super::packet::HEADER_BYTES;
use crate::wire::varint;
use alloc::vec::Vec;

/// Frames of packets that have not left yet. Headers and trailers are room until then.
///
/// Invariants: packet `i < closed` takes `i * stride .. (i + 1) * stride`; the open packet begins at `start` and is at most
/// `limit()` long with its trailer; the buffer ends where the next frame goes.
#[derive(Debug)]
pub struct Builder {
    buffer: Vec<u8>,
    start: usize,
    stride: usize,
    packet_bytes: usize,
    trailer: usize,
    closed: u32,
    eliciting: u64,
    run: Option<Run>,
    train_bytes_max: usize,
}

/// The messages frame at the end of the open packet.
#[derive(Clone, Copy, Debug)]
struct Run {
    stream: StreamId,
    next: Sequence,
    /// Where its count is; its length lies behind it. Of an unreliable frame: where its length is.
    head: usize,
    count: u16,
}

/// A written train.
#[derive(Debug)]
pub struct Written {
    /// Packets with room for headers and trailers; all but the last are `stride` long.
    pub buffer: Vec<u8>,
    /// Length of each packet.
    pub stride: usize,
    /// Packets.
    pub count: u32,
    /// Which of them ask for an acknowledgement, a bit each.
    pub eliciting: u64,
    /// The last one holds an acknowledgement and nothing else.
    pub has_silent_end: bool,
    /// The last one is padded: no frame can follow in it.
    pub is_padded: bool,
}

impl Builder {
    /// Writes into `buffer` (emptied) packets of at most `packet_bytes`, in all at most `train_bytes_max`.
    pub fn new(mut buffer: Vec<u8>, packet_bytes: usize, trailer: usize, train_bytes_max: usize) -> Builder {
        buffer.clear();
        buffer.resize(HEADER_BYTES, 0);
        Builder {
            buffer,
            start: 0,
            stride: 0,
            packet_bytes,
            trailer,
            closed: 0,
            eliciting: 0,
            run: None,
            train_bytes_max: train_bytes_max.max(packet_bytes),
        }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there is no frame yet.
    pub fn is_empty(&self) -> bool {
        self.closed == 0 && self.buffer.len() == HEADER_BYTES
    }

    fn limit(&self) -> usize {
        if self.stride > 0 { self.stride } else { self.packet_bytes }
    }

    /// Bytes that frames may still take in the open packet.
    pub fn room(&self) -> usize {
        (self.start + self.limit() - self.trailer).saturating_sub(self.buffer.len())
    }

    /// Appends a message of a reliable stream; false when the open packet has no room for it.
    #[inline]
    pub fn message(&mut self, stream: StreamId, sequence: Sequence, payload: &[u8]) -> bool {
        let Some(place) = self.reserve(stream, sequence, payload.len()) else { return false };
        debug_assert_eq!(place, self.buffer.len());
        self.buffer.extend_from_slice(payload);
        true
    }

    /// Writes what comes before a message of `len` bytes; the bytes themselves are to be appended next. `None` when there is no room.
    #[inline]
    fn reserve(&mut self, stream: StreamId, sequence: Sequence, len: usize) -> Option<usize> {
        let need = varint::len(len as u64) + len;
        match &mut self.run {
            Some(run) if run.stream == stream && run.next == sequence && run.count < u16::MAX => {
                if need
                    > (self.start + if self.stride > 0 { self.stride } else { self.packet_bytes }
                        - self.trailer)
                        .saturating_sub(self.buffer.len())
                {
                    return None;
                }
                run.next += 1;
                run.count += 1;
            }
            _ => {
                let head = 1 + varint::len(stream.to_wire().into()) + varint::len(sequence) + 4;
                if head + need > self.room() {
                    return None;
                }
                self.end_run();
                self.buffer.push(frame::MESSAGES);
                varint::put(&mut self.buffer, stream.to_wire().into());
                varint::put(&mut self.buffer, sequence);
                self.run = Some(Run { stream, next: sequence + 1, head: self.buffer.len(), count: 1 });
                self.buffer.extend_from_slice(&[0; 4]);
                self.eliciting |= 1 << self.closed;
            }
        }
        varint::put(&mut self.buffer, len as u64);
        Some(self.buffer.len())
    }

    /// Room for a message of at most `len` bytes, to be written in place and ended by [`Builder::commit`]. `None` when the open packet has
    /// none.
    pub fn claim(&mut self, stream: StreamId, sequence: Sequence, len: usize) -> Option<Claim> {
        let start = self.reserve(stream, sequence, len)?;
        self.buffer.resize(start + len, 0);
        Some(Claim { start, head: varint::len(len as u64) })
    }

    /// The bytes of a claim, the newest thing in the train.
    pub fn claimed(&mut self, claim: &Claim) -> &mut [u8] {
        &mut self.buffer[claim.start..]
    }

    /// Ends a claim: its first `len` bytes are the message.
    pub fn commit(&mut self, claim: &Claim, len: usize) {
        varint::fill(&mut self.buffer[claim.start - claim.head..claim.start], len as u64);
        self.buffer.truncate(claim.start + len);
    }

    /// Appends a message of an unreliable stream; false when the open packet has no room for it.
    pub fn unreliable(&mut self, stream: StreamId, payload: &[u8]) -> bool {
        let need = varint::len(payload.len() as u64) + payload.len();
        let is_same = self.run.is_some_and(|run| run.stream == stream);
        let head = 1 + varint::len(stream.to_wire().into()) + 2;
        if need + if is_same { 0 } else { head } > self.room() {
            return false;
        }
        if !is_same {
            self.end_run();
            self.buffer.push(frame::UNRELIABLE);
            varint::put(&mut self.buffer, stream.to_wire().into());
            self.run = Some(Run { stream, next: 0, head: self.buffer.len(), count: 0 });
            self.buffer.extend_from_slice(&[0; 2]);
        }
        varint::put(&mut self.buffer, payload.len() as u64);
        self.buffer.extend_from_slice(payload);
        true
    }

    /// Appends another frame of at most `len_max` bytes; false when the open packet has no room for it.
    pub fn frame(&mut self, is_eliciting: bool, len_max: usize, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if len_max > self.room() {
            return false;
        }
        self.end_run();
        let before = self.buffer.len();
        write(&mut self.buffer);
        debug_assert!(self.buffer.len() <= before + len_max, "{} > {len_max}", self.buffer.len() - before);
        if is_eliciting && self.buffer.len() > before {
            self.eliciting |= 1 << self.closed;
        }
        true
    }

    /// Closes the open packet because the next frame, of `next` bytes, does not fit, and begins another. False when the train is full
    /// or the frame needs longer packets than this train has: begin another train then.
    pub fn next_packet(&mut self, next: usize) -> bool {
        let wanted = HEADER_BYTES + next + self.trailer;
        let stride = match self.stride {
            // The longer of the two: the packets that follow will be like one of them.
            0 => (self.buffer.len() - self.start + self.trailer).max(wanted).min(self.packet_bytes),
            stride => stride,
        };
        let is_full = self.closed + 1 >= PACKETS_MAX || self.start + 2 * stride > self.train_bytes_max;
        if is_full || wanted > stride {
            return false;
        }
        self.stride = stride;
        self.end_run();
        self.start += stride;
        self.closed += 1;
        self.buffer.resize(self.start + HEADER_BYTES, 0);
        true
    }

    /// Moves to a larger buffer; returns the one before.
    pub fn grow(&mut self, mut larger: Vec<u8>) -> Vec<u8> {
        larger.clear();
        larger.extend_from_slice(&self.buffer);
        core::mem::replace(&mut self.buffer, larger)
    }

    /// Room of the buffer that is taken.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Ends the train.
    pub fn finish(mut self) -> Written {
        self.end_run();
        let (mut count, mut is_padded) = (self.closed + 1, false);
        if self.buffer.len() == self.start + HEADER_BYTES && self.closed > 0 {
            // The last packet was begun and not used.
            self.buffer.truncate(self.start);
            count -= 1;
            is_padded = true;
        } else {
            self.buffer.resize(self.buffer.len() + self.trailer, 0);
        }
        let stride = if self.stride > 0 { self.stride } else { self.buffer.len() };
        Written {
            buffer: self.buffer,
            stride,
            count,
            eliciting: self.eliciting,
            has_silent_end: false,
            is_padded,
        }
    }

    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        let mut head = run.head;
        if run.count > 0 {
            self.buffer[head..head + 2].copy_from_slice(&run.count.to_le_bytes());
            head += 2;
        }
        let len = (self.buffer.len() - head - 2) as u16;
        self.buffer[head..head + 2].copy_from_slice(&len.to_le_bytes());
    }
}

/// A message that is being written in place.
#[derive(Debug)]
pub struct Claim {
    start: usize,
    head: usize,
}

/// Packets of a train: a bit each in a word.
pub const PACKETS_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagram::StreamKind;
    use crate::datagram::frame::{Frame, Frames};
    use alloc::vec;

    const TRAILER: usize = 4;

    fn packets(written: &Written) -> Vec<&[u8]> {
        let packets: Vec<_> = written.buffer.chunks(written.stride).collect();
        assert_eq!(packets.len(), written.count as usize);
        packets.into_iter().map(|packet| &packet[HEADER_BYTES..packet.len() - TRAILER]).collect()
    }

    fn payloads(packet: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Frames::new(packet);
        let mut all = vec![];
        while let Some(frame) = frames.next_frame().unwrap() {
            match frame {
                Frame::Messages(frame) => {
                    all.extend(super::super::event::messages(frame.content).map(<[u8]>::to_vec))
                }
                Frame::Unreliable(_, content) => {
                    all.extend(super::super::event::messages(content).map(<[u8]>::to_vec))
                }
                other => panic!("{other:?}"),
            }
        }
        all
    }

    #[test]
    fn small_messages_share_packets_of_one_length() {
        let mut builder = Builder::new(vec![], 1472, TRAILER, 60_000);
        let mut sent = vec![];
        for sequence in 0..100u64 {
            let payload = vec![sequence as u8; 64];
            if !builder.message(StreamId::DEFAULT, sequence, &payload) {
                assert!(builder.next_packet(80));
                assert!(builder.message(StreamId::DEFAULT, sequence, &payload));
            }
            sent.push(payload);
        }
        let written = builder.finish();
        assert_eq!((written.count, written.eliciting), (5, 0b11111));
        assert!(written.stride <= 1472);
        let arrived: Vec<_> = packets(&written).into_iter().flat_map(payloads).collect();
        assert_eq!(arrived, sent);
    }

    #[test]
    fn a_packet_is_as_long_as_its_messages_when_they_are_alike() {
        let mut builder = Builder::new(vec![], 1472, TRAILER, 60_000);
        for sequence in 0..10 {
            let payload = [7; 1024];
            if !builder.message(StreamId::DEFAULT, sequence, &payload) {
                assert!(builder.next_packet(1035));
                assert!(builder.message(StreamId::DEFAULT, sequence, &payload));
            }
        }
        let written = builder.finish();
        assert!(written.stride < 1060, "{}", written.stride);
        assert_eq!(packets(&written).into_iter().flat_map(payloads).count(), 10);
    }

    #[test]
    fn a_longer_message_than_the_packets_of_the_train_begins_another() {
        let mut builder = Builder::new(vec![], 1472, TRAILER, 60_000);
        assert!(builder.message(StreamId::DEFAULT, 0, &[1; 700]));
        assert!(builder.next_packet(710) && builder.message(StreamId::DEFAULT, 1, &[1; 700]));
        assert!(!builder.message(StreamId::DEFAULT, 2, &[1; 1300]) && !builder.next_packet(1310));
        assert_eq!(builder.finish().count, 2);
    }

    #[test]
    fn a_claim_is_as_long_as_what_was_written() {
        let mut builder = Builder::new(vec![], 1472, TRAILER, 60_000);
        let claim = builder.claim(StreamId::DEFAULT, 0, 500).unwrap();
        builder.claimed(&claim)[..3].copy_from_slice(b"abc");
        builder.commit(&claim, 3);
        assert!(builder.message(StreamId::DEFAULT, 1, b"d"));
        let written = builder.finish();
        assert_eq!(payloads(packets(&written)[0]), [b"abc".to_vec(), b"d".to_vec()]);
    }

    #[test]
    fn unreliable_messages_are_lazy() {
        let stream = StreamId::new(1, StreamKind::Unreliable).unwrap();
        let mut builder = Builder::new(vec![], 1472, TRAILER, 60_000);
        assert!(builder.unreliable(stream, b"one") && builder.unreliable(stream, b"two"));
        let written = builder.finish();
        assert_eq!((written.count, written.eliciting), (1, 0));
        assert_eq!(payloads(packets(&written)[0]), [b"one".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn a_packet_that_was_begun_and_not_used_is_not_sent() {
        let mut builder = Builder::new(vec![], 1472, TRAILER, 60_000);
        assert!(builder.message(StreamId::DEFAULT, 0, &[1; 1400]));
        assert!(builder.next_packet(100));
        let written = builder.finish();
        assert_eq!(written.count, 1);
        assert_eq!(written.buffer.len(), written.stride);
    }
}
