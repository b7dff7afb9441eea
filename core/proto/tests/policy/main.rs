//! The policy machines together, in a small simulated service.

mod world;

use clustercore_proto::policy::*;
use clustercore_proto::time::{Duration, Instant};
use world::{Outcome, Setup, World};

const SEEDS: std::ops::Range<u64> = 0..8;

/// Above what all nodes can carry the bound of the queue decides; below it nobody is turned away.
fn rise_and_fall(second: f64) -> f64 {
    match second {
        ..5.0 => 20.0,
        5.0..15.0 => 230.0,
        _ => 10.0,
    }
}

#[test]
fn same_seed_same_run() {
    let run = |seed| World::new(Setup::default(), seed).run(25, rise_and_fall);
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn load_that_rises_and_falls_borrows_and_gives_back_without_a_loss() {
    for seed in SEEDS {
        let outcome = World::new(Setup::default(), seed).run(30, rise_and_fall);
        assert_eq!(outcome.refused, 0, "seed {seed}: {outcome:?}");
        assert_eq!((outcome.active_max, outcome.active_at_end), (3, 0), "seed {seed}: {outcome:?}");
        assert_eq!(outcome.added, outcome.removed, "seed {seed}");
    }
}

#[test]
fn two_thresholds_reconfigure_less_than_one() {
    // Steady loads between half a back end and all but two, a minute and a half each; short hold times leave
    // the work to the thresholds.
    let run = |thresholds, rate, seed| {
        let scaler = ScalerConfig {
            thresholds,
            backends_max: 3,
            hold_ns_add: 50_000_000,
            hold_ns_remove: 200_000_000,
            cool_down_ns: 100_000_000,
            ..ScalerConfig::default()
        };
        let router = RouterConfig { thresholds, ..RouterConfig::default() };
        World::new(Setup { scaler, router, ..Setup::default() }, seed).run(90, |_| rate)
    };
    let total = |thresholds| -> u64 {
        let rates = [50.0, 75.0, 100.0, 130.0, 160.0];
        let outcomes = rates.iter().flat_map(|&rate| SEEDS.map(move |seed| run(thresholds, rate, seed)));
        outcomes.map(|outcome| outcome.reconfigurations()).sum()
    };
    let two = total(Thresholds { medium: 200, high: 400 });
    // Wherever between the two the single one lies.
    for one in [200, 300, 400] {
        let one = total(Thresholds::one_threshold(one));
        assert!(two * 5 < one * 4, "two thresholds: {two}, one: {one}");
    }
}

fn fixed(policy: Policy, service_ms: &[f64]) -> Setup {
    Setup {
        router: RouterConfig { policy, ..RouterConfig::default() },
        scales: false,
        service_ms: service_ms.to_vec(),
        active_at_start: service_ms.len() - 1,
        ..Setup::default()
    }
}

fn run_fixed(policy: Policy, service_ms: &[f64], rate: f64, seed: u64) -> Outcome {
    World::new(fixed(policy, service_ms), seed).run(60, |_| rate)
}

#[test]
fn list_order_packs_and_round_robin_spreads() {
    for seed in SEEDS {
        let packed = run_fixed(Policy::Levels, &[10.0; 4], 40.0, seed);
        let all: u64 = packed.served.iter().sum();
        assert!(packed.served[1] * 10 > all * 8, "the first carries most: {packed:?}");
        assert!(packed.served[3] * 20 < all, "the last is nearly idle: {packed:?}");
        let spread = run_fixed(Policy::RoundRobin, &[10.0; 4], 40.0, seed);
        let (min, max) = (spread.served[1..].iter().min(), spread.served[1..].iter().max());
        assert!(max.unwrap() - min.unwrap() <= 1, "{spread:?}");
    }
}

#[test]
fn nobody_starves_under_overload_and_the_queue_stays_bounded() {
    for policy in [Policy::Levels, Policy::RoundRobin, Policy::LeastRequests, Policy::PowerOfTwo] {
        let outcome = run_fixed(policy, &[10.0; 4], 400.0, 1);
        let all: u64 = outcome.served.iter().sum();
        for &served in &outcome.served[1..] {
            assert!(served * 4 > all, "{policy:?}: each carries its third: {outcome:?}");
        }
        assert!(outcome.refused > 0, "300 a second can be carried, 400 came");
        assert!(outcome.queued_ms_max <= 2000, "{policy:?}: {outcome:?}");
    }
}

#[test]
fn policies_that_look_at_load_beat_blind_turns_when_one_is_slow() {
    // Ten milliseconds, ten, and thirty: a third of the requests each is too much for the slow one.
    let mean = |policy| {
        SEEDS
            .map(|seed| run_fixed(policy, &[10.0, 10.0, 10.0, 30.0], 120.0, seed).response_ms_mean())
            .sum::<f64>()
    };
    let blind = mean(Policy::RoundRobin);
    for policy in [Policy::PowerOfTwo, Policy::LeastRequests] {
        assert!(mean(policy) * 1.2 < blind, "{policy:?} {} against {blind}", mean(policy));
    }
}

/// A list of three of which the last fails every request from second 2 to second 6.
#[test]
fn a_failing_back_end_costs_a_few_requests_and_comes_back() {
    struct List<'a>(&'a [Health], Instant);
    impl Candidates for List<'_> {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn load(&self, _index: usize) -> Load {
            Load { in_flight: 0, cores: 1, weight: 1 }
        }
        fn is_eligible(&self, index: usize) -> bool {
            matches!(self.0[index].state(self.1), HealthState::Healthy | HealthState::Warming { .. })
        }
        fn warmth(&self, index: usize) -> u32 {
            self.0[index].warmth(self.1)
        }
    }
    let config = RouterConfig { policy: Policy::RoundRobin, ..RouterConfig::default() };
    let mut router = Router::new(config, 1);
    let mut health = [1, 2, 3].map(|seed| Health::new(HealthConfig::default(), Instant::ZERO, seed));
    let guard = EjectionGuard::default();
    let (mut failed, mut picks_late, mut ejected) = (0, [0; 3], 0);
    for ms in 0..30_000u64 {
        let now = Instant::from_nanos(ms * 1_000_000);
        for health in &mut health {
            health.handle_timeout(now);
        }
        let trial = (0..3).find(|&index| health[index].begin_trial(now));
        let index = trial.unwrap_or_else(|| match router.pick(&List(&health, now)) {
            Pick::Backend(index) => index,
            other => panic!("two are healthy, but {other:?}"),
        });
        let change = if index == 2 && (2000..6000).contains(&ms) {
            failed += 1;
            health[index].on_failure(now, FailureKind::Connect)
        } else {
            health[index].on_success(now)
        };
        if let Some(HealthChange::Ejected { .. }) = change {
            ejected += 1;
            assert!(guard.allows(0, 3));
        }
        if ms >= 20_000 {
            picks_late[index] += 1;
        }
        health.iter().for_each(Health::check_invariants);
    }
    // Five until it is out, then one for each trial that comes too early.
    assert!(failed <= 5 + 3 && ejected == failed - 4, "{failed} requests failed, {ejected} ejections");
    assert!(picks_late.iter().all(|&picks| picks > 3000), "it has its share again: {picks_late:?}");
}

/// Two services want everything; then the one with twice the weight loses its front end.
#[test]
fn a_dead_front_end_loses_its_nodes_to_the_living() {
    let (light, heavy) = (ServiceKey(1), ServiceKey(2));
    let mut pool = Pool::new((0..6).map(NodeKey));
    pool.set_service(light, Share { min: 1, max: 6, weight: 1 }).unwrap();
    pool.set_service(heavy, Share { min: 1, max: 6, weight: 2 }).unwrap();
    let mut told: Vec<(Instant, Lease)> = Vec::new();
    let mut held_at = |ms: u64| {
        let now = Instant::from_nanos(ms * 1_000_000);
        pool.expire(now, &mut |_| {});
        let alive = if ms < 60_000 { vec![light, heavy] } else { vec![light] };
        for lease in pool.leases().filter(|lease| alive.contains(&lease.service)).collect::<Vec<_>>() {
            let renewal = pool.renew(now, lease.node, lease.token).expect("renewed each second");
            if renewal.give_back_by.is_some() && told.iter().all(|(_, other)| other.token != lease.token) {
                told.push((now, lease));
            }
        }
        // A drain takes two seconds.
        told.retain(|(since, lease)| {
            let drained = now.saturating_sub(*since) >= Duration::from_secs(2);
            drained.then(|| pool.release(now, lease.node, lease.token).expect("still leased")).is_none()
        });
        // The light one comes first and takes all it can get.
        for service in alive.into_iter().filter(|service| *service == light || ms >= 10_000) {
            pool.request(now, service);
        }
        pool.check_invariants();
        (pool.held(light), pool.held(heavy))
    };
    let held: Vec<(u32, u32)> = (0..90).map(|second| held_at(second * 1000)).collect();
    assert_eq!(held[9], (5, 0), "all but the other's minimum");
    assert_eq!(held[59], (2, 4), "by weight");
    assert_eq!(held[64], (2, 4), "leases of the dead one still run");
    assert_eq!(held[80], (5, 0), "all but the minimum again");
}
