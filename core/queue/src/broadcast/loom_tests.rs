//! Every interleaving of small exchanges: events whole, slots reused safely, nobody overrun while reading.

use loom::thread;

use super::*;
use crate::bell::Bell;

fn options(capacity: usize, readers_max: usize, when_full: WhenFull) -> Options {
    Options { capacity, readers_max, when_full }
}

/// Reads until `count` events were read or missed; checks that they are in order, whole, and that the count of those missed fits.
fn read_all(mut reader: Reader<Box<u64>>, count: u64) {
    let mut expected = 0;
    while expected < count {
        let Some(batch) = reader.read(2) else {
            thread::yield_now();
            continue;
        };
        expected += batch.missed();
        assert_eq!(batch.position(), expected);
        for event in batch.iter() {
            assert_eq!(**event, expected);
            expected += 1;
        }
        let len = batch.len();
        batch.consume(len);
    }
}

fn write_all(writer: &mut Writer<Box<u64>>, events: std::ops::Range<u64>) {
    for event in events {
        let mut event = Box::new(event);
        while let Err(Full(back)) = writer.publish(event) {
            event = back;
            thread::yield_now();
        }
    }
}

#[test]
fn events_arrive_whole_and_slots_are_reused_safely() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut writer, ring) = single(options(1, 1, WhenFull::Refuse));
        let reader = ring.subscribe().unwrap();
        let other = thread::spawn(move || write_all(&mut writer, 0..3));
        read_all(reader, 3);
        other.join().unwrap();
    });
}

#[test]
fn slot_waits_for_both_readers() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (mut writer, ring) = single(options(1, 2, WhenFull::Refuse));
        let (first, second) = (ring.subscribe().unwrap(), ring.subscribe().unwrap());
        write_all(&mut writer, 0..1);
        let read = |mut reader: Reader<Box<u64>>| {
            thread::spawn(move || {
                assert_eq!(reader.for_each(1, |event| assert_eq!(**event, 0)), 1);
                reader
            })
        };
        let (one, other) = (read(first), read(second));
        write_all(&mut writer, 1..2);
        for mut reader in [one.join().unwrap(), other.join().unwrap()] {
            assert_eq!(reader.for_each(2, |event| assert_eq!(**event, 1)), 1);
        }
    });
}

#[test]
fn overrun_reader_never_sees_a_reused_slot_and_counts_what_it_missed() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut writer, ring) = single(options(1, 1, WhenFull::DropOldest { at_once: 1 }));
        let reader = ring.subscribe().unwrap();
        let other = thread::spawn(move || write_all(&mut writer, 0..3));
        read_all(reader, 3);
        other.join().unwrap();
    });
}

#[test]
fn overrun_in_batches_keeps_order() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (mut writer, ring) = single(options(2, 1, WhenFull::DropOldest { at_once: 2 }));
        let reader = ring.subscribe().unwrap();
        let other = thread::spawn(move || write_all(&mut writer, 0..4));
        read_all(reader, 4);
        other.join().unwrap();
    });
}

/// A reader that joins starts at some event and sees all from there on.
fn join_while_writing(when_full: WhenFull, is_oldest: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let (mut writer, ring) = single(options(1, 1, when_full));
        let other = thread::spawn(move || write_all(&mut writer, 0..3));
        let mut reader = if is_oldest { ring.subscribe_oldest() } else { ring.subscribe() }.unwrap();
        let mut expected = None;
        loop {
            let is_closed = reader.is_closed();
            match reader.read(1) {
                Some(batch) => {
                    let position = batch.position();
                    assert_eq!(**batch.iter().next().unwrap(), position);
                    assert!(expected.is_none_or(|expected| expected + batch.missed() == position));
                    expected = Some(position + 1);
                    batch.consume(1);
                }
                None if is_closed => break,
                None => thread::yield_now(),
            }
        }
        assert!(expected.is_none_or(|expected| expected == 3));
        other.join().unwrap();
    });
}

#[test]
fn reader_joins_a_writer_that_waits() {
    join_while_writing(WhenFull::Refuse, false);
}

#[test]
fn reader_joins_at_the_oldest() {
    join_while_writing(WhenFull::Refuse, true);
}

#[test]
fn reader_joins_a_writer_that_overruns() {
    join_while_writing(WhenFull::DropOldest { at_once: 1 }, true);
}

#[test]
fn reader_that_leaves_gives_its_slots_free() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut writer, ring) = single(options(1, 1, WhenFull::Refuse));
        let mut reader = ring.subscribe().unwrap();
        let other = thread::spawn(move || write_all(&mut writer, 0..2));
        reader.for_each(1, |event| assert_eq!(**event, 0));
        drop(reader);
        other.join().unwrap();
    });
}

#[test]
fn seat_is_handed_on_with_all_that_was_read_from_it() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut writer, ring) = single(options(2, 1, WhenFull::Refuse));
        let mut first = ring.subscribe().unwrap();
        write_all(&mut writer, 0..2);
        let one = thread::spawn(move || first.for_each(1, |event| assert_eq!(**event, 0)));
        let other = thread::spawn(move || drop(writer.publish(Box::new(2))));
        if let Ok(mut second) = ring.subscribe_oldest() {
            second.for_each(1, |event| assert!(**event < 3));
        }
        one.join().unwrap();
        other.join().unwrap();
    });
}

/// Two writers, one event or batch each, and a reader: all arrive, each writer's in order.
fn two_writers(capacity: usize, when_full: WhenFull) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let (writer, ring) = multi(options(capacity, 1, when_full));
        let mut reader = ring.subscribe().unwrap();
        let mut other_writer = writer.clone();
        let mut first_writer = writer;
        let other = thread::spawn(move || {
            let mut batch = vec![Box::new(10), Box::new(11)];
            while !batch.is_empty() {
                if other_writer.publish_from(&mut batch).is_err() {
                    thread::yield_now();
                }
            }
        });
        // Once only: the same thread reads, and would wait for itself.
        drop(first_writer.publish(Box::new(20)));
        drop(first_writer);
        let (mut got, mut count) = (vec![], 0);
        loop {
            let is_closed = reader.is_closed();
            match reader.read(4) {
                Some(batch) => {
                    count += batch.missed() + batch.len() as u64;
                    got.extend(batch.iter().map(|event| **event));
                    let len = batch.len();
                    batch.consume(len);
                }
                None if is_closed => break,
                None => thread::yield_now(),
            }
        }
        other.join().unwrap();
        assert_eq!(count, ring.counters().published);
        assert!(got.iter().filter(|event| **event < 20).is_sorted());
    });
}

#[test]
fn two_writers_share_a_ring() {
    two_writers(4, WhenFull::Refuse);
}

#[test]
fn two_writers_reuse_slots() {
    two_writers(1, WhenFull::Refuse);
}

#[test]
fn two_writers_overrun() {
    two_writers(1, WhenFull::DropOldest { at_once: 1 });
}

#[test]
fn room_found_by_one_writer_is_safe_for_the_other() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (mut writer, ring) = multi(options(2, 1, WhenFull::Refuse));
        let mut reader = ring.subscribe().unwrap();
        writer.publish_from(&mut vec![Box::new(0), Box::new(1)]).unwrap();
        let mut second = writer.clone();
        let one = thread::spawn(move || reader.for_each(2, |event| assert!(**event < 2)));
        let other = thread::spawn(move || drop(second.publish(Box::new(2))));
        drop(writer.publish(Box::new(3)));
        one.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn second_reader_may_rely_on_what_the_first_found() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (mut writer, ring) = multi(options(2, 2, WhenFull::Refuse));
        let (mut first, mut second) = (ring.subscribe().unwrap(), ring.subscribe().unwrap());
        let one = thread::spawn(move || writer.publish(Box::new(7)).unwrap());
        let other = thread::spawn(move || first.for_each(1, |event| assert_eq!(**event, 7)));
        second.for_each(1, |event| assert_eq!(**event, 7));
        one.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn sleeping_reader_is_woken() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut writer, ring) = single(options(2, 1, WhenFull::Refuse));
        let mut reader = ring.subscribe().unwrap();
        let bell = Arc::new(Bell::new());
        let ringer = Arc::clone(&bell);
        let other = thread::spawn(move || {
            writer.publish(Box::new(1)).unwrap();
            ringer.ring()
        });
        let doze = bell.prepare_sleep();
        let would_block = reader.is_empty();
        let is_rung = other.join().unwrap();
        assert!(!would_block || is_rung, "the event was not seen, and nobody would wake the reader");
        drop(doze);
    });
}
