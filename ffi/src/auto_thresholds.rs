//! Thresholds learnt from response time against concurrency.

use crate::clc_status;
use crate::options::{self, Options, or};
use crate::status::{boundary, null};
use clustercore::proto::policy::{AutoConfig, AutoThresholds, Thresholds};
use clustercore::proto::time::{Instant, nanos};
use clustercore::{Code, Error, Result};
use std::time::Duration;

/// How the learning goes. 0 means the default in every field but the first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_auto_thresholds_options {
    /// sizeof(clc_auto_thresholds_options)
    pub struct_size: usize,
    /// An average that was not renewed for so long no longer counts, in nanoseconds (10 min).
    pub forget_after_ns: u64,
    /// Where Medium begins until something has been learnt, in per cent as in clc_scaler_options.
    pub medium_percent: u32,
    /// Where High begins until something has been learnt, in per cent as in clc_scaler_options.
    pub high_percent: u32,
    /// Cores of the server that is observed (1).
    pub cores: u32,
    /// Response time up to which a server counts as unburdened, in per cent of the least time (135): Medium is there.
    pub knee_ratio_percent: u32,
    /// Response time from which on a server counts as High, in per cent of the least time (300).
    pub high_ratio_percent: u32,
    /// Observations that a concurrency must have before its average counts (50).
    pub samples_min: u32,
}

// SAFETY: C layout, the size first, integers only.
unsafe impl Options for clc_auto_thresholds_options {
    const NAME: &'static str = "clc_auto_thresholds_options";
}

/// Learns where Medium and High begin from response times against requests in flight. Pure: it has no clock and no thread.
/// One thread at a time may call it.
pub struct clc_auto_thresholds {
    inner: AutoThresholds,
}

/// Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_auto_thresholds_options).
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_auto_thresholds_options_init(
    options: *mut clc_auto_thresholds_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        let config = AutoConfig::default();
        let values = clc_auto_thresholds_options {
            forget_after_ns: nanos(config.forget_after),
            medium_percent: config.start.medium,
            high_percent: config.start.high,
            cores: config.cores,
            knee_ratio_percent: config.knee_per_cent,
            high_ratio_percent: config.high_per_cent,
            samples_min: config.samples_min,
            ..clc_auto_thresholds_options::zeroed()
        };
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, values) }
    })
}

/// Makes one that has learnt nothing yet. `options` may be NULL for the defaults. Ends with clc_auto_thresholds_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, BAD_CONFIGURATION. Any thread may call this.
///
/// # Safety
/// `options` is NULL or a struct of the size that it says; `thresholds_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_auto_thresholds_new(
    options: *const clc_auto_thresholds_options,
    thresholds_out: *mut *mut clc_auto_thresholds,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options = unsafe { options::read(options) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { thresholds_out.as_mut() }.ok_or_else(|| null("thresholds_out"))?;
        let inner = AutoThresholds::new(config(&options)?);
        *out = Box::into_raw(Box::new(clc_auto_thresholds { inner }));
        Ok(())
    })
}

/// Ends it. NULL is fine. Any thread may call this.
///
/// # Safety
/// `thresholds` is NULL or one that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_auto_thresholds_free(thresholds: *mut clc_auto_thresholds) {
    if !thresholds.is_null() {
        // SAFETY: made by `clc_auto_thresholds_new` and not freed before, per the contract above.
        drop(unsafe { Box::from_raw(thresholds) });
    }
}

/// A request that was sent as one of `in_flight` (itself included) was answered after `latency_ns`. `now_ns` is the time on
/// any clock that never goes back, in nanoseconds.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT. One thread at a time may call this.
///
/// # Safety
/// `thresholds` is NULL or a live one that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_auto_thresholds_observe(
    thresholds: *mut clc_auto_thresholds,
    now_ns: u64,
    in_flight: u32,
    latency_ns: u64,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live one that is ours alone during this call, per the contract above.
        let thresholds = unsafe { thresholds.as_mut() }.ok_or_else(|| null("thresholds"))?;
        if in_flight == 0 {
            return Err(Error::new(Code::InvalidArgument, "in_flight is 0; it must be 1 or more"));
        }
        let latency = Duration::from_nanos(latency_ns);
        thresholds.inner.observe(Instant::from_nanos(now_ns), in_flight, latency);
        Ok(())
    })
}

/// From where on a load is Medium, and High, as far as that is known now: in per cent, as clc_scaler_options takes them.
///
/// Errors: NULL_ARGUMENT. One thread at a time may call this.
///
/// # Safety
/// `thresholds` is NULL or a live one that nobody changes now; the outputs are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_auto_thresholds_get(
    thresholds: *const clc_auto_thresholds,
    medium_percent_out: *mut u32,
    high_percent_out: *mut u32,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live one that nobody changes now, per the contract above.
        let thresholds = unsafe { thresholds.as_ref() }.ok_or_else(|| null("thresholds"))?;
        if medium_percent_out.is_null() {
            return Err(null("medium_percent_out"));
        }
        if high_percent_out.is_null() {
            return Err(null("high_percent_out"));
        }
        let Thresholds { medium, high } = thresholds.inner.thresholds();
        // SAFETY: not NULL, so writable, per the contract above.
        unsafe { medium_percent_out.write(medium) };
        // SAFETY: as above.
        unsafe { high_percent_out.write(high) };
        Ok(())
    })
}

/// The least average response time in nanoseconds; UINT64_MAX before there is one.
///
/// Errors: NULL_ARGUMENT. One thread at a time may call this.
///
/// # Safety
/// `thresholds` is NULL or a live one that nobody changes now; `latency_ns_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_auto_thresholds_latency_min_ns(
    thresholds: *const clc_auto_thresholds,
    latency_ns_out: *mut u64,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live one that nobody changes now, per the contract above.
        let thresholds = unsafe { thresholds.as_ref() }.ok_or_else(|| null("thresholds"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { latency_ns_out.as_mut() }.ok_or_else(|| null("latency_ns_out"))?;
        *out = thresholds.inner.latency_min().map_or(u64::MAX, nanos);
        Ok(())
    })
}

fn config(options: &clc_auto_thresholds_options) -> Result<AutoConfig> {
    let default = AutoConfig::default();
    let start = Thresholds {
        medium: or(options.medium_percent, default.start.medium),
        high: or(options.high_percent, default.start.high),
    };
    if start.medium > start.high {
        let text = format!("medium_percent is {}, above high_percent {}", start.medium, start.high);
        return Err(Error::new(Code::BadConfiguration, text));
    }
    Ok(AutoConfig {
        start,
        cores: or(options.cores, default.cores),
        knee_per_cent: or(options.knee_ratio_percent, default.knee_per_cent),
        high_per_cent: or(options.high_ratio_percent, default.high_per_cent),
        samples_min: or(options.samples_min, default.samples_min),
        forget_after: Duration::from_nanos(or(options.forget_after_ns, nanos(default.forget_after))),
        ..default
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_the_default() {
        assert_eq!(config(&clc_auto_thresholds_options::zeroed()).unwrap(), AutoConfig::default());
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let zeroed = clc_auto_thresholds_options::zeroed();
        let options = clc_auto_thresholds_options { medium_percent: 900, high_percent: 800, ..zeroed };
        let error = config(&options).unwrap_err();
        assert_eq!(error.to_string(), "medium_percent is 900, above high_percent 800");
    }
}
