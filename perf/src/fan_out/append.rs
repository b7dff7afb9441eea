//! One supplier whose events the server puts on disk before it acknowledges them: so many in flight at once.

use super::body::Mark;
use super::connection::{BUFFER_BYTES, Connection, LoadError};
use super::plan::Plan;
use super::protocol::{Durable, Item};
use crate::cpu;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A supplier with its events in flight, oldest first.
struct Supplier<'a, P> {
    plan: &'a Plan,
    protocol: P,
    connection: Connection,
    in_flight: VecDeque<Instant>,
    out: Vec<u8>,
    buffer: Vec<u8>,
    emitted: u64,
    kept: u64,
    latency: Histogram<u64>,
}

/// Emits for the time of the plan with `in_flight` events unacknowledged, and reports the measured part.
pub fn run(plan: &Plan, protocol: impl Durable, in_flight: usize) -> Result<Value, LoadError> {
    let (mut greeting, mut buffer) = (Vec::new(), vec![0; BUFFER_BYTES]);
    protocol.open_supplier(&mut greeting);
    let connection = Connection::open(plan.to, &greeting, &protocol, &mut buffer, plan.patience())?;
    let latency = Histogram::new_with_bounds(1, 100_000_000_000, 3);
    let latency = latency.expect("bounds and digits are within what histograms allow");
    let (in_flight_now, out) = (VecDeque::with_capacity(in_flight), Vec::new());
    let mut supplier = Supplier {
        plan,
        protocol,
        connection,
        in_flight: in_flight_now,
        out,
        buffer,
        emitted: 0,
        kept: 0,
        latency,
    };
    supplier.emit_for(Duration::from_secs_f64(plan.warmup_seconds), in_flight)?;
    supplier.latency.reset();
    let server_ns = || plan.watch_pids.iter().map(|&pid| cpu::process_ns(pid)).sum::<std::io::Result<u64>>();
    let (kept, before_ns, begin) = (supplier.kept, server_ns()?, Instant::now());
    supplier.emit_for(Duration::from_secs_f64(plan.seconds), in_flight)?;
    let (seconds, kept) = (begin.elapsed().as_secs_f64(), supplier.kept - kept);
    let latency = &supplier.latency;
    Ok(json!({
        "in_flight": in_flight,
        "bytes": plan.bytes,
        "seconds": seconds,
        "records": kept,
        "records_per_second": kept as f64 / seconds,
        "server_cpu_ns": server_ns()?.saturating_sub(before_ns) as f64 / kept as f64,
        "latency_p50_us": latency.value_at_quantile(0.5) as f64 / 1000.0,
        "latency_p99_us": latency.value_at_quantile(0.99) as f64 / 1000.0,
    }))
}

impl<P: Durable> Supplier<'_, P> {
    /// Keeps so many in flight for so long, and ends when all are acknowledged.
    fn emit_for(&mut self, length: Duration, in_flight: usize) -> Result<(), LoadError> {
        let (end, patience) = (Instant::now() + length, self.plan.patience());
        let mut body = vec![FILLING; self.plan.bytes];
        loop {
            let now = Instant::now();
            while now < end && self.in_flight.len() < in_flight {
                Mark { number: self.emitted, due_ns: 0 }.write(&mut body);
                self.protocol.keep(&body, &mut self.out);
                self.in_flight.push_back(now);
                self.emitted += 1;
            }
            let sent = self.connection.send(&self.out)?;
            self.out.drain(..sent);
            if self.in_flight.is_empty() {
                return Ok(());
            }
            if !self.connection.wait(patience)? {
                return Err(LoadError::Late {
                    delivered: self.kept,
                    expected: self.emitted,
                    within: patience,
                });
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<(), LoadError> {
        let (in_flight, kept, latency) = (&mut self.in_flight, &mut self.kept, &mut self.latency);
        let now = Instant::now();
        self.connection.read(&self.protocol, &mut self.buffer, |item| {
            if item == Item::Kept
                && let Some(emitted) = in_flight.pop_front()
            {
                *kept += 1;
                latency.saturating_record(now.duration_since(emitted).as_nanos() as u64);
            }
            Ok(())
        })?;
        Ok(())
    }
}

const FILLING: u8 = 0x5a;
