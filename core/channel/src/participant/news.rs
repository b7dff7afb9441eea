//! What a participant is told, and why something cannot be asked for.

use super::Handle;
use crate::wire::Code;
use std::fmt;

/// Something that the participant should know. Events come by [`super::Participant::take`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// The server knows us, as this principal.
    Welcome {
        /// Its name.
        principal: String,
    },
    /// The answer to a question.
    Answer {
        /// Which.
        request: u64,
        /// A JSON object, or what is wrong.
        result: Result<String, Refused>,
    },
    /// An event was not taken, and is not sent again.
    Refused {
        /// The proxy.
        handle: Handle,
        /// The event's number.
        number: u64,
        /// Why.
        code: Code,
        /// The same in words.
        message: String,
    },
    /// Events are on disk.
    Confirmed {
        /// The proxy.
        handle: Handle,
        /// Number of the first.
        first: u64,
        /// How many.
        count: u64,
    },
    /// An event that was taken will not be kept.
    Lost {
        /// The proxy.
        handle: Handle,
        /// Its number.
        number: u64,
        /// Why.
        code: Code,
    },
    /// A consumer in pull mode finds something when it pulls.
    Readable {
        /// The proxy.
        handle: Handle,
    },
    /// The server asks a supplier in pull mode for events.
    Wanted {
        /// The proxy.
        handle: Handle,
        /// How many at most.
        max: u32,
    },
    /// A proxy could not be had, or is gone.
    Gone {
        /// The proxy.
        handle: Handle,
        /// Why.
        message: String,
    },
    /// The server ends the connection.
    Bye {
        /// Why.
        message: String,
    },
}

/// A question that was not answered by what was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The answer's JSON object, with `error` and `message`; empty when the connection was lost.
    pub json: String,
}

/// Why something cannot be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParticipantError {
    /// There is no such proxy of ours.
    NoSuchHandle {
        /// The number.
        handle: Handle,
    },
    /// As many events wait to be taken by the server as may.
    WouldBlock {
        /// The limit.
        max: usize,
    },
    /// The server sent what is no frame of the protocol.
    Violation,
}

impl fmt::Display for ParticipantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParticipantError::NoSuchHandle { handle } => {
                write!(f, "there is no proxy {handle} of this participant (any more)")
            }
            ParticipantError::WouldBlock { max } => {
                write!(f, "{max} events wait to be taken by the server, the limit: wait")
            }
            ParticipantError::Violation => {
                write!(
                    f,
                    "the server sent bytes that are not of the channel protocol: is it a channel server?"
                )
            }
        }
    }
}

impl std::error::Error for ParticipantError {}
