//! The retention, and consumers that begin in it.
//!
//! A replay is a cursor into the retention: its queue takes events as it has room, the live ones included, and joins
//! those that get events as they come when it has come to the end. So it costs its own bound, however far back it begins.

use super::{Channel, Start};
use clustercore_proto::time::Instant;

impl Channel {
    /// The oldest place in the order that a replay can begin at.
    pub fn retained_from(&self) -> u64 {
        self.retained.front().map_or(self.offset_next, |kept| self.kept[*kept].offset)
    }

    /// The offset below which a consumer (or its group) has done with everything.
    pub fn position(&self, proxy: crate::SupplierProxyId) -> Option<u64> {
        if self.outlets.generation(proxy.index) != Some(proxy.generation) {
            return None;
        }
        use crate::delivery::Chain;
        let queue = &self.queues[self.outlets[proxy.index].queue];
        let all = &self.deliveries;
        let offset = |index: u32| all[index].offset;
        let flights = queue.members.iter().flat_map(|it| self.outlets[*it].flight.iter(all, Chain::Turn));
        let heads = queue.age.iter(all, Chain::Age).take(1);
        let unwritten = queue.unwritten.iter(all, Chain::Turn).take(1);
        let shared = queue.reading.and_then(|reading| self.lanes[reading.lane].at(&reading));
        let plain = queue.plain.front().or(shared).map(|plain| plain.offset);
        let first = heads.chain(unwritten).chain(flights).map(offset).chain(plain).min();
        Some(first.unwrap_or(u64::MAX).min(queue.cursor.unwrap_or(self.offset_next)))
    }

    pub(super) fn start_at(&self, start: Start) -> Option<u64> {
        match start {
            Start::Now => None,
            Start::Earliest => Some(self.retained_from()),
            Start::Offset(offset) => Some(offset),
            Start::Time(time) => {
                let place = self.retained.partition_point(|kept| self.kept[*kept].accepted_at < time);
                Some(self.retained.get(place).map_or(self.offset_next, |kept| self.kept[*kept].offset))
            }
        }
    }

    /// Events are kept for replay, or for a replay that is under way.
    pub(super) fn is_retaining(&self) -> bool {
        self.config.retention_events_max > 0 || !self.replaying.is_empty()
    }

    pub(super) fn retain(&mut self, kept: u32) {
        self.kept[kept].refs += 1;
        self.retained_bytes += self.kept[kept].event.size() as u64;
        self.retained.push_back(kept);
        let now = self.kept[kept].accepted_at;
        self.trim(now);
    }

    pub(super) fn unretain(&mut self, offset: u64) {
        if let Ok(place) = self.retained.binary_search_by_key(&offset, |kept| self.kept[*kept].offset) {
            let kept = self.retained.remove(place).expect("found there");
            self.retained_bytes -= self.kept[kept].event.size() as u64;
            self.unkeep(kept);
        }
    }

    /// Lets go of what the bounds do not allow, but not of what a durable consumer has still to read.
    pub(super) fn trim(&mut self, now: Instant) {
        if self.is_restoring {
            return;
        }
        let durable = self.replaying.iter().filter_map(|queue| self.queues.get(*queue));
        let pinned = durable.filter(|it| it.is_durable).filter_map(|it| it.cursor).min().unwrap_or(u64::MAX);
        while let Some(&kept) = self.retained.front() {
            let it = &self.kept[kept];
            let age_max = self.config.retention_age_max;
            let is_old = !age_max.is_zero() && it.accepted_at + age_max <= now;
            let is_much = self.retained.len() as u64 > self.config.retention_events_max
                || self.retained_bytes > self.config.retention_bytes_max;
            if !(is_old || is_much) || it.offset >= pinned {
                break;
            }
            self.retained_bytes -= it.event.size() as u64;
            self.retained.pop_front();
            self.unkeep(kept);
        }
    }

    /// Queues with a cursor take what they have room for.
    #[inline]
    pub(super) fn refill(&mut self, now: Instant) {
        if self.replaying.is_empty() {
            return;
        }
        let mut replaying = std::mem::take(&mut self.replaying);
        replaying.retain(|queue| {
            self.refill_one(now, *queue);
            self.queues.get(*queue).is_some_and(|queue| queue.cursor.is_some())
        });
        self.replaying = replaying;
        self.trim(now);
    }

    fn refill_one(&mut self, now: Instant, queue: u32) {
        while let Some(cursor) = self.queues.get(queue).and_then(|queue| queue.cursor) {
            let place = self.retained.partition_point(|kept| self.kept[*kept].offset < cursor);
            let Some(&kept) = self.retained.get(place) else {
                let queue = &mut self.queues[queue];
                queue.stats.missed += self.offset_next.saturating_sub(cursor) * u64::from(place == 0);
                queue.cursor = None;
                return;
            };
            let it = &self.kept[kept];
            let (offset, is_written) = (it.offset, it.is_written);
            let (event, size) = (it.event.clone(), it.event.size());
            let room = &self.queues[queue];
            let fits_alone = size as u64 <= room.settings.bytes_max;
            if !is_written || (room.is_full_for(size) && fits_alone) {
                return;
            }
            if place == 0 {
                self.queues[queue].stats.missed += offset - cursor;
            }
            self.queues[queue].cursor = Some(offset + 1);
            self.routes.begin();
            if self.routes.wants(self.queues[queue].route, &event)
                && let Some(delivery) = self.offer(now, queue, kept)
            {
                self.begin(now, delivery);
            }
        }
    }
}
