//! Bounds and times of calls.

use super::PART_OVERHEAD;
use crate::datagram::BadConfig;
use core::time::Duration;

/// What calls of an endpoint may use.
#[derive(Clone, Debug)]
pub struct Config {
    /// Calls of ours that may be outstanding on a connection.
    pub slots_max: u32,
    /// Slots that a peer may use: calls of its that may be outstanding on a connection.
    pub peer_slots_max: u32,
    /// Calls in our owner's hands, of all connections; more are refused as busy.
    pub calls_max: u32,
    /// Bytes of replies that a connection keeps for repeats; a call beyond them is refused as busy.
    pub kept_bytes_max: usize,
    /// Bytes of metadata of a call or a reply.
    pub metadata_bytes_max: usize,
    /// Bytes of parts of one call and direction that the owner has not read; a part counts as [`super::PART_OVERHEAD`] more than its bytes.
    pub part_window: u64,
    /// Bytes of one part.
    pub part_bytes_max: usize,
    /// A call is repeated after this and two round trips without an answer.
    pub retry_min: Duration,
    /// Longest time between two questions whether a call is still worked on.
    pub ask_interval_max: Duration,
    /// A call of which nothing is heard for this long has failed.
    pub silence_max: Duration,
    /// Replies are settled by a message when a slot is not used for this long.
    pub settle_delay: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            slots_max: 4096,
            peer_slots_max: 4096,
            calls_max: 16_384,
            kept_bytes_max: 1 << 20,
            metadata_bytes_max: 8192,
            part_window: 256 << 10,
            part_bytes_max: 64 << 10,
            retry_min: Duration::from_millis(20),
            ask_interval_max: Duration::from_secs(1),
            silence_max: Duration::from_secs(10),
            settle_delay: Duration::from_millis(100),
        }
    }
}

impl Config {
    /// Errors: the first value that is out of bounds.
    pub fn check(&self) -> Result<(), BadConfig> {
        let bounds = [
            ("slots_max", u64::from(self.slots_max), 1, SLOTS_MAX),
            ("peer_slots_max", u64::from(self.peer_slots_max), 1, SLOTS_MAX),
            ("calls_max", u64::from(self.calls_max), 1, 1 << 24),
            ("metadata_bytes_max", self.metadata_bytes_max as u64, 0, 1 << 20),
            ("part_bytes_max", self.part_bytes_max as u64, 1, 1 << 24),
            ("part_window", self.part_window, self.part_bytes_max as u64 + PART_OVERHEAD, 1 << 32),
        ];
        for (field, value, min, max) in bounds {
            if !(min..=max).contains(&value) {
                return Err(BadConfig { field, value, min, max });
            }
        }
        Ok(())
    }
}

const SLOTS_MAX: u64 = 1 << 20;
