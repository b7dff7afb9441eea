//! Latencies of a forwarder.

use crate::clc_status;
use crate::forwarder::{Owner, clc_forwarder};
use crate::status::{boundary, null};
use clustercore::forward::Latency;
use std::ffi::c_int;

/// A distribution of times in nanoseconds, to three digits. All 0 when `count` is.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_distribution {
    /// How many requests.
    pub count: u64,
    /// The least.
    pub ns_min: u64,
    /// The arithmetic mean.
    pub ns_mean: u64,
    /// Half of all took at most this.
    pub ns_p50: u64,
    /// 90 of 100 took at most this.
    pub ns_p90: u64,
    /// 99 of 100 took at most this.
    pub ns_p99: u64,
    /// 999 of 1000 took at most this.
    pub ns_p999: u64,
    /// The most.
    pub ns_max: u64,
}

/// Times from a complete request head to the response's first and last byte.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_latency {
    /// To the head of the response.
    pub first_byte: clc_distribution,
    /// To the end of the response, as handed to the kernel.
    pub last_byte: clc_distribution,
}

/// Reads the latencies of a forwarder since the last reset; `reset` not 0 begins anew.
///
/// Errors: NULL_ARGUMENT, NO_SUCH_FORWARDER, CLOSED, WRONG_THREAD, QUEUE_FULL, FORKED. The shard's thread, or with a node
/// any thread, may call this; a node asks its shards, so it costs a wake-up each.
///
/// # Safety
/// `forwarder` is NULL or a live forwarder; `latency_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_forwarder_latency(
    forwarder: *mut clc_forwarder,
    reset: c_int,
    latency_out: *mut clc_latency,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live forwarder that is only shared, per the contract above.
        let forwarder = unsafe { forwarder.as_ref() }.ok_or_else(|| null("forwarder"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { latency_out.as_mut() }.ok_or_else(|| null("latency_out"))?;
        *out = match forwarder.owner()? {
            (Owner::Shard(core), id) => core.with(|state| {
                let latency = summary(state.shard.latency(id)?);
                if reset != 0 {
                    state.shard.forwarder_mut(id)?.reset_latency();
                }
                Ok(latency)
            }),
            (Owner::Node(core), id) => core.node()?.latency(id, reset != 0).map(|latency| summary(&latency)),
        }?;
        Ok(())
    })
}

fn summary(latency: &Latency) -> clc_latency {
    macro_rules! distribution {
        ($histogram:expr) => {{
            let histogram = $histogram;
            if histogram.is_empty() {
                clc_distribution::default()
            } else {
                clc_distribution {
                    count: histogram.len(),
                    ns_min: histogram.min(),
                    ns_mean: histogram.mean() as u64,
                    ns_p50: histogram.value_at_quantile(0.5),
                    ns_p90: histogram.value_at_quantile(0.9),
                    ns_p99: histogram.value_at_quantile(0.99),
                    ns_p999: histogram.value_at_quantile(0.999),
                    ns_max: histogram.max(),
                }
            }
        }};
    }
    clc_latency {
        first_byte: distribution!(&latency.first_byte),
        last_byte: distribution!(&latency.last_byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_distribution_is_zero() {
        assert_eq!(summary(&Latency::default()), clc_latency::default());
    }

    #[test]
    fn percentiles_are_in_order() {
        let mut latency = Latency::default();
        for ns in 1..=1000u64 {
            latency.last_byte.record(ns * 1000).unwrap();
        }
        let seen = summary(&latency).last_byte;
        assert_eq!(seen.count, 1000);
        let near =
            |ns: u64, want: u64| assert!(ns.abs_diff(want) * 1000 <= want * 2, "{ns} is not about {want}");
        near(seen.ns_min, 1000);
        near(seen.ns_mean, 500_500);
        near(seen.ns_p50, 500_000);
        near(seen.ns_p90, 900_000);
        near(seen.ns_p99, 990_000);
        near(seen.ns_p999, 999_000);
        near(seen.ns_max, 1_000_000);
    }
}
