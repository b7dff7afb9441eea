//! What an owner's handler says to a call.

use super::Status;

/// What a handler that runs in the loop says to a call, see [`crate::Shard::answer_calls`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Its results were written.
    Done,
    /// It went wrong, after it was executed; what was written is the text for people.
    Failed(Status),
    /// It was not executed and will not be; what was written is the text for people.
    Refused(Status),
    /// [`crate::Shard::reply`] comes later.
    Later,
}
