//! A program without an operating system's help: no standard library, no libc, its own heap.
//!
//! It exists to show that `clustercore-proto` needs only `core` and `alloc`. It runs as a plain Linux
//! process, since that is what the machine at hand can run, and uses the kernel only to say how it ended.
#![no_std]
#![no_main]

mod heap;
mod memory;
mod process;

use core::hint::black_box;
use core::time::Duration;

use clustercore_proto::random::Random;
use clustercore_proto::time::{Instant, Wheel};

/// Called by the entry point in `process.rs`; the returned number is the exit status, 0 when all is well.
///
/// One use of a function that is compiled in the protocol crate itself draws its whole object file into
/// the link, unused functions included.
fn run() -> u8 {
    let mut random = Random::new(black_box(7));
    let mut wheel = Wheel::with_tick(Duration::from_millis(1), 64);
    for key in 0..TIMERS {
        wheel.insert(Instant::ZERO + Duration::from_micros(random.below(1_000_000)), key);
    }
    let (mut fired, mut sum) = (0, 0);
    wheel.advance(Instant::ZERO + Duration::from_secs(2), &mut |key| {
        fired += 1;
        sum += key;
    });
    u8::from(fired != TIMERS || sum != TIMERS * (TIMERS - 1) / 2)
}

const TIMERS: u32 = 50;
