//! One datagram socket: trains that wait to be sent, and reading.

use super::sockets::{News, Sockets, Token};
use super::work::Work;
use crate::io::train_queue::{Shells, TrainQueue, refuses_trains};
use crate::io::{DatagramCounters, DatagramId, Errno, Event, Train, TrainBytes};
use std::net::SocketAddr;

/// A datagram socket of the readiness driver.
pub struct Datagrams<S: Sockets> {
    pub socket: S::Datagram,
    pub counters: DatagramCounters,
    queue: TrainQueue,
    /// In the lists of [`Work`]: to be looked at; to be looked at when there are train buffers.
    pub queued: bool,
    pub starved: bool,
    watched: bool,
    read_ready: bool,
    write_ready: bool,
}

impl<S: Sockets> Datagrams<S> {
    /// Reads from now on.
    pub fn new(socket: S::Datagram) -> Self {
        Datagrams {
            socket,
            counters: DatagramCounters::default(),
            queue: TrainQueue::default(),
            queued: false,
            starved: false,
            watched: false,
            read_ready: true,
            write_ready: true,
        }
    }

    /// Takes a train to be sent; gives it back when too many wait, or when it makes no sense.
    pub fn push(&mut self, to: SocketAddr, train: Train, max: usize) -> Result<(), (TrainBytes, Errno)> {
        let outcome = self.queue.push(to, train, max);
        self.counters.refused += u64::from(outcome.is_err());
        outcome
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.queue.bytes()
    }

    /// Takes news in.
    pub fn on_news(&mut self, news: News) {
        self.read_ready |= news.readable || news.ended;
        self.write_ready |= news.writable || news.ended;
    }

    /// Does all that can be done now.
    pub fn drive(&mut self, id: u32, sockets: &mut S, work: &mut Work, events: &mut Vec<Event>) {
        self.write(id, sockets, work, events);
        self.read(id, sockets, work, events);
        if !self.watched && (!self.read_ready || !self.write_ready) {
            match sockets.watch_datagram(&self.socket, Token::Datagram(id)) {
                Ok(()) => self.watched = true,
                Err(errno) => events.push(Event::DatagramFailed { socket: DatagramId(id), errno }),
            }
        }
    }

    /// Gives everything back.
    pub fn clear(&mut self, work: &mut Work) {
        self.queue.clear(&mut Shells::default(), &mut work.spare);
    }

    /// Sends what the socket takes.
    pub fn write(&mut self, id: u32, sockets: &mut S, work: &mut Work, events: &mut Vec<Event>) {
        let before = self.queue.len();
        let socket = DatagramId(id);
        while self.write_ready
            && let Some(first) = self.queue.front()
        {
            let len = first.range.len();
            let sent = match sockets.send_datagrams(&self.socket, first) {
                Ok(count) => {
                    self.counters.on_sent(count, first.segment);
                    count
                }
                Err(Errno(libc::EINTR)) => continue,
                Err(Errno(libc::EAGAIN)) => {
                    self.write_ready = false;
                    continue;
                }
                Err(errno) if first.is_train() && !first.singly && refuses_trains(errno) => {
                    self.queue.front_singly();
                    continue;
                }
                Err(errno) => {
                    events.push(Event::DatagramFailed { socket, errno });
                    len
                }
            };
            if let Some(done) = self.queue.consume(sent) {
                done.body.recycle(&mut Shells::default(), &mut work.spare);
            }
        }
        if self.queue.len() < before {
            events.push(Event::DatagramsSent { socket, unsent: self.queue.bytes() });
        }
    }

    fn read(&mut self, id: u32, sockets: &mut S, work: &mut Work, events: &mut Vec<Event>) {
        let socket = DatagramId(id);
        for _ in 0..READS_PER_TURN {
            if !self.read_ready {
                return;
            }
            let Some(mut empty) = work.buffers.take_train() else {
                self.counters.pauses += u64::from(work.starve(Token::Datagram(id), &mut self.starved));
                return;
            };
            match sockets.recv_datagrams(&self.socket, work.buffers.bytes_mut(&mut empty)) {
                Ok((len, arrived)) if !arrived.truncated && arrived.from.is_some() => {
                    let Some(from) = arrived.from else { return };
                    let segment = arrived.segment.unwrap_or(len).clamp(1, len.max(1));
                    self.counters.on_received(len, segment);
                    let lease = work.buffers.lend(empty, 0, len);
                    let (segment, ecn) = (segment as u32, arrived.ecn);
                    events.push(Event::Datagrams { socket, from, segment, ecn, lease });
                }
                Ok((_, arrived)) => {
                    work.buffers.put_back(empty);
                    self.counters.truncated += u64::from(arrived.truncated);
                }
                // Other errors belong to a datagram sent earlier (ICMP).
                Err(errno) => {
                    work.buffers.put_back(empty);
                    self.read_ready = errno.0 != libc::EAGAIN;
                }
            }
        }
        if self.read_ready {
            work.again(Token::Datagram(id), &mut self.queued);
        }
    }
}

/// Trains received in one turn, then the others have theirs.
const READS_PER_TURN: usize = 16;
