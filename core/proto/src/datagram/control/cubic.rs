//! CUBIC.
//!
//! Source: RFC 9438; slow start and recovery as in RFC 9002, 7.3. Whole numbers only: windows in bytes, times in microseconds.

use super::{Acknowledged, Controller};
use crate::time::Instant;

/// The state of one path.
#[derive(Clone, Debug)]
pub struct Cubic {
    packet: u64,
    window: u64,
    threshold: u64,
    /// Loss of packets sent before this moment is part of a congestion already answered.
    recovery_start: Option<Instant>,
    /// Start of the current stretch of avoidance.
    epoch_start: Option<Instant>,
    /// Window before the last reduction.
    window_max: u64,
    /// Time from the start of the stretch to `window_max`, in microseconds.
    k_us: u64,
    /// What Reno would have (RFC 9438, 4.3).
    window_reno: u64,
    /// Acknowledged bytes not yet turned into growth.
    credit: u64,
    /// Window and threshold before the last reduction, to undo it.
    before: Option<(u64, u64)>,
}

impl Cubic {
    /// A new path: ten packets.
    pub fn new(packet_bytes: usize) -> Cubic {
        let packet = packet_bytes as u64;
        Cubic {
            packet,
            window: WINDOW_PACKETS_INITIAL * packet,
            threshold: u64::MAX,
            recovery_start: None,
            epoch_start: None,
            window_max: 0,
            k_us: 0,
            window_reno: 0,
            credit: 0,
            before: None,
        }
    }

    fn window_min(&self) -> u64 {
        2 * self.packet
    }

    fn start_epoch(&mut self, now: Instant) {
        self.epoch_start = Some(now);
        self.window_reno = self.window;
        self.credit = 0;
        if self.window >= self.window_max {
            self.window_max = self.window;
            self.k_us = 0;
        } else {
            // K = cbrt((W_max - cwnd) / C), windows in packets, C = 0.4.
            let packets_milli = (self.window_max - self.window).saturating_mul(1000) / self.packet;
            // (p / 1000 / 0.4) s^3 in us^3: p * 2.5e15.
            self.k_us = cube_root(u128::from(packets_milli) * 2_500_000_000_000_000);
        }
    }

    /// W(t) = C (t - K)^3 + W_max, in bytes.
    fn cubic_window(&self, elapsed_us: u64) -> u64 {
        let distance = i128::from(elapsed_us) - i128::from(self.k_us);
        let distance = distance.clamp(-DISTANCE_MAX_US, DISTANCE_MAX_US);
        // 0.4 packets per cubic second: bytes = 0.4 * packet * us^3 / 1e18.
        let grown = distance.pow(3) * i128::from(self.packet) * 2 / 5_000_000_000_000_000_000;
        (i128::from(self.window_max) + grown).clamp(0, i128::from(WINDOW_MAX)) as u64
    }
}

impl Controller for Cubic {
    fn on_acknowledged(&mut self, now: Instant, news: Acknowledged) {
        if self.recovery_start.is_some_and(|start| news.sent <= start) || !news.was_limited {
            return;
        }
        if self.is_slow_start() {
            self.window = (self.window + news.bytes).min(WINDOW_MAX);
            return;
        }
        let start = match self.epoch_start {
            Some(start) => start,
            None => {
                self.start_epoch(now);
                now
            }
        };
        // Where the curve will be one round trip from now.
        let elapsed = now.saturating_sub(start) + news.rtt;
        let target = self.cubic_window(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
        let target = target.clamp(self.window, self.window + self.window / 2);
        // Reno-friendly: alpha = 3 (1 - beta) / (1 + beta) = 0.53 until it has caught up, then 1.
        let alpha_milli = if self.window_reno < self.window_max { 529 } else { 1000 };
        self.window_reno += (u128::from(alpha_milli * self.packet) * u128::from(news.bytes)
            / u128::from(1000 * self.window.max(1))) as u64;
        self.credit += (u128::from(target - self.window) * u128::from(news.bytes)
            / u128::from(self.window.max(1))) as u64;
        self.window = (self.window + core::mem::take(&mut self.credit)).max(self.window_reno).min(WINDOW_MAX);
    }

    fn on_congestion(&mut self, now: Instant, sent: Instant) {
        if self.recovery_start.is_some_and(|start| sent <= start) {
            return;
        }
        self.recovery_start = Some(now);
        self.before = Some((self.window, self.threshold));
        self.epoch_start = None;
        // Fast convergence: who loses again below the last maximum leaves room for newcomers.
        self.window_max =
            if self.window < self.window_max { self.window * (10 + BETA_TENTHS) / 20 } else { self.window };
        self.window = (self.window * BETA_TENTHS / 10).max(self.window_min());
        self.threshold = self.window;
    }

    fn on_persistent_congestion(&mut self) {
        self.window_max = self.window;
        self.threshold = (self.window * BETA_TENTHS / 10).max(self.window_min());
        self.window = self.window_min();
        self.recovery_start = None;
        self.epoch_start = None;
        self.before = None;
    }

    fn on_spurious_loss(&mut self) {
        if let Some((window, threshold)) = self.before.take() {
            self.window = self.window.max(window);
            self.threshold = self.threshold.max(threshold);
            self.window_max = self.window_max.max(window);
            self.epoch_start = None;
        }
    }

    fn on_packet_bytes(&mut self, packet_bytes: usize) {
        self.packet = packet_bytes as u64;
        self.window = self.window.max(self.window_min());
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn is_slow_start(&self) -> bool {
        self.window < self.threshold
    }
}

/// The largest whole number whose cube is at most `value`.
fn cube_root(value: u128) -> u64 {
    let (mut low, mut high) = (0u128, 1u128 << 42);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if middle * middle * middle <= value { low = middle } else { high = middle - 1 }
    }
    low as u64
}

/// RFC 9002, 7.2.
const WINDOW_PACKETS_INITIAL: u64 = 10;
/// Window after a loss, in tenths of the one before (RFC 9438, 4.6).
const BETA_TENTHS: u64 = 7;
/// The curve has left every window behind long before: 19 hours. Its cube times a packet fits 128 bits.
const DISTANCE_MAX_US: i128 = 1 << 36;
/// More is never in flight to one peer: 1 GiB.
const WINDOW_MAX: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const PACKET: u64 = 1000;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn acknowledge(cubic: &mut Cubic, now_ms: u64, bytes: u64) {
        let news =
            Acknowledged { bytes, sent: at(now_ms), was_limited: true, rtt: Duration::from_millis(100) };
        cubic.on_acknowledged(at(now_ms), news);
    }

    #[test]
    fn slow_start_doubles_each_round_trip() {
        let mut cubic = Cubic::new(PACKET as usize);
        let before = cubic.window();
        acknowledge(&mut cubic, 100, before);
        assert_eq!(cubic.window(), 2 * before);
    }

    #[test]
    fn one_reduction_per_round_trip() {
        let mut cubic = Cubic::new(PACKET as usize);
        acknowledge(&mut cubic, 100, 90 * PACKET);
        cubic.on_congestion(at(200), at(150));
        assert_eq!(cubic.window(), 70 * PACKET);
        cubic.on_congestion(at(210), at(190));
        assert_eq!(cubic.window(), 70 * PACKET);
        cubic.on_congestion(at(310), at(201));
        assert_eq!(cubic.window(), 49 * PACKET);
    }

    #[test]
    fn the_curve_comes_back_to_the_old_window_after_k() {
        let mut cubic = Cubic::new(PACKET as usize);
        acknowledge(&mut cubic, 0, 990 * PACKET);
        cubic.on_congestion(at(1), at(1));
        assert_eq!(cubic.window(), 700 * PACKET);
        // K = cbrt(300 / 0.4) = 9.08 s.
        for round in 0..90 {
            let window = cubic.window();
            acknowledge(&mut cubic, 100 + 100 * round, window);
        }
        let window = cubic.window();
        assert!((970 * PACKET..1030 * PACKET).contains(&window), "{window}");
    }

    #[test]
    fn it_grows_no_slower_than_reno_would() {
        let mut cubic = Cubic::new(PACKET as usize);
        acknowledge(&mut cubic, 0, 10 * PACKET);
        cubic.on_congestion(at(1), at(1));
        assert_eq!(cubic.window(), 14 * PACKET);
        for round in 0..20 {
            let window = cubic.window();
            acknowledge(&mut cubic, 10 + 5 * round, window);
        }
        // In 0.1 s the curve alone would stand still; Reno adds 0.53, then 1 packet a round trip.
        assert!(cubic.window() > 24 * PACKET, "{}", cubic.window());
    }

    #[test]
    fn a_sender_that_does_not_use_its_window_does_not_get_more() {
        let mut cubic = Cubic::new(PACKET as usize);
        let news =
            Acknowledged { bytes: 5000, sent: at(1), was_limited: false, rtt: Duration::from_millis(1) };
        cubic.on_acknowledged(at(2), news);
        assert_eq!(cubic.window(), 10 * PACKET);
    }

    #[test]
    fn a_loss_that_was_none_is_undone() {
        let mut cubic = Cubic::new(PACKET as usize);
        acknowledge(&mut cubic, 100, 90 * PACKET);
        cubic.on_congestion(at(200), at(150));
        cubic.on_spurious_loss();
        assert_eq!(cubic.window(), 100 * PACKET);
        assert!(cubic.is_slow_start());
    }

    #[test]
    fn a_year_without_a_loss_is_no_overflow() {
        let mut cubic = Cubic::new(32_000);
        cubic.on_congestion(at(1), at(1));
        acknowledge(&mut cubic, 10, 32_000);
        let before = cubic.window();
        acknowledge(&mut cubic, 365 * 86_400_000, 32_000);
        assert!(cubic.window() > before);
    }

    #[test]
    fn cube_roots() {
        for (value, root) in
            [(0, 0), (1, 1), (7, 1), (8, 2), (27_000_000, 300), (u128::from(u64::MAX), 2_642_245)]
        {
            assert_eq!(cube_root(value), root);
        }
    }
}
