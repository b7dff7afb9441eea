//! What an endpoint is opened with.

use crate::error::{Code, Error, Result};
use crate::io::DatagramOptions;
use crate::security::Mode;
use clustercore_proto::datagram::Config;
use std::net::SocketAddr;
use std::path::PathBuf;

/// How to open an endpoint of reliable datagrams.
#[derive(Debug, Default)]
pub struct EndpointConfig {
    /// Bounds, times and windows of its connections.
    pub machine: Config,
    /// Keys and whom they let in; `None` for clear messages.
    pub security: Option<Mode>,
    /// Clear messages on an address outside loopback, in so many words.
    pub insecure: bool,
    /// Bytes that may wait in the socket; 0: twice the window of a connection. What the system grants bounds the window.
    pub receive_buffer_bytes: usize,
    /// Several shards share the address; datagrams are steered by the shard in the connection's id.
    pub shards: u32,
    /// Calls travel on its connections; their streams are from number 2^29 on.
    pub calls: Option<clustercore_proto::rpc::Config>,
    /// Writes what happens, packet by packet, to a new file in qlog's manner (`.sqlog`): to look for the reason of something. See
    /// `docs/protocol/datagram.md`, "Trace".
    pub trace_path: Option<PathBuf>,
    /// Appends the secrets of connections to a file, in secure mode: whoever reads it can read what is sent. To look into a capture. See
    /// `docs/protocol/datagram.md`, "Key log".
    pub key_log_path: Option<PathBuf>,
}

impl EndpointConfig {
    /// Errors: `InsecureAddress` for clear messages outside loopback that nobody asked for, `BadConfiguration`, also for a key log
    /// without keys.
    pub(crate) fn check(&self, address: SocketAddr) -> Result<()> {
        let is_clear = matches!(self.security, None | Some(Mode::Clear));
        if is_clear && !self.insecure && !address.ip().is_loopback() {
            return Err(Error::new(
                Code::InsecureAddress,
                format!("{address} is outside loopback: give a key, or say that it is to be insecure"),
            ));
        }
        if is_clear && self.key_log_path.is_some() {
            let words = "a key log was asked for, and a clear endpoint has no keys";
            return Err(Error::new(Code::BadConfiguration, words));
        }
        let calls = self.calls.as_ref().map_or(Ok(()), |calls| calls.check());
        let checked = self.machine.check().and(calls);
        checked.map_err(|error| Error::new(Code::BadConfiguration, error.to_string()))
    }

    pub(crate) fn socket_options(&self) -> DatagramOptions {
        let wanted = match self.receive_buffer_bytes {
            0 => 2 * self.machine.receive_window,
            bytes => bytes,
        };
        DatagramOptions {
            receive_buffer_bytes: wanted,
            send_buffer_bytes: SEND_BUFFER_BYTES,
            ecn: self.machine.has_ecn,
            dont_fragment: true,
            reuse_port: self.shards > 1,
            ipv6_only: false,
            steer: (self.shards > 1)
                .then_some(crate::io::SteerByByte { offset: STEER_OFFSET, shards: self.shards }),
        }
    }
}

/// Tells this run of the program from others: the time of its start, in nanoseconds.
pub(crate) fn epoch() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| since.as_nanos() as u64).max(1)
}

/// Some trains: what waits longer than that waits in the machine.
const SEND_BUFFER_BYTES: usize = 4 << 20;
/// The lowest byte of the target in every packet.
const STEER_OFFSET: u32 = 8;
