//! Remote procedure calls between two shards on loopback: one thread each, `--outstanding` calls at a time.
//!
//! The server answers in its loop with the arguments that came. Prints one JSON line: calls per second, CPU nanoseconds per call at both
//! ends, latency, packets per call. Checks that every reply holds what its call sent.

use clap::Parser;
use clustercore::calls::{Answer, Arguments, CallError, CallOptions, Incoming, Method, Outcome, Status};
use clustercore::io::{DriverChoice, DriverConfig};
use clustercore::messages::EndpointConfig;
use clustercore::proto::datagram::{Config, Connection, Event};
use clustercore::proto::rpc;
use clustercore::{EndpointId, Shard};
use clustercore_perf::cpu;
use hdrhistogram::Histogram;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls itself.
#[derive(Parser, Clone)]
struct Options {
    /// auto, uring or epoll.
    #[arg(long, default_value = "uring")]
    driver: DriverChoice,
    /// Calls under way at a time.
    #[arg(long, default_value_t = 64)]
    outstanding: usize,
    /// Bytes of arguments and of results, at least 8.
    #[arg(long, default_value_t = 32)]
    bytes: usize,
    /// Spin for so many microseconds before a wait.
    #[arg(long, default_value_t = 0)]
    spin_us: u64,
    /// How long to call.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

const ECHO: Method = Method::new("clustercore.perf.Echo/Echo");

#[derive(Default)]
struct Side {
    calls: u64,
    cpu_ns: u64,
    turns: u64,
    packets: u64,
    stats: String,
    path: String,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    if options.bytes < 8 || options.outstanding == 0 {
        return Err("--bytes must be 8 at least, --outstanding 1".into());
    }
    let is_over = AtomicBool::new(false);
    let (tell, address) = mpsc::channel();
    let (called, served, latency, seconds) = std::thread::scope(|scope| -> Result<_, Failure> {
        let server = scope.spawn(|| serve(&options, tell, &is_over));
        let outcome = address.recv().map_err(Failure::from).and_then(|to| call(&options, to));
        // Release: pairs with the acquire load of the server.
        is_over.store(true, Ordering::Release);
        let served = server.join().expect("the server returns its errors")?;
        let (called, latency, seconds) = outcome?;
        Ok((called, served, latency, seconds))
    })?;
    let per_call = |value: u64, calls: u64| value as f64 / calls.max(1) as f64;
    let report = json!({
        "outstanding": options.outstanding,
        "bytes": options.bytes,
        "calls_per_second": called.calls as f64 / seconds,
        "calls": called.calls,
        "client_cpu_ns": per_call(called.cpu_ns, called.calls),
        "server_cpu_ns": per_call(served.cpu_ns, served.calls),
        "p50_us": latency.value_at_quantile(0.5) as f64 / 1000.0,
        "p99_us": latency.value_at_quantile(0.99) as f64 / 1000.0,
        "client_turns": called.turns,
        "server_turns": served.turns,
        "packets_per_call": per_call(called.packets + served.packets, called.calls),
        "path": called.path,
        "client": called.stats,
        "server": served.stats,
    });
    println!("{report}");
    Ok(())
}

fn open(options: &Options) -> Result<(Shard, EndpointId), Failure> {
    let driver = DriverConfig { spin_ns: options.spin_us * 1000, ..DriverConfig::default() };
    let mut shard = Shard::builder().driver(options.driver).config(driver).build()?;
    let config = EndpointConfig {
        machine: Config { is_path_known: true, ..Config::default() },
        calls: Some(rpc::Config::default()),
        ..EndpointConfig::default()
    };
    let endpoint = shard.open_endpoint((Ipv4Addr::LOCALHOST, 0).into(), config)?;
    Ok((shard, endpoint))
}

fn serve(options: &Options, tell: mpsc::Sender<SocketAddr>, is_over: &AtomicBool) -> Result<Side, Failure> {
    let (mut shard, endpoint) = open(options)?;
    shard.turn()?;
    tell.send(shard.endpoint_address(endpoint)?)?;
    let mut side = Side::default();
    let mut cpu_start = None;
    // Acquire: pairs with the release store at the end of the run.
    while !is_over.load(Ordering::Acquire) {
        shard.turn_for(Some(Duration::from_millis(20)))?;
        side.turns += 1;
        let calls = &mut side.calls;
        shard.answer_calls(|_, call, results| {
            *calls += 1;
            if call.method != ECHO {
                return Answer::Refused(Status::Unimplemented);
            }
            results.extend_from_slice(call.arguments);
            Answer::Done
        });
        if side.calls > 0 {
            cpu_start.get_or_insert_with(cpu::thread_ns);
        }
        shard.connection_events().for_each(drop);
    }
    side.cpu_ns = cpu::thread_ns() - cpu_start.unwrap_or_else(cpu::thread_ns);
    side.packets = shard.endpoint_stats(endpoint)?.packets_sent;
    side.stats = format!("{:?} {:?}", shard.call_stats(endpoint)?, shard.endpoint_stats(endpoint)?);
    Ok(side)
}

fn connect(shard: &mut Shard, endpoint: EndpointId, to: SocketAddr) -> Result<Connection, Failure> {
    let connection = shard.connect(endpoint, to, None)?;
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        shard.turn_for(Some(Duration::from_millis(10)))?;
        for (_, event) in shard.connection_events() {
            match event {
                Event::Connected { .. } => return Ok(connection),
                Event::Gone { reason, .. } => return Err(format!("no connection: {reason:?}").into()),
                _ => {}
            }
        }
    }
    Err("no connection within 5 s".into())
}

fn call(options: &Options, to: SocketAddr) -> Result<(Side, Histogram<u64>, f64), Failure> {
    let (mut shard, endpoint) = open(options)?;
    let connection = connect(&mut shard, endpoint, to)?;
    let mut latency = Histogram::new(3)?;
    let mut side = Side::default();
    let mut arguments = vec![0x5a_u8; options.bytes];
    // When the call of each token began; a token that is back is used again.
    let mut began = vec![Instant::now(); options.outstanding];
    let mut idle: Vec<usize> = (0..options.outstanding).collect();
    let before = shard.endpoint_stats(endpoint)?.packets_sent;
    let (started, cpu_start) = (Instant::now(), cpu::thread_ns());
    let until = started + Duration::from_secs_f64(options.seconds);
    let mut now = started;
    while now < until || idle.len() < options.outstanding {
        while now < until
            && let Some(token) = idle.pop()
        {
            arguments[..8].copy_from_slice(&(token as u64).to_le_bytes());
            let call = Arguments { method: ECHO, bytes: &arguments, has_parts: false };
            let wanted = CallOptions {
                token: token as u64,
                timeout: Some(Duration::from_secs(5)),
                ..CallOptions::default()
            };
            match shard.call(endpoint, connection, &call, &wanted) {
                Ok(_) => began[token] = now,
                Err(CallError::WouldBlock) => {
                    idle.push(token);
                    break;
                }
                Err(error) => return Err(format!("call: {error:?}").into()),
            }
        }
        shard.turn_for(Some(Duration::from_millis(20)))?;
        side.turns += 1;
        now = Instant::now();
        for (_, incoming) in shard.call_events() {
            let Incoming::Reply(reply) = incoming else { continue };
            let is_right = reply.status == Status::Ok
                && reply.outcome == Outcome::Executed
                && reply.results.len() == options.bytes
                && reply.results[..8] == reply.token.to_le_bytes();
            if !is_right {
                return Err(format!("{}: {} {:?}", reply.token, reply.status, reply.text).into());
            }
            let token = reply.token as usize;
            latency.record((now - began[token]).as_nanos() as u64)?;
            side.calls += 1;
            idle.push(token);
        }
        shard.connection_events().for_each(drop);
    }
    side.cpu_ns = cpu::thread_ns() - cpu_start;
    let seconds = started.elapsed().as_secs_f64();
    side.packets = shard.endpoint_stats(endpoint)?.packets_sent - before;
    side.stats = format!("{:?} {:?}", shard.call_stats(endpoint)?, shard.endpoint_stats(endpoint)?);
    side.path = format!("{:?}", shard.path(endpoint, connection)?);
    Ok((side, latency, seconds))
}
