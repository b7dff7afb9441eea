use super::*;

fn small() -> Buffers {
    Buffers::new(BuffersConfig { shared_count: 2, shared_size: 1024, block_bytes_max: 256 << 10 }).unwrap()
}

#[test]
fn a_split_buffer_is_idle_after_its_last_part() {
    let mut buffers = small();
    let mut empty = buffers.take_shared().unwrap();
    buffers.bytes_mut(&mut empty)[..6].copy_from_slice(b"abcdef");
    let mut lease = buffers.lend(empty, 0, 6);
    let head = buffers.split(&mut lease, 2);
    assert_eq!((buffers.bytes(&head), buffers.bytes(&lease)), (&b"ab"[..], &b"cdef"[..]));
    buffers.release(lease);
    assert_eq!((buffers.shared_idle(), buffers.lent()), (1, 1));
    buffers.release(head);
    assert_eq!((buffers.shared_idle(), buffers.lent()), (2, 0));
}

#[test]
fn beyond_the_budget_only_small_blocks_are_handed_out_and_given_back() {
    let mut buffers = small();
    let large = buffers.take_block(200_000).unwrap();
    assert_eq!(buffers.capacity(&large), 256 << 10);
    let first = buffers.take_block(200_000).unwrap();
    let second = buffers.take_block(1).unwrap();
    assert_eq!((buffers.capacity(&first), buffers.capacity(&second)), (4096, 4096));
    assert_eq!(buffers.block_bytes(), (256 << 10) + 8192);
    assert!(!buffers.has_block(100_000));
    buffers.put_back(first);
    buffers.put_back(second);
    assert_eq!(buffers.block_bytes(), 256 << 10);
    buffers.put_back(large);
    assert!(buffers.has_block(100_000));
    let again = buffers.take_block(100_000).unwrap();
    assert_eq!(buffers.capacity(&again), 256 << 10);
    buffers.put_back(again);
}

#[test]
fn a_lent_buffer_is_not_taken_for_a_filled_one() {
    let mut buffers = small();
    let empty = buffers.filled_shared(1).unwrap();
    let lease = buffers.lend(empty, 0, 1);
    assert!(buffers.filled_shared(1).is_none() && buffers.filled_shared(2).is_none());
    let twin = buffers.retain(&lease);
    buffers.release(lease);
    assert_eq!(buffers.bytes(&twin), [0]);
    buffers.release(twin);
}

#[test]
#[should_panic(expected = "not lent")]
fn a_lease_of_another_driver_reads_nothing() {
    let (mut one, other) = (small(), small());
    let empty = one.take_shared().unwrap();
    let lease = one.lend(empty, 0, 4);
    other.bytes(&lease);
}

#[test]
#[should_panic(expected = "not lent")]
fn a_lease_of_another_driver_gives_nothing_back() {
    let (mut one, mut other) = (small(), small());
    let empty = one.take_shared().unwrap();
    let lease = one.lend(empty, 0, 4);
    other.release(lease);
}

#[test]
fn train_buffers_are_taken_with_the_first_socket_and_counted_like_others() {
    let mut buffers = small();
    assert!(buffers.take_train().is_none() && buffers.filled_train(0).is_none());
    assert!(buffers.set_up_trains(3).is_err(), "no power of two");
    buffers.set_up_trains(2).unwrap();
    let mut empty = buffers.take_train().unwrap();
    assert!(buffers.capacity(&empty) >= 65_507);
    let number = empty.number();
    buffers.bytes_mut(&mut empty)[65_000..65_003].copy_from_slice(b"end");
    let lease = buffers.lend(empty, 65_000, 3);
    assert_eq!(buffers.bytes(&lease), b"end");
    assert!(buffers.filled_train(number).is_none() && buffers.filled_train(2).is_none());
    assert_eq!((buffers.trains_idle(), buffers.lent(), buffers.shared_idle()), (1, 1, 2));
    buffers.release(lease);
    assert_eq!((buffers.trains_idle(), buffers.lent()), (2, 0));
}

#[test]
fn small_datagrams_that_are_kept_free_their_train_buffer() {
    let mut buffers = small();
    buffers.set_up_trains(1).unwrap();
    let mut kept = Vec::new();
    for round in 0..100u8 {
        let mut empty = buffers.take_train().unwrap();
        buffers.bytes_mut(&mut empty)[..1000].fill(round);
        let lease = buffers.lend(empty, 0, 1000);
        kept.push(buffers.keep(lease));
        assert_eq!(buffers.trains_idle(), 1);
    }
    assert!(buffers.block_bytes() <= 7 * (16 << 10), "{} bytes for 100 kB", buffers.block_bytes());
    for (round, lease) in kept.into_iter().enumerate() {
        assert_eq!(buffers.bytes(&lease), [round as u8; 1000]);
        buffers.release(lease);
    }
    assert_eq!(buffers.lent(), 0);
    let before = buffers.block_bytes();
    // The blocks are used again.
    let lease = buffers.take_train().unwrap();
    let lease = buffers.lend(lease, 0, 2048);
    let lease = buffers.keep(lease);
    assert_eq!(buffers.block_bytes(), before);
    buffers.release(lease);
}

#[test]
fn a_long_datagram_is_kept_where_it_lies_and_so_is_one_without_budget() {
    let mut buffers = small();
    buffers.set_up_trains(1).unwrap();
    let empty = buffers.take_train().unwrap();
    let mut lease = buffers.lend(empty, 0, 2049);
    lease = buffers.keep(lease);
    assert_eq!((buffers.trains_idle(), buffers.block_bytes()), (0, 0));
    lease.advance(1);
    let budget = buffers.take_block(256 << 10).unwrap();
    lease = buffers.keep(lease);
    assert_eq!(buffers.trains_idle(), 0);
    buffers.put_back(budget);
    buffers.release(lease);
    assert_eq!(buffers.trains_idle(), 1);
}
