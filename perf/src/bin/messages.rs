//! Reliable messages between two shards on loopback: one thread each, one way or back and forth.
//!
//! One way, `--form batch` sends many at a time and reads runs as they lie, `--form each` sends one by one and makes an event object of every
//! message. Prints one JSON line:
//! messages per second at the receiver, CPU nanoseconds per message at both ends, what the protocol counted. Checks that every
//! message arrives once and in order.

use clap::{Parser, ValueEnum};
use clustercore::io::{DriverChoice, DriverConfig};
use clustercore::messages::EndpointConfig;
use clustercore::proto::datagram::{Config, Connection, Event, GoneReason, SendError, StreamId, StreamKind};
use clustercore::security::{Access, Mode, PrivateKey};
use clustercore::{EndpointId, Shard};
use clustercore_perf::cpu;
use hdrhistogram::Histogram;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sends reliable messages to itself, or between two programs: one with --listen, one with --to.
#[derive(Parser, Clone)]
struct Options {
    /// auto, uring or epoll.
    #[arg(long, default_value = "uring")]
    driver: DriverChoice,
    /// One way as fast as it goes, or one message back and forth.
    #[arg(long, value_enum, default_value = "stream")]
    work: Work,
    /// How the receiver reads.
    #[arg(long, value_enum, default_value = "batch")]
    form: Form,
    /// Bytes per message.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Window of the connection in KiB.
    #[arg(long, default_value_t = 4096)]
    window_kib: usize,
    /// Bytes of a packet.
    #[arg(long, default_value_t = 1472)]
    packet: usize,
    /// Spin for so many microseconds before a wait.
    #[arg(long, default_value_t = 0)]
    spin_us: u64,
    /// How long to send.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only receive, on this address, until the sender is gone.
    #[arg(long, conflicts_with = "to")]
    listen: Option<SocketAddr>,
    /// Only send, to this address.
    #[arg(long)]
    to: Option<SocketAddr>,
    /// Write a trace of the sender (qlog) to this file.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// With keys: both ends proven, every packet sealed.
    #[arg(long, conflicts_with_all = ["listen", "to"])]
    secure: bool,
    /// Give a silent peer up after so many seconds.
    #[arg(long, default_value_t = 10.0)]
    gone_after: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Work {
    Stream,
    Ping,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Batch,
    Each,
}

/// A message as an object of its own.
struct MessageEvent<'a> {
    connection: Connection,
    stream: StreamId,
    sequence: u64,
    payload: &'a [u8],
}

#[derive(Default)]
struct Side {
    messages: u64,
    cpu_ns: u64,
    turns: u64,
    checksum: u64,
    packets: u64,
    stats: String,
    gone: String,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    match (options.listen, options.to) {
        (Some(_), _) => return listen(&options),
        (None, Some(to)) => return send_alone(&options, to),
        (None, None) => {}
    }
    let is_over = AtomicBool::new(false);
    let (tell, address) = mpsc::channel();
    let (sent, received, latency) = std::thread::scope(|scope| -> Result<_, Failure> {
        let receiver = scope.spawn(|| receive(&options, tell, &is_over));
        let outcome = address.recv().map_err(Failure::from).and_then(|to| match options.work {
            Work::Stream => {
                send(&options, to).map(|side| (side, Histogram::new(3).expect("3 digits are fine")))
            }
            Work::Ping => ping(&options, to),
        });
        // Release: pairs with the acquire load of the receiver.
        is_over.store(true, Ordering::Release);
        let received = receiver.join().expect("the receiver returns its errors")?;
        let (sent, latency) = outcome?;
        Ok((sent, received, latency))
    })?;
    let per_message = |side: &Side| side.cpu_ns as f64 / side.messages.max(1) as f64;
    let report = json!({
        "work": if options.work == Work::Stream { "stream" } else { "ping" },
        "form": if options.form == Form::Batch { "batch" } else { "each" },
        "bytes": options.bytes,
        "is_secure": options.secure,
        "messages_per_second": received.messages as f64 / options.seconds,
        "sent": sent.messages,
        "received": received.messages,
        "packets": sent.packets,
        "sender_cpu_ns": per_message(&sent),
        "receiver_cpu_ns": per_message(&received),
        "sender_turns": sent.turns,
        "receiver_turns": received.turns,
        "round_trip_p50_us": latency.value_at_quantile(0.5) as f64 / 1000.0,
        "round_trip_p99_us": latency.value_at_quantile(0.99) as f64 / 1000.0,
        "sender": sent.stats,
        "receiver": received.stats,
        "checksum": format!("{:016x}", received.checksum),
    });
    println!("{report}");
    if options.work == Work::Stream && sent.messages != received.messages {
        return Err(
            format!("{} messages were sent, {} have arrived", sent.messages, received.messages).into()
        );
    }
    Ok(())
}

/// Receives until the sender is gone, and prints what came.
fn listen(options: &Options) -> Result<(), Failure> {
    let (tell, address) = mpsc::channel();
    // Printed when it is bound, so that who waits for the line can start to send.
    let teller = std::thread::spawn(move || {
        if let Ok(address) = address.recv() {
            println!("listening on {address}");
        }
    });
    let side = receive(options, tell, &AtomicBool::new(false))?;
    teller.join().expect("the teller prints and ends");
    println!("{}", json!({ "received": side.messages, "cpu_ns": side.cpu_ns, "stats": side.stats }));
    Ok(())
}

/// Sends for so long, and prints what became of it.
fn send_alone(options: &Options, to: SocketAddr) -> Result<(), Failure> {
    let started = Instant::now();
    let side = send(options, to)?;
    let seconds = started.elapsed().as_secs_f64();
    let report = json!({
        "sent": side.messages,
        "seconds": seconds,
        "bytes_per_second": (side.messages as usize * options.bytes) as f64 / seconds,
        "cpu_ns": side.cpu_ns,
        "gone": side.gone,
        "stats": side.stats,
    });
    println!("{report}");
    Ok(())
}

fn open(options: &Options, trace: Option<&PathBuf>) -> Result<(Shard, EndpointId), Failure> {
    let driver = DriverConfig { spin_ns: options.spin_us * 1000, ..DriverConfig::default() };
    let mut shard = Shard::builder().driver(options.driver).config(driver).build()?;
    let window = options.window_kib << 10;
    let machine = Config {
        receive_window: window,
        stream_window: window,
        send_buffer_bytes: window.max(2 << 20),
        packet_bytes_max: options.packet,
        is_path_known: options.listen.is_none() && options.to.is_none(),
        gone_after: Duration::from_secs_f64(options.gone_after),
        ..Config::default()
    };
    let insecure = options.listen.is_some() || options.to.is_some();
    let security = options.secure.then(|| Mode::Secure { key: KEY.clone(), access: Access::Any });
    let config = EndpointConfig {
        machine,
        security,
        insecure,
        receive_buffer_bytes: 16 << 20,
        trace_path: trace.cloned(),
        ..EndpointConfig::default()
    };
    let anywhere = if insecure { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let endpoint = shard.open_endpoint(options.listen.unwrap_or((anywhere, 0).into()), config)?;
    Ok((shard, endpoint))
}

fn connect(
    options: &Options,
    shard: &mut Shard,
    endpoint: EndpointId,
    to: SocketAddr,
) -> Result<Connection, Failure> {
    let connection = shard.connect(endpoint, to, options.secure.then(|| *KEY.public().as_bytes()))?;
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

fn send(options: &Options, to: SocketAddr) -> Result<Side, Failure> {
    let (mut shard, endpoint) = open(options, options.trace.as_ref())?;
    let connection = connect(options, &mut shard, endpoint, to)?;
    let payload = vec![0x5a_u8; options.bytes];
    let mut side = Side::default();
    let (started, cpu_start) = (Instant::now(), cpu::thread_ns());
    let until = started + Duration::from_secs_f64(options.seconds);
    loop {
        // As much as fits, then a turn.
        let (sent, outcome) = match options.form {
            Form::Batch => {
                let burst = std::iter::repeat_n(&payload[..], BURST);
                shard.send_many(endpoint, connection, StreamId::DEFAULT, burst)
            }
            Form::Each => send_each(&mut shard, endpoint, connection, &payload),
        };
        let blocked = match outcome {
            Ok(()) => false,
            Err(SendError::WouldBlock) => true,
            Err(error) => return Err(format!("send: {error:?}").into()),
        };
        side.messages += sent as u64;
        side.turns += 1;
        if Instant::now() >= until {
            break;
        }
        // Who was refused waits until it is told that there is room: small trains would be the price of haste.
        let mut has_room = false;
        while !has_room && Instant::now() < until {
            shard.turn_for(Some(if blocked { Duration::from_millis(50) } else { Duration::ZERO }))?;
            has_room = !blocked;
            for (_, event) in shard.connection_events() {
                match event {
                    Event::Writable { .. } => has_room = true,
                    Event::Gone { reason, unconfirmed, .. } => {
                        side.cpu_ns = cpu::thread_ns() - cpu_start;
                        side.gone = in_words(&reason, &unconfirmed);
                        return Ok(side);
                    }
                    _ => {}
                }
            }
        }
    }
    side.cpu_ns = cpu::thread_ns() - cpu_start;
    shard.close_connection(endpoint, connection, 0, "", true)?;
    let until = Instant::now() + Duration::from_secs_f64(10.0 + options.gone_after);
    while Instant::now() < until && side.gone.is_empty() {
        shard.turn_for(Some(Duration::from_millis(10)))?;
        side.gone = gone(&mut shard).unwrap_or_default();
    }
    shard.turn()?;
    let stats = shard.endpoint_stats(endpoint)?;
    (side.packets, side.stats) = (stats.packets_sent, format!("{stats:?}"));
    Ok(side)
}

fn send_each(
    shard: &mut Shard,
    endpoint: EndpointId,
    connection: Connection,
    payload: &[u8],
) -> (usize, Result<(), SendError>) {
    for sent in 0..BURST {
        if let Err(error) = shard.send(endpoint, connection, StreamId::DEFAULT, payload) {
            return (sent, Err(error));
        }
    }
    (BURST, Ok(()))
}

/// Why the connection is over, if it is, and how many messages are not known to have arrived.
fn gone(shard: &mut Shard) -> Option<String> {
    let mut over = None;
    for (_, event) in shard.connection_events() {
        if let Event::Gone { reason, unconfirmed, .. } = event {
            over = Some(in_words(&reason, &unconfirmed));
        }
    }
    over
}

fn in_words(reason: &GoneReason, unconfirmed: &[(StreamId, u64, u64)]) -> String {
    let count: u64 = unconfirmed.iter().map(|(_, first, last)| last - first + 1).sum();
    format!("{reason:?}, {count} unconfirmed")
}

fn ping(options: &Options, to: SocketAddr) -> Result<(Side, Histogram<u64>), Failure> {
    let (mut shard, endpoint) = open(options, options.trace.as_ref())?;
    let connection = connect(options, &mut shard, endpoint, to)?;
    let payload = vec![0x5a_u8; options.bytes];
    let mut latency = Histogram::new(3)?;
    let mut side = Side::default();
    let until = Instant::now() + Duration::from_secs_f64(options.seconds);
    let cpu_start = cpu::thread_ns();
    while Instant::now() < until {
        let started = Instant::now();
        shard
            .send(endpoint, connection, PING_STREAM, &payload)
            .map_err(|error| format!("send: {error:?}"))?;
        let mut has_answer = false;
        while !has_answer {
            shard.turn_for(Some(Duration::from_millis(1000)))?;
            has_answer = shard.messages().next().is_some();
            if started.elapsed() > Duration::from_secs(2) {
                return Err("no answer within 2 s".into());
            }
        }
        latency.record(started.elapsed().as_nanos() as u64)?;
        side.messages += 1;
    }
    side.cpu_ns = cpu::thread_ns() - cpu_start;
    side.stats = format!("{:?}", shard.endpoint_stats(endpoint)?);
    Ok((side, latency))
}

fn receive(options: &Options, tell: mpsc::Sender<SocketAddr>, is_over: &AtomicBool) -> Result<Side, Failure> {
    let (mut shard, endpoint) = open(options, None)?;
    shard.turn()?;
    tell.send(shard.endpoint_address(endpoint)?)?;
    let mut side = Side::default();
    let (mut next, mut cpu_start, mut quiet) = (0, None, 0);
    let mut answers = Vec::new();
    loop {
        shard.turn_for(Some(Duration::from_millis(50)))?;
        side.turns += 1;
        let mut has_news = false;
        let mut checksum = side.checksum;
        for run in shard.messages() {
            has_news = true;
            cpu_start.get_or_insert_with(cpu::thread_ns);
            if run.stream == StreamId::DEFAULT && run.first != next {
                return Err(format!("message {} came when {next} was due", run.first).into());
            }
            next = run.first + u64::from(run.count);
            side.messages += u64::from(run.count);
            match options.form {
                Form::Batch => {
                    for payload in run.iter() {
                        checksum = checksum.wrapping_add(payload.len() as u64 ^ u64::from(payload[0]));
                    }
                }
                Form::Each => {
                    for (place, payload) in run.iter().enumerate() {
                        let sequence = run.first + place as u64;
                        let event = MessageEvent {
                            connection: run.connection,
                            stream: run.stream,
                            sequence,
                            payload,
                        };
                        checksum = checksum.wrapping_add(handle(std::hint::black_box(&event)));
                    }
                }
            }
            if options.work == Work::Ping {
                answers.extend(run.iter().map(|payload| (run.connection, payload.to_vec())));
            }
        }
        side.checksum = checksum;
        for (connection, payload) in answers.drain(..) {
            shard
                .send(endpoint, connection, PING_STREAM, &payload)
                .map_err(|error| format!("answer: {error:?}"))?;
        }
        let is_gone = shard.connection_events().any(|(_, event)| matches!(event, Event::Gone { .. }));
        // Acquire: pairs with the release store at the end of the run.
        quiet = if has_news || !is_over.load(Ordering::Acquire) { 0 } else { quiet + 1 };
        if is_gone || quiet > 20 {
            break;
        }
    }
    side.cpu_ns = cpu::thread_ns() - cpu_start.unwrap_or_else(cpu::thread_ns);
    side.stats = format!("{:?}", shard.endpoint_stats(endpoint)?);
    Ok(side)
}

#[inline(never)]
fn handle(event: &MessageEvent<'_>) -> u64 {
    event.payload.len() as u64
        ^ event.sequence
        ^ u64::from(event.stream.to_wire())
        ^ u64::from(event.connection.index)
}

/// Both ends are this program: they have one key.
static KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate().expect("the kernel has randomness"));
/// Messages between two turns of the sender, at most.
const BURST: usize = 16_384;
/// Answers take the place of acknowledgements.
const PING_STREAM: StreamId = match StreamId::new(1, StreamKind::Unreliable) {
    Some(stream) => stream,
    None => StreamId::DEFAULT,
};
