//! The pool: which service holds which node.

use crate::options;
use crate::status::{boundary, null};
use crate::{clc_lease, clc_pool_answer, clc_pool_options, clc_renewal, clc_share_options, clc_status};
use clustercore::proto::policy::{NodeKey, Pool, PoolError, RenewError, ServiceKey};
use clustercore::proto::time::Instant;
use clustercore::{Code, Error, Result};

/// Leases nodes to services by minimum, maximum and weight. Pure: it has no clock, no thread, and reaches no node. Nodes and
/// services are numbers of the caller's choice; times are nanoseconds of any clock, and one before a time that was given
/// counts as that one. One thread at a time may call it.
pub struct clc_pool {
    inner: Pool,
    now: Instant,
}

/// Makes a pool without nodes and services. `options` may be NULL for the defaults. Ends with clc_pool_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
///
/// # Safety
/// `options` is NULL or a struct of the size that it says; `pool_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_new(
    options: *const clc_pool_options,
    pool_out: *mut *mut clc_pool,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options = unsafe { options::read(options) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { pool_out.as_mut() }.ok_or_else(|| null("pool_out"))?;
        let inner = Pool::with_config(options.config(), [], options.token);
        *out = Box::into_raw(Box::new(clc_pool { inner, now: Instant::ZERO }));
        Ok(())
    })
}

/// Ends a pool; nobody is told. NULL is fine. Any thread may call this.
///
/// # Safety
/// `pool` is NULL or a pool that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_free(pool: *mut clc_pool) {
    if !pool.is_null() {
        // SAFETY: made by `clc_pool_new` and not freed before, per the contract above.
        drop(unsafe { Box::from_raw(pool) });
    }
}

/// Adds a node.
///
/// Errors: NULL_ARGUMENT, ALREADY_EXISTS. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_add_node(pool: *mut clc_pool, node: u32) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live pool that is ours alone during this call, per the contract above.
        let pool = unsafe { pool.as_mut() }.ok_or_else(|| null("pool"))?;
        if pool.inner.has_node(NodeKey(node)) {
            return Err(Error::new(Code::AlreadyExists, format!("the pool has a node {node} already")));
        }
        pool.inner.add_node(NodeKey(node));
        Ok(())
    })
}

/// Takes a node out, for good or because it died. `ended_out` may be NULL, else `*ended_out` is the lease that ends by this, or
/// all zero when the node was not leased.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_NODE. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that no other thread uses now; `ended_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_remove_node(
    pool: *mut clc_pool,
    node: u32,
    ended_out: *mut clc_lease,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live pool that is ours alone during this call, per the contract above.
        let pool = unsafe { pool.as_mut() }.ok_or_else(|| null("pool"))?;
        let ended = pool.inner.remove_node(pool.node(node)?);
        // SAFETY: NULL or writable, per the contract above.
        if let Some(out) = unsafe { ended_out.as_mut() } {
            *out = ended.map_or_else(clc_lease::default, clc_lease::from);
        }
        Ok(())
    })
}

/// Announces a service, or changes what it may have; leases it holds already stay. `options` may be NULL for the defaults.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT; BAD_CONFIGURATION when the minimum is above the maximum, or the
/// minima sum up to more than there are nodes. Nothing has changed then. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that no other thread uses now; `options` is NULL or a struct of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_add_service(
    pool: *mut clc_pool,
    service: u32,
    options: *const clc_share_options,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live pool that is ours alone during this call, per the contract above.
        let pool = unsafe { pool.as_mut() }.ok_or_else(|| null("pool"))?;
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options = unsafe { options::read(options) }?;
        if options.reserved != 0 {
            let text = format!("reserved is {}, it must be 0", options.reserved);
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let set = pool.inner.set_service(ServiceKey(service), options.share());
        set.map_err(|error| refused_share(service, error))
    })
}

/// Forgets a service: it gets nothing more. Its leases end as others do.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_SERVICE. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_remove_service(pool: *mut clc_pool, service: u32) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live pool that is ours alone during this call, per the contract above.
        let pool = unsafe { pool.as_mut() }.ok_or_else(|| null("pool"))?;
        pool.inner.remove_service(pool.service(service)?);
        Ok(())
    })
}

/// Asks for one more node for a service. Asking again while a revocation in its favour is open does not revoke another.
/// A refusal is an answer, not an error.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_SERVICE. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that no other thread uses now; `answer_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_request(
    pool: *mut clc_pool,
    now_ns: u64,
    service: u32,
    answer_out: *mut clc_pool_answer,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live pool that is ours alone during this call, per the contract above.
        let pool = unsafe { pool.as_mut() }.ok_or_else(|| null("pool"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { answer_out.as_mut() }.ok_or_else(|| null("answer_out"))?;
        let now = pool.at(now_ns);
        let answer = clc_pool_answer::new(pool.inner.request(now, ServiceKey(service)));
        *out = answer.ok_or_else(|| no_such_service(service))?;
        Ok(())
    })
}

/// Renews the lease of a node.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_NODE; STALE_TOKEN when the lease is over or another's. With the last two the holder must not
/// use the node any more. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that no other thread uses now; `renewal_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_renew(
    pool: *mut clc_pool,
    now_ns: u64,
    node: u32,
    token: u64,
    renewal_out: *mut clc_renewal,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live pool that is ours alone during this call, per the contract above.
        let pool = unsafe { pool.as_mut() }.ok_or_else(|| null("pool"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { renewal_out.as_mut() }.ok_or_else(|| null("renewal_out"))?;
        let (now, key) = (pool.at(now_ns), pool.node(node)?);
        let renewal = pool.inner.renew(now, key, token).map_err(|error| stale(node, token, error))?;
        *out = renewal.into();
        Ok(())
    })
}

/// Gives a node back before its time; the service there must have been stopped.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_NODE, STALE_TOKEN; the node is not touched then. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_release(
    pool: *mut clc_pool,
    now_ns: u64,
    node: u32,
    token: u64,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live pool that is ours alone during this call, per the contract above.
        let pool = unsafe { pool.as_mut() }.ok_or_else(|| null("pool"))?;
        let (now, key) = (pool.at(now_ns), pool.node(node)?);
        pool.inner.release(now, key, token).map_err(|error| stale(node, token, error))
    })
}

/// Frees the nodes whose leases ended at least the guard time ago, and writes those leases into `leases_out`;
/// `*leases_len_out` is how many there are. With too little room nothing happens and nothing is written but that number.
///
/// Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that no other thread uses now; `leases_out` has room for `capacity` structs, or is NULL and
/// `capacity` is 0; `leases_len_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_expire(
    pool: *mut clc_pool,
    now_ns: u64,
    leases_out: *mut clc_lease,
    capacity: usize,
    leases_len_out: *mut usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live pool that is ours alone during this call, per the contract above.
        let pool = unsafe { pool.as_mut() }.ok_or_else(|| null("pool"))?;
        let now = pool.at(now_ns);
        let ended = pool.inner.ended(now).map(clc_lease::from).collect();
        // SAFETY: as the contract above says.
        unsafe { write_leases(ended, leases_out, capacity, leases_len_out) }?;
        pool.inner.expire(now, &mut |_| ());
        Ok(())
    })
}

/// Writes all leases into `leases_out`, by node; `*leases_len_out` is how many there are. With too little room nothing is
/// written but that number.
///
/// Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that nobody changes now; `leases_out` has room for `capacity` structs, or is NULL and
/// `capacity` is 0; `leases_len_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_leases(
    pool: *const clc_pool,
    leases_out: *mut clc_lease,
    capacity: usize,
    leases_len_out: *mut usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live pool that nobody changes now, per the contract above.
        let pool = unsafe { pool.as_ref() }.ok_or_else(|| null("pool"))?;
        let leases = pool.inner.leases().map(clc_lease::from).collect();
        // SAFETY: as the contract above says.
        unsafe { write_leases(leases, leases_out, capacity, leases_len_out) }
    })
}

/// How many nodes requests of a service would be granted now, one after the other.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_SERVICE. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that nobody changes now; `nodes_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_idle_for(
    pool: *const clc_pool,
    service: u32,
    nodes_out: *mut u32,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live pool that nobody changes now, per the contract above.
        let pool = unsafe { pool.as_ref() }.ok_or_else(|| null("pool"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { nodes_out.as_mut() }.ok_or_else(|| null("nodes_out"))?;
        *out = pool.inner.idle_for(pool.service(service)?);
        Ok(())
    })
}

/// When clc_pool_expire is due next, in nanoseconds of the pool's clock; UINT64_MAX when there is nothing to wait for.
///
/// Errors: NULL_ARGUMENT. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that nobody changes now; `at_ns_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_next_expiry_ns(pool: *const clc_pool, at_ns_out: *mut u64) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live pool that nobody changes now, per the contract above.
        let pool = unsafe { pool.as_ref() }.ok_or_else(|| null("pool"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { at_ns_out.as_mut() }.ok_or_else(|| null("at_ns_out"))?;
        *out = pool.inner.poll_timeout().unwrap_or(Instant::MAX).as_nanos();
        Ok(())
    })
}

/// The last token given out: keep it over a restart, for clc_pool_options. 0 for NULL. One thread at a time may call this.
///
/// # Safety
/// `pool` is NULL or a live pool that nobody changes now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_token(pool: *const clc_pool) -> u64 {
    // SAFETY: NULL or a live pool that nobody changes now, per the contract above.
    unsafe { pool.as_ref() }.map_or(0, |pool| pool.inner.token())
}

impl clc_pool {
    fn at(&mut self, now_ns: u64) -> Instant {
        self.now = self.now.max(Instant::from_nanos(now_ns));
        self.now
    }

    fn node(&self, node: u32) -> Result<NodeKey> {
        let missing = || Error::new(Code::NoSuchNode, format!("the pool has no node {node}"));
        Some(NodeKey(node)).filter(|key| self.inner.has_node(*key)).ok_or_else(missing)
    }

    fn service(&self, service: u32) -> Result<ServiceKey> {
        let key = Some(ServiceKey(service)).filter(|key| self.inner.has_service(*key));
        key.ok_or_else(|| no_such_service(service))
    }
}

/// All of them, or only how many there are.
///
/// # Safety
/// `out` has room for `capacity` structs, or is NULL and `capacity` is 0; `len_out` is NULL or writable.
unsafe fn write_leases(
    leases: Vec<clc_lease>,
    out: *mut clc_lease,
    capacity: usize,
    len_out: *mut usize,
) -> Result<()> {
    // SAFETY: NULL or writable, per the contract.
    let len_out = unsafe { len_out.as_mut() }.ok_or_else(|| null("leases_len_out"))?;
    if out.is_null() && capacity > 0 {
        return Err(null("leases_out"));
    }
    *len_out = leases.len();
    if leases.len() > capacity {
        let text = format!("leases_out has room for {capacity}, there are {}", leases.len());
        return Err(Error::new(Code::BufferTooSmall, text));
    }
    if !leases.is_empty() {
        // SAFETY: there is room for as many, as just compared, and the caller's array is no part of ours.
        unsafe { out.copy_from_nonoverlapping(leases.as_ptr(), leases.len()) };
    }
    Ok(())
}

fn no_such_service(service: u32) -> Error {
    Error::new(Code::NoSuchService, format!("the pool has no service {service}"))
}

fn refused_share(service: u32, error: PoolError) -> Error {
    let text = match error {
        PoolError::MinAboveMax { min, max } => {
            format!("service {service}: nodes_min is {min}; it must not be above nodes_max ({max})")
        }
        PoolError::MinimaExceedNodes { sum, nodes } => {
            format!("service {service}: the minima sum up to {sum}; the pool has {nodes} nodes")
        }
    };
    Error::new(Code::BadConfiguration, text)
}

fn stale(node: u32, token: u64, error: RenewError) -> Error {
    let text = match error {
        RenewError::NotLeased => {
            format!("node {node} is not leased, token {token} is of a lease that is over")
        }
        RenewError::Fenced { token: present } => {
            format!("node {node} is leased under token {present}, not {token}")
        }
        RenewError::Expired { at } => format!("the lease of node {node} ended at {} ns", at.as_nanos()),
    };
    Error::new(Code::StaleToken, text)
}
