//! Directed cases: what each promise looks like.

use super::net::Conditions;
use super::world::World;
use clustercore_proto::datagram::{Config, ControlKind, Event, GoneReason, SendError, StreamId, StreamKind};
use clustercore_proto::time::Instant;
use std::time::Duration;

fn world(config: Config, conditions: Conditions) -> (World, usize) {
    let mut world = World::new(1, 2, config, conditions, false);
    let link = world.connect(0, 1).unwrap();
    let until = world.now + Duration::from_secs(30);
    assert!(world.run(until, |world| world.links[link].server.is_some()));
    (world, link)
}

fn plain() -> (World, usize) {
    world(Config::default(), Conditions::default())
}

fn settle(world: &mut World, seconds: u64) {
    let until = world.now + Duration::from_secs(seconds);
    assert!(world.run(until, World::is_settled), "not settled after {seconds} s");
}

const ORDERED: StreamId = StreamId::DEFAULT;

fn stream(kind: StreamKind) -> StreamId {
    StreamId::new(1, kind).unwrap()
}

#[test]
fn messages_arrive_where_they_lie_when_nothing_is_lost() {
    let (mut world, link) = plain();
    for index in 0..1000 {
        world.send(link, 0, ORDERED, index % 300).unwrap();
    }
    settle(&mut world, 5);
    assert_eq!((world.nodes[1].lent, world.nodes[1].kept), (1000, 0));
    let stats = world.nodes[0].endpoint.stats();
    assert!(stats.packets_sent < 200, "messages share packets: {stats:?}");
    assert_eq!(stats.packets_lost, 0);
}

#[test]
fn a_long_message_is_put_together() {
    let (mut world, link) = plain();
    world.send(link, 0, ORDERED, 1 << 20).unwrap();
    world.send(link, 1, stream(StreamKind::Unordered), 500_000).unwrap();
    settle(&mut world, 5);
    assert_eq!(world.delivered(), 2);
}

#[test]
fn a_call_and_its_reply_are_two_packets() {
    // Without a search for the path's MTU.
    let config = Config { is_path_known: true, ..Config::default() };
    let (mut world, link) = world(config, Conditions::default());
    world.run_for(Duration::from_secs(2));
    let before = world.net.sent;
    for call in 1..=20 {
        world.send(link, 0, stream(StreamKind::Unreliable), 32).unwrap();
        world.run_for(Duration::from_millis(3));
        world.send(link, 1, stream(StreamKind::Unreliable), 32).unwrap();
        world.run_for(Duration::from_millis(100));
        assert_eq!(world.net.sent - before, 2 * call, "nothing but call and reply");
    }
}

#[test]
fn a_train_whose_last_packet_is_shorter_leaves_whole() {
    let config = Config { is_path_known: true, send_buffer_bytes: 8 << 20, ..Config::default() };
    let (mut world, link) = world(config, Conditions::default());
    // Until window and pacing allow the longest trains.
    let mut counts = (0, 0);
    for _ in 0..100 {
        let before = world.nodes[0].endpoint.stats();
        while world.send(link, 0, ORDERED, 1000).is_ok() {}
        world.run_for(Duration::from_millis(50));
        let after = world.nodes[0].endpoint.stats();
        counts = (after.packets_sent - before.packets_sent, after.trains_sent - before.trains_sent);
    }
    assert!(counts.0 > 45 * counts.1, "{} packets in {} trains", counts.0, counts.1);
    settle(&mut world, 5);
}

#[test]
fn a_slow_reader_slows_its_sender_and_loses_nothing() {
    let config = Config {
        receive_window: 100_000,
        stream_window: 100_000,
        message_bytes_max: 10_000,
        ..Config::default()
    };
    let (mut world, link) = world(config, Conditions::default());
    world.nodes[1].is_lazy = true;
    let mut taken = 0;
    for _ in 0..200 {
        while world.send(link, 0, ORDERED, 1000).is_ok() {
            taken += 1;
        }
        world.run_for(Duration::from_millis(10));
    }
    assert_eq!(taken, 100_000 / 1016, "as much as the window, then no more");
    world.nodes[1].is_lazy = false;
    world.run_for(Duration::from_millis(50));
    assert!(world.events.iter().any(|(node, event)| *node == 0 && matches!(event, Event::Writable { .. })));
    assert!(world.send(link, 0, ORDERED, 1000).is_ok());
    settle(&mut world, 5);
}

#[test]
fn the_newest_value_arrives_and_no_older_one_after_it() {
    let (mut world, link) = world(Config::default(), Conditions { loss: 300, ..Conditions::default() });
    for _ in 0..500 {
        world.send(link, 0, stream(StreamKind::Latest), 100).unwrap();
        world.run_for(Duration::from_micros(300));
    }
    settle(&mut world, 20);
    assert!(world.delivered() < 500, "some were overtaken");
}

#[test]
fn who_always_has_something_to_send_finds_the_longest_packet_too() {
    let (mut world, link) = plain();
    let (node, name) = world.end(link, 0).unwrap();
    let until = world.now + Duration::from_secs(1);
    while world.now < until {
        while world.send(link, 0, ORDERED, 1000).is_ok() {}
        assert!(world.nodes[node].endpoint.buffered(name) > 1_000_000, "more than leaves in a turn");
        world.run_for(Duration::from_millis(5));
    }
    assert_eq!(world.nodes[node].endpoint.path(name).unwrap().packet_bytes, 1472);
}

#[test]
fn a_close_that_is_lost_is_said_again() {
    let (mut world, link) = plain();
    world.send(link, 0, ORDERED, 100).unwrap();
    settle(&mut world, 5);
    world.run_for(Duration::from_secs(1));
    let (client, server) = (world.nodes[0].address.ip(), world.nodes[1].address.ip());
    world.net.block(client, server);
    world.close(link, 0, false);
    world.run_for(Duration::from_millis(5));
    assert_eq!(world.links[link].gone[1], None, "the first word was lost");
    world.net.unblock();
    let before = world.net.sent;
    world.run_for(Duration::from_millis(200));
    let words = GoneReason::ClosedByPeer { code: 300, text: b"enough".to_vec() };
    assert_eq!(world.links[link].gone[1], Some(words));
    assert!(world.net.sent - before <= 3, "answered, it is not said again: {}", world.net.sent - before);
    assert_eq!(world.nodes[0].endpoint.connections(), 0, "who is answered need not wait");
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.nodes[1].endpoint.connections(), 0);
}

#[test]
fn a_peer_that_dies_is_noticed_and_what_did_not_arrive_is_named() {
    let config = Config { gone_after: Duration::from_secs(3), ..Config::default() };
    let (mut world, link) = world(config, Conditions::default());
    world.send(link, 0, ORDERED, 100).unwrap();
    settle(&mut world, 5);
    world.nodes[1].is_paused = true;
    for _ in 0..10 {
        world.send(link, 0, ORDERED, 100).unwrap();
    }
    world.run_for(Duration::from_secs(8));
    assert_eq!(world.links[link].gone[0], Some(GoneReason::Silent));
    let named: Vec<u64> =
        world.links[link].directions[0].streams[&ORDERED].unconfirmed.iter().copied().collect();
    assert_eq!(named, (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_peer_that_was_started_anew_is_noticed_at_once() {
    let (mut world, link) = plain();
    world.crash(1);
    world.send(link, 0, ORDERED, 100).unwrap();
    world.run_for(Duration::from_millis(50));
    assert_eq!(world.links[link].gone[0], Some(GoneReason::Restarted));
    assert_eq!(world.nodes[1].endpoint.stats().resets_sent, 1);
    let again = world.connect(0, 1).unwrap();
    world.run_for(Duration::from_millis(100));
    let epochs: Vec<u64> = world
        .events
        .iter()
        .filter_map(|(_, event)| if let Event::Connected { epoch, .. } = event { Some(*epoch) } else { None })
        .collect();
    assert_eq!(epochs, [1, 2]);
    assert!(world.links[again].server.is_some());
}

#[test]
fn a_client_that_was_started_anew_ends_its_earlier_connection() {
    let (mut world, link) = plain();
    world.crash(0);
    let again = world.connect(0, 1).unwrap();
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.links[link].gone[1], Some(GoneReason::Restarted));
    assert!(world.links[again].server.is_some());
}

#[test]
fn a_connection_survives_a_change_of_address() {
    let (mut world, link) = plain();
    world.send(link, 0, ORDERED, 100).unwrap();
    settle(&mut world, 5);
    world.nodes[0].address.set_port(30_000);
    for _ in 0..20 {
        world.send(link, 0, ORDERED, 100).unwrap();
        world.send(link, 1, ORDERED, 5000).unwrap();
    }
    settle(&mut world, 10);
    let moved =
        world.events.iter().filter(|(node, event)| *node == 1 && matches!(event, Event::Moved { .. }));
    assert_eq!(moved.count(), 1);
    let (node, name) = world.links[link].server.unwrap();
    assert_eq!(world.nodes[node].endpoint.peer(name).unwrap().port(), 30_000);
}

#[test]
fn finishing_waits_until_all_has_arrived_and_closing_does_not() {
    let (mut world, link) = plain();
    for _ in 0..100 {
        world.send(link, 0, ORDERED, 1000).unwrap();
    }
    world.close(link, 0, true);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.links[link].directions[0].messages(), 100);
    assert_eq!(world.links[link].gone[0], Some(GoneReason::Closed));
    let expected = GoneReason::ClosedByPeer { code: 300, text: b"enough".to_vec() };
    assert_eq!(world.links[link].gone[1], Some(expected));
    let other = world.connect(0, 1).unwrap();
    world.run_for(Duration::from_millis(100));
    world.send(other, 0, ORDERED, 1000).unwrap();
    world.close(other, 0, false);
    world.run_for(Duration::from_secs(2));
    world.check();
    assert_eq!(world.nodes[0].endpoint.connections() + world.nodes[1].endpoint.connections(), 0);
}

#[test]
fn the_longest_packet_of_the_path_is_found_and_a_black_hole_noticed() {
    let config = Config { packet_bytes_max: 8972, ..Config::default() };
    let (mut world, link) = world(config, Conditions { mtu: 4000, ..Conditions::default() });
    for _ in 0..50 {
        world.send(link, 0, ORDERED, 3000).unwrap();
        world.run_for(Duration::from_millis(20));
    }
    assert_eq!(world.links[link].gone, [None, None]);
    let (node, name) = world.links[link].client;
    let found = world.nodes[node].endpoint.path(name).unwrap().packet_bytes;
    assert!((3984..=4000).contains(&found), "{found}");
    world.net.conditions.mtu = 1300;
    for _ in 0..50 {
        world.send(link, 0, ORDERED, 3000).unwrap();
    }
    settle(&mut world, 30);
    assert_eq!(world.nodes[node].endpoint.path(name).unwrap().packet_bytes, 1200);
}

#[test]
fn congestion_marks_slow_a_sender_before_anything_is_lost() {
    let conditions = Conditions {
        rate: Some(2_000_000),
        queue: 300_000,
        has_ecn: true,
        delay: Duration::from_millis(5),
        ..Conditions::default()
    };
    let (mut world, link) = world(Config::default(), conditions);
    for _ in 0..3000 {
        while world.send(link, 0, ORDERED, 1000).is_ok() {}
        world.run_for(Duration::from_millis(1));
    }
    let stats = world.nodes[0].endpoint.stats();
    assert!(stats.ecn_marks > 0, "{stats:?}");
    let bytes = world.links[link].directions[0].messages() * 1000;
    assert!(bytes > 4_500_000, "2 MB/s for 3 s carried {bytes}");
}

#[test]
fn a_slow_path_is_used_to_the_full_in_spite_of_losses() {
    let conditions = Conditions {
        rate: Some(2_000_000),
        queue: 100_000,
        loss: 1,
        delay: Duration::from_millis(5),
        ..Conditions::default()
    };
    let (mut world, link) = world(Config::default(), conditions);
    for _ in 0..3000 {
        while world.send(link, 0, ORDERED, 1000).is_ok() {}
        world.run_for(Duration::from_millis(1));
    }
    let bytes = world.links[link].directions[0].messages() * 1000;
    assert!(bytes > 4_000_000, "2 MB/s for 3 s carried {bytes}");
}

#[test]
fn half_open_connections_are_bounded_and_cookies_keep_no_memory() {
    let config = Config { is_accepting: false, ..Config::default() };
    let mut world = World::new(3, 2, config, Conditions::default(), false);
    let link = world.connect(0, 1).unwrap();
    world.run(Instant::from_nanos(1_000_000_000), |world| world.links[link].gone[0].is_some());
    use clustercore_proto::datagram::RefuseCode;
    assert_eq!(world.links[link].gone[0], Some(GoneReason::Refused(RefuseCode::NotAccepting)));
    assert_eq!(world.nodes[1].endpoint.connections(), 0);
}

#[test]
fn a_peer_that_is_not_there_is_unreachable() {
    let config = Config { handshake_timeout: Duration::from_secs(5), ..Config::default() };
    let mut world = World::new(3, 2, config, Conditions::default(), false);
    world.nodes[1].is_paused = true;
    let link = world.connect(0, 1).unwrap();
    world.run_for(Duration::from_secs(6));
    assert_eq!(world.links[link].gone[0], Some(GoneReason::Unreachable));
}

#[test]
fn the_longest_message_finds_room_in_the_smallest_window() {
    let config = Config {
        receive_window: 10_016,
        stream_window: 10_016,
        message_bytes_max: 10_000,
        send_buffer_bytes: 20_000,
        ..Config::default()
    };
    let (mut world, link) = world(config, Conditions::default());
    for len in [100, 10_000, 2000, 9000, 10_000] {
        assert_eq!(world.send(link, 0, ORDERED, len), Ok(()), "{len}");
        world.run_for(Duration::from_millis(50));
    }
    assert_eq!(world.delivered(), 5);
}

#[test]
fn finishing_with_nothing_but_unreliable_messages_closes_at_once() {
    let (mut world, link) = plain();
    world.run_for(Duration::from_secs(1));
    world.send(link, 0, stream(StreamKind::Unreliable), 100).unwrap();
    world.close(link, 0, true);
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.links[link].gone[0], Some(GoneReason::Closed));
    assert!(matches!(world.links[link].gone[1], Some(GoneReason::ClosedByPeer { .. })));
    assert_eq!(world.links[link].directions[0].unreliable_seen.len(), 1);
}

#[test]
fn who_waits_to_send_unreliable_messages_is_told_when_there_is_room_though_nobody_acknowledges() {
    let config = Config {
        send_buffer_bytes: 20_000,
        message_bytes_max: 10_000,
        control: ControlKind::Fixed(1 << 20),
        is_path_known: true,
        ..Config::default()
    };
    let (mut world, link) = world(config, Conditions::default());
    world.run_for(Duration::from_secs(1));
    world.net.block(world.nodes[1].address.ip(), world.nodes[0].address.ip());
    while world.send(link, 0, stream(StreamKind::Unreliable), 1000).is_ok() {}
    world.run_for(Duration::from_secs(3));
    assert!(world.events.iter().any(|(node, event)| *node == 0 && matches!(event, Event::Writable { .. })));
    assert_eq!(world.send(link, 0, stream(StreamKind::Unreliable), 1000), Ok(()));
}

#[test]
fn latest_values_take_no_more_memory_while_nothing_leaves() {
    let config = Config { gone_after: Duration::from_secs(30), ..Config::default() };
    let (mut world, link) = world(config, Conditions::default());
    world.run_for(Duration::from_secs(1));
    world.net.block(world.nodes[0].address.ip(), world.nodes[1].address.ip());
    let (node, name) = world.links[link].client;
    for _ in 0..2000 {
        for number in 0..4 {
            let stream = StreamId::new(number, StreamKind::Latest).unwrap();
            world.send(link, 0, stream, 800).unwrap();
        }
        world.run_for(Duration::from_millis(1));
    }
    let (buffered, path) = {
        let endpoint = &world.nodes[node].endpoint;
        (endpoint.buffered(name) as u64, endpoint.path(name).unwrap())
    };
    assert!(buffered < 60_000, "{buffered} {path:?}");
    world.net.unblock();
    settle(&mut world, 10);
}

#[test]
fn a_busy_connection_does_not_fill_the_wheel() {
    let config = Config { is_path_known: true, ..Config::default() };
    let (mut world, link) = world(config, Conditions::default());
    for _ in 0..500 {
        world.send(link, 0, ORDERED, 32).unwrap();
        world.run_for(Duration::from_millis(20));
    }
    for node in &world.nodes {
        assert!(node.endpoint.timers() < 12, "{}", node.endpoint.timers());
    }
}

#[test]
fn an_init_that_is_repeated_ends_no_later_connection() {
    let (mut world, _) = {
        let mut world = World::new(1, 2, Config::default(), Conditions::default(), false);
        world.net.record = Some(Vec::new());
        let link = world.connect(0, 1).unwrap();
        world.run_for(Duration::from_millis(100));
        (world, link)
    };
    let record = world.net.record.take().unwrap();
    let init = record.into_iter().rfind(|(_, _, bytes)| bytes[0] == 0x61).unwrap();
    world.crash(0);
    let again = world.connect(0, 1).unwrap();
    world.run_for(Duration::from_millis(100));
    assert!(world.links[again].server.is_some());
    world.replay(init);
    world.run_for(Duration::from_millis(500));
    world.send(again, 0, ORDERED, 100).unwrap();
    settle(&mut world, 5);
    assert_eq!(world.links[again].gone, [None, None]);
    assert_eq!(world.delivered(), 1);
}

#[test]
fn a_close_that_is_repeated_for_ever_keeps_no_connection() {
    let (mut world, link) = plain();
    world.run_for(Duration::from_secs(1));
    world.net.record = Some(Vec::new());
    // Both at a time: each hears the other's while it is closing.
    world.close(link, 0, false);
    world.close(link, 1, false);
    world.run_for(Duration::from_micros(100));
    let to = world.nodes[1].address;
    let close = world.net.record.take().unwrap().into_iter().find(|(_, at, _)| *at == to).unwrap();
    for _ in 0..200 {
        world.replay(close.clone());
        world.run_for(Duration::from_millis(5));
    }
    assert_eq!(world.nodes[1].endpoint.connections(), 0);
}

#[test]
fn unreliable_messages_that_fill_a_small_window_are_acknowledged_in_time() {
    let config = Config { control: ControlKind::Fixed(6000), is_path_known: true, ..Config::default() };
    let (mut world, link) = world(config, Conditions::default());
    world.run_for(Duration::from_secs(1));
    for _ in 0..200 {
        world.send(link, 0, stream(StreamKind::Unreliable), 1000).unwrap();
    }
    world.send(link, 0, ORDERED, 100).unwrap();
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.links[link].directions[0].unreliable_seen.len(), 200);
    assert_eq!(world.delivered(), 1);
}

#[test]
fn the_longest_message_is_the_same_on_all_streams() {
    let config = Config { message_bytes_max: 100, ..Config::default() };
    let (mut world, link) = world(config, Conditions::default());
    let (node, name) = world.links[link].client;
    for kind in [StreamKind::Ordered, StreamKind::Unordered, StreamKind::Latest, StreamKind::Unreliable] {
        let refused = Err(SendError::TooLarge { len: 101, max: 100 });
        assert_eq!(world.nodes[node].endpoint.send(name, stream(kind), &[0; 101]), refused);
        assert_eq!(world.send(link, 0, stream(kind), 90), Ok(()));
    }
    settle(&mut world, 1);
    assert_eq!(world.delivered(), 3);
    assert_eq!(world.links[link].gone, [None, None]);
}
