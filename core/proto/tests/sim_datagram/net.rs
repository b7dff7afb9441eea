//! The network between endpoints: one datagram at a time, with every fault there is.

use clustercore_proto::random::Random;
use clustercore_proto::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What happens to datagrams on their way. Chances in per mille.
#[derive(Clone, Debug)]
pub struct Conditions {
    pub loss: u32,
    /// Losses come in rows of about this many.
    pub burst: u32,
    pub duplicate: u32,
    pub corrupt: u32,
    /// Delayed by up to ten times the usual.
    pub reorder: u32,
    pub delay: Duration,
    pub jitter: Duration,
    /// Longer datagrams vanish.
    pub mtu: usize,
    /// Bytes per second of each direction; queued up to `queue` bytes.
    pub rate: Option<u64>,
    pub queue: u64,
    /// Marks congestion when the queue is half full, instead of waiting for losses.
    pub has_ecn: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Conditions {
            loss: 0,
            burst: 1,
            duplicate: 0,
            corrupt: 0,
            reorder: 0,
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            mtu: 65_535,
            rate: None,
            queue: 200_000,
            has_ecn: false,
        }
    }
}

/// A datagram under way.
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
    pub mark: u8,
}

pub struct Net {
    pub conditions: Conditions,
    random: Random,
    under_way: BTreeMap<(Instant, u64), Datagram>,
    number: u64,
    /// From whom to whom nothing passes.
    blocked: BTreeSet<(IpAddr, IpAddr)>,
    burst_left: u32,
    busy_until: BTreeMap<(IpAddr, IpAddr), Instant>,
    pub sent: u64,
    pub lost: u64,
    /// What an observer has written down, if there is one: from, to, bytes.
    pub record: Option<Vec<(SocketAddr, SocketAddr, Vec<u8>)>>,
}

impl Net {
    pub fn new(seed: u64, conditions: Conditions) -> Net {
        Net {
            conditions,
            random: Random::new(seed),
            under_way: BTreeMap::new(),
            number: 0,
            blocked: BTreeSet::new(),
            burst_left: 0,
            busy_until: BTreeMap::new(),
            sent: 0,
            lost: 0,
            record: None,
        }
    }

    pub fn block(&mut self, from: IpAddr, to: IpAddr) {
        self.blocked.insert((from, to));
    }

    /// Everything passes again, undamaged.
    pub fn heal(&mut self) {
        self.blocked.clear();
        self.burst_left = 0;
        let Conditions { delay, mtu, rate, queue, .. } = self.conditions;
        self.conditions = Conditions { delay, mtu, rate, queue, ..Conditions::default() };
    }

    pub fn unblock(&mut self) {
        self.blocked.clear();
    }

    pub fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8], mut mark: u8) {
        self.sent += 1;
        if let Some(record) = &mut self.record {
            record.push((from, to, bytes.to_vec()));
        }
        let way = (from.ip(), to.ip());
        let is_lost = if self.burst_left > 0 {
            self.burst_left -= 1;
            true
        } else {
            let starts = self.random.chance(self.conditions.loss / self.conditions.burst.max(1));
            if starts {
                self.burst_left = self.random.below(u64::from(self.conditions.burst) * 2) as u32;
            }
            starts
        };
        if is_lost || self.blocked.contains(&way) || bytes.len() > self.conditions.mtu {
            self.lost += 1;
            return;
        }
        let mut start = now;
        if let Some(rate) = self.conditions.rate {
            let busy = self.busy_until.entry(way).or_insert(now);
            let waiting = busy.saturating_sub(now).as_nanos() as u64 * rate / 1_000_000_000;
            if waiting > self.conditions.queue {
                self.lost += 1;
                return;
            }
            if self.conditions.has_ecn && mark == 2 && waiting > self.conditions.queue / 2 {
                mark = 3;
            }
            *busy = (*busy).max(now) + Duration::from_nanos(bytes.len() as u64 * 1_000_000_000 / rate);
            start = *busy;
        }
        let copies = 1 + u32::from(self.random.chance(self.conditions.duplicate));
        for _ in 0..copies {
            let mut bytes = bytes.to_vec();
            if self.random.chance(self.conditions.corrupt) {
                match self.random.below(4) {
                    0 => bytes.truncate(self.random.below(bytes.len() as u64) as usize),
                    1 => bytes.push(0),
                    _ => {
                        let bit = self.random.below(bytes.len() as u64 * 8) as usize;
                        bytes[bit / 8] ^= 1 << (bit % 8);
                    }
                }
            }
            let mut delay = self.conditions.delay;
            delay += Duration::from_nanos(self.random.below(self.conditions.jitter.as_nanos() as u64 + 1));
            if self.random.chance(self.conditions.reorder) {
                delay += self.conditions.delay * (1 + self.random.below(9) as u32);
            }
            self.number += 1;
            self.under_way.insert((start + delay, self.number), Datagram { from, to, bytes, mark });
        }
    }

    pub fn next(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// What arrives by `now`.
    pub fn arrive(&mut self, now: Instant) -> Option<Datagram> {
        let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}
