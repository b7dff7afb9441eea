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

/// What a stream hands out: first sequence, count, cost, content.
pub type Out<'o> = &'o mut dyn FnMut(Sequence, u32, u64, Content<'_>);

impl ReceiveStream {
    /// A new one with `credit`.
    pub fn new(id: StreamId, credit: u64) -> ReceiveStream {
        ReceiveStream {
            id,
            seen: Ranges::new(),
            held: BTreeMap::new(),
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
        charge: &mut dyn FnMut(u64) -> bool,
        out: Out<'_>,
    ) -> Result<(), Trouble> {
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
        if self.seen.len() + 1 > GAPS_MAX {
            return Err(Trouble::Later);
        }
        let mut pieces = Vec::new();
        self.seen.missing(frame.first, end, |start, end| pieces.push((start, end)));
        for (start, end) in pieces {
            let (skip, count) = ((start - frame.first) as usize, (end - start) as u32);
            let from = packed_prefix(frame.content, skip);
            let to = from + packed_prefix(&frame.content[from..], count as usize);
            let bytes = &frame.content[from..to];
            let cost = cost_of(bytes, count);
            self.charge(cost, charge)?;
            if is_ordered && start > self.seen.floor() {
                self.held.insert(start, Held::Run { count, packed: bytes.to_vec() });
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

    /// Takes a part of a message.
    pub fn on_fragment(
        &mut self,
        now: Instant,
        frame: &FragmentFrame<'_>,
        message_bytes_max: u64,
        charge: &mut dyn FnMut(u64) -> bool,
        out: Out<'_>,
    ) -> Result<(), Trouble> {
        if self.seen.contains(frame.sequence) {
            return Ok(());
        }
        if frame.total > message_bytes_max {
            return Err(Trouble::Violation(CloseCode::Message));
        }
        if self.seen.len() + 2 > GAPS_MAX {
            return Err(Trouble::Later);
        }
        if !self.held.contains_key(&frame.sequence) {
            self.charge(frame.total + MESSAGE_COST, charge)?;
            let bytes = alloc::vec![0; frame.total as usize];
            let partial = Partial { bytes, parts: Ranges::new(), progress: now };
            self.held.insert(frame.sequence, Held::Partial(partial));
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
        let partials = self.held.values().filter_map(|held| match held {
            Held::Partial(partial) => Some(partial.progress),
            _ => None,
        });
        partials.min()
    }

    /// Whether something is held or half received.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// What must hold, for tests.
    pub fn check_invariants(&self) {
        assert!(self.charged <= self.credit, "{} > {}", self.charged, self.credit);
        assert!(self.consumed <= self.charged);
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

/// Gaps of one stream.
const GAPS_MAX: usize = 4096;
/// Pieces of a half-received message that do not touch: a few, and one for so many bytes of it.
const PARTS_MIN: usize = 4;
const PART_BYTES: usize = 512;
