//! Web hooks: may events be pushed to an address, how often, and what did it make of them.
//!
//! Before anything is pushed, the sender asks the target by OPTIONS ([`Ask`], [`judge`]); the target answers whom it lets push
//! ([`Policy::answer`]). Neither authenticates anybody: it keeps senders from being used to flood those who never asked for it.
//! Source: cloudevents/spec 1.0.2, `http-webhook.md`, sections 2 and 4.

use crate::json::shortened;
use clustercore_proto::time::Duration;
use std::fmt;
use std::num::NonZeroU32;

/// How often may be pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rate {
    /// As often as one likes.
    Unlimited,
    /// Requests per minute at most.
    PerMinute(NonZeroU32),
}

/// What a sender asks of a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Who asks: a DNS name for all that act for one system. Also in `WebHook-Request-Origin` of each later delivery.
    pub origin: String,
    /// How often it would like to push, in requests per minute.
    pub rate: Option<NonZeroU32>,
    /// Where the target, or a person, may permit it later.
    pub callback: Option<String>,
}

/// What the target said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// Push, at this rate; `None` where nothing was said about it.
    Granted(Option<Rate>),
    /// Do not push. It may still be permitted by the callback.
    Withheld,
}

/// Why a message of the handshake says nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HandshakeError {
    /// A field that belongs there is missing.
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field is given twice.
    Twice {
        /// Its name.
        field: &'static str,
    },
    /// A field's value does not fit.
    Value {
        /// Its name.
        field: &'static str,
        /// The value.
        value: String,
        /// What is wanted.
        wanted: &'static str,
    },
}

/// Whom a target lets push.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// Names of senders; `*` for all.
    pub origins: Vec<String>,
    /// Requests per minute at most; `None` for any number.
    pub rate_max: Option<NonZeroU32>,
}

/// What became of a delivery, by the status of its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// The target has it.
    Taken,
    /// The target is gone for good: push nothing more.
    Gone,
    /// Not now: push again after this time; `None` where nothing was said.
    Later(Option<Duration>),
    /// It does not read this format: another mode may do.
    Format,
    /// It does not take this event; again would be the same.
    Refused,
}

impl Ask {
    /// The fields of the OPTIONS request.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![(REQUEST_ORIGIN, self.origin.clone())];
        fields.extend(self.callback.clone().map(|url| (REQUEST_CALLBACK, url)));
        fields.extend(self.rate.map(|rate| (REQUEST_RATE, rate.to_string())));
        fields
    }

    /// What a sender asks, by the fields of its OPTIONS request; `None` when it is no handshake.
    ///
    /// Errors: see [`HandshakeError`].
    pub fn from_fields<'a>(
        fields: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
    ) -> Result<Option<Ask>, HandshakeError> {
        let Some(origin) = find(fields.clone(), REQUEST_ORIGIN)? else { return Ok(None) };
        if !is_origin(origin) {
            return Err(wrong(REQUEST_ORIGIN, origin, "a DNS name"));
        }
        let rate = match find(fields.clone(), REQUEST_RATE)? {
            Some(text) => Some(positive(text).ok_or_else(|| wrong(REQUEST_RATE, text, ABOVE_ZERO))?),
            None => None,
        };
        let callback = find(fields, REQUEST_CALLBACK)?.map(String::from);
        if let Some(url) = callback.as_ref().filter(|url| !url.starts_with("https://")) {
            return Err(wrong(REQUEST_CALLBACK, url, "an address that begins with https://"));
        }
        Ok(Some(Ask { origin: origin.into(), rate, callback }))
    }
}

impl Policy {
    /// True when this sender may push.
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|it| it == "*" || it.eq_ignore_ascii_case(origin))
    }

    /// The fields of the answer; `None` when it is withheld, and the answer has none of them.
    pub fn answer(&self, ask: &Ask) -> Option<[(&'static str, String); 2]> {
        if !self.allows(&ask.origin) {
            return None;
        }
        let rate = match (ask.rate, self.rate_max) {
            (Some(asked), Some(max)) => asked.min(max).to_string(),
            (Some(it), None) | (None, Some(it)) => it.to_string(),
            (None, None) => "*".into(),
        };
        Some([(ALLOWED_ORIGIN, ask.origin.clone()), (ALLOWED_RATE, rate)])
    }
}

/// What the fields of the answer to `ask` permit. The status says nothing, by the specification.
///
/// Errors: see [`HandshakeError`]; nothing is permitted then.
pub fn judge<'a>(
    ask: &Ask,
    fields: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
) -> Result<Permission, HandshakeError> {
    let Some(origin) = find(fields.clone(), ALLOWED_ORIGIN)? else { return Ok(Permission::Withheld) };
    if origin != "*" && !origin.eq_ignore_ascii_case(&ask.origin) {
        return Ok(Permission::Withheld);
    }
    match find(fields, ALLOWED_RATE)? {
        None if ask.rate.is_some() => Err(HandshakeError::Missing { field: ALLOWED_RATE }),
        None => Ok(Permission::Granted(None)),
        Some("*") => Ok(Permission::Granted(Some(Rate::Unlimited))),
        Some(text) => {
            let rate = positive(text).ok_or_else(|| wrong(ALLOWED_RATE, text, ABOVE_ZERO))?;
            Ok(Permission::Granted(Some(Rate::PerMinute(rate))))
        }
    }
}

impl Delivery {
    /// What a status means for the sender; `retry_after` is the value of that field, in seconds. Redirections are not followed.
    pub fn of(status: u16, retry_after: Option<&str>) -> Delivery {
        let wait = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        match status {
            200..=299 => Delivery::Taken,
            410 => Delivery::Gone,
            415 => Delivery::Format,
            408 | 425 | 429 | 500 | 502..=504 => Delivery::Later(wait),
            _ => Delivery::Refused,
        }
    }
}

fn find<'a>(
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    field: &'static str,
) -> Result<Option<&'a str>, HandshakeError> {
    let mut found = fields.filter(|(name, _)| name.eq_ignore_ascii_case(field));
    let Some((_, value)) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(HandshakeError::Twice { field });
    }
    let text = std::str::from_utf8(value).ok().map(str::trim);
    let text = text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.map(Some).ok_or_else(|| wrong(field, &String::from_utf8_lossy(value), "visible ASCII"))
}

/// A DNS name, perhaps with a wildcard or a port.
fn is_origin(text: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*' | b':');
    text.len() <= ORIGIN_BYTES_MAX && text.bytes().all(is_plain)
}

fn positive(text: &str) -> Option<NonZeroU32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn wrong(field: &'static str, value: &str, wanted: &'static str) -> HandshakeError {
    HandshakeError::Value { field, value: shortened(value), wanted }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Missing { field } => write!(f, "field {field} is missing: send it"),
            HandshakeError::Twice { field } => write!(f, "field {field} is given twice: send it once"),
            HandshakeError::Value { field, value, wanted } => {
                write!(f, "field {field} is {value:?}, wanted is {wanted}")
            }
        }
    }
}

impl std::error::Error for HandshakeError {}

/// The field by which a sender says who it is.
pub const REQUEST_ORIGIN: &str = "WebHook-Request-Origin";
/// The field by which it says where it may be permitted later.
pub const REQUEST_CALLBACK: &str = "WebHook-Request-Callback";
/// The field by which it says how often it would like to push.
pub const REQUEST_RATE: &str = "WebHook-Request-Rate";
/// The field by which a target permits.
pub const ALLOWED_ORIGIN: &str = "WebHook-Allowed-Origin";
/// The field by which it says how often.
pub const ALLOWED_RATE: &str = "WebHook-Allowed-Rate";

const ABOVE_ZERO: &str = "a whole number above zero, requests per minute";
const ORIGIN_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = Vec<(&'a str, &'a [u8])>;

    fn borrowed<'a>(fields: &'a [(&'static str, String)]) -> Fields<'a> {
        fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect()
    }

    #[test]
    fn both_sides_agree_on_who_and_how_often() {
        let rate = NonZeroU32::new(120);
        let ask = Ask { origin: "events.example.com".into(), rate, callback: None };
        let fields = ask.fields();
        assert_eq!(Ask::from_fields(borrowed(&fields).into_iter()), Ok(Some(ask.clone())));
        let policy = |origin: &str, rate_max| Policy { origins: vec![origin.into()], rate_max };
        let outcome = |policy: &Policy, ask: &Ask| match policy.answer(ask) {
            Some(fields) => judge(ask, borrowed(&fields).into_iter()).unwrap(),
            None => judge(ask, Fields::new().into_iter()).unwrap(),
        };
        let per_minute = |rate| Permission::Granted(Some(Rate::PerMinute(NonZeroU32::new(rate).unwrap())));
        assert_eq!(outcome(&policy("*", NonZeroU32::new(60)), &ask), per_minute(60));
        assert_eq!(outcome(&policy("Events.example.com", None), &ask), per_minute(120));
        assert_eq!(outcome(&policy("other.example.com", None), &ask), Permission::Withheld);
        let plain = Ask { rate: None, ..ask };
        assert_eq!(outcome(&policy("*", None), &plain), Permission::Granted(Some(Rate::Unlimited)));
    }

    #[test]
    fn what_says_nothing_permits_nothing() {
        let ask = Ask { origin: "a".into(), rate: NonZeroU32::new(1), callback: None };
        let judged = |fields: Fields<'_>| judge(&ask, fields.into_iter());
        assert_eq!(judged(vec![("webhook-allowed-origin", b"b")]), Ok(Permission::Withheld));
        let missing = Err(HandshakeError::Missing { field: ALLOWED_RATE });
        assert_eq!(judged(vec![("WebHook-Allowed-Origin", b"*")]), missing);
        for rate in [&b"0"[..], b"-1", b"1.5", b"", b"99999999999", b"\xff"] {
            assert!(judged(vec![("WebHook-Allowed-Origin", b"a"), ("WebHook-Allowed-Rate", rate)]).is_err());
        }
        let asked = |fields: Fields<'_>| Ask::from_fields(fields.into_iter());
        assert_eq!(asked(vec![("Origin", b"a")]), Ok(None));
        assert!(asked(vec![(REQUEST_ORIGIN, b"a b")]).is_err());
        assert!(asked(vec![(REQUEST_ORIGIN, b"a"), (REQUEST_ORIGIN, b"a")]).is_err());
        assert!(asked(vec![(REQUEST_ORIGIN, b"a"), (REQUEST_CALLBACK, b"http://b/")]).is_err());
    }

    #[test]
    fn the_status_of_a_delivery_says_what_to_do() {
        let later = |seconds| Delivery::Later(Some(Duration::from_secs(seconds)));
        assert_eq!([200, 202, 204].map(|it| Delivery::of(it, None)), [Delivery::Taken; 3]);
        assert_eq!(Delivery::of(429, Some("30")), later(30));
        assert_eq!(Delivery::of(503, Some("soon")), Delivery::Later(None));
        assert_eq!(
            [410, 415, 301, 400, 403].map(|it| Delivery::of(it, None)),
            [Delivery::Gone, Delivery::Format, Delivery::Refused, Delivery::Refused, Delivery::Refused]
        );
    }
}
