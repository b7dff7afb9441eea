//! How large an event may be, and what is wrong with one that is not accepted.

use std::fmt;

/// Bounds of an event, all in bytes of UTF-8 or counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimits {
    /// Of each text attribute: id, source, domain, type, name, content type, schema, ordering key.
    pub attribute_bytes_max: usize,
    /// Number of fields.
    pub fields_max: usize,
    /// Of the name of a field; CloudEvents asks for 20.
    pub field_name_bytes_max: usize,
    /// Of the value of a field that is text or bytes.
    pub field_bytes_max: usize,
    /// Of the body.
    pub body_bytes_max: usize,
    /// Of everything together.
    pub event_bytes_max: usize,
}

impl Default for EventLimits {
    fn default() -> EventLimits {
        EventLimits {
            attribute_bytes_max: 1024,
            fields_max: 64,
            field_name_bytes_max: 20,
            field_bytes_max: 4096,
            body_bytes_max: 1 << 20,
            event_bytes_max: (1 << 20) + (64 << 10),
        }
    }
}

/// Why an event cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventError {
    /// An attribute that each event must have is empty.
    Missing {
        /// Its name.
        what: &'static str,
    },
    /// Something is too long.
    TooLong {
        /// What.
        what: &'static str,
        /// Its bytes.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// Text holds a control character, which no header of any protocol may carry.
    ControlCharacter {
        /// Where.
        what: &'static str,
        /// The character's number.
        character: u32,
    },
    /// There are too many fields.
    TooManyFields {
        /// How many there are.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// A field's name is not made of lower-case letters and digits, or is empty.
    FieldName {
        /// The name.
        name: String,
    },
    /// A field has the name of an attribute.
    FieldReserved {
        /// The name.
        name: String,
    },
    /// Two fields have the same name.
    FieldTwice {
        /// The name.
        name: String,
    },
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventError::Missing { what } => write!(f, "the event has no {what}: give it one"),
            EventError::TooLong { what, len, max } => {
                write!(f, "{what} of the event is {len} bytes, limit is {max}")
            }
            EventError::ControlCharacter { what, character } => {
                write!(f, "{what} of the event holds the control character U+{character:04X}: leave it out")
            }
            EventError::TooManyFields { len, max } => {
                write!(f, "the event has {len} fields, limit is {max}: move some into the body")
            }
            EventError::FieldName { name } => {
                write!(f, "field name {name:?} is not made of the letters a to z and digits")
            }
            EventError::FieldReserved { name } => {
                write!(f, "field name {name:?} is that of an attribute: choose another")
            }
            EventError::FieldTwice { name } => write!(f, "field {name:?} is given twice"),
        }
    }
}

impl std::error::Error for EventError {}
