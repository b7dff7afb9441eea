//! What a pool knows about one node.

use super::lease::{Lease, ServiceKey};
use crate::time::{Duration, Instant};

/// Who has the node, or has a claim on it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holding {
    Idle,
    /// Given back for this service, which has until then to take it.
    Reserved {
        service: ServiceKey,
        until: Instant,
    },
    Leased {
        lease: Lease,
        revoked: Option<Revocation>,
    },
}

impl Holding {
    pub(super) fn is_leased(&self) -> bool {
        matches!(self, Holding::Leased { .. })
    }

    pub(super) fn is_reserved_for(&self, key: ServiceKey) -> bool {
        matches!(self, Holding::Reserved { service, .. } if *service == key)
    }

    pub(super) fn is_open_to(&self, key: ServiceKey) -> bool {
        matches!(self, Holding::Idle) || self.is_reserved_for(key)
    }

    /// Whom the node goes to next.
    pub(super) fn heir(&self) -> Option<ServiceKey> {
        match self {
            Holding::Idle => None,
            Holding::Reserved { service, .. } => Some(*service),
            Holding::Leased { revoked, .. } => revoked.and_then(|revoked| revoked.heir),
        }
    }

    /// Whether somebody's time here is over. An idle node has no end, not even at the last moment that there is.
    pub(super) fn is_over(&self, now: Instant, guard: Duration) -> bool {
        !matches!(self, Holding::Idle) && self.free_at(guard) <= now
    }

    /// When its time is over.
    pub(super) fn free_at(&self, guard: Duration) -> Instant {
        match self {
            Holding::Idle => Instant::MAX,
            Holding::Reserved { until, .. } => *until,
            Holding::Leased { lease, .. } => lease.expires + guard,
        }
    }
}

/// The holder was told to give its node back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Revocation {
    /// In whose favour; nobody's any more when that service was forgotten.
    pub(super) heir: Option<ServiceKey>,
    pub(super) deadline: Instant,
}
