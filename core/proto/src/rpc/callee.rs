//! The server's side of a connection: slots, repeats, replies that are kept.

use super::call::{CallError, CallId, ReplyError, Results};
use super::event::{Incoming, IncomingCall};
use super::message::{self, CallMessage, PartMessage, WorkState, settlements};
use super::parts::{Arriving, Outgoing};
use super::peer::{Shared, Way};
use super::port::Port;
use super::status::Status;
use super::{PACKETS, WHOLE, ordered};
use crate::datagram::{Connection, SendError};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// Calls of the peer of one connection.
#[derive(Debug, Default)]
pub(super) struct Callee {
    slots: Vec<Slot>,
    /// Bytes of replies in `slots`.
    kept_bytes: usize,
    /// Slots whose reply the transport did not take.
    unsent: Vec<u32>,
    executing: usize,
}

#[derive(Debug, Default)]
struct Slot {
    /// The highest that has been seen; calls count from 1.
    sequence: u64,
    state: State,
    way: Way,
    is_cancelled: bool,
    /// The reply as it was sent, when it travels in packets or has not been sent.
    reply: Vec<u8>,
    parts: Option<Box<Parts>>,
}

#[derive(Debug)]
struct Parts {
    arguments: Arriving,
    results: Outgoing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Idle,
    Executing,
    Replied,
    /// Its reply is on a reliable stream.
    Delivered,
}

impl Callee {
    /// A call has come.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "what is known of it, and whom it concerns")]
    pub fn on_call(
        &mut self,
        now: Instant,
        connection: Connection,
        message: &CallMessage<'_>,
        way: Way,
        port: &mut impl Port,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        let CallMessage { slot, sequence, method, timeout_ms, metadata, has_parts, arguments } = *message;
        let call = CallId { connection, slot, sequence };
        if is_beyond(call, shared) {
            shared.stats.refused += 1;
            return refuse_slot(call, port, shared);
        }
        self.reach(slot);
        let entry = &self.slots[slot as usize];
        if sequence <= entry.sequence {
            shared.stats.repeats += 1;
            if sequence == entry.sequence {
                self.answer_again(call, port, shared);
            }
            return;
        }
        self.take(call, way, has_parts, shared, inbox);
        let refused = if metadata.as_wire().len() > shared.config.metadata_bytes_max {
            Some(refusal(Status::OutOfRange, "more metadata than the server takes"))
        } else if *shared.in_hands > shared.config.calls_max {
            Some(refusal(Status::ResourceExhausted, "the server is busy"))
        } else if self.kept_bytes > shared.config.kept_bytes_max {
            Some(refusal(Status::ResourceExhausted, "the server keeps as many replies as it may"))
        } else {
            None
        };
        if let Some(refused) = refused {
            shared.stats.refused += 1;
            let _ = self.reply(call, &refused, port, shared);
            return;
        }
        shared.stats.served += 1;
        inbox(Incoming::Call(IncomingCall {
            call,
            method,
            deadline: timeout_ms.map(|ms| now + Duration::from_millis(ms)),
            metadata,
            is_streamed: way == Way::Ordered,
            has_parts,
            arguments,
        }));
    }

    /// The owner has the reply to a call.
    #[inline]
    pub fn reply(
        &mut self,
        call: CallId,
        results: &Results<'_>,
        port: &mut impl Port,
        shared: &mut Shared<'_>,
    ) -> Result<(), ReplyError> {
        let CallId { connection, slot, sequence } = call;
        let entry = self
            .slots
            .get_mut(slot as usize)
            .filter(|entry| entry.sequence == sequence && entry.state == State::Executing)
            .ok_or(ReplyError::NoSuchCall)?;
        *shared.in_hands -= 1;
        self.executing -= 1;
        entry.state = State::Replied;
        entry.parts = None;
        if results.metadata.as_wire().len() > shared.config.metadata_bytes_max {
            let text = "the reply has more metadata than is carried";
            message::put_reply(&mut entry.reply, slot, sequence, &too_much(text));
        } else {
            message::put_reply(&mut entry.reply, slot, sequence, results);
        }
        self.kept_bytes += entry.reply.len();
        self.send_reply(connection, slot, port, shared);
        Ok(())
    }

    /// Sends a part of streamed results.
    pub fn send_part(
        &mut self,
        call: CallId,
        bytes: &[u8],
        port: &mut impl Port,
        shared: &mut Shared<'_>,
    ) -> Result<(), CallError> {
        let CallId { connection, slot, sequence } = call;
        let parts = self.parts(call).ok_or(CallError::NoSuchCall)?;
        // The reply is what ends them.
        let part = PartMessage { slot, sequence, is_of_results: true, is_last: false, bytes };
        super::peer::send_part(&mut parts.results, connection, &part, port, shared)
    }

    /// The owner has read a part of the arguments.
    pub fn consume(&mut self, call: CallId, len: usize, port: &mut impl Port, shared: &mut Shared<'_>) {
        if let Some(parts) = self.parts(call) {
            let _ = parts.arguments.on_consumed(len);
            super::peer::grant(&mut parts.arguments, call, false, port, shared);
        }
    }

    /// The caller asks.
    pub fn on_ask(&mut self, call: CallId, port: &mut impl Port, shared: &mut Shared<'_>) {
        match self.slots.get(call.slot as usize) {
            Some(entry) if entry.sequence == call.sequence => self.answer_again(call, port, shared),
            // The caller has gone on.
            Some(entry) if entry.sequence > call.sequence => {}
            _ if is_beyond(call, shared) => refuse_slot(call, port, shared),
            _ => send_working(call, WorkState::NotSeen, port, shared),
        }
    }

    /// The caller wants it no more.
    pub fn on_cancel(
        &mut self,
        call: CallId,
        port: &mut impl Port,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        if is_beyond(call, shared) {
            return refuse_slot(call, port, shared);
        }
        self.reach(call.slot);
        let entry = &mut self.slots[call.slot as usize];
        if entry.sequence > call.sequence {
            return;
        }
        if entry.sequence < call.sequence {
            // It has overtaken the call, which will not be executed when it comes.
            self.take(call, Way::Packet, false, shared, inbox);
            let refused = refusal(Status::Cancelled, "cancelled before it came");
            let _ = self.reply(call, &refused, port, shared);
        } else if entry.state == State::Executing {
            if !core::mem::replace(&mut entry.is_cancelled, true) {
                inbox(Incoming::Cancelled { call });
            }
        } else {
            self.answer_again(call, port, shared);
        }
    }

    /// The caller has these replies.
    pub fn on_settled(&mut self, pairs: &[u8]) {
        for (slot, sequence) in settlements(pairs) {
            let Some(entry) = self.slots.get_mut(slot as usize) else { continue };
            if entry.sequence == sequence && entry.state == State::Replied {
                self.kept_bytes -= entry.reply.len();
                entry.reply = Vec::new();
                entry.state = State::Delivered;
            }
        }
    }

    /// A part of streamed arguments has come.
    pub fn on_part(
        &mut self,
        connection: Connection,
        part: &PartMessage<'_>,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        let PartMessage { slot, sequence, is_last, bytes, .. } = *part;
        let call = CallId { connection, slot, sequence };
        // Of a call that was replied to before its arguments had ended: nobody reads it.
        let Some(parts) = self.parts(call) else { return };
        if !parts.arguments.on_part(bytes.len(), is_last) {
            shared.stats.malformed += 1;
            return;
        }
        shared.stats.parts_received += 1;
        inbox(Incoming::Part { call, token: 0, is_ours: false, is_last, bytes });
    }

    /// The caller has room for more parts.
    pub fn on_credit(&mut self, call: CallId, total: u64, inbox: &mut impl FnMut(Incoming<'_>)) {
        if self.parts(call).is_some_and(|parts| parts.results.on_credit(total)) {
            inbox(Incoming::Writable { call, token: 0, is_ours: false });
        }
    }

    /// The transport takes more.
    pub fn on_writable(
        &mut self,
        connection: Connection,
        port: &mut impl Port,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        self.flush(connection, port, shared);
        for (slot, entry) in self.slots.iter_mut().enumerate() {
            let Some(parts) = entry.parts.as_mut() else { continue };
            let call = CallId { connection, slot: slot as u32, sequence: entry.sequence };
            super::peer::grant(&mut parts.arguments, call, false, port, shared);
            if parts.results.on_writable() {
                inbox(Incoming::Writable { call, token: 0, is_ours: false });
            }
        }
    }

    /// Sends replies that the transport did not take before.
    pub fn flush(&mut self, connection: Connection, port: &mut impl Port, shared: &mut Shared<'_>) {
        let mut unsent = core::mem::take(&mut self.unsent);
        while let Some(slot) = unsent.pop() {
            let is_owed = self.slots.get(slot as usize).is_some_and(|entry| entry.state == State::Replied);
            if is_owed && !self.send_reply(connection, slot, port, shared) {
                break;
            }
        }
        self.unsent.append(&mut unsent);
    }

    /// The connection is gone.
    pub fn on_gone(
        &mut self,
        connection: Connection,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        for (slot, entry) in self.slots.iter().enumerate() {
            if entry.state == State::Executing {
                *shared.in_hands -= 1;
                let call = CallId { connection, slot: slot as u32, sequence: entry.sequence };
                inbox(Incoming::Cancelled { call });
            }
        }
        *self = Callee::default();
    }

    /// Calls in the owner's hands.
    pub fn executing(&self) -> usize {
        self.executing
    }

    /// What must hold between calls, for tests.
    pub fn check_invariants(&self) {
        let kept: usize = self.slots.iter().map(|slot| slot.reply.len()).sum();
        let executing = self.slots.iter().filter(|slot| slot.state == State::Executing).count();
        assert_eq!((kept, executing), (self.kept_bytes, self.executing), "kept bytes and calls are counted");
    }

    fn reach(&mut self, slot: u32) {
        if self.slots.len() <= slot as usize {
            self.slots.resize_with(slot as usize + 1, Slot::default);
        }
    }

    /// A new call takes its slot from the one before.
    #[inline]
    fn take(
        &mut self,
        call: CallId,
        way: Way,
        has_parts: bool,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        let entry = &mut self.slots[call.slot as usize];
        let before = CallId { sequence: entry.sequence, ..call };
        let is_given_up = entry.state == State::Executing;
        self.kept_bytes -= entry.reply.len();
        entry.reply.clear();
        entry.sequence = call.sequence;
        entry.state = State::Executing;
        entry.way = way;
        entry.is_cancelled = false;
        entry.parts = (way == Way::Ordered).then(|| {
            let mut arguments = Arriving::new(shared.config.part_window);
            if !has_parts {
                let _ = arguments.on_part(0, true);
            }
            Box::new(Parts { arguments, results: Outgoing::new(shared.config.part_window) })
        });
        if is_given_up {
            // Its caller has gone on without its reply.
            inbox(Incoming::Cancelled { call: before });
        } else {
            *shared.in_hands += 1;
            self.executing += 1;
        }
    }

    fn parts(&mut self, call: CallId) -> Option<&mut Parts> {
        let entry = self.slots.get_mut(call.slot as usize)?;
        let is_live = entry.sequence == call.sequence && entry.state == State::Executing;
        entry.parts.as_deref_mut().filter(|_| is_live)
    }

    /// What is known of a call that has come before.
    fn answer_again(&mut self, call: CallId, port: &mut impl Port, shared: &mut Shared<'_>) {
        let entry = &self.slots[call.slot as usize];
        match entry.state {
            State::Idle => {}
            State::Executing => send_working(call, WorkState::Executing, port, shared),
            State::Replied => {
                // Not lost when it does not go: asked for again.
                let _ = port.send(call.connection, PACKETS, &entry.reply);
            }
            State::Delivered => send_working(call, WorkState::Replied, port, shared),
        }
    }

    /// Gives the reply of a slot to the transport. False when the transport takes no more.
    #[inline]
    fn send_reply(
        &mut self,
        connection: Connection,
        slot: u32,
        port: &mut impl Port,
        shared: &mut Shared<'_>,
    ) -> bool {
        let entry = &mut self.slots[slot as usize];
        let first = if entry.way == Way::Ordered { ordered(slot) } else { PACKETS };
        let mut sent = port.send(connection, first, &entry.reply);
        let mut is_kept = entry.way != Way::Ordered;
        if is_kept && matches!(sent, Err(SendError::TooLarge { .. })) {
            sent = port.send(connection, WHOLE, &entry.reply);
            is_kept = false;
        }
        match sent {
            Ok(()) if is_kept => {}
            Ok(()) => {
                self.kept_bytes -= entry.reply.len();
                entry.reply = Vec::new();
                entry.state = State::Delivered;
            }
            Err(SendError::WouldBlock) => {
                self.unsent.push(slot);
                return false;
            }
            Err(SendError::TooLarge { .. } | SendError::TooManyStreams { .. }) => {
                shared.stats.replies_too_large += 1;
                self.kept_bytes -= entry.reply.len();
                entry.reply.clear();
                let text = "the results are longer than a message may be";
                message::put_reply(&mut entry.reply, slot, entry.sequence, &too_much(text));
                self.kept_bytes += entry.reply.len();
                // Short enough for every way; if it does not go, it is asked for.
                entry.way = if entry.way == Way::Ordered { Way::Ordered } else { Way::Packet };
                let _ = port.send(connection, first, &entry.reply);
            }
            // The end of the connection tells the rest.
            Err(SendError::NotOpen) => {}
        }
        true
    }
}

/// Of a slot that the server does not have.
fn is_beyond(call: CallId, shared: &Shared<'_>) -> bool {
    call.slot >= shared.config.peer_slots_max || call.sequence == 0
}

/// The answer to everything about such a call. Nothing is kept for it: lost, it is asked for again.
fn refuse_slot(call: CallId, port: &mut impl Port, shared: &mut Shared<'_>) {
    let results = refusal(Status::ResourceExhausted, "more slots than the server has");
    shared.scratch.clear();
    message::put_reply(shared.scratch, call.slot, call.sequence, &results);
    let _ = port.send(call.connection, PACKETS, shared.scratch);
}

/// A reply that promises that the handler was not run.
fn refusal(status: Status, text: &str) -> Results<'_> {
    Results { status, is_not_executed: true, text, ..Results::default() }
}

/// In the place of a reply that cannot be carried.
fn too_much(text: &str) -> Results<'_> {
    Results { status: Status::OutOfRange, text, ..Results::default() }
}

fn send_working(call: CallId, state: WorkState, port: &mut impl Port, shared: &mut Shared<'_>) {
    shared.scratch.clear();
    message::put_working(shared.scratch, call.slot, call.sequence, state);
    // Lost, it is asked for again.
    let _ = port.send(call.connection, PACKETS, shared.scratch);
}
