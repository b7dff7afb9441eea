//! Endpoints, a network, a clock, and everything that must hold between them.

use super::app::{Direction, payload};
use super::net::{Conditions, Datagram, Net};
use super::node::Node;
use super::security::TestSecurity;
use clustercore_proto::datagram::{Config, Connection, Event, GoneReason, SendError, StreamId, StreamKind};
use clustercore_proto::time::Instant;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A connection as both ends know it. Each end is (node, its run, name).
#[derive(Debug)]
pub struct Link {
    /// Of the client.
    epoch: u64,
    /// The node that is to be the server.
    pub to: usize,
    pub client: (usize, Connection),
    pub server: Option<(usize, Connection)>,
    /// From client to server, and back.
    pub directions: [Direction; 2],
    pub gone: [Option<GoneReason>; 2],
    pub is_connected: bool,
    tag: u64,
}

pub struct World {
    pub now: Instant,
    pub net: Net,
    pub nodes: Vec<Node>,
    pub config: Config,
    pub is_keyed: bool,
    seed: u64,
    /// Runs of each node's program.
    runs: Vec<u64>,
    pub links: Vec<Link>,
    by_end: BTreeMap<(usize, u64, Connection), (usize, usize)>,
    pub events: Vec<(usize, Event)>,
    pub turns: u64,
}

pub fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, node as u8 + 1], 4000 + node as u16))
}

impl World {
    pub fn new(seed: u64, nodes: usize, config: Config, conditions: Conditions, is_keyed: bool) -> World {
        let mut world = World {
            now: Instant::ZERO,
            net: Net::new(seed, conditions),
            nodes: Vec::new(),
            config,
            is_keyed,
            seed,
            runs: vec![0; nodes],
            links: Vec::new(),
            by_end: BTreeMap::new(),
            events: Vec::new(),
            turns: 0,
        };
        for index in 0..nodes {
            let node = world.start(index, address(index));
            world.nodes.push(node);
        }
        world
    }

    fn start(&self, index: usize, at: SocketAddr) -> Node {
        let run = self.runs[index];
        let seed = self.seed ^ (index as u64) << 40 ^ run << 20 ^ 0x51;
        let config = Config { epoch: 1 + run, ..self.config.clone() };
        let security = TestSecurity::new(seed, index as u64, self.is_keyed);
        // One clock runs 1 % fast, another 1 % slow.
        let skew = [0, 10, -10][index % 3];
        Node::new(self.now, at, config, security, skew)
    }

    /// The program of a node dies and is started anew.
    pub fn crash(&mut self, index: usize) {
        let run = self.runs[index];
        self.by_end.retain(|(node, of_run, _), (link, end)| {
            let is_its = (*node, *of_run) == (index, run);
            if is_its && self.links[*link].gone[*end].is_none() {
                // Nobody is left to be told.
                self.links[*link].gone[*end] = Some(GoneReason::Closed);
                self.links[*link].directions[*end].streams.values_mut().for_each(|side| {
                    side.unconfirmed.extend(0..side.sent.len() as u64);
                });
            }
            !is_its
        });
        self.runs[index] += 1;
        let at = self.nodes[index].address;
        self.nodes[index] = self.start(index, at);
    }

    pub fn connect(&mut self, client: usize, server: usize) -> Option<usize> {
        let (now, to) = (self.nodes[client].clock(self.now), self.nodes[server].address);
        let name = self.nodes[client].endpoint.connect(now, to, None).ok()?;
        let link = self.links.len();
        self.by_end.insert((client, self.runs[client], name), (link, 0));
        self.links.push(Link {
            epoch: 1 + self.runs[client],
            to: server,
            client: (client, name),
            server: None,
            directions: Default::default(),
            gone: [None, None],
            is_connected: false,
            tag: self.seed ^ (link as u64) << 48,
        });
        Some(link)
    }

    /// Sends a message from one end of a link; what came of it.
    pub fn send(&mut self, link: usize, end: usize, stream: StreamId, len: usize) -> Result<(), SendError> {
        let (node, name) = self.end(link, end).ok_or(SendError::NotOpen)?;
        let state = &mut self.links[link];
        let tag = state.tag ^ end as u64;
        let direction = &mut state.directions[end];
        let endpoint = &mut self.nodes[node].endpoint;
        if stream.kind() == StreamKind::Unreliable {
            let number = direction.unreliable_sent;
            let bytes = [&number.to_le_bytes()[..], &payload(tag, stream, number, len)].concat();
            endpoint.send(name, stream, &bytes)?;
            direction.unreliable_sent += 1;
            return Ok(());
        }
        let sequence = direction.streams.get(&stream).map_or(0, |side| side.sent.len() as u64);
        let bytes = payload(tag, stream, sequence, len);
        let given = if len < 1000 && len % 5 == 1 && stream.kind() != StreamKind::Latest {
            // Some are written in place.
            let claim = endpoint.claim(name, stream, len + 7)?;
            endpoint.claimed(&claim).unwrap()[..len].copy_from_slice(&bytes);
            let given = claim.sequence();
            endpoint.commit(claim, len);
            given
        } else {
            endpoint.send(name, stream, &bytes)?
        };
        direction.on_sent(stream, given, len);
        Ok(())
    }

    /// Node and name of an end that lives.
    pub fn end(&self, link: usize, end: usize) -> Option<(usize, Connection)> {
        let link = &self.links[link];
        if link.gone[end].is_some() {
            return None;
        }
        if end == 0 { Some(link.client) } else { link.server }
    }

    pub fn close(&mut self, link: usize, end: usize, is_finishing: bool) {
        if let Some((node, name)) = self.end(link, end) {
            let now = self.nodes[node].clock(self.now);
            self.nodes[node].endpoint.close(now, name, 300, b"enough", is_finishing);
        }
    }

    /// Lets the world run until `until` or, if that comes first, `done`. False when the time is over.
    pub fn run(&mut self, until: Instant, mut done: impl FnMut(&World) -> bool) -> bool {
        loop {
            for index in 0..self.nodes.len() {
                self.nodes[index].turn(self.now, &mut self.net);
                self.collect(index);
            }
            self.turns += 1;
            assert!(self.turns < TURNS_MAX, "the world does not come to rest");
            if done(self) {
                return true;
            }
            let running = self.nodes.iter().filter(|node| !node.is_paused);
            let next = running.filter_map(Node::next_timeout).chain(self.net.next()).min();
            let Some(next) = next.filter(|&next| next <= until) else {
                self.now = until;
                return false;
            };
            self.now = self.now.max(next);
            if next <= self.now && self.net.next().is_none_or(|at| at > self.now) {
                // A time-out that was not due by the node's own grain: the clock must move.
                self.now = self.now.max(next) + Duration::from_micros(1);
            }
            while let Some(datagram) = self.net.arrive(self.now) {
                if let Some(node) = self.nodes.iter_mut().find(|node| node.address == datagram.to)
                    && node.socket.len() < SOCKET_MAX
                {
                    node.socket.push_back(datagram);
                }
            }
        }
    }

    /// An observer sends again what it has seen: it comes from the sender's address.
    pub fn replay(&mut self, (from, to, bytes): (SocketAddr, SocketAddr, Vec<u8>)) {
        if let Some(node) = self.nodes.iter_mut().find(|node| node.address == to) {
            node.socket.push_back(Datagram { from, to, bytes, mark: 0 });
        }
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run(self.now + time, |_| false);
    }

    fn collect(&mut self, index: usize) {
        let events = self.nodes[index].events();
        // Names are known before their messages come, and until after.
        let (beginnings, others): (Vec<_>, Vec<_>) = events
            .into_iter()
            .partition(|event| matches!(event, Event::Accepted { .. } | Event::Connected { .. }));
        for event in beginnings {
            self.on_event(index, &event);
            self.events.push((index, event));
        }
        for (name, stream, sequence, bytes) in std::mem::take(&mut self.nodes[index].arrived) {
            let key = (index, self.runs[index], name);
            let (link, end) = *self.by_end.get(&key).unwrap_or_else(|| {
                panic!(
                    "message on an unknown {name:?}: {:#?}",
                    self.links.iter().map(|link| &link.gone).collect::<Vec<_>>()
                )
            });
            let state = &mut self.links[link];
            let other = 1 - end;
            let tag = state.tag ^ other as u64;
            state.directions[other].on_arrived(tag, stream, sequence, &bytes);
        }
        for event in others {
            self.on_event(index, &event);
            self.events.push((index, event));
        }
    }

    fn on_event(&mut self, index: usize, event: &Event) {
        let run = self.runs[index];
        match event {
            Event::Accepted { connection, peer, epoch, .. } => {
                // A client has one link at a time to a server that the server has not heard of.
                let link = self
                    .links
                    .iter()
                    .rposition(|link| {
                        link.server.is_none()
                            && link.is_connected
                            && link.to == index
                            && link.epoch == *epoch
                            && self.nodes[link.client.0].address.ip() == peer.ip()
                    })
                    .unwrap_or_else(|| panic!("an accepted connection from {peer} that nobody began"));
                self.links[link].server = Some((index, *connection));
                self.by_end.insert((index, run, *connection), (link, 1));
            }
            Event::Connected { connection, .. } => {
                let (link, _) = self.by_end[&(index, run, *connection)];
                self.links[link].is_connected = true;
            }
            Event::Gone { connection, reason, unconfirmed } => {
                let Some((link, end)) = self.by_end.remove(&(index, run, *connection)) else {
                    // A server that was never heard of again before it was told.
                    assert!(unconfirmed.is_empty());
                    return;
                };
                let direction = &mut self.links[link].directions[end];
                for &(stream, first, last) in unconfirmed {
                    let side = direction.streams.get_mut(&stream).expect("only what was sent is unconfirmed");
                    assert!(last < side.sent.len() as u64);
                    side.unconfirmed.extend(first..=last);
                }
                self.links[link].gone[end] = Some(reason.clone());
            }
            Event::Writable { .. } | Event::Moved { .. } => {}
        }
    }

    /// Whether everything that is owed has arrived.
    pub fn is_settled(&self) -> bool {
        self.links.iter().all(|link| {
            // A server that moved before it heard anything of its client cannot be found by it.
            let is_found = link.server.is_some() || self.nodes[link.to].address == address(link.to);
            let lives = link.gone.iter().all(Option::is_none) && link.is_connected && is_found;
            !lives || link.directions.iter().all(Direction::is_complete)
        })
    }

    /// What must hold at the end of connections.
    pub fn check(&self) {
        for link in &self.links {
            for end in 0..2 {
                if link.gone[end].is_some() {
                    link.directions[end].check_unconfirmed();
                }
            }
        }
    }

    pub fn delivered(&self) -> usize {
        self.links.iter().flat_map(|link| &link.directions).map(Direction::messages).sum()
    }
}

const TURNS_MAX: u64 = 500_000;
/// Datagrams that wait in a socket.
const SOCKET_MAX: usize = 4000;
