//! One item there and back between two threads; half of that is one way.

use std::sync::atomic::{AtomicU64, Ordering};

use clustercore_queue::{broadcast, mpsc, spsc};
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;

use super::{transfer, until};

/// The floor: what two cores need to see each other's stores.
pub fn atomics(count: u64) -> f64 {
    let there = CachePadded::new(AtomicU64::new(NOTHING));
    let back = CachePadded::new(AtomicU64::new(NOTHING));
    fn take(cell: &AtomicU64, expected: u64) -> Option<u64> {
        (cell.load(Ordering::Acquire) == expected).then_some(expected)
    }
    let (there, back) = (&*there, &*back);
    let echo = move || {
        for item in 0..count {
            back.store(until(|| take(there, item)), Ordering::Release);
        }
    };
    let mut sum = 0;
    let both = transfer(count, [echo], || {
        for item in 0..count {
            there.store(item, Ordering::Release);
            sum += until(|| take(back, item));
        }
        sum
    });
    both / 2.0
}

pub fn spsc(count: u64) -> f64 {
    let (mut there, mut arrived) = spsc::ring(2);
    let (mut back, mut returned) = spsc::ring(2);
    let echo = move || (0..count).for_each(|_| back.push(until(|| arrived.pop())).expect("room for one"));
    round_trips(count, echo, |item| there.push(item).is_ok(), || returned.pop())
}

pub fn mpsc(count: u64) -> f64 {
    let (mut there, mut arrived) = mpsc::ring(2);
    let (mut back, mut returned) = mpsc::ring(2);
    let echo = move || {
        for _ in 0..count {
            back.try_send(until(|| arrived.recv().ok())).expect("room for one");
        }
    };
    round_trips(count, echo, |item| there.try_send(item).is_ok(), || returned.recv().ok())
}

pub fn events(count: u64) -> f64 {
    let options = broadcast::Options { capacity: 64, readers_max: 1, ..broadcast::Options::default() };
    let (mut there, entrance) = broadcast::single(options);
    let mut arrived = entrance.subscribe().expect("a free seat");
    let (mut back, entrance) = broadcast::single(options);
    let mut returned = entrance.subscribe().expect("a free seat");
    fn take(reader: &mut broadcast::Reader<u64>) -> Option<u64> {
        let mut item = None;
        reader.for_each(1, |event| item = Some(*event));
        item
    }
    let echo = move || {
        for _ in 0..count {
            back.publish(until(|| take(&mut arrived))).expect("room for one");
        }
    };
    round_trips(count, echo, |item| there.publish(item).is_ok(), || take(&mut returned))
}

pub fn rtrb(count: u64) -> f64 {
    let (mut there, mut arrived) = rtrb::RingBuffer::new(2);
    let (mut back, mut returned) = rtrb::RingBuffer::new(2);
    let echo =
        move || (0..count).for_each(|_| back.push(until(|| arrived.pop().ok())).expect("room for one"));
    round_trips(count, echo, |item| there.push(item).is_ok(), || returned.pop().ok())
}

pub fn array_queue(count: u64) -> f64 {
    let (there, back) = (ArrayQueue::new(2), ArrayQueue::new(2));
    let echo = || (0..count).for_each(|_| back.push(until(|| there.pop())).expect("room for one"));
    round_trips(count, echo, |item| there.push(item).is_ok(), || back.pop())
}

fn round_trips(
    count: u64,
    echo: impl FnOnce() + Send,
    mut send: impl FnMut(u64) -> bool,
    mut receive: impl FnMut() -> Option<u64>,
) -> f64 {
    let both = transfer(count, [echo], || {
        (0..count)
            .map(|item| {
                assert!(send(item), "room for one");
                until(&mut receive)
            })
            .sum()
    });
    both / 2.0
}

const NOTHING: u64 = u64::MAX;
