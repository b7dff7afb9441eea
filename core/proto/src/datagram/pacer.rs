//! Spreads a window over the round trip: a bucket of bytes that fills at the pacing rate.
//!
//! Source: RFC 9002, 7.7; the rate is 5/4 of window over round trip, twice that in slow start. A train is at most 1 ms of the
//! rate, so that a fast path is not paced by timers and a slow one gets no bursts.

use crate::time::Instant;
use core::time::Duration;

/// The bucket of one path.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    bytes_per_second: u64,
    /// Below zero after a train of more than was there: the next one waits longer.
    tokens: i64,
    filled: Instant,
}

impl Pacer {
    /// A full bucket.
    pub fn new(now: Instant) -> Pacer {
        Pacer { bytes_per_second: u64::MAX, tokens: BURST_MIN as i64, filled: now }
    }

    /// Sets the rate from window, round trip and phase.
    pub fn set_rate(&mut self, now: Instant, window: u64, rtt: Duration, is_slow_start: bool) {
        self.fill(now);
        let rtt_ns = (rtt.as_nanos() as u64).max(1);
        let quarters = if is_slow_start { 8 } else { 5 };
        let rate = u128::from(window) * quarters * 1_000_000_000 / (4 * u128::from(rtt_ns));
        self.bytes_per_second = u64::try_from(rate).unwrap_or(u64::MAX).max(1);
    }

    /// Bytes per second.
    pub fn rate(&self) -> u64 {
        self.bytes_per_second
    }

    /// Bytes that may leave at once: 1 ms of the rate, but two packets at least.
    pub fn burst(&self) -> u64 {
        (self.bytes_per_second / 1000).max(BURST_MIN)
    }

    /// When `bytes` may leave; `now` when they may at once.
    pub fn due(&mut self, now: Instant, bytes: u64) -> Instant {
        self.fill(now);
        let wanted = signed(bytes.min(self.burst()));
        if self.tokens >= wanted {
            return now;
        }
        let missing = u128::from(wanted.abs_diff(self.tokens)) * 1_000_000_000;
        now + Duration::from_nanos((missing / u128::from(self.bytes_per_second)) as u64 + 1)
    }

    /// Bytes have left.
    pub fn take(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_sub(signed(bytes));
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_sub(self.filled).as_nanos();
        let gained = elapsed.saturating_mul(u128::from(self.bytes_per_second)) / 1_000_000_000;
        if gained == 0 {
            // Too short for a byte: the time is not lost.
            return;
        }
        self.filled = now;
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        self.tokens = self.tokens.saturating_add(gained).min(signed(self.burst()));
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Two packets of a path with an MTU of 1500.
const BURST_MIN: u64 = 2944;

#[cfg(test)]
mod tests {
    use super::*;

    fn at_us(us: u64) -> Instant {
        Instant::from_nanos(us * 1000)
    }

    #[test]
    fn bytes_leave_at_the_rate() {
        let mut pacer = Pacer::new(Instant::ZERO);
        // 100 kB per 100 ms, times 5/4: 1.25 MB/s, a packet of 1250 bytes each millisecond.
        pacer.set_rate(Instant::ZERO, 100_000, Duration::from_millis(100), false);
        let (mut now, mut sent) = (Instant::ZERO, 0);
        while now < at_us(1_000_000) {
            now = pacer.due(now, 1250);
            if pacer.due(now, 1250) == now {
                pacer.take(1250);
                sent += 1250;
            }
        }
        assert!((1_250_000 - 2500..=1_250_000 + 2 * 2944).contains(&sent), "{sent}");
    }

    #[test]
    fn a_train_is_a_millisecond_of_a_fast_path() {
        let mut pacer = Pacer::new(Instant::ZERO);
        pacer.set_rate(Instant::ZERO, 1_000_000, Duration::from_millis(1), false);
        assert_eq!(pacer.burst(), 1_250_000);
        pacer.set_rate(Instant::ZERO, 10_000, Duration::from_millis(100), true);
        assert_eq!(pacer.burst(), BURST_MIN);
    }

    #[test]
    fn a_train_beyond_the_burst_leaves_when_the_bucket_is_full() {
        let mut pacer = Pacer::new(Instant::ZERO);
        pacer.set_rate(Instant::ZERO, 10_000, Duration::from_millis(100), false);
        pacer.take(2944);
        let due = pacer.due(Instant::ZERO, 60_000);
        assert!(due > Instant::ZERO && due < Instant::ZERO + Duration::from_millis(30), "{due:?}");
        assert_eq!(pacer.due(due, 60_000), due);
    }
}
