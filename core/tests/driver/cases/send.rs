//! Sending: many chunks, lent ones, and before there is a connection.

use crate::world::{Make, small, text};
use clustercore::io::{Chunk, Close};

pub fn many_chunks_in_one_turn(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    world.right.recv(right);
    let mut whole = Vec::new();
    for number in 0..500 {
        let chunk = text(number, number * 7 % 300);
        world.left.send(left, &chunk);
        whole.extend(chunk);
    }
    assert_eq!(world.left.driver.unsent(left), whole.len());
    world.until(|world| world.right.seen(right).data.len() == whole.len());
    assert!(world.right.seen(right).data == whole);
    world.until(|world| world.left.driver.unsent(left) == 0);
    assert!(world.left.seen(left).sent_events >= 1);
    world.finish();
}

pub fn outstanding_falls_as_the_peer_reads(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    assert_eq!(world.left.driver.outstanding(left), 0);
    let whole = text(3, world.more_than_sockets_hold());
    world.left.send(left, &whole);
    world.settle();
    let all = world.left.driver.outstanding(left);
    assert!(all >= world.left.driver.unsent(left) && all > 0, "nobody reads: {all}");
    world.right.recv(right);
    world.until(|world| world.left.driver.outstanding(left) < all / 2);
    world.until(|world| world.right.seen(right).data.len() == whole.len());
    world.until(|world| world.left.driver.outstanding(left) == 0);
    world.left.close(left, Close::AfterSend);
    assert_eq!(world.left.driver.outstanding(left), 0, "a closed stream has nothing outstanding");
    world.finish();
}

pub fn leases_are_split_and_sent(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    world.left.recv(left);
    world.right.recv(right);
    world.right.hold = true;
    let whole = text(8, 200_000);
    for part in whole.chunks(10_000) {
        world.left.send(left, part);
    }
    world.until(|world| {
        for (stream, mut lease) in std::mem::take(&mut world.right.held) {
            let driver = &mut world.right.driver;
            let half = lease.len() / 2;
            let head = driver.split(&mut lease, half);
            let twin = driver.retain(&head);
            driver.release(twin);
            driver.send(stream, Chunk::Lease(head));
            driver.send(stream, Chunk::Lease(lease));
        }
        world.left.seen(left).data.len() == whole.len()
    });
    assert!(world.left.seen(left).data == whole);
    world.until(|world| world.right.driver.buffers().lent() == 0);
    world.finish();
}

pub fn send_before_connected(make: &Make) {
    let mut world = make(small());
    let (_, address) = world.listen();
    let left = world.left.connect(address);
    world.left.recv(left);
    world.left.send(left, b"early");
    world.left.driver.shutdown(left);
    world.until(|world| world.right.accepted.len() == 1);
    let right = world.right.accepted[0];
    world.right.recv(right);
    world.until(|world| world.right.seen(right).end);
    assert_eq!(world.right.seen(right).data, b"early");
    assert_eq!(world.left.seen(left).connected, Some(Ok(())));
    world.finish();
}
