//! The clock of the kernel drivers: one zero for the whole process, so that shards can compare their times.

use super::Instant;
use std::sync::OnceLock;

/// Nanoseconds since the first use in this process.
pub(crate) fn now() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    Instant::from_nanos(start.elapsed().as_nanos() as u64)
}
