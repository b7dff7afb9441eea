//! Facts, a model, and several real threads.

use std::thread;

use proptest::prelude::*;

use super::*;

#[test]
fn pool_is_bounded_and_counts() {
    let pool = Pool::new(2, 100);
    assert_eq!((pool.count(), pool.size(), pool.stride()), (2, 100, 128));
    let first = pool.take().unwrap();
    let second = pool.take().unwrap();
    assert_ne!(first.index(), second.index());
    assert!(pool.take().is_none());
    assert_eq!(pool.in_use(), 2);
    let index = first.index();
    drop(first);
    assert_eq!(pool.take().unwrap().index(), index);
    let expected = PoolCounters { takes: 3, exhausted: 1, ..PoolCounters::default() };
    assert_eq!(pool.counters(), expected);
}

#[test]
#[should_panic(expected = "buffer count is 0")]
fn no_buffers_are_refused() {
    let _ = Pool::new(0, 1);
}

#[test]
#[should_panic(expected = "buffer size is 0")]
fn empty_buffers_are_refused() {
    let _ = Pool::new(1, 0);
}

#[test]
fn buffers_are_aligned_zero_and_inside_the_region() {
    let pool = Pool::new(3, 65);
    let (start, bytes) = pool.region();
    assert_eq!((start as usize % 4096, bytes), (0, 3 * 128));
    let leases: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
    for lease in &leases {
        assert_eq!(&**lease, &[0; 65]);
        assert_eq!(lease.as_slice().as_ptr(), start.wrapping_add(lease.index() * pool.stride()));
    }
    assert_eq!(leases.len(), 3);
}

#[test]
fn only_a_unique_lease_is_writable() {
    let pool = Pool::new(1, 8);
    let mut lease = pool.take().unwrap();
    lease.as_mut_slice().unwrap().copy_from_slice(b"abcdefgh");
    let copy = lease.clone();
    assert!(lease.as_mut_slice().is_none());
    drop(copy);
    lease.narrow(2..6);
    lease.as_mut_slice().unwrap()[0] = b'C';
    assert_eq!((&*lease, lease.offset()), (&b"Cdef"[..], 2));
}

#[test]
fn parts_pin_the_buffer_until_the_last() {
    let pool = Pool::new(1, 8);
    let mut lease = pool.take().unwrap();
    lease.as_mut_slice().unwrap().copy_from_slice(b"abcdefgh");
    let (left, right) = lease.split(3);
    let middle = right.slice(1..=2);
    assert_eq!((&*left, &*right, &*middle), (&b"abc"[..], &b"defgh"[..], &b"ef"[..]));
    assert!(left.slice(3..).is_empty());
    drop((left, right));
    assert!(pool.take().is_none());
    drop(middle);
    assert!(pool.take().is_some());
}

#[test]
#[should_panic(expected = "range 2..9 of a lease of 8 bytes")]
fn range_outside_is_refused() {
    let _ = Pool::new(1, 8).take().unwrap().slice(2..9);
}

#[test]
fn retain_copies_what_is_small() {
    let pool = Pool::with_retain_copy_max(1, 64, 4);
    let (small, large) = pool.take().unwrap().split(4);
    let small = small.retain();
    let large = large.retain();
    assert!(matches!((&small, &large), (Retained::Copy(_), Retained::Lease(_))));
    assert_eq!((small.len(), large.as_ref().len()), (4, 60));
    drop(large);
    assert_eq!(pool.in_use(), 0);
    let counters = pool.counters();
    assert_eq!((counters.retain_copies, counters.retain_copied_bytes), (1, 4));
}

#[test]
fn leases_outlive_their_pool() {
    let pool = Pool::new(2, 16);
    let mut lease = pool.take().unwrap();
    drop(pool.take());
    drop(pool);
    lease.as_mut_slice().unwrap().fill(9);
    let part = lease.slice(..4);
    drop(lease);
    assert_eq!(&*part, &[9; 4]);
}

#[derive(Clone, Debug)]
enum Op {
    Take(u8),
    Clone(usize),
    Slice(usize, usize, usize),
    Split(usize, usize),
    Write(usize, u8),
    Drop(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let which = || 0..64usize;
    prop_oneof![
        2 => any::<u8>().prop_map(Op::Take),
        1 => which().prop_map(Op::Clone),
        1 => (which(), 0..16usize, 0..16usize).prop_map(|(i, from, len)| Op::Slice(i, from, len)),
        1 => (which(), 0..16usize).prop_map(|(i, at)| Op::Split(i, at)),
        1 => (which(), any::<u8>()).prop_map(|(i, byte)| Op::Write(i, byte)),
        3 => which().prop_map(Op::Drop),
    ]
}

/// A lease and what it must read as.
type Pair = (Lease, Vec<u8>);

fn check(pool: &Pool, leases: &[Pair]) -> Result<(), TestCaseError> {
    let mut out: Vec<_> = leases.iter().map(|(lease, _)| lease.index()).collect();
    for (lease, expected) in leases {
        prop_assert_eq!(lease.as_slice(), &expected[..]);
        prop_assert_eq!(lease.is_unique(), out.iter().filter(|&&i| i == lease.index()).count() == 1);
    }
    out.sort_unstable();
    out.dedup();
    prop_assert_eq!(pool.in_use(), out.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn leases_read_like_their_own_copies(ops in prop::collection::vec(op(), 0..80)) {
        let pool = Pool::new(3, 16);
        let mut leases: Vec<Pair> = vec![];
        for op in ops {
            let len = leases.len();
            match op {
                Op::Take(byte) => {
                    let exhausted = pool.in_use() == 3;
                    let taken = pool.take();
                    prop_assert_eq!(taken.is_none(), exhausted);
                    leases.extend(taken.map(|mut lease| {
                        lease.as_mut_slice().unwrap().fill(byte);
                        (lease, vec![byte; 16])
                    }));
                }
                _ if len == 0 => {}
                Op::Clone(i) => {
                    let copy = leases[i % len].clone();
                    leases.push(copy);
                }
                Op::Slice(i, from, count) => {
                    let (lease, bytes) = &leases[i % len];
                    let from = from.min(bytes.len());
                    let end = (from + count).min(bytes.len());
                    let part = (lease.slice(from..end), bytes[from..end].to_vec());
                    leases.push(part);
                }
                Op::Split(i, at) => {
                    let (lease, mut bytes) = leases.swap_remove(i % len);
                    let at = at.min(bytes.len());
                    let (left, right) = lease.split(at);
                    let rest = bytes.split_off(at);
                    leases.extend([(left, bytes), (right, rest)]);
                }
                Op::Write(i, byte) => {
                    let (lease, bytes) = &mut leases[i % len];
                    if let Some(target) = lease.as_mut_slice() {
                        target.fill(byte);
                        bytes.fill(byte);
                    }
                }
                Op::Drop(i) => drop(leases.swap_remove(i % len)),
            }
            check(&pool, &leases)?;
        }
        leases.clear();
        prop_assert_eq!(pool.in_use(), 0);
        prop_assert_eq!(std::iter::from_fn(|| pool.take()).map(std::mem::ManuallyDrop::new).count(), 3);
    }
}

#[test]
fn threads_never_share_a_buffer_by_accident() {
    const TURNS: u32 = 20_000;
    let pool = Pool::new(5, 64);
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Lease>(2);
    thread::scope(|scope| {
        // Two threads take and fill, one of them gives its leases to a third, which returns them.
        let filled = |byte: u8, turn: u32| {
            let mut lease = loop {
                match pool.take() {
                    Some(lease) => break lease,
                    None => thread::yield_now(),
                }
            };
            lease.as_mut_slice().unwrap().fill(byte.wrapping_add(turn as u8));
            lease
        };
        scope.spawn(move || {
            for turn in 0..TURNS {
                sender.send(filled(1, turn)).unwrap();
            }
        });
        scope.spawn(move || {
            for turn in 0..TURNS {
                let lease = filled(100, turn);
                let part = lease.slice(10..20);
                drop(lease);
                assert!(part.iter().all(|&byte| byte == 100u8.wrapping_add(turn as u8)));
            }
        });
        for (turn, lease) in receiver.iter().enumerate() {
            assert!(lease.iter().all(|&byte| byte == 1u8.wrapping_add(turn as u8)));
        }
    });
    assert_eq!(pool.in_use(), 0);
    assert_eq!(pool.counters().takes, 2 * u64::from(TURNS));
}
