//! Which packets have arrived, and when to say so.

use crate::datagram::frame::{EcnCounts, put_acknowledgement};
use crate::datagram::ranges::Ranges;
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;

/// How much a packet asks for an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Urgency {
    /// Not at all: it holds acknowledgements and the like.
    Silent,
    /// When something goes that way, or many have come.
    Lazy,
    /// Soon.
    Asking,
}

/// A mark of RFC 3168 on a received packet.
pub type Codepoint = u8;

#[derive(Debug, Default)]
pub(super) struct Acknowledging {
    numbers: Ranges,
    /// When the highest arrived.
    highest_at: Instant,
    /// Packets that ask for an acknowledgement and have none.
    asking: u32,
    lazy: u32,
    due: Option<Instant>,
    is_due_now: bool,
    marks: EcnCounts,
}

impl Acknowledging {
    /// Whether the packet came before, or so long ago that it counts as such.
    #[inline]
    pub fn is_repeat(&self, number: u64) -> bool {
        self.numbers.contains(number)
    }

    /// Whether its number is above all before.
    pub fn is_newest(&self, number: u64) -> bool {
        self.numbers.highest().is_none_or(|highest| number > highest)
    }

    /// Takes a packet whose frames have been read.
    #[inline]
    pub fn on_packet(
        &mut self,
        now: Instant,
        number: u64,
        urgency: Urgency,
        mark: Codepoint,
        (delay, pause): (Duration, Duration),
    ) {
        let is_next = self.numbers.highest().map_or(number == 0, |highest| number == highest + 1);
        if self.is_newest(number) {
            self.highest_at = now;
        }
        self.numbers.insert(number, RANGES_MAX);
        match mark & 3 {
            1 => self.marks.ect1 += 1,
            2 => self.marks.ect0 += 1,
            3 => self.marks.ce += 1,
            _ => {}
        }
        if urgency == Urgency::Asking {
            self.asking += 1;
            // A gap, the end of one, or congestion: the sender should know at once.
            let is_many = self.asking >= ASKING_MAX;
            self.is_due_now |= !is_next || mark & 3 == 3 || is_many && pause.is_zero();
            let due = now + if is_many { pause.min(delay) } else { delay };
            self.due = Some(self.due.map_or(due, |before| before.min(due)));
        } else if urgency == Urgency::Lazy {
            self.lazy += 1;
            self.is_due_now |= self.lazy >= LAZY_MAX;
        }
    }

    /// A packet came again that asks for an acknowledgement.
    pub fn on_repeat(&mut self, now: Instant) {
        self.asking += 1;
        self.is_due_now |= self.asking >= ASKING_MAX;
        self.due = self.due.or(Some(now));
    }

    /// When it should be said at the latest.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    pub fn is_due_now(&self) -> bool {
        self.is_due_now
    }

    /// The time has come?
    pub fn on_timeout(&mut self, now: Instant) {
        self.is_due_now |= self.due.is_some_and(|due| due <= now);
    }

    /// Whether there is something to say that was not said.
    pub fn has_news(&self) -> bool {
        self.asking > 0 || self.lazy > 0
    }

    /// Appends the frame in at most `room` bytes; false when there is no room, or nothing has come at all.
    pub fn put(&mut self, now: Instant, out: &mut Vec<u8>, room: usize) -> bool {
        let delay_us = now.saturating_sub(self.highest_at).as_micros() as u64;
        let marks = (self.marks != EcnCounts::default()).then_some(self.marks);
        if !put_acknowledgement(out, &self.numbers, delay_us, marks, room) {
            return false;
        }
        (self.asking, self.lazy, self.due, self.is_due_now) = (0, 0, None, false);
        true
    }
}

/// Ranges of numbers remembered.
const RANGES_MAX: usize = 64;
/// RFC 9000, 13.2.2: at least every second packet; a turn's packets share one.
const ASKING_MAX: u32 = 2;
/// Lazy packets without an acknowledgement.
const LAZY_MAX: u32 = 32;
/// Bytes of an acknowledgement frame, at most: 33 ranges of short numbers and three counts.
pub(super) const FRAME_BYTES_MAX: usize = 400;
