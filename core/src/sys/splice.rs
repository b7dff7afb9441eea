//! Bytes from one socket to another without leaving the kernel: `splice(2)` through a pipe.
//!
//! Source: splice(2). The calls never block; who drives the pump waits for the readiness it names. io_uring has an opcode for
//! this, which hands each call to a worker thread: dearer than the plain call from the loop.

use crate::io::{Errno, SpliceEnd};
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// A pipe to splice through, empty when nobody uses it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
}

impl Pipe {
    /// A pipe of 256 KiB where the user may have one, else of what the system gives. Errors: `EMFILE`, `ENFILE`.
    pub fn new() -> io::Result<Pipe> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let capacity = rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES).unwrap_or(64 << 10);
        Ok(Pipe { read, write, capacity })
    }
}

/// Whether splicing cannot kill the program: `splice(2)` to a closed socket raises SIGPIPE, and unlike `send` has no flag against it.
/// Rust and Python programs ignore the signal; a C program has to, and until it does splicing stays off.
pub fn is_safe() -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: only asks, and writes one `sigaction` into the room given.
    let asked = unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) };
    if asked != 0 {
        return false;
    }
    // SAFETY: the call above has filled it.
    let action = unsafe { action.assume_init() };
    action.sa_sigaction != libc::SIG_DFL
}

/// What the pump waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpliceStep {
    /// Call again when the source is readable.
    WaitSource,
    /// Call again when the target is writable.
    WaitTarget,
    /// It is over.
    End(SpliceEnd),
}

/// One splice under way.
#[derive(Debug)]
pub struct SplicePump {
    pipe: Pipe,
    /// Bytes still to be read from the source.
    left: u64,
    in_pipe: usize,
    moved: u64,
    source_ended: bool,
}

impl SplicePump {
    /// Will move `len` bytes, or all until the source's end.
    pub fn new(pipe: Pipe, len: u64) -> SplicePump {
        SplicePump { pipe, left: len, in_pipe: 0, moved: 0, source_ended: false }
    }

    /// Bytes handed to the target so far.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// The pipe for another splice, if it is empty.
    pub fn into_pipe(self) -> Option<Pipe> {
        if self.in_pipe == 0 { Some(self.pipe) } else { None }
    }

    /// Moves what can be moved now, a bounded amount so that one stream does not hold the loop.
    pub fn advance(&mut self, source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> SpliceStep {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        for _ in 0..ROUNDS_MAX {
            let mut source_dry = false;
            if self.left > 0 && !self.source_ended && self.in_pipe < self.pipe.capacity {
                let room =
                    (self.pipe.capacity - self.in_pipe).min(usize::try_from(self.left).unwrap_or(usize::MAX));
                match rustix::pipe::splice(source, None, &self.pipe.write, None, room, flags) {
                    Ok(0) => self.source_ended = true,
                    Ok(count) => {
                        self.in_pipe += count;
                        self.left -= count as u64;
                    }
                    Err(rustix::io::Errno::AGAIN) => source_dry = true,
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(errno) => {
                        return SpliceStep::End(SpliceEnd::SourceFailed(Errno(errno.raw_os_error())));
                    }
                }
            }
            if self.in_pipe > 0 {
                let flags =
                    if self.left > 0 && !self.source_ended { flags | SpliceFlags::MORE } else { flags };
                match rustix::pipe::splice(&self.pipe.read, None, target, None, self.in_pipe, flags) {
                    Ok(count) => {
                        self.in_pipe -= count;
                        self.moved += count as u64;
                    }
                    Err(rustix::io::Errno::AGAIN) => return SpliceStep::WaitTarget,
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(errno) => {
                        return SpliceStep::End(SpliceEnd::TargetFailed(Errno(errno.raw_os_error())));
                    }
                }
            }
            if self.in_pipe == 0 {
                if self.left == 0 {
                    return SpliceStep::End(SpliceEnd::Done);
                }
                if self.source_ended {
                    return SpliceStep::End(SpliceEnd::SourceEnd);
                }
                if source_dry {
                    return SpliceStep::WaitSource;
                }
            }
        }
        // More could be moved at once; waiting for a target that is writable gives the others a turn.
        if self.in_pipe > 0 { SpliceStep::WaitTarget } else { SpliceStep::WaitSource }
    }
}

const PIPE_BYTES: usize = 256 << 10;
const ROUNDS_MAX: usize = 8;
