use super::*;
use crate::policy::Backoff;
use alloc::vec::Vec;
use proptest::prelude::*;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Times in milliseconds; no jitter.
fn config() -> HealthConfig {
    HealthConfig {
        failures_max: 3,
        error_per_mille_max: 500,
        window_requests_min: 10,
        window: millis(1000),
        ejection: Backoff { base: millis(100), max: millis(350), jitter_per_mille: 0 },
        forgive_after: millis(5000),
        trial_successes: 2,
        trial_timeout: millis(50),
        slow_start: millis(200),
        probe: None,
    }
}

fn health() -> Health {
    Health::new(config(), at(0), 1)
}

/// Fails requests at `ms` until it is ejected, and tells until when.
fn eject(health: &mut Health, ms: u64) -> u64 {
    for _ in 0..10 {
        if let Some(HealthChange::Ejected { until, .. }) = health.on_failure(at(ms), FailureKind::Connect) {
            return until.as_nanos() / 1_000_000;
        }
    }
    panic!("ten failures eject");
}

#[test]
fn failures_in_a_row_eject_and_a_success_breaks_the_row() {
    let mut health = health();
    for kind in [FailureKind::Reset, FailureKind::Timeout] {
        assert_eq!(health.on_failure(at(0), kind), None);
    }
    health.on_success(at(0));
    assert_eq!(health.on_failure(at(1), FailureKind::Reset), None);
    assert_eq!(health.on_failure(at(1), FailureKind::Reset), None);
    let cause = Cause::Failures { count: 3, last: FailureKind::Connect };
    let change = HealthChange::Ejected { until: at(102), cause };
    assert_eq!(health.on_failure(at(2), FailureKind::Connect), Some(change));
    assert_eq!(health.state(at(101)), HealthState::Ejected { until: at(102) });
    assert_eq!(health.poll_timeout(), Some(at(102)));
}

#[test]
fn error_ratio_ejects_without_a_row() {
    let mut health = health();
    let mut change = None;
    for step in 0..10 {
        assert_eq!(change, None);
        change = match step % 2 {
            0 => health.on_success(at(step)),
            _ => health.on_failure(at(step), FailureKind::ServerError),
        };
    }
    let cause = Cause::ErrorRatio { failures: 5, requests: 10 };
    assert_eq!(change, Some(HealthChange::Ejected { until: at(109), cause }));
}

#[test]
fn an_old_window_is_forgotten() {
    let mut health = health();
    for ms in 0..9 {
        health.on_success(at(ms));
        if ms % 2 == 0 {
            health.on_failure(at(ms), FailureKind::ServerError);
        }
    }
    for ms in 1001..1009 {
        assert_eq!(health.on_failure(at(ms), FailureKind::ServerError), None);
        assert_eq!(health.on_success(at(ms)), None);
        if ms == 1004 {
            break;
        }
    }
    assert_eq!(health.state(at(1009)), HealthState::Healthy);
}

#[test]
fn comes_back_by_trial_and_slow_start() {
    let mut health = health();
    assert!(!health.begin_trial(at(0)));
    assert_eq!(eject(&mut health, 0), 100);
    assert!(!health.begin_trial(at(99)));
    assert_eq!(health.handle_timeout(at(100)), Some(HealthChange::OnTrial));
    assert_eq!((health.state(at(100)), health.warmth(at(100))), (HealthState::Trial, 0));
    // One at a time.
    assert!(health.begin_trial(at(100)));
    assert!(!health.begin_trial(at(100)));
    assert_eq!(health.on_success(at(110)), None);
    assert!(health.begin_trial(at(110)));
    assert_eq!(health.on_success(at(120)), Some(HealthChange::Returned));
    let warmth: Vec<_> = [120, 170, 220, 319, 320].map(|ms| health.warmth(at(ms))).into();
    assert_eq!(warmth, [1, 250, 500, 995, 1000]);
    assert_eq!(health.poll_timeout(), Some(at(320)));
    health.handle_timeout(at(320));
    assert_eq!((health.state(at(320)), health.poll_timeout()), (HealthState::Healthy, None));
}

#[test]
fn failed_trial_doubles_the_ejection_up_to_the_cap() {
    let mut health = health();
    let mut until = eject(&mut health, 0);
    let mut lengths = Vec::new();
    for _ in 0..4 {
        let began = until;
        assert!(health.begin_trial(at(began)));
        let Some(HealthChange::Ejected { until: next, cause: Cause::Trial(FailureKind::Timeout) }) =
            health.on_failure(at(began), FailureKind::Timeout)
        else {
            panic!("a failed trial ejects");
        };
        until = next.as_nanos() / 1_000_000;
        lengths.push(until - began);
    }
    assert_eq!(lengths, [200, 350, 350, 350]);
    assert_eq!(health.ejections(), 5);
}

#[test]
fn long_health_forgives() {
    let mut health = health();
    eject(&mut health, 0);
    for _ in 0..2 {
        assert!(health.begin_trial(at(100)));
        health.on_success(at(100));
    }
    assert_eq!(eject(&mut health, 5000), 5200, "too soon: the second in a row");
    for _ in 0..2 {
        assert!(health.begin_trial(at(5200)));
        health.on_success(at(5200));
    }
    assert_eq!(eject(&mut health, 10_200), 10_300, "forgiven: the first again");
}

#[test]
fn outcomes_of_old_requests_do_not_count_after_ejection() {
    let mut health = health();
    eject(&mut health, 0);
    assert_eq!(health.on_success(at(1)), None);
    assert_eq!(health.on_failure(at(2), FailureKind::Reset), None);
    health.handle_timeout(at(100));
    // On trial, but nothing was sent: these too are old.
    assert_eq!(health.on_failure(at(101), FailureKind::Reset), None);
    assert_eq!(health.state(at(101)), HealthState::Trial);
}

#[test]
fn lost_trial_request_gives_its_place_back() {
    let mut health = health();
    eject(&mut health, 0);
    assert!(health.begin_trial(at(100)));
    assert_eq!(health.poll_timeout(), Some(at(150)));
    assert!(!health.begin_trial(at(149)));
    assert!(health.begin_trial(at(150)));
}

fn probed() -> Health {
    let probe = ProbeConfig { interval: millis(100), timeout: millis(20), rise: 2, fall: 3 };
    Health::new(HealthConfig { probe: Some(probe), ..config() }, at(0), 7)
}

#[test]
fn probes_fall_and_rise() {
    let mut health = probed();
    assert_eq!(health.on_probe(at(0), false), None);
    assert_eq!(health.on_probe(at(100), false), None);
    let cause = Cause::Probes { count: 3 };
    let change = HealthChange::Ejected { until: at(300), cause };
    assert_eq!(health.on_probe(at(200), false), Some(change));
    // The back-off is over, but the probes still fail.
    assert_eq!(health.handle_timeout(at(400)), None);
    assert_eq!(health.state(at(400)), HealthState::Ejected { until: at(300) });
    assert_eq!(health.on_probe(at(500), true), None);
    assert_eq!(health.on_probe(at(600), true), Some(HealthChange::OnTrial));
}

#[test]
fn good_probes_do_not_shorten_an_ejection_by_failures() {
    let mut health = probed();
    let until = eject(&mut health, 0);
    for ms in [10, 20, 30] {
        assert_eq!(health.on_probe(at(ms), true), None);
    }
    assert_eq!(health.state(at(until - 1)), HealthState::Ejected { until: at(until) });
}

#[test]
fn probes_are_sent_at_their_interval_and_silence_is_failure() {
    let mut health = probed();
    let mut sent = Vec::new();
    let mut ejected = None;
    for ms in 0..1000 {
        if health.poll_probe(at(ms)) {
            sent.push(ms);
        }
        ejected = ejected.or(health.handle_timeout(at(ms)).map(|change| (ms, change)));
        health.check_invariants();
    }
    assert!(sent[0] <= 100);
    assert!(sent.windows(2).all(|pair| (90..=101).contains(&(pair[1] - pair[0]))), "{sent:?}");
    let Some((ms, HealthChange::Ejected { cause: Cause::Probes { count: 3 }, .. })) = ejected else {
        panic!("three silent probes eject");
    };
    assert_eq!(ms, sent[2] + 20);
}

#[test]
fn pardon_brings_back_at_once() {
    let mut health = probed();
    for ms in 0..3 {
        health.on_probe(at(ms), false);
    }
    health.pardon(at(3));
    health.check_invariants();
    assert_eq!((health.state(at(3)), health.ejections()), (HealthState::Healthy, 0));
    assert_eq!(health.on_probe(at(4), false), None);
}

#[test]
fn guard_bounds_the_share_and_keeps_some() {
    let guard = EjectionGuard::default();
    let most = |guard: EjectionGuard, total| (0..=total).find(|&ejected| !guard.allows(ejected, total));
    assert_eq!([0, 1, 2, 3, 4, 10].map(|total| most(guard, total).unwrap()), [0, 0, 1, 2, 2, 5]);
    let free = EjectionGuard { share_per_mille_max: 1000, keep_min: 0 };
    assert_eq!([1, 3].map(|total| most(free, total).unwrap()), [1, 3]);
    let never = EjectionGuard { share_per_mille_max: 0, keep_min: 0 };
    assert_eq!(most(never, 5), Some(0));
}

#[test]
fn jitter_follows_the_seed() {
    let run = |seed| {
        let ejection = Backoff { jitter_per_mille: 500, ..config().ejection };
        let mut health = Health::new(HealthConfig { ejection, ..config() }, at(0), seed);
        eject(&mut health, 0)
    };
    assert_eq!(run(5), run(5));
    assert!((0..20).any(|seed| run(seed) != run(5)));
}

proptest! {
    /// Ejected means ejected: nothing shortens it but probes that rise after probes that fell, and pardon.
    #[test]
    fn invariants_hold_over_any_news(steps in prop::collection::vec((0u64..120, 0u8..7), 1..150), seed in any::<u64>()) {
        let mut health = Health::new(HealthConfig { ..probed().config }, at(0), seed);
        let mut ms = 0;
        for (by_ms, news) in steps {
            ms += by_ms;
            let now = at(ms);
            let before = health.state(now);
            let change = match news {
                0 => health.on_success(now),
                1 | 2 => health.on_failure(now, FailureKind::ServerError),
                3 => health.on_probe(now, true),
                4 => health.on_probe(now, false),
                5 => health.handle_timeout(now),
                _ => {
                    let began = health.begin_trial(now);
                    prop_assert!(!began || before == HealthState::Trial);
                    None
                }
            };
            health.poll_probe(now);
            health.check_invariants();
            if let (HealthState::Ejected { until }, Some(HealthChange::OnTrial)) = (before, change) {
                prop_assert!(until <= now);
            }
            if let Some(HealthChange::Ejected { until, .. }) = change {
                let length = until.saturating_sub(now);
                prop_assert!(length >= millis(100) && length <= millis(350));
            }
            prop_assert!(health.warmth(now) <= 1000);
        }
    }
}
