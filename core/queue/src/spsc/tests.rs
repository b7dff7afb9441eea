//! Facts, a model, and two real threads.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::thread;

use proptest::prelude::*;

use super::*;

#[test]
fn capacity_is_rounded_up() {
    for (asked, got) in [(1, 1), (2, 2), (3, 4), (5, 8), (1000, 1024)] {
        let (producer, consumer) = ring::<u8>(asked);
        assert_eq!((producer.capacity(), consumer.capacity()), (got, got));
    }
}

#[test]
#[should_panic(expected = "capacity is 0")]
fn no_capacity_is_refused() {
    let _ = ring::<u8>(0);
}

#[test]
fn full_ring_gives_the_item_back() {
    let (mut producer, mut consumer) = ring(1);
    assert_eq!(producer.push(1), Ok(()));
    assert_eq!(producer.push(2), Err(Full(2)));
    assert_eq!(consumer.pop(), Some(1));
    assert_eq!(consumer.pop(), None);
    assert_eq!(producer.push(3), Ok(()));
}

#[test]
fn positions_wrap() {
    let (mut producer, mut consumer) = ring(4);
    let near_the_end = usize::MAX - 2;
    producer.shared.head.store(near_the_end, Ordering::Relaxed);
    producer.shared.tail.store(near_the_end, Ordering::Relaxed);
    (producer.tail, producer.head_seen) = (near_the_end, near_the_end);
    (consumer.head, consumer.tail_seen) = (near_the_end, near_the_end);
    for round in 0..3 {
        assert_eq!(producer.push_slice(&[round, round + 10, round + 20, round + 30, 99]), 4);
        assert_eq!(producer.free(), 0);
        let got: Vec<_> = consumer.read_chunk(9).unwrap().drain().collect();
        assert_eq!(got, [round, round + 10, round + 20, round + 30]);
    }
}

#[test]
fn chunk_over_the_end_comes_as_two_slices() {
    let (mut producer, mut consumer) = ring(4);
    assert_eq!(producer.push_slice(&[0, 1, 2]), 3);
    consumer.read_chunk(3).unwrap().consume(3);
    assert_eq!(producer.push_slice(&[3, 4, 5]), 3);
    let mut chunk = consumer.read_chunk(4).unwrap();
    assert_eq!(chunk.len(), 3);
    assert_eq!(chunk.as_slices(), (&[3][..], &[4, 5][..]));
    chunk.as_mut_slices().1[0] = 40;
    assert_eq!(consumer.ready(), 3);
    assert_eq!(consumer.read_chunk(2).unwrap().drain().collect::<Vec<_>>(), [3, 40]);
    assert_eq!(consumer.pop(), Some(5));
    assert!(consumer.read_chunk(1).is_none());
}

#[test]
fn chunk_takes_no_more_than_fits() {
    let (mut producer, mut consumer) = ring(2);
    let mut source = 0..5;
    assert_eq!(producer.write_chunk(5).unwrap().fill_from(&mut source), 2);
    assert_eq!(source.next(), Some(2));
    assert!(producer.write_chunk(1).is_none());
    assert_eq!((consumer.pop(), consumer.pop(), consumer.pop()), (Some(0), Some(1), None));
    assert!(producer.write_chunk(0).is_none());
}

#[test]
#[should_panic(expected = "3 items to consume, the chunk has 2")]
fn consuming_too_much_is_refused() {
    let (mut producer, mut consumer) = ring(2);
    producer.push_slice(&[1, 2]);
    consumer.read_chunk(2).unwrap().consume(3);
}

#[test]
fn every_item_is_dropped_once() {
    struct Counted(Rc<Cell<u32>>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let drops = Rc::new(Cell::new(0));
    let (mut producer, mut consumer) = ring(8);
    for _ in 0..3 {
        let fresh = std::iter::repeat_with(|| Counted(Rc::clone(&drops))).take(7);
        producer.write_chunk(8).unwrap().fill_from(fresh);
        drop(consumer.pop());
        consumer.read_chunk(2).unwrap().consume(2);
        drop(consumer.read_chunk(3).unwrap().drain().next());
        assert_eq!(consumer.ready(), 3);
        consumer.read_chunk(3).unwrap().drain().for_each(drop);
    }
    assert_eq!(drops.get(), 21);
    producer.write_chunk(2).unwrap().fill_from([Counted(Rc::clone(&drops)), Counted(Rc::clone(&drops))]);
    drop(producer);
    assert_eq!(drops.get(), 21);
    drop(consumer);
    assert_eq!(drops.get(), 23);
}

#[test]
fn panicking_source_leaves_what_it_gave() {
    let (mut producer, mut consumer) = ring(4);
    let source = [1, 2].into_iter().chain(std::iter::once_with(|| panic!("source")));
    let chunk = producer.write_chunk(4).unwrap();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| chunk.fill_from(source))).is_err());
    assert_eq!(consumer.read_chunk(4).unwrap().drain().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn each_end_sees_the_other_go() {
    let (mut producer, mut consumer) = ring(2);
    assert!(!producer.is_abandoned() && !consumer.is_abandoned());
    producer.push(5).unwrap();
    drop(producer);
    assert!(consumer.is_abandoned());
    assert_eq!(consumer.pop(), Some(5));
    let (producer, consumer) = ring::<u8>(2);
    drop(consumer);
    assert!(producer.is_abandoned());
}

#[derive(Clone, Debug)]
enum Op {
    Push(u32),
    PushSlice(Vec<u32>),
    Fill(usize, Vec<u32>),
    Pop,
    Look(usize),
    Consume(usize, usize),
    Drain(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    let items = || prop::collection::vec(any::<u32>(), 0..12);
    prop_oneof![
        any::<u32>().prop_map(Op::Push),
        items().prop_map(Op::PushSlice),
        (0..12usize, items()).prop_map(|(max, items)| Op::Fill(max, items)),
        Just(Op::Pop),
        (0..12usize).prop_map(Op::Look),
        (0..12usize, 0..12usize).prop_map(|(max, n)| Op::Consume(max, n)),
        (0..12usize, 0..12usize).prop_map(|(max, n)| Op::Drain(max, n)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_bounded_deque(capacity in 1..10usize, ops in prop::collection::vec(op(), 0..80)) {
        let (mut producer, mut consumer) = ring(capacity);
        let capacity = capacity.next_power_of_two();
        let mut model = VecDeque::new();
        for op in ops {
            match op {
                Op::Push(value) => {
                    let fits = model.len() < capacity;
                    prop_assert_eq!(producer.push(value), if fits { Ok(()) } else { Err(Full(value)) });
                    if fits {
                        model.push_back(value);
                    }
                }
                Op::PushSlice(items) => {
                    let count = items.len().min(capacity - model.len());
                    prop_assert_eq!(producer.push_slice(&items), count);
                    model.extend(&items[..count]);
                }
                Op::Fill(max, items) => {
                    let count = items.len().min(max).min(capacity - model.len());
                    let filled = producer.write_chunk(max).map_or(0, |c| c.fill_from(items.iter().copied()));
                    prop_assert_eq!(filled, count);
                    model.extend(&items[..count]);
                }
                Op::Pop => prop_assert_eq!(consumer.pop(), model.pop_front()),
                Op::Look(max) => {
                    let seen = consumer.read_chunk(max).map_or(vec![], |c| {
                        let (first, second) = c.as_slices();
                        [first, second].concat()
                    });
                    let expected: Vec<_> = model.iter().copied().take(max).collect();
                    prop_assert_eq!(seen, expected);
                }
                Op::Consume(max, n) => {
                    if let Some(chunk) = consumer.read_chunk(max) {
                        let n = n.min(chunk.len());
                        chunk.consume(n);
                        model.drain(..n);
                    }
                }
                Op::Drain(max, n) => {
                    let got: Vec<_> = consumer.read_chunk(max).map_or(vec![], |c| c.drain().take(n).collect());
                    let count = n.min(max).min(model.len());
                    prop_assert_eq!(got, model.drain(..count).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(consumer.ready(), model.len());
            prop_assert_eq!(producer.free(), capacity - model.len());
            prop_assert_eq!(consumer.is_empty(), model.is_empty());
        }
    }
}

#[test]
fn two_threads_keep_order() {
    const ITEMS: u64 = 200_000;
    let (mut producer, mut consumer) = ring(64);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut source = (0..ITEMS).map(Box::new);
            let mut turn = 0;
            let mut carried = None;
            loop {
                turn += 1;
                if turn % 3 != 0 {
                    let Some(item) = carried.take().or_else(|| source.next()) else { return };
                    if let Err(Full(item)) = producer.push(item) {
                        carried = Some(item);
                        thread::yield_now();
                    }
                } else if carried.is_none()
                    && let Some(chunk) = producer.write_chunk(turn % 17 + 1)
                {
                    chunk.fill_from(&mut source);
                }
            }
        });
        let mut expected = 0;
        while expected < ITEMS {
            match consumer.read_chunk(expected as usize % 23 + 1) {
                Some(chunk) => {
                    for item in chunk.drain() {
                        assert_eq!(*item, expected);
                        expected += 1;
                    }
                }
                None => thread::yield_now(),
            }
        }
        assert!(consumer.is_empty());
    });
}
