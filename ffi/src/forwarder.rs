//! A forwarder: whose it is, where it listens.

use crate::forwarder_options::config;
use crate::node::{NodeCore, clc_node};
use crate::shard::{ShardCore, clc_shard};
use crate::status::{boundary, boundary_quiet, null};
use crate::text::{address, clc_address};
use crate::{clc_forwarder_options, clc_status};
use clustercore::counters::CounterBlock;
use clustercore::io::ListenOptions;
use clustercore::{Code, Error, ForwarderId, Result};
use std::ffi::{c_char, c_int};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A forwarder of a shard or of a node. With a shard, the shard's thread may call; with a node, any thread. Counters
/// may be read by any thread.
pub struct clc_forwarder {
    owner: Owner,
    id: ForwarderId,
    counters: Option<Arc<CounterBlock>>,
    /// Said plainly to who uses the handle still; the id alone would only meet nobody.
    closed: AtomicBool,
}

pub(crate) enum Owner {
    Shard(Arc<ShardCore>),
    Node(Arc<NodeCore>),
}

impl clc_forwarder {
    /// Whose forwarder it is, and its number there. Errors: `NoSuchForwarder` (it was closed).
    pub(crate) fn owner(&self) -> Result<(&Owner, ForwarderId)> {
        if self.closed.load(Ordering::Acquire) {
            let text = format!("forwarder {} was closed", self.id);
            return Err(Error::new(Code::NoSuchForwarder, text));
        }
        Ok((&self.owner, self.id))
    }

    /// The counters of a shard's forwarder, which no turn disturbs.
    pub(crate) fn counters(&self) -> Option<&CounterBlock> {
        self.counters.as_deref()
    }

    fn close(&self) -> Result<()> {
        match self.owner()? {
            (Owner::Shard(core), id) => core.with(|state| state.shard.remove_forwarder(id))?,
            (Owner::Node(core), id) => core.node()?.remove_forwarder(id)?,
        }
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

/// Adds a forwarder to a shard. `options` may be NULL for the defaults. Ends with clc_forwarder_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, BAD_CONFIGURATION, WRONG_THREAD, FORKED. The shard's
/// thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard; `options` is NULL or a struct of the size that it says, and its strings are
/// NULL or NUL-terminated; `forwarder_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_add_forwarder(
    shard: *mut clc_shard,
    options: *const clc_forwarder_options,
    forwarder_out: *mut *mut clc_forwarder,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        // SAFETY: per the contract above.
        let config = unsafe { config(options) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { forwarder_out.as_mut() }.ok_or_else(|| null("forwarder_out"))?;
        let core = Arc::clone(shard.core());
        let (id, counters) = core.with(|state| {
            let id = state.shard.add_forwarder(config)?;
            Ok((id, Arc::clone(state.shard.counters(id)?)))
        })?;
        let forwarder = clc_forwarder {
            owner: Owner::Shard(core),
            id,
            counters: Some(counters),
            closed: AtomicBool::new(false),
        };
        *out = Box::into_raw(Box::new(forwarder));
        Ok(())
    })
}

/// Adds a forwarder to a node, on every shard of it. `options` may be NULL for the defaults. Ends with
/// clc_forwarder_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, BAD_CONFIGURATION, QUEUE_FULL, CLOSED, FORKED. Any
/// thread may call this.
///
/// # Safety
/// `node` is NULL or a live node; the rest as clc_shard_add_forwarder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_node_add_forwarder(
    node: *mut clc_node,
    options: *const clc_forwarder_options,
    forwarder_out: *mut *mut clc_forwarder,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live node that is only shared, per the contract above.
        let node = unsafe { node.as_ref() }.ok_or_else(|| null("node"))?;
        // SAFETY: per the contract above.
        let config = unsafe { config(options) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { forwarder_out.as_mut() }.ok_or_else(|| null("forwarder_out"))?;
        let core = Arc::clone(node.core());
        let id = core.node()?.add_forwarder(config)?;
        *out = Box::into_raw(Box::new(clc_forwarder {
            owner: Owner::Node(core),
            id,
            counters: None,
            closed: AtomicBool::new(false),
        }));
        Ok(())
    })
}

/// Ends a forwarder with all its connections. The handle stays valid, answers NO_SUCH_FORWARDER and must be freed.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or with a node any
/// thread, may call this.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_close(forwarder: *mut clc_forwarder) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?.close()
    })
}

/// Closes a forwarder where that was not done, and frees the handle. NULL is fine. Before or after its shard or
/// node is freed.
///
/// Any thread may call this; but only the shard's thread closes the forwarder with it: freed by another, it goes on
/// until the shard ends.
///
/// # Safety
/// `forwarder` is NULL or a forwarder that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_free(forwarder: *mut clc_forwarder) {
    if forwarder.is_null() {
        return;
    }
    // SAFETY: made by one of the `add_forwarder` functions and not freed before, per the contract above.
    let forwarder = unsafe { Box::from_raw(forwarder) };
    // Not through `boundary`: that it was closed before is no error of the caller's to be remembered.
    let closed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| forwarder.close()));
    if matches!(&closed, Ok(Err(error)) if error.code() == Code::Forked) {
        // The last reference to a parent's node would wait for its threads.
        std::mem::forget(forwarder);
        return;
    }
    boundary_quiet(|| {
        drop(forwarder);
        Ok(())
    });
}

/// The number that events of this forwarder carry. Any thread may call this; 0 for NULL.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_id(forwarder: *const clc_forwarder) -> u32 {
    // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
    unsafe { forwarder.as_ref() }.map_or(0, |forwarder| u32::from(forwarder.id))
}

/// Accepts clients on an address such as `127.0.0.1:8080` or `[::]:80`; with port 0 the system chooses one. `address_out`
/// may be NULL, else gets the address with the port.
///
/// Errors: NULL_ARGUMENT, BAD_ADDRESS, ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, PERMISSION_DENIED,
/// DESCRIPTORS_EXHAUSTED, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The shard's thread, or with a node any
/// thread, may call this.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder; `address` is NULL or NUL-terminated; `address_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_listen(
    forwarder: *mut clc_forwarder,
    address: *const c_char,
    address_out: *mut clc_address,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let wanted = unsafe { self::address("address", address) }?;
        let got = match forwarder.owner()?.0 {
            Owner::Shard(core) => {
                core.with(|state| state.shard.listen(forwarder.id, wanted, &ListenOptions::default()))
            }
            Owner::Node(core) => core.node()?.listen(forwarder.id, wanted),
        }?;
        // SAFETY: NULL or writable, per the contract above.
        if let Some(out) = unsafe { address_out.as_mut() } {
            *out = clc_address::new(Some(got));
        }
        Ok(())
    })
}

/// Accepts clients on a TCP socket on which bind and listen were called already: by the embedding program, or by the
/// one that started it (socket activation). The library makes a duplicate for itself; the caller's descriptor stays
/// the caller's, to keep or close. `address_out` may be NULL.
///
/// Errors: NULL_ARGUMENT, NOT_A_LISTENER, DESCRIPTORS_EXHAUSTED, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, FORKED. The
/// shard's thread, or with a node any thread, may call this.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder; `address_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_listen_fd(
    forwarder: *mut clc_forwarder,
    fd: c_int,
    address_out: *mut clc_address,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        let fd = duplicate(fd)?;
        let got = match forwarder.owner()?.0 {
            Owner::Shard(core) => core.with(|state| state.shard.listen_fd(forwarder.id, fd)),
            Owner::Node(core) => core.node()?.listen_fd(forwarder.id, fd),
        }?;
        // SAFETY: NULL or writable, per the contract above.
        if let Some(out) = unsafe { address_out.as_mut() } {
            *out = clc_address::new(got);
        }
        Ok(())
    })
}

fn duplicate(fd: c_int) -> Result<OwnedFd> {
    // SAFETY: any number may be asked about; one that is no descriptor gives EBADF.
    let twin = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if twin < 0 {
        let error = std::io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(libc::EBADF) => Error::new(Code::NotAListener, format!("fd is {fd}, which is not open")),
            _ => Error::from_io(format_args!("duplicate descriptor {fd}"), &error),
        });
    }
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(twin) })
}
