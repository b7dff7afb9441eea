//! What calls are named and made of.

use super::metadata::MetadataRef;
use super::status::Status;
use crate::datagram::{Connection, SendError};
use core::fmt;
use core::time::Duration;

/// A call: of the caller's, or one that is served. Over with its reply; a later use of the name reaches nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId {
    /// The connection that it travels on.
    pub connection: Connection,
    /// The slot of the caller: dense, reused.
    pub slot: u32,
    /// Counts the calls of the slot.
    pub sequence: u64,
}

/// The name of a method on the wire: FNV-1a with 64 bits of `package.Service/Method`.
///
/// Source: G. Fowler, L. Noll, K.-P. Vo, draft-eastlake-fnv.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(pub u64);

impl Method {
    /// The name of a method: `package.Service/Method`.
    pub const fn new(full_name: &str) -> Method {
        let bytes = full_name.as_bytes();
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut index = 0;
        while index < bytes.len() {
            hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            index += 1;
        }
        Method(hash)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How a call is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallOptions<'a> {
    /// The call has failed when it has not ended after this long; `None`: as long as the server works on it.
    pub timeout: Option<Duration>,
    /// Travels with it.
    pub metadata: MetadataRef<'a>,
    /// Comes back with its reply and parts, for the owner's use.
    pub token: u64,
    /// Arguments, results or both come in parts.
    pub is_streamed: bool,
}

/// What a call carries.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    /// What is called.
    pub method: Method,
    /// Bytes of the arguments; of a streamed call the first part, which may be empty.
    pub bytes: &'a [u8],
    /// Parts follow.
    pub has_parts: bool,
}

/// What a served call is answered with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Results<'a> {
    /// How it went.
    pub status: Status,
    /// The handler was not run: whoever says so promises it.
    pub is_not_executed: bool,
    /// Travels with it.
    pub metadata: MetadataRef<'a>,
    /// Words for people, when `status` is not [`Status::Ok`].
    pub text: &'a str,
    /// Bytes of the results.
    pub bytes: &'a [u8],
}

/// Why a call was not made, or a part not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallError {
    /// As many as may be are outstanding on the connection.
    TooManyCalls {
        /// How many.
        max: u32,
    },
    /// Arguments or metadata are longer than can be carried.
    TooLarge {
        /// Their bytes.
        len: usize,
        /// What is carried.
        max: usize,
    },
    /// The transport, or the receiver of parts, takes no more now.
    WouldBlock,
    /// The connection is not open.
    NotOpen,
    /// The call is over, or sends no parts.
    NoSuchCall,
}

impl CallError {
    pub(super) fn from_send(error: SendError) -> CallError {
        match error {
            SendError::NotOpen => CallError::NotOpen,
            SendError::TooLarge { len, max } => CallError::TooLarge { len, max },
            // The peer takes fewer streams than calls use: it does not serve any.
            SendError::TooManyStreams { max } => CallError::TooLarge { len: max + 1, max },
            SendError::WouldBlock => CallError::WouldBlock,
        }
    }
}

/// Why a reply was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyError {
    /// The call is over: replied, given up by its caller, or its connection is gone.
    NoSuchCall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_named_as_the_draft_says() {
        assert_eq!(Method::new("").0, 0xcbf2_9ce4_8422_2325);
        assert_eq!(Method::new("a").0, 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Method::new("foobar").0, 0x8594_4171_f739_67e8);
    }
}
