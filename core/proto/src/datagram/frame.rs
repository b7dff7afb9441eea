//! Frames: what a data packet says. See `docs/protocol/datagram.md`, "Frames".

use super::id::{Sequence, StreamId};
use super::ranges::Ranges;
use crate::wire::{Malformed, Reader, varint};
use alloc::vec::Vec;

pub(super) const PADDING: u8 = 0x00;
pub(super) const PING: u8 = 0x01;
const ACKNOWLEDGEMENT: u8 = 0x02;
const ACKNOWLEDGEMENT_ECN: u8 = 0x03;
const WINDOW: u8 = 0x04;
const STREAM_WINDOW: u8 = 0x05;
pub(super) const MESSAGES: u8 = 0x06;
const FRAGMENT: u8 = 0x07;
const LATEST: u8 = 0x08;
pub(super) const UNRELIABLE: u8 = 0x09;
const CHALLENGE: u8 = 0x0a;
const RESPONSE: u8 = 0x0b;
const CLOSE: u8 = 0x0c;

/// Packets received with each mark of RFC 3168.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EcnCounts {
    /// ECT(0).
    pub ect0: u64,
    /// ECT(1).
    pub ect1: u64,
    /// Congestion experienced.
    pub ce: u64,
}

/// A frame as it lies in a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// Asks for an acknowledgement.
    Ping,
    /// Packets that have arrived.
    Acknowledgement(Acknowledgement<'a>),
    /// Credit of the connection in all.
    Window(u64),
    /// Credit of a stream in all.
    StreamWindow(StreamId, u64),
    /// Whole messages of a stream, one behind the other.
    Messages(MessagesFrame<'a>),
    /// A part of a message.
    Fragment(FragmentFrame<'a>),
    /// The newest message of a stream.
    Latest(StreamId, Sequence, &'a [u8]),
    /// Messages that are not retransmitted.
    Unreliable(StreamId, &'a [u8]),
    /// Whether we can be reached at this address.
    Challenge(u64),
    /// Answer to a challenge.
    Response(u64),
    /// The end.
    Close {
        /// A number of the application's, or of [`super::CloseCode`].
        code: u64,
        /// In words, for people.
        text: &'a [u8],
    },
}

/// Content of a messages frame. `content` is checked: it holds `count` messages, each a length and its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessagesFrame<'a> {
    /// The stream.
    pub stream: StreamId,
    /// Sequence of the first.
    pub first: Sequence,
    /// How many.
    pub count: u32,
    /// Bytes of all of them, without their lengths.
    pub payload_bytes: usize,
    /// Bytes of the longest.
    pub longest: usize,
    /// Length and bytes of each.
    pub content: &'a [u8],
}

/// Content of a fragment frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FragmentFrame<'a> {
    /// The stream.
    pub stream: StreamId,
    /// Sequence of the message.
    pub sequence: Sequence,
    /// Bytes of the whole message.
    pub total: u64,
    /// Where this part begins; `offset + bytes.len() <= total`.
    pub offset: u64,
    /// The part, not empty.
    pub bytes: &'a [u8],
}

/// Content of an acknowledgement. `ranges` is checked: it can be read by [`Acknowledgement::ranges`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledgement<'a> {
    /// Highest packet number.
    pub largest: u64,
    /// Microseconds from its arrival to this frame.
    pub delay_us: u64,
    first_len: u64,
    ranges: &'a [u8],
    count: u32,
    /// Marks seen.
    pub ecn: Option<EcnCounts>,
}

impl<'a> Acknowledgement<'a> {
    /// The ranges (start and end, inclusive), the highest first.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + 'a {
        let mut reader = Reader::new(self.ranges);
        let mut below = self.largest + 1 - self.first_len;
        let first = (below, self.largest);
        core::iter::once(first).chain((0..self.count).map_while(move |_| {
            let (gap, len) = (reader.varint().ok()? + 1, reader.varint().ok()? + 1);
            let end = below.checked_sub(gap + 1)?;
            below = (end + 1).checked_sub(len)?;
            Some((below, end))
        }))
    }
}

/// Reads the frames of a packet one by one.
#[derive(Debug)]
pub struct Frames<'a> {
    reader: Reader<'a>,
}

impl<'a> Frames<'a> {
    /// The frames of a packet between header and trailer.
    pub fn new(bytes: &'a [u8]) -> Frames<'a> {
        Frames { reader: Reader::new(bytes) }
    }

    /// Bytes that have not been read.
    pub fn rest_len(&self) -> usize {
        self.reader.rest().len()
    }

    /// The next frame; `None` at the end.
    ///
    /// Errors: `Malformed`; what follows cannot be read then.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'a>>, Malformed> {
        let reader = &mut self.reader;
        if reader.is_empty() {
            return Ok(None);
        }
        let frame = match reader.u8()? {
            PADDING => {
                let rest = reader.bytes(reader.rest().len())?;
                return if rest.iter().all(|&byte| byte == 0) { Ok(None) } else { Err(Malformed) };
            }
            PING => Frame::Ping,
            kind @ (ACKNOWLEDGEMENT | ACKNOWLEDGEMENT_ECN) => {
                Frame::Acknowledgement(read_acknowledgement(reader, kind == ACKNOWLEDGEMENT_ECN)?)
            }
            WINDOW => Frame::Window(reader.varint()?),
            STREAM_WINDOW => Frame::StreamWindow(stream(reader)?, reader.varint()?),
            MESSAGES => {
                let (stream, first) = (stream(reader)?, reader.varint()?);
                let count = u32::from(reader.u16()?);
                let content = sized(reader)?;
                let Counted { count: counted, payload_bytes, longest } = count_messages(content)?;
                if !stream.is_reliable() || first > SEQUENCE_MAX || counted != count || count == 0 {
                    return Err(Malformed);
                }
                Frame::Messages(MessagesFrame { stream, first, count, payload_bytes, longest, content })
            }
            FRAGMENT => {
                let (stream, sequence) = (stream(reader)?, reader.varint()?);
                let (total, offset) = (reader.varint()?, reader.varint()?);
                let bytes = sized(reader)?;
                let end = offset.checked_add(bytes.len() as u64).ok_or(Malformed)?;
                if !stream.is_reliable() || sequence > SEQUENCE_MAX || bytes.is_empty() || end > total {
                    return Err(Malformed);
                }
                Frame::Fragment(FragmentFrame { stream, sequence, total, offset, bytes })
            }
            LATEST => {
                let (stream, sequence) = (stream(reader)?, reader.varint()?);
                if stream.kind() != super::StreamKind::Latest || sequence > SEQUENCE_MAX {
                    return Err(Malformed);
                }
                Frame::Latest(stream, sequence, sized(reader)?)
            }
            UNRELIABLE => {
                let stream = stream(reader)?;
                let content = sized(reader)?;
                if stream.kind() != super::StreamKind::Unreliable {
                    return Err(Malformed);
                }
                count_messages(content)?;
                Frame::Unreliable(stream, content)
            }
            CHALLENGE => Frame::Challenge(reader.u64()?),
            RESPONSE => Frame::Response(reader.u64()?),
            CLOSE => {
                let code = reader.varint()?;
                let len = usize::from(reader.u8()?);
                Frame::Close { code, text: reader.bytes(len)? }
            }
            _ => return Err(Malformed),
        };
        Ok(Some(frame))
    }
}

fn stream(reader: &mut Reader<'_>) -> Result<StreamId, Malformed> {
    Ok(StreamId::from_wire(reader.varint_u32()?))
}

fn sized<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = usize::from(reader.u16()?);
    reader.bytes(len)
}

/// What packed messages are together.
#[derive(Default)]
struct Counted {
    count: u32,
    payload_bytes: usize,
    longest: usize,
}

/// Messages in `content`, their bytes without the lengths, and the longest. Errors: `Malformed` when it does not end where a message ends.
#[inline]
fn count_messages(content: &[u8]) -> Result<Counted, Malformed> {
    let mut place = 0;
    let mut counted = Counted::default();
    while place < content.len() {
        let (len, head) = varint::get(&content[place..]).ok_or(Malformed)?;
        let left = content.len() - place - head;
        if len > left as u64 {
            return Err(Malformed);
        }
        let len = len as usize;
        place += head + len;
        counted.payload_bytes += len;
        counted.longest = counted.longest.max(len);
        counted.count += 1;
    }
    Ok(counted)
}

fn read_acknowledgement<'a>(
    reader: &mut Reader<'a>,
    has_ecn: bool,
) -> Result<Acknowledgement<'a>, Malformed> {
    let largest = reader.varint()?;
    let delay_us = reader.varint()?;
    let count = reader.varint_u32()?;
    let first_len = reader.varint()?.checked_add(1).ok_or(Malformed)?;
    if largest > super::packet::NUMBER_MAX || count > RANGES_MAX || first_len > largest + 1 {
        return Err(Malformed);
    }
    let ranges = reader.rest();
    let mut below = largest + 1 - first_len;
    for _ in 0..count {
        let (gap, len) = (reader.varint()?, reader.varint()?);
        let taken =
            gap.checked_add(2).and_then(|gap| gap.checked_add(len)?.checked_add(1)).ok_or(Malformed)?;
        // The gap, the range and one below the last range: end = below - gap - 1.
        below = below.checked_sub(taken - 1).ok_or(Malformed)?;
    }
    let ranges = &ranges[..ranges.len() - reader.rest().len()];
    let ecn = if has_ecn {
        Some(EcnCounts { ect0: reader.varint()?, ect1: reader.varint()?, ce: reader.varint()? })
    } else {
        None
    };
    Ok(Acknowledgement { largest, delay_us, first_len, ranges, count, ecn })
}

/// Appends an acknowledgement of the newest ranges, in at most `room` bytes. False when not even the first fits, or there is nothing to
/// acknowledge.
pub fn put_acknowledgement(
    out: &mut Vec<u8>,
    received: &Ranges,
    delay_us: u64,
    ecn: Option<EcnCounts>,
    room: usize,
) -> bool {
    let mut ranges = received.descending();
    let Some(first) = ranges.next() else { return false };
    let (largest, mut below) = (*first.end(), *first.start());
    let counts = ecn.map_or([0; 3], |ecn| [ecn.ect0, ecn.ect1, ecn.ce]);
    let ecn_len: usize = if ecn.is_some() { counts.iter().map(|&count| varint::len(count)).sum() } else { 0 };
    // One byte for the count of ranges: there are fewer than 128.
    let head = 1 + varint::len(largest) + varint::len(delay_us) + 1 + varint::len(largest - below);
    if head + ecn_len > room {
        return false;
    }
    let mut left = room - head - ecn_len;
    out.push(if ecn.is_some() { ACKNOWLEDGEMENT_ECN } else { ACKNOWLEDGEMENT });
    varint::put(out, largest);
    varint::put(out, delay_us);
    let count_at = out.len();
    out.push(0);
    varint::put(out, largest - below);
    for range in ranges.take(RANGES_SENT_MAX) {
        let (gap, len) = (below - range.end() - 2, range.end() - range.start());
        let taken = varint::len(gap) + varint::len(len);
        if taken > left {
            break;
        }
        left -= taken;
        varint::put(out, gap);
        varint::put(out, len);
        out[count_at] += 1;
        below = *range.start();
    }
    if ecn.is_some() {
        for count in counts {
            varint::put(out, count);
        }
    }
    true
}

/// Appends the frame of a credit of the connection.
pub fn put_window(out: &mut Vec<u8>, credit: u64) {
    out.push(WINDOW);
    varint::put(out, credit);
}

/// Appends the frame of a credit of a stream.
pub fn put_stream_window(out: &mut Vec<u8>, stream: StreamId, credit: u64) {
    out.push(STREAM_WINDOW);
    varint::put(out, u64::from(stream.to_wire()));
    varint::put(out, credit);
}

/// Appends a part of a message, at most 65,535 bytes of it.
pub fn put_fragment(
    out: &mut Vec<u8>,
    stream: StreamId,
    sequence: Sequence,
    total: u64,
    offset: u64,
    bytes: &[u8],
) {
    out.push(FRAGMENT);
    varint::put(out, u64::from(stream.to_wire()));
    varint::put(out, sequence);
    varint::put(out, total);
    varint::put(out, offset);
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Bytes of a fragment frame before its content, at most.
pub const FRAGMENT_HEAD_MAX: usize = 1 + 5 + 3 * varint::LEN_MAX + 2;

/// Appends the newest message of a stream.
pub fn put_latest(out: &mut Vec<u8>, stream: StreamId, sequence: Sequence, payload: &[u8]) {
    out.push(LATEST);
    varint::put(out, u64::from(stream.to_wire()));
    varint::put(out, sequence);
    out.extend_from_slice(&(payload.len() as u16).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Bytes of a latest frame before its content, at most.
pub const LATEST_HEAD_MAX: usize = 1 + 5 + varint::LEN_MAX + 2;

/// Appends a challenge, or the response to one.
pub fn put_path(out: &mut Vec<u8>, is_response: bool, value: u64) {
    out.push(if is_response { RESPONSE } else { CHALLENGE });
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends the end; the text is cut at 255 bytes.
pub fn put_close(out: &mut Vec<u8>, code: u64, text: &[u8]) {
    let text = &text[..text.len().min(255)];
    out.push(CLOSE);
    varint::put(out, code);
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

/// Ranges beyond the first that a frame may carry.
const RANGES_MAX: u32 = 127;
/// Ranges beyond the first that ours carry.
const RANGES_SENT_MAX: usize = 32;
/// Sequences stay far from the end of 64 bits.
const SEQUENCE_MAX: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagram::StreamKind;
    use alloc::vec;
    use proptest::prelude::*;

    fn only(bytes: &[u8]) -> Frame<'_> {
        let mut frames = Frames::new(bytes);
        let frame = frames.next_frame().unwrap().unwrap();
        assert_eq!(frames.next_frame(), Ok(None));
        frame
    }

    #[test]
    fn frames_come_back() {
        let stream = StreamId::new(5, StreamKind::Ordered).unwrap();
        let latest = StreamId::new(6, StreamKind::Latest).unwrap();
        let mut out = vec![];
        put_window(&mut out, 1 << 30);
        assert_eq!(only(&out), Frame::Window(1 << 30));
        out.clear();
        put_stream_window(&mut out, stream, 9);
        assert_eq!(only(&out), Frame::StreamWindow(stream, 9));
        out.clear();
        put_fragment(&mut out, stream, 300, 5000, 1000, b"part");
        let fragment = FragmentFrame { stream, sequence: 300, total: 5000, offset: 1000, bytes: b"part" };
        assert_eq!(only(&out), Frame::Fragment(fragment));
        out.clear();
        put_latest(&mut out, latest, 7, b"");
        assert_eq!(only(&out), Frame::Latest(latest, 7, b""));
        out.clear();
        put_path(&mut out, true, 99);
        assert_eq!(only(&out), Frame::Response(99));
        out.clear();
        put_close(&mut out, 1000, &[b'x'; 300]);
        assert_eq!(only(&out), Frame::Close { code: 1000, text: &[b'x'; 255] });
        out.extend_from_slice(&[0; 20]);
        assert!(matches!(only(&out), Frame::Close { .. }), "padding is no frame");
    }

    #[test]
    fn messages_whose_lengths_do_not_add_up_are_refused() {
        let good = [MESSAGES, 0, 5, 2, 0, 5, 0, 2, 1, 2, 1, 9];
        assert!(matches!(only(&good), Frame::Messages(MessagesFrame { first: 5, count: 2, .. })));
        for (place, value) in [(3, 1), (3, 3), (3, 0), (5, 4), (5, 6), (7, 3), (10, 2), (1, 2)] {
            let mut bad = good;
            bad[place] = value;
            assert_eq!(Frames::new(&bad).next_frame(), Err(Malformed), "{place} {value}");
        }
    }

    #[test]
    fn padding_that_hides_something_is_refused() {
        assert_eq!(Frames::new(&[0, 0, 1]).next_frame(), Err(Malformed));
    }

    proptest! {
        #[test]
        fn acknowledgements_come_back(
            numbers in proptest::collection::btree_set(0u64..300, 1..60), delay: u64, ecn: Option<(u32, u32, u32)>,
        ) {
            let mut received = Ranges::new();
            for &number in &numbers {
                received.insert(number, 100);
            }
            let ecn = ecn.map(|(a, b, c)| EcnCounts { ect0: a.into(), ect1: b.into(), ce: c.into() });
            let mut out = vec![];
            prop_assert!(put_acknowledgement(&mut out, &received, delay, ecn, 1000));
            let Frame::Acknowledgement(frame) = only(&out) else { panic!() };
            prop_assert_eq!((frame.delay_us, frame.ecn), (delay, ecn));
            let expected: Vec<_> =
                received.descending().take(RANGES_SENT_MAX + 1).map(|range| range.into_inner()).collect();
            prop_assert_eq!(frame.ranges().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn acknowledgements_keep_to_their_room(
            numbers in proptest::collection::btree_set(0u64..300, 1..60), room in 0usize..60,
        ) {
            let mut received = Ranges::new();
            for &number in &numbers {
                received.insert(number, 100);
            }
            let mut out = vec![];
            let fits = put_acknowledgement(&mut out, &received, 5, None, room);
            prop_assert!(out.len() <= room);
            prop_assert_eq!(fits, !out.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut frames = Frames::new(&bytes);
            while let Ok(Some(frame)) = frames.next_frame() {
                if let Frame::Acknowledgement(frame) = frame {
                    let mut below = u64::MAX;
                    for (start, end) in frame.ranges() {
                        prop_assert!(start <= end && end < below);
                        below = start;
                    }
                }
            }
        }
    }
}
