//! A hook with a queue in front and a target behind it that is not always well.

use super::super::*;
use super::at;
use crate::event::{Event, EventLimits};
use crate::output::Handed;
use clustercore_proto::random::Random;
use clustercore_proto::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub fn event(id: u32) -> Event {
    Event::builder(id.to_string(), "/test", "tested")
        .body(&b"body"[..])
        .build(&EventLimits::default())
        .unwrap()
}

pub fn handed(event: &Event, delivery: u32) -> Handed<'_> {
    Handed { event, delivery: (delivery, 1).into(), offset: 0, tries: 0 }
}

pub struct World {
    pub hook: Hook,
    rng: Random,
    now: Instant,
    queue: VecDeque<Event>,
    is_blocked: bool,
    /// Given and not settled, by delivery.
    under_way: BTreeMap<u32, Event>,
    deliveries: u32,
    /// What the target has answered by 2xx, or may have.
    received: BTreeSet<String>,
    taken: BTreeSet<String>,
    all: usize,
    link: Link,
    /// It answered twice on this connection. What comes late is the answer to the next request: HTTP/1.1 has no way to tell.
    is_liar: bool,
}

enum Link {
    None,
    Connecting,
    /// Bytes towards the target, and towards the hook.
    Open(Vec<u8>, Vec<u8>),
}

impl World {
    pub fn new(seed: u64, events: u32) -> World {
        let mut rng = Random::new(seed);
        let modes = [HookMode::Binary, HookMode::Structured, HookMode::Batched];
        let mode = modes[rng.below(3) as usize];
        let spec = HookSpec { mode, ..HookSpec::parse("http://127.0.0.1:9/").unwrap() };
        let config = HookConfig { batch_events_max: 1 + rng.below(9) as usize, ..HookConfig::default() };
        World {
            hook: Hook::new(at(0), Arc::new(spec), Arc::new(config)),
            rng,
            now: at(0),
            queue: (0..events).map(event).collect(),
            is_blocked: false,
            under_way: BTreeMap::new(),
            deliveries: 0,
            received: BTreeSet::new(),
            taken: BTreeSet::new(),
            all: events as usize,
            link: Link::None,
            is_liar: false,
        }
    }

    pub fn run(&mut self, steps: u32, is_well: bool) {
        for _ in 0..steps {
            self.step(is_well);
            self.settle();
            self.hook.check_invariants();
            assert_eq!(self.queue.len() + self.under_way.len() + self.taken.len(), self.all);
            if is_well && self.is_done() {
                return;
            }
        }
    }

    pub fn is_done(&self) -> bool {
        self.taken.len() == self.all
    }

    pub fn left(&self) -> usize {
        self.all - self.taken.len()
    }

    fn step(&mut self, is_well: bool) {
        match self.rng.below(6) {
            0 => self.offer(),
            1 => {
                let limit = if is_well { 5000 } else { 15_000 };
                self.now += Duration::from_millis(self.rng.below(limit));
                self.hook.handle_timeout(self.now);
            }
            2 => self.work(is_well),
            3 if !is_well && self.rng.chance(300) => self.cut(),
            _ => self.carry(),
        }
    }

    fn offer(&mut self) {
        if self.is_blocked || self.queue.is_empty() {
            return;
        }
        let first = self.deliveries;
        let offered = 1 + self.rng.below(self.queue.len().min(12) as u64) as usize;
        let all: Vec<Handed<'_>> =
            self.queue.iter().take(offered).zip(first..).map(|(event, index)| handed(event, index)).collect();
        let taken = self.hook.give(self.now, all.iter().copied());
        self.is_blocked = taken < offered;
        self.deliveries += offered as u32;
        self.under_way.extend((first..).zip(self.queue.drain(..taken)));
    }

    /// The target looks at what it has.
    fn work(&mut self, is_well: bool) {
        match &mut self.link {
            Link::Connecting if is_well || self.rng.chance(600) => {
                self.link = Link::Open(Vec::new(), Vec::new());
                self.hook.connected(self.now);
            }
            Link::Connecting if self.rng.chance(500) => self.cut(),
            Link::Open(towards, back) => {
                let Some((request, len)) = request(towards) else { return };
                towards.drain(..len);
                self.is_liar |= answer(&mut self.rng, is_well, &request, &mut self.received, back);
            }
            _ => {}
        }
    }

    /// Some of what the target said reaches the hook.
    fn carry(&mut self) {
        let Link::Open(_, back) = &mut self.link else { return };
        if back.is_empty() {
            return;
        }
        let part: Vec<u8> = back.drain(..1 + self.rng.below(back.len() as u64) as usize).collect();
        self.hook.receive(self.now, &part);
    }

    fn cut(&mut self) {
        if !matches!(self.link, Link::None) {
            self.link = Link::None;
            self.hook.lost(self.now, "cut");
        }
    }

    fn settle(&mut self) {
        while let Some(Settlement { delivery, verdict }) = self.hook.poll_settlement() {
            let event = self.under_way.remove(&delivery.index).expect("settled once, and given before");
            if verdict == Verdict::Taken {
                let is_there = self.received.contains(&**event.id());
                assert!(is_there || self.is_liar, "the target has what is taken");
                assert!(self.taken.insert(event.id().to_string()));
            } else {
                self.queue.push_back(event);
            }
        }
        while let Some(order) = self.hook.poll_order() {
            match (order, &mut self.link) {
                (Order::Connect(_), Link::None) => (self.link, self.is_liar) = (Link::Connecting, false),
                (Order::Send(bytes), Link::Open(towards, _)) => towards.extend(bytes),
                (Order::Close, _) => self.link = Link::None,
                (order, _) => panic!("{order:?} without its connection"),
            }
        }
        self.is_blocked &= !self.hook.poll_room();
    }
}

/// The first request, when it is whole, and its bytes.
fn request(bytes: &[u8]) -> Option<(String, usize)> {
    let text = std::str::from_utf8(bytes).unwrap();
    let head = text.find("\r\n\r\n")? + 4;
    let body = text[..head]
        .split("Content-Length: ")
        .nth(1)
        .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    (text.len() >= head + body).then(|| (text[..head + body].to_string(), head + body))
}

/// True when it answers twice.
fn answer(
    rng: &mut Random,
    is_well: bool,
    request: &str,
    received: &mut BTreeSet<String>,
    back: &mut Vec<u8>,
) -> bool {
    let illness = if is_well { 0 } else { rng.below(12) };
    let status = match illness {
        0..4 => "204 No Content\r\n",
        4 => "200 OK\r\nTransfer-Encoding: chunked\r\n",
        5 => "429 Slow\r\nRetry-After: 3\r\nContent-Length: 2\r\n",
        6 => "500 Oops\r\nContent-Length: 2\r\n",
        7 => "400 Bad\r\nConnection: close\r\nContent-Length: 2\r\n",
        8 => "415 Format\r\nContent-Length: 2\r\n",
        9 => {
            back.extend((0..rng.below(40)).map(|_| rng.below(256) as u8));
            return false;
        }
        10 => return false,
        _ => "204 No Content\r\n",
    };
    let grant = if request.starts_with("OPTIONS") { "WebHook-Allowed-Origin: *\r\n" } else { "" };
    let body = match illness {
        4 => "2;x=y\r\nok\r\n0\r\n\r\n",
        5..9 => "no",
        _ => "",
    };
    if status.starts_with('2') {
        let ids = request.split("\"id\":\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let id = request.split("ce-id: ").skip(1).map(|rest| rest.split("\r\n").next().unwrap());
        received.extend(ids.chain(id).map(String::from));
    }
    let whole = format!("HTTP/1.1 {status}{grant}\r\n{body}");
    back.extend(whole.as_bytes());
    if illness == 11 {
        back.extend(whole.as_bytes());
    }
    illness == 11
}
