//! Two producers of events with 256 priorities, one consumer that takes the most urgent first.

use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Mutex;

use clustercore_queue::ordered::{Event, Options, Order, Receiver, queue};

use super::{BATCH, CAPACITY, Wait, transfer, until};

fn options(order: Order) -> Options {
    Options { capacity: CAPACITY, lane_capacity: CAPACITY, order, ..Options::default() }
}

fn event(item: u64) -> Event<u64> {
    Event { value: item, priority: priority_of(item), deadline_ns: u64::from(priority_of(item)) }
}

/// Scattered, and the same for all contenders.
fn priority_of(item: u64) -> u8 {
    (item.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

pub fn ours(count: u64) -> f64 {
    by_item(count, Order::Priority)
}

pub fn ours_deadline(count: u64) -> f64 {
    by_item(count, Order::Deadline)
}

fn by_item(count: u64, order: Order) -> f64 {
    let (sender, mut receiver) = queue(options(order));
    let senders = halves(count).map(|items| {
        let mut sender = sender.clone();
        move || items.for_each(|item| until(|| sender.try_send(event(item)).ok()))
    });
    transfer(count, senders, || {
        let mut wait = Wait::default();
        let next = || {
            let event = receiver.pop();
            if event.is_none() {
                wait.pause()
            } else {
                wait.reset()
            }
            event.map(|event| event.value)
        };
        take_all(count, next)
    })
}

pub fn ours_batches(count: u64) -> f64 {
    let (sender, mut receiver) = queue(options(Order::Priority));
    let senders = halves(count).map(|items| {
        let mut sender = sender.clone();
        move || {
            for first in items.clone().step_by(BATCH as usize) {
                let mut batch =
                    (0..BATCH.min(items.end - first) as usize).map(|offset| event(first + offset as u64));
                while batch.len() > 0 {
                    until(|| sender.try_send_many(&mut batch).ok());
                }
            }
        }
    });
    transfer(count, senders, || drain(count, &mut receiver))
}

fn drain(count: u64, receiver: &mut Receiver<u64>) -> u64 {
    let (mut sum, mut received, mut wait) = (0, 0, Wait::default());
    while received < count {
        match receiver.pop_many(BATCH as usize, &mut |event| sum += event.value) {
            0 => wait.pause(),
            some => {
                wait.reset();
                received += some as u64;
            }
        }
    }
    sum
}

/// The peer: a heap under a lock, bounded alike.
pub fn heap(count: u64) -> f64 {
    let heap = &Mutex::new(BinaryHeap::with_capacity(2 * CAPACITY));
    let senders = halves(count).map(|items| {
        move || {
            items.for_each(|item| {
                until(|| {
                    let mut heap = heap.lock().expect("nobody panics");
                    (heap.len() < 2 * CAPACITY).then(|| heap.push((priority_of(item), item)))
                });
            });
        }
    });
    transfer(count, senders, || {
        let mut wait = Wait::default();
        let next = || {
            let item = heap.lock().expect("nobody panics").pop();
            if item.is_none() {
                wait.pause()
            } else {
                wait.reset()
            }
            item.map(|(_, item)| item)
        };
        take_all(count, next)
    })
}

/// As `heap`, with one lock for a batch.
pub fn heap_batches(count: u64) -> f64 {
    let heap = &Mutex::new(BinaryHeap::with_capacity(2 * CAPACITY));
    let senders = halves(count).map(|items| {
        move || {
            for first in items.clone().step_by(BATCH as usize) {
                let batch = first..items.end.min(first + BATCH);
                until(|| {
                    let mut heap = heap.lock().expect("nobody panics");
                    (heap.len() + BATCH as usize <= 2 * CAPACITY)
                        .then(|| heap.extend(batch.clone().map(|item| (priority_of(item), item))))
                });
            }
        }
    });
    transfer(count, senders, || {
        let (mut sum, mut received, mut wait) = (0, 0, Wait::default());
        while received < count {
            let mut heap = heap.lock().expect("nobody panics");
            let mut some = 0;
            while some < BATCH
                && let Some((_, item)) = heap.pop()
            {
                sum += item;
                some += 1;
            }
            drop(heap);
            received += some;
            if some == 0 { wait.pause() } else { wait.reset() }
        }
        sum
    })
}

fn take_all(count: u64, mut next: impl FnMut() -> Option<u64>) -> u64 {
    let (mut sum, mut received) = (0, 0);
    while received < count {
        if let Some(item) = next() {
            sum += item;
            received += 1;
        }
    }
    sum
}

fn halves(count: u64) -> [Range<u64>; 2] {
    [0..count / 2, count / 2..count]
}
