//! Streamed calls, served.

use crate::call_server::{User, clc_call_context, clc_call_reply, clc_call_server, outcome};
use crate::status::{boundary, boundary_value, null};
use crate::text::required;
use crate::{clc_bytes, clc_status};
use clustercore::calls::{Context, Failure, Parts, Service};
use clustercore::{Code, Error};
use std::ffi::{c_char, c_int, c_void};

/// The parts of a streamed call, for its handler; valid until it returns.
pub struct clc_call_parts {
    parts: Parts,
    /// Lent until the next one.
    part: Vec<u8>,
}

/// Executes a streamed call: takes the parts of its arguments by clc_call_parts_next and sends those of its results by clc_call_parts_send; what it
/// writes to `reply` goes behind the parts. Returns as a clc_handler; when `parts` have failed, clc_call_parts_status.
pub type clc_streamed_handler = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        context: *const clc_call_context,
        arguments: clc_bytes,
        parts: *mut clc_call_parts,
        reply: *mut clc_call_reply,
    ) -> u32,
>;

/// A streamed method and its handler.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_streamed_method {
    /// Its name within the service.
    pub name: *const c_char,
    /// Its handler.
    pub handler: clc_streamed_handler,
}

/// Adds `count` streamed methods to a service, `package.Service`, which may be there already. Their handlers get `user` and run on threads of the
/// pool, several at a time; each has its thread until it returns. What `user` points to must live until the server is freed.
///
/// Errors: as clc_call_server_add.
///
/// # Safety
/// `server` is NULL or a live server; `service` is NULL or NUL-terminated; `methods` has `count` readable ones; the handlers may be called
/// with `user` on any thread until the server is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_server_add_streamed(
    server: *mut clc_call_server,
    service: *const c_char,
    methods: *const clc_streamed_method,
    count: usize,
    user: *mut c_void,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live server that is only shared, per the contract above.
        let server = unsafe { server.as_ref() }.ok_or_else(|| null("server"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let name = unsafe { required("service", service) }?;
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
            made = made.streamed(name, move |context, arguments, parts, results| {
                let user = &user;
                call(handler, user.0, context, arguments, parts, results)
            });
        }
        server.with(|state| state.server.add(made))
    })
}

/// The next part of the arguments of a streamed call, waiting for it: 1 and the part, lent until the next one; 0 when no more come.
///
/// Errors: NULL_ARGUMENT; CALL_FAILED: the call was cancelled, is late, or its caller is gone: the handler returns clc_call_parts_status.
///
/// # Safety
/// `parts` is NULL or that of a handler that runs; `part_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_parts_next(parts: *mut clc_call_parts, part_out: *mut clc_bytes) -> c_int {
    boundary_value(|| {
        // SAFETY: NULL or valid and this handler's alone, per the contract above.
        let lent = unsafe { parts.as_mut() }.ok_or_else(|| null("parts"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { part_out.as_mut() }.ok_or_else(|| null("part_out"))?;
        match lent.parts.next().map_err(|failure| failed(&failure))? {
            Some(part) => {
                lent.part = part;
                *out = clc_bytes::from(&lent.part[..]);
                Ok(1)
            }
            None => Ok(0),
        }
    })
}

/// Sends a part of the results of a streamed call, waiting for room.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT; CALL_FAILED: as clc_call_parts_next, or the part is longer than 64 KiB.
///
/// # Safety
/// `parts` is NULL or that of a handler that runs; `part` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_parts_send(parts: *mut clc_call_parts, part: clc_bytes) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or valid and this handler's alone, per the contract above.
        let lent = unsafe { parts.as_ref() }.ok_or_else(|| null("parts"))?;
        // SAFETY: the caller vouches for `len` readable bytes.
        let part = unsafe { part.as_slice("part") }?;
        lent.parts.send(part).map_err(|failure| failed(&failure))
    })
}

/// 0 while the caller waits for a streamed call; else a code of google.rpc.Code for why it does not: 1 cancelled, 4 late. 13 for NULL.
///
/// # Safety
/// `parts` is NULL or that of a handler that runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_call_parts_status(parts: *const clc_call_parts) -> u32 {
    let mut status = INTERNAL;
    crate::status::boundary_quiet(|| {
        // SAFETY: NULL or valid and this handler's alone, per the contract above.
        let lent = unsafe { parts.as_ref() }.ok_or_else(|| null("parts"))?;
        status = u32::from(lent.parts.status().code());
        Ok(())
    });
    status
}

fn failed(failure: &Failure) -> Error {
    Error::new(Code::CallFailed, failure.to_string())
}

type Function = unsafe extern "C" fn(
    *mut c_void,
    *const clc_call_context,
    clc_bytes,
    *mut clc_call_parts,
    *mut clc_call_reply,
) -> u32;

fn call(
    handler: Function,
    user: *mut c_void,
    context: &Context<'_>,
    arguments: &[u8],
    parts: &Parts,
    results: &mut Vec<u8>,
) -> std::result::Result<(), Failure> {
    let mut lent = clc_call_parts { parts: parts.clone(), part: Vec::new() };
    outcome(context, results, |context, reply| {
        // SAFETY: the handler's contract is its caller's, per `clc_call_server_add_streamed`; context, arguments, parts and reply outlive the
        // call, and a `clc_call_context` stands for a `Context`.
        unsafe { handler(user, context, arguments.into(), &raw mut lent, reply) }
    })
}

const INTERNAL: u32 = 13;
