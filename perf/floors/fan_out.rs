//! Floor: what one connection says goes to all others, as one shared buffer.
//!
//! The framing of events is between publisher and subscribers alone: this program reads one byte of each connection, its role, and looks at
//! nothing after it. A subscriber that does not keep up holds all others up. Two forms:
//! - `send` (default): a system call per subscriber,
//! - `uring`: one for all of them.

use clap::{Parser, ValueEnum};
use clustercore_perf::fan_out::bare::{PUBLISHER, READY, SUBSCRIBER};
use clustercore_perf::{ring, socket};
use io_uring::{IoUring, opcode, types::Fd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::{Errno, Result};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Passes what a publisher says on to every subscriber, without a look.
#[derive(Parser)]
struct Options {
    /// Address to accept connections on.
    #[arg(long)]
    listen: SocketAddr,
    /// How the buffer goes to the subscribers.
    #[arg(long, value_enum, default_value = "send")]
    form: Form,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Form {
    Send,
    Uring,
}

struct FanOut {
    listener: OwnedFd,
    publisher: Option<OwnedFd>,
    subscribers: Vec<OwnedFd>,
    ring: Option<IoUring>,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    socket::raise_descriptor_limit();
    let ring = match options.form {
        Form::Send => None,
        Form::Uring => Some(ring::build(RING_ENTRIES)?),
    };
    let listener = socket::listen(options.listen, 4096)?;
    FanOut { listener, publisher: None, subscribers: Vec::new(), ring }.run()
}

impl FanOut {
    fn run(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let Some(publisher) = &self.publisher else {
                self.accept()?;
                continue;
            };
            let mut waiting =
                [PollFd::new(publisher, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
            match poll(&mut waiting, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let [has_words, has_caller] = waiting.map(|one| !one.revents().is_empty());
            if has_words {
                match rustix::net::recv(publisher, &mut buffer[..], RecvFlags::empty()) {
                    Ok((0, _)) | Err(_) => {
                        // A run is over: its subscribers go with it.
                        self.publisher = None;
                        self.subscribers.clear();
                    }
                    Ok((len, _)) => self.pass_on(&buffer[..len])?,
                }
            }
            if has_caller {
                self.accept()?;
            }
        }
    }

    /// Takes one connection and its role; one that says none is closed.
    fn accept(&mut self) -> io::Result<()> {
        let caller = match rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC) {
            Ok(caller) => caller,
            Err(Errno::INTR | Errno::CONNABORTED) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut role = [0];
        set_socket_timeout(&caller, Timeout::Recv, Some(ROLE_WAIT))?;
        // Whatever is wrong with it: it is not one of a run.
        let Ok((1, _)) = rustix::net::recv(&caller, &mut role, RecvFlags::empty()) else { return Ok(()) };
        if rustix::net::send(&caller, &READY, SendFlags::NOSIGNAL) != Ok(READY.len()) {
            return Ok(());
        }
        match role[0] {
            SUBSCRIBER => self.subscribers.push(caller),
            PUBLISHER => self.publisher = Some(caller),
            _ => {}
        }
        Ok(())
    }

    fn pass_on(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(ring) = &mut self.ring {
            return pass_on_by_ring(ring, &mut self.subscribers, bytes);
        }
        self.subscribers.retain(|subscriber| send_all(subscriber, bytes).is_ok());
        Ok(())
    }
}

/// The sockets block, so that only an error leaves bytes behind.
fn send_all(subscriber: &OwnedFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let sent = rustix::net::send(subscriber, bytes, SendFlags::NOSIGNAL)?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

fn pass_on_by_ring(ring: &mut IoUring, subscribers: &mut Vec<OwnedFd>, bytes: &[u8]) -> io::Result<()> {
    let mut is_gone = vec![false; subscribers.len()];
    for (group, some) in subscribers.chunks(RING_ENTRIES as usize).enumerate() {
        let first = group * RING_ENTRIES as usize;
        for (index, subscriber) in some.iter().enumerate() {
            let entry = opcode::Send::new(Fd(subscriber.as_raw_fd()), bytes.as_ptr(), bytes.len() as u32)
                // The kernel sends the rest by itself when the socket takes a part.
                .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
                .build()
                .user_data((first + index) as u64);
            // SAFETY: buffer and sockets outlive the completions, which are all awaited below.
            unsafe { ring::push(ring, &entry) };
        }
        let mut open = some.len();
        while open > 0 {
            match ring.submit_and_wait(open) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            for completion in ring.completion() {
                open -= 1;
                is_gone[completion.user_data() as usize] = completion.result() != bytes.len() as i32;
            }
        }
    }
    let mut gone = is_gone.into_iter();
    subscribers.retain(|_| !gone.next().unwrap_or(true));
    Ok(())
}

const RING_ENTRIES: u32 = 512;
const BUFFER_BYTES: usize = 1 << 20;
/// What a connection has to say its role.
const ROLE_WAIT: Duration = Duration::from_secs(1);
