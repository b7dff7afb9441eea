//! Lock-free queues, the wake-up protocol that goes with them, and leased buffers.
//!
//! | module | what it is | threads |
//! | --- | --- | --- |
//! | [`spsc`] | bounded ring, one producer, one consumer, items and chunks | 2 |
//! | [`mpsc`] | bounded ring per sender, many senders, one receiver | n + 1 |
//! | [`broadcast`] | bounded ring written once and read in place by many, who come and go | n + m |
//! | [`ordered`] | bounded queue by arrival, priority or deadline, changed while filled | n + 1 |
//! | [`bell`] | decides who pays the system call that wakes a sleeping consumer | n + 1 |
//! | [`lease`] | fixed-size buffers from one allocation, shared by reference count | n |
//!
//! Nothing here waits, allocates after construction (that of a sender, too), or makes a system call. Every bound is fixed in
//! the constructor. Positions are free-running counters that wrap; a position's slot is its low bits,
//! which is why every capacity is rounded up to a power of two.
//!
//! All atomics come from `sync`, which swaps in `loom` under `--cfg loom`. Each ordering that data rests
//! on has a loom test that fails when it is weakened:
//! `RUSTFLAGS="--cfg loom" cargo test -p clustercore-queue --release --lib loom`.

pub mod bell;
pub mod broadcast;
pub mod lease;
pub mod mpsc;
pub mod ordered;
mod slip;
pub mod spsc;
mod sync;
