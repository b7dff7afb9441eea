use super::*;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Backend {
    load: Load,
    eligible: bool,
    warmth: u32,
    limit: u32,
    reading: u32,
}

#[derive(Clone, Debug, Default)]
struct List {
    backends: Vec<Backend>,
    loads_read: Cell<usize>,
}

impl List {
    /// Back ends of one core with these requests in flight.
    fn of(in_flight: &[u32]) -> List {
        let backend = |&in_flight: &u32| Backend {
            load: Load { in_flight, cores: 1, weight: 1 },
            eligible: true,
            warmth: 1000,
            limit: u32::MAX,
            reading: 0,
        };
        List { backends: in_flight.iter().map(backend).collect(), loads_read: Cell::new(0) }
    }

    fn room(&self, index: usize, thresholds: Thresholds) -> bool {
        let backend = &self.backends[index];
        let percent = u64::from(backend.load.per_core_percent()) * 1000 / u64::from(backend.warmth.max(1));
        backend.eligible && percent < u64::from(thresholds.high) && backend.load.in_flight < backend.limit
    }

    /// Sends `count` requests, none of which is ever answered, and tells where they went.
    fn fill(&mut self, router: &mut Router, count: usize) -> Vec<usize> {
        (0..count)
            .map_while(|_| match router.pick(self) {
                Pick::Backend(index) => {
                    self.backends[index].load.in_flight += 1;
                    Some(index)
                }
                _ => None,
            })
            .collect()
    }

    /// Picks without any load building up, and counts the picks of each.
    fn shares(&self, router: &mut Router, count: usize) -> Vec<usize> {
        let mut picks = vec![0; self.backends.len()];
        for _ in 0..count {
            if let Pick::Backend(index) = router.pick(self) {
                picks[index] += 1;
            }
        }
        picks
    }
}

impl Candidates for List {
    fn len(&self) -> usize {
        self.backends.len()
    }
    fn load(&self, index: usize) -> Load {
        self.loads_read.set(self.loads_read.get() + 1);
        self.backends[index].load
    }
    fn is_eligible(&self, index: usize) -> bool {
        self.backends[index].eligible
    }
    fn warmth(&self, index: usize) -> u32 {
        self.backends[index].warmth
    }
    fn limit(&self, index: usize) -> u32 {
        self.backends[index].limit
    }
    fn reading_per_mille(&self, index: usize) -> u32 {
        self.backends[index].reading
    }
}

const POLICIES: [Policy; 4] = [Policy::Levels, Policy::RoundRobin, Policy::LeastRequests, Policy::PowerOfTwo];

fn router(policy: Policy) -> Router {
    let thresholds = Thresholds { medium: 200, high: 400 };
    Router::new(RouterConfig { policy, thresholds, signal: Signal::InFlight }, 42)
}

#[test]
fn levels_fill_in_list_order_then_take_turns_then_stop() {
    let mut list = List::of(&[0, 0, 0]);
    let picks = list.fill(&mut router(Policy::Levels), 100);
    // Each up to Medium in list order; then round robin to High; then nothing.
    assert_eq!(picks, [0, 0, 1, 1, 2, 2, 0, 1, 2, 0, 1, 2]);
    assert_eq!(router(Policy::Levels).pick(&list), Pick::Saturated);
}

#[test]
fn first_low_one_is_chosen_again_as_soon_as_it_has_room() {
    let mut list = List::of(&[2, 1, 0]);
    let mut router = router(Policy::Levels);
    assert_eq!(router.pick(&list), Pick::Backend(1));
    list.backends[0].load.in_flight = 1;
    assert_eq!(router.pick(&list), Pick::Backend(0));
}

#[test]
fn one_threshold_goes_from_low_straight_to_saturated() {
    let config = RouterConfig { thresholds: Thresholds::one_threshold(200), ..RouterConfig::default() };
    let mut list = List::of(&[0, 0]);
    assert_eq!(list.fill(&mut Router::new(config, 1), 100), [0, 0, 1, 1]);
}

#[test]
fn empty_and_saturated_are_told_apart_by_every_policy() {
    for policy in POLICIES {
        assert_eq!(router(policy).pick(&List::default()), Pick::Empty);
        let mut list = List::of(&[4, 4, 0]);
        list.backends[2].eligible = false;
        assert_eq!(router(policy).pick(&list), Pick::Saturated, "{policy:?}");
        list.backends[0].eligible = false;
        list.backends[1].eligible = false;
        assert_eq!(router(policy).pick(&list), Pick::Empty, "{policy:?}");
    }
}

#[test]
fn limit_counts_as_high_in_every_policy() {
    for policy in POLICIES {
        let mut list = List::of(&[0, 0]);
        list.backends[0].limit = 1;
        list.backends[1].limit = 2;
        let mut router = router(policy);
        assert_eq!(list.fill(&mut router, 100).len(), 3, "{policy:?}");
        assert_eq!(router.pick(&list), Pick::Saturated);
    }
}

#[test]
fn round_robin_takes_plain_turns_when_shares_are_equal() {
    let list = List::of(&[1, 0, 3]);
    let mut router = router(Policy::RoundRobin);
    let picks: Vec<_> = (0..7).map(|_| router.pick(&list)).collect();
    assert_eq!(picks, [0, 1, 2, 0, 1, 2, 0].map(Pick::Backend));
}

#[test]
fn least_requests_prefers_room_by_weight_and_breaks_ties_in_turn() {
    let mut list = List::of(&[0, 0, 0]);
    let mut router = router(Policy::LeastRequests);
    assert_eq!(list.shares(&mut router, 9), [3, 3, 3]);
    list.backends[1].load.weight = 3;
    list.backends.iter_mut().for_each(|backend| backend.load.cores = 100);
    let picks = list.fill(&mut router, 50);
    assert_eq!(picks.iter().filter(|&&index| index == 1).count(), 30);
}

#[test]
fn power_of_two_reads_two_loads_and_takes_the_lower() {
    let list = List::of(&[3, 3, 3, 0, 3, 3, 3, 3]);
    let mut router = router(Policy::PowerOfTwo);
    for _ in 0..200 {
        list.loads_read.set(0);
        router.pick(&list);
        assert_eq!(list.loads_read.get(), 2);
    }
    // The idle one is drawn in a pair in 2 of 8 cases, and wins each time; any other in less than one of 8.
    let picks = list.shares(&mut router, 8000);
    assert!((1800..2200).contains(&picks[3]), "{picks:?}");
}

#[test]
fn power_of_two_balances_better_than_chance() {
    let thresholds = Thresholds { medium: u32::MAX, high: u32::MAX };
    let config = RouterConfig { policy: Policy::PowerOfTwo, thresholds, signal: Signal::InFlight };
    let mut list = List::of(&[0; 50]);
    list.fill(&mut Router::new(config, 9), 5000);
    let max = list.backends.iter().map(|backend| backend.load.in_flight).max().unwrap();
    // 100 each on average; one random choice leaves a maximum near 120, two leave it within a few.
    assert!(max <= 105, "{max}");
}

#[test]
fn power_of_two_follows_weights_under_load() {
    let thresholds = Thresholds { medium: u32::MAX, high: u32::MAX };
    let config = RouterConfig { policy: Policy::PowerOfTwo, thresholds, signal: Signal::InFlight };
    let mut list = List::of(&[0; 4]);
    list.backends[2].load.weight = 5;
    list.fill(&mut Router::new(config, 9), 8000);
    let loads: Vec<_> = list.backends.iter().map(|backend| backend.load.in_flight).collect();
    assert!((4500..5300).contains(&loads[2]), "{loads:?}");
}

#[test]
fn power_of_two_forgets_a_heavy_back_end_that_has_left() {
    let mut list = List::of(&[0; 8]);
    list.backends[0].load.weight = 100;
    let mut router = router(Policy::PowerOfTwo);
    list.shares(&mut router, 100);
    list.backends.remove(0);
    list.shares(&mut router, 2000);
    list.loads_read.set(0);
    list.shares(&mut router, 1000);
    assert!(list.loads_read.get() < 2200, "{} for 1000 picks", list.loads_read.get());
}

#[test]
fn slow_start_scales_the_share_under_every_policy() {
    for policy in POLICIES {
        let mut list = List::of(&[0; 2]);
        list.backends.iter_mut().for_each(|backend| backend.load.cores = 100);
        list.backends[0].warmth = 250; // the cold one comes first in list order
        let picks = list.fill(&mut router(policy), 500);
        let cold = picks.iter().filter(|&&index| index == 0).count();
        assert!((80..130).contains(&cold), "{policy:?} gave a quarter-warm one {cold} of 500");
    }
}

#[test]
fn stone_cold_back_end_gets_a_single_request() {
    for policy in POLICIES {
        let mut list = List::of(&[0]);
        list.backends[0].warmth = 0;
        let mut router = router(policy);
        assert_eq!(list.fill(&mut router, 10), [0], "{policy:?}");
    }
}

#[test]
fn sampled_signal_decides_by_its_reading() {
    let thresholds = Thresholds { medium: 60, high: 90 };
    let mut list = List::of(&[50, 0, 0]);
    let mut router = Router::new(RouterConfig { policy: Policy::Levels, thresholds, signal: Signal::Cpu }, 5);
    list.backends[1].reading = 700;
    list.backends[2].reading = 950;
    assert_eq!(router.pick(&list), Pick::Backend(0));
    list.backends[0].reading = 900;
    assert_eq!(router.pick(&list), Pick::Backend(1));
    // Two idle ones of which the first is warming: it is passed over in proportion.
    let mut list = List::of(&[0, 0]);
    list.backends[0].warmth = 300;
    let picks = list.shares(&mut router, 10_000);
    assert!((2700..3300).contains(&picks[0]), "{picks:?}");
}

#[test]
fn nobody_starves_at_medium_while_the_list_changes_length() {
    let mut router = router(Policy::Levels);
    let mut picks = [0; 5];
    for round in 0..1000 {
        let list = List::of(&[2; 5][..3 + round / 7 % 3]); // a new length now and then
        let Pick::Backend(index) = router.pick(&list) else { panic!("there is room") };
        picks[index] += 1;
    }
    assert!(picks.iter().all(|&count| count > 20), "{picks:?}");
}

fn backend() -> impl Strategy<Value = Backend> {
    let load =
        (0u32..12, 0u32..4, 0u32..5).prop_map(|(in_flight, cores, weight)| Load { in_flight, cores, weight });
    let warmth = prop_oneof![Just(1000u32), 0u32..1000];
    let limit = prop_oneof![Just(u32::MAX), 0u32..6];
    (load, any::<bool>(), warmth, limit).prop_map(|(load, eligible, warmth, limit)| Backend {
        load,
        eligible,
        warmth,
        limit,
        reading: 0,
    })
}

proptest! {
    /// Every policy finds room exactly when there is some, and never picks a back end without.
    #[test]
    fn picks_room_exactly_when_there_is_some(
        backends in prop::collection::vec(backend(), 0..12),
        policy in 0usize..4,
        seed in any::<u64>(),
    ) {
        let list = List { backends, loads_read: Cell::new(0) };
        let mut router = router(POLICIES[policy]);
        router.random = Random::new(seed);
        let thresholds = router.config.thresholds;
        for _ in 0..20 {
            let room = (0..list.len()).any(|index| list.room(index, thresholds));
            let eligible = list.backends.iter().any(|backend| backend.eligible);
            match router.pick(&list) {
                Pick::Backend(index) => prop_assert!(list.room(index, thresholds)),
                Pick::Saturated => prop_assert!(eligible && !room),
                Pick::Empty => prop_assert!(!eligible),
            }
        }
    }

    /// The first Low one in list order, as the rule says it.
    #[test]
    fn levels_pick_the_first_low_one(backends in prop::collection::vec(backend(), 1..12)) {
        let list = List { backends, loads_read: Cell::new(0) };
        let low = Thresholds { medium: 200, high: 200 };
        if let Some(first) = (0..list.len()).find(|&index| list.room(index, low)) {
            prop_assert_eq!(router(Policy::Levels).pick(&list), Pick::Backend(first));
        }
    }
}
