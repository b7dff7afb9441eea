//! Floor 4: event channels on sockets: a server of channels, and participants.
//!
//! The engine, the protocol and what participants say to a server are machines of `clustercore-channel`, re-exported here as
//! [`engine`]; what is here moves their bytes: over TCP, and over reliable datagrams (UDP).

mod config;
mod link;
mod participant;
mod server;

/// The engine and the protocol, without sockets.
pub use clustercore_channel as engine;
pub use config::{ChannelServerConfig, JournalConfig, Link};
pub use participant::Participant;
pub use server::ChannelServer;

use clustercore_proto::datagram::StreamId;

/// The stream of a connection that carries the protocol: reliable, in order.
const STREAM: StreamId = StreamId::DEFAULT;
/// Bytes of the protocol in one message at most.
const MESSAGE_BYTES_MAX: usize = 32 << 10;
