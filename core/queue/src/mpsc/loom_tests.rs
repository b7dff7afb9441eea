//! Every interleaving of small exchanges: claims divide, stamps publish, `head` gives room back.

use loom::thread;

use super::*;

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
        let threads = [(sender, 1), (other, 2)]
            .map(|(sender, item)| thread::spawn(move || assert!(sender.try_send(Box::new(item)).is_ok())));
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
fn slots_are_reused_safely() {
    loom::model(|| {
        let (sender, mut receiver) = ring(1);
        let other = thread::spawn(move || {
            for value in 1..=3u32 {
                let mut item = Box::new(value);
                while let Err(back) = sender.try_send(item) {
                    item = back.into_inner();
                    thread::yield_now();
                }
            }
        });
        for expected in 1..=3 {
            assert_eq!(recv_waiting(&mut receiver).as_deref(), Some(&expected));
        }
        assert_eq!(recv_waiting(&mut receiver), None);
        other.join().unwrap();
    });
}

#[test]
fn slot_of_one_sender_is_reused_by_another() {
    // The second sender's room is the receiver's release of the first one's slot.
    loom::model(|| {
        let (sender, mut receiver) = ring(1);
        let other = sender.clone();
        sender.try_send(Box::new(1)).unwrap();
        let second = thread::spawn(move || other.try_send(Box::new(2)).is_ok());
        assert_eq!(receiver.recv().as_deref(), Ok(&1));
        let sent = second.join().unwrap();
        assert_eq!(receiver.recv().is_ok(), sent);
    });
}

#[test]
fn shared_handle_hands_its_view_of_the_head_on() {
    // One thread learns of the room, another may send on the strength of what it wrote down.
    check(|| {
        let (sender, mut receiver) = ring(1);
        sender.try_send(Box::new(1)).unwrap();
        let sender = Arc::new(sender);
        let threads = [2, 3].map(|item| {
            let sender = Arc::clone(&sender);
            thread::spawn(move || sender.try_send(Box::new(item)).is_ok())
        });
        assert_eq!(receiver.recv().as_deref(), Ok(&1));
        let sent = threads.map(|thread| thread.join().unwrap()).into_iter().filter(|&sent| sent).count();
        assert!(sent <= 1);
        assert_eq!(receiver.recv().is_ok(), sent == 1);
    });
}

#[test]
fn batches_stay_whole() {
    check(|| {
        let (sender, mut receiver) = ring(4);
        let other = sender.clone();
        let threads = [(sender, 10), (other, 20)].map(|(sender, base)| {
            thread::spawn(move || {
                assert_eq!(sender.try_send_many(&mut [base, base + 1].into_iter()), Ok(2));
            })
        });
        for _ in 0..2 {
            let first = recv_waiting(&mut receiver).unwrap();
            assert_eq!(recv_waiting(&mut receiver), Some(first + 1));
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn drain_gives_room_back() {
    loom::model(|| {
        let (sender, mut receiver) = ring(2);
        let other = thread::spawn(move || {
            assert_eq!(sender.try_send_many(&mut [1, 2].map(Box::new).into_iter()), Ok(2));
            sender.try_send(Box::new(3)).is_ok()
        });
        let mut got = vec![];
        receiver.drain(&mut |item| got.push(*item), 2);
        let third = other.join().unwrap();
        receiver.drain(&mut |item| got.push(*item), 3);
        assert_eq!(got, if third { vec![1, 2, 3] } else { vec![1, 2] });
    });
}

#[test]
fn closed_comes_after_the_last_item() {
    check(|| {
        let (sender, mut receiver) = ring(2);
        let other = sender.clone();
        let threads = [sender, other]
            .map(|sender| thread::spawn(move || assert!(sender.try_send(Box::new(1)).is_ok())));
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
fn items_sent_to_a_leaving_receiver_are_dropped() {
    loom::model(|| {
        let token = Arc::new(());
        let (sender, receiver) = ring(1);
        let sent = Arc::clone(&token);
        let other = thread::spawn(move || drop(sender.try_send(sent)));
        drop(receiver);
        other.join().unwrap();
        assert_eq!(Arc::strong_count(&token), 1);
    });
}

#[test]
fn what_was_done_before_the_close_is_seen_after_it() {
    // An asker that finds the ring closed looks for its answer a last time.
    loom::model(|| {
        let answered = Arc::new(AtomicBool::new(false));
        let (sender, mut receiver) = ring::<Box<i32>>(1);
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
