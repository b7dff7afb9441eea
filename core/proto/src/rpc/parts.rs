//! Credit of streamed arguments and results.
//!
//! A part costs its bytes and [`PART_OVERHEAD`], so that parts of no bytes are bounded too.

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

    /// Whether a part of `len` bytes may be sent; if not, [`Outgoing::on_credit`] will tell.
    pub fn has_room(&mut self, len: usize) -> bool {
        let has_room = self.sent.saturating_add(cost(len)) <= self.limit;
        self.is_waiting |= !has_room;
        has_room
    }

    /// The transport took no more.
    pub fn on_blocked(&mut self) {
        self.is_waiting = true;
    }

    pub fn on_sent(&mut self, len: usize, is_last: bool) {
        self.sent += cost(len);
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
        self.received = self.received.saturating_add(cost(len));
        let is_allowed = !self.is_done && self.received <= self.granted;
        self.is_done |= is_last;
        is_allowed
    }

    /// The owner has read a part. Some when the peer is to be told what it may have sent in all, see [`Arriving::on_granted`].
    pub fn on_consumed(&mut self, len: usize) -> Option<u64> {
        self.consumed = self.consumed.saturating_add(cost(len)).min(self.received);
        self.grant()
    }

    /// What the peer is to be told, when there is enough to tell.
    pub fn grant(&self) -> Option<u64> {
        let total = self.consumed + self.window;
        (!self.is_done && total - self.granted >= self.window / 2).then_some(total)
    }

    /// The peer was told. When that cannot be now, the transport says when it can.
    pub fn on_granted(&mut self, total: u64) {
        self.granted = total;
    }
}

fn cost(len: usize) -> u64 {
    (len as u64).saturating_add(PART_OVERHEAD)
}

/// What a part costs besides its bytes.
pub const PART_OVERHEAD: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_sent_than_is_granted_and_reading_grants_more_in_halves_of_the_window() {
        let (mut out, mut arriving) = (Outgoing::new(100), Arriving::new(100));
        assert!(out.has_room(84) && !out.has_room(85));
        for len in [33, 1, 18] {
            assert!(out.has_room(len));
            out.on_sent(len, false);
            assert!(arriving.on_part(len, false));
        }
        assert_eq!(arriving.on_consumed(33), None);
        assert_eq!(arriving.on_consumed(1), Some(166));
        arriving.on_granted(166);
        assert!(!out.has_room(51), "somebody waits");
        assert!(out.on_credit(166));
        assert!(!out.on_credit(166), "nothing new");
        assert!(out.has_room(50) && !out.has_room(51));
        assert!(!arriving.on_part(51, false), "more than was granted");
    }

    #[test]
    fn parts_of_no_bytes_are_bounded_too() {
        let (mut out, mut arriving) = (Outgoing::new(100), Arriving::new(100));
        let mut sent = 0;
        while out.has_room(0) {
            out.on_sent(0, false);
            assert!(arriving.on_part(0, false));
            sent += 1;
        }
        assert_eq!(sent, 6);
        assert!(!arriving.on_part(0, false), "a seventh was not granted");
    }

    #[test]
    fn nothing_comes_after_the_last_part() {
        let mut arriving = Arriving::new(100);
        assert!(arriving.on_part(1, true));
        assert!(!arriving.on_part(0, false));
        assert_eq!(arriving.on_consumed(1), None);
    }
}
