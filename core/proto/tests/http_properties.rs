//! What holds for every head: cut anywhere it gives the same, what is forwarded is canonical, nothing panics.

use clustercore_proto::forward::http::Framing;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

#[path = "../../../tests/fuzz/src/heads.rs"]
mod heads;

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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn requests_are_canonical_and_the_same_however_cut(input in heads(REQUEST_LINES), trust: bool) {
        let _ = heads::check_request(&input, trust);
    }

    #[test]
    fn responses_are_canonical_and_the_same_however_cut(input in heads(STATUS_LINES), choice in 0u8..32) {
        let _ = heads::check_response(&input, &heads::request_plan(choice));
    }

    #[test]
    fn random_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..200), choice: u8) {
        let _ = heads::check_request(&input, true);
        let _ = heads::check_response(&input, &heads::request_plan(choice));
    }
}

/// The properties would say nothing if hardly a generated head were forwarded.
#[test]
fn generated_heads_are_forwarded_often_enough() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut requests, mut responses, mut chunked) = (0, 0, 0);
    for _ in 0..1000 {
        let input = heads(REQUEST_LINES).new_tree(&mut runner).unwrap().current();
        if let Ok(Some(plan)) = heads::check_request(&input, false) {
            requests += 1;
            chunked += u32::from(plan.framing == Framing::Chunked);
        }
        let input = heads(STATUS_LINES).new_tree(&mut runner).unwrap().current();
        responses +=
            u32::from(matches!(heads::check_response(&input, &heads::request_plan(24)), Ok(Some(_))));
    }
    assert!(requests > 100 && responses > 100 && chunked > 10, "{requests} {responses} {chunked}");
}
