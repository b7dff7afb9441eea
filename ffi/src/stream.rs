//! Streamed calls, made.

use crate::channel::{call_config, clc_call_handle, clc_call_options, clc_call_result, clc_channel};
use crate::status::{boundary, boundary_quiet, boundary_value, null};
use crate::text::required;
use crate::{clc_bytes, clc_status};
use clustercore::calls::{Ended, Streamed};
use clustercore::{Code, Error, Result};
use std::collections::HashMap;
use std::ffi::{c_char, c_int};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

/// The streamed calls of a channel that were not ended.
#[derive(Default)]
pub(crate) struct Streams {
    by_handle: Mutex<HashMap<(u64, u64), Arc<Streamed>>>,
}

/// Makes a streamed call of `method`, `package.Service/Method`, with `arguments` (which may be empty) before any part. It leaves with the next
/// turn. clc_channel_stirred gives `token` when something comes. `options` may be NULL. Ends with clc_channel_stream_status or
/// clc_channel_stream_drop.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, FORKED.
///
/// # Safety
/// As clc_channel_call; `handle_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_stream(
    channel: *mut clc_channel,
    method: *const c_char,
    arguments: clc_bytes,
    options: *const clc_call_options,
    token: u64,
    handle_out: *mut clc_call_handle,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live channel that is only shared, per the contract above.
        let channel = unsafe { channel.as_ref() }.ok_or_else(|| null("channel"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let method = unsafe { required("method", method) }?;
        // SAFETY: the caller vouches for `len` readable bytes.
        let arguments = unsafe { arguments.as_slice("arguments") }?.to_vec();
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let config = unsafe { call_config(options) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { handle_out.as_mut() }.ok_or_else(|| null("handle_out"))?;
        channel.birth.check()?;
        let stream = channel.channel.stream_with_token(method, arguments, config, token);
        let (place, number) = stream.handle().to_raw();
        channel.streams.put(place, number, stream);
        *out = clc_call_handle { place, number };
        Ok(())
    })
}

/// Sends a part of the arguments of a streamed call, turning the channel for at most `timeout_ns` while there is no room; 0: not at all,
/// CLC_NEVER_NS: until there is, or the call has ended.
///
/// Errors: NULL_ARGUMENT, WOULD_BLOCK: there was no room, nothing was sent; TOO_LARGE: more than 64 KiB; NO_SUCH_CALL: the call has ended, or its parts
/// have; WRONG_THREAD, FORKED, IO.
///
/// # Safety
/// `channel` is NULL or a live channel; `part` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_send_part(
    channel: *mut clc_channel,
    handle: clc_call_handle,
    part: clc_bytes,
    timeout_ns: u64,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live channel that is only shared, per the contract above.
        let channel = unsafe { channel.as_ref() }.ok_or_else(|| null("channel"))?;
        // SAFETY: the caller vouches for `len` readable bytes.
        let part = unsafe { part.as_slice("part") }?;
        channel.birth.check()?;
        let stream = channel.streams.get(handle)?;
        wait(channel, timeout_ns, || Ok(stream.try_send(part)?.then_some(())))?
            .ok_or_else(|| Error::from(Code::WouldBlock))
    })
}

/// Sends no more parts of a streamed call. Does nothing when said before.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_CALL, FORKED.
///
/// # Safety
/// `channel` is NULL or a live channel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_end_parts(
    channel: *mut clc_channel,
    handle: clc_call_handle,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live channel that is only shared, per the contract above.
        let channel = unsafe { channel.as_ref() }.ok_or_else(|| null("channel"))?;
        channel.birth.check()?;
        channel.streams.get(handle)?.end();
        Ok(())
    })
}

/// The next part of the results of a streamed call, turning the channel for at most `timeout_ns` until it is there: 1 and the part, lent until the next
/// function that is called on the channel; 0: the call has ended and all parts were taken, clc_channel_stream_status tells how.
///
/// Errors: NULL_ARGUMENT, WOULD_BLOCK: no part has come; NO_SUCH_CALL, WRONG_THREAD, FORKED, IO.
///
/// # Safety
/// `channel` is NULL or a live channel; `part_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_take_part(
    channel: *mut clc_channel,
    handle: clc_call_handle,
    timeout_ns: u64,
    part_out: *mut clc_bytes,
) -> c_int {
    boundary_value(|| {
        // SAFETY: NULL or a live channel that is only shared, per the contract above.
        let channel = unsafe { channel.as_ref() }.ok_or_else(|| null("channel"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { part_out.as_mut() }.ok_or_else(|| null("part_out"))?;
        channel.birth.check()?;
        let stream = channel.streams.get(handle)?;
        let taken = wait(channel, timeout_ns, || {
            Ok(match stream.try_take() {
                Poll::Ready(part) => Some(part),
                Poll::Pending => None,
            })
        })?;
        match taken {
            Some(Some(part)) => {
                *out = channel.lend_part(part);
                Ok(1)
            }
            Some(None) => Ok(0),
            None => Err(Error::from(Code::WouldBlock)),
        }
    })
}

/// How a streamed call has ended, turning the channel for at most `timeout_ns` until it has; parts that were not taken are dropped. The handle
/// ends with it.
///
/// Errors: NULL_ARGUMENT, WOULD_BLOCK: it has not ended; NO_SUCH_CALL, WRONG_THREAD, FORKED, IO; CALL_FAILED: it has ended, its status is not OK, and
/// `*result_out` is written.
///
/// # Safety
/// `channel` is NULL or a live channel; `result_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_stream_status(
    channel: *mut clc_channel,
    handle: clc_call_handle,
    timeout_ns: u64,
    result_out: *mut clc_call_result,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live channel that is only shared, per the contract above.
        let channel = unsafe { channel.as_ref() }.ok_or_else(|| null("channel"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { result_out.as_mut() }.ok_or_else(|| null("result_out"))?;
        channel.birth.check()?;
        let stream = channel.streams.get(handle)?;
        let ended: Option<Ended> = wait(channel, timeout_ns, || {
            while let Poll::Ready(Some(_)) = stream.try_take() {}
            Ok(stream.try_status())
        })?;
        let ended = ended.ok_or_else(|| Error::from(Code::WouldBlock))?;
        channel.streams.remove(handle);
        let failed = ended.as_ref().err().map(|failure| Error::from(failure.clone()));
        *out = channel.lend(ended);
        failed.map_or(Ok(()), Err)
    })
}

/// Cancels a streamed call and forgets it. Does nothing for NULL, and for one that was ended.
///
/// # Safety
/// `channel` is NULL or a live channel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_stream_drop(channel: *mut clc_channel, handle: clc_call_handle) {
    // SAFETY: NULL or a live channel that is only shared, per the contract above.
    let Some(channel) = (unsafe { channel.as_ref() }) else { return };
    boundary_quiet(|| {
        channel.birth.check()?;
        channel.streams.remove(handle);
        Ok(())
    });
}

/// A streamed call on which something came since it was told: parts, room for them, its end. 1 and its token; 0 when there is none.
///
/// Errors: NULL_ARGUMENT, FORKED.
///
/// # Safety
/// `channel` is NULL or a live channel; `token_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_stirred(channel: *mut clc_channel, token_out: *mut u64) -> c_int {
    boundary_value(|| {
        // SAFETY: NULL or a live channel that is only shared, per the contract above.
        let channel = unsafe { channel.as_ref() }.ok_or_else(|| null("channel"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { token_out.as_mut() }.ok_or_else(|| null("token_out"))?;
        channel.birth.check()?;
        let Some(token) = channel.channel.stirred() else { return Ok(0) };
        *out = token;
        Ok(1)
    })
}

impl Streams {
    fn put(&self, place: u64, number: u64, stream: Streamed) {
        self.lock().insert((place, number), Arc::new(stream));
    }

    fn get(&self, handle: clc_call_handle) -> Result<Arc<Streamed>> {
        let found = self.lock().get(&(handle.place, handle.number)).cloned();
        found.ok_or_else(|| Error::from(Code::NoSuchCall))
    }

    fn remove(&self, handle: clc_call_handle) {
        // Dropped outside of the lock.
        let removed = self.lock().remove(&(handle.place, handle.number));
        drop(removed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(u64, u64), Arc<Streamed>>> {
        self.by_handle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns the channel until something is there; `None` when the time is over before.
fn wait<T>(
    channel: &clc_channel,
    timeout_ns: u64,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let until = match timeout_ns {
        u64::MAX => None,
        nanos => Instant::now().checked_add(Duration::from_nanos(nanos)),
    };
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        let left = until.map_or(TURN_MAX, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(None);
        }
        channel.channel.turn(left.min(TURN_MAX))?;
    }
}

const TURN_MAX: Duration = Duration::from_millis(100);
