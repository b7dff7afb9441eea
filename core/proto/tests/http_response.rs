//! Response heads: framing by request and status, what the client sees, and what becomes a 502.

use clustercore_proto::forward::http::{
    BadResponse, Framing, HeadLimits, Method, RequestPlan, ResponsePlan, Version, forward_response,
};

const GET: RequestPlan = RequestPlan {
    head_len: 0,
    method: Method::Get,
    version: Version::Http11,
    framing: Framing::None,
    keep_alive: true,
    expect_continue: false,
    upgrade: false,
    connect: false,
};
const HEAD: RequestPlan = RequestPlan { method: Method::Head, ..GET };
const OLD: RequestPlan = RequestPlan { version: Version::Http10, keep_alive: false, ..GET };
const OLD_KEPT: RequestPlan = RequestPlan { keep_alive: true, ..OLD };
const UPGRADE: RequestPlan = RequestPlan { upgrade: true, ..GET };
const CONNECT: RequestPlan = RequestPlan { method: Method::Connect, connect: true, ..GET };

fn forward(request: &RequestPlan, input: &str) -> Result<(ResponsePlan, String), BadResponse> {
    forward_keeping(request, true, input)
}

fn forward_keeping(
    request: &RequestPlan,
    keep_client: bool,
    input: &str,
) -> Result<(ResponsePlan, String), BadResponse> {
    let mut out = b"before".to_vec();
    let plan =
        forward_response(input.as_bytes(), request, "us", keep_client, &HeadLimits::default(), &mut out);
    if !matches!(plan, Ok(Some(_))) {
        assert_eq!(out, b"before", "nothing is written unless a head is forwarded");
    }
    let text = String::from_utf8(out).unwrap().split_off("before".len());
    plan.map(|plan| (plan.expect("the head is whole"), text))
}

fn ok(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n")
}

#[test]
fn plain_answer_is_passed_on() {
    let input = ok("Server: x\r\nContent-Length: 5\r\nDate: d\r\n");
    let (plan, text) = forward(&GET, &(input.clone() + "hello")).unwrap();
    assert_eq!(text, "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\nDate: d\r\nVia: 1.1 us\r\n\r\n");
    assert_eq!(
        plan,
        ResponsePlan {
            head_len: input.len(),
            status: 200,
            framing: Framing::Length(5),
            backend_keep_alive: true,
            interim: false,
            tunnel: false,
            close_client: false,
            dechunk: false,
        }
    );
}

#[test]
fn fields_of_one_hop_go_no_further() {
    let lines = "A: 1\r\nConnection: keep-alive, X-Private\r\nX-Private: s\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n\
                 Proxy-Connection: close\r\nContent-Length: 05\r\nTE: x\r\nVia: 1.1 them\r\nTrailer: B\r\n";
    let (plan, text) = forward(&GET, &ok(lines)).unwrap();
    assert_eq!(text, "HTTP/1.1 200 OK\r\nA: 1\r\nVia: 1.1 them\r\nContent-Length: 5\r\nVia: 1.1 us\r\n\r\n");
    assert!(plan.backend_keep_alive);
}

#[test]
fn status_line_is_ours_and_the_phrase_theirs() {
    for (line, written) in [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.0 404 Not  Found\t!", "HTTP/1.1 404 Not  Found\t!"),
        ("HTTP/1.1 599 \u{e9}t\u{e9}", "HTTP/1.1 599 \u{e9}t\u{e9}"),
        ("HTTP/1.1 200 ", "HTTP/1.1 200 "),
        ("HTTP/1.1 200", "HTTP/1.1 200 "),
    ] {
        let (_, text) = forward(&GET, &format!("{line}\r\nContent-Length: 0\r\n\r\n")).unwrap();
        assert_eq!(text.split("\r\n").next().unwrap(), written);
    }
    let (_, text) = forward(&GET, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert!(text.ends_with("Via: 1.0 us\r\n\r\n"));
}

/// Request, response, then: framing, back end kept, client closed, data only; last what the head must say.
#[test]
fn framing_follows_request_status_and_fields() {
    use Framing::{Chunked, Length, None, UntilClose};
    type Row<'a> = (&'a RequestPlan, &'a str, Framing, bool, bool, bool, &'a str);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let table: &[Row<'_>] = &[
        (&GET, "1.1 200 OK\r\nContent-Length: 0\r\n", Length(0), true, false, false, "Content-Length: 0\r\n"),
        (&GET, "1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", Chunked, true, false, false, chunked),
        (
            &GET,
            "1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\nTrailer: A\r\n",
            Chunked,
            true,
            false,
            false,
            "Trailer: A\r\n",
        ),
        (&GET, "1.1 200 OK\r\n", UntilClose, false, true, false, "Connection: close\r\n"),
        (
            &GET,
            "1.0 200 OK\r\nContent-Length: 5\r\n",
            Length(5),
            false,
            false,
            false,
            "Content-Length: 5\r\n",
        ),
        (
            &GET,
            "1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n",
            Length(5),
            true,
            false,
            false,
            "",
        ),
        (
            &GET,
            "1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n",
            Length(5),
            false,
            false,
            false,
            "",
        ),
        (
            &OLD,
            "1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n",
            Chunked,
            true,
            true,
            true,
            "Connection: close\r\n",
        ),
        (
            &OLD_KEPT,
            "1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
            Chunked,
            true,
            true,
            true,
            "Connection: close\r\n",
        ),
        (&OLD, "1.1 200 OK\r\nContent-Length: 5\r\n", Length(5), true, true, false, "Connection: close\r\n"),
        (
            &OLD_KEPT,
            "1.1 200 OK\r\nContent-Length: 5\r\n",
            Length(5),
            true,
            false,
            false,
            "Connection: keep-alive\r\n",
        ),
        (&HEAD, "1.1 200 OK\r\nContent-Length: 5\r\n", None, true, false, false, "Content-Length: 5\r\n"),
        (&HEAD, "1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", None, true, false, false, ""),
        (&HEAD, "1.1 200 OK\r\n", None, true, false, false, ""),
        (
            &GET,
            "1.1 304 Not Modified\r\nContent-Length: 5\r\n",
            None,
            true,
            false,
            false,
            "Content-Length: 5\r\n",
        ),
        (&GET, "1.1 204 No Content\r\n", None, true, false, false, ""),
        (&GET, "1.1 204 No Content\r\nContent-Length: 0\r\n", None, true, false, false, ""),
        (&GET, "1.1 204 No Content\r\nContent-Length: 5\r\n", None, false, false, false, ""),
        (&GET, "1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n", None, false, false, false, ""),
        (
            &CONNECT,
            "1.1 407 Who\r\nContent-Length: 5\r\n",
            Length(5),
            true,
            false,
            false,
            "Content-Length: 5\r\n",
        ),
        (
            &UPGRADE,
            "1.1 200 OK\r\nContent-Length: 5\r\n",
            Length(5),
            true,
            false,
            false,
            "Content-Length: 5\r\n",
        ),
    ];
    for (request, head, framing, kept, closed, dechunk, says) in table {
        let (plan, text) = forward(request, &format!("HTTP/{head}\r\n")).unwrap();
        assert_eq!(
            (
                plan.framing,
                plan.backend_keep_alive,
                plan.close_client,
                plan.dechunk,
                plan.tunnel,
                plan.interim
            ),
            (*framing, *kept, *closed, *dechunk, false, false),
            "{head:?}"
        );
        assert!(text.contains(says), "{head:?}: {text:?}");
        assert_eq!(text.contains("Connection: close"), *closed, "{head:?}: {text:?}");
        let chunked_to_client = *framing == Chunked && !dechunk;
        assert_eq!(text.contains("Transfer-Encoding: chunked"), chunked_to_client, "{head:?}: {text:?}");
        if plan.status == 204 || *dechunk {
            assert!(!text.contains("Content-Length") && !text.contains("Trailer"), "{text:?}");
        }
    }
}

#[test]
fn draining_closes_after_the_answer() {
    let (plan, text) = forward_keeping(&GET, false, &ok("Content-Length: 5\r\n")).unwrap();
    assert!(plan.close_client && plan.backend_keep_alive);
    assert!(text.contains("\r\nConnection: close\r\n"));
}

#[test]
fn interim_answers_reach_new_clients_only() {
    for status in [100, 102, 103] {
        let input = format!("HTTP/1.1 {status} Wait\r\nLink: x\r\nConnection: close\r\n\r\n");
        let (plan, text) = forward(&GET, &input).unwrap();
        assert_eq!(text, format!("HTTP/1.1 {status} Wait\r\nLink: x\r\nVia: 1.1 us\r\n\r\n"));
        assert!(plan.interim && plan.backend_keep_alive && !plan.close_client);
        assert_eq!((plan.framing, plan.head_len), (Framing::None, input.len()));
        let (plan, text) = forward(&OLD, &input).unwrap();
        assert!(plan.interim && text.is_empty());
    }
}

#[test]
fn upgrade_needs_both_sides() {
    let input =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nKey: x\r\n\r\n";
    let (plan, text) = forward(&UPGRADE, input).unwrap();
    assert_eq!(
        text,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nKey: x\r\nConnection: upgrade\r\nVia: 1.1 us\r\n\r\n"
    );
    assert!(plan.tunnel && !plan.interim && !plan.backend_keep_alive && plan.framing == Framing::None);
    assert_eq!(forward(&GET, input).unwrap_err(), BadResponse::UnexpectedUpgrade);
    for input in [
        "HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.0 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ] {
        assert_eq!(forward(&UPGRADE, input).unwrap_err(), BadResponse::UnexpectedUpgrade, "{input:?}");
    }
}

#[test]
fn connect_opens_a_tunnel_whatever_the_length_says() {
    let (plan, text) = forward(&CONNECT, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\n").unwrap();
    assert_eq!(text, "HTTP/1.1 200 OK\r\nA: b\r\nVia: 1.1 us\r\n\r\n");
    assert!(plan.tunnel && plan.framing == Framing::None && !plan.backend_keep_alive);
}

#[test]
fn upgrade_required_says_to_what() {
    let input = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n";
    let (_, text) = forward(&GET, input).unwrap();
    assert!(text.contains("\r\nUpgrade: websocket\r\n") && text.contains("\r\nConnection: upgrade\r\n"));
    let (_, text) = forward_keeping(&GET, false, input).unwrap();
    assert!(text.contains("\r\nConnection: close, upgrade\r\n"));
}

#[test]
fn garbage_is_never_passed_on() {
    use BadResponse::*;
    let chunked = "Transfer-Encoding: chunked\r\n";
    let table = [
        (ok(&format!("Content-Length: 5\r\n{chunked}")), LengthAndCoding),
        (ok(&format!("{chunked}Content-Length: 5\r\n")), LengthAndCoding),
        (ok("Content-Length: 5\r\nContent-Length: 5\r\n"), LengthRepeated),
        (ok("Content-Length: 5, 5\r\n"), LengthInvalid),
        (ok("Content-Length: -1\r\n"), LengthInvalid),
        (ok("Content-Length: 99999999999999999999\r\n"), LengthInvalid),
        (ok("Transfer-Encoding: gzip, chunked\r\n"), CodingUnsupported),
        (ok("Transfer-Encoding: identity\r\n"), CodingUnsupported),
        (ok(&format!("{chunked}{chunked}")), CodingUnsupported),
        (format!("HTTP/1.0 200 OK\r\n{chunked}\r\n"), CodingOnHttp10),
        (ok("A: b\r\n folded\r\n"), Syntax),
        (ok("A : b\r\n"), Syntax),
        (ok(" A: b\r\n"), Syntax),
        (ok("A: b\0\r\n"), Syntax),
        (ok("A: b\nB: c\r\n"), BareLineEnd),
        (ok("A: b\rB: c\r\n"), BareLineEnd),
        (ok("Connection: content-length\r\nContent-Length: 5\r\n"), Connection),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n".into(), Syntax),
        ("HTTP/2.0 200 OK\r\n\r\n".into(), Version),
        ("HTTP/1.1 20 OK\r\n\r\n".into(), Syntax),
        ("HTTP/1.1 2000 OK\r\n\r\n".into(), Syntax),
        ("HTTP/1.1 099 OK\r\n\r\n".into(), Status),
        ("HTTP/1.1  200 OK\r\n\r\n".into(), Syntax),
        ("ICY 200 OK\r\n\r\n".into(), Syntax),
        ("hello\r\n\r\n".into(), Syntax),
        ("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n".into(), InterimWithBody),
        (format!("HTTP/1.1 103 Hints\r\n{chunked}\r\n"), InterimWithBody),
    ];
    for (input, error) in table {
        assert_eq!(forward(&GET, &input), Err(error), "{input:?}");
    }
}

#[test]
fn limits_hold() {
    let limits = HeadLimits { head_bytes_max: 60, headers_max: 2, target_bytes_max: 1 };
    let run = |input: &str| forward_response(input.as_bytes(), &GET, "us", true, &limits, &mut Vec::new());
    assert!(run(&ok("A: b\r\nB: c\r\n")).is_ok_and(|plan| plan.is_some()));
    assert_eq!(run(&ok("A: b\r\nB: c\r\nC: d\r\n")), Err(BadResponse::TooManyHeaders));
    assert_eq!(run(&ok(&format!("A: {}\r\n", "b".repeat(60)))), Err(BadResponse::HeadTooLarge));
    assert_eq!(run(&"H".repeat(60)), Err(BadResponse::HeadTooLarge));
}
