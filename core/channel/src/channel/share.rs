//! Queues that are alike share a quick lane: who joins it, and who leaves.

use super::Channel;
use super::hand::{Batch, Picked};
use crate::lane::{Bounds, SharedLane};
use crate::queue::{Plain, Queue};

/// Below so many events a queue is soon half full, and a lane not worth its while.
const LENGTH_MIN: u32 = 16;

impl Channel {
    /// Something may be handed over.
    #[inline]
    pub(super) fn has_ready(&self, queue: &Queue) -> bool {
        queue.has_ready()
            || queue.reading.is_some_and(|reading| self.lanes[reading.lane].backlog(&reading).0 > 0)
    }

    /// Events and bytes that a queue holds, those of its lane included.
    pub(super) fn held(&self, queue: &Queue) -> (u32, u64) {
        let (len, bytes) = queue.reading.map_or((0, 0), |reading| self.lanes[reading.lane].backlog(&reading));
        (queue.len + len, queue.bytes + bytes)
    }

    /// A queue that has nothing left could share: [`Channel::join_lanes`] at the end of the call sees to it.
    #[inline]
    pub(super) fn offer_to_join(&mut self, queue: u32) {
        if self.could_share(queue) {
            self.joining.push(queue);
        }
    }

    #[inline]
    fn could_share(&self, queue: u32) -> bool {
        let place = &self.queues[queue];
        let is_empty = place.len == 0 && place.cursor.is_none() && place.reading.is_none();
        let is_able = place.is_plain() && place.settings.length_max >= LENGTH_MIN;
        is_empty && is_able && self.routes.is_shared(place.route)
    }

    /// Those that could share a lane do so from here on: all of one call together.
    pub(super) fn join_lanes(&mut self) {
        if self.joining.is_empty() {
            return;
        }
        let mut joining = std::mem::take(&mut self.joining);
        joining.retain(|queue| {
            let could_share = self.could_share(*queue);
            if could_share {
                let Queue { route, settings, .. } = self.queues[*queue];
                let bounds = Bounds { length_max: settings.length_max, bytes_max: settings.bytes_max };
                let lane = self.lane_of(route, bounds);
                self.queues[*queue].reading = Some(self.lanes[lane].join(*queue, lane));
            }
            could_share
        });
        let mut routes: Vec<u32> = joining.iter().map(|queue| self.queues[*queue].route).collect();
        routes.sort_unstable();
        routes.dedup();
        for route in routes {
            let queues = &self.queues;
            self.routes.withdraw(route, |queue| queues[queue].reading.is_some());
        }
        joining.clear();
        self.joining = joining;
    }

    fn lane_of(&mut self, route: u32, bounds: Bounds) -> u32 {
        let mut lanes = self.routes.lanes(route).iter().copied();
        if let Some(lane) = lanes.find(|lane| self.lanes[*lane].bounds == bounds) {
            return lane;
        }
        let (lane, _) = self.lanes.insert(SharedLane::new(route, bounds));
        self.routes.add_lane(route, lane);
        lane
    }

    /// Puts an event down for all readers of a lane, who have room for it.
    #[inline]
    pub(super) fn put_in_lane(&mut self, lane: u32, plain: Plain) {
        let mut woken = std::mem::take(&mut self.woken);
        self.lanes[lane].push(plain, &mut woken);
        woken.drain(..).for_each(|queue| self.wake(queue));
        self.woken = woken;
    }

    /// Makes room in a lane: who is behind leaves it and is appended to `left`.
    #[inline]
    pub(super) fn make_lane_room(&mut self, lane: u32, size: u32, left: &mut Vec<u32>) {
        if !self.lanes[lane].is_full_for(size) {
            return;
        }
        let mut behind = self.lanes[lane].readers.clone();
        behind.retain(|queue| {
            let reading = self.queues[*queue].reading.expect("it reads this lane");
            self.lanes[lane].is_behind(&reading, size)
        });
        self.part(lane, &behind);
        left.append(&mut behind);
    }

    /// Everybody leaves a lane, and is appended to `left`.
    pub(super) fn dissolve(&mut self, lane: u32, left: &mut Vec<u32>) {
        let readers = self.lanes[lane].readers.clone();
        self.part(lane, &readers);
        left.extend(readers);
    }

    /// A queue leaves its lane, if it is in one, with what it has not read.
    pub(super) fn leave_lane(&mut self, queue: u32) {
        if let Some(reading) = self.queues[queue].reading {
            self.part(reading.lane, &[queue]);
        }
    }

    fn part(&mut self, lane: u32, leaving: &[u32]) {
        for queue in leaving {
            let place = &mut self.queues[*queue];
            let reading = place.reading.take().expect("it reads this lane");
            let shared = &mut self.lanes[lane];
            let (len, bytes) = shared.backlog(&reading);
            place.plain.extend(shared.unread(&reading));
            place.plain.iter().for_each(|plain| self.kept[plain.kept].refs += 1);
            place.len += len;
            place.bytes += bytes;
            place.stats.queued += u64::from(len);
            shared.depart(&reading);
            self.routes.put_back(shared.route, *queue);
        }
        let queues = &self.queues;
        self.lanes[lane].retain(|queue| queues[queue].reading.is_some());
        self.let_go(lane);
        if self.lanes[lane].readers.is_empty() {
            let gone = self.lanes.remove(lane).expect("it was read until now");
            self.routes.remove_lane(gone.route, lane);
        }
    }

    /// Gives up to `max` events of its lane to a queue's consumer. How many it took.
    #[inline]
    pub(super) fn give_of_lane(
        &mut self,
        index: u32,
        max: usize,
        sink: &mut impl FnMut(Batch<'_>) -> usize,
    ) -> usize {
        let queue = self.outlets[index].queue;
        let mut reading = self.queues[queue].reading.expect("it reads a lane");
        let lane = &self.lanes[reading.lane];
        let count = (lane.backlog(&reading).0 as usize).min(max);
        if count == 0 {
            return 0;
        }
        let taken = self.hand_over(index, Picked::Lane(lane, reading, count), 0, sink);
        self.outlets[index].is_blocked |= taken < count;
        if taken > 0 {
            let lane = reading.lane;
            self.lanes[lane].advance(queue, &mut reading, taken as u32);
            let place = &mut self.queues[queue];
            place.reading = Some(reading);
            place.stats.queued += taken as u64;
            place.stats.delivered += taken as u64;
            place.stats.settled += taken as u64;
            self.let_go(lane);
        }
        taken
    }

    /// Lets go of what all readers of a lane have passed.
    #[inline]
    fn let_go(&mut self, lane: u32) {
        while let Some(kept) = self.lanes[lane].pop_done() {
            self.unkeep(kept);
        }
    }
}
