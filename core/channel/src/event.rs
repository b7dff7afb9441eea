//! The structured event: what suppliers put in and consumers get out.
//!
//! An [`Event`] is made once by its [`EventBuilder`], does not change, and is shared: a clone counts a reference, so
//! that an event for a thousand consumers lies in memory once. Everything is bounded by [`EventLimits`].
//!
//! One to one with CloudEvents 1.0, in both directions:
//!
//! | here | CloudEvents | | here | CloudEvents |
//! | --- | --- | --- | --- | --- |
//! | `id` | `id` | | `priority` | extension `priority`, integer 0 to 255 |
//! | `source` | `source` | | `expiry` | extension `expirytime`, timestamp |
//! | `kind` | `type` | | `start` | extension `starttime`, timestamp |
//! | `name` | `subject` | | `reliability` | extension `reliability`, `besteffort` or `persistent` |
//! | `time` | `time` | | `key` | extension `partitionkey` |
//! | `content_type` | `datacontenttype` | | `sequence` | extension `sequence`, decimal |
//! | `schema` | `dataschema` | | `domain` | extension `domain` |
//! | `body` | `data` | | a field | the extension of that name |
//!
//! Fields of types that CloudEvents does not have, or a mode does not show, are named in the extension `fieldtypes`
//! ([`cloudevents`](crate::cloudevents)). Text that may be absent there is empty here: CloudEvents forbids attributes that are present and empty.
//! Source: CORBA Notification Service 1.1, "Structured events"; CloudEvents 1.0.2 and its documented extensions.

mod builder;
mod limits;

pub use builder::EventBuilder;
pub use limits::{EventError, EventLimits};

use crate::value::{Fields, Value};
use clustercore_proto::time::Instant;
use std::fmt;
use std::sync::Arc;

/// Text that is shared by all who hold it.
pub type Text = Arc<str>;

/// Bytes that are shared by all who hold them.
pub type Bytes = Arc<[u8]>;

/// An event. A clone is the same event.
#[derive(Clone, PartialEq)]
pub struct Event(Arc<Parts>);

/// What is promised of an event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Reliability {
    /// In memory only: gone with the process.
    #[default]
    BestEffort,
    /// Acknowledged to its supplier when it is on disk, delivered also after a restart.
    Persistent,
}

impl Reliability {
    /// The value of the extension `reliability`.
    pub fn name(self) -> &'static str {
        match self {
            Reliability::BestEffort => "besteffort",
            Reliability::Persistent => "persistent",
        }
    }

    /// The reverse of [`Reliability::name`].
    pub fn from_name(name: &str) -> Option<Reliability> {
        [Reliability::BestEffort, Reliability::Persistent].into_iter().find(|it| it.name() == name)
    }
}

/// The variable header: quality of service that the event itself asks for. What is `None` follows proxy, group and channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// 0 to 255; more is more urgent.
    pub priority: Option<u8>,
    /// From this moment on nobody wants it any more.
    pub expiry: Option<Instant>,
    /// Before this moment nobody gets it.
    pub start: Option<Instant>,
    /// What is promised of it.
    pub reliability: Option<Reliability>,
}

/// A field's value, kept by its event.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(Text),
    /// Bytes.
    Bytes(Bytes),
    /// A moment: nanoseconds since the beginning of 1970 (UTC).
    Time(Instant),
}

/// A filterable field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// 1 to 20 lower-case letters and digits, none of [`RESERVED`].
    pub name: Text,
    /// Its value.
    pub value: FieldValue,
}

/// The parts of an event, in the order of the table in the module's text.
#[derive(Clone, Debug, PartialEq)]
struct Parts {
    id: Text,
    source: Text,
    domain: Text,
    kind: Text,
    name: Text,
    content_type: Text,
    schema: Text,
    time: Option<Instant>,
    header: Header,
    key: Option<Text>,
    sequence: Option<u64>,
    fields: Box<[Field]>,
    body: Bytes,
    /// Of `domain` and `kind`, computed once.
    kind_hash: u64,
    size: usize,
}

impl Event {
    /// Begins an event with what each must have: its name among the events of its source, its source (a URI
    /// reference), and the name of its type.
    pub fn builder(id: impl Into<Text>, source: impl Into<Text>, kind: impl Into<Text>) -> EventBuilder {
        EventBuilder::new(id.into(), source.into(), kind.into())
    }

    /// Unique among the events of its source.
    pub fn id(&self) -> &Text {
        &self.0.id
    }

    /// Who made it: a URI reference.
    pub fn source(&self) -> &Text {
        &self.0.source
    }

    /// The trade that its type belongs to; may be empty.
    pub fn domain(&self) -> &Text {
        &self.0.domain
    }

    /// Its type.
    pub fn kind(&self) -> &Text {
        &self.0.kind
    }

    /// What it is about; may be empty.
    pub fn name(&self) -> &Text {
        &self.0.name
    }

    /// The media type of the body; may be empty.
    pub fn content_type(&self) -> &Text {
        &self.0.content_type
    }

    /// The schema of the body, a URI; may be empty.
    pub fn schema(&self) -> &Text {
        &self.0.schema
    }

    /// When it happened: nanoseconds since the beginning of 1970 (UTC).
    pub fn time(&self) -> Option<Instant> {
        self.0.time
    }

    /// The quality of service that it asks for.
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// Its ordering key: events with the same one reach a consumer in order.
    pub fn key(&self) -> Option<&Text> {
        self.0.key.as_ref()
    }

    /// Its number among those of its source, which counts up.
    pub fn sequence(&self) -> Option<u64> {
        self.0.sequence
    }

    /// Its filterable fields, in the order in which they were given.
    pub fn fields(&self) -> &[Field] {
        &self.0.fields
    }

    /// Its body.
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// Bytes that it counts for in queues: everything in it and 64 for its frame.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// A number for its domain and type, equal where both are.
    pub(crate) fn kind_hash(&self) -> u64 {
        self.0.kind_hash
    }

    /// True when both are one in memory.
    pub fn is_same(&self, other: &Event) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A builder that holds everything of this event, to make a changed one.
    pub fn to_builder(&self) -> EventBuilder {
        EventBuilder::from_parts(Parts::clone(&self.0))
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { id, source, domain, kind, name, fields, body, .. } = &*self.0;
        write!(f, "{id} of {source}: {domain}/{kind}/{name}, {} fields, {} bytes", fields.len(), body.len())
    }
}

impl FieldValue {
    /// The value, lent.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            FieldValue::Bool(it) => Value::Bool(*it),
            FieldValue::Int(it) => Value::Int(*it),
            FieldValue::Float(it) => Value::Float(*it),
            FieldValue::Text(it) => Value::Text(it),
            FieldValue::Bytes(it) => Value::Bytes(it),
            FieldValue::Time(it) => Value::Time(*it),
        }
    }
}

/// Fields by name: those of the event, then the attributes by their CloudEvents names. Absent and empty attributes have no value.
impl Fields for Event {
    #[inline]
    fn field(&self, name: &str) -> Option<Value<'_>> {
        match self.0.fields.iter().find(|field| *field.name == *name) {
            Some(field) => Some(field.value.as_value()),
            None => self.attribute(name),
        }
    }
}

impl Event {
    fn attribute(&self, name: &str) -> Option<Value<'_>> {
        let parts = &*self.0;
        let text = match name {
            "id" => &parts.id,
            "source" => &parts.source,
            "type" => &parts.kind,
            "domain" => &parts.domain,
            "subject" | "name" => &parts.name,
            "datacontenttype" => &parts.content_type,
            "dataschema" => &parts.schema,
            "partitionkey" => return parts.key.as_deref().map(Value::Text),
            "time" => return parts.time.map(Value::Time),
            "priority" => return parts.header.priority.map(|it| Value::Int(it.into())),
            "expirytime" => return parts.header.expiry.map(Value::Time),
            "starttime" => return parts.header.start.map(Value::Time),
            "reliability" => return parts.header.reliability.map(|it| Value::Text(it.name())),
            "sequence" => return parts.sequence.map(|it| Value::Int(i64::try_from(it).unwrap_or(i64::MAX))),
            _ => return None,
        };
        (!text.is_empty()).then_some(Value::Text(text))
    }
}

/// The number of a domain and a type.
pub(crate) fn kind_hash(domain: &str, kind: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for &byte in domain.as_bytes().iter().chain(&[0xff]).chain(kind.as_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// Names that a field cannot have: they are attributes of the event, or of CloudEvents.
pub const RESERVED: [&str; 19] = [
    "data",
    "datacontenttype",
    "dataschema",
    "domain",
    "expirytime",
    "fieldtypes",
    "id",
    "name",
    "partitionkey",
    "priority",
    "reliability",
    "sequence",
    "source",
    "specversion",
    "starttime",
    "subject",
    "time",
    "type",
    "body",
];

#[cfg(test)]
mod tests;
