//! Floor: a datagram back and forth on loopback, two bare rings that spin and do nothing else.
//!
//! A thread at each end has one send and one receive under way at most and looks at its completion queue until something is there. Prints
//! one JSON line with the fields of `clustercore-messages --work ping`.

use clap::Parser;
use clustercore_perf::{cpu, ring};
use hdrhistogram::Histogram;
use io_uring::{IoUring, opcode, types::Fd};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::net::{AddressFamily, SocketType};
use serde_json::json;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Sends a datagram to itself and back as often as it goes.
#[derive(Parser)]
struct Options {
    /// Bytes of the datagram.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// How long.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let bytes = options.bytes.clamp(1, BYTES_MAX);
    let (near, far) = sockets()?;
    let is_over = AtomicBool::new(false);
    let (outcome, answered) = std::thread::scope(|scope| {
        let answering = scope.spawn(|| answer(&far, &is_over));
        let outcome = ask(&near, bytes, options.seconds);
        // Release: pairs with the acquire load of the other thread.
        is_over.store(true, Ordering::Release);
        (outcome, answering.join().expect("the thread returns its errors"))
    });
    let (latency, cpu_ns) = outcome?;
    let report = json!({
        "work": "ping",
        "form": "bare",
        "bytes": bytes,
        "sent": latency.len(),
        "answered": answered?,
        "sender_cpu_ns": cpu_ns as f64 / latency.len().max(1) as f64,
        "round_trip_p50_us": latency.value_at_quantile(0.5) as f64 / 1000.0,
        "round_trip_p99_us": latency.value_at_quantile(0.99) as f64 / 1000.0,
    });
    println!("{report}");
    Ok(())
}

fn sockets() -> io::Result<(OwnedFd, OwnedFd)> {
    let open = || rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None);
    let (near, far) = (open()?, open()?);
    for socket in [&near, &far] {
        rustix::net::bind(socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    }
    let address = |socket: &OwnedFd| -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(rustix::net::getsockname(socket)?)?)
    };
    rustix::net::connect(&near, &address(&far)?)?;
    rustix::net::connect(&far, &address(&near)?)?;
    Ok((near, far))
}

/// A ring and the buffers of its two operations.
struct End<'a> {
    // First: operations under way end before their buffers do.
    ring: IoUring,
    socket: &'a OwnedFd,
    inbox: Box<[u8; BYTES_MAX]>,
    outbox: Box<[u8; BYTES_MAX]>,
}

impl End<'_> {
    fn new(socket: &OwnedFd) -> io::Result<End<'_>> {
        let boxed = || Box::new([0x5a; BYTES_MAX]);
        Ok(End { ring: ring::build(8)?, socket, inbox: boxed(), outbox: boxed() })
    }

    /// Queues a receive.
    fn listen(&mut self) {
        let fd = Fd(self.socket.as_raw_fd());
        let entry =
            opcode::Recv::new(fd, self.inbox.as_mut_ptr(), BYTES_MAX as u32).build().user_data(RECEIVE);
        // SAFETY: the buffer and the socket outlive the ring, and no other receive is under way.
        unsafe { ring::push(&mut self.ring, &entry) };
    }

    /// Queues a send.
    fn say(&mut self, bytes: usize) {
        let fd = Fd(self.socket.as_raw_fd());
        let entry = opcode::Send::new(fd, self.outbox.as_ptr(), bytes as u32).build().user_data(SEND);
        // SAFETY: the buffer and the socket outlive the ring, and nothing writes to the buffer.
        unsafe { ring::push(&mut self.ring, &entry) };
    }

    /// Spins until a datagram is there; its bytes. `None` when `is_over` says so.
    fn wait(&mut self, is_over: impl Fn() -> bool) -> io::Result<Option<usize>> {
        loop {
            // Enters the kernel only if something is queued, or its work for this thread waits.
            self.ring.submit()?;
            for completion in self.ring.completion() {
                let result = completion.result();
                if result < 0 {
                    return Err(io::Error::from_raw_os_error(-result));
                }
                if completion.user_data() == RECEIVE {
                    return Ok(Some(result as usize));
                }
            }
            if is_over() {
                return Ok(None);
            }
            std::hint::spin_loop();
        }
    }
}

fn ask(socket: &OwnedFd, bytes: usize, seconds: f64) -> io::Result<(Histogram<u64>, u64)> {
    let mut end = End::new(socket)?;
    let mut latency = Histogram::new(3).expect("3 digits are fine");
    let cpu_start = cpu::thread_ns();
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < until {
        let started = Instant::now();
        end.listen();
        end.say(bytes);
        let waited = end.wait(|| started.elapsed() > Duration::from_secs(2))?;
        if waited != Some(bytes) {
            return Err(io::Error::other(format!("{waited:?} bytes came back, {bytes} were sent")));
        }
        latency.record(started.elapsed().as_nanos() as u64).map_err(io::Error::other)?;
    }
    Ok((latency, cpu::thread_ns() - cpu_start))
}

fn answer(socket: &OwnedFd, is_over: &AtomicBool) -> io::Result<u64> {
    let mut end = End::new(socket)?;
    let mut answered = 0;
    end.listen();
    // Acquire: pairs with the release store at the end of the run.
    while let Some(bytes) = end.wait(|| is_over.load(Ordering::Acquire))? {
        end.listen();
        end.say(bytes);
        answered += 1;
    }
    Ok(answered)
}

const BYTES_MAX: usize = 2048;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
