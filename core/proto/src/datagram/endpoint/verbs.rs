//! What the owner wishes.

use super::{Content, Endpoint, Slot};
use crate::datagram::builder::Claim;
use crate::datagram::connection::{Machine, SendError, Shared};
use crate::datagram::event::{Event, GoneReason};
use crate::datagram::handshake::{Connecting, parameters};
use crate::datagram::id::{Connection, Sequence, StreamId, WireId};
use crate::datagram::packet::VERSION;
use crate::datagram::security::Security;
use crate::datagram::trace::TraceEvent;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Why no connection was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// There are as many as may be.
    Full {
        /// How many.
        max: usize,
    },
    /// The peer's key is needed and was not given, or is not one.
    NoKey,
}

/// A message that is being written in place.
#[derive(Debug)]
pub struct MessageClaim {
    connection: Connection,
    stream: StreamId,
    sequence: Sequence,
    len: usize,
    claim: Claim,
}

impl MessageClaim {
    /// The sequence that the message will have.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }
}

impl<S: Security> Endpoint<S> {
    /// Begins a connection; `Connected` or `Gone` tells the end. `key` is the public key that the peer must have, in secure mode.
    pub fn connect(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        key: Option<[u8; 32]>,
    ) -> Result<Connection, ConnectError> {
        self.trace.at(now);
        let Some((index, own)) = self.take_slot() else {
            return Err(ConnectError::Full { max: self.config.connections_max });
        };
        let parameters = parameters(&self.config, &self.security, own);
        let Some(started) = self.security.initiate(key, &parameters) else {
            self.release(index);
            return Err(ConnectError::NoKey);
        };
        let name = Connection { index, generation: self.slots[index as usize].generation };
        let target = self.security.random();
        let connecting = Connecting::new(now, &self.config, own, peer, target, VERSION, started);
        self.slots[index as usize].content = Content::Connecting(Box::new(connecting));
        self.make_ready(index);
        Ok(name)
    }

    /// Takes a message to be sent on a stream. It leaves with the next [`Endpoint::transmit`], as the window allows.
    #[inline]
    pub fn send(
        &mut self,
        connection: Connection,
        stream: StreamId,
        payload: &[u8],
    ) -> Result<Sequence, SendError> {
        self.with_machine(connection, |machine, shared| machine.send(shared, stream, payload))
    }

    /// Takes messages for one stream until one does not go: how many went, and why the next one did not.
    pub fn send_many<'m>(
        &mut self,
        connection: Connection,
        stream: StreamId,
        messages: impl Iterator<Item = &'m [u8]>,
    ) -> (usize, Result<(), SendError>) {
        let sent =
            self.with_machine(connection, |machine, shared| Ok(machine.send_many(shared, stream, messages)));
        sent.unwrap_or_else(|error| (0, Err(error)))
    }

    /// Room to write a message of at most `len` bytes in place, on a reliable stream; it must fit a packet. To be ended by
    /// [`Endpoint::commit`] before anything else is done to the connection.
    pub fn claim(
        &mut self,
        connection: Connection,
        stream: StreamId,
        len: usize,
    ) -> Result<MessageClaim, SendError> {
        let (claim, sequence) =
            self.with_machine(connection, |machine, shared| machine.claim(shared, stream, len))?;
        Ok(MessageClaim { connection, stream, sequence, len, claim })
    }

    /// The bytes of a claim, to be written.
    pub fn claimed(&mut self, claim: &MessageClaim) -> Option<&mut [u8]> {
        self.machine_mut(claim.connection)?.claimed(&claim.claim)
    }

    /// Ends a claim: its first `len` bytes are the message, at most what was claimed.
    pub fn commit(&mut self, claim: MessageClaim, len: usize) {
        let MessageClaim { connection, stream, len: claimed, claim, .. } = claim;
        if let Some(machine) = self.machine_mut(connection) {
            machine.commit(&claim, stream, claimed, len.min(claimed));
        }
    }

    /// The owner is done with messages of a stream that cost so much of the window ([`crate::datagram::Run`]): the peer may send as much again.
    pub fn consume(&mut self, connection: Connection, stream: StreamId, cost: u64) {
        let Some(Slot { generation, content: Content::Open(machine) }) =
            self.slots.get_mut(connection.index as usize)
        else {
            return;
        };
        if *generation == connection.generation {
            machine.consume(&self.config, stream, cost);
            if !machine.is_ready && machine.wants_to_send() {
                self.make_ready(connection.index);
            }
        }
    }

    /// Ends a connection, with a code and words for the peer: at once, or when all that was sent has arrived (`is_finishing`). `Gone` follows.
    pub fn close(
        &mut self,
        now: Instant,
        connection: Connection,
        code: u64,
        text: &[u8],
        is_finishing: bool,
    ) {
        self.trace.at(now);
        match self.slots.get_mut(connection.index as usize) {
            Some(Slot { generation, .. }) if *generation != connection.generation => {}
            Some(Slot { content: Content::Connecting(_), .. }) => {
                self.give_up(connection.index, GoneReason::Closed)
            }
            Some(Slot { content: Content::Open(machine), .. }) => {
                let mut shared = Shared {
                    config: &self.config,
                    pool: &mut self.pool,
                    events: &mut self.events,
                    stats: &mut self.stats,
                    trace: &mut self.trace,
                };
                machine.close(now, &mut shared, code, text, is_finishing);
                self.settle(connection.index);
            }
            _ => {}
        }
    }

    /// A client's attempt is over.
    pub(super) fn give_up(&mut self, index: u32, reason: GoneReason) {
        let generation = self.slots[index as usize].generation;
        let connection = Connection { index, generation };
        self.trace.note(Some(connection), || TraceEvent::Closed { reason: &reason });
        self.events.push_back(Event::Gone { connection, reason, unconfirmed: Vec::new() });
        self.release(index);
    }

    /// A free place and a connection id for it.
    pub(super) fn take_slot(&mut self) -> Option<(u32, WireId)> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < self.config.connections_max => {
                if self.slots.len() == self.slots.capacity() {
                    self.slots.reserve_exact(self.slots.len() / 8 + 8);
                }
                self.slots.push(Slot { generation: 0, content: Content::Free });
                (self.slots.len() - 1) as u32
            }
            None => return None,
        };
        Some((index, WireId::new(self.config.shard, index, self.security.random())))
    }

    fn machine_mut(&mut self, name: Connection) -> Option<&mut Machine<S::Protector>> {
        match self.slots.get_mut(name.index as usize) {
            Some(Slot { generation, content: Content::Open(machine) }) if *generation == name.generation => {
                Some(machine)
            }
            _ => None,
        }
    }

    #[inline]
    fn with_machine<T>(
        &mut self,
        name: Connection,
        act: impl FnOnce(&mut Machine<S::Protector>, &mut Shared<'_>) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        let machine = match self.slots.get_mut(name.index as usize) {
            Some(Slot { generation, content: Content::Open(machine) }) if *generation == name.generation => {
                machine
            }
            _ => return Err(SendError::NotOpen),
        };
        let mut shared = Shared {
            config: &self.config,
            pool: &mut self.pool,
            events: &mut self.events,
            stats: &mut self.stats,
            trace: &mut self.trace,
        };
        let result = act(machine, &mut shared);
        if result.is_ok() && !core::mem::replace(&mut machine.is_ready, true) {
            self.ready.push_back(name.index);
        }
        result
    }
}
