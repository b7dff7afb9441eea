//! Servers of remote procedure calls.

use crate::channel::{DRIVERS, left_ns, secret};
use crate::fork::Birth;
use crate::options::{self, Options, one_of, or};
use crate::status::{boundary, boundary_quiet, boundary_value, null};
use crate::text::{address, clc_address, optional, required};
use crate::{clc_bytes, clc_status};
use clustercore::calls::{Context, Failure, Place, Server, ServerConfig, Service, Status};
use clustercore::io::DriverConfig;
use clustercore::proto::rpc;
use clustercore::security::Access;
use clustercore::{Code, EndpointConfig, EndpointId, Error, Result, Shard};
use std::ffi::{c_char, c_int, c_void};
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

/// Serves procedures on one address. It belongs to the thread of its first turn: others get WRONG_THREAD then.
pub struct clc_call_server {
    birth: Birth,
    endpoint: EndpointId,
    state: Mutex<Serving>,
}

pub(crate) struct Serving {
    shard: Shard,
    pub(crate) server: Server,
}

/// How to open a server. 0 means the default in every field but the first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_call_server_options {
    /// sizeof(clc_call_server_options)
    pub struct_size: usize,
    /// The server's key in secure mode, `clc-private-x25519 BASE64`; NULL for clear calls.
    pub private_key: *const c_char,
    /// Public keys that are let in, one a line; NULL for all.
    pub allowed_keys: *const c_char,
    /// Spins this long before a wait blocks (not at all).
    pub spin_ns: u64,
    /// Threads for handlers that are not run in the loop (one a core).
    pub workers: u32,
    /// Calls that may wait for a thread; more are refused as busy (1024).
    pub queue_max: u32,
    /// Calls that may be in the hands of handlers, of all callers (16384).
    pub calls_max: u32,
    /// 1: clear calls on an address outside loopback are meant.
    pub insecure: u32,
    /// A clc_driver.
    pub driver: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: C layout, the size first, integers and pointers that may be NULL.
unsafe impl Options for clc_call_server_options {
    const NAME: &'static str = "clc_call_server_options";
}

/// Where handlers run.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_call_place {
    /// On threads of the pool: they may wait and compute, several at a time.
    Worker = 0,
    /// In the loop of the server: fastest, for what takes microseconds.
    Loop = 1,
}

/// What a handler knows of its call besides its arguments; valid until it returns.
pub struct clc_call_context {
    /// A `Context` lies there.
    _opaque: (),
}

impl clc_call_context {
    /// # Safety
    /// `context` is NULL or that of a handler that runs.
    unsafe fn of<'a>(context: *const clc_call_context) -> Option<&'a Context<'a>> {
        // SAFETY: made from such a reference by `call`, which waits for the handler.
        unsafe { context.cast::<Context<'a>>().as_ref() }
    }
}

/// What a handler writes; valid until it returns.
pub struct clc_call_reply {
    results: Vec<u8>,
    text: String,
}

/// Executes a call: writes its results by clc_call_reply_write and returns 0; or returns another code of google.rpc.Code, with words by
/// clc_call_reply_text.
pub type clc_handler = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        context: *const clc_call_context,
        arguments: clc_bytes,
        reply: *mut clc_call_reply,
    ) -> u32,
>;

/// A method and its handler.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_method {
    /// Its name within the service.
    pub name: *const c_char,
    /// Its handler.
    pub handler: clc_handler,
}

/// Opens a server on an address such as `127.0.0.1:7000`; with port 0 the system chooses one. `options` may be NULL. It answers
/// `grpc.health.v1.Health/Check` from the start. Ends with clc_call_server_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, BAD_ADDRESS, BAD_KEY, INSECURE_ADDRESS, BAD_CONFIGURATION, ADDRESS_IN_USE,
/// ADDRESS_NOT_AVAILABLE, PERMISSION_DENIED, OUT_OF_MEMORY. Any thread may call this.
///
/// # Safety
/// `address` is NULL or NUL-terminated; `options` is NULL or a struct of the size that it says, its pointers NULL or NUL-terminated;
/// `server_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_server_open(
    address: *const c_char,
    options: *const clc_call_server_options,
    server_out: *mut *mut clc_call_server,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let address = unsafe { self::address("address", address) }?;
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options = unsafe { options::read(options) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { server_out.as_mut() }.ok_or_else(|| null("server_out"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let allowed = unsafe { optional("allowed_keys", options.allowed_keys) }?;
        let access = allowed.map_or(Ok(Access::Any), Access::parse)?;
        // SAFETY: as above.
        let security = unsafe { secret("private_key", options.private_key, access) }?;
        let driver = DriverConfig { spin_ns: options.spin_ns, ..DriverConfig::default() };
        let mut shard =
            Shard::builder().driver(one_of("driver", options.driver, &DRIVERS)?).config(driver).build()?;
        let calls = rpc::Config::default();
        let calls = rpc::Config { calls_max: or(options.calls_max, calls.calls_max), ..calls };
        let config = EndpointConfig {
            security,
            insecure: options.insecure != 0,
            calls: Some(calls),
            ..EndpointConfig::default()
        };
        let endpoint = shard.open_endpoint(address, config)?;
        let defaults = ServerConfig::default();
        let server = Server::new(ServerConfig {
            workers: or(options.workers as usize, defaults.workers),
            queue_max: or(options.queue_max as usize, defaults.queue_max),
        });
        let state = Mutex::new(Serving { shard, server });
        *out = Box::into_raw(Box::new(clc_call_server { birth: Birth::here(), endpoint, state }));
        Ok(())
    })
}

/// The address that a server is bound to. Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED.
///
/// # Safety
/// `server` is NULL or a live server; `address_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_server_address(
    server: *const clc_call_server,
    address_out: *mut clc_address,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live server that is only shared, per the contract above.
        let server = unsafe { server.as_ref() }.ok_or_else(|| null("server"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { address_out.as_mut() }.ok_or_else(|| null("address_out"))?;
        *out = clc_address::new(Some(server.with(|state| state.shard.endpoint_address(server.endpoint))?));
        Ok(())
    })
}

/// Adds a service of `count` methods, `package.Service`, or more methods to one that is there. Their handlers get `user`; with
/// CLC_CALL_PLACE_WORKER they run on several threads at a time. What `user` points to must live until the server is freed.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, BAD_CONFIGURATION (a method is there already), WRONG_THREAD, FORKED.
///
/// # Safety
/// `server` is NULL or a live server; `service` is NULL or NUL-terminated; `methods` has `count` readable ones; the handlers may be called
/// with `user` where `place` says, until the server is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_server_add(
    server: *mut clc_call_server,
    service: *const c_char,
    methods: *const clc_method,
    count: usize,
    place: u32,
    user: *mut c_void,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live server that is only shared, per the contract above.
        let server = unsafe { server.as_ref() }.ok_or_else(|| null("server"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let name = unsafe { required("service", service) }?;
        let place = one_of("place", place, &[Place::Worker, Place::Loop])?;
        if methods.is_null() && count > 0 {
            return Err(null("methods"));
        }
        let mut made = Service::new(name);
        for index in 0..count {
            // SAFETY: within the `count` ones, per the contract above.
            let method = unsafe { methods.add(index) };
            // SAFETY: readable, per the contract above.
            let method = unsafe { method.read() };
            // SAFETY: NULL or NUL-terminated, per the contract above.
            let name = unsafe { required("method name", method.name) }?;
            let handler = method.handler.ok_or_else(|| null("handler"))?;
            let user = User(user);
            made = made.method(name, place, move |context, arguments, results| {
                let user = &user;
                call(handler, user.0, context, arguments, results)
            });
        }
        server.with(|state| state.server.add(made))
    })
}

/// Says whether a service is well (`is_serving` not 0); "" is the whole server.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, WRONG_THREAD, FORKED.
///
/// # Safety
/// `server` is NULL or a live server; `service` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_server_set_health(
    server: *mut clc_call_server,
    service: *const c_char,
    is_serving: c_int,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live server that is only shared, per the contract above.
        let server = unsafe { server.as_ref() }.ok_or_else(|| null("server"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let service = unsafe { required("service", service) }?;
        server.with(|state| {
            state.server.health().set(service, is_serving != 0);
            Ok(())
        })
    })
}

/// Does all there is to do now; waits for at most `timeout_ns` when that is nothing, CLC_NEVER_NS: until something happens.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED, IO.
///
/// # Safety
/// `server` is NULL or a live server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_server_turn(server: *mut clc_call_server, timeout_ns: u64) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live server that is only shared, per the contract above.
        let server = unsafe { server.as_ref() }.ok_or_else(|| null("server"))?;
        let timeout = (timeout_ns != u64::MAX).then(|| Duration::from_nanos(timeout_ns));
        server.with(|Serving { shard, server }| server.turn(shard, timeout))
    })
}

/// A descriptor that is readable when clc_call_server_turn has something to do. Errors: NULL_ARGUMENT, NOT_SUPPORTED, WRONG_THREAD, FORKED.
///
/// # Safety
/// `server` is NULL or a live server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_server_fd(server: *const clc_call_server) -> c_int {
    boundary_value(|| {
        // SAFETY: NULL or a live server that is only shared, per the contract above.
        let server = unsafe { server.as_ref() }.ok_or_else(|| null("server"))?;
        server.with(|state| state.shard.fd().ok_or_else(|| Error::from(Code::NotSupported)))
    })
}

/// How long the descriptor may be waited for before a turn is due all the same, in nanoseconds; UINT64_MAX: for ever. 0 for NULL and on a
/// wrong thread.
///
/// # Safety
/// `server` is NULL or a live server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_server_next_timeout_ns(server: *const clc_call_server) -> u64 {
    // SAFETY: NULL or a live server that is only shared, per the contract above.
    let Some(server) = (unsafe { server.as_ref() }) else { return 0 };
    let mut next = Some(Duration::ZERO);
    boundary_quiet(|| {
        next = server.with(|state| Ok(state.shard.next_timeout()))?;
        Ok(())
    });
    next.map_or(u64::MAX, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
}

/// Ends a server when the handlers that run have ended. NULL is fine. To be called by the thread that has turned it: freed by another, what the
/// kernel has in hand stays allocated.
///
/// # Safety
/// `server` is NULL or a server that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_server_free(server: *mut clc_call_server) {
    if server.is_null() {
        return;
    }
    boundary_quiet(|| {
        // SAFETY: made by `clc_call_server_open` and not freed before, per the contract above.
        let server = unsafe { Box::from_raw(server) };
        if server.birth.check().is_err() {
            // Its ring and its threads are the parent's.
            std::mem::forget(server);
        }
        Ok(())
    });
}

/// Time until the deadline of a call, in nanoseconds; UINT64_MAX without one or for NULL.
///
/// # Safety
/// `context` is NULL or that of a handler that runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_context_time_left_ns(context: *const clc_call_context) -> u64 {
    // SAFETY: NULL or valid, per the contract above.
    unsafe { clc_call_context::of(context) }.map_or(u64::MAX, |context| left_ns(context.deadline))
}

/// 1 when the caller wants the call no more: who can stop may. 0 for NULL.
///
/// # Safety
/// `context` is NULL or that of a handler that runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_context_is_cancelled(context: *const clc_call_context) -> c_int {
    // SAFETY: NULL or valid, per the contract above.
    unsafe { clc_call_context::of(context) }.map_or(0, |context| c_int::from(context.is_cancelled()))
}

/// The value of a key that travelled with a call: 1, or 0 when it is not there; NULL anywhere: 0.
///
/// # Safety
/// `context` is NULL or that of a handler that runs; `key` is NULL or NUL-terminated; `value_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_context_metadata(
    context: *const clc_call_context,
    key: *const c_char,
    value_out: *mut clc_bytes,
) -> c_int {
    // SAFETY: NULL or valid, per the contract above.
    let Some(context) = (unsafe { clc_call_context::of(context) }) else { return 0 };
    // SAFETY: NULL or NUL-terminated, per the contract above.
    let Ok(key) = (unsafe { required("key", key) }) else { return 0 };
    // SAFETY: NULL or writable, per the contract above.
    let Some(out) = (unsafe { value_out.as_mut() }) else { return 0 };
    match context.metadata.get(key) {
        Some(value) => {
            *out = value.into();
            1
        }
        None => 0,
    }
}

/// Appends bytes to the results of a call. Does nothing for NULL.
///
/// # Safety
/// `reply` is NULL or that of a handler that runs; `bytes` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_reply_write(reply: *mut clc_call_reply, bytes: clc_bytes) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or valid and this handler's alone, per the contract above.
        let reply = unsafe { reply.as_mut() }.ok_or_else(|| null("reply"))?;
        // SAFETY: the caller vouches for `len` readable bytes.
        reply.results.extend_from_slice(unsafe { bytes.as_slice("bytes") }?);
        Ok(())
    })
}

/// Says in words what went wrong with a call. Does nothing for NULL.
///
/// # Safety
/// `reply` is NULL or that of a handler that runs; `text` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_reply_text(reply: *mut clc_call_reply, text: *const c_char) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or valid and this handler's alone, per the contract above.
        let reply = unsafe { reply.as_mut() }.ok_or_else(|| null("reply"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        reply.text = unsafe { required("text", text) }?.to_owned();
        Ok(())
    })
}

impl clc_call_server {
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Serving) -> Result<T>) -> Result<T> {
        self.birth.check()?;
        match self.state.try_lock() {
            Ok(mut state) => act(&mut state),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                Code::WrongThread,
                "another thread, or a handler in the loop, uses the server",
            )),
            Err(TryLockError::Poisoned(_)) => {
                let text = "an earlier call on this server met a defect in clustercore; free it";
                Err(Error::new(Code::Panic, text))
            }
        }
    }
}

/// The caller's pointer, which its handlers share between threads as the caller has promised.
pub(crate) struct User(pub(crate) *mut c_void);

// SAFETY: never looked at here; the contract of `clc_call_server_add` lets handlers have it on any thread.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

type Function =
    unsafe extern "C" fn(*mut c_void, *const clc_call_context, clc_bytes, *mut clc_call_reply) -> u32;

fn call(
    handler: Function,
    user: *mut c_void,
    context: &Context<'_>,
    arguments: &[u8],
    results: &mut Vec<u8>,
) -> std::result::Result<(), Failure> {
    outcome(context, results, |context, reply| {
        // SAFETY: the handler's contract is its caller's, per `clc_call_server_add`; context, arguments and reply outlive the call, and a
        // `clc_call_context` stands for a `Context`.
        unsafe { handler(user, context, arguments.into(), reply) }
    })
}

/// What a handler has returned and written.
pub(crate) fn outcome(
    context: &Context<'_>,
    results: &mut Vec<u8>,
    run: impl FnOnce(*const clc_call_context, *mut clc_call_reply) -> u32,
) -> std::result::Result<(), Failure> {
    let mut reply = clc_call_reply { results: std::mem::take(results), text: String::new() };
    let code = run((&raw const *context).cast::<clc_call_context>(), &raw mut reply);
    *results = reply.results;
    match u8::try_from(code).map(Status::from_code) {
        Ok(Status::Ok) => Ok(()),
        Ok(status) => Err(Failure::new(status, reply.text)),
        Err(_) => {
            Err(Failure::new(Status::Unknown, format!("the handler returned {code}, which is no status")))
        }
    }
}
