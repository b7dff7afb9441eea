//! How a call ended.

use core::fmt;

/// Codes of status, as google.rpc.Code (which is also gRPC's).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Status {
    /// It went well.
    #[default]
    Ok = 0,
    /// The caller has cancelled it.
    Cancelled = 1,
    /// An error that says no more.
    Unknown = 2,
    /// The arguments are wrong, whatever the state of the server.
    InvalidArgument = 3,
    /// It did not end in time.
    DeadlineExceeded = 4,
    /// Something that was asked for is not there.
    NotFound = 5,
    /// Something that was to be made is there already.
    AlreadyExists = 6,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// The server is busy, or something is used up.
    ResourceExhausted = 8,
    /// The server's state does not allow it.
    FailedPrecondition = 9,
    /// It collided with another.
    Aborted = 10,
    /// Beyond what is there, or longer than what can be carried.
    OutOfRange = 11,
    /// The server has no such method.
    Unimplemented = 12,
    /// The server broke.
    Internal = 13,
    /// The server cannot be reached.
    Unavailable = 14,
    /// Data is lost.
    DataLoss = 15,
    /// The caller has not shown who it is.
    Unauthenticated = 16,
}

impl Status {
    /// All of them, in the order of their codes.
    pub const ALL: [Status; 17] = [
        Status::Ok,
        Status::Cancelled,
        Status::Unknown,
        Status::InvalidArgument,
        Status::DeadlineExceeded,
        Status::NotFound,
        Status::AlreadyExists,
        Status::PermissionDenied,
        Status::ResourceExhausted,
        Status::FailedPrecondition,
        Status::Aborted,
        Status::OutOfRange,
        Status::Unimplemented,
        Status::Internal,
        Status::Unavailable,
        Status::DataLoss,
        Status::Unauthenticated,
    ];

    /// From the wire or a foreign language; what is not known is [`Status::Unknown`], as gRPC has it.
    pub fn from_code(code: u8) -> Status {
        Status::ALL.get(usize::from(code)).copied().unwrap_or(Status::Unknown)
    }

    /// Its number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Its name, as google.rpc writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Cancelled => "CANCELLED",
            Status::Unknown => "UNKNOWN",
            Status::InvalidArgument => "INVALID_ARGUMENT",
            Status::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Status::NotFound => "NOT_FOUND",
            Status::AlreadyExists => "ALREADY_EXISTS",
            Status::PermissionDenied => "PERMISSION_DENIED",
            Status::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Status::FailedPrecondition => "FAILED_PRECONDITION",
            Status::Aborted => "ABORTED",
            Status::OutOfRange => "OUT_OF_RANGE",
            Status::Unimplemented => "UNIMPLEMENTED",
            Status::Internal => "INTERNAL",
            Status::Unavailable => "UNAVAILABLE",
            Status::DataLoss => "DATA_LOSS",
            Status::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether the procedure was executed: what is known of it, never a guess.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Outcome {
    /// The handler has run, once, and this is its answer.
    Executed = 0,
    /// The handler has not run and will not: the call may be made again.
    NotExecuted = 1,
    /// The handler may have run, may be running, or may yet run.
    Unknown = 2,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_google_rpc_and_unknown_ones_say_so() {
        for (code, status) in Status::ALL.iter().enumerate() {
            assert_eq!((Status::from_code(code as u8), usize::from(status.code())), (*status, code));
        }
        assert_eq!(Status::from_code(200), Status::Unknown);
        assert_eq!(Status::ResourceExhausted.code(), 8);
    }
}
