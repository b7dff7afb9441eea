//! A zero-copy data plane for clusters on io_uring.

pub mod counters;
pub mod error;
pub mod forward;
pub mod io;
pub mod log;
pub mod node;
pub mod shard;
pub mod sys;

pub use clustercore_proto as proto;
pub use error::{Code, Error, Result, Side};
pub use node::{Node, NodeBuilder};
pub use shard::{BackendStatus, ForwarderId, Shard, ShardBuilder};
