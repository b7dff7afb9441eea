//! Four calls on plain datagrams for small programs, which have no loop: what `clustercore_udp.h` is made of.

use crate::fork::Birth;
use crate::socket::train;
use crate::status::{boundary, boundary_value, null};
use crate::{clc_bytes, clc_ip_port, clc_status};
use clustercore::io::DatagramOptions;
use clustercore::{Code, Error, Result, Shard, SocketId};
use std::collections::VecDeque;
use std::ffi::c_int;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A shard with one socket, and what has arrived there.
struct Opened {
    birth: Birth,
    shard: Shard,
    socket: SocketId,
    arrived: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl Opened {
    fn open(port: u16) -> Result<Opened> {
        let mut shard = Shard::builder().build()?;
        let socket = shard.bind((Ipv4Addr::UNSPECIFIED, port).into(), &DatagramOptions::default())?;
        let mut opened = Opened { birth: Birth::here(), shard, socket, arrived: VecDeque::new() };
        // From here on datagrams are received.
        opened.turn()?;
        Ok(opened)
    }

    fn turn(&mut self) -> Result<()> {
        self.shard.turn()?;
        self.keep();
        Ok(())
    }

    /// Copies what the turn has brought; beyond a bound it is lost, as datagrams may be.
    fn keep(&mut self) {
        for train in self.shard.datagrams() {
            for payload in train.iter() {
                if self.arrived.len() < ARRIVED_MAX {
                    self.arrived.push_back((train.from, payload.to_vec()));
                }
            }
        }
    }

    fn write(&mut self, to: SocketAddr, bytes: &[u8]) -> Result<()> {
        self.shard.send_to(self.socket, to, train(bytes, 0)?)?;
        self.turn()
    }

    fn read(&mut self) -> Result<(SocketAddr, Vec<u8>)> {
        loop {
            if let Some(datagram) = self.arrived.pop_front() {
                return Ok(datagram);
            }
            self.shard.turn_for(None)?;
            self.keep();
        }
    }
}

/// Binds a socket for plain datagrams of IPv4 on every address of this machine; port 0 lets the system choose. They are neither
/// protected nor checked. Returns a handle, 0 or more, for the three calls below, or a negative clc_status.
///
/// Errors: ADDRESS_IN_USE, PERMISSION_DENIED, OUT_OF_MEMORY, DESCRIPTORS_EXHAUSTED, TOO_LARGE (1024 are open). Any thread may
/// call this; the handle is the caller's thread's.
#[unsafe(no_mangle)]
pub extern "C" fn clc_udp_open(port: u16) -> c_int {
    boundary_value(|| {
        let opened = Arc::new(Mutex::new(Opened::open(port)?));
        let mut table = table();
        let handle = table.iter().position(Option::is_none).unwrap_or(table.len());
        if handle == HANDLES_MAX {
            let text = format!("{HANDLES_MAX} are open, which is as many as may be");
            return Err(Error::new(Code::TooLarge, text));
        }
        if handle == table.len() {
            table.push(None);
        }
        table[handle] = Some(opened);
        Ok(handle as c_int)
    })
}

/// Sends a datagram at once. `*address_out` of clc_udp_read is where to answer to.
///
/// Errors: NULL_ARGUMENT, BAD_ADDRESS, NO_SUCH_SOCKET, WOULD_BLOCK, TOO_LARGE (longer than 65,507 bytes), WRONG_THREAD, FORKED. The
/// thread that opened it may call this.
///
/// # Safety
/// `to` is NULL or readable; `payload` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_udp_write(
    handle: c_int,
    to: *const clc_ip_port,
    payload: clc_bytes,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or readable, per the contract above.
        let to = unsafe { to.as_ref() }.ok_or_else(|| null("to"))?.to_address("to")?;
        // SAFETY: the caller vouches for `len` readable bytes; the borrow ends with this call.
        let payload = unsafe { payload.as_slice("payload") }?;
        with(handle, |opened| opened.write(to, payload))
    })
}

/// Waits for a datagram, without limit. `*len_out` gets its length; what is beyond `capacity` bytes is lost. `from_out` may be
/// NULL, else gets the sender.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_SOCKET, WRONG_THREAD, FORKED. The thread that opened it may call this.
///
/// # Safety
/// `buffer_out` is NULL or has room for `capacity` bytes; `len_out` and `from_out` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_udp_read(
    handle: c_int,
    from_out: *mut clc_ip_port,
    buffer_out: *mut u8,
    capacity: usize,
    len_out: *mut usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or writable, per the contract above.
        let len_out = unsafe { len_out.as_mut() }.ok_or_else(|| null("len_out"))?;
        if buffer_out.is_null() {
            return Err(null("buffer_out"));
        }
        let (from, payload) = with(handle, Opened::read)?;
        let len = payload.len().min(capacity);
        // SAFETY: there is room for `capacity` bytes, and `payload` is ours.
        unsafe { buffer_out.copy_from_nonoverlapping(payload.as_ptr(), len) };
        *len_out = len;
        // SAFETY: NULL or writable, per the contract above.
        if let Some(out) = unsafe { from_out.as_mut() } {
            *out = from.into();
        }
        Ok(())
    })
}

/// Closes the socket; the handle may then be another's.
///
/// Errors: NO_SUCH_SOCKET, WRONG_THREAD (another one is using it), FORKED. The thread that opened it may call this.
#[unsafe(no_mangle)]
pub extern "C" fn clc_udp_close(handle: c_int) -> clc_status {
    boundary(|| {
        // A child of fork leaves its parent's ring alone, and keeps the handle.
        with(handle, |_| Ok(()))?;
        let slot = usize::try_from(handle).ok().and_then(|handle| table().get_mut(handle)?.take());
        slot.map(drop).ok_or_else(|| unknown(handle))
    })
}

fn with<T>(handle: c_int, act: impl FnOnce(&mut Opened) -> Result<T>) -> Result<T> {
    let slot = usize::try_from(handle).ok().and_then(|handle| table().get(handle)?.clone());
    let opened = slot.ok_or_else(|| unknown(handle))?;
    match opened.try_lock() {
        Ok(mut opened) => {
            opened.birth.check()?;
            act(&mut opened)
        }
        Err(_) => Err(Error::new(Code::WrongThread, format!("another thread uses the handle {handle}"))),
    }
}

fn unknown(handle: c_int) -> Error {
    Error::new(Code::NoSuchSocket, format!("{handle} is not a handle that is open"))
}

fn table() -> MutexGuard<'static, Vec<Option<Arc<Mutex<Opened>>>>> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

static TABLE: Mutex<Vec<Option<Arc<Mutex<Opened>>>>> = Mutex::new(Vec::new());
const HANDLES_MAX: usize = 1024;
/// Datagrams that wait to be read.
const ARRIVED_MAX: usize = 1024;
