//! Connections beside the measured ones: readers that are slow, and clients that are idle.
//!
//! They run on one thread of their own until told to stop, so that they cannot disturb the measuring loop.

use crate::options::Options;
use crate::response::{Progress, Response};
use crate::socket;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, sockopt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A client that takes a set number of bytes per second.
struct SlowReader {
    socket: OwnedFd,
    response: Response,
    is_asking: bool,
}

/// Readers that take `slow_bytes_per_second` each.
pub struct SlowReaders {
    address: SocketAddr,
    request: Vec<u8>,
    readers: Vec<SlowReader>,
    bytes_per_second: u64,
    bytes: u64,
    answers: u64,
    failures: u64,
}

impl SlowReaders {
    /// Connects the readers that the options ask for. Errors: the first connection that fails.
    pub fn connect(options: &Options) -> Result<Self, String> {
        let address = options.address()?;
        let mut readers = Self {
            address,
            request: options.request(options.slow_uri.as_deref().unwrap_or(&options.uri)),
            readers: Vec::new(),
            bytes_per_second: options.slow_bytes_per_second,
            bytes: 0,
            answers: 0,
            failures: 0,
        };
        for _ in 0..options.slow_readers {
            let reader = readers.open().map_err(|error| format!("slow reader to {address}: {error}"))?;
            readers.readers.push(reader);
        }
        Ok(readers)
    }

    /// Reads until `stop` is set.
    pub fn run(mut self, stop: &AtomicBool) -> Value {
        let count = self.readers.len();
        let mut buffer = vec![0u8; 64 * 1024];
        let started = Instant::now();
        let mut allowed_before = 0;
        // Acquire: pairs with the release store of the thread that ends the run.
        while count > 0 && !stop.load(Ordering::Acquire) {
            std::thread::sleep(TICK);
            // Bytes are allowed by the clock, so that a late tick does not slow the reader further.
            let allowed = (started.elapsed().as_secs_f64() * self.bytes_per_second as f64) as u64;
            let budget = (allowed - allowed_before) as usize;
            allowed_before = allowed;
            for index in 0..count {
                self.take(index, budget, &mut buffer);
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        json!({
            "count": count,
            "bytes": self.bytes,
            "bytes_per_second_each": if count == 0 { 0.0 } else { self.bytes as f64 / seconds / count as f64 },
            "answers": self.answers,
            "failures": self.failures,
        })
    }

    fn open(&self) -> rustix::io::Result<SlowReader> {
        let socket = connect(self.address, Some(RECEIVE_BUFFER_BYTES))?;
        let mut response = Response::default();
        response.start(false);
        Ok(SlowReader { socket, response, is_asking: true })
    }

    fn take(&mut self, index: usize, budget: usize, buffer: &mut [u8]) {
        if self.step(index, budget, buffer).is_err() {
            self.failures += 1;
            if let Ok(reader) = self.open() {
                self.readers[index] = reader;
            }
        }
    }

    /// One tick of one reader. Errors: its connection is of no further use.
    fn step(&mut self, index: usize, mut budget: usize, buffer: &mut [u8]) -> Result<(), ()> {
        let reader = &mut self.readers[index];
        if reader.is_asking {
            // A request is far below the size of an empty send buffer: it goes whole or not at all.
            rustix::net::send(&reader.socket, &self.request, SendFlags::NOSIGNAL).map_err(drop)?;
            reader.is_asking = false;
        }
        while budget > 0 {
            let limit = budget.min(buffer.len());
            let received = match rustix::net::recv(&reader.socket, &mut buffer[..limit], RecvFlags::empty()) {
                Ok((_, 0)) => return Err(()),
                Ok((_, received)) => received,
                Err(Errno::AGAIN) => return Ok(()),
                Err(_) => return Err(()),
            };
            budget -= received;
            self.bytes += received as u64;
            if let Progress::Complete(_) = reader.response.feed(&buffer[..received]).map_err(drop)? {
                self.answers += 1;
                reader.is_asking = true;
                let is_closing = reader.response.is_closing();
                reader.response.start(false);
                return if is_closing { Err(()) } else { Ok(()) };
            }
        }
        Ok(())
    }
}

/// Connections held open without a request.
pub struct IdleClients {
    sockets: Vec<OwnedFd>,
}

impl IdleClients {
    /// Opens as many as the options ask for. Errors: the first one that fails, with how many there were before it.
    pub fn connect(options: &Options) -> Result<Self, String> {
        let address = options.address()?;
        let request = options.request(&options.uri);
        let mut sockets = Vec::with_capacity(options.idle);
        for index in 0..options.idle {
            let opened = connect(address, None).and_then(|socket| {
                if options.idle_after_request { ask(socket, &request) } else { Ok(socket) }
            });
            sockets.push(
                opened.map_err(|error| {
                    format!("idle client {index} of {} to {address}: {error}", options.idle)
                })?,
            );
        }
        Ok(Self { sockets })
    }

    /// How many there are and how many the server has closed meanwhile.
    pub fn report(&self) -> Value {
        let is_open = |socket: &OwnedFd| {
            let mut byte = [0u8; 1];
            matches!(rustix::net::recv(socket, &mut byte[..], RecvFlags::PEEK), Err(Errno::AGAIN))
        };
        let open = self.sockets.iter().filter(|socket| is_open(socket)).count();
        json!({ "count": self.sockets.len(), "lost": self.sockets.len() - open })
    }
}

/// Connects within [`CONNECT_WAIT`]; the socket is non-blocking afterwards.
fn connect(address: SocketAddr, receive_buffer_bytes: Option<usize>) -> rustix::io::Result<OwnedFd> {
    let socket = socket::ring_stream(address)?;
    if let Some(bytes) = receive_buffer_bytes {
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    // A blocking connect is bounded by the send time-out (Linux).
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(CONNECT_WAIT))?;
    rustix::net::connect(&socket, &address)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// Makes one request and reads its answer away.
fn ask(socket: OwnedFd, request: &[u8]) -> rustix::io::Result<OwnedFd> {
    rustix::io::ioctl_fionbio(&socket, false)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(CONNECT_WAIT))?;
    rustix::net::send(&socket, request, SendFlags::NOSIGNAL)?;
    let mut response = Response::default();
    response.start(false);
    let mut buffer = [0u8; 16 * 1024];
    loop {
        let (_, received) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if received == 0 {
            return Err(Errno::CONNRESET);
        }
        match response.feed(&buffer[..received]) {
            Ok(Progress::More) => {}
            Ok(Progress::Complete(_)) => break,
            Err(_) => return Err(Errno::PROTO),
        }
    }
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

const TICK: Duration = Duration::from_millis(10);
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Small, so that the server feels the slowness soon instead of filling megabytes of kernel memory.
const RECEIVE_BUFFER_BYTES: usize = 16 * 1024;
