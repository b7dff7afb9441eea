//! How a connection ends.

use super::{Machine, Shared};
use crate::datagram::event::GoneReason;
use crate::datagram::security::Protector;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// The life of a connection after its handshake. See the table in `docs/protocol/datagram.md`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::datagram) enum State {
    /// Server: Accept is sent, nothing has come back yet.
    Accepting,
    /// Both ways.
    Open,
    /// Everything is to arrive first; then it closes.
    Finishing(Box<Words>),
    /// The peer is told until `until`.
    Closing(Box<Closing>),
    /// The peer has closed: nothing is sent any more, but an answer to each Close.
    Draining {
        /// When the name is free.
        until: Instant,
        /// A Close is to be answered.
        is_due: bool,
    },
    /// Over.
    Gone,
}

/// What the peer is told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::datagram) struct Words {
    pub code: u64,
    pub text: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::datagram) struct Closing {
    pub until: Instant,
    pub words: Words,
    pub is_due: bool,
    /// When it is said again, and how long after that once more.
    pub again: Instant,
    wait: Duration,
    /// Packets heard since the last Close, and how many it takes for another.
    heard: u32,
    heard_needed: u32,
}

impl State {
    /// In a word.
    pub fn name(&self) -> &'static str {
        match self {
            State::Accepting => "accepting",
            State::Open => "open",
            State::Finishing(_) => "finishing",
            State::Closing(_) => "closing",
            State::Draining { .. } => "draining",
            State::Gone => "gone",
        }
    }

    /// The peer is told at once, then after a probe time-out (`wait`), and ever more rarely until it answers.
    pub fn closing(now: Instant, wait: Duration, words: Words) -> State {
        let (until, again) = (now + wait * CLOSING_TIMEOUTS, now + wait);
        State::Closing(Box::new(Closing {
            until,
            words,
            is_due: true,
            again,
            wait,
            heard: 0,
            heard_needed: 1,
        }))
    }

    /// Whether the owner may send.
    pub fn is_sending(&self) -> bool {
        matches!(self, State::Accepting | State::Open)
    }

    /// Whether packets are read.
    pub fn is_live(&self) -> bool {
        matches!(self, State::Accepting | State::Open | State::Finishing(_))
    }

    pub fn has_close_due(&self) -> bool {
        match self {
            State::Closing(closing) => closing.is_due,
            State::Draining { is_due, .. } => *is_due,
            _ => false,
        }
    }

    /// What the peer is to be told now, once.
    pub fn take_close(&mut self) -> Option<Words> {
        match self {
            State::Closing(closing) => core::mem::take(&mut closing.is_due).then(|| closing.words.clone()),
            State::Draining { is_due, .. } => core::mem::take(is_due).then(Words::default),
            _ => None,
        }
    }

    /// Time passes after the end.
    pub fn on_timeout(&mut self, now: Instant) {
        match self {
            State::Closing(closing) if closing.until <= now => *self = State::Gone,
            State::Closing(closing) if closing.again <= now => {
                closing.is_due = true;
                closing.wait *= 2;
                closing.again = now + closing.wait;
            }
            State::Draining { until, .. } if *until <= now => *self = State::Gone,
            _ => {}
        }
    }

    /// A packet came while closing: the peer has not heard it yet. The answers get rarer.
    pub fn on_packet_while_closing(&mut self) {
        if let State::Closing(closing) = self {
            closing.heard += 1;
            if closing.heard >= closing.heard_needed {
                closing.heard = 0;
                closing.heard_needed = closing.heard_needed.saturating_mul(2);
                closing.is_due = true;
            }
        }
    }
}

impl<P: Protector> Machine<P> {
    /// How long the name of a connection stays taken that the peer has ended, and how long packets may be late: three probe time-outs.
    pub(super) fn linger(&self) -> Duration {
        self.path.rtt.probe_timeout(Duration::ZERO) * 3
    }

    /// The peer is told of the end from `now` on.
    pub(super) fn begin_closing(&mut self, now: Instant, words: Words) {
        self.state = State::closing(now, self.path.rtt.probe_timeout(Duration::ZERO), words);
    }

    /// Closes: at once, or (`is_finishing`) when everything sent has arrived.
    pub fn close(
        &mut self,
        now: Instant,
        shared: &mut Shared<'_>,
        code: u64,
        text: &[u8],
        is_finishing: bool,
    ) {
        if !self.state.is_live() {
            return;
        }
        let words = Words { code, text: text.to_vec() };
        if is_finishing && self.is_unsettled() {
            self.state = State::Finishing(Box::new(words));
            return;
        }
        self.tell_gone(shared, GoneReason::Closed);
        self.begin_closing(now, words);
    }

    /// Whether something of ours waits to be sent or acknowledged.
    fn is_unsettled(&self) -> bool {
        self.has_data() || self.send.flight.eliciting() > 0
    }

    /// Finishing has come to its end when all has arrived.
    pub(super) fn finish_if_settled(&mut self, now: Instant, shared: &mut Shared<'_>) {
        if self.is_unsettled() {
            return;
        }
        if let State::Finishing(words) = &self.state {
            let words = Words::clone(words);
            self.tell_gone(shared, GoneReason::Closed);
            self.begin_closing(now, words);
        }
    }

    /// The peer has closed.
    pub(super) fn on_close(&mut self, now: Instant, shared: &mut Shared<'_>, code: u64, text: &[u8]) {
        match self.state {
            State::Accepting | State::Open | State::Finishing(_) => {
                self.tell_gone(shared, GoneReason::ClosedByPeer { code, text: text.to_vec() });
                self.state = State::Draining { until: now + self.linger(), is_due: true };
            }
            // Both have said it.
            State::Closing(_) => self.state = State::Gone,
            // Said again, since our answer was lost: that must not keep the name for longer.
            State::Draining { until, .. } => self.state = State::Draining { until, is_due: true },
            State::Gone => {}
        }
    }

    /// The end without a word to the peer.
    pub fn vanish(&mut self, shared: &mut Shared<'_>, reason: GoneReason) {
        if self.state.is_live() {
            self.tell_gone(shared, reason);
        }
        self.state = State::Gone;
    }
}

/// Probe time-outs for which a peer that does not answer is told: at 0, 1, 3, 7 and 15 of them.
const CLOSING_TIMEOUTS: u32 = 16;
