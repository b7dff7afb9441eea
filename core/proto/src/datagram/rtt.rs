//! Round trips: smoothed, their deviation, and the time-outs made of them.
//!
//! Source: RFC 6298; RFC 9002, 5 and 6.2 (the peer's delay is taken off, the minimum is kept).

use core::time::Duration;

/// Estimate of a path's round trip.
#[derive(Clone, Copy, Debug)]
pub struct Rtt {
    smoothed_ns: u64,
    deviation_ns: u64,
    min_ns: u64,
    latest_ns: u64,
    is_measured: bool,
}

impl Rtt {
    /// No sample yet: `initial` stands in.
    pub fn new(initial: Duration) -> Rtt {
        let initial = initial.as_nanos() as u64;
        Rtt {
            smoothed_ns: initial,
            deviation_ns: initial / 2,
            min_ns: initial,
            latest_ns: initial,
            is_measured: false,
        }
    }

    /// Takes a sample: time from sending a packet to its acknowledgement, of which the peer says that it waited `peer_delay`.
    pub fn sample(&mut self, sample: Duration, peer_delay: Duration) {
        let sample = sample.as_nanos() as u64;
        self.latest_ns = sample;
        if !self.is_measured {
            self.is_measured = true;
            (self.smoothed_ns, self.deviation_ns, self.min_ns) = (sample, sample / 2, sample);
            return;
        }
        self.min_ns = self.min_ns.min(sample);
        // The delay is the peer's word: it never takes a sample below the minimum.
        let delay = peer_delay.as_nanos() as u64;
        let adjusted = if sample >= self.min_ns.saturating_add(delay) { sample - delay } else { sample };
        self.deviation_ns = (3 * self.deviation_ns + self.smoothed_ns.abs_diff(adjusted)) / 4;
        self.smoothed_ns = (7 * self.smoothed_ns + adjusted) / 8;
    }

    /// Smoothed round trip.
    pub fn smoothed(&self) -> Duration {
        Duration::from_nanos(self.smoothed_ns)
    }

    /// The last one.
    pub fn latest(&self) -> Duration {
        Duration::from_nanos(self.latest_ns)
    }

    /// How far samples are from the smoothed one, on average.
    pub fn deviation(&self) -> Duration {
        Duration::from_nanos(self.deviation_ns)
    }

    /// The shortest one seen.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(self.min_ns)
    }

    /// Whether there was a sample.
    pub fn is_measured(&self) -> bool {
        self.is_measured
    }

    /// When an acknowledgement is overdue: smoothed + 4 deviations (1 ms at least) + the time the peer may wait.
    pub fn probe_timeout(&self, peer_delay_max: Duration) -> Duration {
        Duration::from_nanos(self.smoothed_ns + (4 * self.deviation_ns).max(GRANULARITY_NS)) + peer_delay_max
    }

    /// How long after a later packet's acknowledgement an earlier one counts as lost: 9/8 of the round trip.
    pub fn loss_delay(&self) -> Duration {
        Duration::from_nanos((self.smoothed_ns.max(self.latest_ns) / 8 * 9).max(GRANULARITY_NS))
    }
}

const GRANULARITY_NS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_first_sample_replaces_the_guess() {
        let mut rtt = Rtt::new(ms(100));
        rtt.sample(ms(10), ms(0));
        assert_eq!((rtt.smoothed(), rtt.min()), (ms(10), ms(10)));
        assert_eq!(rtt.probe_timeout(ms(5)), ms(10 + 4 * 5 + 5));
    }

    #[test]
    fn a_steady_path_settles() {
        let mut rtt = Rtt::new(ms(100));
        for _ in 0..50 {
            rtt.sample(ms(20), ms(0));
        }
        assert_eq!(rtt.smoothed(), ms(20));
        assert!(rtt.probe_timeout(ms(0)) < ms(22), "{:?}", rtt.probe_timeout(ms(0)));
        assert_eq!(rtt.loss_delay(), Duration::from_micros(22_500));
    }

    #[test]
    fn a_peer_that_exaggerates_its_delay_does_not_shorten_the_round_trip() {
        let mut rtt = Rtt::new(ms(100));
        rtt.sample(ms(20), ms(0));
        for _ in 0..50 {
            rtt.sample(ms(20), ms(19));
        }
        assert_eq!(rtt.smoothed(), ms(20));
    }
}
