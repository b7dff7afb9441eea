//! Events come in: pushed by suppliers, or pulled from them.

use super::proxy::{Arrival, Mode, expiry_after};
use super::{Channel, Kept, Key, Verdict};
use crate::delivery::{Delivery, State};
use crate::event::{Event, Reliability};
use crate::id::ConsumerProxyId;
use crate::output::{Output, Pushed, Refusal};
use crate::qos::{Discard, Settings};
use crate::queue::{Plain, Victim};
use crate::seen::Sight;
use crate::timers::NO_TIMER;
use clustercore_proto::time::{Duration, Instant};

/// What became of one event.
enum Fate {
    Done,
    Repeat,
    Unwritten,
}

impl Channel {
    /// A supplier gives events, in order, until one is refused. Each that is taken has a receipt; those to be written to disk
    /// are confirmed by [`Output::Confirmed`], the others are done with.
    pub fn push(&mut self, now: Instant, proxy: ConsumerProxyId, events: &[Event]) -> Pushed {
        self.handle_timeout(now);
        let mut pushed = Pushed::default();
        if self.intakes.generation(proxy.index) != Some(proxy.generation) {
            pushed.refusal = Some(Refusal::NoSuchProxy);
            return pushed;
        }
        pushed.receipt = self.intakes[proxy.index].receipts;
        if self.is_intake_suspended(proxy.index) && !events.is_empty() {
            self.intakes[proxy.index].stats.refused += 1;
            pushed.refusal = Some(Refusal::Suspended);
            return pushed;
        }
        for event in events {
            match self.accept(now, proxy.index, event) {
                Ok(fate) => {
                    pushed.taken += 1;
                    self.intakes[proxy.index].receipts += 1;
                    pushed.repeats += u64::from(matches!(fate, Fate::Repeat));
                    pushed.unwritten += u64::from(matches!(fate, Fate::Unwritten));
                }
                Err(refusal) => {
                    self.intakes[proxy.index].stats.refused += 1;
                    pushed.refusal = Some(refusal);
                    break;
                }
            }
        }
        pushed
    }

    /// The answer to [`Output::Pull`]: what the supplier has, which may be nothing.
    pub fn pulled(&mut self, now: Instant, proxy: ConsumerProxyId, events: &[Event]) -> Pushed {
        let is_known = self.intakes.generation(proxy.index) == Some(proxy.generation);
        if is_known {
            self.intakes[proxy.index].is_asked = false;
        }
        let pushed = self.push(now, proxy, events);
        if is_known && events.is_empty() {
            let intake = &mut self.intakes[proxy.index];
            if intake.timer == NO_TIMER {
                let rhythm = intake.settings.pacing.max(PULL_RHYTHM_MIN);
                intake.timer = self.timers.insert(now + rhythm, Key::Intake(proxy.index));
            }
        } else if is_known {
            self.ask(proxy.index);
        }
        pushed
    }

    /// Asks a supplier who is pulled, when there is room.
    pub(super) fn ask(&mut self, index: u32) {
        let is_stopped = self.is_intake_suspended(index);
        let Some(intake) = self.intakes.get_mut(index) else { return };
        let room = intake.settings.length_max.saturating_sub(intake.buffer.len() as u32);
        let is_idle = intake.spec.mode == Mode::Pull && intake.is_connected && !intake.is_asked;
        if is_idle && !is_stopped && room > 0 && intake.timer == NO_TIMER {
            intake.is_asked = true;
            let max = intake.settings.batch_max.min(room);
            let generation = self.intakes.generation(index).expect("it is there");
            self.outputs.push_back(Output::Pull { proxy: (index, generation).into(), max });
        }
    }

    pub(super) fn is_intake_suspended(&self, index: u32) -> bool {
        let Some(intake) = self.intakes.get(index) else { return true };
        let group = intake.spec.group.and_then(|group| self.groups.get(group.index));
        intake.is_suspended || group.is_some_and(|group| group.is_suspended)
    }

    fn accept(&mut self, now: Instant, index: u32, event: &Event) -> Result<Fate, Refusal> {
        match self.seen.look(event) {
            Sight::New => {}
            Sight::Open => return Err(Refusal::InProgress),
            Sight::Repeat => {
                self.intakes[index].stats.repeats += 1;
                return Ok(Fate::Repeat);
            }
        }
        if !self.passes(index, event) {
            self.intakes[index].stats.filtered += 1;
            return Ok(Fate::Done);
        }
        if self.kept.len() as u64 + self.buffered >= self.config.events_max
            || self.kept_bytes + self.buffered_bytes + event.size() as u64 > self.config.bytes_max
        {
            let (events, bytes) = (self.kept.len() as u64 + self.buffered, self.kept_bytes);
            return Err(Refusal::ChannelFull { events, bytes: bytes + self.buffered_bytes });
        }
        if self.config.direct.iter().any(|pattern| pattern.covers(event)) {
            self.seen.enter(event, false);
            self.intakes[index].stats.direct += 1;
            self.spread_directly(now, index, event);
            return Ok(Fate::Done);
        }
        let arrival = self.arrival(now, index, event);
        let is_full = self.intakes[index].is_full_for(event.size());
        if is_full {
            self.make_room(index, &arrival)?;
        }
        let is_persistent = arrival.is_persistent;
        self.seen.enter(event, is_persistent);
        let intake = &mut self.intakes[index];
        intake.stats.taken += 1;
        if is_full && intake.is_full_for(event.size()) {
            intake.stats.discarded += 1;
            return Ok(Fate::Done);
        }
        intake.bytes += event.size() as u64;
        intake.buffer.push_back(arrival);
        self.buffered += 1;
        self.buffered_bytes += event.size() as u64;
        if !intake.is_queued {
            self.queue_intake(index);
        }
        Ok(if is_persistent { Fate::Unwritten } else { Fate::Done })
    }

    #[inline]
    fn passes(&mut self, index: u32, event: &Event) -> bool {
        // Also for the mappings, which are asked after it.
        self.routes.begin();
        let intake = &self.intakes[index];
        let group = intake.spec.group.and_then(|group| self.groups.get(group.index)?.filter);
        let filters = [group, intake.filter];
        filters.into_iter().flatten().all(|filter| self.routes.holds(filter, event) == Some(true))
    }

    fn arrival(&mut self, now: Instant, index: u32, event: &Event) -> Arrival {
        let settings = &self.intakes[index].settings;
        let header = event.header();
        let mut arrival = Arrival {
            event: event.clone(),
            receipt: self.intakes[index].receipts,
            accepted_at: now,
            priority: header.priority.unwrap_or(settings.priority),
            expiry: header.expiry.unwrap_or(expiry_after(now, settings.lifetime)),
            start: header.start.unwrap_or(now + settings.delay),
            is_persistent: header.reliability.unwrap_or(settings.reliability) == Reliability::Persistent,
        };
        if !self.intakes[index].mappings.is_empty() {
            let mappings = std::mem::take(&mut self.intakes[index].mappings);
            let (priority, expiry) = (&mut arrival.priority, &mut arrival.expiry);
            self.map(&mappings, event, now, priority, expiry);
            self.intakes[index].mappings = mappings;
        }
        arrival
    }

    /// Makes room in a supplier's buffer, as its policy says. Where there is still none, the new one gives way.
    fn make_room(&mut self, index: u32, arrival: &Arrival) -> Result<(), Refusal> {
        let size = arrival.event.size();
        let Settings { bytes_max, discard, .. } = self.intakes[index].settings;
        if size as u64 > bytes_max {
            return Err(Refusal::TooLarge { bytes: size, max: bytes_max });
        }
        while self.intakes[index].is_full_for(size) {
            let buffer = &self.intakes[index].buffer;
            let victim = match discard {
                Discard::Oldest => Some(0),
                Discard::Newest | Discard::Refuse => None,
                Discard::LowestPriority => {
                    let lowest = buffer.iter().enumerate().min_by_key(|(_, it)| it.priority);
                    lowest.filter(|(_, it)| it.priority <= arrival.priority).map(|(place, _)| place)
                }
            };
            let Some(place) = victim else {
                // What is to be written is never acknowledged and then not there.
                let is_refused = discard == Discard::Refuse || arrival.is_persistent;
                let length = buffer.len() as u32;
                return if is_refused { Err(Refusal::BufferFull { length }) } else { Ok(()) };
            };
            let victim = self.take_arrival(index, place);
            self.intakes[index].stats.discarded += 1;
            if place == 0 {
                self.unstall_intake(index);
            }
            if victim.is_persistent {
                self.seen.close(&victim.event, false);
                let length = self.intakes[index].buffer.len() as u32 + 1;
                self.lose(index, victim.receipt, Refusal::BufferFull { length });
            }
        }
        Ok(())
    }

    pub(super) fn take_arrival(&mut self, index: u32, place: usize) -> Arrival {
        let intake = &mut self.intakes[index];
        let arrival = intake.buffer.remove(place).expect("a place of the buffer");
        let size = arrival.event.size() as u64;
        intake.bytes -= size;
        self.buffered -= 1;
        self.buffered_bytes -= size;
        arrival
    }

    pub(super) fn queue_intake(&mut self, index: u32) {
        let intake = &mut self.intakes[index];
        let is_idle = !intake.is_queued && intake.stalled_on.is_none();
        if is_idle && !intake.buffer.is_empty() {
            intake.is_queued = true;
            self.intake_turns.enter(index, intake.settings.turn_priority);
        }
    }

    /// An urgent event goes to all who want it at once.
    fn spread_directly(&mut self, now: Instant, index: u32, event: &Event) {
        let arrival = self.arrival(now, index, event);
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.clear();
        self.routes.begin();
        let mut lanes = std::mem::take(&mut self.wanted_lanes);
        self.routes.collect(event, &mut wanted, &mut lanes);
        self.routes.commit();
        lanes.drain(..).for_each(|lane| self.dissolve(lane, &mut wanted));
        self.wanted_lanes = lanes;
        let kept = self.keep_arrival(arrival, true);
        for queue in wanted.drain(..) {
            if let Some(delivery) = self.offer(now, queue, kept) {
                self.queues[queue].urgent.insert_before(
                    &mut self.deliveries,
                    crate::delivery::Chain::Turn,
                    delivery,
                    crate::delivery::NONE,
                );
                self.deliveries[delivery].state = State::Urgent;
                self.wake_urgently(queue);
            }
        }
        self.wanted = wanted;
        self.unkeep(kept);
    }

    pub(super) fn confirm(&mut self, intake: (u32, u32), receipt: u64) {
        let proxy = ConsumerProxyId::from(intake);
        if let Some(Output::Confirmed { proxy: same, last, .. }) = self.outputs.back_mut()
            && *same == proxy
            && *last + 1 == receipt
        {
            *last = receipt;
            return;
        }
        self.outputs.push_back(Output::Confirmed { proxy, first: receipt, last: receipt });
    }

    pub(super) fn lose(&mut self, index: u32, receipt: u64, reason: Refusal) {
        if let Some(generation) = self.intakes.generation(index) {
            self.outputs.push_back(Output::Lost { proxy: (index, generation).into(), receipt, reason });
        }
    }

    /// A delivery of an event to a queue, if it fits there: counted in the queue, in none of its chains.
    pub(super) fn offer(&mut self, now: Instant, queue: u32, kept: u32) -> Option<u32> {
        let Kept { offset, priority, expiry, accepted_at, .. } = self.kept[kept];
        let (mut priority, mut expiry) = (priority, expiry);
        if !self.queues[queue].mappings.is_empty() {
            let mappings = std::mem::take(&mut self.queues[queue].mappings);
            let event = self.kept[kept].event.clone();
            self.map(&mappings, &event, accepted_at, &mut priority, &mut expiry);
            self.queues[queue].mappings = mappings;
        }
        let size = self.kept[kept].event.size();
        self.queues[queue].stats.queued += 1;
        if !self.make_room_in(now, queue, size, priority) {
            return None;
        }
        let delivery = Delivery::new(kept, queue, offset, priority, expiry);
        let (index, _) = self.deliveries.insert(delivery);
        self.kept[kept].refs += 1;
        let place = &mut self.queues[queue];
        place.len += 1;
        place.bytes += size as u64;
        Some(index)
    }

    /// An event for the quick lane of a queue; false when it gives way. The caller counts the reference.
    #[inline]
    pub(super) fn offer_plain(&mut self, now: Instant, queue: u32, plain: Plain) -> bool {
        let size = plain.size as usize;
        let place = &mut self.queues[queue];
        place.stats.queued += 1;
        if place.is_full_for(size) && !self.make_room_in(now, queue, size, 0) {
            return false;
        }
        let place = &mut self.queues[queue];
        place.len += 1;
        place.bytes += size as u64;
        place.plain.push_back(plain);
        // Where others wait already, their turn has been asked for, or something else stands in its way.
        if place.plain.len() == 1 {
            self.wake(queue);
        }
        true
    }

    /// Makes room in a queue, as its policy says; false when the one that comes gives way, which is counted.
    fn make_room_in(&mut self, now: Instant, queue: u32, size: usize, priority: u8) -> bool {
        while self.queues[queue].is_full_for(size) {
            let fits_alone = size as u64 <= self.queues[queue].settings.bytes_max;
            match self.queues[queue].victim(&self.deliveries, priority).filter(|_| fits_alone) {
                Some(victim) => self.discard(now, queue, victim),
                None => {
                    self.queues[queue].stats.discarded += 1;
                    return false;
                }
            }
        }
        true
    }

    pub(super) fn discard(&mut self, now: Instant, queue: u32, victim: Victim) {
        match victim {
            Victim::Delivery(index) => self.settle(now, index, Verdict::Discarded),
            Victim::Plain => {
                let plain = self.queues[queue].plain.pop_front().expect("chosen just now");
                self.settle_plain(queue, plain, Verdict::Discarded);
            }
        }
    }
}

/// How long a supplier who had nothing is left alone at least.
const PULL_RHYTHM_MIN: Duration = Duration::from_millis(10);
