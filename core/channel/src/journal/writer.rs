//! The thread that writes: one transaction for all that it finds waiting.

use super::Failure;
use super::queue::Queue;
use super::store::Store;
use rusqlite::ErrorCode;

/// Runs until the queue is closed and empty, or a commit fails.
pub(super) fn run(queue: &Queue, mut store: Store, wake: &dyn Fn()) {
    // A panic would leave appends without an answer: the guard answers them.
    let mut guard = Guard { queue, wake, next: 0, is_done: false };
    while let Some(batch) = queue.take() {
        let count = batch.appends.len() as u64;
        guard.next = batch.first;
        let outcome = store.commit(&batch, queue.options());
        let is_failed = outcome.is_err();
        queue.complete(batch.first, count, outcome.map_err(|error| failure(&error)));
        guard.next = batch.first + count;
        wake();
        if is_failed {
            // What comes now is refused by the queue. The database is closed without another write.
            break;
        }
    }
    guard.is_done = true;
}

struct Guard<'a> {
    queue: &'a Queue,
    wake: &'a dyn Fn(),
    next: u64,
    is_done: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let cause = "the journal's thread ended unexpectedly".into();
            self.queue.complete_rest(self.next, Failure::Disk { cause });
            (self.wake)();
        }
    }
}

fn failure(error: &rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Failure::DiskFull,
        _ => Failure::Disk { cause: error.to_string() },
    }
}
