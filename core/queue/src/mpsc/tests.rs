//! Facts, a model, and several real threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;

use proptest::prelude::*;

use super::*;

#[test]
fn full_ring_gives_the_item_back() {
    let (sender, mut receiver) = ring(1);
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(sender.try_send(2), Err(SendError::Full(2)));
    assert_eq!(sender.try_send_many(&mut [2].into_iter()), Err(SendError::Full(())));
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.recv(), Err(RecvError::Empty));
    assert_eq!(sender.try_send(3), Ok(()));
    assert_eq!(SendError::Full(9).into_inner(), 9);
}

#[test]
fn batch_stops_where_the_ring_ends_and_leaves_the_rest() {
    let (sender, mut receiver) = ring(4);
    sender.try_send(0).unwrap();
    let mut batch = vec![1, 2, 3, 4, 5].into_iter();
    assert_eq!(sender.try_send_many(&mut batch), Ok(3));
    assert_eq!(batch.as_slice(), [4, 5]);
    let mut got = vec![];
    assert_eq!(receiver.drain(&mut |item| got.push(item), 3), 3);
    assert_eq!(sender.try_send_many(&mut batch), Ok(2));
    assert_eq!(sender.try_send_many(&mut batch), Ok(0));
    assert_eq!(receiver.drain(&mut |item| got.push(item), 9), 3);
    assert_eq!(got, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn positions_wrap() {
    let (mut sender, mut receiver) = ring(4);
    let near_the_end = usize::MAX - 5;
    sender.shared.tail.store(near_the_end, Ordering::Relaxed);
    sender.shared.head.store(near_the_end, Ordering::Relaxed);
    receiver.head = near_the_end;
    for round in 0..4 {
        sender = sender.clone(); // a fresh handle, whose copies start at 0
        assert_eq!(sender.try_send_many(&mut [round, round + 1, round + 2].into_iter()), Ok(3));
        assert_eq!(receiver.recv(), Ok(round));
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(round + 1), Ok(round + 2)));
        assert!(receiver.is_empty());
    }
}

#[test]
fn handle_that_slept_through_many_laps_still_sends() {
    let (sender, mut receiver) = ring(2);
    let sleeper = sender.clone();
    for item in 0..9 {
        sender.try_send(item).unwrap();
        assert_eq!(receiver.recv(), Ok(item));
    }
    assert_eq!(sleeper.try_send_many(&mut [9, 10, 11].into_iter()), Ok(2));
    assert_eq!(sender.try_send(11), Err(SendError::Full(11)));
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(9), Ok(10)));
}

#[test]
fn a_closed_ring_is_emptied_and_takes_nothing_more() {
    let (sender, mut receiver) = ring(4);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    receiver.close();
    assert!(sender.is_closed());
    assert_eq!(sender.try_send(3), Err(SendError::Closed(3)));
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
    assert_eq!(receiver.recv(), Err(RecvError::Empty), "the sender is still there");
    drop(sender);
    assert_eq!(receiver.recv(), Err(RecvError::Closed));
}

#[test]
fn ends_see_each_other_go() {
    let (sender, mut receiver) = ring(2);
    let other = sender.clone();
    sender.try_send(1).unwrap();
    drop(sender);
    assert!(!receiver.is_closed());
    drop(other);
    assert!(receiver.is_closed());
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.recv(), Err(RecvError::Closed));

    let (sender, receiver) = ring(2);
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.try_send(1), Err(SendError::Closed(1)));
    assert_eq!(sender.try_send_many(&mut [1].into_iter()), Err(SendError::Closed(())));
}

/// Says five, yields two, then ends or panics.
struct Liar<'a> {
    left: u32,
    panics: bool,
    token: &'a Rc<()>,
}

impl Iterator for Liar<'_> {
    type Item = Rc<()>;

    fn next(&mut self) -> Option<Rc<()>> {
        if self.left == 0 {
            assert!(!self.panics, "source");
            return None;
        }
        self.left -= 1;
        Some(Rc::clone(self.token))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (5, Some(5))
    }
}

impl ExactSizeIterator for Liar<'_> {}

#[test]
fn holes_are_skipped_and_nothing_leaks() {
    let token = Rc::new(());
    let (sender, mut receiver) = ring(8);
    assert_eq!(sender.try_send_many(&mut Liar { left: 2, panics: false, token: &token }), Ok(2));
    sender.try_send(Rc::clone(&token)).unwrap();
    assert_eq!(receiver.drain(&mut drop, 9), 3);
    assert_eq!(Rc::strong_count(&token), 1);

    let mut source = Liar { left: 2, panics: true, token: &token };
    assert!(catch_unwind(AssertUnwindSafe(|| sender.try_send_many(&mut source))).is_err());
    sender.try_send(Rc::clone(&token)).unwrap();
    for _ in 0..3 {
        assert!(receiver.recv().is_ok());
    }
    assert_eq!(receiver.recv(), Err(RecvError::Empty));

    // Dropped with holes and items inside.
    assert_eq!(sender.try_send_many(&mut Liar { left: 1, panics: false, token: &token }), Ok(1));
    drop((sender, receiver));
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn closed_is_said_after_trailing_holes() {
    let token = Rc::new(());
    let (sender, mut receiver) = ring(8);
    sender.try_send_many(&mut Liar { left: 0, panics: false, token: &token }).unwrap();
    drop(sender);
    assert_eq!(receiver.recv(), Err(RecvError::Closed));
}

#[test]
fn panicking_taker_loses_one_item() {
    let (sender, mut receiver) = ring(4);
    sender.try_send_many(&mut (0..4)).unwrap();
    let drained = catch_unwind(AssertUnwindSafe(|| receiver.drain(&mut |item| assert!(item < 1), 4)));
    assert!(drained.is_err());
    assert_eq!(sender.try_send_many(&mut (4..9)), Ok(2));
    let mut rest = vec![];
    receiver.drain(&mut |item| rest.push(item), 9);
    assert_eq!(rest, [2, 3, 4, 5]);
}

#[derive(Clone, Debug)]
enum Op {
    Send(usize, u32),
    SendMany(usize, Vec<u32>),
    Recv,
    Drain(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..3usize, any::<u32>()).prop_map(|(from, item)| Op::Send(from, item)),
        (0..3usize, prop::collection::vec(any::<u32>(), 0..12))
            .prop_map(|(from, items)| Op::SendMany(from, items)),
        Just(Op::Recv),
        (0..12usize).prop_map(Op::Drain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_bounded_deque(capacity in 1..10usize, ops in prop::collection::vec(op(), 0..80)) {
        let (sender, mut receiver) = ring(capacity);
        let senders = [sender.clone(), sender.clone(), sender];
        let capacity = receiver.capacity();
        let mut model = VecDeque::new();
        for op in ops {
            match op {
                Op::Send(from, item) => {
                    let fits = model.len() < capacity;
                    let expected = if fits { Ok(()) } else { Err(SendError::Full(item)) };
                    prop_assert_eq!(senders[from].try_send(item), expected);
                    if fits {
                        model.push_back(item);
                    }
                }
                Op::SendMany(from, items) => {
                    let count = items.len().min(capacity - model.len());
                    let full = count == 0 && !items.is_empty();
                    let expected = if full { Err(SendError::Full(())) } else { Ok(count) };
                    let mut source = items.iter().copied();
                    prop_assert_eq!(senders[from].try_send_many(&mut source), expected);
                    prop_assert_eq!(source.len(), items.len() - count);
                    model.extend(&items[..count]);
                }
                Op::Recv => prop_assert_eq!(receiver.recv(), model.pop_front().ok_or(RecvError::Empty)),
                Op::Drain(max) => {
                    let mut got = vec![];
                    let count = receiver.drain(&mut |item| got.push(item), max);
                    prop_assert_eq!(count, max.min(model.len()));
                    prop_assert_eq!(got, model.drain(..count).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(receiver.is_empty(), model.is_empty());
        }
    }
}

#[test]
fn three_senders_keep_their_order_and_lose_nothing() {
    const EACH: u64 = 60_000;
    let (sender, mut receiver) = ring(32);
    thread::scope(|scope| {
        for from in 0..3 {
            let sender = sender.clone();
            scope.spawn(move || {
                let mut items = (0..EACH).map(|n| Box::new((from, n))).collect::<Vec<_>>().into_iter();
                let mut turn = 0;
                let mut carried = None;
                loop {
                    turn += 1;
                    if turn % 2 == 0 {
                        let Some(item) = carried.take().or_else(|| items.next()) else { return };
                        if let Err(back) = sender.try_send(item) {
                            carried = Some(back.into_inner());
                            thread::yield_now();
                        }
                    } else if carried.is_none() && sender.try_send_many(&mut items).is_err() {
                        thread::yield_now();
                    }
                }
            });
        }
        drop(sender);
        let mut next = [0; 3];
        loop {
            let mut check = |item: Box<(usize, u64)>| {
                let (from, n) = *item;
                assert_eq!(n, next[from]);
                next[from] += 1;
            };
            if receiver.drain(&mut check, 7) == 0 {
                match receiver.recv() {
                    Ok(item) => check(item),
                    Err(RecvError::Empty) => thread::yield_now(),
                    Err(RecvError::Closed) => break,
                }
            }
        }
        assert_eq!(next, [EACH; 3]);
    });
}

#[test]
fn one_handle_may_be_shared() {
    const EACH: u32 = 20_000;
    let (sender, mut receiver) = ring(16);
    thread::scope(|scope| {
        for _ in 0..2 {
            let sender = &sender;
            scope.spawn(move || {
                for item in 1..=EACH {
                    while sender.try_send(Box::new(item)).is_err() {
                        thread::yield_now();
                    }
                }
            });
        }
        let (mut count, mut sum) = (0, 0);
        while count < 2 * EACH {
            match receiver.recv() {
                Ok(item) => (count, sum) = (count + 1, sum + u64::from(*item)),
                Err(_) => thread::yield_now(),
            }
        }
        assert_eq!(sum, u64::from(EACH) * u64::from(EACH + 1));
    });
}
