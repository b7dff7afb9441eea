//! What holds for every head: cut anywhere it gives the same, what is forwarded is canonical, nothing panics.

use clustercore_proto::forward::http::{
    BadResponse, Framing, HeadLimits, HeadScan, Method, Reject, RequestContext, RequestPlan, ResponsePlan,
    Version, forward_request, forward_request_resumed, forward_response, forward_response_resumed,
};
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 400, headers_max: 12, target_bytes_max: 60 };

const GET: RequestPlan = RequestPlan {
    head_len: 0,
    method: Method::Get,
    version: Version::Http11,
    framing: Framing::None,
    keep_alive: true,
    expect_continue: false,
    upgrade: true,
    connect: false,
};

type Forwarded<Plan, Error> = (Result<Option<Plan>, Error>, Vec<u8>);

fn context(trust_forwarded: bool) -> RequestContext<'static> {
    RequestContext {
        client: "[2001:db8::7]:4711".parse().unwrap(),
        local: "[::1]:8080".parse().unwrap(),
        secure: true,
        via: "us",
        trust_forwarded,
        fields: &[],
    }
}

fn request(input: &[u8], trust: bool) -> Forwarded<RequestPlan, Reject> {
    let mut out = Vec::new();
    (forward_request(input, &context(trust), &LIMITS, &mut out), out)
}

fn response(input: &[u8], request: &RequestPlan) -> Forwarded<ResponsePlan, BadResponse> {
    let mut out = Vec::new();
    (forward_response(input, request, "us", true, &LIMITS, &mut out), out)
}

/// Heads made of lines that matter to forwarding, sometimes with a stray byte in them.
fn heads(first_lines: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    const LINES: &[&str] = &[
        "Host: h:80",
        "Host:",
        "Content-Length: 5",
        "content-length:  007 ",
        "Content-Length: +5",
        "Transfer-Encoding: chunked",
        "transfer-encoding:chunked",
        "Transfer-Encoding: gzip, chunked",
        "Connection: close",
        "Connection: keep-alive, x-a",
        "Connection: upgrade, TE",
        "Upgrade: websocket",
        "Upgrade: h2c",
        "TE: trailers",
        "X-A: secret",
        "X-B:\tb ",
        "Accept: */*",
        "Expect: 100-continue",
        "Via: 1.0 them",
        "X-Forwarded-For: 1.1.1.1",
        "X-Forwarded-Proto: ftp",
        "Forwarded: for=x",
        "Keep-Alive: 5",
        "Max-Forwards: 3",
        "Max-Forwards: 0",
        "Trailer: X-B",
        "Content_Length: 5",
        "Proxy: x",
        " folded",
        "A : b",
        "A",
        "",
        "Cookie: a=b",
    ];
    let line = prop::sample::select(LINES);
    let noise = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
    (prop::sample::select(first_lines), prop::collection::vec(line, 0..10), any::<bool>(), noise).prop_map(
        |(first, lines, host, noise)| {
            let host = if host { "Host: h\r\n" } else { "" };
            let lines: String = lines.iter().flat_map(|line| [*line, "\r\n"]).collect();
            let mut head = format!("{first}\r\n{host}{lines}\r\nGET").into_bytes();
            if let Some((index, byte)) = noise {
                let at = index.index(head.len());
                head[at] = byte;
            }
            head
        },
    )
}

const REQUEST_LINES: &[&str] = &[
    "GET / HTTP/1.1",
    "POST /a?b HTTP/1.1",
    "GET / HTTP/1.0",
    "POST / HTTP/1.0",
    "OPTIONS * HTTP/1.1",
    "CONNECT h:1 HTTP/1.1",
    "GET http://x:1/y HTTP/1.1",
    "TRACE http://x HTTP/1.1",
    "\r\nHEAD / HTTP/1.1",
    "GET / HTTP/2.0",
    "GET /",
];

const STATUS_LINES: &[&str] = &[
    "HTTP/1.1 200 OK",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 304 Not Modified",
    "HTTP/1.1 100 Continue",
    "HTTP/1.1 101 Switching Protocols",
    "HTTP/1.1 426 Upgrade Required",
    "HTTP/1.1 500",
    "ICY 200 OK",
];

/// The value of each field of this name.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(is, _)| is.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

/// What must hold of every head that leaves us, read by a parser that knows nothing of ours.
fn check_canonical(head: &[u8]) -> Result<String, TestCaseError> {
    let head = String::from_utf8_lossy(head).into_owned();
    prop_assert!(
        head.ends_with("\r\n\r\n") && head.find("\r\n\r\n") == Some(head.len() - 4),
        "one head: {:?}",
        head
    );
    let lengths = values(&head, "content-length");
    let codings = values(&head, "transfer-encoding");
    prop_assert!(lengths.len() + codings.len() <= 1, "{:?}", head);
    prop_assert!(codings.iter().all(|coding| *coding == "chunked"), "{:?}", head);
    let canonical = |length: &&str| length.parse::<u64>().is_ok_and(|number| number.to_string() == **length);
    prop_assert!(lengths.iter().all(canonical), "{:?}", head);
    for name in ["keep-alive", "proxy-connection"] {
        prop_assert!(values(&head, name).is_empty(), "{:?}", head);
    }
    prop_assert_eq!(values(&head, "via").last().map(|via| via.ends_with(" us")), Some(true));
    Ok(head)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn forwarded_requests_are_canonical(input in heads(REQUEST_LINES), trust: bool) {
        let (plan, out) = request(&input, trust);
        let Ok(Some(plan)) = plan else {
            prop_assert!(out.is_empty());
            return Ok(());
        };
        prop_assert!(input[..plan.head_len].ends_with(b"\r\n\r\n"));
        let head = check_canonical(&out)?;
        prop_assert_eq!(values(&head, "host").len(), 1);
        prop_assert_eq!(values(&head, "x-forwarded-for").len(), 1);
        prop_assert_eq!(values(&head, "forwarded").len(), 1);
        prop_assert!(trust || !head.contains("1.1.1.1"));
        prop_assert_eq!(values(&head, "upgrade").is_empty(), !plan.upgrade);
        prop_assert_eq!(values(&head, "expect").is_empty(), !plan.expect_continue);
        let framing = match (values(&head, "content-length").first(), values(&head, "transfer-encoding").len()) {
            (Some(length), _) => Framing::Length(length.parse().unwrap()),
            (None, 1) => Framing::Chunked,
            _ => Framing::None,
        };
        prop_assert_eq!(plan.framing, framing);
        // The next gateway of our kind takes it, and sees the same message.
        let next = forward_request(&out, &context(true), &HeadLimits::default(), &mut Vec::new()).unwrap().unwrap();
        prop_assert_eq!((next.method, next.framing, next.upgrade), (plan.method, plan.framing, plan.upgrade));
        prop_assert_eq!(next.head_len, out.len());
    }

    #[test]
    fn forwarded_responses_are_canonical(input in heads(STATUS_LINES), old: bool, head: bool) {
        let version = if old { Version::Http10 } else { Version::Http11 };
        let asked = RequestPlan { version, method: if head { Method::Head } else { Method::Get }, ..GET };
        let (plan, out) = response(&input, &asked);
        let Ok(Some(plan)) = plan else {
            prop_assert!(out.is_empty());
            return Ok(());
        };
        prop_assert!(input[..plan.head_len].ends_with(b"\r\n\r\n"));
        if plan.interim && old {
            prop_assert!(out.is_empty());
            return Ok(());
        }
        let text = check_canonical(&out)?;
        let framing = match (values(&text, "content-length").first(), values(&text, "transfer-encoding").len()) {
            (Some(length), _) => Framing::Length(length.parse().unwrap()),
            (None, 1) => Framing::Chunked,
            _ if plan.framing == Framing::None => Framing::None,
            _ => Framing::UntilClose,
        };
        match plan.framing {
            // HEAD and 304 tell the length of what is not there.
            Framing::None => prop_assert!(framing != Framing::Chunked),
            Framing::Chunked if plan.dechunk => prop_assert_eq!(framing, Framing::UntilClose),
            _ => prop_assert_eq!(framing, plan.framing),
        }
        prop_assert!(framing != Framing::UntilClose || plan.close_client);
        prop_assert!(framing != Framing::Chunked || !old);
        prop_assert!(plan.framing != Framing::UntilClose || !plan.backend_keep_alive);
        let closes = values(&text, "connection").iter().any(|value| value.contains("close"));
        prop_assert_eq!(closes, plan.close_client);
    }

    #[test]
    fn heads_cut_anywhere_give_the_same(input in heads(REQUEST_LINES), other in heads(STATUS_LINES)) {
        let (whole, written) = request(&input, false);
        let (mut scan, mut out) = (HeadScan::new(&LIMITS), Vec::new());
        let resumed = (1..=input.len())
            .map(|len| forward_request_resumed(&mut scan, &input[..len], &context(false), &LIMITS, &mut out))
            .find(|step| *step != Ok(None))
            .unwrap_or(Ok(None));
        prop_assert_eq!((resumed, out), (whole, written));

        let (whole, written) = response(&other, &GET);
        let (mut scan, mut out) = (HeadScan::for_response(&LIMITS), Vec::new());
        let resumed = (1..=other.len())
            .map(|len| forward_response_resumed(&mut scan, &other[..len], &GET, "us", true, &LIMITS, &mut out))
            .find(|step| *step != Ok(None))
            .unwrap_or(Ok(None));
        prop_assert_eq!((resumed, out), (whole, written));
    }

    #[test]
    fn random_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = request(&input, true);
        let _ = response(&input, &GET);
    }
}
