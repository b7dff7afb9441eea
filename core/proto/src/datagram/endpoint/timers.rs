//! Which time-outs of a connection are in the wheel: it cannot take any out.

use crate::time::Instant;

/// The moments for which the wheel has an entry of one connection, ascending. Beyond four the last but one is forgotten; its entry fires
/// for nothing.
///
/// A time-out that fires early (an acknowledgement) leaves the late one (idle) in the wheel. Who did not remember it would enter it
/// again each time.
#[derive(Clone, Copy, Debug)]
pub(in crate::datagram) struct Entered([Instant; 4]);

impl Entered {
    /// Nothing is in the wheel.
    pub const NONE: Entered = Entered([Instant::MAX; 4]);

    /// Whether `due` is to be entered, since nothing fires as early; it counts as entered then.
    pub fn enter(&mut self, due: Instant) -> bool {
        let [first, second, third, last] = self.0;
        if due >= first {
            return false;
        }
        let kept = if last == Instant::MAX { third } else { last };
        self.0 = [due, first, second, kept];
        true
    }

    /// The wheel has fired at `now`.
    pub fn on_fired(&mut self, now: Instant) {
        let fired = self.0.partition_point(|&at| at <= now);
        self.0[..fired].fill(Instant::MAX);
        self.0.rotate_left(fired);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn only_what_fires_earlier_is_entered() {
        let mut entered = Entered::NONE;
        assert!(entered.enter(at(60_000)) && entered.enter(at(5)));
        assert!(!entered.enter(at(5)) && !entered.enter(at(50_000)));
        entered.on_fired(at(5));
        assert!(!entered.enter(at(60_005)), "the late one is still there");
        assert!(entered.enter(at(10)));
    }

    #[test]
    fn the_latest_stays_known_however_many_there_are() {
        let mut entered = Entered::NONE;
        for ms in (10..20).rev() {
            assert!(entered.enter(at(ms)));
        }
        entered.on_fired(at(18));
        assert!(!entered.enter(at(19)) && entered.enter(at(18)));
        entered.on_fired(at(30));
        assert!(entered.enter(at(60_000)));
    }
}
