//! How an endpoint is opened.

use crate::clc_status;
use crate::options::{self, Options, or};
use crate::status::boundary;
use crate::text::optional;
use clustercore::proto::datagram::{Config, ControlKind};
use clustercore::{EndpointConfig, Result};
use std::ffi::c_char;
use std::path::PathBuf;
use std::time::Duration;

/// How to open an endpoint. 0 means the default in every field but the first; where 0 itself makes sense, CLC_NEVER_NS
/// says so.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_endpoint_options {
    /// sizeof(clc_endpoint_options)
    pub struct_size: usize,
    /// Bytes of a connection that wait to be sent or acknowledged (4 MiB).
    pub send_buffer_bytes: u64,
    /// Credit of a connection: bytes, plus 16 a message, that have arrived and are not yet given back by a turn (4 MiB). What the
    /// system grants the socket bounds it.
    pub receive_window_bytes: u64,
    /// Credit of each stream, at most that of the connection (4 MiB).
    pub stream_window_bytes: u64,
    /// Bytes of a message (1 MiB).
    pub message_bytes_max: u64,
    /// Bytes that may wait in the socket (twice the window of a connection).
    pub receive_buffer_bytes: u64,
    /// A fixed congestion window in bytes, for a path whose capacity is set aside; it yields to nobody. Default: CUBIC.
    pub fixed_window_bytes: u64,
    /// Tells this run of the program from its others (the time).
    pub epoch: u64,
    /// A connection without a valid packet for this long is gone (60 s); CLC_NEVER_NS: never.
    pub idle_timeout_ns: u64,
    /// Pings when nothing else was sent for this long (never).
    pub keep_alive_ns: u64,
    /// A peer that acknowledges nothing for this long while something waits is gone (10 s).
    pub gone_after_ns: u64,
    /// Connecting takes this long at most (10 s).
    pub handshake_timeout_ns: u64,
    /// An acknowledgement waits this long for something to ride on (5 ms).
    pub acknowledgement_delay_ns: u64,
    /// Connections at a time (16384).
    pub connections_max: u32,
    /// Streams of a connection in each direction (1024).
    pub streams_max: u32,
    /// Bytes of a packet, UDP payload (1472); the path may take less.
    pub packet_bytes_max: u32,
    /// 1: packets of `packet_bytes_max` are known to pass; otherwise the path is searched from 1200 on.
    pub is_path_known: u32,
    /// 1: peers may not connect.
    pub refuses_peers: u32,
    /// 1: packets are not marked as capable of congestion notification.
    pub without_ecn: u32,
    /// 1: clear messages on an address outside loopback are meant.
    pub insecure: u32,
    /// 0.
    pub reserved: u32,
    /// A new file in qlog's manner (`.sqlog`) that tells what happens, packet by packet; NULL: none. To look for the reason of something.
    pub trace_path: *const c_char,
    /// A file to which the secrets of connections are appended, in secure mode; NULL: none. Whoever reads it can read what is sent.
    pub key_log_path: *const c_char,
}

// SAFETY: C layout, the size first, integers and pointers only.
unsafe impl Options for clc_endpoint_options {
    const NAME: &'static str = "clc_endpoint_options";
    const SIZES: &'static [usize] = &[136, size_of::<Self>()];
}

/// In a time whose 0 means the default: never.
pub const CLC_NEVER_NS: u64 = u64::MAX;

/// Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_endpoint_options). Any thread may call this.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_endpoint_options_init(
    options: *mut clc_endpoint_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        let config = Config::default();
        let values = clc_endpoint_options {
            send_buffer_bytes: config.send_buffer_bytes as u64,
            receive_window_bytes: config.receive_window as u64,
            stream_window_bytes: config.stream_window as u64,
            message_bytes_max: config.message_bytes_max as u64,
            idle_timeout_ns: config.idle_timeout.as_nanos() as u64,
            gone_after_ns: config.gone_after.as_nanos() as u64,
            handshake_timeout_ns: config.handshake_timeout.as_nanos() as u64,
            acknowledgement_delay_ns: config.acknowledgement_delay.as_nanos() as u64,
            connections_max: config.connections_max as u32,
            streams_max: config.streams_max as u32,
            packet_bytes_max: config.packet_bytes_max as u32,
            ..clc_endpoint_options::zeroed()
        };
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, values) }
    })
}

/// What the options ask for; their values are checked where the endpoint is opened.
///
/// Errors: `InvalidArgument` for a path that is not UTF-8.
///
/// # Safety
/// The paths are NULL or NUL-terminated text.
pub(crate) unsafe fn endpoint_config(options: &clc_endpoint_options) -> Result<EndpointConfig> {
    let defaults = Config::default();
    let size = |value: u64, default: usize| or(usize::try_from(value).unwrap_or(usize::MAX), default);
    // The window of a stream follows that of its connection where only this was set.
    let receive_window = size(options.receive_window_bytes, defaults.receive_window);
    let machine = Config {
        connections_max: or(options.connections_max as usize, defaults.connections_max),
        is_accepting: options.refuses_peers == 0,
        send_buffer_bytes: size(options.send_buffer_bytes, defaults.send_buffer_bytes),
        receive_window,
        stream_window: size(options.stream_window_bytes, defaults.stream_window.min(receive_window)),
        streams_max: or(options.streams_max as usize, defaults.streams_max),
        message_bytes_max: size(options.message_bytes_max, defaults.message_bytes_max),
        packet_bytes_max: or(options.packet_bytes_max as usize, defaults.packet_bytes_max),
        is_path_known: options.is_path_known != 0,
        acknowledgement_delay: time(options.acknowledgement_delay_ns, defaults.acknowledgement_delay),
        idle_timeout: time(options.idle_timeout_ns, defaults.idle_timeout),
        keep_alive: time(options.keep_alive_ns, defaults.keep_alive),
        gone_after: time(options.gone_after_ns, defaults.gone_after),
        handshake_timeout: time(options.handshake_timeout_ns, defaults.handshake_timeout),
        control: match options.fixed_window_bytes {
            0 => ControlKind::Cubic,
            bytes => ControlKind::Fixed(bytes),
        },
        has_ecn: options.without_ecn == 0,
        epoch: options.epoch,
        ..defaults
    };
    // SAFETY: the contract of this function.
    let trace_path = unsafe { optional("trace_path", options.trace_path) }?;
    // SAFETY: likewise.
    let key_log_path = unsafe { optional("key_log_path", options.key_log_path) }?;
    Ok(EndpointConfig {
        machine,
        insecure: options.insecure != 0,
        receive_buffer_bytes: size(options.receive_buffer_bytes, 0),
        trace_path: trace_path.map(PathBuf::from),
        key_log_path: key_log_path.map(PathBuf::from),
        ..EndpointConfig::default()
    })
}

/// The machine's "never" is zero.
fn time(ns: u64, default: Duration) -> Duration {
    match ns {
        0 => default,
        CLC_NEVER_NS => Duration::ZERO,
        ns => Duration::from_nanos(ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(options: &clc_endpoint_options) -> EndpointConfig {
        // SAFETY: the tests set paths to literals or not at all.
        unsafe { endpoint_config(options) }.unwrap()
    }

    #[test]
    fn paths_are_text_or_none() {
        let mut options = clc_endpoint_options::zeroed();
        options.trace_path = c"/tmp/trace.sqlog".as_ptr();
        let config = config(&options);
        assert_eq!((config.trace_path, config.key_log_path), (Some("/tmp/trace.sqlog".into()), None));
        options.key_log_path = c"\xff".as_ptr();
        // SAFETY: both are literals.
        let error = unsafe { endpoint_config(&options) }.unwrap_err();
        assert_eq!(error.to_string(), "key_log_path is not UTF-8 from byte 0 on");
    }

    #[test]
    fn an_older_callers_options_end_before_the_paths() {
        assert_eq!(std::mem::offset_of!(clc_endpoint_options, trace_path), clc_endpoint_options::SIZES[0]);
    }

    #[test]
    fn zero_and_the_written_defaults_mean_the_same() {
        let mut written = clc_endpoint_options::zeroed();
        // SAFETY: the size is that of the struct.
        assert_eq!(unsafe { clc_endpoint_options_init(&mut written, size_of_val(&written)) }, 0);
        let (zero, written) = (config(&clc_endpoint_options::zeroed()), config(&written));
        assert_eq!(format!("{zero:?}"), format!("{written:?}"));
        assert_eq!(format!("{:?}", zero.machine), format!("{:?}", Config::default()));
    }

    #[test]
    fn never_is_never_and_a_small_window_is_one_for_streams_too() {
        let mut options = clc_endpoint_options::zeroed();
        (options.idle_timeout_ns, options.receive_window_bytes) = (CLC_NEVER_NS, 100_000);
        let machine = config(&options).machine;
        assert_eq!((machine.idle_timeout, machine.stream_window), (Duration::ZERO, 100_000));
    }
}
