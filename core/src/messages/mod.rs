//! Floor 4: messages between programs: reliable datagrams of an endpoint, and plain ones of a socket.
//!
//! The machine of an endpoint ([`clustercore_proto::datagram`]) decides; what is here joins it to a driver: received trains
//! are opened where they lie and lent to the owner until the next turn, trains that leave are shared with the kernel.

mod arrived;
mod config;
mod endpoint;
mod mail;
mod outbox;
mod resolve;
mod socket;
mod trace;

pub(crate) use arrived::{Arrivals, PlainTrain};
pub use arrived::{Datagrams, Messages};
pub use config::EndpointConfig;
pub(crate) use config::epoch;
pub(crate) use endpoint::Endpoint;
pub(crate) use mail::Mail;
pub(crate) use outbox::{Outbox, Sent};
pub use resolve::resolve;
pub(crate) use socket::Places;
pub use socket::{EndpointId, SocketId};
