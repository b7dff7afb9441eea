//! What waits to be written, and what has been: between those who append and the thread that writes.

use super::{AppendError, Change, Completion, Failure, JournalOptions, Retention, Ticket};
use clustercore_proto::time::Instant;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct Append {
    pub channel: u32,
    pub what: What,
}

/// What is written in the order of the appends; each takes an offset.
#[derive(Debug)]
pub(super) enum What {
    Record { at: Instant, bytes: Arc<[u8]> },
    Change(Change),
}

impl What {
    fn len(&self) -> usize {
        match self {
            What::Record { bytes, .. } => bytes.len(),
            What::Change(change) => change.len(),
        }
    }
}

#[derive(Debug)]
pub(super) enum Command {
    RemovePosition(u32, Box<str>),
    Retention(u32, Retention),
    Trim(Instant),
    Forget(u32, u64),
    Next(u32, u64),
}

/// Positions by channel and consumer.
pub(super) type Positions = HashMap<(u32, Box<str>), u64>;

/// What one commit writes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub first: u64,
    pub appends: Vec<Append>,
    pub commands: Vec<Command>,
    pub positions: Positions,
}

#[derive(Debug)]
pub(super) struct Queue {
    options: JournalOptions,
    inner: Mutex<Inner>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    appends: VecDeque<Append>,
    bytes: usize,
    commands: Vec<Command>,
    positions: Positions,
    /// The ticket of the next append.
    next: u64,
    /// Tickets below it have been polled.
    polled: u64,
    done: VecDeque<Completion>,
    failure: Option<Failure>,
    is_closed: bool,
    /// The thread that writes waits: only then it has to be told, which is a system call.
    is_waiting: bool,
}

impl Queue {
    pub(super) fn new(options: JournalOptions) -> Queue {
        Queue { options, inner: Mutex::default(), news: Condvar::new() }
    }

    pub(super) fn options(&self) -> &JournalOptions {
        &self.options
    }

    pub(super) fn append(&self, append: Append) -> Result<Ticket, AppendError> {
        let (len, max) = (append.what.len(), self.options.record_bytes_max);
        if len > max {
            return Err(AppendError::TooLarge { len, max });
        }
        let mut inner = self.working()?;
        let (in_flight, max) = ((inner.next - inner.polled) as usize, self.options.queue_records_max);
        if in_flight >= max {
            return Err(AppendError::Full { len: in_flight, max });
        }
        let (bytes, max) = (inner.bytes + len, self.options.queue_bytes_max);
        if bytes > max {
            return Err(AppendError::Full { len: bytes, max });
        }
        let ticket = Ticket(inner.next);
        inner.next += 1;
        inner.bytes = bytes;
        match &append.what {
            What::Change(Change::RemoveChannel) => {
                inner.positions.retain(|(channel, _), _| *channel != append.channel);
            }
            What::Change(Change::RemoveConsumer { number }) => {
                inner.positions.remove(&(append.channel, number.to_string().into()));
            }
            _ => {}
        }
        inner.appends.push_back(append);
        self.tell(inner);
        Ok(ticket)
    }

    pub(super) fn set_position(&self, channel: u32, consumer: &str, offset: u64) -> Result<(), AppendError> {
        if consumer.len() > CONSUMER_BYTES_MAX {
            return Err(AppendError::TooLarge { len: consumer.len(), max: CONSUMER_BYTES_MAX });
        }
        let mut inner = self.working()?;
        let (len, max) = (inner.positions.len(), self.options.positions_max);
        let key = (channel, consumer.into());
        if len >= max && !inner.positions.contains_key(&key) {
            return Err(AppendError::Full { len, max });
        }
        inner.positions.insert(key, offset);
        self.tell(inner);
        Ok(())
    }

    pub(super) fn command(&self, command: Command) -> Result<(), AppendError> {
        let mut inner = self.working()?;
        let (len, max) = (inner.commands.len(), self.options.positions_max);
        if len >= max {
            return Err(AppendError::Full { len, max });
        }
        if let Command::RemovePosition(channel, consumer) = &command {
            inner.positions.remove(&(*channel, consumer.clone()));
        }
        inner.commands.push(command);
        self.tell(inner);
        Ok(())
    }

    pub(super) fn poll(&self, completions: &mut Vec<Completion>) -> usize {
        let mut inner = self.lock();
        let count = inner.done.len();
        inner.polled += inner.done.iter().map(|run| run.count).sum::<u64>();
        completions.extend(inner.done.drain(..));
        count
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        self.tell(inner);
    }

    /// Waits for something to write; `None` when the journal is closed and everything has been written.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut inner = self.lock();
        loop {
            if !(inner.appends.is_empty() && inner.commands.is_empty() && inner.positions.is_empty()) {
                break;
            }
            if inner.is_closed {
                return None;
            }
            inner.is_waiting = true;
            inner = self.news.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        let count = inner.appends.len().min(self.options.commit_records_max.max(1));
        let first = inner.next - inner.appends.len() as u64;
        let appends: Vec<Append> = inner.appends.drain(..count).collect();
        inner.bytes -= appends.iter().map(|append| append.what.len()).sum::<usize>();
        let commands = std::mem::take(&mut inner.commands);
        let positions = std::mem::take(&mut inner.positions);
        Some(Batch { first, appends, commands, positions })
    }

    /// Hands out what became of `count` appends from `first`. A failure is that of the journal from now on, and all
    /// that waits fails with it.
    pub(super) fn complete(&self, first: u64, count: u64, outcome: Result<u64, Failure>) {
        let mut inner = self.lock();
        let failure = outcome.as_ref().err().cloned();
        if count > 0 {
            inner.done.push_back(Completion { first: Ticket(first), count, outcome });
        }
        if let Some(failure) = failure {
            inner.failure = Some(failure);
            let (first, count) = (Ticket(first + count), inner.appends.len() as u64);
            if count > 0 {
                inner.done.push_back(Completion { first, count, outcome: Err(Failure::Broken) });
            }
            inner.appends.clear();
            inner.commands.clear();
            inner.positions.clear();
            inner.bytes = 0;
        }
    }

    /// Fails everything from the ticket `first` on.
    pub(super) fn complete_rest(&self, first: u64, failure: Failure) {
        let mut inner = self.lock();
        inner.appends.clear();
        let count = inner.next - first;
        drop(inner);
        self.complete(first, count, Err(failure));
    }

    fn working(&self) -> Result<MutexGuard<'_, Inner>, AppendError> {
        let inner = self.lock();
        if inner.failure.is_some() { Err(AppendError::Broken) } else { Ok(inner) }
    }

    fn tell(&self, mut inner: MutexGuard<'_, Inner>) {
        let is_waiting = std::mem::take(&mut inner.is_waiting);
        drop(inner);
        if is_waiting {
            self.news.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CONSUMER_BYTES_MAX: usize = 256;
