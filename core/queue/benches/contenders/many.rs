//! Two senders, one receiver: one sends the lower half of the items, the other the upper.

use std::ops::Range;

use clustercore_queue::mpsc;
use crossbeam::queue::ArrayQueue;

use super::{BATCH, CAPACITY, Wait, rival, sum_of, transfer, until};

pub fn ours(count: u64) -> f64 {
    let (sender, mut receiver) = mpsc::ring(CAPACITY);
    let senders = halves(count).map(|items| {
        let mut sender = sender.clone();
        move || {
            for item in items {
                until(|| sender.try_send(item).ok());
            }
        }
    });
    transfer(count, senders, || drain(count, &mut receiver))
}

pub fn ours_batches(count: u64) -> f64 {
    let (sender, mut receiver) = mpsc::ring(CAPACITY);
    let senders = halves(count).map(|items| {
        let mut sender = sender.clone();
        move || {
            let mut batch = vec![];
            for first in items.clone().step_by(BATCH as usize) {
                batch.extend(first..items.end.min(first + BATCH));
                let mut left = batch.drain(..);
                while left.len() > 0 {
                    until(|| sender.try_send_many(&mut left).ok());
                }
            }
        }
    });
    transfer(count, senders, || drain(count, &mut receiver))
}

fn drain(count: u64, receiver: &mut mpsc::Receiver<u64>) -> u64 {
    let (mut sum, mut received, mut wait) = (0, 0, Wait::default());
    while received < count {
        match receiver.drain(&mut |item| sum += item, CAPACITY) {
            0 => wait.pause(),
            some => {
                wait.reset();
                received += some as u64;
            }
        }
    }
    sum
}

pub fn array_queue(count: u64) -> f64 {
    let queue = ArrayQueue::new(CAPACITY);
    let senders = halves(count).map(|items| {
        let queue = &queue;
        move || items.for_each(|item| until(|| queue.push(item).ok()))
    });
    transfer(count, senders, || sum_of(count, || queue.pop()))
}

pub fn disruptor(count: u64) -> f64 {
    rival::from_many(count, halves(count), 1)
}

pub fn disruptor_batches(count: u64) -> f64 {
    rival::from_many(count, halves(count), BATCH)
}

fn halves(count: u64) -> [Range<u64>; 2] {
    [0..count / 2, count / 2..count]
}
