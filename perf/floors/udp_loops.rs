//! Floor: UDP one way on loopback, a sender and a receiver thread with nothing between socket and count.
//!
//! Three ways to send, received accordingly: `sendto` (one datagram a call), `sendmmsg` (64 a call, recvmmsg), and `gso`
//! (one segmented send of a train, received coalesced by GRO). Prints one JSON line: messages per second at the
//! receiver, CPU nanoseconds per message at both ends, and the mean length of the trains received.

use clap::{Parser, ValueEnum};
use clustercore_perf::cpu;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, sockopt};
use serde_json::json;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sends UDP datagrams to itself as fast as the kernel takes them.
#[derive(Parser)]
struct Options {
    /// How datagrams are handed to the kernel.
    #[arg(long, value_enum, default_value = "gso")]
    mode: Mode,
    /// Bytes per message.
    #[arg(long, default_value_t = 64)]
    bytes: u16,
    /// Messages per train (gso); what fits 64 KiB at most.
    #[arg(long, default_value_t = 128)]
    segments: usize,
    /// How long to send.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Sendto,
    Sendmmsg,
    Gso,
}

/// What one side did.
struct Side {
    messages: u64,
    calls: u64,
    cpu_ns: u64,
    checksum: u64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let (sender, receiver) = sockets(&options)?;
    let is_over = AtomicBool::new(false);
    let (sent, received) = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&receiver, &options, &is_over));
        let sent = send(&sender, &options);
        // Release: pairs with the acquire load of the receiver.
        is_over.store(true, Ordering::Release);
        let received = receiver.join().expect("the receiver counts and does nothing else");
        (sent, received)
    });
    let (sent, received) = (sent?, received?);
    let per_message = |side: &Side| side.cpu_ns as f64 / side.messages.max(1) as f64;
    let mode = options.mode.to_possible_value().map_or_else(String::new, |mode| mode.get_name().to_owned());
    let report = json!({
        "mode": mode,
        "bytes": options.bytes,
        "messages_per_second": received.messages as f64 / options.seconds,
        "sent": sent.messages,
        "received": received.messages,
        "sender_cpu_ns": per_message(&sent),
        "receiver_cpu_ns": per_message(&received),
        "messages_per_receive": received.messages as f64 / received.calls.max(1) as f64,
        "checksum": format!("{:016x}", received.checksum),
    });
    println!("{report}");
    Ok(())
}

fn sockets(options: &Options) -> io::Result<(OwnedFd, OwnedFd)> {
    let open = || rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None);
    let (sender, receiver) = (open()?, open()?);
    rustix::net::bind(&receiver, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    let address = SocketAddr::try_from(rustix::net::getsockname(&receiver)?)?;
    rustix::net::connect(&sender, &address)?;
    // Beyond `net.core.rmem_max` where we may: a sender that outruns its receiver is not to be measured by what is dropped.
    sockopt::set_socket_recv_buffer_size_force(&receiver, RECEIVE_BUFFER_BYTES)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(&receiver, RECEIVE_BUFFER_BYTES))?;
    // The receiver looks now and then whether the run is over.
    sockopt::set_socket_timeout(&receiver, sockopt::Timeout::Recv, Some(Duration::from_millis(50)))?;
    if options.mode == Mode::Gso {
        set_udp_option(&sender, libc::UDP_SEGMENT, i32::from(options.bytes))?;
        set_udp_option(&receiver, libc::UDP_GRO, 1)?;
    }
    Ok((sender, receiver))
}

fn set_udp_option(socket: &OwnedFd, name: i32, value: i32) -> io::Result<()> {
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the value is an int that outlives the call, and `len` is its size.
    let outcome =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, name, (&raw const value).cast(), len) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn send(socket: &OwnedFd, options: &Options) -> io::Result<Side> {
    let bytes = usize::from(options.bytes);
    let in_a_call = match options.mode {
        Mode::Sendto => 1,
        Mode::Sendmmsg => BATCH,
        Mode::Gso => options.segments.clamp(1, (TRAIN_BYTES_MAX / bytes.max(1)).clamp(1, SEGMENTS_MAX)),
    };
    let payload = vec![0x5a_u8; bytes * if options.mode == Mode::Gso { in_a_call } else { 1 }];
    let mut batch = Batch::new(if options.mode == Mode::Sendmmsg { in_a_call } else { 0 }, bytes);
    let (started, cpu_start) = (Instant::now(), cpu::thread_ns());
    let mut side = Side { messages: 0, calls: 0, cpu_ns: 0, checksum: 0 };
    while started.elapsed().as_secs_f64() < options.seconds {
        // The clock is read once in 16 calls.
        for _ in 0..16 {
            side.messages += match options.mode {
                Mode::Sendmmsg => batch.send(socket)?,
                _ => {
                    rustix::net::send(socket, &payload, SendFlags::empty())?;
                    in_a_call as u64
                }
            };
            side.calls += 1;
        }
    }
    side.cpu_ns = cpu::thread_ns() - cpu_start;
    Ok(side)
}

fn receive(socket: &OwnedFd, options: &Options, is_over: &AtomicBool) -> io::Result<Side> {
    let bytes = usize::from(options.bytes).max(1);
    let mut buffer = vec![0u8; 64 * 1024];
    let mut batch = Batch::new(if options.mode == Mode::Sendmmsg { BATCH } else { 0 }, bytes);
    let mut side = Side { messages: 0, calls: 0, cpu_ns: 0, checksum: 0 };
    let cpu_start = cpu::thread_ns();
    loop {
        let received = match options.mode {
            Mode::Sendmmsg => batch.receive(socket),
            _ => rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty())
                .map(|(_, len)| len.div_ceil(bytes) as u64)
                .map_err(io::Error::from),
        };
        match received {
            Ok(messages) => {
                side.messages += messages;
                side.calls += 1;
                side.checksum = side.checksum.wrapping_mul(31).wrapping_add(messages ^ u64::from(buffer[0]));
            }
            // Acquire: pairs with the release store at the end of the run.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if is_over.load(Ordering::Acquire) {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    side.cpu_ns = cpu::thread_ns() - cpu_start;
    Ok(side)
}

/// Message headers for sendmmsg and recvmmsg over buffers of its own.
///
/// Invariant: `headers[i]` points to `vectors[i]`, which points into `storage`; none of the three changes its place.
struct Batch {
    headers: Vec<libc::mmsghdr>,
    _vectors: Vec<libc::iovec>,
    _storage: Vec<u8>,
}

impl Batch {
    fn new(count: usize, bytes: usize) -> Self {
        let mut storage = vec![0x5a_u8; count * bytes];
        let mut vectors: Vec<libc::iovec> = storage
            .chunks_mut(bytes.max(1))
            .map(|chunk| libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() })
            .collect();
        let headers = vectors
            .iter_mut()
            .map(|vector| {
                // SAFETY: a header of zeros is a valid one: no name, no vectors, no control data.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { headers, _vectors: vectors, _storage: storage }
    }

    fn send(&mut self, socket: &OwnedFd) -> io::Result<u64> {
        let (headers, len) = (self.headers.as_mut_ptr(), self.headers.len() as u32);
        // SAFETY: the headers and what they point to live in `self`.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers, len, 0) };
        u64::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn receive(&mut self, socket: &OwnedFd) -> io::Result<u64> {
        let (headers, len) = (self.headers.as_mut_ptr(), self.headers.len() as u32);
        let no_timeout = std::ptr::null_mut();
        // SAFETY: the headers and what they point to live in `self`, which is borrowed exclusively.
        let received =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), headers, len, libc::MSG_WAITFORONE, no_timeout) };
        u64::try_from(received).map_err(|_| io::Error::last_os_error())
    }
}

const BATCH: usize = 64;
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;
/// The most that one segmented send takes: a datagram's length field, and the kernel's limit of segments.
const TRAIN_BYTES_MAX: usize = 65_000;
const SEGMENTS_MAX: usize = 128;
