//! One stream: what is wanted of it, and how far it is.

use super::sockets::{News, Sockets, Token};
use super::work::Work;
use crate::io::{Errno, Event, SendQueue, StreamId};
use std::io::IoSlice;
use std::net::SocketAddr;

/// A stream of the readiness driver. An idle one takes 120 bytes or so and holds no buffer.
pub struct Stream<S: Sockets> {
    pub socket: S::Socket,
    pub queue: SendQueue,
    pub phase: Phase,
    pub receive: Receive,
    /// The splice that reads from this stream.
    pub splice: Option<Box<Splice<S>>>,
    /// The stream whose splice writes to this one.
    pub spliced_by: Option<StreamId>,
    /// What writing failed with, while bytes that came before are still being read.
    send_error: Option<Errno>,
    /// In the list of those to look at in the next turn.
    pub queued: bool,
    watched: bool,
    read_ready: bool,
    write_ready: bool,
    /// The other side's end or an error was seen: reading goes on to the very end.
    hung_up: bool,
    pub ended: bool,
    /// `recv_stop` wants its answer.
    pub stop_wanted: bool,
    pub fin_wanted: bool,
    fin_sent: bool,
    /// Closed by its owner; lives on until its queue is sent.
    pub closing: bool,
}

/// A splice under way, kept at its source.
pub struct Splice<S: Sockets> {
    pub target: StreamId,
    pub pump: S::Pump,
}

/// How far a stream's connection is.
pub enum Phase {
    /// `connect` is still to be called.
    New(Box<SocketAddr>),
    /// `connect` is under way.
    Connecting,
    Open,
    Failed(Errno),
}

/// What is to be received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receive {
    /// Nothing.
    Idle,
    /// Shared buffers, one after the other.
    Shared,
    /// Once, a block of this many bytes at most.
    Block(usize),
}

impl<S: Sockets> Stream<S> {
    /// An accepted stream, or one that is still to be connected.
    pub fn new(socket: S::Socket, phase: Phase) -> Self {
        // An accepted stream may have bytes already, so it is read before it is watched.
        let ready = matches!(phase, Phase::Open);
        Stream {
            socket,
            queue: SendQueue::default(),
            phase,
            receive: Receive::Idle,
            splice: None,
            spliced_by: None,
            send_error: None,
            queued: false,
            watched: false,
            read_ready: ready,
            write_ready: ready,
            hung_up: false,
            ended: false,
            stop_wanted: false,
            fin_wanted: false,
            fin_sent: false,
            closing: false,
        }
    }

    /// Whether bytes given to `send` still have somewhere to go.
    pub fn takes_bytes(&self) -> bool {
        !matches!(self.phase, Phase::Failed(_)) && self.send_error.is_none() && !self.fin_wanted
    }

    /// Whether `recv` may still bring something.
    pub fn gives_bytes(&self) -> bool {
        !matches!(self.phase, Phase::Failed(_)) && !self.ended
    }

    /// Takes news in.
    pub fn on_news(&mut self, news: News) {
        self.read_ready |= news.readable || news.ended;
        self.write_ready |= news.writable || news.ended;
        self.hung_up |= news.ended;
    }

    /// What the edges said is no longer known: everything is tried once.
    pub fn try_all(&mut self) {
        self.read_ready = true;
        self.write_ready = true;
    }

    /// Whether bytes may be lost on the way: an end would make a part look whole.
    pub fn has_failed(&self) -> bool {
        self.send_error.is_some() || matches!(self.phase, Phase::Failed(_))
    }

    /// The error the stream has failed with.
    pub fn failure(&self) -> Option<Errno> {
        match self.phase {
            Phase::Failed(errno) => Some(errno),
            _ => None,
        }
    }

    /// Does all that can be done now. `false`: the stream was closed by its owner and is done.
    pub fn drive(&mut self, id: StreamId, sockets: &mut S, work: &mut Work, events: &mut Vec<Event>) -> bool {
        self.drive_connect(id, sockets, work, events);
        if matches!(self.phase, Phase::Open) {
            if self.spliced_by.is_none() {
                self.write(id, sockets, work, events);
            }
            self.answer_stop(id, events);
            if self.splice.is_none() {
                self.read(id, sockets, work, events);
            }
            if let Some(errno) = self.send_error
                && (self.receive == Receive::Idle || !self.read_ready)
            {
                self.fail(id, errno, work, events);
            }
        }
        self.answer_stop(id, events);
        let waits = match self.phase {
            Phase::Connecting => true,
            Phase::Open => !self.read_ready || !self.write_ready,
            _ => false,
        };
        if waits {
            self.watch(id, sockets, work, events);
        }
        !self.closing || (!self.queue.is_empty() && !matches!(self.phase, Phase::Failed(_)))
    }

    fn drive_connect(&mut self, id: StreamId, sockets: &mut S, work: &mut Work, events: &mut Vec<Event>) {
        let result = match &self.phase {
            Phase::New(address) => match sockets.connect(&self.socket, **address) {
                Err(Errno(libc::EINPROGRESS | libc::EINTR)) => {
                    self.phase = Phase::Connecting;
                    return;
                }
                result => result,
            },
            Phase::Connecting if self.write_ready => sockets.take_error(&self.socket).map_or(Ok(()), Err),
            _ => return,
        };
        match result {
            Ok(()) => {
                self.phase = Phase::Open;
                self.write_ready = true;
                // Connected at once: bytes may have come before the socket is watched.
                self.read_ready |= !self.watched;
            }
            Err(errno) => {
                self.phase = Phase::Failed(errno);
                self.receive = Receive::Idle;
                self.queue.clear(&mut work.buffers, &mut work.spare);
            }
        }
        if !self.closing {
            events.push(Event::Connected { stream: id, result });
        }
    }

    fn write(&mut self, id: StreamId, sockets: &mut S, work: &mut Work, events: &mut Vec<Event>) {
        let mut progress = false;
        while self.write_ready && !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.queue.slices(&work.buffers, &mut slices);
            match sockets.send(&self.socket, &slices[..count]) {
                Ok(count) => {
                    progress = true;
                    self.queue.consume(count, &mut work.buffers, &mut work.spare);
                }
                Err(Errno(libc::EINTR)) => {}
                Err(Errno(libc::EAGAIN)) => self.write_ready = false,
                Err(errno) => {
                    self.queue.clear(&mut work.buffers, &mut work.spare);
                    self.send_error = Some(errno);
                    // What came before the error is still there to be read, if somebody reads.
                    self.read_ready = true;
                    return;
                }
            }
        }
        if progress && !self.closing {
            let unsent = u32::try_from(self.queue.unsent()).unwrap_or(u32::MAX);
            events.push(Event::Sent { stream: id, unsent });
        }
        if self.fin_wanted && !self.fin_sent && self.queue.is_empty() && self.send_error.is_none() {
            self.fin_sent = true;
            sockets.shutdown(&self.socket);
        }
    }

    fn read(&mut self, id: StreamId, sockets: &mut S, work: &mut Work, events: &mut Vec<Event>) {
        let mut reads = 0;
        while self.read_ready && self.receive != Receive::Idle {
            if reads == READS_PER_TURN {
                work.again(Token::Stream(id), &mut self.queued);
                return;
            }
            reads += 1;
            let shared = if self.receive == Receive::Shared { work.buffers.take_shared() } else { None };
            let (len_max, taken) = match (self.receive, shared) {
                (Receive::Block(len_max), _) => (len_max, work.buffers.take_block(len_max)),
                (_, Some(empty)) => (usize::MAX, Ok(empty)),
                // All lent: a block instead, so that nobody waits for somebody else's slow reader.
                _ => {
                    let len_max = work.buffers.config().shared_size as usize;
                    (len_max, work.buffers.take_block(len_max))
                }
            };
            let mut empty = match taken {
                Ok(empty) => empty,
                Err(error) => return self.fail(id, Errno::from_io(&error), work, events),
            };
            let bytes = work.buffers.bytes_mut(&mut empty);
            let room = bytes.len().min(len_max);
            let result = sockets.recv(&self.socket, &mut bytes[..room]);
            match result {
                Ok(0) => {
                    work.buffers.put_back(empty);
                    // Writing has taken the socket's error, so the end may be none. `EPIPE` says that a FIN came before the reset.
                    if let Some(errno) = self.send_error
                        && errno != Errno(libc::EPIPE)
                    {
                        return self.fail(id, errno, work, events);
                    }
                    self.receive = Receive::Idle;
                    self.ended = true;
                    events.push(Event::End { stream: id });
                }
                Ok(len) => {
                    let lease = work.buffers.lend(empty, 0, len);
                    events.push(Event::Data { stream: id, lease });
                    if self.receive != Receive::Shared {
                        self.receive = Receive::Idle;
                    }
                    // A short read has emptied the socket; what comes later makes a new edge. After the other side's end
                    // no edge comes any more.
                    self.read_ready = len == room || self.hung_up;
                }
                Err(errno) => {
                    work.buffers.put_back(empty);
                    match errno.0 {
                        libc::EINTR => {}
                        libc::EAGAIN => self.read_ready = false,
                        _ => return self.fail(id, self.send_error.unwrap_or(errno), work, events),
                    }
                }
            }
        }
    }

    fn answer_stop(&mut self, id: StreamId, events: &mut Vec<Event>) {
        if std::mem::take(&mut self.stop_wanted) && self.gives_bytes() {
            events.push(Event::RecvStopped { stream: id });
        }
    }

    /// Watching starts with the first wait, so that a short exchange never pays for it.
    pub fn watch(&mut self, id: StreamId, sockets: &mut S, work: &mut Work, events: &mut Vec<Event>) {
        if !self.watched {
            match sockets.watch(&self.socket, Token::Stream(id)) {
                Ok(()) => self.watched = true,
                Err(errno) => self.fail(id, errno, work, events),
            }
        }
    }

    fn fail(&mut self, id: StreamId, errno: Errno, work: &mut Work, events: &mut Vec<Event>) {
        self.phase = Phase::Failed(errno);
        self.receive = Receive::Idle;
        self.queue.clear(&mut work.buffers, &mut work.spare);
        if !self.closing {
            events.push(Event::Failed { stream: id, errno });
        }
    }
}

/// Slices of one vectored write.
const SLICES_MAX: usize = 64;
/// Reads of one stream in one turn: 64 KiB with the usual buffers, then the others have theirs.
const READS_PER_TURN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::epoll::{EpollDriver, EpollSockets};
    use crate::io::{Chunk, Close, Driver, DriverConfig};
    use std::io::{ErrorKind, Read};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::Duration;

    #[test]
    fn an_idle_stream_is_small() {
        assert!(size_of::<Stream<EpollSockets>>() <= 144, "{}", size_of::<Stream<EpollSockets>>());
    }

    #[test]
    fn bytes_lost_on_the_way_are_a_reset_and_no_end() {
        let mut driver = EpollDriver::new(DriverConfig::default()).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // Closed or half-closed by the owner before the kernel has no memory for the last bytes.
        for is_half in [false, true] {
            let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let (near, _) = listener.accept().unwrap();
            near.set_nonblocking(true).unwrap();
            let stream = driver.insert(near.into(), Phase::Open).unwrap();
            let found = driver.streams.get_mut(stream).unwrap();
            found.write_ready = false;
            driver.send(stream, Chunk::Owned(b"part of an answer".to_vec()));
            if is_half {
                driver.shutdown(stream)
            } else {
                driver.close(stream, Close::AfterSend)
            }
            let found = driver.streams.get_mut(stream).unwrap();
            found.queue.clear(&mut driver.work.buffers, &mut driver.work.spare);
            found.send_error = Some(Errno(libc::ENOBUFS));
            let mut events = Vec::new();
            driver.turn(Some(Duration::ZERO), &mut events).unwrap();
            if is_half {
                assert!(
                    matches!(events[..], [Event::Failed { errno: Errno(libc::ENOBUFS), .. }]),
                    "{events:?}"
                );
                driver.close(stream, Close::AfterSend);
            }
            assert_eq!(driver.streams_open(), 0);
            assert_eq!(far.read(&mut [0; 64]).unwrap_err().kind(), ErrorKind::ConnectionReset, "{is_half}");
        }
    }
}
