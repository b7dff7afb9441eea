//! Channels over HTTP/1.1, for everybody: CloudEvents in by POST, out by GET, channels and consumers as JSON.
//!
//! A pure machine for one connection of a server: bytes in, operations on the [`Engine`](crate::Engine), bytes out. It holds no
//! socket and no clock; its owner gives it bytes, the time, and what the engine puts out ([`HttpFace::stirred`]).
//!
//! | request | what it does |
//! | --- | --- |
//! | `POST /channels/C/events`, `POST /events`, `POST /` | takes events in any mode; the shorter ones mean the default channel |
//! | `GET /channels/C/events?consumer=N&max=M&wait=S` | gives a batch, or 204; waits up to S seconds for one |
//! | `POST /channels/C/acknowledge?consumer=N` | `{"acknowledge": [ID], "reject": [ID], "reject_for_good": [ID]}` |
//! | `OPTIONS /channels/C/events` | answers the handshake of web hooks |
//! | `GET /channels` | the channels that one may do anything with |
//! | `PUT`, `GET`, `PATCH`, `DELETE /channels/C` | makes, tells of, changes, deletes a channel |
//! | `GET /channels/C/consumers` | one's own consumers, to administrators all |
//! | `PUT`, `GET`, `PATCH`, `DELETE /channels/C/consumers/N` | makes, tells of, changes, removes a consumer |
//! | `GET /channels/C/why?consumer=N` | why nothing is being delivered |
//!
//! Events: 204 when all are on disk, 202 when they are in memory as they asked to be, 429 with `Retry-After` when there is no
//! room. A batch that was taken in part says how many, from the first on. With `?validate=true` a PATCH tells what would hold and
//! changes nothing. A GET of events makes its consumer where there is none. Where consumers acknowledge, each event has the
//! attribute `deliveryid`; one that was handed over before has `deliverytries`, and each has `deliveryoffset`.
//!
//! Heads are read by the rules of the forwarder (`clustercore_proto::forward::http`): what two readers might read differently
//! is refused. Whatever is refused is told as problem JSON (RFC 9457). Requests of one connection are answered in order, one at a
//! time; what comes meanwhile waits in the input, which is bounded.

mod call;
mod channels;
mod config;
mod consumers;
mod emit;
mod face;
mod problem;
mod reader;
mod response;
mod take;
mod target;

pub use config::{HttpConfig, HttpLimits};
pub use face::HttpFace;

#[cfg(test)]
mod tests;
