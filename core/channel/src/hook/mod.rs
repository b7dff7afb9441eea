//! Web hooks on the sending side: consumers that are an address.
//!
//! A [`Hook`] is a pure machine for one of them: time, the fate of its connection, bytes and events in; [`Order`]s for the socket and
//! [`Settlement`]s for the engine out. It asks the target by OPTIONS whether it wants events, and only then sends them by POST, one request at
//! a time over a connection that is kept. What is not answered by a 2xx is not done: it goes back to the consumer's queue.
//!
//! | state | what it is | next, and by what |
//! | --- | --- | --- |
//! | Asking | whether the target wants events | Granted: it does; Withheld: it does not say so; Waiting: it was not reached, or did not answer |
//! | Withheld | nothing is sent | Asking: after `ask_again` |
//! | Granted | events are taken as far as the granted rate allows | Delivering: there are some; Waiting: the target was not reached |
//! | Delivering | a request is out | Granted: taken, or not in this format; Waiting: put off, refused, or no answer; Gone: 410 |
//! | Waiting | for the next try | Asking, or Granted when it was granted before |
//! | Gone | the target wants nothing any more | |
//!
//! Limits: one request at a time; bytes of a batch, of an answer, every time-out, the number of hooks and where they may lead
//! ([`HookConfig`]). A link that fails before anything was sent costs no event a try; a request that was sent and got no answer does.
//! Source: cloudevents/spec 1.0.2, `http-webhook.md` and `http-protocol-binding.md`.

mod admit;
mod answer;
mod config;
mod machine;
mod order;
mod outcome;
mod request;
mod state;
mod target;

pub use admit::{HookError, admit};
pub use config::HookConfig;
pub use machine::Hook;
pub use order::{HookStats, Order, Settlement, Verdict};
pub use state::State;
pub use target::{HookMode, HookSpec, HookTargets, Prefix};

#[cfg(test)]
mod tests;
