//! Two endpoints on a network that the input spoils; see [`check`].

use super::super::net::Conditions;
use super::super::world::World;
use super::Input;
use clustercore_proto::datagram::{Config, ControlKind, SendError, StreamId, StreamKind};
use std::time::Duration;

/// Plays the input: what is sent, read, lost, doubled, shuffled, and how time passes. Then the network is healed, and everything
/// owed must arrive. Messages that have arrived.
pub fn check(input: &[u8]) -> usize {
    let mut input = Input(input);
    let choice = input.byte().unwrap_or(0);
    let mut world = World::new(u64::from(choice), 2, config(choice), Conditions::default(), choice & 4 != 0);
    let link = world.connect(0, 1).expect("there is room");
    for _ in 0..STEPS_MAX {
        let Some(step) = input.byte() else { break };
        play(&mut world, link, step, &mut input);
    }
    heal(&mut world);
    world.check();
    world.delivered()
}

fn config(choice: u8) -> Config {
    let window = if choice & 1 != 0 { 10_016 } else { 200_000 };
    Config {
        connections_max: 8,
        message_bytes_max: 10_000,
        send_buffer_bytes: if choice & 1 != 0 { 20_000 } else { 200_000 },
        receive_window: window,
        stream_window: window,
        packet_bytes_max: if choice & 2 != 0 { 1472 } else { 8972 },
        gone_after: Duration::from_secs(120),
        idle_timeout: Duration::from_secs(240),
        reassembly_timeout: Duration::from_secs(200),
        handshake_timeout: Duration::from_secs(60),
        key_packets_max: 40,
        control: if choice & 8 != 0 { ControlKind::Fixed(30_000) } else { ControlKind::Cubic },
        ..Config::default()
    }
}

fn play(world: &mut World, link: usize, step: u8, input: &mut Input<'_>) {
    let end = usize::from(step >> 3 & 1);
    match step % 8 {
        0..=2 => {
            let what = input.byte().unwrap_or(0);
            let stream = StreamId::from_wire(u32::from(what & 7));
            let is_short = matches!(stream.kind(), StreamKind::Latest | StreamKind::Unreliable);
            let len = usize::from(input.short() % if is_short { 900 } else { 10_000 });
            for _ in 0..=what >> 4 {
                match world.send(link, end, stream, if what & 8 != 0 { len % 100 } else { len }) {
                    Ok(()) => {}
                    Err(SendError::WouldBlock | SendError::NotOpen) => break,
                    Err(error) => panic!("{stream:?} of {len} bytes: {error:?}"),
                }
            }
        }
        3 => world.run_for(Duration::from_micros(1 << (input.byte().unwrap_or(0) % 22))),
        4 => {
            let mut chance = || u32::from(input.byte().unwrap_or(0)) * 2;
            let (loss, duplicate, reorder) = (chance(), chance(), chance());
            let conditions = &mut world.net.conditions;
            (conditions.loss, conditions.duplicate, conditions.reorder) = (loss, duplicate, reorder);
            conditions.corrupt = if step & 16 != 0 { 50 } else { 0 };
            conditions.mtu = if step & 32 != 0 { 1300 } else { 65_535 };
        }
        5 => world.nodes[end].is_lazy = !world.nodes[end].is_lazy,
        6 => {
            let (a, b) = (world.nodes[end].address.ip(), world.nodes[1 - end].address.ip());
            if step & 16 != 0 { world.net.block(a, b) } else { world.net.unblock() }
        }
        _ => match step >> 4 {
            0 => world.close(link, end, true),
            1 => world.close(link, end, false),
            port => world.nodes[0].address.set_port(20_000 + u16::from(port)),
        },
    }
}

fn heal(world: &mut World) {
    world.net.heal();
    for node in &mut world.nodes {
        (node.is_paused, node.is_lazy) = (false, false);
    }
    // Who has moved is heard from: a peer that is silent at a new address cannot be found.
    for end in 0..2 {
        let _ = world.send(0, end, StreamId::new(0, StreamKind::Unreliable).expect("a number"), 1);
    }
    let until = world.now + Duration::from_secs(60);
    assert!(world.run(until, World::is_settled), "not everything owed has arrived");
}

const STEPS_MAX: usize = 300;
