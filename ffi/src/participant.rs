//! Participants of event channels: suppliers, consumers, administrators.

use crate::channel::{DRIVERS, secret};
use crate::channel_event::{Lent, clc_channel_event, slice};
use crate::clc_status;
use crate::options::{self, one_of};
use crate::owned::Owned;
use crate::participant_options::{clc_participant_options, link};
use crate::status::{boundary, boundary_quiet, boundary_value, null};
use crate::text::{c_string, optional, required};
use clustercore::channel::Participant;
use clustercore::channel::engine::EventLimits;
use clustercore::channel::engine::participant::SupplyConfig;
use clustercore::security::{Access, Mode};
use clustercore::{Code, Error, Result};
use std::ffi::{CString, c_char, c_int};
use std::time::Duration;

/// Speaks to one server of event channels (docs/channel.md). When its link is lost it makes another by itself and goes on: what it supplies and
/// consumes is opened again, and what was not taken is sent again. It belongs to the thread of its first turn: others get WRONG_THREAD then.
pub struct clc_participant {
    owned: Owned<State>,
}

pub(crate) struct State {
    pub participant: Participant,
    /// Our own key.
    security: Option<Mode>,
    pub lent: Lent,
    /// Of the news that the caller has.
    pub words: Vec<CString>,
    answer: CString,
}

/// Makes a participant that begins to connect to `url`: `tcp://127.0.0.1:7000`, `udp://127.0.0.1:7000` for reliable datagrams, or
/// `rpc://127.0.0.1:7000` for a remote call. `options` may be NULL. Ends with clc_participant_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, INSECURE_ADDRESS, BAD_KEY, BAD_CONFIGURATION (a key, and TCP), NO_KEY (a key of
/// ours, and none of the server's), IO_URING_FORBIDDEN, UNSUPPORTED_KERNEL,
/// DESCRIPTORS_EXHAUSTED, OUT_OF_MEMORY. Any thread may call this.
///
/// # Safety
/// `url` is NULL or NUL-terminated; `options` is NULL or a struct of the size that it says, its texts NULL or NUL-terminated;
/// `participant_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_new(
    url: *const c_char,
    options: *const clc_participant_options,
    participant_out: *mut *mut clc_participant,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options: clc_participant_options = unsafe { options::read(options) }?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let link = unsafe { link(url, options.server_key) }?;
        // SAFETY: as above.
        let security = unsafe { secret("private_key", options.private_key, Access::Any) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { participant_out.as_mut() }.ok_or_else(|| null("participant_out"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let config = unsafe { options.config() }?;
        let driver = one_of("driver", options.driver, &DRIVERS)?;
        let insecure = options.insecure != 0;
        let spin = Duration::from_nanos(options.spin_ns);
        let participant = Participant::open(driver, spin, link, security.clone(), insecure, config)?;
        let state = State {
            participant,
            security,
            lent: Lent::default(),
            words: Vec::new(),
            answer: CString::default(),
        };
        *out = Box::into_raw(Box::new(clc_participant { owned: Owned::new(state) }));
        Ok(())
    })
}

/// Exchanges the link for one to `url`, of another kind perhaps, while events flow: nothing that was emitted is lost. To a server without a key;
/// clc_participant_relink_keyed goes to others.
///
/// Errors: as clc_participant_relink_keyed.
///
/// # Safety
/// `participant` is NULL or a live participant; `url` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_relink(
    participant: *mut clc_participant,
    url: *const c_char,
) -> clc_status {
    // SAFETY: the same contract.
    unsafe { clc_participant_relink_keyed(participant, url, std::ptr::null()) }
}

/// As clc_participant_relink, to a server that must have the public key `server_key`; NULL: none. Our own key is that of the options.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, INSECURE_ADDRESS, BAD_KEY, BAD_CONFIGURATION (a key, and TCP), NO_KEY (a key of ours, and none of
/// the server's), DESCRIPTORS_EXHAUSTED, WRONG_THREAD, FORKED; the link is then the one before. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant; `url` and `server_key` are NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_relink_keyed(
    participant: *mut clc_participant,
    url: *const c_char,
    server_key: *const c_char,
) -> clc_status {
    // SAFETY: NULL or NUL-terminated, per the contract above.
    let link = || unsafe { link(url, server_key) };
    // SAFETY: the same contract.
    unsafe { act(participant, |state| state.participant.relink(link()?, state.security.clone())) }
}

/// Becomes a supplier of `spec`: members of a JSON object (docs/protocol/channel.md), `"channel":"load"` for example; NULL for the default
/// channel. `is_patient` 1: what the server refuses for now is sent again until it is taken; 0: it is told and dropped. When the server refuses the
/// supplier itself, news of the kind Gone say why.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant; `spec` is NULL or NUL-terminated; `handle_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_supply(
    participant: *mut clc_participant,
    spec: *const c_char,
    is_patient: c_int,
    handle_out: *mut u64,
) -> clc_status {
    // SAFETY: NULL or NUL-terminated, per the contract above.
    let spec = || unsafe { optional("spec", spec) };
    let config = SupplyConfig { is_patient: is_patient != 0, ..SupplyConfig::default() };
    // SAFETY: the same contract.
    unsafe { open(participant, handle_out, |it| Ok(it.supply(spec()?.unwrap_or_default(), config))) }
}

/// Becomes a consumer of `spec`: members of a JSON object (docs/protocol/channel.md), `"channel":"load","spec":{"filter":"load > 5"}` for example; NULL for
/// everything of the default channel. When the server refuses, news of the kind Gone say why.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant; `spec` is NULL or NUL-terminated; `handle_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_consume(
    participant: *mut clc_participant,
    spec: *const c_char,
    handle_out: *mut u64,
) -> clc_status {
    // SAFETY: NULL or NUL-terminated, per the contract above.
    let spec = || unsafe { optional("spec", spec) };
    // SAFETY: the same contract.
    unsafe { open(participant, handle_out, |it| Ok(it.consume(spec()?.unwrap_or_default()))) }
}

/// Gives a supplier or a consumer up, with what waits of it. One that is not there is left alone.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_close(participant: *mut clc_participant, handle: u64) -> clc_status {
    // SAFETY: the same contract.
    unsafe {
        act(participant, |state| {
            state.participant.close(handle);
            Ok(())
        })
    }
}

/// Emits events as the supplier `handle`; `*taken_out` is how many were taken up, from the first on. They are copied and leave with the next turn.
///
/// Errors: NULL_ARGUMENT; WOULD_BLOCK: none was, because as many wait for the server as may: turn and try again; INVALID_ARGUMENT: no such
/// supplier, or an event that cannot be, and none was taken; WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant; `events` has `events_len` readable ones, whose texts, bodies and fields are readable;
/// `taken_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_emit(
    participant: *mut clc_participant,
    handle: u64,
    events: *const clc_channel_event,
    events_len: usize,
    taken_out: *mut usize,
) -> clc_status {
    let emit = |state: &mut State| {
        // SAFETY: NULL or as many readable events as said, per the contract above.
        let events = unsafe { slice("events", events, events_len) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { taken_out.as_mut() }.ok_or_else(|| null("taken_out"))?;
        let waiting = state.participant.untaken(handle)?;
        // One more than there is room for makes the words to WOULD_BLOCK.
        let room = SupplyConfig::default().waiting_max.saturating_sub(waiting).max(1);
        let limits = EventLimits::default();
        let events = events.iter().take(room).enumerate().map(|(index, event)| {
            // SAFETY: what it points to is readable, per the contract above.
            let event = unsafe { event.to_event(&limits) };
            event.map_err(|error| Error::new(error.code(), format!("event {index}: {error}")))
        });
        *out = state.participant.emit(handle, &events.collect::<Result<Vec<_>>>()?)?;
        Ok(())
    };
    // SAFETY: the same contract.
    unsafe { act(participant, emit) }
}

/// How many events of a supplier the server has not taken yet: 0 when all have arrived.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT (no such supplier), WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant; `count_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_untaken(
    participant: *mut clc_participant,
    handle: u64,
    count_out: *mut usize,
) -> clc_status {
    let count = |state: &mut State| {
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { count_out.as_mut() }.ok_or_else(|| null("count_out"))?;
        *out = state.participant.untaken(handle)?;
        Ok(())
    };
    // SAFETY: the same contract.
    unsafe { act(participant, count) }
}

/// Asks the server something, a JSON object with `op` (docs/protocol/channel.md), and waits for the answer: a JSON object, lent until the next
/// clc_participant_ask on this participant, or its end. Turns the participant while it waits.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, TIMEOUT; CALL_FAILED: the server refuses, in its words, or the link was lost; WRONG_THREAD, FORKED, IO.
/// The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant; `json` is NULL or NUL-terminated; `answer_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_ask(
    participant: *mut clc_participant,
    json: *const c_char,
    timeout_ns: u64,
    answer_out: *mut *const c_char,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live participant that is only shared, per the contract above.
        let participant = unsafe { participant.as_ref() }.ok_or_else(|| null("participant"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let json = unsafe { required("json", json) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { answer_out.as_mut() }.ok_or_else(|| null("answer_out"))?;
        let timeout = Duration::from_nanos(timeout_ns).min(ASK_MAX);
        participant.owned.turn(|state| {
            state.answer = c_string(state.participant.ask(json, timeout)?);
            *out = state.answer.as_ptr();
            Ok(())
        })
    })
}

/// Does what there is to do; waits for at most `timeout_ns` when there is nothing, CLC_NEVER_NS: until something happens.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED, IO.
///
/// # Safety
/// `participant` is NULL or a live participant.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_turn(
    participant: *mut clc_participant,
    timeout_ns: u64,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live participant that is only shared, per the contract above.
        let participant = unsafe { participant.as_ref() }.ok_or_else(|| null("participant"))?;
        let timeout = (timeout_ns != u64::MAX).then(|| Duration::from_nanos(timeout_ns));
        participant.owned.turn(|state| state.participant.turn_for(timeout))
    })
}

/// 1 when the link is there, else 0.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_is_linked(participant: *const clc_participant) -> c_int {
    boundary_value(|| {
        // SAFETY: NULL or a live participant that is only shared, per the contract above.
        let participant = unsafe { participant.as_ref() }.ok_or_else(|| null("participant"))?;
        participant.owned.with(|state| Ok(c_int::from(state.participant.is_linked())))
    })
}

/// A descriptor that is readable when clc_participant_turn has something to do.
///
/// Errors: NULL_ARGUMENT, NOT_SUPPORTED, WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_fd(participant: *const clc_participant) -> c_int {
    boundary_value(|| {
        // SAFETY: NULL or a live participant that is only shared, per the contract above.
        let participant = unsafe { participant.as_ref() }.ok_or_else(|| null("participant"))?;
        participant.owned.with(|state| state.participant.fd().ok_or_else(|| Error::from(Code::NotSupported)))
    })
}

/// How long the descriptor may be waited for before a turn is due all the same, in nanoseconds; UINT64_MAX: for ever. 0 for NULL and on a
/// wrong thread.
///
/// # Safety
/// `participant` is NULL or a live participant.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_next_timeout_ns(participant: *const clc_participant) -> u64 {
    // SAFETY: NULL or a live participant that is only shared, per the contract above.
    let Some(participant) = (unsafe { participant.as_ref() }) else { return 0 };
    let mut next = Some(Duration::ZERO);
    boundary_quiet(|| {
        next = participant.owned.with(|state| Ok(state.participant.next_timeout()))?;
        Ok(())
    });
    next.map_or(u64::MAX, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
}

/// Ends a participant; what the server has not taken (clc_participant_untaken) may be lost. NULL is fine. To be called by the thread that has
/// turned it: freed by another, what the kernel has in hand stays allocated.
///
/// # Safety
/// `participant` is NULL or a participant that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_free(participant: *mut clc_participant) {
    if participant.is_null() {
        return;
    }
    boundary_quiet(|| {
        // SAFETY: made by `clc_participant_new` and not freed before, per the contract above.
        unsafe { Box::from_raw(participant) }.owned.end();
        Ok(())
    });
}

impl clc_participant {
    pub(crate) fn owned(&self) -> &Owned<State> {
        &self.owned
    }
}

/// # Safety
/// `participant` is NULL or a live participant.
pub(crate) unsafe fn act(
    participant: *const clc_participant,
    act: impl FnOnce(&mut State) -> Result<()>,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live participant that is only shared, per the contract.
        let participant = unsafe { participant.as_ref() }.ok_or_else(|| null("participant"))?;
        participant.owned.with(act)
    })
}

/// # Safety
/// `participant` is NULL or a live participant; `handle_out` is NULL or writable.
unsafe fn open(
    participant: *const clc_participant,
    handle_out: *mut u64,
    open: impl FnOnce(&mut Participant) -> Result<u64>,
) -> clc_status {
    let act_on = |state: &mut State| {
        // SAFETY: NULL or writable, per the contract.
        let out = unsafe { handle_out.as_mut() }.ok_or_else(|| null("handle_out"))?;
        *out = open(&mut state.participant)?;
        Ok(())
    };
    // SAFETY: the same contract.
    unsafe { act(participant, act_on) }
}

/// A time that can be added to any other: ten years.
const ASK_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);
