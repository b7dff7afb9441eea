//! The head of a response, from the back end to the client.

use alloc::vec::Vec;
use core::mem::MaybeUninit;

use super::connection::{BadConnection, Options};
use super::field::{Field, Fields};
use super::framing::{Framing, FramingError, Lengths};
use super::limits::{HEADERS_CEILING, HeadLimits};
use super::line::{field, number};
use super::method::{Method, Version};
use super::reject::RejectReason;
use super::request::RequestPlan;
use super::scan::HeadScan;

/// What the forwarder needs to know of a response once its head is rewritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponsePlan {
    /// Bytes of `input` that the head took; the body starts there.
    pub head_len: usize,
    /// The status, 100..=999.
    pub status: u16,
    /// How far the body reaches as the back end sends it.
    pub framing: Framing,
    /// Whether the connection to the back end can go back to the pool after the body.
    pub backend_keep_alive: bool,
    /// A 1xx other than 101: another head follows on the same connection.
    pub interim: bool,
    /// A 101 that answers an upgrade or a 2xx that answers CONNECT: bytes both ways from here on.
    pub tunnel: bool,
    /// The connection to the client ends after this response, and the head says so.
    pub close_client: bool,
    /// Chunks for a client that does not know them: send their data only, then close.
    pub dechunk: bool,
}

/// What is wrong with a response; the client gets a 502 of ours and the connection to the back end is closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BadResponse {
    /// Not the grammar of a head, a folded line included.
    Syntax,
    /// A LF without CR or a CR without LF.
    BareLineEnd,
    /// The head is above `head_bytes_max`.
    HeadTooLarge,
    /// More fields than `headers_max`.
    TooManyHeaders,
    /// A version that is not HTTP/1.0 or HTTP/1.1.
    Version,
    /// A status below 100.
    Status,
    /// `Content-Length` is not one plain decimal number below 2^64.
    LengthInvalid,
    /// More than one `Content-Length`, even if they agree.
    LengthRepeated,
    /// Both `Content-Length` and `Transfer-Encoding`.
    LengthAndCoding,
    /// A transfer coding besides exactly `chunked`; none was asked for.
    CodingUnsupported,
    /// `Transfer-Encoding` in HTTP/1.0.
    CodingOnHttp10,
    /// `Connection` is malformed, too long, or names a field that is not for one hop.
    Connection,
    /// 101 without an upgrade asked for, or without saying to what.
    UnexpectedUpgrade,
    /// A 1xx that announces a body.
    InterimWithBody,
}

impl BadResponse {
    /// A short text for logs, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            BadResponse::Syntax => "malformed response head",
            BadResponse::BareLineEnd => "bare CR or LF in the response head",
            BadResponse::HeadTooLarge => "response head above its limit",
            BadResponse::TooManyHeaders => "too many response fields",
            BadResponse::Version => "unsupported response version",
            BadResponse::Status => "status below 100",
            BadResponse::LengthInvalid => "response Content-Length is not a number",
            BadResponse::LengthRepeated => "response Content-Length is repeated",
            BadResponse::LengthAndCoding => "both Content-Length and Transfer-Encoding in the response",
            BadResponse::CodingUnsupported => "response transfer coding besides chunked",
            BadResponse::CodingOnHttp10 => "Transfer-Encoding in an HTTP/1.0 response",
            BadResponse::Connection => "malformed response Connection, or it names an end-to-end field",
            BadResponse::UnexpectedUpgrade => "101 that does not answer an upgrade",
            BadResponse::InterimWithBody => "interim response with a body",
        }
    }
}

/// Rewrites the response head at the start of `input` for the client and appends it to `out`.
///
/// `request` is the plan of the request that it answers. `keep_client` false: the connection shall end after
/// this response, whatever the client wants. `Ok(None)`: the head has not ended yet. Looks at all of `input`
/// each time; [`forward_response_resumed`] looks at each byte once. On `Ok(None)` and `Err` nothing was
/// written; nor is it for an interim response to an HTTP/1.0 client, which must not see one.
pub fn forward_response(
    input: &[u8],
    request: &RequestPlan,
    via: &str,
    keep_client: bool,
    limits: &HeadLimits,
    out: &mut Vec<u8>,
) -> Result<Option<ResponsePlan>, BadResponse> {
    let mut scan = HeadScan::for_response(limits);
    forward_response_resumed(&mut scan, input, request, via, keep_client, limits, out)
}

/// Like [`forward_response`], but goes on where the scan of this connection stopped: one made by
/// [`HeadScan::for_response`]. After a whole head or an error the scan is reset for the next head.
pub fn forward_response_resumed(
    scan: &mut HeadScan,
    input: &[u8],
    request: &RequestPlan,
    via: &str,
    keep_client: bool,
    limits: &HeadLimits,
    out: &mut Vec<u8>,
) -> Result<Option<ResponsePlan>, BadResponse> {
    let found = scan.find_end(input);
    if found == Ok(None) {
        return Ok(None);
    }
    let (_, line_len) = scan.first_line();
    scan.reset();
    let Some(end) = found.map_err(|reject| BadResponse::from(reject.reason))? else { return Ok(None) };
    rewrite(&input[..end], line_len, request, via, keep_client, limits, out).map(Some)
}

fn rewrite(
    head: &[u8],
    line_len: usize,
    request: &RequestPlan,
    via: &str,
    keep_client: bool,
    limits: &HeadLimits,
    out: &mut Vec<u8>,
) -> Result<ResponsePlan, BadResponse> {
    let mut table = [const { MaybeUninit::uninit() }; HEADERS_CEILING];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        head,
        &mut table[..limits.fields_max()],
    );
    match parsed {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(BadResponse::TooManyHeaders),
        Err(httparse::Error::Version) if head.get(..8).is_some_and(Version::is_other) => {
            return Err(BadResponse::Version);
        }
        Ok(_) | Err(_) => return Err(BadResponse::Syntax),
    }
    let (Some(minor), Some(status)) = (response.version, response.code) else {
        return Err(BadResponse::Syntax);
    };
    if status < 100 {
        return Err(BadResponse::Status);
    }
    let fields = Fields::new(head, response.headers);
    let mut survey = Survey::new();
    survey.read(&fields)?;
    let plan = survey.plan(request, status, Version::from_minor(minor), keep_client)?;
    let plan = ResponsePlan { head_len: head.len(), ..plan };
    if plan.interim && request.version == Version::Http10 {
        return Ok(plan);
    }
    out.reserve(head.len() + via.len() + FIELDS_LEN_EXTRA);
    // With our version and the space in front of the phrase, the line is copied with the first fields.
    let lead_len = if minor == 1 && line_len > STATUS_END { line_len + 2 } else { 0 };
    if lead_len == 0 {
        write_line(&head[..line_len], out);
    }
    let keep_length = survey.keeps_length(&plan);
    let keep_upgrade = plan.status == 101 || plan.status == 426;
    fields.copy(lead_len, out, |index, header| match survey.kinds[index] {
        Field::ContentLength => keep_length,
        Field::Upgrade => keep_upgrade,
        Field::Trailer => plan.framing == Framing::Chunked && !plan.dechunk,
        Field::Connection | Field::TransferEncoding | Field::HopByHop | Field::Te => false,
        Field::Other => !survey.options.names(header.name.as_bytes()),
        // The others mean something in requests only and are the back end's own business here.
        _ => true,
    });
    survey.write_framing(&plan, out);
    write_hop(&plan, request, out);
    out.extend_from_slice(if minor == 0 { b"Via: 1.0 " } else { b"Via: 1.1 " });
    out.extend_from_slice(via.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    Ok(plan)
}

/// Our version, the same status, and the phrase as it came.
fn write_line(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1");
    out.extend_from_slice(&line["HTTP/1.1".len()..]);
    // Some leave out the space that ends the status when there is no phrase.
    out.extend_from_slice(if line.len() == STATUS_END { b" \r\n" } else { b"\r\n" });
}

/// The options of the hop to the client.
fn write_hop(plan: &ResponsePlan, request: &RequestPlan, out: &mut Vec<u8>) {
    if plan.status == 101 {
        field(b"Connection", b"upgrade", out);
    } else if plan.interim || plan.tunnel {
        // Nothing ends and nothing is kept here.
    } else if plan.close_client && plan.status == 426 {
        field(b"Connection", b"close, upgrade", out);
    } else if plan.close_client {
        field(b"Connection", b"close", out);
    } else if plan.status == 426 {
        field(b"Connection", b"upgrade", out);
    } else if request.version == Version::Http10 {
        field(b"Connection", b"keep-alive", out);
    }
}

/// What the fields of a response say to us, gathered before anything is written.
struct Survey<'b> {
    kinds: [Field; HEADERS_CEILING],
    options: Options<'b>,
    lengths: Lengths,
    length_was_padded: bool,
    upgrade: bool,
}

impl<'b> Survey<'b> {
    fn new() -> Survey<'b> {
        Survey {
            kinds: [Field::Other; HEADERS_CEILING],
            options: Options::new(),
            lengths: Lengths::default(),
            length_was_padded: false,
            upgrade: false,
        }
    }

    /// Not part of `new`, so that the large table is not moved.
    fn read(&mut self, fields: &Fields<'_, 'b>) -> Result<(), BadResponse> {
        for (index, header) in fields.iter() {
            let kind = Field::from_name(header.name.as_bytes());
            self.kinds[index] = kind;
            match kind {
                Field::ContentLength => {
                    self.lengths.add_length(header.value)?;
                    self.length_was_padded = header.value.len() > 1 && header.value[0] == b'0';
                }
                Field::TransferEncoding => self.lengths.add_coding(header.value)?,
                Field::Connection => self.options.add(header.value)?,
                Field::Upgrade => self.upgrade |= !header.value.is_empty(),
                _ => {}
            }
        }
        Ok(())
    }

    /// `head_len` is filled in by the caller.
    fn plan(
        &self,
        request: &RequestPlan,
        status: u16,
        version: Version,
        keep_client: bool,
    ) -> Result<ResponsePlan, BadResponse> {
        let is_11 = version == Version::Http11;
        if !is_11 && self.lengths.chunked {
            return Err(BadResponse::CodingOnHttp10);
        }
        let has_body_fields = self.lengths.chunked || self.lengths.length.is_some_and(|length| length > 0);
        if status < 200 && has_body_fields {
            return Err(BadResponse::InterimWithBody);
        }
        if status == 101 && !(request.upgrade && is_11 && self.upgrade && self.options.upgrade) {
            return Err(BadResponse::UnexpectedUpgrade);
        }
        let tunnel = status == 101 || (request.connect && (200..300).contains(&status));
        let interim = status < 200 && !tunnel;
        let bodiless =
            tunnel || status < 200 || matches!(status, 204 | 304) || request.method == Method::Head;
        let framing = match (self.lengths.chunked, self.lengths.length) {
            _ if bodiless => Framing::None,
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        };
        let dechunk = framing == Framing::Chunked && request.version == Version::Http10;
        // A 204 must not announce a body. One that does may be followed by it, so its connection ends here.
        let doubtful = status == 204 && has_body_fields;
        let kept = !self.options.close && (is_11 || self.options.keep_alive);
        let close_client = !interim
            && !tunnel
            && (!request.keep_alive || !keep_client || dechunk || framing == Framing::UntilClose);
        Ok(ResponsePlan {
            head_len: 0,
            status,
            framing,
            backend_keep_alive: interim || (kept && !tunnel && !doubtful && framing != Framing::UntilClose),
            interim,
            tunnel,
            close_client,
            dechunk,
        })
    }

    /// Whether the back end's own `Content-Length` line goes along: it is canonical, and the status may have
    /// one. For HEAD and 304 it tells what GET would have got.
    fn keeps_length(&self, plan: &ResponsePlan) -> bool {
        !self.length_was_padded && plan.status >= 200 && plan.status != 204 && !plan.tunnel
    }

    fn write_framing(&self, plan: &ResponsePlan, out: &mut Vec<u8>) {
        match (plan.framing, self.lengths.length) {
            (Framing::Chunked, _) if !plan.dechunk => field(b"Transfer-Encoding", b"chunked", out),
            (_, Some(length))
                if self.length_was_padded && plan.status >= 200 && plan.status != 204 && !plan.tunnel =>
            {
                out.extend_from_slice(b"Content-Length: ");
                number(length, out);
                out.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
    }
}

impl From<RejectReason> for BadResponse {
    /// Of the reasons that a scan gives.
    fn from(reason: RejectReason) -> BadResponse {
        match reason {
            RejectReason::BareLineEnd => BadResponse::BareLineEnd,
            RejectReason::HeadTooLarge | RejectReason::TargetTooLong => BadResponse::HeadTooLarge,
            _ => BadResponse::Syntax,
        }
    }
}

impl From<FramingError> for BadResponse {
    fn from(error: FramingError) -> BadResponse {
        match error {
            FramingError::LengthInvalid => BadResponse::LengthInvalid,
            FramingError::LengthRepeated => BadResponse::LengthRepeated,
            FramingError::LengthAndCoding => BadResponse::LengthAndCoding,
            FramingError::CodingInvalid | FramingError::CodingUnsupported => BadResponse::CodingUnsupported,
        }
    }
}

impl From<BadConnection> for BadResponse {
    fn from(_: BadConnection) -> BadResponse {
        BadResponse::Connection
    }
}

/// Where the space after the status is.
const STATUS_END: usize = "HTTP/1.1 200".len();

/// Room for the lines that are written beside the back end's own.
const FIELDS_LEN_EXTRA: usize = 128;
