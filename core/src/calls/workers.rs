//! Threads that execute calls, behind a bounded queue.

use super::lines::Outcome;
use super::service::{Action, Context, Failure, Interceptor, execute};
use super::{CallId, Metadata, Parts, Status};
use crate::io::Waker;
use crate::messages::EndpointId;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// A call that waits for a worker.
pub(super) struct Job {
    pub endpoint: EndpointId,
    pub call: CallId,
    pub name: Arc<str>,
    pub action: Action,
    /// Of a streamed call.
    pub parts: Option<Parts>,
    pub interceptors: Vec<Arc<dyn Interceptor>>,
    pub deadline: Option<Instant>,
    pub metadata: Metadata,
    pub caller: Option<[u8; 32]>,
    pub arguments: Vec<u8>,
    pub is_cancelled: Arc<AtomicBool>,
}

/// A call that a worker is done with.
pub(super) struct Done {
    pub endpoint: EndpointId,
    pub call: CallId,
    pub outcome: Outcome,
}

/// The pool. Dropping it lets the calls that have begun end, and waits for them.
pub(super) struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    queue_max: usize,
}

struct Shared {
    waiting: Mutex<Waiting>,
    has_work: Condvar,
    done: Mutex<Vec<Done>>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    is_over: bool,
}

impl Workers {
    /// Errors: those of `pthread_create(3)`.
    pub fn start(count: usize, queue_max: usize, waker: Option<Waker>) -> std::io::Result<Workers> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            has_work: Condvar::new(),
            done: Mutex::default(),
            waker,
        });
        let mut workers = Workers { shared, threads: Vec::with_capacity(count), queue_max };
        for number in 0..count {
            let shared = Arc::clone(&workers.shared);
            let builder = std::thread::Builder::new().name(format!("clc-call-{number}"));
            workers.threads.push(builder.spawn(move || shared.work())?);
        }
        Ok(workers)
    }

    /// Gives a call to the pool. False when as many wait as may.
    pub fn push(&self, job: Job) -> bool {
        let mut waiting = lock(&self.shared.waiting);
        if waiting.jobs.len() >= self.queue_max {
            return false;
        }
        waiting.jobs.push_back(job);
        drop(waiting);
        self.shared.has_work.notify_one();
        true
    }

    /// What is done since the last call.
    pub fn take_done(&self) -> Vec<Done> {
        std::mem::take(&mut *lock(&self.shared.done))
    }

    /// Calls that wait for a worker.
    pub fn waiting(&self) -> usize {
        lock(&self.shared.waiting).jobs.len()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut waiting = lock(&self.shared.waiting);
        waiting.is_over = true;
        waiting.jobs.clear();
        drop(waiting);
        self.shared.has_work.notify_all();
        for thread in self.threads.drain(..) {
            // A handler's panic was caught where it ran.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            let done = run(job);
            let mut list = lock(&self.done);
            list.push(done);
            let is_first = list.len() == 1;
            drop(list);
            // Whoever comes to the empty list rings; the loop takes the whole list.
            if is_first && let Some(waker) = &self.waker {
                waker.wake();
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut waiting = lock(&self.waiting);
        loop {
            if waiting.is_over {
                return None;
            }
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            waiting = self.has_work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn run(job: Job) -> Done {
    let Job { endpoint, call, .. } = job;
    // Relaxed: it is set or will be seen by the handler.
    let refused = if job.is_cancelled.load(Ordering::Relaxed) {
        Some(Failure::new(Status::Cancelled, "cancelled before it began"))
    } else if job.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        Some(Failure::new(Status::DeadlineExceeded, "the deadline passed before it began"))
    } else {
        None
    };
    if let Some(refused) = refused {
        return Done { endpoint, call, outcome: Err((refused, true)) };
    }
    let context = Context {
        method: &job.name,
        metadata: job.metadata.borrow(),
        deadline: job.deadline,
        caller: job.caller,
        is_cancelled: Some(&job.is_cancelled),
    };
    let mut results = Vec::new();
    let outcome = execute(&context, &job.interceptors, || match (&job.action, &job.parts) {
        (Action::Whole(handler), _) => handler(&context, &job.arguments, &mut results),
        (Action::Streamed(handler), Some(parts)) => handler(&context, &job.arguments, parts, &mut results),
        (Action::Streamed(_), None) => Err(Failure::new(Status::Internal, "a streamed call has parts")),
    });
    Done { endpoint, call, outcome: outcome.map(|()| results) }
}

/// A worker that panicked outside a handler leaves the lists whole: nothing is half done under the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
