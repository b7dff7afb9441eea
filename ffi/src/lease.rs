//! Leases of a pool's nodes, and what a pool answers to who asks for one.

use clustercore::proto::policy::{Answer, Lease, RefuseReason, Renewal};

/// The right of a service to use a node for a while.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_lease {
    /// The fencing token: larger than that of every lease before, of any node; never 0.
    pub token: u64,
    /// From this moment of the pool's clock on it is over, unless renewed; in nanoseconds.
    pub expires_ns: u64,
    /// The node.
    pub node: u32,
    /// Who may use it.
    pub service: u32,
    /// 0.
    pub reserved: u64,
}

impl From<Lease> for clc_lease {
    fn from(lease: Lease) -> clc_lease {
        clc_lease {
            token: lease.token,
            expires_ns: lease.expires.as_nanos(),
            node: lease.node.0,
            service: lease.service.0,
            reserved: 0,
        }
    }
}

/// A lease that goes on.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_renewal {
    /// Its new end, in nanoseconds of the pool's clock.
    pub expires_ns: u64,
    /// When it was revoked: drain and give back by then, it will not be renewed beyond; in nanoseconds of the pool's
    /// clock, else 0.
    pub give_back_by_ns: u64,
    /// 1 when it was revoked, else 0.
    pub is_revoked: u32,
    /// 0.
    pub reserved: u32,
}

impl From<Renewal> for clc_renewal {
    fn from(renewal: Renewal) -> clc_renewal {
        clc_renewal {
            expires_ns: renewal.expires.as_nanos(),
            give_back_by_ns: renewal.give_back_by.map_or(0, |at| at.as_nanos()),
            is_revoked: u32::from(renewal.give_back_by.is_some()),
            reserved: 0,
        }
    }
}

/// What a pool says to a request.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_pool_answer_kind {
    /// None for you; `refusal` says why.
    Refused = 0,
    /// Here is one: `lease`.
    Granted = 1,
    /// Wait: `lease`, another service's, was revoked in your favour. Ask again when it has been given back or is over.
    Revoke = 2,
}

/// Why a service gets no node now.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_refusal {
    /// Does not apply.
    None = 0,
    /// It holds `held` nodes, which is its maximum.
    AtMaximum = 1,
    /// The `idle` idle nodes are kept for the minima of others, and nobody holds more than is fair.
    KeptForMinima = 2,
    /// None of `nodes` nodes is idle, and nobody holds more than is fair beside its `held`.
    FairShare = 3,
}

/// The answer to a request; fields that do not apply are 0.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_pool_answer {
    /// The lease that is granted, or revoked.
    pub lease: clc_lease,
    /// A clc_pool_answer_kind.
    pub kind: u32,
    /// A clc_refusal.
    pub refusal: u32,
    /// Nodes that the service holds.
    pub held: u32,
    /// Idle nodes of the pool.
    pub idle: u32,
    /// Nodes of the pool.
    pub nodes: u32,
    /// 0.
    pub reserved: [u32; 3],
}

impl clc_pool_answer {
    /// `None` when the pool does not know the service.
    pub(crate) fn new(answer: Answer) -> Option<clc_pool_answer> {
        let with = |kind: clc_pool_answer_kind, lease: Lease| clc_pool_answer {
            kind: kind as u32,
            lease: lease.into(),
            ..clc_pool_answer::default()
        };
        let refused =
            |refusal: clc_refusal| clc_pool_answer { refusal: refusal as u32, ..clc_pool_answer::default() };
        Some(match answer {
            Answer::Granted(lease) => with(clc_pool_answer_kind::Granted, lease),
            Answer::Revoke { from } => with(clc_pool_answer_kind::Revoke, from),
            Answer::Refused { reason } => match reason {
                RefuseReason::UnknownService => return None,
                RefuseReason::AtMaximum { held, .. } => {
                    clc_pool_answer { held, ..refused(clc_refusal::AtMaximum) }
                }
                RefuseReason::KeptForMinima { idle } => {
                    clc_pool_answer { idle, ..refused(clc_refusal::KeptForMinima) }
                }
                RefuseReason::FairShare { held, nodes } => {
                    clc_pool_answer { held, nodes, ..refused(clc_refusal::FairShare) }
                }
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_fixed() {
        assert_eq!(size_of::<clc_lease>(), 32);
        assert_eq!(size_of::<clc_renewal>(), 24);
        assert_eq!(size_of::<clc_pool_answer>(), 64);
    }

    #[test]
    fn a_refusal_carries_its_numbers() {
        let refused = |reason| clc_pool_answer::new(Answer::Refused { reason });
        let answer = refused(RefuseReason::FairShare { held: 2, nodes: 5 }).unwrap();
        assert_eq!((answer.kind, answer.refusal, answer.held, answer.nodes), (0, 3, 2, 5));
        let answer = refused(RefuseReason::KeptForMinima { idle: 4 }).unwrap();
        assert_eq!((answer.refusal, answer.idle), (2, 4));
        assert_eq!(refused(RefuseReason::UnknownService), None);
    }
}
