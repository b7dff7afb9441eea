//! Events that participants emit.
//!
//! A participant numbers the events of each of its proxies. An `Emit` has to begin with the number that is next; when a part of one
//! was refused, those behind it on their way are refused as `Behind`, and the participant goes on with the first refused one, or leaves
//! that one out: so the order holds, and nothing is lost.

use super::session::SupplierHandle;
use super::{Hub, Place, SessionId};
use crate::event::{Event, EventError};
use crate::id::{ChannelId, ConsumerProxyId};
use crate::output::Refusal;
use crate::wire::{Code, Frame, WireError};
use clustercore_proto::time::Instant;
use clustercore_proto::wire::{Malformed, Reader};
use std::collections::{BTreeMap, HashMap};

/// What the hub knows of consumer proxies.
#[derive(Default)]
pub(super) struct Suppliers {
    /// Whose each proxy in pull mode is.
    pub pulled: HashMap<(ChannelId, ConsumerProxyId), Place>,
    /// Receipts that are not confirmed: the first of each run, by proxy.
    unwritten: BTreeMap<(ChannelId, ConsumerProxyId, u64), Run>,
}

/// Receipts behind one another that are one participant's.
#[derive(Clone, Copy)]
struct Run {
    len: u64,
    place: Place,
    /// The participant's number for the first.
    number: u64,
}

impl Suppliers {
    pub fn forget(&mut self, session: SessionId) {
        self.unwritten.retain(|_, run| run.place.session != session);
        self.pulled.retain(|_, place| place.session != session);
    }

    /// Takes the receipts from `first` to `last` out; for each part of them whose they are, its first number, and how many.
    pub fn take(
        &mut self,
        (channel, proxy): (ChannelId, ConsumerProxyId),
        (first, last): (u64, u64),
    ) -> Vec<(Place, u64, u64)> {
        let mut taken = Vec::new();
        let runs = self.unwritten.range((channel, proxy, 0)..=(channel, proxy, last));
        // The runs that end before `first` were taken already, but for parts that were not persistent.
        let runs: Vec<(u64, Run)> = runs
            .map(|((.., start), run)| (*start, *run))
            .filter(|(start, run)| start + run.len > first)
            .collect();
        for (start, run) in runs {
            self.unwritten.remove(&(channel, proxy, start));
            let (from, to) = (start.max(first), (start + run.len).min(last + 1));
            taken.push((run.place, run.number + (from - start), to - from));
            let mut put = |start: u64, end: u64, number: u64| {
                if start < end {
                    self.unwritten.insert((channel, proxy, start), Run { len: end - start, number, ..run });
                }
            };
            put(start, from, run.number);
            put(to, start + run.len, run.number + (to - start));
        }
        taken
    }
}

impl Hub {
    pub(super) fn on_emit(
        &mut self,
        now: Instant,
        id: SessionId,
        handle: u64,
        (first, count): (u64, u64),
        bytes: &[u8],
    ) {
        let answer = |code: Code, taken: u64, unwritten: u64, message: &str, hub: &mut Hub| {
            let Some(session) = hub.session_mut(id) else { return };
            let frame = Frame::Taken { handle, first, count: taken, unwritten, refusal: code, message };
            session.put(&frame);
            hub.stats.taken += taken;
            hub.stats.refused += count - taken;
            hub.queue(id);
        };
        let Some(supplier) = self.session(id).and_then(|it| it.suppliers.get(&handle)) else {
            let message = Refusal::NoSuchProxy.to_string();
            return answer(Code::NoSuchProxy, 0, 0, &message, self);
        };
        let (channel, proxy, is_pulled) = (supplier.channel, supplier.proxy, supplier.is_pulled);
        let may_skip = supplier.may_skip && first == supplier.next + 1;
        if supplier.next != first && !may_skip {
            return answer(Code::Behind, 0, 0, &format!("the next event is number {}", supplier.next), self);
        }
        let mut events = std::mem::take(&mut self.unpacked);
        let Ok(invalid) = self.unpack(id, count, bytes, &mut events) else {
            self.violate(id, "the events of an Emit cannot be read");
            return;
        };
        let Some(machine) = self.engine.machine(channel) else {
            return answer(Code::NoSuchProxy, 0, 0, "the channel was deleted", self);
        };
        let pushed = match is_pulled {
            true => machine.pulled(now, proxy, &events),
            false => machine.push(now, proxy, &events),
        };
        events.clear();
        self.unpacked = events;
        if pushed.unwritten > 0 {
            let place = Place { session: id, handle };
            let run = Run { len: pushed.taken, place, number: first };
            self.suppliers.unwritten.insert((channel, proxy, pushed.receipt), run);
        }
        let (code, message) = match (pushed.refusal, invalid) {
            (Some(refusal), _) => (Some(refusal).into(), refusal.to_string()),
            (None, Some(error)) => (Code::Invalid, error.to_string()),
            (None, None) => (Code::None, String::new()),
        };
        if let Some(supplier) = self.session_mut(id).and_then(|it| it.suppliers.get_mut(&handle)) {
            supplier.next = first + pushed.taken;
            supplier.may_skip = code != Code::None && !(code.is_retryable() && supplier.is_patient);
        }
        answer(code, pushed.taken, pushed.unwritten, &message, self);
    }

    /// Appends the events up to the first that breaks the limits; what is wrong with that one.
    fn unpack(
        &mut self,
        id: SessionId,
        count: u64,
        bytes: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<Option<EventError>, Malformed> {
        let Some(session) = self.sessions.get_mut(id.index) else { return Err(Malformed) };
        let (unpacker, limits, mut reader) = (&mut session.unpacker, &self.config.limits, Reader::new(bytes));
        unpacker.begin();
        let error =
            (0..count).find_map(|_| unpacker.take(&mut reader, limits).map(|it| events.push(it)).err());
        // The last event is not kept for the sake of one that may never come.
        unpacker.begin();
        match error {
            Some(WireError::Event(error)) => Ok(Some(error)),
            Some(WireError::Malformed) => Err(Malformed),
            None if reader.is_empty() => Ok(None),
            None => Err(Malformed),
        }
    }

    /// A supplier's handle is gone.
    pub(super) fn release(&mut self, now: Instant, supplier: &SupplierHandle) {
        let key = (supplier.channel, supplier.proxy);
        self.suppliers.pulled.remove(&key);
        if !supplier.is_own {
            return;
        }
        let Some(machine) = self.engine.machine(supplier.channel) else { return };
        let is_empty = machine.buffer(supplier.proxy).is_none_or(|(_, len, ..)| len == 0);
        if is_empty {
            // It may be gone already.
            let _ = machine.remove_consumer_proxy(now, supplier.proxy);
        } else {
            // What was taken is not dropped: the proxy goes when its buffer is empty.
            self.leaving.push(key);
        }
    }
}
