//! Leases of nodes and what can be said about them.

use crate::time::Instant;

/// Names a node of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey(pub u32);

/// Names a service (or, with several front ends for one service, a front end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey(pub u32);

/// The right to use one node for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The node.
    pub node: NodeKey,
    /// Who may use it.
    pub service: ServiceKey,
    /// Larger than that of every lease before, of any node.
    pub token: u64,
    /// From this moment on it is over, unless renewed.
    pub expires: Instant,
}

/// Why a lease was not renewed or not given back. The holder must stop using the node in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewError {
    /// The node is not leased, or was taken from the pool.
    NotLeased,
    /// The node is leased under another token; this one is a former holder's.
    Fenced {
        /// The token of the present lease.
        token: u64,
    },
    /// The lease ended before this was asked.
    Expired {
        /// When it ended.
        at: Instant,
    },
}

/// A lease that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Its new end.
    pub expires: Instant,
    /// Set when it was revoked: drain and give back by then; it will not be renewed beyond.
    pub give_back_by: Option<Instant>,
}
