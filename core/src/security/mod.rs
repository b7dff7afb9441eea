//! Floor 3: how packets of reliable datagrams are protected.

mod clear;

pub use clear::{EndpointSecurity, PacketProtector};
