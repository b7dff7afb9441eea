//! The machine that decides when a back end is borrowed and when one is given back.

use crate::clc_status;
use crate::options::{self, Options, one_of, or};
use crate::status::{boundary, null};
use clustercore::proto::policy::{
    AddReason, BackendKey, ChildSample, Decision, LifecycleState, Load, Readings, RemoveReason, Sample,
    Scaler, ScalerConfig, Signal, Thresholds,
};
use clustercore::proto::time::Instant;
use clustercore::{Code, Error, Result};
use std::time::Duration;

/// What the load is measured by.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_signal {
    /// Requests in flight per core; 100 % is one request per core.
    InFlight = 0,
    /// CPU time used by the node, read from `reading_per_mille`; 100 % is all of its cores.
    Cpu = 1,
    /// Response time, read from `reading_per_mille`; 100 % is the service's target.
    Latency = 2,
}

/// What a scaler goes by. 0 means the default in every field but the first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_scaler_options {
    /// sizeof(clc_scaler_options)
    pub struct_size: usize,
    /// How long the reason to add must last, in nanoseconds; 1 for not at all.
    pub hold_ns_add: u64,
    /// How long the reason to remove must last, in nanoseconds; 1 for not at all.
    pub hold_ns_remove: u64,
    /// The least time between two decisions, in nanoseconds; 1 for none.
    pub cool_down_ns: u64,
    /// A clc_signal. With CLC_SIGNAL_LATENCY both thresholds must be given.
    pub signal: u32,
    /// From here on a load is Medium, in per cent.
    pub medium_percent: u32,
    /// From here on a load is High, in per cent.
    pub high_percent: u32,
    /// Back ends kept even when there is nothing to do (0).
    pub backends_min: u32,
    /// Back ends never exceeded (no limit).
    pub backends_max: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: C layout, the size first, integers only.
unsafe impl Options for clc_scaler_options {
    const NAME: &'static str = "clc_scaler_options";
}

/// Where a sampled back end stands. Only active ones take part in decisions.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_child_state {
    /// On the child list, gets requests.
    Active = 0,
    /// Its port does not answer yet. Count it in `starting` too.
    Starting = 1,
    /// Finishes what it has.
    Draining = 2,
    /// Health checks took it out.
    Ejected = 3,
}

/// One back end of the child list as sampled.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct clc_child_sample {
    /// Who it is: the number that a decision names.
    pub backend: u32,
    /// Requests sent to it and not yet answered.
    pub in_flight: u32,
    /// Cores of its node; 0 counts as 1.
    pub cores: u32,
    /// A clc_child_state.
    pub state: u32,
    /// The sample of a signal other than requests in flight, in per mille.
    pub reading_per_mille: u32,
    /// 0.
    pub reserved: u32,
}

/// One look at the front end and its child list.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_sample {
    /// sizeof(clc_sample)
    pub struct_size: usize,
    /// The child list in its order, which is the order of adding; NULL when `children_len` is 0.
    pub children: *const clc_child_sample,
    /// How many there are.
    pub children_len: usize,
    /// Requests in flight on the front end itself.
    pub local_in_flight: u32,
    /// Cores of the front end; 0 counts as 1.
    pub local_cores: u32,
    /// The sample of a signal other than requests in flight, in per mille.
    pub local_reading_per_mille: u32,
    /// Nodes that could be had now.
    pub pool_idle: u32,
    /// Back ends being started, on the child list or not.
    pub starting: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: C layout, the size first, integers and a pointer that may be NULL.
unsafe impl Options for clc_sample {
    const NAME: &'static str = "clc_sample";
}

/// What to do.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_decision_kind {
    /// Leave the list as it is.
    Nothing = 0,
    /// Borrow a back end and start the service there.
    Add = 1,
    /// Drain `backend` and give it back.
    Remove = 2,
}

/// Why.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_reason {
    /// Does not apply.
    None = 0,
    /// Add: the front end serves alone and is High.
    FrontEndHigh = 1,
    /// Add: every active back end is High.
    AllHigh = 2,
    /// Add: there are fewer than backends_min.
    BelowMinimum = 3,
    /// Remove: every active back end is Low and this one is idle.
    AllLow = 4,
    /// Remove: the only active back end is idle and the front end is Low.
    LastIdle = 5,
    /// Remove: there are more than backends_max.
    AboveMaximum = 6,
}

/// What to do, with the numbers that led to it; fields that do not apply are 0.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_decision {
    /// A clc_decision_kind.
    pub kind: u32,
    /// A clc_reason.
    pub reason: u32,
    /// The back end to remove.
    pub backend: u32,
    /// The load that decided, in per cent.
    pub percent: u32,
    /// The threshold that it was compared with, in per cent.
    pub threshold_percent: u32,
    /// Back ends active, or with a minimum or maximum: active or starting.
    pub count: u32,
    /// How long the reason has lasted, in nanoseconds.
    pub held_ns: u64,
    /// 0.
    pub reserved: [u64; 2],
}

/// Decides from a sequence of samples. Pure: it has no clock, no thread, and starts nothing. One thread at a time
/// may call it.
pub struct clc_scaler {
    inner: Scaler,
}

/// Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_scaler_options).
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_scaler_options_init(
    options: *mut clc_scaler_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        let config = ScalerConfig::default();
        let values = clc_scaler_options {
            hold_ns_add: config.hold_ns_add,
            hold_ns_remove: config.hold_ns_remove,
            cool_down_ns: config.cool_down_ns,
            medium_percent: config.thresholds.medium,
            high_percent: config.thresholds.high,
            backends_max: u32::MAX,
            ..clc_scaler_options::zeroed()
        };
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, values) }
    })
}

/// Makes a scaler that has seen nothing yet. `options` may be NULL for the defaults. Ends with clc_scaler_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, BAD_CONFIGURATION. Any thread may call this.
///
/// # Safety
/// `options` is NULL or a struct of the size that it says; `scaler_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_scaler_new(
    options: *const clc_scaler_options,
    scaler_out: *mut *mut clc_scaler,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options = unsafe { options::read(options) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { scaler_out.as_mut() }.ok_or_else(|| null("scaler_out"))?;
        let inner = Scaler::new(config(&options)?);
        *out = Box::into_raw(Box::new(clc_scaler { inner }));
        Ok(())
    })
}

/// Ends a scaler. NULL is fine. Any thread may call this.
///
/// # Safety
/// `scaler` is NULL or a scaler that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_scaler_free(scaler: *mut clc_scaler) {
    if !scaler.is_null() {
        // SAFETY: made by `clc_scaler_new` and not freed before, per the contract above.
        drop(unsafe { Box::from_raw(scaler) });
    }
}

/// Looks at one sample. `now_ns` is the time on any clock that never goes back, in nanoseconds. The caller carries a
/// decision out, or not, and samples on; one that could not be carried out comes again after the cool-down.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT. One thread at a time may call this.
///
/// # Safety
/// `scaler` is NULL or a live scaler that no other thread uses now; `sample` is NULL or a struct of the size that
/// it says with as many children as it says; `decision_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_scaler_step(
    scaler: *mut clc_scaler,
    now_ns: u64,
    sample: *const clc_sample,
    decision_out: *mut clc_decision,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live scaler that is ours alone during this call, per the contract above.
        let scaler = unsafe { scaler.as_mut() }.ok_or_else(|| null("scaler"))?;
        if sample.is_null() {
            return Err(null("sample"));
        }
        // SAFETY: a struct of the size that it says, per the contract above.
        let sample = unsafe { options::read(sample) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { decision_out.as_mut() }.ok_or_else(|| null("decision_out"))?;
        let children = if sample.children_len == 0 {
            &[]
        } else if sample.children.is_null() {
            return Err(null("children"));
        } else {
            // SAFETY: the caller vouches for that many readable structs; the borrow ends with this call.
            unsafe { std::slice::from_raw_parts(sample.children, sample.children_len) }
        };
        *out = step(&mut scaler.inner, now_ns, &sample, children)?;
        Ok(())
    })
}

/// How many decisions to add or remove a scaler has taken: the number of reconfigurations. 0 for NULL. One thread at a
/// time may call this.
///
/// # Safety
/// `scaler` is NULL or a live scaler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_scaler_decisions(scaler: *const clc_scaler) -> u64 {
    // SAFETY: NULL or a live scaler that nobody changes now, per the contract above.
    unsafe { scaler.as_ref() }.map_or(0, |scaler| scaler.inner.decisions())
}

/// A clc_signal and its thresholds, where 0 means the signal's default.
///
/// Errors: `InvalidArgument`: no such signal, or one that has no defaults.
pub(crate) fn signal_and_thresholds(
    signal: u32,
    medium_percent: u32,
    high_percent: u32,
) -> Result<(Signal, Thresholds)> {
    let signal = one_of("signal", signal, &[Signal::InFlight, Signal::Cpu, Signal::Latency])?;
    let default = match signal.thresholds() {
        Some(default) => default,
        None if medium_percent != 0 && high_percent != 0 => Thresholds { medium: 0, high: 0 },
        None => {
            let text = "medium_percent and high_percent must be given with CLC_SIGNAL_LATENCY";
            return Err(Error::new(Code::InvalidArgument, text));
        }
    };
    let thresholds =
        Thresholds { medium: or(medium_percent, default.medium), high: or(high_percent, default.high) };
    Ok((signal, thresholds))
}

fn config(options: &clc_scaler_options) -> Result<ScalerConfig> {
    let default = ScalerConfig::default();
    let (signal, thresholds) =
        signal_and_thresholds(options.signal, options.medium_percent, options.high_percent)?;
    let (backends_min, backends_max) =
        (options.backends_min as usize, or(options.backends_max, u32::MAX) as usize);
    let bad = |text: String| Err(Error::new(Code::BadConfiguration, text));
    if thresholds.medium > thresholds.high {
        return bad(format!(
            "medium_percent is {}, above high_percent {}",
            thresholds.medium, thresholds.high
        ));
    }
    if backends_min > backends_max {
        return bad(format!("backends_min is {backends_min}, above backends_max {backends_max}"));
    }
    Ok(ScalerConfig {
        thresholds,
        signal,
        hold_ns_add: or(options.hold_ns_add, default.hold_ns_add),
        hold_ns_remove: or(options.hold_ns_remove, default.hold_ns_remove),
        cool_down_ns: or(options.cool_down_ns, default.cool_down_ns),
        backends_min,
        backends_max,
    })
}

fn step(
    scaler: &mut Scaler,
    now_ns: u64,
    sample: &clc_sample,
    children: &[clc_child_sample],
) -> Result<clc_decision> {
    use LifecycleState as State;
    let states = [State::Active, State::Starting, State::Draining, State::Ejected];
    let load = |in_flight, cores| Load { in_flight, cores, weight: 1 };
    let samples: Result<Vec<ChildSample>> = children
        .iter()
        .map(|child| {
            Ok(ChildSample {
                key: BackendKey(child.backend),
                load: load(child.in_flight, child.cores),
                state: one_of("state", child.state, &states)?,
            })
        })
        .collect();
    let readings: Vec<u32> = children.iter().map(|child| child.reading_per_mille).collect();
    let local_per_mille = sample.local_reading_per_mille;
    let readings = Readings { local_per_mille, children_per_mille: &readings };
    let sample = Sample {
        local: load(sample.local_in_flight, sample.local_cores),
        children: &samples?,
        pool_idle: sample.pool_idle as usize,
        starting: sample.starting as usize,
    };
    Ok(decision(scaler.step_with(Instant::from_nanos(now_ns), &sample, &readings)))
}

fn decision(decision: Decision) -> clc_decision {
    let because =
        |reason: clc_reason, percent, threshold_percent, count: usize, held: Duration| clc_decision {
            reason: reason as u32,
            percent,
            threshold_percent,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            held_ns: u64::try_from(held.as_nanos()).unwrap_or(u64::MAX),
            ..clc_decision::default()
        };
    let now = Duration::ZERO;
    match decision {
        Decision::Nothing => clc_decision::default(),
        Decision::Add { reason } => {
            let because = match reason {
                AddReason::FrontEndHigh { percent, threshold, held } => {
                    because(clc_reason::FrontEndHigh, percent, threshold, 0, held)
                }
                AddReason::AllHigh { active, percent_min, threshold, held } => {
                    because(clc_reason::AllHigh, percent_min, threshold, active, held)
                }
                AddReason::BelowMinimum { count, .. } => because(clc_reason::BelowMinimum, 0, 0, count, now),
            };
            clc_decision { kind: clc_decision_kind::Add as u32, ..because }
        }
        Decision::Remove { key, reason } => {
            let because = match reason {
                RemoveReason::AllLow { active, percent_max, threshold, held } => {
                    because(clc_reason::AllLow, percent_max, threshold, active, held)
                }
                RemoveReason::LastIdle { local_percent, threshold, held } => {
                    because(clc_reason::LastIdle, local_percent, threshold, 1, held)
                }
                RemoveReason::AboveMaximum { count, .. } => {
                    because(clc_reason::AboveMaximum, 0, 0, count, now)
                }
            };
            clc_decision { kind: clc_decision_kind::Remove as u32, backend: key.0, ..because }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_fixed() {
        assert_eq!(size_of::<clc_decision>(), 48);
        assert_eq!(size_of::<clc_child_sample>(), 24);
        assert_eq!(size_of::<clc_sample>(), 48);
    }

    #[test]
    fn zero_is_the_default() {
        let config = config(&clc_scaler_options::zeroed()).unwrap();
        let default = ScalerConfig::default();
        assert_eq!(ScalerConfig { backends_max: usize::MAX, ..config }, default);
        assert_eq!(config.backends_max, u32::MAX as usize);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let options = clc_scaler_options { medium_percent: 900, ..clc_scaler_options::zeroed() };
        assert_eq!(config(&options).unwrap_err().code(), Code::BadConfiguration);
        let options = clc_scaler_options { backends_min: 3, backends_max: 2, ..clc_scaler_options::zeroed() };
        assert_eq!(config(&options).unwrap_err().to_string(), "backends_min is 3, above backends_max 2");
    }
}
