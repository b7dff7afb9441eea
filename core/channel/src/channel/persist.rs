//! Events on their way to disk, in order: what comes after one that is being written waits for it.

use super::{Channel, Kept, Pending, Verdict};
use crate::delivery::{Chain, State};
use crate::event::Event;
use crate::output::Refusal;
use clustercore_proto::time::Instant;

impl Channel {
    /// Every event of [`Output::Persist`](crate::Output::Persist) up to this offset is on disk: suppliers are told, consumers get them.
    pub fn persisted(&mut self, now: Instant, offset: u64) {
        self.handle_timeout(now);
        for place in 0..self.pending.len() {
            let Pending { kept, offset: own, is_written, intake, receipt, .. } = self.pending[place];
            if own > offset {
                break;
            }
            if !is_written {
                self.pending[place].is_written = true;
                self.kept[kept].is_written = true;
                self.seen.close(&self.kept[kept].event, true);
                self.confirm(intake, receipt);
            }
        }
        self.release(now);
    }

    /// The events from the first to the last offset could not be written: their suppliers are told, nobody gets them.
    pub fn persist_failed(&mut self, now: Instant, first: u64, last: u64) {
        self.handle_timeout(now);
        for place in 0..self.pending.len() {
            let Pending { kept, offset, is_written, intake, receipt, .. } = self.pending[place];
            if is_written || !(first..=last).contains(&offset) {
                continue;
            }
            for (delivery, generation) in std::mem::take(&mut self.pending[place].deliveries) {
                if self.deliveries.generation(delivery) == Some(generation) {
                    self.settle(now, delivery, Verdict::Dropped);
                }
            }
            self.pending[place].is_written = true;
            self.seen.close(&self.kept[kept].event, false);
            if self.intakes.generation(intake.0) == Some(intake.1) {
                let stats = &mut self.intakes[intake.0].stats;
                stats.spread -= 1;
                stats.failed += 1;
                self.lose(intake.0, receipt, Refusal::NotWritten);
            }
            self.unretain(offset);
        }
        self.release(now);
    }

    /// What waits for nothing before it goes on.
    fn release(&mut self, now: Instant) {
        while self.pending.front().is_some_and(|it| it.is_written) {
            let Pending { kept, deliveries, .. } = self.pending.pop_front().expect("looked at just now");
            for (delivery, generation) in deliveries {
                if self.deliveries.generation(delivery) != Some(generation) {
                    continue;
                }
                let queue = self.deliveries[delivery].queue;
                debug_assert_eq!(self.deliveries[delivery].state, State::Unwritten);
                self.queues[queue].unwritten.remove(&mut self.deliveries, Chain::Turn, delivery);
                self.begin(now, delivery);
            }
            self.kept[kept].is_written = true;
            self.unkeep(kept);
        }
        self.refill(now);
    }

    /// Puts back an event that the journal kept, in the order of their offsets and before anything else. They are kept for
    /// replay until [`Channel::restored`], so that consumers can be made that begin where they were.
    pub fn restore(&mut self, offset: u64, accepted_at: Instant, event: Event) {
        debug_assert!(offset >= self.offset_next, "in order");
        self.is_restoring = true;
        self.offset_next = offset + 1;
        self.seen.enter(&event, false);
        let header = *event.header();
        let settings = crate::qos::Settings::default().narrowed(&self.config.qos);
        let kept = self.keep(Kept {
            offset,
            accepted_at,
            priority: header.priority.unwrap_or(settings.priority),
            expiry: header.expiry.unwrap_or(super::proxy::expiry_after(accepted_at, settings.lifetime)),
            start: header.start.unwrap_or(accepted_at + settings.delay),
            is_persistent: true,
            is_written: true,
            refs: 1,
            event,
        });
        self.retain(kept);
        self.unkeep(kept);
    }

    /// Places below `next` were used before, by what is not kept any more too.
    pub fn restore_next(&mut self, next: u64) {
        self.is_restoring = true;
        self.offset_next = self.offset_next.max(next);
    }

    /// Every consumer of before is back: the retention keeps to its bounds from here on.
    pub fn restored(&mut self, now: Instant) {
        self.is_restoring = false;
        self.trim(now);
    }

    /// The journal may forget everything below this offset.
    pub fn needed_from(&self) -> u64 {
        let kept = self.kept.iter().filter(|(.., kept)| kept.is_persistent);
        kept.map(|(.., kept)| kept.offset).min().unwrap_or(self.offset_next)
    }
}
