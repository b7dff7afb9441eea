//! The JSON forms of what people set and read: quality of service, channels, consumers, counters, reasons.
//!
//! One form for all faces. Members have the names of the fields in Rust; lengths of time are seconds, exact to the nanosecond;
//! moments are RFC 3339. Reading is strict: a member that is unknown or given twice is refused, and named. `null` takes back
//! what was said, so that a patch (RFC 7396) and a whole object are read by the same function.

mod error;
mod members;
mod object;

pub use error::JsonError;
pub use members::{Members, Scalar};
pub use object::{Object, write_text};

pub(crate) use error::shortened;
pub(crate) use members::{items, scalar, utf8};
