//! A shard, for a program with a loop of its own.

use crate::connection_event::ConnectionNews;
use crate::event::record;
use crate::fork::Birth;
use crate::log::{Sink, clc_log_sink};
use crate::message::Cursor;
use crate::options;
use crate::shard_options::driver_config;
use crate::status::{boundary, boundary_quiet, boundary_value, null};
use crate::text::c_string;
use crate::{clc_event, clc_shard_options, clc_status};
use clustercore::io::Waker;
use clustercore::log::{LogLevel, LogRecord};
use clustercore::proto::datagram::MessageClaim;
use clustercore::{Code, EndpointId, Error, Result, Shard};
use std::collections::VecDeque;
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::thread::ThreadId;
use std::time::Duration;

/// A shard: one ring, one loop. It belongs to the thread of its first turn: from then on other threads get
/// WRONG_THREAD, except where a function says that any thread may call it. Before that it may be handed from
/// thread to thread, one at a time. Has no threads of its own.
pub struct clc_shard {
    core: Arc<ShardCore>,
    report: CString,
}

/// What the handle shares with the handles of its forwarders.
pub(crate) struct ShardCore {
    birth: Birth,
    owner: OnceLock<ThreadId>,
    fd: c_int,
    waker: Waker,
    /// `None` once the shard is freed. Never waited for: whoever finds it taken is on a wrong thread.
    state: Mutex<Option<State>>,
}

pub(crate) struct State {
    pub shard: Shard,
    events: VecDeque<clc_event>,
    lost: u64,
    sink: Option<Sink>,
    /// Of what the last turn has brought, how much was taken.
    pub cursor: Cursor,
    /// Turns so far: what one has brought is taken once.
    pub turns: u64,
    pub news: ConnectionNews,
    /// A message that is being written in place.
    pub claim: Option<(EndpointId, MessageClaim)>,
}

impl ShardCore {
    /// Does something with the shard.
    ///
    /// Errors: `Forked`, `WrongThread`, `Closed`; `Panic` after one.
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        self.birth.check()?;
        if self.owner.get().is_some_and(|owner| *owner != std::thread::current().id()) {
            return Err(wrong_thread());
        }
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::WouldBlock) => return Err(wrong_thread()),
            Err(TryLockError::Poisoned(_)) => {
                let text = "an earlier call on this shard met a defect in clustercore; free the shard";
                return Err(Error::new(Code::Panic, text));
            }
        };
        act(state.as_mut().ok_or_else(|| Error::new(Code::Closed, "the shard was freed"))?)
    }

    /// As `with`, for what must not come between a claim and its end.
    ///
    /// Errors: `WrongState`, and those of `with`.
    pub fn with_unclaimed<T>(&self, act: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        self.with(|state| match &state.claim {
            Some((endpoint, _)) => {
                let text =
                    format!("a message of endpoint {endpoint} is being written in place: commit it first");
                Err(Error::new(Code::WrongState, text))
            }
            None => act(state),
        })
    }

    /// Turns, then tells the sink, which may call the library again.
    fn turn(&self, turn: impl FnOnce(&mut Shard) -> Result<()>) -> Result<()> {
        self.birth.check()?;
        self.owner.get_or_init(|| std::thread::current().id());
        let (result, sink, records) = self.with_unclaimed(|state| {
            state.cursor = Cursor::default();
            state.turns += 1;
            let result = turn(&mut state.shard);
            Ok((result, state.sink, state.collect()))
        })?;
        if let Some(sink) = sink {
            sink.tell(records);
        }
        result
    }
}

impl State {
    /// Takes what a turn has brought: events wait in a bounded list, records are for the sink.
    fn collect(&mut self) -> Vec<LogRecord> {
        let told = self.sink.is_some();
        // Without a sink records wait in the shard, which bounds them, for one that comes later.
        let mut records = if told { self.shard.take_logs() } else { Vec::new() };
        self.shard.take_woken();
        for (id, event) in self.shard.events() {
            if told {
                records.push(record(id, &event));
            }
            if self.events.len() == EVENTS_MAX {
                self.events.pop_front();
                self.lost += 1;
            }
            self.events.push_back(clc_event::new(id, &event));
        }
        if told && self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            let text = format!("{lost} events were lost: nobody took them (limit {EVENTS_MAX})");
            records.push(LogRecord { level: LogLevel::Warn, text });
        }
        records
    }
}

/// Makes a shard. `options` may be NULL for the defaults. Ends with clc_shard_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, IO_URING_FORBIDDEN, UNSUPPORTED_KERNEL,
/// OUT_OF_MEMORY, DESCRIPTORS_EXHAUSTED. Any thread may call this.
///
/// # Safety
/// `options` is NULL or a struct of the size that it says; `shard_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_new(
    options: *const clc_shard_options,
    shard_out: *mut *mut clc_shard,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options = unsafe { options::read(options) }?;
        if shard_out.is_null() {
            return Err(null("shard_out"));
        }
        let (choice, config) = driver_config(&options)?;
        let shard = Shard::builder().driver(choice).config(config).seed(options.seed).build()?;
        let handle = Box::into_raw(Box::new(clc_shard::new(shard)?));
        // SAFETY: not NULL, and the caller vouches that it can be written.
        unsafe { shard_out.write(handle) };
        Ok(())
    })
}

impl clc_shard {
    fn new(shard: Shard) -> Result<clc_shard> {
        let report = c_string(shard.driver_report());
        let fd = shard.fd().ok_or(Error::from(Code::Internal))?;
        let waker = shard.waker().ok_or(Error::from(Code::Internal))?;
        let state = State {
            shard,
            events: VecDeque::new(),
            lost: 0,
            sink: None,
            cursor: Cursor::default(),
            turns: 0,
            news: ConnectionNews::default(),
            claim: None,
        };
        let core = ShardCore {
            birth: Birth::here(),
            owner: OnceLock::new(),
            fd,
            waker,
            state: Mutex::new(Some(state)),
        };
        Ok(clc_shard { core: Arc::new(core), report })
    }

    pub(crate) fn core(&self) -> &Arc<ShardCore> {
        &self.core
    }
}

/// Ends a shard with all its forwarders, endpoints, sockets and connections. NULL is fine. Their handles stay valid,
/// answer CLOSED and must be freed too.
///
/// The shard's thread may call this. So may another one when the shard's thread no longer uses it; but once the shard
/// has turned, the kernel may then keep buffers of it, which are lost to the process. A child of fork only forgets it.
///
/// # Safety
/// `shard` is NULL or a shard that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_free(shard: *mut clc_shard) {
    if shard.is_null() {
        return;
    }
    boundary_quiet(|| {
        // SAFETY: made by `clc_shard_new` and not freed before, per the contract above.
        let shard = unsafe { Box::from_raw(shard) };
        if let Err(error) = shard.core.birth.check() {
            // The ring is not mapped here and belongs to the parent.
            std::mem::forget(shard);
            return Err(error);
        }
        let mut state = shard.core.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        drop(state.take());
        Ok(())
    });
}

/// A descriptor that is readable (EPOLLIN, POLLIN) when clc_shard_turn has something to do. It stays the same and
/// stays the shard's: do not read it, do not close it. Negative: a clc_status.
///
/// Any thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_fd(shard: *const clc_shard) -> c_int {
    boundary_value(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        shard.core.birth.check()?;
        Ok(shard.core.fd)
    })
}

/// How long the descriptor may be waited for before clc_shard_turn has something to do anyway, in nanoseconds;
/// 0: turn now; -1: no limit. Ask after each turn.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard; `timeout_ns_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_next_timeout_ns(
    shard: *const clc_shard,
    timeout_ns_out: *mut i64,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { timeout_ns_out.as_mut() }.ok_or_else(|| null("timeout_ns_out"))?;
        let timeout = shard.core.with(|state| {
            // Events that nobody has taken yet are something to do.
            let is_read = state.events.is_empty() && state.news.is_empty();
            Ok(if is_read { state.shard.next_timeout() } else { Some(Duration::ZERO) })
        })?;
        *out = timeout.map_or(-1, |timeout| i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX));
        Ok(())
    })
}

/// Does all there is to do now, without waiting. The first turn binds the shard to the calling thread. Log records
/// go to the sink from within this call; events wait for clc_shard_events.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED; IO when the driver can go no further; WRONG_STATE between
/// clc_endpoint_claim and clc_endpoint_commit. The shard's thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_turn(shard: *mut clc_shard) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        // A reference of its own: the sink may free the handle.
        let core = Arc::clone(&shard.core);
        core.turn(Shard::turn)
    })
}

/// As clc_shard_turn, but first waits for at most `timeout_ns` nanoseconds (negative: no limit) until there is
/// something to do: for a thread with no loop of its own. What it produces is sent by the next turn.
///
/// Errors: as clc_shard_turn. The shard's thread may call this; clc_shard_wake ends the wait.
///
/// # Safety
/// `shard` is NULL or a live shard.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_turn_for(shard: *mut clc_shard, timeout_ns: i64) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        let core = Arc::clone(&shard.core);
        core.turn(|shard| shard.turn_for(crate::node::wait(timeout_ns)))
    })
}

/// Ends the present or the next wait of the shard. Any thread may call this.
///
/// Errors: NULL_ARGUMENT, FORKED.
///
/// # Safety
/// `shard` is NULL or a live shard.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_wake(shard: *const clc_shard) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        shard.core.birth.check()?;
        shard.core.waker.wake();
        Ok(())
    })
}

/// Takes the events since the last call, oldest first, at most `capacity` of them; call again while it fills the
/// array. They are copies and hold no memory. Beyond 4096 that nobody took the oldest are lost; the log says so.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard; `events_out` is NULL or has room for `capacity` events; `events_len_out` is
/// NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_events(
    shard: *mut clc_shard,
    events_out: *mut clc_event,
    capacity: usize,
    events_len_out: *mut usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        if events_out.is_null() {
            return Err(null("events_out"));
        }
        // SAFETY: NULL or writable, per the contract above.
        let len_out = unsafe { events_len_out.as_mut() }.ok_or_else(|| null("events_len_out"))?;
        shard.core.with(|state| {
            let len = state.events.len().min(capacity);
            for (index, event) in state.events.drain(..len).enumerate() {
                // SAFETY: `index` is below `capacity`, so this lies within the caller's array.
                let slot = unsafe { events_out.add(index) };
                // SAFETY: within the caller's array.
                unsafe { slot.write(event) };
            }
            *len_out = len;
            Ok(())
        })
    })
}

/// Sets where log records go; NULL: nowhere. `user` is given to each call. Records from before, up to 256, come with
/// the next turn.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard; `sink` may be called with `user` until another is set or the shard is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_set_log_sink(
    shard: *mut clc_shard,
    sink: clc_log_sink,
    user: *mut c_void,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        shard.core.with(|state| {
            state.sink = Sink::new(sink, user);
            Ok(())
        })
    })
}

/// Which driver and features run, and why: "uring: multishot_accept, ...". Valid as long as the shard; NULL for
/// NULL. Any thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_driver_report(shard: *const clc_shard) -> *const c_char {
    // SAFETY: NULL or a live shard that is only shared, per the contract above.
    unsafe { shard.as_ref() }.map_or(std::ptr::null(), |shard| shard.report.as_ptr())
}

fn wrong_thread() -> Error {
    Error::new(
        Code::WrongThread,
        "the shard belongs to the thread of its first turn; use a node to be called from any thread",
    )
}

/// Events that wait to be taken.
const EVENTS_MAX: usize = 4096;
