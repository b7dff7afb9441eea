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

mod attribute;
mod builder;
mod limits;

pub(crate) use attribute::Attribute;
pub use builder::EventBuilder;
pub use limits::{EventError, EventLimits};

use crate::value::{self, FieldName, Fields, Value};
use clustercore_proto::time::Instant;
use std::fmt;
use std::sync::{Arc, LazyLock};

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
    /// Of its name, by which it is found.
    code: u64,
}

/// The parts of an event, in the order of the table in the module's text.
#[derive(Clone, Debug, PartialEq)]
struct Parts {
    /// By [`Attribute`], none of them empty. Absent ones share nothing: a counter that each event touches would be the
    /// one cache line for which all threads wait.
    texts: [Option<Text>; Attribute::TEXTS],
    time: Option<Instant>,
    header: Header,
    key: Option<Text>,
    sequence: Option<u64>,
    fields: Box<[Field]>,
    /// Not empty.
    body: Option<Bytes>,
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
        self.text(Attribute::Id)
    }

    /// Who made it: a URI reference.
    pub fn source(&self) -> &Text {
        self.text(Attribute::Source)
    }

    /// The trade that its type belongs to; may be empty.
    pub fn domain(&self) -> &Text {
        self.text(Attribute::Domain)
    }

    /// Its type.
    pub fn kind(&self) -> &Text {
        self.text(Attribute::Kind)
    }

    /// What it is about; may be empty.
    pub fn name(&self) -> &Text {
        self.text(Attribute::Name)
    }

    /// The media type of the body; may be empty.
    pub fn content_type(&self) -> &Text {
        self.text(Attribute::ContentType)
    }

    /// The schema of the body, a URI; may be empty.
    pub fn schema(&self) -> &Text {
        self.text(Attribute::Schema)
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
        self.0.body.as_ref().unwrap_or_else(|| &NO_BYTES)
    }

    #[inline]
    fn text(&self, attribute: Attribute) -> &Text {
        self.0.texts[attribute as usize].as_ref().unwrap_or_else(|| &NO_TEXT)
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
        let [id, source, domain, kind] = [self.id(), self.source(), self.domain(), self.kind()];
        let (name, fields, body) = (self.name(), self.fields().len(), self.body().len());
        write!(f, "{id} of {source}: {domain}/{kind}/{name}, {fields} fields, {body} bytes")
    }
}

impl FieldValue {
    /// The value, lent.
    #[inline]
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
        self.own(value::code(name), name).or_else(|| self.attribute(Attribute::from_name(name)?))
    }

    #[inline(always)]
    fn value(&self, name: &FieldName) -> Option<Value<'_>> {
        match name.attribute {
            Some(attribute) => self.attribute(attribute),
            None => self.own(name.code, name.text()),
        }
    }
}

impl Event {
    /// One of its own fields; `code` is that of `name`.
    #[inline(always)]
    fn own(&self, code: u64, name: &str) -> Option<Value<'_>> {
        let is_it = |it: &&Field| it.code == code && (value::is_exact(code) || *it.name == *name);
        self.0.fields.iter().find(is_it).map(|it| it.value.as_value())
    }
}

/// The number of a domain and a type: eight bytes at a time, the length of the domain keeping the two apart.
pub(crate) fn kind_hash(domain: &str, kind: &str) -> u64 {
    let mix =
        |hash: u64, part: &[u8]| (hash.rotate_left(5) ^ value::word(part)).wrapping_mul(value::MULTIPLIER);
    let texts = [domain.as_bytes(), kind.as_bytes()];
    texts.iter().fold(0, |hash, text| text.chunks(8).fold(mix(hash, &text.len().to_le_bytes()), mix))
}

static NO_TEXT: LazyLock<Text> = LazyLock::new(Text::default);

static NO_BYTES: LazyLock<Bytes> = LazyLock::new(Bytes::default);

/// True for those of [`RESERVED`].
fn is_reserved(name: &str) -> bool {
    Attribute::from_name(name).is_some() || matches!(name, "body" | "data" | "fieldtypes" | "specversion")
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
