//! What rewriting one head costs: JSON lines, one per case, in nanoseconds per head.
//!
//! `cargo bench -p clustercore-proto --bench http`; with `-- --quick` a few rounds only, to see that it runs.

use std::hint::black_box;
use std::time::Instant;

use clustercore_proto::forward::http::{
    ChunkScanner, Framing, HeadLimits, Method, RequestContext, RequestPlan, Version, client_fields,
    forward_request, forward_response,
};

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let bench = Bench { runs: if quick { 3 } else { 31 }, rounds: if quick { 100 } else { 20_000 } };
    let limits = HeadLimits::default();
    let mut fields = Vec::new();
    let mut context = RequestContext {
        client: ([127, 0, 0, 1], 40_000).into(),
        local: ([127, 0, 0, 1], 8080).into(),
        secure: false,
        via: "clustercore",
        trust_forwarded: false,
        fields: &[],
    };
    client_fields(&context, &mut fields);
    context.fields = &fields;

    let mut out = Vec::with_capacity(4096);
    for (case, head) in [("request_small", SMALL), ("request_browser", BROWSER)] {
        bench.run(case, head.len(), || {
            out.clear();
            let plan = forward_request(black_box(head), &context, &limits, &mut out);
            assert!(black_box(plan).is_ok_and(|plan| plan.is_some()));
            out.len()
        });
    }
    let trusted = RequestContext { trust_forwarded: true, ..context };
    bench.run("request_browser_trusted", BROWSER.len(), || {
        out.clear();
        let plan = forward_request(black_box(BROWSER), &trusted, &limits, &mut out);
        assert!(black_box(plan).is_ok_and(|plan| plan.is_some()));
        out.len()
    });
    bench.run("response", RESPONSE.len(), || {
        out.clear();
        let plan = forward_response(black_box(RESPONSE), &PLAN, "clustercore", true, &limits, &mut out);
        assert!(black_box(plan).is_ok_and(|plan| plan.is_some()));
        out.len()
    });
    bench.run("chunks_of_16", CHUNKS.len(), || {
        let scan = ChunkScanner::new(&limits).scan(black_box(CHUNKS));
        scan.map_or(0, |scan| scan.consumed)
    });
}

struct Bench {
    runs: usize,
    rounds: usize,
}

impl Bench {
    /// Prints the time per call of `work`, whose results are summed so that none can be left out.
    fn run(&self, case: &str, bytes: usize, mut work: impl FnMut() -> usize) {
        let mut checksum = 0usize;
        let mut times: Vec<f64> = (0..self.runs)
            .map(|_| {
                let start = Instant::now();
                for _ in 0..self.rounds {
                    checksum = checksum.wrapping_add(work());
                }
                start.elapsed().as_nanos() as f64 / self.rounds as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{{\"bench\":\"http\",\"case\":\"{case}\",\"unit\":\"ns\",\"median\":{:.1},\"min\":{:.1},\"max\":{:.1},\
             \"runs\":{},\"bytes\":{bytes},\"checksum\":{checksum}}}",
            times[times.len() / 2],
            times[0],
            times[times.len() - 1],
            self.runs,
        );
    }
}

/// What `wrk` sends.
const SMALL: &[u8] = b"GET /1k.bin HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

const BROWSER: &[u8] = b"GET /search?q=cluster HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n\
    Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n\
    Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: application/octet-stream\r\nContent-Length: 1024\r\n\
    Last-Modified: Fri, 20 Nov 2026 11:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"673dc0f0-400\"\r\n\
    Accept-Ranges: bytes\r\n\r\n";

const CHUNKS: &[u8] = b"10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";

const PLAN: RequestPlan = RequestPlan {
    head_len: 0,
    method: Method::Get,
    version: Version::Http11,
    framing: Framing::None,
    keep_alive: true,
    expect_continue: false,
    upgrade: false,
    connect: false,
};
