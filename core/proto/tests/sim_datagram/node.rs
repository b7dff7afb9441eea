//! A program with an endpoint: its clock, its address, whether it runs, what it has read and not consumed.

use super::net::Net;
use super::security::TestSecurity;
use clustercore_proto::datagram::{
    Config, Connection, Content, Endpoint, Event, Run, StreamId, Train, Transmit,
};
use clustercore_proto::time::Instant;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

pub struct Node {
    pub endpoint: Endpoint<TestSecurity>,
    pub address: SocketAddr,
    /// Its clock runs by so much per mille faster, from another start.
    pub skew_per_mille: i64,
    pub clock_offset: Duration,
    /// Stopped (SIGSTOP): datagrams wait in its socket.
    pub is_paused: bool,
    /// Reads slowly: nothing is consumed.
    pub is_lazy: bool,
    pub socket: VecDeque<super::net::Datagram>,
    pub unconsumed: Vec<(Connection, StreamId, u64)>,
    pub arrived: Vec<(Connection, StreamId, u64, Vec<u8>)>,
    pub lent: u64,
    pub kept: u64,
}

impl Node {
    pub fn new(
        global: Instant,
        address: SocketAddr,
        config: Config,
        security: TestSecurity,
        skew: i64,
    ) -> Node {
        let clock_offset = Duration::from_secs(u64::from(address.port()) % 100);
        let mut node = Node {
            endpoint: Endpoint::new(Instant::ZERO, config, security).unwrap(),
            address,
            skew_per_mille: skew,
            clock_offset,
            is_paused: false,
            is_lazy: false,
            socket: VecDeque::new(),
            unconsumed: Vec::new(),
            arrived: Vec::new(),
            lent: 0,
            kept: 0,
        };
        let now = node.clock(global);
        node.endpoint.handle_timeout(now);
        node
    }

    /// What its clock says.
    pub fn clock(&self, global: Instant) -> Instant {
        let nanos = i128::from(global.as_nanos());
        let skewed = nanos + nanos * i128::from(self.skew_per_mille) / 1000;
        Instant::from_nanos(skewed as u64) + self.clock_offset
    }

    /// When, by the world's clock, its next time-out is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        let own = self.endpoint.next_timeout()?.saturating_sub(Instant::ZERO + self.clock_offset).as_nanos();
        let per_mille = (1000 + self.skew_per_mille) as u128;
        Some(Instant::from_nanos((own * 1000).div_ceil(per_mille) as u64))
    }

    /// One turn: what has arrived, what is due, what leaves.
    pub fn turn(&mut self, global: Instant, net: &mut Net) {
        if self.is_paused {
            return;
        }
        let now = self.clock(global);
        while let Some(datagram) = self.socket.pop_front() {
            // As the kernel would: datagrams of one sender and length come as a train, the last may be shorter.
            let segment = datagram.bytes.len();
            let (from, mark) = (datagram.from, datagram.mark);
            let mut bytes = datagram.bytes;
            while bytes.len().is_multiple_of(segment.max(1)) && bytes.len() < 40_000 {
                let joins = self.socket.front().is_some_and(|next| {
                    next.from == from
                        && next.mark == mark
                        && !next.bytes.is_empty()
                        && next.bytes.len() <= segment
                });
                if !joins {
                    break;
                }
                bytes.extend(self.socket.pop_front().unwrap().bytes);
            }
            self.handle(now, from, bytes, segment, mark);
        }
        self.endpoint.handle_timeout(now);
        if !self.is_lazy {
            for (connection, stream, cost) in self.unconsumed.drain(..) {
                self.endpoint.consume(connection, stream, cost);
            }
        }
        let from = self.address;
        self.endpoint.transmit(now, usize::MAX, &mut |train: Transmit| {
            for datagram in train.bytes[train.range].chunks(train.segment as usize) {
                net.send(global, from, train.to, datagram, if train.is_ecn { 2 } else { 0 });
            }
        });
        self.endpoint.check_invariants();
    }

    fn handle(&mut self, now: Instant, from: SocketAddr, mut bytes: Vec<u8>, segment: usize, mark: u8) {
        let Node { endpoint, unconsumed, arrived, lent, kept, .. } = self;
        let mut places = Vec::new();
        let mut inbox = |run: Run<'_>| {
            unconsumed.push((run.connection, run.stream, run.cost));
            match &run.content {
                Content::Lent { place, bytes } => {
                    *lent += u64::from(run.count);
                    places.push((*place, bytes.to_vec()));
                }
                Content::Single { place, bytes } => places.push((*place, bytes.to_vec())),
                _ => *kept += u64::from(run.count),
            }
            let mut sequence = run.first;
            run.for_each(|bytes| {
                arrived.push((run.connection, run.stream, sequence, bytes.to_vec()));
                sequence += 1;
            });
            assert_eq!(sequence - run.first, u64::from(run.count));
        };
        let train = Train { from, bytes: &mut bytes, segment, mark };
        endpoint.handle(now, train, &mut inbox);
        for (place, content) in places {
            assert_eq!(
                bytes[place..place + content.len()],
                content,
                "the place of a lent message is where it lies"
            );
        }
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.endpoint.poll_event()).collect()
    }
}
