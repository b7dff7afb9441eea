//! Endpoints of reliable datagrams, and what is asked of their connections.

use crate::endpoint_options::endpoint_config;
use crate::options;
use crate::shard::{ShardCore, clc_shard};
use crate::status::{boundary, boundary_quiet, null};
use crate::text::{address, clc_address, optional};
use crate::{
    clc_bytes, clc_connection, clc_endpoint_options, clc_message_stats, clc_path_report, clc_status,
    clc_stream,
};
use clustercore::{Code, EndpointId, Error, Result};
use std::ffi::{c_char, c_int};
use std::sync::Arc;

/// An endpoint of reliable datagrams of a shard: one address, connections to and from others. The shard's thread may call its
/// functions.
pub struct clc_endpoint {
    core: Arc<ShardCore>,
    id: EndpointId,
}

impl clc_endpoint {
    /// The shard that it is of, and its name there.
    pub(crate) fn parts(&self) -> (&Arc<ShardCore>, EndpointId) {
        (&self.core, self.id)
    }
}

/// Opens an endpoint on an address such as `127.0.0.1:9000`; with port 0 the system chooses one. `options` may be NULL for the
/// defaults. Ends with clc_endpoint_free.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT (text that is not UTF-8), UNKNOWN_STRUCT_SIZE, BAD_ADDRESS, BAD_KEY, INSECURE_ADDRESS
/// (clear messages outside loopback that nobody asked for), BAD_CONFIGURATION, ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE,
/// PERMISSION_DENIED, OUT_OF_MEMORY, TOO_LARGE (4096 endpoints are there), WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard; `address` is NULL or NUL-terminated; `options` is NULL or a struct of the size that it
/// says, whose strings are NULL or NUL-terminated; `endpoint_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_open(
    shard: *mut clc_shard,
    address: *const c_char,
    options: *const clc_endpoint_options,
    endpoint_out: *mut *mut clc_endpoint,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let address = unsafe { self::address("address", address) }?;
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options = unsafe { options::read(options) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { endpoint_out.as_mut() }.ok_or_else(|| null("endpoint_out"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let config = unsafe { endpoint_config(&options) }?;
        let core = Arc::clone(shard.core());
        let id = core.with(|state| state.shard.open_endpoint(address, config))?;
        *out = Box::into_raw(Box::new(clc_endpoint { core, id }));
        Ok(())
    })
}

/// The address that an endpoint is bound to.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_ENDPOINT, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `endpoint` is NULL or a live endpoint; `address_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_address(
    endpoint: *const clc_endpoint,
    address_out: *mut clc_address,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live endpoint that is only shared, per the contract above.
        let endpoint = unsafe { endpoint.as_ref() }.ok_or_else(|| null("endpoint"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { address_out.as_mut() }.ok_or_else(|| null("address_out"))?;
        *out = clc_address::new(Some(endpoint.core.with(|state| state.shard.endpoint_address(endpoint.id))?));
        Ok(())
    })
}

/// The number that messages and events of this endpoint carry. Any thread may call this; 0 for NULL.
///
/// # Safety
/// `endpoint` is NULL or a live endpoint.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_id(endpoint: *const clc_endpoint) -> u32 {
    // SAFETY: NULL or a live endpoint that is only shared, per the contract above.
    unsafe { endpoint.as_ref() }.map_or(0, |endpoint| endpoint.id.to_raw())
}

/// Begins a connection to a peer such as `127.0.0.1:9000`; an event tells the end, CONNECTED or GONE. `key` is the public key,
/// CLC_KEY_BYTES bytes (clc_key_public_to_bytes), that the peer must have, in secure mode; else NULL.
///
/// Errors: NULL_ARGUMENT, BAD_ADDRESS, CONNECTIONS_EXHAUSTED, NO_KEY, BAD_KEY (one that nobody can have), BAD_CONFIGURATION (a
/// key, and the endpoint is clear), NO_SUCH_ENDPOINT, WRONG_STATE, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `endpoint` is NULL or a live endpoint; `peer` is NULL or NUL-terminated; `key` is NULL or has 32 readable bytes;
/// `connection_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_connect(
    endpoint: *mut clc_endpoint,
    peer: *const c_char,
    key: *const u8,
    connection_out: *mut clc_connection,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live endpoint that is only shared, per the contract above.
        let endpoint = unsafe { endpoint.as_ref() }.ok_or_else(|| null("endpoint"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let peer = unsafe { address("peer", peer) }?;
        // SAFETY: NULL or 32 readable bytes, per the contract above.
        let key = unsafe { key.cast::<[u8; 32]>().as_ref() }.copied();
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { connection_out.as_mut() }.ok_or_else(|| null("connection_out"))?;
        let connection = endpoint.core.with_unclaimed(|state| state.shard.connect(endpoint.id, peer, key))?;
        *out = connection.into();
        Ok(())
    })
}

/// Sends a message on a stream of a connection: it is copied and leaves with the next turn. `sequence_out` may be NULL, else
/// gets its place in the stream.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT (the stream), WOULD_BLOCK (an event WRITABLE tells when to go on), NOT_CONNECTED,
/// TOO_LARGE (the message, or as many streams as the peer takes), NO_SUCH_ENDPOINT, WRONG_STATE, CLOSED, WRONG_THREAD, FORKED.
/// The shard's thread may call this.
///
/// # Safety
/// `endpoint` is NULL or a live endpoint; `payload` is readable; `sequence_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_send(
    endpoint: *mut clc_endpoint,
    connection: clc_connection,
    stream: clc_stream,
    payload: clc_bytes,
    sequence_out: *mut u64,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live endpoint that is only shared, per the contract above.
        let endpoint = unsafe { endpoint.as_ref() }.ok_or_else(|| null("endpoint"))?;
        // SAFETY: the caller vouches for `len` readable bytes; the borrow ends with this call.
        let payload = unsafe { payload.as_slice("payload") }?;
        let stream = stream.to_id()?;
        let sequence = endpoint.core.with_unclaimed(|state| {
            state.shard.send(endpoint.id, connection.into(), stream, payload).map_err(|error| {
                // One that is closed is told from a connection that is over.
                state.shard.endpoint_address(endpoint.id).err().unwrap_or(error.into())
            })
        })?;
        // SAFETY: NULL or writable, per the contract above.
        if let Some(out) = unsafe { sequence_out.as_mut() } {
            *out = sequence;
        }
        Ok(())
    })
}

/// Room for a message of at most `len` bytes, to be written in place: it must fit a packet, on a reliable stream.
/// clc_endpoint_commit ends it; until then the shard answers WRONG_STATE to a turn and to what else concerns connections.
/// `*room_out` gets where to write.
///
/// Errors: as clc_endpoint_send; TOO_LARGE also for what does not fit a packet. The shard's thread may call this.
///
/// # Safety
/// `endpoint` is NULL or a live endpoint; `room_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_claim(
    endpoint: *mut clc_endpoint,
    connection: clc_connection,
    stream: clc_stream,
    len: usize,
    room_out: *mut *mut u8,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live endpoint that is only shared, per the contract above.
        let endpoint = unsafe { endpoint.as_ref() }.ok_or_else(|| null("endpoint"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { room_out.as_mut() }.ok_or_else(|| null("room_out"))?;
        let (id, stream) = (endpoint.id, stream.to_id()?);
        *out = endpoint.core.with_unclaimed(|state| {
            let claimed = state.shard.claim(id, connection.into(), stream, len);
            let claim =
                claimed.map_err(|error| state.shard.endpoint_address(id).err().unwrap_or(error.into()))?;
            let room = state.shard.claimed(id, &claim).map(<[u8]>::as_mut_ptr);
            let room = room.ok_or_else(|| Error::from(Code::Internal))?;
            state.claim = Some((id, claim));
            Ok(room)
        })?;
        Ok(())
    })
}

/// Ends a claim: the first `len` bytes of the room are the message, at most what was claimed. `sequence_out` may be NULL.
///
/// Errors: NULL_ARGUMENT, WRONG_STATE (nothing is claimed on this endpoint), CLOSED, WRONG_THREAD, FORKED. The shard's thread
/// may call this.
///
/// # Safety
/// `endpoint` is NULL or a live endpoint; `sequence_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_commit(
    endpoint: *mut clc_endpoint,
    len: usize,
    sequence_out: *mut u64,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live endpoint that is only shared, per the contract above.
        let endpoint = unsafe { endpoint.as_ref() }.ok_or_else(|| null("endpoint"))?;
        let sequence =
            endpoint.core.with(|state| match state.claim.take_if(|(id, _)| *id == endpoint.id) {
                Some((id, claim)) => {
                    let sequence = claim.sequence();
                    state.shard.commit(id, claim, len);
                    Ok(sequence)
                }
                None => {
                    let text = format!("nothing is claimed on endpoint {}", endpoint.id);
                    Err(Error::new(Code::WrongState, text))
                }
            })?;
        // SAFETY: NULL or writable, per the contract above.
        if let Some(out) = unsafe { sequence_out.as_mut() } {
            *out = sequence;
        }
        Ok(())
    })
}

/// Ends a connection: at once, or when all that was sent has arrived (`is_finishing` not 0). The peer gets `code`, an
/// application's are from 256 on, and `text`, which may be NULL; an event GONE follows.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT (the text is not UTF-8), NO_SUCH_ENDPOINT, WRONG_STATE, CLOSED, WRONG_THREAD,
/// FORKED. The shard's thread may call this.
///
/// # Safety
/// `endpoint` is NULL or a live endpoint; `text` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_close_connection(
    endpoint: *mut clc_endpoint,
    connection: clc_connection,
    code: u64,
    text: *const c_char,
    is_finishing: c_int,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live endpoint that is only shared, per the contract above.
        let endpoint = unsafe { endpoint.as_ref() }.ok_or_else(|| null("endpoint"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let text = unsafe { optional("text", text) }?.unwrap_or_default();
        endpoint.core.with_unclaimed(|state| {
            state.shard.close_connection(endpoint.id, connection.into(), code, text, is_finishing != 0)
        })
    })
}

/// What is known of the path of a connection.
///
/// Errors: NULL_ARGUMENT, NOT_CONNECTED (it is over), NO_SUCH_ENDPOINT, CLOSED, WRONG_THREAD, FORKED. The shard's thread may
/// call this.
///
/// # Safety
/// `endpoint` is NULL or a live endpoint; `report_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_path(
    endpoint: *const clc_endpoint,
    connection: clc_connection,
    report_out: *mut clc_path_report,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live endpoint that is only shared, per the contract above.
        let endpoint = unsafe { endpoint.as_ref() }.ok_or_else(|| null("endpoint"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { report_out.as_mut() }.ok_or_else(|| null("report_out"))?;
        let report = endpoint.core.with(|state| state.shard.path(endpoint.id, connection.into()))?;
        *out = report.ok_or_else(|| Error::from(Code::NotConnected))?.into();
        Ok(())
    })
}

/// What an endpoint has counted since it was opened.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_ENDPOINT, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `endpoint` is NULL or a live endpoint; `stats_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_stats(
    endpoint: *const clc_endpoint,
    stats_out: *mut clc_message_stats,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live endpoint that is only shared, per the contract above.
        let endpoint = unsafe { endpoint.as_ref() }.ok_or_else(|| null("endpoint"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { stats_out.as_mut() }.ok_or_else(|| null("stats_out"))?;
        *out = endpoint.core.with(|state| state.shard.endpoint_stats(endpoint.id))?.into();
        Ok(())
    })
}

/// Closes an endpoint. Its connections end without a word to their peers: close and finish them before. The handle stays valid,
/// answers NO_SUCH_ENDPOINT and must be freed.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_ENDPOINT, WRONG_STATE, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `endpoint` is NULL or a live endpoint.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_close(endpoint: *mut clc_endpoint) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live endpoint that is only shared, per the contract above.
        let endpoint = unsafe { endpoint.as_ref() }.ok_or_else(|| null("endpoint"))?;
        endpoint.core.with_unclaimed(|state| state.shard.close_endpoint(endpoint.id))
    })
}

/// Closes an endpoint where that was not done, and frees the handle; a claim on it ends without a message. NULL is fine. Before
/// or after its shard is freed.
///
/// Any thread may call this; but only the shard's thread closes the endpoint with it: freed by another, it stays open until the
/// shard ends.
///
/// # Safety
/// `endpoint` is NULL or an endpoint that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_free(endpoint: *mut clc_endpoint) {
    if endpoint.is_null() {
        return;
    }
    boundary_quiet(|| {
        // SAFETY: made by `clc_endpoint_open` and not freed before, per the contract above.
        let endpoint = unsafe { Box::from_raw(endpoint) };
        // That it was closed before is no error of the caller's to be remembered.
        let _: Result<()> = endpoint.core.with(|state| {
            state.claim.take_if(|(id, _)| *id == endpoint.id);
            state.shard.close_endpoint(endpoint.id)
        });
        Ok(())
    });
}
