//! What holds for every CloudEvent that comes in; see [`check`].

use clustercore_channel::cloudevents::{
    BatchWriter, decode_batch, decode_binary, decode_json, encode_headers, encode_json, fits_binary,
};
use clustercore_channel::event::FieldValue;
use clustercore_channel::{Event, EventLimits, Fields, Value};

/// Bounds that inputs of a fuzzer can reach.
pub const LIMITS: EventLimits = EventLimits {
    attribute_bytes_max: 512,
    fields_max: 16,
    field_name_bytes_max: 20,
    field_bytes_max: 512,
    body_bytes_max: 2048,
    event_bytes_max: 4096,
};

/// Reads one event, a batch, or a message in binary mode, as the first byte says; then sends what was read around in every
/// mode. True when it could be read.
///
/// A message in binary mode is written as lines `name: value`, an empty line, and the body.
pub fn check(input: &[u8]) -> bool {
    let Some((mode, rest)) = input.split_first() else { return false };
    let events = match mode % 3 {
        0 => decode_json(rest, &LIMITS).map(|event| vec![event]),
        1 => decode_batch(rest, &LIMITS, EVENTS_MAX),
        _ => {
            let (fields, body) = message(rest);
            decode_binary(fields, body, &LIMITS).map(|event| vec![event])
        }
    };
    let Ok(events) = events else { return false };
    assert!(events.len() <= EVENTS_MAX);
    events.iter().for_each(check_event);
    let mut batch = BatchWriter::default();
    events.iter().for_each(|event| batch.push(event, &[]));
    let again = decode_batch(batch.finish().as_bytes(), &LIMITS, EVENTS_MAX).expect("our own batch");
    assert!(again.iter().zip(&events).all(|(again, event)| is_same(again, event)));
    true
}

/// An event comes back from every mode as it was.
pub fn check_event(event: &Event) {
    let mut text = String::new();
    encode_json(event, &mut text);
    let again = decode_json(text.as_bytes(), &LIMITS).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(is_same(&again, event), "{again:?} of {text}");
    if !fits_binary(event) {
        return;
    }
    let mut fields = Vec::new();
    encode_headers(event, |name, value| fields.push((name.to_string(), value.to_string())));
    assert!(fields.iter().all(|(_, value)| value.bytes().all(|byte| matches!(byte, b' '..=b'~'))));
    let lent = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let again =
        decode_binary(lent, event.body(), &LIMITS).unwrap_or_else(|error| panic!("{error}: {fields:?}"));
    assert_eq!(again.body(), event.body());
    assert!(is_same(&again, event), "{again:?} of {fields:?}");
}

/// Equal but for white space around a JSON body; one number that is none is like another.
fn is_same(again: &Event, event: &Event) -> bool {
    let is_nan = |value: &FieldValue| matches!(value, FieldValue::Float(number) if number.is_nan());
    let fields = again.fields().iter().zip(event.fields());
    let is_same_field = fields.clone().all(|(one, other)| {
        one.name == other.name && (one.value == other.value || (is_nan(&one.value) && is_nan(&other.value)))
    });
    let bare = |event: &Event| {
        let fields = event.fields().iter().map(|field| (field.name.clone(), 0i64));
        let all =
            ["id", "source", "type", "domain", "subject", "datacontenttype", "dataschema", "partitionkey"];
        let texts = all.map(|name| match event.field(name) {
            Some(Value::Text(text)) => text.to_string(),
            _ => String::new(),
        });
        let times = (event.time(), *event.header(), event.sequence());
        (texts, times, fields.collect::<Vec<_>>(), event.body().trim_ascii().to_vec())
    };
    is_same_field && bare(again) == bare(event)
}

/// Fields and body of a message as [`check`] takes it.
fn message(text: &[u8]) -> (Vec<(&str, &[u8])>, &[u8]) {
    let mut fields = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        if let Ok(name) = std::str::from_utf8(&line[..colon]) {
            fields.push((name, line[colon + 1..].trim_ascii()));
        }
    }
    (fields, rest)
}

const EVENTS_MAX: usize = 8;
