//! Events go out: pushed to consumers by turns, or pulled by them.

use super::proxy::{Mode, Outlet};
use super::{Channel, Kept, Key, Verdict};
use crate::delivery::{Chain, Deliveries, NONE, State};
use crate::event::Text;
use crate::id::{DeliveryId, SupplierProxyId};
use crate::lane::{Reading, SharedLane};
use crate::output::{Handed, Output};
use crate::qos::{Acknowledgement, Settings};
use crate::queue::Plain;
use crate::scheduler::Discipline;
use crate::slots::Slots;
use crate::timers::NO_TIMER;
use clustercore_proto::time::Instant;

/// Events for one consumer, lent for the time of the call.
pub struct Batch<'a> {
    /// The consumer's proxy.
    pub proxy: SupplierProxyId,
    /// Its name.
    pub name: &'a Text,
    /// Each has to be acknowledged.
    pub is_acknowledged: bool,
    /// Some of its events go directly: they have no place in the channel's order.
    pub has_direct: bool,
    picked: Picked<'a>,
    deliveries: &'a Deliveries,
    kept: &'a Slots<Kept>,
}

/// The events of a batch.
#[derive(Clone, Copy)]
pub(super) enum Picked<'a> {
    /// Picked one by one.
    List(&'a [Pick]),
    /// So many of a shared lane, as they lie there.
    Lane(&'a SharedLane, Reading, usize),
}

/// Some events behind one another in a shared lane: those of two batches of one round are the same where these are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    lane: u32,
    first: u64,
    len: usize,
}

/// An event of a batch: a delivery, or from the quick lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pick {
    delivery: u32,
    kept: u32,
    size: u32,
    offset: u64,
}

impl Pick {
    /// One of the quick lane.
    #[inline]
    pub fn plain(&Plain { offset, kept, size }: &Plain) -> Pick {
        Pick { delivery: NONE, kept, size, offset }
    }
}

/// The name of what is done when it is handed over.
const NOT_ACKNOWLEDGED: DeliveryId = DeliveryId { index: NONE, generation: 0 };

impl<'a> Batch<'a> {
    /// How many; at least one.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.picked.len()
    }

    /// Their places in the channel's order; 0 for one that goes directly.
    #[inline]
    pub fn offsets(&self) -> impl ExactSizeIterator<Item = u64> {
        let picked = self.picked;
        (0..picked.len()).map(move |place| picked.get(place).offset)
    }

    /// Where they lie, when consumers that are alike may get the same.
    #[inline]
    pub fn span(&self) -> Option<Span> {
        match self.picked {
            Picked::List(_) => None,
            Picked::Lane(_, reading, len) => Some(Span { lane: reading.lane, first: reading.next(), len }),
        }
    }

    /// The events, in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Handed<'a>> {
        let (picked, deliveries, kept) = (self.picked, self.deliveries, self.kept);
        (0..picked.len()).map(move |place| {
            let pick = picked.get(place);
            let event = &kept[pick.kept].event;
            if pick.delivery == NONE {
                return Handed { event, delivery: NOT_ACKNOWLEDGED, offset: pick.offset, tries: 0 };
            }
            let generation = deliveries.generation(pick.delivery).expect("it is being handed over");
            let tries = deliveries[pick.delivery].tries;
            Handed { event, delivery: (pick.delivery, generation).into(), offset: pick.offset, tries }
        })
    }
}

impl Picked<'_> {
    #[inline]
    fn len(&self) -> usize {
        match self {
            Picked::List(list) => list.len(),
            Picked::Lane(_, _, len) => *len,
        }
    }

    #[inline]
    fn get(&self, place: usize) -> Pick {
        match self {
            Picked::List(list) => list[place],
            Picked::Lane(lane, reading, _) => Pick::plain(lane.get(reading, place)),
        }
    }
}

impl Channel {
    /// Gives batches to consumers that are pushed to, by turns, `batches_max` at most; direct events first. `sink` says how
    /// many of a batch it took, from the first on: with fewer than all, this consumer gets nothing more before
    /// [`Channel::writable`]. How many events were given.
    pub fn deliver(
        &mut self,
        now: Instant,
        batches_max: u32,
        sink: &mut impl FnMut(Batch<'_>) -> usize,
    ) -> usize {
        self.handle_timeout(now);
        let mut given = 0;
        for _ in 0..batches_max {
            if let Some(index) = self.urgent_turns.pop_front() {
                if self.outlets.get(index).is_some_and(|it| it.spec.mode == Mode::Push) {
                    given += self.give(now, index, 0, sink);
                }
                continue;
            }
            let Some(index) = self.outlet_turns.next() else { break };
            let Some(outlet) = self.outlets.get_mut(index) else { continue };
            outlet.is_queued = false;
            if !self.may_have(now, index) {
                continue;
            }
            let settings = &self.queues[self.outlets[index].queue].settings;
            let max = match self.outlet_turns.discipline() {
                Discipline::Weighted => settings.batch_max.min(settings.weight),
                _ => settings.batch_max,
            };
            let pacing = settings.pacing;
            given += self.give(now, index, max, sink);
            if !pacing.is_zero() {
                let outlet = &mut self.outlets[index];
                outlet.paced_until = now + pacing;
                self.timers.cancel(outlet.timer);
                outlet.timer = self.timers.insert(now + pacing, Key::Outlet(index));
            }
            self.wake_outlet(index);
        }
        self.join_lanes();
        self.refill(now);
        given
    }

    /// A consumer asks for events, `events_max` at most. With none it is told by [`Output::Readable`] when there are
    /// some. How many it got; `None` when there is no such proxy.
    pub fn pull(
        &mut self,
        now: Instant,
        proxy: SupplierProxyId,
        events_max: u32,
        sink: &mut impl FnMut(Batch<'_>) -> usize,
    ) -> Option<usize> {
        self.handle_timeout(now);
        if self.outlets.generation(proxy.index) != Some(proxy.generation) {
            return None;
        }
        if !self.is_open(proxy.index) {
            self.outlets[proxy.index].is_waiting = true;
            return Some(0);
        }
        self.outlets[proxy.index].is_blocked = false;
        let given = self.give(now, proxy.index, events_max, sink);
        self.outlets[proxy.index].is_waiting = given == 0;
        if self.outlets[proxy.index].spec.mode == Mode::Push {
            // It takes more, which it may not have said.
            self.wake_outlet(proxy.index);
        }
        self.join_lanes();
        self.refill(now);
        Some(given)
    }

    /// A consumer that did not take all takes more.
    pub fn writable(&mut self, proxy: SupplierProxyId) {
        if self.outlets.generation(proxy.index) == Some(proxy.generation) {
            self.outlets[proxy.index].is_blocked = false;
            self.wake_outlet(proxy.index);
            if !self.queues[self.outlets[proxy.index].queue].urgent.is_empty() {
                self.urgent_turns.push_back(proxy.index);
            }
        }
    }

    /// Connected, and neither it nor its group suspended.
    pub(super) fn is_open(&self, index: u32) -> bool {
        let outlet = &self.outlets[index];
        let group = outlet.spec.group.and_then(|group| self.groups.get(group.index));
        outlet.is_connected && !outlet.is_suspended && !group.is_some_and(|group| group.is_suspended)
    }

    fn may_have(&self, now: Instant, index: u32) -> bool {
        let outlet = &self.outlets[index];
        let queue = &self.queues[outlet.queue];
        let has_window = self.window(outlet, &queue.settings) > 0;
        self.has_ready(queue)
            && outlet.spec.mode == Mode::Push
            && !outlet.is_blocked
            && now >= outlet.paced_until
            && has_window
            && self.is_open(index)
    }

    fn window(&self, outlet: &Outlet, settings: &Settings) -> u32 {
        match settings.acknowledgement {
            Acknowledgement::None => u32::MAX,
            Acknowledgement::Explicit => settings.in_flight_max.saturating_sub(outlet.in_flight),
        }
    }

    /// The members of a queue that has something get a turn.
    #[inline]
    pub(super) fn wake(&mut self, queue: u32) {
        for place in 0..self.queues[queue].members.len() {
            self.wake_outlet(self.queues[queue].members[place]);
        }
    }

    #[inline]
    pub(super) fn wake_outlet(&mut self, index: u32) {
        let outlet = &self.outlets[index];
        if outlet.is_queued || (outlet.spec.mode == Mode::Pull && !outlet.is_waiting) {
            return;
        }
        let queue = &self.queues[outlet.queue];
        if outlet.spec.mode == Mode::Pull {
            let has_window = self.window(outlet, &queue.settings) > 0 && self.has_ready(queue);
            if self.is_open(index) && (has_window || !queue.urgent.is_empty()) {
                self.outlets[index].is_waiting = false;
                let proxy = self.outlet_id(index);
                self.outputs.push_back(Output::Readable { proxy });
            }
            return;
        }
        // The pace is looked at when the turn comes, and its end wakes.
        let priority = queue.settings.turn_priority;
        let is_paced = outlet.timer != NO_TIMER;
        if !is_paced && self.may_have(Instant::MAX, index) {
            self.outlets[index].is_queued = true;
            self.outlet_turns.enter(index, priority);
        }
    }

    /// One member of a queue with direct events gets them before all turns.
    pub(super) fn wake_urgently(&mut self, queue: u32) {
        let members = &self.queues[queue].members;
        let able = members.iter().copied().find(|it| self.is_open(*it) && !self.outlets[*it].is_blocked);
        match able {
            Some(index) if self.outlets[index].spec.mode == Mode::Push => self.urgent_turns.push_back(index),
            Some(index) => self.wake_outlet(index),
            None => {}
        }
    }

    pub(super) fn outlet_id(&self, index: u32) -> SupplierProxyId {
        (index, self.outlets.generation(index).expect("a proxy in use")).into()
    }

    /// Gives direct events, and up to `max` others as far as the window goes.
    fn give(
        &mut self,
        now: Instant,
        index: u32,
        max: u32,
        sink: &mut impl FnMut(Batch<'_>) -> usize,
    ) -> usize {
        let outlet = &self.outlets[index];
        if outlet.is_blocked || !self.is_open(index) {
            return 0;
        }
        let queue = outlet.queue;
        let settings = self.queues[queue].settings;
        let max = max.min(self.window(&self.outlets[index], &settings)) as usize;
        if self.queues[queue].reading.is_some() {
            return self.give_of_lane(index, max, sink);
        }
        let mut picked = std::mem::take(&mut self.picked);
        picked.clear();
        let urgent_len = self.pick_urgent(now, queue, &mut picked);
        self.pick_plain(queue, max, &mut picked);
        while picked.len() - urgent_len < max {
            let place = &mut self.queues[queue];
            let ready = if place.ready_len > 0 { place.first_ready() } else { None };
            let before = ready.map_or(u64::MAX, |index| self.deliveries[index].offset);
            if let Some(plain) = place.plain.pop_front_if(|it| it.offset < before) {
                picked.push(Pick::plain(&plain));
                continue;
            }
            let Some(delivery) = ready else { break };
            if self.deliveries[delivery].expiry <= now {
                self.settle(now, delivery, Verdict::Expired);
                continue;
            }
            place.leave_ready(&mut self.deliveries, delivery);
            place.leave_age(&mut self.deliveries, delivery);
            self.pick(delivery, &mut picked);
        }
        let mut taken = 0;
        if !picked.is_empty() {
            taken = self.hand_over(index, Picked::List(&picked), urgent_len, sink);
            let (gone, left) = picked.split_at(taken);
            if !left.is_empty() {
                self.put_back(queue, left, urgent_len.saturating_sub(taken));
                self.outlets[index].is_blocked = true;
            }
            self.handed(now, index, &settings, gone, urgent_len);
        }
        self.picked = picked;
        taken
    }

    /// Lends what was picked, the first `urgent_len` of it direct events. How many were taken.
    #[inline]
    pub(super) fn hand_over(
        &self,
        index: u32,
        picked: Picked<'_>,
        urgent_len: usize,
        sink: &mut impl FnMut(Batch<'_>) -> usize,
    ) -> usize {
        let outlet = &self.outlets[index];
        let is_acknowledged = self.queues[outlet.queue].settings.acknowledgement == Acknowledgement::Explicit;
        let (deliveries, kept, name) = (&self.deliveries, &self.kept, &outlet.spec.name);
        let (proxy, has_direct) = (self.outlet_id(index), urgent_len > 0);
        sink(Batch { proxy, name, is_acknowledged, has_direct, picked, deliveries, kept }).min(picked.len())
    }

    /// Takes up to `max` from the quick lane at once, where there is nothing beside it.
    #[inline]
    fn pick_plain(&mut self, queue: u32, max: usize, picked: &mut Vec<Pick>) {
        let place = &mut self.queues[queue];
        if place.ready_len == 0 {
            let count = place.plain.len().min(max);
            picked.extend(place.plain.drain(..count).map(|plain| Pick::plain(&plain)));
        }
    }

    #[inline]
    fn pick_urgent(&mut self, now: Instant, queue: u32, picked: &mut Vec<Pick>) -> usize {
        loop {
            let head = self.queues[queue].urgent.head;
            if head == NONE {
                return picked.len();
            }
            if self.deliveries[head].expiry <= now {
                self.settle(now, head, Verdict::Expired);
                continue;
            }
            self.queues[queue].urgent.remove(&mut self.deliveries, Chain::Turn, head);
            self.pick(head, picked);
        }
    }

    fn pick(&mut self, delivery: u32, picked: &mut Vec<Pick>) {
        let it = &mut self.deliveries[delivery];
        it.state = State::Picked;
        picked.push(Pick { delivery, kept: it.event, size: 0, offset: it.offset });
    }

    fn put_back(&mut self, queue: u32, left: &[Pick], urgent_len: usize) {
        for &Pick { delivery, .. } in left[..urgent_len].iter().rev() {
            let head = self.queues[queue].urgent.head;
            self.queues[queue].urgent.insert_before(&mut self.deliveries, Chain::Turn, delivery, head);
            self.deliveries[delivery].state = State::Urgent;
        }
        for &Pick { delivery, kept, size, offset } in left[urgent_len..].iter().rev() {
            if delivery == NONE {
                self.queues[queue].plain.push_front(Plain { offset, kept, size });
                continue;
            }
            self.queues[queue].enter_age(&mut self.deliveries, delivery);
            self.queues[queue].enter_ready(&mut self.deliveries, delivery);
        }
    }

    #[inline]
    fn handed(&mut self, now: Instant, index: u32, settings: &Settings, gone: &[Pick], urgent_len: usize) {
        let queue = self.outlets[index].queue;
        self.queues[queue].stats.delivered += gone.len() as u64;
        let (mut plain_len, mut plain_bytes) = (0, 0);
        for (place, &Pick { delivery, kept, size, .. }) in gone.iter().enumerate() {
            if delivery == NONE {
                plain_len += 1;
                plain_bytes += u64::from(size);
                self.unkeep(kept);
                continue;
            }
            let it = &mut self.deliveries[delivery];
            it.tries = it.tries.saturating_add(1);
            self.queues[queue].stats.redelivered += u64::from(it.tries > 1);
            if settings.acknowledgement == Acknowledgement::None || place < urgent_len {
                self.settle(now, delivery, Verdict::Settled);
                continue;
            }
            (it.state, it.holder) = (State::InFlight, index);
            let outlet = &mut self.outlets[index];
            outlet.in_flight += 1;
            outlet.flight.insert_before(&mut self.deliveries, Chain::Turn, delivery, NONE);
            self.set_timer(delivery, now + settings.acknowledge_timeout);
        }
        if plain_len > 0 {
            let place = &mut self.queues[queue];
            place.len -= plain_len;
            place.bytes -= plain_bytes;
            place.stats.settled += u64::from(plain_len);
            self.unstall(queue);
            if self.outlets[index].spec.mode == Mode::Push {
                self.offer_to_join(queue);
            }
        }
    }
}
