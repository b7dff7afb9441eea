//! What is to be sent on a connection that has no room at present.

use super::endpoint::Endpoint;
use clustercore_proto::datagram::{Connection, SendError, StreamId};
use std::collections::VecDeque;

/// Messages that wait, in order. While some do, those that follow wait behind them, so that no stream gets out of order.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    connection: Connection,
    waiting: VecDeque<(StreamId, Vec<u8>, T)>,
}

/// What has become of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// It is on its way.
    Now,
    /// It waits; [`Outbox::flush`] tells when it has gone.
    Later,
    /// It does not go: the connection is over, or the peer takes no message of that length.
    Never,
}

impl<T> Outbox<T> {
    pub fn new(connection: Connection) -> Outbox<T> {
        Outbox { connection, waiting: VecDeque::new() }
    }

    /// The connection.
    pub fn connection(&self) -> Connection {
        self.connection
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Sends a message, or lets it wait. `who` is whose it is.
    pub fn send(&mut self, endpoint: &mut Endpoint, stream: StreamId, message: &[u8], who: T) -> Sent {
        if self.waiting.is_empty() {
            match endpoint.machine.send(self.connection, stream, message) {
                Ok(_) => return Sent::Now,
                Err(SendError::WouldBlock) => {}
                Err(_) => return Sent::Never,
            }
        }
        self.waiting.push_back((stream, message.to_vec(), who));
        Sent::Later
    }

    /// There is room again. `gone` is told whose messages have gone.
    pub fn flush(&mut self, endpoint: &mut Endpoint, mut gone: impl FnMut(T)) {
        while let Some((stream, message, _)) = self.waiting.front() {
            match endpoint.machine.send(self.connection, *stream, message) {
                Ok(_) => {
                    if let Some((_, _, who)) = self.waiting.pop_front() {
                        gone(who);
                    }
                }
                Err(SendError::WouldBlock) => return,
                // The connection is over, which an event tells.
                Err(_) => return self.waiting.clear(),
            }
        }
    }
}
