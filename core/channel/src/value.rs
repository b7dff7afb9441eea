//! The values of an event's fields, as filters see them.

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
}
