//! Facts, a model that sorts a vector, and real threads.

use std::thread;

use proptest::prelude::*;

use super::*;
use crate::mpsc::SendError;

fn event(value: u32, priority: u8, deadline_ns: u64) -> Event<u32> {
    Event { value, priority, deadline_ns }
}

#[test]
fn refused_event_stays_in_its_lane() {
    let (mut sender, mut receiver) = queue(Options { capacity: 1, lane_capacity: 1, ..Options::default() });
    sender.try_send(Event::new(1)).unwrap();
    assert_eq!(receiver.arrive(&mut |_| panic!("discarded")), 1);
    sender.try_send(Event::new(2)).unwrap();
    assert_eq!(receiver.arrive(&mut |_| panic!("discarded")), 0);
    assert_eq!(sender.try_send(Event::new(3)), Err(SendError::Full(Event::new(3))));
    assert_eq!(receiver.peek(), Some(&Event::new(1)));
    assert_eq!(
        (receiver.pop(), receiver.pop(), receiver.pop()),
        (Some(Event::new(1)), Some(Event::new(2)), None)
    );
    drop(sender);
    assert!(receiver.is_closed() && receiver.is_empty());
}

#[test]
fn discarded_event_is_handed_out_and_counted() {
    let (mut sender, mut receiver) =
        queue(Options { capacity: 1, when_full: WhenFull::DropLowest, ..Options::default() });
    let mut events = [event(1, 5, 0), event(2, 5, 0), event(3, 6, 0)].into_iter();
    assert_eq!(sender.try_send_many(&mut events), Ok(3));
    let mut discarded = vec![];
    while receiver.arrive(&mut |event| discarded.push(event.value)) > 0 {}
    assert_eq!(discarded, [2, 1]);
    assert_eq!(receiver.counters(), Counters { dropped_lowest: 2, ..Counters::default() });
    assert_eq!(receiver.pop_many(9, &mut |event| assert_eq!(event.value, 3)), 1);
}

#[test]
fn urgent_event_waits_for_the_next_look_and_no_longer() {
    let (mut sender, mut receiver) =
        queue(Options { look_every: 2, order: Order::Priority, ..Options::default() });
    assert_eq!(
        sender.try_send_many(&mut [event(1, 1, 0), event(2, 1, 0), event(3, 1, 0)].into_iter()),
        Ok(3)
    );
    assert_eq!(receiver.pop().map(|event| event.value), Some(1));
    sender.try_send(event(9, 9, 0)).unwrap();
    assert_eq!(receiver.pop().map(|event| event.value), Some(2));
    assert_eq!(receiver.pop().map(|event| event.value), Some(9));
    assert_eq!(receiver.pop().map(|event| event.value), Some(3));
}

#[test]
#[should_panic(expected = "capacity is 0")]
fn no_capacity_is_refused() {
    let _ = Store::<u8>::new(0, Order::Arrival, WhenFull::Refuse);
}

#[derive(Clone, Debug)]
enum Op {
    Push(u8, u64),
    Pop,
    SetOrder(Order),
    SetWhenFull(WhenFull),
}

fn op() -> impl Strategy<Value = Op> {
    let priority = prop_oneof![0..4u8, any::<u8>()];
    let deadline = prop_oneof![0..4u64, any::<u64>(), Just(NO_DEADLINE)];
    let order = prop_oneof![Just(Order::Arrival), Just(Order::Priority), Just(Order::Deadline)];
    let when_full = prop_oneof![
        Just(WhenFull::Refuse),
        Just(WhenFull::DropNewest),
        Just(WhenFull::DropOldest),
        Just(WhenFull::DropLowest),
    ];
    prop_oneof![
        8 => (priority, deadline).prop_map(|(priority, deadline)| Op::Push(priority, deadline)),
        4 => Just(Op::Pop),
        1 => order.prop_map(Op::SetOrder),
        1 => when_full.prop_map(Op::SetWhenFull),
    ]
}

/// Where the event is that is next in `order`; the vector is in the order of arrival.
fn next_of(model: &[Event<u32>], order: Order) -> Option<usize> {
    let mut indices: Vec<usize> = (0..model.len()).collect();
    match order {
        Order::Arrival => {}
        // Stable: among equals, arrival decides.
        Order::Priority => indices.sort_by_key(|index| std::cmp::Reverse(model[*index].priority)),
        Order::Deadline => indices.sort_by_key(|index| model[*index].deadline_ns),
    }
    indices.first().copied()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_sorted_vector(capacity in 1..12usize, ops in prop::collection::vec(op(), 0..200)) {
        let mut store = Store::new(capacity, Order::Arrival, WhenFull::Refuse);
        let mut model: Vec<Event<u32>> = vec![];
        let mut counters = Counters::default();
        for (number, op) in ops.into_iter().enumerate() {
            match op {
                Op::Push(priority, deadline_ns) => {
                    let event = event(number as u32, priority, deadline_ns);
                    let mut expected = Ok(None);
                    if model.len() < capacity {
                        model.push(event);
                    } else {
                        match store.when_full() {
                            WhenFull::Refuse => {
                                counters.refused += 1;
                                expected = Err(event);
                            }
                            WhenFull::DropNewest => {
                                counters.dropped_newest += 1;
                                expected = Ok(Some(event));
                            }
                            WhenFull::DropOldest => {
                                counters.dropped_oldest += 1;
                                expected = Ok(Some(model.remove(0)));
                                model.push(event);
                            }
                            WhenFull::DropLowest => {
                                counters.dropped_lowest += 1;
                                model.push(event);
                                let lowest = model.iter().map(|event| event.priority).min().unwrap();
                                let newest = model.iter().rposition(|event| event.priority == lowest).unwrap();
                                expected = Ok(Some(model.remove(newest)));
                            }
                        }
                    }
                    prop_assert_eq!(store.push(event), expected);
                }
                Op::Pop => {
                    let next = next_of(&model, store.order());
                    prop_assert_eq!(store.peek().copied(), next.map(|index| model[index]));
                    prop_assert_eq!(store.pop(), next.map(|index| model.remove(index)));
                }
                Op::SetOrder(order) => store.set_order(order),
                Op::SetWhenFull(when_full) => store.set_when_full(when_full),
            }
            prop_assert_eq!(store.len(), model.len());
            prop_assert_eq!(store.counters(), counters);
        }
        while let Some(index) = next_of(&model, store.order()) {
            prop_assert_eq!(store.pop(), Some(model.remove(index)));
        }
        prop_assert!(store.is_empty());
    }
}

#[test]
fn order_changes_under_two_senders_lose_nothing() {
    const EVENTS: u32 = 50_000;
    let (sender, mut receiver) = queue(Options { capacity: 100, lane_capacity: 64, ..Options::default() });
    thread::scope(|scope| {
        for half in 0..2 {
            let mut sender = sender.clone();
            scope.spawn(move || {
                for number in 0..EVENTS {
                    let mut item = event(half * EVENTS + number, number as u8, u64::from(number % 1000));
                    while let Err(SendError::Full(back)) = sender.try_send(item) {
                        item = back;
                        thread::yield_now();
                    }
                }
            });
        }
        drop(sender);
        let mut seen = vec![false; 2 * EVENTS as usize];
        let (mut count, mut rounds) = (0, 0);
        while count < seen.len() {
            rounds += 1;
            receiver.set_order([Order::Arrival, Order::Priority, Order::Deadline][rounds % 3]);
            let some = receiver.pop_many(40, &mut |event| {
                assert!(!std::mem::replace(&mut seen[event.value as usize], true), "{event:?} came twice");
            });
            count += some;
            if some == 0 {
                thread::yield_now();
            }
        }
        assert!(receiver.pop().is_none());
    });
}
