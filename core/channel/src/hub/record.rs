//! What is to be on disk: persistent events, channels, durable consumers; and who waits until it is.

use super::{Hub, SessionId};
use crate::event::{Event, Text};
use crate::id::{ChannelId, SupplierProxyId};
use crate::json::{Object, write_channel_config, write_hook, write_supplier_members};
use crate::output::Output;
use crate::wire::Frame;
use clustercore_proto::time::Instant;
use std::collections::HashSet;

/// Something to be written to disk, in this order.
#[derive(Clone, Debug)]
pub enum Persist {
    /// An event. [`Hub::persisted`] or [`Hub::persist_failed`] is the answer.
    Event {
        /// Its channel.
        channel: ChannelId,
        /// Its place in the channel's order.
        offset: u64,
        /// The event.
        event: Event,
    },
    /// What is to be there again after a restart, or not any more. [`Hub::recorded`] is the answer.
    Record(Record),
}

/// Something about a channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Record {
    /// It is there, as [`Hub::describe_channel`] says.
    Channel(ChannelId),
    /// It was deleted, with all that is in it.
    ChannelGone(ChannelId),
    /// It has this durable consumer, as [`Hub::describe_consumer`] says.
    Consumer(ChannelId, SupplierProxyId),
    /// This durable consumer was removed.
    ConsumerGone(ChannelId, SupplierProxyId),
}

/// What the hub knows of records.
#[derive(Default)]
pub(super) struct Records {
    /// Those that are on disk, or were from the beginning: channels and consumers that stay when writing them again fails.
    written: HashSet<Record>,
    /// Who has asked for what is not written yet.
    asked: Vec<Asked>,
    /// What the question that is being answered waits for.
    awaited: Option<Record>,
    /// Why nothing can be written any more.
    failure: Option<Text>,
}

struct Asked {
    record: Record,
    session: SessionId,
    request: u64,
    json: String,
}

impl Records {
    /// The default channel is there whatever happens.
    pub fn new(default: ChannelId) -> Records {
        Records { written: HashSet::from([Record::Channel(default)]), ..Records::default() }
    }
}

impl Hub {
    /// What is to be written to disk next, when the hub is durable.
    pub fn poll_persist(&mut self) -> Option<Persist> {
        self.persists.pop_front()
    }

    /// There is no room for it yet: it comes again, before all others.
    pub fn put_back(&mut self, persist: Persist) {
        self.persists.push_front(persist);
    }

    /// Every event of a channel that was polled, up to this offset, is on disk.
    pub fn persisted(&mut self, now: Instant, channel: ChannelId, offset: u64, count: u64) {
        self.stats.written += count;
        if let Some(machine) = self.engine.machine(channel) {
            machine.persisted(now, offset);
        }
    }

    /// The events of a channel from the first to the last offset could not be written.
    pub fn persist_failed(&mut self, now: Instant, channel: ChannelId, first: u64, last: u64, count: u64) {
        self.stats.not_written += count;
        if let Some(machine) = self.engine.machine(channel) {
            machine.persist_failed(now, first, last);
        }
    }

    /// A record is on disk, or could not be written: a channel or a consumer that was to be made is not made then.
    pub fn recorded(&mut self, now: Instant, record: Record, is_written: bool) {
        let mut rest = Vec::new();
        for asked in std::mem::take(&mut self.records.asked) {
            match asked.record == record {
                true => self.answer_later(asked, is_written),
                false => rest.push(asked),
            }
        }
        self.records.asked = rest;
        self.https.recorded(now, record, is_written, &mut self.engine, &self.config.access);
        match (record, is_written) {
            (Record::Channel(_) | Record::Consumer(..), true) => {
                self.records.written.insert(record);
            }
            (Record::Channel(id), false)
                if !self.records.written.contains(&record) && self.engine.machine(id).is_some() =>
            {
                self.engine.remove(id);
                self.forget_channel(id, "the channel could not be written to disk");
            }
            (Record::Consumer(channel, proxy), false) if !self.records.written.contains(&record) => {
                if let Some(place) = self.consumers.remove(&(channel, proxy))
                    && let Some(session) = self.session_mut(place.session)
                {
                    session.consumers.remove(&place.handle);
                }
                if let Some(machine) = self.engine.machine(channel) {
                    // It may be gone already.
                    let _ = machine.remove_supplier_proxy(now, proxy);
                }
            }
            _ => {}
        }
    }

    /// Nothing can be written any more, and why: what is to be is refused from here on.
    pub fn set_failure(&mut self, now: Instant, why: impl Into<Text>) {
        self.records.failure = Some(why.into());
        while let Some(persist) = self.persists.pop_front() {
            self.refuse(now, persist);
        }
    }

    /// Why nothing can be written any more.
    pub fn failure(&self) -> Option<&Text> {
        self.records.failure.as_ref()
    }

    /// Name and configuration of a channel, for a record.
    pub fn describe_channel(&mut self, id: ChannelId) -> Option<(Text, String)> {
        let machine = self.engine.machine(id)?;
        let mut json = String::new();
        Object::write(&mut json, |object| {
            write_channel_config(machine.config(), object);
            object.plain("seed", machine.config().seed);
        });
        Some((machine.name().clone(), json))
    }

    /// Owner, name and specification of a durable consumer, for a record.
    pub fn describe_consumer(
        &mut self,
        channel: ChannelId,
        proxy: SupplierProxyId,
    ) -> Option<(Text, Text, String)> {
        let spec = self.engine.machine(channel)?.supplier_proxy(proxy)?;
        let mut json = String::new();
        Object::write(&mut json, |object| {
            write_supplier_members(spec, object);
            if let Some(hook) = &spec.hook {
                object.object("hook", |object| write_hook(hook, true, object));
            }
        });
        Some((spec.owner.clone(), spec.name.clone(), json))
    }

    /// It is written: from the beginning, or by somebody else.
    pub(super) fn is_written(&mut self, record: Record) {
        self.records.written.insert(record);
    }

    /// The question that is being answered is to be answered when this is written.
    pub(super) fn await_record(&mut self, record: Record) {
        self.records.awaited = self.config.is_durable.then_some(record);
    }

    /// Whether this answer waits for a record, and keeps it then.
    pub(super) fn keep_answer(&mut self, session: SessionId, request: u64, json: &str) -> bool {
        let Some(record) = self.records.awaited.take() else { return false };
        self.records.asked.push(Asked { record, session, request, json: json.to_owned() });
        true
    }

    fn answer_later(&mut self, asked: Asked, is_written: bool) {
        let json = if is_written { asked.json } else { self.not_written() };
        if let Some(session) = self.session_mut(asked.session) {
            session.put(&Frame::Answer { request: asked.request, is_done: is_written, json: &json });
        }
        self.queue(asked.session);
    }

    fn not_written(&self) -> String {
        let why = self.records.failure.as_deref().unwrap_or("the disk did not take it");
        let mut json = String::new();
        Object::write(&mut json, |object| {
            object.text("error", "not_written");
            object.text("message", why);
        });
        json
    }

    /// What the engine wants to be on disk.
    pub(super) fn persist(&mut self, now: Instant, channel: ChannelId, output: Output) {
        let persist = match output {
            Output::Persist { offset, event } => Persist::Event { channel, offset, event },
            Output::Configured => Persist::Record(Record::Channel(channel)),
            Output::ConsumerKept { proxy } => Persist::Record(Record::Consumer(channel, proxy)),
            Output::ConsumerGone { proxy } => Persist::Record(Record::ConsumerGone(channel, proxy)),
            _ => return,
        };
        self.enqueue(now, persist);
    }

    pub(super) fn take_deleted(&mut self, now: Instant) {
        while let Some(id) = self.engine.poll_deleted() {
            // Whoever waits for something of it waits in vain.
            let is_of = |record: &Record| match record {
                Record::Channel(it) | Record::Consumer(it, _) | Record::ConsumerGone(it, _) => *it == id,
                Record::ChannelGone(_) => false,
            };
            let (gone, rest) =
                std::mem::take(&mut self.records.asked).into_iter().partition(|it| is_of(&it.record));
            self.records.asked = rest;
            let gone: Vec<Asked> = gone;
            gone.into_iter().for_each(|asked| self.answer_later(asked, false));
            self.records.written.retain(|record| !is_of(record));
            self.enqueue(now, Persist::Record(Record::ChannelGone(id)));
        }
    }

    fn enqueue(&mut self, now: Instant, persist: Persist) {
        if let Persist::Record(Record::ConsumerGone(channel, proxy)) = &persist {
            self.records.written.remove(&Record::Consumer(*channel, *proxy));
        }
        if self.config.is_durable && self.records.failure.is_none() {
            self.persists.push_back(persist);
        } else {
            self.refuse(now, persist);
        }
    }

    /// Nobody writes: events are lost, and records too where somebody should have written them.
    fn refuse(&mut self, now: Instant, persist: Persist) {
        match persist {
            Persist::Event { channel, offset, .. } => self.persist_failed(now, channel, offset, offset, 1),
            Persist::Record(record) if self.config.is_durable => self.recorded(now, record, false),
            Persist::Record(_) => {}
        }
    }
}
