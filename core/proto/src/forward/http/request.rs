//! The head of a request, from the client to the back end.

use alloc::vec::Vec;
use core::mem::MaybeUninit;

use super::connection::{BadConnection, Options};
use super::field::{Field, Fields};
use super::forwarded::{RequestContext, write_client, write_host};
use super::framing::{Framing, FramingError, Lengths};
use super::limits::{HEADERS_CEILING, HeadLimits};
use super::line::{decimal, field, is_token, list, number};
use super::method::{Method, Version};
use super::reject::{Reject, RejectReason};
use super::scan::HeadScan;
use super::target::{Target, is_host};

/// What the forwarder needs to know of a request once its head is rewritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestPlan {
    /// Bytes of `input` that the head took; the body starts there.
    pub head_len: usize,
    /// The method.
    pub method: Method,
    /// The client's version. The rewritten head always says HTTP/1.1.
    pub version: Version,
    /// How far the body reaches; never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client wants to send more requests on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body. The back end was asked too.
    pub expect_continue: bool,
    /// Whether this is a valid upgrade, forwarded as such. A 101 answer makes a tunnel.
    pub upgrade: bool,
    /// Whether the method is CONNECT. A 2xx answer makes a tunnel.
    pub connect: bool,
}

/// Rewrites the request head at the start of `input` for the back end and appends it to `out`.
///
/// `Ok(None)`: the head has not ended yet. Looks at all of `input` each time it is called; when heads may
/// arrive in pieces, [`forward_request_resumed`] looks at each byte once. On `Ok(None)` and `Err` nothing was
/// written.
///
/// Written are: the request line with the target in the form for the server itself, the end-to-end fields in
/// their order, the framing, `Via`, `X-Forwarded-For/-Proto/-Host`, `Forwarded`, the empty line.
///
/// Errors: see [`RejectReason`]; the table in `docs/protocol/http-forwarding.md` has an example of each.
pub fn forward_request(
    input: &[u8],
    context: &RequestContext<'_>,
    limits: &HeadLimits,
    out: &mut Vec<u8>,
) -> Result<Option<RequestPlan>, Reject> {
    forward_request_resumed(&mut HeadScan::new(limits), input, context, limits, out)
}

/// Like [`forward_request`], but goes on where the scan of this connection stopped.
///
/// `input` starts where it started in the calls before. After a whole head or an error the scan is reset for
/// the next head.
pub fn forward_request_resumed(
    scan: &mut HeadScan,
    input: &[u8],
    context: &RequestContext<'_>,
    limits: &HeadLimits,
    out: &mut Vec<u8>,
) -> Result<Option<RequestPlan>, Reject> {
    let found = scan.find_end(input);
    if found == Ok(None) {
        return Ok(None);
    }
    let (start, line_end) = scan.first_line();
    scan.reset();
    let Some(end) = found? else { return Ok(None) };
    let plan = rewrite(&input[start..end], line_end - start, context, limits, out)?;
    Ok(Some(RequestPlan { head_len: end, ..plan }))
}

fn rewrite(
    head: &[u8],
    line_len: usize,
    context: &RequestContext<'_>,
    limits: &HeadLimits,
    out: &mut Vec<u8>,
) -> Result<RequestPlan, Reject> {
    let mut table = [const { MaybeUninit::uninit() }; HEADERS_CEILING];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut table[..limits.fields_max()]) {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        Ok(_) => return Err(RejectReason::Syntax.into()),
        Err(error) => return Err(parse_reason(error, &head[..line_len]).into()),
    }
    let (Some(token), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(RejectReason::Syntax.into());
    };
    if target.len() > limits.target_bytes_max {
        return Err(RejectReason::TargetTooLong.into());
    }
    let method = Method::from_token(token.as_bytes());
    let target = Target::parse(method, target.as_bytes()).ok_or(RejectReason::Target)?;
    let fields = Fields::new(head, request.headers);
    let mut survey = Survey::new();
    survey.read(&fields)?;
    let plan = survey.plan(method, Version::from_minor(minor))?;
    let forwards = survey.forwards(method)?;

    out.reserve(
        head.len() + 3 * target.authority.map_or(0, <[u8]>::len) + context.fields.len() + FIELDS_LEN_EXTRA,
    );
    // With our version and the target as it came, the line is copied together with the first fields.
    let lead_len = if minor == 1 && target.is_verbatim() { line_len + 2 } else { 0 };
    if lead_len == 0 {
        write_line(token.as_bytes(), &target, out);
    }
    let host_start = out.len() + "Host: ".len();
    match (target.authority, survey.host) {
        (Some(authority), _) => field(b"Host", authority, out),
        (None, Some(_)) => {}
        (None, None) => {
            out.extend_from_slice(b"Host: ");
            write_host(context.local, out);
            out.extend_from_slice(b"\r\n");
        }
    }
    let host_end = out.len().saturating_sub(2);
    fields.copy(lead_len, out, |index, header| match survey.kinds[index] {
        Field::Other => !survey.options.names(header.name.as_bytes()),
        Field::Host => target.authority.is_none(),
        Field::ContentLength => !plan.connect && !survey.length_was_padded,
        Field::Expect => plan.expect_continue,
        Field::Upgrade => plan.upgrade,
        Field::Trailer => plan.framing == Framing::Chunked,
        Field::MaxForwards => forwards.is_none(),
        Field::Via => true,
        Field::ForwardedHost | Field::ForwardedProto | Field::ForwardedOther => context.trust_forwarded,
        Field::Connection
        | Field::TransferEncoding
        | Field::HopByHop
        | Field::Te
        | Field::Proxy
        | Field::Forwarded
        | Field::ForwardedFor => false,
    });
    survey.write_framing(&plan, out);
    survey.write_connection(&plan, out);
    if let Some(forwards) = forwards {
        out.extend_from_slice(b"Max-Forwards: ");
        number(forwards, out);
        out.extend_from_slice(b"\r\n");
    }
    match (target.authority, survey.host) {
        (Some(host), _) | (None, Some(host)) => write_client(context, plan.version, host, &fields, out),
        (None, None) => {
            // Only HTTP/1.0 without Host comes here: our own address, as just written.
            let mut host = [0u8; HOST_LEN_MAX];
            let len = (host_end - host_start).min(HOST_LEN_MAX);
            host[..len].copy_from_slice(&out[host_start..host_start + len]);
            write_client(context, plan.version, &host[..len], &fields, out);
        }
    }
    Ok(plan)
}

fn parse_reason(error: httparse::Error, line: &[u8]) -> RejectReason {
    match error {
        httparse::Error::TooManyHeaders => RejectReason::TooManyHeaders,
        // What the parser calls a version may be anything that stands in its place.
        httparse::Error::Version
            if line.rsplit(|&byte| byte == b' ').next().is_some_and(Version::is_other) =>
        {
            RejectReason::Version
        }
        _ => RejectReason::Syntax,
    }
}

fn write_line(method: &[u8], target: &Target<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(method);
    out.extend_from_slice(if target.slash { b" /" } else { b" " });
    out.extend_from_slice(target.text);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// What the fields of a request say to us, gathered and judged in one pass before anything is written.
struct Survey<'b> {
    kinds: [Field; HEADERS_CEILING],
    options: Options<'b>,
    lengths: Lengths,
    host: Option<&'b [u8]>,
    expect: Expect,
    max_forwards: Option<Option<u64>>,
    /// `Upgrade` is there and every protocol in it is one we let through.
    upgrade: Option<bool>,
    te_trailers: bool,
    /// `Content-Length` had leading zeros and is written anew.
    length_was_padded: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Nothing,
    Continue,
    Unknown,
}

impl<'b> Survey<'b> {
    fn new() -> Survey<'b> {
        Survey {
            kinds: [Field::Other; HEADERS_CEILING],
            options: Options::new(),
            lengths: Lengths::default(),
            host: None,
            expect: Expect::Nothing,
            max_forwards: None,
            upgrade: None,
            te_trailers: false,
            length_was_padded: false,
        }
    }

    /// Not part of `new`, so that the large table is not moved.
    fn read(&mut self, fields: &Fields<'_, 'b>) -> Result<(), Reject> {
        for (index, header) in fields.iter() {
            let name = header.name.as_bytes();
            let kind = Field::from_name(name);
            self.kinds[index] = kind;
            if kind == Field::Other {
                if Field::is_disguised(name) {
                    return Err(RejectReason::DisguisedField.into());
                }
            } else {
                self.add(kind, header.value)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, kind: Field, value: &'b [u8]) -> Result<(), RejectReason> {
        match kind {
            Field::Host if self.host.is_some() => return Err(RejectReason::HostRepeated),
            Field::Host if !is_host(value) => return Err(RejectReason::HostInvalid),
            Field::Host => self.host = Some(value),
            Field::ContentLength => {
                self.lengths.add_length(value)?;
                self.length_was_padded = !is_canonical_number(value);
            }
            Field::TransferEncoding => self.lengths.add_coding(value)?,
            Field::Connection => self.options.add(value)?,
            Field::Expect => {
                let known = value.eq_ignore_ascii_case(b"100-continue") && self.expect == Expect::Nothing;
                self.expect = if known { Expect::Continue } else { Expect::Unknown };
            }
            Field::MaxForwards => {
                let repeated = self.max_forwards.is_some();
                self.max_forwards = Some(decimal(value).filter(|_| !repeated));
            }
            Field::Upgrade => self.upgrade = Some(self.upgrade != Some(false) && is_upgrade(value)),
            // A weight (`trailers;q=0`) is not defined for `trailers`; what is not exactly it is ignored.
            Field::Te => {
                self.te_trailers |= list(value).any(|member| member.eq_ignore_ascii_case(b"trailers"))
            }
            _ => {}
        }
        Ok(())
    }

    /// `head_len` is filled in by the caller.
    fn plan(&self, method: Method, version: Version) -> Result<RequestPlan, RejectReason> {
        let is_11 = version == Version::Http11;
        if is_11 && self.host.is_none() {
            return Err(RejectReason::HostMissing);
        }
        // An HTTP/1.0 proxy in between would have passed the coding on without knowing it (RFC 9112, 6.1).
        if !is_11 && self.lengths.chunked {
            return Err(RejectReason::CodingOnHttp10);
        }
        if is_11 && self.expect == Expect::Unknown {
            return Err(RejectReason::Expectation);
        }
        let framing = match (self.lengths.chunked, self.lengths.length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::None,
        };
        let connect = method == Method::Connect;
        if (connect || method == Method::Trace) && !framing.is_empty() {
            return Err(RejectReason::BodyNotAllowed);
        }
        // A body in front of the new protocol's first byte is legal, and a way to smuggle; nobody needs it.
        let upgrade =
            is_11 && !connect && self.options.upgrade && self.upgrade == Some(true) && framing.is_empty();
        Ok(RequestPlan {
            head_len: 0,
            method,
            version,
            framing: if connect { Framing::None } else { framing },
            keep_alive: !self.options.close && (is_11 || self.options.keep_alive),
            // Without a body there is nothing to wait for, and HTTP/1.0 knows no interim response.
            expect_continue: is_11 && self.expect == Expect::Continue && !framing.is_empty(),
            upgrade,
            connect,
        })
    }

    /// The `Max-Forwards` to send on. Only OPTIONS and TRACE have one that counts (RFC 9110, 7.6.2).
    fn forwards(&self, method: Method) -> Result<Option<u64>, Reject> {
        match (method, self.max_forwards) {
            (Method::Options | Method::Trace, Some(None)) => Err(RejectReason::MaxForwards.into()),
            // We offer no TRACE of our own; OPTIONS of a gateway has nothing to tell.
            (Method::Trace, Some(Some(0))) => Err(Reject { status: 501, reason: RejectReason::AnsweredHere }),
            (Method::Options, Some(Some(0))) => Err(RejectReason::AnsweredHere.into()),
            (Method::Options | Method::Trace, Some(Some(forwards))) => Ok(Some(forwards - 1)),
            _ => Ok(None),
        }
    }

    /// The framing line, unless the client's own was canonical and went along with the other fields.
    fn write_framing(&self, plan: &RequestPlan, out: &mut Vec<u8>) {
        match plan.framing {
            Framing::Chunked => field(b"Transfer-Encoding", b"chunked", out),
            Framing::Length(length) if self.length_was_padded => {
                out.extend_from_slice(b"Content-Length: ");
                number(length, out);
                out.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
    }

    /// To the back end connections are kept by default, so only what this one request needs is said.
    fn write_connection(&self, plan: &RequestPlan, out: &mut Vec<u8>) {
        let trailers = self.te_trailers && plan.version == Version::Http11;
        if trailers {
            field(b"TE", b"trailers", out);
        }
        match (plan.upgrade, trailers) {
            (true, true) => field(b"Connection", b"upgrade, TE", out),
            (true, false) => field(b"Connection", b"upgrade", out),
            (false, true) => field(b"Connection", b"TE", out),
            (false, false) => {}
        }
    }
}

/// Whether every protocol is well-formed and none is `h2c`: HTTP/2 in clear inside a tunnel would pass by all
/// that is decided here per request.
fn is_upgrade(value: &[u8]) -> bool {
    let is_protocol = |member: &[u8]| {
        let mut parts = member.splitn(2, |&byte| byte == b'/');
        parts.all(is_token) && !member.eq_ignore_ascii_case(b"h2c")
    };
    list(value).next().is_some() && list(value).all(is_protocol)
}

/// A number without leading zeros, which some readers would take for octal.
fn is_canonical_number(value: &[u8]) -> bool {
    value.len() == 1 || value.first() != Some(&b'0')
}

impl From<FramingError> for RejectReason {
    fn from(error: FramingError) -> RejectReason {
        match error {
            FramingError::LengthInvalid => RejectReason::LengthInvalid,
            FramingError::LengthRepeated => RejectReason::LengthRepeated,
            FramingError::LengthAndCoding => RejectReason::LengthAndCoding,
            FramingError::CodingInvalid => RejectReason::CodingInvalid,
            FramingError::CodingUnsupported => RejectReason::CodingUnsupported,
        }
    }
}

impl From<BadConnection> for RejectReason {
    fn from(_: BadConnection) -> RejectReason {
        RejectReason::Connection
    }
}

/// Room for the lines that are written beside the client's own.
const FIELDS_LEN_EXTRA: usize = 384;

/// `[IPv6]:port` at its longest is 47 bytes.
const HOST_LEN_MAX: usize = 48;
