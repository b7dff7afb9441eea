//! What a pool answers to who asks for a node.

use super::lease::Lease;

/// The answer to a request for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Here is one.
    Granted(Lease),
    /// Wait: this lease was revoked in your favour. Ask again when it has been given back or has expired.
    Revoke {
        /// The lease that its holder has to give back.
        from: Lease,
    },
    /// None for you.
    Refused {
        /// Why not.
        reason: RefuseReason,
    },
}

/// Why a service gets no node now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseReason {
    /// The service was never announced with `set_service`.
    UnknownService,
    /// It has what it may have.
    AtMaximum {
        /// Nodes it holds.
        held: u32,
        /// Its maximum.
        max: u32,
    },
    /// Idle nodes are kept for the minima of others, and nobody holds more than is fair.
    KeptForMinima {
        /// Idle nodes.
        idle: u32,
    },
    /// No node is idle and nobody holds more than is fair beside this service.
    FairShare {
        /// Nodes it holds.
        held: u32,
        /// Nodes of the pool.
        nodes: u32,
    },
}
