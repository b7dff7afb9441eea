//! A point in driver time.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, AddAssign};
use core::time::Duration;

use super::nanos;

/// A point in time: nanoseconds since the driver started.
///
/// 64 bits of nanoseconds last 584 years, so arithmetic saturates instead of wrapping: a deadline that would
/// pass the end is simply never reached. An `Option` of it takes no more room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(
    /// One more than the nanoseconds.
    NonZeroU64,
);

impl Instant {
    /// The moment at which the driver started.
    pub const ZERO: Instant = Instant(NonZeroU64::MIN);

    /// The last representable moment; as a deadline it means "never".
    pub const MAX: Instant = Instant(NonZeroU64::MAX);

    /// The moment `nanos` nanoseconds after the driver started.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// Nanoseconds since the driver started; `u64::MAX` of the last moment, as other languages are told "never".
    pub const fn as_nanos(self) -> u64 {
        match self.0.get() {
            u64::MAX => u64::MAX,
            stored => stored - 1,
        }
    }

    /// Time from `earlier` to this moment; zero when `earlier` is in fact later.
    pub const fn saturating_sub(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Instant {
    fn default() -> Instant {
        Instant::ZERO
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
        let nanos = self.as_nanos();
        write!(f, "{}.{:06}s", nanos / 1_000_000_000, nanos % 1_000_000_000 / 1_000)
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
    fn perhaps_a_moment_takes_no_more_room_than_a_moment() {
        assert_eq!(size_of::<Option<Instant>>(), size_of::<u64>());
        assert_eq!((Instant::from_nanos(0), Instant::default()), (Instant::ZERO, Instant::ZERO));
        assert_eq!(Instant::from_nanos(7).as_nanos(), 7);
        assert_eq!(Instant::from_nanos(u64::MAX), Instant::MAX);
    }

    #[test]
    fn never_is_the_largest_number_in_every_language() {
        assert_eq!(Instant::MAX.as_nanos(), u64::MAX);
        assert_eq!(Instant::from_nanos(u64::MAX - 2).as_nanos(), u64::MAX - 2);
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
