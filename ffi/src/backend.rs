//! The back ends of a forwarder.

use crate::clc_status;
use crate::forwarder::{Owner, clc_forwarder};
use crate::options::{self, Options, or};
use crate::status::{boundary, null};
use crate::text::{address, fixed, optional};
use clustercore::BackendStatus;
use clustercore::forward::{BackendConfig, JobAddress};
use clustercore::proto::policy::{BackendKey, HealthState, Level, Thresholds};
use clustercore::security::PublicKey;
use clustercore::{Code, Error, Result};
use std::ffi::c_char;
use std::time::Duration;

/// A back end to be added. 0 and NULL mean the default where there is one. The strings are copied.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_backend_options {
    /// sizeof(clc_backend_options)
    pub struct_size: usize,
    /// Where its service listens: `127.0.0.1:8080` or `[::1]:8080`. Must be given.
    pub address: *const c_char,
    /// Name, for people; need not be unique (the address).
    pub name: *const c_char,
    /// Share relative to others (1).
    pub weight: u32,
    /// Cores of its node: load is requests in flight per core (1).
    pub cores: u32,
    /// Requests in flight, at most (no limit).
    pub in_flight_max: u32,
    /// 0.
    pub reserved: u32,
    /// Where its job handler listens, as `address`: requests go there in messages, and to `address` what cannot, and everything
    /// while messages do not get through. NULL: all go to `address`.
    pub job_address: *const c_char,
    /// The handler's public key, text as of clc_key_public. NULL: messages are clear.
    pub job_public_key: *const c_char,
}

// SAFETY: C layout, the size first, integers and pointers that may be NULL.
unsafe impl Options for clc_backend_options {
    const NAME: &'static str = "clc_backend_options";
    // Before there were jobs, and now.
    const SIZES: &'static [usize] = &[size_of::<Self>() - 2 * size_of::<*const c_char>(), size_of::<Self>()];
}

/// Where a back end of the child list stands.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_backend_state {
    /// Gets requests.
    Active = 0,
    /// Gets no new request; finishes those in flight.
    Draining = 1,
    /// Taken off the list.
    Removed = 2,
}

/// What a back end may be given.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_health {
    /// Its full share.
    Healthy = 0,
    /// Nothing.
    Ejected = 1,
    /// One request at a time.
    Trial = 2,
    /// A growing share.
    Warming = 3,
}

/// How busy a back end is.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_level {
    /// Below medium_percent.
    Low = 0,
    /// From medium_percent to below high_percent.
    Medium = 1,
    /// At high_percent or above: gets nothing.
    High = 2,
}

/// A back end as it stands now.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_backend_status {
    /// Its key, unique within the forwarder for good.
    pub backend: u32,
    /// A clc_backend_state.
    pub state: u32,
    /// A clc_health.
    pub health: u32,
    /// A clc_level.
    pub level: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Share relative to others.
    pub weight: u32,
    /// Cores of its node.
    pub cores: u32,
    /// 1 when it is the local instance.
    pub is_local: u32,
    /// Requests begun, ever.
    pub requests: u64,
    /// Exchanges that failed, ever.
    pub failures: u64,
    /// Mean time of its completed requests in nanoseconds.
    pub latency_ns_mean: u64,
    /// Time of its completed requests in nanoseconds, summed.
    pub latency_ns_total: u64,
    /// The latest sample told by clc_forwarder_set_reading.
    pub reading_per_mille: u64,
    /// 0.
    pub reserved: [u64; 3],
    /// Its name, cut where it is longer.
    pub name: [c_char; 64],
    /// Where its service listens.
    pub address: [c_char; 64],
}

impl clc_backend_status {
    fn new(status: &BackendStatus) -> clc_backend_status {
        let health = match status.health {
            HealthState::Healthy => clc_health::Healthy,
            HealthState::Ejected { .. } => clc_health::Ejected,
            HealthState::Trial => clc_health::Trial,
            HealthState::Warming { .. } => clc_health::Warming,
        };
        let level = match status.level {
            Level::Low => clc_level::Low,
            Level::Medium => clc_level::Medium,
            Level::High => clc_level::High,
        };
        clc_backend_status {
            backend: status.key.0,
            state: status.state as u32,
            health: health as u32,
            level: level as u32,
            in_flight: status.in_flight,
            weight: status.weight,
            cores: status.cores,
            is_local: u32::from(status.local),
            requests: status.requests,
            failures: status.failures,
            latency_ns_mean: status.latency_ns_mean,
            latency_ns_total: status.latency_ns_total,
            reading_per_mille: u64::from(status.reading_per_mille),
            reserved: [0; 3],
            name: fixed(&status.name),
            address: fixed(&status.address.to_string()),
        }
    }
}

/// Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_backend_options). The address is left
/// NULL.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_backend_options_init(
    options: *mut clc_backend_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        let values = clc_backend_options {
            weight: 1,
            cores: 1,
            in_flight_max: u32::MAX,
            ..clc_backend_options::zeroed()
        };
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, values) }
    })
}

/// Appends a back end to the child list. `backend_out` may be NULL, else gets its key, which is never 0.
///
/// Errors: NULL_ARGUMENT (also for the address), BAD_ADDRESS, BAD_KEY, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT,
/// NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or with a node any thread, may call this.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder; `options` is NULL or a struct of the size that it says, and its strings
/// are NULL or NUL-terminated; `backend_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_add_backend(
    forwarder: *mut clc_forwarder,
    options: *const clc_backend_options,
    backend_out: *mut u32,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        if options.is_null() {
            return Err(null("options"));
        }
        // SAFETY: per the contract above.
        let config = unsafe { config(options) }?;
        let key = match forwarder.owner()? {
            (Owner::Shard(core), id) => core.with(|state| state.shard.add_backend(id, config)),
            (Owner::Node(core), id) => core.node()?.add_backend(id, config),
        }?;
        // SAFETY: NULL or writable, per the contract above.
        if let Some(out) = unsafe { backend_out.as_mut() } {
            *out = key.0;
        }
        Ok(())
    })
}

/// Sets the local instance, which serves while the child list is empty; `options` NULL takes it away. `backend_out` may
/// be NULL, else gets its key, or 0.
///
/// Errors: as clc_forwarder_add_backend. The shard's thread, or with a node any thread, may call this.
///
/// # Safety
/// As clc_forwarder_add_backend.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_set_local(
    forwarder: *mut clc_forwarder,
    options: *const clc_backend_options,
    backend_out: *mut u32,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        // SAFETY: per the contract above.
        let config = if options.is_null() { None } else { Some(unsafe { config(options) }?) };
        let key = match forwarder.owner()? {
            (Owner::Shard(core), id) => core.with(|state| state.shard.set_local(id, config)),
            (Owner::Node(core), id) => core.node()?.set_local(id, config),
        }?;
        // SAFETY: NULL or writable, per the contract above.
        if let Some(out) = unsafe { backend_out.as_mut() } {
            *out = key.map_or(0, |key| key.0);
        }
        Ok(())
    })
}

/// Gives a back end no new requests. The event CLC_EVENT_KIND_BACKEND_DRAINED tells when nothing is in flight there, or
/// that `deadline_ns` nanoseconds have passed. Then remove it.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_BACKEND, WRONG_STATE (it is draining already), NO_SUCH_FORWARDER, CLOSED,
/// WRONG_THREAD, FORKED. The shard's thread, or with a node any thread, may call this.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_drain_backend(
    forwarder: *mut clc_forwarder,
    backend: u32,
    deadline_ns: u64,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        let (key, deadline) = (BackendKey(backend), Duration::from_nanos(deadline_ns));
        match forwarder.owner()? {
            (Owner::Shard(core), id) => core.with(|state| state.shard.drain_backend(id, key, deadline)),
            (Owner::Node(core), id) => core.node()?.drain_backend(id, key, deadline),
        }
    })
}

/// Takes a back end off the list at once: what is in flight there is tried elsewhere where that is allowed, else
/// answered 502 or cut. Drain it first, and no request is lost.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_BACKEND, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or
/// with a node any thread, may call this.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_remove_backend(
    forwarder: *mut clc_forwarder,
    backend: u32,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        match forwarder.owner()? {
            (Owner::Shard(core), id) => {
                core.with(|state| state.shard.remove_backend(id, BackendKey(backend)))
            }
            (Owner::Node(core), id) => core.node()?.remove_backend(id, BackendKey(backend)),
        }
    })
}

/// Changes a back end's share relative to others; at least 1.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, NO_SUCH_BACKEND, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The
/// shard's thread, or with a node any thread, may call this.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_set_weight(
    forwarder: *mut clc_forwarder,
    backend: u32,
    weight: u32,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        if weight == 0 {
            return Err(Error::new(Code::InvalidArgument, "weight is 0; it must be at least 1"));
        }
        let key = BackendKey(backend);
        match forwarder.owner()? {
            (Owner::Shard(core), id) => core.with(|state| {
                state.shard.backend(id, key)?.set_weight(weight);
                Ok(())
            }),
            (Owner::Node(core), id) => core.node()?.set_weight(id, key, weight),
        }
    })
}

/// Tells a sample of the forwarder's signal for a back end, in per mille of its scale: CPU time used there (1000 is all
/// of its cores), or response time (1000 is the target). Requests in flight are counted by the library itself; with that
/// signal a reading has no effect. Between two samples a burst goes unseen: give such back ends an `in_flight_max` too.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_BACKEND, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or with
/// a node any thread, may call this.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_set_reading(
    forwarder: *mut clc_forwarder,
    backend: u32,
    reading_per_mille: u32,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        let key = BackendKey(backend);
        match forwarder.owner()? {
            (Owner::Shard(core), id) => {
                core.with(|state| state.shard.set_reading(id, key, reading_per_mille))
            }
            (Owner::Node(core), id) => core.node()?.set_reading(id, key, reading_per_mille),
        }
    })
}

/// Changes where Medium and High begin, in per cent of the signal's scale, from the next request on.
///
/// Errors: NULL_ARGUMENT, BAD_CONFIGURATION (Medium above High), NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The
/// shard's thread, or with a node any thread, may call this.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_set_thresholds(
    forwarder: *mut clc_forwarder,
    medium_percent: u32,
    high_percent: u32,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        let thresholds = Thresholds { medium: medium_percent, high: high_percent };
        match forwarder.owner()? {
            (Owner::Shard(core), id) => core.with(|state| state.shard.set_thresholds(id, thresholds)),
            (Owner::Node(core), id) => core.node()?.set_thresholds(id, thresholds),
        }
    })
}

/// Writes how each back end stands into `backends_out`, the local instance first, then the child list in its order;
/// `*backends_len_out` is how many there are. With too little room nothing is written but that number.
///
/// Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or
/// with a node any thread, may call this.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder; `backends_out` has room for `capacity` structs, or is NULL and
/// `capacity` is 0; `backends_len_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_backends(
    forwarder: *const clc_forwarder,
    backends_out: *mut clc_backend_status,
    capacity: usize,
    backends_len_out: *mut usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        // SAFETY: NULL or writable, per the contract above.
        let len_out = unsafe { backends_len_out.as_mut() }.ok_or_else(|| null("backends_len_out"))?;
        if backends_out.is_null() && capacity > 0 {
            return Err(null("backends_out"));
        }
        let backends = match forwarder.owner()? {
            (Owner::Shard(core), id) => core.with(|state| state.shard.backends(id)),
            (Owner::Node(core), id) => core.node()?.backends(id),
        }?;
        *len_out = backends.len();
        if backends.len() > capacity {
            let text = format!("backends_out has room for {capacity}, there are {}", backends.len());
            return Err(Error::new(Code::BufferTooSmall, text));
        }
        for (index, status) in backends.iter().enumerate() {
            // SAFETY: `index` is below `capacity`, so this lies within the caller's array.
            let slot = unsafe { backends_out.add(index) };
            // SAFETY: within the caller's array.
            unsafe { slot.write(clc_backend_status::new(status)) };
        }
        Ok(())
    })
}

/// What the options ask for.
///
/// # Safety
/// As the parameter `options` of `clc_forwarder_add_backend`.
unsafe fn config(options: *const clc_backend_options) -> Result<BackendConfig> {
    // SAFETY: NULL or a struct of the size that it says, per the contract.
    let options = unsafe { options::read(options) }?;
    // SAFETY: NULL or NUL-terminated, per the contract.
    let mut config = BackendConfig::new(unsafe { address("address", options.address) }?);
    // SAFETY: as above; copied at once.
    if let Some(name) = unsafe { optional("name", options.name) }? {
        config.name = name.into();
    }
    if options.reserved != 0 {
        let text = format!("reserved is {}, it must be 0", options.reserved);
        return Err(Error::new(Code::InvalidArgument, text));
    }
    config.weight = or(options.weight, config.weight);
    config.cores = or(options.cores, config.cores);
    config.in_flight_max = or(options.in_flight_max, config.in_flight_max);
    // SAFETY: as above; copied at once.
    let key = unsafe { optional("job_public_key", options.job_public_key) }?;
    let key = key.map(|text| PublicKey::parse(text).map(|key| *key.as_bytes())).transpose()?;
    if !options.job_address.is_null() {
        // SAFETY: as above.
        let address = unsafe { address("job_address", options.job_address) }?;
        config.job = Some(JobAddress { address, key });
    } else if key.is_some() {
        return Err(Error::new(Code::InvalidArgument, "job_public_key is given and job_address is not"));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_fixed() {
        assert_eq!((size_of::<clc_backend_status>(), align_of::<clc_backend_status>()), (224, 8));
    }

    #[test]
    fn states_have_the_numbers_of_the_core() {
        use clustercore::forward::BackendState;
        assert_eq!(BackendState::Active as u32, clc_backend_state::Active as u32);
        assert_eq!(BackendState::Draining as u32, clc_backend_state::Draining as u32);
        assert_eq!(BackendState::Removed as u32, clc_backend_state::Removed as u32);
    }
}
