//! The floor programs and the sample service as processes: bytes come through whole, and ends are orderly.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that is killed with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts `program` listening on a free port and waits until it accepts.
fn start(program: &str, words: &[String]) -> (Program, u16) {
    // Another process may take the free port first: then the next one.
    for _ in 0..5 {
        let port = free_port();
        let child = Command::new(program)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(words)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut child = Program(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && child.0.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return (child, port);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    panic!("{program} does not come up");
}

fn start_service() -> (Program, u16) {
    start(env!("CARGO_BIN_EXE_clustercore-sample-service"), &[])
}

fn load(port: u16, words: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_clustercore-load"))
        .args(["--json", "--port", &port.to_string()])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The floors that keep a connection, with small and large answers; every byte is checked.
fn relays_every_byte(program: &str, words: &[&str]) {
    let (_service, service_port) = start_service();
    let words: Vec<String> = ["--backend".to_owned(), format!("127.0.0.1:{service_port}")]
        .into_iter()
        .chain(words.iter().map(|word| (*word).to_owned()))
        .collect();
    let (_relay, port) = start(program, &words);
    for bytes in ["0", "1", "1024", "70000", "1500000"] {
        let uri = format!("/file/{bytes}");
        let few =
            ["--uri", &uri, "--connections", "4", "--requests", "40", "--checksum", "--expect-bytes", bytes];
        let (direct, relayed) = (load(service_port, &few), load(port, &few));
        assert_eq!((&relayed["ok"], &relayed["failed"]), (&40.into(), &0.into()), "{bytes}");
        assert_eq!(relayed["body_crc32c"], direct["body_crc32c"], "{bytes}");
    }
    let fresh =
        load(port, &["--uri", "/10k", "--num-calls", "1", "--requests", "40", "--expect-bytes", "10240"]);
    assert_eq!(fresh["failed"], 0);
}

#[test]
fn uring_relay_with_the_shared_ring_relays_every_byte() {
    relays_every_byte(env!("CARGO_BIN_EXE_floor-uring"), &[]);
}

#[test]
fn uring_relay_with_own_buffers_relays_every_byte() {
    relays_every_byte(env!("CARGO_BIN_EXE_floor-uring"), &["--own-buffer-kib", "64"]);
}

#[test]
fn splice_relay_relays_every_byte() {
    relays_every_byte(env!("CARGO_BIN_EXE_floor-splice"), &["--pipe-kib", "64"]);
}

#[test]
fn accept_relay_keeps_its_back_end_connections() {
    let (_service, service_port) = start_service();
    let answer = get(service_port, "/1k");
    let backend = format!("127.0.0.1:{service_port}");
    let words = ["--backend", &backend, "--response-bytes", &answer.len().to_string()].map(str::to_owned);
    let (_relay, port) = start(env!("CARGO_BIN_EXE_floor-accept"), &words);
    let before = stats(service_port);
    let report = load(
        port,
        &["--uri", "/1k", "--num-calls", "1", "--connections", "4", "--requests", "100", "--checksum"],
    );
    assert_eq!((&report["ok"], &report["failed"]), (&100.into(), &0.into()));
    let after = stats(service_port);
    let made = after["connections_all"].as_u64().unwrap() - before["connections_all"].as_u64().unwrap();
    // Reading the statistics takes a connection too.
    assert!(made <= 5, "{made} connections for 4 clients at a time");
}

#[test]
fn idle_clients_and_slow_readers_stand_beside_the_load() {
    let (_service, port) = start_service();
    let report = load(
        port,
        &[
            "--uri",
            "/1k",
            "--connections",
            "2",
            "--requests",
            "100",
            "--idle",
            "20",
            "--idle-after-request",
            "--slow-readers",
            "1",
            "--slow-uri",
            "/500k",
            "--seconds",
            "5",
        ],
    );
    assert_eq!(
        (&report["failed"], &report["idle"]["lost"], &report["slow"]["failures"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert_eq!((&report["ok"], &report["idle"]["count"]), (&100.into(), &20.into()));
}

#[test]
fn a_watched_process_is_charged_for_its_requests() {
    let (service, port) = start_service();
    let pid = service.0.id().to_string();
    let report =
        load(port, &["--uri", "/1k?cpu_ms=2", "--requests", "50", "--connections", "1", "--watch-pid", &pid]);
    // Burnt CPU time is counted by the thread's clock, so each request costs at least what it asked for.
    assert!(report["watched_cpu_us_per_request"].as_f64().unwrap() >= 1900.0, "{report}");
}

#[test]
fn the_service_answers_what_is_in_flight_before_it_ends() {
    let (mut service, port) = start_service();
    let idle = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut busy = TcpStream::connect(("127.0.0.1", port)).unwrap();
    busy.write_all(b"GET /file/100000?wait_ms=300 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    // The request is in the service's hands when a second one on the same thread has been answered.
    get(port, "/healthz");
    let pid = rustix::process::Pid::from_child(&service.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut answer = Vec::new();
    busy.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer[..200]);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("Connection: close\r\n"), "{text}");
    assert!(answer.len() > 100_000);
    assert!(service.0.wait().unwrap().success());
    drop(idle);
}

#[test]
fn bad_requests_are_refused() {
    let (_service, port) = start_service();
    for (request, status) in [
        ("POST / HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        ("GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
    ] {
        let answer = exchange(port, request);
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{request:?}");
    }
}

#[test]
fn udp_loops_count_what_arrives() {
    for mode in ["sendto", "sendmmsg", "gso"] {
        let output = Command::new(env!("CARGO_BIN_EXE_floor-udp"))
            .args(["--mode", mode, "--bytes", "64", "--seconds", "0.1"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{mode}: {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (sent, received) = (report["sent"].as_u64().unwrap(), report["received"].as_u64().unwrap());
        assert!(received > 0 && received <= sent, "{mode}: {report}");
    }
}

#[test]
fn trains_through_the_drivers_are_counted_as_bare_ones_are() {
    for (driver, bytes, segments) in [("auto", 64, 128), ("auto", 1024, 63), ("epoll", 64, 128)] {
        let output = Command::new(env!("CARGO_BIN_EXE_clustercore-trains"))
            .args(["--driver", driver, "--bytes", &bytes.to_string(), "--segments", &segments.to_string()])
            .args(["--seconds", "0.1"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{driver}: {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (sent, received) = (report["sent"].as_u64().unwrap(), report["received"].as_u64().unwrap());
        assert!(received > 0 && received <= sent && sent.is_multiple_of(segments), "{driver}: {report}");
    }
}

#[test]
fn senseless_options_end_with_a_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_clustercore-load")).args(["--rate=-1"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--rate"));
}

fn stats(port: u16) -> Value {
    let answer = get(port, "/stats");
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    serde_json::from_slice(&answer[body..]).unwrap()
}

/// The whole answer for `path`, head and body, as a kept connection would get it.
fn get(port: u16, path: &str) -> Vec<u8> {
    let closed = exchange(port, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    let text = String::from_utf8_lossy(&closed[..closed.len().min(300)]).into_owned();
    let line = "Connection: close\r\n";
    let at = text.find(line).unwrap();
    [&closed[..at], &closed[at + line.len()..]].concat()
}

fn exchange(port: u16, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// What a program prints that measures messages: everything that was sent has arrived.
fn messages(program: &str, words: &[&str]) -> Value {
    let output = Command::new(program).args(words).args(["--seconds", "0.1"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_message_that_was_sent_has_arrived() {
    let ours = env!("CARGO_BIN_EXE_clustercore-messages");
    let cases = [
        &["--bytes", "64"][..],
        &["--bytes", "1024"],
        &["--form", "each"],
        &["--driver", "epoll"],
        &["--secure"],
    ];
    for words in cases {
        let report = messages(ours, words);
        assert!(report["received"].as_u64().unwrap() > 0, "{words:?}: {report}");
        assert_eq!(report["sent"], report["received"], "{words:?}");
    }
    let report = messages(ours, &["--work", "ping"]);
    assert!(report["round_trip_p50_us"].as_f64().unwrap() > 0.0, "{report}");
    let report = messages(env!("CARGO_BIN_EXE_floor-messages"), &[]);
    assert_eq!(report["sent"], report["received"]);
    let report = messages(env!("CARGO_BIN_EXE_floor-ping"), &[]);
    assert!(report["round_trip_p50_us"].as_f64().unwrap() > 0.0, "{report}");
    let (sent, answered) = (report["sent"].as_u64().unwrap(), report["answered"].as_u64().unwrap());
    assert!(sent > 0 && answered >= sent, "{report}");
    let report = messages(env!("CARGO_BIN_EXE_floor-seal"), &[]);
    assert!(report["packets"].as_u64().unwrap() > 0 && report["seal_open_ns"].as_f64().unwrap() > 0.0);
}

#[test]
fn every_event_reaches_every_subscriber() {
    for (form, words) in [
        ("send", &["--batch", "1", "--rate", "200"][..]),
        ("uring", &["--batch", "1", "--rate", "200"]),
        ("send", &["--batch", "700", "--bytes", "300"]),
        ("uring", &["--batch", "64"]),
    ] {
        let (server, port) = start(env!("CARGO_BIN_EXE_floor-fan-out"), &["--form", form].map(str::to_owned));
        // One run after the other: the subscribers of the first are gone.
        for subscribers in [20, 5] {
            let report = event_load(port, words, subscribers, server.0.id());
            let (events, deliveries) = (&report["events"], report["deliveries"].as_u64().unwrap());
            assert!(deliveries > 0, "{form} {words:?}: {report}");
            assert_eq!(events.as_u64().unwrap() * subscribers, deliveries, "{form} {words:?}");
            assert!(report["latency_p50_us"].as_f64().unwrap() > 0.0, "{report}");
        }
    }
}

fn event_load(port: u16, words: &[&str], subscribers: u64, server: u32) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_clustercore-event-load"))
        .args(["--protocol", "bare", "--to", &format!("127.0.0.1:{port}"), "--seconds", "0.2"])
        .args(["--subscribers", &subscribers.to_string(), "--watch-pid", &server.to_string()])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_server_of_another_protocol_ends_the_load_with_a_line() {
    let (_service, port) = start_service();
    for (protocol, words) in [("bare", "within"), ("mqtt", "closed"), ("clustercore", "are read")] {
        let output = Command::new(env!("CARGO_BIN_EXE_clustercore-event-load"))
            .args(["--protocol", protocol, "--to", &format!("127.0.0.1:{port}"), "--timeout", "0.3"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(words), "{protocol}: {told}");
    }
}

#[test]
fn idle_peers_are_counted_with_what_they_take() {
    let folder = std::env::temp_dir().join(format!("clustercore-idle-peers-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let key = folder.join("key");
    let program = env!("CARGO_BIN_EXE_clustercore-idle-peers");
    let mut listener = Command::new(program);
    listener.args(["--listen", "127.0.0.1:0", "--key"]).arg(&key).stdout(Stdio::piped());
    let mut listener = Program(listener.spawn().unwrap());
    let mut lines = BufReader::new(listener.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let address = first.strip_prefix("listening on ").unwrap();
    let mut caller = Command::new(program);
    caller.args(["--to", address, "--count", "20", "--key"]).arg(&key).stdout(Stdio::null());
    let caller = Program(caller.spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut told = Vec::new();
    while !told.iter().any(|report: &Value| report["peers"] == 20) {
        assert!(Instant::now() < deadline, "{told:?}");
        told.push(serde_json::from_str(&lines.next().unwrap()).unwrap());
    }
    assert!(told.last().unwrap()["live_bytes"].as_i64().unwrap() > 0);
    drop(caller);
    std::fs::remove_dir_all(&folder).unwrap();
}
