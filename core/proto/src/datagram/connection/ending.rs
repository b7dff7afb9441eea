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
    /// The peer has closed: nothing is sent any more.
    Draining {
        /// When the name is free.
        until: Instant,
    },
    /// Over.
    Gone,
}

/// What the peer is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::datagram) struct Words {
    pub code: u64,
    pub text: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::datagram) struct Closing {
    pub until: Instant,
    pub words: Words,
    pub is_due: bool,
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

    pub fn closing(until: Instant, words: Words) -> State {
        State::Closing(Box::new(Closing { until, words, is_due: true, heard: 0, heard_needed: 1 }))
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
        matches!(self, State::Closing(closing) if closing.is_due)
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
    /// How long the name of an ended connection stays taken: three probe time-outs.
    pub(super) fn linger(&self) -> Duration {
        self.path.rtt.probe_timeout(Duration::ZERO) * 3
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
        self.state = State::closing(now + self.linger(), words);
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
            self.state = State::closing(now + self.linger(), words);
        }
    }

    /// The peer has closed.
    pub(super) fn on_close(&mut self, now: Instant, shared: &mut Shared<'_>, code: u64, text: &[u8]) {
        match self.state {
            State::Accepting | State::Open | State::Finishing(_) => {
                self.tell_gone(shared, GoneReason::ClosedByPeer { code, text: text.to_vec() });
                self.state = State::Draining { until: now + self.linger() };
            }
            // Both have said it.
            State::Closing(_) => self.state = State::Gone,
            // Said again: that must not keep the name for longer.
            State::Draining { .. } | State::Gone => {}
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
