//! Directed cases.

use super::net::Conditions;
use super::world::{SERVER, World};
use clustercore_proto::rpc::{Config, Outcome, Status};
use std::time::Duration;

fn quiet() -> World {
    let mut world = World::new(2, 1, Config::default(), Conditions::default());
    world.connect(1);
    world.run_for(Duration::from_millis(50));
    world
}

fn end(world: &World, tag: u64) -> (Status, Outcome) {
    world.made[&tag].end.expect("it has ended")
}

#[test]
fn a_quick_call_is_two_packets() {
    let mut world = quiet();
    // The first call after the handshake still shares its packets with acknowledgements.
    world.call(1, 0, 0, 32, None).unwrap();
    world.run_for(Duration::from_millis(50));
    let before = world.net.sent;
    let mut tags = Vec::new();
    for _ in 0..10 {
        tags.push(world.call(1, 0, 0, 32, None).unwrap());
        world.run_for(Duration::from_millis(10));
    }
    assert_eq!(world.net.sent - before, 20);
    assert!(tags.iter().all(|tag| end(&world, *tag) == (Status::Ok, Outcome::Executed)));
    // What is kept for repeats is settled by one packet more.
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.net.sent - before, 21);
    world.check();
}

#[test]
fn calls_that_are_outstanding_together_share_packets() {
    let mut world = quiet();
    let before = world.net.sent;
    let tags: Vec<u64> = (0..64).map(|_| world.call(1, 0, 0, 32, None).unwrap()).collect();
    world.run_for(Duration::from_millis(20));
    assert!(tags.iter().all(|tag| end(&world, *tag).1 == Outcome::Executed));
    assert!(world.net.sent - before <= 12, "{} packets for 64 calls", world.net.sent - before);
}

#[test]
fn a_long_call_is_asked_about_now_and_then_and_waited_for() {
    let mut world = quiet();
    let tag = world.call(1, 0, 30_000, 32, None).unwrap();
    let before = world.net.sent;
    world.run_for(Duration::from_secs(31));
    assert_eq!(end(&world, tag), (Status::Ok, Outcome::Executed));
    let packets = world.net.sent - before;
    assert!((30..150).contains(&packets), "{packets} packets in half a minute");
    world.check();
}

#[test]
fn a_server_that_crashes_between_execution_and_reply_leaves_an_unknown_outcome() {
    let mut world = quiet();
    let tag = world.call(1, 0, 500, 32, None).unwrap();
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.executions(tag), 1);
    world.crash(SERVER);
    world.run_for(Duration::from_secs(40));
    assert_eq!(end(&world, tag).1, Outcome::Unknown);
    world.check();
}

#[test]
fn a_call_cancelled_before_it_began_was_not_executed_and_one_that_has_begun_was() {
    let mut world = quiet();
    let waiting = world.call(1, 1000, 0, 32, None).unwrap();
    let begun = world.call(1, 0, 1000, 32, None).unwrap();
    world.run_for(Duration::from_millis(100));
    world.cancel(waiting);
    world.cancel(begun);
    world.run_for(Duration::from_millis(100));
    assert_eq!(end(&world, waiting), (Status::Cancelled, Outcome::NotExecuted));
    world.run_for(Duration::from_secs(2));
    assert_eq!(end(&world, begun), (Status::Ok, Outcome::Executed));
    world.check();
}

#[test]
fn a_busy_server_refuses_at_once_and_keeps_to_it() {
    let config = Config { calls_max: 2, ..Config::default() };
    let conditions = Conditions { duplicate: 1000, reorder: 300, ..Conditions::default() };
    let mut world = World::new(4, 1, config, conditions);
    world.connect(1);
    world.run_for(Duration::from_millis(100));
    let tags: Vec<u64> = (0..20).map(|_| world.call(1, 0, 200, 32, None).unwrap()).collect();
    world.run_for(Duration::from_millis(100));
    let refused = tags.iter().filter(|tag| world.made[tag].end.is_some()).count();
    assert_eq!(refused, 18, "busy is said at once");
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.ended(Outcome::NotExecuted), 18);
    assert_eq!(world.ended(Outcome::Executed), 2);
    world.check();
}

#[test]
fn a_deadline_ends_a_call_here_and_its_work_there() {
    let mut world = quiet();
    let tag = world.call(1, 1000, 0, 32, Some(Duration::from_millis(200))).unwrap();
    world.run_for(Duration::from_millis(250));
    assert_eq!(end(&world, tag), (Status::DeadlineExceeded, Outcome::Unknown));
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.executions(tag), 0, "it was cancelled before it began");
}

#[test]
fn arguments_longer_than_a_packet_are_carried_whole_and_executed_once() {
    let conditions = Conditions { loss: 100, duplicate: 300, reorder: 200, ..Conditions::default() };
    let mut world = World::new(8, 1, Config::default(), conditions);
    world.connect(1);
    world.run_for(Duration::from_secs(2));
    let tags: Vec<u64> = (0..4).map(|_| world.call(1, 0, 0, 15_000, None).unwrap()).collect();
    world.run_for(Duration::from_secs(20));
    assert!(tags.iter().all(|tag| end(&world, *tag) == (Status::Ok, Outcome::Executed)));
    world.check();
}

#[test]
fn parts_longer_than_the_window_wait_for_credit_and_come_back_in_order() {
    let config = Config { part_window: 10_000, part_bytes_max: 4000, ..Config::default() };
    let conditions = Conditions { loss: 50, reorder: 200, ..Conditions::default() };
    let mut world = World::new(10, 1, config, conditions);
    world.connect(1);
    world.run_for(Duration::from_secs(2));
    let tag = world.call_streamed(1, 60, 4000).unwrap();
    world.run_for(Duration::from_secs(60));
    assert_eq!(end(&world, tag), (Status::Ok, Outcome::Executed));
    world.check();
}

#[test]
fn a_dead_server_is_noticed() {
    let mut world = quiet();
    let tag = world.call(1, 0, 60_000, 32, None).unwrap();
    world.run_for(Duration::from_secs(1));
    world.programs[SERVER].is_paused = true;
    world.run_for(Duration::from_secs(12));
    assert_eq!(end(&world, tag), (Status::Unavailable, Outcome::Unknown));
}
