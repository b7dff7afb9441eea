//! Floor: reliable messages without a protocol, on loopback: pack, train, acknowledge.
//!
//! The sender copies messages of one size into packets (16 bytes of header, a length before each message, CRC-32C at the end), sends
//! them as trains from buffers that it keeps until they are acknowledged, and has at most `window` bytes under way. The
//! receiver checks the CRC, finds the messages, hands each out as (offset, length), and acknowledges every train with a
//! datagram. No loss is repaired: the run fails if there is any. Prints one JSON line with the fields of `clustercore-messages`.

use clap::Parser;
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

/// Sends packed messages to itself as fast as the kernel takes them.
#[derive(Parser)]
struct Options {
    /// Bytes per message, below 128 KiB.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Bytes of a packet, at most.
    #[arg(long, default_value_t = 1472)]
    packet: usize,
    /// KiB under way.
    #[arg(long, default_value_t = 4096)]
    window_kib: usize,
    /// How long to send.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

struct Side {
    messages: u64,
    cpu_ns: u64,
    checksum: u64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let shape = Shape::new(&options)?;
    let (sender, receiver) = sockets(&shape)?;
    let is_over = AtomicBool::new(false);
    let (sent, received) = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&receiver, &shape, &is_over));
        let sent = send(&sender, &options, &shape);
        // Release: pairs with the acquire load of the receiver.
        is_over.store(true, Ordering::Release);
        (sent, receiver.join().expect("the receiver returns its errors"))
    });
    let (sent, received) = (sent?, received?);
    if sent.messages != received.messages {
        return Err(io::Error::other(format!("{} sent, {} received", sent.messages, received.messages)));
    }
    let per_message = |side: &Side| side.cpu_ns as f64 / side.messages.max(1) as f64;
    let report = json!({
        "work": "stream",
        "form": "bare",
        "bytes": options.bytes,
        "messages_per_second": received.messages as f64 / options.seconds,
        "sent": sent.messages,
        "received": received.messages,
        "sender_cpu_ns": per_message(&sent),
        "receiver_cpu_ns": per_message(&received),
        "checksum": format!("{:016x}", received.checksum),
    });
    println!("{report}");
    Ok(())
}

/// How messages lie in packets and packets in trains.
struct Shape {
    /// Bytes of the length before a message.
    head: usize,
    per_packet: usize,
    packet: usize,
    packets: usize,
}

impl Shape {
    fn new(options: &Options) -> io::Result<Shape> {
        let head = if options.bytes < 128 { 1 } else { 2 };
        let per_packet = (options.packet.saturating_sub(HEADER + CHECK)) / (options.bytes + head);
        if per_packet == 0 || options.bytes == 0 || options.bytes >= 1 << 14 {
            return Err(io::Error::other(format!("messages of {} bytes do not fit a packet", options.bytes)));
        }
        let packet = HEADER + per_packet * (options.bytes + head) + CHECK;
        Ok(Shape { head, per_packet, packet, packets: (TRAIN_BYTES_MAX / packet).min(64) })
    }
}

fn sockets(shape: &Shape) -> io::Result<(OwnedFd, OwnedFd)> {
    let open = || rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None);
    let (sender, receiver) = (open()?, open()?);
    for socket in [&sender, &receiver] {
        rustix::net::bind(socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER_BYTES)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BUFFER_BYTES))?;
        sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(Duration::from_millis(50)))?;
    }
    let address = |socket: &OwnedFd| -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(rustix::net::getsockname(socket)?)?)
    };
    rustix::net::connect(&sender, &address(&receiver)?)?;
    rustix::net::connect(&receiver, &address(&sender)?)?;
    set_udp_option(&sender, libc::UDP_SEGMENT, shape.packet as i32)?;
    set_udp_option(&receiver, libc::UDP_GRO, 1)?;
    Ok((sender, receiver))
}

fn set_udp_option(socket: &OwnedFd, name: i32, value: i32) -> io::Result<()> {
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the value is an int that outlives the call, and `len` is its size.
    let outcome =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, name, (&raw const value).cast(), len) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn send(socket: &OwnedFd, options: &Options, shape: &Shape) -> io::Result<Side> {
    let payload = vec![0x5a_u8; options.bytes];
    let train_bytes = shape.packet * shape.packets;
    let slots = ((options.window_kib << 10) / train_bytes).max(2);
    let mut trains: Vec<Vec<u8>> = (0..slots).map(|_| Vec::with_capacity(train_bytes)).collect();
    let (mut sent, mut acknowledged) = (0u64, 0u64);
    let mut acknowledgement = [0u8; 64];
    let (started, cpu_start) = (Instant::now(), cpu::thread_ns());
    let mut side = Side { messages: 0, cpu_ns: 0, checksum: 0 };
    let mut is_time = true;
    while is_time || acknowledged < sent {
        if is_time && sent - acknowledged < slots as u64 {
            let train = &mut trains[(sent % slots as u64) as usize];
            train.clear();
            for number in 0..shape.packets as u64 {
                let start = train.len();
                train.extend_from_slice(&(sent << 8 | number).to_le_bytes());
                train.extend_from_slice(&(shape.per_packet as u64).to_le_bytes());
                for _ in 0..shape.per_packet {
                    let len = options.bytes as u16;
                    match shape.head {
                        1 => train.push(len as u8),
                        _ => train.extend_from_slice(&len.to_le_bytes()),
                    }
                    train.extend_from_slice(&payload);
                }
                let check = crc32c::crc32c(&train[start..]);
                train.extend_from_slice(&check.to_le_bytes());
            }
            rustix::net::send(socket, train, SendFlags::empty())?;
            sent += 1;
            side.messages += (shape.per_packet * shape.packets) as u64;
            is_time = started.elapsed().as_secs_f64() < options.seconds;
        }
        // Without waiting while there is room; what has come is enough.
        let is_full = !is_time || sent - acknowledged == slots as u64;
        let flags = if is_full { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        match rustix::net::recv(socket, &mut acknowledgement[..], flags) {
            Ok((_, 8)) => {
                acknowledged = u64::from_le_bytes(acknowledgement[..8].try_into().expect("8 bytes"))
            }
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN) if is_full => {
                return Err(io::Error::other("no acknowledgement for 50 ms: something was lost"));
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    side.cpu_ns = cpu::thread_ns() - cpu_start;
    Ok(side)
}

fn receive(socket: &OwnedFd, shape: &Shape, is_over: &AtomicBool) -> io::Result<Side> {
    let mut buffer = vec![0u8; 64 * 1024];
    let mut handed_out: Vec<(u32, u32)> = Vec::with_capacity(shape.per_packet * shape.packets);
    let mut side = Side { messages: 0, cpu_ns: 0, checksum: 0 };
    let (mut trains, cpu_start) = (0u64, cpu::thread_ns());
    let mut packets = 0;
    loop {
        let len = match rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((_, len)) => len,
            // Acquire: pairs with the release store at the end of the run.
            Err(rustix::io::Errno::AGAIN) if is_over.load(Ordering::Acquire) => break,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        for (index, packet) in buffer[..len].chunks(shape.packet).enumerate() {
            let (content, check) = packet.split_at(packet.len() - CHECK);
            if crc32c::crc32c(content).to_le_bytes() != check {
                return Err(io::Error::other("a packet is damaged"));
            }
            let mut place = HEADER;
            while place < content.len() {
                let bytes = match shape.head {
                    1 => usize::from(content[place]),
                    _ => usize::from(u16::from_le_bytes([content[place], content[place + 1]])),
                };
                handed_out.push(((index * shape.packet + place + shape.head) as u32, bytes as u32));
                place += shape.head + bytes;
            }
            packets += 1;
        }
        for (offset, bytes) in handed_out.drain(..) {
            side.messages += 1;
            side.checksum = side.checksum.wrapping_add(u64::from(bytes) ^ u64::from(buffer[offset as usize]));
        }
        // A train may arrive in two parts.
        if packets >= shape.packets {
            packets -= shape.packets;
            trains += 1;
            rustix::net::send(socket, &trains.to_le_bytes(), SendFlags::empty())?;
        }
    }
    side.cpu_ns = cpu::thread_ns() - cpu_start;
    Ok(side)
}

const HEADER: usize = 16;
const CHECK: usize = 4;
const TRAIN_BYTES_MAX: usize = 65_000;
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;
