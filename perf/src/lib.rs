//! Load generator, sample service and floor programs: what the measurements of clustercore are made with.
//!
//! - [`floor`], [`ring`], [`socket`], [`cpu`]: what the floor programs in `floors/` share.
//! - [`service`]: what the sample service `clustercore-sample-service` answers.
//! - [`fan_out`]: the load driver of event distribution, `clustercore-event-load`.
//! - [`options`], [`schedule`], [`worker`], [`response`], [`tally`], [`aside`]: the load generator `clustercore-load`.

pub mod aside;
pub mod cpu;
pub mod fan_out;
pub mod floor;
pub mod options;
pub mod response;
pub mod ring;
pub mod schedule;
pub mod service;
pub mod socket;
pub mod tally;
pub mod worker;
