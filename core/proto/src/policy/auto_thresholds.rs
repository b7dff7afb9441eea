//! Thresholds learnt from response time against concurrency.
//!
//! A server answers in its own time while it has a free core, and from some concurrency on in proportion to
//! it: requests only wait longer. The bend between the two is the knee. Medium belongs at the knee, where more
//! requests no longer bring more throughput; High belongs where a request takes a set multiple of the least
//! time, most of it waiting.
//!
//! The machine keeps a moving average of the response time for each concurrency it has seen (each requests in
//! flight up to 32, then eight steps per doubling: 120 numbers in all). From them:
//! - the least time is the smallest average;
//! - the knee is the highest concurrency up to which averages stay within `knee_per_cent` of the least time;
//! - High is the first concurrency beyond with an average of `high_per_cent` of the least time. If none was seen
//!   yet, the knee times that factor: beyond the knee, time grows in proportion (Little's law).
//!
//! While the knee was never passed nothing is known above it; then the thresholds start from the configured
//! ones, and rise with what was seen to be harmless. Averages not renewed for `forget_after` no longer count, so
//! that a server that becomes slower or faster is learnt anew.
//!
//! Source: L. Brakmo, L. Peterson, "TCP Vegas", 1995 (delay against its minimum); J. Little, "A proof for the
//! queuing formula L = λW", 1961.

use super::load::{Thresholds, clamp};
use crate::time::{Duration, Instant, nanos};

/// How the learning goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoConfig {
    /// What holds until something has been learnt.
    pub start: Thresholds,
    /// Cores of the server that is observed; 0 counts as 1.
    pub cores: u32,
    /// Response time up to which a server counts as unburdened, in per cent of the least time.
    pub knee_per_cent: u32,
    /// Response time from which on a server counts as High, in per cent of the least time.
    pub high_per_cent: u32,
    /// Observations that a concurrency must have before its average counts.
    pub samples_min: u32,
    /// An average that was not renewed for so long no longer counts.
    pub forget_after: Duration,
    /// Medium is never learnt below this.
    pub medium_min: u32,
    /// High is never learnt above this.
    pub high_max: u32,
}

/// A third more than the least time is noise or a short wait; three times of it is two thirds waiting.
impl Default for AutoConfig {
    fn default() -> Self {
        AutoConfig {
            start: Thresholds::default(),
            cores: 1,
            knee_per_cent: 135,
            high_per_cent: 300,
            samples_min: 50,
            forget_after: Duration::from_secs(600),
            medium_min: 50,
            high_max: 10_000,
        }
    }
}

/// Learns the thresholds of one server, or of a set of equal ones, for `Signal::InFlight`.
#[derive(Clone, Debug)]
pub struct AutoThresholds {
    config: AutoConfig,
    averages: [Average; BUCKETS],
    /// The moment of the last observation.
    now: Instant,
}

impl AutoThresholds {
    /// Knows nothing yet.
    pub fn new(config: AutoConfig) -> AutoThresholds {
        AutoThresholds { config, averages: [Average::NONE; BUCKETS], now: Instant::ZERO }
    }

    /// A request that was sent as one of `in_flight` (itself included) was answered after `latency`.
    pub fn observe(&mut self, now: Instant, in_flight: u32, latency: Duration) {
        self.now = self.now.max(now);
        let average = &mut self.averages[bucket(in_flight.max(1))];
        if average.is_stale(now, self.config.forget_after) {
            *average = Average::NONE;
        }
        average.add(now, nanos(latency));
    }

    /// The thresholds as far as they are known now. Medium is always below High.
    pub fn thresholds(&self) -> Thresholds {
        let AutoConfig { start, medium_min, high_max, high_per_cent, .. } = self.config;
        let Some(curve) = self.curve() else { return start };
        let percent = |in_flight: u32| u64::from(in_flight) * 100 / u64::from(self.config.cores.max(1));
        let knee = percent(curve.knee);
        let medium = if curve.is_passed { knee } else { knee.max(u64::from(start.medium)) };
        let high = match curve.high {
            Some(in_flight) => percent(in_flight),
            None if curve.is_passed => knee * u64::from(high_per_cent) / 100,
            None => (medium * u64::from(high_per_cent) / 100).max(u64::from(start.high)),
        };
        let high =
            clamp(high).clamp(medium_min.saturating_add(1), high_max.max(medium_min.saturating_add(1)));
        Thresholds { medium: clamp(medium).clamp(medium_min, high - 1), high }
    }

    /// The least average response time, when there is one.
    pub fn latency_min(&self) -> Option<Duration> {
        self.known().map(|(_, mean_ns)| mean_ns).min().map(Duration::from_nanos)
    }

    fn curve(&self) -> Option<Curve> {
        let least_ns = nanos(self.latency_min()?);
        let is_within = |mean_ns: u64, per_cent: u32| {
            u128::from(mean_ns) * 100 < u128::from(least_ns) * u128::from(per_cent)
        };
        let mut curve = Curve { knee: 1, is_passed: false, high: None };
        for (in_flight, mean_ns) in self.known() {
            if is_within(mean_ns, self.config.knee_per_cent) {
                // A good average beyond a bad one: the bad one was noise.
                curve = Curve { knee: in_flight, is_passed: false, high: None };
            } else {
                curve.is_passed = true;
                if curve.high.is_none() && !is_within(mean_ns, self.config.high_per_cent) {
                    curve.high = Some(in_flight);
                }
            }
        }
        Some(curve)
    }

    /// Concurrency and average of each bucket that counts, in rising order of concurrency.
    fn known(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let known = self.averages.iter().enumerate().filter(|(_, average)| {
            average.count >= self.config.samples_min && !average.is_stale(self.now, self.config.forget_after)
        });
        known.map(|(bucket, average)| (concurrency(bucket), average.mean_ns))
    }
}

/// What the averages say.
struct Curve {
    knee: u32,
    /// Some average lies beyond the knee.
    is_passed: bool,
    high: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Average {
    mean_ns: u64,
    count: u32,
    renewed: Instant,
}

impl Average {
    const NONE: Average = Average { mean_ns: 0, count: 0, renewed: Instant::ZERO };

    /// The plain mean of the first observations, then a moving one.
    fn add(&mut self, now: Instant, latency_ns: u64) {
        self.count = self.count.saturating_add(1);
        let part = i128::from(self.count.min(MEMORY));
        let step = (i128::from(latency_ns) - i128::from(self.mean_ns)) / part;
        self.mean_ns = (i128::from(self.mean_ns) + step) as u64;
        self.renewed = self.renewed.max(now);
    }

    fn is_stale(&self, now: Instant, forget_after: Duration) -> bool {
        now.saturating_sub(self.renewed) >= forget_after
    }
}

/// The bucket of a concurrency from 1: itself below `EXACT`, then the highest four bits.
fn bucket(in_flight: u32) -> usize {
    let in_flight = in_flight.min(IN_FLIGHT_MAX) as usize;
    if in_flight < EXACT {
        return in_flight;
    }
    let octave = in_flight.ilog2() as usize;
    let step = (in_flight >> (octave - STEP_BITS)) & (STEPS - 1);
    EXACT + (octave - EXACT.ilog2() as usize) * STEPS + step
}

/// The lowest concurrency of a bucket.
fn concurrency(bucket: usize) -> u32 {
    if bucket < EXACT {
        return bucket as u32;
    }
    let octave = EXACT.ilog2() as usize + (bucket - EXACT) / STEPS;
    let step = (bucket - EXACT) % STEPS;
    ((STEPS + step) << (octave - STEP_BITS)) as u32
}

/// Concurrencies below this have a bucket each.
const EXACT: usize = 32;
const STEP_BITS: usize = 3;
const STEPS: usize = 1 << STEP_BITS;
const IN_FLIGHT_MAX: u32 = 65_535;
const BUCKETS: usize = EXACT + 11 * STEPS;
/// Observations that a moving average remembers.
const MEMORY: u32 = 256;

#[cfg(test)]
mod tests;
