//! Random scripts: two or three programs talk while everything goes wrong, then all is healed and everything owed must arrive.
//!
//! One seed, one run: `CLUSTERCORE_SEED=7 cargo test -p clustercore-proto --test sim_datagram seeds`.

use super::net::Conditions;
use super::world::{World, address};
use clustercore_proto::datagram::{Config, ControlKind, SendError, StreamId, StreamKind};
use clustercore_proto::random::Random;
use std::time::Duration;

const KINDS: [StreamKind; 4] =
    [StreamKind::Ordered, StreamKind::Unordered, StreamKind::Latest, StreamKind::Unreliable];

fn conditions(random: &mut Random) -> Conditions {
    let mut some = |max: u64| random.below(max + 1) as u32;
    let (loss, duplicate, corrupt, reorder) = (some(300), some(500), some(50), some(300));
    let burst = 1 + some(20);
    let delay = Duration::from_micros(u64::from(50 + some(20_000)));
    let jitter = Duration::from_micros(u64::from(some(5_000)));
    // Some paths are slow, with a queue that overflows; some take no long packets.
    let rate = (some(3) == 0).then(|| 200_000 + u64::from(some(3_000_000)));
    let mtu = if some(4) == 0 { 1200 + some(300) as usize } else { 65_535 };
    let has_ecn = some(1) == 0;
    let mut one_of = |value: u32| if some(2) == 0 { 0 } else { value };
    Conditions {
        loss: one_of(loss),
        burst,
        duplicate: one_of(duplicate),
        corrupt: one_of(corrupt),
        reorder: one_of(reorder),
        delay,
        jitter,
        mtu,
        rate,
        queue: 30_000,
        has_ecn,
    }
}

fn config(random: &mut Random) -> Config {
    let tiny = random.chance(300);
    let window = if tiny { 66_000 } else { 1 << 20 };
    Config {
        connections_max: 64,
        message_bytes_max: 65_000,
        send_buffer_bytes: if tiny { 130_000 } else { 1 << 20 },
        receive_window: window,
        stream_window: window,
        packet_bytes_max: if random.chance(500) { 1472 } else { 8972 },
        is_path_known: false,
        // Longer than any partition of a script, so that what is owed stays owed.
        gone_after: Duration::from_secs(120),
        idle_timeout: Duration::from_secs(240),
        reassembly_timeout: Duration::from_secs(200),
        handshake_timeout: Duration::from_secs(60),
        keep_alive: if random.chance(300) { Duration::from_secs(1) } else { Duration::ZERO },
        key_packets_max: 40,
        control: if random.chance(200) { ControlKind::Fixed(60_000) } else { ControlKind::Cubic },
        has_ecn: random.chance(500),
        ..Config::default()
    }
}

/// Runs a script; what was delivered.
pub fn run(seed: u64) -> usize {
    let mut random = Random::new(seed);
    let nodes = 2 + random.below(2) as usize;
    let (config, conditions) = (config(&mut random), conditions(&mut random));
    let is_keyed = random.chance(500);
    let mut world = World::new(seed, nodes, config, conditions, is_keyed);
    let steps = 30 + random.below(60);
    for _ in 0..steps {
        step(&mut world, &mut random);
        let time = Duration::from_micros(random.below(40_000));
        world.run_for(time);
    }
    heal(&mut world);
    world.check();
    world.delivered()
}

fn step(world: &mut World, random: &mut Random) {
    let node = random.below(world.nodes.len() as u64) as usize;
    let other = (node + 1) % world.nodes.len();
    let link = random.below(world.links.len().max(1) as u64) as usize;
    let end = random.below(2) as usize;
    let has_link = link < world.links.len();
    match random.below(100) {
        0..=9 => {
            let is_open = world.links.iter().any(|link| {
                link.client.0 == node && link.to == other && link.gone[0].is_none() && link.server.is_none()
            });
            if !is_open {
                world.connect(node, other);
            }
        }
        10..=69 if has_link => send_some(world, random, link, end),
        70..=73 => world.nodes[node].is_lazy = !world.nodes[node].is_lazy,
        74..=77 => {
            // One way only, or both.
            let (a, b) = (address(node).ip(), address(other).ip());
            world.net.block(a, b);
            if random.chance(500) {
                world.net.block(b, a);
            }
        }
        78..=81 => world.net.unblock(),
        82..=84 => world.nodes[node].is_paused = !world.nodes[node].is_paused,
        85..=86 => world.crash(node),
        87..=89 => {
            // Its translator gives it another port. Only one node moves: two that do so at a time could not find each other.
            let port = 20_000 + random.below(20_000) as u16;
            world.nodes[0].address.set_port(port);
        }
        90 if has_link => world.close(link, end, random.chance(500)),
        91..=93 => world.net.conditions = conditions(random),
        _ => {}
    }
}

fn send_some(world: &mut World, random: &mut Random, link: usize, end: usize) {
    let kind = KINDS[random.below(4) as usize];
    let stream = StreamId::new(random.below(3) as u32, kind).unwrap();
    let count = if random.chance(200) { 200 } else { 1 + random.below(20) };
    let is_huge = random.chance(100);
    for _ in 0..count {
        let len = match kind {
            StreamKind::Latest | StreamKind::Unreliable => random.below(900),
            _ if is_huge => random.below(65_000),
            _ if random.chance(50) => random.below(3000),
            _ => random.below(120),
        };
        match world.send(link, end, stream, len as usize) {
            Ok(()) => {}
            Err(SendError::WouldBlock | SendError::NotOpen) => break,
            Err(error) => panic!("{stream:?} of {len} bytes: {error:?}"),
        }
    }
}

fn heal(world: &mut World) {
    world.net.heal();
    for node in &mut world.nodes {
        (node.is_paused, node.is_lazy) = (false, false);
    }
    // Who has moved is heard from: a peer that is silent at a new address cannot be found.
    for link in 0..world.links.len() {
        for end in 0..2 {
            let _ = world.send(link, end, StreamId::new(0, StreamKind::Unreliable).unwrap(), 1);
            // That one may be lost in a full queue, or be too long for the path with what waited before it: nobody would say it again.
            let _ = world.send(link, end, StreamId::DEFAULT, 1);
        }
    }
    // Probes come every two seconds at the latest; slow paths need time for what was queued.
    let until = world.now + HEALED_WITHIN;
    assert!(world.run(until, World::is_settled), "not everything owed has arrived: {:#?}", unsettled(world));
}

fn unsettled(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, link) in world.links.iter().enumerate() {
        if link.gone.iter().any(Option::is_some) || !link.is_connected {
            continue;
        }
        for (end, direction) in link.directions.iter().enumerate() {
            for (stream, side) in &direction.streams {
                lines.push(format!(
                    "link {index} end {end} {stream:?}: sent {}, arrived {}, next {}",
                    side.sent.len(),
                    side.arrived.len(),
                    side.next
                ));
            }
        }
        lines.push(format!("link {index}: client {:?} server {:?}", link.client, link.server));
        for (node, name) in [Some(link.client), link.server].into_iter().flatten() {
            let endpoint = &world.nodes[node].endpoint;
            lines.push(format!(
                "node {node} at {}: peer {:?}, {:?}, {} buffered, {:?}, next {:?}",
                world.nodes[node].clock(world.now).as_nanos(),
                endpoint.peer(name),
                endpoint.path(name),
                endpoint.buffered(name),
                endpoint.stats(),
                endpoint.next_timeout()
            ));
        }
    }
    lines
}

/// After healing, everything owed is there within this time of the world.
const HEALED_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn seeds() {
    let Some(outcomes) = super::replay::seeds("sim_datagram", 2000, run) else { return };
    let (count, delivered) = (outcomes.len(), outcomes.iter().sum::<usize>());
    println!("{count} seeds, {delivered} messages");
    assert!(delivered > 100 * count, "too little was delivered to have tried anything: {delivered}");
}

/// Seeds that once failed.
#[test]
fn seeds_of_old_failures() {
    // 109: challenges timed by the round trip of the old path gave up before the new one could answer.
    // 5868: unreliable messages filled a small window, and nobody acknowledged them.
    // 251, 290: messages behind a gap were neither delivered nor named at the end.
    // 3349: a packet was lost that was sealed two keys before.
    // 32418, 51258: of the script: a client that had moved and had nothing more to say was owed messages; its one word was lost.
    // 179: a client whose probes were shorter than a Reset was never told that its peer had been started anew.
    // 126589: of the world: a connection that was accepted and over within one turn.
    for seed in [109, 179, 251, 290, 3349, 5868, 32418, 51258, 126589] {
        run(seed);
    }
}
