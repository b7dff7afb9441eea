//! One pool of nodes, borrowed by several services.
//!
//! A node is leased to one service at a time. Who is asked for a node grants it, refuses it, or names the
//! service that has to give one back:
//!
//! - Each service's minimum is kept free for it: others never get those nodes.
//! - Beyond the minima, while nodes are idle, who asks gets one, up to its maximum.
//! - When none is left, the one with the most nodes per weight gives one to the one that asks, as long as that
//!   one would still have fewer per weight afterwards. This ends in the weighted max-min fair division into
//!   whole nodes, and nobody can ask a node straight back.
//!
//! A lease outlives neither a dead front end nor a partition. The holder must renew it and must stop using the
//! node by itself when the lease's end has come by its own clock; the pool waits `guard` longer before it gives
//! the node to anybody else. Each lease has a fencing token larger than all before it: a node agent that
//! remembers the largest token it has seen refuses commands of former holders.
//!
//! Source for the division: the divisor method of Jefferson and D'Hondt, which is max-min fair per weight; for
//! leases: C. Gray, D. Cheriton, "Leases: an efficient fault-tolerant mechanism for distributed file cache
//! consistency", SOSP 1989.

use alloc::collections::BTreeMap;

use crate::time::{Duration, Instant};
use holding::{Holding, Revocation};

mod answer;
mod holding;
mod lease;

pub use answer::{Answer, RefuseReason};
pub use lease::{Lease, NodeKey, RenewError, Renewal, ServiceKey};

/// What a service may have of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Nodes kept for it.
    pub min: u32,
    /// Nodes it never exceeds.
    pub max: u32,
    /// Its part beside the others' when nodes are short; 0 counts as 1.
    pub weight: u32,
}

/// Lengths of time of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// From a grant or a renewal to the end of the lease.
    pub lease: Duration,
    /// From the end of a lease until the node may go to somebody else: more than clocks can drift apart in one
    /// lease and the last messages can be under way.
    pub guard: Duration,
    /// How long the holder of a revoked lease may drain; until the end promised last, if that is later.
    pub revoke_grace: Duration,
    /// How long a node that was given back for somebody is kept for that one.
    pub reserve: Duration,
}

/// A front end that dies blocks its nodes for six seconds; one that lives renews each second or two.
impl Default for PoolConfig {
    fn default() -> Self {
        PoolConfig {
            lease: Duration::from_secs(5),
            guard: Duration::from_secs(1),
            revoke_grace: Duration::from_secs(30),
            reserve: Duration::from_secs(5),
        }
    }
}

/// Why a change of the pool itself was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolError {
    /// The minima would sum up to more than there are nodes.
    MinimaExceedNodes {
        /// The sum with this change.
        sum: u64,
        /// Nodes of the pool.
        nodes: usize,
    },
    /// Minimum above maximum.
    MinAboveMax {
        /// The minimum asked for.
        min: u32,
        /// The maximum asked for.
        max: u32,
    },
}

/// The book of who holds what; see the module's text. Its memory is one entry per node and service.
#[derive(Clone, Debug)]
pub struct Pool {
    config: PoolConfig,
    nodes: BTreeMap<NodeKey, Holding>,
    services: BTreeMap<ServiceKey, Share>,
    token: u64,
}

impl Pool {
    /// A pool of these nodes with default times and no services yet.
    pub fn new(nodes: impl IntoIterator<Item = NodeKey>) -> Pool {
        Pool::with_config(PoolConfig::default(), nodes, 0)
    }

    /// A pool whose first token is `token + 1`: pass the last one of the life before.
    pub fn with_config(config: PoolConfig, nodes: impl IntoIterator<Item = NodeKey>, token: u64) -> Pool {
        let nodes = nodes.into_iter().map(|node| (node, Holding::Idle)).collect();
        Pool { config, nodes, services: BTreeMap::new(), token }
    }

    /// Announces a service or changes its share. Leases it holds already stay.
    ///
    /// Errors: [`PoolError`] when the share cannot be promised; nothing has changed then.
    pub fn set_service(&mut self, service: ServiceKey, share: Share) -> Result<(), PoolError> {
        if share.min > share.max {
            return Err(PoolError::MinAboveMax { min: share.min, max: share.max });
        }
        let others = self.services.iter().filter(|(key, _)| **key != service);
        let sum = others.map(|(_, other)| u64::from(other.min)).sum::<u64>() + u64::from(share.min);
        if sum > self.nodes.len() as u64 {
            return Err(PoolError::MinimaExceedNodes { sum, nodes: self.nodes.len() });
        }
        self.services.insert(service, share);
        Ok(())
    }

    /// Forgets a service: it gets nothing more and has no minimum. Its leases end as others do.
    pub fn remove_service(&mut self, service: ServiceKey) {
        self.services.remove(&service);
        for holding in self.nodes.values_mut() {
            match holding {
                Holding::Reserved { service: kept, .. } if *kept == service => *holding = Holding::Idle,
                Holding::Leased { revoked, .. } => {
                    if let Some(revocation) = revoked.as_mut().filter(|revoked| revoked.heir == Some(service))
                    {
                        revocation.heir = None;
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds a node. A node that is there already stays as it is.
    pub fn add_node(&mut self, node: NodeKey) {
        self.nodes.entry(node).or_insert(Holding::Idle);
    }

    /// Takes a node out, for good or because it died; returns the lease that ends by this.
    pub fn remove_node(&mut self, node: NodeKey) -> Option<Lease> {
        match self.nodes.remove(&node) {
            Some(Holding::Leased { lease, .. }) => Some(lease),
            _ => None,
        }
    }

    /// Asks for one more node for `service`. Asking again while a revocation in its favour is open does not
    /// revoke another.
    pub fn request(&mut self, now: Instant, service: ServiceKey) -> Answer {
        let Some(&share) = self.services.get(&service) else {
            return Answer::Refused { reason: RefuseReason::UnknownService };
        };
        let held = self.held(service);
        if held >= share.max {
            return Answer::Refused { reason: RefuseReason::AtMaximum { held, max: share.max } };
        }
        if let Some(node) = self.free_node(service, held < share.min) {
            return Answer::Granted(self.grant(now, node, service));
        }
        if let Some(from) = self.open_revocation(service) {
            return Answer::Revoke { from };
        }
        if let Some(node) = self.unfair_node(service, held, share) {
            return Answer::Revoke { from: self.revoke(now, node, service) };
        }
        let idle = self.idle();
        let reason = match idle {
            0 => RefuseReason::FairShare { held, nodes: self.nodes.len() as u32 },
            idle => RefuseReason::KeptForMinima { idle },
        };
        Answer::Refused { reason }
    }

    /// Renews the lease of `node` from `now` on.
    ///
    /// Errors: [`RenewError`]; the holder must not use the node any more.
    pub fn renew(&mut self, now: Instant, node: NodeKey, token: u64) -> Result<Renewal, RenewError> {
        let config = self.config;
        let (lease, revoked) = self.valid_lease(now, node, token)?;
        let give_back_by = revoked.map(|revoked| revoked.deadline);
        lease.expires = (now + config.lease).min(give_back_by.unwrap_or(Instant::MAX));
        Ok(Renewal { expires: lease.expires, give_back_by })
    }

    /// Gives a node back before its time. The service there must have been stopped.
    ///
    /// Errors: as `renew`; the node is not touched then.
    pub fn release(&mut self, now: Instant, node: NodeKey, token: u64) -> Result<(), RenewError> {
        self.valid_lease(now, node, token)?;
        self.free(now, node);
        Ok(())
    }

    /// Frees the nodes whose leases ended at least the guard time ago, and calls `ended` with each lease.
    pub fn expire(&mut self, now: Instant, ended: &mut impl FnMut(Lease)) {
        let guard = self.config.guard;
        loop {
            let due = self.nodes.iter().find(|(_, holding)| holding.is_over(now, guard));
            let Some((&node, &holding)) = due else { break };
            if let Holding::Leased { lease, .. } = holding {
                ended(lease);
            }
            self.free(now, node);
        }
    }

    /// When `expire` is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let guard = self.config.guard;
        self.nodes.values().map(|holding| holding.free_at(guard)).filter(|at| *at < Instant::MAX).min()
    }

    /// The leases that `expire` would end at this moment, by node.
    pub fn ended(&self, now: Instant) -> impl Iterator<Item = Lease> + '_ {
        let guard = self.config.guard;
        let over = self.nodes.values().filter(move |holding| holding.is_over(now, guard));
        over.filter_map(|holding| match holding {
            Holding::Leased { lease, .. } => Some(*lease),
            _ => None,
        })
    }

    /// Whether this node is one of the pool's.
    pub fn has_node(&self, node: NodeKey) -> bool {
        self.nodes.contains_key(&node)
    }

    /// Whether this service was announced and not forgotten since.
    pub fn has_service(&self, service: ServiceKey) -> bool {
        self.services.contains_key(&service)
    }

    /// Nodes leased to `service`, revoked ones included.
    pub fn held(&self, service: ServiceKey) -> u32 {
        self.leases().filter(|lease| lease.service == service).count() as u32
    }

    /// Idle nodes, those kept for somebody included.
    pub fn idle(&self) -> u32 {
        self.nodes.values().filter(|holding| !matches!(holding, Holding::Leased { .. })).count() as u32
    }

    /// Nodes that a request of `service` would be granted now, one after the other.
    pub fn idle_for(&self, service: ServiceKey) -> u32 {
        let Some(share) = self.services.get(&service) else { return 0 };
        let held = self.held(service);
        let kept = self.kept_for_others(service);
        let below_min = share.min.saturating_sub(held);
        let mine = self.usable_idle(service);
        let reserved = self.reserved_for(service);
        mine.min(mine.saturating_sub(kept).max(below_min).max(reserved)).min(share.max.saturating_sub(held))
    }

    /// All leases, by node.
    pub fn leases(&self) -> impl Iterator<Item = Lease> + '_ {
        self.nodes.values().filter_map(|holding| match holding {
            Holding::Leased { lease, .. } => Some(*lease),
            _ => None,
        })
    }

    /// The last token given out; keep it over a restart, see [`Pool::with_config`].
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Asserts what must hold between two calls; meant for tests and simulations.
    pub fn check_invariants(&self) {
        let mut tokens = alloc::collections::BTreeSet::new();
        for (&node, holding) in &self.nodes {
            if let Holding::Leased { lease, revoked } = holding {
                assert_eq!(lease.node, node, "a lease stands at its node");
                assert!(lease.token <= self.token && tokens.insert(lease.token), "tokens are unique");
                let deadline = revoked.map_or(Instant::MAX, |revoked| revoked.deadline);
                assert!(lease.expires <= deadline, "a revoked lease ends by its deadline");
            }
        }
        for &service in self.services.keys() {
            let open = self.nodes.values().filter(|holding| holding.heir() == Some(service)).count();
            assert!(open <= 1, "one revocation or reservation at a time for each service");
        }
    }

    /// The first idle node that `service` may have: one kept for it, else one that nobody's minimum needs.
    fn free_node(&self, service: ServiceKey, is_below_min: bool) -> Option<NodeKey> {
        let mut idle = self.nodes.iter().filter(|(_, holding)| holding.is_open_to(service));
        let kept = idle.clone().find(|(_, holding)| matches!(holding, Holding::Reserved { .. }));
        let spare = self.usable_idle(service) > self.kept_for_others(service);
        let found = kept.or_else(|| idle.next().filter(|_| spare || is_below_min));
        found.map(|(node, _)| *node)
    }

    fn usable_idle(&self, service: ServiceKey) -> u32 {
        self.nodes.values().filter(|holding| holding.is_open_to(service)).count() as u32
    }

    /// What the minima of all others still lack: idle nodes that must stay. What is reserved for one of them
    /// by a revocation counts as theirs already.
    fn kept_for_others(&self, service: ServiceKey) -> u32 {
        let others = self.services.iter().filter(|(key, _)| **key != service);
        others.map(|(&key, share)| share.min.saturating_sub(self.held(key) + self.reserved_for(key))).sum()
    }

    fn reserved_for(&self, service: ServiceKey) -> u32 {
        self.nodes.values().filter(|holding| holding.is_reserved_for(service)).count() as u32
    }

    fn open_revocation(&self, service: ServiceKey) -> Option<Lease> {
        self.nodes.values().find_map(|holding| match holding {
            Holding::Leased { lease, revoked: Some(revoked) } if revoked.heir == Some(service) => {
                Some(*lease)
            }
            _ => None,
        })
    }

    /// The node to take for `service`, from the service with the most nodes per weight; of its nodes the one
    /// leased last, as list order packs the load on the earlier ones.
    fn unfair_node(&self, service: ServiceKey, held: u32, share: Share) -> Option<NodeKey> {
        let mut worst: Option<(u64, u64, ServiceKey)> = None;
        for lease in self.leases() {
            // A service that was forgotten has no claim at all.
            let other = self.services.get(&lease.service).copied().unwrap_or(FORGOTTEN);
            let other_held = self.held_firmly(lease.service);
            if lease.service == service || other_held <= other.min {
                continue;
            }
            let (nodes, weight) = (u64::from(other_held), u64::from(other.weight.max(1)));
            let has_more = u128::from(nodes) * u128::from(share.weight.max(1))
                > u128::from(held + 1) * u128::from(weight);
            let is_forgotten = !self.services.contains_key(&lease.service);
            if (has_more || held < share.min || is_forgotten)
                && worst.is_none_or(|(most, of, _)| {
                    u128::from(nodes) * u128::from(of) > u128::from(most) * u128::from(weight)
                })
            {
                worst = Some((nodes, weight, lease.service));
            }
        }
        let (_, _, from) = worst?;
        let firm = self.nodes.values().filter_map(|holding| match holding {
            Holding::Leased { lease, revoked: None } if lease.service == from => Some(lease),
            _ => None,
        });
        firm.max_by_key(|lease| lease.token).map(|lease| lease.node)
    }

    /// Nodes leased to `service` that it has not been told to give back.
    fn held_firmly(&self, service: ServiceKey) -> u32 {
        let firm = self.nodes.values().filter(|holding| match holding {
            Holding::Leased { lease, revoked } => lease.service == service && revoked.is_none(),
            _ => false,
        });
        firm.count() as u32
    }

    fn grant(&mut self, now: Instant, node: NodeKey, service: ServiceKey) -> Lease {
        self.token += 1;
        let lease = Lease { node, service, token: self.token, expires: now + self.config.lease };
        self.nodes.insert(node, Holding::Leased { lease, revoked: None });
        lease
    }

    /// The end that was promised stands, since the holder may be out of reach: revoking only ends renewals.
    fn revoke(&mut self, now: Instant, node: NodeKey, heir: ServiceKey) -> Lease {
        let grace_ends = now + self.config.revoke_grace;
        let Some(Holding::Leased { lease, revoked }) = self.nodes.get_mut(&node) else {
            unreachable!("only a leased node is revoked");
        };
        *revoked = Some(Revocation { heir: Some(heir), deadline: grace_ends.max(lease.expires) });
        *lease
    }

    fn valid_lease(
        &mut self,
        now: Instant,
        node: NodeKey,
        token: u64,
    ) -> Result<(&mut Lease, Option<Revocation>), RenewError> {
        match self.nodes.get_mut(&node) {
            Some(Holding::Leased { lease, .. }) if lease.token != token => {
                Err(RenewError::Fenced { token: lease.token })
            }
            Some(Holding::Leased { lease, .. }) if lease.expires <= now => {
                Err(RenewError::Expired { at: lease.expires })
            }
            Some(Holding::Leased { lease, revoked }) => Ok((lease, *revoked)),
            _ => Err(RenewError::NotLeased),
        }
    }

    /// Makes a node idle, or keeps it for the one that it was revoked for.
    fn free(&mut self, now: Instant, node: NodeKey) {
        let until = now + self.config.reserve;
        let holding = match self.nodes.get(&node).and_then(Holding::heir) {
            Some(service) if self.nodes[&node].is_leased() => Holding::Reserved { service, until },
            _ => Holding::Idle,
        };
        self.nodes.insert(node, holding);
    }
}

/// The share of a service that `remove_service` has forgotten.
const FORGOTTEN: Share = Share { min: 0, max: 0, weight: 1 };

#[cfg(test)]
mod tests;
