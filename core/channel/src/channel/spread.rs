//! From the suppliers' buffers into the queues of those who want it.

use super::proxy::{Arrival, expiry_after};
use super::{Channel, Kept, Pending};
use crate::delivery::{Chain, NONE, State};
use crate::event::Event;
use crate::output::Output;
use crate::predicate::Change;
use crate::qos::Discard;
use crate::queue::Plain;
use clustercore_proto::time::Instant;

impl Channel {
    /// Drains suppliers' buffers, by turns, until `events_max` events have been looked at or nothing is left. How many
    /// have been.
    pub fn spread(&mut self, now: Instant, events_max: u64) -> u64 {
        self.handle_timeout(now);
        let mut done = 0;
        while done < events_max {
            let Some(index) = self.intake_turns.next() else { break };
            let Some(intake) = self.intakes.get_mut(index) else { continue };
            intake.is_queued = false;
            if intake.stalled_on.is_some() || self.is_intake_suspended(index) {
                continue;
            }
            let is_alone = self.intake_turns.len() == 0;
            let quantum = self.intake_turns.quantum(self.intakes[index].settings.weight);
            let quantum = if is_alone { u32::MAX } else { quantum };
            for _ in 0..quantum {
                if done == events_max || !self.spread_one(now, index) {
                    break;
                }
                done += 1;
            }
            self.queue_intake(index);
            self.ask(index);
        }
        self.refill(now);
        done
    }

    /// False when there was nothing, or it has to wait for room.
    #[inline]
    fn spread_one(&mut self, now: Instant, index: u32) -> bool {
        let Some(arrival) = self.intakes[index].buffer.front() else { return false };
        let intake_id = (index, self.intakes.generation(index).expect("it is there"));
        if arrival.expiry <= now {
            let arrival = self.take_arrival(index, 0);
            self.intakes[index].stats.expired += 1;
            self.finish(intake_id, &arrival);
            return true;
        }
        let arrival = self.intakes[index].buffer.pop_front().expect("looked at just now");
        let size = arrival.event.size();
        let mut wanted = std::mem::take(&mut self.wanted);
        let mut lanes = std::mem::take(&mut self.wanted_lanes);
        wanted.clear();
        lanes.clear();
        self.routes.begin();
        self.routes.collect(&arrival.event, &mut wanted, &mut lanes);
        let is_plain = self.pending.is_empty() && arrival.is_plain(now);
        if is_plain {
            lanes.iter().for_each(|lane| self.make_lane_room(*lane, size as u32, &mut wanted));
            // A lane that everybody has left is gone.
            lanes.retain(|lane| self.lanes.get(*lane).is_some());
        } else {
            lanes.drain(..).for_each(|lane| self.dissolve(lane, &mut wanted));
        }
        if let Some(queue) = self.full_one(&wanted, size) {
            self.intakes[index].buffer.push_front(arrival);
            self.stall(index, queue);
            (self.wanted, self.wanted_lanes) = (wanted, lanes);
            return false;
        }
        self.routes.commit();
        self.buffered -= 1;
        self.buffered_bytes -= size as u64;
        let intake = &mut self.intakes[index];
        intake.bytes -= size as u64;
        intake.stats.spread += 1;
        let is_retained = self.is_retaining();
        if wanted.is_empty() && lanes.is_empty() && !is_retained {
            self.unwanted += 1;
            self.finish(intake_id, &arrival);
        } else {
            self.spread_to(now, intake_id, arrival, &mut wanted, &mut lanes);
        }
        (self.wanted, self.wanted_lanes) = (wanted, lanes);
        true
    }

    /// A queue that refuses and has no room.
    #[inline]
    fn full_one(&self, wanted: &[u32], size: usize) -> Option<u32> {
        let mut full = wanted.iter().copied().filter(|queue| {
            let queue = &self.queues[*queue];
            let fits_alone = size as u64 <= queue.settings.bytes_max;
            queue.settings.discard == Discard::Refuse
                && queue.cursor.is_none()
                && fits_alone
                && queue.is_full_for(size)
        });
        full.next()
    }

    fn spread_to(
        &mut self,
        now: Instant,
        intake: (u32, u32),
        arrival: Arrival,
        wanted: &mut Vec<u32>,
        lanes: &mut Vec<u32>,
    ) {
        let Arrival { receipt, is_persistent, .. } = arrival;
        let is_plain = self.pending.is_empty() && arrival.is_plain(now);
        let waits = is_persistent || !self.pending.is_empty();
        let kept = self.keep_arrival(arrival, !is_persistent);
        let offset = self.kept[kept].offset;
        if self.is_retaining() {
            self.retain(kept);
        }
        let plain = Plain { offset, kept, size: self.kept[kept].event.size() as u32 };
        let mut plain_refs = lanes.len() as u32;
        lanes.drain(..).for_each(|lane| self.put_in_lane(lane, plain));
        let mut deliveries = Vec::new();
        for queue in wanted.drain(..) {
            let place = &self.queues[queue];
            if place.cursor.is_some() {
                continue;
            }
            if is_plain && place.is_plain() {
                plain_refs += u32::from(self.offer_plain(now, queue, plain));
                continue;
            }
            let Some(delivery) = self.offer(now, queue, kept) else { continue };
            if waits {
                let chain = &mut self.queues[queue].unwritten;
                chain.insert_before(&mut self.deliveries, Chain::Turn, delivery, NONE);
                deliveries.push((delivery, self.deliveries.generation(delivery).expect("just made")));
            } else {
                self.begin(now, delivery);
            }
        }
        self.kept[kept].refs += plain_refs;
        if !waits {
            return self.unkeep(kept);
        }
        // The reference of its beginning is now that of its writing.
        if is_persistent {
            let event = self.kept[kept].event.clone();
            self.outputs.push_back(Output::Persist { offset, event });
        }
        let is_written = !is_persistent;
        self.pending.push_back(Pending { kept, offset, deliveries, is_written, intake, receipt });
    }

    /// Stores an arrival with one reference, which is the caller's.
    pub(super) fn keep_arrival(&mut self, arrival: Arrival, is_written: bool) -> u32 {
        let offset = self.offset_next;
        self.offset_next += 1;
        let Arrival { event, accepted_at, priority, expiry, start, is_persistent, .. } = arrival;
        let (is_persistent, refs) = (is_persistent && !is_written, 1);
        self.keep(Kept {
            event,
            offset,
            accepted_at,
            priority,
            expiry,
            start,
            is_persistent,
            is_written,
            refs,
        })
    }

    /// Nobody wants it: the supplier may forget it.
    fn finish(&mut self, intake: (u32, u32), arrival: &Arrival) {
        if arrival.is_persistent {
            self.seen.close(&arrival.event, true);
            self.confirm(intake, arrival.receipt);
        }
    }

    /// A delivery becomes what its event's times say.
    pub(super) fn begin(&mut self, now: Instant, delivery: u32) {
        let (queue, expiry) = (self.deliveries[delivery].queue, self.deliveries[delivery].expiry);
        let start = self.kept[self.deliveries[delivery].event].start;
        self.deliveries[delivery].state = State::Held;
        self.queues[queue].enter_age(&mut self.deliveries, delivery);
        if expiry <= now {
            self.settle(now, delivery, super::Verdict::Expired);
        } else if start > now {
            self.set_timer(delivery, start.min(expiry));
        } else {
            self.ready(now, delivery);
        }
    }

    /// The first mapping of each kind that holds changes priority and expiry.
    pub(super) fn map(
        &mut self,
        mappings: &[(u32, Change)],
        event: &Event,
        accepted_at: Instant,
        priority: &mut u8,
        expiry: &mut Instant,
    ) {
        let (mut has_priority, mut has_lifetime) = (false, false);
        for (filter, change) in mappings {
            let is_done = match change {
                Change::Priority(_) => &mut has_priority,
                Change::Lifetime(_) => &mut has_lifetime,
            };
            if *is_done || self.routes.holds(*filter, event) != Some(true) {
                continue;
            }
            *is_done = true;
            match change {
                Change::Priority(value) => *priority = *value,
                Change::Lifetime(lifetime) => *expiry = expiry_after(accepted_at, *lifetime),
            }
        }
    }
}
