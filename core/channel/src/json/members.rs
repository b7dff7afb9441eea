//! Reads an object strictly: every member once, its value kept as it stands in the text.

use super::error::{JsonError, shortened};
use clustercore_proto::time::Duration;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The members of an object, in their order.
#[derive(Debug)]
pub struct Members<'a> {
    list: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// A value that is not taken apart any further.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// `null`.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// Text.
    Text(Cow<'a, str>),
    /// An array or an object, as it was written.
    Compound(&'a str),
}

impl<'a> Members<'a> {
    /// The members of the object that `text` is.
    ///
    /// Errors: `Syntax`, `TooManyMembers`, `Twice`.
    pub fn parse(text: &'a str, members_max: usize) -> Result<Members<'a>, JsonError> {
        let members: Members<'a> = serde_json::from_str(text).map_err(syntax)?;
        if members.list.len() > members_max {
            return Err(JsonError::TooManyMembers { max: members_max });
        }
        for (index, (name, _)) in members.list.iter().enumerate() {
            if members.list[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(JsonError::Twice { name: shortened(name) });
            }
        }
        Ok(members)
    }

    /// The same of bytes, which have to be UTF-8.
    ///
    /// Errors: `Encoding`, and as [`Members::parse`].
    pub fn parse_bytes(bytes: &'a [u8], members_max: usize) -> Result<Members<'a>, JsonError> {
        Members::parse(utf8(bytes)?, members_max)
    }

    /// Names and values, in order.
    ///
    /// Errors of a value: a text with escapes that stand for no character.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Result<Scalar<'a>, JsonError>)> {
        self.list.iter().map(|(name, raw)| (&**name, scalar(name, raw.get())))
    }
}

impl<'a> Members<'a> {
    /// Names and values as they stand in the text.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.list.iter().map(|(name, raw)| (&**name, raw.get()))
    }
}

impl Scalar<'_> {
    /// A whole number from 0 on.
    pub fn to_u64(&self, name: &str) -> Result<u64, JsonError> {
        let number = match self {
            Scalar::Number(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| self.wanted(name, "a whole number from 0 on"))
    }

    /// A whole number from 0 on that fits a narrower type.
    pub fn to_narrow<T: TryFrom<u64>>(&self, name: &str) -> Result<T, JsonError> {
        T::try_from(self.to_u64(name)?).map_err(|_| self.wanted(name, "a smaller number"))
    }

    /// Seconds, up to nine decimals.
    pub fn to_seconds(&self, name: &str) -> Result<Duration, JsonError> {
        let length = match self {
            Scalar::Number(text) => seconds(text),
            _ => None,
        };
        length
            .ok_or_else(|| self.wanted(name, "a number of seconds, such as 1.5, with nine decimals at most"))
    }

    /// True or false.
    pub fn to_bool(&self, name: &str) -> Result<bool, JsonError> {
        match self {
            Scalar::Bool(is) => Ok(*is),
            _ => Err(self.wanted(name, "true or false")),
        }
    }

    /// Text.
    pub fn to_text(&self, name: &str) -> Result<&str, JsonError> {
        match self {
            Scalar::Text(text) => Ok(text),
            _ => Err(self.wanted(name, "a text")),
        }
    }

    /// The object that it is.
    pub fn to_members(&self, name: &str, members_max: usize) -> Result<Members<'_>, JsonError> {
        match self {
            Scalar::Compound(text) if text.starts_with('{') => Members::parse(text, members_max),
            _ => Err(self.wanted(name, "an object")),
        }
    }

    /// The items of the array that it is.
    pub fn to_items(&self, name: &str, items_max: usize) -> Result<Vec<Scalar<'_>>, JsonError> {
        match self {
            Scalar::Compound(text) if text.starts_with('[') => {
                let items = items(text, items_max)?;
                let Some(items) = items else { return Err(self.wanted(name, "a shorter list")) };
                items.into_iter().map(|item| scalar(name, item)).collect()
            }
            _ => Err(self.wanted(name, "a list")),
        }
    }

    /// That it does not fit.
    pub fn wanted(&self, name: &str, wanted: &'static str) -> JsonError {
        match self {
            Scalar::Null => JsonError::value(name, "null", wanted),
            Scalar::Bool(is) => JsonError::value(name, if *is { "true" } else { "false" }, wanted),
            Scalar::Number(text) | Scalar::Compound(text) => JsonError::value(name, text, wanted),
            Scalar::Text(text) => JsonError::value(name, &format!("{text:?}"), wanted),
        }
    }
}

/// The text, when it is UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(bytes).map_err(|error| JsonError::Encoding { valid: error.valid_up_to() })
}

/// The values of an array as they stand there; `None` when there are more than `items_max`.
pub(crate) fn items(text: &str, items_max: usize) -> Result<Option<Vec<&str>>, JsonError> {
    let Items(items) = serde_json::from_str(text).map_err(syntax)?;
    Ok((items.len() <= items_max).then(|| items.into_iter().map(RawValue::get).collect()))
}

pub(crate) fn scalar<'a>(name: &str, text: &'a str) -> Result<Scalar<'a>, JsonError> {
    Ok(match text.as_bytes().first() {
        Some(b'n') => Scalar::Null,
        Some(b't') => Scalar::Bool(true),
        Some(b'f') => Scalar::Bool(false),
        Some(b'[' | b'{') => Scalar::Compound(text),
        Some(b'"') if !text.contains('\\') => Scalar::Text(Cow::Borrowed(&text[1..text.len() - 1])),
        Some(b'"') => {
            let text = serde_json::from_str::<String>(text);
            Scalar::Text(Cow::Owned(text.map_err(|_| {
                JsonError::value(name, "a text with half a surrogate pair", "Unicode characters")
            })?))
        }
        _ => Scalar::Number(text),
    })
}

/// `digits` or `digits.digits`.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain(whole) || !is_plain(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: u32 = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse().ok()? };
    Some(Duration::new(whole.parse().ok()?, nanos))
}

fn syntax(error: serde_json::Error) -> JsonError {
    JsonError::Syntax { what: shortened(&error.to_string()) }
}

struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'de>, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.into())))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut list = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    list.push((name, map.next_value()?));
                }
                Ok(Members { list })
            }
        }
        deserializer.deserialize_map(Read)
    }
}

struct Items<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Items<'de>, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element()? {
                    list.push(item);
                }
                Ok(Items(list))
            }
        }
        deserializer.deserialize_seq(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_once_each_and_values_as_they_stand() {
        let members =
            Members::parse(r#" {"a":1,"b\u0041":"x\n","c": [1, 2],"d":null,"e":false} "#, 9).unwrap();
        let all: Vec<_> = members.iter().map(|(name, value)| (name.to_string(), value.unwrap())).collect();
        let expected = [
            ("a", Scalar::Number("1")),
            ("bA", Scalar::Text("x\n".into())),
            ("c", Scalar::Compound("[1, 2]")),
            ("d", Scalar::Null),
            ("e", Scalar::Bool(false)),
        ];
        assert_eq!(all, expected.map(|(name, value)| (name.to_string(), value)));
        let wrong = |text: &str, max| Members::parse(text, max).map(|_| ()).unwrap_err();
        assert_eq!(wrong(r#"{"a":1,"\u0061":2}"#, 9), JsonError::Twice { name: "a".into() });
        assert_eq!(wrong(r#"{"a":1,"b":2}"#, 1), JsonError::TooManyMembers { max: 1 });
        for text in ["", "[]", "1", "{", "{\"a\":}", "{} x", "{\"a\":01}", "{\"a\":1,}"] {
            assert!(matches!(wrong(text, 9), JsonError::Syntax { .. }), "{text}");
        }
        let half = Members::parse(r#"{"a":"\ud800"}"#, 9).unwrap();
        assert!(half.iter().all(|(_, value)| value.is_err()));
    }

    #[test]
    fn lengths_of_time_are_exact() {
        let read = |text| Scalar::Number(text).to_seconds("t").ok();
        assert_eq!(read("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(read("31536000.000000001"), Some(Duration::new(31_536_000, 1)));
        assert_eq!(read("0"), Some(Duration::ZERO));
        for text in ["-1", "1e3", "1.0000000001", "99999999999999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
        let error = Scalar::Number("-1").to_seconds("lifetime").unwrap_err();
        assert!(error.to_string().starts_with("lifetime is -1, wanted is a number of seconds"), "{error}");
    }
}
