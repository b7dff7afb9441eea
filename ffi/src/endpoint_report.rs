//! What an endpoint has counted, and what it knows of the path of a connection.

use clustercore::proto::datagram::{PathReport, Stats};

/// Counts since an endpoint was opened.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_message_stats {
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
    /// 0.
    pub reserved: [u64; 13],
}

impl From<Stats> for clc_message_stats {
    fn from(stats: Stats) -> clc_message_stats {
        clc_message_stats {
            packets_sent: stats.packets_sent,
            trains_sent: stats.trains_sent,
            acknowledgements_alone: stats.acknowledgements_alone,
            packets_received: stats.packets_received,
            packets_repeated: stats.packets_repeated,
            packets_corrupt: stats.packets_corrupt,
            packets_unknown: stats.packets_unknown,
            packets_malformed: stats.packets_malformed,
            packets_deferred: stats.packets_deferred,
            packets_lost: stats.packets_lost,
            losses_spurious: stats.losses_spurious,
            probes: stats.probes,
            ecn_marks: stats.ecn_marks,
            answers_dropped: stats.answers_dropped,
            answers_sent: stats.answers_sent,
            resets_sent: stats.resets_sent,
            handshakes_refused: stats.handshakes_refused,
            violations: stats.violations,
            key_updates: stats.key_updates,
            reserved: [0; 13],
        }
    }
}

/// What a connection knows of its path.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_path_report {
    /// Smoothed round trip, in nanoseconds.
    pub rtt_ns: u64,
    /// The shortest one, in nanoseconds.
    pub rtt_ns_min: u64,
    /// Bytes that may be in flight.
    pub window_bytes: u64,
    /// Bytes in flight.
    pub in_flight_bytes: u64,
    /// Longest packet, bytes of UDP payload.
    pub packet_bytes: u32,
    /// 1 when packets are marked as capable of congestion notification, else 0.
    pub has_ecn: u32,
    /// 0.
    pub reserved: [u64; 3],
}

impl From<PathReport> for clc_path_report {
    fn from(report: PathReport) -> clc_path_report {
        clc_path_report {
            rtt_ns: report.rtt.as_nanos() as u64,
            rtt_ns_min: report.rtt_min.as_nanos() as u64,
            window_bytes: report.window,
            in_flight_bytes: report.in_flight,
            packet_bytes: report.packet_bytes as u32,
            has_ecn: u32::from(report.has_ecn),
            reserved: [0; 3],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_fixed() {
        assert_eq!((size_of::<clc_message_stats>(), size_of::<clc_path_report>()), (256, 64));
    }
}
