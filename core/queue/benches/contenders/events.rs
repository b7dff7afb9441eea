//! The event queue beside disruptor: written once, read in place by each reader.

use std::ops::Range;

use clustercore_queue::broadcast::{Options, Reader, Ring, SharedWriter, Writer, multi, single};
use disruptor::{BusySpin, build_single_producer};

use super::rival::{self, poll_all};
use super::{BATCH, CAPACITY, CHUNK, Wait, transfer, until};

type Task<'a> = Box<dyn FnOnce() + Send + 'a>;

fn options() -> Options {
    Options { capacity: CAPACITY, readers_max: 4, ..Options::default() }
}

pub fn ours(count: u64) -> f64 {
    let (writer, ring) = single(options());
    let mut reader = subscribe(&ring);
    transfer(count, [write(writer, count)], || sum(&mut reader, count, CAPACITY))
}

pub fn ours_batches(count: u64) -> f64 {
    let (writer, ring) = single(options());
    let mut reader = subscribe(&ring);
    transfer(count, [write_batches(writer, count)], || sum(&mut reader, count, CHUNK as usize))
}

/// One writer, three readers; each reads everything.
pub fn ours_to_three(count: u64) -> f64 {
    let (writer, ring) = single(options());
    to_three(count, &ring, Box::new(write(writer, count)))
}

pub fn ours_batches_to_three(count: u64) -> f64 {
    let (writer, ring) = single(options());
    to_three(count, &ring, Box::new(write_batches(writer, count)))
}

fn to_three(count: u64, ring: &Ring<u64>, write: Task<'_>) -> f64 {
    let mut tasks = vec![write];
    let mut reader = subscribe(ring);
    for _ in 0..2 {
        let mut other = subscribe(ring);
        tasks.push(Box::new(move || assert_eq!(sum(&mut other, count, CAPACITY), count * (count - 1) / 2)));
    }
    transfer(count, tasks, || sum(&mut reader, count, CAPACITY))
}

/// Three writers with a third of the items each, one reader.
pub fn ours_from_three(count: u64) -> f64 {
    from_three(count, |writer, item| {
        until(|| writer.publish(item).ok());
    })
}

pub fn ours_batches_from_three(count: u64) -> f64 {
    let (writer, ring) = multi(options());
    let mut reader = subscribe(&ring);
    let tasks = thirds(count).map(|items| {
        let mut writer: SharedWriter<u64> = writer.clone();
        move || {
            let mut batch = vec![];
            for first in items.clone().step_by(BATCH as usize) {
                batch.extend(first..items.end.min(first + BATCH));
                while !batch.is_empty() {
                    until(|| writer.publish_from(&mut batch).ok());
                }
            }
        }
    });
    transfer(count, tasks, || sum(&mut reader, count, CAPACITY))
}

fn from_three(count: u64, publish: impl Fn(&mut SharedWriter<u64>, u64) + Copy + Send) -> f64 {
    let (writer, ring) = multi(options());
    let mut reader = subscribe(&ring);
    let tasks = thirds(count).map(|items| {
        let mut writer = writer.clone();
        move || items.for_each(|item| publish(&mut writer, item))
    });
    transfer(count, tasks, || sum(&mut reader, count, CAPACITY))
}

fn subscribe(ring: &Ring<u64>) -> Reader<u64> {
    ring.subscribe().expect("a free seat")
}

fn write(mut writer: Writer<u64>, count: u64) -> impl FnOnce() + Send {
    move || (0..count).for_each(|item| until(|| writer.publish(item).ok()))
}

fn write_batches(mut writer: Writer<u64>, count: u64) -> impl FnOnce() + Send {
    move || {
        let mut items = 0..count;
        while !items.is_empty() {
            until(|| writer.claim(CHUNK as usize).map(|claim| claim.fill_from(&mut items)));
        }
    }
}

fn sum(reader: &mut Reader<u64>, count: u64, at_once: usize) -> u64 {
    let (mut sum, mut received, mut wait) = (0, 0, Wait::default());
    while received < count {
        let Some(batch) = reader.read(at_once) else {
            wait.pause();
            continue;
        };
        wait.reset();
        let (first, second) = batch.as_slices();
        sum += first.iter().sum::<u64>() + second.iter().sum::<u64>();
        let len = batch.len();
        received += len as u64;
        batch.consume(len);
    }
    sum
}

pub fn disruptor_to_three(count: u64) -> f64 {
    disruptor_to_three_by(count, 1)
}

pub fn disruptor_batches_to_three(count: u64) -> f64 {
    disruptor_to_three_by(count, CHUNK)
}

fn disruptor_to_three_by(count: u64, batch: u64) -> f64 {
    let (mut first, builder) = build_single_producer(CAPACITY, || 0u64, BusySpin).new_event_poller();
    let (mut second, builder) = builder.new_event_poller();
    let (mut third, builder) = builder.new_event_poller();
    let mut producer = builder.build();
    let tasks: [Task<'_>; 3] = [
        Box::new(move || rival::publish(&mut producer, 0..count, batch)),
        Box::new(move || assert_eq!(poll_all!(second), count * (count - 1) / 2)),
        Box::new(move || assert_eq!(poll_all!(third), count * (count - 1) / 2)),
    ];
    transfer(count, tasks, || poll_all!(first))
}

pub fn disruptor_from_three(count: u64) -> f64 {
    rival::from_many(count, thirds(count), 1)
}

pub fn disruptor_batches_from_three(count: u64) -> f64 {
    rival::from_many(count, thirds(count), BATCH)
}

fn thirds(count: u64) -> [Range<u64>; 3] {
    [0..count / 3, count / 3..count / 3 * 2, count / 3 * 2..count]
}
