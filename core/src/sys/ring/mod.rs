//! The io_uring of one driver and everything that is in the kernel's hands: a safe interface.
//!
//! What makes it safe: an operation that points at memory owns that memory (its `Held`) from the submission until its last
//! completion, in the [`OpTable`]; the shared buffers belong to the ring as long as it lives. Dropping the ring cancels all
//! operations and waits for their ends before the memory goes; when the kernel does not answer, the memory is leaked.
//!
//! Source: io_uring(7), `io_uring_setup(2)`, `io_uring_enter(2)`.

mod bufring;
mod datagram;
mod end;
mod flight;

use crate::io::{Buffers, DriverConfig, Errno, Features, OpTable, Step, UserData};
use crate::sys::socket::RawAddress;
use bufring::BufRing;
pub use flight::{Held, Incoming, Kind, Outgoing, SendFlight};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// A completion: whose, what it held (with the last one), and what the kernel said.
#[derive(Debug)]
pub struct Done {
    /// The operation and whose it was.
    pub kind: Kind,
    /// What it held; `Held::Nothing` while more completions follow.
    pub held: Held,
    /// The kernel's result: a count, a descriptor, or an error number.
    pub result: Result<u32, Errno>,
    /// The shared buffer that the kernel filled.
    pub buffer: Option<u16>,
    /// Whether other completions follow.
    pub more: bool,
}

/// An operation to be cancelled by.
pub type Op = UserData;

/// The ring with the operations in flight and the buffers they use.
pub struct Ring {
    ring: ManuallyDrop<IoUring>,
    table: ManuallyDrop<OpTable<(Kind, Held)>>,
    buffers: ManuallyDrop<Buffers>,
    bufring: ManuallyDrop<Option<BufRing>>,
    /// Buffers for trains of datagrams, from the first datagram socket on.
    trains: ManuallyDrop<Option<BufRing>>,
    /// Mean length of the trains received of late.
    train_bytes: u32,
    features: Features,
    enabled: bool,
    queued: usize,
    /// Entries queued since the start.
    pushed: u64,
    /// Descriptors whose close is queued, with the count of entries before it: ours until the entry is known to be submitted.
    closing: VecDeque<(u64, OwnedFd)>,
    /// Descriptors to close and operations to cancel for which the queue had no room.
    closing_late: Vec<OwnedFd>,
    cancels_late: Vec<Op>,
    /// Nothing is submitted any more: what is queued may name descriptors that have been closed.
    sealed: bool,
    /// Registered with the ring while it lives.
    event: OnceCell<OwnedFd>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("in_flight", &self.in_flight())
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// Sets up a ring with what the kernel has of `config.mask`. It is enabled, and bound to its thread, by the first `enter`.
    ///
    /// Errors: `ENOSYS`, `EPERM` (io_uring is missing or forbidden), `ENOMEM`, `EMFILE`; `Unsupported` on kernels without extended waits.
    pub fn new(config: &DriverConfig) -> io::Result<Ring> {
        let (ring, mut features) = set_up(config)?;
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_fast_poll() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "io_uring of this kernel is too old (needs 5.11)",
            ));
        }
        let buffers = Buffers::new(config.buffers)?;
        let bufring = if features.buffer_ring {
            match BufRing::new(&ring, GROUP, config.buffers.shared_count, GIVEN_MAX) {
                Ok(bufring) => Some(bufring),
                Err(_) => {
                    features.buffer_ring = false;
                    None
                }
            }
        } else {
            None
        };
        features.multishot_recv &= features.buffer_ring;
        Ok(Ring {
            ring: ManuallyDrop::new(ring),
            table: ManuallyDrop::new(OpTable::with_capacity(config.streams_max * 4 + 256)),
            buffers: ManuallyDrop::new(buffers),
            bufring: ManuallyDrop::new(bufring),
            trains: ManuallyDrop::new(None),
            train_bytes: 0,
            features,
            enabled: false,
            queued: 0,
            pushed: 0,
            closing: VecDeque::new(),
            closing_late: Vec::new(),
            cancels_late: Vec::new(),
            sealed: false,
            event: OnceCell::new(),
        })
    }

    /// What it uses.
    pub fn features(&self) -> Features {
        self.features
    }

    /// A descriptor that is readable when `enter` has something to do, for a wait outside of the ring.
    ///
    /// It is an eventfd, made and registered when first asked for: with deferred completions the ring's own descriptor wakes nobody
    /// who waits on it already (seen on 6.18), because such completions are only made when the ring is entered.
    ///
    /// Errors: `EMFILE`; `EEXIST` on another thread than the ring's.
    pub fn event_fd(&self) -> io::Result<BorrowedFd<'_>> {
        if let Some(fd) = self.event.get() {
            return Ok(fd.as_fd());
        }
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        let fd = rustix::event::eventfd(0, flags)?;
        self.ring.submitter().register_eventfd(fd.as_raw_fd())?;
        // What happened before the registration told nobody.
        let _ = rustix::io::write(&fd, &1u64.to_ne_bytes());
        Ok(self.event.get_or_init(|| fd).as_fd())
    }

    /// After a submission: makes the event descriptor unreadable. What came in between is known by the flag of deferred work or lies in
    /// the completion queue, so one more look loses nothing.
    fn quiet(&mut self) -> io::Result<()> {
        let Some(fd) = self.event.get() else { return Ok(()) };
        if rustix::io::read(fd, &mut [0; 8]).is_ok() && self.ring.submission().taskrun() {
            self.flush()?;
        }
        Ok(())
    }

    /// The buffers.
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// The buffers.
    pub fn buffers_mut(&mut self) -> &mut Buffers {
        &mut self.buffers
    }

    /// Operations in flight.
    pub fn in_flight(&self) -> usize {
        self.table.in_flight()
    }

    /// Wishes that wait for the next `enter`.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Accepts connections, many with one request where the kernel can. The result is a descriptor.
    pub fn accept(&mut self, fd: BorrowedFd<'_>, kind: Kind) -> io::Result<Op> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let fd = types::Fd(fd.as_raw_fd());
        let entry = if self.features.multishot_accept {
            opcode::AcceptMulti::new(fd).flags(flags).build()
        } else {
            opcode::Accept::new(fd, std::ptr::null_mut(), std::ptr::null_mut()).flags(flags).build()
        };
        self.start(kind, Held::Nothing, |_, _| entry)
    }

    /// Connects. The result is 0.
    pub fn connect(&mut self, fd: BorrowedFd<'_>, address: RawAddress, kind: Kind) -> io::Result<Op> {
        let fd = types::Fd(fd.as_raw_fd());
        self.start(kind, Held::Address(Box::new(address)), |held, _| {
            let Held::Address(address) = held else { unreachable!("just made") };
            let (pointer, len) = address.parts();
            opcode::Connect::new(fd, pointer, len).build()
        })
    }

    /// Receives into shared buffers: many completions with one request (multishot), else one. `None` without a buffer ring.
    pub fn recv_shared(&mut self, fd: BorrowedFd<'_>, kind: Kind) -> io::Result<Op> {
        let fd = types::Fd(fd.as_raw_fd());
        let size = self.buffers.config().shared_size;
        let entry = if self.features.multishot_recv {
            opcode::RecvMulti::new(fd, GROUP).build()
        } else {
            opcode::Recv::new(fd, std::ptr::null_mut(), size)
                .buf_group(GROUP)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT)
        };
        self.start(kind, Held::Nothing, |_, _| entry)
    }

    /// Receives once into a block of about `len` bytes, which comes back as `Held::Block`. With `poll_first` the kernel does not try
    /// before there is something to read.
    pub fn recv_block(
        &mut self,
        fd: BorrowedFd<'_>,
        len: usize,
        poll_first: bool,
        kind: Kind,
    ) -> io::Result<Op> {
        let block = self.buffers.take_block(len)?;
        let fd = types::Fd(fd.as_raw_fd());
        self.start(kind, Held::Block(block), |held, buffers| {
            let Held::Block(block) = held else { unreachable!("just made") };
            let room = buffers.capacity(block).min(len.max(1));
            opcode::Recv::new(fd, buffers.pointer_mut(block), room as u32)
                .ioprio(if poll_first { IORING_RECVSEND_POLL_FIRST } else { 0 })
                .build()
        })
    }

    /// Sends what the flight holds: all of it unless an error or an interruption comes between, or, above 64 KiB, as much as the socket has
    /// room for. The result counts bytes.
    ///
    /// `EAGAIN` is a result like others, also here: a send that the kernel passes to a worker thread of its own is tried there without
    /// waiting, because our sockets are `O_NONBLOCK` (seen on 6.18, several chunks into a full socket under load). Nothing was taken then,
    /// and [`Ring::wait_to_send`] is next.
    pub fn send(&mut self, fd: BorrowedFd<'_>, flight: Box<SendFlight>, kind: Kind) -> io::Result<Op> {
        let fd = types::Fd(fd.as_raw_fd());
        let whole =
            if flight.len.saturating_sub(flight.sent) <= WHOLE_BYTES_MAX { libc::MSG_WAITALL } else { 0 };
        let flags = libc::MSG_NOSIGNAL | whole;
        self.start(kind, Held::Send(flight), |held, buffers| {
            let Held::Send(flight) = held else { unreachable!("just made") };
            match flight.prepare(buffers) {
                flight::Prepared::One(pointer, len) => {
                    opcode::Send::new(fd, pointer, len).flags(flags).build()
                }
                flight::Prepared::Many(message) => {
                    opcode::SendMsg::new(fd, message).flags(flags as u32).build()
                }
            }
        })
    }

    /// Waits until a descriptor takes bytes, and keeps what is to be sent then. The result is a mask of poll events.
    pub fn wait_to_send(
        &mut self,
        fd: BorrowedFd<'_>,
        flight: Box<SendFlight>,
        kind: Kind,
    ) -> io::Result<Op> {
        let entry = opcode::PollAdd::new(types::Fd(fd.as_raw_fd()), libc::POLLOUT as u32).build();
        self.start(kind, Held::Send(flight), |_, _| entry)
    }

    /// Waits until a descriptor is readable or writable (`POLLIN`, `POLLOUT`). With `multi` it tells each time.
    pub fn poll(&mut self, fd: BorrowedFd<'_>, events: u32, multi: bool, kind: Kind) -> io::Result<Op> {
        let entry = opcode::PollAdd::new(types::Fd(fd.as_raw_fd()), events).multi(multi).build();
        self.start(kind, Held::Nothing, |_, _| entry)
    }

    /// Cancels an operation; its last completion comes all the same.
    pub fn cancel(&mut self, op: Op) {
        let entry =
            opcode::AsyncCancel::new(op.0).build().user_data(IGNORED).flags(squeue::Flags::SKIP_SUCCESS);
        // SAFETY: a cancellation points at no memory.
        if unsafe { self.push(&entry) }.is_err() {
            self.cancels_late.push(op);
        }
    }

    /// Closes a descriptor after all that is queued, so that no queued operation meets another file under its number.
    pub fn close(&mut self, fd: OwnedFd) {
        let number = types::Fd(fd.as_raw_fd());
        let entry = opcode::Close::new(number).build().user_data(IGNORED).flags(squeue::Flags::SKIP_SUCCESS);
        // SAFETY: closing points at no memory.
        match unsafe { self.push(&entry) } {
            Ok(()) => self.closing.push_back((self.pushed - 1, fd)),
            Err(_) => self.closing_late.push(fd),
        }
    }

    /// After a submission: how much of the queue is left, and which closes the kernel has done.
    fn after_submit(&mut self) {
        self.queued = self.ring.submission().len();
        let submitted = self.pushed - self.queued as u64;
        while self.closing.front().is_some_and(|(place, _)| *place < submitted) {
            if let Some((_, fd)) = self.closing.pop_front() {
                // The kernel closes it; the number may be another file's by now.
                let _ = fd.into_raw_fd();
            }
        }
        if self.queued == 0 {
            self.closing_late.clear();
        }
    }

    /// Queues again what found no room, now that there is some.
    fn queue_late(&mut self) {
        for op in std::mem::take(&mut self.cancels_late) {
            self.cancel(op);
        }
    }

    /// Hands idle shared buffers to the kernel, so that receives find some. Returns how many the kernel has.
    pub fn provide(&mut self) -> usize {
        match &mut *self.bufring {
            Some(bufring) => bufring.provide(&mut self.buffers, Buffers::take_shared),
            None => 0,
        }
    }

    /// The shared buffer that a completion names, now ours. `None` for a number that the kernel cannot have meant.
    pub fn filled(&mut self, number: u16) -> Option<crate::io::Empty> {
        let bufring = self.bufring.as_mut()?;
        let empty = self.buffers.filled_shared(number)?;
        bufring.on_filled();
        Some(empty)
    }

    /// Submits what is queued, waits for a completion for at most `timeout` (`None`: no limit) after spinning for `spin`, and hands the
    /// completions to `done`.
    ///
    /// Errors: what `io_uring_enter(2)` says, less `ETIME`, `EINTR`, `EBUSY` and `EAGAIN`, which end the wait only.
    pub fn enter(
        &mut self,
        timeout: Option<Duration>,
        spin: Duration,
        done: &mut Vec<Done>,
    ) -> io::Result<()> {
        self.reap(done);
        if self.sealed {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        if !self.enabled {
            self.ring.submitter().register_enable_rings()?;
            self.enabled = true;
        }
        if !self.cancels_late.is_empty() {
            self.flush()?;
            self.queue_late();
        }
        let wait = done.is_empty() && timeout != Some(Duration::ZERO);
        if wait && !spin.is_zero() {
            self.flush()?;
            let end = Instant::now() + timeout.map_or(spin, |timeout| timeout.min(spin));
            while !self.has_news() && Instant::now() < end {
                std::hint::spin_loop();
            }
            if self.has_news() {
                self.flush()?;
                self.quiet()?;
                self.reap(done);
                return Ok(());
            }
        }
        if !wait {
            self.flush()?;
        } else {
            let result = match timeout {
                None => self.ring.submit_and_wait(1),
                Some(timeout) => {
                    let time = types::Timespec::from(timeout);
                    let arguments = types::SubmitArgs::new().timespec(&time);
                    self.ring.submitter().submit_with_args(1, &arguments)
                }
            };
            self.after_submit();
            bearable(result)?;
        }
        self.quiet()?;
        self.reap(done);
        Ok(())
    }

    /// Completions to reap, or work that the kernel keeps until we enter it.
    fn has_news(&mut self) -> bool {
        self.ring.submission().taskrun() || !self.ring.completion().is_empty()
    }

    /// Submits and lets the kernel make its completions, without waiting.
    fn flush(&mut self) -> io::Result<()> {
        let submission = self.ring.submission();
        if submission.is_empty() && !submission.taskrun() && !submission.cq_overflow() {
            drop(submission);
            self.after_submit();
            return Ok(());
        }
        drop(submission);
        let result = self.ring.submit();
        self.after_submit();
        bearable(result)
    }

    fn reap(&mut self, done: &mut Vec<Done>) {
        for entry in self.ring.completion() {
            let user_data = entry.user_data();
            if user_data == IGNORED {
                continue;
            }
            let user_data = UserData(user_data);
            let Some((kind, _)) = self.table.get(user_data) else {
                let _ = self.table.on_completion(user_data, false);
                continue;
            };
            let kind = *kind;
            let more = cqueue::more(entry.flags());
            let held = match self.table.on_completion(user_data, more) {
                Step::Last((_, held)) => held,
                Step::More | Step::Stale => Held::Nothing,
            };
            let result = entry.result();
            let result = if result < 0 { Err(Errno(-result)) } else { Ok(result as u32) };
            done.push(Done { kind, held, result, buffer: cqueue::buffer_select(entry.flags()), more });
        }
    }

    /// Enters an operation in the table, builds its entry over what the table holds now, and queues it.
    fn start(
        &mut self,
        kind: Kind,
        held: Held,
        build: impl FnOnce(&mut Held, &Buffers) -> squeue::Entry,
    ) -> io::Result<Op> {
        let op = match self.table.start((kind, held)) {
            Ok(op) => op,
            Err((_, held)) => {
                held.give_back(&mut self.buffers);
                return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
            }
        };
        let (_, held) = self.table.get_mut(op).expect("just started");
        let entry = build(held, &self.buffers).user_data(op.0);
        // SAFETY: all that the entry points at is on the heap, owned by the table's `held` until the last completion, or a region of
        // `buffers`, which outlives the ring.
        if let Err(error) = unsafe { self.push(&entry) } {
            // The kernel has not seen it.
            if let Step::Last((_, held)) = self.table.on_completion(op, false) {
                held.give_back(&mut self.buffers);
            }
            return Err(error);
        }
        Ok(op)
    }

    /// Queues an entry, making room by a submission when the queue is full. The queue is as long as configured; more wishes than that
    /// in one turn are submitted in several calls.
    ///
    /// Errors, with nothing queued: what `io_uring_enter(2)` says to a submission (`EEXIST` on another thread than the ring's), `EBUSY`
    /// when submissions make no room.
    ///
    /// # Safety
    /// What the entry points at stays valid until its last completion.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        for _ in 0..SUBMIT_TRIES_MAX {
            // SAFETY: the caller's promise.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                self.queued += 1;
                self.pushed += 1;
                return Ok(());
            }
            if self.sealed {
                break;
            }
            if !self.enabled {
                self.ring.submitter().register_enable_rings()?;
                self.enabled = true;
            }
            self.flush()?;
            if self.queued > 0 {
                std::thread::yield_now();
            }
        }
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    }
}

/// Tries the best flags first and goes down the ladder where the kernel refuses (`EINVAL`).
fn set_up(config: &DriverConfig) -> io::Result<(IoUring, Features)> {
    let mut features = config.mask;
    let modern = kernel_at_least(6, 0);
    features.multishot_accept &= modern;
    features.multishot_recv &= modern;
    loop {
        let mut builder = IoUring::builder();
        builder
            .setup_r_disabled()
            .setup_clamp()
            .setup_submit_all()
            .setup_cqsize(config.submissions.max(64) * 8);
        if features.defer_taskrun {
            builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        }
        if features.no_sqarray {
            builder.setup_no_sqarray();
        }
        match builder.build(config.submissions.max(64)) {
            Ok(ring) => return Ok((ring, features)),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && features.no_sqarray => {
                features.no_sqarray = false
            }
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && features.defer_taskrun => {
                features.defer_taskrun = false;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Takes over a descriptor that an accept of ours has just returned.
pub(crate) fn adopt(fd: u32) -> OwnedFd {
    // SAFETY: the kernel made the descriptor for this completion; nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// Whether the running kernel says it is at least `major.minor`.
pub fn kernel_at_least(major: u32, minor: u32) -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

fn bearable(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
            _ => Err(error),
        },
    }
}

/// User data of operations whose completions tell nothing.
const IGNORED: u64 = u64::MAX;
/// The buffer group of the shared buffers.
const GROUP: u16 = 0;
/// Shared buffers that the kernel has at a time, at most. A wake of one stream may take up to 32 at once.
const GIVEN_MAX: u16 = 256;
/// `IORING_RECVSEND_POLL_FIRST` (5.19), which the crate does not name in public.
const IORING_RECVSEND_POLL_FIRST: u16 = 1;
/// Submissions in a row that may make no room before an operation is refused.
const SUBMIT_TRIES_MAX: usize = 64;
/// Bytes of a send up to which the kernel is told to go on until all are sent. A larger one comes back with what the socket took, so that
/// progress is seen while a slow reader takes it.
const WHOLE_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests;
