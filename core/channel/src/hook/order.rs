//! What a web hook wants done, and what it counts.

use crate::id::DeliveryId;
use crate::json::Object;
use std::net::SocketAddr;

/// Something for the owner of the socket to do, in order. There is one connection at a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Connect to the target; tell by [`Hook::connected`](super::Hook::connected) or [`Hook::lost`](super::Hook::lost).
    Connect(SocketAddr),
    /// Send these bytes.
    Send(Vec<u8>),
    /// Close the connection, or give up making it. Nothing of it is to be told any more.
    Close,
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The target has it.
    Taken,
    /// The try has failed.
    Failed,
    /// It was not tried, or put off: it goes back as if nothing had been.
    Returned,
}

/// An event whose request is done with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settlement {
    /// Which.
    pub delivery: DeliveryId,
    /// What became of it.
    pub verdict: Verdict,
}

/// What a web hook has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HookStats {
    /// Requests sent, those of the handshake included.
    pub requests: u64,
    /// Events that the target has taken.
    pub taken: u64,
    /// Events whose try has failed.
    pub failed: u64,
    /// Events that were put off, or not tried after all.
    pub returned: u64,
    /// Connections that could not be made, or ended before an answer.
    pub lost: u64,
}

impl HookStats {
    pub(super) fn write(&self, object: &mut Object<'_>) {
        let HookStats { requests, taken, failed, returned, lost } = *self;
        for (name, count) in [
            ("requests", requests),
            ("taken", taken),
            ("failed", failed),
            ("returned", returned),
            ("lost", lost),
        ] {
            object.plain(name, count);
        }
    }
}
