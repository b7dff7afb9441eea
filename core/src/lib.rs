//! A zero-copy data plane for clusters on io_uring.
//!
//! A [`Shard`] is one ring and one loop, owned by the thread that turns it; a [`Node`] is shards on threads of their own with a
//! handle for any thread. On either, a forwarder stands between the clients of a service and its back ends.
//! `docs/ARCHITECTURE.md` has the picture.

pub mod calls;
#[cfg(feature = "channel")]
#[forbid(unsafe_code)]
pub mod channel;
pub mod counters;
pub mod error;
pub mod forward;
pub mod io;
pub mod job;
pub mod log;
pub mod messages;
pub mod node;
#[forbid(unsafe_code)]
pub mod security;
pub mod shard;
pub mod sys;

pub use clustercore_proto as proto;
pub use error::{Code, Error, Result, Side};
pub use forward::{BackendConfig, ForwardEvent, ForwarderConfig};
pub use messages::{EndpointConfig, EndpointId, SocketId, resolve};
pub use node::{Node, NodeBuilder};
pub use shard::{BackendStatus, ForwarderId, Shard, ShardBuilder};

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
