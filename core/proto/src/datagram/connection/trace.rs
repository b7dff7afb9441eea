//! What a connection tells a tracer.

use super::{Machine, Shared};
use crate::datagram::builder::Written;
use crate::datagram::security::Protector;
use crate::datagram::trace::{Trace, TraceEvent, TraceStatus};

impl<P: Protector> Machine<P> {
    /// A train leaves; its first packet has the number `first`.
    #[cold]
    pub(super) fn trace_sent(&self, shared: &mut Shared<'_>, first: u64, written: &Written, is_probe: bool) {
        for (index, packet) in (0u32..).zip(written.buffer.chunks(written.stride)) {
            shared.trace.note(Some(self.name), || TraceEvent::Sent {
                number: first + u64::from(index),
                bytes: packet.len(),
                is_eliciting: written.eliciting >> index & 1 == 1,
                is_probe,
                train: (written.count, index),
            });
        }
    }

    /// How it stands, after something has happened.
    #[inline]
    pub fn trace_status(&self, trace: &mut Trace) {
        trace.note(Some(self.name), || {
            TraceEvent::Status(TraceStatus {
                state: self.state.name(),
                path: self.path_report(),
                rtt_latest: self.path.rtt.latest(),
                rtt_deviation: self.path.rtt.deviation(),
                is_slow_start: self.path.control.is_slow_start(),
                pacing_bytes_per_second: self.path.pacer.rate(),
            })
        });
    }

    /// It has keys.
    pub fn trace_opened(&self, trace: &mut Trace, is_client: bool) {
        trace.note(Some(self.name), || TraceEvent::Opened {
            own: self.own,
            peer_id: self.peer_id,
            peer: self.path.peer,
            is_client,
        });
    }
}
