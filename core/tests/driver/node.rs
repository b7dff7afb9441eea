//! One driver and all that it reported, with the promises of the interface checked on every event.

use clustercore::io::{
    Chunk, Close, DatagramId, DatagramOptions, Driver, Ecn, Errno, Event, Lease, ListenOptions, ListenerId,
    SpliceEnd, StreamId, StreamOptions, Train,
};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

/// A driver under test.
pub struct Node {
    pub driver: Box<dyn Driver>,
    pub accepted: Vec<StreamId>,
    pub accept_failed: Vec<Errno>,
    pub spliced: Vec<(StreamId, StreamId, u64, SpliceEnd)>,
    /// Every datagram by itself.
    pub datagrams: Vec<Vec<u8>>,
    /// The sockets they came to, and the mark of congestion control on each train.
    pub datagram_sockets: Vec<DatagramId>,
    pub marks: Vec<Ecn>,
    /// Keep the leases of datagrams (and look at them later) instead of releasing them.
    pub hold_datagrams: bool,
    pub held_datagrams: Vec<Lease>,
    pub datagram_failed: Vec<Errno>,
    /// `DatagramsSent` events.
    pub datagrams_sent: usize,
    pub woken: usize,
    /// Keep leases instead of releasing them.
    pub hold: bool,
    pub held: Vec<(StreamId, Lease)>,
    seen: HashMap<StreamId, Seen>,
    closed: HashSet<StreamId>,
}

/// What was seen of a stream.
#[derive(Default)]
pub struct Seen {
    pub connected: Option<Result<(), Errno>>,
    pub data: Vec<u8>,
    /// Data events.
    pub pieces: usize,
    pub end: bool,
    pub failed: Option<Errno>,
    pub stopped: usize,
    pub sent_events: usize,
    receiving: Receiving,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Receiving {
    #[default]
    Not,
    /// Until stopped.
    On,
    /// `recv_stop` was called and is not answered yet.
    Stopping,
    /// One block of this many bytes at most.
    Block(usize),
}

impl Node {
    pub fn new(driver: Box<dyn Driver>) -> Node {
        Node {
            driver,
            accepted: Vec::new(),
            accept_failed: Vec::new(),
            spliced: Vec::new(),
            datagrams: Vec::new(),
            datagram_sockets: Vec::new(),
            marks: Vec::new(),
            hold_datagrams: false,
            held_datagrams: Vec::new(),
            datagram_failed: Vec::new(),
            datagrams_sent: 0,
            woken: 0,
            hold: false,
            held: Vec::new(),
            seen: HashMap::new(),
            closed: HashSet::new(),
        }
    }

    /// What was seen of a stream so far.
    pub fn seen(&mut self, stream: StreamId) -> &mut Seen {
        self.seen.entry(stream).or_default()
    }

    /// One turn; returns how many events it brought.
    pub fn turn(&mut self, timeout: Duration) -> usize {
        let mut events = Vec::new();
        self.driver.turn(Some(timeout), &mut events).expect("a turn ends well");
        let count = events.len();
        for event in events {
            self.absorb(event);
        }
        count
    }

    pub fn listen(&mut self, address: SocketAddr) -> ListenerId {
        self.driver.listen(address, &ListenOptions::default()).expect("listening works")
    }

    pub fn connect(&mut self, address: SocketAddr) -> StreamId {
        let stream = self.driver.connect(address, &StreamOptions::default()).expect("a stream can be had");
        self.seen(stream);
        stream
    }

    pub fn recv(&mut self, stream: StreamId) {
        self.seen(stream).receiving = Receiving::On;
        self.driver.recv(stream);
    }

    pub fn recv_block(&mut self, stream: StreamId, len_max: usize) {
        self.seen(stream).receiving = Receiving::Block(len_max);
        self.driver.recv_block(stream, len_max);
    }

    pub fn recv_stop(&mut self, stream: StreamId) {
        self.seen(stream).receiving = Receiving::Stopping;
        self.driver.recv_stop(stream);
    }

    /// Whether `recv` is on and may be stopped.
    pub fn is_receiving(&mut self, stream: StreamId) -> bool {
        self.seen(stream).receiving == Receiving::On
    }

    /// Whether a receive may be asked for.
    pub fn is_idle(&mut self, stream: StreamId) -> bool {
        let seen = self.seen(stream);
        seen.receiving == Receiving::Not && !seen.end && seen.failed.is_none()
    }

    pub fn send(&mut self, stream: StreamId, bytes: &[u8]) {
        let mut buffer = self.driver.buffer();
        assert!(buffer.is_empty(), "a buffer to fill is empty");
        buffer.extend_from_slice(bytes);
        self.driver.send(stream, Chunk::Owned(buffer));
    }

    pub fn close(&mut self, stream: StreamId, how: Close) {
        self.closed.insert(stream);
        self.driver.close(stream, how);
    }

    /// Releases all leases that were held.
    pub fn release_held(&mut self) {
        for (_, lease) in std::mem::take(&mut self.held) {
            self.driver.release(lease);
        }
        for lease in std::mem::take(&mut self.held_datagrams) {
            self.driver.release(lease);
        }
    }

    /// The ids of all streams ever seen that are not closed.
    pub fn open(&self) -> Vec<StreamId> {
        self.seen.keys().copied().filter(|stream| !self.closed.contains(stream)).collect()
    }

    fn absorb(&mut self, event: Event) {
        match event {
            Event::Accepted { stream, peer, .. } => {
                assert!(peer.port() != 0, "the peer has an address");
                assert!(self.seen.insert(stream, Seen::default()).is_none(), "{stream:?} is a new id");
                self.accepted.push(stream);
            }
            Event::AcceptFailed { errno, .. } => self.accept_failed.push(errno),
            Event::Connected { stream, result } => {
                let seen = self.open_seen(stream);
                assert!(seen.connected.replace(result).is_none(), "connected once");
            }
            Event::Data { stream, lease } => self.absorb_data(stream, lease),
            Event::End { stream } => {
                let seen = self.open_seen(stream);
                assert!(
                    !seen.end && seen.failed.is_none() && seen.receiving != Receiving::Not,
                    "end once, when asked"
                );
                seen.end = true;
                seen.receiving = Receiving::Not;
            }
            Event::Failed { stream, errno } => {
                let seen = self.open_seen(stream);
                assert!(seen.failed.replace(errno).is_none(), "failed once");
                assert!(errno.0 > 0);
                seen.receiving = Receiving::Not;
            }
            Event::RecvStopped { stream } => {
                let seen = self.open_seen(stream);
                assert!(!seen.end && seen.failed.is_none(), "no answer after the end");
                if seen.receiving == Receiving::Stopping {
                    seen.receiving = Receiving::Not;
                }
                seen.stopped += 1;
            }
            Event::Sent { stream, unsent } => {
                assert_eq!(unsent as usize, self.driver.unsent(stream), "sent says what is left");
                self.open_seen(stream).sent_events += 1;
            }
            Event::Spliced { source, target, moved, end } => {
                self.open_seen(source);
                self.open_seen(target);
                self.spliced.push((source, target, moved, end));
            }
            Event::Datagrams { socket, from, segment, ecn, lease } => {
                assert!(from.port() != 0 && segment > 0 && segment as usize <= lease.len().max(1));
                let bytes = self.driver.bytes(&lease);
                let before = self.datagrams.len();
                if bytes.is_empty() {
                    self.datagrams.push(Vec::new());
                }
                self.datagrams.extend(bytes.chunks(segment as usize).map(<[u8]>::to_vec));
                self.datagram_sockets.extend((before..self.datagrams.len()).map(|_| socket));
                self.marks.push(ecn);
                if self.hold_datagrams {
                    self.held_datagrams.push(lease);
                } else {
                    self.driver.release(lease);
                }
            }
            Event::DatagramsSent { socket, unsent } => {
                assert_eq!(unsent, self.driver.datagrams_unsent(socket), "it says what is left");
                self.datagrams_sent += 1;
            }
            Event::DatagramFailed { errno, .. } => self.datagram_failed.push(errno),
            Event::Woken => self.woken += 1,
        }
    }

    fn absorb_data(&mut self, stream: StreamId, lease: Lease) {
        assert!(!lease.is_empty(), "a lease is never empty");
        let bytes = self.driver.bytes(&lease).to_vec();
        let seen = self.open_seen(stream);
        assert!(!seen.end && seen.failed.is_none(), "no data after the end");
        match seen.receiving {
            Receiving::Not => panic!("data that nobody asked for"),
            Receiving::Block(len_max) => {
                assert!(bytes.len() <= len_max, "{} bytes in a block of {len_max}", bytes.len());
                seen.receiving = Receiving::Not;
            }
            Receiving::On | Receiving::Stopping => {}
        }
        seen.data.extend(bytes);
        seen.pieces += 1;
        if self.hold {
            self.held.push((stream, lease));
        } else {
            self.driver.release(lease);
        }
    }

    fn open_seen(&mut self, stream: StreamId) -> &mut Seen {
        assert!(!self.closed.contains(&stream), "no event after close");
        self.seen.entry(stream).or_default()
    }

    pub fn bind_datagram(&mut self, address: SocketAddr) -> (DatagramId, SocketAddr) {
        self.bind_datagram_with(address, &DatagramOptions::default())
    }

    pub fn bind_datagram_with(
        &mut self,
        address: SocketAddr,
        options: &DatagramOptions,
    ) -> (DatagramId, SocketAddr) {
        let socket = self.driver.bind_datagram(address, options).expect("binding works");
        let address = self.driver.datagram_address(socket).expect("a bound socket has an address");
        (socket, address)
    }

    /// Sends bytes that are given away.
    pub fn send_datagrams(&mut self, socket: DatagramId, to: SocketAddr, bytes: Vec<u8>, segment: u32) {
        self.driver.send_datagrams(socket, to, Train::owned(bytes, segment));
    }
}
