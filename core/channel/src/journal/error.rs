//! What can go wrong with a journal.

use std::fmt;
use std::path::{Path, PathBuf};

/// A journal could not be opened or read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalError {
    /// What was tried.
    pub action: &'static str,
    /// Of which journal.
    pub path: PathBuf,
    /// What the system or the store says.
    pub cause: String,
}

impl JournalError {
    pub(super) fn new(action: &'static str, path: &Path, cause: &dyn fmt::Display) -> JournalError {
        JournalError { action, path: path.into(), cause: cause.to_string() }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} journal {}: {}", self.action, self.path.display(), self.cause)
    }
}

impl std::error::Error for JournalError {}

/// Why a record is not acknowledged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The disk is full. It was in the commit that found out.
    DiskFull,
    /// The commit failed otherwise: writing or synchronising.
    Disk {
        /// What the store says.
        cause: String,
    },
    /// An earlier commit failed: nothing is acknowledged until the journal is opened anew.
    Broken,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::DiskFull => write!(f, "the disk is full: make room, then open the journal anew"),
            Failure::Disk { cause } => write!(f, "the record could not be written: {cause}"),
            Failure::Broken => {
                write!(f, "an earlier record could not be written: open the journal anew, then append again")
            }
        }
    }
}

impl std::error::Error for Failure {}

/// Why something is not taken into the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppendError {
    /// The record, or the name of a consumer, is too large.
    TooLarge {
        /// Its bytes.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// Too much is in flight.
    Full {
        /// How much: records, bytes, or commands.
        len: usize,
        /// How much there may be.
        max: usize,
    },
    /// An earlier commit failed: open the journal anew.
    Broken,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::TooLarge { len, max } => write!(f, "the record is {len} bytes, limit is {max}"),
            AppendError::Full { len, max } => {
                write!(f, "{len} are waiting to be written, limit is {max}: poll, and try again")
            }
            AppendError::Broken => Failure::Broken.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {}
