//! `clustercore-load`: the HTTP load generator.

use clap::Parser;
use clustercore_perf::aside::{IdleClients, SlowReaders};
use clustercore_perf::options::{Options, Plan};
use clustercore_perf::tally::{Failure, Tally};
use clustercore_perf::worker::{Shared, Worker};
use clustercore_perf::{cpu, socket};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(report) => {
            let text = if options.json { format!("{}\n", Value::Object(report)) } else { to_text(&report) };
            // A reader that has seen enough, such as `head`, is no failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("clustercore-load: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<Map<String, Value>, String> {
    socket::raise_descriptor_limit();
    let plans = options.plans()?;
    let idle = IdleClients::connect(options)?;
    let slow = SlowReaders::connect(options)?;
    let (shared, stop) = (Shared::default(), AtomicBool::new(false));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| slow.run(&stop));
        let (sender, receiver) = channel();
        for plan in &plans {
            let (sender, shared) = (sender.clone(), &shared);
            scope.spawn(move || {
                let outcome = Worker::new(plan, shared, start).and_then(Worker::run);
                // The receiver waits for all threads, or has given up after an error of another one.
                let _ = sender.send(outcome.map_err(|error| format!("generator thread: {error}")));
            });
        }
        drop(sender);
        let outcome = watch(options, &plans[0], &shared, start, &receiver);
        // Release: pairs with the acquire load of the slow readers.
        stop.store(true, Ordering::Release);
        let slow = slow.join().map_err(|_| "slow readers ended early".to_owned())?;
        let (tally, mut report) = outcome?;
        if options.slow_readers > 0 {
            report.insert("slow".to_owned(), slow);
        }
        if options.idle > 0 {
            report.insert("idle".to_owned(), idle.report());
        }
        if let Some(checksum) = shared.checksum() {
            report.insert("body_crc32c".to_owned(), json!(format!("{checksum:08x}")));
        }
        if let Some(path) = &options.percentiles {
            std::fs::write(path, tally.percentile_lines())
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(report)
    })
}

/// Waits for the threads, reads the watched processes at both ends of the measured part, and adds everything up.
fn watch(
    options: &Options,
    plan: &Plan,
    shared: &Shared,
    start: Instant,
    receiver: &Receiver<Result<Tally, String>>,
) -> Result<(Tally, Map<String, Value>), String> {
    let (from, until) = (Duration::from_nanos(plan.measure_from_ns), Duration::from_nanos(plan.until_ns));
    let (mut total, mut finished) = (Tally::default(), 0);
    let (mut before, mut after) = (None, None);
    let mut progress = Progress::new(shared);
    while finished < options.threads {
        let now = start.elapsed();
        if before.is_none() && now >= from {
            before = Some(sample(&options.watch_pids)?);
        }
        if after.is_none() && now >= until {
            after = Some(sample(&options.watch_pids)?);
        }
        progress.show(now);
        let next = [from, until, now + Duration::from_secs(1)].into_iter().find(|&time| time > now);
        match receiver.recv_timeout(next.unwrap_or(now + Duration::from_secs(1)) - now) {
            Ok(tally) => {
                total.add(&tally?);
                finished += 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("a generator thread ended early".to_owned()),
        }
    }
    progress.end();
    // A run bounded by a number of requests ends with its last answer.
    let window_ns = match after {
        Some(_) => plan.until_ns - plan.measure_from_ns,
        None => total.last_answer_ns.saturating_sub(plan.measure_from_ns),
    };
    let after = after.map_or_else(|| sample(&options.watch_pids), Ok)?;
    let mut report = total.to_json(window_ns);
    report.insert("target_rate".to_owned(), json!(options.rate));
    report.insert("connections".to_owned(), json!(options.connections));
    if let (false, Some(before)) = (options.watch_pids.is_empty(), before) {
        let spent: Vec<u64> = before.iter().zip(&after).map(|(from, to)| to.saturating_sub(*from)).collect();
        let sum = spent.iter().sum::<u64>() as f64 / 1e3;
        report.insert("watched_cpu_us".to_owned(), json!(sum));
        let answered = total.answered_in_window;
        let per_request = (answered > 0).then(|| sum / answered as f64);
        report.insert("watched_cpu_us_per_request".to_owned(), json!(per_request));
    }
    Ok((total, report))
}

fn sample(pids: &[u32]) -> Result<Vec<u64>, String> {
    pids.iter()
        .map(|&pid| cpu::process_ns(pid).map_err(|error| format!("--watch-pid {pid}: {error}")))
        .collect()
}

/// A line on standard error once a second, only where somebody looks at it.
struct Progress<'a> {
    shared: &'a Shared,
    is_shown: bool,
    answered_before: u64,
    next: Duration,
}

impl<'a> Progress<'a> {
    fn new(shared: &'a Shared) -> Self {
        let is_shown = std::io::stderr().is_terminal();
        Self { shared, is_shown, answered_before: 0, next: Duration::from_secs(1) }
    }

    fn show(&mut self, now: Duration) {
        if !self.is_shown || now < self.next {
            return;
        }
        self.next = now + Duration::from_secs(1);
        let answered = self.shared.answered.load(Ordering::Relaxed); // Relaxed: a figure to look at
        let rate = answered - std::mem::replace(&mut self.answered_before, answered);
        // Progress that cannot be written is not missed.
        let _ =
            write!(std::io::stderr(), "\r{:>5.0} s  {answered:>12} answers  {rate:>9}/s ", now.as_secs_f64());
    }

    fn end(&self) {
        if self.is_shown {
            eprintln!();
        }
    }
}

/// The report for people.
fn to_text(report: &Map<String, Value>) -> String {
    let mut text = String::new();
    let number = |name: &str| report.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let _ = writeln!(
        text,
        "{:.0} answers in {:.2} s: {:.1}/s",
        number("answered_in_window"),
        number("seconds"),
        number("rate")
    );
    for name in ["connect_us", "send_lag_us", "first_byte_us", "last_byte_us"] {
        let Some(figures) = report.get(name).filter(|figures| figures.is_object()) else { continue };
        let figure = |key: &str| figures[key].as_f64().unwrap_or(0.0);
        let _ = writeln!(
            text,
            "{name:<14} min {:.1}  mean {:.1}  p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1}",
            figure("min"),
            figure("mean"),
            figure("p50"),
            figure("p90"),
            figure("p99"),
            figure("p999"),
            figure("max"),
        );
    }
    let _ = writeln!(text, "failed {:.0}", number("failed"));
    let names = Failure::ALL.iter().map(|failure| failure.name()).chain(["status_4xx", "status_5xx"]);
    for name in names {
        let count = report["errors"][name].as_u64().unwrap_or(0);
        if count > 0 {
            let _ = writeln!(text, "  {name} {count}");
        }
    }
    let _ = writeln!(text, "generator CPU {:.2} us per request", number("generator_cpu_us_per_request"));
    if let Some(cpu) = report.get("watched_cpu_us_per_request").and_then(Value::as_f64) {
        let _ = writeln!(text, "watched CPU {cpu:.2} us per request");
    }
    for name in ["slow", "idle", "body_crc32c"] {
        if let Some(value) = report.get(name) {
            let _ = writeln!(text, "{name} {value}");
        }
    }
    text
}
