//! Upgrade, CONNECT, TCP mode and the PROXY protocol.

use crate::backend::Backend;
use crate::front::{Front, child, config};
use crate::wire::{Cut, Wire, assert_same, content, get};
use clustercore::counters::Counter;
use clustercore::forward::{BackendConfig, ForwarderConfig, Mode, ProxyProtocol};
use clustercore::io::DriverChoice;
use std::time::Duration;

crate::on_both_drivers!(
    an_upgrade_becomes_a_tunnel,
    a_refused_upgrade_is_an_exchange_like_others,
    connect_becomes_a_tunnel,
    tcp_passes_bytes_both_ways,
    half_close_is_kept_each_way,
    large_transfers_pass_both_ways_at_once,
    a_reset_is_passed_on,
    tcp_tries_the_next_back_end,
    a_silent_tunnel_ends,
    proxy_headers_are_read,
    bad_proxy_headers_are_refused_and_counted,
    proxy_headers_are_written,
    behind_a_listener_on_all_addresses_each_connection_has_its_own,
);

/// Sends back what comes, and ends when the other side does.
fn echo(wire: &mut Wire) {
    use std::io::{Read, Write};
    let mut piece = vec![0; 64 << 10];
    while let Ok(len) = wire.stream.read(&mut piece) {
        if len == 0 || wire.stream.write_all(&piece[..len]).is_err() {
            return;
        }
    }
}

fn tcp() -> ForwarderConfig {
    ForwarderConfig { mode: Mode::Tcp, ..config() }
}

/// Writes on a thread of its own while it reads.
fn exchange_at_once(wire: &mut Wire, body: &[u8]) {
    let mut writer = wire.stream.try_clone().expect("a descriptor");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::io::Write::write_all(&mut writer, body).expect("the other side reads");
            writer.shutdown(std::net::Shutdown::Write).expect("it is open");
        });
        let (echoed, cut) = wire.rest();
        assert_eq!(cut, Cut::End);
        assert_same(&echoed, body);
    });
}

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

fn an_upgrade_becomes_a_tunnel(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        let request = connection.request().expect("a request");
        assert_eq!(request.field("upgrade"), Some("websocket"));
        // The first bytes of the new protocol come with the answer.
        connection.wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nwelcome",
        );
        let early = connection.wire.bytes(5).expect("what came early");
        connection.wire.send(early);
        echo(&mut connection.wire);
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    // And so do the client's.
    client.send(format!("{UPGRADE}early"));
    let response = client.head().expect("a response");
    assert_eq!((response.status(), response.field("upgrade")), (101, Some("websocket")));
    assert_eq!(client.bytes(12).expect("both first words"), b"welcomeearly");
    for round in 0..10 {
        let frame = content(round, 1 + 700 * round as usize);
        client.send(&frame);
        assert_same(&client.bytes(frame.len()).expect("the echo"), &frame);
    }
    exchange_at_once(&mut client, &content(3, 3_000_000));
    assert_eq!(front.counter(Counter::Tunnels), 1);
}

fn a_refused_upgrade_is_an_exchange_like_others(driver: DriverChoice) {
    let backend = Backend::plain("plain");
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    for _ in 0..3 {
        client.send(UPGRADE);
        assert_eq!(client.response().body, b"plain");
    }
    assert_eq!((backend.connections(), front.counter(Counter::Tunnels)), (1, 0));
}

fn connect_becomes_a_tunnel(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        let request = connection.wire.head().expect("a request");
        assert!(request.first().starts_with("CONNECT db.example:5432 "), "{request:?}");
        connection.wire.send("HTTP/1.1 200 Connected\r\n\r\n");
        echo(&mut connection.wire);
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    client.send("CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n");
    assert_eq!(client.head().expect("a response").status(), 200);
    exchange_at_once(&mut client, &content(3, 1_000_000));
}

fn tcp_passes_bytes_both_ways(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        connection.wire.send("220 hello\n");
        echo(&mut connection.wire);
    });
    let front = Front::new(driver, tcp(), &[&backend]);
    let mut clients = (0..20).map(|_| front.client()).collect::<Vec<_>>();
    for (id, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.bytes(10).expect("the server speaks first"), b"220 hello\n");
        client.send(content(id as u64, 5000));
    }
    for (id, client) in clients.iter_mut().enumerate() {
        assert_same(&client.bytes(5000).expect("the echo"), &content(id as u64, 5000));
        client.finish_sending();
        client.expect_end();
    }
    assert_eq!(front.counter(Counter::Tunnels), 20);
    // Those who send and end before anything is connected lose nothing.
    let mut hasty = front.client();
    hasty.send("all at once");
    hasty.finish_sending();
    assert_eq!(hasty.rest(), (b"220 hello\nall at once".to_vec(), Cut::End));
}

fn half_close_is_kept_each_way(driver: DriverChoice) {
    // The client ends first, and the answer comes after its end was seen.
    let counting = Backend::new(|mut connection| {
        let (bytes, cut) = connection.wire.rest();
        assert_eq!(cut, Cut::End);
        connection.wire.send(format!("{} bytes", bytes.len()));
    });
    let front = Front::new(driver, tcp(), &[&counting]);
    let mut client = front.client();
    client.send(content(1, 300_000));
    client.finish_sending();
    assert_eq!(client.rest(), (b"300000 bytes".to_vec(), Cut::End));
    // The server ends first, and still gets what the client sends.
    let (told, heard) = std::sync::mpsc::channel();
    let backend = Backend::new(move |mut connection| {
        connection.wire.send("done");
        connection.wire.finish_sending();
        let _ = told.send(connection.wire.rest());
    });
    let front = Front::new(driver, tcp(), &[&backend]);
    let mut client = front.client();
    assert_eq!(client.rest(), (b"done".to_vec(), Cut::End));
    client.send(content(2, 300_000));
    client.finish_sending();
    let (bytes, cut) = heard.recv_timeout(crate::wire::PATIENCE).expect("the back end hears the end");
    assert_eq!(cut, Cut::End);
    assert_same(&bytes, &content(2, 300_000));
}

fn large_transfers_pass_both_ways_at_once(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| echo(&mut connection.wire));
    let front = Front::new(driver, tcp(), &[&backend]);
    exchange_at_once(&mut front.client(), &content(7, 30_000_000));
    assert_eq!(front.counter(Counter::BytesToClient), 30_000_000);
    assert_eq!(front.counter(Counter::BytesToBackend), 30_000_000);
}

fn a_reset_is_passed_on(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        let _ = connection.wire.bytes(1);
        connection.wire.reset();
    });
    let front = Front::new(driver, tcp(), &[&backend]);
    let mut client = front.client();
    client.send("x");
    assert_eq!(client.rest(), (Vec::new(), Cut::Reset));
    let (told, heard) = std::sync::mpsc::channel();
    let backend = Backend::new(move |mut connection| {
        let _ = told.send(connection.wire.rest().1);
    });
    let front = Front::new(driver, tcp(), &[&backend]);
    let mut client = front.client();
    client.send("x");
    front.until_counter(Counter::BytesToBackend, 1);
    client.reset();
    assert_eq!(heard.recv_timeout(crate::wire::PATIENCE), Ok(Cut::Reset));
}

fn tcp_tries_the_next_back_end(driver: DriverChoice) {
    let gone = Backend::plain("gone").address;
    let backend = Backend::new(|mut connection| echo(&mut connection.wire));
    let front = Front::new(driver, tcp(), &[]);
    front.add(BackendConfig { cores: 1000, ..BackendConfig::new(gone) });
    let mut client = front.client();
    client.send("x");
    assert_eq!(client.rest(), (Vec::new(), Cut::Reset), "nobody there");
    front.add(child(&backend));
    let mut client = front.client();
    client.send("hello");
    assert_eq!(client.bytes(5).expect("the echo"), b"hello");
    assert!(front.counter(Counter::Retries) >= 1);
}

fn a_silent_tunnel_ends(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| echo(&mut connection.wire));
    let settings = ForwarderConfig { idle_timeout: Duration::from_millis(150), ..tcp() };
    let front = Front::new(driver, settings, &[&backend]);
    let mut client = front.client();
    // Traffic keeps it open for longer than the time-out.
    for _ in 0..6 {
        client.send("x");
        assert_eq!(client.bytes(1).expect("the echo"), b"x");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(client.rest().0, b"");
    front.until_counter(Counter::ClientsOpen, 0);
}

/// Version 2, PROXY, TCP over IPv4, from 10.1.2.3:5000 to 10.9.9.9:80.
const V2: [u8; 28] = [
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0, 12, 10, 1, 2, 3,
    10, 9, 9, 9, 0x13, 0x88, 0, 80,
];

fn proxy_headers_are_read(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let settings = ForwarderConfig { proxy_in: ProxyProtocol::V1, ..config() };
    let front = Front::new(driver, settings, &[&backend]);
    for header in [&b"PROXY TCP4 10.1.2.3 10.9.9.9 5000 80\r\n"[..], &V2] {
        let mut client = front.client();
        let whole = [header, get("/hello").as_bytes()].concat();
        // In pieces, wherever they are cut.
        for piece in whole.chunks(7) {
            client.send(piece);
            std::thread::sleep(Duration::from_micros(500));
        }
        assert_eq!(client.response().body, b"one");
        assert_eq!(backend.last().fields("x-forwarded-for"), ["10.1.2.3"]);
        for request in 2..4 {
            assert_eq!(client.get("/hello").body, b"one", "one header for a connection");
            assert_eq!(backend.last().fields("x-forwarded-for"), ["10.1.2.3"], "request {request}");
        }
        drop(client);
        front.until("it is gone", |front| front.counter(Counter::ClientsOpen) == 0);
    }
    // In the place of the one before, whose address is not its own.
    let mut client = front.client();
    client.send(format!("PROXY UNKNOWN\r\n{}", get("/hello")));
    assert_eq!(client.response().body, b"one");
    assert_eq!(backend.last().fields("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(client.get("/hello").body, b"one");
    assert_eq!(backend.last().fields("x-forwarded-for"), ["127.0.0.1"]);
}

fn bad_proxy_headers_are_refused_and_counted(driver: DriverChoice) {
    let backend = Backend::plain("one");
    for mode in [Mode::Http, Mode::Tcp] {
        let settings = ForwarderConfig {
            proxy_in: ProxyProtocol::V2,
            head_timeout: Duration::from_millis(100),
            mode,
            ..config()
        };
        let front = Front::new(driver, settings, &[&backend]);
        let mut corrupt = V2;
        corrupt[12] = 0x31;
        let bad = [
            &b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"[..],
            b"PROXY TCP4 10.1.2.3\r\n",
            b"PROXY TCP4 1.2.3.4.5 1.1.1.1 1 1\r\n",
            &corrupt,
        ];
        for (index, bytes) in bad.iter().enumerate() {
            let mut client = front.client();
            client.send(bytes);
            assert_eq!(client.rest().0, b"", "not a word");
            assert_eq!(front.counter(Counter::ProxyRefused), index as u64 + 1);
        }
        // Half a header is not waited for without end.
        let mut slow = front.client();
        slow.send("PROXY TC");
        assert_eq!(slow.rest().0, b"");
    }
    assert_eq!(backend.connections(), 0);
}

fn proxy_headers_are_written(driver: DriverChoice) {
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        for mode in [Mode::Http, Mode::Tcp] {
            let (told, heard) = std::sync::mpsc::channel();
            let backend = Backend::new(move |mut connection| {
                let _ = told.send(connection.wire.bytes(if version == ProxyProtocol::V1 { 40 } else { 28 }));
                let _ = connection.wire.rest();
            });
            let settings = ForwarderConfig { proxy_out: version, mode, ..config() };
            let front = Front::new(driver, settings, &[&backend]);
            let mut client = front.client();
            let from = client.stream.local_addr().expect("an address");
            client.send(get("/hello"));
            let header = heard.recv_timeout(crate::wire::PATIENCE).expect("a header").expect("whole");
            if version == ProxyProtocol::V1 {
                let wanted =
                    format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", from.port(), front.address.port());
                assert!(wanted.as_bytes().starts_with(&header[..wanted.len().min(40)]), "{header:?}");
            } else {
                assert_eq!(header[..12], V2[..12]);
                assert_eq!(header[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
                assert_eq!(header[24..26], from.port().to_be_bytes());
                assert_eq!(header[26..28], front.address.port().to_be_bytes());
            }
            // Gone for good: a mere end would still want its answer.
            client.reset();
        }
    }
}

fn behind_a_listener_on_all_addresses_each_connection_has_its_own(driver: DriverChoice) {
    let second = std::net::Ipv4Addr::new(127, 0, 0, 2);
    for mode in [Mode::Http, Mode::Tcp] {
        let (told, heard) = std::sync::mpsc::channel();
        let backend = Backend::new(move |mut connection| {
            let _ = told.send(connection.wire.bytes(28));
            let _ = connection.wire.rest();
        });
        let settings = ForwarderConfig { proxy_out: ProxyProtocol::V2, mode, ..config() };
        let front = Front::new(driver, settings, &[&backend]);
        let port = front.listen_on_all();
        let mut client = Wire::connect((second, port).into());
        client.send(get("/hello"));
        let header = heard.recv_timeout(crate::wire::PATIENCE).expect("a header").expect("whole");
        assert_eq!(header[20..24], second.octets(), "{mode:?}");
        assert_eq!(header[26..28], port.to_be_bytes());
        client.reset();
    }
    // A request that names no host gets the address it came to, and one that names it keeps that.
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let port = front.listen_on_all();
    for (head, host) in [
        ("GET / HTTP/1.0\r\n\r\n", format!("127.0.0.2:{port}")),
        ("GET / HTTP/1.0\r\nHost: named\r\n\r\n", "named".to_owned()),
    ] {
        let mut client = Wire::connect((second, port).into());
        client.send(head);
        assert_eq!(client.response().body, b"one");
        assert_eq!(backend.last().fields("host"), [host]);
    }
}
