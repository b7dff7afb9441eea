//! Trains of datagrams through two drivers on loopback: what `floor-udp --mode gso` does with bare calls, done by the product's drivers.
//!
//! One thread sends full trains from shared buffers, one receives and counts; nothing else happens. Prints one JSON line with the
//! fields of `floor-udp`, so that the two can be compared run by run.

use clap::Parser;
use clustercore::io::{
    AnyDriver, DatagramId, DatagramOptions, DatagramsConfig, Driver, DriverChoice, DriverConfig, Event,
    TRAIN_BYTES_MAX, Train, open,
};
use clustercore_perf::cpu;
use serde_json::json;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sends trains of datagrams to itself through two drivers as fast as the kernel takes them.
#[derive(Parser)]
struct Options {
    /// auto, uring or epoll.
    #[arg(long, default_value = "uring")]
    driver: DriverChoice,
    /// Bytes per message.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Messages per train; what fits 64 KiB at most.
    #[arg(long, default_value_t = 128)]
    segments: usize,
    /// Trains queued per turn of the sender.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Buffers to receive into.
    #[arg(long, default_value_t = DatagramsConfig::default().buffers)]
    buffers: u16,
    /// Spin for so many microseconds before a wait.
    #[arg(long, default_value_t = 0)]
    spin_us: u64,
    /// How long to send.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// What one side did.
#[derive(Default)]
struct Side {
    messages: u64,
    trains: u64,
    turns: u64,
    pauses: u64,
    cpu_ns: u64,
    checksum: u64,
}

fn main() -> io::Result<()> {
    let mut options = Options::parse();
    options.bytes = options.bytes.clamp(1, TRAIN_BYTES_MAX);
    options.segments = options.segments.clamp(1, TRAIN_BYTES_MAX / options.bytes);
    let is_over = AtomicBool::new(false);
    let (sent, received) = std::thread::scope(|scope| {
        let (tell, address) = mpsc::channel();
        let receiver = scope.spawn(|| receive(&options, tell, &is_over));
        let sent = match address.recv() {
            Ok(address) => send(&options, address),
            Err(_) => Ok(Side::default()),
        };
        // Release: pairs with the acquire load of the receiver.
        is_over.store(true, Ordering::Release);
        let received = receiver.join().expect("the receiver counts and does nothing else");
        (sent, received)
    });
    let (sent, received) = (sent?, received?);
    let per_message = |side: &Side| side.cpu_ns as f64 / side.messages.max(1) as f64;
    let report = json!({
        "mode": "driver",
        "bytes": options.bytes,
        "messages_per_second": received.messages as f64 / options.seconds,
        "sent": sent.messages,
        "received": received.messages,
        "sender_cpu_ns": per_message(&sent),
        "receiver_cpu_ns": per_message(&received),
        "messages_per_receive": received.messages as f64 / received.trains.max(1) as f64,
        "trains_per_turn_sent": sent.trains as f64 / sent.turns.max(1) as f64,
        "trains_per_turn_received": received.trains as f64 / received.turns.max(1) as f64,
        "pauses": received.pauses,
        "checksum": format!("{:016x}", received.checksum),
    });
    println!("{report}");
    Ok(())
}

fn socket(options: &Options) -> io::Result<(AnyDriver, DatagramId, SocketAddr)> {
    let datagrams = DatagramsConfig { buffers: options.buffers, ..DatagramsConfig::default() };
    let config = DriverConfig { spin_ns: options.spin_us * 1000, datagrams, ..DriverConfig::default() };
    let (mut driver, _) = open(options.driver, config).map_err(io::Error::other)?;
    let buffer = DatagramOptions { receive_buffer_bytes: 8 << 20, ..DatagramOptions::default() };
    let socket = driver.bind_datagram(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &buffer)?;
    let address = driver.datagram_address(socket).ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((driver, socket, address))
}

fn send(options: &Options, to: SocketAddr) -> io::Result<Side> {
    let (mut driver, socket, _) = socket(options)?;
    let payload = Arc::new(vec![0x5a_u8; options.bytes * options.segments]);
    let mut events = Vec::new();
    let (started, cpu_start) = (Instant::now(), cpu::thread_ns());
    let mut side = Side::default();
    while started.elapsed().as_secs_f64() < options.seconds {
        for _ in 0..options.batch {
            driver.send_datagrams(
                socket,
                to,
                Train::shared(&payload, 0..payload.len(), options.bytes as u32),
            );
        }
        while driver.datagrams_unsent(socket) > 0 {
            driver.turn(Some(Duration::from_millis(50)), &mut events)?;
            events.clear();
            side.turns += 1;
        }
    }
    side.cpu_ns = cpu::thread_ns() - cpu_start;
    let counters = driver.datagram_counters(socket).unwrap_or_default();
    (side.messages, side.trains) = (counters.datagrams_sent, counters.trains_sent);
    Ok(side)
}

fn receive(options: &Options, tell: mpsc::Sender<SocketAddr>, is_over: &AtomicBool) -> io::Result<Side> {
    let (mut driver, socket, address) = socket(options)?;
    let mut events = Vec::new();
    driver.turn(Some(Duration::ZERO), &mut events)?;
    if tell.send(address).is_err() {
        return Ok(Side::default());
    }
    let mut side = Side::default();
    let cpu_start = cpu::thread_ns();
    loop {
        driver.turn(Some(Duration::from_millis(50)), &mut events)?;
        side.turns += 1;
        // Acquire: pairs with the release store at the end of the run.
        if events.is_empty() && is_over.load(Ordering::Acquire) {
            break;
        }
        for event in events.drain(..) {
            let Event::Datagrams { segment, lease, .. } = event else { continue };
            let bytes = driver.bytes(&lease);
            let messages = bytes.len().div_ceil(segment as usize) as u64;
            side.checksum = side.checksum.wrapping_mul(31).wrapping_add(messages ^ u64::from(bytes[0]));
            side.messages += messages;
            side.trains += 1;
            driver.release(lease);
        }
    }
    side.cpu_ns = cpu::thread_ns() - cpu_start;
    side.pauses = driver.datagram_counters(socket).unwrap_or_default().pauses;
    Ok(side)
}
