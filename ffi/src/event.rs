//! Events, as structs of a fixed size that hold no memory.

use clustercore::ForwarderId;
use clustercore::forward::ForwardEvent;
use clustercore::log::{LogLevel, LogRecord};
use clustercore::proto::policy::{Cause, FailureKind};

/// What an event says.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_event_kind {
    /// Something that this header does not know yet.
    Unknown = 0,
    /// A drain is over. `backend`; `in_flight` is 0, or the deadline has passed with so many left.
    BackendDrained = 1,
    /// A back end is distrusted. `backend`, `duration_ns` (at least), `cause`, `failures`, `failure`.
    BackendEjected = 2,
    /// A back end is trusted again. `backend`.
    BackendReturned = 3,
    /// The first request has to wait: no back end may take it. `in_flight` on this shard.
    Saturated = 4,
    /// Accepting has stopped for a while. `os_error` is the kernel's error number, or 0 when clients_max is
    /// reached.
    AcceptPaused = 5,
    /// Messages to a back end's job handler do not get through: its requests go by TCP. `backend`, `cause` (a clc_path_trouble).
    PathBroken = 6,
    /// Messages get through again. `backend`.
    PathRestored = 7,
}

/// Why messages to a job handler do not get through.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_path_trouble {
    /// Nobody answers there.
    Unreachable = 1,
    /// The handler refuses: it is full, our key is not let in, or it speaks another version.
    Refused = 2,
    /// It acknowledges nothing any more.
    Silent = 3,
    /// It was started anew and knows nothing of us.
    Restarted = 4,
    /// It has closed the connection.
    Closed = 5,
    /// One of us broke the protocol.
    Violation = 6,
    /// There is no socket for it here, or no key.
    NoSocket = 7,
}

/// Why a back end was ejected.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_cause {
    /// Does not apply, or this header does not know it yet.
    None = 0,
    /// `failures` requests failed in a row, the last one by `failure`.
    Failures = 1,
    /// `failures` of the last requests failed, too many.
    ErrorRatio = 2,
    /// `failures` probes failed in a row.
    Probes = 3,
    /// A trial request failed by `failure`.
    Trial = 4,
}

/// How an exchange with a back end failed.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_failure {
    /// Does not apply.
    None = 0,
    /// No connection.
    Connect = 1,
    /// No answer in time.
    Timeout = 2,
    /// The connection broke before the answer was whole.
    Reset = 3,
    /// The answer was not valid.
    Protocol = 4,
    /// The answer says that the server failed (HTTP 5xx).
    ServerError = 5,
}

/// Something that happened. `kind` says which of the other fields apply; those that do not are 0. It holds no
/// memory of the library: nothing has to be released.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_event {
    /// A clc_event_kind.
    pub kind: u32,
    /// The forwarder, see clc_forwarder_id.
    pub forwarder: u32,
    /// The back end's key; 0 for none.
    pub backend: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// A length of time in nanoseconds.
    pub duration_ns: u64,
    /// The kernel's error number (EMFILE, ...).
    pub os_error: i32,
    /// A clc_cause, or a clc_path_trouble.
    pub cause: u32,
    /// How many failures.
    pub failures: u32,
    /// A clc_failure.
    pub failure: u32,
    /// 0.
    pub reserved: [u64; 3],
}

impl clc_event {
    pub(crate) fn new(id: ForwarderId, event: &ForwardEvent) -> clc_event {
        let new = |kind: clc_event_kind, backend| clc_event {
            kind: kind as u32,
            forwarder: u32::from(id),
            backend,
            ..clc_event::default()
        };
        match *event {
            ForwardEvent::BackendDrained { backend, in_flight } => {
                clc_event { in_flight, ..new(clc_event_kind::BackendDrained, backend.0) }
            }
            ForwardEvent::BackendEjected { backend, duration, cause } => {
                let duration_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
                let (cause, failures, failure) = explain(cause);
                let event = new(clc_event_kind::BackendEjected, backend.0);
                clc_event { duration_ns, cause: cause as u32, failures, failure: failure as u32, ..event }
            }
            ForwardEvent::BackendReturned { backend } => new(clc_event_kind::BackendReturned, backend.0),
            ForwardEvent::PathBroken { backend, why } => {
                clc_event { cause: why as u32, ..new(clc_event_kind::PathBroken, backend.0) }
            }
            ForwardEvent::PathRestored { backend } => new(clc_event_kind::PathRestored, backend.0),
            ForwardEvent::Saturated { in_flight } => {
                clc_event { in_flight, ..new(clc_event_kind::Saturated, 0) }
            }
            ForwardEvent::AcceptPaused { errno } => {
                clc_event { os_error: errno, ..new(clc_event_kind::AcceptPaused, 0) }
            }
            _ => new(clc_event_kind::Unknown, 0),
        }
    }
}

/// The record about an event, as a node makes it for its sink: a shard leaves that to its owner.
pub(crate) fn record(id: ForwarderId, event: &ForwardEvent) -> LogRecord {
    let level = match event {
        ForwardEvent::BackendEjected { .. }
        | ForwardEvent::PathBroken { .. }
        | ForwardEvent::Saturated { .. }
        | ForwardEvent::AcceptPaused { .. } => LogLevel::Warn,
        _ => LogLevel::Info,
    };
    LogRecord { level, text: format!("forwarder {id}: {event}") }
}

fn explain(cause: Cause) -> (clc_cause, u32, clc_failure) {
    match cause {
        Cause::Failures { count, last } => (clc_cause::Failures, count, failure(last)),
        Cause::ErrorRatio { failures, .. } => (clc_cause::ErrorRatio, failures, clc_failure::None),
        Cause::Probes { count } => (clc_cause::Probes, count, clc_failure::None),
        Cause::Trial(kind) => (clc_cause::Trial, 1, failure(kind)),
    }
}

fn failure(kind: FailureKind) -> clc_failure {
    match kind {
        FailureKind::Connect => clc_failure::Connect,
        FailureKind::Timeout => clc_failure::Timeout,
        FailureKind::Reset => clc_failure::Reset,
        FailureKind::Protocol => clc_failure::Protocol,
        FailureKind::ServerError => clc_failure::ServerError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clustercore::proto::policy::BackendKey;
    use std::time::Duration;

    #[test]
    fn the_size_is_fixed() {
        assert_eq!((size_of::<clc_event>(), align_of::<clc_event>()), (64, 8));
    }

    #[test]
    fn an_ejection_says_why_and_for_how_long() {
        let cause = Cause::Failures { count: 5, last: FailureKind::Reset };
        let duration = Duration::from_millis(1500);
        let event = ForwardEvent::BackendEjected { backend: BackendKey(3), duration, cause };
        let seen = clc_event::new(ForwarderId::new(2, 0), &event);
        assert_eq!((seen.kind, seen.forwarder, seen.backend), (2, 2, 3));
        assert_eq!((seen.cause, seen.failures, seen.failure), (1, 5, 3));
        assert_eq!((seen.duration_ns, seen.os_error), (1_500_000_000, 0));
        assert_eq!(record(ForwarderId::new(2, 0), &event).level, LogLevel::Warn);
    }

    #[test]
    fn a_broken_path_says_why_in_numbers_of_the_core() {
        use clustercore::forward::PathTrouble;
        let pairs = [
            (PathTrouble::Unreachable, clc_path_trouble::Unreachable),
            (PathTrouble::Refused, clc_path_trouble::Refused),
            (PathTrouble::Silent, clc_path_trouble::Silent),
            (PathTrouble::Restarted, clc_path_trouble::Restarted),
            (PathTrouble::Closed, clc_path_trouble::Closed),
            (PathTrouble::Violation, clc_path_trouble::Violation),
            (PathTrouble::NoSocket, clc_path_trouble::NoSocket),
        ];
        for (why, number) in pairs {
            let event = ForwardEvent::PathBroken { backend: BackendKey(3), why };
            let seen = clc_event::new(ForwarderId::new(0, 0), &event);
            assert_eq!((seen.kind, seen.backend, seen.cause), (6, 3, number as u32));
        }
    }

    #[test]
    fn a_pause_names_the_kernels_error() {
        let seen = clc_event::new(ForwarderId::new(0, 0), &ForwardEvent::AcceptPaused { errno: 24 });
        assert_eq!((seen.kind, seen.os_error, seen.backend), (5, 24, 0));
    }
}
