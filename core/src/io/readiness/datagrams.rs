//! One datagram socket: trains that wait to be sent, and reading.

use super::sockets::{News, Sockets, Token};
use super::work::Work;
use crate::io::{DatagramId, Errno, Event};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// A datagram socket of the readiness driver.
pub struct Datagrams<S: Sockets> {
    pub socket: S::Datagram,
    queue: VecDeque<Outgoing>,
    pub queued: bool,
    watched: bool,
    read_ready: bool,
    write_ready: bool,
}

/// A train that waits.
struct Outgoing {
    to: SocketAddr,
    bytes: Vec<u8>,
    sent: usize,
    segment: usize,
}

impl<S: Sockets> Datagrams<S> {
    /// Reads from now on.
    pub fn new(socket: S::Datagram) -> Self {
        Datagrams {
            socket,
            queue: VecDeque::new(),
            queued: false,
            watched: false,
            read_ready: true,
            write_ready: true,
        }
    }

    /// Takes a train to be sent; gives it back when too many wait, or when it makes no sense.
    pub fn push(&mut self, to: SocketAddr, bytes: Vec<u8>, segment: u32) -> Result<(), Vec<u8>> {
        if self.queue.len() >= TRAINS_QUEUED_MAX || segment == 0 || bytes.is_empty() {
            return Err(bytes);
        }
        self.queue.push_back(Outgoing { to, bytes, sent: 0, segment: segment as usize });
        Ok(())
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
        for outgoing in self.queue.drain(..) {
            work.spare.put(outgoing.bytes);
        }
    }

    fn write(&mut self, id: u32, sockets: &mut S, work: &mut Work, events: &mut Vec<Event>) {
        while self.write_ready
            && let Some(first) = self.queue.front_mut()
        {
            match sockets.send_datagrams(&self.socket, first.to, &first.bytes[first.sent..], first.segment) {
                Ok(count) => first.sent += count,
                Err(Errno(libc::EINTR)) => {}
                Err(Errno(libc::EAGAIN)) => self.write_ready = false,
                Err(errno) => {
                    first.sent = first.bytes.len();
                    events.push(Event::DatagramFailed { socket: DatagramId(id), errno });
                }
            }
            if first.sent == first.bytes.len()
                && let Some(done) = self.queue.pop_front()
            {
                work.spare.put(done.bytes);
            }
        }
    }

    fn read(&mut self, id: u32, sockets: &mut S, work: &mut Work, events: &mut Vec<Event>) {
        for _ in 0..READS_PER_TURN {
            if !self.read_ready {
                return;
            }
            let Some(mut empty) = work.take_train() else {
                return work.starve(Token::Datagram(id), &mut self.queued);
            };
            match sockets.recv_datagrams(&self.socket, work.buffers.bytes_mut(&mut empty)) {
                Ok(train) if train.len > 0 => {
                    let lease = work.buffers.lend(empty, 0, train.len);
                    let segment = train.segment as u32;
                    events.push(Event::Datagrams {
                        socket: DatagramId(id),
                        from: train.from,
                        segment,
                        lease,
                    });
                }
                other => {
                    // An empty datagram has nothing to lend; an error belongs to a datagram sent earlier (ICMP).
                    work.buffers.put_back(empty);
                    self.read_ready = other != Err(Errno(libc::EAGAIN));
                }
            }
        }
        if self.read_ready {
            work.again(Token::Datagram(id), &mut self.queued);
        }
    }
}

/// Trains that wait for room in the socket; more are refused with `ENOBUFS`.
const TRAINS_QUEUED_MAX: usize = 1024;
/// Trains received in one turn, then the others have theirs.
const READS_PER_TURN: usize = 16;
