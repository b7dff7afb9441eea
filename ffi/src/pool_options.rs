//! What a pool goes by, and what a service may have of it.

use crate::clc_status;
use crate::options::{self, Options, bound, or};
use crate::status::boundary;
use clustercore::proto::policy::{PoolConfig, Share};
use clustercore::proto::time::nanos;
use std::time::Duration;

/// Lengths of time of a pool, in nanoseconds. 0 means the default in every field but the first and the last; 1 is as good as
/// none.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_pool_options {
    /// sizeof(clc_pool_options)
    pub struct_size: usize,
    /// From a grant or a renewal to the end of the lease (5 s).
    pub lease_ns: u64,
    /// From the end of a lease until the node may go to somebody else: more than clocks can drift apart in one lease and
    /// the last messages can be under way (1 s).
    pub guard_ns: u64,
    /// How long the holder of a revoked lease may drain; until the end promised last, if that is later (30 s).
    pub revoke_grace_ns: u64,
    /// How long a node that was given back for a service is kept for that one (5 s).
    pub reserve_ns: u64,
    /// Tokens rise from here: the last one of the life before, or 0.
    pub token: u64,
}

// SAFETY: C layout, the size first, integers only.
unsafe impl Options for clc_pool_options {
    const NAME: &'static str = "clc_pool_options";
}

impl clc_pool_options {
    pub(crate) fn config(&self) -> PoolConfig {
        let default = PoolConfig::default();
        let length = |value_ns: u64, default: Duration| match value_ns {
            0 => default,
            value_ns => Duration::from_nanos(value_ns),
        };
        PoolConfig {
            lease: length(self.lease_ns, default.lease),
            guard: length(self.guard_ns, default.guard),
            revoke_grace: length(self.revoke_grace_ns, default.revoke_grace),
            reserve: length(self.reserve_ns, default.reserve),
        }
    }
}

/// Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_pool_options).
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_pool_options_init(
    options: *mut clc_pool_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        let config = PoolConfig::default();
        let values = clc_pool_options {
            lease_ns: nanos(config.lease),
            guard_ns: nanos(config.guard),
            revoke_grace_ns: nanos(config.revoke_grace),
            reserve_ns: nanos(config.reserve),
            ..clc_pool_options::zeroed()
        };
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, values) }
    })
}

/// What a service may have of a pool. 0 means the default in every field but the first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_share_options {
    /// sizeof(clc_share_options)
    pub struct_size: usize,
    /// Nodes kept for it (0).
    pub nodes_min: u32,
    /// Nodes it never exceeds (no limit); CLC_NONE for none at all.
    pub nodes_max: u32,
    /// Its part beside the others' when nodes are short (1).
    pub weight: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: C layout, the size first, integers only.
unsafe impl Options for clc_share_options {
    const NAME: &'static str = "clc_share_options";
}

impl clc_share_options {
    pub(crate) fn share(&self) -> Share {
        Share {
            min: self.nodes_min,
            max: bound(self.nodes_max, NODES_MAX as usize) as u32,
            weight: or(self.weight, 1),
        }
    }
}

/// Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_share_options).
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_share_options_init(
    options: *mut clc_share_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        let values = clc_share_options { nodes_max: NODES_MAX, weight: 1, ..clc_share_options::zeroed() };
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, values) }
    })
}

/// More than any pool has.
const NODES_MAX: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_the_default() {
        assert_eq!(clc_pool_options::zeroed().config(), PoolConfig::default());
        assert_eq!(clc_share_options::zeroed().share(), Share { min: 0, max: NODES_MAX, weight: 1 });
    }

    #[test]
    fn a_share_of_no_nodes_can_be_said() {
        let share = clc_share_options { nodes_max: options::CLC_NONE, ..clc_share_options::zeroed() };
        assert_eq!(share.share().max, 0);
    }
}
