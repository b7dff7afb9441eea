//! Clients of remote procedure calls.

use crate::fork::Birth;
use crate::options::{self, Options, one_of, or};
use crate::status::{boundary, boundary_quiet, boundary_value, null};
use crate::stream::Streams;
use crate::text::{c_string, optional, required};
use crate::{clc_bytes, clc_status};
use clustercore::calls::{
    CallConfig, CallHandle, Channel, ChannelConfig, Ended, Metadata, Names, Outcome, Reply, RetryPolicy,
    Status,
};
use clustercore::io::DriverChoice;
use clustercore::proto::rpc;
use clustercore::security::{Access, Mode, PrivateKey};
use clustercore::{Code, Error, Result};
use std::ffi::{CString, c_char, c_int};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Calls to the servers of a name. It belongs to the thread of its first turn (or blocking call): others get WRONG_THREAD then.
pub struct clc_channel {
    pub(crate) birth: Birth,
    pub(crate) channel: Channel,
    pub(crate) streams: Streams,
    /// What was handed out last and is lent until the next call.
    lent: Mutex<Lent>,
}

#[derive(Default)]
struct Lent {
    results: Vec<u8>,
    text: CString,
}

/// How to open a channel. 0 means the default in every field but the first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_channel_options {
    /// sizeof(clc_channel_options)
    pub struct_size: usize,
    /// This end's key in secure mode, `clc-private-x25519 BASE64`; NULL for clear calls.
    pub private_key: *const c_char,
    /// Names and their servers: a line of name, address and, in secure mode, the server's public key, for each; NULL for none.
    pub names: *const c_char,
    /// A call of which nothing is heard for this long has failed (10 s).
    pub silence_ns: u64,
    /// Spins this long before a wait blocks (not at all).
    pub spin_ns: u64,
    /// Calls that may be under way (4096).
    pub slots_max: u32,
    /// Calls that have not ended, the waiting ones included (65536).
    pub calls_max: u32,
    /// Times that a call is made, the first included, when it was not executed or is idempotent (4).
    pub attempts_max: u32,
    /// 1: clear calls to addresses outside loopback are meant.
    pub insecure: u32,
    /// A clc_driver.
    pub driver: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: C layout, the size first, integers and pointers that may be NULL.
unsafe impl Options for clc_channel_options {
    const NAME: &'static str = "clc_channel_options";
}

/// A pair that travels with a call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_pair {
    /// NUL-terminated.
    pub key: *const c_char,
    /// Bytes.
    pub value: clc_bytes,
}

/// How one call is made. 0 means the default in every field but the first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_call_options {
    /// sizeof(clc_call_options)
    pub struct_size: usize,
    /// It has failed when it has not ended after this long, all attempts together (never).
    pub timeout_ns: u64,
    /// Pairs that travel with it, `metadata_len` of them.
    pub metadata: *const clc_pair,
    /// How many.
    pub metadata_len: usize,
    /// 1: it may be executed twice as well as once.
    pub is_idempotent: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: C layout, the size first, integers and pointers that may be NULL.
unsafe impl Options for clc_call_options {
    const NAME: &'static str = "clc_call_options";
}

/// What is known of the execution of a call.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_outcome {
    /// The handler has run, once.
    Executed = 0,
    /// The handler has not run and will not.
    NotExecuted = 1,
    /// Nobody can say.
    Unknown = 2,
}

/// How a call has ended. Bytes and text are lent until the next function that is called on the channel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_call_result {
    /// Code of google.rpc.Code: 0 is OK, 8 busy, 14 unavailable.
    pub status: u32,
    /// A clc_outcome.
    pub outcome: u32,
    /// The results.
    pub results: clc_bytes,
    /// Words for people, "" when all is well.
    pub text: *const c_char,
}

/// Names a submitted call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct clc_call_handle {
    /// Its place.
    pub place: u64,
    /// Counts the calls of the channel.
    pub number: u64,
}

/// Opens a channel to the servers of `name`, which is among the names of `options` or an address itself, `127.0.0.1:7000`. Connects
/// with the first turn. `options` may be NULL for the defaults. Ends with clc_channel_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, NO_SUCH_SERVICE, INSECURE_ADDRESS, BAD_CONFIGURATION, BAD_ADDRESS,
/// BAD_KEY, DESCRIPTORS_EXHAUSTED, OUT_OF_MEMORY. Any thread may call this.
///
/// # Safety
/// `name` is NULL or NUL-terminated; `options` is NULL or a struct of the size that it says, its pointers NULL or NUL-terminated;
/// `channel_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_open(
    name: *const c_char,
    options: *const clc_channel_options,
    channel_out: *mut *mut clc_channel,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let name = unsafe { required("name", name) }?;
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options = unsafe { options::read(options) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { channel_out.as_mut() }.ok_or_else(|| null("channel_out"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let names = unsafe { optional("names", options.names) }?.map_or(Ok(Names::new()), Names::parse)?;
        // SAFETY: as above.
        let security = unsafe { secret("private_key", options.private_key, Access::Any) }?;
        let defaults = ChannelConfig::default();
        let config = ChannelConfig {
            driver: one_of("driver", options.driver, &DRIVERS)?,
            security,
            insecure: options.insecure != 0,
            spin: Duration::from_nanos(options.spin_ns),
            calls: rpc::Config {
                slots_max: or(options.slots_max, defaults.calls.slots_max),
                silence_max: match options.silence_ns {
                    0 => defaults.calls.silence_max,
                    nanos => Duration::from_nanos(nanos),
                },
                ..defaults.calls
            },
            calls_max: or(options.calls_max as usize, defaults.calls_max),
            retry: RetryPolicy {
                attempts_max: or(options.attempts_max, defaults.retry.attempts_max),
                ..defaults.retry
            },
            ..ChannelConfig::default()
        };
        let channel = Channel::open(name, &names, config)?;
        *out = Box::into_raw(Box::new(clc_channel {
            birth: Birth::here(),
            channel,
            streams: Streams::default(),
            lent: Mutex::default(),
        }));
        Ok(())
    })
}

/// Makes a call of `method`, `package.Service/Method`, and waits until it has ended. `*result_out` is written when it is made, whatever
/// came of it. `options` may be NULL.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, WRONG_THREAD, FORKED, IO; CALL_FAILED: it was made and its status is not
/// OK.
///
/// # Safety
/// `channel` is NULL or a live channel; `method` is NULL or NUL-terminated; `arguments` is readable; `options` is NULL or a struct of
/// the size that it says with as many readable pairs as it says; `result_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_call(
    channel: *mut clc_channel,
    method: *const c_char,
    arguments: clc_bytes,
    options: *const clc_call_options,
    result_out: *mut clc_call_result,
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
        let out = unsafe { result_out.as_mut() }.ok_or_else(|| null("result_out"))?;
        channel.birth.check()?;
        let pending = channel.channel.call(method, arguments, config);
        let ended = channel.channel.block_on(pending)?;
        let failed = ended.as_ref().err().map(|failure| Error::from(failure.clone()));
        *out = channel.lend(ended);
        failed.map_or(Ok(()), Err)
    })
}

/// Makes a call and does not wait: clc_channel_next gives its end, with `token`. `handle_out` may be NULL.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, FORKED.
///
/// # Safety
/// As clc_channel_call; `handle_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_submit(
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
        channel.birth.check()?;
        let handle = channel.channel.submit(method, arguments, config, token);
        // SAFETY: NULL or writable, per the contract above.
        if let Some(out) = unsafe { handle_out.as_mut() } {
            let (place, number) = handle.to_raw();
            *out = clc_call_handle { place, number };
        }
        Ok(())
    })
}

/// Asks the server to end a submitted call; how it ends is told as ever. One that has ended is left alone.
///
/// Errors: NULL_ARGUMENT, FORKED.
///
/// # Safety
/// `channel` is NULL or a live channel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_cancel(
    channel: *mut clc_channel,
    handle: clc_call_handle,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live channel that is only shared, per the contract above.
        let channel = unsafe { channel.as_ref() }.ok_or_else(|| null("channel"))?;
        channel.birth.check()?;
        channel.channel.cancel(CallHandle::from_raw(handle.place, handle.number));
        Ok(())
    })
}

/// A submitted call that has ended: 1, its token and its result; 0 when there is none now.
///
/// Errors: NULL_ARGUMENT, FORKED.
///
/// # Safety
/// `channel` is NULL or a live channel; `token_out` and `result_out` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_next(
    channel: *mut clc_channel,
    token_out: *mut u64,
    result_out: *mut clc_call_result,
) -> c_int {
    boundary_value(|| {
        // SAFETY: NULL or a live channel that is only shared, per the contract above.
        let channel = unsafe { channel.as_ref() }.ok_or_else(|| null("channel"))?;
        // SAFETY: NULL or writable, per the contract above.
        let token = unsafe { token_out.as_mut() }.ok_or_else(|| null("token_out"))?;
        // SAFETY: as above.
        let out = unsafe { result_out.as_mut() }.ok_or_else(|| null("result_out"))?;
        channel.birth.check()?;
        let Some((of, ended)) = channel.channel.ended() else { return Ok(0) };
        *token = of;
        *out = channel.lend(ended);
        Ok(1)
    })
}

/// Does all there is to do now; waits for at most `timeout_ns` when that is nothing, CLC_NEVER_NS: until something happens.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED, IO.
///
/// # Safety
/// `channel` is NULL or a live channel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_turn(channel: *mut clc_channel, timeout_ns: u64) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live channel that is only shared, per the contract above.
        let channel = unsafe { channel.as_ref() }.ok_or_else(|| null("channel"))?;
        channel.birth.check()?;
        channel.channel.turn(Duration::from_nanos(timeout_ns))
    })
}

/// A descriptor that is readable when clc_channel_turn has something to do. Errors: NULL_ARGUMENT, NOT_SUPPORTED, FORKED.
///
/// # Safety
/// `channel` is NULL or a live channel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_fd(channel: *const clc_channel) -> c_int {
    boundary_value(|| {
        // SAFETY: NULL or a live channel that is only shared, per the contract above.
        let channel = unsafe { channel.as_ref() }.ok_or_else(|| null("channel"))?;
        channel.birth.check()?;
        channel.channel.fd().ok_or_else(|| Error::from(Code::NotSupported))
    })
}

/// How long the descriptor may be waited for before a turn is due all the same, in nanoseconds; UINT64_MAX: for ever. 0 for NULL.
///
/// # Safety
/// `channel` is NULL or a live channel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_next_timeout_ns(channel: *const clc_channel) -> u64 {
    // SAFETY: NULL or a live channel that is only shared, per the contract above.
    let Some(channel) = (unsafe { channel.as_ref() }) else { return 0 };
    let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| channel.channel.next_timeout()));
    next.unwrap_or(Some(Duration::ZERO))
        .map_or(u64::MAX, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
}

/// Ends a channel; calls that have not ended are forgotten. NULL is fine.
///
/// # Safety
/// `channel` is NULL or a channel that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_free(channel: *mut clc_channel) {
    if channel.is_null() {
        return;
    }
    boundary_quiet(|| {
        // SAFETY: made by `clc_channel_open` and not freed before, per the contract above.
        let channel = unsafe { Box::from_raw(channel) };
        if channel.birth.check().is_err() {
            // Its ring is the parent's.
            std::mem::forget(channel);
        }
        Ok(())
    });
}

impl clc_channel {
    pub(crate) fn lend_part(&self, part: Vec<u8>) -> clc_bytes {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        lent.results = part;
        clc_bytes::from(&lent.results[..])
    }

    pub(crate) fn lend(&self, ended: Ended) -> clc_call_result {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, outcome) = match ended {
            Ok(Reply { results, .. }) => {
                *lent = Lent { results, text: CString::default() };
                (Status::Ok, Outcome::Executed)
            }
            Err(failure) => {
                *lent = Lent { results: Vec::new(), text: c_string(failure.text) };
                (failure.status, failure.outcome)
            }
        };
        clc_call_result {
            status: u32::from(status.code()),
            outcome: outcome as u32,
            results: clc_bytes::from(&lent.results[..]),
            text: lent.text.as_ptr(),
        }
    }
}

/// # Safety
/// `options` is NULL or a struct of the size that it says, with as many readable pairs as it says.
pub(crate) unsafe fn call_config(options: *const clc_call_options) -> Result<CallConfig> {
    // SAFETY: the same contract.
    let options = unsafe { options::read(options) }?;
    let mut metadata = Metadata::new();
    if options.metadata_len > 0 {
        if options.metadata.is_null() {
            return Err(null("metadata"));
        }
        // SAFETY: not NULL, and as many pairs as said, per the contract.
        let pairs = unsafe { std::slice::from_raw_parts(options.metadata, options.metadata_len) };
        for pair in pairs {
            // SAFETY: NUL-terminated, per the contract.
            let key = unsafe { required("metadata key", pair.key) }?;
            // SAFETY: readable, per the contract.
            metadata.push(key, unsafe { pair.value.as_slice("metadata value") }?);
        }
    }
    Ok(CallConfig {
        timeout: (options.timeout_ns > 0).then(|| Duration::from_nanos(options.timeout_ns)),
        metadata,
        is_idempotent: options.is_idempotent != 0,
    })
}

/// A private key argument: NULL for clear mode.
///
/// # Safety
/// `key` is NULL or NUL-terminated.
pub(crate) unsafe fn secret(name: &str, key: *const c_char, access: Access) -> Result<Option<Mode>> {
    // SAFETY: the same contract.
    let text = unsafe { optional(name, key) }?;
    text.map(|text| Ok(Mode::Secure { key: PrivateKey::parse(text)?, access })).transpose()
}

/// Time left until a deadline, in nanoseconds; UINT64_MAX without one.
pub(crate) fn left_ns(deadline: Option<Instant>) -> u64 {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    left.map_or(u64::MAX, |left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
}

/// By the numbers of clc_driver.
pub(crate) const DRIVERS: [DriverChoice; 3] = [DriverChoice::Auto, DriverChoice::Uring, DriverChoice::Epoll];
