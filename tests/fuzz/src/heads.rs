//! What holds for every head, forwarded or refused; see [`check_request`] and [`check_response`].
//!
//! Forwarded heads are read back by a parser that knows nothing of the one under test.

use clustercore_proto::forward::http::{
    BadResponse, Framing, HeadLimits, HeadScan, Method, Reject, RequestContext, RequestPlan, ResponsePlan,
    Version, forward_request, forward_request_resumed, forward_response, forward_response_resumed,
};

/// Small, so that the limits are met too.
pub const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 400, headers_max: 12, target_bytes_max: 60 };

/// Forwards `input` as a request whole and byte by byte, and checks what comes out. Returns the verdict.
pub fn check_request(input: &[u8], trust: bool) -> Result<Option<RequestPlan>, Reject> {
    let context = context(trust);
    let mut out = Vec::new();
    let verdict = forward_request(input, &context, &LIMITS, &mut out);
    assert_eq!(
        resume_request(input, &context),
        (verdict, out.clone()),
        "cut into bytes it is another request"
    );
    let Ok(Some(plan)) = verdict else {
        assert!(out.is_empty());
        return verdict;
    };
    assert!(input[..plan.head_len].ends_with(b"\r\n\r\n"));
    let head = read_canonical(&out);
    assert_eq!(values(&head, "host").len(), 1, "{head:?}");
    assert_eq!(values(&head, "x-forwarded-for").len(), 1, "{head:?}");
    assert_eq!(values(&head, "forwarded").len(), 1, "{head:?}");
    assert!(trust || values(&head, "x-forwarded-for") == ["2001:db8::7"], "{head:?}");
    assert_eq!(values(&head, "upgrade").is_empty(), !plan.upgrade, "{head:?}");
    assert_eq!(values(&head, "expect").is_empty(), !plan.expect_continue, "{head:?}");
    assert_eq!(framing_of(&head).unwrap_or(Framing::None), plan.framing, "{head:?}");
    // The next gateway of our kind takes it, and sees the same message. Options is the exception: its
    // Max-Forwards may have come down to 0, which the next one answers itself.
    let next = forward_request(&out, &self::context(true), &HeadLimits::default(), &mut Vec::new());
    let answered =
        matches!(plan.method, Method::Options | Method::Trace) && values(&head, "max-forwards") == ["0"];
    if !answered {
        let next = next.expect("no gateway refuses what another forwards").expect("the head is whole");
        let seen = |plan: &RequestPlan| (plan.method, plan.framing, plan.upgrade, plan.expect_continue);
        assert_eq!((seen(&next), next.head_len), (seen(&plan), out.len()), "{head:?}");
    }
    verdict
}

/// Forwards `input` as the response to `request` whole and byte by byte, and checks what comes out.
pub fn check_response(input: &[u8], request: &RequestPlan) -> Result<Option<ResponsePlan>, BadResponse> {
    let mut out = Vec::new();
    let verdict = forward_response(input, request, "us", true, &LIMITS, &mut out);
    assert_eq!(
        resume_response(input, request),
        (verdict, out.clone()),
        "cut into bytes it is another response"
    );
    let Ok(Some(plan)) = verdict else {
        assert!(out.is_empty());
        return verdict;
    };
    assert!(input[..plan.head_len].ends_with(b"\r\n\r\n"));
    let is_old = request.version == Version::Http10;
    if plan.interim && is_old {
        assert!(out.is_empty());
        return verdict;
    }
    let head = read_canonical(&out);
    let says = framing_of(&head);
    match plan.framing {
        // HEAD and 304 tell the length of what is not there.
        Framing::None => assert_ne!(says, Some(Framing::Chunked), "{head:?}"),
        Framing::UntilClose => {
            assert!(says.is_none() && plan.close_client && !plan.backend_keep_alive, "{head:?}")
        }
        Framing::Chunked if is_old => {
            assert!(says.is_none() && plan.close_client && plan.dechunk, "{head:?}")
        }
        framing => assert_eq!(says, Some(framing), "{head:?}"),
    }
    assert!(!plan.tunnel || (!plan.backend_keep_alive && (request.upgrade || request.connect)));
    let closes = values(&head, "connection").iter().any(|value| value.contains("close"));
    assert_eq!(closes, plan.close_client, "{head:?}");
    verdict
}

/// A request to answer, chosen by the bits of `choice`: HTTP/1.0, HEAD, CONNECT, upgrade, keep-alive.
pub fn request_plan(choice: u8) -> RequestPlan {
    let bit = |bit: u8| choice & (1 << bit) != 0;
    let connect = bit(2);
    RequestPlan {
        head_len: 0,
        method: if connect {
            Method::Connect
        } else if bit(1) {
            Method::Head
        } else {
            Method::Get
        },
        version: if bit(0) { Version::Http10 } else { Version::Http11 },
        framing: Framing::None,
        keep_alive: bit(4),
        expect_continue: false,
        upgrade: bit(3) && !connect && !bit(0),
        connect,
    }
}

fn context(trust_forwarded: bool) -> RequestContext<'static> {
    RequestContext {
        client: "[2001:db8::7]:4711".parse().expect("an address"),
        local: "[::1]:8080".parse().expect("an address"),
        secure: true,
        via: "us",
        trust_forwarded,
        fields: &[],
    }
}

fn resume_request(
    input: &[u8],
    context: &RequestContext<'_>,
) -> (Result<Option<RequestPlan>, Reject>, Vec<u8>) {
    let (mut scan, mut out) = (HeadScan::new(&LIMITS), Vec::new());
    let verdict = (1..=input.len())
        .map(|len| forward_request_resumed(&mut scan, &input[..len], context, &LIMITS, &mut out))
        .find(|step| *step != Ok(None));
    (verdict.unwrap_or(Ok(None)), out)
}

fn resume_response(
    input: &[u8],
    request: &RequestPlan,
) -> (Result<Option<ResponsePlan>, BadResponse>, Vec<u8>) {
    let (mut scan, mut out) = (HeadScan::for_response(&LIMITS), Vec::new());
    let verdict = (1..=input.len())
        .map(|len| forward_response_resumed(&mut scan, &input[..len], request, "us", true, &LIMITS, &mut out))
        .find(|step| *step != Ok(None));
    (verdict.unwrap_or(Ok(None)), out)
}

/// What must hold of every head that leaves us, whichever way it goes.
fn read_canonical(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head).into_owned();
    assert_eq!(head.find("\r\n\r\n"), Some(head.len() - 4), "exactly one head: {head:?}");
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{head:?}");
    for name in ["keep-alive", "proxy-connection"] {
        assert!(values(&head, name).is_empty(), "{head:?}");
    }
    assert!(values(&head, "via").last().is_some_and(|via| via.ends_with(" us")), "{head:?}");
    head
}

/// The framing that the head states, if it does; it must state it once and in one way.
fn framing_of(head: &str) -> Option<Framing> {
    let lengths = values(head, "content-length");
    let codings = values(head, "transfer-encoding");
    assert!(lengths.len() + codings.len() <= 1, "{head:?}");
    if let Some(coding) = codings.first() {
        assert_eq!(*coding, "chunked", "{head:?}");
        return Some(Framing::Chunked);
    }
    let length = lengths.first()?;
    let number: u64 = length.parse().expect("a number");
    assert_eq!(number.to_string(), *length, "no sign and no zeros in front");
    Some(Framing::Length(number))
}

/// The values of the fields of this name.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    fields.filter(|(is, _)| is.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}
