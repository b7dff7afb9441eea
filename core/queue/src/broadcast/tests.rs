//! Facts, and real threads.

use std::sync::atomic::{AtomicU64, Ordering as StdOrdering};
use std::thread;

use super::*;
use crate::lease::Pool;

fn options(capacity: usize, when_full: WhenFull) -> Options {
    Options { capacity, readers_max: 4, when_full }
}

fn read<T: Clone>(reader: &mut Reader<T>, count_max: usize) -> (u64, Vec<T>) {
    let Some(batch) = reader.read(count_max) else { return (0, vec![]) };
    let got = (batch.missed(), batch.iter().cloned().collect());
    let len = batch.len();
    batch.consume(len);
    got
}

#[test]
fn full_ring_gives_the_event_back() {
    let (mut writer, ring) = single(options(2, WhenFull::Refuse));
    let mut reader = ring.subscribe().unwrap();
    assert_eq!(writer.publish_from(&mut vec![1, 2]), Ok(2));
    assert_eq!(writer.publish(3), Err(Full(3)));
    let mut more = vec![4, 5];
    assert_eq!(writer.publish_from(&mut more), Err(Full(())));
    assert_eq!(read(&mut reader, 1), (0, vec![1]));
    assert_eq!(writer.publish_from(&mut more), Ok(1));
    assert_eq!(more, [5]);
    assert_eq!(read(&mut reader, 9), (0, vec![2, 4]));
    assert_eq!(ring.counters(), Counters { published: 3, refused: 2, ..Counters::default() });
}

#[test]
fn newest_is_dropped_and_counted() {
    let (mut writer, ring) = multi(options(2, WhenFull::DropNewest));
    let mut reader = ring.subscribe().unwrap();
    let mut events = vec![1, 2, 3, 4];
    assert_eq!(writer.publish_from(&mut events), Ok(2));
    assert!(events.is_empty());
    assert_eq!(writer.publish(5), Ok(()));
    assert_eq!(ring.counters().dropped_newest, 3);
    assert_eq!(read(&mut reader, 9), (0, vec![1, 2]));
}

#[test]
fn overrun_reader_learns_how_many_it_missed() {
    let (mut writer, ring) = single(options(4, WhenFull::DropOldest { at_once: 1 }));
    let mut reader = ring.subscribe().unwrap();
    for event in 0..7 {
        writer.publish(event).unwrap();
    }
    assert_eq!(reader.lag(), 7);
    assert_eq!(read(&mut reader, 2), (3, vec![3, 4]));
    assert_eq!(read(&mut reader, 9), (0, vec![5, 6]));
    assert_eq!(ring.counters().missed, 3);
}

#[test]
fn floor_moves_as_many_as_configured() {
    let (mut writer, ring) = single(options(8, WhenFull::DropOldest { at_once: 4 }));
    let mut reader = ring.subscribe().unwrap();
    for event in 0..9 {
        writer.publish(event).unwrap();
    }
    assert_eq!(read(&mut reader, 9), (4, vec![4, 5, 6, 7, 8]));
}

#[test]
fn batch_in_progress_is_not_overrun_and_an_unread_one_tells_again() {
    let (mut writer, ring) = single(options(2, WhenFull::DropOldest { at_once: 1 }));
    let mut reader = ring.subscribe().unwrap();
    for event in 0..3 {
        writer.publish(event).unwrap();
    }
    let batch = reader.read(1).unwrap();
    assert_eq!((batch.missed(), batch.position()), (1, 1));
    assert_eq!(writer.publish(3), Err(Full(3)));
    assert_eq!(batch.as_slices().0, [1]);
    drop(batch);
    assert_eq!(read(&mut reader, 1), (1, vec![1]));
    writer.publish(3).unwrap();
    assert_eq!(read(&mut reader, 9), (0, vec![2, 3]));
}

#[test]
fn without_readers_nothing_is_kept_back() {
    let (mut writer, ring) = single(options(2, WhenFull::Refuse));
    for event in 0..9 {
        writer.publish(event).unwrap();
    }
    let mut late = ring.subscribe_oldest().unwrap();
    assert_eq!(read(&mut late, 9).1.last(), Some(&8));
    let mut later = ring.subscribe().unwrap();
    assert_eq!(read(&mut later, 9), (0, vec![]));
}

#[test]
fn seats_are_bounded_and_used_again() {
    let (_writer, ring) = single::<u8>(Options { readers_max: 1, ..Options::default() });
    let reader = ring.subscribe().unwrap();
    assert_eq!(ring.subscribe().unwrap_err(), Crowded { readers_max: 1 });
    drop(reader);
    assert_eq!(ring.readers(), 0);
    assert!(ring.subscribe().is_ok());
}

#[test]
fn claim_is_published_in_one_step_and_survives_a_panic() {
    let (mut writer, ring) = single(options(4, WhenFull::Refuse));
    let mut reader = ring.subscribe().unwrap();
    assert_eq!(writer.claim(9).unwrap().len(), 4);
    assert!(reader.is_empty());
    let source = [1, 2].into_iter().chain(std::iter::once_with(|| panic!("source")));
    let claim = writer.claim(3).unwrap();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| claim.fill_from(source))).is_err());
    assert_eq!(read(&mut reader, 9), (0, vec![1, 2]));
    assert_eq!(writer.claim(2).unwrap().fill_from(3..), 2);
    assert_eq!(reader.for_each(9, |_| ()), 2);
    assert!(writer.claim(0).is_none());
}

#[test]
#[should_panic(expected = "at_once is 5, limit is 1..=4")]
fn impossible_step_is_refused() {
    let _ = single::<u8>(options(4, WhenFull::DropOldest { at_once: 5 }));
}

#[test]
fn lease_lies_in_memory_once_for_a_thousand_readers() {
    let pool = Pool::new(4, 64);
    let (mut writer, ring) = single(Options { capacity: 8, readers_max: 1000, ..Options::default() });
    let mut readers: Vec<_> = (0..1000).map(|_| ring.subscribe().unwrap()).collect();
    let mut lease = pool.take().unwrap();
    lease.as_mut_slice().unwrap()[..5].copy_from_slice(b"quote");
    let address = lease.as_slice().as_ptr();
    writer.publish(lease).unwrap();
    for reader in &mut readers {
        assert_eq!(
            reader.for_each(1, |event| assert_eq!((event.as_ptr(), &event[..5]), (address, &b"quote"[..]))),
            1
        );
    }
    assert_eq!(pool.in_use(), 1);
    writer.reclaim();
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn every_event_is_dropped_once() {
    struct Counted<'a>(&'a AtomicU64);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, StdOrdering::Relaxed);
        }
    }
    for when_full in [WhenFull::Refuse, WhenFull::DropNewest, WhenFull::DropOldest { at_once: 2 }] {
        let drops = AtomicU64::new(0);
        let (mut writer, ring) = multi(options(4, when_full));
        let mut reader = ring.subscribe().unwrap();
        for _ in 0..10 {
            drop(writer.publish(Counted(&drops)));
            let mut two = vec![Counted(&drops), Counted(&drops)];
            let _ = writer.publish_from(&mut two);
            reader.for_each(2, |_| ());
        }
        drop((writer, ring, reader));
        assert_eq!(drops.into_inner(), 30, "{when_full:?}");
    }
}

#[test]
fn gap_is_found_from_a_start_that_a_lap_has_passed() {
    let (mut writer, ring) = multi(options(4, WhenFull::Refuse));
    for event in 0..4 {
        writer.publish(event).unwrap();
    }
    // A writer that is suspended between its claim and its publication: a gap at 4.
    ring.shared.claimed.fetch_add(1, Ordering::Relaxed);
    writer.publish(5).unwrap();
    assert_eq!(ring.counters().published, 4);
    for start in 0..=4 {
        assert_eq!(ring.shared.filled_from(start), 4, "from {start}");
    }
    assert_eq!(ring.counters().published, 4);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn reader_takes_what_the_documentation_says() {
    assert_eq!(size_of::<crossbeam_utils::CachePadded<AtomicU64>>(), 128);
    assert_eq!(size_of::<Reader<u64>>(), 72);
}

/// Writers with batches of all sizes, readers that come and go: each sees every event from where it joined, or counts it as
/// missed; each writer's in order.
fn many_threads(when_full: WhenFull) {
    const EVENTS: u64 = 20_000;
    let (writer, ring) = multi(options(64, when_full));
    let lasting = [ring.subscribe().unwrap(), ring.subscribe().unwrap()];
    thread::scope(|scope| {
        for id in 0..3u64 {
            let mut writer = writer.clone();
            scope.spawn(move || {
                let (mut next, mut batch) = (0, vec![]);
                while next < EVENTS || !batch.is_empty() {
                    let fill = (next % 7 + 1).min(EVENTS - next);
                    if batch.is_empty() {
                        batch.extend((next..next + fill).map(|event| Box::new((id, event))));
                        next += fill;
                    }
                    if writer.publish_from(&mut batch).is_err() {
                        thread::yield_now();
                    }
                }
            });
        }
        drop(writer);
        for (index, mut reader) in lasting.into_iter().enumerate() {
            let ring = ring.clone();
            scope.spawn(move || {
                let (mut count, mut last) = (0, [None; 3]);
                let mut guest: Option<Reader<Box<(u64, u64)>>> = None;
                loop {
                    let is_closed = reader.is_closed();
                    let Some(batch) = reader.read(index * 30 + 1) else {
                        if is_closed {
                            break;
                        }
                        // Comes and goes beside the lasting one; the seats suffice for one guest each.
                        guest = if guest.is_some() { None } else { Some(ring.subscribe_oldest().unwrap()) };
                        guest.iter_mut().for_each(|guest| {
                            guest.for_each(3, |event| assert!(event.1 < EVENTS));
                        });
                        thread::yield_now();
                        continue;
                    };
                    count += batch.missed() + batch.len() as u64;
                    for event in batch.iter() {
                        let last = &mut last[event.0 as usize];
                        assert!(last.is_none_or(|last| last < event.1), "{last:?} before {event:?}");
                        *last = Some(event.1);
                    }
                    let len = batch.len();
                    batch.consume(len);
                    // Holds nobody back while this one is busy.
                    guest = None;
                }
                assert_eq!(count, 3 * EVENTS);
            });
        }
    });
    assert_eq!(ring.counters().published, 3 * EVENTS);
}

#[test]
fn many_threads_with_the_slowest_setting_the_pace() {
    many_threads(WhenFull::Refuse);
}

#[test]
fn many_threads_with_overrun() {
    many_threads(WhenFull::DropOldest { at_once: 16 });
}
