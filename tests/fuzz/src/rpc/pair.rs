//! Two machines that call each other, or are called by the input itself.

use clustercore_proto::datagram::{Connection, Event, GoneReason, SendError, StreamId};
use clustercore_proto::rpc::{
    Arguments, CallId, CallOptions, Calls, Config, Incoming, Method, Outcome, Port, Results, STREAMS_FROM,
    Status,
};
use clustercore_proto::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

const CONNECTION: Connection = Connection { index: 0, generation: 0 };

/// Takes messages, as many and as long as the input says.
#[derive(Default)]
struct Wire {
    sent: Vec<(StreamId, Vec<u8>)>,
    is_full: bool,
    is_closed: bool,
}

impl Port for Wire {
    fn send(&mut self, _connection: Connection, stream: StreamId, bytes: &[u8]) -> Result<(), SendError> {
        let max = if stream.to_wire() & 3 == 3 { 200 } else { 2000 };
        if self.is_closed {
            return Err(SendError::NotOpen);
        }
        if bytes.len() > max {
            return Err(SendError::TooLarge { len: bytes.len(), max });
        }
        if self.is_full {
            return Err(SendError::WouldBlock);
        }
        self.sent.push((stream, bytes.to_vec()));
        Ok(())
    }

    fn rtt(&self, _connection: Connection) -> Duration {
        Duration::from_millis(1)
    }
}

#[derive(Default)]
struct Side {
    calls: Option<Calls>,
    wire: Wire,
    /// Calls of ours that have not ended.
    open: BTreeMap<CallId, bool>,
    /// Calls in our hands.
    hands: Vec<CallId>,
    /// Slots and sequences that were handed out.
    served: BTreeMap<u32, u64>,
    ended: usize,
}

/// Plays the input's wishes and losses to two machines. How many calls have ended well.
///
/// What must hold: no panic, the invariants, each call handed out once, each end told once, and time-outs that change something.
pub fn check(input: &[u8]) -> usize {
    let mut now = Instant::from_nanos(1_000_000_000);
    let config = Config {
        slots_max: 8,
        peer_slots_max: 6,
        calls_max: 5,
        kept_bytes_max: 500,
        metadata_bytes_max: 20,
        part_window: 300,
        part_bytes_max: 200,
        ..Config::default()
    };
    let mut sides = [Side::default(), Side::default()];
    for side in &mut sides {
        side.calls = Some(Calls::new(now, config.clone()));
    }
    let mut rest = input;
    for _ in 0..STEPS_MAX {
        let Some((&step, after)) = rest.split_first() else { break };
        rest = after;
        let one = usize::from(step & 1);
        let argument = rest.first().copied().unwrap_or(0);
        match step >> 1 & 15 {
            0 | 1 => sides[one].call(now, argument, false),
            2 => sides[one].call(now, argument, true),
            3 => sides[one].reply(argument),
            4 => sides[one].parts(argument),
            5 => sides[one].cancel(now, argument),
            6 => {
                now += Duration::from_millis(u64::from(argument) * 40);
                for side in &mut sides {
                    side.timeout(now);
                }
            }
            // Something of what is under way is lost, or comes twice.
            7 => drop(sides[one].wire.sent.pop()),
            8 => {
                if let Some(again) = sides[one].wire.sent.last().cloned() {
                    sides[one].wire.sent.push(again);
                }
            }
            9 => sides[one].wire.is_full = argument & 1 == 1,
            10 => {
                // Bytes that no machine has sent.
                let len = usize::from(argument).min(rest.len());
                let (bytes, after) = rest.split_at(len);
                let stream = StreamId::from_wire(STREAMS_FROM << 2 | u32::from(argument & 3));
                sides[one].take(now, stream, bytes, false);
                rest = after;
            }
            11 => sides[one].writable(),
            12 if argument == 77 => sides.iter_mut().for_each(Side::gone),
            _ => {
                for from in [0, 1] {
                    for (stream, bytes) in std::mem::take(&mut sides[from].wire.sent) {
                        sides[1 - from].take(now, stream, &bytes, true);
                    }
                }
            }
        }
        for side in &sides {
            side.calls.as_ref().expect("it is there").check_invariants();
        }
    }
    // Silence ends every call.
    for _ in 0..40 {
        now += Duration::from_secs(1);
        sides.iter_mut().for_each(|side| side.timeout(now));
    }
    for side in &sides {
        assert!(side.open.is_empty(), "a call has no end: {:?}", side.open);
        let next = side.calls.as_ref().and_then(Calls::next_timeout);
        assert!(next.is_none_or(|next| next > now), "a time-out that is due was not taken");
    }
    sides.iter().map(|side| side.ended).sum()
}

impl Side {
    fn call(&mut self, now: Instant, argument: u8, is_streamed: bool) {
        let bytes = vec![argument; usize::from(argument) * usize::from(argument) / 20];
        let options = CallOptions {
            timeout: (argument & 4 == 4).then(|| Duration::from_millis(u64::from(argument) * 20)),
            is_streamed,
            ..CallOptions::default()
        };
        let arguments = Arguments { method: Method(7), bytes: &bytes, has_parts: is_streamed };
        let calls = self.calls.as_mut().expect("it is there");
        if let Ok(call) = calls.call(now, &mut self.wire, CONNECTION, &arguments, &options) {
            assert_eq!(self.open.insert(call, is_streamed), None, "a name is used once");
        }
    }

    fn reply(&mut self, argument: u8) {
        if self.hands.is_empty() {
            return;
        }
        let call = self.hands.swap_remove(usize::from(argument) % self.hands.len());
        let bytes = vec![argument; usize::from(argument) * 10];
        let results = Results {
            status: Status::from_code(argument & 15),
            is_not_executed: argument & 16 == 16,
            bytes: &bytes,
            ..Results::default()
        };
        let calls = self.calls.as_mut().expect("it is there");
        let _ = calls.reply(&mut self.wire, call, &results);
        assert!(calls.reply(&mut self.wire, call, &results).is_err(), "one reply to a call");
    }

    fn parts(&mut self, argument: u8) {
        let calls = self.calls.as_mut().expect("it is there");
        let bytes = vec![1; usize::from(argument)];
        for call in self.open.keys() {
            let _ = calls.send_arguments(&mut self.wire, *call, &bytes, argument & 7 == 7);
            calls.consume(&mut self.wire, *call, true, usize::from(argument));
        }
        for call in &self.hands {
            let _ = calls.send_results(&mut self.wire, *call, &bytes);
            calls.consume(&mut self.wire, *call, false, usize::from(argument));
        }
    }

    fn cancel(&mut self, now: Instant, argument: u8) {
        let call = self.open.keys().nth(usize::from(argument) % self.open.len().max(1)).copied();
        if let (Some(calls), Some(call)) = (&mut self.calls, call) {
            assert_eq!(calls.cancel(now, &mut self.wire, call), Ok(()));
        }
    }

    fn timeout(&mut self, now: Instant) {
        let mut calls = self.calls.take().expect("it is there");
        let mut wire = std::mem::take(&mut self.wire);
        calls.handle_timeout(now, &mut wire, &mut |incoming| self.on(incoming, true));
        (self.calls, self.wire) = (Some(calls), wire);
    }

    fn take(&mut self, now: Instant, stream: StreamId, bytes: &[u8], is_true: bool) {
        let mut calls = self.calls.take().expect("it is there");
        let mut wire = std::mem::take(&mut self.wire);
        calls.on_message(now, &mut wire, CONNECTION, stream, bytes, &mut |incoming| {
            self.on(incoming, is_true)
        });
        (self.calls, self.wire) = (Some(calls), wire);
    }

    fn writable(&mut self) {
        let mut calls = self.calls.take().expect("it is there");
        let mut wire = std::mem::take(&mut self.wire);
        let event = Event::Writable { connection: CONNECTION };
        calls.on_event(&mut wire, &event, &mut |incoming| self.on(incoming, true));
        (self.calls, self.wire) = (Some(calls), wire);
    }

    fn gone(&mut self) {
        let mut calls = self.calls.take().expect("it is there");
        let mut wire = std::mem::take(&mut self.wire);
        let event =
            Event::Gone { connection: CONNECTION, reason: GoneReason::Silent, unconfirmed: Vec::new() };
        calls.on_event(&mut wire, &event, &mut |incoming| self.on(incoming, true));
        (self.calls, self.wire) = (Some(calls), wire);
        // A name that is over is not used again: the machines that follow begin anew.
        self.served.clear();
        self.wire.is_closed = true;
    }

    fn on(&mut self, incoming: Incoming<'_>, is_true: bool) {
        match incoming {
            Incoming::Call(call) => {
                let before = self.served.insert(call.call.slot, call.call.sequence);
                assert!(
                    before.is_none_or(|before| before < call.call.sequence),
                    "handed out twice: {call:?}"
                );
                self.hands.push(call.call);
            }
            Incoming::Reply(reply) => {
                assert!(self.open.remove(&reply.call).is_some(), "the end of a call is told once: {reply:?}");
                if is_true && reply.outcome == Outcome::Executed {
                    self.ended += 1;
                }
            }
            Incoming::Cancelled { call } => self.hands.retain(|held| *held != call),
            Incoming::Part { .. } | Incoming::Writable { .. } => {}
        }
    }
}

const STEPS_MAX: usize = 400;
