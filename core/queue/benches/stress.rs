//! Random writers, readers, policies and orders on the event queue for as long as wanted, with every event accounted for.
//!
//! `cargo bench -p clustercore-queue --bench stress -- --seconds 600 --seed 7`; one second without `--seconds`. Each round
//! draws its shape from the seed, prints it, and must end with all sums right: a reader that stays sees or misses each
//! event exactly once and each writer's in order, readers that come and go see no gap that they are not told of, and
//! every value is dropped once. A round that fails panics with its seed and shape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clustercore_queue::broadcast::{self, Reader, Ring, SharedWriter, WhenFull};
use clustercore_queue::ordered::{self, Event, Order};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return; // A test runner asks for test names; there are none.
    }
    let number = |name: &str| {
        let place = args.iter().position(|arg| arg == name)?;
        args.get(place + 1)?.parse::<u64>().ok()
    };
    let seed = number("--seed").unwrap_or(1);
    let length = Duration::from_secs(number("--seconds").unwrap_or(1));
    let (begin, mut told) = (Instant::now(), Instant::now());
    let (mut rounds, mut events) = (0, 0);
    while begin.elapsed() < length {
        events += round(Random(seed.wrapping_add(rounds).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
        rounds += 1;
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            println!("{} s: {rounds} rounds, {events} events", begin.elapsed().as_secs());
        }
    }
    println!(
        "{{\"bench\":\"stress\",\"seconds\":{},\"seed\":{seed},\"rounds\":{rounds},\"events\":{events},\"failures\":0}}",
        begin.elapsed().as_secs()
    );
}

/// One shape, to its end. Returns how many events were published or sent.
fn round(mut random: Random) -> u64 {
    let shape = Shape {
        writers: random.below(3) + 1,
        readers: random.below(3) + 1,
        guests: random.below(2),
        events: random.below(4000) + 100,
        batch_max: random.below(40) + 1,
    };
    let capacity = 1 << random.below(8);
    let when_full = match random.below(3) {
        0 => WhenFull::Refuse,
        1 => WhenFull::DropNewest,
        _ => WhenFull::DropOldest { at_once: random.below(capacity) as usize + 1 },
    };
    let options = broadcast::Options { capacity: capacity as usize, readers_max: 8, when_full };
    if random.below(4) == 0 {
        ordered_round(random, &shape)
    } else {
        broadcast_round(random, &shape, options)
    }
}

#[derive(Debug)]
struct Shape {
    writers: u64,
    readers: u64,
    guests: u64,
    events: u64,
    batch_max: u64,
}

/// A value that knows its writer and number, and counts its end.
struct Counted {
    writer: u64,
    number: u64,
    drops: Arc<AtomicU64>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

fn broadcast_round(mut random: Random, shape: &Shape, options: broadcast::Options) -> u64 {
    let drops = Arc::new(AtomicU64::new(0));
    let (writer, ring) = broadcast::multi(options);
    let readers: Vec<_> = (0..shape.readers).map(|_| ring.subscribe().expect("a free seat")).collect();
    let total = thread::scope(|scope| {
        for id in 0..shape.writers {
            let (writer, drops, random) = (writer.clone(), Arc::clone(&drops), random.split());
            scope.spawn(move || write(writer, id, shape, &drops, random));
        }
        drop(writer);
        for _ in 0..shape.guests {
            let (ring, random) = (ring.clone(), random.split());
            scope.spawn(move || visit(&ring, shape, random));
        }
        let readers: Vec<_> = readers
            .into_iter()
            .map(|reader| {
                let random = random.split();
                scope.spawn(move || stay(reader, shape, random))
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().expect("a reader failed")).collect::<Vec<u64>>()
    });
    let counters = ring.counters();
    drop(ring);
    let sent = shape.writers * shape.events;
    assert_eq!(counters.published + counters.dropped_newest, sent, "{shape:?} {options:?}");
    for seen in total {
        assert_eq!(seen, counters.published, "{shape:?} {options:?}");
    }
    assert_eq!(drops.load(Ordering::Relaxed), sent, "{shape:?} {options:?}");
    sent
}

fn write(
    mut writer: SharedWriter<Counted>,
    id: u64,
    shape: &Shape,
    drops: &Arc<AtomicU64>,
    mut random: Random,
) {
    let (mut next, mut batch) = (0, vec![]);
    while next < shape.events || !batch.is_empty() {
        if batch.is_empty() {
            let end = shape.events.min(next + random.below(shape.batch_max) + 1);
            let fresh = |number| Counted { writer: id, number, drops: Arc::clone(drops) };
            batch.extend((next..end).map(fresh));
            next = end;
        }
        let result = if batch.len() == 1 {
            let event = batch.pop().expect("one");
            writer.publish(event).map_err(|broadcast::Full(event)| batch.push(event))
        } else {
            writer.publish_from(&mut batch).map(|_| ()).map_err(|_| ())
        };
        if result.is_err() {
            thread::yield_now();
        }
        if random.below(64) == 0 {
            writer.reclaim();
        }
    }
}

/// Reads to the end. Returns how many events were seen or missed.
fn stay(mut reader: Reader<Counted>, shape: &Shape, mut random: Random) -> u64 {
    let (mut count, mut last) = (0, vec![None; shape.writers as usize]);
    loop {
        let is_closed = reader.is_closed();
        let Some(batch) = reader.read(random.below(shape.batch_max) as usize + 1) else {
            if is_closed {
                return count;
            }
            thread::yield_now();
            continue;
        };
        count += batch.missed();
        assert_eq!(batch.position(), count, "a gap that was not told of");
        let consume = random.below(batch.len() as u64) as usize + 1;
        for event in batch.iter().take(consume) {
            let last = &mut last[event.writer as usize];
            assert!(last.is_none_or(|last| last < event.number), "{last:?} before {}", event.number);
            *last = Some(event.number);
        }
        if random.below(32) == 0 {
            // In the middle of a batch: a writer has to go round it.
            thread::yield_now();
        }
        count += consume as u64;
        batch.consume(consume);
    }
}

/// Comes and goes until the writers are gone.
fn visit(ring: &Ring<Counted>, shape: &Shape, mut random: Random) {
    loop {
        let start = if random.below(2) == 0 { ring.subscribe() } else { ring.subscribe_oldest() };
        let mut reader = start.expect("a free seat");
        let is_closed = reader.is_closed();
        let mut expected = None;
        for _ in 0..random.below(20) {
            let Some(batch) = reader.read(shape.batch_max as usize) else {
                thread::yield_now();
                continue;
            };
            let start = batch.position();
            assert!(expected.is_none_or(|expected| expected + batch.missed() == start));
            assert!(batch.iter().all(|event| event.number < shape.events));
            let len = batch.len();
            expected = Some(start + len as u64);
            batch.consume(len);
        }
        if is_closed {
            return;
        }
    }
}

/// The queue with an order, which changes all the time: everything comes out once.
fn ordered_round(mut random: Random, shape: &Shape) -> u64 {
    let options = ordered::Options {
        capacity: random.below(200) as usize + 1,
        lane_capacity: 1 << random.below(8),
        ..ordered::Options::default()
    };
    let (sender, mut receiver) = ordered::queue(options);
    let sent = shape.writers * shape.events;
    thread::scope(|scope| {
        for id in 0..shape.writers {
            let (mut sender, mut random) = (sender.clone(), random.split());
            scope.spawn(move || {
                for number in 0..shape.events {
                    let mut event = Event {
                        value: id * shape.events + number,
                        priority: random.below(256) as u8,
                        deadline_ns: random.below(1000),
                    };
                    while let Err(error) = sender.try_send(event) {
                        event = error.into_inner();
                        thread::yield_now();
                    }
                }
            });
        }
        drop(sender);
        let mut seen = vec![false; sent as usize];
        let mut count = 0;
        while count < seen.len() {
            receiver.set_order([Order::Arrival, Order::Priority, Order::Deadline][random.below(3) as usize]);
            let some = receiver.pop_many(random.below(shape.batch_max) as usize + 1, &mut |event| {
                assert!(!std::mem::replace(&mut seen[event.value as usize], true), "{event:?} came twice");
            });
            count += some;
            if some == 0 {
                thread::yield_now();
            }
        }
        assert!(receiver.pop().is_none());
    });
    sent
}

/// Marsaglia's xorshift: enough to draw shapes.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn split(&mut self) -> Self {
        Self(self.below(u64::MAX >> 11) << 1 | 1)
    }
}
