//! Two senders, one receiver: one sends the lower half of the items, the other the upper.

use std::ops::Range;

use clustercore_queue::mpsc;
use crossbeam::queue::ArrayQueue;
use disruptor::{BusySpin, Polling, Producer as _, build_multi_producer};

use super::{BATCH, CAPACITY, Wait, sum_of, transfer, until};

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
    disruptor_by(count, 1)
}

pub fn disruptor_batches(count: u64) -> f64 {
    disruptor_by(count, BATCH)
}

fn disruptor_by(count: u64, batch: u64) -> f64 {
    let (mut poller, builder) = build_multi_producer(CAPACITY, || 0u64, BusySpin).new_event_poller();
    let producer = builder.build();
    let senders = halves(count).map(|items| {
        let mut producer = producer.clone();
        move || {
            for first in items.clone().step_by(batch as usize) {
                let len = batch.min(items.end - first) as usize;
                if batch == 1 {
                    until(|| producer.try_publish(|slot| *slot = first).ok());
                    continue;
                }
                until(|| {
                    producer
                        .try_batch_publish(len, |slots| {
                            slots.zip(first..).for_each(|(slot, item)| *slot = item);
                        })
                        .ok()
                });
            }
        }
    });
    drop(producer);
    transfer(count, senders, || {
        let (mut sum, mut wait) = (0, Wait::default());
        loop {
            match poller.poll() {
                Ok(mut events) => {
                    wait.reset();
                    sum += (&mut events).sum::<u64>();
                }
                Err(Polling::NoEvents) => wait.pause(),
                Err(Polling::Shutdown) => return sum,
            }
        }
    })
}

fn halves(count: u64) -> [Range<u64>; 2] {
    [0..count / 2, count / 2..count]
}
