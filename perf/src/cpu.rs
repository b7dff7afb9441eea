//! CPU time of this thread and of other processes, in nanoseconds.
//!
//! Processes are read from `/proc/<pid>/task/*/schedstat`, whose first field is the scheduler's own account in
//! nanoseconds; `/proc/<pid>/stat` counts in ticks of 10 ms, too coarse for a run of a second.

use rustix::time::{ClockId, clock_gettime};
use std::io;

/// CPU time of the calling thread so far.
pub fn thread_ns() -> u64 {
    clock_ns(ClockId::ThreadCPUTime)
}

/// CPU time of the calling process so far, all threads.
pub fn own_ns() -> u64 {
    clock_ns(ClockId::ProcessCPUTime)
}

/// CPU time of process `pid` so far: the sum over the threads that live now.
///
/// Errors: the process is gone or its account cannot be read.
pub fn process_ns(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = match std::fs::read_to_string(thread?.path().join("schedstat")) {
            Ok(text) => text,
            // A thread that ended between the two reads takes its time with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        sum += parse_schedstat(&text).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("schedstat of {pid}: {text:?}"))
        })?;
    }
    Ok(sum)
}

fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn clock_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_starts_with_nanoseconds_on_a_core() {
        assert_eq!(parse_schedstat("123456789 42 7\n"), Some(123_456_789));
        assert_eq!(parse_schedstat(""), None);
        assert_eq!(parse_schedstat("x 1 2"), None);
    }

    #[test]
    fn own_account_grows_with_work() {
        let pid = std::process::id();
        let before = process_ns(pid).unwrap();
        let started = thread_ns();
        let mut sum = 0u64;
        while thread_ns() - started < 20_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        // The scheduler's account may lag behind the clock by a tick of up to 10 ms.
        assert!(process_ns(pid).unwrap() - before >= 8_000_000);
        assert!(own_ns() >= thread_ns());
    }

    #[test]
    fn a_missing_process_is_an_error() {
        assert!(process_ns(u32::MAX - 1).is_err());
    }
}
