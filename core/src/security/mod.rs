//! Security of datagrams: who the peer is, and that nobody else reads or changes what is said.
//!
//! [`EndpointSecurity`] is what a datagram endpoint is given: `Clear` (a check against accidents, no secrets) or `Secure` (Noise `IK`,
//! then AES-128-GCM with keys that change). No cipher is written here: the order of handshakes is `snow`'s, ciphers are `aws-lc-rs`'s.
//! `docs/decisions/0006-datagram-security.md` has the why and the figures. Invariants: no packet number seals twice under one
//! key; our copies of secrets are zeroed when they are dropped; what is not authentic changes nothing.

mod access;
mod check;
mod endpoint;
mod handshake;
mod key;
mod key_file;
mod key_log;
mod noise;
mod packet_key;
mod protector;
mod random;

pub use access::Access;
pub use check::crc32c;
pub use endpoint::{EndpointSecurity, Mode};
pub use handshake::Pending;
pub use key::{KEY_TEXT_BYTES_MAX, PrivateKey, PublicKey};
pub use protector::{PacketKeys, PacketProtector};
