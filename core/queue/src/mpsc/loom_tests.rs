//! Every interleaving of small exchanges: lanes join, items follow, ends are seen. What happens inside a lane is `spsc`'s.

use loom::thread;

use super::*;
use crate::sync::Ordering;

/// Explores with at most three forced switches per run: with three threads all schedules are too many,
/// and known ordering bugs show with two (CHESS, Musuvathi and Qadeer 2007).
fn check(body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(body);
}

fn recv_waiting<T>(receiver: &mut Receiver<T>) -> Option<T> {
    loop {
        match receiver.recv() {
            Ok(item) => return Some(item),
            Err(RecvError::Empty) => thread::yield_now(),
            Err(RecvError::Closed) => return None,
        }
    }
}

#[test]
fn two_senders_one_receiver() {
    check(|| {
        let (sender, mut receiver) = ring(2);
        let other = sender.clone();
        let threads = [(sender, 1), (other, 2)].map(|(mut sender, item)| {
            thread::spawn(move || assert!(sender.try_send(Box::new(item)).is_ok()))
        });
        let first = *recv_waiting(&mut receiver).unwrap();
        let second = *recv_waiting(&mut receiver).unwrap();
        assert_eq!(first + second, 3);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
    });
}

#[test]
fn a_lane_joins_whole_with_what_was_sent_in_it() {
    // Two lanes are pushed at once while the receiver takes what there is.
    check(|| {
        let (sender, mut receiver) = ring(1);
        assert_eq!(receiver.recv(), Err(RecvError::Empty));
        let other = thread::spawn({
            let opener = sender.clone();
            move || {
                let mut lane = opener.clone();
                assert!(lane.try_send(Box::new(1)).is_ok());
            }
        });
        let mut lane = sender.clone();
        assert!(lane.try_send(Box::new(2)).is_ok());
        let early = receiver.recv().map(|item| *item).unwrap_or(0);
        other.join().unwrap();
        let mut sum = early;
        receiver.drain(&mut |item| sum += *item, 3);
        assert_eq!(sum, 3);
    });
}

#[test]
fn closed_comes_after_the_last_item() {
    check(|| {
        let (sender, mut receiver) = ring(2);
        let other = sender.clone();
        let threads = [sender, other]
            .map(|mut sender| thread::spawn(move || assert!(sender.try_send(Box::new(1)).is_ok())));
        let mut sum = 0;
        while let Some(item) = recv_waiting(&mut receiver) {
            sum += *item;
        }
        assert_eq!(sum, 2);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_lane_that_goes_has_been_emptied() {
    // The sender goes between the receiver's two looks at its lane, while another sender keeps the queue open.
    check(|| {
        let (sender, mut receiver) = ring(1);
        let mut leaving = sender.clone();
        let other = thread::spawn(move || assert!(leaving.try_send(Box::new(7)).is_ok()));
        let early = receiver.recv();
        other.join().unwrap();
        let late = receiver.recv();
        assert_eq!(early.or(late).as_deref(), Ok(&7));
        drop(sender);
    });
}

#[test]
fn items_sent_to_a_leaving_receiver_are_dropped() {
    loom::model(|| {
        let token = Arc::new(());
        let (sender, receiver) = ring(1);
        let sent = Arc::clone(&token);
        let other = thread::spawn(move || {
            let mut lane = sender.clone();
            drop(lane.try_send(sent));
        });
        drop(receiver);
        other.join().unwrap();
        assert_eq!(Arc::strong_count(&token), 1);
    });
}

#[test]
fn what_was_done_before_the_close_is_seen_after_it() {
    // An asker that finds the queue closed looks for its answer a last time.
    loom::model(|| {
        let answered = Arc::new(AtomicBool::new(false));
        let (mut sender, mut receiver) = ring::<Box<i32>>(1);
        let answer = Arc::clone(&answered);
        let other = thread::spawn(move || {
            answer.store(true, Ordering::Relaxed);
            receiver.close();
            while receiver.recv().is_ok() {}
        });
        let sent = sender.try_send(Box::new(1));
        if sender.is_closed() {
            assert!(answered.load(Ordering::Relaxed));
        }
        assert!(!matches!(sent, Err(SendError::Full(_))));
        other.join().unwrap();
    });
}
