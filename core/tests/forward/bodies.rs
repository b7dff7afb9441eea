//! Bodies of all sizes and framings, both ways: through the shared buffers, through blocks, by splice.

use crate::backend::Backend;
use crate::front::{Front, config, until};
use crate::wire::{Cut, answer, assert_same, chunked, content, get, post};
use clustercore::counters::Counter;
use clustercore::forward::ForwarderConfig;
use clustercore::io::{BuffersConfig, Driver, DriverChoice, DriverConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

crate::on_both_drivers!(
    responses_of_all_sizes,
    uploads_of_all_sizes,
    chunked_bodies_pass_with_their_trailers,
    chunks_of_one_byte_pass,
    a_chunked_response_is_opened_for_http_1_0,
    a_response_until_close_ends_with_its_connection,
    large_bodies_are_spliced,
    without_splice_blocks_do,
    an_early_answer_reaches_a_client_that_still_sends,
    an_early_answer_may_be_large,
    a_response_may_begin_before_the_request_has_ended,
    a_slow_reader_holds_a_window_and_no_more,
    pipelining_without_reading_is_bounded,
    a_slow_reader_is_given_up,
    an_answer_that_nobody_reads_is_given_up,
);

const SIZES: [usize; 13] =
    [0, 1, 4095, 4096, 4097, 16_383, 16_385, 49_151, 49_152, 65_537, 262_145, 1_000_003, 20 << 20];

fn responses_of_all_sizes(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    for _ in 0..2 {
        for size in SIZES {
            let response = client.get(&format!("/length/{size}"));
            assert_same(&response.body, &content(size as u64, size));
            assert_eq!(response.field("content-length"), Some(size.to_string().as_str()));
        }
    }
    assert_eq!(backend.connections(), 1);
    let sum = 2 * SIZES.iter().sum::<usize>() as u64;
    assert_eq!(front.counter(Counter::BytesToClient), sum);
}

fn uploads_of_all_sizes(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        while let Ok(request) = connection.wire.request() {
            let wanted = content(request.body.len() as u64, request.body.len());
            connection.wire.send(answer(if request.body == wanted { b"same" } else { b"other" }));
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    for size in SIZES {
        client.send(post("/", &content(size as u64, size)));
        assert_eq!(client.response().body, b"same", "{size} bytes");
    }
    assert_eq!(backend.connections(), 1);
    assert_eq!(front.counter(Counter::BytesToBackend), SIZES.iter().sum::<usize>() as u64);
}

fn chunked_bodies_pass_with_their_trailers(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    for size in [0, 1, 5000, 50_000, 1_000_003, 10 << 20] {
        for chunk in [333, 8192, 700_000] {
            if size > 1 << 20 && chunk == 333 {
                continue;
            }
            let body = content(3, size);
            client.send("POST /echo-chunked HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n");
            client.send(chunked(&body, chunk, "X-Up: 1\r\n"));
            let response = client.response();
            assert_same(&response.body, &body);
            assert_eq!(response.trailers, "X-Sum: 7\n");
            let request = backend.last();
            assert_eq!(request.trailers, "X-Up: 1\n");
            assert_eq!(request.field("te"), Some("trailers"));
        }
    }
    assert_eq!(backend.connections(), 1);
}

fn chunks_of_one_byte_pass(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    let body = content(3, 2000);
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let stream = chunked(&body, 1, "");
    for (index, piece) in stream.chunks(5).enumerate() {
        client.send(piece);
        if index % 64 == 0 {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
    assert_same(&client.response().body, &body);
    assert_eq!(client.get("/hello").status(), 200, "the end of the body was found");
}

fn a_chunked_response_is_opened_for_http_1_0(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    for size in [0, 10, 70_000, 3_000_000] {
        let mut client = front.client();
        client.send(format!("GET /chunked/{size} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.field("transfer-encoding"), response.field("content-length")), (None, None));
        assert_same(&response.body, &content(size as u64, size));
    }
    assert_eq!(front.counter(Counter::CopiedDechunked), 3_070_010);
    assert_eq!(backend.connections(), 1, "its connection is kept: the chunks said where they end");
}

fn a_response_until_close_ends_with_its_connection(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    for size in [0, 10, 70_000, 3_000_000] {
        let mut client = front.client();
        let response = client.get(&format!("/close/{size}"));
        assert_eq!(response.field("connection"), Some("close"));
        assert_same(&response.body, &content(size as u64, size));
    }
}

fn large_bodies_are_spliced(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    let len = 4 << 20;
    for _ in 0..3 {
        assert_same(&client.get(&format!("/length/{len}")).body, &content(len as u64, len));
        client.send(post("/echo", &content(9, len)));
        assert_same(&client.response().body, &content(9, len));
    }
    // Both answers and uploads: of each, all but what came with its head.
    let spliced = front.counter(Counter::BytesSpliced);
    assert!(spliced > 8 * len as u64, "{spliced} bytes of {}", 9 * len);
}

fn without_splice_blocks_do(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let settings = ForwarderConfig { splice_bytes_min: u64::MAX, ..config() };
    let front = Front::new(driver, settings, &[&backend]);
    let mut client = front.client();
    for len in [49_000, 300_000, 4 << 20] {
        assert_same(&client.get(&format!("/length/{len}")).body, &content(len as u64, len));
        client.send(post("/echo", &content(9, len)));
        assert_same(&client.response().body, &content(9, len));
    }
    assert_eq!(front.counter(Counter::BytesSpliced), 0);
}

/// Answers at once to the head, then reads on until the end.
fn hasty(body: usize) -> Backend {
    Backend::new(move |mut connection| {
        if connection.wire.head().is_ok() {
            let body = content(1, body);
            let mut out = format!("HTTP/1.1 413 Much\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
            out.extend_from_slice(&body);
            connection.wire.try_send(out);
            let _ = connection.wire.rest();
        }
    })
}

fn an_early_answer_reaches_a_client_that_still_sends(driver: DriverChoice) {
    let backend = hasty(9);
    for splice_bytes_min in [0, u64::MAX] {
        let front = Front::new(driver, ForwarderConfig { splice_bytes_min, ..config() }, &[&backend]);
        early_answer(&front);
    }
}

fn early_answer(front: &Front) {
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000000\r\n\r\nbegins");
    let response = client.response();
    assert_eq!(response.status(), 413);
    assert_same(&response.body, &content(1, 9));
    // What the client still sends is read and forgotten for a while, so that the answer is not lost to a reset.
    client.send(content(2, 9_000_000));
    client.finish_sending();
    client.expect_end();
}

fn an_early_answer_may_be_large(driver: DriverChoice) {
    let backend = hasty(3_000_000);
    let front = Front::new(driver, config(), &[&backend]);
    for sent in [0, 10, 200_000] {
        let mut client = front.client();
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000000\r\n\r\n");
        client.send(content(2, sent));
        let response = client.response();
        assert_same(&response.body, &content(1, 3_000_000));
    }
}

fn a_response_may_begin_before_the_request_has_ended(driver: DriverChoice) {
    // A service that streams what it gets: both directions at the same time.
    let backend = Backend::new(|mut connection| {
        while let Ok(head) = connection.wire.head() {
            let mut left: usize = head.field("content-length").expect("a length").parse().expect("a number");
            connection.wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n"));
            while left > 0 {
                let piece = connection.wire.bytes(left.min(10_000)).expect("the body follows");
                left -= piece.len();
                connection.wire.send(piece);
            }
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    for len in [40_000, 500_000] {
        let mut client = front.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {len}\r\n\r\n"));
        let body = content(5, len);
        assert_eq!(client.head().expect("a head before any body").status(), 200);
        for piece in body.chunks(100_000) {
            client.send(piece);
            assert_same(&client.bytes(piece.len()).expect("the echo"), piece);
        }
    }
}

fn a_slow_reader_holds_a_window_and_no_more(driver: DriverChoice) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let backend = Backend::new(move |mut connection| {
        while connection.request().is_ok() {
            connection.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let piece = content(4, 64 << 10);
            for _ in 0..640 {
                if !connection.wire.try_send(chunked(&piece, 64 << 10, "").split_last_chunk()) {
                    return;
                }
                count.fetch_add(piece.len(), Ordering::AcqRel);
            }
            connection.wire.try_send("0\r\n\r\n");
        }
    });
    let window = 64 << 10;
    let settings = ForwarderConfig { window_bytes: window, splice_bytes_min: u64::MAX, ..config() };
    let front = Front::new(driver, settings, &[&backend]);
    let mut slow = front.client();
    slow.send(get("/"));
    // Everything stands still once the buffers on the way are full.
    let last = AtomicUsize::new(usize::MAX);
    until("the back end has to wait", || {
        std::thread::sleep(Duration::from_millis(60));
        let now = sent.load(Ordering::Acquire);
        now > 0 && last.swap(now, Ordering::AcqRel) == now
    });
    let held = front.run(|shard, _| shard.driver().buffers().block_bytes());
    // A block may hold less than it could, so a window may lie in several; 40 MiB wait behind it.
    assert!(held <= 4 << 20, "{held} bytes are held for one slow reader with a window of {window}");
    let mut quick = front.client();
    let body = content(4, 64 << 10);
    let whole = |response: crate::wire::Message| {
        assert_eq!(response.body.len(), 640 * body.len());
        response.body.chunks(body.len()).for_each(|chunk| assert_same(chunk, &body));
    };
    whole(quick.get("/"));
    whole(slow.response());
}

fn pipelining_without_reading_is_bounded(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let io = DriverConfig {
        buffers: BuffersConfig { shared_count: 64, ..BuffersConfig::default() },
        ..DriverConfig::default()
    };
    let front = Front::with(
        driver,
        io,
        ForwarderConfig { window_bytes: 64 << 10, ..config() },
        vec![crate::front::child(&backend)],
    );
    let mut greedy = front.client();
    let requests = 1000;
    greedy.send(get("/length/40000").repeat(requests));
    let last = AtomicUsize::new(usize::MAX);
    until("it stands still", || {
        std::thread::sleep(Duration::from_millis(60));
        let now = front.counter(Counter::Requests) as usize;
        now > 1 && last.swap(now, Ordering::AcqRel) == now
    });
    assert!(front.counter(Counter::Requests) < 700, "answers pile up: {}", front.state());
    // The shared buffers are for everybody: others are served meanwhile.
    let mut other = front.client();
    for _ in 0..20 {
        assert_same(&other.get("/length/40000").body, &content(40_000, 40_000));
    }
    for _ in 0..requests {
        assert_same(&greedy.response().body, &content(40_000, 40_000));
    }
}

fn a_slow_reader_is_given_up(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let settings = ForwarderConfig { body_timeout: Duration::from_millis(300), ..config() };
    let front = Front::new(driver, settings, &[&backend]);
    for (index, path) in ["/length/30000000", "/chunked/30000000"].into_iter().enumerate() {
        let mut slow = front.client();
        slow.send(get(path));
        front.until_counter(Counter::ClientsAborted, index as u64 + 1);
        assert_eq!(slow.response_to("GET").expect_err("cut"), Cut::Reset);
    }
    assert_eq!(front.counter(Counter::Answered504), 0);
    assert_eq!(front.counter(Counter::BackendFailures), 0, "the back end is not to blame");
}

fn an_answer_that_nobody_reads_is_given_up(driver: DriverChoice) {
    // The last bytes are queued and the exchange is over, but the client never takes them.
    let backend = Backend::plain("one");
    let settings = ForwarderConfig {
        body_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(200),
        // All of it is queued, more than the system's own buffers take.
        window_bytes: 32 << 20,
        splice_bytes_min: u64::MAX,
        ..config()
    };
    let front = Front::new(driver, settings, &[&backend]);
    let mut client = front.client();
    client.send(get("/length/20000000"));
    front.until("the exchange is over", |front| {
        front.counter(Counter::BytesToClient) == 20_000_000 && front.counter(Counter::RequestsActive) == 0
    });
    front.until_counter(Counter::ClientsOpen, 0);
    front.until("the stream is gone", |front| front.run(|shard, _| shard.driver().streams_open()) <= 1);
    assert_eq!(client.response_to("GET").expect_err("cut"), Cut::Reset);
    assert_eq!(front.counter(Counter::IdleTimeouts), 1);
}

/// What `chunked` made, without the chunk of size 0.
trait SplitLast {
    fn split_last_chunk(&self) -> &[u8];
}

impl SplitLast for Vec<u8> {
    fn split_last_chunk(&self) -> &[u8] {
        &self[..self.len() - b"0\r\n\r\n".len()]
    }
}
