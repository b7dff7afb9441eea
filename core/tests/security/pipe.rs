//! Two endpoints and what lies between them. Time is virtual.

use clustercore::security::EndpointSecurity;
use clustercore_proto::datagram::{Config, Connection, Endpoint, Event, Run, StreamId, Train, Transmit};
use clustercore_proto::random::Random;
use clustercore_proto::time::Instant;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Odds in 1,000 for each datagram.
#[derive(Clone, Copy, Default)]
pub struct Odds {
    pub loss: u32,
    pub reorder: u32,
    pub repeat: u32,
    pub damage: u32,
}

pub struct End {
    pub endpoint: Endpoint<EndpointSecurity>,
    pub address: SocketAddr,
    pub events: Vec<Event>,
    pub arrived: Vec<(Connection, StreamId, Vec<u8>)>,
}

pub struct Pipe {
    pub now: Instant,
    /// Client and server.
    pub ends: [End; 2],
    pub odds: Odds,
    random: Random,
    under_way: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    number: u64,
    /// What has passed, for whoever listens: to which end, and the datagram.
    pub seen: Vec<(usize, Vec<u8>)>,
}

impl Pipe {
    pub fn new(seed: u64, config: Config, odds: Odds, security: [EndpointSecurity; 2]) -> Pipe {
        let mut index = 0;
        let ends = security.map(|security| {
            index += 1;
            let config = Config { epoch: u64::from(index), ..config.clone() };
            End {
                endpoint: Endpoint::new(Instant::ZERO, config, security).unwrap(),
                address: SocketAddr::from(([10, 0, 0, index], 4000)),
                events: Vec::new(),
                arrived: Vec::new(),
            }
        });
        Pipe {
            now: Instant::ZERO,
            ends,
            odds,
            random: Random::new(seed),
            under_way: BTreeMap::new(),
            number: 0,
            seen: Vec::new(),
        }
    }

    /// The same with another client.
    pub fn with_client(mut self, security: EndpointSecurity) -> Pipe {
        let config = self.ends[0].endpoint.config().clone();
        self.restart(0, config, security);
        self
    }

    /// Somebody else sends a datagram to an end, under the other's address.
    pub fn inject(&mut self, to: usize, datagram: Vec<u8>) {
        self.number += 1;
        self.under_way.insert((self.now + DELAY, self.number), (to, datagram));
    }

    /// Lets the client connect to the server, which must have `key`.
    pub fn connect(&mut self, key: Option<[u8; 32]>) -> Connection {
        let to = self.ends[1].address;
        self.ends[0].endpoint.connect(self.now, to, key).unwrap()
    }

    /// The server's name of the connection.
    pub fn accepted(&self) -> Option<(Connection, Option<[u8; 32]>)> {
        self.ends[1].events.iter().find_map(|event| match event {
            Event::Accepted { connection, identity, .. } => Some((*connection, *identity)),
            _ => None,
        })
    }

    /// The program of an end is started anew, with the same key.
    pub fn restart(&mut self, end: usize, config: Config, security: EndpointSecurity) {
        self.ends[end].endpoint = Endpoint::new(self.now, config, security).unwrap();
    }

    /// Runs until `done` holds; false when it does not within `time`.
    pub fn run(&mut self, time: Duration, mut done: impl FnMut(&Pipe) -> bool) -> bool {
        let until = self.now + time;
        for _ in 0..TURNS_MAX {
            self.turn(0);
            self.turn(1);
            if done(self) {
                return true;
            }
            let dues = self.ends.iter().filter_map(|end| end.endpoint.next_timeout());
            let next = dues.chain(self.under_way.keys().next().map(|(at, _)| *at)).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until;
                return false;
            };
            // At least a little: a time-out may be due by a coarser clock than ours.
            self.now = next.max(self.now + Duration::from_micros(1));
        }
        panic!("the pipe does not come to rest");
    }

    fn turn(&mut self, index: usize) {
        let end = &mut self.ends[index];
        let mut consumed = Vec::new();
        let due: Vec<_> = self
            .under_way
            .iter()
            .filter(|((at, _), (to, _))| *at <= self.now && *to == index)
            .map(|(key, _)| *key)
            .collect();
        let from = SocketAddr::from(([10, 0, 0, 2 - index as u8], 4000));
        for key in due {
            let Some((_, mut bytes)) = self.under_way.remove(&key) else { continue };
            let segment = bytes.len();
            let arrived = &mut end.arrived;
            let mut inbox = |run: Run<'_>| {
                consumed.push((run.connection, run.stream, run.cost));
                let (connection, stream) = (run.connection, run.stream);
                run.for_each(|message| arrived.push((connection, stream, message.to_vec())));
            };
            let train = Train { from, bytes: &mut bytes, segment, mark: 0 };
            end.endpoint.handle(self.now, train, &mut inbox);
        }
        for (connection, stream, cost) in consumed {
            end.endpoint.consume(connection, stream, cost);
        }
        end.endpoint.handle_timeout(self.now);
        let mut leaving = Vec::new();
        end.endpoint.transmit(self.now, usize::MAX, &mut |train: Transmit| {
            leaving.extend(train.bytes[train.range].chunks(train.segment as usize).map(<[u8]>::to_vec));
        });
        end.events.extend(std::iter::from_fn(|| end.endpoint.poll_event()));
        end.endpoint.check_invariants();
        for datagram in leaving {
            self.leave(1 - index, datagram);
        }
    }

    fn leave(&mut self, to: usize, mut datagram: Vec<u8>) {
        self.seen.push((to, datagram.clone()));
        if self.random.chance(self.odds.loss) {
            return;
        }
        for _ in 0..1 + u32::from(self.random.chance(self.odds.repeat)) {
            let mut delay = DELAY;
            if self.random.chance(self.odds.reorder) {
                delay += DELAY * (1 + self.random.below(5) as u32);
            }
            if self.random.chance(self.odds.damage) {
                let bit = self.random.below(8 * datagram.len() as u64) as usize;
                datagram[bit / 8] ^= 1 << (bit % 8);
            }
            self.number += 1;
            self.under_way.insert((self.now + delay, self.number), (to, datagram.clone()));
        }
    }
}

const DELAY: Duration = Duration::from_millis(1);
const TURNS_MAX: u32 = 1_000_000;
