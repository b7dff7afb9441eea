//! Driver time and the timer wheel.
//!
//! No machine in this crate reads a clock: `now` comes in as an [`Instant`], so that the simulator can own
//! time and a recorded run can be repeated to the nanosecond. Lengths of time are `core::time::Duration`.

mod instant;
mod wheel;

pub use core::time::Duration;
pub use instant::Instant;
pub use wheel::Wheel;
