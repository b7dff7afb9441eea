//! HTTP/1.1 on both sides of a gateway: heads rewritten, bodies framed, ambiguity refused.
//!
//! The order of one exchange: [`forward_request`] turns a client's head into the one for the back end and a
//! [`RequestPlan`]; a [`BodyCursor`] of the plan's framing says how far the body reaches;
//! [`forward_response`] does the same the other way round, once per interim response and once for the final
//! one; a second [`BodyCursor`] ends the exchange. [`may_retry`] says whether a failed one may be sent again.
//!
//! Invariants:
//! - A head is forwarded only when every conforming reader must see the same message in it. What two readers
//!   might read differently is refused, never repaired.
//! - What is written to `out` is canonical in all that carries framing: one `Content-Length` without leading
//!   zeros or one `Transfer-Encoding: chunked`, never both, and no field that belongs to one hop.
//! - On an error or an incomplete head nothing has been written to `out`.
//! - No allocation except the growth of the caller's `out`; no state between messages.
//!
//! `httparse` checks the grammar of heads. It is lenient in places (bare LF, empty lines in front), so a
//! [`HeadScan`] runs first; the framing policy is wholly ours.
//!
//! Source: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), RFC 7239 (Forwarded).

mod body;
mod chunked;
mod connection;
mod field;
mod forwarded;
mod framing;
mod limits;
mod line;
mod local;
mod method;
mod reject;
mod request;
mod response;
mod retry;
mod scan;
mod target;

pub use body::{BodyCursor, Taken};
pub use chunked::{ChunkData, ChunkError, ChunkScanner, Scan};
pub use forwarded::{RequestContext, client_fields};
pub use framing::Framing;
pub use limits::{
    CHUNK_EXTENSION_BYTES_MAX, CHUNK_EXTENSIONS_BYTES_MAX, CONNECTION_OPTIONS_MAX, HEADERS_CEILING,
    HeadLimits,
};
pub use local::local_response;
pub use method::{Method, Version};
pub use reject::{Reject, RejectReason};
pub use request::{RequestPlan, forward_request, forward_request_resumed};
pub use response::{BadResponse, ResponsePlan, forward_response, forward_response_resumed};
pub use retry::may_retry;
pub use scan::HeadScan;
