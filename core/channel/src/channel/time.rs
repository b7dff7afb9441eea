//! What happens by itself when its time has come.

use super::{Channel, Key, Verdict};
use crate::delivery::State;
use crate::timers::NO_TIMER;
use clustercore_proto::time::Instant;

impl Channel {
    /// When [`Channel::handle_timeout`] is to be called at the latest; `None` for never.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due at `now`: every verb begins with it.
    #[inline]
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut is_anything = false;
        while let Some(key) = self.timers.pop(now) {
            is_anything = true;
            match key {
                Key::Delivery(index) => self.delivery_due(now, index),
                Key::Outlet(index) => {
                    self.outlets[index].timer = NO_TIMER;
                    self.wake_outlet(index);
                }
                Key::Stall(index) => {
                    self.intakes[index].stall_timer = NO_TIMER;
                    self.unstall_intake(index);
                }
                Key::Intake(index) => {
                    self.intakes[index].timer = NO_TIMER;
                    self.ask(index);
                }
            }
        }
        if is_anything {
            self.refill(now);
        }
        if !self.config.retention_age_max.is_zero() {
            self.trim(now);
        }
    }

    fn delivery_due(&mut self, now: Instant, index: u32) {
        self.deliveries[index].timer = NO_TIMER;
        let is_expired = self.deliveries[index].expiry <= now;
        match self.deliveries[index].state {
            State::InFlight => self.fail(now, index, false),
            _ if is_expired => self.settle(now, index, Verdict::Expired),
            State::Held | State::Waiting => self.ready(now, index),
            State::Ready | State::Parked | State::Unwritten | State::Picked | State::Urgent => {}
        }
    }
}
