//! Random trains against an oracle: what was sent is what comes, datagram by datagram, in order, however the receiver holds on to it.

use crate::world::{Make, World, sim_with, small, text};
use clustercore::io::sim::SimConfig;
use clustercore::io::{DatagramId, DatagramOptions, Train};
use clustercore_proto::random::Random;
use std::sync::Arc;

pub fn random_trains(make: &Make) {
    for seed in 1..=3 {
        run(make(small()), seed);
    }
}

#[test]
fn random_trains_in_many_simulations() {
    for seed in 0..40 {
        // One latency, so that datagrams keep their order.
        let weather = SimConfig { seed, datagram_buffer_bytes: 8 << 20, ..SimConfig::default() };
        run(sim_with(weather, small()), seed);
    }
}

fn run(mut world: World, seed: u64) {
    let mut random = Random::new(seed);
    let options = DatagramOptions { receive_buffer_bytes: 8 << 20, ..DatagramOptions::default() };
    let (to, address) = world.right.bind_datagram_with(world.right_address(), &options);
    let (from, _) = world.left.bind_datagram_with(world.left_address(), &options);
    world.settle();
    world.right.hold_datagrams = true;
    let mut sent: Vec<Vec<u8>> = Vec::new();
    let mut shared = Vec::new();
    for _ in 0..150 {
        match random.below(8) {
            0..=2 => {
                let segment = 1 + random.below(2000) as usize;
                let len = random.below(segment as u64 * 30) as usize;
                let bytes = text(sent.len(), len + 2);
                sent.extend(bytes[1..=len].chunks(segment).map(<[u8]>::to_vec));
                if len == 0 {
                    sent.push(Vec::new());
                }
                let train = if random.chance(500) {
                    let bytes = Arc::new(bytes);
                    let train = Train::shared(&bytes, 1..1 + len, segment as u32);
                    shared.push(bytes);
                    train
                } else {
                    Train { range: 1..1 + len, ..Train::owned(bytes, segment as u32) }
                };
                world.left.driver.send_datagrams(from, address, train);
            }
            3 => take_one(&mut world, &mut random),
            4 => world.right.release_held(),
            _ => world.some_rounds(random.below(3)),
        }
    }
    world.until(|world| {
        world.right.release_held();
        world.right.datagrams.len() == sent.len() && world.left.driver.datagrams_unsent(from) == 0
    });
    assert!(world.right.datagrams == sent, "seed {seed}");
    assert!(world.left.datagram_failed.is_empty() && world.right.datagram_failed.is_empty());
    assert!(shared.iter_mut().all(|bytes| Arc::get_mut(bytes).is_some()), "seed {seed}");
    check_counters(&world, from, to, sent.len() as u64);
    world.finish();
}

/// One of the leases held is kept for longer, or split, or released.
fn take_one(world: &mut World, random: &mut Random) {
    let node = &mut world.right;
    if node.held_datagrams.is_empty() {
        return;
    }
    let place = random.below(node.held_datagrams.len() as u64) as usize;
    let mut lease = node.held_datagrams.swap_remove(place);
    let count = random.below(lease.len().min(3000) as u64 + 1) as usize;
    let head = node.driver.split(&mut lease, count);
    node.driver.release(lease);
    let bytes = node.driver.bytes(&head).to_vec();
    let kept = node.driver.keep(head);
    assert!(node.driver.bytes(&kept) == bytes, "the same bytes");
    node.held_datagrams.push(kept);
}

fn check_counters(world: &World, from: DatagramId, to: DatagramId, count: u64) {
    let sent = world.left.driver.datagram_counters(from).expect("it is open");
    let received = world.right.driver.datagram_counters(to).expect("it is open");
    assert_eq!((sent.datagrams_sent, received.datagrams_received), (count, count));
    assert_eq!((sent.refused, received.truncated), (0, 0));
}
