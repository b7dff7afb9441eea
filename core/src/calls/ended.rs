//! How a call is made, and how it ends.

use super::{Metadata, Outcome, Status};
use crate::error::{Code, Error};
use std::time::Duration;

/// How one call is made.
#[derive(Clone, Debug, Default)]
pub struct CallConfig {
    /// It has failed when it has not ended after this long, all attempts together.
    pub timeout: Option<Duration>,
    /// Travels with it.
    pub metadata: Metadata,
    /// It may be executed twice as well as once.
    pub is_idempotent: bool,
}

/// The results of a call, or how it failed.
pub type Ended = std::result::Result<Reply, CallFailure>;

/// What a call brought.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reply {
    /// Its results.
    pub results: Vec<u8>,
    /// Travelled with them.
    pub metadata: Metadata,
}

/// How a call failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallFailure {
    /// Why.
    pub status: Status,
    /// Whether it was executed.
    pub outcome: Outcome,
    /// In words.
    pub text: String,
    /// Travelled with it.
    pub metadata: Metadata,
}

impl std::fmt::Display for CallFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let outcome = match self.outcome {
            Outcome::Executed => "executed",
            Outcome::NotExecuted => "not executed",
            Outcome::Unknown => "perhaps executed",
        };
        write!(f, "{} ({outcome}): {}", self.status, self.text)
    }
}

impl CallFailure {
    /// A reply came whose results cannot be read: for stubs.
    pub fn unreadable(error: &dyn std::fmt::Display) -> CallFailure {
        failure(Status::DataLoss, Outcome::Executed, format!("the results cannot be read: {error}"))
    }
}

impl std::error::Error for CallFailure {}

impl From<CallFailure> for Error {
    fn from(failure: CallFailure) -> Error {
        Error::new(Code::CallFailed, failure.to_string())
    }
}

pub(super) fn failure(status: Status, outcome: Outcome, text: impl Into<String>) -> CallFailure {
    CallFailure { status, outcome, text: text.into(), metadata: Metadata::new() }
}
