//! Forwarding as pure rules: what to send on, what to refuse, when to try again.
//!
//! Nothing here reads a socket or a clock. The forwarder of the core hands in received bytes and small
//! facts and gets back rewritten heads, framing and verdicts. `docs/protocol/http-forwarding.md` tells the
//! same event by event.

pub mod http;
pub mod proxy;
