//! Congestion control: how much may be in flight.

mod cubic;

use crate::time::Instant;
use core::fmt::Debug;
use core::time::Duration;

pub use cubic::Cubic;

/// What an acknowledgement tells.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// Bytes newly acknowledged, headers included.
    pub bytes: u64,
    /// When the newest of them was sent.
    pub sent: Instant,
    /// Whether the window was what kept the sender from sending more.
    pub was_limited: bool,
    /// Smoothed round trip.
    pub rtt: Duration,
}

/// A congestion controller of one path. Bytes are those of packets with headers.
///
/// Source of the split: RFC 9002, 7.
pub trait Controller: Debug + Send {
    /// Packets were acknowledged.
    fn on_acknowledged(&mut self, now: Instant, news: Acknowledged);
    /// A packet sent at `sent` was lost, or the path marked it (ECN). Called for each; the controller answers once per round trip.
    fn on_congestion(&mut self, now: Instant, sent: Instant);
    /// Nothing came through for as long as several probe time-outs.
    fn on_persistent_congestion(&mut self);
    /// The loss that `on_congestion` told last was none: the packet has arrived after all.
    fn on_spurious_loss(&mut self);
    /// The longest packet has now this many bytes.
    fn on_packet_bytes(&mut self, packet_bytes: usize);
    /// Bytes that may be in flight.
    fn window(&self) -> u64;
    /// Whether the window still doubles per round trip.
    fn is_slow_start(&self) -> bool;
}

/// Which controller a connection uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ControlKind {
    /// CUBIC (RFC 9438): shares a bottleneck with TCP as TCP does.
    #[default]
    Cubic,
    /// A fixed window of bytes, for paths whose capacity is set aside and known. It does not yield to anybody.
    Fixed(u64),
}

impl ControlKind {
    /// A controller for a path that takes packets of `packet_bytes`.
    pub fn build(self, packet_bytes: usize) -> alloc::boxed::Box<dyn Controller> {
        match self {
            ControlKind::Cubic => alloc::boxed::Box::new(Cubic::new(packet_bytes)),
            ControlKind::Fixed(window) => alloc::boxed::Box::new(Fixed(window)),
        }
    }
}

/// See [`ControlKind::Fixed`].
#[derive(Debug)]
struct Fixed(u64);

impl Controller for Fixed {
    fn on_acknowledged(&mut self, _now: Instant, _news: Acknowledged) {}
    fn on_congestion(&mut self, _now: Instant, _sent: Instant) {}
    fn on_persistent_congestion(&mut self) {}
    fn on_spurious_loss(&mut self) {}
    fn on_packet_bytes(&mut self, _packet_bytes: usize) {}
    fn window(&self) -> u64 {
        self.0
    }
    fn is_slow_start(&self) -> bool {
        false
    }
}
