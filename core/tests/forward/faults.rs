//! Back ends that are dead, die, freeze or talk nonsense at each point of an exchange.

use crate::backend::{Backend, serve};
use crate::front::{Front, config};
use crate::wire::{Cut, answer, assert_same, content, get, post};
use clustercore::counters::Counter;
use clustercore::forward::{BackendConfig, ForwarderConfig};
use clustercore::io::DriverChoice;
use clustercore::proto::policy::{Policy, RouterConfig};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

crate::on_both_drivers!(
    a_refused_connection_is_tried_elsewhere,
    nobody_listens_anywhere,
    a_get_is_tried_again_when_its_back_end_resets,
    a_post_is_not_sent_twice,
    a_put_whose_body_has_left_is_not_sent_again,
    death_within_the_head,
    death_within_the_body_resets_the_client,
    death_within_a_body_until_close_resets_the_client,
    nonsense_gets_502,
    a_frozen_back_end_gets_504,
    a_frozen_back_end_that_owes_a_100_gets_504,
    a_response_that_stalls_is_cut,
    a_kept_connection_that_died_costs_nobody_a_get,
    a_back_end_that_restarts_is_used_again,
);

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address")
}

/// Each in its turn, so that a test knows who is asked first.
fn in_turn() -> ForwarderConfig {
    ForwarderConfig { router: RouterConfig { policy: Policy::RoundRobin, ..Default::default() }, ..config() }
}

/// Reads a request, then ends with a reset.
fn dying(says: &'static [u8]) -> Backend {
    Backend::new(move |mut connection| {
        if connection.request().is_ok() {
            connection.wire.try_send(says);
            // What was said arrives before the reset.
            std::thread::sleep(Duration::from_millis(if says.is_empty() { 0 } else { 30 }));
            connection.wire.reset();
        }
    })
}

fn a_refused_connection_is_tried_elsewhere(driver: DriverChoice) {
    let good = Backend::plain("good");
    let front = Front::new(driver, in_turn(), &[]);
    front.add(BackendConfig { cores: 1000, ..BackendConfig::new(nobody()) });
    front.add(crate::front::child(&good));
    let mut client = front.client();
    for round in 0..4u8 {
        // Nothing was sent, so whatever the method.
        client.send(post("/echo", &[round]));
        assert_eq!(client.response().body, [round]);
    }
    assert_eq!(front.counter(Counter::Retries), front.counter(Counter::BackendConnectsFailed));
    assert!(front.counter(Counter::Retries) >= 1);
}

fn nobody_listens_anywhere(driver: DriverChoice) {
    let front = Front::new(driver, in_turn(), &[]);
    let mut client = front.client();
    let response = client.get("/");
    assert_eq!((response.status(), response.field("retry-after")), (503, Some("1")), "an empty list");
    for _ in 0..2 {
        front.add(BackendConfig { cores: 1000, ..BackendConfig::new(nobody()) });
    }
    assert_eq!(client.get("/").status(), 502);
    client.send(post("/", b"x"));
    assert_eq!(client.response().status(), 502);
    assert_eq!(front.counter(Counter::Answered502), 2);
    assert_eq!(front.counter(Counter::BackendConnectsFailed), 6, "each was tried retries_max + 1 times");
}

fn a_get_is_tried_again_when_its_back_end_resets(driver: DriverChoice) {
    let (bad, good) = (dying(b""), Backend::plain("good"));
    let front = Front::new(driver, in_turn(), &[&bad, &good]);
    let mut client = front.client();
    for _ in 0..6 {
        assert_eq!(client.get("/").body, b"good");
    }
    assert!(bad.connections() >= 2, "it was asked");
    assert_eq!(front.counter(Counter::Retries), bad.connections() as u64);
}

fn a_post_is_not_sent_twice(driver: DriverChoice) {
    let (bad, good) = (dying(b""), Backend::plain("good"));
    let front = Front::new(driver, in_turn(), &[&bad, &good]);
    let mut client = front.client();
    client.send(post("/", b"once"));
    assert_eq!(client.response().status(), 502);
    client.send(post("/", b"once"));
    assert_eq!(client.response().body, b"good");
    assert_eq!((bad.requests().len(), good.requests().len()), (1, 1));
    assert_eq!(front.counter(Counter::Retries), 0);
}

fn a_put_whose_body_has_left_is_not_sent_again(driver: DriverChoice) {
    let bad = Backend::new(|mut connection| {
        let _ = connection.wire.head();
        let _ = connection.wire.bytes(100_000);
        connection.wire.reset();
    });
    let good = Backend::plain("good");
    for splice_bytes_min in [0, u64::MAX] {
        let front = Front::new(driver, ForwarderConfig { splice_bytes_min, ..in_turn() }, &[&bad, &good]);
        let mut client = front.client();
        client.send("PUT /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10000000\r\n\r\n");
        // The body follows alone, so that nothing of it is copied behind the head.
        std::thread::sleep(Duration::from_millis(30));
        let sent = client.try_send(content(1, 10_000_000));
        match client.response_to("PUT") {
            Ok(response) => assert_eq!(response.status(), 502),
            Err(cut) => assert!(!sent, "{cut:?}"),
        }
        assert_eq!(front.counter(Counter::Retries), 0);
    }
    assert_eq!(good.connections(), 0, "it would have got a part of the body");
}

fn death_within_the_head(driver: DriverChoice) {
    let (bad, good) = (dying(b"HTTP/1.1 200 OK\r\nContent-Le"), Backend::plain("good"));
    let front = Front::new(driver, in_turn(), &[&bad, &good]);
    let mut client = front.client();
    // Bytes have come: the back end was at work, so it is not tried again.
    assert_eq!(client.get("/").status(), 502);
    assert_eq!(client.get("/").body, b"good", "the client's connection goes on");
    assert_eq!(front.counter(Counter::Answered502), 1);
}

fn death_within_the_body_resets_the_client(driver: DriverChoice) {
    let parts: [&'static [u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\nbegun",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n",
    ];
    for reset in [true, false] {
        for part in parts {
            let backend = Backend::new(move |mut connection| {
                if connection.request().is_ok() {
                    connection.wire.send(part);
                    std::thread::sleep(Duration::from_millis(30));
                    if reset {
                        connection.wire.reset();
                    }
                }
            });
            let front = Front::new(driver, config(), &[&backend]);
            let mut client = front.client();
            client.send(get("/"));
            assert_eq!(client.head().expect("it begins").status(), 200);
            let (rest, cut) = client.rest();
            assert_eq!(cut, Cut::Reset, "a clean end could be taken for a whole answer");
            assert!(String::from_utf8_lossy(&rest).contains("begun"), "what came was passed on");
            assert_eq!(front.counter(Counter::ResponsesCut), 1);
        }
    }
}

fn death_within_a_body_until_close_resets_the_client(driver: DriverChoice) {
    let backend = dying(b"HTTP/1.1 200 OK\r\n\r\nbegun");
    let front = Front::new(driver, config(), &[&backend]);
    for version in ["1.1", "1.0"] {
        let mut client = front.client();
        client.send(format!("GET / HTTP/{version}\r\nHost: test\r\n\r\n"));
        assert_eq!(client.response_to("GET").expect_err("cut"), Cut::Reset);
    }
    assert_eq!(front.counter(Counter::ResponsesCut), 2);
}

fn nonsense_gets_502(driver: DriverChoice) {
    let nonsense: [&'static [u8]; 8] = [
        b"\x16\x03\x01 no http at all\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ];
    for says in nonsense {
        let backend = Backend::new(move |mut connection| {
            if connection.request().is_ok() {
                connection.wire.try_send(says);
                let _ = connection.wire.rest();
            }
        });
        let front = Front::new(driver, config(), &[&backend]);
        let mut client = front.client();
        let response = client.get("/");
        assert_eq!(response.status(), 502, "{:?}", String::from_utf8_lossy(says));
        assert_eq!(response.body, b"");
        assert_eq!(front.counter(Counter::Retries), 0, "it was at work");
    }
}

/// Reads what comes and says nothing.
fn frozen() -> Backend {
    Backend::new(|mut connection| {
        let _ = connection.wire.rest();
    })
}

fn a_frozen_back_end_gets_504(driver: DriverChoice) {
    let backend = frozen();
    let settings =
        ForwarderConfig { response_timeout: Duration::from_millis(100), retries_max: 0, ..config() };
    let front = Front::new(driver, settings, &[&backend]);
    let mut client = front.client();
    assert_eq!(client.get("/").status(), 504);
    client.send(post("/", b"x"));
    assert_eq!(client.response().status(), 504, "the client's connection goes on");
    assert_eq!(front.counter(Counter::Answered504), 2);
    // Another back end takes over what may be repeated.
    let good = Backend::plain("good");
    let settings = ForwarderConfig { response_timeout: Duration::from_millis(100), ..in_turn() };
    let front = Front::new(driver, settings, &[&backend, &good]);
    let mut client = front.client();
    for _ in 0..4 {
        assert_eq!(client.get("/").body, b"good");
    }
    assert!(front.counter(Counter::Retries) >= 1);
}

fn a_frozen_back_end_that_owes_a_100_gets_504(driver: DriverChoice) {
    let backend = frozen();
    let settings = ForwarderConfig {
        response_timeout: Duration::from_millis(100),
        body_timeout: Duration::from_millis(50),
        ..config()
    };
    let front = Front::new(driver, settings, &[&backend]);
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().status(), 504, "the client did what it should");
    client.expect_end();
}

fn a_response_that_stalls_is_cut(driver: DriverChoice) {
    let settings = ForwarderConfig { body_timeout: Duration::from_millis(100), ..config() };
    for len in [100, 10_000_000] {
        let backend = Backend::new(move |mut connection| {
            if connection.request().is_ok() {
                connection.wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\nbegun"));
                let _ = connection.wire.rest();
            }
        });
        let front = Front::new(driver, settings.clone(), &[&backend]);
        let mut client = front.client();
        client.send(get("/"));
        assert_eq!(client.response_to("GET").expect_err("cut"), Cut::Reset, "{len} bytes");
    }
}

fn a_kept_connection_that_died_costs_nobody_a_get(driver: DriverChoice) {
    // It ends at the moment when the next request comes: the classic race of kept connections.
    let backend = Backend::new(|mut connection| {
        if connection.request().is_ok() {
            connection.wire.send(answer(b"fine"));
            let _ = connection.wire.head();
            if connection.number % 2 == 0 {
                connection.wire.reset();
            }
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").body, b"fine");
    }
    assert_eq!(front.counter(Counter::BackendFailures), 0, "closing an idle connection is no failure");
    assert_eq!(backend.connections(), 20);
}

fn a_back_end_that_restarts_is_used_again(driver: DriverChoice) {
    let address = nobody();
    let front = Front::new(driver, config(), &[]);
    front.add(BackendConfig { cores: 1000, ..BackendConfig::new(address) });
    let mut client = front.client();
    assert_eq!(client.get("/").status(), 502);
    for round in 0..3 {
        let backend = Backend::on(address, move |connection| serve(connection, "back"));
        assert_eq!(client.get("/").body, b"back", "round {round}");
        let body = content(1, 100_000);
        client.send(post("/echo", &body));
        assert_same(&client.response().body, &body);
        drop(backend);
        assert_eq!(client.get("/").status(), 502, "round {round}");
    }
}
