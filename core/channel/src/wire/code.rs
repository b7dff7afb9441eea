//! Refusals on the wire.

use crate::output::Refusal;
use clustercore_proto::wire::Malformed;

/// Why an event is not taken, on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Code {
    /// All were taken.
    None = 0,
    /// [`Refusal::NoSuchProxy`].
    NoSuchProxy = 1,
    /// [`Refusal::Suspended`].
    Suspended = 2,
    /// [`Refusal::BufferFull`].
    BufferFull = 3,
    /// [`Refusal::ChannelFull`].
    ChannelFull = 4,
    /// [`Refusal::TooLarge`].
    TooLarge = 5,
    /// [`Refusal::InProgress`].
    InProgress = 6,
    /// [`Refusal::NotWritten`].
    NotWritten = 7,
    /// The event breaks the server's limits.
    Invalid = 8,
    /// It does not begin with the number that is next: an earlier frame was refused.
    Behind = 9,
}

impl Code {
    pub(super) fn from_byte(byte: u8) -> Result<Code, Malformed> {
        const CODES: [Code; 10] = [
            Code::None,
            Code::NoSuchProxy,
            Code::Suspended,
            Code::BufferFull,
            Code::ChannelFull,
            Code::TooLarge,
            Code::InProgress,
            Code::NotWritten,
            Code::Invalid,
            Code::Behind,
        ];
        CODES.get(usize::from(byte)).copied().ok_or(Malformed)
    }

    /// True when the same event may be taken later.
    pub fn is_retryable(self) -> bool {
        !matches!(self, Code::None | Code::NoSuchProxy | Code::TooLarge | Code::Invalid)
    }
}

impl From<Option<Refusal>> for Code {
    fn from(refusal: Option<Refusal>) -> Code {
        match refusal {
            None => Code::None,
            Some(Refusal::NoSuchProxy) => Code::NoSuchProxy,
            Some(Refusal::Suspended) => Code::Suspended,
            Some(Refusal::BufferFull { .. }) => Code::BufferFull,
            Some(Refusal::ChannelFull { .. }) => Code::ChannelFull,
            Some(Refusal::TooLarge { .. }) => Code::TooLarge,
            Some(Refusal::InProgress) => Code::InProgress,
            Some(Refusal::NotWritten) => Code::NotWritten,
        }
    }
}
