//! Datagrams, one by one and in trains.

use crate::world::{Make, World, small, text};
use clustercore::io::{
    DatagramId, DatagramOptions, DatagramsConfig, DriverConfig, Ecn, Errno, SteerByByte, TRAIN_BYTES_MAX,
    Train,
};
use std::net::SocketAddr;
use std::sync::Arc;

/// A socket at the left, one at the right and its address.
fn sockets(world: &mut World) -> (DatagramId, DatagramId, SocketAddr) {
    sockets_with(world, &DatagramOptions { receive_buffer_bytes: 4 << 20, ..DatagramOptions::default() })
}

fn sockets_with(world: &mut World, options: &DatagramOptions) -> (DatagramId, DatagramId, SocketAddr) {
    let (right, address) = world.right.bind_datagram_with(world.right_address(), options);
    let (left, _) = world.left.bind_datagram_with(world.left_address(), options);
    world.settle();
    (left, right, address)
}

pub fn datagrams_come_in_order(make: &Make) {
    let mut world = make(small());
    let (to, address) = world.right.bind_datagram(world.right_address());
    let (from, back) = world.left.bind_datagram(world.left_address());
    world.settle();
    for number in 0..50u8 {
        world.left.send_datagrams(from, address, vec![number; 1 + usize::from(number)], 100);
    }
    world.until(|world| world.right.datagrams.len() == 50);
    for (number, datagram) in world.right.datagrams.iter().enumerate() {
        assert_eq!(datagram, &vec![number as u8; 1 + number]);
    }
    world.right.send_datagrams(to, back, b"answer".to_vec(), 100);
    world.until(|world| world.left.datagrams == [b"answer"]);
    world.finish();
}

pub fn trains_of_large_segments(make: &Make) {
    let mut world = make(small());
    let (_, address) = world.right.bind_datagram(world.right_address());
    let (from, _) = world.left.bind_datagram(world.left_address());
    world.settle();
    // Forty whole ones and a shorter one, twice over.
    let train = text(13, 40 * 1200 + 77);
    for round in 1..=2 {
        world.left.send_datagrams(from, address, train.clone(), 1200);
        world.until(|world| world.right.datagrams.len() == 41 * round);
    }
    let sizes: Vec<usize> = world.right.datagrams.iter().map(Vec::len).collect();
    assert!(sizes[..40].iter().all(|size| *size == 1200) && sizes[40] == 77, "{sizes:?}");
    assert!(world.right.datagrams.concat() == [train.clone(), train].concat());
    world.finish();
}

pub fn a_closed_datagram_socket_is_silent(make: &Make) {
    let mut world = make(small());
    let (to, address) = world.right.bind_datagram(world.right_address());
    let (from, _) = world.left.bind_datagram(world.left_address());
    world.left.send_datagrams(from, address, b"heard".to_vec(), 100);
    world.until(|world| world.right.datagrams.len() == 1);
    world.right.driver.close_datagram(to);
    world.right.send_datagrams(to, address, b"from nowhere".to_vec(), 100);
    assert_eq!(world.right.driver.datagram_address(to), None);
    world.settle();
    world.left.send_datagrams(from, address, b"not heard".to_vec(), 100);
    world.settle();
    assert_eq!(world.right.datagrams.len(), 1);
    let (again, _) = world.right.bind_datagram(address);
    assert_ne!(again, to, "a number is not used again");
    world.finish();
}

pub fn a_train_is_cut_at_the_kernels_limit(make: &Make) {
    let mut world = make(small());
    let (from, to, address) = sockets(&mut world);
    // More segments than any kernel cuts at once, and more bytes than a datagram has.
    for (round, (segment, count)) in [(1u32, 1000), (7, 700), (1472, 90), (40_000, 3)].into_iter().enumerate()
    {
        let train = text(round, segment as usize * (count - 1) + 1);
        world.right.datagrams.clear();
        world.left.send_datagrams(from, address, train.clone(), segment);
        world.until(|world| world.right.datagrams.len() == count);
        assert!(world.right.datagrams.concat() == train, "{count} of {segment}");
        assert!(world.right.datagrams[..count - 1].iter().all(|one| one.len() == segment as usize));
    }
    world.until(|world| world.left.driver.datagrams_unsent(from) == 0);
    let sent = world.left.driver.datagram_counters(from).expect("it is open");
    let received = world.right.driver.datagram_counters(to).expect("it is open");
    assert_eq!((sent.datagrams_sent, received.datagrams_received), (1793, 1793));
    assert!(received.trains_received <= received.datagrams_received);
    if world.left.driver.features().udp_offload && !world.is_sim() {
        assert!(sent.trains_sent < 60, "{sent:?}");
        assert!(received.trains_received < 100, "{received:?}");
    }
    assert!(world.left.datagram_failed.is_empty());
    world.finish();
}

pub fn a_shared_train_is_its_owners_again(make: &Make) {
    let mut world = make(small());
    let (from, _, address) = sockets(&mut world);
    let mut bytes = Arc::new(text(5, 500 * 100));
    for round in 1..=3 {
        let oracle = bytes[1_000..41_050].to_vec();
        world.left.driver.send_datagrams(from, address, Train::shared(&bytes, 1_000..41_050, 100));
        assert_eq!(world.left.driver.datagrams_unsent(from), 40_050);
        world.until(|world| world.left.driver.datagrams_unsent(from) == 0);
        // Nobody else holds them, so the next round may change them.
        Arc::get_mut(&mut bytes).expect("the kernel has taken them").fill(round);
        world.until(|world| world.right.datagrams.len() == 401);
        assert!(world.right.datagrams.concat() == oracle);
        assert!(world.left.datagrams_sent > 0);
        world.right.datagrams.clear();
    }
    world.finish();
}

pub fn an_owned_buffer_is_used_again(make: &Make) {
    let mut world = make(small());
    let (from, _, address) = sockets(&mut world);
    let mut bytes = vec![3; 20_000];
    bytes.reserve_exact(17);
    let place = bytes.as_ptr();
    // In several parts where the kernel cuts nothing.
    world.left.send_datagrams(from, address, bytes, 100);
    world.until(|world| world.left.driver.datagrams_unsent(from) == 0);
    let again = world.left.driver.buffer();
    assert!(again.is_empty() && again.as_ptr() == place && again.capacity() >= 20_000);
    world.until(|world| world.right.datagrams.len() == 200);
    world.finish();
}

pub fn many_trains_of_mixed_sizes_in_one_turn(make: &Make) {
    let mut world = make(small());
    let (from, _, address) = sockets(&mut world);
    let mut oracle = Vec::new();
    for number in 0..60 {
        let segment = [64, 1, 1400, 300, 9000, 777][number % 6];
        let train = text(number, segment * (number % 5) + 1 + number % segment);
        oracle.extend(train.chunks(segment).map(<[u8]>::to_vec));
        world.left.send_datagrams(from, address, train, segment as u32);
    }
    world.until(|world| world.right.datagrams.len() == oracle.len());
    assert!(world.right.datagrams == oracle, "in order, each as long as it was");
    assert!(world.left.datagram_failed.is_empty());
    world.finish();
}

pub fn an_empty_datagram_comes_through(make: &Make) {
    let mut world = make(small());
    let (from, _, address) = sockets(&mut world);
    for bytes in [&b"before"[..], b"", b"", b"behind"] {
        world.left.send_datagrams(from, address, bytes.to_vec(), 100);
    }
    world.until(|world| world.right.datagrams.len() == 4);
    assert_eq!(world.right.datagrams, [&b"before"[..], b"", b"", b"behind"]);
    world.finish();
}

pub fn congestion_marks_travel(make: &Make) {
    let mut world = make(small());
    let options = DatagramOptions { ecn: true, ..DatagramOptions::default() };
    let (from, _, address) = sockets_with(&mut world, &options);
    let marks = [None, Some(Ecn::NotCapable), Some(Ecn::Capable1), Some(Ecn::Congested), None];
    for (number, ecn) in marks.into_iter().enumerate() {
        let train = Train { ecn, ..Train::owned(vec![number as u8; 30], 10) };
        world.left.driver.send_datagrams(from, address, train);
        world.until(|world| world.right.datagrams.len() == 3 * (number + 1));
    }
    world.right.marks.dedup();
    let seen = [Ecn::Capable0, Ecn::NotCapable, Ecn::Capable1, Ecn::Congested, Ecn::Capable0];
    assert_eq!(world.right.marks, seen);
    // Who does not ask is told nothing.
    let (_, plain) = world.right.bind_datagram(world.right_address());
    world.settle();
    world.left.send_datagrams(from, plain, vec![1], 1);
    world.until(|world| world.right.datagrams.len() == 16);
    assert_eq!(world.right.marks.last(), Some(&Ecn::NotCapable));
    world.finish();
}

pub fn lent_buffers_stop_receiving_until_one_is_back(make: &Make) {
    let mut world = make(small());
    let (from, to, address) = sockets(&mut world);
    let (also_to, also) = world.right.bind_datagram(world.right_address());
    world.right.hold_datagrams = true;
    world.settle();
    for number in 0..30u8 {
        // Each of another length, so that none is joined with the next; behind each one that the other socket gets.
        world.left.send_datagrams(from, address, vec![number; 2500 + usize::from(number)], 9000);
        world.left.send_datagrams(from, also, vec![number; 10], 9000);
        world.settle();
    }
    let held = world.right.held_datagrams.len();
    assert_eq!((held, world.right.driver.buffers().trains_idle()), (8, 0));
    let pauses = |world: &World, id| world.right.driver.datagram_counters(id).expect("it is open").pauses;
    assert!(pauses(&world, to) + pauses(&world, also_to) > 0);
    assert!(!world.right.driver.pending(), "it waits for buffers, not for a turn");
    // A socket that cannot receive sends all the same.
    let (left, back) = world.left.bind_datagram(world.left_address());
    world.settle();
    world.right.send_datagrams(to, back, b"still here".to_vec(), 100);
    world.until(|world| world.left.datagrams == [b"still here"]);
    world.left.driver.close_datagram(left);
    // One back, one more.
    let lease = world.right.held_datagrams.pop().expect("some are held");
    world.right.driver.release(lease);
    assert!(world.right.driver.pending());
    world.settle();
    assert_eq!(world.right.held_datagrams.len(), 8);
    world.right.hold_datagrams = false;
    world.right.release_held();
    world.until(|world| world.right.datagrams.len() == 60);
    let of = |world: &World, id| world.right.datagram_sockets.iter().filter(|socket| **socket == id).count();
    assert_eq!((of(&world, to), of(&world, also_to)), (30, 30));
    world.finish();
}

pub fn kept_datagrams_do_not_stop_receiving(make: &Make) {
    let mut world = make(small());
    let (from, to, address) = sockets(&mut world);
    world.right.hold_datagrams = true;
    for number in 0..100u8 {
        world.left.send_datagrams(from, address, vec![number; 1 + usize::from(number)], 9000);
        world.settle();
        let lease = world.right.held_datagrams.pop().expect("one came");
        let kept = world.right.driver.keep(lease);
        world.right.held_datagrams.insert(0, kept);
    }
    assert_eq!(world.right.driver.datagram_counters(to).expect("it is open").pauses, 0);
    world.right.held_datagrams.reverse();
    for (number, lease) in world.right.held_datagrams.iter().enumerate() {
        assert_eq!(world.right.driver.bytes(lease), vec![number as u8; 1 + number]);
    }
    assert!(world.right.driver.buffers().block_bytes() <= 32 << 10);
    world.finish();
}

pub fn a_full_queue_of_trains_refuses(make: &Make) {
    let datagrams = DatagramsConfig { trains_queued_max: 4, ..small().datagrams };
    let mut world = make(DriverConfig { datagrams, ..small() });
    let (from, _, address) = sockets(&mut world);
    for number in 0..6u8 {
        world.left.send_datagrams(from, address, vec![number; 100], 100);
    }
    assert_eq!(world.left.driver.datagrams_unsent(from), 400);
    world.until(|world| world.right.datagrams.len() == 4);
    assert_eq!(world.left.datagram_failed, [Errno(libc::ENOBUFS); 2]);
    assert_eq!(world.left.driver.datagram_counters(from).expect("it is open").refused, 2);
    world.until(|world| world.left.driver.datagrams_unsent(from) == 0);
    world.left.send_datagrams(from, address, vec![9; 100], 100);
    world.until(|world| world.right.datagrams.len() == 5);
    world.finish();
}

pub fn a_train_that_cannot_be_meant_is_refused(make: &Make) {
    let mut world = make(small());
    let (from, _, address) = sockets(&mut world);
    world.left.send_datagrams(from, address, vec![0; 10], 0);
    world.left.driver.send_datagrams(from, address, Train { range: 5..11, ..Train::owned(vec![0; 10], 5) });
    world.until(|world| world.left.datagram_failed.len() == 2);
    assert_eq!(world.left.datagram_failed, [Errno(libc::EINVAL); 2]);
    // A datagram longer than any may be: the segment says so already.
    world.left.send_datagrams(from, address, vec![0; 70_000], 66_000);
    world.until(|world| world.left.datagram_failed.len() == 3);
    world.left.send_datagrams(from, address, text(1, TRAIN_BYTES_MAX), TRAIN_BYTES_MAX as u32);
    world.until(|world| world.right.datagrams.len() == 1);
    assert!(world.right.datagrams[0] == text(1, TRAIN_BYTES_MAX));
    world.finish();
}

pub fn a_closed_socket_sends_what_it_can(make: &Make) {
    let mut world = make(small());
    let (from, _, address) = sockets(&mut world);
    world.left.send_datagrams(from, address, b"the last words".to_vec(), 100);
    world.left.driver.close_datagram(from);
    assert_eq!(world.left.driver.datagram_counters(from), None);
    assert_eq!(world.left.driver.datagrams_unsent(from), 0);
    world.until(|world| world.right.datagrams == [b"the last words"]);
    world.finish();
}

pub fn datagrams_are_steered_by_a_byte(make: &Make) {
    let mut world = make(small());
    let steer = Some(SteerByByte { offset: 3, shards: 2 });
    let options = DatagramOptions { reuse_port: true, steer, ..DatagramOptions::default() };
    let (first, address) = world.right.bind_datagram_with(world.right_address(), &options);
    assert!(world.right.driver.bind_datagram(address, &DatagramOptions::default()).is_err(), "not shared");
    let (second, _) = world.right.bind_datagram_with(address, &options);
    let (from, _) = world.left.bind_datagram(world.left_address());
    world.settle();
    for number in 0..40u8 {
        world.left.send_datagrams(from, address, vec![9, 9, 9, number, 9], 100);
        world.settle();
    }
    world.left.send_datagrams(from, address, vec![1], 100);
    world.until(|world| world.right.datagrams.len() == 41);
    for (datagram, socket) in world.right.datagrams.iter().zip(&world.right.datagram_sockets) {
        let odd = datagram.get(3).is_some_and(|byte| byte % 2 == 1);
        assert_eq!(*socket, if odd { second } else { first }, "{datagram:?}");
    }
    let nonsense = DatagramOptions { steer: Some(SteerByByte { offset: 0, shards: 0 }), ..options };
    assert!(world.right.driver.bind_datagram(address, &nonsense).is_err());
    world.finish();
}

pub fn the_receive_buffer_is_as_asked_for(make: &Make) {
    let mut world = make(small());
    let options = DatagramOptions { receive_buffer_bytes: 100_000, ..DatagramOptions::default() };
    let (socket, _) = world.right.bind_datagram_with(world.right_address(), &options);
    assert_eq!(world.right.driver.datagram_receive_buffer(socket), Some(100_000));
    let (plain, _) = world.right.bind_datagram(world.right_address());
    assert!(world.right.driver.datagram_receive_buffer(plain).is_some_and(|bytes| bytes > 10_000));
    world.right.driver.close_datagram(plain);
    assert_eq!(world.right.driver.datagram_receive_buffer(plain), None);
    world.finish();
}
