//! What a generator thread counts: latencies in histograms, errors in classes, and the report made of both.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Why a request has no good answer. An answer with a status of 400 or more is counted by its status instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection was not made.
    Connect,
    /// No complete answer within the time-out.
    Timeout,
    /// The connection was reset, or failed in another way.
    Reset,
    /// The connection was closed before the first byte of the answer.
    Closed,
    /// The connection was closed inside the answer.
    Truncated,
    /// The answer's framing is not HTTP.
    Framing,
    /// The body has another length or checksum than expected.
    Corrupt,
    /// This process has no descriptor or local port left.
    Descriptors,
    /// The run ended before the request was sent: more was due than the connections could carry.
    Unsent,
}

impl Failure {
    /// All classes, in the order of the report.
    pub const ALL: [Failure; 9] = [
        Failure::Connect,
        Failure::Timeout,
        Failure::Reset,
        Failure::Closed,
        Failure::Truncated,
        Failure::Framing,
        Failure::Corrupt,
        Failure::Descriptors,
        Failure::Unsent,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::Timeout => "timeout",
            Failure::Reset => "reset",
            Failure::Closed => "closed",
            Failure::Truncated => "truncated",
            Failure::Framing => "framing",
            Failure::Corrupt => "corrupt",
            Failure::Descriptors => "descriptors",
            Failure::Unsent => "unsent",
        }
    }
}

/// Times of one answered request, nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When it was due (open loop) or sent (closed loop).
    pub intended_ns: u64,
    /// When it was sent.
    pub sent_ns: u64,
    /// When the first byte of the answer arrived.
    pub first_ns: u64,
    /// When the last byte arrived.
    pub last_ns: u64,
}

/// Counters and histograms of one thread, or of several added up.
pub struct Tally {
    /// From the intended time to the first byte, nanoseconds.
    pub first_byte: Histogram<u64>,
    /// From the intended time to the last byte, nanoseconds.
    pub last_byte: Histogram<u64>,
    /// From the intended to the real sending: how late this generator, or the free connections, were.
    pub send_lag: Histogram<u64>,
    /// Time to connect, nanoseconds.
    pub connect: Histogram<u64>,
    failures: [u64; Failure::ALL.len()],
    /// Answers by hundreds of their status, index 1 to 5.
    statuses: [u64; 6],
    /// Requests due in the measured part, answered or not.
    pub requests: u64,
    /// Answers that arrived in the measured part: what CPU time per request is divided by.
    pub answered_in_window: u64,
    /// Body bytes of the answers counted.
    pub body_bytes: u64,
    /// When the last answer came, nanoseconds since the start.
    pub last_answer_ns: u64,
    /// CPU time of the generator threads over the whole run.
    pub cpu_ns: u64,
    /// Requests of the whole run, warm-up included.
    pub requests_all: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("constant bounds");
        Self {
            first_byte: histogram(),
            last_byte: histogram(),
            send_lag: histogram(),
            connect: histogram(),
            failures: [0; Failure::ALL.len()],
            statuses: [0; 6],
            requests: 0,
            answered_in_window: 0,
            body_bytes: 0,
            last_answer_ns: 0,
            cpu_ns: 0,
            requests_all: 0,
        }
    }
}

impl Tally {
    /// Counts an answered request of the measured part.
    pub fn answered(&mut self, times: Times, status: u16, body_bytes: u64) {
        self.requests += 1;
        self.statuses[usize::from(status / 100).min(5)] += 1;
        self.body_bytes += body_bytes;
        self.last_answer_ns = self.last_answer_ns.max(times.last_ns);
        // A quick refusal must not make the latencies look good.
        if status < 400 {
            self.first_byte.saturating_record(times.first_ns.saturating_sub(times.intended_ns));
            self.last_byte.saturating_record(times.last_ns.saturating_sub(times.intended_ns));
            self.send_lag.saturating_record(times.sent_ns.saturating_sub(times.intended_ns));
        }
    }

    /// Counts a request of the measured part that failed.
    pub fn failed(&mut self, failure: Failure) {
        self.requests += 1;
        self.failures[failure as usize] += 1;
    }

    /// Requests of one failure class.
    pub fn failures(&self, failure: Failure) -> u64 {
        self.failures[failure as usize]
    }

    /// Requests without a good answer: failures and answers of status 400 and more.
    pub fn bad(&self) -> u64 {
        self.failures.iter().sum::<u64>() + self.statuses[4] + self.statuses[5]
    }

    /// Adds the figures of another thread.
    pub fn add(&mut self, other: &Tally) {
        for (into, from) in [
            (&mut self.first_byte, &other.first_byte),
            (&mut self.last_byte, &other.last_byte),
            (&mut self.send_lag, &other.send_lag),
            (&mut self.connect, &other.connect),
        ] {
            into.add(from).expect("equal bounds");
        }
        for (into, from) in self.failures.iter_mut().zip(other.failures) {
            *into += from;
        }
        for (into, from) in self.statuses.iter_mut().zip(other.statuses) {
            *into += from;
        }
        self.requests += other.requests;
        self.answered_in_window += other.answered_in_window;
        self.body_bytes += other.body_bytes;
        self.last_answer_ns = self.last_answer_ns.max(other.last_answer_ns);
        self.cpu_ns += other.cpu_ns;
        self.requests_all += other.requests_all;
    }

    /// The figures as JSON; `window_ns` is the length of the measured part.
    pub fn to_json(&self, window_ns: u64) -> Map<String, Value> {
        let seconds = window_ns as f64 / 1e9;
        let mut errors: Map<String, Value> = Failure::ALL
            .iter()
            .map(|&class| (class.name().to_owned(), json!(self.failures(class))))
            .collect();
        errors.insert("status_4xx".to_owned(), json!(self.statuses[4]));
        errors.insert("status_5xx".to_owned(), json!(self.statuses[5]));
        let Value::Object(report) = json!({
            "seconds": seconds,
            "requests": self.requests,
            "requests_all": self.requests_all,
            "answered_in_window": self.answered_in_window,
            "rate": if seconds > 0.0 { self.answered_in_window as f64 / seconds } else { 0.0 },
            "ok": self.statuses[1] + self.statuses[2] + self.statuses[3],
            "failed": self.bad(),
            "errors": errors,
            "body_bytes": self.body_bytes,
            "first_byte_us": summary(&self.first_byte),
            "last_byte_us": summary(&self.last_byte),
            "send_lag_us": summary(&self.send_lag),
            "connect_us": summary(&self.connect),
            "generator_cpu_us_per_request": if self.requests_all == 0 { 0.0 } else {
                self.cpu_ns as f64 / 1e3 / self.requests_all as f64
            },
        }) else {
            unreachable!("an object literal is an object")
        };
        report
    }

    /// The latency to the last byte as lines "percentile microseconds".
    pub fn percentile_lines(&self) -> String {
        let mut text = String::from("# percentile last_byte_us\n");
        for step in self.last_byte.iter_quantiles(10) {
            let (quantile, us) = (step.quantile_iterated_to() * 100.0, step.value_iterated_to() as f64 / 1e3);
            writeln!(text, "{quantile:.6} {us:.1}").expect("writing to a string");
        }
        text
    }
}

/// Percentiles of `histogram` (nanoseconds) in microseconds.
fn summary(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let us = |ns: u64| ns as f64 / 1e3;
    json!({
        "count": histogram.len(),
        "min": us(histogram.min()),
        "mean": histogram.mean() / 1e3,
        "p50": us(histogram.value_at_quantile(0.5)),
        "p90": us(histogram.value_at_quantile(0.9)),
        "p99": us(histogram.value_at_quantile(0.99)),
        "p999": us(histogram.value_at_quantile(0.999)),
        "max": us(histogram.max()),
    })
}

const LATENCY_NS_MAX: u64 = 600_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn times(intended_us: u64, sent_us: u64, first_us: u64, last_us: u64) -> Times {
        Times {
            intended_ns: intended_us * 1000,
            sent_ns: sent_us * 1000,
            first_ns: first_us * 1000,
            last_ns: last_us * 1000,
        }
    }

    #[test]
    fn latency_counts_from_the_intended_time() {
        let mut tally = Tally::default();
        tally.answered(times(0, 900, 950, 1000), 200, 10);
        let report = tally.to_json(1_000_000_000);
        assert!((report["last_byte_us"]["p50"].as_f64().unwrap() - 1000.0).abs() < 2.0);
        assert!((report["first_byte_us"]["p50"].as_f64().unwrap() - 950.0).abs() < 2.0);
        assert!((report["send_lag_us"]["p50"].as_f64().unwrap() - 900.0).abs() < 2.0);
    }

    #[test]
    fn refusals_are_counted_and_kept_out_of_the_latencies() {
        let mut tally = Tally::default();
        tally.answered(times(0, 0, 5, 5), 503, 0);
        tally.answered(times(0, 0, 100, 100), 200, 0);
        tally.failed(Failure::Truncated);
        assert_eq!((tally.requests, tally.bad(), tally.last_byte.len()), (3, 2, 1));
        let report = tally.to_json(1);
        assert_eq!(report["errors"]["status_5xx"], json!(1));
        assert_eq!(report["errors"]["truncated"], json!(1));
        assert_eq!(report["ok"], json!(1));
    }

    #[test]
    fn threads_add_up() {
        let (mut sum, mut other) = (Tally::default(), Tally::default());
        sum.answered(times(0, 0, 1, 1), 200, 3);
        other.answered(times(0, 0, 1, 7), 200, 4);
        other.failed(Failure::Timeout);
        sum.add(&other);
        assert_eq!((sum.requests, sum.body_bytes, sum.last_answer_ns), (3, 7, 7000));
        assert_eq!(sum.failures(Failure::Timeout), 1);
        assert_eq!(sum.last_byte.len(), 2);
    }

    #[test]
    fn an_empty_run_reports_no_percentiles() {
        let report = Tally::default().to_json(0);
        assert_eq!(report["last_byte_us"], Value::Null);
        assert_eq!(report["rate"], json!(0.0));
    }

    #[test]
    fn every_failure_has_its_own_name() {
        let mut names: Vec<&str> = Failure::ALL.iter().map(|failure| failure.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Failure::ALL.len());
        assert!(Failure::ALL.iter().enumerate().all(|(index, &failure)| failure as usize == index));
    }
}
