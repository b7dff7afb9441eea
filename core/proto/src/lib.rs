//! Pure state machines of clustercore: no clock, no socket, no thread.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod datagram;
pub mod forward;
pub mod job;
pub mod policy;
pub mod random;
pub mod rpc;
pub mod time;
pub mod wire;
