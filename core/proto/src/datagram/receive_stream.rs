//! Streams in the direction of receiving: what is new, what is handed out, what is held.

use super::event::{CloseCode, Content, MESSAGE_COST, messages};
use super::frame::{FragmentFrame, MessagesFrame};
use super::id::{Sequence, StreamId, StreamKind};
use super::ranges::Ranges;
use crate::time::Instant;
use crate::wire::varint;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A stream that the peer sends on.
#[derive(Debug)]
pub struct ReceiveStream {
    /// Which.
    pub id: StreamId,
    /// Sequences that have arrived whole; on an ordered stream the floor is what comes next.
    seen: Ranges,
    /// By first sequence: messages before whose turn something is missing, and messages of which parts are missing.
    held: BTreeMap<Sequence, Held>,
    /// How many of those are messages of which parts are missing.
    partials: usize,
    /// On latest streams: the sequence after the newest.
    latest: Sequence,
    /// What the messages seen have cost.
    pub charged: u64,
    /// What the owner has consumed.
    pub consumed: u64,
    /// What the peer may use, as it was told.
    pub credit: u64,
}

#[derive(Debug)]
enum Held {
    Run { count: u32, packed: Vec<u8> },
    Whole(Vec<u8>),
    Partial(Partial),
}

/// A message of which parts have arrived.
#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    parts: Ranges,
    progress: Instant,
}

/// Why a frame cannot be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The peer is wrong.
    Violation(CloseCode),
    /// Too many gaps: the packet counts as not received, and its content comes again.
    Later,
}

/// What a stream must keep to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a message.
    pub message_bytes_max: u64,
    /// The streams of the connection have as many gaps as they may have together: only what fills the lowest one is taken.
    pub is_crowded: bool,
}

/// What a stream hands out: first sequence, count, cost, content.
pub type Out<'o> = &'o mut dyn FnMut(Sequence, u32, u64, Content<'_>);

impl ReceiveStream {
    /// A new one with `credit`.
    pub fn new(id: StreamId, credit: u64) -> ReceiveStream {
        ReceiveStream {
            id,
            seen: Ranges::new(),
            held: BTreeMap::new(),
            partials: 0,
            latest: 0,
            charged: 0,
            consumed: 0,
            credit,
        }
    }

    /// Takes a frame of whole messages, whose content begins at `place` of the train. `charge` is asked for the cost of what is new and says
    /// whether the connection has room for it.
    pub fn on_messages(
        &mut self,
        frame: &MessagesFrame<'_>,
        place: usize,
        limits: Limits,
        charge: &mut dyn FnMut(u64) -> bool,
        out: Out<'_>,
    ) -> Result<(), Trouble> {
        if frame.longest as u64 > limits.message_bytes_max {
            return Err(Trouble::Violation(CloseCode::Message));
        }
        let is_ordered = self.id.kind() == StreamKind::Ordered;
        let end = frame.first + u64::from(frame.count);
        if frame.first == self.seen.floor() && self.seen.is_empty() && !self.is_holding() {
            // The usual case: next in line, nothing held.
            let cost = frame.payload_bytes as u64 + u64::from(frame.count) * MESSAGE_COST;
            self.charge(cost, charge)?;
            self.seen.forget_below(end);
            out(frame.first, frame.count, cost, Content::Lent { place, bytes: frame.content });
            return Ok(());
        }
        let mut pieces = Vec::new();
        self.seen.missing(frame.first, end, |start, end| pieces.push((start, end)));
        if pieces.first().is_some_and(|&(start, _)| !self.has_room_for(start, limits)) {
            return Err(Trouble::Later);
        }
        let (mut to, mut next) = (0, frame.first);
        for (start, end) in pieces {
            let count = (end - start) as u32;
            let from = to + packed_prefix(&frame.content[to..], (start - next) as usize);
            to = from + packed_prefix(&frame.content[from..], count as usize);
            next = end;
            let bytes = &frame.content[from..to];
            let cost = cost_of(bytes, count);
            let paid = self.drop_partials(start, end, bytes)?;
            self.charge(cost - paid, charge)?;
            if is_ordered && start > self.seen.floor() {
                self.hold(start, count, bytes);
                self.seen.insert_range(start, end, usize::MAX);
            } else {
                self.seen.insert_range(start, end, usize::MAX);
                out(start, count, cost, Content::Lent { place: place + from, bytes });
                // What was held for this moment comes before the next piece.
                self.settle(out);
            }
        }
        Ok(())
    }

    /// Whether something new that begins at `first` may be taken. What fills the lowest gap always is: it makes the gaps fewer.
    fn has_room_for(&self, first: Sequence, limits: Limits) -> bool {
        let is_crowded = limits.is_crowded || self.gaps() >= GAPS_MAX;
        !is_crowded || first == self.seen.first_missing()
    }

    /// Ranges and pieces kept because something before them is missing.
    pub fn gaps(&self) -> usize {
        self.seen.len() + self.held.len()
    }

    /// Messages of `start..end` have come whole (`packed`) of which parts are here, since a packet that counted as lost was cut anew and
    /// came all the same. The parts go; what they have cost is returned.
    fn drop_partials(&mut self, start: Sequence, end: Sequence, packed: &[u8]) -> Result<u64, Trouble> {
        let mut paid = 0;
        while self.partials > 0
            && let Some((&sequence, _)) = self.held.range(start..end).next()
        {
            let Some(Held::Partial(partial)) = self.held.remove(&sequence) else { break };
            self.partials -= 1;
            let whole = messages(packed).nth((sequence - start) as usize);
            if whole.is_none_or(|whole| whole.len() != partial.bytes.len()) {
                return Err(Trouble::Violation(CloseCode::Message));
            }
            paid += partial.bytes.len() as u64 + MESSAGE_COST;
        }
        Ok(paid)
    }

    /// Keeps messages for later, together with those right before them: many small ones take no more memory than they cost.
    fn hold(&mut self, start: Sequence, count: u32, bytes: &[u8]) {
        if let Some((&first, Held::Run { count: before, packed })) = self.held.range_mut(..start).next_back()
            && first + u64::from(*before) == start
            && packed.len() < RUN_BYTES
        {
            *before += count;
            packed.extend_from_slice(bytes);
            return;
        }
        self.held.insert(start, Held::Run { count, packed: bytes.to_vec() });
    }

    /// Takes a part of a message.
    pub fn on_fragment(
        &mut self,
        now: Instant,
        frame: &FragmentFrame<'_>,
        limits: Limits,
        charge: &mut dyn FnMut(u64) -> bool,
        out: Out<'_>,
    ) -> Result<(), Trouble> {
        if frame.total > limits.message_bytes_max {
            return Err(Trouble::Violation(CloseCode::Message));
        }
        if self.seen.contains(frame.sequence) {
            return Ok(());
        }
        if !self.held.contains_key(&frame.sequence) {
            if !self.has_room_for(frame.sequence, limits) {
                return Err(Trouble::Later);
            }
            self.charge(frame.total + MESSAGE_COST, charge)?;
            let bytes = alloc::vec![0; frame.total as usize];
            let partial = Partial { bytes, parts: Ranges::new(), progress: now };
            self.held.insert(frame.sequence, Held::Partial(partial));
            self.partials += 1;
        }
        let Some(Held::Partial(partial)) = self.held.get_mut(&frame.sequence) else {
            return Err(Trouble::Violation(CloseCode::Message));
        };
        if partial.bytes.len() as u64 != frame.total {
            return Err(Trouble::Violation(CloseCode::Message));
        }
        let end = frame.offset + frame.bytes.len() as u64;
        partial.bytes[frame.offset as usize..end as usize].copy_from_slice(frame.bytes);
        partial.parts.insert_range(frame.offset, end, usize::MAX);
        partial.progress = now;
        if partial.parts.len() > PARTS_MIN + partial.bytes.len() / PART_BYTES {
            return Err(Trouble::Violation(CloseCode::Message));
        }
        if partial.parts.len() == 1 && partial.parts.first_missing() == frame.total {
            let Some(Held::Partial(partial)) = self.held.remove(&frame.sequence) else { return Ok(()) };
            self.partials -= 1;
            self.seen.insert_range(frame.sequence, frame.sequence + 1, usize::MAX);
            if self.id.kind() == StreamKind::Ordered {
                self.held.insert(frame.sequence, Held::Whole(partial.bytes));
            } else {
                out(frame.sequence, 1, frame.total + MESSAGE_COST, Content::Whole(partial.bytes));
            }
        }
        self.settle(out);
        Ok(())
    }

    /// Takes the newest value of a latest stream; false when a newer one came before.
    pub fn on_latest(&mut self, sequence: Sequence) -> bool {
        let is_newer = sequence >= self.latest;
        self.latest = self.latest.max(sequence + 1);
        is_newer
    }

    /// Hands out what is held and whose turn has come, and forgets what lies below.
    fn settle(&mut self, out: Out<'_>) {
        let next = self.seen.first_missing();
        if self.id.kind() == StreamKind::Ordered {
            while let Some(entry) = self.held.first_entry() {
                if *entry.key() >= next || matches!(entry.get(), Held::Partial(_)) {
                    break;
                }
                let first = *entry.key();
                match entry.remove() {
                    Held::Run { count, packed } => {
                        let cost = cost_of(&packed, count);
                        out(first, count, cost, Content::Kept(packed));
                    }
                    Held::Whole(bytes) => {
                        out(first, 1, bytes.len() as u64 + MESSAGE_COST, Content::Whole(bytes))
                    }
                    Held::Partial(_) => {}
                }
            }
        }
        self.seen.forget_below(next);
    }

    fn charge(&mut self, cost: u64, charge: &mut dyn FnMut(u64) -> bool) -> Result<(), Trouble> {
        if self.charged + cost > self.credit || !charge(cost) {
            return Err(Trouble::Violation(CloseCode::FlowControl));
        }
        self.charged += cost;
        Ok(())
    }

    /// When the half-received message that has waited longest made its last progress.
    pub fn oldest_progress(&self) -> Option<Instant> {
        if self.partials == 0 {
            return None;
        }
        let partials = self.held.values().filter_map(|held| match held {
            Held::Partial(partial) => Some(partial.progress),
            _ => None,
        });
        partials.min()
    }

    /// Whether some message is half received.
    pub fn has_partials(&self) -> bool {
        self.partials > 0
    }

    /// Whether something is held or half received.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// What must hold, for tests.
    pub fn check_invariants(&self) {
        assert!(self.charged <= self.credit, "{} > {}", self.charged, self.credit);
        assert!(self.consumed <= self.charged);
        let partials = self.held.values().filter(|held| matches!(held, Held::Partial(_))).count();
        assert_eq!(self.partials, partials);
        for (first, held) in &self.held {
            match held {
                Held::Run { count, packed } => {
                    assert_eq!(messages(packed).count(), *count as usize);
                    assert!(self.seen.contains(*first) && *first > self.seen.floor());
                }
                Held::Whole(_) => assert!(self.seen.contains(*first)),
                Held::Partial(partial) => assert!(!self.seen.contains(*first) && !partial.parts.is_empty()),
            }
        }
    }
}

/// Bytes of the first `count` messages of packed content, lengths included.
fn packed_prefix(packed: &[u8], count: usize) -> usize {
    let mut place = 0;
    for _ in 0..count {
        let Some((len, head)) = packed.get(place..).and_then(varint::get) else { break };
        place += head + len as usize;
    }
    place.min(packed.len())
}

/// What `count` packed messages cost.
fn cost_of(packed: &[u8], count: u32) -> u64 {
    messages(packed).map(|message| message.len() as u64).sum::<u64>() + u64::from(count) * MESSAGE_COST
}

/// Ranges and pieces of one stream.
const GAPS_MAX: usize = 4096;
/// Messages that are held are put together up to so many bytes.
const RUN_BYTES: usize = 4096;
/// Pieces of a half-received message that do not touch: a few, and one for so many bytes of it.
const PARTS_MIN: usize = 4;
const PART_BYTES: usize = 512;

#[cfg(test)]
mod tests;
