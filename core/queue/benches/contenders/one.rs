//! One producer, one consumer.

use clustercore_queue::spsc;
use crossbeam::queue::ArrayQueue;
use disruptor::{BusySpin, Polling, Producer as _, build_single_producer};

use super::{CAPACITY, CHUNK, Wait, sum_of, transfer, until};

pub fn ours(count: u64) -> f64 {
    let (mut producer, mut consumer) = spsc::ring(CAPACITY);
    let send = move || (0..count).for_each(|item| until(|| producer.push(item).ok()));
    transfer(count, [send], || sum_of(count, || consumer.pop()))
}

pub fn rtrb(count: u64) -> f64 {
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(CAPACITY);
    let send = move || (0..count).for_each(|item| until(|| producer.push(item).ok()));
    transfer(count, [send], || sum_of(count, || consumer.pop().ok()))
}

pub fn array_queue(count: u64) -> f64 {
    let queue = ArrayQueue::new(CAPACITY);
    let send = || (0..count).for_each(|item| until(|| queue.push(item).ok()));
    transfer(count, [send], || sum_of(count, || queue.pop()))
}

pub fn disruptor(count: u64) -> f64 {
    let (mut poller, builder) = build_single_producer(CAPACITY, || 0u64, BusySpin).new_event_poller();
    let mut producer = builder.build();
    let send = move || {
        for item in 0..count {
            until(|| producer.try_publish(|slot| *slot = item).ok());
        }
    };
    transfer(count, [send], || {
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

pub fn ours_chunks(count: u64) -> f64 {
    let (mut producer, mut consumer) = spsc::ring(CAPACITY);
    let send = move || {
        let mut items = 0..count;
        while !items.is_empty() {
            let chunk =
                until(|| producer.write_chunk(CHUNK as usize).map(|chunk| chunk.fill_from(&mut items)));
            assert!(chunk > 0);
        }
    };
    transfer(count, [send], || {
        let (mut sum, mut received) = (0, 0);
        while received < count {
            let chunk = until(|| {
                let chunk = consumer.read_chunk(CHUNK as usize)?;
                received += chunk.len() as u64;
                Some(chunk.drain().sum::<u64>())
            });
            sum += chunk;
        }
        sum
    })
}

pub fn rtrb_chunks(count: u64) -> f64 {
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(CAPACITY);
    let send = move || {
        let mut items = 0..count;
        while !items.is_empty() {
            let len = (items.end - items.start).min(CHUNK) as usize;
            until(|| producer.write_chunk_uninit(len).ok().map(|chunk| chunk.fill_from_iter(&mut items)));
        }
    };
    transfer(count, [send], || {
        let (mut sum, mut received) = (0, 0);
        while received < count {
            let len = (count - received).min(CHUNK);
            sum +=
                until(|| consumer.read_chunk(len as usize).ok().map(|chunk| chunk.into_iter().sum::<u64>()));
            received += len;
        }
        sum
    })
}

pub fn disruptor_chunks(count: u64) -> f64 {
    let (mut poller, builder) = build_single_producer(CAPACITY, || 0u64, BusySpin).new_event_poller();
    let mut producer = builder.build();
    let send = move || {
        let mut first = 0;
        while first < count {
            let len = (count - first).min(CHUNK);
            until(|| {
                producer
                    .try_batch_publish(len as usize, |slots| {
                        slots.zip(first..).for_each(|(slot, item)| *slot = item);
                    })
                    .ok()
            });
            first += len;
        }
    };
    transfer(count, [send], || {
        let (mut sum, mut wait) = (0, Wait::default());
        loop {
            match poller.take(CHUNK) {
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
