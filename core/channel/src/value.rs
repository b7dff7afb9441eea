//! The values of an event's fields, as filters see them, and the names by which they are asked for.

use crate::event::Attribute;
use clustercore_proto::time::Instant;

/// One value, lent by its event.
///
/// CloudEvents knows booleans, integers, strings, bytes and timestamps; a float is ours and travels as a string there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A moment: nanoseconds since the beginning of 1970 (UTC).
    Time(Instant),
}

impl Value<'_> {
    /// The name of the value's type, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Time(_) => "time",
        }
    }
}

/// What filters are evaluated over: values by name.
pub trait Fields {
    /// The value of this name, `None` when there is none.
    fn field(&self, name: &str) -> Option<Value<'_>>;

    /// The same for a name that is asked for again and again: what can be known of it is known already.
    #[inline]
    fn value(&self, name: &FieldName) -> Option<Value<'_>> {
        self.field(name.text())
    }
}

/// The name of a field or attribute, made once by whoever asks many events for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName {
    text: Box<str>,
    pub(crate) code: u64,
    /// What it is if it is none of the event's own fields, which cannot have such a name.
    pub(crate) attribute: Option<Attribute>,
}

impl FieldName {
    /// Any text is a name; most are those of no field.
    pub fn new(name: &str) -> FieldName {
        FieldName { text: name.into(), code: code(name), attribute: Attribute::from_name(name) }
    }

    /// The name.
    #[inline]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A number for the name of a field: up to eight bytes are their own number, in which no letter or digit sets the highest
/// bit. Others have it ([`is_exact`] says no), and where their numbers are equal, the names have to be compared.
#[inline]
pub(crate) fn code(name: &str) -> u64 {
    let bytes = name.as_bytes();
    if bytes.len() <= 8 && !bytes.contains(&0) {
        return word(bytes);
    }
    let mix = |code: u64, part: &[u8]| (code.rotate_left(5) ^ word(part)).wrapping_mul(MULTIPLIER);
    bytes.chunks(8).fold(bytes.len() as u64, mix) | 1 << 63
}

/// Up to eight bytes as a number.
#[inline]
pub(crate) fn word(part: &[u8]) -> u64 {
    match part.try_into() {
        Ok(whole) => u64::from_le_bytes(whole),
        Err(_) => part.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Names of this number are equal.
#[inline]
pub(crate) fn is_exact(code: u64) -> bool {
    code >> 63 == 0
}

/// Odd, and without a pattern: the golden ratio as a fraction of 2^64.
pub(crate) const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_their_own_number_and_no_other_text_has_it() {
        let names = ["a", "b", "ab", "ba", "load", "loads", "abcdefgh", "0", "00"];
        for (place, name) in names.iter().enumerate() {
            assert!(is_exact(code(name)), "{name}");
            assert!(names[..place].iter().all(|other| code(other) != code(name)), "{name}");
        }
        for other in ["a\0", "\0", "abcdefghi", "abcdefgh\0", "aaaaaaaä", "traceparent"] {
            assert!(!is_exact(code(other)), "{other}");
        }
        assert_eq!(code(""), 0);
    }
}
