//! What is wrong with a CloudEvent.

use crate::event::EventError;
use crate::json::JsonError;
use std::fmt;

/// Why bytes are not taken for an event. Values are shown by their beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CloudEventError {
    /// An attribute that each event must have is not there.
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// The version is not 1.0.
    Version {
        /// The one that was given.
        value: String,
    },
    /// An attribute is given twice.
    Twice {
        /// Its name.
        name: String,
    },
    /// An attribute is there and empty.
    Empty {
        /// Its name.
        name: String,
    },
    /// A name is not made of lower-case letters and digits.
    Name {
        /// The name.
        name: String,
    },
    /// A value does not fit its attribute.
    Value {
        /// The attribute.
        name: String,
        /// The value.
        value: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// The value of a `ce-` field is not encoded as it has to be.
    Encoding {
        /// The attribute.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The media type is a CloudEvents one that is not read here.
    Format {
        /// The media type.
        value: String,
    },
    /// The data does not go with its content type or with other data.
    Data {
        /// What is wrong.
        why: &'static str,
    },
    /// There are too many events in a batch.
    TooManyEvents {
        /// The limit.
        max: usize,
    },
    /// The JSON text is not one of an event.
    Json(JsonError),
    /// The event does not keep to its limits.
    Event(EventError),
    /// An event of a batch is wrong.
    InBatch {
        /// Its place, from 0 on.
        index: usize,
        /// What is wrong with it.
        error: Box<CloudEventError>,
    },
}

impl CloudEventError {
    /// True when it is too large rather than wrong.
    pub fn is_too_large(&self) -> bool {
        match self {
            CloudEventError::TooManyEvents { .. }
            | CloudEventError::Json(JsonError::TooManyMembers { .. })
            | CloudEventError::Event(EventError::TooLong { .. } | EventError::TooManyFields { .. }) => true,
            CloudEventError::InBatch { error, .. } => error.is_too_large(),
            _ => false,
        }
    }
}

impl From<EventError> for CloudEventError {
    fn from(error: EventError) -> CloudEventError {
        CloudEventError::Event(error)
    }
}

impl From<JsonError> for CloudEventError {
    fn from(error: JsonError) -> CloudEventError {
        CloudEventError::Json(error)
    }
}

impl fmt::Display for CloudEventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloudEventError::Missing { name } => write!(f, "attribute {name} is missing: give it"),
            CloudEventError::Version { value } => write!(f, "specversion is {value:?}: send 1.0"),
            CloudEventError::Twice { name } => write!(f, "attribute {name} is given twice: give it once"),
            CloudEventError::Empty { name } => {
                write!(f, "attribute {name} is empty: leave it out or give it a value")
            }
            CloudEventError::Name { name } => {
                write!(f, "attribute name {name:?} is not made of the letters a to z and digits")
            }
            CloudEventError::Value { name, value, wanted } => {
                write!(f, "attribute {name} is {value:?}, wanted is {wanted}")
            }
            CloudEventError::Encoding { name, why } => write!(f, "field ce-{name}: {why}"),
            CloudEventError::Format { value } => write!(
                f,
                "events as {value:?} are not read here: send application/cloudevents+json, \
                 application/cloudevents-batch+json, or ce- fields"
            ),
            CloudEventError::Data { why } => f.write_str(why),
            CloudEventError::TooManyEvents { max } => {
                write!(f, "the batch has more than {max} events, the limit: send it in parts")
            }
            CloudEventError::Json(error) => error.fmt(f),
            CloudEventError::Event(error) => error.fmt(f),
            CloudEventError::InBatch { index, error } => write!(f, "event {index} of the batch: {error}"),
        }
    }
}

impl std::error::Error for CloudEventError {}
