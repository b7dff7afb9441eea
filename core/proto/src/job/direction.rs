//! The two directions of an exchange: how much may be sent, and what has come.

use super::exchange::ExchangeId;
use super::{WHOLE, stream_of};
use crate::datagram::StreamId;

/// What the peer did and may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// More bytes than the credit.
    Credit,
    /// Something behind the end.
    BehindEnd,
}

/// A direction that we send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sending {
    sent: u64,
    credit: u64,
    has_begun: bool,
    has_ended: bool,
}

impl Sending {
    /// Nothing sent yet; so many bytes may be.
    pub fn new(credit: u64) -> Sending {
        Sending { sent: 0, credit, has_begun: false, has_ended: false }
    }

    /// Bytes that may be sent now.
    pub fn room(&self) -> usize {
        usize::try_from(self.credit.saturating_sub(self.sent)).unwrap_or(usize::MAX)
    }

    /// The peer raises the credit; what is lower than before has been overtaken. `true`: there is more room.
    pub fn on_credit(&mut self, total: u64) -> bool {
        let is_more = total > self.credit;
        self.credit = self.credit.max(total);
        is_more
    }

    /// A message with `len` bytes is sent, at most [`Sending::room`]: on which stream.
    pub fn send(&mut self, exchange: ExchangeId, len: usize, is_end: bool) -> StreamId {
        debug_assert!(len <= self.room() && !self.has_ended);
        let is_whole = is_end && !self.has_begun;
        self.sent += len as u64;
        self.has_begun = true;
        self.has_ended = is_end;
        if is_whole { WHOLE } else { stream_of(exchange) }
    }

    /// Whether something was sent.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether all was sent.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }
}

/// A direction that we receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receiving {
    received: u64,
    granted: u64,
    window: u64,
    has_ended: bool,
}

impl Receiving {
    /// Nothing has come; the peer may send `granted` bytes, and later so much that `window` bytes are on their way.
    pub fn new(granted: u64, window: u64) -> Receiving {
        Receiving { received: 0, granted, window: window.max(1), has_ended: false }
    }

    /// A message with `len` bytes has come.
    pub fn receive(&mut self, len: usize, is_end: bool) -> Result<(), Violation> {
        if self.has_ended {
            return Err(Violation::BehindEnd);
        }
        if self.received + len as u64 > self.granted {
            return Err(Violation::Credit);
        }
        self.received += len as u64;
        self.has_ended = is_end;
        Ok(())
    }

    /// Of what has come the next hop has not taken `waiting` bytes. The credit to tell, when that is worth a message.
    pub fn grant(&mut self, waiting: usize) -> Option<u64> {
        let total = self.received.saturating_sub(waiting as u64) + self.window;
        if self.has_ended || total < self.granted + self.window.div_ceil(2) {
            return None;
        }
        self.granted = total;
        Some(total)
    }

    /// Whether all has come.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id() -> ExchangeId {
        ExchangeId::from_wire(21)
    }

    #[test]
    fn a_direction_of_one_message_goes_by_itself_and_a_longer_one_in_order() {
        let mut whole = Sending::new(100);
        assert_eq!(whole.send(id(), 100, true), WHOLE);
        let mut longer = Sending::new(100);
        assert_eq!(longer.send(id(), 10, false), stream_of(id()));
        assert_eq!(longer.send(id(), 0, true), stream_of(id()), "its end too");
        assert_eq!((stream_of(id()).number(), longer.room()), (6, 90));
    }

    #[test]
    fn a_credit_that_was_overtaken_takes_nothing_away() {
        let mut sending = Sending::new(100);
        sending.send(id(), 60, false);
        assert!(sending.on_credit(200) && !sending.on_credit(150));
        assert_eq!(sending.room(), 140);
    }

    #[test]
    fn more_than_the_credit_and_what_follows_the_end_are_found_out() {
        let mut receiving = Receiving::new(10, 100);
        assert_eq!(receiving.receive(11, false), Err(Violation::Credit));
        assert_eq!(receiving.receive(10, true), Ok(()));
        assert_eq!(receiving.receive(0, true), Err(Violation::BehindEnd));
    }

    #[test]
    fn credit_is_told_in_steps_of_half_a_window() {
        let mut receiving = Receiving::new(64, 64);
        receiving.receive(31, false).unwrap();
        assert_eq!(receiving.grant(0), None);
        receiving.receive(1, false).unwrap();
        assert_eq!(receiving.grant(1), None, "not yet taken by the next hop");
        assert_eq!(receiving.grant(0), Some(96));
        receiving.receive(64, true).unwrap();
        assert_eq!(receiving.grant(0), None, "nobody sends more");
    }

    proptest! {
        /// Whoever keeps to the credit is never accused, never stuck, and never has more than a window outstanding.
        #[test]
        fn sender_and_receiver_agree(window in 1u64..5000, first in 1u64..5000, steps in prop::collection::vec((0usize..4000, 0usize..4000), 1..200)) {
            let (mut sending, mut receiving) = (Sending::new(first), Receiving::new(first, window));
            let mut waiting = 0;
            for (wanted, taken) in steps {
                let len = wanted.min(sending.room());
                sending.send(id(), len, false);
                prop_assert_eq!(receiving.receive(len, false), Ok(()));
                waiting += len;
                prop_assert!(waiting as u64 <= first.max(window));
                waiting -= taken.min(waiting);
                if let Some(total) = receiving.grant(waiting) {
                    prop_assert!(sending.on_credit(total));
                }
                if waiting == 0 {
                    // All is taken: there is room again, once what was allowed at first is used up.
                    prop_assert!(sending.room() > 0 || receiving.grant(0).is_some());
                }
            }
        }
    }
}
