//! The end of a delivery, and the ways to it.

use super::{Channel, Kept, Key};
use crate::delivery::{Chain, Delivery, NONE, State};
use crate::id::{DeliveryId, SupplierProxyId};
use crate::output::Output;
use crate::qos::Acknowledgement;
use crate::queue::Plain;
use crate::timers::NO_TIMER;
use clustercore_proto::time::Instant;
use std::fmt;

/// How a delivery ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The consumer has it.
    Settled,
    /// Nobody wants it any more.
    Expired,
    /// It gave way to another.
    Discarded,
    /// It was tried too often, or rejected for good.
    Dead,
    /// Its queue went, its event was not written, or a new position left it behind.
    Dropped,
}

/// Why an acknowledgement says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SettleError {
    /// No such delivery at this proxy: it was acknowledged, timed out, or given to another.
    NotInFlight,
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this delivery is not in flight here: acknowledged already, timed out, or given to another")
    }
}

impl std::error::Error for SettleError {}

impl Channel {
    /// A consumer has done with an event.
    ///
    /// Errors: `NotInFlight`; nothing is changed.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        proxy: SupplierProxyId,
        delivery: DeliveryId,
    ) -> Result<(), SettleError> {
        self.handle_timeout(now);
        self.check_flight(proxy, delivery)?;
        self.settle(now, delivery.index, Verdict::Settled);
        self.refill(now);
        Ok(())
    }

    /// A consumer could not work on an event: it is tried again after the wait, or is a dead letter at once.
    ///
    /// Errors: as [`Channel::acknowledge`].
    pub fn reject(
        &mut self,
        now: Instant,
        proxy: SupplierProxyId,
        delivery: DeliveryId,
        is_for_good: bool,
    ) -> Result<(), SettleError> {
        self.handle_timeout(now);
        self.check_flight(proxy, delivery)?;
        self.fail(now, delivery.index, is_for_good);
        self.refill(now);
        Ok(())
    }

    /// An event that was handed over has not reached its consumer after all: it goes back to its place, and the try does not count.
    ///
    /// Errors: as [`Channel::acknowledge`].
    pub fn give_back(
        &mut self,
        now: Instant,
        proxy: SupplierProxyId,
        delivery: DeliveryId,
    ) -> Result<(), SettleError> {
        self.handle_timeout(now);
        self.check_flight(proxy, delivery)?;
        let tries = &mut self.deliveries[delivery.index].tries;
        *tries = tries.saturating_sub(1);
        self.put_into_queue(now, delivery.index);
        self.refill(now);
        Ok(())
    }

    /// Out of the hands of its consumer, and to be handed over again at once.
    pub(super) fn put_into_queue(&mut self, now: Instant, index: u32) {
        let queue = self.deliveries[index].queue;
        self.land(index);
        self.deliveries[index].state = State::Waiting;
        self.queues[queue].enter_age(&mut self.deliveries, index);
        if self.deliveries[index].expiry <= now {
            self.settle(now, index, Verdict::Expired);
        } else {
            self.ready(now, index);
        }
    }

    fn check_flight(&self, proxy: SupplierProxyId, delivery: DeliveryId) -> Result<(), SettleError> {
        let is_proxy = self.outlets.generation(proxy.index) == Some(proxy.generation);
        let is_there = self.deliveries.generation(delivery.index) == Some(delivery.generation);
        let is_held = is_proxy && is_there && {
            let it = &self.deliveries[delivery.index];
            it.state == State::InFlight && it.holder == proxy.index
        };
        if is_held { Ok(()) } else { Err(SettleError::NotInFlight) }
    }

    /// A try has failed: by time-out or by the consumer's word.
    pub(super) fn fail(&mut self, now: Instant, index: u32, is_for_good: bool) {
        let (queue, tries, expiry) = {
            let it = &self.deliveries[index];
            (it.queue, it.tries, it.expiry)
        };
        let settings = self.queues[queue].settings;
        if is_for_good || tries >= settings.tries_max {
            let proxy = self.outlet_id(self.deliveries[index].holder);
            let event = self.kept[self.deliveries[index].event].event.clone();
            self.outputs.push_back(Output::DeadLetter { proxy, event, tries });
            return self.settle(now, index, Verdict::Dead);
        }
        if expiry <= now {
            return self.settle(now, index, Verdict::Expired);
        }
        self.land(index);
        let wait = settings.backoff_after(tries);
        self.deliveries[index].state = State::Waiting;
        self.queues[queue].enter_age(&mut self.deliveries, index);
        if wait.is_zero() {
            return self.ready(now, index);
        }
        self.set_timer(index, (now + wait).min(expiry));
    }

    /// Out of the hands of its consumer, without a verdict.
    pub(super) fn land(&mut self, index: u32) {
        let holder = self.deliveries[index].holder;
        let outlet = &mut self.outlets[holder];
        outlet.in_flight -= 1;
        outlet.flight.remove(&mut self.deliveries, Chain::Turn, index);
        self.deliveries[index].holder = NONE;
        self.clear_timer(index);
        self.wake_outlet(holder);
    }

    /// A delivery may be handed over, when its ordering key is free.
    pub(super) fn ready(&mut self, now: Instant, index: u32) {
        let it = &self.deliveries[index];
        let (queue, event, expiry, holds_key) = (it.queue, it.event, it.expiry, it.holds_key);
        if expiry != Instant::MAX {
            self.set_timer(index, expiry.max(now));
        } else {
            self.clear_timer(index);
        }
        if !holds_key
            && self.queues[queue].settings.acknowledgement == Acknowledgement::Explicit
            && let Some(key) = self.kept[event].event.key()
            && !self.queues[queue].take_key(&mut self.deliveries, index, key)
        {
            return;
        }
        self.queues[queue].enter_ready(&mut self.deliveries, index);
        self.wake(queue);
    }

    /// The end: out of every chain, counted, its key passed on, its room given to who waits for it.
    pub(super) fn settle(&mut self, now: Instant, index: u32, verdict: Verdict) {
        let it = &self.deliveries[index];
        let (queue, event, state, holds_key) = (it.queue, it.event, it.state, it.holds_key);
        self.clear_timer(index);
        let all = &mut self.deliveries;
        let place = &mut self.queues[queue];
        match state {
            State::Ready => {
                place.leave_ready(all, index);
                place.leave_age(all, index);
            }
            State::Parked => {
                let key = self.kept[event].event.key().expect("it waits for its key");
                place.leave_key(all, index, key);
                place.leave_age(all, index);
            }
            State::Held | State::Waiting => place.leave_age(all, index),
            State::Unwritten => place.unwritten.remove(all, Chain::Turn, index),
            State::Urgent => place.urgent.remove(all, Chain::Turn, index),
            State::InFlight => self.land(index),
            State::Picked => {}
        }
        let size = self.kept[event].event.size() as u64;
        let place = &mut self.queues[queue];
        place.count_out(size, verdict);
        let key = holds_key.then(|| self.kept[event].event.key().cloned()).flatten();
        if let Some(key) = key
            && let Some(next) = place.pass_key(&mut self.deliveries, &key)
        {
            self.ready(now, next);
        }
        self.deliveries.remove(index);
        self.unkeep(event);
        self.unstall(queue);
    }

    /// The same for an event of the quick lane, which is out of it already.
    #[inline]
    pub(super) fn settle_plain(&mut self, queue: u32, plain: Plain, verdict: Verdict) {
        self.queues[queue].count_out(plain.size.into(), verdict);
        self.unkeep(plain.kept);
        self.unstall(queue);
    }

    /// The quick lane of a queue whose settings do not allow it any more becomes deliveries.
    pub(super) fn leave_plain(&mut self, queue: u32) {
        for Plain { offset, kept, .. } in std::mem::take(&mut self.queues[queue].plain) {
            let Kept { priority, expiry, .. } = self.kept[kept];
            let (index, _) = self.deliveries.insert(Delivery::new(kept, queue, offset, priority, expiry));
            let place = &mut self.queues[queue];
            place.enter_age(&mut self.deliveries, index);
            place.enter_ready(&mut self.deliveries, index);
        }
    }

    /// Suppliers that waited for room in a queue may try again.
    #[inline]
    pub(super) fn unstall(&mut self, queue: u32) {
        if self.queues[queue].stalled.is_empty() {
            return;
        }
        for intake in std::mem::take(&mut self.queues[queue].stalled) {
            self.unstall_intake(intake);
        }
    }

    /// The first event of a supplier's buffer waits for room in a queue, until it expires.
    pub(super) fn stall(&mut self, index: u32, queue: u32) {
        let intake = &mut self.intakes[index];
        intake.stalled_on = Some(queue);
        let expiry = intake.buffer.front().map_or(Instant::MAX, |arrival| arrival.expiry);
        if expiry != Instant::MAX {
            intake.stall_timer = self.timers.insert(expiry, Key::Stall(index));
        }
        self.queues[queue].stalled.push(index);
    }

    /// A supplier's buffer waits no longer: there is room, or another event is first.
    pub(super) fn unstall_intake(&mut self, index: u32) {
        let intake = &mut self.intakes[index];
        let Some(queue) = intake.stalled_on.take() else { return };
        let timer = std::mem::replace(&mut intake.stall_timer, NO_TIMER);
        self.timers.cancel(timer);
        self.queues[queue].stalled.retain(|it| *it != index);
        self.queue_intake(index);
    }

    pub(super) fn set_timer(&mut self, index: u32, at: Instant) {
        self.clear_timer(index);
        self.deliveries[index].timer = self.timers.insert(at, Key::Delivery(index));
    }

    pub(super) fn clear_timer(&mut self, index: u32) {
        let timer = std::mem::replace(&mut self.deliveries[index].timer, NO_TIMER);
        self.timers.cancel(timer);
    }
}
