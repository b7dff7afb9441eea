use super::*;
use crate::forward::choice::View;
use clustercore_proto::policy::{Candidates, Level, Signal};
use std::sync::atomic::AtomicUsize;

const NEVER: Instant = Instant::MAX;

fn service(shards: usize) -> Arc<Service> {
    Service::new(ForwarderConfig { health: None, ..ForwarderConfig::default() }, shards)
}

fn config() -> BackendConfig {
    BackendConfig::new("127.0.0.1:9".parse().unwrap())
}

fn add(service: &Service) -> Arc<Backend> {
    let key = service.add(config(), Instant::ZERO);
    service.find(key).unwrap()
}

#[test]
fn a_drain_is_over_when_every_shard_knows_and_nothing_is_in_flight() {
    let service = service(2);
    let backend = add(&service);
    assert!(service.drain(backend.key, NEVER));
    assert_eq!(backend.see_drain(0), Some(NEVER));
    assert_eq!(backend.see_drain(0), None, "once");
    assert!(!backend.take_drained(), "the other shard may still begin a request");
    // It had chosen the back end before it heard of the drain.
    backend.on_start(1);
    assert!(backend.see_drain(1).is_some() && !backend.take_drained());
    backend.on_end(1);
    assert!(backend.take_drained() && !backend.take_drained(), "once");
}

#[test]
fn of_shards_that_end_at_once_one_tells() {
    const ROUNDS: usize = 20_000;
    let service = service(2);
    let backends: Vec<_> = (0..ROUNDS)
        .map(|_| {
            // Not on the list: copying that for each would be slow.
            let backend = service.make(config(), Instant::ZERO);
            for shard in 0..2 {
                backend.on_start(shard);
            }
            assert!(backend.begin_drain(NEVER));
            for shard in 0..2 {
                backend.see_drain(shard).unwrap();
            }
            backend
        })
        .collect();
    // Both begin each round in the same moment, as near as two threads get: a barrier that sleeps would hide the race.
    let arrived = AtomicUsize::new(0);
    let told = |shard: usize| {
        let mut told = Vec::with_capacity(ROUNDS);
        for (round, backend) in backends.iter().enumerate() {
            arrived.fetch_add(1, Ordering::AcqRel);
            let mut looks = 0_u32;
            while arrived.load(Ordering::Acquire) < 2 * (round + 1) {
                looks += 1;
                if looks.is_multiple_of(1 << 12) {
                    // The other one may need this core.
                    std::thread::yield_now();
                }
                std::hint::spin_loop();
            }
            backend.on_end(shard);
            told.push(backend.take_drained());
        }
        told
    };
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| told(1));
        (told(0), other.join().unwrap())
    });
    assert!(
        first.iter().zip(&second).all(|(first, second)| first != second),
        "exactly one of the two, each time"
    );
}

#[test]
fn what_is_removed_stays_removed() {
    let service = service(1);
    let backend = add(&service);
    assert!(service.drain(backend.key, NEVER));
    assert!(!service.drain(backend.key, Instant::ZERO), "it is draining already");
    assert!(!backend.take_drain_expired(Instant::ZERO), "the first deadline counts");
    assert!(service.remove(backend.key).is_some());
    assert!(!service.drain(backend.key, NEVER) && !backend.begin_drain(NEVER));
    assert_eq!(backend.state(), BackendState::Removed);
    assert!(service.remove(backend.key).is_none());
}

#[test]
fn a_drain_and_a_removal_in_the_same_moment_end_in_a_removal() {
    for _ in 0..200 {
        let service = service(1);
        let backend = add(&service);
        std::thread::scope(|scope| {
            scope.spawn(|| service.drain(backend.key, NEVER));
            assert!(service.remove(backend.key).is_some());
        });
        assert_eq!(backend.state(), BackendState::Removed);
    }
}

#[test]
fn a_shard_that_has_ended_holds_up_no_drain() {
    let service = service(2);
    let before = add(&service);
    before.on_start(1);
    before.on_start(1);
    assert!(service.drain(before.key, NEVER) && before.see_drain(0).is_some());
    assert!(!before.take_drained());
    service.end_shard(1);
    assert_eq!(before.in_flight(), 0);
    assert!(before.take_drained());
    let after = add(&service);
    assert!(service.drain(after.key, NEVER) && after.see_drain(0).is_some());
    assert!(after.take_drained());
    let local = service.set_local(Some(config()), Instant::ZERO).unwrap();
    let local = service.find(local).unwrap();
    assert!(service.drain(local.key, NEVER) && local.see_drain(0).is_some() && local.take_drained());
}

#[test]
fn a_former_local_instance_finishes_what_it_has() {
    let service = service(1);
    let old = service.set_local(Some(config()), Instant::ZERO).unwrap();
    let old = service.find(old).unwrap();
    old.on_start(0);
    let new = service.set_local(Some(config()), Instant::ZERO).unwrap();
    assert_eq!(service.children().local.as_ref().map(|local| local.key), Some(new));
    assert_eq!(old.state(), BackendState::Draining);
    assert_eq!(service.find(old.key).map(|found| found.key), Some(old.key));
    assert!(old.see_drain(0).is_some() && !old.take_drained());
    assert!(!old.take_drain_expired(Instant::from_nanos(u64::MAX - 2)), "it has no deadline");
    old.on_end(0);
    assert!(old.take_drained());
    service.forget_retired(old.key);
    assert!(service.find(old.key).is_none() && service.find(new).is_some());
    // One with something in flight is cut by its removal.
    let new = service.find(new).unwrap();
    new.on_start(0);
    assert_eq!(service.set_local(None, Instant::ZERO), None);
    assert!(service.remove(new.key).is_some() && service.children().iter().next().is_none());
    assert_eq!(new.state(), BackendState::Removed);
}

#[test]
fn thresholds_change_with_the_version_and_keep_the_rest() {
    let service = service(1);
    let (version, before) = (service.version(), service.router());
    let thresholds = Thresholds { medium: u32::MAX - 1, high: u32::MAX };
    service.set_thresholds(thresholds);
    assert!(service.version() > version, "shards look again");
    assert_eq!(service.router(), RouterConfig { thresholds, ..before });
}

#[test]
fn a_sampled_signal_goes_by_the_reading_and_not_by_requests_in_flight() {
    let backend = add(&service(1));
    for _ in 0..100 {
        backend.on_start(0);
    }
    let by = |signal| RouterConfig {
        signal,
        thresholds: Thresholds { medium: 50, high: 80 },
        ..RouterConfig::default()
    };
    assert_eq!(backend.level(&by(Signal::InFlight)), Level::High);
    assert_eq!(backend.level(&by(Signal::Cpu)), Level::Low, "nothing was sampled yet");
    for (per_mille, level) in [(499, Level::Low), (500, Level::Medium), (800, Level::High)] {
        backend.set_reading(per_mille);
        assert_eq!(backend.level(&by(Signal::Cpu)), level);
        let list = [Arc::clone(&backend)];
        let view = View { list: &list, now: Instant::ZERO, tried: &[], all_warm: true };
        assert_eq!(view.reading_per_mille(0), per_mille);
    }
}
