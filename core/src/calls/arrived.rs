//! What was told of calls in a turn, and where its bytes lie.

use super::{CallId, Incoming, IncomingCall, IncomingReply, MetadataRef, Method, Outcome, Status};
use crate::io::Instant;

/// A piece of a run of messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    start: u32,
    len: u32,
}

impl Place {
    /// Where `piece` lies in `run`; the empty piece when it is not in it.
    #[inline]
    fn of(run: &[u8], piece: &[u8]) -> Place {
        let start = piece.as_ptr().addr().wrapping_sub(run.as_ptr().addr());
        let is_inside = start.checked_add(piece.len()).is_some_and(|end| end <= run.len());
        debug_assert!(is_inside || piece.is_empty(), "bytes of a call lie in their run");
        if is_inside {
            Place { start: start as u32, len: piece.len() as u32 }
        } else {
            Place { start: 0, len: 0 }
        }
    }

    #[inline]
    fn get(self, run: &[u8]) -> &[u8] {
        run.get(self.start as usize..).and_then(|rest| rest.get(..self.len as usize)).unwrap_or_default()
    }
}

/// An [`Incoming`] that is kept until the owner reads it.
#[derive(Debug)]
pub(crate) enum Told {
    Call {
        call: CallId,
        method: Method,
        deadline: Option<Instant>,
        is_streamed: bool,
        has_parts: bool,
        metadata: Place,
        arguments: Place,
    },
    Reply {
        call: CallId,
        token: u64,
        status: Status,
        outcome: Outcome,
        metadata: Place,
        results: Place,
        /// Rare and short.
        text: Option<Box<str>>,
    },
    Part {
        call: CallId,
        token: u64,
        is_ours: bool,
        is_last: bool,
        bytes: Place,
    },
    Writable {
        call: CallId,
        token: u64,
        is_ours: bool,
    },
    Cancelled {
        call: CallId,
    },
}

impl Told {
    /// Of what came in `run`.
    #[inline]
    pub fn of(run: &[u8], incoming: Incoming<'_>) -> Told {
        match incoming {
            Incoming::Call(IncomingCall {
                call,
                method,
                deadline,
                metadata,
                is_streamed,
                has_parts,
                arguments,
            }) => Told::Call {
                call,
                method,
                deadline,
                is_streamed,
                has_parts,
                metadata: Place::of(run, metadata.as_wire()),
                arguments: Place::of(run, arguments),
            },
            Incoming::Reply(IncomingReply { call, token, status, outcome, metadata, text, results }) => {
                Told::Reply {
                    call,
                    token,
                    status,
                    outcome,
                    metadata: Place::of(run, metadata.as_wire()),
                    results: Place::of(run, results),
                    text: (!text.is_empty()).then(|| text.into()),
                }
            }
            Incoming::Part { call, token, is_ours, is_last, bytes } => {
                Told::Part { call, token, is_ours, is_last, bytes: Place::of(run, bytes) }
            }
            Incoming::Writable { call, token, is_ours } => Told::Writable { call, token, is_ours },
            Incoming::Cancelled { call } => Told::Cancelled { call },
        }
    }

    /// As it came, in `run`.
    #[inline]
    pub fn get<'a>(&'a self, run: &'a [u8]) -> Incoming<'a> {
        let pairs = |place: Place| {
            // Checked when it came.
            let bytes = place.get(run);
            if bytes.is_empty() {
                MetadataRef::default()
            } else {
                MetadataRef::from_wire(bytes).unwrap_or_default()
            }
        };
        match self {
            Told::Call { call, method, deadline, is_streamed, has_parts, metadata, arguments } => {
                Incoming::Call(IncomingCall {
                    call: *call,
                    method: *method,
                    deadline: *deadline,
                    metadata: pairs(*metadata),
                    is_streamed: *is_streamed,
                    has_parts: *has_parts,
                    arguments: arguments.get(run),
                })
            }
            Told::Reply { call, token, status, outcome, metadata, results, text } => {
                Incoming::Reply(IncomingReply {
                    call: *call,
                    token: *token,
                    status: *status,
                    outcome: *outcome,
                    metadata: pairs(*metadata),
                    text: text.as_deref().unwrap_or_default(),
                    results: results.get(run),
                })
            }
            Told::Part { call, token, is_ours, is_last, bytes } => Incoming::Part {
                call: *call,
                token: *token,
                is_ours: *is_ours,
                is_last: *is_last,
                bytes: bytes.get(run),
            },
            Told::Writable { call, token, is_ours } => {
                Incoming::Writable { call: *call, token: *token, is_ours: *is_ours }
            }
            Told::Cancelled { call } => Incoming::Cancelled { call: *call },
        }
    }
}
