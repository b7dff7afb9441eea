//! The load driver of event distribution: one publisher, many subscribers, every server fed the same way.
//!
//! - [`protocol`]: what a server must be told and how it answers; one file below for each protocol.
//! - [`body`]: what is in an event, so that loss, disorder and delay are seen.
//! - [`plan`]: the command line, and how much is sent in which rhythm.
//! - [`connection`]: a socket with what of an item has arrived.
//! - [`driver`]: the thread that emits, reads and counts.
//! - [`append`]: one supplier whose events are on disk before they are acknowledged.

pub mod append;
pub mod bare;
pub mod body;
pub mod channel;
pub mod connection;
pub mod driver;
pub mod mqtt;
pub mod nats;
pub mod plan;
pub mod protocol;
pub mod redis;
