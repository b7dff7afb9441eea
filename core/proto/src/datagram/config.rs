//! Sizes, bounds and times of an endpoint.

use super::control::ControlKind;
use super::id::WireId;
use super::packet::INIT_BYTES;
use core::fmt;
use core::time::Duration;

/// What an endpoint may use. All memory it can ever take follows from this: [`Config::memory_max`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections at a time.
    pub connections_max: usize,
    /// Whether peers may connect.
    pub is_accepting: bool,
    /// Bytes of a connection that wait to be sent or acknowledged.
    pub send_buffer_bytes: usize,
    /// Credit of a connection: bytes (plus 16 a message) that have arrived and are not consumed.
    pub receive_window: usize,
    /// Credit of each stream, at most that of the connection.
    pub stream_window: usize,
    /// Streams of a connection in each direction.
    pub streams_max: usize,
    /// Bytes of a message.
    pub message_bytes_max: usize,
    /// Bytes of a packet, UDP payload; the path may take less.
    pub packet_bytes_max: usize,
    /// Whether packets of `packet_bytes_max` are known to pass; otherwise the path is searched from 1,200 on.
    pub is_path_known: bool,
    /// An acknowledgement waits this long for something to ride on.
    pub acknowledgement_delay: Duration,
    /// The acknowledgement of several packets waits this long, where answers go back at once that it can ride on; zero: it does not wait.
    pub acknowledgement_pause: Duration,
    /// Stands in for the round trip until there is one.
    pub rtt_initial: Duration,
    /// A connection without a valid packet for this long is gone; zero: never.
    pub idle_timeout: Duration,
    /// Pings when nothing else was sent for this long; zero: never.
    pub keep_alive: Duration,
    /// A peer that acknowledges nothing for this long while something waits is gone.
    pub gone_after: Duration,
    /// Connecting takes this long at most.
    pub handshake_timeout: Duration,
    /// A message of which no more arrives for this long ends the connection.
    pub reassembly_timeout: Duration,
    /// A cookie is good for this long.
    pub cookie_lifetime: Duration,
    /// Answers without a connection (cookies, resets, refusals), at most.
    pub answers_per_second: u32,
    /// Packets under one key.
    pub key_packets_max: u64,
    /// Time under one key.
    pub key_lifetime: Duration,
    /// Congestion control.
    pub control: ControlKind,
    /// Mark packets as capable of congestion notification, and answer to marks.
    pub has_ecn: bool,
    /// Tells this run of the program from its others: random, or a count of starts.
    pub epoch: u64,
    /// Which shard of the node this is; datagrams are steered to it.
    pub shard: u8,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            connections_max: 16_384,
            is_accepting: true,
            send_buffer_bytes: 4 << 20,
            receive_window: 4 << 20,
            stream_window: 4 << 20,
            streams_max: 1024,
            message_bytes_max: 1 << 20,
            packet_bytes_max: 1472,
            is_path_known: false,
            acknowledgement_delay: Duration::from_millis(5),
            acknowledgement_pause: Duration::ZERO,
            rtt_initial: Duration::from_millis(100),
            idle_timeout: Duration::from_secs(60),
            keep_alive: Duration::ZERO,
            gone_after: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            reassembly_timeout: Duration::from_secs(30),
            cookie_lifetime: Duration::from_secs(10),
            answers_per_second: 10_000,
            key_packets_max: 1 << 23,
            key_lifetime: Duration::from_secs(600),
            control: ControlKind::Cubic,
            has_ecn: true,
            epoch: 0,
            shard: 0,
        }
    }
}

/// A value that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadConfig {
    /// Which one.
    pub field: &'static str,
    /// What it is.
    pub value: u64,
    /// The least it may be.
    pub min: u64,
    /// The most it may be.
    pub max: u64,
}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, must be {} to {}", self.field, self.value, self.min, self.max)
    }
}

impl Config {
    /// Errors: the first value that is out of bounds.
    pub fn check(&self) -> Result<(), BadConfig> {
        let bounds = [
            ("connections_max", self.connections_max as u64, 1, WireId::SLOTS_MAX as u64),
            ("packet_bytes_max", self.packet_bytes_max as u64, INIT_BYTES as u64, PACKET_BYTES_MAX as u64),
            ("message_bytes_max", self.message_bytes_max as u64, 1, 1 << 30),
            ("send_buffer_bytes", self.send_buffer_bytes as u64, 2 * self.message_bytes_max as u64, 1 << 34),
            ("receive_window", self.receive_window as u64, self.message_bytes_max as u64 + 16, 1 << 34),
            (
                "stream_window",
                self.stream_window as u64,
                self.message_bytes_max as u64 + 16,
                self.receive_window as u64,
            ),
            ("streams_max", self.streams_max as u64, 1, 1 << 20),
        ];
        for (field, value, min, max) in bounds {
            if !(min..=max).contains(&value) {
                return Err(BadConfig { field, value, min, max });
            }
        }
        Ok(())
    }

    /// Bytes that all connections together can take, when every one of them uses its bounds to the full.
    pub fn memory_max(&self) -> usize {
        let streams = self.streams_max.saturating_mul(2 * STREAM_BYTES);
        let gaps = super::connection::CONNECTION_GAPS_MAX * GAP_BYTES;
        let each = self.send_buffer_bytes + self.receive_window + streams + gaps + CONNECTION_BYTES;
        self.connections_max.saturating_mul(each)
    }
}

/// A train of two such packets still fits a UDP datagram's bound of the kernel.
pub const PACKET_BYTES_MAX: usize = 32_000;
/// Upper bounds of what one takes besides its windows.
const CONNECTION_BYTES: usize = 4096;
const STREAM_BYTES: usize = 256;
/// Of a range of sequences, or of a piece that is held, besides its bytes.
const GAP_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn the_defaults_are_within_bounds_and_a_bad_value_is_named() {
        assert_eq!(Config::default().check(), Ok(()));
        let error = Config { packet_bytes_max: 576, ..Config::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "packet_bytes_max is 576, must be 1200 to 32000");
    }
}
