//! Structured mode: all of an event in one JSON object.

use super::attributes::{Attributes, Given};
use super::error::CloudEventError;
use super::media;
use super::outgoing::{Out, attributes};
use crate::event::{Event, EventLimits};
use crate::json::{Members, Object, Scalar, scalar, utf8};
use base64ct::{Base64, Encoding};
use serde_json::value::RawValue;

/// Appends an event as `application/cloudevents+json`.
///
/// The body goes as JSON where its content type says JSON and it is (white space around it is lost), as text where it is text
/// or XML in UTF-8, else in base64.
pub fn encode_json(event: &Event, out: &mut String) {
    encode_json_with(event, &[], out);
}

/// The same with further attributes, by name and text. They stand for fields of the event that have their names.
pub fn encode_json_with(event: &Event, further: &[(&str, &str)], out: &mut String) {
    Object::write(out, |object| {
        attributes(event, true, further, &mut |name, value| match value {
            Out::Text(text) => object.text(name, text),
            Out::Plain(text) => object.plain(name, text),
        });
        for (name, text) in further {
            object.text(name, text);
        }
        let content_type = event.content_type();
        if !content_type.is_empty() {
            object.text("datacontenttype", content_type);
        }
        let body = &**event.body();
        if body.is_empty() {
            return;
        }
        if let Ok(text) = std::str::from_utf8(body) {
            // There is text/json: whose data is JSON is never taken for text.
            if media::is_text(content_type) && !media::is_json(content_type) {
                return object.text("data", text);
            }
            if media::is_json(content_type)
                && let Ok(value) = serde_json::from_str::<&RawValue>(text)
            {
                return object.plain("data", value.get());
            }
        }
        object.text("data_base64", &Base64::encode_string(body));
    });
}

/// The event of a body in structured mode.
///
/// Data without a content type is JSON, and becomes an event that says so. Errors: all but `Encoding` and those of batches.
pub fn decode_json(body: &[u8], limits: &EventLimits) -> Result<Event, CloudEventError> {
    decode_text(utf8(body)?, limits)
}

pub(super) fn decode_text(text: &str, limits: &EventLimits) -> Result<Event, CloudEventError> {
    let members = Members::parse(text, limits.fields_max + ATTRIBUTES_MAX)?;
    let mut gathered = Attributes::default();
    let (mut data, mut data_base64) = (None, None);
    for (name, value) in members.raw() {
        match name {
            "data" => data = Some(value),
            "data_base64" => data_base64 = Some(scalar(name, value)?),
            _ => take(&mut gathered, name, &scalar(name, value)?)?,
        }
    }
    match (data, data_base64) {
        (Some(_), Some(_)) => {
            Err(CloudEventError::Data { why: "both data and data_base64 are given: give one" })
        }
        (None, None) => gathered.build(&[][..], limits),
        (None, Some(value)) => {
            let bytes = match &value {
                Scalar::Text(text) => Base64::decode_vec(text).ok(),
                _ => None,
            };
            let wrong = || value.wanted("data_base64", "a text in base64 with its padding");
            gathered.build(bytes.ok_or_else(wrong)?, limits)
        }
        (Some(value), None) => {
            let content_type = gathered.content_type.get_or_insert_with(|| "application/json".into());
            if media::is_json(content_type) {
                return gathered.build(value.as_bytes(), limits);
            }
            if !media::is_utf8(content_type) {
                let why = "data of another character set than UTF-8 cannot be text: send data_base64";
                return Err(CloudEventError::Data { why });
            }
            match scalar("data", value)? {
                Scalar::Text(text) => gathered.build(text.as_bytes(), limits),
                _ => {
                    let why =
                        "data is no text although its content type is not JSON: send a text, or data_base64";
                    Err(CloudEventError::Data { why })
                }
            }
        }
    }
}

fn take(gathered: &mut Attributes, name: &str, value: &Scalar<'_>) -> Result<(), CloudEventError> {
    let wanted = "true, false, a text, or a whole number of 64 bits: send others as text";
    let given = match value {
        Scalar::Null => return Ok(()),
        Scalar::Bool(is) => Given::Bool(*is),
        Scalar::Text(text) => Given::Text(text),
        Scalar::Number(number) => Given::Int(number.parse().map_err(|_| value.wanted(name, wanted))?),
        Scalar::Compound(_) => return Err(value.wanted(name, wanted).into()),
    };
    gathered.take(name, given)
}

/// More than there are attributes, `data` and `data_base64` included.
const ATTRIBUTES_MAX: usize = 32;
