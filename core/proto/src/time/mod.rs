//! Driver time and the timer wheel.
//!
//! No machine in this crate reads a clock: `now` comes in as an [`Instant`], so that the simulator can own
//! time and a recorded run can be repeated to the nanosecond. Lengths of time are `core::time::Duration`.

mod instant;
mod wheel;

pub use core::time::Duration;
pub use instant::Instant;
pub use wheel::Wheel;

/// Whole nanoseconds of a length of time, saturating after 584 years.
pub fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
