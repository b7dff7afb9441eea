//! Floor: a relay on epoll and splice that parses nothing: response bytes never enter user space.
//!
//! Requests are small and are copied through one shared buffer; the back end's bytes go socket -> pipe -> socket.
//! Edge-triggered, so that no registration changes while a transfer runs.

use clap::Parser;
use clustercore_perf::floor::{BACKEND, Backends, CLIENT, Ends, RelayOptions, Slots, Tag};
use clustercore_perf::socket;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags};
use rustix::pipe::{PipeFlags, SpliceFlags};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Relays TCP connections to back ends by epoll and splice, without parsing.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    relay: RelayOptions,
    /// Size of each connection's pipe.
    #[arg(long, default_value_t = 1024)]
    pipe_kib: usize,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    socket::raise_descriptor_limit();
    Ok(run(&options)?)
}

/// One relayed connection. `unsent` are request bytes that the back end has not taken; `in_pipe` counts response
/// bytes between the two splices.
struct Pair {
    ends: Ends,
    pipe: (OwnedFd, OwnedFd),
    in_pipe: usize,
    unsent: Vec<u8>,
    is_finished: [bool; 2],
    is_told: [bool; 2],
}

fn run(options: &Options) -> rustix::io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let listener = socket::listen(options.relay.listen, 4096)?;
    rustix::io::ioctl_fionbio(&listener, true)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut backends = Backends::new(&options.relay.backends);
    let mut pairs: Slots<Pair> = Slots::default();
    let mut buffer = vec![0u8; 64 * 1024];
    let mut events: Vec<epoll::Event> = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        }
        for event in &events {
            let data = event.data.u64();
            if data == LISTENER {
                accept(&epoll, &listener, &mut backends, &mut pairs, options.pipe_kib * 1024)?;
                continue;
            }
            let slot = Tag::unpack(data).slot;
            let Some(pair) = pairs.get_mut(slot) else { continue };
            // One event may free both directions: a writable end drains what the other one delivered.
            let outcome = pump_request(pair, &mut buffer).and_then(|()| pump_response(pair));
            if outcome.is_err() || pair.is_told == [true, true] {
                // Closing the descriptors removes them from epoll.
                pairs.remove(slot);
            }
        }
    }
}

fn accept(
    epoll: &OwnedFd,
    listener: &OwnedFd,
    backends: &mut Backends,
    pairs: &mut Slots<Pair>,
    pipe_bytes: usize,
) -> rustix::io::Result<()> {
    loop {
        let client = match rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(client) => client,
            Err(Errno::AGAIN | Errno::CONNABORTED) => return Ok(()),
            Err(error) => return Err(error),
        };
        let (address, _) = backends.take_next();
        let backend = socket::stream(address.into())?;
        match rustix::net::connect(&backend, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let pipe = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // A smaller pipe than asked for only costs more turns.
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe.0, pipe_bytes);
        let slot = pairs.insert(Pair {
            ends: [client, backend],
            pipe,
            in_pipe: 0,
            unsent: Vec::new(),
            is_finished: [false; 2],
            is_told: [false; 2],
        });
        let pair = pairs.get_mut(slot).expect("just inserted");
        for end in [CLIENT, BACKEND] {
            let data = EventData::new_u64(Tag { slot, end, operation: 0 }.pack());
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(epoll, &pair.ends[end], data, flags)?;
        }
    }
}

/// Moves request bytes to the back end until one side would block.
fn pump_request(pair: &mut Pair, buffer: &mut [u8]) -> rustix::io::Result<()> {
    loop {
        if !pair.unsent.is_empty() {
            match rustix::net::send(&pair.ends[BACKEND], &pair.unsent, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(pair.unsent.drain(..sent)),
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(()),
                Err(error) => return Err(error),
            }
            continue;
        }
        if pair.is_finished[CLIENT] {
            return tell(pair, CLIENT);
        }
        let received = match rustix::net::recv(&pair.ends[CLIENT], &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => {
                pair.is_finished[CLIENT] = true;
                continue;
            }
            Ok((_, received)) => received,
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error),
        };
        match rustix::net::send(&pair.ends[BACKEND], &buffer[..received], SendFlags::NOSIGNAL) {
            Ok(sent) => pair.unsent.extend_from_slice(&buffer[sent..received]),
            Err(Errno::AGAIN | Errno::NOTCONN) => pair.unsent.extend_from_slice(&buffer[..received]),
            Err(error) => return Err(error),
        }
    }
}

/// Moves response bytes to the client until one side would block.
fn pump_response(pair: &mut Pair) -> rustix::io::Result<()> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        let mut has_moved = false;
        if !pair.is_finished[BACKEND] {
            match rustix::pipe::splice(&pair.ends[BACKEND], None, &pair.pipe.1, None, 1 << 20, flags) {
                Ok(0) => pair.is_finished[BACKEND] = true,
                Ok(moved) => {
                    pair.in_pipe += moved;
                    has_moved = true;
                }
                Err(Errno::AGAIN | Errno::NOTCONN) => {}
                Err(error) => return Err(error),
            }
        }
        if pair.in_pipe > 0 {
            match rustix::pipe::splice(&pair.pipe.0, None, &pair.ends[CLIENT], None, pair.in_pipe, flags) {
                Ok(moved) => {
                    pair.in_pipe -= moved;
                    has_moved = true;
                }
                Err(Errno::AGAIN) => {}
                Err(error) => return Err(error),
            }
        }
        if pair.is_finished[BACKEND] && pair.in_pipe == 0 {
            return tell(pair, BACKEND);
        }
        if !has_moved {
            return Ok(());
        }
    }
}

/// Passes on, once, that `end` has sent its last byte.
fn tell(pair: &mut Pair, end: usize) -> rustix::io::Result<()> {
    if pair.is_told[end] {
        return Ok(());
    }
    pair.is_told[end] = true;
    match rustix::net::shutdown(&pair.ends[1 - end], Shutdown::Write) {
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(error) => Err(error),
    }
}

const LISTENER: u64 = u64::MAX;
