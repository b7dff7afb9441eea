//! What a shard has to say to the person who runs it.
//!
//! Records wait in the shard until its owner takes them: core threads call no foreign code. A node brings them to the thread that polls.

use std::sync::{Arc, Mutex, PoisonError};

/// How important a record is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub enum LogLevel {
    /// Something does not work.
    Error = 1,
    /// Something works less well than it should.
    Warn = 2,
    /// Something changed.
    Info = 3,
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogRecord {
    /// How important it is.
    pub level: LogLevel,
    /// One line.
    pub text: String,
}

/// Records that wait to be taken, a bounded number.
#[derive(Debug, Default)]
pub(crate) struct Log {
    records: Vec<LogRecord>,
    lost: u64,
}

impl Log {
    pub fn push(&mut self, level: LogLevel, text: impl Into<String>) {
        if self.records.len() < RECORDS_MAX {
            self.records.push(LogRecord { level, text: text.into() });
        } else {
            self.lost += 1;
        }
    }

    pub fn take(&mut self) -> Vec<LogRecord> {
        let lost = std::mem::take(&mut self.lost);
        let mut records = std::mem::take(&mut self.records);
        if lost > 0 {
            let text = format!("{lost} log records were lost: nobody took them (limit {RECORDS_MAX})");
            records.push(LogRecord { level: LogLevel::Warn, text });
        }
        records
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// What goes wrong where no log is at hand, until it is taken to one: the first words stay.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    pub fn tell(&self, words: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(words);
    }

    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

const RECORDS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_beyond_the_bound_are_counted() {
        let mut log = Log::default();
        for _ in 0..RECORDS_MAX + 3 {
            log.push(LogLevel::Info, "x");
        }
        let records = log.take();
        assert_eq!(records.len(), RECORDS_MAX + 1);
        assert!(records[RECORDS_MAX].text.starts_with("3 log records were lost"));
        assert!(log.is_empty() && log.take().is_empty());
    }
}
