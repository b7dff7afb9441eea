//! Fields of events of event channels, by which filters choose.

use crate::clc_bytes;
use crate::options::one_of;
use clustercore::channel::engine::Instant;
use clustercore::channel::engine::event::{Field, FieldValue};
use clustercore::{Code, Error, Result};

/// What the value of a field is.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_channel_field_kind {
    /// Text, in `bytes`.
    Text = 0,
    /// Bytes, in `bytes`.
    Bytes = 1,
    /// A whole number, in `number`.
    Int = 2,
    /// A number with a fraction, in `real`.
    Float = 3,
    /// 0 or 1, in `number`.
    Bool = 4,
    /// Nanoseconds since the beginning of 1970 (UTC), in `number`.
    Time = 5,
}

/// A field of an event, by which filters choose.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_channel_field {
    /// 1 to 20 lower-case letters and digits.
    pub name: clc_bytes,
    /// A clc_channel_field_kind, which says where the value is.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// The value, for whole numbers, booleans and times.
    pub number: i64,
    /// The value, for numbers with a fraction.
    pub real: f64,
    /// The value, for text (UTF-8) and bytes.
    pub bytes: clc_bytes,
}

impl clc_channel_field {
    /// # Safety
    /// Name and value are readable.
    pub(crate) unsafe fn parts<'a>(&self) -> Result<(&'a str, FieldValue)> {
        // SAFETY: readable, per the contract.
        let name = unsafe { text("the name of a field", self.name) }?;
        let value = match one_of("the kind of a field", self.kind, &FIELD_KINDS)? {
            // SAFETY: as above.
            clc_channel_field_kind::Text => FieldValue::from(unsafe { text(name, self.bytes) }?),
            // SAFETY: as above.
            clc_channel_field_kind::Bytes => FieldValue::from(unsafe { self.bytes.as_slice(name) }?),
            clc_channel_field_kind::Int => FieldValue::Int(self.number),
            clc_channel_field_kind::Float => FieldValue::Float(self.real),
            clc_channel_field_kind::Bool => FieldValue::Bool(self.number != 0),
            clc_channel_field_kind::Time => {
                let nanos = u64::try_from(self.number).map_err(|_| {
                    let words = format!("field {name:?} is {} ns, which is before 1970", self.number);
                    Error::new(Code::InvalidArgument, words)
                })?;
                FieldValue::Time(Instant::from_nanos(nanos))
            }
        };
        Ok((name, value))
    }

    pub(crate) fn lend(field: &Field) -> clc_channel_field {
        use clc_channel_field_kind as kind;
        let none = clc_bytes::from(&b""[..]);
        let (kind, number, real, bytes) = match &field.value {
            FieldValue::Text(text) => (kind::Text, 0, 0.0, clc_bytes::from(text.as_bytes())),
            FieldValue::Bytes(bytes) => (kind::Bytes, 0, 0.0, clc_bytes::from(&bytes[..])),
            FieldValue::Int(number) => (kind::Int, *number, 0.0, none),
            FieldValue::Float(real) => (kind::Float, 0, *real, none),
            FieldValue::Bool(is_so) => (kind::Bool, i64::from(*is_so), 0.0, none),
            FieldValue::Time(at) => (kind::Time, i64::try_from(at.as_nanos()).unwrap_or(i64::MAX), 0.0, none),
        };
        let name = clc_bytes::from(field.name.as_bytes());
        clc_channel_field { name, kind: kind as u32, reserved: 0, number, real, bytes }
    }
}

/// # Safety
/// `bytes` is readable and stays as it is for `'a`.
pub(crate) unsafe fn text<'a>(name: &str, bytes: clc_bytes) -> Result<&'a str> {
    // SAFETY: the same contract.
    let bytes = unsafe { bytes.as_slice(name) }?;
    std::str::from_utf8(bytes).map_err(|error| {
        Error::new(Code::InvalidArgument, format!("{name} is not UTF-8 from byte {} on", error.valid_up_to()))
    })
}

/// By their numbers.
const FIELD_KINDS: [clc_channel_field_kind; 6] = [
    clc_channel_field_kind::Text,
    clc_channel_field_kind::Bytes,
    clc_channel_field_kind::Int,
    clc_channel_field_kind::Float,
    clc_channel_field_kind::Bool,
    clc_channel_field_kind::Time,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: clc_channel_field) -> Result<FieldValue> {
        // SAFETY: the tests' bytes are static.
        unsafe { field.parts() }.map(|(_, value)| value)
    }

    #[test]
    fn what_is_wrong_with_a_field_is_said() {
        let none = clc_bytes::from(&b""[..]);
        let name = clc_bytes::from(&b"since"[..]);
        let field = clc_channel_field { name, kind: 5, reserved: 0, number: -1, real: 0.0, bytes: none };
        let words = |field| read(field).unwrap_err().to_string();
        assert_eq!(words(field), "field \"since\" is -1 ns, which is before 1970");
        assert_eq!(
            words(clc_channel_field { kind: 6, ..field }),
            "the kind of a field is 6; it must be 0 to 5"
        );
        let bytes = clc_bytes { data: std::ptr::null(), len: 1 };
        assert_eq!(words(clc_channel_field { kind: 1, bytes, ..field }), "since is NULL");
        let bytes = clc_bytes::from(&[0xff][..]);
        assert_eq!(words(clc_channel_field { kind: 0, bytes, ..field }), "since is not UTF-8 from byte 0 on");
    }
}
