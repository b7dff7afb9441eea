//! Binary mode: attributes in `ce-` fields, the body as it is.

use super::attributes::{Attributes, Given};
use super::error::CloudEventError;
use super::outgoing::{Out, attributes};
use super::{media, percent};
use crate::event::{Event, EventLimits};
use crate::json::shortened;

/// Gives the fields of an event to `sink`, by name and value: `content-type` where there is one, then those with `ce-`. The
/// message's body is the event's.
///
/// Only for events that are [`fits_binary`].
pub fn encode_headers(event: &Event, mut sink: impl FnMut(&str, &str)) {
    if !event.content_type().is_empty() {
        sink("content-type", event.content_type());
    }
    let (mut field, mut encoded) = (String::from("ce-"), String::new());
    attributes(event, false, &[], &mut |name, value| {
        field.truncate("ce-".len());
        field.push_str(name);
        encoded.clear();
        match value {
            Out::Text(text) => percent::encode(text, &mut encoded),
            Out::Plain(text) => encoded.push_str(text),
        }
        sink(&field, &encoded);
    });
}

/// True when a receiver can tell that a message with this event is in binary mode, and fields can carry its content type. The
/// others go in structured mode.
pub fn fits_binary(event: &Event) -> bool {
    let content_type = event.content_type();
    let is_field = content_type.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_field
        && content_type.trim() == &**content_type
        && media::Mode::of(content_type) == Ok(media::Mode::Binary)
}

/// The event of a message in binary mode. `fields` are the message's by name, in any case, and value; others than `ce-` and
/// `content-type` are passed over.
///
/// Errors: all but those of JSON.
pub fn decode_binary<'a>(
    fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    body: &[u8],
    limits: &EventLimits,
) -> Result<Event, CloudEventError> {
    let mut gathered = Attributes::default();
    for (field, value) in fields {
        if field.eq_ignore_ascii_case("content-type") {
            let value = std::str::from_utf8(value).ok().filter(|value| value.is_ascii());
            let why = "it is no visible ASCII: send a media type";
            let encoding = |_| CloudEventError::Encoding { name: "datacontenttype".into(), why };
            gathered.take("datacontenttype", Given::Text(value.ok_or(()).map_err(encoding)?))?;
            continue;
        }
        let Some((prefix, name)) = field.split_at_checked("ce-".len()) else { continue };
        if !prefix.eq_ignore_ascii_case("ce-") {
            continue;
        }
        let name = name.to_ascii_lowercase();
        if name == "datacontenttype" {
            let why = "the media type of the body belongs into Content-Type alone: leave this field out";
            return Err(CloudEventError::Encoding { name, why });
        }
        let encoding = |why| CloudEventError::Encoding { name: shortened(&name), why };
        let value = percent::decode(value).map_err(encoding)?;
        gathered.take(&name, Given::Text(&value))?;
    }
    // Nothing of an event that is too large is copied.
    let (len, max) = (body.len(), limits.body_bytes_max);
    if len > max {
        return Err(crate::event::EventError::TooLong { what: "body", len, max }.into());
    }
    gathered.build(body, limits)
}
