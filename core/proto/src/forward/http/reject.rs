//! Why a request is refused, and the answer that says so.

use alloc::vec::Vec;

use super::local::local_response;

/// A request that is not forwarded: the answer's status, and why.
///
/// The connection is closed after the answer, since where the next request starts is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reject {
    /// Status of the answer: 200 (answered here), 400, 414, 417, 431, 501 or 505.
    pub status: u16,
    /// What was wrong, for counters and logs.
    pub reason: RejectReason,
}

impl Reject {
    /// Appends a whole response with an empty body and `Connection: close` to `out`.
    pub fn response(&self, out: &mut Vec<u8>) {
        local_response(self.status, false, None, out);
    }
}

impl From<RejectReason> for Reject {
    fn from(reason: RejectReason) -> Reject {
        Reject { status: reason.status(), reason }
    }
}

/// What was wrong with a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RejectReason {
    /// A LF without CR or a CR without LF.
    BareLineEnd,
    /// A control character, NUL above all.
    ControlCharacter,
    /// Not the grammar of a head: request line, field name, field value, folded line, leading white space.
    Syntax,
    /// The head is above `head_bytes_max`.
    HeadTooLarge,
    /// More fields than `headers_max`.
    TooManyHeaders,
    /// The target is above `target_bytes_max`, or the first line does not end within the head's limit.
    TargetTooLong,
    /// A target that is none of the four forms or does not fit its method.
    Target,
    /// A version that is not HTTP/1.0 or HTTP/1.1.
    Version,
    /// HTTP/1.1 without `Host`.
    HostMissing,
    /// More than one `Host`.
    HostRepeated,
    /// `Host` is not a host with an optional port.
    HostInvalid,
    /// `Content-Length` is not one plain decimal number below 2^64.
    LengthInvalid,
    /// More than one `Content-Length`, even if they agree.
    LengthRepeated,
    /// Both `Content-Length` and `Transfer-Encoding`.
    LengthAndCoding,
    /// `Transfer-Encoding` does not end the body: repeated, malformed, or its last coding is not chunked.
    CodingInvalid,
    /// A coding besides chunked: 501.
    CodingUnsupported,
    /// `Transfer-Encoding` in HTTP/1.0.
    CodingOnHttp10,
    /// `Connection` is malformed, too long, or names a field that is not for one hop.
    Connection,
    /// A content where the method has none (TRACE, CONNECT).
    BodyNotAllowed,
    /// A field whose name reads like one of ours when `_` is taken for `-`, as CGI and WSGI do.
    DisguisedField,
    /// `Expect` is not `100-continue`.
    Expectation,
    /// `Max-Forwards` of OPTIONS or TRACE is malformed or repeated.
    MaxForwards,
    /// `Max-Forwards: 0`: we are the final recipient. 200 for OPTIONS, 501 for TRACE.
    AnsweredHere,
}

impl RejectReason {
    /// The usual status of this reason; [`RejectReason::AnsweredHere`] gives the one for OPTIONS.
    pub const fn status(self) -> u16 {
        match self {
            RejectReason::AnsweredHere => 200,
            RejectReason::TargetTooLong => 414,
            RejectReason::Expectation => 417,
            RejectReason::HeadTooLarge | RejectReason::TooManyHeaders => 431,
            RejectReason::CodingUnsupported => 501,
            RejectReason::Version => 505,
            _ => 400,
        }
    }

    /// A short text for logs, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            RejectReason::BareLineEnd => "bare CR or LF in the head",
            RejectReason::ControlCharacter => "control character in the head",
            RejectReason::Syntax => "malformed head",
            RejectReason::HeadTooLarge => "head above its limit",
            RejectReason::TooManyHeaders => "too many fields",
            RejectReason::TargetTooLong => "target above its limit",
            RejectReason::Target => "malformed target",
            RejectReason::Version => "unsupported version",
            RejectReason::HostMissing => "Host is missing",
            RejectReason::HostRepeated => "Host is repeated",
            RejectReason::HostInvalid => "Host is malformed",
            RejectReason::LengthInvalid => "Content-Length is not a number",
            RejectReason::LengthRepeated => "Content-Length is repeated",
            RejectReason::LengthAndCoding => "both Content-Length and Transfer-Encoding",
            RejectReason::CodingInvalid => "Transfer-Encoding does not end the body",
            RejectReason::CodingUnsupported => "transfer coding besides chunked",
            RejectReason::CodingOnHttp10 => "Transfer-Encoding in HTTP/1.0",
            RejectReason::Connection => "malformed Connection, or it names an end-to-end field",
            RejectReason::BodyNotAllowed => "content where the method has none",
            RejectReason::DisguisedField => "field name with underscores for dashes",
            RejectReason::Expectation => "unknown expectation",
            RejectReason::MaxForwards => "malformed Max-Forwards",
            RejectReason::AnsweredHere => "Max-Forwards is 0",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_whole_and_closes() {
        let mut out = Vec::new();
        Reject::from(RejectReason::HeadTooLarge).response(&mut out);
        assert_eq!(
            core::str::from_utf8(&out).unwrap(),
            "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
}
