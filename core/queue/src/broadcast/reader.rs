//! The reading end: a cursor of its own.

use std::fmt;

use super::batch::Batch;
use super::shared::Shared;
use super::{Crowded, WhenFull};
use crate::slip::Slip;
use crate::sync::{Arc, Ordering, View, fence};

/// One reader of a ring. One thread at a time; may move between threads. Dropping it unsubscribes.
pub struct Reader<T> {
    pub(super) shared: Arc<Shared<T>>,
    /// Of the slots, which `shared` keeps alive.
    pub(super) view: View<T>,
    pub(super) seat: usize,
    /// The next event to be read.
    pub(super) position: u64,
    /// Events below are filled; always the end of a batch, and above or at `position`.
    seen: u64,
    /// Whether it may be overrun and must pin what it reads.
    pub(super) pins: bool,
    is_multi: bool,
    slip: Slip,
    missed: u64,
}

impl<T> Reader<T> {
    pub(super) fn join(shared: Arc<Shared<T>>, start: u64) -> Result<Self, Crowded> {
        let crowded = Crowded { readers_max: shared.seats.len() };
        let seat = shared.seats.take(start).ok_or(crowded)?;
        // Release: the seat comes before the Acquire in `Shared::make_room`.
        shared.gate.joins.fetch_add(1, Ordering::Release);
        let (view, pins) = (shared.view.copy(), matches!(shared.when_full, WhenFull::DropOldest { .. }));
        let is_multi = !shared.ends.is_empty();
        let mut reader = Self {
            shared,
            view,
            seat,
            position: start,
            seen: start,
            pins,
            is_multi,
            slip: Slip::default(),
            missed: 0,
        };
        reader.settle(false);
        // Acquire: pairs with the Release of those who publish; at least the floor, which never passes this.
        reader.seen = reader.shared.published.load(Ordering::Acquire);
        Ok(reader)
    }

    /// The next events, up to `count_max`, in place. `None` when there is none now.
    ///
    /// They stay unread until [`Batch::consume`]. Under [`WhenFull::DropOldest`] the batch says how many were missed
    /// before it, and holds the writer back while it lives.
    #[inline]
    pub fn read(&mut self, count_max: usize) -> Option<Batch<'_, T>> {
        let mut count = self.ready(count_max);
        if count == 0 {
            return None;
        }
        let mut missed = 0;
        if self.pins {
            let before = self.position;
            self.shared.seats.set(self.seat, self.position, true);
            self.settle(true);
            missed = self.position - before;
            if missed > 0 {
                count = self.recount(missed, count_max);
                if count == 0 {
                    self.shared.seats.set(self.seat, self.position, false);
                    return None;
                }
            }
        }
        let missed = missed + std::mem::take(&mut self.missed);
        Some(Batch::new(self, count, missed))
    }

    /// Shows up to `count_max` events to `look` and passes them. Returns how many.
    ///
    /// An event counts as read when `look` has been called with it, also if that panics.
    #[inline]
    pub fn for_each(&mut self, count_max: usize, mut look: impl FnMut(&T)) -> usize {
        let Some(batch) = self.read(count_max) else { return 0 };
        let mut passing = batch.passing();
        let mut count = 0;
        while let Some(event) = passing.next() {
            count += 1;
            look(event);
        }
        count
    }

    /// Whether nothing is there now. This is the look to take between `Bell::prepare_sleep` and blocking.
    pub fn is_empty(&mut self) -> bool {
        self.seen <= self.position && self.look() == 0
    }

    /// How many published events this reader has not read yet; those it has been overrun by count, too.
    pub fn lag(&self) -> u64 {
        self.shared.published_now().saturating_sub(self.position)
    }

    /// Whether all writers are gone. All they published is visible to a `read` after this said `true`.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Events ready as far as known, at most `count_max`, looking for more only when they are fewer than that.
    #[inline]
    fn ready(&mut self, count_max: usize) -> usize {
        if self.seen <= self.position {
            if self.slip.is_due() {
                // Keeps its distance rather than fight the writer for each event.
                self.slip.pause();
            } else {
                // Spinning: the event's line comes along with the position's, rather than after it.
                self.view.prefetch(self.position as usize);
            }
            let found = self.look();
            if found == 0 {
                return 0;
            }
            self.slip.found(found);
        } else if self.seen < self.position.saturating_add(count_max as u64) {
            self.look();
        }
        count_max.min((self.seen - self.position) as usize)
    }

    /// Looks for more. Returns how many events are known of now.
    #[inline]
    fn look(&mut self) -> usize {
        // Acquire: pairs with the Release of those who publish; the events below are filled.
        let published = self.shared.published.load(Ordering::Acquire);
        self.seen = self.seen.max(published);
        if self.is_multi && self.seen <= self.position {
            self.seen = self.shared.filled_from(self.seen);
        }
        self.seen.saturating_sub(self.position) as usize
    }

    /// Moves up until no writer can be about to use our slots again: see `room`.
    #[inline]
    fn settle(&mut self, is_pinned: bool) {
        loop {
            // SeqCst: pairs with the fence in `Shared::make_room`. Either that writer sees where we are, or we see its floor.
            fence(Ordering::SeqCst);
            // Acquire: with the floor comes what is published, which is never below it, so that we find it now and not later.
            let floor = self.shared.gate.floor.load(Ordering::Acquire);
            if floor <= self.position {
                return;
            }
            self.position = floor;
            self.shared.seats.set(self.seat, floor, is_pinned);
        }
    }

    /// What a batch that stayed unread had to say, for the next one to say.
    pub(super) fn missed_again(&mut self, missed: u64) {
        self.missed = missed;
    }

    /// Counts what was missed, and what is ready behind it.
    #[cold]
    fn recount(&mut self, missed: u64, count_max: usize) -> usize {
        // Relaxed: a count.
        self.shared.counts.missed.fetch_add(missed, Ordering::Relaxed);
        let count = self.ready(count_max);
        if count == 0 {
            self.missed += missed;
        }
        count
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.shared.seats.leave(self.seat);
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("seat", &self.seat).field("position", &self.position).finish()
    }
}
