//! What is wrong with a JSON text.

use std::fmt;

/// Why a JSON text is not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JsonError {
    /// It is not UTF-8.
    Encoding {
        /// How many bytes are.
        valid: usize,
    },
    /// It is no JSON, or no object where one belongs.
    Syntax {
        /// What the parser says, with line and column.
        what: String,
    },
    /// An object has too many members.
    TooManyMembers {
        /// The limit.
        max: usize,
    },
    /// A member is given twice.
    Twice {
        /// Its name.
        name: String,
    },
    /// A member that nothing is known of.
    Unknown {
        /// Its name.
        name: String,
        /// What there is, for people.
        known: &'static str,
    },
    /// A member's value does not fit.
    Value {
        /// The member.
        name: String,
        /// The value, its beginning.
        value: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// An expression could not be compiled.
    Filter {
        /// The member.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

impl JsonError {
    /// A value that does not fit; long ones are cut.
    pub fn value(name: &str, value: &str, wanted: &'static str) -> JsonError {
        JsonError::Value { name: shortened(name), value: shortened(value), wanted }
    }
}

/// The beginning of a text, for messages.
pub(crate) fn shortened(text: &str) -> String {
    if text.len() <= SHOWN_BYTES_MAX {
        return text.into();
    }
    format!("{}...", &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)])
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonError::Encoding { valid } => {
                write!(f, "the text is UTF-8 up to byte {valid} only: send UTF-8")
            }
            JsonError::Syntax { what } => write!(f, "malformed JSON: {what}"),
            JsonError::TooManyMembers { max } => {
                write!(f, "an object has more than {max} members, the limit: send fewer")
            }
            JsonError::Twice { name } => write!(f, "member {name:?} is given twice: give it once"),
            JsonError::Unknown { name, known } => write!(f, "member {name:?} is unknown: there are {known}"),
            JsonError::Value { name, value, wanted } => write!(f, "{name} is {value}, wanted is {wanted}"),
            JsonError::Filter { name, what } => write!(f, "{name}: {what}"),
        }
    }
}

impl std::error::Error for JsonError {}

const SHOWN_BYTES_MAX: usize = 80;
