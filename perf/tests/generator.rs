//! The load generator against servers that misbehave on purpose: every failure gets its class.

use clap::Parser;
use clustercore_perf::options::Options;
use clustercore_perf::tally::{Failure, Tally};
use clustercore_perf::worker::{Shared, Worker};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What a server does with request `number` of all: answers, and says whether the connection stays open.
type Script = dyn Fn(usize, &mut TcpStream) -> bool + Send + Sync;

/// Serves by `script` on a thread per connection; returns the address and the count of connections.
fn serve(
    script: impl Fn(usize, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let script: Arc<Script> = Arc::new(script);
    let count = Arc::clone(&accepted);
    // The threads end with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, script, requests) =
                (stream.unwrap(), Arc::clone(&script), Arc::clone(&requests));
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = [0u8; 4096];
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    seen.extend_from_slice(&buffer[..len]);
                    while let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                        seen.drain(..end + 4);
                        if !script(requests.fetch_add(1, Ordering::Relaxed), &mut stream) {
                            return;
                        }
                    }
                }
            });
        }
    });
    (address, accepted)
}

/// Runs the generator on `address` with `words` and returns what it counted.
fn load(address: SocketAddr, words: &[&str]) -> Tally {
    let port = address.port().to_string();
    let all = [&["clustercore-load", "--port", port.as_str()], words].concat();
    let options = Options::parse_from(all);
    let (plans, shared) = (options.plans().unwrap(), Shared::default());
    assert_eq!(plans.len(), 1);
    Worker::new(&plans[0], &shared, Instant::now()).unwrap().run().unwrap()
}

fn answer(stream: &mut TcpStream, body: &str) -> bool {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).is_ok()
}

/// Runs ten requests against `script` and returns how many failed with `failure`; all others must be good.
fn failures(
    failure: Failure,
    words: &[&str],
    script: impl Fn(usize, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> u64 {
    let (address, _) = serve(script);
    let tally = load(address, &[&["--connections", "1", "--requests", "10"], words].concat());
    assert_eq!(tally.requests, 10);
    assert_eq!(tally.bad(), tally.failures(failure), "only {} was to fail", failure.name());
    tally.failures(failure)
}

#[test]
fn kept_connections_serve_many_requests() {
    let (address, accepted) = serve(|_, stream| answer(stream, "hello"));
    let tally = load(address, &["--connections", "4", "--requests", "200"]);
    assert_eq!((tally.requests, tally.bad(), tally.body_bytes), (200, 0, 1000));
    assert_eq!(accepted.load(Ordering::Relaxed), 4);
}

#[test]
fn one_call_makes_a_connection_per_request() {
    let (address, accepted) = serve(|_, stream| answer(stream, "hello"));
    let tally = load(address, &["--connections", "4", "--num-conns", "50", "--num-calls", "1"]);
    assert_eq!((tally.requests, tally.bad()), (50, 0));
    assert_eq!(accepted.load(Ordering::Relaxed), 50);
}

#[test]
fn a_server_that_closes_after_its_answer_is_followed() {
    let (address, accepted) = serve(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end").is_err()
    });
    let tally = load(address, &["--connections", "1", "--requests", "5", "--expect-bytes", "13"]);
    assert_eq!((tally.requests, tally.bad()), (5, 0));
    assert_eq!(accepted.load(Ordering::Relaxed), 5);
}

#[test]
fn every_failure_has_its_class() {
    let is_third = |number: usize| number.is_multiple_of(3);
    let truncated = failures(Failure::Truncated, &[], move |number, stream| {
        if !is_third(number) {
            return answer(stream, "whole");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").is_err()
    });
    let closed =
        failures(Failure::Closed, &[], move |number, stream| !is_third(number) && answer(stream, "whole"));
    let framing = failures(Failure::Framing, &[], move |number, stream| {
        if !is_third(number) {
            return answer(stream, "whole");
        }
        stream.write_all(b"no HTTP at all\r\n\r\n").is_ok()
    });
    let corrupt = failures(Failure::Corrupt, &["--checksum"], move |number, stream| {
        answer(stream, if number % 3 == 1 { "other" } else { "whole" })
    });
    let short = failures(Failure::Corrupt, &["--expect-bytes", "5"], move |number, stream| {
        answer(stream, if number % 3 == 1 { "long answer" } else { "whole" })
    });
    assert_eq!((truncated, closed, framing, corrupt, short), (4, 4, 4, 3, 3));
}

#[test]
fn a_silent_server_is_timed_out() {
    let words = ["--timeout", "0.1", "--connections", "5", "--requests", "5"];
    let (address, _) = serve(|_, stream| stream.flush().is_ok());
    let tally = load(address, &words);
    assert_eq!((tally.requests, tally.failures(Failure::Timeout)), (5, 5));
}

#[test]
fn a_refused_connection_is_counted_and_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let tally = load(address, &["--connections", "1", "--requests", "3"]);
    assert_eq!((tally.requests, tally.failures(Failure::Connect)), (3, 3));
}

#[test]
fn refusals_by_status_are_failures() {
    let (address, _) = serve(|number, stream| {
        let status = if number.is_multiple_of(2) { "503 Service Unavailable" } else { "200 OK" };
        stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).is_ok()
    });
    let tally = load(address, &["--connections", "1", "--requests", "10"]);
    assert_eq!((tally.requests, tally.bad(), tally.last_byte.len()), (10, 5, 5));
}

#[test]
fn a_stall_is_charged_to_every_request_that_was_due_meanwhile() {
    const STALL: Duration = Duration::from_millis(300);
    let (address, _) = serve(|number, stream| {
        if number == 0 {
            std::thread::sleep(STALL);
        }
        answer(stream, "hello")
    });
    // 100 per second for half a second over one connection: about 30 come due during the stall.
    let tally = load(address, &["--rate", "100", "--seconds", "0.5", "--connections", "1"]);
    assert_eq!((tally.requests, tally.bad()), (50, 0));
    let stalled = tally.last_byte.count_between(50_000_000, u64::MAX);
    assert!(stalled >= 20, "{stalled} requests saw the stall");
    assert!(u128::from(tally.last_byte.max()) >= STALL.as_nanos());
}

#[test]
fn the_warm_up_is_not_counted() {
    let (address, _) = serve(|_, stream| answer(stream, "hello"));
    let tally = load(address, &["--rate", "200", "--warmup-seconds", "0.25", "--seconds", "0.25"]);
    assert_eq!((tally.requests, tally.requests_all, tally.bad()), (50, 100, 0));
}
