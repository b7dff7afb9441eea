//! The transport below calls.

use crate::datagram::{Connection, Endpoint, Security, SendError, StreamId};
use core::time::Duration;

/// Sends messages on connections.
pub trait Port {
    /// Sends a message, as [`Endpoint::send`].
    fn send(&mut self, connection: Connection, stream: StreamId, bytes: &[u8]) -> Result<(), SendError>;

    /// Smoothed round trip of a connection.
    fn rtt(&self, connection: Connection) -> Duration;
}

impl<S: Security> Port for Endpoint<S> {
    #[inline]
    fn send(&mut self, connection: Connection, stream: StreamId, bytes: &[u8]) -> Result<(), SendError> {
        Endpoint::send(self, connection, stream, bytes).map(|_| ())
    }

    fn rtt(&self, connection: Connection) -> Duration {
        self.path(connection).map_or(Duration::ZERO, |path| path.rtt)
    }
}
