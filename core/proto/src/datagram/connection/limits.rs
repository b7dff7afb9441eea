//! What of the peer's parameters is needed after the beginning, in little room.

use crate::datagram::parameters::Parameters;
use core::time::Duration;

/// The bounds that the peer has set.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerLimits {
    /// Credit of each stream at its start, in bytes.
    pub stream_window: u64,
    /// Bytes of a message, at most.
    pub message_bytes_max: u64,
    /// Streams that we may use.
    pub streams_max: u32,
    acknowledgement_delay_us: u32,
    idle_timeout_ms: u32,
    /// What a Reset of this connection will carry.
    pub reset_token: [u8; 16],
}

impl PeerLimits {
    pub fn new(parameters: &Parameters) -> PeerLimits {
        let short = |time: u128| u32::try_from(time).unwrap_or(u32::MAX);
        PeerLimits {
            stream_window: parameters.stream_window,
            message_bytes_max: parameters.message_bytes_max,
            streams_max: parameters.streams_max,
            acknowledgement_delay_us: short(parameters.acknowledgement_delay.as_micros()),
            idle_timeout_ms: short(parameters.idle_timeout.as_millis()),
            reset_token: parameters.reset_token,
        }
    }

    /// An acknowledgement waits this long at most (71 minutes, if it says more).
    pub fn acknowledgement_delay(&self) -> Duration {
        Duration::from_micros(u64::from(self.acknowledgement_delay_us))
    }

    /// The connection ends after this long without a packet (49 days, if it says more); zero: never.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.idle_timeout_ms))
    }
}
