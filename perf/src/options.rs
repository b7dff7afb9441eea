//! The command line of the load generator, and the plan that follows from it.

use clap::Parser;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// HTTP load generator: open loop at a fixed rate with latency from the intended time, or closed loop.
#[derive(Parser, Clone, Debug)]
#[command(name = "clustercore-load", version)]
pub struct Options {
    /// Host or address of the server.
    #[arg(long, default_value = "127.0.0.1")]
    pub server: String,
    /// Port of the server.
    #[arg(long, default_value_t = 80)]
    pub port: u16,
    /// Path asked for.
    #[arg(long, default_value = "/")]
    pub uri: String,
    /// Further request field, "Name: value"; repeatable.
    #[arg(long = "header")]
    pub headers: Vec<String>,
    /// Requests per second, open loop; latency counts from the time a request was due.
    #[arg(long, conflicts_with = "closed")]
    pub rate: Option<f64>,
    /// Closed loop: every connection asks again as soon as it is answered (the default without --rate).
    #[arg(long)]
    pub closed: bool,
    /// Connections kept at most; with --rate requests that find none free wait, and the wait counts.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Requests per connection before it is closed by this side; 0: no limit, 1: a new connection per request.
    #[arg(long, default_value_t = 0)]
    pub num_calls: u64,
    /// Connections in all, as in httperf: bounds the run to num-conns times num-calls requests.
    #[arg(long)]
    pub num_conns: Option<u64>,
    /// Ask with "Connection: close" when --num-calls is 1, so that the server closes.
    #[arg(long)]
    pub connection_close: bool,
    /// Seconds without an answer after which a request has failed.
    #[arg(long, default_value_t = 5.0)]
    pub timeout: f64,
    /// Length of the measured part in seconds.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Seconds before it that are not measured.
    #[arg(long, default_value_t = 0.0)]
    pub warmup_seconds: f64,
    /// End after this many requests, warm-up included.
    #[arg(long)]
    pub requests: Option<u64>,
    /// Generator threads; rate, connections and requests are shared out among them.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Body length that every answer must have.
    #[arg(long)]
    pub expect_bytes: Option<u64>,
    /// Compare the CRC32C of every body with the first one.
    #[arg(long)]
    pub checksum: bool,
    /// Additional connections that read slowly.
    #[arg(long, default_value_t = 0)]
    pub slow_readers: usize,
    /// Bytes per second that each slow reader takes.
    #[arg(long, default_value_t = 10_000)]
    pub slow_bytes_per_second: u64,
    /// Path that slow readers ask for; default: --uri.
    #[arg(long)]
    pub slow_uri: Option<String>,
    /// Additional connections that are held open without a request.
    #[arg(long, default_value_t = 0)]
    pub idle: usize,
    /// Let each idle connection make one request first.
    #[arg(long)]
    pub idle_after_request: bool,
    /// Processes whose CPU time over the measured part is reported; repeat or separate by commas.
    #[arg(long = "watch-pid", value_delimiter = ',')]
    pub watch_pids: Vec<u32>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Write the latency histogram as percentile lines to this file.
    #[arg(long)]
    pub percentiles: Option<PathBuf>,
}

/// What one generator thread does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to.
    pub address: SocketAddr,
    /// The request, as sent.
    pub request: Vec<u8>,
    /// Nanoseconds between requests of this thread; `None`: closed loop.
    pub interval_ns: Option<f64>,
    /// Connections of this thread.
    pub connections: usize,
    /// Requests per connection; `u64::MAX`: no limit.
    pub calls_max: u64,
    /// Requests of this thread; `u64::MAX`: no limit.
    pub requests_max: u64,
    /// Time-out of one request.
    pub timeout_ns: u64,
    /// The measured part starts here, after the start of the run.
    pub measure_from_ns: u64,
    /// Requests are started before this time only.
    pub until_ns: u64,
    /// Expected body length.
    pub expect_bytes: Option<u64>,
    /// Whether bodies are checked against the first.
    pub has_checksum: bool,
}

impl Options {
    /// Checks the numbers against each other and makes the plan of each thread.
    ///
    /// Errors: a text that names the option and its value.
    pub fn plans(&self) -> Result<Vec<Plan>, String> {
        let address = self.address()?;
        if self.threads == 0 || self.connections < self.threads {
            return Err(format!(
                "--connections is {}, at least --threads ({}) and 1 needed",
                self.connections, self.threads
            ));
        }
        for (name, value) in [("--timeout", self.timeout), ("--seconds", self.seconds)] {
            if !(value > 0.0 && value < 1e6) {
                return Err(format!("{name} is {value}, a number above 0 and below 1000000 needed"));
            }
        }
        if !(0.0..1e6).contains(&self.warmup_seconds) {
            return Err(format!("--warmup-seconds is {}, 0 to 1000000 allowed", self.warmup_seconds));
        }
        if let Some(rate) = self.rate
            && !(rate > 0.0 && rate <= 1e7)
        {
            return Err(format!("--rate is {rate}, above 0 and at most 10000000 needed"));
        }
        let calls_max = if self.num_calls == 0 { u64::MAX } else { self.num_calls };
        let by_connections = self.num_conns.map(|conns| conns.saturating_mul(self.num_calls.max(1)));
        let requests_max = self.requests.unwrap_or(u64::MAX).min(by_connections.unwrap_or(u64::MAX));
        let measure_from_ns = to_ns(self.warmup_seconds);
        let plan = Plan {
            address,
            request: self.request(&self.uri),
            interval_ns: self.rate.map(|rate| 1e9 * self.threads as f64 / rate),
            connections: 0,
            calls_max,
            requests_max,
            timeout_ns: to_ns(self.timeout),
            measure_from_ns,
            until_ns: measure_from_ns + to_ns(self.seconds),
            expect_bytes: self.expect_bytes,
            has_checksum: self.checksum,
        };
        Ok((0..self.threads)
            .map(|thread| Plan {
                connections: share(self.connections as u64, thread, self.threads) as usize,
                requests_max: match requests_max {
                    u64::MAX => u64::MAX,
                    total => share(total, thread, self.threads),
                },
                ..plan.clone()
            })
            .collect())
    }

    /// The address that `--server` and `--port` name.
    pub fn address(&self) -> Result<SocketAddr, String> {
        (self.server.as_str(), self.port)
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .ok_or_else(|| format!("--server {}: no such host", self.server))
    }

    /// The request for `uri` as it is sent.
    pub fn request(&self, uri: &str) -> Vec<u8> {
        let mut text = format!("GET {uri} HTTP/1.1\r\nHost: {}:{}\r\n", self.server, self.port);
        for header in &self.headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        if self.connection_close && self.num_calls == 1 {
            text.push_str("Connection: close\r\n");
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

/// Part `index` of `total` in `parts` parts that differ by at most one.
fn share(total: u64, index: usize, parts: usize) -> u64 {
    let (index, parts) = (index as u64, parts as u64);
    total / parts + u64::from(index < total % parts)
}

fn to_ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::parse_from([&["clustercore-load"], arguments].concat())
    }

    #[test]
    fn totals_are_shared_out_without_loss() {
        let plans = options(&["--threads", "3", "--connections", "64", "--requests", "100", "--rate", "300"])
            .plans()
            .unwrap();
        assert_eq!(plans.iter().map(|plan| plan.connections).sum::<usize>(), 64);
        assert_eq!(plans.iter().map(|plan| plan.requests_max).sum::<u64>(), 100);
        assert!(plans.iter().all(|plan| plan.interval_ns == Some(1e7)));
    }

    #[test]
    fn connections_in_all_bound_the_requests() {
        let plans = options(&["--num-conns", "10", "--num-calls", "3"]).plans().unwrap();
        assert_eq!((plans[0].requests_max, plans[0].calls_max), (30, 3));
        let plans = options(&["--num-conns", "10"]).plans().unwrap();
        assert_eq!((plans[0].requests_max, plans[0].calls_max), (10, u64::MAX));
    }

    #[test]
    fn senseless_numbers_are_named() {
        for (arguments, word) in [
            (["--threads", "0"], "--threads"),
            (["--connections", "0"], "--connections"),
            (["--rate", "0"], "--rate"),
            (["--timeout", "0"], "--timeout"),
            (["--seconds", "nan"], "--seconds"),
            (["--warmup-seconds=-1", "--closed"], "--warmup-seconds"),
        ] {
            let error = options(&arguments).plans().unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_request_says_close_only_where_it_is_true() {
        let close = |arguments: &[&str]| {
            String::from_utf8(options(arguments).request("/x")).unwrap().contains("Connection: close")
        };
        assert!(close(&["--connection-close", "--num-calls", "1"]));
        assert!(!close(&["--connection-close"]));
    }
}
