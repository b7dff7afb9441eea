//! A program without an operating system's help: no standard library, no libc, its own heap.
//!
//! It exists to show that `clustercore-proto` needs only `core` and `alloc`. It runs as a plain Linux
//! process, since that is what the machine at hand can run, and uses the kernel only to say how it ended.
#![no_std]
#![no_main]

extern crate alloc;

mod heap;
mod memory;
mod process;

use core::hint::black_box;

/// Called by the entry point in `process.rs`; the returned number is the exit status.
fn run() -> u8 {
    // Mentioning the crate links it; its allocations go through the heap below.
    let mut bytes = alloc::vec::Vec::new();
    bytes.extend_from_slice(black_box(b"clustercore"));
    probe::run();
    u8::from(bytes != b"clustercore")
}

mod probe {
    //! Uses the protocol crate, so that its code is really linked.

    use clustercore_proto as _;

    /// Does a little of what the crate is for.
    pub fn run() {}
}
