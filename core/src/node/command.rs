//! What travels between a node's handle and its shards.

use crate::forward::ForwardEvent;
use crate::log::LogRecord;
use crate::shard::{ForwarderId, Shard};
use std::sync::atomic::{AtomicBool, Ordering};

/// To a shard: runs on its thread, between two turns.
pub(super) type Command = Box<dyn FnOnce(&mut Shard) + Send>;

/// To a shard, beside the commands: what may not fail for want of room. Raise one, then ring the shard's bell.
#[derive(Debug, Default)]
pub(super) struct Signals {
    list_changed: AtomicBool,
    stop: AtomicBool,
}

impl Signals {
    /// A child list has changed.
    pub fn change_list(&self) {
        // Release: who takes the signal finds the list.
        self.list_changed.store(true, Ordering::Release);
    }

    /// The thread is to end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether a child list has changed since the last call.
    pub fn take_list_changed(&self) -> bool {
        // Acquire: with the release of `change_list`. The load spares the write: changes are rare.
        self.list_changed.load(Ordering::Relaxed) && self.list_changed.swap(false, Ordering::Acquire)
    }

    /// Whether the thread is to end.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Whether nothing is raised: the look to take before blocking.
    pub fn is_quiet(&self) -> bool {
        // Relaxed: ordered by the bell's fences.
        !self.list_changed.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed)
    }
}

/// From a shard.
pub(super) enum Message {
    /// Something happened.
    Event(ForwarderId, ForwardEvent),
    /// Something to tell.
    Log(LogRecord),
}
