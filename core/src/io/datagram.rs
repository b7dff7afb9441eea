//! What travels through datagram sockets: trains, their options, and what is counted.
//!
//! The kernel's price is per packet that passes its stack, not per datagram, so datagrams travel in trains: one run of bytes cut into
//! segments of equal size (UDP_SEGMENT, UDP_GRO). A train is never copied on its way to the kernel.

use std::ops::Range;
use std::sync::Arc;

/// Bytes of the longest train and of the longest datagram: what the length field of IPv4 leaves for UDP's payload.
pub const TRAIN_BYTES_MAX: usize = 65_507;

/// Datagrams to be sent to one address: `range` of `bytes`, cut into `segment` bytes each; the last may be shorter.
///
/// More than the kernel takes at once (128 segments, 64 on older kernels, or [`TRAIN_BYTES_MAX`]) is sent in several parts. An empty range
/// is one datagram without bytes.
#[derive(Clone, Debug)]
pub struct Train {
    /// The bytes, and whose they are.
    pub bytes: TrainBytes,
    /// Which of them are sent.
    pub range: Range<usize>,
    /// Bytes of each datagram, 1 to [`TRAIN_BYTES_MAX`].
    pub segment: u32,
    /// The mark of congestion control; `None` for that of the socket's options.
    pub ecn: Option<Ecn>,
}

/// The bytes of a train. Nobody changes them before the kernel has taken them.
#[derive(Clone, Debug)]
pub enum TrainBytes {
    /// Given away; the driver keeps the buffer for reuse.
    Owned(Vec<u8>),
    /// Shared with an owner who may send them again. The driver drops its reference when the kernel has taken the bytes, so that the
    /// owner's `Arc::get_mut` works again.
    Shared(Arc<Vec<u8>>),
}

impl Train {
    /// All of `bytes`, given away.
    pub fn owned(bytes: Vec<u8>, segment: u32) -> Train {
        Train { range: 0..bytes.len(), bytes: TrainBytes::Owned(bytes), segment, ecn: None }
    }

    /// A part of bytes that their owner keeps.
    pub fn shared(bytes: &Arc<Vec<u8>>, range: Range<usize>, segment: u32) -> Train {
        Train { bytes: TrainBytes::Shared(Arc::clone(bytes)), range, segment, ecn: None }
    }

    /// Datagrams in it.
    pub fn datagrams(&self) -> usize {
        self.range.len().div_ceil(self.segment.max(1) as usize).max(1)
    }

    /// Whether range and segment can be meant.
    pub(crate) fn is_sound(&self) -> bool {
        let range = &self.range;
        range.start <= range.end
            && range.end <= self.bytes.len()
            && (1..=TRAIN_BYTES_MAX as u32).contains(&self.segment)
    }
}

impl TrainBytes {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            TrainBytes::Owned(bytes) => bytes,
            TrainBytes::Shared(bytes) => bytes,
        }
    }
}

/// Explicit congestion notification: the two bits in the header of every IP packet. Source: RFC 3168, RFC 9331.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Ecn {
    /// Not-ECT: a router in need drops the packet.
    #[default]
    NotCapable = 0,
    /// ECT(1).
    Capable1 = 1,
    /// ECT(0): a router in need may mark the packet instead.
    Capable0 = 2,
    /// CE: a router was in need.
    Congested = 3,
}

impl Ecn {
    /// From the lower two bits of the traffic class (TOS).
    pub fn from_bits(bits: u8) -> Ecn {
        match bits & 3 {
            0 => Ecn::NotCapable,
            1 => Ecn::Capable1,
            2 => Ecn::Capable0,
            _ => Ecn::Congested,
        }
    }
}

/// How to open a datagram socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DatagramOptions {
    /// Bytes that may wait to be received; 0 leaves the system's choice. Cut at `net.core.rmem_max` unless the process has CAP_NET_ADMIN:
    /// [`super::Driver::datagram_receive_buffer`] tells what was got.
    pub receive_buffer_bytes: usize,
    /// The same for bytes that wait to be sent (`net.core.wmem_max`).
    pub send_buffer_bytes: usize,
    /// Send with ECT(0), and tell the mark of what is received.
    pub ecn: bool,
    /// Never fragment, and do not believe what others say about the path's MTU (IP_PMTUDISC_PROBE): what is larger than the device's
    /// fails with `EMSGSIZE`.
    pub dont_fragment: bool,
    /// Several sockets on one address share its datagrams (one per shard).
    pub reuse_port: bool,
    /// An IPv6 socket takes no IPv4 (which else comes from addresses like `::ffff:192.0.2.1`).
    pub ipv6_only: bool,
    /// Which of the sockets that share the address gets a datagram; without it, senders are spread by a hash of their address. The last
    /// socket bound decides for all.
    pub steer: Option<SteerByByte>,
}

/// Datagrams go to the socket whose number, in the order of binding, is the byte at `offset` of the payload modulo `shards`. One that is too
/// short goes to the first; one for a socket that is not there (yet) goes by the hash.
///
/// The kernel steers whole trains, by their first datagram: who sends from one port to different shards must look at each datagram himself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SteerByByte {
    /// Place in the UDP payload.
    pub offset: u32,
    /// Sockets that share the address, 1 to 256.
    pub shards: u32,
}

/// What has passed through a datagram socket since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DatagramCounters {
    /// Calls on the kernel's stack to send; a long train is sent in several.
    pub trains_sent: u64,
    /// Datagrams in them.
    pub datagrams_sent: u64,
    /// Trains received.
    pub trains_received: u64,
    /// Datagrams in them.
    pub datagrams_received: u64,
    /// Received trains that did not fit the buffer; dropped.
    pub truncated: u64,
    /// Times that receiving stopped because all buffers were lent out. It goes on with the first that is released; meanwhile the socket's own
    /// buffer takes what comes, and the kernel drops what is more.
    pub pauses: u64,
    /// Trains refused because too many waited.
    pub refused: u64,
}

impl DatagramCounters {
    pub(crate) fn on_sent(&mut self, bytes: usize, segment: usize) {
        self.trains_sent += 1;
        self.datagrams_sent += bytes.div_ceil(segment.max(1)).max(1) as u64;
    }

    pub(crate) fn on_received(&mut self, bytes: usize, segment: usize) {
        self.trains_received += 1;
        self.datagrams_received += bytes.div_ceil(segment.max(1)).max(1) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_train_that_cannot_be_meant_is_told() {
        let train = |range, segment| Train { range, ..Train::owned(vec![0; 10], segment) };
        assert!(train(0..10, 3).is_sound() && train(10..10, 1).is_sound());
        assert!(!train(0..11, 3).is_sound() && !train(0..10, 0).is_sound());
        #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
        let backwards = train(4..3, 1);
        assert!(!backwards.is_sound());
        assert!(!train(0..10, TRAIN_BYTES_MAX as u32 + 1).is_sound());
        assert_eq!((train(0..10, 3).datagrams(), train(2..2, 3).datagrams()), (4, 1));
    }
}
