//! What a tracer is told, compared with what the endpoint counts.

use super::net::Conditions;
use super::world::World;
use clustercore_proto::datagram::{Config, Connection, DropReason, Stats, StreamId, TraceEvent, Tracer};
use clustercore_proto::time::Instant;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was told, counted like [`Stats`], and words for what happens seldom.
#[derive(Default)]
struct Told {
    stats: Stats,
    words: Vec<String>,
    state: &'static str,
    at: Instant,
}

#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Told>>);

impl Tracer for Listener {
    fn trace(&mut self, now: Instant, connection: Option<Connection>, event: TraceEvent<'_>) {
        let mut told = self.0.lock().unwrap();
        assert!(now >= told.at, "time goes on");
        told.at = now;
        let stats = &mut told.stats;
        match event {
            TraceEvent::Sent { .. } => stats.packets_sent += 1,
            TraceEvent::Received { .. } => stats.packets_received += 1,
            TraceEvent::Lost { .. } => stats.packets_lost += 1,
            TraceEvent::ProbeTimeout { .. } => stats.probes += 1,
            TraceEvent::Dropped { why, .. } => match why {
                DropReason::Malformed => stats.packets_malformed += 1,
                DropReason::Unknown => stats.packets_unknown += 1,
                DropReason::Repeated => stats.packets_repeated += 1,
                DropReason::Corrupt => stats.packets_corrupt += 1,
                DropReason::Deferred => stats.packets_deferred += 1,
            },
            TraceEvent::KeyUpdated { is_own, .. } => {
                stats.key_updates += u64::from(is_own);
                told.words.push(format!("key of {}", if is_own { "ours" } else { "the peer" }));
            }
            TraceEvent::Status(status) => {
                assert!(connection.is_some());
                if status.state != told.state {
                    told.state = status.state;
                    told.words.push(status.state.to_owned());
                }
            }
            TraceEvent::Handshake { kind, is_sent, .. } => {
                told.words.push(format!("{} {kind}", if is_sent { "sent" } else { "got" }));
            }
            TraceEvent::Opened { is_client, .. } => {
                told.words.push(format!("opened as {}", if is_client { "client" } else { "server" }));
            }
            TraceEvent::PathSuspected { .. } => told.words.push("heard from elsewhere".to_owned()),
            TraceEvent::PathMoved { .. } => told.words.push("moved".to_owned()),
            TraceEvent::Closed { reason } => told.words.push(format!("{reason:?}")),
            TraceEvent::Released => told.words.push("released".to_owned()),
        }
    }
}

/// A world in which everybody is listened to.
fn world(config: Config, conditions: Conditions, is_keyed: bool) -> (World, [Listener; 2]) {
    let mut world = World::new(3, 2, config, conditions, is_keyed);
    let listeners = [Listener::default(), Listener::default()];
    for (node, listener) in world.nodes.iter_mut().zip(&listeners) {
        node.endpoint.set_tracer(Some(Box::new(listener.clone())));
    }
    (world, listeners)
}

#[test]
fn every_packet_is_told_that_is_counted() {
    let conditions =
        Conditions { loss: 100, duplicate: 100, corrupt: 50, reorder: 100, ..Conditions::default() };
    let config = Config { key_packets_max: 40, ..Config::default() };
    let (mut world, listeners) = world(config, conditions, true);
    let link = world.connect(0, 1).unwrap();
    let until = world.now + Duration::from_secs(30);
    assert!(world.run(until, |world| world.links[link].server.is_some()));
    for round in 0..300 {
        for len in [10, 2000 * (round % 3)] {
            let _ = world.send(link, round % 2, StreamId::DEFAULT, len);
        }
        world.run_for(Duration::from_millis(3));
    }
    let until = world.now + Duration::from_secs(30);
    assert!(world.run(until, World::is_settled));
    for (node, listener) in world.nodes.iter().zip(&listeners) {
        let (counted, told) = (node.endpoint.stats(), listener.0.lock().unwrap());
        assert!(counted.packets_lost > 10 && counted.packets_repeated > 10 && counted.key_updates > 1);
        // What is counted otherwise.
        let expected = Stats {
            trains_sent: 0,
            acknowledgements_alone: 0,
            losses_spurious: 0,
            answers_dropped: 0,
            answers_sent: 0,
            resets_sent: 0,
            handshakes_refused: 0,
            violations: 0,
            ecn_marks: 0,
            ..counted
        };
        assert_eq!(told.stats, expected);
    }
}

#[test]
fn the_life_of_a_connection_is_told_in_order() {
    let (mut world, [client, server]) = world(Config::default(), Conditions::default(), false);
    let link = world.connect(0, 1).unwrap();
    world.run_for(Duration::from_millis(50));
    world.nodes[0].address.set_port(30_000);
    world.send(link, 0, StreamId::DEFAULT, 5).unwrap();
    world.run_for(Duration::from_millis(50));
    world.close(link, 0, false);
    world.run_for(Duration::from_secs(5));
    let words = |listener: &Listener| listener.0.lock().unwrap().words.join(", ");
    assert_eq!(
        words(&client),
        "sent init, got cookie, sent init, got accept, opened as client, open, Closed, closing, gone, released"
    );
    let told = words(&server);
    let begins = "got init, sent cookie, got init, opened as server, sent accept, open, ";
    assert!(told.starts_with(begins), "{told}");
    assert!(told.contains("heard from elsewhere, moved, ClosedByPeer { code: 300"), "{told}");
    assert!(told.ends_with("draining, gone, released"), "{told}");
}
