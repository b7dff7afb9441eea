//! Request heads: what is forwarded, in which words, and what is refused.

use clustercore_proto::forward::http::{
    Framing, HeadLimits, HeadScan, Method, Reject, RejectReason, RequestContext, RequestPlan, Version,
    client_fields, forward_request, forward_request_resumed,
};

fn context(fields: &[u8]) -> RequestContext<'_> {
    RequestContext {
        client: "192.0.2.7:4711".parse().unwrap(),
        local: "10.0.0.1:8080".parse().unwrap(),
        secure: false,
        via: "us",
        trust_forwarded: false,
        fields,
    }
}

fn forward_as(context: &RequestContext<'_>, input: &str) -> Result<(RequestPlan, String), Reject> {
    let mut out = b"before".to_vec();
    let plan = forward_request(input.as_bytes(), context, &HeadLimits::default(), &mut out);
    if !matches!(plan, Ok(Some(_))) {
        assert_eq!(out, b"before", "nothing is written unless a head is forwarded");
    }
    let text = String::from_utf8(out).unwrap().split_off("before".len());
    plan.map(|plan| (plan.expect("the head is whole"), text))
}

fn forward(input: &str) -> Result<(RequestPlan, String), Reject> {
    forward_as(&context(&[]), input)
}

fn refused(input: &str) -> (u16, RejectReason) {
    match forward(input) {
        Ok((plan, text)) => panic!("{input:?} was forwarded as {text:?}, {plan:?}"),
        Err(reject) => (reject.status, reject.reason),
    }
}

/// A GET on HTTP/1.1 with a host and these further lines.
fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
}

/// What follows the fields of every untrusted client on HTTP/1.1.
fn tail(host: &str) -> String {
    format!(
        "Via: 1.1 us\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n\
         Forwarded: for=192.0.2.7;proto=http;host=\"{host}\"\r\nX-Forwarded-Host: {host}\r\n\r\n"
    )
}

#[test]
fn plain_get_is_passed_on_with_who_asked() {
    let (plan, text) = forward("GET /a?b HTTP/1.1\r\nHost: h:80\r\nAccept: */*\r\n\r\nrest").unwrap();
    assert_eq!(text, format!("GET /a?b HTTP/1.1\r\nHost: h:80\r\nAccept: */*\r\n{}", tail("h:80")));
    assert_eq!(
        plan,
        RequestPlan {
            head_len: 46,
            method: Method::Get,
            version: Version::Http11,
            framing: Framing::None,
            keep_alive: true,
            expect_continue: false,
            upgrade: false,
            connect: false,
        }
    );
}

#[test]
fn rendering_once_per_connection_changes_nothing() {
    let mut fields = Vec::new();
    client_fields(&context(&[]), &mut fields);
    for input in [get("A: b\r\n"), "GET / HTTP/1.0\r\n\r\n".into()] {
        assert_eq!(forward_as(&context(&fields), &input), forward(&input));
    }
}

#[test]
fn empty_line_in_front_counts_as_part_of_the_head() {
    let (plan, text) = forward(&format!("\r\n{}", get(""))).unwrap();
    assert_eq!(plan.head_len, get("").len() + 2);
    assert!(text.starts_with("GET / HTTP/1.1\r\nHost: h\r\n"));
}

#[test]
fn old_clients_get_a_host_and_their_version_in_via() {
    let (plan, text) = forward("GET / HTTP/1.0\r\nA: b\r\n\r\n").unwrap();
    assert_eq!((plan.version, plan.keep_alive), (Version::Http10, false));
    let expected = tail("10.0.0.1:8080").replace("Via: 1.1", "Via: 1.0");
    assert_eq!(text, format!("GET / HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nA: b\r\n{expected}"));
}

#[test]
fn keep_alive_follows_version_and_options() {
    for (version, lines, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, Close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
    ] {
        let (plan, text) = forward(&format!("GET / HTTP/{version}\r\nHost: h\r\n{lines}\r\n")).unwrap();
        assert_eq!(plan.keep_alive, keep_alive, "{version} {lines:?}");
        assert!(!text.contains("onnection:"), "{text}");
    }
}

#[test]
fn fields_of_one_hop_go_no_further() {
    let lines = "A: 1\r\nConnection: x-private, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Private: secret\r\n\
                 B: 2\r\nTE: gzip\r\nProxy-Connection: close\r\nUpgrade: websocket\r\nProxy: http://evil\r\n\
                 Trailer: X\r\nX-Forwarded-For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-Proto: https\r\n\
                 X-Forwarded-Port: 1\r\nX-Forwarded-Host: evil\r\nVia: 1.0 them\r\nC: 3\r\n";
    let (_, text) = forward(&get(lines)).unwrap();
    let expected =
        format!("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nVia: 1.0 them\r\nC: 3\r\n{}", tail("h"));
    assert_eq!(text, expected);
}

#[test]
fn trusted_proxy_is_appended_to() {
    let trusted = RequestContext { trust_forwarded: true, secure: true, ..context(&[]) };
    let lines = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nForwarded: for=1.1.1.1\r\n\
                 X-Forwarded-Proto: http\r\nX-Forwarded-Port: 81\r\n";
    let (_, text) = forward_as(&trusted, &get(lines)).unwrap();
    assert_eq!(
        text,
        "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 81\r\nVia: 1.1 us\r\n\
         X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7\r\n\
         Forwarded: for=1.1.1.1, for=192.0.2.7;proto=https;host=\"h\"\r\nX-Forwarded-Host: h\r\n\r\n"
    );
    let (_, text) = forward_as(&trusted, "GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(
        text,
        "GET / HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nVia: 1.0 us\r\nX-Forwarded-For: 192.0.2.7\r\n\
         Forwarded: for=192.0.2.7;proto=https;host=\"10.0.0.1:8080\"\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: 10.0.0.1:8080\r\n\r\n"
    );
}

#[test]
fn absolute_target_stands_above_host() {
    let (_, text) = forward("GET http://real:81/p?q HTTP/1.1\r\nHost: other\r\n\r\n").unwrap();
    assert_eq!(text, format!("GET /p?q HTTP/1.1\r\nHost: real:81\r\n{}", tail("real:81")));
    let (_, text) = forward("GET http://real?q HTTP/1.0\r\n\r\n").unwrap();
    assert!(text.starts_with("GET /?q HTTP/1.1\r\nHost: real\r\nVia: 1.0 us\r\n"), "{text}");
    let (_, text) = forward("OPTIONS http://real HTTP/1.1\r\nHost: \r\n\r\n").unwrap();
    assert!(text.starts_with("OPTIONS * HTTP/1.1\r\nHost: real\r\n"), "{text}");
}

#[test]
fn empty_host_is_a_host() {
    let (_, text) = forward("GET / HTTP/1.1\r\nHost:\r\n\r\n").unwrap();
    assert_eq!(text, format!("GET / HTTP/1.1\r\nHost: \r\n{}", tail("")));
}

#[test]
fn framing_is_written_in_one_way_only() {
    let post = |lines: &str| forward(&format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).unwrap();
    let head = "POST / HTTP/1.1\r\nHost: h\r\n";
    for (lines, framing, written) in [
        ("", Framing::None, ""),
        ("Content-Length: 0\r\n", Framing::Length(0), "Content-Length: 0\r\n"),
        ("content-length:17  \r\n", Framing::Length(17), "content-length: 17\r\n"),
        ("Content-Length: 0017\r\n", Framing::Length(17), "Content-Length: 17\r\n"),
        ("Content-Length: 00\r\n", Framing::Length(0), "Content-Length: 0\r\n"),
        (
            "Content-Length: 18446744073709551615\r\n",
            Framing::Length(u64::MAX),
            "Content-Length: 18446744073709551615\r\n",
        ),
        ("Transfer-Encoding:\t Chunked\r\n", Framing::Chunked, "Transfer-Encoding: chunked\r\n"),
        (
            "Transfer-Encoding: chunked\r\nTrailer: Sum\r\n",
            Framing::Chunked,
            "Trailer: Sum\r\nTransfer-Encoding: chunked\r\n",
        ),
    ] {
        let (plan, text) = post(lines);
        assert_eq!(plan.framing, framing, "{lines:?}");
        assert_eq!(text, format!("{head}{written}{}", tail("h")), "{lines:?}");
    }
}

#[test]
fn expectation_is_passed_on_where_a_body_waits() {
    let cases = [
        ("1.1", "Content-Length: 5\r\nExpect: 100-Continue\r\n", true),
        ("1.1", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", true),
        ("1.1", "Content-Length: 0\r\nExpect: 100-continue\r\n", false),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.0", "Content-Length: 5\r\nExpect: 100-continue\r\n", false),
        ("1.0", "Content-Length: 5\r\nExpect: magic\r\n", false),
    ];
    for (version, lines, expected) in cases {
        let (plan, text) = forward(&format!("POST / HTTP/{version}\r\nHost: h\r\n{lines}\r\n")).unwrap();
        assert_eq!(
            (plan.expect_continue, text.contains("Expect")),
            (expected, expected),
            "{version} {lines:?}"
        );
    }
    for lines in ["Expect: magic\r\n", "Expect: 100-continue\r\nExpect: 100-continue\r\n", "Expect:\r\n"] {
        assert_eq!(refused(&get(lines)), (417, RejectReason::Expectation), "{lines:?}");
    }
}

#[test]
fn upgrade_is_forwarded_only_when_it_is_one() {
    let real = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n";
    let (plan, text) = forward(&get(real)).unwrap();
    assert!(plan.upgrade);
    let expected =
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nConnection: upgrade\r\n";
    assert_eq!(text, format!("{expected}{}", tail("h")));
    for lines in [
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\n",
        "Connection: upgrade\r\nUpgrade:\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: H2C\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: a b\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let (plan, text) = forward(&get(lines)).unwrap();
        assert!(!plan.upgrade && !text.to_lowercase().contains("upgrade"), "{lines:?}: {text}");
    }
    let (plan, text) = forward(&format!("GET / HTTP/1.0\r\n{real}\r\n")).unwrap();
    assert!(!plan.upgrade && !text.contains("pgrade"));
}

#[test]
fn trailers_are_welcome_to_whom_they_were() {
    let (_, text) = forward(&get("TE: gzip, trailers\r\nConnection: TE\r\n")).unwrap();
    assert_eq!(text, format!("GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n{}", tail("h")));
    let (_, text) =
        forward(&get("TE: trailers\r\nConnection: TE, upgrade\r\nUpgrade: websocket\r\n")).unwrap();
    assert!(text.contains("TE: trailers\r\nConnection: upgrade, TE\r\n"), "{text}");
    let (_, text) = forward("GET / HTTP/1.0\r\nTE: trailers\r\n\r\n").unwrap();
    assert!(!text.contains("TE"), "{text}");
}

#[test]
fn connect_goes_to_its_authority() {
    let (plan, text) =
        forward("CONNECT db:5432 HTTP/1.1\r\nHost: other\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert!(plan.connect && plan.framing == Framing::None);
    assert_eq!(text, format!("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n{}", tail("db:5432")));
}

#[test]
fn max_forwards_counts_down_for_options_and_trace() {
    let with = |method: &str, value: &str| {
        forward(&format!("{method} / HTTP/1.1\r\nHost: h\r\nMax-Forwards: {value}\r\n\r\n"))
    };
    assert!(with("OPTIONS", "10").unwrap().1.contains("\r\nMax-Forwards: 9\r\n"));
    assert!(with("TRACE", "1").unwrap().1.contains("\r\nMax-Forwards: 0\r\n"));
    assert!(with("GET", "0").unwrap().1.contains("\r\nMax-Forwards: 0\r\n"));
    assert!(with("GET", "many").unwrap().1.contains("\r\nMax-Forwards: many\r\n"));
    assert_eq!(with("OPTIONS", "0").unwrap_err(), Reject { status: 200, reason: RejectReason::AnsweredHere });
    assert_eq!(with("TRACE", "0").unwrap_err(), Reject { status: 501, reason: RejectReason::AnsweredHere });
    assert_eq!(with("TRACE", "-1").unwrap_err().reason, RejectReason::MaxForwards);
    assert_eq!(with("OPTIONS", "1\r\nMax-Forwards: 1").unwrap_err().reason, RejectReason::MaxForwards);
}

/// One line per way to make two readers see different messages, and other bad input.
#[test]
fn ambiguity_is_refused() {
    use RejectReason::*;
    let chunked = "Transfer-Encoding: chunked\r\n";
    let table: &[(String, u16, RejectReason)] = &[
        // Two statements about the length.
        (get(&format!("Content-Length: 5\r\n{chunked}")), 400, LengthAndCoding),
        (get(&format!("{chunked}Content-Length: 5\r\n")), 400, LengthAndCoding),
        (get("Content-Length: 5\r\nContent-Length: 6\r\n"), 400, LengthRepeated),
        (get("Content-Length: 5\r\ncontent-length: 5\r\n"), 400, LengthRepeated),
        (get("Content-Length: 5, 5\r\n"), 400, LengthInvalid),
        (get(&format!("{chunked}{chunked}")), 400, CodingInvalid),
        // Lengths that are read differently.
        (get("Content-Length: +5\r\n"), 400, LengthInvalid),
        (get("Content-Length: -5\r\n"), 400, LengthInvalid),
        (get("Content-Length: 0x5\r\n"), 400, LengthInvalid),
        (get("Content-Length: 5 6\r\n"), 400, LengthInvalid),
        (get("Content-Length: 5.0\r\n"), 400, LengthInvalid),
        (get("Content-Length:\r\n"), 400, LengthInvalid),
        (get("Content-Length: 18446744073709551616\r\n"), 400, LengthInvalid),
        // Codings.
        (get("Transfer-Encoding: gzip, chunked\r\n"), 501, CodingUnsupported),
        (get("Transfer-Encoding: chunked, identity\r\n"), 400, CodingInvalid),
        (get("Transfer-Encoding: xchunked\r\n"), 400, CodingInvalid),
        (get("Transfer-Encoding: identity\r\n"), 400, CodingInvalid),
        (get("Transfer-Encoding: \"chunked\"\r\n"), 400, CodingInvalid),
        (get("Transfer-Encoding:\r\n"), 400, CodingInvalid),
        (get("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 400, CodingInvalid),
        (format!("POST / HTTP/1.0\r\nHost: h\r\n{chunked}\r\n"), 400, CodingOnHttp10),
        // Names in disguise.
        (get("Content_Length: 5\r\n"), 400, DisguisedField),
        (get("Transfer_Encoding: chunked\r\n"), 400, DisguisedField),
        (get("X_Forwarded_For: 1.1.1.1\r\n"), 400, DisguisedField),
        (get("Transfer-Encoding : chunked\r\n"), 400, Syntax),
        (get("Transfer-Encoding\t: chunked\r\n"), 400, Syntax),
        (get(" Transfer-Encoding: chunked\r\n"), 400, Syntax),
        (get("A: b\r\n Transfer-Encoding: chunked\r\n"), 400, Syntax),
        (get("A: b\r\n\tfolded\r\n"), 400, Syntax),
        (get(": b\r\n"), 400, Syntax),
        (get("A\r\n"), 400, Syntax),
        (get("A(: b\r\n"), 400, Syntax),
        (get("A\u{e9}: b\r\n"), 400, Syntax),
        // Characters.
        (get("A: b\nTransfer-Encoding: chunked\r\n"), 400, BareLineEnd),
        (get("A: b\rTransfer-Encoding: chunked\r\n"), 400, BareLineEnd),
        (get("A: b\0c\r\n"), 400, ControlCharacter),
        (get("A: b\u{b}c\r\n"), 400, ControlCharacter),
        (get("A: b\u{1f}c\r\n"), 400, Syntax),
        (get("A: b\u{7f}c\r\n"), 400, Syntax),
        ("GET / HTTP/1.1\nHost: h\n\n".into(), 400, BareLineEnd),
        ("\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, BareLineEnd),
        // Connection.
        (get("Connection: content-length\r\nContent-Length: 5\r\n"), 400, Connection),
        (get("Connection: close, host\r\n"), 400, Connection),
        (get("Connection: x y\r\n"), 400, Connection),
        (get(&format!("Connection: {}\r\n", "x,".repeat(17))), 400, Connection),
        // Hosts.
        ("GET / HTTP/1.1\r\n\r\n".into(), 400, HostMissing),
        (get("Host: h\r\n"), 400, HostRepeated),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n".into(), 400, HostRepeated),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(), 400, HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".into(), 400, HostInvalid),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n".into(), 400, HostInvalid),
        ("GET http://a/ HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), 400, HostInvalid),
        ("GET http://a/ HTTP/1.1\r\n\r\n".into(), 400, HostMissing),
        // Request lines.
        (" GET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Syntax),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Syntax),
        ("GET /  HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Syntax),
        ("GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Syntax),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n".into(), 400, Syntax),
        ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Syntax),
        ("GET /\r\n\r\n".into(), 400, Syntax),
        ("G@T / HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Syntax),
        ("GET / http/1.1\r\nHost: h\r\n\r\n".into(), 400, Syntax),
        ("GET / HTTP/1.10\r\nHost: h\r\n\r\n".into(), 400, Syntax),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n".into(), 505, Version),
        ("GET / HTTP/1.2\r\nHost: h\r\n\r\n".into(), 505, Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505, Version),
        // Targets.
        ("GET * HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Target),
        ("GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Target),
        ("CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Target),
        ("GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Target),
        ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Target),
        ("GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400, Target),
        // Content where there is none.
        ("TRACE / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n".into(), 400, BodyNotAllowed),
        (format!("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n{chunked}\r\n"), 400, BodyNotAllowed),
    ];
    for (input, status, reason) in table {
        assert_eq!(refused(input), (*status, *reason), "{input:?}");
    }
}

#[test]
fn limits_have_their_own_answers() {
    let limits = HeadLimits { head_bytes_max: 100, headers_max: 3, target_bytes_max: 20 };
    let reason = |input: &str| {
        let result = forward_request(input.as_bytes(), &context(&[]), &limits, &mut Vec::new());
        result.map(|plan| plan.is_some()).map_err(|reject| (reject.status, reject.reason))
    };
    assert_eq!(reason(&get("A: b\r\nB: c\r\n")), Ok(true));
    assert_eq!(reason(&get("A: b\r\nB: c\r\nC: d\r\n")), Err((431, RejectReason::TooManyHeaders)));
    assert_eq!(reason(&get(&format!("A: {}\r\n", "b".repeat(80)))), Err((431, RejectReason::HeadTooLarge)));
    let target = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(len - 1));
    assert_eq!(reason(&target(20)), Ok(true));
    assert_eq!(reason(&target(21)), Err((414, RejectReason::TargetTooLong)));
    assert_eq!(reason(&target(120)), Err((414, RejectReason::TargetTooLong)));
    assert_eq!(reason(&"G".repeat(99)), Ok(false));
    assert_eq!(reason(&"G".repeat(100)), Err((414, RejectReason::TargetTooLong)));
}

#[test]
fn ceiling_of_fields_holds_above_the_limit() {
    let limits = HeadLimits { headers_max: 100_000, ..HeadLimits::default() };
    let with = |count: usize| get(&"A: b\r\n".repeat(count - 1));
    let run = |input: &str| forward_request(input.as_bytes(), &context(&[]), &limits, &mut Vec::new());
    assert!(run(&with(128)).is_ok_and(|plan| plan.is_some()));
    assert_eq!(run(&with(129)).unwrap_err().reason, RejectReason::TooManyHeaders);
}

#[test]
fn pipelined_heads_are_taken_one_by_one_with_one_scan() {
    let limits = HeadLimits::default();
    let mut scan = HeadScan::new(&limits);
    let input = format!("{}{}", get("A: 1\r\n"), get("B: 2\r\n"));
    let mut rest = input.as_bytes();
    let mut out = Vec::new();
    for len in [get("A: 1\r\n").len(), get("B: 2\r\n").len()] {
        let plan =
            forward_request_resumed(&mut scan, rest, &context(&[]), &limits, &mut out).unwrap().unwrap();
        assert_eq!(plan.head_len, len);
        rest = &rest[plan.head_len..];
    }
    assert!(rest.is_empty());
    assert_eq!(String::from_utf8(out).unwrap().matches("Via: 1.1 us\r\n").count(), 2);
}
