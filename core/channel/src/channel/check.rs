//! What must hold between calls.

use super::Channel;
use crate::delivery::State;
use crate::timers::NO_TIMER;

impl Channel {
    /// Asserts everything that must hold between two calls; meant for tests and simulations.
    pub fn check_invariants(&self) {
        let mut refs = vec![0u32; self.kept.indices().last().map_or(0, |last| *last as usize + 1)];
        let mut lens = vec![(0u32, 0u64); self.queues.indices().last().map_or(0, |last| *last as usize + 1)];
        for (_, _, it) in self.deliveries.iter() {
            refs[it.event as usize] += 1;
            lens[it.queue as usize].0 += 1;
            lens[it.queue as usize].1 += self.kept[it.event].event.size() as u64;
            assert_ne!(it.state, State::Picked, "nothing is in between");
            let has_time = matches!(it.state, State::InFlight | State::Held | State::Waiting);
            assert!(!has_time || it.timer != NO_TIMER, "{it:?} waits for a time");
        }
        for (index, _, queue) in self.queues.iter() {
            for plain in &queue.plain {
                assert_eq!(self.kept[plain.kept].offset, plain.offset);
                refs[plain.kept as usize] += 1;
                lens[index as usize].0 += 1;
                lens[index as usize].1 += self.kept[plain.kept].event.size() as u64;
            }
        }
        for (index, _, lane) in self.lanes.iter() {
            let queues = self.queues.iter().filter_map(|(queue, _, it)| Some((queue, it.reading?)));
            let readings: Vec<_> = queues.filter(|(_, reading)| reading.lane == index).collect();
            lane.check_invariants(&readings);
            for plain in lane.entries() {
                assert_eq!(self.kept[plain.kept].offset, plain.offset);
                refs[plain.kept as usize] += 1;
            }
        }
        self.retained.iter().for_each(|kept| refs[*kept as usize] += 1);
        self.pending.iter().for_each(|it| refs[it.kept as usize] += 1);
        let mut bytes = 0;
        for (index, _, kept) in self.kept.iter() {
            assert_eq!(kept.refs, refs[index as usize], "an event is kept while somebody refers to it");
            bytes += kept.event.size() as u64;
        }
        assert_eq!(bytes, self.kept_bytes);
        assert!(self.retained.iter().map(|kept| self.kept[*kept].offset).is_sorted());
        for (index, _, queue) in self.queues.iter() {
            queue.check_invariants(&self.deliveries);
            assert_eq!((queue.len, queue.bytes), lens[index as usize], "what is in a queue is counted");
            assert_eq!(
                self.routes.is_listed(queue.route, index),
                queue.reading.is_none(),
                "by itself or in a lane"
            );
            assert!(queue.cursor.is_none() || self.replaying.contains(&index));
        }
        for (index, _, outlet) in self.outlets.iter() {
            assert_eq!(outlet.in_flight as usize, self.flight_len(index), "what is in flight is counted");
        }
        let buffered: usize = self.intakes.iter().map(|(.., it)| it.buffer.len()).sum();
        assert_eq!(buffered as u64, self.buffered);
        assert!(self.kept.len() as u64 + self.buffered <= self.config.events_max, "the channel's bound");
        for (_, _, intake) in self.intakes.iter() {
            let stats = &intake.stats;
            let out = stats.spread + stats.expired + stats.discarded + stats.failed;
            assert_eq!(stats.taken, out + intake.buffer.len() as u64, "{stats:?}");
            if let Some(queue) = intake.stalled_on {
                assert!(self.queues.get(queue).is_some(), "it waits for a queue that is there");
            }
        }
    }
}
