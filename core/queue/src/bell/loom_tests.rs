//! No wake-up is lost, with the queues the bell is used with.

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

use super::*;
use crate::{mpsc, spsc};

/// An eventfd in small. A sleeper whose wake-up is lost spins for ever, which loom reports as a run with
/// too many branches.
struct EventFd {
    ready: AtomicBool,
    signals: AtomicUsize,
}

impl EventFd {
    fn new() -> Self {
        Self { ready: AtomicBool::new(false), signals: AtomicUsize::new(0) }
    }

    fn signal(&self) {
        self.signals.fetch_add(1, Ordering::Relaxed);
        // Relaxed, weaker than a system call: the bell must not lean on the order that one would give.
        self.ready.store(true, Ordering::Relaxed);
    }

    fn wait(&self) {
        while !self.ready.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        self.ready.store(false, Ordering::Relaxed);
    }
}

#[test]
fn sleeping_consumer_of_an_spsc_ring_is_woken() {
    loom::model(|| {
        let (mut producer, mut consumer) = spsc::ring(1);
        let bell = Arc::new((Bell::new(), EventFd::new()));
        let other = Arc::clone(&bell);
        let thread = thread::spawn(move || {
            producer.push(7).unwrap();
            if other.0.ring() {
                other.1.signal();
            }
        });
        let mut sleeps = 0;
        let item = loop {
            if let Some(item) = consumer.pop() {
                break item;
            }
            let doze = bell.0.prepare_sleep();
            if consumer.is_empty() {
                sleeps += 1;
                bell.1.wait();
            }
            drop(doze);
        };
        assert_eq!(item, 7);
        thread.join().unwrap();
        // Woken for the publication only: there is nothing else to sleep through.
        assert!(sleeps <= 1);
    });
}

#[test]
fn two_senders_wake_a_sleeper_once_each_at_most() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (sender, mut receiver) = mpsc::ring(2);
        let bell = Arc::new((Bell::new(), EventFd::new()));
        let threads = [sender.clone(), sender].map(|mut sender| {
            let bell = Arc::clone(&bell);
            thread::spawn(move || {
                sender.try_send(1).unwrap();
                if bell.0.ring() {
                    bell.1.signal();
                }
            })
        });
        let (mut received, mut announced) = (0, 0);
        while received < 2 {
            if receiver.recv().is_ok() {
                received += 1;
                continue;
            }
            let doze = bell.0.prepare_sleep();
            announced += 1;
            if receiver.is_empty() {
                bell.1.wait();
            }
            drop(doze);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(bell.1.signals.load(Ordering::Relaxed) <= announced);
    });
}

#[test]
fn one_of_two_ringers_is_told_to_wake() {
    loom::model(|| {
        let bell = Arc::new(Bell::new());
        let doze = bell.prepare_sleep();
        let threads = [(); 2].map(|()| {
            let bell = Arc::clone(&bell);
            thread::spawn(move || bell.ring())
        });
        let told = threads.map(|thread| thread.join().unwrap()).into_iter().filter(|&told| told).count();
        assert_eq!(told, 1);
        assert!(doze.wake());
    });
}

#[test]
fn wake_knows_whether_a_signal_is_coming() {
    loom::model(|| {
        let bell = Arc::new(Bell::new());
        let other = Arc::clone(&bell);
        let doze = bell.prepare_sleep();
        let thread = thread::spawn(move || other.ring());
        let expects = doze.wake();
        assert_eq!(thread.join().unwrap(), expects);
    });
}
