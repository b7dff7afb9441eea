//! A server of event channels.

use crate::channel::{DRIVERS, secret};
use crate::channel_access::clc_channel_access;
use crate::clc_status;
use crate::options::{self, Options, one_of, or};
use crate::owned::Owned;
use crate::status::{boundary, boundary_quiet, boundary_value, null};
use crate::text::{address, clc_address, fill, optional};
use clustercore::channel::engine::access::Access;
use clustercore::channel::engine::hook::{HookConfig, HookTargets};
use clustercore::channel::engine::hub::{HubConfig, HubStats};
use clustercore::channel::engine::journal::JournalOptions;
use clustercore::channel::engine::principal::{Principal, Rights};
use clustercore::channel::{ChannelServer, ChannelServerConfig, JournalConfig};
use clustercore::io::Driver;
use clustercore::security::Access as Clients;
use clustercore::{Code, Error, Result};
use std::ffi::{c_char, c_int};
use std::mem::offset_of;
use std::net::SocketAddr;
use std::time::Duration;

/// Serves event channels (docs/channel.md). It belongs to the thread of its first turn: others get WRONG_THREAD then.
pub struct clc_channel_server {
    server: Owned<ChannelServer>,
}

/// How to make a server of event channels. 0 and NULL mean the default in every field but the first, which
/// clc_channel_server_options_init writes out.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_channel_server_options {
    /// sizeof(clc_channel_server_options)
    pub struct_size: usize,
    /// Who may come in; NULL: nobody with a token. It is copied.
    pub access: *const clc_channel_access,
    /// Where events go that were tried too often; NULL: they are counted only.
    pub dead_letter_channel: *const c_char,
    /// The proxy of a consumer with a name outlives its connection for this long (30 s).
    pub linger_ns: u64,
    /// Spins this long before a wait blocks (not at all).
    pub spin_ns: u64,
    /// Bytes of events that wait for one participant to take them, at most by one frame more (256 KiB).
    pub unsent_bytes_max: usize,
    /// 1: who has no token may everything: where the network itself admits only who may.
    pub open_to_anybody: u32,
    /// 1: clear bytes on addresses outside loopback are meant.
    pub insecure: u32,
    /// A clc_driver.
    pub driver: u32,
    /// 0.
    pub reserved: u32,
    /// The file where persistent events, channels and durable consumers are kept; it is made where there is none, and belongs to one server
    /// at a time. NULL: nowhere, and persistent events are lost.
    pub journal: *const c_char,
    /// Bytes of events on their way into the journal, at least 2 MiB (64 MiB); what comes then waits in its channel.
    pub journal_queue_bytes_max: usize,
    /// The server's key for UDP and remote calls, `clc-private-x25519 BASE64`; NULL: clear ones. TCP and HTTP are always clear.
    pub private_key: *const c_char,
    /// Public keys of participants that are let in with such a link, one a line; NULL for all.
    pub allowed_keys: *const c_char,
    /// Where web hooks may lead: networks as IP/BITS, `loopback`, or `anywhere` alone, one a line. NULL: to loopback, and nowhere when the server
    /// listens outside loopback.
    pub hook_targets: *const c_char,
}

// SAFETY: C layout, the size first, integers and pointers that may be NULL.
unsafe impl Options for clc_channel_server_options {
    const NAME: &'static str = "clc_channel_server_options";
    const SIZES: &'static [usize] = &[offset_of!(Self, journal), size_of::<Self>()];
}

/// What a server has counted since it was made.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_channel_server_counts {
    /// Connections accepted.
    pub sessions: u64,
    /// Connections ended because what they sent was no protocol, or without a valid token.
    pub violations: u64,
    /// Events that participants emitted and that were taken.
    pub taken: u64,
    /// Events that participants emitted and that were refused.
    pub refused: u64,
    /// Events handed to participants.
    pub delivered: u64,
    /// Frames of events written.
    pub batches: u64,
    /// Frames of events that were written already for somebody else.
    pub shared: u64,
    /// Events that were tried too often.
    pub dead_letters: u64,
    /// Events that were written to the journal.
    pub written: u64,
    /// Events that should have been, and were not.
    pub not_written: u64,
    /// 0.
    pub reserved: [u64; 6],
}

/// Writes the defaults into `options`, of the size that the caller's header has for it: sizeof(clc_channel_server_options).
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_server_options_init(
    options: *mut clc_channel_server_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        let defaults = HubConfig::default();
        let values = clc_channel_server_options {
            linger_ns: defaults.linger.as_nanos() as u64,
            unsent_bytes_max: defaults.unsent_bytes_max,
            journal_queue_bytes_max: JournalOptions::default().queue_bytes_max,
            ..clc_channel_server_options::zeroed()
        };
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, values) }
    })
}

/// Makes a server with the default channel, and with what its journal has. Listen next, then turn it. `options` may be NULL. Ends with clc_channel_server_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, BAD_CONFIGURATION (also: what the journal has cannot be made again), BAD_KEY,
/// IO (of the journal: another server has it open, for example), IO_URING_FORBIDDEN, UNSUPPORTED_KERNEL, DESCRIPTORS_EXHAUSTED,
/// OUT_OF_MEMORY. Any thread may call this.
///
/// # Safety
/// `options` is NULL or a struct of the size that it says, with NULL or a live access, and NULL or NUL-terminated texts; `server_out` is NULL
/// or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_server_new(
    options: *const clc_channel_server_options,
    server_out: *mut *mut clc_channel_server,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options = unsafe { options::read(options) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { server_out.as_mut() }.ok_or_else(|| null("server_out"))?;
        // SAFETY: NULL or a live access that is only shared, per the contract above.
        let access =
            unsafe { options.access.as_ref() }.map_or_else(Access::new, clc_channel_access::to_access);
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let dead_letters = unsafe { optional("dead_letter_channel", options.dead_letter_channel) }?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let mut journal = unsafe { optional("journal", options.journal) }?.map(JournalConfig::new);
        if let Some(JournalConfig { options: bounds, .. }) = &mut journal {
            bounds.queue_bytes_max = or(options.journal_queue_bytes_max, bounds.queue_bytes_max);
        }
        let defaults = HubConfig::default();
        let mut hooks = HookConfig::default();
        // SAFETY: as above.
        if let Some(text) = unsafe { optional("hook_targets", options.hook_targets) }? {
            let wrong = |error| Error::new(Code::InvalidArgument, format!("hook_targets: {error}"));
            hooks.targets = HookTargets::parse(text.lines()).map_err(wrong)?;
        }
        let hub = HubConfig {
            hooks,
            access: match options.open_to_anybody {
                0 => access,
                _ => access.with_anonymous(Principal::new("anybody", Rights::ALL)),
            },
            linger: match options.linger_ns {
                0 => defaults.linger,
                nanos => Duration::from_nanos(nanos),
            },
            unsent_bytes_max: or(options.unsent_bytes_max, defaults.unsent_bytes_max),
            dead_letter_channel: dead_letters.map(Into::into),
            ..defaults
        };
        // SAFETY: as above.
        let allowed = unsafe { optional("allowed_keys", options.allowed_keys) }?;
        let clients = allowed.map_or(Ok(Clients::Any), Clients::parse)?;
        // SAFETY: as above.
        let security = unsafe { secret("private_key", options.private_key, clients) }?;
        if allowed.is_some() && security.is_none() {
            let words = "allowed_keys is given, and private_key is not: a clear server knows nobody's key";
            return Err(Error::new(Code::BadConfiguration, words));
        }
        let config = ChannelServerConfig { hub, security, journal, insecure: options.insecure != 0 };
        let driver = one_of("driver", options.driver, &DRIVERS)?;
        let server = ChannelServer::open(driver, Duration::from_nanos(options.spin_ns), config)?;
        *out = Box::into_raw(Box::new(clc_channel_server { server: Owned::new(server) }));
        Ok(())
    })
}

/// Listens for participants over TCP, on an address such as `127.0.0.1:7000`; with port 0 the system chooses one. `address_out` may be NULL,
/// else gets the address with the port.
///
/// Errors: NULL_ARGUMENT, BAD_ADDRESS, INSECURE_ADDRESS, ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, PERMISSION_DENIED, DESCRIPTORS_EXHAUSTED,
/// WRONG_THREAD, FORKED.
///
/// # Safety
/// `server` is NULL or a live server; `address` is NULL or NUL-terminated; `address_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_server_listen_tcp(
    server: *mut clc_channel_server,
    address: *const c_char,
    address_out: *mut clc_address,
) -> clc_status {
    // SAFETY: the same contract.
    unsafe { listen(server, address, address_out, ChannelServer::listen_tcp) }
}

/// Listens for participants over reliable datagrams (UDP), once. Otherwise as clc_channel_server_listen_tcp.
///
/// Errors: as clc_channel_server_listen_tcp; BAD_CONFIGURATION: it listens for datagrams already.
///
/// # Safety
/// As clc_channel_server_listen_tcp.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_server_listen_udp(
    server: *mut clc_channel_server,
    address: *const c_char,
    address_out: *mut clc_address,
) -> clc_status {
    // SAFETY: the same contract.
    unsafe { listen(server, address, address_out, ChannelServer::listen_udp) }
}

/// Listens for participants over remote calls, once: each is a streamed call of `clustercore.channel.v1.Channels/Connect`
/// (docs/protocol/channels.proto). Otherwise as clc_channel_server_listen_tcp.
///
/// Errors: as clc_channel_server_listen_tcp; BAD_CONFIGURATION: it listens for calls already.
///
/// # Safety
/// As clc_channel_server_listen_tcp.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_server_listen_rpc(
    server: *mut clc_channel_server,
    address: *const c_char,
    address_out: *mut clc_address,
) -> clc_status {
    // SAFETY: the same contract.
    unsafe { listen(server, address, address_out, ChannelServer::listen_rpc) }
}

/// Listens for HTTP/1.1: CloudEvents in by POST and out by GET, channels and consumers as JSON (docs/channel.md). Otherwise as
/// clc_channel_server_listen_tcp.
///
/// Errors: as clc_channel_server_listen_tcp.
///
/// # Safety
/// As clc_channel_server_listen_tcp.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_server_listen_http(
    server: *mut clc_channel_server,
    address: *const c_char,
    address_out: *mut clc_address,
) -> clc_status {
    // SAFETY: the same contract.
    unsafe { listen(server, address, address_out, ChannelServer::listen_http) }
}

/// Does what there is to do; waits for at most `timeout_ns` when there is nothing, CLC_NEVER_NS: until something happens.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED, IO.
///
/// # Safety
/// `server` is NULL or a live server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_server_turn(
    server: *mut clc_channel_server,
    timeout_ns: u64,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live server that is only shared, per the contract above.
        let server = unsafe { server.as_ref() }.ok_or_else(|| null("server"))?;
        let timeout = (timeout_ns != u64::MAX).then(|| Duration::from_nanos(timeout_ns));
        server.server.turn(|server| server.turn_for(timeout))
    })
}

/// A descriptor that is readable when clc_channel_server_turn has something to do. Turn it now and then all the same: it has times to keep.
///
/// Errors: NULL_ARGUMENT, NOT_SUPPORTED, WRONG_THREAD, FORKED.
///
/// # Safety
/// `server` is NULL or a live server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_server_fd(server: *const clc_channel_server) -> c_int {
    boundary_value(|| {
        // SAFETY: NULL or a live server that is only shared, per the contract above.
        let server = unsafe { server.as_ref() }.ok_or_else(|| null("server"))?;
        server.server.with(|server| server.driver().fd().ok_or_else(|| Error::from(Code::NotSupported)))
    })
}

/// What a server has counted.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED.
///
/// # Safety
/// `server` is NULL or a live server; `counts_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_server_stats(
    server: *const clc_channel_server,
    counts_out: *mut clc_channel_server_counts,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live server that is only shared, per the contract above.
        let server = unsafe { server.as_ref() }.ok_or_else(|| null("server"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { counts_out.as_mut() }.ok_or_else(|| null("counts_out"))?;
        *out = server.server.with(|server| Ok(server.stats().into()))?;
        Ok(())
    })
}

/// Why a server takes no persistent events any more: its journal has failed. Empty text: it does, or has no journal. 512 bytes are enough.
/// It goes on with everything else; what was confirmed is there when a server is made anew with that journal.
///
/// Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL, WRONG_THREAD, FORKED.
///
/// # Safety
/// `server` is NULL or a live server; `text_out` is NULL or has room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_server_failure(
    server: *const clc_channel_server,
    text_out: *mut c_char,
    capacity: usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live server that is only shared, per the contract above.
        let server = unsafe { server.as_ref() }.ok_or_else(|| null("server"))?;
        let text = server.server.with(|server| Ok(server.failure().unwrap_or_default().to_owned()))?;
        // SAFETY: NULL or room for `capacity` bytes, per the contract above.
        unsafe { fill("text_out", text_out, capacity, &text) }
    })
}

/// Ends a server with all its connections. NULL is fine. To be called by the thread that has turned it: freed by another, what the kernel has
/// in hand stays allocated.
///
/// # Safety
/// `server` is NULL or a server that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_server_free(server: *mut clc_channel_server) {
    if server.is_null() {
        return;
    }
    boundary_quiet(|| {
        // SAFETY: made by `clc_channel_server_new` and not freed before, per the contract above.
        unsafe { Box::from_raw(server) }.server.end();
        Ok(())
    });
}

/// # Safety
/// As clc_channel_server_listen_tcp.
unsafe fn listen(
    server: *mut clc_channel_server,
    address: *const c_char,
    address_out: *mut clc_address,
    how: fn(&mut ChannelServer, SocketAddr) -> Result<SocketAddr>,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live server that is only shared, per the contract.
        let server = unsafe { server.as_ref() }.ok_or_else(|| null("server"))?;
        // SAFETY: NULL or NUL-terminated, per the contract.
        let wanted = unsafe { self::address("address", address) }?;
        let bound = server.server.with(|server| how(server, wanted))?;
        // SAFETY: NULL or writable, per the contract.
        if let Some(out) = unsafe { address_out.as_mut() } {
            *out = clc_address::new(Some(bound));
        }
        Ok(())
    })
}

impl From<HubStats> for clc_channel_server_counts {
    fn from(stats: HubStats) -> clc_channel_server_counts {
        let HubStats {
            sessions,
            violations,
            taken,
            refused,
            delivered,
            batches,
            shared,
            dead_letters,
            written,
            not_written,
        } = stats;
        clc_channel_server_counts {
            sessions,
            violations,
            taken,
            refused,
            delivered,
            batches,
            shared,
            dead_letters,
            written,
            not_written,
            reserved: [0; 6],
        }
    }
}
