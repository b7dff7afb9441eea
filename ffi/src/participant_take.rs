//! What consumers of event channels do with events: take, acknowledge, reject, pull.

use crate::channel_event::{clc_channel_delivery, slice, to_delivery};
use crate::clc_status;
use crate::participant::{State, act, clc_participant};
use crate::status::null;
use std::ffi::c_int;

/// Takes the events that have come for all consumers, at most `capacity` of them. They are lent until the next clc_participant_take on this
/// participant, or its end. Call it after each turn, and again while it fills the array.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant; `deliveries_out` is NULL or has room for `capacity` of them; `deliveries_len_out` is NULL or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_take(
    participant: *mut clc_participant,
    deliveries_out: *mut clc_channel_delivery,
    capacity: usize,
    deliveries_len_out: *mut usize,
) -> clc_status {
    let take = |state: &mut State| {
        if deliveries_out.is_null() {
            return Err(null("deliveries_out"));
        }
        // SAFETY: NULL or writable, per the contract above.
        let len_out = unsafe { deliveries_len_out.as_mut() }.ok_or_else(|| null("deliveries_len_out"))?;
        state.lent.fill(capacity, || state.participant.take());
        let deliveries = state.lent.deliveries();
        *len_out = deliveries.len();
        for (index, delivery) in deliveries.enumerate() {
            // SAFETY: there are at most `capacity`, so this lies within the caller's array.
            let slot = unsafe { deliveries_out.add(index) };
            // SAFETY: within the caller's array.
            unsafe { slot.write(delivery) };
        }
        Ok(())
    };
    // SAFETY: the same contract.
    unsafe { act(participant, take) }
}

/// Done with these deliveries of the consumer `handle`: they do not come again. Leaves with the next turn.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant; `deliveries` has `deliveries_len` readable ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_acknowledge(
    participant: *mut clc_participant,
    handle: u64,
    deliveries: *const u64,
    deliveries_len: usize,
) -> clc_status {
    let acknowledge = |state: &mut State| {
        // SAFETY: NULL or as many as said, per the contract above.
        let deliveries = unsafe { slice("deliveries", deliveries, deliveries_len) }?;
        let deliveries: Vec<_> = deliveries.iter().copied().map(to_delivery).collect();
        state.participant.machine().acknowledge(handle, &deliveries);
        Ok(())
    };
    // SAFETY: the same contract.
    unsafe { act(participant, acknowledge) }
}

/// Could not deal with these deliveries of the consumer `handle`; `is_for_good` 1: nobody is to try again, 0: they come again. Leaves with the
/// next turn.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// As clc_participant_acknowledge.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_reject(
    participant: *mut clc_participant,
    handle: u64,
    deliveries: *const u64,
    deliveries_len: usize,
    is_for_good: c_int,
) -> clc_status {
    let reject = |state: &mut State| {
        // SAFETY: NULL or as many as said, per the contract above.
        let deliveries = unsafe { slice("deliveries", deliveries, deliveries_len) }?;
        let deliveries: Vec<_> = deliveries.iter().copied().map(to_delivery).collect();
        state.participant.machine().reject(handle, &deliveries, is_for_good != 0);
        Ok(())
    };
    // SAFETY: the same contract.
    unsafe { act(participant, reject) }
}

/// Asks for events of a consumer in pull mode: those that are there, `events_max` at most. When there are none, news of the kind Readable tell
/// as soon as there are some. Leaves with the next turn; without a link it is forgotten.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_pull(
    participant: *mut clc_participant,
    handle: u64,
    events_max: u32,
) -> clc_status {
    // SAFETY: the same contract.
    unsafe {
        act(participant, |state| {
            state.participant.machine().pull(handle, events_max);
            Ok(())
        })
    }
}
