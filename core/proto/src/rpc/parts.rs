//! Credit of streamed arguments and results.

/// Parts that are sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    sent: u64,
    /// May have been sent in all.
    limit: u64,
    /// A part did not go.
    is_waiting: bool,
    is_done: bool,
}

impl Outgoing {
    pub fn new(window: u64) -> Outgoing {
        Outgoing { sent: 0, limit: window, is_waiting: false, is_done: false }
    }

    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether `len` more may be sent; if not, [`Outgoing::on_credit`] will tell.
    pub fn has_room(&mut self, len: usize) -> bool {
        let has_room = self.sent.saturating_add(len as u64) <= self.limit;
        self.is_waiting |= !has_room;
        has_room
    }

    /// The transport took no more.
    pub fn on_blocked(&mut self) {
        self.is_waiting = true;
    }

    pub fn on_sent(&mut self, len: usize, is_last: bool) {
        self.sent += len as u64;
        self.is_done |= is_last;
    }

    /// More may be sent. True when somebody waits for it.
    pub fn on_credit(&mut self, total: u64) -> bool {
        let is_more = total > self.limit;
        self.limit = self.limit.max(total);
        is_more && core::mem::take(&mut self.is_waiting)
    }

    /// The transport takes more. True when somebody waits for it.
    pub fn on_writable(&mut self) -> bool {
        core::mem::take(&mut self.is_waiting)
    }
}

/// Parts that arrive.
#[derive(Debug)]
pub(super) struct Arriving {
    received: u64,
    consumed: u64,
    /// The peer knows that it may have sent this in all.
    granted: u64,
    window: u64,
    is_done: bool,
}

impl Arriving {
    pub fn new(window: u64) -> Arriving {
        Arriving { received: 0, consumed: 0, granted: window, window, is_done: false }
    }

    /// A part has come. False when it may not have been sent.
    #[must_use]
    pub fn on_part(&mut self, len: usize, is_last: bool) -> bool {
        self.received = self.received.saturating_add(len as u64);
        let is_allowed = !self.is_done && self.received <= self.granted;
        self.is_done |= is_last;
        is_allowed
    }

    /// The owner has read so much more. Some when the peer is to be told what it may have sent in all, see [`Arriving::on_granted`].
    pub fn on_consumed(&mut self, len: u64) -> Option<u64> {
        self.consumed = self.consumed.saturating_add(len).min(self.received);
        let total = self.consumed + self.window;
        (!self.is_done && total - self.granted >= self.window / 2).then_some(total)
    }

    /// The peer was told. When that cannot be now, the transport says when it can.
    pub fn on_granted(&mut self, total: u64) {
        self.granted = total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_sent_than_is_granted_and_reading_grants_more_in_halves_of_the_window() {
        let (mut out, mut arriving) = (Outgoing::new(100), Arriving::new(100));
        assert!(out.has_room(100) && !out.has_room(101));
        out.on_sent(100, false);
        assert!(arriving.on_part(100, false));
        assert_eq!(arriving.on_consumed(49), None);
        assert_eq!(arriving.on_consumed(1), Some(150));
        arriving.on_granted(150);
        assert!(out.on_credit(150), "somebody waits");
        assert!(!out.on_credit(150), "nothing new");
        assert!(out.has_room(50) && !out.has_room(51));
        assert!(!arriving.on_part(51, false), "more than was granted");
    }

    #[test]
    fn nothing_comes_after_the_last_part() {
        let mut arriving = Arriving::new(100);
        assert!(arriving.on_part(1, true));
        assert!(!arriving.on_part(0, false));
        assert_eq!(arriving.on_consumed(1), None);
    }
}
