//! Message mode at the front end: requests to a back end's job handler, in reliable datagrams.
//!
//! A **leg** is the way to one back end's handler: a socket with one connection, which all clients of this forwarder share. An exchange
//! that goes this way has a [`Job`] in the place of a link. See `docs/protocol/jobs.md`. Invariants: an exchange of a leg's
//! table has a job that names the leg, and the other way round; what waits on a leg is bounded by its clients' windows.

mod leg;
mod legs;
mod request;
mod response;

pub(crate) use leg::LegId;
pub use leg::PathTrouble;
pub(super) use leg::machine_config;
pub(super) use legs::Legs;

use super::client::Exchange;
use super::failure::{Blame, Failed};
use clustercore_proto::forward::http::HeadScan;
use clustercore_proto::job::{ExchangeId, Receiving, Sending};
use clustercore_proto::policy::FailureKind;

/// An exchange that goes by messages.
#[derive(Debug)]
pub(super) struct Job {
    leg: LegId,
    id: ExchangeId,
    request: Sending,
    response: Receiving,
    /// The start of a head that has not come whole.
    input: Vec<u8>,
    scan: HeadScan,
    /// A message of it waits for room on the connection: nothing more is made until it has gone.
    is_blocked: bool,
    /// The handler is done with it.
    is_over: bool,
}

impl Job {
    /// Whether more of the request could leave: what is slow is the client.
    pub fn has_room(&self) -> bool {
        self.request.room() > 0 && !self.is_blocked
    }

    /// How its exchange has failed.
    pub fn failed(&self, exchange: &Exchange, kind: FailureKind, blame: Blame) -> Failed {
        let nothing_back = !exchange.response_started && self.input.is_empty();
        Failed { kind, is_given: self.request.has_begun(), nothing_back, blame }
    }
}
