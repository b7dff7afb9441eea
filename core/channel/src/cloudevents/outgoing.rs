//! Attributes of an event on its way out: what the modes have in common.

use super::timestamp::write_timestamp;
use crate::event::{Event, Field, FieldValue};
use base64ct::{Base64, Encoding};
use std::fmt::Write;

/// A value on its way out.
pub(super) enum Out<'a> {
    Text(&'a str),
    /// A whole number, or true or false, as text.
    Plain(&'a str),
}

/// Gives every attribute but `datacontenttype` to `sink`, in a fixed order. `is_typed` is true for a form that has numbers and
/// booleans beside text. Fields whose names are in `without` are left out.
pub(super) fn attributes(
    event: &Event,
    is_typed: bool,
    without: &[(&str, &str)],
    sink: &mut impl FnMut(&str, Out<'_>),
) {
    let mut scratch = String::new();
    sink("specversion", Out::Text("1.0"));
    sink("id", Out::Text(event.id()));
    sink("source", Out::Text(event.source()));
    sink("type", Out::Text(event.kind()));
    for (name, text) in
        [("subject", event.name()), ("dataschema", event.schema()), ("domain", event.domain())]
    {
        if !text.is_empty() {
            sink(name, Out::Text(text));
        }
    }
    let header = event.header();
    for (name, moment) in [("time", event.time()), ("expirytime", header.expiry), ("starttime", header.start)]
    {
        if let Some(moment) = moment {
            scratch.clear();
            write_timestamp(moment, &mut scratch);
            sink(name, Out::Text(&scratch));
        }
    }
    if let Some(priority) = header.priority {
        sink("priority", Out::Plain(&priority.to_string()));
    }
    if let Some(reliability) = header.reliability {
        sink("reliability", Out::Text(reliability.name()));
    }
    if let Some(key) = event.key() {
        sink("partitionkey", Out::Text(key));
    }
    if let Some(sequence) = event.sequence() {
        sink("sequence", Out::Text(&sequence.to_string()));
    }
    fields(event, is_typed, without, sink);
}

/// Fields, and `fieldtypes` for those that do not look like what they are.
fn fields(event: &Event, is_typed: bool, without: &[(&str, &str)], sink: &mut impl FnMut(&str, Out<'_>)) {
    let (mut types, mut scratch) = (String::new(), String::new());
    for Field { name, value, .. } in event.fields() {
        if without.iter().any(|(taken, _)| *taken == &**name) {
            continue;
        }
        scratch.clear();
        let is_plain = match value {
            FieldValue::Text(text) => {
                sink(name, Out::Text(text));
                continue;
            }
            FieldValue::Bool(is) => {
                scratch.push_str(if *is { "true" } else { "false" });
                is_typed
            }
            FieldValue::Int(number) => {
                let _ = write!(scratch, "{number}");
                is_typed && i32::try_from(*number).is_ok()
            }
            FieldValue::Float(number) => {
                let _ = write!(scratch, "{number:?}");
                false
            }
            FieldValue::Bytes(bytes) => {
                scratch.push_str(&Base64::encode_string(bytes));
                false
            }
            FieldValue::Time(moment) => {
                write_timestamp(*moment, &mut scratch);
                false
            }
        };
        if is_plain {
            sink(name, Out::Plain(&scratch));
            continue;
        }
        sink(name, Out::Text(&scratch));
        let comma = if types.is_empty() { "" } else { "," };
        let _ = write!(types, "{comma}{name}:{}", value.as_value().type_name());
    }
    if !types.is_empty() {
        sink("fieldtypes", Out::Text(&types));
    }
}
