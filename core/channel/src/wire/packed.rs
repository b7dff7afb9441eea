//! Events behind one another, as they lie in a frame: what an event has in common with the one before it is not said again.

use super::view::EventView;
use crate::event::{Event, EventError, EventLimits, FieldValue, Reliability, Text};
use clustercore_proto::time::Instant;
use clustercore_proto::wire::{Malformed, Reader, varint};
use std::fmt;

/// Bits of the first number of an event: what follows it, in this order.
pub(super) mod has {
    pub const SAME_SOURCE: u64 = 1;
    pub const SAME_KIND: u64 = 1 << 1;
    pub const SAME_DOMAIN: u64 = 1 << 2;
    pub const SAME_CONTENT_TYPE: u64 = 1 << 3;
    pub const BODY: u64 = 1 << 4;
    pub const NAME: u64 = 1 << 5;
    pub const FIELDS: u64 = 1 << 6;
    pub const SCHEMA: u64 = 1 << 7;
    pub const TIME: u64 = 1 << 8;
    pub const PRIORITY: u64 = 1 << 9;
    pub const EXPIRY: u64 = 1 << 10;
    pub const START: u64 = 1 << 11;
    pub const RELIABILITY: u64 = 1 << 12;
    pub const KEY: u64 = 1 << 13;
    pub const SEQUENCE: u64 = 1 << 14;
    pub const ALL: u64 = (1 << 15) - 1;
}

/// Kinds of field values.
pub(super) mod kind {
    pub const FALSE: u8 = 0;
    pub const TRUE: u8 = 1;
    pub const INT: u8 = 2;
    pub const FLOAT: u8 = 3;
    pub const TEXT: u8 = 4;
    pub const BYTES: u8 = 5;
    pub const TIME: u8 = 6;
}

/// Why bytes are not what they should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WireError {
    /// Cut off, a number beyond its bounds, a bit that means nothing, text that is not UTF-8.
    Malformed,
    /// An event that breaks its limits.
    Event(EventError),
}

/// Writes events behind one another.
#[derive(Debug, Default)]
pub struct Packer {
    last: Option<Event>,
}

impl Packer {
    /// Appends an event.
    pub fn put(&mut self, out: &mut Vec<u8>, event: &Event) {
        let last = self.last.as_ref();
        let is_same = |this: &Text, of: fn(&Event) -> &Text| match last {
            Some(last) => *of(last) == *this,
            None => this.is_empty(),
        };
        let header = event.header();
        let flags = [
            (has::SAME_SOURCE, is_same(event.source(), Event::source)),
            (has::SAME_KIND, is_same(event.kind(), Event::kind)),
            (has::SAME_DOMAIN, is_same(event.domain(), Event::domain)),
            (has::SAME_CONTENT_TYPE, is_same(event.content_type(), Event::content_type)),
            (has::BODY, !event.body().is_empty()),
            (has::NAME, !event.name().is_empty()),
            (has::FIELDS, !event.fields().is_empty()),
            (has::SCHEMA, !event.schema().is_empty()),
            (has::TIME, event.time().is_some()),
            (has::PRIORITY, header.priority.is_some()),
            (has::EXPIRY, header.expiry.is_some()),
            (has::START, header.start.is_some()),
            (has::RELIABILITY, header.reliability.is_some()),
            (has::KEY, event.key().is_some()),
            (has::SEQUENCE, event.sequence().is_some()),
        ];
        let flags = flags.iter().fold(0, |bits, (bit, is)| if *is { bits | bit } else { bits });
        varint::put(out, flags);
        put_text(out, event.id());
        let texts = [
            (has::SAME_SOURCE, event.source()),
            (has::SAME_KIND, event.kind()),
            (has::SAME_DOMAIN, event.domain()),
            (has::SAME_CONTENT_TYPE, event.content_type()),
        ];
        texts.iter().filter(|(bit, _)| flags & bit == 0).for_each(|(_, text)| put_text(out, text));
        if flags & has::BODY != 0 {
            put_bytes(out, event.body());
        }
        if flags & has::NAME != 0 {
            put_text(out, event.name());
        }
        if flags & has::FIELDS != 0 {
            varint::put(out, event.fields().len() as u64);
            for field in event.fields() {
                put_text(out, &field.name);
                put_value(out, &field.value);
            }
        }
        if flags & has::SCHEMA != 0 {
            put_text(out, event.schema());
        }
        event.time().into_iter().for_each(|it| put_time(out, it));
        out.extend(header.priority);
        header.expiry.into_iter().chain(header.start).for_each(|it| put_time(out, it));
        out.extend(header.reliability.map(|it| u8::from(it == Reliability::Persistent)));
        event.key().into_iter().for_each(|it| put_text(out, it));
        event.sequence().into_iter().for_each(|it| varint::put(out, it));
        self.last = Some(event.clone());
    }
}

/// Reads events behind one another.
#[derive(Debug, Default)]
pub struct Unpacker {
    last: Option<Event>,
    known: Known,
}

/// Texts of events read before: one that comes again, in another frame, is not allocated again.
#[derive(Debug, Default)]
struct Known {
    source: Text,
    kind: Text,
    domain: Text,
    content_type: Text,
}

impl Unpacker {
    /// Begins another frame: its first event has nothing before it.
    pub fn begin(&mut self) {
        self.last = None;
    }

    /// Takes the next event off `reader`.
    ///
    /// Errors: `Malformed`: nothing behind it can be read; `Event`: it breaks `limits`.
    pub fn take(&mut self, reader: &mut Reader<'_>, limits: &EventLimits) -> Result<Event, WireError> {
        let view = EventView::take(reader)?;
        let (last, known) = (self.last.as_ref(), &mut self.known);
        let common = |text: Option<&str>, of: fn(&Event) -> &Text, known: &mut Text| match text {
            None => last.map_or_else(Text::default, |last| of(last).clone()),
            Some(text) if text == &**known => known.clone(),
            // What breaks the limits is not remembered.
            Some(text) if text.len() > limits.attribute_bytes_max => text.into(),
            Some(text) => {
                *known = text.into();
                known.clone()
            }
        };
        let source = common(view.source, Event::source, &mut known.source);
        let kind = common(view.kind, Event::kind, &mut known.kind);
        let domain = common(view.domain, Event::domain, &mut known.domain);
        let content_type = common(view.content_type, Event::content_type, &mut known.content_type);
        let mut builder = Event::builder(view.id, source, kind).domain(domain).content_type(content_type);
        if !view.body.is_empty() {
            builder = builder.body(view.body);
        }
        if !view.name.is_empty() {
            builder = builder.name(view.name);
        }
        if !view.schema.is_empty() {
            builder = builder.schema(view.schema);
        }
        if !view.key.is_empty() {
            builder = builder.key(view.key);
        }
        for (name, value) in view.fields() {
            builder = builder.field(name, value);
        }
        if let Some(time) = view.time {
            builder = builder.time(time);
        }
        if let Some(sequence) = view.sequence {
            builder = builder.sequence(sequence);
        }
        let event = builder.header(view.header).build(limits)?;
        self.last = Some(event.clone());
        Ok(event)
    }
}

fn put_value(out: &mut Vec<u8>, value: &FieldValue) {
    match value {
        FieldValue::Bool(it) => out.push(u8::from(*it)),
        FieldValue::Int(it) => put_fixed(out, kind::INT, *it as u64),
        FieldValue::Float(it) => put_fixed(out, kind::FLOAT, it.to_bits()),
        FieldValue::Text(it) => {
            out.push(kind::TEXT);
            put_text(out, it);
        }
        FieldValue::Bytes(it) => {
            out.push(kind::BYTES);
            put_bytes(out, it);
        }
        FieldValue::Time(it) => put_fixed(out, kind::TIME, it.as_nanos()),
    }
}

fn put_fixed(out: &mut Vec<u8>, kind: u8, value: u64) {
    out.push(kind);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_time(out: &mut Vec<u8>, time: Instant) {
    out.extend_from_slice(&time.as_nanos().to_le_bytes());
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(reader.varint()?).map_err(|_| Malformed)?;
    reader.bytes(len)
}

pub(super) fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    std::str::from_utf8(bytes(reader)?).map_err(|_| Malformed)
}

pub(super) fn time(reader: &mut Reader<'_>) -> Result<Instant, Malformed> {
    Ok(Instant::from_nanos(reader.u64()?))
}

impl From<Malformed> for WireError {
    fn from(_: Malformed) -> WireError {
        WireError::Malformed
    }
}

impl From<EventError> for WireError {
    fn from(error: EventError) -> WireError {
        WireError::Event(error)
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Malformed => write!(f, "the bytes are not a frame of the channel protocol"),
            WireError::Event(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WireError {}

#[cfg(test)]
mod tests;
