//! A point in driver time.

use core::fmt;
use core::ops::{Add, AddAssign};
use core::time::Duration;

use super::nanos;

/// A point in time: nanoseconds since the driver started.
///
/// 64 bits of nanoseconds last 584 years, so arithmetic saturates instead of wrapping: a deadline that would
/// pass the end is simply never reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The moment at which the driver started.
    pub const ZERO: Instant = Instant(0);

    /// The last representable moment; as a deadline it means "never".
    pub const MAX: Instant = Instant(u64::MAX);

    /// The moment `nanos` nanoseconds after the driver started.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// Nanoseconds since the driver started.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to this moment; zero when `earlier` is in fact later.
    pub const fn saturating_sub(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, length: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(length)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, length: Duration) {
        *self = *self + length;
    }
}

/// Seconds with six decimals, as logs and traces want it.
impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn adding_saturates_at_the_end_of_time() {
        assert_eq!(Instant::from_nanos(5) + Duration::from_nanos(7), Instant::from_nanos(12));
        assert_eq!(Instant::from_nanos(u64::MAX - 1) + Duration::from_nanos(2), Instant::MAX);
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::MAX);
    }

    #[test]
    fn difference_is_never_negative() {
        let early = Instant::from_nanos(10);
        let late = Instant::from_nanos(25);
        assert_eq!(late.saturating_sub(early), Duration::from_nanos(15));
        assert_eq!(early.saturating_sub(late), Duration::ZERO);
    }

    #[test]
    fn debug_shows_seconds() {
        assert_eq!(format!("{:?}", Instant::from_nanos(1_002_003_999)), "1.002003s");
    }
}
