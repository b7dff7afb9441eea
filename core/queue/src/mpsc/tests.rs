//! Facts, a model, and several real threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;

use proptest::prelude::*;

use super::*;

#[test]
fn full_ring_gives_the_item_back() {
    let (mut sender, mut receiver) = ring(1);
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
    let (mut sender, mut receiver) = ring(4);
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
fn lanes_join_and_go_with_their_senders() {
    let (mut sender, mut receiver) = ring(2);
    assert_eq!((receiver.recv(), receiver.lanes()), (Err(RecvError::Empty), 1));
    let mut others = [sender.clone(), sender.clone()];
    for (other, item) in others.iter_mut().zip([1, 2]) {
        other.try_send(item).unwrap();
    }
    assert!(!receiver.is_empty());
    assert_eq!(receiver.lanes(), 3);
    drop(others);
    sender.try_send(3).unwrap();
    let mut got: Vec<i32> = (0..3).map(|_| receiver.recv().unwrap()).collect();
    got.sort_unstable();
    assert_eq!(got, [1, 2, 3], "what a sender that has gone has left is there");
    assert_eq!((receiver.recv(), receiver.lanes()), (Err(RecvError::Empty), 1));
    drop(sender);
    assert_eq!((receiver.recv(), receiver.lanes()), (Err(RecvError::Closed), 0));
}

#[test]
fn each_sender_has_room_of_its_own() {
    let (mut sender, mut receiver) = ring(2);
    let mut other = sender.clone();
    assert_eq!(sender.try_send_many(&mut [1, 2, 3].into_iter()), Ok(2));
    assert_eq!(sender.try_send(3), Err(SendError::Full(3)));
    assert_eq!(other.try_send_many(&mut [4, 5].into_iter()), Ok(2));
    assert_eq!(receiver.drain(&mut drop, 9), 4);
}

#[test]
fn a_busy_lane_does_not_starve_the_others() {
    let (mut sender, mut receiver) = ring(8 * TURN_MAX);
    let mut others = [sender.clone(), sender.clone()];
    sender.try_send_many(&mut (0..8 * TURN_MAX)).unwrap();
    others.iter_mut().for_each(|other| other.try_send(usize::MAX).unwrap());
    // One by one and in batches smaller than a turn, both.
    let mut got: Vec<usize> = (0..TURN_MAX).map(|_| receiver.recv().unwrap()).collect();
    for _ in 0..3 {
        receiver.drain(&mut |item| got.push(item), 1);
    }
    assert_eq!(got.iter().filter(|&&item| item == usize::MAX).count(), 2);
}

#[test]
fn a_closed_ring_is_emptied_and_takes_nothing_more() {
    let (mut sender, mut receiver) = ring(4);
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
    let (mut sender, mut receiver) = ring(2);
    let other = sender.clone();
    sender.try_send(1).unwrap();
    drop(sender);
    assert!(!receiver.is_closed());
    drop(other);
    assert!(receiver.is_closed());
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.recv(), Err(RecvError::Closed));

    let (mut sender, receiver) = ring(2);
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
fn a_source_that_ends_early_or_panics_sends_what_it_gave() {
    let token = Rc::new(());
    let (mut sender, mut receiver) = ring(8);
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

    // Dropped with items inside, one lane of them never looked at.
    let mut late = sender.clone();
    assert_eq!(sender.try_send_many(&mut Liar { left: 1, panics: false, token: &token }), Ok(1));
    late.try_send(Rc::clone(&token)).unwrap();
    drop((sender, receiver));
    assert_eq!(Rc::strong_count(&token), 2, "a lane's items stay until its sender goes");
    drop(late);
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn panicking_taker_loses_one_item() {
    let (mut sender, mut receiver) = ring(4);
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
    Send(usize),
    SendMany(usize, usize),
    Recv,
    Drain(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..3usize).prop_map(Op::Send),
        (0..3usize, 0..12usize).prop_map(|(from, count)| Op::SendMany(from, count)),
        Just(Op::Recv),
        (0..12usize).prop_map(Op::Drain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The model is a bounded deque per sender; what comes out is the front of one of them.
    #[test]
    fn behaves_like_bounded_deques(capacity in 1..10usize, ops in prop::collection::vec(op(), 0..80)) {
        let (sender, mut receiver) = ring(capacity);
        let mut senders = [sender.clone(), sender.clone(), sender];
        let capacity = receiver.capacity();
        let mut model = [const { VecDeque::new() }; 3];
        let mut serial = 0usize;
        for op in ops {
            match op {
                Op::Send(from) => {
                    let item = (from, serial);
                    serial += 1;
                    let fits = model[from].len() < capacity;
                    let expected = if fits { Ok(()) } else { Err(SendError::Full(item)) };
                    prop_assert_eq!(senders[from].try_send(item), expected);
                    if fits {
                        model[from].push_back(item);
                    }
                }
                Op::SendMany(from, wanted) => {
                    let items: Vec<_> = (serial..).take(wanted).map(|serial| (from, serial)).collect();
                    serial += wanted;
                    let count = items.len().min(capacity - model[from].len());
                    let full = count == 0 && !items.is_empty();
                    let expected = if full { Err(SendError::Full(())) } else { Ok(count) };
                    let mut source = items.iter().copied();
                    prop_assert_eq!(senders[from].try_send_many(&mut source), expected);
                    prop_assert_eq!(source.len(), items.len() - count);
                    model[from].extend(&items[..count]);
                }
                Op::Recv => match receiver.recv() {
                    Ok(item) => prop_assert_eq!(Some(item), model[item.0].pop_front()),
                    Err(error) => {
                        prop_assert_eq!(error, RecvError::Empty);
                        prop_assert!(model.iter().all(VecDeque::is_empty));
                    }
                },
                Op::Drain(max) => {
                    let mut got = vec![];
                    let count = receiver.drain(&mut |item| got.push(item), max);
                    prop_assert_eq!(count, max.min(model.iter().map(VecDeque::len).sum()));
                    prop_assert_eq!(got.len(), count);
                    for item in got {
                        prop_assert_eq!(Some(item), model[item.0].pop_front());
                    }
                }
            }
            prop_assert_eq!(receiver.is_empty(), model.iter().all(VecDeque::is_empty));
        }
    }
}

#[test]
fn three_senders_keep_their_order_and_lose_nothing() {
    const EACH: u64 = 60_000;
    let (sender, mut receiver) = ring(32);
    thread::scope(|scope| {
        for from in 0..3 {
            let mut sender = sender.clone();
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
fn senders_come_and_go_while_others_send() {
    const EACH: u32 = 200;
    const ROUNDS: u32 = 60;
    let (sender, mut receiver) = ring(16);
    thread::scope(|scope| {
        for _ in 0..2 {
            let opener = sender.clone();
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let mut sender = opener.clone();
                    for item in 1..=EACH {
                        while sender.try_send(Box::new(item)).is_err() {
                            thread::yield_now();
                        }
                    }
                }
            });
        }
        drop(sender);
        let (mut count, mut sum) = (0, 0);
        loop {
            match receiver.recv() {
                Ok(item) => (count, sum) = (count + 1, sum + u64::from(*item)),
                Err(RecvError::Empty) => thread::yield_now(),
                Err(RecvError::Closed) => break,
            }
        }
        assert_eq!(count, 2 * ROUNDS * EACH);
        assert_eq!(sum, u64::from(ROUNDS) * u64::from(EACH) * u64::from(EACH + 1));
        assert_eq!(receiver.lanes(), 0);
    });
}
