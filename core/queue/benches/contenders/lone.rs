//! What a step costs when nobody else is there: one thread, everything in its cache.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use clustercore_queue::bell::Bell;
use clustercore_queue::lease::Pool;

/// Ringing while the consumer is awake: what every batch pays.
pub fn ring(count: u64) -> f64 {
    let bell = Bell::new();
    timed(count, || !black_box(&bell).ring())
}

pub fn lease(count: u64) -> f64 {
    let pool = Pool::new(64, SIZE);
    timed(count, || black_box(pool.take()).is_some())
}

/// The peer of `lease`: the allocator's buffer, not cleared.
pub fn vec(count: u64) -> f64 {
    timed(count, || black_box(Vec::<u8>::with_capacity(SIZE)).is_empty())
}

pub fn slice(count: u64) -> f64 {
    let lease = Pool::new(1, SIZE).take().expect("a free buffer");
    timed(count, || black_box(lease.slice(10..20)).len() == 10)
}

/// The peer of `slice`: the counter alone.
pub fn arc(count: u64) -> f64 {
    let shared = Arc::new([0u8; SIZE]);
    timed(count, || black_box(Arc::clone(&shared)).len() == SIZE)
}

fn timed(count: u64, mut step: impl FnMut() -> bool) -> f64 {
    let begin = Instant::now();
    let done = (0..count).filter(|_| step()).count();
    let elapsed = begin.elapsed();
    assert_eq!(done as u64, count, "a step failed");
    elapsed.as_nanos() as f64 / count as f64
}

const SIZE: usize = 2048;
