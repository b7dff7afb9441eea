//! The life of a stream: accepted, connected, half closed, closed, reset.

use crate::world::{Make, small, text};
use clustercore::io::{Chunk, Close, DriverConfig, Errno};

pub fn accept_and_echo(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    world.right.recv(right);
    world.left.recv(left);
    world.left.send(left, b"question");
    world.until(|world| world.right.seen(right).data == b"question");
    world.right.send(right, b"answer");
    world.until(|world| world.left.seen(left).data == b"answer");
    let address = world.left.driver.local_address(left).expect("a connected stream has an address");
    assert_ne!(address.port(), 0);
    world.finish();
}

pub fn large_transfers_both_ways(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    let (there, back) = (text(1, 700_000), text(2, 500_000));
    world.right.recv(right);
    for part in there.chunks(50_000) {
        world.left.send(left, part);
    }
    world.right.send(right, &back);
    world.until(|world| {
        if world.left.is_idle(left) {
            world.left.recv_block(left, 3000);
        }
        world.right.seen(right).data.len() == there.len() && world.left.seen(left).data.len() == back.len()
    });
    assert!(world.right.seen(right).data == there && world.left.seen(left).data == back);
    assert_eq!((world.left.driver.unsent(left), world.right.driver.unsent(right)), (0, 0));
    world.finish();
}

pub fn a_slow_reader_loses_nothing(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    let whole = text(3, world.more_than_sockets_hold());
    for part in whole.chunks(60_000) {
        world.left.send(left, part);
    }
    world.settle();
    let unsent = world.left.driver.unsent(left);
    assert!(
        unsent > 0 && unsent < whole.len(),
        "the reader holds the writer back: {unsent} of {}",
        whole.len()
    );
    assert_eq!(world.right.driver.buffers().block_bytes(), 0, "a stream that is not read takes no memory");
    // One block at a time: never more than one is out.
    world.until(|world| {
        if world.right.is_idle(right) {
            world.right.recv_block(right, 64 << 10);
        }
        assert!(world.right.driver.buffers().block_bytes() <= 128 << 10);
        world.right.seen(right).data.len() == whole.len()
    });
    assert!(world.right.seen(right).data == whole);
    world.finish();
}

pub fn half_close(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    world.right.recv(right);
    world.left.recv(left);
    world.left.send(left, b"all I have");
    world.left.driver.shutdown(left);
    world.until(|world| world.right.seen(right).end);
    assert_eq!(world.right.seen(right).data, b"all I have");
    let answer = text(4, 100_000);
    world.right.send(right, &answer);
    world.until(|world| world.left.seen(left).data.len() == answer.len());
    assert!(world.left.seen(left).data == answer && !world.left.seen(left).end);
    world.right.driver.shutdown(right);
    world.until(|world| world.left.seen(left).end);
    assert_eq!((world.left.seen(left).failed, world.right.seen(right).failed), (None, None));
    world.finish();
}

pub fn write_after_the_peer_closed_fails(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    world.right.close(right, Close::AfterSend);
    // The first bytes meet a closed socket, which answers with a reset; those that follow fail.
    world.until(|world| {
        world.left.send(left, b"to nobody");
        world.left.seen(left).failed.is_some()
    });
    let errno = world.left.seen(left).failed;
    assert!(matches!(errno, Some(Errno(libc::EPIPE | libc::ECONNRESET))), "{errno:?}");
    world.left.send(left, b"still nobody");
    assert_eq!(world.left.driver.unsent(left), 0);
    world.finish();
}

pub fn abort_resets(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    world.left.recv(left);
    world.right.close(right, Close::Abort);
    world.until(|world| world.left.seen(left).failed.is_some());
    assert_eq!(world.left.seen(left).failed, Some(Errno(libc::ECONNRESET)));
    assert!(!world.left.seen(left).end, "a reset is no end");
    world.finish();
}

pub fn close_after_send_delivers_all(make: &Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    let whole = text(5, 900_000);
    for part in whole.chunks(100_000) {
        world.left.send(left, part);
    }
    world.left.close(left, Close::AfterSend);
    world.settle();
    world.right.recv(right);
    world.until(|world| world.right.seen(right).end);
    assert!(world.right.seen(right).data == whole && world.right.seen(right).failed.is_none());
    world.until(|world| world.left.driver.streams_open() == 0);
    world.finish();
}

pub fn few_closed_streams_may_linger(make: &Make) {
    let mut world = make(DriverConfig { streams_max: 16, ..small() });
    let (_, address) = world.listen();
    let pairs: Vec<_> = (0..6).map(|_| world.connect(address)).collect();
    let whole = text(6, world.more_than_sockets_hold() / 2);
    for (left, _) in &pairs {
        world.left.send(*left, &whole);
        world.some_rounds(3);
        world.left.close(*left, Close::AfterSend);
        world.left.driver.close(*left, Close::Abort);
    }
    world.settle();
    assert_eq!(world.left.driver.streams_open(), 4, "nobody reads, so all that may linger do");
    for (_, right) in &pairs {
        world.right.recv(*right);
    }
    for (place, (_, right)) in pairs.iter().enumerate() {
        world.until(|world| world.right.seen(*right).end || world.right.seen(*right).failed.is_some());
        let seen = world.right.seen(*right);
        if place < 2 {
            assert_eq!((seen.end, seen.failed), (false, Some(Errno(libc::ECONNRESET))), "stream {place}");
        } else {
            assert!(seen.end && seen.data == whole, "stream {place}");
        }
    }
    world.until(|world| world.left.driver.streams_open() == 0);
    world.finish();
}

pub fn connect_refused(make: &Make) {
    let mut world = make(small());
    let (listener, address) = world.listen();
    world.right.driver.unlisten(listener);
    world.settle();
    let left = world.left.connect(address);
    world.left.recv(left);
    world.left.send(left, b"anybody?");
    world.until(|world| world.left.seen(left).connected.is_some());
    assert_eq!(world.left.seen(left).connected, Some(Err(Errno(libc::ECONNREFUSED))));
    world.settle();
    assert_eq!(world.left.driver.unsent(left), 0);
    world.finish();
}

pub fn stale_ids_are_ignored(make: &Make) {
    let mut world = make(small());
    let (_, address) = world.listen();
    let (first, right) = world.connect(address);
    world.right.hold = true;
    world.right.recv(right);
    world.left.send(first, b"kept");
    world.until(|world| world.right.seen(right).data == b"kept");
    world.left.close(first, Close::Abort);
    world.right.close(right, Close::AfterSend);
    world.settle();
    // The slot is used again, so a mistake would meet somebody else's stream.
    world.right.hold = false;
    let (second, other) = world.connect(address);
    world.right.recv(other);
    let (_, lease) = world.right.held.remove(0);
    world.right.release_held();
    let driver = &mut world.right.driver;
    assert!(b"kept".starts_with(driver.bytes(&lease)), "a lease outlives its stream");
    driver.send(right, Chunk::Lease(lease));
    driver.send(right, Chunk::Owned(b"lost".to_vec()));
    driver.recv(right);
    driver.recv_stop(right);
    driver.recv_block(right, 100);
    driver.shutdown(right);
    driver.close(right, Close::Abort);
    assert!(!driver.splice(right, other, 10) && !driver.splice(other, right, 10));
    assert_eq!((driver.unsent(right), driver.spliced(right), driver.local_address(right)), (0, 0, None));
    assert_eq!(driver.buffers().lent(), 0);
    world.left.recv(second);
    world.left.send(second, b"fine");
    world.until(|world| world.right.seen(other).data == b"fine");
    world.settle();
    assert!(world.left.seen(second).data.is_empty() && !world.left.seen(second).end);
    world.finish();
}

pub fn accept_pause_and_resume(make: &Make) {
    let mut world = make(small());
    let (listener, address) = world.listen();
    world.connect(address);
    world.right.driver.accept_pause(listener);
    world.settle();
    let count = world.right.accepted.len();
    let waiting: Vec<_> = (0..3).map(|_| world.left.connect(address)).collect();
    world.settle();
    assert_eq!(world.right.accepted.len(), count, "nobody is accepted meanwhile");
    world.right.driver.accept_resume(listener);
    world.until(|world| world.right.accepted.len() == count + 3);
    for stream in waiting {
        world.until(|world| world.left.seen(stream).connected == Some(Ok(())));
    }
    world.finish();
}

pub fn a_full_table_refuses_and_recovers(make: &Make) {
    let mut world = make(DriverConfig { streams_max: 3, ..small() });
    let (listener, address) = world.listen();
    let own = world.right.connect(address);
    world.until(|world| world.right.accepted.len() == 1);
    let first = world.right.accepted[0];
    world.left.connect(address);
    world.left.connect(address);
    world.until(|world| !world.right.accept_failed.is_empty());
    assert_eq!((world.right.accepted.len(), world.right.driver.streams_open()), (2, 3));
    assert!(world.right.driver.connect(address, &Default::default()).is_err(), "the table is full");
    world.right.close(first, Close::Abort);
    world.right.close(own, Close::Abort);
    world.until(|world| world.right.driver.streams_open() == 1);
    world.right.driver.accept_resume(listener);
    world.left.connect(address);
    world.until(|world| world.right.accepted.len() >= 3);
    world.finish();
}

pub fn unlisten_leaves_streams_alone(make: &Make) {
    let mut world = make(small());
    let (listener, address) = world.listen();
    let (left, right) = world.connect(address);
    world.right.driver.unlisten(listener);
    world.right.driver.unlisten(listener);
    world.right.driver.accept_resume(listener);
    assert_eq!(world.right.driver.listener_address(listener), None);
    world.right.recv(right);
    world.left.send(left, b"still here");
    world.until(|world| world.right.seen(right).data == b"still here");
    let (again, _) = world.listen();
    assert_ne!(again, listener, "a number is not used again");
    for _ in 0..100 {
        let (closed, address) = world.listen();
        world.right.driver.unlisten(closed);
        world.right.driver.unlisten(listener);
        assert_eq!(world.right.driver.listener_address(closed), None);
        assert!(address.port() != 0 && world.right.driver.listener_address(again).is_some());
    }
    world.finish();
}
