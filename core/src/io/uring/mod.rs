//! The driver on io_uring.
//!
//! One submission per turn: wishes become entries when they are made, sends when the turn begins, so that all that a turn queued on
//! a stream leaves in one message. Receives are multishot into shared buffers; a stream that finds none idle goes on with a
//! block of its own, so nobody waits for somebody else's slow reader.

mod datagram;
mod splice;
mod stream;

use super::{
    Buffers, Chunk, Close, DatagramCounters, DatagramId, DatagramOptions, Driver, DriverConfig, DriverKind,
    Errno, Event, Features, Instant, Lease, Lingering, ListenOptions, ListenerId, StreamId, StreamOptions,
    Table, Train, Waker,
};
use crate::io::SendQueue;
use crate::io::clock;
use crate::io::sendq::Spare;
use crate::sys::ring::{Done, Held, Kind, Op, Ring, SendFlight, adopt};
use crate::sys::socket;
use crate::sys::splice::Pipe;
use datagram::Datagrams;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use stream::Stream;

/// The io_uring driver. See [`Driver`].
#[derive(Debug)]
pub struct UringDriver {
    ring: Ring,
    config: DriverConfig,
    now: Instant,
    streams: Table<Stream>,
    listeners: BTreeMap<u32, Listener>,
    datagrams: Datagrams,
    /// Numbers of listeners and datagram sockets are never used again, so a late use of one that is closed meets nobody.
    number_next: u32,
    waker: Waker,
    waker_op: Option<Op>,
    /// Streams with something queued to send.
    dirty: Vec<StreamId>,
    /// Streams that were closed with bytes to send since the turn before.
    parked: Vec<StreamId>,
    lingering: Lingering,
    /// Events that were ready before the turn.
    ready: Vec<Event>,
    done: Vec<Done>,
    spare: Spare,
    #[expect(clippy::vec_box, reason = "the boxes themselves are reused, they do not move")]
    flights: Vec<Box<SendFlight>>,
    /// Empty queues of streams that are gone, for new ones.
    queues: Vec<SendQueue>,
    pipes: Vec<Pipe>,
    pipes_out: usize,
}

#[derive(Debug)]
struct Listener {
    fd: OwnedFd,
    /// Asked for once: owners ask for it with each connection.
    address: Option<SocketAddr>,
    op: Option<Op>,
    paused: bool,
}

impl UringDriver {
    /// Sets up the ring and its buffers. Errors: `ENOSYS`, `EPERM` (io_uring is missing or forbidden), `ENOMEM`,
    /// `EMFILE`; `Unsupported` on kernels without extended waits.
    pub fn new(mut config: DriverConfig) -> io::Result<UringDriver> {
        config.mask.splice &= crate::sys::splice::is_safe();
        let ring = Ring::new(&config)?;
        let fd = rustix::event::eventfd(
            0,
            rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK,
        )?;
        Ok(UringDriver {
            ring,
            config,
            now: clock::now(),
            streams: Table::with_capacity(config.streams_max),
            listeners: BTreeMap::new(),
            datagrams: Datagrams::default(),
            number_next: 0,
            waker: Waker(Arc::new(fd)),
            waker_op: None,
            dirty: Vec::new(),
            parked: Vec::new(),
            lingering: Lingering::new(config.streams_max),
            ready: Vec::new(),
            done: Vec::new(),
            spare: Spare::default(),
            flights: Vec::new(),
            queues: Vec::new(),
            pipes: Vec::new(),
            pipes_out: 0,
        })
    }

    /// The descriptor of [`Driver::fd`]. Errors: `EMFILE`; `EEXIST` on another thread than the ring's.
    pub fn borrow_fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.ring.event_fd()
    }

    fn number(&mut self) -> u32 {
        self.number_next += 1;
        self.number_next - 1
    }

    fn accept_start(&mut self, listener: ListenerId) {
        let Some(state) = self.listeners.get_mut(&listener.0) else { return };
        if state.op.is_some() || state.paused {
            return;
        }
        match self.ring.accept(state.fd.as_fd(), Kind::Accept(listener)) {
            Ok(op) => state.op = Some(op),
            Err(error) => {
                state.paused = true;
                self.ready.push(Event::AcceptFailed { listener, errno: Errno::from_io(&error) });
            }
        }
    }

    fn add_listener(&mut self, fd: OwnedFd) -> ListenerId {
        let listener = ListenerId(self.number());
        let address = socket::local_address(&fd);
        self.listeners.insert(listener.0, Listener { fd, address, op: None, paused: false });
        self.accept_start(listener);
        listener
    }

    fn on_accept(&mut self, listener: ListenerId, done: &Done, events: &mut Vec<Event>) {
        let Some(state) = self.listeners.get_mut(&listener.0) else {
            // The listener is gone; a connection that was under way goes with it.
            if let Ok(fd) = done.result {
                drop(adopt(fd));
            }
            return;
        };
        if !done.more {
            state.op = None;
        }
        match done.result {
            Ok(fd) => {
                let fd = adopt(fd);
                match socket::peer_address(&fd) {
                    // No peer: it was reset before we looked.
                    None => {}
                    Some(peer) => match self.stream_insert(fd) {
                        Ok(stream) => events.push(Event::Accepted { listener, stream, peer }),
                        Err(_) => {
                            self.pause(listener);
                            events.push(Event::AcceptFailed { listener, errno: Errno(libc::ENFILE) });
                            return;
                        }
                    },
                }
            }
            Err(Errno(libc::ECANCELED)) => {}
            Err(errno) if is_passing(errno) => {}
            Err(errno) => {
                state.paused = true;
                events.push(Event::AcceptFailed { listener, errno });
            }
        }
        self.accept_start(listener);
    }

    fn pause(&mut self, listener: ListenerId) {
        let Some(state) = self.listeners.get_mut(&listener.0) else { return };
        state.paused = true;
        if let Some(op) = state.op {
            self.ring.cancel(op);
        }
    }

    fn on_done(&mut self, done: Done, events: &mut Vec<Event>) {
        match done.kind {
            Kind::Recv(stream) => self.on_recv(stream, done, events),
            Kind::Send(stream) => self.on_send(stream, done, events),
            Kind::SendReady(stream) => self.on_send_ready(stream, done, events),
            Kind::RecvBlock(stream) => self.on_recv_block(stream, done, events),
            Kind::Accept(listener) => self.on_accept(listener, &done, events),
            Kind::Connect(stream) => self.on_connect(stream, &done, events),
            Kind::Splice(source) => self.on_splice_poll(source, &done, events),
            Kind::RecvMessage(socket) => self.on_datagrams(socket, done, events),
            Kind::SendMessage(socket) => self.on_datagrams_sent(socket, done, events),
            Kind::Wake => {
                if !done.more {
                    self.waker_op = None;
                }
                let mut count = [0; 8];
                if rustix::io::read(&*self.waker.0, &mut count).is_ok() {
                    events.push(Event::Woken);
                }
            }
        }
    }

    /// Lends what the kernel put in the shared buffer that a completion names.
    fn lend(&mut self, done: &Done, len: u32) -> Option<Lease> {
        let filled = self.ring.filled(done.buffer?)?;
        if len == 0 {
            self.ring.buffers_mut().put_back(filled);
            return None;
        }
        Some(self.ring.buffers_mut().lend(filled, 0, len as usize))
    }
}

impl Driver for UringDriver {
    fn kind(&self) -> DriverKind {
        DriverKind::Uring
    }
    fn features(&self) -> Features {
        self.ring.features()
    }
    fn now(&self) -> Instant {
        self.now
    }
    fn fd(&self) -> Option<RawFd> {
        self.ring.event_fd().ok().map(|fd| fd.as_raw_fd())
    }
    fn waker(&self) -> Option<Waker> {
        Some(self.waker.clone())
    }

    fn listen(&mut self, address: SocketAddr, options: &ListenOptions) -> io::Result<ListenerId> {
        let fd = socket::listen(address, options)?;
        Ok(self.add_listener(fd))
    }
    fn listen_fd(&mut self, fd: OwnedFd) -> io::Result<ListenerId> {
        socket::check_listening(&fd)?;
        Ok(self.add_listener(fd))
    }
    fn listener_address(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.listeners.get(&listener.0)?.address
    }
    fn accept_pause(&mut self, listener: ListenerId) {
        self.pause(listener);
    }
    fn accept_resume(&mut self, listener: ListenerId) {
        if let Some(state) = self.listeners.get_mut(&listener.0) {
            state.paused = false;
        }
        self.accept_start(listener);
    }
    fn unlisten(&mut self, listener: ListenerId) {
        let Some(state) = self.listeners.remove(&listener.0) else { return };
        if let Some(op) = state.op {
            self.ring.cancel(op);
        }
        self.ring.close(state.fd);
    }

    fn connect(&mut self, address: SocketAddr, options: &StreamOptions) -> io::Result<StreamId> {
        self.stream_connect(address, options)
    }
    fn local_address(&self, stream: StreamId) -> Option<SocketAddr> {
        socket::local_address(&self.streams.get(stream)?.fd)
    }
    fn recv(&mut self, stream: StreamId) {
        self.stream_recv(stream);
    }
    fn recv_stop(&mut self, stream: StreamId) {
        self.stream_recv_stop(stream);
    }
    fn recv_block(&mut self, stream: StreamId, len_max: usize) {
        self.stream_recv_block(stream, len_max);
    }
    fn buffer(&mut self) -> Vec<u8> {
        self.spare.take()
    }
    fn recycle(&mut self, buffer: Vec<u8>) {
        self.spare.put(buffer);
    }
    fn send(&mut self, stream: StreamId, chunk: Chunk) {
        self.stream_send(stream, chunk);
    }
    fn unsent(&self, stream: StreamId) -> usize {
        self.streams.get(stream).map_or(0, Stream::unsent)
    }
    fn outstanding(&self, stream: StreamId) -> usize {
        self.streams.get(stream).map_or(0, Stream::outstanding)
    }
    fn shutdown(&mut self, stream: StreamId) {
        self.stream_shutdown(stream);
    }
    fn close(&mut self, stream: StreamId, how: Close) {
        self.stream_close(stream, how);
    }
    fn splice(&mut self, source: StreamId, target: StreamId, len: u64) -> bool {
        self.splice_start(source, target, len)
    }
    fn spliced(&self, source: StreamId) -> u64 {
        self.streams
            .get(source)
            .and_then(|stream| stream.splice.as_ref())
            .map_or(0, |splice| splice.pump.moved())
    }

    fn bind_datagram(&mut self, address: SocketAddr, options: &DatagramOptions) -> io::Result<DatagramId> {
        self.datagram_bind(address, options)
    }
    fn datagram_address(&self, socket: DatagramId) -> Option<SocketAddr> {
        socket::local_address(self.datagrams.fd(socket)?)
    }
    fn datagram_receive_buffer(&self, socket: DatagramId) -> Option<usize> {
        crate::sys::datagram::receive_buffer(self.datagrams.fd(socket)?)
    }
    fn datagram_counters(&self, socket: DatagramId) -> Option<DatagramCounters> {
        self.datagrams.counters(socket)
    }
    fn send_datagrams(&mut self, socket: DatagramId, to: SocketAddr, train: Train) {
        self.datagram_send(socket, to, train);
    }
    fn datagrams_unsent(&self, socket: DatagramId) -> usize {
        self.datagrams.unsent(socket)
    }
    fn close_datagram(&mut self, socket: DatagramId) {
        self.datagram_close(socket);
    }

    fn buffers(&self) -> &Buffers {
        self.ring.buffers()
    }
    fn retain(&mut self, lease: &Lease) -> Lease {
        self.ring.buffers_mut().retain(lease)
    }
    fn split(&mut self, lease: &mut Lease, count: usize) -> Lease {
        self.ring.buffers_mut().split(lease, count)
    }
    fn bytes_mut(&mut self, lease: &mut Lease) -> Option<&mut [u8]> {
        self.ring.buffers_mut().lease_bytes_mut(lease)
    }
    fn keep(&mut self, lease: Lease) -> Lease {
        self.ring.buffers_mut().keep(lease)
    }
    fn release(&mut self, lease: Lease) {
        self.ring.buffers_mut().release(lease);
    }

    fn turn(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        if self.waker_op.is_none() {
            let fd = self.waker.0.clone();
            self.waker_op = self.ring.poll(fd.as_fd(), POLLIN, true, Kind::Wake).ok();
        }
        self.flush_sends();
        self.ring.provide();
        self.flush_datagrams();
        let timeout = if self.ready.is_empty() { timeout } else { Some(Duration::ZERO) };
        events.append(&mut self.ready);
        let parked = std::mem::take(&mut self.parked);
        let mut done = std::mem::take(&mut self.done);
        let result = self.ring.enter(timeout, Duration::from_nanos(self.config.spin_ns), &mut done);
        self.now = clock::now();
        for done in done.drain(..) {
            self.on_done(done, events);
        }
        self.done = done;
        self.tell_datagrams_sent(events);
        self.limit_patience(&parked);
        events.append(&mut self.ready);
        result
    }
    fn pending(&self) -> bool {
        !self.ready.is_empty()
            || !self.dirty.is_empty()
            || self.ring.queued() > 0
            || self.datagrams.is_pending(self.ring.buffers())
    }
    fn streams_open(&self) -> usize {
        self.streams.len()
    }
}

impl Drop for UringDriver {
    fn drop(&mut self) {
        // Entries that are still queued name descriptors by number: they go first. Then sockets are closed, before the ring ends what is
        // in flight, so that peers hear of it at once.
        self.ring.seal();
        self.streams = Table::with_capacity(0);
        self.listeners.clear();
        self.datagrams.clear();
    }
}

/// Errors of `accept(2)` that belong to one connection and say nothing about the listener.
fn is_passing(errno: Errno) -> bool {
    matches!(
        errno.0,
        libc::ECONNABORTED
            | libc::EINTR
            | libc::EAGAIN
            | libc::EPROTO
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EPERM
    )
}

const POLLIN: u32 = libc::POLLIN as u32;
const POLLOUT: u32 = libc::POLLOUT as u32;

#[cfg(test)]
mod tests;
