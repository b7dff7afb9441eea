//! A service that takes requests in messages itself, in the place of a job handler and a TCP port.

use crate::endpoint::clc_endpoint;
use crate::options::or;
use crate::shard::ShardCore;
use crate::status::{boundary, boundary_quiet, null};
use crate::{clc_bytes, clc_connection, clc_status};
use clustercore::job::{JobId, LinkedService, Request};
use clustercore::proto::job::ExchangeId;
use clustercore::{Code, Error, Result};
use std::sync::{Arc, Mutex, PoisonError};

/// Takes requests that front ends send in messages to an endpoint (docs/protocol/jobs.md). The shard's thread may call its functions.
pub struct clc_job_service {
    core: Arc<ShardCore>,
    inner: Mutex<Inner>,
}

struct Inner {
    service: LinkedService,
    /// Lent until the next call.
    lent: Vec<Request>,
    /// The turn whose messages were taken.
    turn: u64,
}

/// A request that has come whole. It may be answered whenever its time has come, in any order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_job_request {
    /// The front end's connection.
    pub connection: clc_connection,
    /// What the front end calls it.
    pub exchange: u32,
    /// 1: its response has no body, whatever its fields say (HEAD).
    pub is_head: u32,
    /// Head and body, HTTP/1.1; lent until the next clc_job_service_requests.
    pub bytes: clc_bytes,
}

/// Makes a service on an endpoint that accepts connections; nothing else may read the endpoint's messages. Requests of more than
/// `request_bytes_max` bytes (0: 1 MiB) are refused, as are more than `requests_max` (0: 4096) that are not answered. Ends with
/// clc_job_service_free.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_ENDPOINT, CLOSED, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `endpoint` is NULL or a live endpoint; `service_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_job_service_new(
    endpoint: *mut clc_endpoint,
    request_bytes_max: usize,
    requests_max: usize,
    service_out: *mut *mut clc_job_service,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live endpoint that is only shared, per the contract above.
        let endpoint = unsafe { endpoint.as_ref() }.ok_or_else(|| null("endpoint"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { service_out.as_mut() }.ok_or_else(|| null("service_out"))?;
        let (core, id) = endpoint.parts();
        core.with(|state| state.shard.endpoint_address(id).map(drop))?;
        let service =
            LinkedService::new(id, or(request_bytes_max, REQUEST_BYTES_MAX), or(requests_max, REQUESTS_MAX));
        let inner = Mutex::new(Inner { service, lent: Vec::new(), turn: 0 });
        *out = Box::into_raw(Box::new(clc_job_service { core: Arc::clone(core), inner }));
        Ok(())
    })
}

/// Takes the requests that have come whole, at most `capacity` of them. Call it after each turn, and again while it fills the array:
/// what a turn has brought is gone with the next one.
///
/// Errors: NULL_ARGUMENT, CLOSED, WRONG_STATE, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `service` is NULL or a live service; `requests_out` is NULL or has room for `capacity` requests; `requests_len_out` is NULL or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_job_service_requests(
    service: *mut clc_job_service,
    requests_out: *mut clc_job_request,
    capacity: usize,
    requests_len_out: *mut usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live service that is only shared, per the contract above.
        let service = unsafe { service.as_ref() }.ok_or_else(|| null("service"))?;
        if requests_out.is_null() {
            return Err(null("requests_out"));
        }
        // SAFETY: NULL or writable, per the contract above.
        let len_out = unsafe { requests_len_out.as_mut() }.ok_or_else(|| null("requests_len_out"))?;
        service.core.with_unclaimed(|state| {
            let mut inner = service.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let Inner { service, lent, turn } = &mut *inner;
            if *turn != state.turns {
                *turn = state.turns;
                service.collect(&mut state.shard);
            }
            lent.clear();
            while lent.len() < capacity
                && let Some(request) = service.next_request()
            {
                lent.push(request);
            }
            *len_out = lent.len();
            for (index, request) in lent.iter().enumerate() {
                // SAFETY: there are at most `capacity`, so this lies within the caller's array.
                let slot = unsafe { requests_out.add(index) };
                // SAFETY: within the caller's array.
                unsafe { slot.write(request.into()) };
            }
            Ok(())
        })
    })
}

/// Answers a request with `response`: head and body, HTTP/1.1, of any length. It is copied and leaves with the next turns, as the
/// front end takes it.
///
/// Errors: NULL_ARGUMENT; NOT_CONNECTED when nobody waits for it any more; CLOSED, WRONG_STATE, WRONG_THREAD, FORKED. The shard's
/// thread may call this.
///
/// # Safety
/// `service` is NULL or a live service; `request` is NULL or readable; `response` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_job_service_answer(
    service: *mut clc_job_service,
    request: *const clc_job_request,
    response: clc_bytes,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live service that is only shared, per the contract above.
        let service = unsafe { service.as_ref() }.ok_or_else(|| null("service"))?;
        // SAFETY: NULL or readable, per the contract above.
        let request = unsafe { request.as_ref() }.ok_or_else(|| null("request"))?;
        // SAFETY: the caller vouches for `len` readable bytes; the borrow ends with this call.
        let response = unsafe { response.as_slice("response") }?;
        let exchange = ExchangeId::from_wire(request.exchange);
        let id = JobId { connection: request.connection.into(), exchange };
        service.core.with_unclaimed(|state| {
            let mut inner = service.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.service.answer(&mut state.shard, id, response) {
                return Ok(());
            }
            Err(Error::new(Code::NotConnected, "nobody waits for an answer to this request any more"))
        })
    })
}

/// Frees a service; its endpoint goes on. NULL is fine. Any thread may call this.
///
/// # Safety
/// `service` is NULL or a service that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_job_service_free(service: *mut clc_job_service) {
    if service.is_null() {
        return;
    }
    boundary_quiet(|| {
        // SAFETY: made by `clc_job_service_new` and not freed before, per the contract above.
        drop(unsafe { Box::from_raw(service) });
        Result::Ok(())
    });
}

impl From<&Request> for clc_job_request {
    fn from(request: &Request) -> clc_job_request {
        clc_job_request {
            connection: request.id.connection.into(),
            exchange: request.id.exchange.to_wire(),
            is_head: u32::from(request.is_head),
            bytes: request.bytes[..].into(),
        }
    }
}

const REQUEST_BYTES_MAX: usize = 1 << 20;
const REQUESTS_MAX: usize = 4096;
