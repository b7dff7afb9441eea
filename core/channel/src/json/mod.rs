//! The JSON forms of what people set and read: quality of service, channels, consumers, counters, reasons.
//!
//! One form for all faces. Members have the names of the fields in Rust; lengths of time are seconds, exact to the nanosecond;
//! moments are RFC 3339. Reading is strict: a member that is unknown or given twice is refused, and named. `null` takes back
//! what was said, so that a patch (RFC 7396) and a whole object are read by the same function.

mod config;
mod error;
mod hook;
mod members;
mod object;
mod property;
mod proxy;
mod qos;
mod reason;
mod stats;
mod supplier;

pub use config::{read_channel_config, write_channel_config};
pub use error::JsonError;
pub use members::{Members, Scalar};
pub use object::{Object, write_text};
pub use property::read_discipline;
pub use proxy::{Compile, patch_supplier_proxy, write_supplier_proxy};
pub use qos::{patch_qos, write_qos, write_settings};
pub use reason::{write_qos_problem, write_reason};
pub use stats::{write_channel_stats, write_intake_stats, write_queue_stats};
pub use supplier::{patch_consumer_proxy, write_consumer_proxy};

pub(crate) use error::shortened;
pub(crate) use hook::write_hook;
pub(crate) use members::{items, scalar, utf8};
pub(crate) use proxy::write_supplier_members;

/// Members of one object at most: more than any object here has.
pub const MEMBERS_MAX: usize = 64;

#[cfg(test)]
mod tests;
