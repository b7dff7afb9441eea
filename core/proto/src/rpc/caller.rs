//! The caller's side of a connection: slots, repeats, questions, ends.

use super::call::{Arguments, CallError, CallId, CallOptions};
use super::event::{Incoming, IncomingReply};
use super::message::{self, PartMessage, ReplyMessage, WorkState};
use super::metadata::MetadataRef;
use super::parts::{Arriving, Outgoing};
use super::peer::{Shared, Way};
use super::port::Port;
use super::status::{Outcome, Status};
use super::{PACKETS, WHOLE, ordered};
use crate::datagram::{Connection, SendError};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// Calls of ours on one connection.
#[derive(Debug, Default)]
pub(super) struct Caller {
    slots: Vec<Slot>,
    /// The latest to become free is the first to be used: its reply is settled by that.
    free: Vec<u32>,
    /// Nothing is due before this; perhaps nothing at this time either.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Slot {
    sequence: u64,
    state: State,
    way: Way,
    token: u64,
    deadline: Instant,
    /// When it is repeated, asked about, cancelled again, or (of a free slot) settled.
    due: Instant,
    interval: Duration,
    /// When something was heard of it.
    heard: Instant,
    /// The call as it was sent, when it travels in packets and may be repeated.
    request: Vec<u8>,
    parts: Option<Box<Parts>>,
}

#[derive(Debug)]
struct Parts {
    arguments: Outgoing,
    results: Arriving,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Never used, or settled.
    Free,
    /// The server keeps the reply to its last call.
    Unsettled,
    Called,
    Asking,
    Cancelling,
}

impl State {
    fn is_outstanding(self) -> bool {
        !matches!(self, State::Free | State::Unsettled)
    }
}

impl Caller {
    /// Makes a call.
    pub fn call(
        &mut self,
        now: Instant,
        connection: Connection,
        arguments: &Arguments<'_>,
        options: &CallOptions<'_>,
        port: &mut impl Port,
        shared: &mut Shared<'_>,
    ) -> Result<CallId, CallError> {
        let (config, metadata_len) = (shared.config, options.metadata.as_wire().len());
        if metadata_len > config.metadata_bytes_max {
            return Err(CallError::TooLarge { len: metadata_len, max: config.metadata_bytes_max });
        }
        let slot = self.take_slot(now, config.slots_max)?;
        let entry = &mut self.slots[slot as usize];
        let sequence = entry.sequence + 1;
        entry.request.clear();
        message::put_call(&mut entry.request, slot, sequence, arguments, options);
        match launch(connection, slot, &entry.request, options.is_streamed, port) {
            Ok(way) => entry.way = way,
            Err(error) => {
                self.free.push(slot);
                return Err(CallError::from_send(error));
            }
        }
        if entry.way != Way::Packet {
            // The transport repeats it.
            entry.request = Vec::new();
        }
        entry.sequence = sequence;
        entry.state = State::Called;
        entry.token = options.token;
        entry.deadline = options.timeout.map_or(Instant::MAX, |timeout| now + timeout);
        entry.heard = now;
        entry.interval = config.retry_min + 2 * port.rtt(connection);
        entry.due = now + entry.interval;
        entry.parts = options.is_streamed.then(|| {
            let mut arguments_sent = Outgoing::new(config.part_window);
            if !arguments.has_parts {
                arguments_sent.on_sent(0, true);
            }
            Box::new(Parts { arguments: arguments_sent, results: Arriving::new(config.part_window) })
        });
        let due = entry.due.min(entry.deadline);
        self.wake_by(due);
        shared.stats.calls += 1;
        Ok(CallId { connection, slot, sequence })
    }

    /// Asks the server to end a call; its reply tells what became of it.
    pub fn cancel(
        &mut self,
        now: Instant,
        call: CallId,
        port: &mut impl Port,
        shared: &mut Shared<'_>,
    ) -> Result<(), CallError> {
        let connection = call.connection;
        let Some(slot) = self.outstanding(call.slot, call.sequence) else {
            return Err(CallError::NoSuchCall);
        };
        slot.state = State::Cancelling;
        slot.interval = shared.config.retry_min + 2 * port.rtt(connection);
        slot.due = now + slot.interval;
        let (due, way) = (slot.due, slot.way);
        send_cancel(connection, call.slot, call.sequence, way, port, shared);
        self.wake_by(due);
        Ok(())
    }

    /// Sends a part of streamed arguments.
    pub fn send_part(
        &mut self,
        call: CallId,
        bytes: &[u8],
        is_last: bool,
        port: &mut impl Port,
        shared: &mut Shared<'_>,
    ) -> Result<(), CallError> {
        let CallId { connection, slot, sequence } = call;
        let entry = self.outstanding(slot, sequence).ok_or(CallError::NoSuchCall)?;
        let parts = entry.parts.as_mut().ok_or(CallError::NoSuchCall)?;
        let part = PartMessage { slot, sequence, is_of_results: false, is_last, bytes };
        super::peer::send_part(&mut parts.arguments, connection, &part, port, shared)
    }

    /// The owner has read a part of the results.
    pub fn consume(&mut self, call: CallId, len: usize, port: &mut impl Port, shared: &mut Shared<'_>) {
        let slot = self.outstanding(call.slot, call.sequence);
        if let Some(parts) = slot.and_then(|slot| slot.parts.as_mut()) {
            let _ = parts.results.on_consumed(len);
            super::peer::grant(&mut parts.results, call, true, port, shared);
        }
    }

    /// A reply has come.
    #[inline]
    pub fn on_reply(
        &mut self,
        now: Instant,
        connection: Connection,
        reply: &ReplyMessage<'_>,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        let ReplyMessage { slot, sequence, status, is_not_executed, metadata, text, results } = *reply;
        let Some(entry) = self.outstanding(slot, sequence) else {
            return self.on_late_reply(now, slot, sequence, shared);
        };
        entry.state = State::Unsettled;
        entry.due = now + shared.config.settle_delay;
        entry.parts = None;
        let (due, token) = (entry.due, entry.token);
        self.free.push(slot);
        self.wake_by(due);
        shared.stats.replies += 1;
        let outcome = if is_not_executed { Outcome::NotExecuted } else { Outcome::Executed };
        let call = CallId { connection, slot, sequence };
        inbox(Incoming::Reply(IncomingReply { call, token, status, outcome, metadata, text, results }));
    }

    /// A reply that nobody waits for: a repeat, or one whose call has ended without it. The server need not keep it.
    fn on_late_reply(&mut self, now: Instant, slot: u32, sequence: u64, shared: &mut Shared<'_>) {
        shared.stats.repeats += 1;
        let Some(entry) = self.slots.get_mut(slot as usize) else { return };
        if entry.sequence == sequence && entry.state == State::Free {
            entry.state = State::Unsettled;
            entry.due = now + shared.config.settle_delay;
            let due = entry.due;
            self.wake_by(due);
        }
    }

    /// The server has said what it does about a call.
    #[expect(clippy::too_many_arguments, reason = "what is told, and whom it concerns")]
    pub fn on_working(
        &mut self,
        now: Instant,
        connection: Connection,
        slot: u32,
        sequence: u64,
        state: WorkState,
        port: &mut impl Port,
        shared: &mut Shared<'_>,
    ) {
        let Some(entry) = self.outstanding(slot, sequence) else { return };
        entry.heard = now;
        match state {
            WorkState::NotSeen if entry.way == Way::Packet && entry.state != State::Cancelling => {
                shared.stats.retries += 1;
                // Lost once more, it is repeated once more.
                let _ = port.send(connection, PACKETS, &entry.request);
                entry.state = State::Called;
            }
            // On its way on a reliable stream.
            WorkState::NotSeen => {}
            _ if entry.state == State::Called => {
                entry.state = State::Asking;
                entry.interval = shared.config.retry_min * 2 + 2 * port.rtt(connection);
                entry.due = now + entry.interval;
                let due = entry.due;
                self.wake_by(due);
            }
            _ => {}
        }
    }

    /// A part of streamed results has come.
    pub fn on_part(
        &mut self,
        now: Instant,
        connection: Connection,
        part: &PartMessage<'_>,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        let PartMessage { slot, sequence, is_last, bytes, .. } = *part;
        let Some(entry) = self.outstanding(slot, sequence) else { return };
        let token = entry.token;
        let Some(parts) = entry.parts.as_mut() else {
            shared.stats.malformed += 1;
            return;
        };
        entry.heard = now;
        if !parts.results.on_part(bytes.len(), is_last) {
            shared.stats.malformed += 1;
            return;
        }
        shared.stats.parts_received += 1;
        let call = CallId { connection, slot, sequence };
        inbox(Incoming::Part { call, token, is_ours: true, is_last, bytes });
    }

    /// The server has room for more parts.
    pub fn on_credit(&mut self, call: CallId, total: u64, inbox: &mut impl FnMut(Incoming<'_>)) {
        let Some(entry) = self.outstanding(call.slot, call.sequence) else { return };
        let token = entry.token;
        if entry.parts.as_mut().is_some_and(|parts| parts.arguments.on_credit(total)) {
            inbox(Incoming::Writable { call, token, is_ours: true });
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
        for (slot, entry) in self.slots.iter_mut().enumerate() {
            let Some(parts) = entry.parts.as_mut().filter(|_| entry.state.is_outstanding()) else { continue };
            let call = CallId { connection, slot: slot as u32, sequence: entry.sequence };
            super::peer::grant(&mut parts.results, call, true, port, shared);
            if parts.arguments.on_writable() {
                inbox(Incoming::Writable { call, token: entry.token, is_ours: true });
            }
        }
    }

    /// When [`Caller::on_timeout`] is to be called.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Repeats, asks, ends and settles what is due.
    pub fn on_timeout(
        &mut self,
        now: Instant,
        connection: Connection,
        port: &mut impl Port,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        let mut next = Instant::MAX;
        let mut settled = Vec::new();
        for slot in 0..self.slots.len() as u32 {
            let entry = &mut self.slots[slot as usize];
            match entry.state {
                State::Free => continue,
                State::Unsettled => {
                    if entry.due <= now {
                        entry.state = State::Free;
                        entry.request = Vec::new();
                        settled.push((slot, entry.sequence));
                        continue;
                    }
                }
                _ => {
                    let silent_from = entry.heard + shared.config.silence_max;
                    let end = if entry.deadline <= now {
                        Some((Status::DeadlineExceeded, "the deadline has passed"))
                    } else if silent_from <= now {
                        Some((Status::Unavailable, "nothing was heard of it"))
                    } else {
                        None
                    };
                    if let Some((status, text)) = end {
                        let (sequence, way) = (entry.sequence, entry.way);
                        send_cancel(connection, slot, sequence, way, port, shared);
                        self.end(connection, slot, status, Outcome::Unknown, text, shared, inbox);
                        // What the server may keep for it is settled like a reply.
                        let entry = &mut self.slots[slot as usize];
                        entry.due = now + shared.config.settle_delay;
                        next = next.min(entry.due);
                        continue;
                    }
                    if entry.due <= now {
                        entry.repeat(now, connection, slot, port, shared);
                    }
                    next = next.min(entry.deadline).min(silent_from);
                }
            }
            next = next.min(self.slots[slot as usize].due);
        }
        self.next = (next < Instant::MAX).then_some(next);
        for chunk in settled.chunks(SETTLED_AT_A_TIME) {
            shared.scratch.clear();
            message::put_settled(shared.scratch);
            for &(slot, sequence) in chunk {
                message::put_settlement(shared.scratch, slot, sequence);
            }
            // Lost, the server keeps these replies until their slots are used again.
            let _ = port.send(connection, PACKETS, shared.scratch);
        }
    }

    /// The connection is gone.
    pub fn on_gone(
        &mut self,
        connection: Connection,
        text: &str,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        for slot in 0..self.slots.len() as u32 {
            if self.slots[slot as usize].state.is_outstanding() {
                self.end(connection, slot, Status::Unavailable, Outcome::Unknown, text, shared, inbox);
            }
        }
        self.next = None;
    }

    /// Calls that have not ended.
    pub fn outstanding_len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// What must hold between calls, for tests.
    pub fn check_invariants(&self) {
        let outstanding = self.slots.iter().filter(|slot| slot.state.is_outstanding()).count();
        assert_eq!(outstanding, self.outstanding_len(), "a slot is free or has a call");
        for slot in self.slots.iter().filter(|slot| slot.state != State::Free) {
            let next = self.next.expect("something will be due");
            assert!(next <= slot.due, "a slot is forgotten");
            assert!(!slot.state.is_outstanding() || next <= slot.deadline, "a deadline is forgotten");
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what is told of an end")]
    fn end(
        &mut self,
        connection: Connection,
        slot: u32,
        status: Status,
        outcome: Outcome,
        text: &str,
        shared: &mut Shared<'_>,
        inbox: &mut impl FnMut(Incoming<'_>),
    ) {
        let entry = &mut self.slots[slot as usize];
        entry.state = State::Unsettled;
        entry.parts = None;
        self.free.push(slot);
        shared.stats.failures += 1;
        let call = CallId { connection, slot, sequence: entry.sequence };
        let (token, metadata) = (entry.token, MetadataRef::default());
        inbox(Incoming::Reply(IncomingReply { call, token, status, outcome, metadata, text, results: &[] }));
    }

    #[inline]
    fn take_slot(&mut self, now: Instant, max: u32) -> Result<u32, CallError> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        let slot = self.slots.len() as u32;
        if slot >= max {
            return Err(CallError::TooManyCalls { max });
        }
        self.slots.push(Slot {
            sequence: 0,
            state: State::Free,
            way: Way::Packet,
            token: 0,
            deadline: Instant::MAX,
            due: Instant::MAX,
            interval: Duration::ZERO,
            heard: now,
            request: Vec::new(),
            parts: None,
        });
        Ok(slot)
    }

    #[inline]
    fn outstanding(&mut self, slot: u32, sequence: u64) -> Option<&mut Slot> {
        self.slots
            .get_mut(slot as usize)
            .filter(|slot| slot.sequence == sequence && slot.state.is_outstanding())
    }

    #[inline]
    fn wake_by(&mut self, due: Instant) {
        if self.next.is_none_or(|next| due < next) {
            self.next = Some(due);
        }
    }
}

impl Slot {
    /// Its time has come: the call again, a question, or the wish to end it.
    fn repeat(
        &mut self,
        now: Instant,
        connection: Connection,
        slot: u32,
        port: &mut impl Port,
        shared: &mut Shared<'_>,
    ) {
        match self.state {
            State::Called if self.way == Way::Packet => {
                shared.stats.retries += 1;
                // What does not go now goes the next time.
                let _ = port.send(connection, PACKETS, &self.request);
            }
            State::Cancelling => send_cancel(connection, slot, self.sequence, self.way, port, shared),
            _ => {
                shared.stats.asks += 1;
                shared.scratch.clear();
                message::put_ask(shared.scratch, slot, self.sequence);
                let _ = port.send(connection, PACKETS, shared.scratch);
            }
        }
        self.interval = (self.interval * 2).min(shared.config.ask_interval_max);
        self.due = now + self.interval;
    }
}

/// Gives a call to the transport, by the way that its length and kind ask for.
#[inline]
fn launch(
    connection: Connection,
    slot: u32,
    request: &[u8],
    is_streamed: bool,
    port: &mut impl Port,
) -> Result<Way, SendError> {
    if is_streamed {
        return port.send(connection, ordered(slot), request).map(|()| Way::Ordered);
    }
    match port.send(connection, PACKETS, request) {
        Ok(()) => Ok(Way::Packet),
        Err(SendError::TooLarge { .. }) => port.send(connection, WHOLE, request).map(|()| Way::Whole),
        Err(error) => Err(error),
    }
}

fn send_cancel(
    connection: Connection,
    slot: u32,
    sequence: u64,
    way: Way,
    port: &mut impl Port,
    shared: &mut Shared<'_>,
) {
    shared.scratch.clear();
    message::put_cancel(shared.scratch, slot, sequence);
    // Behind the call and its parts, when these travel in order.
    let stream = if way == Way::Ordered { ordered(slot) } else { PACKETS };
    let _ = port.send(connection, stream, shared.scratch);
}

/// Pairs of a settlement that fit the smallest packet.
const SETTLED_AT_A_TIME: usize = 64;
