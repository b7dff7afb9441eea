//! Floor 2: the kernel. The only folder of this crate with `unsafe`: memory lent to the kernel, the ring, sockets.

pub mod memory;
pub mod probe;
pub mod ring;
pub mod socket;
pub mod splice;
