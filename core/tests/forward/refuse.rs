//! What is refused, and how: ambiguous framing, heads above their limits, clients that are too slow.

use crate::backend::Backend;
use crate::front::{Front, config};
use crate::wire::{Cut, content, get};
use clustercore::counters::Counter;
use clustercore::forward::ForwarderConfig;
use clustercore::io::DriverChoice;
use std::time::Duration;

crate::on_both_drivers!(
    ambiguous_framing_is_refused_and_nothing_gets_through,
    a_broken_chunk_cuts_the_request_off,
    a_broken_chunk_after_the_response_has_begun_resets,
    heads_above_their_limits_are_refused,
    expectations_and_versions_are_refused,
    a_slow_head_gets_408,
    a_slow_body_gets_408,
    an_idle_client_is_closed,
    an_end_within_a_head_is_no_request,
    an_end_within_a_queued_request_lets_the_back_end_alone,
);

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";

fn ambiguous_framing_is_refused_and_nothing_gets_through(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let bad: [(&str, &str); 18] = [
        ("both lengths", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        ("the same length twice", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ("a list of lengths", "Content-Length: 5, 5\r\n\r\nhello"),
        ("a signed length", "Content-Length: +5\r\n\r\nhello"),
        ("a negative length", "Content-Length: -1\r\n\r\n"),
        ("an endless length", "Content-Length: 18446744073709551616\r\n\r\n"),
        ("a hexadecimal length", "Content-Length: 0x5\r\n\r\nhello"),
        ("a space before the colon", "Content-Length : 5\r\n\r\nhello"),
        ("a folded line", "X: a\r\n b\r\n\r\n"),
        ("a bare line feed", "X: a\nContent-Length: 5\r\n\r\nhello"),
        ("a bare carriage return", "X: a\rContent-Length: 5\r\n\r\nhello"),
        ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("chunked and something", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("a hidden coding", "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
        ("the underscore twin", "Content_Length: 5\r\n\r\nhello"),
        (
            "a connection field that takes the length away",
            "Connection: content-length\r\nContent-Length: 5\r\n\r\nhello",
        ),
        ("a nul", "X: a\0b\r\n\r\n"),
    ];
    for (what, tail) in bad {
        let mut client = front.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{tail}{SMUGGLED}"));
        let response = client.response();
        assert_eq!((response.status(), response.field("connection")), (400, Some("close")), "{what}");
        assert_eq!(client.rest().0, b"", "{what}: nothing after the refusal");
    }
    for (what, head) in [
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("HTTP/0.9", "GET /\r\n\r\n"),
        ("a space in front", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a body with CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\nx"),
    ] {
        let mut client = front.client();
        client.send(format!("{head}{SMUGGLED}"));
        assert_eq!(client.response().status(), 400, "{what}");
        assert_eq!(client.rest().0, b"", "{what}: nothing after the refusal");
    }
    assert_eq!(backend.connections(), 0, "no byte of it has reached a back end");
    assert_eq!(front.counter(Counter::RequestsRefused), 24);
}

fn a_broken_chunk_cuts_the_request_off(driver: DriverChoice) {
    for bad in ["zz\r\n", "fffffffffffffffff\r\n", "5\nhello", "3\r\nhello\r\n", "-1\r\n", "0x5\r\nhello\r\n"]
    {
        let backend = Backend::new(|mut connection| {
            let _ = connection.wire.head();
            let (body, _) = connection.wire.rest();
            assert!(!body.ends_with(b"0\r\n\r\n"), "it must not look whole");
        });
        let front = Front::new(driver, config(), &[&backend]);
        let mut client = front.client();
        client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n");
        front.until("the good part is through", |front| front.counter(Counter::BytesToBackend) > 0);
        client.send(format!("{bad}{SMUGGLED}"));
        assert_eq!(client.response().status(), 400, "{bad:?}");
        assert_eq!(client.rest().0, b"");
        assert_eq!(front.counter(Counter::Requests), 1, "{bad:?}: the next head was not looked for");
        assert_eq!(front.counter(Counter::BackendFailures), 0, "{bad:?}: the back end is not to blame");
    }
}

fn a_broken_chunk_after_the_response_has_begun_resets(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        let _ = connection.wire.head();
        connection.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun");
        let _ = connection.wire.rest();
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n");
    assert_eq!(client.head().expect("a response begins").status(), 200);
    assert_eq!(client.bytes(5).expect("and goes on"), b"begun");
    client.send("zz\r\n");
    assert_eq!(client.rest(), (Vec::new(), Cut::Reset), "no 400 within another response");
}

fn heads_above_their_limits_are_refused(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let limits = config().limits;
    let long = "a".repeat(limits.target_bytes_max);
    let cases = [
        (414, get(&format!("/{long}"))),
        (414, get(&format!("/{}", "a".repeat(limits.head_bytes_max)))),
        (431, format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "a".repeat(limits.head_bytes_max))),
        (431, format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", "X: a\r\n".repeat(limits.headers_max))),
    ];
    for (status, request) in &cases {
        let mut client = front.client();
        client.send(request);
        assert_eq!(client.response().status(), *status);
        client.expect_end();
    }
    let mut client = front.client();
    assert_eq!(client.get(&format!("/{}", &long[1..])).status(), 200, "at the limit it passes");
    let fields = "X: a\r\n".repeat(limits.headers_max - 1);
    client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    assert_eq!(client.response().status(), 200);
    assert_eq!(front.counter(Counter::RequestsRefused), cases.len() as u64);
}

fn expectations_and_versions_are_refused(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    for (status, request) in [
        (417, "POST / HTTP/1.1\r\nHost: test\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\nx"),
        (505, "GET / HTTP/2.0\r\nHost: test\r\n\r\n"),
        (501, "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ] {
        let mut client = front.client();
        client.send(request);
        assert_eq!(client.response().status(), status);
        client.expect_end();
    }
    assert_eq!(backend.connections(), 0);
}

fn a_slow_head_gets_408(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let settings = ForwarderConfig { head_timeout: Duration::from_millis(150), ..config() };
    let front = Front::new(driver, settings, &[&backend]);
    let mut slow = front.client();
    // Each byte is in time, the head is not.
    slow.send("GET / HTTP/1.1\r\nHost: te");
    for _ in 0..20 {
        if !slow.is_silent_for(Duration::from_millis(20)) {
            break;
        }
        slow.try_send("s");
    }
    assert_eq!(slow.response().status(), 408);
    assert_eq!(front.counter(Counter::Answered408), 1);
    assert_eq!(backend.connections(), 0);
}

fn a_slow_body_gets_408(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let settings = ForwarderConfig { body_timeout: Duration::from_millis(150), ..config() };
    let front = Front::new(driver, settings, &[&backend]);
    for (sent, len) in [(5, 10), (5, 10_000_000), (100_000, 10_000_000)] {
        let mut slow = front.client();
        slow.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {len}\r\n\r\n"));
        slow.send(content(1, sent));
        let response = slow.response();
        assert_eq!(
            (response.status(), response.field("connection")),
            (408, Some("close")),
            "{sent} of {len}"
        );
        slow.expect_end();
    }
    assert_eq!(front.counter(Counter::BackendFailures), 0, "the back end is not to blame");
}

fn an_idle_client_is_closed(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let settings = ForwarderConfig { idle_timeout: Duration::from_millis(100), ..config() };
    let front = Front::new(driver, settings, &[&backend]);
    front.client().expect_end();
    let mut client = front.client();
    assert_eq!(client.get("/").status(), 200);
    client.expect_end();
    assert_eq!(front.counter(Counter::IdleTimeouts), 2);
}

fn an_end_within_a_head_is_no_request(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    client.send("GET / HTTP/1.1\r\nHost: te");
    client.finish_sending();
    client.expect_end();
    let mut client = front.client();
    client.send("GET / HTTP/1.1\r\n");
    client.reset();
    front.until_counter(Counter::ClientsOpen, 0);
    assert_eq!(backend.connections(), 0);
}

fn an_end_within_a_queued_request_lets_the_back_end_alone(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[]);
    let key =
        front.add(clustercore::forward::BackendConfig { in_flight_max: 0, ..crate::front::child(&backend) });
    for body in ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let mut client = front.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{body}"));
        front.until_counter(Counter::QueueLength, 1);
        client.finish_sending();
        std::thread::sleep(Duration::from_millis(20));
        front.add(crate::front::child(&backend));
        // Whatever it was given, the back end saw no whole request, and nothing waits for the client.
        front.until_counter(Counter::ClientsOpen, 0);
        assert!(backend.requests().is_empty());
        let last = *front.keys().last().expect("just added");
        assert_ne!(last, key);
        front.run(move |shard, web| shard.remove_backend(web, last)).expect("it is there");
    }
}
