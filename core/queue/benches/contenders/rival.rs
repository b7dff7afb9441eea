//! How disruptor is driven: what its runs have in common.

use std::ops::Range;

use disruptor::{BusySpin, build_multi_producer};

use super::{CAPACITY, transfer, until};

/// The sum of all that a disruptor's poller gets. A macro, as the poller's type cannot be named.
macro_rules! poll_all {
    ($poller:expr) => {{
        let (mut sum, mut wait) = (0, $crate::contenders::Wait::default());
        loop {
            match $poller.poll() {
                Ok(mut events) => {
                    wait.reset();
                    sum += (&mut events).sum::<u64>();
                }
                Err(disruptor::Polling::NoEvents) => wait.pause(),
                Err(disruptor::Polling::Shutdown) => break sum,
            }
        }
    }};
}
pub(super) use poll_all;

/// A writer for each of `parts`, one reader.
pub fn from_many<const N: usize>(count: u64, parts: [Range<u64>; N], batch: u64) -> f64 {
    let (mut poller, builder) = build_multi_producer(CAPACITY, || 0u64, BusySpin).new_event_poller();
    let producer = builder.build();
    let tasks = parts.map(|items| {
        let mut producer = producer.clone();
        move || publish(&mut producer, items, batch)
    });
    drop(producer);
    transfer(count, tasks, || poll_all!(poller))
}

/// Publishes items one by one, or so many at a time.
pub fn publish(producer: &mut impl disruptor::Producer<u64>, items: Range<u64>, batch: u64) {
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
