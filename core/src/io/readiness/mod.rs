//! A driver over sockets that tell when they are ready: completions are emulated, the rest is the same.
//!
//! Every socket is tried first and watched (edge by edge, registered once) only when it cannot go on. Two flags per
//! stream remember what the edges said, so that an idle stream costs no call and no buffer. All work of a turn is
//! bounded: reads per stream, connections per listener, news per wait; what is left over is done in the next turn, which
//! then does not wait.
//!
//! Invariant: a stream that could go on is in one of the lists of [`work::Work`], or its socket is watched and owes an edge.

mod accepts;
mod datagrams;
mod sockets;
mod splices;
mod stream;
mod work;

pub use sockets::{News, Sockets, Token};

use super::{
    Buffers, Chunk, Close, DatagramCounters, DatagramId, DatagramOptions, Driver, DriverConfig, DriverKind,
    Errno, Event, Features, Instant, Lease, Lingering, ListenOptions, ListenerId, StreamId, StreamOptions,
    Table, Train, TrainBytes, Waker, sendq,
};
use accepts::Listener;
use datagrams::Datagrams;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;
use stream::{Phase, Receive, Stream};
use work::Work;

/// See the module's text. `EpollDriver` and `SimDriver` are this over their sockets.
pub struct ReadinessDriver<S: Sockets> {
    sockets: S,
    config: DriverConfig,
    now: Instant,
    streams: Table<Stream<S>>,
    lingering: Lingering,
    listeners: BTreeMap<u32, Listener<S>>,
    datagrams: BTreeMap<u32, Datagrams<S>>,
    /// Numbers of listeners and datagram sockets are never used again.
    number_next: u32,
    work: Work,
    /// Failures that a call could not report, for the next turn.
    refused: Vec<(DatagramId, Errno)>,
    /// Kept for their memory.
    tokens: Vec<Token>,
    news: Vec<News>,
}

impl<S: Sockets> ReadinessDriver<S> {
    pub(super) fn sockets(&self) -> &S {
        &self.sockets
    }

    /// Over these sockets. Errors: `ENOMEM`, `EINVAL` for buffers that cannot be.
    pub(crate) fn with_sockets(config: DriverConfig, sockets: S) -> std::io::Result<Self> {
        let buffers = Buffers::new(config.buffers)?;
        Ok(ReadinessDriver {
            config,
            now: sockets.now(),
            streams: Table::with_capacity(config.streams_max),
            lingering: Lingering::new(config.streams_max),
            listeners: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            number_next: 0,
            work: Work::new(buffers),
            refused: Vec::new(),
            tokens: Vec::new(),
            news: Vec::new(),
            sockets,
        })
    }

    /// The stream, unless it has been closed by its owner.
    fn owned(&self, id: StreamId) -> Option<&Stream<S>> {
        self.streams.get(id).filter(|stream| !stream.closing)
    }

    /// The same, to wish something of it: it is looked at in the next turn.
    fn wish(&mut self, id: StreamId) -> Option<&mut Stream<S>> {
        let stream = self.streams.get_mut(id).filter(|stream| !stream.closing)?;
        self.work.again(Token::Stream(id), &mut stream.queued);
        Some(stream)
    }

    fn number(&mut self) -> u32 {
        self.number_next += 1;
        self.number_next - 1
    }

    fn insert(&mut self, socket: S::Socket, phase: Phase) -> std::io::Result<StreamId> {
        self.streams.insert(Stream::new(socket, phase)).map_err(|_| Errno(libc::ENFILE).to_io())
    }

    /// Ends a stream for good; what is queued is dropped.
    fn remove(&mut self, stream: StreamId, how: Close) {
        let Some(mut removed) = self.streams.remove(stream) else { return };
        removed.queue.clear(&mut self.work.buffers, &mut self.work.spare);
        if how == Close::Abort || removed.has_failed() {
            self.sockets.set_abort(&removed.socket);
        }
    }

    fn drive_stream(&mut self, id: StreamId, events: &mut Vec<Event>) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        let keep = stream.drive(id, &mut self.sockets, &mut self.work, events);
        let source = if stream.splice.is_some() { Some(id) } else { stream.spliced_by };
        if !keep {
            // Only what its owner has closed is done by itself.
            self.remove(id, Close::AfterSend);
            self.lingering.removed();
        } else if let Some(source) = source {
            self.drive_splice(source, events);
        }
    }

    /// Looks at all that wait for it without news.
    fn drive_listed(&mut self, events: &mut Vec<Event>) {
        let mut tokens = std::mem::take(&mut self.tokens);
        let listed = self.work.take(&mut tokens);
        for (place, token) in tokens.drain(..).enumerate() {
            match token {
                Token::Stream(id) => {
                    let Some(stream) = self.streams.get_mut(id) else { continue };
                    stream.queued = false;
                    self.drive_stream(id, events);
                }
                Token::Listener(id) => self.drive_listener(id, events),
                Token::Datagram(id) => {
                    let Some(socket) = self.datagrams.get_mut(&id) else { continue };
                    let flag = if place < listed { &mut socket.queued } else { &mut socket.starved };
                    *flag = false;
                    socket.drive(id, &mut self.sockets, &mut self.work, events);
                }
                Token::Waker => {}
            }
        }
        self.tokens = tokens;
    }

    fn drive_news(&mut self, news: News, events: &mut Vec<Event>) {
        match news.token {
            Token::Stream(id) => {
                let Some(stream) = self.streams.get_mut(id) else { return };
                stream.on_news(news);
                self.drive_stream(id, events);
            }
            Token::Listener(id) => {
                if let Some(listener) = self.listeners.get_mut(&id) {
                    listener.ready = true;
                    self.drive_listener(id, events);
                }
            }
            Token::Datagram(id) => {
                if let Some(socket) = self.datagrams.get_mut(&id) {
                    socket.on_news(news);
                    socket.drive(id, &mut self.sockets, &mut self.work, events);
                }
            }
            Token::Waker => events.push(Event::Woken),
        }
    }
}

impl<S: Sockets> Driver for ReadinessDriver<S> {
    fn kind(&self) -> DriverKind {
        self.sockets.kind()
    }

    fn features(&self) -> Features {
        self.sockets.features()
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn fd(&self) -> Option<RawFd> {
        self.sockets.fd()
    }

    fn waker(&self) -> Option<Waker> {
        self.sockets.waker()
    }

    fn listen(&mut self, address: SocketAddr, options: &ListenOptions) -> std::io::Result<ListenerId> {
        let socket = self.sockets.listen(address, options)?;
        Ok(self.add_listener(socket))
    }

    fn listen_fd(&mut self, fd: OwnedFd) -> std::io::Result<ListenerId> {
        let socket = self.sockets.adopt(fd)?;
        Ok(self.add_listener(socket))
    }

    fn listener_address(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.listeners.get(&listener.0)?.address
    }

    fn accept_pause(&mut self, listener: ListenerId) {
        if let Some(listener) = self.listeners.get_mut(&listener.0) {
            listener.paused = true;
        }
    }

    fn accept_resume(&mut self, listener: ListenerId) {
        if let Some(found) = self.listeners.get_mut(&listener.0) {
            found.paused = false;
            self.work.again(Token::Listener(listener.0), &mut found.queued);
        }
    }

    fn unlisten(&mut self, listener: ListenerId) {
        self.listeners.remove(&listener.0);
    }

    fn connect(&mut self, address: SocketAddr, options: &StreamOptions) -> std::io::Result<StreamId> {
        let socket = self.sockets.stream(address, options)?;
        let id = self.insert(socket, Phase::New(Box::new(address)))?;
        self.wish(id);
        Ok(id)
    }

    fn local_address(&self, stream: StreamId) -> Option<SocketAddr> {
        self.sockets.local_address(&self.owned(stream)?.socket)
    }

    fn recv(&mut self, stream: StreamId) {
        if let Some(stream) = self.wish(stream)
            && stream.receive == Receive::Idle
            && stream.gives_bytes()
        {
            stream.receive = Receive::Shared;
        }
    }

    fn recv_stop(&mut self, stream: StreamId) {
        if let Some(stream) = self.wish(stream)
            && stream.receive == Receive::Shared
        {
            stream.receive = Receive::Idle;
            stream.stop_wanted = true;
        }
    }

    fn recv_block(&mut self, stream: StreamId, len_max: usize) {
        if let Some(stream) = self.wish(stream)
            && stream.receive == Receive::Idle
            && stream.gives_bytes()
        {
            stream.receive = Receive::Block(len_max.max(1));
        }
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.work.spare.take()
    }

    fn recycle(&mut self, buffer: Vec<u8>) {
        self.work.spare.put(buffer);
    }

    fn send(&mut self, stream: StreamId, chunk: Chunk) {
        match self.streams.get_mut(stream) {
            Some(found) if !found.closing && found.takes_bytes() => {
                found.queue.push(chunk, &mut self.work.buffers, &mut self.work.spare);
                self.work.again(Token::Stream(stream), &mut found.queued);
            }
            _ => sendq::drop_chunk(chunk, &mut self.work.buffers, &mut self.work.spare),
        }
    }

    fn unsent(&self, stream: StreamId) -> usize {
        self.owned(stream).map_or(0, |stream| stream.queue.unsent())
    }

    fn outstanding(&self, stream: StreamId) -> usize {
        let stream = self.owned(stream);
        stream.map_or(0, |stream| stream.queue.unsent() + self.sockets.unacknowledged(&stream.socket))
    }

    fn shutdown(&mut self, stream: StreamId) {
        if let Some(stream) = self.wish(stream) {
            stream.fin_wanted = true;
        }
    }

    fn close(&mut self, stream: StreamId, how: Close) {
        if self.owned(stream).is_none() {
            return;
        }
        self.cancel_splices(stream);
        let Some(found) = self.streams.get_mut(stream) else { return };
        if how == Close::AfterSend && !found.queue.is_empty() {
            self.work.again(Token::Stream(stream), &mut found.queued);
            found.closing = true;
            found.receive = Receive::Idle;
            self.sockets.set_send_patience(&found.socket, LINGER_MAX);
            let closing = |id| self.streams.get(id).is_some_and(|found| found.closing);
            if let Some(oldest) = self.lingering.add(stream, closing) {
                self.remove(oldest, Close::Abort);
                self.lingering.removed();
            }
            return;
        }
        self.remove(stream, how);
    }

    fn splice(&mut self, source: StreamId, target: StreamId, len: u64) -> bool {
        self.start_splice(source, target, len)
    }

    fn spliced(&self, source: StreamId) -> u64 {
        let splice = self.owned(source).and_then(|stream| stream.splice.as_ref());
        splice.map_or(0, |splice| self.sockets.pump_moved(&splice.pump))
    }

    fn bind_datagram(
        &mut self,
        address: SocketAddr,
        options: &DatagramOptions,
    ) -> std::io::Result<DatagramId> {
        let socket = self.sockets.datagram(address, options)?;
        self.work.buffers.set_up_trains(self.config.datagrams.buffers)?;
        let id = self.number();
        let mut socket = Datagrams::new(socket);
        self.work.again(Token::Datagram(id), &mut socket.queued);
        self.datagrams.insert(id, socket);
        Ok(DatagramId(id))
    }

    fn datagram_address(&self, socket: DatagramId) -> Option<SocketAddr> {
        self.sockets.datagram_address(&self.datagrams.get(&socket.0)?.socket)
    }

    fn datagram_receive_buffer(&self, socket: DatagramId) -> Option<usize> {
        self.sockets.datagram_receive_buffer(&self.datagrams.get(&socket.0)?.socket)
    }

    fn datagram_counters(&self, socket: DatagramId) -> Option<DatagramCounters> {
        self.datagrams.get(&socket.0).map(|socket| socket.counters)
    }

    fn send_datagrams(&mut self, socket: DatagramId, to: SocketAddr, train: Train) {
        let refused = match self.datagrams.get_mut(&socket.0) {
            None => Err((train.bytes, None)),
            Some(found) => {
                self.work.again(Token::Datagram(socket.0), &mut found.queued);
                let max = self.config.datagrams.trains_queued_max;
                found.push(to, train, max).map_err(|(bytes, errno)| (bytes, Some(errno)))
            }
        };
        let Err((bytes, errno)) = refused else { return };
        if let TrainBytes::Owned(bytes) = bytes {
            self.work.spare.put(bytes);
        }
        self.refused.extend(errno.map(|errno| (socket, errno)));
    }

    fn datagrams_unsent(&self, socket: DatagramId) -> usize {
        self.datagrams.get(&socket.0).map_or(0, Datagrams::unsent)
    }

    fn close_datagram(&mut self, socket: DatagramId) {
        if let Some(mut removed) = self.datagrams.remove(&socket.0) {
            if self.sockets.is_running() {
                removed.write(socket.0, &mut self.sockets, &mut self.work, &mut Vec::new());
            }
            removed.clear(&mut self.work);
        }
    }

    fn buffers(&self) -> &Buffers {
        &self.work.buffers
    }

    fn retain(&mut self, lease: &Lease) -> Lease {
        self.work.buffers.retain(lease)
    }

    fn split(&mut self, lease: &mut Lease, count: usize) -> Lease {
        self.work.buffers.split(lease, count)
    }

    fn bytes_mut(&mut self, lease: &mut Lease) -> Option<&mut [u8]> {
        self.work.buffers.lease_bytes_mut(lease)
    }

    fn keep(&mut self, lease: Lease) -> Lease {
        self.work.buffers.keep(lease)
    }

    fn release(&mut self, lease: Lease) {
        self.work.buffers.release(lease);
    }

    fn turn(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> std::io::Result<()> {
        if !self.sockets.is_running() {
            return Ok(());
        }
        let before = events.len();
        for (socket, errno) in self.refused.drain(..) {
            events.push(Event::DatagramFailed { socket, errno });
        }
        self.drive_listed(events);
        let timeout = if events.len() > before || self.pending() { Some(Duration::ZERO) } else { timeout };
        let mut news = std::mem::take(&mut self.news);
        let waited = self.sockets.wait(timeout, Duration::from_nanos(self.config.spin_ns), &mut news);
        self.now = self.sockets.now();
        for news in news.drain(..) {
            self.drive_news(news, events);
        }
        self.news = news;
        waited
    }

    fn pending(&self) -> bool {
        self.sockets.is_running()
            && (self.work.is_pending() || !self.refused.is_empty() || self.sockets.has_news())
    }

    fn streams_open(&self) -> usize {
        self.streams.len()
    }
}

impl<S: Sockets> std::fmt::Debug for ReadinessDriver<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadinessDriver")
            .field("kind", &self.sockets.kind())
            .field("streams", &self.streams.len())
            .field("lent", &self.work.buffers.lent())
            .finish_non_exhaustive()
    }
}

/// A closed stream whose other side takes nothing for this long is given up with what is left to send.
const LINGER_MAX: Duration = Duration::from_secs(60);
