//! Random operations on several streams against an oracle: what was sent is what comes, to the byte, in order, and then the end.

use crate::world::{Make, World, sim_with, small, text};
use clustercore::io::sim::SimConfig;
use clustercore::io::{Chunk, StreamId};
use clustercore_proto::random::Random;

/// One direction of a connection.
struct Way {
    /// Whether `left` sends.
    from_left: bool,
    sender: StreamId,
    receiver: StreamId,
    /// The oracle.
    sent: Vec<u8>,
    shut: bool,
}

pub fn random_operations(make: &Make) {
    for seed in 1..=3 {
        run(make(small()), seed);
    }
}

/// Weather that only the simulator has: tiny segments and socket buffers, partial sends, many seeds.
#[test]
fn random_operations_in_foul_weather() {
    for seed in 0..40 {
        let weather = SimConfig {
            seed,
            segment_bytes_max: 1 + seed as usize * 40,
            send_buffer_bytes: 1000,
            receive_buffer_bytes: 2000,
            partial_send_per_mille: 500,
            ..SimConfig::default()
        };
        run(sim_with(weather, small()), seed);
    }
}

fn run(mut world: World, seed: u64) {
    let mut random = Random::new(seed);
    let (_, address) = world.listen();
    let mut ways = Vec::new();
    for _ in 0..4 {
        let (left, right) = world.connect(address);
        ways.push(Way { from_left: true, sender: left, receiver: right, sent: Vec::new(), shut: false });
        ways.push(Way { from_left: false, sender: right, receiver: left, sent: Vec::new(), shut: false });
    }
    world.left.hold = true;
    world.right.hold = true;
    for _ in 0..400 {
        let place = random.below(ways.len() as u64) as usize;
        operate(&mut world, &mut ways[place], &mut random);
    }
    // In the end all is read, and all have ended.
    for way in &ways {
        world.node(way.from_left).driver.shutdown(way.sender);
    }
    world.until(|world| {
        world.left.release_held();
        world.right.release_held();
        ways.iter().all(|way| {
            let receiver = world.node(!way.from_left);
            if receiver.is_idle(way.receiver) {
                receiver.recv(way.receiver);
            }
            receiver.seen(way.receiver).end
        })
    });
    for (number, way) in ways.iter().enumerate() {
        let seen = world.node(!way.from_left).seen(way.receiver);
        assert!(
            seen.data == way.sent,
            "seed {seed}, way {number}: {} of {} bytes",
            seen.data.len(),
            way.sent.len()
        );
        assert_eq!(seen.failed, None, "seed {seed}, way {number}");
    }
    world.finish();
}

fn operate(world: &mut World, way: &mut Way, random: &mut Random) {
    let from_left = way.from_left;
    match random.below(12) {
        0..=3 if !way.shut => {
            let largest = [10, 1000, 20_000][random.below(3) as usize];
            let bytes = text(way.sent.len(), random.below(largest) as usize);
            world.node(from_left).send(way.sender, &bytes);
            way.sent.extend(bytes);
        }
        // What was received is sent on as it lies there.
        4 if !way.shut => {
            let node = world.node(from_left);
            if let Some((_, mut lease)) = node.held.pop() {
                let driver = &mut node.driver;
                let count = random.below(lease.len() as u64 + 1) as usize;
                way.sent.extend(driver.bytes(&lease));
                let head = driver.split(&mut lease, count);
                driver.send(way.sender, Chunk::Lease(head));
                driver.send(way.sender, Chunk::Lease(lease));
            }
        }
        5 => {
            let node = world.node(!from_left);
            if node.is_idle(way.receiver) {
                node.recv(way.receiver);
            }
        }
        6 => {
            let node = world.node(!from_left);
            if node.is_idle(way.receiver) {
                node.recv_block(way.receiver, 1 + random.below(10_000) as usize);
            }
        }
        7 => {
            let node = world.node(!from_left);
            if node.is_receiving(way.receiver) {
                node.recv_stop(way.receiver);
            }
        }
        8 => world.node(!from_left).release_held(),
        9 if random.chance(50) => {
            world.node(from_left).driver.shutdown(way.sender);
            way.shut = true;
        }
        _ => world.some_rounds(random.below(4)),
    }
}
