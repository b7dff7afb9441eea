//! The attributes of an event that filters can ask for, by their CloudEvents names.

use super::Event;
use crate::value::Value;

/// An attribute that has a value where it is neither absent nor empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attribute {
    Id,
    Source,
    Domain,
    Kind,
    Name,
    ContentType,
    Schema,
    Key,
    Time,
    Priority,
    Expiry,
    Start,
    Reliability,
    Sequence,
}

impl Attribute {
    /// The first ones are text.
    pub const TEXTS: usize = Attribute::Schema as usize + 1;

    /// The attribute of this name; `None` where it can be that of a field.
    pub fn from_name(name: &str) -> Option<Attribute> {
        Some(match name {
            "id" => Attribute::Id,
            "source" => Attribute::Source,
            "type" => Attribute::Kind,
            "domain" => Attribute::Domain,
            "subject" | "name" => Attribute::Name,
            "datacontenttype" => Attribute::ContentType,
            "dataschema" => Attribute::Schema,
            "partitionkey" => Attribute::Key,
            "time" => Attribute::Time,
            "priority" => Attribute::Priority,
            "expirytime" => Attribute::Expiry,
            "starttime" => Attribute::Start,
            "reliability" => Attribute::Reliability,
            "sequence" => Attribute::Sequence,
            _ => return None,
        })
    }
}

impl Event {
    /// Text is what filters ask for most: its value is found without a jump.
    #[inline(always)]
    pub(super) fn attribute(&self, attribute: Attribute) -> Option<Value<'_>> {
        match self.0.texts.get(attribute as usize) {
            Some(text) => text.as_deref().map(Value::Text),
            None => self.other_attribute(attribute),
        }
    }

    fn other_attribute(&self, attribute: Attribute) -> Option<Value<'_>> {
        let parts = &*self.0;
        match attribute {
            Attribute::Key => parts.key.as_deref().map(Value::Text),
            Attribute::Time => parts.time.map(Value::Time),
            Attribute::Priority => parts.header.priority.map(|it| Value::Int(it.into())),
            Attribute::Expiry => parts.header.expiry.map(Value::Time),
            Attribute::Start => parts.header.start.map(Value::Time),
            Attribute::Reliability => parts.header.reliability.map(|it| Value::Text(it.name())),
            Attribute::Sequence => parts.sequence.map(|it| Value::Int(i64::try_from(it).unwrap_or(i64::MAX))),
            _ => None,
        }
    }
}
