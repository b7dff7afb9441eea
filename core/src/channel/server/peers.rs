//! Participants over reliable datagrams.

use super::{ChannelServer, Way, set_way, time};
use crate::channel::engine::hub::SessionId;
use crate::channel::{MESSAGE_BYTES_MAX, STREAM};
use crate::io::{Close, Driver, Ecn, Lease};
use crate::messages::Outbox;
use clustercore_proto::datagram::{Connection, Event as ConnectionEvent};
use std::net::SocketAddr;

/// A connection, and what waits for room on it.
pub(super) struct Peer {
    pub(super) session: SessionId,
    /// What waits for room, each with its bytes.
    pub(super) outbox: Outbox<usize>,
    pub(super) waiting: usize,
}

impl<D: Driver> ChannelServer<D> {
    pub(super) fn on_train(&mut self, arrival: (SocketAddr, u32, Ecn), mut lease: Lease) {
        let now = time(&self.driver);
        let mut mail = std::mem::take(&mut self.mail);
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.read_train(&mut self.driver, now, arrival, &mut lease, &mut mail);
        }
        // A connection is told before its first messages.
        self.take_news();
        let wall = now + self.wall;
        for index in 0..mail.len() {
            let (connection, message) = mail.get(index, self.driver.bytes(&lease));
            if let Some(session) = peer(&mut self.peers, connection).map(|peer| peer.session) {
                self.hub.receive(wall, session, message);
            }
        }
        if let Some(endpoint) = &mut self.endpoint {
            let machine = &mut endpoint.machine;
            mail.clear(|connection, stream, cost| machine.consume(connection, stream, cost));
        }
        self.mail = mail;
        self.driver.release(lease);
    }

    pub(super) fn take_news(&mut self) {
        while let Some(event) = self.endpoint.as_mut().and_then(|endpoint| endpoint.machine.poll_event()) {
            match event {
                ConnectionEvent::Accepted { connection, .. } => self.on_peer(connection),
                ConnectionEvent::Gone { connection, .. } => {
                    if let Some(session) = peer(&mut self.peers, connection).map(|peer| peer.session) {
                        self.end(session, Close::Abort);
                    }
                }
                ConnectionEvent::Writable { connection } => self.flush(connection),
                ConnectionEvent::Connected { .. } | ConnectionEvent::Moved { .. } => {}
            }
        }
    }

    fn on_peer(&mut self, connection: Connection) {
        let wall = self.now();
        let Some(session) = self.hub.connect(wall) else {
            let now = time(&self.driver);
            if let Some(endpoint) = &mut self.endpoint {
                endpoint.machine.close(now, connection, 0, b"too many participants", false);
            }
            return;
        };
        let index = connection.index as usize;
        if self.peers.len() <= index {
            self.peers.resize_with(index + 1, || None);
        }
        self.peers[index] = Some(Peer { session, outbox: Outbox::new(connection), waiting: 0 });
        set_way(&mut self.ways, session, Way::Peer(connection));
    }

    pub(super) fn send_to_peer(&mut self, connection: Connection, bytes: &[u8]) {
        let Some(endpoint) = &mut self.endpoint else { return };
        let Some(peer) = peer(&mut self.peers, connection) else { return };
        for message in bytes.chunks(MESSAGE_BYTES_MAX) {
            if peer.outbox.send(endpoint, STREAM, message, message.len()) == crate::messages::Sent::Later {
                peer.waiting += message.len();
            }
        }
        self.hub.sent(peer.session, peer.waiting);
    }

    fn flush(&mut self, connection: Connection) {
        let Some(endpoint) = &mut self.endpoint else { return };
        let Some(peer) = peer(&mut self.peers, connection) else { return };
        let waiting = &mut peer.waiting;
        peer.outbox.flush(endpoint, |len| *waiting -= len);
        self.hub.sent(peer.session, peer.waiting);
    }

    pub(super) fn drive_endpoint(&mut self) {
        let now = time(&self.driver);
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.drive(&mut self.driver, now);
        }
        self.take_news();
    }
}

fn peer(peers: &mut [Option<Peer>], connection: Connection) -> Option<&mut Peer> {
    let peer = peers.get_mut(connection.index as usize)?.as_mut()?;
    (peer.outbox.connection() == connection).then_some(peer)
}
