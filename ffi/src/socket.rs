//! Sockets for plain datagrams: nothing is promised of what is sent through them.

use crate::options::{self, Options};
use crate::shard::{ShardCore, clc_shard};
use crate::status::{boundary, boundary_quiet, null};
use crate::text::{address, clc_address};
use crate::{clc_bytes, clc_ip_port, clc_status};
use clustercore::io::{DatagramCounters, DatagramOptions, Train};
use clustercore::{Code, Error, Result, SocketId};
use std::ffi::c_char;
use std::sync::Arc;

/// A socket for plain datagrams of a shard. The shard's thread may call its functions.
pub struct clc_socket {
    core: Arc<ShardCore>,
    id: SocketId,
}

/// How to bind a socket. 0 means the default in every field but the first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_socket_options {
    /// sizeof(clc_socket_options)
    pub struct_size: usize,
    /// Bytes that may wait to be received; default: the system's choice.
    pub receive_buffer_bytes: u32,
    /// Bytes that may wait to be sent; default: the system's choice.
    pub send_buffer_bytes: u32,
    /// 1: send with ECT(0), and tell the mark of what is received.
    pub ecn: u32,
    /// 1: never fragment; what is larger than the device's MTU is lost.
    pub dont_fragment: u32,
    /// 1: several sockets on one address share its datagrams.
    pub reuse_port: u32,
    /// 1: a socket of IPv6 takes no IPv4.
    pub ipv6_only: u32,
}

// SAFETY: C layout, the size first, integers only.
unsafe impl Options for clc_socket_options {
    const NAME: &'static str = "clc_socket_options";
}

/// What has passed through a socket since it was bound.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_datagram_counters {
    /// Calls on the kernel's stack to send; a long train is sent in several.
    pub trains_sent: u64,
    /// Datagrams in them.
    pub datagrams_sent: u64,
    /// Trains received.
    pub trains_received: u64,
    /// Datagrams in them.
    pub datagrams_received: u64,
    /// Received trains that did not fit the buffer; dropped.
    pub truncated: u64,
    /// Times that receiving stopped because all buffers were lent out.
    pub pauses: u64,
    /// Trains refused because too many waited.
    pub refused: u64,
    /// 0.
    pub reserved: [u64; 5],
}

impl From<DatagramCounters> for clc_datagram_counters {
    fn from(counters: DatagramCounters) -> clc_datagram_counters {
        clc_datagram_counters {
            trains_sent: counters.trains_sent,
            datagrams_sent: counters.datagrams_sent,
            trains_received: counters.trains_received,
            datagrams_received: counters.datagrams_received,
            truncated: counters.truncated,
            pauses: counters.pauses,
            refused: counters.refused,
            reserved: [0; 5],
        }
    }
}

/// Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_socket_options). Any thread may call this.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_socket_options_init(
    options: *mut clc_socket_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, clc_socket_options::zeroed()) }
    })
}

/// Binds a socket to an address such as `127.0.0.1:9000` or `[::]:0`; with port 0 the system chooses one. `options` may be NULL
/// for the defaults. Ends with clc_socket_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, BAD_ADDRESS, ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, PERMISSION_DENIED,
/// OUT_OF_MEMORY, TOO_LARGE (4096 sockets are there), WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard; `address` is NULL or NUL-terminated; `options` is NULL or a struct of the size that it
/// says; `socket_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_socket_bind(
    shard: *mut clc_shard,
    address: *const c_char,
    options: *const clc_socket_options,
    socket_out: *mut *mut clc_socket,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let address = unsafe { self::address("address", address) }?;
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options = unsafe { options::read(options) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { socket_out.as_mut() }.ok_or_else(|| null("socket_out"))?;
        let core = Arc::clone(shard.core());
        let id = core.with(|state| state.shard.bind(address, &datagram_options(&options)))?;
        *out = Box::into_raw(Box::new(clc_socket { core, id }));
        Ok(())
    })
}

/// Sends `bytes` to one address, cut into datagrams of `segment` bytes each, the last one of what is left; 0: as one datagram.
/// They are copied and leave with the next turn. Nothing is promised of them.
///
/// Errors: NULL_ARGUMENT, BAD_ADDRESS, WOULD_BLOCK (too many wait), TOO_LARGE (a datagram is longer than 65,507 bytes),
/// NO_SUCH_SOCKET, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `socket` is NULL or a live socket; `to` is NULL or readable; `bytes` are readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_socket_send(
    socket: *mut clc_socket,
    to: *const clc_ip_port,
    bytes: clc_bytes,
    segment: u32,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live socket that is only shared, per the contract above.
        let socket = unsafe { socket.as_ref() }.ok_or_else(|| null("socket"))?;
        // SAFETY: NULL or readable, per the contract above.
        let to = unsafe { to.as_ref() }.ok_or_else(|| null("to"))?.to_address("to")?;
        // SAFETY: the caller vouches for `len` readable bytes; the borrow ends with this call.
        let bytes = unsafe { bytes.as_slice("bytes") }?;
        socket.core.with(|state| state.shard.send_to(socket.id, to, train(bytes, segment)?))
    })
}

/// The address that a socket is bound to.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_SOCKET, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `socket` is NULL or a live socket; `address_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_socket_address(
    socket: *const clc_socket,
    address_out: *mut clc_address,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live socket that is only shared, per the contract above.
        let socket = unsafe { socket.as_ref() }.ok_or_else(|| null("socket"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { address_out.as_mut() }.ok_or_else(|| null("address_out"))?;
        *out = clc_address::new(Some(socket.core.with(|state| state.shard.socket_address(socket.id))?));
        Ok(())
    })
}

/// What has passed through a socket.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_SOCKET, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `socket` is NULL or a live socket; `counters_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_socket_counters(
    socket: *const clc_socket,
    counters_out: *mut clc_datagram_counters,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live socket that is only shared, per the contract above.
        let socket = unsafe { socket.as_ref() }.ok_or_else(|| null("socket"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { counters_out.as_mut() }.ok_or_else(|| null("counters_out"))?;
        *out = socket.core.with(|state| state.shard.socket_counters(socket.id))?.into();
        Ok(())
    })
}

/// The number that datagrams of this socket carry. Any thread may call this; 0 for NULL.
///
/// # Safety
/// `socket` is NULL or a live socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_socket_id(socket: *const clc_socket) -> u32 {
    // SAFETY: NULL or a live socket that is only shared, per the contract above.
    unsafe { socket.as_ref() }.map_or(0, |socket| socket.id.to_raw())
}

/// Closes a socket. What can be sent at once is. The handle stays valid, answers NO_SUCH_SOCKET and must be freed.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_SOCKET, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `socket` is NULL or a live socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_socket_close(socket: *mut clc_socket) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live socket that is only shared, per the contract above.
        unsafe { socket.as_ref() }.ok_or_else(|| null("socket"))?.close()
    })
}

/// Closes a socket where that was not done, and frees the handle. NULL is fine. Before or after its shard is freed.
///
/// Any thread may call this; but only the shard's thread closes the socket with it: freed by another, it stays open until the
/// shard ends.
///
/// # Safety
/// `socket` is NULL or a socket that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_socket_free(socket: *mut clc_socket) {
    if socket.is_null() {
        return;
    }
    boundary_quiet(|| {
        // SAFETY: made by `clc_socket_bind` and not freed before, per the contract above.
        let socket = unsafe { Box::from_raw(socket) };
        // That it was closed before is no error of the caller's to be remembered.
        let _ = socket.close();
        Ok(())
    });
}

impl clc_socket {
    fn close(&self) -> Result<()> {
        self.core.with(|state| state.shard.close_socket(self.id))
    }
}

fn datagram_options(options: &clc_socket_options) -> DatagramOptions {
    DatagramOptions {
        receive_buffer_bytes: options.receive_buffer_bytes as usize,
        send_buffer_bytes: options.send_buffer_bytes as usize,
        ecn: options.ecn != 0,
        dont_fragment: options.dont_fragment != 0,
        reuse_port: options.reuse_port != 0,
        ipv6_only: options.ipv6_only != 0,
        ..DatagramOptions::default()
    }
}

/// Errors: `TooLarge`.
pub(crate) fn train(bytes: &[u8], segment: u32) -> Result<Train> {
    let segment = match segment {
        0 => u32::try_from(bytes.len().max(1)).map_err(|_| {
            Error::new(Code::TooLarge, format!("a datagram is {} bytes, limit is 65507", bytes.len()))
        })?,
        segment => segment,
    };
    Ok(Train::owned(bytes.to_vec(), segment))
}
