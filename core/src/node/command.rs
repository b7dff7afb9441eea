//! What travels between a node's handle and its shards.

use crate::forward::ForwardEvent;
use crate::log::LogRecord;
use crate::shard::{ForwarderId, Shard};

/// To a shard.
pub(super) enum Command {
    /// Runs on the shard's thread, between two turns.
    Run(Box<dyn FnOnce(&mut Shard) + Send>),
    /// Ends the thread.
    Stop,
}

/// From a shard.
pub(super) enum Message {
    /// Something happened.
    Event(ForwarderId, ForwardEvent),
    /// Something to tell.
    Log(LogRecord),
}
