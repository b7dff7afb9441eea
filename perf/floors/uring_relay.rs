//! Floor: a relay on io_uring that parses nothing.
//!
//! One back-end connection per client connection, bytes both ways, half-close kept. Two ways to receive:
//! - shared (default): multishot receive from one ring of provided buffers, and a received buffer is what the next
//!   send points at. Cheapest for small responses. With large ones, buffers that wait behind slow sends would hold
//!   the ring and starve everybody, hence
//! - `--own-buffer-kib N`: the back end's bytes go through one buffer of the connection, receive and send in turn.

use clap::Parser;
use clustercore_perf::floor::{BACKEND, Backends, CLIENT, Ends, RelayOptions, Slots, Tag};
use clustercore_perf::ring::{self, BufferRing};
use clustercore_perf::socket;
use io_uring::{IoUring, cqueue, opcode, types::Fd};
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use rustix::net::Shutdown;
use std::collections::VecDeque;
use std::io;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Relays TCP connections to back ends on io_uring, without parsing.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    relay: RelayOptions,
    /// Receive responses into one buffer of this size per connection instead of the shared ring (0: shared ring).
    #[arg(long, default_value_t = 0)]
    own_buffer_kib: usize,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    socket::raise_descriptor_limit();
    Relay::new(&options)?.run()
}

const ACCEPT: u8 = 0;
const CONNECT: u8 = 1;
const RECEIVE: u8 = 2;
const SEND: u8 = 3;

/// Bytes that wait to be sent, or are being sent, to the other end.
enum Chunk {
    /// A buffer of the shared ring.
    Shared { id: u16, start: u32, len: u32 },
    /// The end's own buffer.
    Own { start: u32, len: u32 },
}

/// One direction: from end `i` to end `1 - i`.
#[derive(Default)]
struct Direction {
    waiting: VecDeque<Chunk>,
    is_sending: bool,
    is_finished: bool,
    /// Empty when this direction receives from the shared ring.
    buffer: Vec<u8>,
}

struct Pair {
    ends: Ends,
    directions: [Direction; 2],
    operations_open: u32,
    is_broken: bool,
}

struct Relay {
    ring: IoUring,
    // After the ring: the kernel writes into the buffers as long as the ring lives.
    buffers: BufferRing,
    listener: OwnedFd,
    backends: Backends,
    pairs: Slots<Pair>,
    /// Receives that ended because the shared ring was empty; armed again when a buffer comes back.
    starved: Vec<Tag>,
    own_buffer_bytes: usize,
}

impl Relay {
    fn new(options: &Options) -> io::Result<Self> {
        let ring = ring::build(1024)?;
        let buffers = BufferRing::new(&ring.submitter(), 0, 2048, 16 * 1024)?;
        Ok(Self {
            ring,
            buffers,
            listener: socket::listen(options.relay.listen, 4096)?,
            backends: Backends::new(&options.relay.backends),
            pairs: Slots::default(),
            starved: Vec::new(),
            own_buffer_bytes: options.own_buffer_kib * 1024,
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
        let tag = Tag::unpack(completion.user_data());
        let result = completion.result();
        match tag.operation {
            ACCEPT => self.on_accept(result, completion.flags())?,
            CONNECT => self.on_connect(tag, result),
            RECEIVE => self.on_receive(tag, result, completion.flags()),
            _ => self.on_send(tag, result),
        }
        Ok(())
    }

    fn on_accept(&mut self, result: i32, flags: u32) -> io::Result<()> {
        if !cqueue::more(flags) {
            self.accept();
        }
        if result < 0 {
            return Ok(());
        }
        // SAFETY: the kernel hands a fresh descriptor to us alone.
        let client = unsafe { OwnedFd::from_raw_fd(result) };
        let (address, kernel_address) = self.backends.take_next();
        let backend = socket::ring_stream(address.into())?;
        let entry = opcode::Connect::new(
            Fd(backend.as_raw_fd()),
            kernel_address.cast(),
            size_of::<libc::sockaddr_in>() as u32,
        );
        let mut directions: [Direction; 2] = Default::default();
        directions[BACKEND].buffer = vec![0; self.own_buffer_bytes];
        let pair = Pair { ends: [client, backend], directions, operations_open: 1, is_broken: false };
        let slot = self.pairs.insert(pair);
        let entry = entry.build().user_data(Tag { slot, end: BACKEND, operation: CONNECT }.pack());
        // SAFETY: the pair keeps the socket and `backends` keeps the address until the completion.
        unsafe { ring::push(&mut self.ring, &entry) };
        Ok(())
    }

    fn on_connect(&mut self, tag: Tag, result: i32) {
        let Some(pair) = self.pairs.get_mut(tag.slot) else { return };
        pair.operations_open -= 1;
        if result < 0 {
            return self.break_off(tag.slot);
        }
        self.receive(tag.slot, BACKEND);
        self.receive(tag.slot, CLIENT);
    }

    fn on_receive(&mut self, tag: Tag, result: i32, flags: u32) {
        let is_last = !cqueue::more(flags);
        let buffer_id = cqueue::buffer_select(flags);
        let Some(pair) = self.pairs.get_mut(tag.slot) else { return };
        if is_last {
            pair.operations_open -= 1;
        }
        let direction = &mut pair.directions[tag.end];
        match (result, buffer_id) {
            (1.., Some(id)) if !pair.is_broken => {
                direction.waiting.push_back(Chunk::Shared { id, start: 0, len: result as u32 });
                self.send_next(tag.slot, tag.end);
                if is_last {
                    self.receive(tag.slot, tag.end);
                }
            }
            (1.., None) if !pair.is_broken => {
                direction.waiting.push_back(Chunk::Own { start: 0, len: result as u32 });
                self.send_next(tag.slot, tag.end);
            }
            (0, _) => {
                direction.is_finished = true;
                if let Some(id) = buffer_id {
                    self.release(id);
                }
                self.finish(tag.slot);
            }
            (result, _) if result == -libc::ENOBUFS && !pair.is_broken => self.starved.push(tag),
            (_, buffer_id) => {
                if let Some(id) = buffer_id {
                    self.release(id);
                }
                self.break_off(tag.slot);
            }
        }
    }

    fn on_send(&mut self, tag: Tag, result: i32) {
        let Some(pair) = self.pairs.get_mut(tag.slot) else { return };
        pair.operations_open -= 1;
        let direction = &mut pair.directions[tag.end];
        direction.is_sending = false;
        if result < 0 {
            return self.break_off(tag.slot);
        }
        let sent = result as u32;
        match direction.waiting.front_mut() {
            Some(Chunk::Shared { start, len, .. } | Chunk::Own { start, len }) if sent < *len => {
                *start += sent;
                *len -= sent;
            }
            _ => match direction.waiting.pop_front() {
                Some(Chunk::Shared { id, .. }) => self.release(id),
                Some(Chunk::Own { .. }) => self.receive(tag.slot, tag.end),
                None => {}
            },
        }
        self.send_next(tag.slot, tag.end);
        self.finish(tag.slot);
    }

    /// Sends the first waiting chunk of the direction that starts at `end`, one at a time to keep the order.
    fn send_next(&mut self, slot: u32, end: usize) {
        let Some(pair) = self.pairs.get_mut(slot) else { return };
        let direction = &mut pair.directions[end];
        if direction.is_sending || pair.is_broken {
            return;
        }
        let Some(chunk) = direction.waiting.front() else { return };
        let (pointer, start, len) = match *chunk {
            Chunk::Shared { id, start, len } => (self.buffers.pointer(id), start, len),
            Chunk::Own { start, len } => (direction.buffer.as_ptr(), start, len),
        };
        let entry =
            opcode::Send::new(Fd(pair.ends[1 - end].as_raw_fd()), pointer.wrapping_add(start as usize), len)
                // The kernel sends the rest by itself when the socket takes a part.
                .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
                .build()
                .user_data(Tag { slot, end, operation: SEND }.pack());
        direction.is_sending = true;
        pair.operations_open += 1;
        // SAFETY: the chunk stays in the queue, and so its buffer ours, until the completion.
        unsafe { ring::push(&mut self.ring, &entry) };
    }

    fn receive(&mut self, slot: u32, end: usize) {
        let Some(pair) = self.pairs.get_mut(slot) else { return };
        if pair.is_broken {
            return;
        }
        let fd = Fd(pair.ends[end].as_raw_fd());
        let buffer = &mut pair.directions[end].buffer;
        let entry = if buffer.is_empty() {
            opcode::RecvMulti::new(fd, self.buffers.group()).build()
        } else {
            opcode::Recv::new(fd, buffer.as_mut_ptr(), buffer.len() as u32).build()
        };
        pair.operations_open += 1;
        let entry = entry.user_data(Tag { slot, end, operation: RECEIVE }.pack());
        // SAFETY: the buffers and the pair's own buffer live until the completion.
        unsafe { ring::push(&mut self.ring, &entry) };
    }

    fn release(&mut self, id: u16) {
        self.buffers.release(id);
        if let Some(tag) = self.starved.pop() {
            self.receive(tag.slot, tag.end);
        }
    }

    /// Passes an end of stream on once everything before it is sent; forgets the pair when both have ended.
    fn finish(&mut self, slot: u32) {
        let Some(pair) = self.pairs.get_mut(slot) else { return };
        for end in [CLIENT, BACKEND] {
            let direction = &pair.directions[end];
            if direction.is_finished && direction.waiting.is_empty() {
                // A peer that is gone already has no use for the end of stream.
                let _ = rustix::net::shutdown(&pair.ends[1 - end], Shutdown::Write);
            }
        }
        let ended = |direction: &Direction| direction.is_finished && direction.waiting.is_empty();
        if pair.operations_open == 0 && (pair.is_broken || pair.directions.iter().all(ended)) {
            self.forget(slot);
        }
    }

    /// Ends both sides at once after an error; the pair is forgotten with its last completion.
    fn break_off(&mut self, slot: u32) {
        let Some(pair) = self.pairs.get_mut(slot) else { return };
        pair.is_broken = true;
        for end in &pair.ends {
            // Not connected any more is what is wanted.
            let _ = rustix::net::shutdown(end, Shutdown::Both);
        }
        if pair.operations_open == 0 {
            self.forget(slot);
        }
    }

    fn forget(&mut self, slot: u32) {
        self.starved.retain(|tag| tag.slot != slot);
        let Some(pair) = self.pairs.remove(slot) else { return };
        for direction in pair.directions {
            for chunk in direction.waiting {
                if let Chunk::Shared { id, .. } = chunk {
                    self.release(id);
                }
            }
        }
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
