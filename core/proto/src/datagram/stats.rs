//! What an endpoint counts, and what it knows of a path.

use core::time::Duration;

/// Counts since the endpoint began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Data packets sent.
    pub packets_sent: u64,
    /// Trains sent.
    pub trains_sent: u64,
    /// Packets sent that hold an acknowledgement and nothing else.
    pub acknowledgements_alone: u64,
    /// Valid data packets received, each once.
    pub packets_received: u64,
    /// Packets that came again.
    pub packets_repeated: u64,
    /// Packets whose trailer does not check.
    pub packets_corrupt: u64,
    /// Packets for a connection that is not there.
    pub packets_unknown: u64,
    /// Bytes that are no packet of ours.
    pub packets_malformed: u64,
    /// Packets dropped because a stream had too many gaps.
    pub packets_deferred: u64,
    /// Packets taken for lost.
    pub packets_lost: u64,
    /// Acknowledgements that showed a loss to be none.
    pub losses_spurious: u64,
    /// Probe time-outs.
    pub probes: u64,
    /// Marks of congestion that peers reported.
    pub ecn_marks: u64,
    /// Answers without a connection that were not given because there were too many.
    pub answers_dropped: u64,
    /// Cookies, refusals and versions sent.
    pub answers_sent: u64,
    /// Resets sent.
    pub resets_sent: u64,
    /// Handshakes that were refused.
    pub handshakes_refused: u64,
    /// Connections ended because the peer broke the protocol.
    pub violations: u64,
    /// Key updates of ours.
    pub key_updates: u64,
}

/// What a connection knows of its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathReport {
    /// Smoothed round trip.
    pub rtt: Duration,
    /// The shortest one.
    pub rtt_min: Duration,
    /// Bytes that may be in flight.
    pub window: u64,
    /// Bytes in flight.
    pub in_flight: u64,
    /// Longest packet, bytes of UDP payload.
    pub packet_bytes: usize,
    /// Whether packets are marked as capable of congestion notification.
    pub has_ecn: bool,
}
