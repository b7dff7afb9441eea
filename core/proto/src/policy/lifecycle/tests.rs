use super::*;
use alloc::format;
use alloc::string::String;
use proptest::prelude::*;

use LifecycleEvent as E;
use LifecycleState as S;

fn table() -> String {
    let mut text = String::new();
    for state in S::ALL {
        for event in E::ALL {
            if let Some(next) = state.on(event) {
                text += &format!("{state:?} + {event:?} -> {next:?}\n");
            }
        }
    }
    text
}

#[test]
fn table_is_the_one_agreed_on() {
    // All 63 pairs are visited; those not listed are refused.
    let agreed = "\
Idle + Start -> Starting
Starting + Ready -> Active
Starting + Drain -> Stopped
Starting + Exited -> Failed
Starting + Deadline -> Failed
Active + Eject -> Ejected
Active + Drain -> Draining
Active + Exited -> Failed
Draining + Drained -> Stopped
Draining + Exited -> Stopped
Draining + Deadline -> Stopped
Stopped + Released -> Idle
Failed + Drain -> Stopped
Failed + Deadline -> Starting
Ejected + Recover -> Active
Ejected + Drain -> Draining
Ejected + Exited -> Failed
";
    assert_eq!(table(), agreed);
}

#[test]
fn every_borrowed_state_can_be_drained_home() {
    for state in S::ALL {
        let mut current = state;
        for _ in 0..4 {
            let step = [E::Drain, E::Drained, E::Released].into_iter().find_map(|event| current.on(event));
            current = step.unwrap_or(current);
        }
        assert_eq!(current, S::Idle, "from {state:?}");
    }
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn lifecycle() -> Lifecycle {
    let restart =
        Backoff { base: Duration::from_millis(100), max: Duration::from_millis(350), jitter_per_mille: 0 };
    let config = LifecycleConfig {
        start_max: Duration::from_millis(10),
        drain_max: Duration::from_millis(20),
        restart,
    };
    Lifecycle::new(config, 0)
}

#[test]
fn drain_ends_at_its_deadline() {
    let mut life = lifecycle();
    for event in [E::Start, E::Ready, E::Drain] {
        life.handle(at(0), event).unwrap();
    }
    assert_eq!(life.handle_timeout(at(19)), None);
    assert_eq!(life.poll_timeout(), Some(at(20)));
    assert_eq!(life.handle_timeout(at(20)), Some(S::Stopped));
    assert_eq!(life.handle(at(21), E::Released), Ok(S::Idle));
}

#[test]
fn failing_starts_are_repeated_with_growing_pauses() {
    let mut life = lifecycle();
    life.handle(at(0), E::Start).unwrap();
    let mut pauses = alloc::vec::Vec::new();
    for _ in 0..4 {
        let failed_at = life.poll_timeout().unwrap();
        assert_eq!(life.handle_timeout(failed_at), Some(S::Failed));
        let again_at = life.poll_timeout().unwrap();
        pauses.push(again_at.saturating_sub(failed_at).as_millis());
        assert_eq!(life.handle_timeout(again_at), Some(S::Starting));
    }
    assert_eq!(pauses, [100, 200, 350, 350]);
    assert_eq!(life.failures(), 4);
}

#[test]
fn long_active_time_forgives_failures_and_a_short_one_does_not() {
    let mut life = lifecycle();
    for (ms, event) in [(0, E::Start), (1, E::Exited), (200, E::Deadline), (201, E::Ready), (202, E::Exited)]
    {
        life.handle(at(ms), event).unwrap();
    }
    assert_eq!(life.failures(), 2);
    for (ms, event) in [(500, E::Deadline), (501, E::Ready), (2000, E::Exited)] {
        life.handle(at(ms), event).unwrap();
    }
    assert_eq!(life.failures(), 1);
}

#[test]
fn refused_event_changes_nothing() {
    let mut life = lifecycle();
    life.handle(at(0), E::Start).unwrap();
    let refusal = Refusal { state: S::Starting, event: E::Released };
    assert_eq!(life.handle(at(5), E::Released), Err(refusal));
    assert_eq!((life.state(), life.since(), life.poll_timeout()), (S::Starting, at(0), Some(at(10))));
}

proptest! {
    #[test]
    fn invariants_hold_over_any_events(events in prop::collection::vec((0usize..9, 0u64..500), 1..60)) {
        let mut life = lifecycle();
        let mut now = 0;
        for (event, ms) in events {
            now += ms;
            life.handle_timeout(at(now));
            life.check_invariants();
            let before = life.state();
            let result = life.handle(at(now), E::ALL[event]);
            prop_assert_eq!(result.ok(), before.on(E::ALL[event]));
            life.check_invariants();
        }
    }
}
