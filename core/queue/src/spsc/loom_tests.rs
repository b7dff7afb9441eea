//! Every interleaving of small exchanges: contents ordered by positions, ends by the gone flags.

use loom::thread;

use super::*;

#[test]
fn items_arrive_whole_and_slots_are_reused_safely() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(2);
        let other = thread::spawn(move || {
            for value in 1..=3u32 {
                let mut item = Box::new(value);
                while let Err(Full(back)) = producer.push(item) {
                    item = back;
                    thread::yield_now();
                }
            }
        });
        for expected in 1..=3 {
            let item = loop {
                match consumer.pop() {
                    Some(item) => break item,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(*item, expected);
        }
        other.join().unwrap();
        assert!(consumer.is_empty());
    });
}

#[test]
fn chunk_appears_in_one_step() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(2);
        let other = thread::spawn(move || {
            assert_eq!(producer.push_slice(&[1, 2]), 2);
            while producer.push(3).is_err() {
                thread::yield_now();
            }
        });
        let first: Vec<u32> = loop {
            match consumer.read_chunk(2) {
                Some(chunk) => break chunk.drain().collect(),
                None => thread::yield_now(),
            }
        };
        assert_eq!(first, [1, 2]);
        other.join().unwrap();
        assert_eq!(consumer.pop(), Some(3));
    });
}

#[test]
fn last_item_is_seen_when_the_producer_is_seen_gone() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(1);
        let other = thread::spawn(move || producer.push(Box::new(7)).unwrap());
        if consumer.is_abandoned() {
            assert_eq!(consumer.pop().as_deref(), Some(&7));
        }
        other.join().unwrap();
    });
}

#[test]
fn rest_is_dropped_by_whoever_leaves_last() {
    loom::model(|| {
        let token = Arc::new(());
        let (mut producer, mut consumer) = ring(2);
        let sent = Arc::clone(&token);
        let other = thread::spawn(move || {
            producer.push(Arc::clone(&sent)).unwrap();
            producer.push(sent).unwrap();
        });
        drop(consumer.pop());
        drop(consumer);
        other.join().unwrap();
        assert_eq!(Arc::strong_count(&token), 1);
    });
}
