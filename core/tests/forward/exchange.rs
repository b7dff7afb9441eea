//! One exchange after the other: keep-alive, pooling, pipelining, heads on their way.

use crate::backend::{Backend, serve};
use crate::front::{Front, config};
use crate::wire::{answer, assert_same, content, get, post};
use clustercore::counters::Counter;
use clustercore::io::DriverChoice;
use std::time::Duration;

crate::on_both_drivers!(
    a_client_is_kept_and_so_is_the_connection_behind,
    clients_share_kept_connections,
    a_kept_connection_that_talks_unasked_is_dropped,
    a_kept_connection_that_ends_is_forgotten,
    pipelined_requests_are_answered_in_order,
    pipelined_requests_before_a_half_close_are_answered,
    a_head_may_come_byte_by_byte,
    head_and_bodiless_statuses_have_no_body,
    interim_responses_pass,
    an_interim_response_is_kept_from_http_1_0,
    fields_of_one_hop_are_removed,
    the_way_is_told_in_fields,
    trusted_fields_are_extended,
    connection_close_is_honoured,
    http_1_0_ends_unless_it_asks,
    a_client_waits_for_100_continue,
    a_final_answer_instead_of_100_ends_the_connection,
);

fn a_client_is_kept_and_so_is_the_connection_behind(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    for _ in 0..50 {
        assert_eq!(client.get("/hello").body, b"one");
    }
    assert_eq!(front.counter(Counter::ClientsAccepted), 1);
    assert_eq!(front.counter(Counter::BackendConnects), 1);
    assert_eq!(front.counter(Counter::BackendReuses), 49);
    assert_eq!(front.counter(Counter::Responses2xx), 50);
    assert_eq!(backend.connections(), 1);
}

fn clients_share_kept_connections(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    for _ in 0..20 {
        let mut client = front.client();
        assert_eq!(client.get("/hello").status(), 200);
    }
    assert_eq!(backend.connections(), 1, "one after the other they need one");
    assert_eq!(front.counter(Counter::BackendReuses), 19);
}

fn a_kept_connection_that_talks_unasked_is_dropped(driver: DriverChoice) {
    // An answer before its question would be taken for the answer to the next one.
    let backend = Backend::new(|mut connection| {
        if connection.request().is_ok() {
            connection.wire.send(answer(b"asked for"));
            std::thread::sleep(Duration::from_millis(20));
            connection.wire.try_send(answer(b"poison"));
            let _ = connection.wire.rest();
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    for round in 1..=3 {
        assert_eq!(client.get("/").body, b"asked for");
        front.until("the connection is dropped", |front| {
            front.run(|shard, _| clustercore::io::Driver::streams_open(shard.driver())) == 1
        });
        assert_eq!(front.counter(Counter::BackendConnects), round);
    }
}

fn a_kept_connection_that_ends_is_forgotten(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        if connection.request().is_ok() {
            connection.wire.send(answer(b"only one"));
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    for _ in 0..5 {
        client.send(post("/", b"not idempotent"));
        assert_eq!(client.response().body, b"only one");
        front.until("the end is noticed", |front| {
            front.run(|shard, _| clustercore::io::Driver::streams_open(shard.driver())) == 1
        });
    }
    assert_eq!(front.counter(Counter::BackendConnects), 5);
    assert_eq!(front.counter(Counter::BackendFailures), 0);
}

fn pipelined_requests_are_answered_in_order(driver: DriverChoice) {
    let (first, second) = (Backend::plain("first"), Backend::plain("second"));
    let front = Front::new(driver, config(), &[&first, &second]);
    let mut client = front.client();
    let sizes = [0usize, 1, 100, 5000, 70_000, 3, 300_000, 0, 17_000];
    let mut out = Vec::new();
    for round in 0..4 {
        for size in sizes {
            let kind = if (round + size) % 2 == 0 { "length" } else { "chunked" };
            out.extend_from_slice(get(&format!("/{kind}/{size}")).as_bytes());
            out.extend_from_slice(&post("/echo", &content(round as u64, size.min(3000))));
        }
    }
    client.send(out);
    for round in 0..4u64 {
        for size in sizes {
            assert_same(&client.response().body, &content(size as u64, size));
            assert_same(&client.response().body, &content(round, size.min(3000)));
        }
    }
    assert!(client.is_silent_for(Duration::from_millis(20)), "nothing that nobody asked for");
}

fn pipelined_requests_before_a_half_close_are_answered(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    client.send(get("/length/5") + &get("/length/60000") + &get("/length/7"));
    client.finish_sending();
    for size in [5, 60_000, 7] {
        assert_same(&client.response().body, &content(size, size as usize));
    }
    client.expect_end();
}

fn a_head_may_come_byte_by_byte(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    for byte in get("/hello").bytes() {
        client.send([byte]);
        std::thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(client.response().body, b"one");
    assert!(front.counter(Counter::CopiedPieces) > 0);
}

fn head_and_bodiless_statuses_have_no_body(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        while let Ok(request) = connection.request() {
            let status = request.first().split('/').nth(1).and_then(|rest| rest.get(..3)).unwrap_or("200");
            let length = if status == "204" { "" } else { "Content-Length: 5\r\n" };
            connection.wire.send(format!("HTTP/1.1 {status} Yes\r\n{length}ETag: \"x\"\r\n\r\n"));
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    for _ in 0..3 {
        client.send("HEAD /200 HTTP/1.1\r\nHost: test\r\n\r\n");
        let head = client.response_to("HEAD").expect("a whole head");
        assert_eq!((head.status(), head.field("content-length")), (200, Some("5")));
        let not_modified = client.get("/304");
        assert_eq!((not_modified.status(), not_modified.field("content-length")), (304, Some("5")));
        assert_eq!(client.get("/204").status(), 204);
    }
    assert_eq!(backend.connections(), 1);
}

fn interim_responses_pass(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        while connection.request().is_ok() {
            connection.wire.send("HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n\r\n");
            std::thread::sleep(Duration::from_millis(5));
            let mut out = b"HTTP/1.1 103 Early Hints\r\nLink: </script>\r\n\r\n".to_vec();
            out.extend_from_slice(&answer(b"final"));
            connection.wire.send(out);
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    for _ in 0..2 {
        let first = client.get("/");
        assert_eq!((first.status(), first.field("link")), (103, Some("</style>")));
        let second = client.response();
        assert_eq!((second.status(), second.field("link")), (103, Some("</script>")));
        assert_eq!(client.response().body, b"final");
    }
    assert_eq!(front.counter(Counter::Responses1xx), 4);
}

fn an_interim_response_is_kept_from_http_1_0(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        while connection.request().is_ok() {
            let mut out = b"HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n\r\n".to_vec();
            out.extend_from_slice(&answer(b"final"));
            connection.wire.send(out);
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().body, b"final");
    client.expect_end();
}

fn fields_of_one_hop_are_removed(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        while connection.request().is_ok() {
            connection.wire.send(
                "HTTP/1.1 200 OK\r\nConnection: X-Secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n\
                 Proxy-Connection: x\r\nX-Kept: yes\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: test\r\nConnection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: x\r\nTE: gzip\r\nProxy: evil\r\nX-Kept: yes\r\n\r\n",
    );
    let response = client.response();
    let request = backend.last();
    for name in ["connection", "x-mine", "keep-alive", "proxy-connection", "te", "proxy"] {
        assert_eq!(request.field(name), None, "{name} in the request");
    }
    for name in ["connection", "x-secret", "keep-alive", "proxy-connection"] {
        assert_eq!(response.field(name), None, "{name} in the response");
    }
    assert_eq!((request.field("x-kept"), response.field("x-kept")), (Some("yes"), Some("yes")));
}

fn the_way_is_told_in_fields(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: test.example\r\nForwarded: for=evil\r\nX-Forwarded-For: 6.6.6.6\r\n\
         Via: 1.1 earlier\r\n\r\n",
    );
    let response = client.response();
    let request = backend.last();
    assert_eq!(request.fields("x-forwarded-for"), ["127.0.0.1"], "what a client says of itself is dropped");
    assert_eq!(request.fields("x-forwarded-proto"), ["http"]);
    assert_eq!(request.fields("x-forwarded-host"), ["test.example"]);
    assert_eq!(request.fields("host"), ["test.example"]);
    let forwarded = request.fields("forwarded").join(", ");
    assert!(forwarded.contains("for=127.0.0.1") && !forwarded.contains("evil"), "{forwarded}");
    let via = request.fields("via").join(", ");
    assert!(via.starts_with("1.1 earlier") && via.ends_with("1.1 clustercore"), "{via}");
    assert_eq!(response.fields("via"), ["1.1 clustercore"]);
}

fn trusted_fields_are_extended(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let settings = clustercore::forward::ForwarderConfig { trust_forwarded: true, ..config() };
    let front = Front::new(driver, settings, &[&backend]);
    let mut client = front.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=10.1.1.1\r\nX-Forwarded-For: 10.1.1.1\r\n\r\n");
    client.response();
    let request = backend.last();
    assert_eq!(request.fields("x-forwarded-for"), ["10.1.1.1, 127.0.0.1"]);
    let forwarded = request.fields("forwarded").join(", ");
    assert!(forwarded.starts_with("for=10.1.1.1, ") && forwarded.contains("for=127.0.0.1"), "{forwarded}");
}

fn connection_close_is_honoured(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    client.send("GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let response = client.response();
    assert_eq!((response.field("connection"), &response.body[..]), (Some("close"), &b"one"[..]));
    client.expect_end();
    assert_eq!(front.client().get("/hello").status(), 200);
    assert_eq!(backend.connections(), 1, "the connection behind is kept all the same");
}

fn http_1_0_ends_unless_it_asks(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let mut short = front.client();
    short.send("GET /hello HTTP/1.0\r\n\r\n");
    assert_eq!(short.response().body, b"one");
    short.expect_end();
    assert_eq!(backend.last().field("host"), Some(front.address.to_string().as_str()));
    let mut long = front.client();
    for _ in 0..3 {
        long.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = long.response();
        assert_eq!((response.field("connection"), &response.body[..]), (Some("keep-alive"), &b"one"[..]));
    }
}

fn a_client_waits_for_100_continue(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        while let Ok(head) = connection.wire.head() {
            assert_eq!(head.field("expect"), Some("100-continue"));
            connection.wire.send("HTTP/1.1 100 Continue\r\n\r\n");
            let body = connection.wire.bytes(100_000).expect("the body follows");
            connection.wire.send(answer(&body));
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    let body = content(1, 100_000);
    for _ in 0..3 {
        client
            .send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n");
        assert_eq!(client.response().status(), 100);
        client.send(&body);
        assert_same(&client.response().body, &body);
    }
}

fn a_final_answer_instead_of_100_ends_the_connection(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        let head = connection.wire.head().expect("a head");
        if head.field("expect").is_some() {
            connection.wire.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
            assert_eq!(connection.wire.rest().0, b"", "the body never comes");
        } else {
            connection.wire.send(answer(b"fine"));
            serve(connection, "one");
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status(), &response.body[..]), (403, &b"no"[..]));
    // Whether the body follows is the client's choice, so the next head cannot be found: nothing more on this connection, and it is said.
    assert_eq!(response.field("connection"), Some("close"));
    client.expect_end();
    assert_eq!(front.client().get("/").body, b"fine");
}
