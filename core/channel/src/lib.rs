//! The channel engine: structured events from suppliers to consumers that do not know each other.
//!
//! A pure machine: it holds no socket and no clock. Source: the event channel of the cluster notification service, after
//! CORBA Notification; events are those of CloudEvents 1.0.
#![forbid(unsafe_code)]

pub mod access;
pub mod channel;
pub mod cloudevents;
pub mod engine;
pub mod event;
pub mod filter;
pub mod hook;
pub mod http;
pub mod hub;
#[cfg(feature = "journal")]
pub mod journal;
pub mod json;
pub mod participant;
pub mod predicate;
pub mod principal;
pub mod qos;
pub mod value;
pub mod wire;

mod delivery;
mod id;
mod lane;
mod output;
mod queue;
mod routes;
mod scheduler;
mod seen;
mod slots;
mod stats;
mod timers;

pub use channel::{Channel, ChannelConfig};
pub use clustercore_proto::time::{Duration, Instant};
pub use engine::{Engine, EngineConfig, EngineError};
pub use event::{Event, EventBuilder, EventError, EventLimits, Reliability};
pub use filter::{FilterError, FilterFailure, FilterLimits, Filters};
pub use id::{ChannelId, ConsumerProxyId, DeliveryId, GroupId, SupplierProxyId};
pub use output::{Handed, Output, Pushed, Refusal};
pub use predicate::{Filter, Predicate};
pub use principal::{Denied, Principal, Right, Rights};
pub use qos::{Qos, Settings};
pub use scheduler::Discipline;
pub use stats::{ChannelStats, IntakeStats, QueueStats};
pub use value::{FieldName, Fields, Value};
