//! Calls in both directions on one connection.

use super::call::{CallError, CallId};
use super::callee::Callee;
use super::caller::Caller;
use super::config::Config;
use super::event::Incoming;
use super::message::{self, Message, PartMessage};
use super::parts::{Arriving, Outgoing};
use super::port::Port;
use super::table::Stats;
use super::{WHOLE, ordered};
use crate::datagram::{Connection, StreamId, StreamKind};
use crate::time::Instant;
use alloc::vec::Vec;

/// What a connection's calls share with those of the others.
pub(super) struct Shared<'a> {
    pub config: &'a Config,
    pub stats: &'a mut Stats,
    /// Calls of peers in the owner's hands, of all connections.
    pub in_hands: &'a mut u32,
    /// For writing short messages.
    pub scratch: &'a mut Vec<u8>,
}

/// How a call or a reply travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Way {
    /// In a packet, repeated by us.
    #[default]
    Packet,
    /// On the unordered stream.
    Whole,
    /// With parts, on the ordered stream of its slot.
    Ordered,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub connection: Connection,
    pub caller: Caller,
    pub callee: Callee,
    /// Earliest entry of it in the table's wheel.
    pub entered: Option<Instant>,
}

impl Peer {
    pub fn new(connection: Connection) -> Peer {
        Peer { connection, caller: Caller::default(), callee: Callee::default(), entered: None }
    }

    /// Whether no call is under way.
    pub fn is_idle(&self) -> bool {
        self.caller.outstanding_len() == 0 && self.callee.executing() == 0
    }

    /// A message has come on a stream of calls.
    #[inline]
    pub fn on_message(
        &mut self,
        now: Instant,
        stream: StreamId,
        bytes: &[u8],
        port: &mut impl Port,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        let Ok(message) = Message::read(bytes) else {
            shared.stats.malformed += 1;
            return;
        };
        let connection = self.connection;
        match message {
            Message::Call(call) => {
                let way = match stream.kind() {
                    StreamKind::Ordered => Way::Ordered,
                    StreamKind::Unordered => Way::Whole,
                    _ => Way::Packet,
                };
                self.callee.on_call(now, connection, &call, way, port, shared, inbox);
            }
            Message::Reply(reply) => self.caller.on_reply(now, connection, &reply, shared, inbox),
            Message::Working { slot, sequence, state } => {
                self.caller.on_working(now, connection, slot, sequence, state, port, shared);
            }
            Message::Ask { slot, sequence } => {
                self.callee.on_ask(CallId { connection, slot, sequence }, port, shared);
            }
            Message::Cancel { slot, sequence } => {
                self.callee.on_cancel(CallId { connection, slot, sequence }, port, shared, inbox);
            }
            Message::Settled { pairs } => self.callee.on_settled(pairs),
            Message::Part(part) => {
                if part.is_of_results {
                    self.caller.on_part(now, connection, &part, shared, inbox);
                } else {
                    self.callee.on_part(connection, &part, shared, inbox);
                }
            }
            Message::Credit { slot, sequence, is_for_results, total } => {
                let call = CallId { connection, slot, sequence };
                if is_for_results {
                    self.callee.on_credit(call, total, inbox);
                } else {
                    self.caller.on_credit(call, total, inbox);
                }
            }
        }
    }
}

/// Sends a part, when credit and transport allow it.
pub(super) fn send_part(
    parts: &mut Outgoing,
    connection: Connection,
    part: &PartMessage<'_>,
    port: &mut impl Port,
    shared: &mut Shared<'_>,
) -> Result<(), CallError> {
    if parts.is_done() {
        return Err(CallError::NoSuchCall);
    }
    let (len, max) = (part.bytes.len(), shared.config.part_bytes_max);
    if len > max {
        return Err(CallError::TooLarge { len, max });
    }
    if !parts.has_room(len) {
        shared.stats.parts_blocked += 1;
        return Err(CallError::WouldBlock);
    }
    shared.scratch.clear();
    message::put_part(shared.scratch, part);
    match port.send(connection, ordered(part.slot), shared.scratch) {
        Ok(()) => {
            parts.on_sent(len, part.is_last);
            shared.stats.parts_sent += 1;
            Ok(())
        }
        Err(error) => {
            let error = CallError::from_send(error);
            if error == CallError::WouldBlock {
                parts.on_blocked();
                shared.stats.parts_blocked += 1;
            }
            Err(error)
        }
    }
}

/// Gives credit for parts that were read, when it is enough to tell.
pub(super) fn grant(
    parts: &mut Arriving,
    call: CallId,
    is_for_results: bool,
    port: &mut impl Port,
    shared: &mut Shared<'_>,
) {
    if let Some(total) = parts.grant() {
        shared.scratch.clear();
        message::put_credit(shared.scratch, call.slot, call.sequence, is_for_results, total);
        if port.send(call.connection, WHOLE, shared.scratch).is_ok() {
            parts.on_granted(total);
        }
    }
}
