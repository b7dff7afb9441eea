//! What the hub wants to be on disk goes into a journal, and its answers back.
//!
//! The journal has a thread of its own, which rings the server's driver. It is never waited for but at the start and at the end. What it
//! has no room for stays in the hub, which the engine's bounds hold.

use super::{Error, Result};
use crate::channel::config::JournalConfig;
use crate::channel::engine::hub::{Hub, Persist, Record};
use crate::channel::engine::journal::{AppendError, Change, Completion, Journal, JournalError, Reader};
use crate::channel::engine::wire::{put_stored, take_stored};
use crate::channel::engine::{ChannelId, SupplierProxyId};
use crate::error::Code;
use crate::io::{Instant, Waker};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// See the module's text.
pub(super) struct Keeper {
    journal: Journal,
    /// What was appended and is not answered, in the order of the tickets.
    in_flight: VecDeque<InFlight>,
    channels: HashMap<ChannelId, Kept>,
    /// The number of the next channel.
    next: u32,
    completions: Vec<Completion>,
    /// Nobody is rung: the answers have to be looked for.
    is_deaf: bool,
    /// When positions are written next, and the wait before the time after that.
    due: Instant,
    wait: Duration,
    /// When the journal is told next what is not needed.
    forget_at: Instant,
}

enum InFlight {
    Event(ChannelId, u64),
    Record(Record),
}

/// What is known of a channel that the journal has.
#[derive(Default)]
struct Kept {
    number: u32,
    /// Places of its records in the channel and in the journal, as far as they may be needed.
    records: VecDeque<(u64, u64)>,
    consumers: HashMap<SupplierProxyId, Consumer>,
    /// The number of the next consumer.
    next: u32,
    /// The place that the journal knows as the next.
    offset_next: u64,
}

struct Consumer {
    number: u32,
    position: Option<u64>,
}

impl Keeper {
    /// Opens a journal, and brings back what is in it.
    ///
    /// Errors: `Io`: it cannot be opened or read, or another server has it open; `BadConfiguration`: bounds that cannot be, or what is in it
    /// cannot be made here.
    pub fn open(config: &JournalConfig, waker: Option<Waker>, hub: &mut Hub, now: Instant) -> Result<Keeper> {
        let options = &config.options;
        if options.queue_bytes_max < options.record_bytes_max || options.queue_records_max == 0 {
            let words = format!(
                "the journal's queue takes {} records of {} bytes together, and one record may have {}: raise the first two",
                options.queue_records_max, options.queue_bytes_max, options.record_bytes_max
            );
            return Err(Error::new(Code::BadConfiguration, words));
        }
        let is_deaf = waker.is_none();
        let wake = move || waker.iter().for_each(Waker::wake);
        let journal = Journal::open(&config.path, *options, wake).map_err(io)?;
        let reader = journal.reader().map_err(io)?;
        let default = hub.engine().default_channel();
        let mut channels = HashMap::from([(default, Kept::default())]);
        let mut next = 1;
        for stored in reader.channels().map_err(io)? {
            let bad = |what: &dyn std::fmt::Display| {
                let (path, name) = (config.path.display(), &stored.name);
                Error::new(Code::BadConfiguration, format!("journal {path}, channel {name:?}: {what}"))
            };
            let id = match stored.number {
                0 => default,
                _ => hub.restore_channel(&stored.name, &stored.config).map_err(|error| bad(&error))?,
            };
            let kept = restore(&reader, hub, now, id, stored.number, stored.next, &bad)?;
            channels.insert(id, kept);
            next = next.max(stored.number + 1);
        }
        Ok(Keeper {
            journal,
            in_flight: VecDeque::new(),
            channels,
            next,
            completions: Vec::new(),
            is_deaf,
            due: now,
            wait: WAIT_MIN,
            forget_at: now,
        })
    }

    /// Tells the hub what the journal has answered.
    pub fn complete(&mut self, hub: &mut Hub, now: Instant) {
        self.journal.poll(&mut self.completions);
        for run in std::mem::take(&mut self.completions) {
            self.complete_run(hub, now, &run);
        }
        // Also when a commit failed that had nothing but positions.
        if let Some(why) = self.journal.failure().filter(|_| hub.failure().is_none()) {
            hub.set_failure(now, format!("the server takes no persistent events any more: {why}"));
        }
    }

    fn complete_run(&mut self, hub: &mut Hub, now: Instant, run: &Completion) {
        // Events of one channel behind one another: the first, the last, how many.
        let mut span: Option<(ChannelId, u64, u64, u64)> = None;
        let tell = |hub: &mut Hub, span: Option<(ChannelId, u64, u64, u64)>| match (span, &run.outcome) {
            (Some((channel, _, last, count)), Ok(_)) => hub.persisted(now, channel, last, count),
            (Some((channel, first, last, count)), Err(_)) => {
                hub.persist_failed(now, channel, first, last, count);
            }
            (None, _) => {}
        };
        for place in 0..run.count {
            match self.in_flight.pop_front() {
                Some(InFlight::Event(channel, offset)) => {
                    if let (Ok(first), Some(kept)) = (&run.outcome, self.channels.get_mut(&channel)) {
                        kept.records.push_back((offset, first + place));
                    }
                    span = match span {
                        Some((same, first, _, count)) if same == channel => {
                            Some((channel, first, offset, count + 1))
                        }
                        other => {
                            tell(hub, other);
                            Some((channel, offset, offset, 1))
                        }
                    };
                }
                Some(InFlight::Record(record)) => {
                    tell(hub, span.take());
                    hub.recorded(now, record, run.outcome.is_ok());
                }
                None => break,
            }
        }
        tell(hub, span);
    }

    /// Gives the journal what the hub wants to be on disk, as far as there is room, and now and then how far consumers have come. True
    /// when the hub was told something.
    pub fn append(&mut self, hub: &mut Hub, now: Instant) -> bool {
        let mut has_told = false;
        while let Some(persist) = hub.poll_persist() {
            match self.put(hub, now, persist) {
                Put::Done => {}
                Put::Told => has_told = true,
                Put::Full => break,
            }
        }
        if now >= self.due {
            let is_moving = hub.failure().is_none() && self.note(hub, now, now >= self.forget_at);
            self.wait = if is_moving { WAIT_MIN } else { (self.wait * 2).min(WAIT_MAX) };
            self.due = now + self.wait;
        }
        has_told
    }

    /// When [`Keeper::append`] is to be called at the latest.
    pub fn next_timeout(&self, now: Instant) -> Instant {
        let is_waiting = self.is_deaf && !self.in_flight.is_empty();
        if is_waiting { self.due.min(now + DEAF_WAIT) } else { self.due }
    }

    /// Notes how far everything has come, for the next start.
    pub fn close(&mut self, hub: &mut Hub, now: Instant) {
        if hub.failure().is_none() {
            self.note(hub, now, true);
        }
    }

    fn put(&mut self, hub: &mut Hub, now: Instant, persist: Persist) -> Put {
        let (append, in_flight) = match &persist {
            Persist::Event { channel, offset, event } => {
                let Some(kept) = self.channels.get(channel) else { return Put::Done };
                let mut bytes = Vec::with_capacity(event.size() + EVENT_BYTES_GUESS);
                put_stored(&mut bytes, *offset, event);
                let append = self.journal.append(kept.number, now, bytes.into());
                (append, InFlight::Event(*channel, *offset))
            }
            Persist::Record(record) => {
                let Some((number, change)) = self.change(hub, *record) else {
                    // Nothing of it is on disk, so nothing has to go.
                    hub.recorded(now, *record, true);
                    return Put::Told;
                };
                if let Record::Consumer(channel, proxy) = record {
                    self.note_first(hub, *channel, *proxy);
                }
                (self.journal.change(number, change), InFlight::Record(*record))
            }
        };
        match append {
            Ok(_) => {
                match &in_flight {
                    InFlight::Record(Record::ChannelGone(id)) => {
                        self.channels.remove(id);
                    }
                    InFlight::Record(Record::ConsumerGone(id, proxy)) => {
                        self.channels.get_mut(id).and_then(|kept| kept.consumers.remove(proxy));
                    }
                    _ => {}
                }
                self.in_flight.push_back(in_flight);
                Put::Done
            }
            Err(AppendError::TooLarge { .. }) => {
                match in_flight {
                    InFlight::Event(channel, offset) => hub.persist_failed(now, channel, offset, offset, 1),
                    InFlight::Record(record) => hub.recorded(now, record, false),
                }
                Put::Told
            }
            Err(AppendError::Full { .. }) => {
                hub.put_back(persist);
                Put::Full
            }
            Err(AppendError::Broken) => {
                hub.put_back(persist);
                // What was written before is told before.
                self.complete(hub, now);
                Put::Told
            }
        }
    }

    /// What the journal is to be told of a record; `None` when there is nothing to tell.
    fn change(&mut self, hub: &mut Hub, record: Record) -> Option<(u32, Change)> {
        match record {
            Record::Channel(id) => {
                let (name, config) = hub.describe_channel(id)?;
                let next = &mut self.next;
                let kept = self.channels.entry(id).or_insert_with(|| {
                    *next += 1;
                    Kept { number: *next - 1, ..Kept::default() }
                });
                Some((kept.number, Change::Channel { name: (&*name).into(), config: config.into() }))
            }
            Record::ChannelGone(id) => Some((self.channels.get(&id)?.number, Change::RemoveChannel)),
            Record::Consumer(id, proxy) => {
                let (owner, name, spec) = hub.describe_consumer(id, proxy)?;
                let kept = self.channels.get_mut(&id)?;
                let next = &mut kept.next;
                let consumer = kept.consumers.entry(proxy).or_insert_with(|| {
                    *next += 1;
                    Consumer { number: *next - 1, position: None }
                });
                let (owner, name) = ((&*owner).into(), (&*name).into());
                let change = Change::Consumer { number: consumer.number, owner, name, spec: spec.into() };
                Some((kept.number, change))
            }
            Record::ConsumerGone(id, proxy) => {
                let kept = self.channels.get(&id)?;
                let number = kept.consumers.get(&proxy)?.number;
                Some((kept.number, Change::RemoveConsumer { number }))
            }
        }
    }

    /// Notes the positions of durable consumers, and what is not needed any more where that is due. True when something has moved.
    fn note(&mut self, hub: &mut Hub, now: Instant, forgets: bool) -> bool {
        let mut is_moving = false;
        for (id, kept) in &mut self.channels {
            let Some(machine) = hub.engine().machine(*id) else { continue };
            for (proxy, consumer) in &mut kept.consumers {
                let position = machine.position(*proxy);
                let Some(offset) = position.filter(|_| position != consumer.position) else { continue };
                // What is not taken now is noted the next time.
                if self.journal.set_position(kept.number, &consumer.number.to_string(), offset).is_ok() {
                    consumer.position = position;
                }
                is_moving = true;
            }
            if !forgets {
                continue;
            }
            let next = machine.offset_next();
            if next != kept.offset_next && self.journal.set_next(kept.number, next).is_ok() {
                kept.offset_next = next;
            }
            if kept.records.is_empty() {
                continue;
            }
            let needed = machine.needed_from();
            let place = kept.records.partition_point(|(offset, _)| *offset < needed);
            if let Some((_, last)) = place.checked_sub(1).and_then(|place| kept.records.get(place))
                && self.journal.forget(kept.number, last + 1).is_ok()
            {
                kept.records.drain(..place);
            }
        }
        if forgets {
            self.forget_at = now + FORGET_RHYTHM;
        }
        is_moving
    }

    /// A consumer that is not on disk yet begins where it is: its position goes before itself.
    fn note_first(&mut self, hub: &mut Hub, channel: ChannelId, proxy: SupplierProxyId) {
        let Some(kept) = self.channels.get_mut(&channel) else { return };
        let Some(consumer) = kept.consumers.get_mut(&proxy).filter(|it| it.position.is_none()) else {
            return;
        };
        let Some(offset) = hub.engine().machine(channel).and_then(|it| it.position(proxy)) else { return };
        if self.journal.set_position(kept.number, &consumer.number.to_string(), offset).is_ok() {
            consumer.position = Some(offset);
        }
    }
}

enum Put {
    Done,
    /// The hub was told something.
    Told,
    /// There is no room.
    Full,
}

/// Brings back what is in a channel: its events, then its consumers.
fn restore(
    reader: &Reader,
    hub: &mut Hub,
    now: Instant,
    id: ChannelId,
    number: u32,
    next: u64,
    bad: &dyn Fn(&dyn std::fmt::Display) -> Error,
) -> Result<Kept> {
    let mut kept = Kept { number, ..Kept::default() };
    let limits = hub.config().limits;
    let mut from = 0;
    let mut offset_next = 0;
    loop {
        let records = reader.read(number, from, READ_RECORDS_MAX, READ_BYTES_MAX).map_err(io)?;
        let Some(last) = records.last() else { break };
        from = last.offset + 1;
        for record in &records {
            let wrong =
                |what: &dyn std::fmt::Display| bad(&format!("the record at {}: {what}", record.offset));
            let (offset, event) =
                take_stored(&record.bytes, &limits).map_err(|error| wrong(&format!("{error:?}")))?;
            if offset < offset_next {
                return Err(wrong(&format!("place {offset} in the channel, and {offset_next} is next")));
            }
            hub.restore_event(id, offset, record.at, event);
            kept.records.push_back((offset, record.offset));
            offset_next = offset + 1;
        }
    }
    let consumers = reader.consumers(number).map_err(io)?;
    let highest = consumers.iter().filter_map(|it| it.position).max().unwrap_or(0);
    hub.restore_next(id, next.max(highest));
    for it in consumers {
        // Without a position, which had no room, it gets what is there.
        let position = it.position.unwrap_or(0);
        let made = hub.restore_consumer(now, id, (&it.owner, &it.name), &it.spec, position);
        let proxy = made.map_err(|error| bad(&format!("consumer {:?}: {error}", it.name)))?;
        kept.consumers.insert(proxy, Consumer { number: it.number, position: it.position });
        kept.next = kept.next.max(it.number + 1);
    }
    hub.restored(now, id);
    Ok(kept)
}

fn io(error: JournalError) -> Error {
    Error::new(Code::Io, error.to_string())
}

/// Positions of consumers are written after this, when they move; longer and longer when they do not.
const WAIT_MIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(2);
/// What is not needed is forgotten at this rhythm.
const FORGET_RHYTHM: Duration = Duration::from_secs(2);
/// How often answers are looked for where nobody is rung.
const DEAF_WAIT: Duration = Duration::from_millis(1);
const READ_RECORDS_MAX: usize = 4096;
const READ_BYTES_MAX: usize = 16 << 20;
const EVENT_BYTES_GUESS: usize = 64;

#[cfg(test)]
mod tests;
