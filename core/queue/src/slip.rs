//! The distance a reader keeps to its writer.

/// A pause before a reader looks for more, longer while that pays: on the writer's heels both pay for a cache line per item.
///
/// Source: the "temporal slipping" of FastForward (Giacomoni, Moseley, Vachharajani 2008), here without a clock.
#[derive(Default)]
pub(crate) struct Slip {
    /// Hints of the next pause; 0 when nothing has been found since the last one.
    due: u32,
    /// Hints of the last pause.
    last: u32,
}

impl Slip {
    /// Whether something has been found since the last pause.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.due > 0
    }

    #[inline]
    pub(crate) fn pause(&mut self) {
        for _ in 0..std::mem::take(&mut self.due) {
            std::hint::spin_loop();
        }
    }

    /// Notes how many items a look found.
    #[inline]
    pub(crate) fn found(&mut self, items: usize) {
        self.last = match items {
            // The producer is slow by itself: a longer pause brought no more, and who waits for an item wants it at once.
            1 if self.last > 1 => 1,
            0..FEW => (2 * self.last).clamp(1, LONGEST),
            _ => (self.last / 2).max(1),
        };
        self.due = self.last;
    }
}

/// Items found at a look that make the next pause longer.
const FEW: usize = 64;
/// Hints of the longest pause.
const LONGEST: u32 = 16;
