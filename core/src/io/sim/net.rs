//! Clock, hosts, faults, and the queue of what is to happen.

use super::SimConfig;
use super::datagram::{Datagram, DatagramSocket};
use super::stream::{Endpoint, Link, Listener};
use super::trace::Trace;
use crate::io::readiness::{News, Token};
use crate::io::{Errno, Instant};
use clustercore_proto::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// All of the network. Sockets are known by numbers that are never used again; a number without a socket is that of one closed or
/// lost in a crash.
pub(super) struct Net {
    pub config: SimConfig,
    pub random: Random,
    pub now: Instant,
    pub trace: Trace,
    queue: BTreeMap<(Instant, u64), Action>,
    number_next: u64,
    ports: BTreeMap<IpAddr, u16>,
    programs: BTreeMap<u64, Program>,
    pub endpoints: BTreeMap<u64, Endpoint>,
    /// What each endpoint has sent and is still under way; outlives the endpoint.
    pub links: BTreeMap<u64, Link>,
    pub listeners: BTreeMap<u64, Listener>,
    pub datagrams: BTreeMap<u64, DatagramSocket>,
    partitions: BTreeSet<(IpAddr, IpAddr)>,
    blackholes: BTreeSet<IpAddr>,
    pub refused: BTreeSet<SocketAddr>,
    paused: BTreeSet<IpAddr>,
}

/// One driver.
pub(super) struct Program {
    pub ip: IpAddr,
    news: BTreeMap<Token, News>,
}

/// What is to happen at some time.
pub(super) enum Action {
    /// A connection is asked for (again).
    Syn { client: u64 },
    /// The client gives up unless it is connected.
    ConnectTimeout { client: u64 },
    /// The front of what this endpoint has sent arrives.
    Arrive { sender: u64 },
    /// The sending side takes bytes again after a partial send.
    Room { endpoint: u64 },
    /// A datagram arrives.
    Datagram(Datagram),
}

/// Where a socket's news go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owner {
    pub program: u64,
    pub ip: IpAddr,
    pub token: Option<Token>,
}

impl Net {
    pub fn new(config: SimConfig) -> Net {
        Net {
            config,
            random: Random::new(config.seed),
            now: Instant::ZERO,
            trace: Trace::new(config.trace_text),
            queue: BTreeMap::new(),
            number_next: 0,
            ports: BTreeMap::new(),
            programs: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            links: BTreeMap::new(),
            listeners: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            partitions: BTreeSet::new(),
            blackholes: BTreeSet::new(),
            refused: BTreeSet::new(),
            paused: BTreeSet::new(),
        }
    }

    pub fn add_program(&mut self, ip: IpAddr) -> u64 {
        let program = self.number();
        self.programs.insert(program, Program { ip, news: BTreeMap::new() });
        program
    }

    pub fn remove_program(&mut self, program: u64) {
        self.programs.remove(&program);
    }

    pub fn program(&self, program: u64) -> Option<&Program> {
        self.programs.get(&program)
    }

    /// Whether a turn of the program does anything.
    pub fn is_running(&self, program: u64) -> bool {
        self.programs.get(&program).is_some_and(|program| !self.paused.contains(&program.ip))
    }

    pub fn has_news(&self, program: u64) -> bool {
        self.is_running(program)
            && self.programs.get(&program).is_some_and(|program| !program.news.is_empty())
    }

    /// Hands out some of the news, in an order that the seed decides.
    pub fn take_news(&mut self, program: u64, out: &mut Vec<News>) {
        let Some(found) = self.programs.get_mut(&program) else { return };
        let first = out.len();
        out.extend(std::mem::take(&mut found.news).into_values());
        for place in (first + 1..out.len()).rev() {
            let other = first + self.random.below((place - first + 1) as u64) as usize;
            out.swap(place, other);
        }
        // A kernel hands out a bounded number at a time as well.
        let keep = NEWS_MAX.min(out.len() - first);
        for news in out.drain(first + keep..) {
            found.news.insert(news.token, news);
        }
    }

    /// Tells a socket's owner, if it watches the socket.
    pub fn tell(&mut self, owner: Owner, readable: bool, writable: bool, ended: bool) {
        let Some(token) = owner.token else { return };
        let Some(program) = self.programs.get_mut(&owner.program) else { return };
        let news = program.news.entry(token).or_insert(News {
            token,
            readable: false,
            writable: false,
            ended: false,
        });
        news.readable |= readable;
        news.writable |= writable;
        news.ended |= ended;
    }

    pub fn number(&mut self) -> u64 {
        self.number_next += 1;
        self.number_next
    }

    pub fn schedule(&mut self, after: Duration, action: Action) {
        let key = (self.now + after, self.number());
        self.queue.insert(key, action);
    }

    pub fn latency(&mut self) -> Duration {
        let range = self.config.latency_max.saturating_sub(self.config.latency_min);
        self.config.latency_min + Duration::from_nanos(self.random.below(range.as_nanos() as u64 + 1))
    }

    pub fn next_event(&self) -> Option<Instant> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    pub fn advance_to(&mut self, at: Instant) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > at {
                break;
            }
            let ((time, _), action) = entry.remove_entry();
            self.now = self.now.max(time);
            match action {
                Action::Syn { client } => self.on_syn(client),
                Action::ConnectTimeout { client } => self.on_connect_timeout(client),
                Action::Arrive { sender } => self.on_arrive(sender),
                Action::Room { endpoint } => self.on_room(endpoint),
                Action::Datagram(datagram) => self.on_datagram(datagram),
            }
        }
        self.now = self.now.max(at);
    }

    /// An address to bind to: a free port when it is 0. Errors: `EADDRNOTAVAIL` for another host's, `EADDRINUSE` when `is_taken` says so.
    pub fn bind(
        &mut self,
        program: u64,
        address: SocketAddr,
        is_taken: impl FnOnce(&Net, SocketAddr) -> bool,
    ) -> Result<SocketAddr, Errno> {
        let ip = self.programs.get(&program).ok_or(Errno(libc::ENETDOWN))?.ip;
        if !address.ip().is_unspecified() && address.ip() != ip {
            return Err(Errno(libc::EADDRNOTAVAIL));
        }
        if address.port() != 0 {
            let bound = SocketAddr::new(ip, address.port());
            return if is_taken(self, bound) { Err(Errno(libc::EADDRINUSE)) } else { Ok(bound) };
        }
        let port = self.ports.entry(ip).or_insert(PORT_FIRST);
        *port = if *port == u16::MAX { PORT_FIRST } else { *port + 1 };
        Ok(SocketAddr::new(ip, *port))
    }

    /// Whether nothing passes between the two.
    pub fn is_blocked(&self, one: IpAddr, other: IpAddr) -> bool {
        self.partitions.contains(&pair(one, other))
            || self.blackholes.contains(&one)
            || self.blackholes.contains(&other)
    }

    pub fn partition(&mut self, one: IpAddr, other: IpAddr) {
        self.note(&format!("partition {one} {other}"));
        self.partitions.insert(pair(one, other));
    }

    pub fn heal(&mut self, one: IpAddr, other: IpAddr) {
        self.note(&format!("heal {one} {other}"));
        self.partitions.remove(&pair(one, other));
        self.resume_links();
    }

    pub fn set_blackhole(&mut self, ip: IpAddr, blackhole: bool) {
        self.note(&format!("blackhole {ip} {blackhole}"));
        if blackhole {
            self.blackholes.insert(ip);
        } else {
            self.blackholes.remove(&ip);
            self.resume_links();
        }
    }

    pub fn set_paused(&mut self, ip: IpAddr, paused: bool) {
        self.note(&format!("pause {ip} {paused}"));
        if paused {
            self.paused.insert(ip);
        } else {
            self.paused.remove(&ip);
        }
    }

    pub fn set_refused(&mut self, address: SocketAddr, refused: bool) {
        self.note(&format!("refuse {address} {refused}"));
        if refused {
            self.refused.insert(address);
        } else {
            self.refused.remove(&address);
        }
    }

    pub fn crash(&mut self, ip: IpAddr) {
        self.note(&format!("crash {ip}"));
        self.programs.retain(|_, program| program.ip != ip);
        self.listeners.retain(|_, listener| listener.owner.ip != ip);
        self.datagrams.retain(|_, socket| socket.owner.ip != ip);
        let lost: Vec<u64> =
            self.endpoints.iter().filter(|(_, end)| end.owner.ip == ip).map(|(id, _)| *id).collect();
        for endpoint in lost {
            self.abort(endpoint);
        }
    }

    pub fn note(&mut self, text: &str) {
        self.trace.add(self.now, format_args!("{text}"));
    }

    /// Lets what was held on its way arrive.
    fn resume_links(&mut self) {
        let held: Vec<u64> =
            self.links.iter().filter(|(_, link)| !link.is_empty()).map(|(id, _)| *id).collect();
        for sender in held {
            let latency = self.latency();
            self.schedule(latency, Action::Arrive { sender });
        }
    }
}

fn pair(one: IpAddr, other: IpAddr) -> (IpAddr, IpAddr) {
    if one <= other { (one, other) } else { (other, one) }
}

const PORT_FIRST: u16 = 40_000;
const NEWS_MAX: usize = 64;
