//! The runs that are compared: each takes a count and returns nanoseconds per item.

pub mod events;
pub mod lone;
pub mod many;
pub mod one;
pub mod ping;
pub mod rival;
pub mod urgent;

use std::hint;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// Items each ring holds.
pub const CAPACITY: usize = 1024;
/// Items in a chunk of one producer.
pub const CHUNK: u64 = 64;
/// Items in a batch of one of several senders.
pub const BATCH: u64 = 16;

/// How everybody waits: spin while the other side may be running, then let it run. With more threads than cores the other
/// side mostly waits for this core: who spins long there measures the spinning.
#[derive(Default)]
pub struct Wait {
    spins: u32,
}

static SPINS_MAX: AtomicU32 = AtomicU32::new(SPINS_ALONE);
const SPINS_ALONE: u32 = 256;
const SPINS_CROWDED: u32 = 2;

impl Wait {
    pub fn pause(&mut self) {
        self.spins += 1;
        // Relaxed: set before the threads that read it begin.
        if self.spins < SPINS_MAX.load(Ordering::Relaxed) {
            hint::spin_loop();
        } else {
            self.spins = 0;
            thread::yield_now();
        }
    }

    pub fn reset(&mut self) {
        self.spins = 0;
    }
}

/// Repeats `attempt` until it gives something.
pub fn until<R>(mut attempt: impl FnMut() -> Option<R>) -> R {
    let mut wait = Wait::default();
    loop {
        match attempt() {
            Some(result) => return result,
            None => wait.pause(),
        }
    }
}

/// Runs the sending threads and, in this one, the receiving end, which returns the sum of the items.
///
/// Together the senders send `0..count` in some order. Nanoseconds per item, from the common start on.
pub fn transfer<S: FnOnce() + Send>(
    count: u64,
    senders: impl IntoIterator<Item = S>,
    receive: impl FnOnce() -> u64,
) -> f64 {
    let senders: Vec<S> = senders.into_iter().collect();
    let is_crowded = senders.len() >= cores();
    SPINS_MAX.store(if is_crowded { SPINS_CROWDED } else { SPINS_ALONE }, Ordering::Relaxed);
    // All spin until all are there, so that nobody's waking up is measured.
    let missing = AtomicUsize::new(senders.len() + 1);
    let meet = &|| {
        missing.fetch_sub(1, Ordering::AcqRel);
        until(|| (missing.load(Ordering::Acquire) == 0).then_some(()));
    };
    let (sum, elapsed) = thread::scope(|scope| {
        for (index, send) in senders.into_iter().enumerate() {
            scope.spawn(move || {
                pin(index + 1);
                meet();
                send();
            });
        }
        meet();
        let begin = Instant::now();
        (receive(), begin.elapsed())
    });
    assert_eq!(sum, count * (count - 1) / 2, "items lost or doubled");
    elapsed.as_nanos() as f64 / count as f64
}

/// Ties this thread to a core, counted round: two threads that take turns on one core measure the
/// scheduler. By `taskset`, as affinity is not in the standard library; without it threads roam.
pub fn pin(index: usize) {
    let Ok(path) = std::fs::read_link("/proc/thread-self") else { return };
    let Some(thread) = path.file_name() else { return };
    let core = (index % cores()).to_string();
    // Failing is the documented fallback.
    let _ = Command::new("taskset").args(["-cp", &core]).arg(thread).stdout(Stdio::null()).status();
}

fn cores() -> usize {
    // Asked once, before anything is pinned: afterwards the system speaks of one core.
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Receives `count` items one by one.
pub fn sum_of(count: u64, mut next: impl FnMut() -> Option<u64>) -> u64 {
    (0..count).map(|_| until(&mut next)).sum()
}
