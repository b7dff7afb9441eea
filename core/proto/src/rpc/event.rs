//! What calls tell their owner.

use super::call::{CallId, Method};
use super::metadata::MetadataRef;
use super::status::{Outcome, Status};
use crate::time::Instant;

/// Something came of a call. Bytes are where they arrived, lent until the inbox returns.
#[derive(Clone, Copy, Debug)]
pub enum Incoming<'a> {
    /// A peer calls. To be ended by [`super::Calls::reply`].
    Call(IncomingCall<'a>),
    /// A call of ours has ended.
    Reply(IncomingReply<'a>),
    /// Bytes of the streamed arguments of a call that is served, or of the results of one of ours. To be given back by
    /// [`super::Calls::consume`].
    Part {
        /// The call.
        call: CallId,
        /// Of ours: what its owner gave it. Of one that is served: 0.
        token: u64,
        /// It is one of ours.
        is_ours: bool,
        /// No more follow.
        is_last: bool,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// There is room for parts again, after a `WouldBlock`.
    Writable {
        /// The call.
        call: CallId,
        /// Of ours: what its owner gave it.
        token: u64,
        /// It is one of ours.
        is_ours: bool,
    },
    /// The caller of a call that is served wants its reply no more. Who can stop replies [`Status::Cancelled`]; a reply to a caller
    /// that is gone goes nowhere.
    Cancelled {
        /// The call.
        call: CallId,
    },
}

/// A call of a peer.
#[derive(Clone, Copy, Debug)]
pub struct IncomingCall<'a> {
    /// Names it in the reply.
    pub call: CallId,
    /// What is called.
    pub method: Method,
    /// Nobody waits for its reply after this.
    pub deadline: Option<Instant>,
    /// Pairs that travelled with it.
    pub metadata: MetadataRef<'a>,
    /// Its caller takes parts.
    pub is_streamed: bool,
    /// Parts of the arguments follow.
    pub has_parts: bool,
    /// The arguments.
    pub arguments: &'a [u8],
}

/// The end of a call of ours.
#[derive(Clone, Copy, Debug)]
pub struct IncomingReply<'a> {
    /// The call.
    pub call: CallId,
    /// What its owner gave it.
    pub token: u64,
    /// How it went.
    pub status: Status,
    /// Whether it was executed.
    pub outcome: Outcome,
    /// Pairs that travelled with the reply.
    pub metadata: MetadataRef<'a>,
    /// Words for people.
    pub text: &'a str,
    /// The results.
    pub results: &'a [u8],
}
