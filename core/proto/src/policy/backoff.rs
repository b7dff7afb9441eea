//! Exponential back-off with jitter, shared by ejection and by restarts.

use crate::random::Random;
use crate::time::{Duration, nanos};

/// Delays that double from `base` up to `max`, each shortened at random so that those who failed together do
/// not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay.
    pub base: Duration,
    /// No delay is longer.
    pub max: Duration,
    /// How much of a delay is random, 0..=1000: with 200 it lies between 80 and 100 per cent of the full one.
    pub jitter_per_mille: u32,
}

impl Backoff {
    /// The delay after failure number `attempt`, which counts from 1 (0 is taken as 1).
    pub fn delay(&self, attempt: u32, random: &mut Random) -> Duration {
        let max_ns = nanos(self.max);
        let doublings = attempt.saturating_sub(1).min(63);
        let full_ns =
            u64::try_from(u128::from(nanos(self.base)) << doublings).unwrap_or(u64::MAX).min(max_ns);
        let random_ns = full_ns / 1000 * u64::from(self.jitter_per_mille.min(1000));
        Duration::from_nanos(full_ns - random.below(random_ns.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap() {
        let backoff = Backoff {
            base: Duration::from_millis(100),
            max: Duration::from_millis(1500),
            jitter_per_mille: 0,
        };
        let delays = [0, 1, 2, 3, 4, 5, 6, 1000]
            .map(|attempt| backoff.delay(attempt, &mut Random::new(0)).as_millis());
        assert_eq!(delays, [100, 100, 200, 400, 800, 1500, 1500, 1500]);
    }

    #[test]
    fn jitter_only_shortens_and_spreads() {
        let backoff =
            Backoff { base: Duration::from_secs(1), max: Duration::from_secs(1), jitter_per_mille: 200 };
        let mut random = Random::new(3);
        let delays: alloc::vec::Vec<_> =
            (0..200).map(|_| backoff.delay(1, &mut random).as_millis()).collect();
        assert!(delays.iter().all(|delay| (800..=1000).contains(delay)));
        assert!(delays.iter().min() < Some(&820) && delays.iter().max() > Some(&980));
    }
}
