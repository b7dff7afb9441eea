use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn load(in_flight: u32) -> Load {
    Load { in_flight, cores: 1, weight: 1 }
}

fn config() -> ScalerConfig {
    ScalerConfig {
        thresholds: Thresholds { medium: 200, high: 400 },
        hold_ns_add: 100_000_000,
        hold_ns_remove: 1_000_000_000,
        cool_down_ns: 300_000_000,
        backends_min: 0,
        backends_max: 3,
        ..ScalerConfig::default()
    }
}

/// Active children with these requests in flight, keys in list order from 0.
fn children(in_flight: &[u32]) -> Vec<ChildSample> {
    let child = |(key, &in_flight): (usize, &u32)| ChildSample {
        key: BackendKey(key as u32),
        load: load(in_flight),
        state: LifecycleState::Active,
    };
    in_flight.iter().enumerate().map(child).collect()
}

fn step(scaler: &mut Scaler, ms: u64, local: u32, in_flight: &[u32]) -> Decision {
    let children = children(in_flight);
    scaler.step(at(ms), &Sample { local: load(local), children: &children, pool_idle: 9, starting: 0 })
}

#[test]
fn first_one_is_added_when_the_front_end_stays_high() {
    let mut scaler = Scaler::new(config());
    assert_eq!(step(&mut scaler, 0, 3, &[]), Decision::Nothing);
    assert_eq!(step(&mut scaler, 50, 4, &[]), Decision::Nothing);
    assert_eq!(step(&mut scaler, 149, 5, &[]), Decision::Nothing);
    let reason = AddReason::FrontEndHigh { percent: 600, threshold: 400, held: Duration::from_millis(100) };
    assert_eq!(step(&mut scaler, 150, 6, &[]), Decision::Add { reason });
}

#[test]
fn a_dip_starts_the_hold_time_again() {
    let mut scaler = Scaler::new(config());
    for (ms, local) in [(0, 4), (90, 4), (95, 3), (100, 4), (199, 4)] {
        assert_eq!(step(&mut scaler, ms, local, &[]), Decision::Nothing);
    }
    assert!(matches!(step(&mut scaler, 200, 4, &[]), Decision::Add { .. }));
}

#[test]
fn one_back_end_with_room_is_enough_not_to_add() {
    let mut scaler = Scaler::new(config());
    for ms in (0..2000).step_by(50) {
        assert_eq!(step(&mut scaler, ms, 9, &[9, 3]), Decision::Nothing);
    }
    step(&mut scaler, 2000, 9, &[9, 5]);
    let reason =
        AddReason::AllHigh { active: 2, percent_min: 400, threshold: 400, held: Duration::from_millis(100) };
    assert_eq!(step(&mut scaler, 2100, 0, &[9, 4]), Decision::Add { reason });
}

#[test]
fn idle_one_added_last_is_removed_when_all_stay_low() {
    let mut scaler = Scaler::new(config());
    assert_eq!(step(&mut scaler, 0, 0, &[1, 0, 0]), Decision::Nothing);
    assert_eq!(step(&mut scaler, 999, 0, &[1, 0, 0]), Decision::Nothing);
    let reason = RemoveReason::AllLow {
        active: 3,
        percent_max: 100,
        threshold: 200,
        held: Duration::from_millis(1000),
    };
    assert_eq!(step(&mut scaler, 1000, 0, &[1, 0, 0]), Decision::Remove { key: BackendKey(2), reason });
}

#[test]
fn one_at_medium_or_none_idle_keeps_all() {
    let mut scaler = Scaler::new(config());
    for ms in (0..5000).step_by(100) {
        assert_eq!(step(&mut scaler, ms, 0, &[2, 0, 0]), Decision::Nothing);
    }
    for ms in (5000..9000).step_by(100) {
        assert_eq!(step(&mut scaler, ms, 0, &[1, 1, 1]), Decision::Nothing);
    }
}

#[test]
fn last_one_goes_only_when_idle_and_the_front_end_is_low_too() {
    let mut scaler = Scaler::new(config());
    for ms in (0..1500).step_by(50) {
        assert_eq!(step(&mut scaler, ms, 2, &[0]), Decision::Nothing, "the front end is at Medium");
    }
    for ms in (1500..3000).step_by(50) {
        assert_eq!(step(&mut scaler, ms, 0, &[1]), Decision::Nothing, "it is not idle");
    }
    assert_eq!(step(&mut scaler, 3000, 1, &[0]), Decision::Nothing);
    let reason =
        RemoveReason::LastIdle { local_percent: 100, threshold: 200, held: Duration::from_millis(1000) };
    assert_eq!(step(&mut scaler, 4000, 1, &[0]), Decision::Remove { key: BackendKey(0), reason });
}

#[test]
fn cool_down_separates_decisions() {
    let mut scaler = Scaler::new(config());
    let mut decided = Vec::new();
    for ms in (0..1000).step_by(10) {
        if step(&mut scaler, ms, 9, &[]) != Decision::Nothing {
            decided.push(ms);
        }
    }
    assert_eq!(decided, [100, 400, 700]);
    assert_eq!(scaler.decisions(), 3);
}

#[test]
fn hold_time_begins_again_after_a_decision() {
    let mut scaler = Scaler::new(ScalerConfig { hold_ns_add: 500_000_000, ..config() });
    let decided: Vec<u64> =
        (0..2000).step_by(10).filter(|&ms| step(&mut scaler, ms, 9, &[]) != Decision::Nothing).collect();
    assert_eq!(decided, [500, 1010, 1520]);
}

#[test]
fn minimum_is_kept_however_idle() {
    let mut scaler = Scaler::new(ScalerConfig { backends_min: 2, ..config() });
    for ms in (0..3000).step_by(100) {
        assert_eq!(step(&mut scaler, ms, 0, &[0, 0]), Decision::Nothing);
    }
    assert!(matches!(step(&mut scaler, 3000, 0, &[0, 0, 0]), Decision::Remove { key: BackendKey(2), .. }));
}

#[test]
fn while_one_starts_only_the_minimum_is_filled() {
    let mut scaler = Scaler::new(config());
    let sample = |children, starting| Sample { local: load(99), children, pool_idle: 9, starting };
    let high = children(&[9]);
    let low = children(&[0, 0]);
    for ms in (0..3000).step_by(100) {
        assert_eq!(scaler.step(at(ms), &sample(&high, 1)), Decision::Nothing);
        assert_eq!(scaler.step(at(ms), &sample(&low, 1)), Decision::Nothing);
    }
    let mut scaler = Scaler::new(ScalerConfig { backends_min: 3, ..config() });
    let reason = AddReason::BelowMinimum { count: 2, min: 3 };
    assert_eq!(scaler.step(at(0), &sample(&high, 1)), Decision::Add { reason });
    assert_eq!(scaler.step(at(1000), &sample(&high, 2)), Decision::Nothing);
}

#[test]
fn a_lowered_maximum_takes_the_idle_one_first() {
    let mut scaler = Scaler::new(ScalerConfig { backends_max: 2, ..config() });
    let reason = RemoveReason::AboveMaximum { count: 3, max: 2 };
    assert_eq!(step(&mut scaler, 0, 9, &[9, 0, 9]), Decision::Remove { key: BackendKey(1), reason });
    assert_eq!(step(&mut scaler, 400, 9, &[9, 9, 9]), Decision::Remove { key: BackendKey(2), reason });
}

#[test]
fn draining_and_ejected_ones_take_no_part() {
    let mut scaler = Scaler::new(config());
    let mut list = children(&[9, 0, 0]);
    list[1].state = LifecycleState::Draining;
    list[2].state = LifecycleState::Ejected;
    let sample = Sample { local: load(0), children: &list, pool_idle: 1, starting: 0 };
    scaler.step(at(0), &sample);
    let Decision::Add { reason: AddReason::AllHigh { active: 1, .. } } = scaler.step(at(100), &sample) else {
        panic!("the only active one is High");
    };
}

#[test]
fn empty_pool_and_full_list_add_nothing() {
    let mut scaler = Scaler::new(config());
    let high = children(&[9, 9]);
    for ms in (0..1000).step_by(100) {
        let sample = Sample { local: load(9), children: &high, pool_idle: 0, starting: 0 };
        assert_eq!(scaler.step(at(ms), &sample), Decision::Nothing);
        assert_eq!(step(&mut scaler, ms, 9, &[9, 9, 9]), Decision::Nothing);
    }
}

#[test]
fn sampled_signal_decides_by_its_readings() {
    let thresholds = Thresholds { medium: 50, high: 90 };
    let mut scaler = Scaler::new(ScalerConfig { signal: Signal::Cpu, thresholds, ..config() });
    let children = children(&[50, 50]);
    let sample = Sample { local: load(0), children: &children, pool_idle: 1, starting: 0 };
    let calm = Readings { local_per_mille: 0, children_per_mille: &[950, 899] };
    let busy = Readings { local_per_mille: 0, children_per_mille: &[950, 900] };
    assert_eq!(scaler.step_with(at(0), &sample, &calm), Decision::Nothing);
    assert_eq!(scaler.step_with(at(100), &sample, &calm), Decision::Nothing);
    assert_eq!(scaler.step_with(at(200), &sample, &busy), Decision::Nothing);
    let decision = scaler.step_with(at(300), &sample, &busy);
    assert!(matches!(decision, Decision::Add { reason: AddReason::AllHigh { percent_min: 90, .. } }));
}

proptest! {
    /// Whatever is sampled: bounds, hold times, cool-down and the state of the chosen one are respected.
    #[test]
    fn decisions_keep_their_promises(
        steps in prop::collection::vec((0u64..400, 0u32..8, prop::collection::vec((0u32..6, 0usize..7), 0..5), 0usize..2, 0usize..2), 1..60),
        min in 0usize..2,
        max in 2usize..5,
    ) {
        let mut scaler = Scaler::new(ScalerConfig { backends_min: min, backends_max: max, ..config() });
        let mut ms = 0;
        let mut last: Option<u64> = None;
        for (by_ms, local, list, pool_idle, starting) in steps {
            ms += by_ms;
            let mut children = children(&list.iter().map(|child| child.0).collect::<Vec<_>>());
            for (child, &(_, state)) in children.iter_mut().zip(&list) {
                // Mostly active ones: the first and the last three of seven numbers.
                child.state = if state < 4 { LifecycleState::Active } else { LifecycleState::ALL[state] };
            }
            let active: Vec<_> =
                children.iter().filter(|child| child.state == LifecycleState::Active).collect();
            let sample = Sample { local: load(local), children: &children, pool_idle, starting };
            let decision = scaler.step(at(ms), &sample);
            match decision {
                Decision::Nothing => continue,
                Decision::Add { reason } => {
                    prop_assert!(pool_idle > 0 && active.len() + starting < max);
                    match reason {
                        AddReason::BelowMinimum { .. } => prop_assert!(active.len() + starting < min),
                        AddReason::FrontEndHigh { held, .. } => {
                            prop_assert!(active.is_empty() && starting == 0 && local >= 4);
                            prop_assert!(held >= Duration::from_millis(100));
                        }
                        AddReason::AllHigh { held, .. } => {
                            prop_assert!(starting == 0 && active.iter().all(|child| child.load.in_flight >= 4));
                            prop_assert!(held >= Duration::from_millis(100));
                        }
                    }
                }
                Decision::Remove { key, reason } => {
                    let chosen = active.iter().find(|child| child.key == key).expect("an active one");
                    prop_assert!(starting == 0 && active.len() > min);
                    if !matches!(reason, RemoveReason::AboveMaximum { .. }) {
                        prop_assert_eq!(chosen.load.in_flight, 0);
                        prop_assert!(active.iter().all(|child| child.load.in_flight < 2));
                    }
                }
            }
            prop_assert!(last.is_none_or(|last| ms - last >= 300));
            last = Some(ms);
        }
    }
}
