//! Counters: a fixed table, readable while running.

use crate::clc_status;
use crate::forwarder::{Owner, clc_forwarder};
use crate::status::{boundary, null};
use crate::text::c_string;
use clustercore::counters::{COUNTERS, Counter};
use clustercore::{Code, Error, Result};
use std::ffi::{CStr, c_char};
use std::sync::LazyLock;

/// What is counted. Numbers stay for good; new ones come at the end.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_counter {
    /// Connections accepted from clients.
    ClientsAccepted = 0,
    /// Client connections open now.
    ClientsOpen = 1,
    /// Client connections that ended with an error or a reset in the middle of an exchange.
    ClientsAborted = 2,
    /// Requests whose head was complete and accepted.
    Requests = 3,
    /// Requests in flight now, waiting ones included.
    RequestsActive = 4,
    /// Requests refused for their form (400, 414, 417, 431, 501, 505).
    RequestsRefused = 5,
    /// Responses 1xx forwarded.
    Responses1xx = 6,
    /// Responses 2xx, from back ends.
    Responses2xx = 7,
    /// Responses 3xx, from back ends.
    Responses3xx = 8,
    /// Responses 4xx, from back ends.
    Responses4xx = 9,
    /// Responses 5xx, from back ends.
    Responses5xx = 10,
    /// Requests answered 502 by us: the back end failed and no retry was allowed.
    Answered502 = 11,
    /// Requests answered 503 by us: no back end in time, or the queue was full.
    Answered503 = 12,
    /// Requests answered 504 by us: the back end did not answer in time.
    Answered504 = 13,
    /// Requests answered 408 by us: the client was too slow.
    Answered408 = 14,
    /// Responses cut in the middle: the client connection was reset so that nobody takes them for whole.
    ResponsesCut = 15,
    /// Requests sent again to another back end.
    Retries = 16,
    /// Requests that had to wait for a back end.
    Queued = 17,
    /// Requests that wait now.
    QueueLength = 18,
    /// Connections opened to back ends.
    BackendConnects = 19,
    /// Connections to back ends that could not be opened or timed out.
    BackendConnectsFailed = 20,
    /// Exchanges in which the back end failed.
    BackendFailures = 21,
    /// Requests sent on a connection that had served others before.
    BackendReuses = 22,
    /// Active probes sent.
    Probes = 23,
    /// Active probes that failed.
    ProbesFailed = 24,
    /// Bytes of bodies and tunnels towards back ends.
    BytesToBackend = 25,
    /// Bytes of bodies and tunnels towards clients.
    BytesToClient = 26,
    /// Bytes that moved by splice.
    BytesSpliced = 27,
    /// Bytes copied: small bodies joined to a head.
    CopiedJoined = 28,
    /// Bytes copied: heads that came in pieces.
    CopiedPieces = 29,
    /// Bytes copied: chunked bodies opened for HTTP/1.0 clients.
    CopiedDechunked = 30,
    /// Time-outs of clients that were idle between requests.
    IdleTimeouts = 31,
    /// Times accepting stopped for want of descriptors or memory.
    AcceptFailures = 32,
    /// Back ends ejected.
    Ejections = 33,
    /// PROXY headers refused.
    ProxyRefused = 34,
    /// Tunnels opened (upgrade, CONNECT, TCP mode).
    Tunnels = 35,
    /// Requests that went to a job handler in messages.
    JobRequests = 36,
    /// Requests that went by TCP because messages to their back end's job handler did not get through.
    JobFallbacks = 37,
    /// Times the path of messages to a job handler broke.
    PathsBroken = 38,
    /// Bytes copied: bodies between client and messages.
    CopiedMessages = 39,
}

/// How many counters the loaded library has: their numbers are 0 to one less. Any thread may call this.
#[unsafe(no_mangle)]
pub extern "C" fn clc_counter_count() -> usize {
    COUNTERS.len()
}

/// The name of a counter: "requests". NULL when there is none of this number. Valid for good. Any thread may call
/// this.
#[unsafe(no_mangle)]
pub extern "C" fn clc_counter_label(counter: u32) -> *const c_char {
    words(counter).map_or(std::ptr::null(), |words| words[0].as_ptr())
}

/// The unit of a counter: "bytes". NULL when there is none of this number. Valid for good. Any thread may call
/// this.
#[unsafe(no_mangle)]
pub extern "C" fn clc_counter_unit(counter: u32) -> *const c_char {
    words(counter).map_or(std::ptr::null(), |words| words[1].as_ptr())
}

/// What a counter counts, a sentence. NULL when there is none of this number. Valid for good. Any thread may call
/// this.
#[unsafe(no_mangle)]
pub extern "C" fn clc_counter_help(counter: u32) -> *const c_char {
    words(counter).map_or(std::ptr::null(), |words| words[2].as_ptr())
}

/// Reads one counter of a forwarder, `counter` being a clc_counter; with a node, the sum over its shards.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, NO_SUCH_FORWARDER, FORKED. Any thread may call this, also with a shard, and it
/// disturbs no turn. With a shard the last values stay readable after the forwarder was closed.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder; `value_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_counter(
    forwarder: *const clc_forwarder,
    counter: u32,
    value_out: *mut u64,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { value_out.as_mut() }.ok_or_else(|| null("value_out"))?;
        let Some((which, ..)) = COUNTERS.get(counter as usize) else {
            let text = format!("counter is {counter}; this library has 0 to {}", COUNTERS.len() - 1);
            return Err(Error::new(Code::InvalidArgument, text));
        };
        *out = read(forwarder, *which)?;
        Ok(())
    })
}

/// Reads all counters of a forwarder into `values_out`, by their numbers; `*values_len_out` is how many there are.
/// With less room than that, the first `capacity` of them are written.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_FORWARDER, FORKED. Any thread may call this, as clc_forwarder_counter.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder; `values_out` has room for `capacity` numbers, or is NULL and `capacity` is
/// 0; `values_len_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_counters(
    forwarder: *const clc_forwarder,
    values_out: *mut u64,
    capacity: usize,
    values_len_out: *mut usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        // SAFETY: NULL or writable, per the contract above.
        let len_out = unsafe { values_len_out.as_mut() }.ok_or_else(|| null("values_len_out"))?;
        if values_out.is_null() && capacity > 0 {
            return Err(null("values_out"));
        }
        let values: Result<Vec<u64>> =
            COUNTERS.iter().map(|(counter, ..)| read(forwarder, *counter)).collect();
        for (index, value) in values?.into_iter().take(capacity).enumerate() {
            // SAFETY: `index` is below `capacity`, so this lies within the caller's array.
            let slot = unsafe { values_out.add(index) };
            // SAFETY: within the caller's array.
            unsafe { slot.write(value) };
        }
        *len_out = COUNTERS.len();
        Ok(())
    })
}

fn read(forwarder: &clc_forwarder, counter: Counter) -> Result<u64> {
    match (forwarder.counters(), forwarder.owner()?) {
        (Some(block), _) => Ok(block.get(counter)),
        (None, (Owner::Node(core), id)) => core.node()?.counter(id, counter),
        (None, (Owner::Shard(_), _)) => Err(Error::from(Code::Internal)),
    }
}

/// Label, unit and help of a counter, made on first use and kept for good.
fn words(counter: u32) -> Option<&'static [&'static CStr; 3]> {
    static TABLE: LazyLock<Vec<[&'static CStr; 3]>> = LazyLock::new(|| {
        let leak = |text: &str| -> &'static CStr { Box::leak(c_string(text.trim()).into_boxed_c_str()) };
        COUNTERS.iter().map(|(_, label, unit, help)| [leak(label), leak(unit), leak(help)]).collect()
    });
    TABLE.get(counter as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_core() {
        // The header cannot be generated from the core's macro, so the list is repeated here: in full, in order.
        let source = include_str!("counter.rs");
        let (_, list) = source.split_once("pub enum clc_counter {").unwrap();
        let (list, _) = list.split_once("\n}").unwrap();
        let ours: Vec<&str> = list.lines().map(str::trim).filter(|line| line.contains(" = ")).collect();
        let core = COUNTERS.iter().map(|(counter, ..)| format!("{counter:?} = {},", *counter as usize));
        assert_eq!(ours, core.collect::<Vec<_>>());
    }

    #[test]
    fn every_counter_has_its_words() {
        let text = |pointer: *const c_char| {
            assert!(!pointer.is_null());
            // SAFETY: NUL-terminated and kept for good.
            unsafe { CStr::from_ptr(pointer) }.to_str().unwrap()
        };
        assert_eq!(text(clc_counter_label(clc_counter::BytesSpliced as u32)), "bytes_spliced");
        assert_eq!(text(clc_counter_unit(clc_counter::BytesSpliced as u32)), "bytes");
        for counter in 0..clc_counter_count() as u32 {
            assert!(text(clc_counter_help(counter)).ends_with('.'));
        }
        assert!(clc_counter_label(clc_counter_count() as u32).is_null());
    }
}
