//! Receiving: started, stopped, once, and with hardly any buffers.

use crate::world::{Make, small, text};
use clustercore::io::{BuffersConfig, DriverConfig};

pub fn recv_stop_and_again(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    let whole = text(6, 300_000);
    for part in whole.chunks(30_000) {
        world.left.send(left, part);
    }
    world.left.driver.shutdown(left);
    let mut stops = 0;
    while !world.right.seen(right).end {
        let before = world.right.seen(right).data.len();
        world.right.recv(right);
        world.until(|world| world.right.seen(right).data.len() > before || world.right.seen(right).end);
        if world.right.seen(right).end {
            break;
        }
        world.right.recv_stop(right);
        world.until(|world| world.right.seen(right).stopped > stops || world.right.seen(right).end);
        if world.right.seen(right).end {
            break;
        }
        stops += 1;
        let stopped = world.right.seen(right).data.len();
        world.right.turn(std::time::Duration::ZERO);
        assert_eq!(world.right.seen(right).data.len(), stopped, "nothing comes once the answer is there");
    }
    assert!(world.right.seen(right).data == whole);
    world.finish();
}

pub fn recv_block_is_once(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    world.left.send(left, &text(7, 10_000));
    world.right.recv_block(right, 100);
    world.until(|world| world.right.seen(right).pieces == 1);
    world.settle();
    assert_eq!(world.right.seen(right).pieces, 1, "one block, one event");
    world.until(|world| {
        let all = world.right.seen(right).data.len() == 10_000;
        if !all && world.right.is_idle(right) {
            world.right.recv_block(right, 1000);
        }
        all
    });
    assert!(world.right.seen(right).data == text(7, 10_000));
    world.left.driver.shutdown(left);
    world.settle();
    assert!(!world.right.seen(right).end, "the end is told to those who receive");
    world.right.recv_block(right, 10);
    world.until(|world| world.right.seen(right).end);
    world.finish();
}

pub fn few_buffers_still_make_progress(make: &Make) {
    let buffers = BuffersConfig { shared_count: 2, shared_size: 1024, block_bytes_max: 64 << 10 };
    let mut world = make(DriverConfig { buffers, ..small() });
    let (_, address) = world.listen();
    let streams: Vec<_> = (0..6).map(|_| world.connect(address)).collect();
    world.right.hold = true;
    for (place, (left, right)) in streams.iter().enumerate() {
        world.right.recv(*right);
        world.left.send(*left, &text(place, 20_000));
    }
    // Leases are given back only every now and then.
    let mut rounds = 0;
    world.until(|world| {
        rounds += 1;
        if rounds % 8 == 0 || world.right.held.len() > 64 {
            world.right.release_held();
        }
        streams.iter().all(|(_, right)| world.right.seen(*right).data.len() == 20_000)
    });
    for (place, (_, right)) in streams.iter().enumerate() {
        assert!(world.right.seen(*right).data == text(place, 20_000), "stream {place}");
    }
    world.finish();
}
