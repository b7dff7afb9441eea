//! The journal: records on disk before anybody is told so, on SQLite.
//!
//! [`Journal::append`] puts a record into a bounded queue and returns a [`Ticket`]; one thread drains the queue and
//! commits what it finds together (group commit), in WAL mode with `synchronous=FULL`; [`Journal::poll`] then says of runs
//! of tickets at which offsets they are, or that they failed. Acknowledged means on disk.
//!
//! Invariants:
//! - Offsets count up over all channels, follow the order of the appends, and are never used twice. What is said of channels
//!   ([`Change`]) goes the same way, in the same order, and takes an offset too.
//! - A commit that fails fails exactly its own records; those queued behind it, and every later append, fail as
//!   [`Failure::Broken`] until the journal is opened anew. A record that failed may be found again then: its bytes may have
//!   reached the disk before the error. It was not acknowledged, so its supplier repeats it under the same event id.
//! - What is in flight (queued, or done and not polled) is bounded by [`JournalOptions`].
//! - Times do not go back: a record's time is at least that of the one before it.
//!
//! Retention and the positions of consumers are written by the same thread, in the same transactions.
//! Source: SQLite's "Write-Ahead Logging"; group commit after DeWitt et al., 1984.

mod change;
mod error;
mod queue;
mod reader;
mod store;
mod writer;

pub use change::Change;
pub use error::{AppendError, Failure, JournalError};
pub use reader::{Reader, Record, StoredChannel, StoredConsumer};

use clustercore_proto::time::{Duration, Instant};
use queue::{Append, Command, Queue, What};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use store::Store;

/// A journal that is open for writing. Any number of threads may append; one process has it open.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    /// Locked as long as the journal is open.
    _lock: File,
}

/// The number of an append, from 0, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// What became of a run of appends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completion {
    /// The first of them.
    pub first: Ticket,
    /// How many, with successive tickets.
    pub count: u64,
    /// The offset of the first; the others follow it. Or why none of them is acknowledged.
    pub outcome: Result<u64, Failure>,
}

/// How much of a channel is kept. What exceeds one of the bounds goes, the oldest first. Zero is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// Records.
    pub records_max: u64,
    /// Bytes of records.
    pub bytes_max: u64,
    /// Age, by the time of the newest append, or that of [`Journal::trim`].
    pub age_max: Duration,
}

/// Bounds of a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalOptions {
    /// Records in flight.
    pub queue_records_max: usize,
    /// Bytes of records that are queued.
    pub queue_bytes_max: usize,
    /// Bytes of one record.
    pub record_bytes_max: usize,
    /// Records of one commit.
    pub commit_records_max: usize,
    /// Pages of 4 KiB in the write-ahead log before they are moved into the database.
    pub wal_pages_max: u32,
    /// Positions of consumers that are waiting to be written.
    pub positions_max: usize,
    /// Records that one commit removes, at most, for the sake of retention.
    pub trim_records_max: usize,
    /// What is kept of a channel that has no retention of its own.
    pub retention: Retention,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions {
            queue_records_max: 65_536,
            queue_bytes_max: 64 << 20,
            record_bytes_max: 2 << 20,
            commit_records_max: 1024,
            wal_pages_max: 4096,
            positions_max: 16_384,
            trim_records_max: 4096,
            retention: Retention::default(),
        }
    }
}

impl Journal {
    /// Opens the journal at `path`, and makes it when there is none. What was acknowledged before a crash is there.
    ///
    /// `wake` is called by the journal's thread when there is something to poll; it must not block.
    /// Errors: another process has it open; the file cannot be opened or is no journal.
    pub fn open(
        path: &Path,
        options: JournalOptions,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Journal, JournalError> {
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(|error| JournalError::new("open the lock of", path, &error))?;
        lock.try_lock().map_err(|error| JournalError::new("lock", path, &error))?;
        let store = Store::open(path, &options).map_err(|error| JournalError::new("open", path, &error))?;
        let queue = Arc::new(Queue::new(options));
        let shared = queue.clone();
        let thread = std::thread::Builder::new().name("journal".into());
        let thread = thread.spawn(move || writer::run(&shared, store, &wake));
        let thread = thread.map_err(|error| JournalError::new("start the thread of", path, &error))?;
        Ok(Journal { path: path.into(), queue, thread: Some(thread), _lock: lock })
    }

    /// Queues a record of `channel`, which happened at `at`. Does not block.
    ///
    /// Errors: it is too large, too much is in flight (poll, and try again), or the journal is broken.
    pub fn append(&self, channel: u32, at: Instant, record: Arc<[u8]>) -> Result<Ticket, AppendError> {
        self.queue.append(Append { channel, what: What::Record { at, bytes: record } })
    }

    /// Queues what is to be known of `channel`, behind what was appended before. Does not block.
    ///
    /// Errors: as [`Journal::append`].
    pub fn change(&self, channel: u32, change: Change) -> Result<Ticket, AppendError> {
        self.queue.append(Append { channel, what: What::Change(change) })
    }

    /// Moves what has been completed into `completions`, in the order of the tickets; how many runs there were.
    pub fn poll(&self, completions: &mut Vec<Completion>) -> usize {
        self.queue.poll(completions)
    }

    /// Notes that `consumer` (at most 256 bytes) has acknowledged everything of `channel` below `offset`.
    ///
    /// It is on disk some time later; a crash may bring back an older position, never a newer one.
    /// Errors: too many positions wait, the name is too long, or the journal is broken.
    pub fn set_position(&self, channel: u32, consumer: &str, offset: u64) -> Result<(), AppendError> {
        self.queue.set_position(channel, consumer, offset)
    }

    /// Forgets the position of `consumer`.
    ///
    /// Errors: as [`Journal::set_position`].
    pub fn remove_position(&self, channel: u32, consumer: &str) -> Result<(), AppendError> {
        self.queue.command(Command::RemovePosition(channel, consumer.into()))
    }

    /// Keeps as much of `channel` as `retention` says, for as long as the journal is open.
    ///
    /// Errors: as [`Journal::set_position`].
    pub fn set_retention(&self, channel: u32, retention: Retention) -> Result<(), AppendError> {
        self.queue.command(Command::Retention(channel, retention))
    }

    /// Removes what is too old at `now`. Appends do it too, by their own time.
    ///
    /// Errors: as [`Journal::set_position`].
    pub fn trim(&self, now: Instant) -> Result<(), AppendError> {
        self.queue.command(Command::Trim(now))
    }

    /// The records of `channel` below `offset` are not needed any more: they go with later commits, some with each.
    ///
    /// Errors: as [`Journal::set_position`].
    pub fn forget(&self, channel: u32, offset: u64) -> Result<(), AppendError> {
        self.queue.command(Command::Forget(channel, offset))
    }

    /// Notes that numbers of `channel` below `next` are used, whatever its records say.
    ///
    /// Errors: as [`Journal::set_position`].
    pub fn set_next(&self, channel: u32, next: u64) -> Result<(), AppendError> {
        self.queue.command(Command::Next(channel, next))
    }

    /// Why the journal acknowledges nothing any more; `None` when it works.
    pub fn failure(&self) -> Option<Failure> {
        self.queue.failure()
    }

    /// Somebody who reads, with a connection of its own.
    ///
    /// Errors: the file cannot be opened.
    pub fn reader(&self) -> Result<Reader, JournalError> {
        Reader::open(&self.path)
    }
}

/// Commits what is queued, then ends the thread.
impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
