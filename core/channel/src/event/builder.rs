//! Makes an event and holds it to its limits.

use super::{Attribute, Bytes, Event, EventError, EventLimits, Field, FieldValue, Header, Parts};
use super::{Reliability, Text, is_reserved, kind_hash};
use crate::value::{code, is_exact};
use clustercore_proto::time::Instant;
use std::sync::Arc;

/// Collects the parts of an event. Nothing is checked before [`EventBuilder::build`].
#[derive(Clone, Debug)]
pub struct EventBuilder {
    parts: Parts,
    fields: Vec<Field>,
}

impl Field {
    /// A field. Name and value are checked when its event is built.
    pub fn new(name: impl Into<Text>, value: impl Into<FieldValue>) -> Field {
        let name: Text = name.into();
        Field { code: code(&name), name, value: value.into() }
    }
}

impl EventBuilder {
    pub(super) fn new(id: Text, source: Text, kind: Text) -> EventBuilder {
        let mut texts = [const { None }; Attribute::TEXTS];
        for (attribute, text) in [(Attribute::Id, id), (Attribute::Source, source), (Attribute::Kind, kind)] {
            texts[attribute as usize] = given(text);
        }
        let parts = Parts {
            texts,
            time: None,
            header: Header::default(),
            key: None,
            sequence: None,
            fields: Box::default(),
            body: None,
            kind_hash: 0,
            size: 0,
        };
        EventBuilder { parts, fields: Vec::new() }
    }

    pub(super) fn from_parts(mut parts: Parts) -> EventBuilder {
        let fields = std::mem::take(&mut parts.fields).into_vec();
        EventBuilder { parts, fields }
    }

    /// Another id.
    pub fn id(mut self, id: impl Into<Text>) -> EventBuilder {
        self.parts.texts[Attribute::Id as usize] = given(id.into());
        self
    }

    /// The trade that the type belongs to.
    pub fn domain(mut self, domain: impl Into<Text>) -> EventBuilder {
        self.parts.texts[Attribute::Domain as usize] = given(domain.into());
        self
    }

    /// What the event is about.
    pub fn name(mut self, name: impl Into<Text>) -> EventBuilder {
        self.parts.texts[Attribute::Name as usize] = given(name.into());
        self
    }

    /// The media type of the body.
    pub fn content_type(mut self, content_type: impl Into<Text>) -> EventBuilder {
        self.parts.texts[Attribute::ContentType as usize] = given(content_type.into());
        self
    }

    /// The schema of the body, a URI.
    pub fn schema(mut self, schema: impl Into<Text>) -> EventBuilder {
        self.parts.texts[Attribute::Schema as usize] = given(schema.into());
        self
    }

    /// When it happened.
    pub fn time(mut self, time: Instant) -> EventBuilder {
        self.parts.time = Some(time);
        self
    }

    /// Its priority; more is more urgent.
    pub fn priority(mut self, priority: u8) -> EventBuilder {
        self.parts.header.priority = Some(priority);
        self
    }

    /// From when on nobody wants it.
    pub fn expiry(mut self, expiry: Instant) -> EventBuilder {
        self.parts.header.expiry = Some(expiry);
        self
    }

    /// Before when nobody gets it.
    pub fn start(mut self, start: Instant) -> EventBuilder {
        self.parts.header.start = Some(start);
        self
    }

    /// What is promised of it.
    pub fn reliability(mut self, reliability: Reliability) -> EventBuilder {
        self.parts.header.reliability = Some(reliability);
        self
    }

    /// All of the quality of service that it asks for, in place of what was said before.
    pub fn header(mut self, header: Header) -> EventBuilder {
        self.parts.header = header;
        self
    }

    /// Its ordering key. An empty one is none.
    pub fn key(mut self, key: impl Into<Text>) -> EventBuilder {
        self.parts.key = given(key.into());
        self
    }

    /// Its number among those of its source.
    pub fn sequence(mut self, sequence: u64) -> EventBuilder {
        self.parts.sequence = Some(sequence);
        self
    }

    /// One more field.
    pub fn field(mut self, name: impl Into<Text>, value: impl Into<FieldValue>) -> EventBuilder {
        self.fields.push(Field::new(name, value));
        self
    }

    /// Its body.
    pub fn body(mut self, body: impl Into<Bytes>) -> EventBuilder {
        self.parts.body = Some(body.into()).filter(|body| !body.is_empty());
        self
    }

    /// The event, when it keeps to `limits`.
    ///
    /// Errors: the first thing that is wrong with it.
    pub fn build(self, limits: &EventLimits) -> Result<Event, EventError> {
        let EventBuilder { mut parts, fields } = self;
        let body_len = parts.body.as_ref().map_or(0, |body| body.len());
        let mut size = FRAME_BYTES + body_len;
        for (what, text) in TEXTS.into_iter().zip(&parts.texts) {
            match text {
                Some(text) => size += check_text(what, text, limits.attribute_bytes_max)?,
                None if REQUIRED.contains(&what) => return Err(EventError::Missing { what }),
                None => {}
            }
        }
        if let Some(key) = &parts.key {
            size += check_text("ordering key", key, limits.attribute_bytes_max)?;
        }
        if fields.len() > limits.fields_max {
            return Err(EventError::TooManyFields { len: fields.len(), max: limits.fields_max });
        }
        for (index, field) in fields.iter().enumerate() {
            size += check_field(field, limits)?;
            let is_same = |it: &Field| it.code == field.code && (is_exact(it.code) || it.name == field.name);
            if fields[..index].iter().any(is_same) {
                return Err(EventError::FieldTwice { name: field.name.to_string() });
            }
        }
        check_len("body", body_len, limits.body_bytes_max)?;
        check_len("the whole", size, limits.event_bytes_max)?;
        parts.fields = fields.into_boxed_slice();
        let text = |attribute: Attribute| parts.texts[attribute as usize].as_deref().unwrap_or_default();
        parts.kind_hash = kind_hash(text(Attribute::Domain), text(Attribute::Kind));
        parts.size = size;
        Ok(Event(Arc::new(parts)))
    }
}

/// Text that is there; empty text is not.
fn given(text: Text) -> Option<Text> {
    Some(text).filter(|text| !text.is_empty())
}

fn check_field(field: &Field, limits: &EventLimits) -> Result<usize, EventError> {
    let name = &field.name;
    check_len("the name of a field", name.len(), limits.field_name_bytes_max)?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return Err(EventError::FieldName { name: name.to_string() });
    }
    if is_reserved(name) {
        return Err(EventError::FieldReserved { name: name.to_string() });
    }
    let len = match &field.value {
        FieldValue::Text(text) => check_text("a field", text, limits.field_bytes_max)?,
        FieldValue::Bytes(bytes) => {
            check_len("a field", bytes.len(), limits.field_bytes_max)?;
            bytes.len()
        }
        _ => 8,
    };
    Ok(name.len() + len)
}

/// The text's bytes.
fn check_text(what: &'static str, text: &str, max: usize) -> Result<usize, EventError> {
    check_len(what, text.len(), max)?;
    // Most text is plain ASCII, and that is told of many bytes at once.
    let is_plain = text.bytes().fold(true, |is_plain, byte| is_plain & (b' '..0x7f).contains(&byte));
    if is_plain {
        return Ok(text.len());
    }
    match text.chars().find(|character| character.is_control()) {
        Some(character) => Err(EventError::ControlCharacter { what, character: character.into() }),
        None => Ok(text.len()),
    }
}

fn check_len(what: &'static str, len: usize, max: usize) -> Result<(), EventError> {
    if len > max { Err(EventError::TooLong { what, len, max }) } else { Ok(()) }
}

macro_rules! field_value_from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for FieldValue {
            fn from(value: $type) -> FieldValue {
                FieldValue::$variant(value.into())
            }
        }
    )*};
}

field_value_from!(bool => Bool, i64 => Int, i32 => Int, u32 => Int, f64 => Float, Instant => Time);
field_value_from!(&str => Text, String => Text, Text => Text, &[u8] => Bytes, Vec<u8> => Bytes, Bytes => Bytes);

/// What an event counts for beyond its content.
const FRAME_BYTES: usize = 64;

/// The texts of an event, as messages name them.
const TEXTS: [&str; Attribute::TEXTS] = ["id", "source", "domain", "type", "name", "content type", "schema"];

const REQUIRED: [&str; 3] = ["id", "source", "type"];
