//! What a media type says.

use super::{CloudEventError, error};
use crate::json::shortened;

/// How events are laid out in a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Attributes in fields, the body as it is.
    Binary,
    /// One event as JSON.
    Structured,
    /// Several events as JSON.
    Batch,
}

impl Mode {
    /// The mode of a message with this `Content-Type`; empty where it has none.
    ///
    /// Errors: `Format` for CloudEvents in another format than JSON, or not in UTF-8.
    pub fn of(content_type: &str) -> Result<Mode, CloudEventError> {
        let essence = essence(content_type);
        if !starts_with(essence, "application/cloudevents") {
            return Ok(Mode::Binary);
        }
        let mode = if essence.eq_ignore_ascii_case(super::MEDIA_TYPE) {
            Mode::Structured
        } else if essence.eq_ignore_ascii_case(super::BATCH_MEDIA_TYPE) {
            Mode::Batch
        } else {
            return Err(error::CloudEventError::Format { value: shortened(content_type) });
        };
        if is_utf8(content_type) {
            Ok(mode)
        } else {
            Err(CloudEventError::Format { value: shortened(content_type) })
        }
    }
}

/// True for `*/json` and `*/*+json`.
pub(super) fn is_json(content_type: &str) -> bool {
    let Some((_, subtype)) = essence(content_type).split_once('/') else { return false };
    subtype.eq_ignore_ascii_case("json") || ends_with(subtype, "+json")
}

/// True for what people can read as it stands: text and XML in UTF-8.
pub(super) fn is_text(content_type: &str) -> bool {
    let essence = essence(content_type);
    let is_text = starts_with(essence, "text/")
        || essence.eq_ignore_ascii_case("application/xml")
        || ends_with(essence, "+xml");
    is_text && is_utf8(content_type)
}

/// True unless another character set is named.
pub(super) fn is_utf8(content_type: &str) -> bool {
    content_type.split(';').skip(1).all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii")
        }
        _ => true,
    })
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or("").trim()
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

fn ends_with(text: &str, end: &str) -> bool {
    let at = text.len().checked_sub(end.len());
    at.and_then(|at| text.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_told_by_the_media_type() {
        for (value, mode) in [
            ("", Some(Mode::Binary)),
            ("text/plain", Some(Mode::Binary)),
            ("application/cloudevents+json", Some(Mode::Structured)),
            ("Application/CloudEvents+JSON ; charset=\"UTF-8\"", Some(Mode::Structured)),
            ("application/cloudevents-batch+json", Some(Mode::Batch)),
            ("application/cloudevents", None),
            ("application/cloudevents+avro", None),
            ("application/cloudevents+json; charset=utf-16", None),
        ] {
            assert_eq!(Mode::of(value).ok(), mode, "{value}");
        }
    }

    #[test]
    fn json_and_text_are_known_by_their_subtype() {
        for value in ["application/json", "text/JSON; charset=utf-8", "application/vnd.x+json"] {
            assert!(is_json(value), "{value}");
        }
        for value in ["", "json", "application/jsonx", "application/+jsonx", "text/plain", "\u{e9}"] {
            assert!(!is_json(value), "{value}");
        }
        assert!(is_text("text/plain") && is_text("image/svg+xml") && !is_text("text/plain;charset=latin1"));
        assert!(!is_text("application/octet-stream") && !is_text(""));
    }
}
