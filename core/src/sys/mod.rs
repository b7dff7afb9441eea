//! Floor 2: the kernel. The only folder of this crate with `unsafe`: memory lent to the kernel, the ring, sockets.

pub(crate) mod buffers;
pub(crate) mod datagram;
pub(crate) mod memory;
pub(crate) mod message;
mod pool;
pub mod probe;
pub(crate) mod ring;
pub(crate) mod socket;
pub(crate) mod splice;
