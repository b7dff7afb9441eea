//! What takes requests in messages: the job handler beside an unmodified service, or a service that is linked with this library.
//!
//! The front end's half is a forwarder whose back ends have a [`JobAddress`](crate::forward::JobAddress). See `docs/protocol/jobs.md`.

mod linked;

pub use crate::forward::handler::{Handler, HandlerConfig, HandlerStats};
pub use linked::{JobId, LinkedService, Request};
