extern crate std;

use super::*;
use crate::random::Random;
use alloc::collections::BinaryHeap;
use alloc::vec;
use core::cmp::Reverse;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn config(cores: u32) -> AutoConfig {
    AutoConfig { cores, samples_min: 20, ..AutoConfig::default() }
}

/// An ideal server: `service_ms` up to `cores` in flight, in proportion beyond.
fn observe_ideal(auto: &mut AutoThresholds, now: Instant, cores: u32, service_ms: u64, up_to: u32) {
    for in_flight in 1..=up_to {
        let latency_us = service_ms * 1000 * u64::from(in_flight.max(cores)) / u64::from(cores);
        for _ in 0..20 {
            auto.observe(now, in_flight, Duration::from_micros(latency_us));
        }
    }
}

#[test]
fn buckets_are_in_order_and_cover_all() {
    assert_eq!(bucket(IN_FLIGHT_MAX), BUCKETS - 1);
    assert_eq!(bucket(u32::MAX), BUCKETS - 1);
    let mut last = 0;
    for in_flight in 1..=IN_FLIGHT_MAX {
        let bucket = bucket(in_flight);
        assert!(bucket == last || bucket == last + 1);
        assert!(concurrency(bucket) <= in_flight && in_flight - concurrency(bucket) <= in_flight / 8);
        last = bucket;
    }
}

#[test]
fn nothing_known_means_the_configured_ones() {
    let mut auto = AutoThresholds::new(config(4));
    assert_eq!(auto.thresholds(), Thresholds::default());
    for _ in 0..19 {
        auto.observe(at(1), 1, Duration::from_millis(3));
    }
    assert_eq!(auto.thresholds(), Thresholds::default(), "too few observations");
    assert_eq!(auto.latency_min(), None);
}

#[test]
fn finds_the_knee_of_an_ideal_server() {
    let mut auto = AutoThresholds::new(config(4));
    observe_ideal(&mut auto, at(1), 4, 10, 30);
    // 5 of 4 take 125 %, 6 take 150 %; 12 take 300 %.
    assert_eq!(auto.thresholds(), Thresholds { medium: 125, high: 300 });
    assert_eq!(auto.latency_min(), Some(Duration::from_millis(10)));
}

#[test]
fn high_is_reckoned_from_the_knee_before_it_was_seen() {
    let mut auto = AutoThresholds::new(config(4));
    observe_ideal(&mut auto, at(1), 4, 10, 7);
    assert_eq!(auto.thresholds(), Thresholds { medium: 125, high: 375 });
}

#[test]
fn harmless_concurrency_raises_the_thresholds_and_little_of_it_does_not_lower_them() {
    let mut auto = AutoThresholds::new(config(1));
    observe_ideal(&mut auto, at(1), 100, 10, 1);
    let Thresholds { medium: 200, high: 800 } = auto.thresholds() else {
        panic!("one request at a time says nothing about two: {:?}", auto.thresholds());
    };
    observe_ideal(&mut auto, at(1), 100, 10, 20);
    // A service that only waits carries twenty on one core without a sign of burden.
    assert_eq!(auto.thresholds(), Thresholds { medium: 2000, high: 6000 });
}

#[test]
fn old_averages_are_forgotten() {
    let mut auto = AutoThresholds::new(config(4));
    observe_ideal(&mut auto, at(1), 4, 10, 30);
    // The service was made three times slower; ten minutes later nothing is left of the old figures.
    observe_ideal(&mut auto, at(600_002), 4, 30, 30);
    assert_eq!(auto.latency_min(), Some(Duration::from_millis(30)));
    assert_eq!(auto.thresholds(), Thresholds { medium: 125, high: 300 });
}

#[test]
fn bounds_hold_whatever_is_observed() {
    let mut random = Random::new(11);
    for _ in 0..200 {
        let high_max = random.below(1000) as u32;
        let medium_min = random.below(1000) as u32;
        let mut auto = AutoThresholds::new(AutoConfig { samples_min: 1, high_max, medium_min, ..config(0) });
        for _ in 0..50 {
            let bits = random.below(33);
            let in_flight = random.below(1 << bits) as u32;
            let shift = random.below(64);
            auto.observe(at(0), in_flight, Duration::from_nanos(random.next_u64() >> shift));
            let Thresholds { medium, high } = auto.thresholds();
            assert!(medium >= medium_min && medium < high && high <= high_max.max(medium_min + 1));
        }
    }
}

/// M/M/c, first come first served: what each request saw when it was sent, and how long it took.
fn simulate(auto: &mut AutoThresholds, cores: u32, service_ms: f64, load: f64, requests: u32, seed: u64) {
    let mut random = Random::new(seed);
    let mut exponential = |mean: f64| {
        let uniform = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        -mean * (1.0 - uniform).ln()
    };
    let mut free_at = vec![0u64; cores as usize];
    let mut in_flight: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    let mut now_ns = 0u64;
    for _ in 0..requests {
        now_ns += exponential(service_ms * 1e6 / (f64::from(cores) * load)) as u64;
        while in_flight.peek().is_some_and(|end| end.0 <= now_ns) {
            in_flight.pop();
        }
        let core = free_at.iter_mut().min().expect("at least one core");
        *core = now_ns.max(*core) + exponential(service_ms * 1e6) as u64;
        in_flight.push(Reverse(*core));
        // Reported at once rather than at its end: the averages do not mind the order.
        let latency = Duration::from_nanos(*core - now_ns);
        auto.observe(Instant::from_nanos(now_ns), in_flight.len() as u32, latency);
    }
}

#[test]
fn finds_the_knee_of_a_noisy_service() {
    for cores in [1, 2, 4, 8] {
        for seed in 0..5 {
            let mut auto = AutoThresholds::new(AutoConfig { cores, ..AutoConfig::default() });
            for load in [0.3, 0.6, 0.9, 1.1] {
                simulate(&mut auto, cores, 10.0, load, 4000, seed);
            }
            let Thresholds { medium, high } = auto.thresholds();
            // By theory the knee is at one per core, and a third more waits up to 1.35 per core; three times
            // the least time is at three per core.
            assert!((50..=250).contains(&medium), "{cores} cores, seed {seed}: medium {medium}");
            assert!((200..=400).contains(&high), "{cores} cores, seed {seed}: high {high}");
        }
    }
}
