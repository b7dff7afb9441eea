//! Endpoints and plain sockets of a shard: what their owner asks of them.

use super::Shard;
use crate::error::{Code, Error, Result};
use crate::io::{DatagramCounters, DatagramOptions, Driver, Event, Instant, Train};
use crate::log::LogLevel;
use crate::messages::{Datagrams, Endpoint, EndpointConfig, EndpointId, Messages, PlainTrain, SocketId};
use crate::proto::datagram::{
    self as proto, ConnectError, Connection, MessageClaim, SendError, Sequence, StreamId,
};
use crate::security::PublicKey;
use std::net::SocketAddr;
use std::path::PathBuf;

impl<D: Driver> Shard<D> {
    /// Opens an endpoint of reliable datagrams; port 0 lets the system choose.
    ///
    /// Errors: `InsecureAddress` (clear messages outside loopback), `BadConfiguration`, `AddressInUse`, `AddressNotAvailable`,
    /// `PermissionDenied`, `OutOfMemory`, `TooLarge` (4096 endpoints are there), `KeyExposed` (others can get at the key log), `Io` (no
    /// trace or key log can be made there), `WrongThread`.
    pub fn open_endpoint(&mut self, address: SocketAddr, mut config: EndpointConfig) -> Result<EndpointId> {
        self.check_thread()?;
        let now = self.time();
        config.machine.shard = self.index as u8;
        if config.machine.epoch == 0 {
            config.machine.epoch = crate::messages::epoch();
        }
        let files = [config.trace_path.clone(), config.key_log_path.clone()];
        let endpoint = Endpoint::open(&mut self.driver, now, address, config)?;
        self.log_files(&endpoint, &files);
        let socket = endpoint.socket;
        self.endpoints.insert(endpoint).map(EndpointId::from).map_err(|_| {
            self.driver.close_datagram(socket);
            Error::new(Code::TooLarge, "there are 4096 endpoints, which is as many as may be")
        })
    }

    /// Says that an endpoint writes a trace or its keys.
    fn log_files(&mut self, endpoint: &Endpoint, [trace, keys]: &[Option<PathBuf>; 2]) {
        let Some(address) = self.driver.datagram_address(endpoint.socket) else { return };
        if let Some(path) = trace {
            let words = format!("endpoint {address} writes a trace of every packet to {}", path.display());
            self.log.push(LogLevel::Info, words);
        }
        if let Some(path) = keys {
            let words = format!(
                "endpoint {address} WRITES ITS KEYS to {}: whoever reads that file can read all that is sent; not for \
                 production",
                path.display()
            );
            self.log.push(LogLevel::Warn, words);
        }
    }

    /// The address that an endpoint is bound to.
    pub fn endpoint_address(&self, id: EndpointId) -> Result<SocketAddr> {
        let socket = self.endpoint(id)?.socket;
        self.driver.datagram_address(socket).ok_or_else(|| no_such_endpoint(id))
    }

    /// Closes an endpoint. Its connections end without a word to their peers: close and finish them before.
    ///
    /// Errors: `NoSuchEndpoint`, `WrongThread`.
    pub fn close_endpoint(&mut self, id: EndpointId) -> Result<()> {
        self.check_thread()?;
        let endpoint = self.endpoints.remove(id).ok_or_else(|| no_such_endpoint(id))?;
        self.driver.close_datagram(endpoint.socket);
        Ok(())
    }

    /// Begins a connection from an endpoint to a peer; `key` is the public key that the peer must have, in secure mode. An event tells the end:
    /// `Connected` or `Gone`.
    ///
    /// Errors: `ConnectionsExhausted`, `NoKey`, `BadKey` (one that nobody can have), `BadConfiguration` (a key, and the endpoint is clear),
    /// `NoSuchEndpoint`, `WrongThread`.
    pub fn connect(&mut self, id: EndpointId, peer: SocketAddr, key: Option<[u8; 32]>) -> Result<Connection> {
        self.check_thread()?;
        let now = self.time();
        let endpoint = self.endpoint_mut(id)?;
        if key.is_some() && endpoint.is_clear {
            return Err(Error::new(
                Code::BadConfiguration,
                format!("connect to {peer}: a key was given, and a clear endpoint cannot check it"),
            ));
        }
        if key.is_some_and(|key| PublicKey::from_bytes(key).is_none()) {
            return Err(Error::new(
                Code::BadKey,
                format!("connect to {peer}: this public key is a weak one that nobody can have"),
            ));
        }
        endpoint.machine.connect(now, peer, key).map_err(|error| match error {
            ConnectError::Full { max } => Error::new(
                Code::ConnectionsExhausted,
                format!("the endpoint has {max} connections, its limit"),
            ),
            ConnectError::NoKey => {
                Error::new(Code::NoKey, format!("connect to {peer}: no public key was given"))
            }
        })
    }

    /// Sends a message on a stream of a connection: copied into a packet, which leaves with the next turn.
    ///
    /// Errors: `WouldBlock` (an event `Writable` tells when to go on), `NotOpen`, `TooLarge`, `TooManyStreams`.
    #[inline]
    pub fn send(
        &mut self,
        id: EndpointId,
        connection: Connection,
        stream: StreamId,
        payload: &[u8],
    ) -> std::result::Result<Sequence, SendError> {
        match self.endpoints.get_mut(id) {
            Some(endpoint) => endpoint.machine.send(connection, stream, payload),
            None => Err(SendError::NotOpen),
        }
    }

    /// Sends messages on one stream until one does not go: how many went, and why the next one did not (as [`Shard::send`] says). Cheaper than one
    /// by one.
    pub fn send_many<'m>(
        &mut self,
        id: EndpointId,
        connection: Connection,
        stream: StreamId,
        messages: impl IntoIterator<Item = &'m [u8]>,
    ) -> (usize, std::result::Result<(), SendError>) {
        match self.endpoints.get_mut(id) {
            Some(endpoint) => endpoint.machine.send_many(connection, stream, messages.into_iter()),
            None => (0, Err(SendError::NotOpen)),
        }
    }

    /// Writes a message in place: `write` gets room for `len` bytes and says how many of them are the message. It must fit a packet, on a
    /// reliable stream.
    ///
    /// Errors: as [`Shard::send`].
    pub fn send_with(
        &mut self,
        id: EndpointId,
        connection: Connection,
        stream: StreamId,
        len: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> std::result::Result<Sequence, SendError> {
        let claim = self.claim(id, connection, stream, len)?;
        let written = self.claimed(id, &claim).map_or(0, write);
        let sequence = claim.sequence();
        self.commit(id, claim, written);
        Ok(sequence)
    }

    /// Room for a message, as [`Shard::send_with`], for an edge that cannot hand over a function. To be ended by [`Shard::commit`] before
    /// anything else is done to the endpoint, and before the next turn.
    ///
    /// Errors: as [`Shard::send`].
    pub fn claim(
        &mut self,
        id: EndpointId,
        connection: Connection,
        stream: StreamId,
        len: usize,
    ) -> std::result::Result<MessageClaim, SendError> {
        self.endpoints.get_mut(id).ok_or(SendError::NotOpen)?.machine.claim(connection, stream, len)
    }

    /// The bytes of a claim, to be written.
    pub fn claimed(&mut self, id: EndpointId, claim: &MessageClaim) -> Option<&mut [u8]> {
        self.endpoints.get_mut(id)?.machine.claimed(claim)
    }

    /// Ends a claim: its first `len` bytes are the message, at most what was claimed.
    pub fn commit(&mut self, id: EndpointId, claim: MessageClaim, len: usize) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.machine.commit(claim, len);
        }
    }

    /// Ends a connection: at once, or when all that was sent has arrived (`is_finishing`). The peer gets code and words; an event `Gone` follows.
    ///
    /// Errors: `NoSuchEndpoint`, `WrongThread`.
    pub fn close_connection(
        &mut self,
        id: EndpointId,
        connection: Connection,
        code: u64,
        text: &str,
        is_finishing: bool,
    ) -> Result<()> {
        self.check_thread()?;
        let now = self.time();
        self.endpoint_mut(id)?.machine.close(now, connection, code, text.as_bytes(), is_finishing);
        Ok(())
    }

    /// What has happened to connections since the last call.
    pub fn connection_events(&mut self) -> impl Iterator<Item = (EndpointId, proto::Event)> + '_ {
        self.connection_events.drain(..)
    }

    /// Messages that the last turn has brought, lent until the next one: that gives their room back to the senders.
    pub fn messages(&self) -> impl Iterator<Item = Messages<'_>> {
        self.arrivals.messages(&self.driver)
    }

    /// What is known of the path of a connection; `None` when it is over.
    pub fn path(&self, id: EndpointId, connection: Connection) -> Result<Option<proto::PathReport>> {
        Ok(self.endpoint(id)?.machine.path(connection))
    }

    /// What an endpoint has counted.
    pub fn endpoint_stats(&self, id: EndpointId) -> Result<proto::Stats> {
        Ok(self.endpoint(id)?.machine.stats())
    }

    /// Opens a socket for plain datagrams; port 0 lets the system choose.
    ///
    /// Errors: `AddressInUse`, `AddressNotAvailable`, `PermissionDenied`, `OutOfMemory`, `TooLarge` (4096 sockets are there), `WrongThread`.
    pub fn bind(&mut self, address: SocketAddr, options: &DatagramOptions) -> Result<SocketId> {
        self.check_thread()?;
        let socket = self
            .driver
            .bind_datagram(address, options)
            .map_err(|error| Error::from_io(format_args!("bind {address}"), &error))?;
        self.sockets.insert(socket).map(SocketId::from).map_err(|socket| {
            self.driver.close_datagram(socket);
            Error::new(Code::TooLarge, "there are 4096 datagram sockets, which is as many as may be")
        })
    }

    /// The address that a socket is bound to.
    pub fn socket_address(&self, id: SocketId) -> Result<SocketAddr> {
        let socket = self.sockets.get(id).ok_or_else(|| no_such_socket(id))?;
        self.driver.datagram_address(*socket).ok_or_else(|| no_such_socket(id))
    }

    /// Sends plain datagrams to one address: `train` is cut into datagrams of its segment's length. They leave with the next turn; nothing is
    /// promised of them.
    ///
    /// Errors: `WouldBlock` (too many wait), `TooLarge` (a datagram is longer than 65,507 bytes), `NoSuchSocket`, `WrongThread`.
    pub fn send_to(&mut self, id: SocketId, to: SocketAddr, train: Train) -> Result<()> {
        self.check_thread()?;
        let socket = *self.sockets.get(id).ok_or_else(|| no_such_socket(id))?;
        if train.segment as usize > crate::io::TRAIN_BYTES_MAX {
            return Err(Error::new(
                Code::TooLarge,
                format!("a datagram is {} bytes, limit is {}", train.segment, crate::io::TRAIN_BYTES_MAX),
            ));
        }
        if self.driver.datagrams_unsent(socket) >= PLAIN_UNSENT_MAX {
            return Err(Error::from(Code::WouldBlock));
        }
        self.driver.send_datagrams(socket, to, train);
        Ok(())
    }

    /// Plain datagrams that the last turn has brought, lent until the next one.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagrams<'_>> {
        self.arrivals.datagrams(&self.driver)
    }

    /// What has passed through a socket.
    pub fn socket_counters(&self, id: SocketId) -> Result<DatagramCounters> {
        let socket = self.sockets.get(id).ok_or_else(|| no_such_socket(id))?;
        self.driver.datagram_counters(*socket).ok_or_else(|| no_such_socket(id))
    }

    /// Closes a socket. What can be sent at once is.
    pub fn close_socket(&mut self, id: SocketId) -> Result<()> {
        self.check_thread()?;
        let socket = self.sockets.remove(id).ok_or_else(|| no_such_socket(id))?;
        self.driver.close_datagram(socket);
        Ok(())
    }

    /// An event of a datagram socket: an endpoint's, a plain one's, or of one that is closed.
    pub(super) fn on_datagram_event(&mut self, event: Event) {
        let Event::Datagrams { socket, from, segment, ecn, lease } = event else { return };
        let now = self.driver.now();
        if let Some((place, endpoint)) =
            self.endpoints.iter_mut().find(|(_, endpoint)| endpoint.socket == socket)
        {
            let (name, arrivals) = (place.into(), &mut self.arrivals);
            endpoint.on_datagrams(&mut self.driver, now, name, from, segment, ecn, lease, arrivals);
            // Who has connected is told before what it has sent is read.
            while let Some(event) = endpoint.poll_event_but_gone(name, arrivals) {
                self.connection_events.push((name, event));
            }
            return;
        }
        let plain = self.sockets.iter().find(|(_, plain)| **plain == socket).map(|(place, _)| place);
        if let Some(place) = plain {
            return self.arrivals.push_plain(PlainTrain { socket: place.into(), from, segment, ecn, lease });
        }
        let Some((forwarder, leg)) = self.owners.leg(socket) else { return self.driver.release(lease) };
        self.with_forwarder(forwarder, |forwarder, io| {
            forwarder.on_leg_train(io, leg, (from, segment, ecn), lease)
        });
    }

    /// The owner has read what the turn before has brought.
    pub(super) fn return_arrivals(&mut self) {
        if self.arrivals.is_empty() {
            return;
        }
        let endpoints = &mut self.endpoints;
        self.arrivals.clear(&mut self.driver, |endpoint, connection, stream, cost| {
            if let Some(endpoint) = endpoints.get_mut(endpoint) {
                endpoint.machine.consume(connection, stream, cost);
            }
        });
    }

    /// Time-outs and trains of all endpoints.
    pub(super) fn drive_endpoints(&mut self, now: Instant) {
        for (place, endpoint) in self.endpoints.iter_mut() {
            let (name, arrivals) = (place.into(), &mut self.arrivals);
            endpoint.drive_calls(now, name, arrivals);
            endpoint.drive(&mut self.driver, now);
            while let Some(event) = endpoint.poll_event(name, arrivals) {
                self.connection_events.push((name, event));
            }
            if let Some(words) = endpoint.take_trouble() {
                self.log.push(LogLevel::Error, format!("endpoint {}: {words}", EndpointId::from(place)));
            }
        }
        for place in 0..self.forwarders.len() {
            if self.forwarders[place].as_ref().is_some_and(|forwarder| forwarder.has_legs()) {
                self.with_forwarder_at(place as u16, now, |forwarder, io| forwarder.drive_legs(io));
            }
        }
    }

    /// When an endpoint wants a turn.
    pub(super) fn endpoints_due(&self) -> Option<Instant> {
        let own = self.endpoints.iter().filter_map(|(_, endpoint)| endpoint.next_timeout());
        own.chain(self.forwarders.iter().flatten().filter_map(|forwarder| forwarder.legs_due())).min()
    }

    pub(super) fn endpoint(&self, id: EndpointId) -> Result<&Endpoint> {
        self.endpoints.get(id).ok_or_else(|| no_such_endpoint(id))
    }

    fn endpoint_mut(&mut self, id: EndpointId) -> Result<&mut Endpoint> {
        self.endpoints.get_mut(id).ok_or_else(|| no_such_endpoint(id))
    }
}

fn no_such_endpoint(id: EndpointId) -> Error {
    Error::new(Code::NoSuchEndpoint, format!("there is no endpoint {id}"))
}

fn no_such_socket(id: SocketId) -> Error {
    Error::new(Code::NoSuchSocket, format!("there is no datagram socket {id}"))
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Error {
        match error {
            SendError::NotOpen => Error::from(Code::NotConnected),
            SendError::WouldBlock => Error::from(Code::WouldBlock),
            SendError::TooLarge { len, max } => {
                Error::new(Code::TooLarge, format!("message is {len} bytes, limit is {max}"))
            }
            SendError::TooManyStreams { max } => {
                Error::new(Code::TooLarge, format!("the peer takes {max} streams, which are all in use"))
            }
        }
    }
}

/// Bytes of plain datagrams that may wait.
const PLAIN_UNSENT_MAX: usize = 4 << 20;
