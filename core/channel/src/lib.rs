//! The channel engine: structured events from suppliers to consumers that do not know each other.
//!
//! A pure machine: it holds no socket and no clock. Source: the event channel of the cluster notification service, after
//! CORBA Notification; events are those of CloudEvents 1.0.
#![forbid(unsafe_code)]

pub mod event;
pub mod value;

pub use clustercore_proto::time::{Duration, Instant};
pub use event::{Event, EventBuilder, EventError, EventLimits, Reliability};
pub use value::{Fields, Value};
