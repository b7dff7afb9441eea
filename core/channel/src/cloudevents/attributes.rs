//! Attributes of an event on its way in: what the modes have in common.

use super::error::CloudEventError;
use super::timestamp::parse_timestamp;
use crate::event::{Bytes, Event, EventLimits, Field, FieldValue, Reliability, Text};
use crate::json::shortened;
use base64ct::{Base64, Encoding};
use clustercore_proto::time::Instant;

/// The value of an attribute as it came.
pub(super) enum Given<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
}

/// Gathers the attributes of one event.
#[derive(Default)]
pub(super) struct Attributes {
    has_version: bool,
    id: Option<Text>,
    source: Option<Text>,
    kind: Option<Text>,
    domain: Option<Text>,
    name: Option<Text>,
    pub content_type: Option<Text>,
    schema: Option<Text>,
    key: Option<Text>,
    time: Option<Instant>,
    expiry: Option<Instant>,
    start: Option<Instant>,
    priority: Option<u8>,
    reliability: Option<Reliability>,
    sequence: Option<u64>,
    field_types: Option<Text>,
    fields: Vec<Field>,
}

impl Attributes {
    /// One more attribute.
    ///
    /// Errors: `Version`, `Twice`, `Empty`, `Name`, `Value`.
    pub fn take(&mut self, name: &str, given: Given<'_>) -> Result<(), CloudEventError> {
        match name {
            "specversion" => {
                let Given::Text("1.0") = given else {
                    return Err(CloudEventError::Version { value: given.shown() });
                };
                set(name, &mut self.has_version.then_some(()), ())?;
                self.has_version = true;
                Ok(())
            }
            "id" => set_text(name, &mut self.id, &given),
            "source" => set_text(name, &mut self.source, &given),
            "type" => set_text(name, &mut self.kind, &given),
            "domain" => set_text(name, &mut self.domain, &given),
            "subject" => set_text(name, &mut self.name, &given),
            "datacontenttype" => set_text(name, &mut self.content_type, &given),
            "dataschema" => set_text(name, &mut self.schema, &given),
            "partitionkey" => set_text(name, &mut self.key, &given),
            "fieldtypes" => set_text(name, &mut self.field_types, &given),
            "time" => set(name, &mut self.time, moment(name, &given)?),
            "expirytime" => set(name, &mut self.expiry, moment(name, &given)?),
            "starttime" => set(name, &mut self.start, moment(name, &given)?),
            "priority" => set(name, &mut self.priority, number(name, &given, "a number from 0 to 255")?),
            "sequence" => set(name, &mut self.sequence, number(name, &given, "a decimal number")?),
            "reliability" => {
                let known = given.text().and_then(Reliability::from_name);
                let wanted = "besteffort or persistent";
                set(name, &mut self.reliability, known.ok_or_else(|| given.wanted(name, wanted))?)
            }
            _ => {
                if name.is_empty() || !name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit()) {
                    return Err(CloudEventError::Name { name: shortened(name) });
                }
                let value = match given {
                    Given::Text(text) => FieldValue::Text(text.into()),
                    Given::Bool(is) => FieldValue::Bool(is),
                    Given::Int(number) => FieldValue::Int(number),
                };
                self.fields.push(Field::new(name, value));
                Ok(())
            }
        }
    }

    /// The event of these attributes.
    ///
    /// Errors: `Missing`, `Value` for field types that do not fit, `Event`.
    pub fn build(mut self, body: impl Into<Bytes>, limits: &EventLimits) -> Result<Event, CloudEventError> {
        let missing = |name| CloudEventError::Missing { name };
        if !self.has_version {
            return Err(missing("specversion"));
        }
        if let Some(types) = self.field_types.take() {
            apply_types(&mut self.fields, &types)?;
        }
        let id = self.id.ok_or(missing("id"))?;
        let source = self.source.ok_or(missing("source"))?;
        let kind = self.kind.ok_or(missing("type"))?;
        let mut builder = Event::builder(id, source, kind).body(body);
        macro_rules! apply {
            ($($setter:ident: $from:expr),*) => {
                $(if let Some(value) = $from { builder = builder.$setter(value); })*
            };
        }
        apply!(domain: self.domain, name: self.name, content_type: self.content_type, schema: self.schema);
        apply!(key: self.key, time: self.time, expiry: self.expiry, start: self.start);
        apply!(priority: self.priority, reliability: self.reliability, sequence: self.sequence);
        for Field { name, value, .. } in self.fields {
            builder = builder.field(name, value);
        }
        Ok(builder.build(limits)?)
    }
}

impl Given<'_> {
    fn text(&self) -> Option<&str> {
        if let Given::Text(text) = self { Some(text) } else { None }
    }

    fn shown(&self) -> String {
        match self {
            Given::Text(text) => shortened(text),
            Given::Bool(is) => is.to_string(),
            Given::Int(number) => number.to_string(),
        }
    }

    fn wanted(&self, name: &str, wanted: &'static str) -> CloudEventError {
        CloudEventError::Value { name: name.into(), value: self.shown(), wanted }
    }
}

fn set<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), CloudEventError> {
    match place.replace(value) {
        Some(_) => Err(CloudEventError::Twice { name: name.into() }),
        None => Ok(()),
    }
}

fn set_text(name: &str, place: &mut Option<Text>, given: &Given<'_>) -> Result<(), CloudEventError> {
    match given.text() {
        Some("") => Err(CloudEventError::Empty { name: name.into() }),
        Some(text) => set(name, place, text.into()),
        None => Err(given.wanted(name, "a text")),
    }
}

fn moment(name: &str, given: &Given<'_>) -> Result<Instant, CloudEventError> {
    let moment = given.text().and_then(parse_timestamp);
    moment.ok_or_else(|| given.wanted(name, "a timestamp of RFC 3339 between 1970 and 2554"))
}

fn number<T: TryFrom<u64>>(
    name: &str,
    given: &Given<'_>,
    wanted: &'static str,
) -> Result<T, CloudEventError> {
    let number = match given {
        Given::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Given::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    let number = number.and_then(|number: u64| T::try_from(number).ok());
    number.ok_or_else(|| given.wanted(name, wanted))
}

/// Gives fields the types that `fieldtypes` names. Fields that are not there are passed over: somebody on the way may have
/// removed them.
fn apply_types(fields: &mut [Field], types: &str) -> Result<(), CloudEventError> {
    let wrong = |value: &str, wanted| CloudEventError::Value {
        name: "fieldtypes".into(),
        value: shortened(value),
        wanted,
    };
    for entry in types.split(',') {
        let Some((name, kind)) = entry.split_once(':') else {
            return Err(wrong(entry, "NAME:TYPE, and commas between them"));
        };
        if !TYPES.contains(&kind) {
            return Err(wrong(entry, "one of the types bool, int, float, text, bytes, time"));
        }
        let Some(field) = fields.iter_mut().find(|field| *field.name == *name) else { continue };
        if field.value.as_value().type_name() == kind {
            continue;
        }
        let FieldValue::Text(text) = &field.value else {
            return Err(wrong(entry, "the type that the field has already"));
        };
        field.value = typed(text, kind).ok_or_else(|| CloudEventError::Value {
            name: name.into(),
            value: shortened(text),
            wanted: "a value of the type that fieldtypes names",
        })?;
    }
    Ok(())
}

fn typed(text: &str, kind: &str) -> Option<FieldValue> {
    Some(match kind {
        "bool" => FieldValue::Bool(text.parse().ok()?),
        "int" => FieldValue::Int(text.parse().ok().filter(|_| !text.starts_with('+'))?),
        "float" => FieldValue::Float(text.parse().ok()?),
        "bytes" => FieldValue::Bytes(Base64::decode_vec(text).ok()?.into()),
        "time" => FieldValue::Time(parse_timestamp(text)?),
        _ => return None,
    })
}

const TYPES: [&str; 6] = ["bool", "int", "float", "text", "bytes", "time"];
