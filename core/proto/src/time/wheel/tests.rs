use super::*;
use alloc::collections::BTreeMap;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * MS)
}

fn fired<K: Copy>(wheel: &mut Wheel<K>, now: Instant) -> Vec<K> {
    let mut keys = Vec::new();
    wheel.advance(now, &mut |key| keys.push(key));
    wheel.check_invariants();
    keys
}

#[test]
fn fires_at_its_tick_and_not_before() {
    let mut wheel = Wheel::new();
    wheel.insert(Instant::from_nanos(5 * MS + 1), 'a');
    assert_eq!(wheel.next(), Some(at(6)));
    assert_eq!(fired(&mut wheel, at(5)), []);
    assert_eq!(fired(&mut wheel, Instant::from_nanos(6 * MS - 1)), []);
    assert_eq!(fired(&mut wheel, at(6)), ['a']);
    assert_eq!(wheel.next(), None);
    assert!(wheel.is_empty());
}

#[test]
fn past_moment_fires_at_next_advance() {
    let mut wheel = Wheel::new();
    assert_eq!(fired(&mut wheel, at(1000)), []);
    wheel.insert(at(3), 1);
    assert_eq!(wheel.next(), Some(at(1000)));
    assert_eq!(fired(&mut wheel, at(1000)), [1]);
}

#[test]
fn one_tick_fires_in_order_of_insertion_even_across_levels() {
    let mut wheel = Wheel::new();
    wheel.insert(at(5000), 1); // far: starts on a high level
    fired(&mut wheel, at(4800));
    wheel.insert(at(5000), 2);
    fired(&mut wheel, at(4999));
    wheel.insert(at(5000), 3); // near: goes straight to the lowest
    assert_eq!(fired(&mut wheel, at(5000)), [1, 2, 3]);
}

#[test]
fn next_is_exact_for_far_timers() {
    let mut wheel = Wheel::new();
    wheel.insert(at(86_400_123), 1);
    wheel.insert(at(86_400_122), 2);
    assert_eq!(wheel.next(), Some(at(86_400_122)));
    assert_eq!(fired(&mut wheel, at(86_400_121)), []);
    assert_eq!(fired(&mut wheel, at(86_400_122)), [2]);
    assert_eq!(wheel.next(), Some(at(86_400_123)));
}

#[test]
fn never_is_a_moment_like_any_other() {
    let mut wheel = Wheel::with_tick(Duration::from_nanos(1), 0);
    wheel.insert(Instant::MAX, 'n');
    assert_eq!(wheel.next(), Some(Instant::MAX));
    assert_eq!(fired(&mut wheel, Instant::from_nanos(u64::MAX - 2)), []);
    assert_eq!(fired(&mut wheel, Instant::MAX), ['n']);
}

#[test]
fn entries_are_used_again() {
    let mut wheel = Wheel::with_tick(Duration::from_millis(1), 4);
    for round in 0..1000 {
        for key in 0..4 {
            wheel.insert(at(round * 7 + key), key);
        }
        assert_eq!(fired(&mut wheel, at(round * 7 + 6)), [0, 1, 2, 3]);
    }
    assert_eq!(wheel.entries.len(), 4);
}

#[test]
fn pop_lets_the_owner_insert_between_two() {
    let mut wheel = Wheel::new();
    wheel.insert(at(1), 1);
    wheel.insert(at(2), 2);
    let mut seen = Vec::new();
    while let Some(key) = wheel.pop(at(10)) {
        seen.push(key);
        if key == 1 {
            wheel.insert(at(20), 3);
        }
    }
    assert_eq!(seen, [1, 2]);
    assert_eq!(fired(&mut wheel, at(20)), [3]);
}

#[derive(Debug, Clone)]
enum Op {
    Insert { in_ns: u64 },
    Advance { by_ns: u64 },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    // Lengths spread over many orders of magnitude, so that every level and every cascade is met.
    let length = (0u32..46, any::<u64>()).prop_map(|(bits, noise)| noise & ((1 << bits) - 1));
    let op = prop_oneof![
        3 => length.clone().prop_map(|in_ns| Op::Insert { in_ns }),
        2 => length.prop_map(|by_ns| Op::Advance { by_ns }),
    ];
    prop::collection::vec(op, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Against a sorted map from (tick, order of insertion) to key.
    #[test]
    fn behaves_like_a_sorted_map(tick_ns in prop_oneof![Just(1u64), Just(1000), Just(MS), Just(7 * MS)], ops in ops()) {
        let mut wheel = Wheel::with_tick(Duration::from_nanos(tick_ns), 0);
        let mut model = BTreeMap::new();
        let mut now = 0u64;
        for (key, op) in ops.into_iter().enumerate() {
            match op {
                Op::Insert { in_ns } => {
                    let at = now + in_ns;
                    wheel.insert(Instant::from_nanos(at), key);
                    model.insert((at.div_ceil(tick_ns).max(now / tick_ns), key), key);
                }
                Op::Advance { by_ns } => {
                    now += by_ns;
                    let later = model.split_off(&(now / tick_ns + 1, 0));
                    let due: Vec<usize> = core::mem::replace(&mut model, later).into_values().collect();
                    prop_assert_eq!(fired(&mut wheel, Instant::from_nanos(now)), due);
                }
            }
            wheel.check_invariants();
            prop_assert_eq!(wheel.len(), model.len());
            let next = model.keys().next().map(|&(tick, _)| Instant::from_nanos(tick * tick_ns));
            prop_assert_eq!(wheel.next(), next);
        }
    }
}
