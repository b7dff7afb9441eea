//! Floor: accept and relay, a new client connection per request, back-end connections kept.
//!
//! Nothing is parsed: one receive from a client is one request, and an answer is over after `--response-bytes` bytes,
//! which the measurement knows beforehand. Answers must fit one buffer of 16 KiB. The client closes first, as httperf
//! does.

use clap::Parser;
use clustercore_perf::floor::{Backends, RelayOptions, Slots, Tag};
use clustercore_perf::ring::{self, BufferRing};
use clustercore_perf::socket;
use io_uring::{IoUring, cqueue, opcode, types::Fd};
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::io;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Relays one request per client connection over kept back-end connections, without parsing.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    relay: RelayOptions,
    /// Length of every answer, head and body.
    #[arg(long)]
    response_bytes: u32,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    if options.response_bytes as usize > BUFFER_BYTES {
        let text =
            format!("--response-bytes is {}, at most {BUFFER_BYTES} fit a buffer", options.response_bytes);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    socket::raise_descriptor_limit();
    Relay::new(&options)?.run()
}

const ACCEPT: u8 = 0;
const CONNECT: u8 = 1;
const CLIENT_RECEIVE: u8 = 2;
const BACKEND_RECEIVE: u8 = 3;
const CLIENT_SEND: u8 = 4;
const BACKEND_SEND: u8 = 5;

const BUFFER_BYTES: usize = 16 * 1024;
/// Bits of a completion's value above the tag: the buffer that a send releases.
const BUFFER_SHIFT: u32 = 40;

struct Client {
    socket: OwnedFd,
    operations_open: u32,
    /// Has a request on its way: the slot stays until the answer is in.
    is_waiting: bool,
}

struct Backend {
    socket: OwnedFd,
    /// Whose answer is coming, and how many bytes are still to come.
    client: Option<u32>,
    bytes_left: u32,
    /// The request that waits for the connection: buffer and length.
    request: Option<(u16, u32)>,
}

struct Relay {
    ring: IoUring,
    // After the ring: the kernel writes into the buffers as long as the ring lives.
    buffers: BufferRing,
    listener: OwnedFd,
    addresses: Backends,
    clients: Slots<Client>,
    backends: Slots<Backend>,
    pool: Vec<u32>,
    response_bytes: u32,
}

impl Relay {
    fn new(options: &Options) -> io::Result<Self> {
        let ring = ring::build(1024)?;
        let buffers = BufferRing::new(&ring.submitter(), 0, 2048, BUFFER_BYTES)?;
        Ok(Self {
            ring,
            buffers,
            listener: socket::listen(options.relay.listen, 4096)?,
            addresses: Backends::new(&options.relay.backends),
            clients: Slots::default(),
            backends: Slots::default(),
            pool: Vec::new(),
            response_bytes: options.response_bytes,
        })
    }

    fn run(mut self) -> io::Result<()> {
        self.accept();
        let mut done: Vec<cqueue::Entry> = Vec::with_capacity(4096);
        loop {
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            done.extend(self.ring.completion());
            for completion in done.drain(..) {
                self.on_completion(&completion)?;
            }
        }
    }

    fn on_completion(&mut self, completion: &cqueue::Entry) -> io::Result<()> {
        let tag = Tag::unpack(completion.user_data() & ((1 << BUFFER_SHIFT) - 1));
        let (result, flags) = (completion.result(), completion.flags());
        match tag.operation {
            ACCEPT => self.on_accept(result, flags),
            CONNECT => self.on_connect(tag.slot, result)?,
            CLIENT_RECEIVE => self.on_request(tag.slot, result, flags)?,
            BACKEND_RECEIVE => self.on_answer(tag.slot, result, flags)?,
            operation => {
                self.buffers.release((completion.user_data() >> BUFFER_SHIFT) as u16);
                if operation == CLIENT_SEND {
                    self.on_client_operation(tag.slot);
                }
            }
        }
        Ok(())
    }

    fn on_accept(&mut self, result: i32, flags: u32) {
        if !cqueue::more(flags) {
            self.accept();
        }
        if result < 0 {
            return;
        }
        // SAFETY: the kernel hands a fresh descriptor to us alone.
        let socket = unsafe { OwnedFd::from_raw_fd(result) };
        let slot = self.clients.insert(Client { socket, operations_open: 1, is_waiting: false });
        self.receive(result, slot, CLIENT_RECEIVE);
    }

    fn on_request(&mut self, slot: u32, result: i32, flags: u32) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(slot) else { return Ok(()) };
        let buffer = cqueue::buffer_select(flags);
        if let (1.., Some(id), false) = (result, buffer, client.is_waiting) {
            client.is_waiting = true;
            self.forward(slot, id, result as u32)?;
        } else if let Some(id) = buffer {
            self.buffers.release(id);
        }
        if !cqueue::more(flags) {
            self.on_client_operation(slot);
        }
        Ok(())
    }

    /// Sends the request in buffer `id` on a kept connection, or on a new one.
    fn forward(&mut self, client: u32, id: u16, len: u32) -> io::Result<()> {
        if let Some(slot) = self.pool.pop() {
            let backend = self.backends.get_mut(slot).expect("pooled connections live");
            backend.client = Some(client);
            backend.bytes_left = self.response_bytes;
            let fd = backend.socket.as_raw_fd();
            self.send(fd, slot, BACKEND_SEND, id, len);
            return Ok(());
        }
        let (address, kernel_address) = self.addresses.take_next();
        let socket = socket::ring_stream(address.into())?;
        let fd = Fd(socket.as_raw_fd());
        let bytes_left = self.response_bytes;
        let slot = self.backends.insert(Backend {
            socket,
            client: Some(client),
            bytes_left,
            request: Some((id, len)),
        });
        let entry = opcode::Connect::new(fd, kernel_address.cast(), size_of::<libc::sockaddr_in>() as u32)
            .build()
            .user_data(Tag { slot, end: 0, operation: CONNECT }.pack());
        // SAFETY: the slot keeps the socket and `addresses` the address until the completion.
        unsafe { ring::push(&mut self.ring, &entry) };
        Ok(())
    }

    fn on_connect(&mut self, slot: u32, result: i32) -> io::Result<()> {
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        let backend = self.backends.get_mut(slot).expect("kept while connecting");
        let fd = backend.socket.as_raw_fd();
        let (id, len) = backend.request.take().expect("a connection is made for a request");
        self.receive(fd, slot, BACKEND_RECEIVE);
        self.send(fd, slot, BACKEND_SEND, id, len);
        Ok(())
    }

    fn on_answer(&mut self, slot: u32, result: i32, flags: u32) -> io::Result<()> {
        let backend = self.backends.get_mut(slot).expect("kept as long as it receives");
        let (1.., Some(id)) = (result, cqueue::buffer_select(flags)) else {
            // A floor has nothing to fall back on: the measurement is broken, and says so.
            return Err(io::Error::other(format!("a back end ended its connection: {result}")));
        };
        let len = result as u32;
        backend.bytes_left = backend.bytes_left.saturating_sub(len);
        let (fd, is_whole) = (backend.socket.as_raw_fd(), backend.bytes_left == 0);
        let client = if is_whole { backend.client.take() } else { backend.client };
        if is_whole {
            self.pool.push(slot);
        }
        if !cqueue::more(flags) {
            self.receive(fd, slot, BACKEND_RECEIVE);
        }
        let Some(client_slot) = client else {
            self.buffers.release(id);
            return Ok(());
        };
        let client = self.clients.get_mut(client_slot).expect("kept while its answer is on the way");
        client.is_waiting = !is_whole;
        client.operations_open += 1;
        let fd = client.socket.as_raw_fd();
        self.send(fd, client_slot, CLIENT_SEND, id, len);
        Ok(())
    }

    /// One operation of a client is over; the last one closes it.
    fn on_client_operation(&mut self, slot: u32) {
        let Some(client) = self.clients.get_mut(slot) else { return };
        client.operations_open -= 1;
        if client.operations_open == 0 && !client.is_waiting {
            self.clients.remove(slot);
        }
    }

    fn receive(&mut self, fd: RawFd, slot: u32, operation: u8) {
        let entry = opcode::RecvMulti::new(Fd(fd), self.buffers.group())
            .build()
            .user_data(Tag { slot, end: 0, operation }.pack());
        // SAFETY: the buffers live as long as the ring; the slot keeps the socket.
        unsafe { ring::push(&mut self.ring, &entry) };
    }

    fn send(&mut self, fd: RawFd, slot: u32, operation: u8, id: u16, len: u32) {
        let tag = Tag { slot, end: 0, operation }.pack() | u64::from(id) << BUFFER_SHIFT;
        let entry = opcode::Send::new(Fd(fd), self.buffers.pointer(id), len)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .user_data(tag);
        // SAFETY: the buffer is released with the completion, not before.
        unsafe { ring::push(&mut self.ring, &entry) };
    }

    fn accept(&mut self) {
        let entry = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build()
            .user_data(Tag { slot: 0, end: 0, operation: ACCEPT }.pack());
        // SAFETY: the listener lives as long as the relay.
        unsafe { ring::push(&mut self.ring, &entry) };
    }
}
