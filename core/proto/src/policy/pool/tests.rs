use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

const A: ServiceKey = ServiceKey(0);
const B: ServiceKey = ServiceKey(1);
const C: ServiceKey = ServiceKey(2);

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

/// Leases of one second, 100 ms of guard, 1500 ms to drain, 300 ms of reservation.
fn config() -> PoolConfig {
    let [lease, guard, revoke_grace, reserve] = [1000, 100, 1500, 300].map(Duration::from_millis);
    PoolConfig { lease, guard, revoke_grace, reserve }
}

fn pool(nodes: u32, shares: &[(u32, u32, u32)]) -> Pool {
    let mut pool = Pool::with_config(config(), (0..nodes).map(NodeKey), 0);
    for (service, &(min, max, weight)) in shares.iter().enumerate() {
        pool.set_service(ServiceKey(service as u32), Share { min, max, weight }).unwrap();
    }
    pool
}

fn granted(answer: Answer) -> Lease {
    match answer {
        Answer::Granted(lease) => lease,
        other => panic!("granted, not {other:?}"),
    }
}

fn refused(answer: Answer) -> RefuseReason {
    match answer {
        Answer::Refused { reason } => reason,
        other => panic!("refused, not {other:?}"),
    }
}

fn revoked(answer: Answer) -> Lease {
    match answer {
        Answer::Revoke { from } => from,
        other => panic!("revoked, not {other:?}"),
    }
}

fn ended(pool: &mut Pool, ms: u64) -> Vec<NodeKey> {
    let mut nodes = Vec::new();
    let announced: Vec<NodeKey> = pool.ended(at(ms)).map(|lease| lease.node).collect();
    pool.expire(at(ms), &mut |lease| nodes.push(lease.node));
    pool.check_invariants();
    assert_eq!(announced.len(), nodes.len(), "what `ended` says is what `expire` ends");
    assert!(announced.iter().all(|node| nodes.contains(node)));
    nodes
}

/// Lets every service ask until nothing moves any more; who is told to give back does so at once.
fn settle(pool: &mut Pool) -> Vec<u32> {
    let services: Vec<ServiceKey> = pool.services.keys().copied().collect();
    for _ in 0..1000 {
        let mut moved = false;
        for &service in &services {
            match pool.request(at(0), service) {
                Answer::Granted(_) => moved = true,
                Answer::Revoke { from } => {
                    pool.release(at(0), from.node, from.token).unwrap();
                    moved = true;
                }
                Answer::Refused { .. } => {}
            }
            pool.check_invariants();
        }
        if !moved {
            return services.iter().map(|&service| pool.held(service)).collect();
        }
    }
    panic!("nodes are passed round in circles");
}

#[test]
fn expiry_ends_at_the_last_moment_that_there_is() {
    let mut pool = pool(2, &[(0, 2, 1)]);
    let lease = granted(pool.request(at(0), A));
    let mut nodes = Vec::new();
    pool.expire(Instant::MAX, &mut |lease| nodes.push(lease.node));
    assert_eq!(nodes, [lease.node]);
    assert_eq!((pool.idle(), pool.ended(Instant::MAX).count()), (2, 0));
}

#[test]
fn it_knows_its_nodes_and_services() {
    let mut pool = pool(1, &[(0, 1, 1)]);
    assert!(pool.has_node(NodeKey(0)) && !pool.has_node(NodeKey(1)));
    assert!(pool.has_service(A) && !pool.has_service(B));
    pool.remove_node(NodeKey(0));
    pool.remove_service(A);
    assert!(!pool.has_node(NodeKey(0)) && !pool.has_service(A));
}

#[test]
fn tokens_grow_with_every_grant_and_over_a_restart() {
    let mut pool = Pool::with_config(config(), [NodeKey(0)], 41);
    pool.set_service(A, Share { min: 0, max: 9, weight: 1 }).unwrap();
    let first = granted(pool.request(at(0), A));
    assert_eq!((first.token, first.expires), (42, at(1000)));
    pool.release(at(1), first.node, first.token).unwrap();
    assert_eq!(granted(pool.request(at(2), A)).token, 43);
    assert_eq!(pool.token(), 43);
}

#[test]
fn lease_ends_for_the_holder_first_and_for_the_pool_a_guard_later() {
    let mut pool = pool(1, &[(0, 9, 1), (0, 9, 1)]);
    let lease = granted(pool.request(at(0), A));
    assert_eq!(pool.renew(at(999), lease.node, lease.token).unwrap().expires, at(1999));
    // Partitioned from here on.
    assert_eq!(pool.renew(at(1999), lease.node, lease.token), Err(RenewError::Expired { at: at(1999) }));
    assert_eq!(ended(&mut pool, 2098), []);
    assert!(matches!(pool.request(at(2098), B), Answer::Refused { .. }));
    assert_eq!(pool.poll_timeout(), Some(at(2099)));
    assert_eq!(ended(&mut pool, 2099), [lease.node]);
    let next = granted(pool.request(at(2099), B));
    assert_eq!(pool.renew(at(2100), lease.node, lease.token), Err(RenewError::Fenced { token: next.token }));
    assert_eq!(
        pool.release(at(2100), lease.node, lease.token),
        Err(RenewError::Fenced { token: next.token })
    );
}

#[test]
fn maximum_and_unknown_are_refused_with_numbers() {
    let mut pool = pool(5, &[(0, 2, 1)]);
    granted(pool.request(at(0), A));
    granted(pool.request(at(0), A));
    assert_eq!(refused(pool.request(at(0), A)), RefuseReason::AtMaximum { held: 2, max: 2 });
    assert_eq!(refused(pool.request(at(0), C)), RefuseReason::UnknownService);
}

#[test]
fn minima_are_kept_free_for_their_owners() {
    let mut pool = pool(4, &[(0, 9, 100), (2, 9, 1)]);
    assert_eq!((pool.idle_for(A), pool.idle_for(B)), (2, 4));
    granted(pool.request(at(0), A));
    granted(pool.request(at(0), A));
    assert_eq!(refused(pool.request(at(0), A)), RefuseReason::KeptForMinima { idle: 2 });
    assert_eq!((pool.idle_for(A), pool.idle_for(B)), (0, 2));
    granted(pool.request(at(0), B));
    granted(pool.request(at(0), B));
    assert_eq!(refused(pool.request(at(0), B)), RefuseReason::FairShare { held: 2, nodes: 4 });
}

#[test]
fn a_minimum_announced_late_is_taken_from_who_has_most() {
    let mut pool = pool(4, &[(0, 9, 1), (0, 9, 1)]);
    for service in [A, A, A, B] {
        granted(pool.request(at(0), service));
    }
    pool.set_service(C, Share { min: 2, max: 2, weight: 1 }).unwrap();
    for node in [2, 1] {
        let from = revoked(pool.request(at(0), C));
        assert_eq!((from.service, from.node), (A, NodeKey(node)), "the last one of the largest");
        pool.release(at(0), from.node, from.token).unwrap();
        assert_eq!(granted(pool.request(at(0), C)).node, NodeKey(node));
    }
    assert_eq!([A, B, C].map(|service| pool.held(service)), [1, 1, 2]);
}

#[test]
fn impossible_promises_are_refused() {
    let mut pool = pool(3, &[(2, 3, 1)]);
    let share = Share { min: 2, max: 3, weight: 1 };
    assert_eq!(pool.set_service(B, share), Err(PoolError::MinimaExceedNodes { sum: 4, nodes: 3 }));
    assert_eq!(pool.set_service(A, share), Ok(()), "its own old minimum does not count");
    let share = Share { min: 2, max: 1, weight: 1 };
    assert_eq!(pool.set_service(A, share), Err(PoolError::MinAboveMax { min: 2, max: 1 }));
}

#[test]
fn revoked_lease_is_drained_and_handed_to_its_heir_only() {
    let mut pool = pool(2, &[(0, 9, 1), (0, 9, 1), (0, 9, 1)]);
    granted(pool.request(at(0), A));
    let last = granted(pool.request(at(0), A));
    let from = revoked(pool.request(at(0), B));
    assert_eq!(from, last);
    // Asking again revokes nothing more, and nobody else is in a better place.
    assert_eq!(revoked(pool.request(at(10), B)), from);
    assert!(matches!(pool.request(at(10), C), Answer::Refused { .. }));
    let renewal = pool.renew(at(100), last.node, last.token).unwrap();
    assert_eq!(renewal, Renewal { expires: at(1100), give_back_by: Some(at(1500)) });
    pool.release(at(200), last.node, last.token).unwrap();
    assert!(matches!(pool.request(at(210), C), Answer::Refused { .. }));
    assert_eq!(granted(pool.request(at(220), B)).node, last.node);
}

#[test]
fn unused_reservation_ends() {
    let mut pool = pool(2, &[(0, 9, 1), (0, 9, 1), (0, 9, 1)]);
    granted(pool.request(at(0), A));
    granted(pool.request(at(0), A));
    let from = revoked(pool.request(at(0), B));
    pool.release(at(0), from.node, from.token).unwrap();
    assert_eq!((pool.idle_for(A), pool.idle_for(B), pool.idle_for(C)), (0, 1, 0));
    // A minimum announced meanwhile does not take it away.
    pool.set_service(C, Share { min: 1, max: 9, weight: 1 }).unwrap();
    assert_eq!((pool.idle_for(A), pool.idle_for(B), pool.idle_for(C)), (0, 1, 0));
    pool.set_service(C, Share { min: 0, max: 9, weight: 1 }).unwrap();
    assert_eq!(ended(&mut pool, 299), []);
    assert!(matches!(pool.request(at(299), C), Answer::Refused { .. }));
    ended(&mut pool, 300);
    granted(pool.request(at(300), C));
}

#[test]
fn holder_that_ignores_the_revocation_loses_by_time() {
    let mut pool = pool(2, &[(0, 9, 1), (0, 9, 1)]);
    granted(pool.request(at(0), A));
    granted(pool.request(at(0), A));
    let from = revoked(pool.request(at(0), B));
    for ms in (0..1500).step_by(100) {
        pool.renew(at(ms), from.node, from.token).unwrap();
    }
    assert_eq!(pool.renew(at(1500), from.node, from.token), Err(RenewError::Expired { at: at(1500) }));
    assert_eq!(ended(&mut pool, 1600), [NodeKey(0), from.node]);
    assert_eq!(granted(pool.request(at(1600), B)).node, from.node);
}

#[test]
fn revocation_does_not_shorten_what_was_promised() {
    let revoke_grace = Duration::from_millis(1);
    let nodes = [NodeKey(0), NodeKey(1)];
    let mut pool = Pool::with_config(PoolConfig { revoke_grace, ..config() }, nodes, 0);
    for service in [A, B] {
        pool.set_service(service, Share { min: 0, max: 9, weight: 1 }).unwrap();
    }
    granted(pool.request(at(0), A));
    let promised = granted(pool.request(at(0), A));
    // The holder is cut off and never hears of the revocation: it may use the node until 1000.
    assert_eq!(revoked(pool.request(at(10), B)), promised);
    assert_eq!(ended(&mut pool, 1099), []);
    assert!(matches!(pool.request(at(1099), B), Answer::Revoke { .. }));
    ended(&mut pool, 1100);
    granted(pool.request(at(1100), B));
}

#[test]
fn dead_node_and_forgotten_service_leave_nothing_behind() {
    let mut pool = pool(2, &[(0, 9, 1), (0, 9, 1)]);
    let first = granted(pool.request(at(0), A));
    let second = granted(pool.request(at(0), A));
    assert_eq!(pool.remove_node(first.node), Some(first));
    assert_eq!(pool.renew(at(1), first.node, first.token), Err(RenewError::NotLeased));
    pool.remove_service(A);
    // A forgotten service has no claim, so even its only node is taken.
    assert_eq!(revoked(pool.request(at(1), B)).node, second.node);
    pool.remove_service(B);
    pool.release(at(2), second.node, second.token).unwrap();
    assert_eq!(pool.idle(), 1);
    pool.check_invariants();
}

#[test]
fn division_follows_weights_between_minima_and_maxima() {
    assert_eq!(settle(&mut pool(12, &[(0, 99, 1), (0, 99, 2), (0, 99, 3)])), [2, 4, 6]);
    assert_eq!(settle(&mut pool(12, &[(4, 99, 1), (0, 99, 2), (0, 99, 3)])), [4, 3, 5]);
    assert_eq!(settle(&mut pool(12, &[(0, 99, 1), (0, 2, 2), (0, 99, 4)])), [2, 2, 8]);
    assert_eq!(settle(&mut pool(3, &[(0, 99, 1), (0, 99, 1), (0, 99, 1)])), [1, 1, 1]);
}

/// Slow and obvious: minima first, then node by node to whoever would have the fewest per weight with it.
fn model(nodes: u32, shares: &[(u32, u32, u32)]) -> Vec<u32> {
    let mut held: Vec<u32> = shares.iter().map(|share| share.0).collect();
    while held.iter().sum::<u32>() < nodes {
        let open = (0..shares.len()).filter(|&service| held[service] < shares[service].1);
        let Some(next) = open.min_by_key(|&service| {
            // A common multiple of the weights 1..=6 keeps the quotients whole.
            (held[service] + 1) * 60 / shares[service].2
        }) else {
            break;
        };
        held[next] += 1;
    }
    held
}

#[derive(Clone, Debug)]
enum Op {
    Request { service: u32 },
    Renew { pick: usize },
    Release { pick: usize },
    Expire,
    StaleRenew { node: u32, token: u64 },
    RemoveNode { node: u32 },
    AddNode { node: u32 },
}

fn op() -> impl Strategy<Value = (u64, Op)> {
    let op = prop_oneof![
        6 => (0u32..4).prop_map(|service| Op::Request { service }),
        3 => any::<usize>().prop_map(|pick| Op::Renew { pick }),
        2 => any::<usize>().prop_map(|pick| Op::Release { pick }),
        2 => Just(Op::Expire),
        1 => (0u32..6, 0u64..40).prop_map(|(node, token)| Op::StaleRenew { node, token }),
        1 => (0u32..6).prop_map(|node| Op::RemoveNode { node }),
        1 => (0u32..6).prop_map(|node| Op::AddNode { node }),
    ];
    (0u64..200, op)
}

proptest! {
    /// From any mixture of shares the settled division is the model's, up to ties.
    #[test]
    fn settled_division_is_max_min_fair(
        nodes in 1u32..20,
        shares in prop::collection::vec((0u32..3, 3u32..12, 1u32..7), 1..5),
    ) {
        let mut shares = shares;
        let mut left = nodes;
        for share in &mut shares {
            share.0 = share.0.min(left);
            left -= share.0;
        }
        let held = settle(&mut pool(nodes, &shares));
        let expected = model(nodes, &shares);
        prop_assert_eq!(held.iter().sum::<u32>(), expected.iter().sum::<u32>());
        for (service, share) in shares.iter().enumerate() {
            prop_assert!((share.0..=share.1).contains(&held[service]));
        }
        // Where the two differ, it is by a tie: the last node of the one equals the next of the other.
        let weight = |service: usize| shares[service].2;
        for more in (0..shares.len()).filter(|&service| held[service] > expected[service]) {
            prop_assert_eq!(held[more], expected[more] + 1);
            for less in (0..shares.len()).filter(|&service| held[service] < expected[service]) {
                prop_assert_eq!(held[more] * weight(less), (held[less] + 1) * weight(more));
            }
        }
    }

    /// Over any history: one holder per node at a time, none before the guard time of the one before has
    /// passed, tokens that only grow, maxima kept.
    #[test]
    fn no_node_has_two_holders(ops in prop::collection::vec(op(), 1..120)) {
        let shares = [(1, 3, 1), (0, 4, 2), (0, 9, 1)];
        let mut pool = pool(6, &shares);
        let mut ms = 0;
        let mut leases: Vec<Lease> = Vec::new();
        // Until when each node may still be in use by somebody.
        let mut busy_until = [Instant::ZERO; 6];
        let mut token = 0;
        for (by_ms, op) in ops {
            ms += by_ms;
            let now = at(ms);
            match op {
                Op::Request { service } => match pool.request(now, ServiceKey(service)) {
                    Answer::Granted(lease) => {
                        prop_assert!(busy_until[lease.node.0 as usize] <= now, "the holder before is gone");
                        prop_assert!(lease.token > token);
                        token = lease.token;
                        busy_until[lease.node.0 as usize] = lease.expires + config().guard;
                        leases.push(lease);
                        prop_assert!(pool.held(lease.service) <= shares[service as usize].1);
                    }
                    Answer::Revoke { from } => prop_assert!(from.service != ServiceKey(service)),
                    Answer::Refused { .. } => {}
                },
                Op::Renew { pick } if !leases.is_empty() => {
                    let lease = leases[pick % leases.len()];
                    if let Ok(renewal) = pool.renew(now, lease.node, lease.token) {
                        busy_until[lease.node.0 as usize] = renewal.expires + config().guard;
                    }
                }
                Op::Release { pick } if !leases.is_empty() => {
                    let lease = leases.swap_remove(pick % leases.len());
                    if pool.release(now, lease.node, lease.token).is_ok() {
                        busy_until[lease.node.0 as usize] = now;
                    }
                }
                Op::Expire => {
                    ended(&mut pool, ms);
                }
                Op::StaleRenew { node, token } => {
                    let present = pool.leases().find(|lease| lease.node == NodeKey(node));
                    let result = pool.renew(now, NodeKey(node), token);
                    prop_assert!(result.is_err() || present.is_some_and(|lease| lease.token == token));
                    if let Ok(renewal) = result {
                        busy_until[node as usize] = renewal.expires + config().guard;
                    }
                }
                Op::RemoveNode { node } => {
                    pool.remove_node(NodeKey(node));
                    // Dead: nobody can use it, whatever they believe.
                    busy_until[node as usize] = now;
                }
                Op::AddNode { node } => pool.add_node(NodeKey(node)),
                Op::Renew { .. } | Op::Release { .. } => {}
            }
            pool.check_invariants();
        }
    }
}
