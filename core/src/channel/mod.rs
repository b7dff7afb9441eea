//! Floor 4: event channels on sockets: a server of channels, and participants.
//!
//! The engine, the protocol and what participants say to a server are machines of `clustercore-channel`, re-exported here as
//! [`engine`]; what is here moves their bytes: over TCP, over reliable datagrams (UDP), and in
//! the parts of a streamed call (RPC).

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
use clustercore_proto::rpc;

/// The stream of a connection that carries the protocol: reliable, in order.
const STREAM: StreamId = StreamId::DEFAULT;
/// Bytes of the protocol in one message at most.
const MESSAGE_BYTES_MAX: usize = 32 << 10;

/// The streamed method that is a link (docs/protocol/channels.proto).
const CONNECT: rpc::Method = rpc::Method::new("clustercore.channel.v1.Channels/Connect");

/// Bounds of the calls that are links. The window of parts is not negotiated: it is that of every [`crate::calls::Channel`].
fn call_config(peer_slots_max: u32) -> rpc::Config {
    rpc::Config {
        slots_max: 1,
        peer_slots_max,
        calls_max: rpc::Config::default().calls_max,
        ..rpc::Config::default()
    }
}
