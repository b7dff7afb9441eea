//! Random operations on engine and model; after each, both must say the same.
//!
//! One seed, one run: `CLUSTERCORE_SEED=7 cargo test -p clustercore-channel --test sim_channel seeds`.

use super::model::{Kept, Member, Model, Queue, State};
use clustercore_channel::channel::{ConsumerProxySpec, Mode, Start, SupplierProxySpec};
use clustercore_channel::predicate::{Closure, Undecided};
use clustercore_channel::qos::{Acknowledgement, Discard, Order, Qos, Settings};
use clustercore_channel::{Channel, ChannelConfig, Duration, Event, EventLimits, Filter, Instant, Output};
use clustercore_channel::{ConsumerProxyId, DeliveryId, Fields, Reliability, SupplierProxyId, Value};
use clustercore_proto::random::Random;
use std::collections::BTreeMap;

struct World {
    random: Random,
    now: Instant,
    channel: Channel,
    model: Model,
    supplier: ConsumerProxyId,
    /// Queue and member of each proxy.
    proxies: BTreeMap<SupplierProxyId, (usize, usize)>,
    /// What each proxy has in its hands.
    flights: Vec<(SupplierProxyId, DeliveryId, u64)>,
    numbers: u64,
    receipts: u64,
    queues: usize,
    confirmed: Vec<u64>,
    lost: Vec<u64>,
    deaths: u64,
    /// Hardly an event waits for anything but its turn, and many consumers are alike: their queues share a lane.
    is_quiet: bool,
    /// The most queues that shared one.
    sharing: u64,
}

fn filter(modulus: u64) -> Option<Filter> {
    let holds = move |event: &Event| match event.field("number") {
        Some(Value::Int(number)) if number % 7 != 0 => Ok((number as u64).is_multiple_of(modulus)),
        _ => Err(Undecided),
    };
    (modulus != 1).then(|| Closure::shared(format!("number % {modulus} == 0"), holds))
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let is_quiet = random.chance(400);
        let retention_events_max = if random.chance(300) { 5 + random.below(20) } else { 0 };
        let config = ChannelConfig { retention_events_max, ..ChannelConfig::default() };
        let mut channel = Channel::new("main", config);
        let discard = [Discard::Refuse, Discard::Oldest, Discard::Newest, Discard::LowestPriority]
            [random.below(4) as usize];
        let qos = Qos { length_max: Some(16), discard: Some(discard), batch_max: Some(8), ..Qos::default() };
        let qos = Qos { lifetime: (!is_quiet && random.chance(200)).then(|| millis(30)), ..qos };
        let supplier =
            channel.create_consumer_proxy(ConsumerProxySpec { qos, ..Default::default() }).unwrap();
        let buffer_settings = Settings::resolve(&[&qos]);
        let model =
            Model { buffer_settings, retention_max: retention_events_max as usize, ..Model::default() };
        let now = Instant::from_nanos(1_000_000 * random.below(1 << 40));
        World {
            random,
            now,
            channel,
            model,
            supplier,
            proxies: BTreeMap::new(),
            flights: Vec::new(),
            numbers: 0,
            receipts: 0,
            queues: 0,
            confirmed: Vec::new(),
            lost: Vec::new(),
            deaths: 0,
            is_quiet,
            sharing: 0,
        }
    }

    fn qos(&mut self) -> Qos {
        let random = &mut self.random;
        let mut one_of = |count: u64| random.below(count) as usize;
        let is_acknowledged = one_of(2) == 0;
        let qos = Qos {
            order: Some([Order::Fifo, Order::Priority, Order::Deadline][one_of(3)]),
            discard: Some(
                [Discard::Oldest, Discard::Newest, Discard::LowestPriority, Discard::Refuse][one_of(4)],
            ),
            length_max: Some(1 + one_of(12) as u32),
            bytes_max: Some([1024, 1 << 20][one_of(2)]),
            pacing: Some(millis([0, 0, 7][one_of(3)])),
            ..Qos::default()
        };
        let qos = Qos { batch_max: Some(1 + one_of(qos.length_max.unwrap() as u64) as u32), ..qos };
        if !is_acknowledged {
            return qos;
        }
        Qos {
            acknowledgement: Some(Acknowledgement::Explicit),
            in_flight_max: Some(1 + one_of(6) as u32),
            acknowledge_timeout: Some(millis(5 + one_of(20) as u64)),
            tries_max: Some(1 + one_of(4) as u16),
            backoff: Some(millis([0, 3][one_of(2)])),
            backoff_max: Some(millis(10)),
            ..qos
        }
    }

    /// What one of the consumers that are there wants, too: often one that goes by the quick lane.
    fn alike(&mut self) -> Option<(Qos, u64)> {
        let first = self.proxies.values().next().filter(|_| self.is_quiet && self.random.chance(700))?;
        let queue = &self.model.queues[&first.0];
        let Settings { order, discard, length_max, bytes_max, batch_max, acknowledgement, .. } =
            queue.settings;
        let qos = Qos {
            order: Some(order),
            discard: Some(discard),
            length_max: Some(length_max),
            bytes_max: Some(bytes_max),
            batch_max: Some(batch_max),
            ..Qos::default()
        };
        (acknowledgement == Acknowledgement::None).then_some((qos, queue.modulus))
    }

    fn plain_qos(&mut self) -> Qos {
        let random = &mut self.random;
        Qos {
            discard: Some([Discard::Oldest, Discard::Newest, Discard::Refuse][random.below(3) as usize]),
            length_max: Some(16 + random.below(16) as u32),
            bytes_max: Some([4096, 1 << 20][random.below(2) as usize]),
            batch_max: Some(1 + random.below(8) as u32),
            ..Qos::default()
        }
    }

    fn attach(&mut self) {
        let (mut qos, mut modulus) = (self.qos(), 1 + self.random.below(3));
        if let Some(alike) = self.alike() {
            (qos, modulus) = alike;
        } else if self.is_quiet && self.random.chance(700) {
            qos = self.plain_qos();
        }
        let mode = if self.random.chance(400) { Mode::Pull } else { Mode::Push };
        let has_retention = self.model.retention_max > 0;
        let start = if has_retention && self.random.chance(500) { Start::Earliest } else { Start::Now };
        let queue = self.queues;
        self.queues += 1;
        let members = 1 + usize::from(self.random.chance(300)) * 2;
        self.model.queues.insert(
            queue,
            Queue {
                settings: Settings::resolve(&[&qos]),
                modulus,
                items: Vec::new(),
                members: Vec::new(),
                stats: Default::default(),
                cursor: (start == Start::Earliest).then(|| self.channel.retained_from()),
                turns: 0,
            },
        );
        for member in 0..members {
            let spec = SupplierProxySpec {
                mode,
                qos,
                filter: filter(modulus),
                consumer_group: (members > 1).then(|| format!("group {queue}").into()),
                start,
                ..Default::default()
            };
            let attached = self.channel.create_supplier_proxy(self.now, spec).unwrap();
            self.proxies.insert(attached.proxy, (queue, member));
            let it = Member { is_pull: mode == Mode::Pull, is_connected: true, ..Member::default() };
            self.model.queues.get_mut(&queue).unwrap().members.push(it);
        }
        self.model.refill(self.now);
    }

    fn push(&mut self) {
        let number = self.numbers;
        self.numbers += 1;
        let now = self.now;
        let is_quiet = self.is_quiet && !self.random.chance(20);
        let random = &mut self.random;
        let mut builder = Event::builder(number.to_string(), "s", "t").field("number", number as i64);
        builder = builder.body(vec![0u8; [10, 300, 2000][random.below(3) as usize]]);
        if random.chance(500) {
            builder = builder.priority(random.below(4) as u8 * 50);
        }
        if !is_quiet && random.chance(300) {
            builder = builder.expiry(now + millis(random.below(40)));
        }
        if !is_quiet && random.chance(200) {
            builder = builder.start(now + millis(random.below(20)));
        }
        if random.chance(500) {
            builder = builder.key(["a", "b"][random.below(2) as usize]);
        }
        let is_persistent = !is_quiet && random.chance(300);
        if is_persistent {
            builder = builder.reliability(Reliability::Persistent);
        }
        let event = builder.build(&EventLimits::default()).unwrap();
        let settings = &self.model.buffer_settings;
        let lifetime = settings.lifetime;
        let forever = if lifetime.is_zero() { Instant::MAX } else { now + lifetime };
        let kept = Kept {
            number,
            offset: 0,
            priority: event.header().priority.unwrap_or(settings.priority),
            expiry: event.header().expiry.unwrap_or(forever),
            start: event.header().start.unwrap_or(now),
            is_persistent,
            receipt: self.receipts,
            event: event.clone(),
        };
        let pushed = self.channel.push(now, self.supplier, &[event]);
        let is_refused = self.model.buffer(kept);
        assert_eq!(pushed.refusal.is_some(), is_refused, "{pushed:?}");
        self.receipts += u64::from(!is_refused);
        if self.random.chance(700) {
            self.channel.spread(now, u64::MAX);
            self.model.spread(now);
        }
    }

    fn deliver(&mut self) {
        // A replay takes more when there is room again.
        while self.deliver_once() > 0 {}
        for (queue, member) in self.proxies.values() {
            let queue = &self.model.queues[queue];
            if !queue.members[*member].is_pull {
                let left = queue.next_batch(self.now, *member, 1);
                assert!(left.is_empty(), "{queue:#?} is starved at {:?}", self.now);
            }
        }
    }

    fn deliver_once(&mut self) -> usize {
        let World { channel, model, proxies, flights, random, now, .. } = self;
        let given = channel.deliver(*now, 1000, &mut |batch| {
            let (queue, member) = proxies[&batch.proxy];
            let queue = model.queues.get_mut(&queue).unwrap();
            let offsets: Vec<u64> = batch.iter().map(|it| it.offset).collect();
            let max = queue.settings.batch_max as usize;
            assert_eq!(offsets, queue.next_batch(*now, member, max), "the next batch of {queue:#?}");
            let taken = if random.chance(900) { offsets.len() } else { random.below(3) as usize };
            let taken = taken.min(offsets.len());
            queue.give(*now, member, &offsets, taken);
            if batch.is_acknowledged {
                let taken = batch.iter().take(taken);
                flights.extend(taken.map(|it| (batch.proxy, it.delivery, it.offset)));
            }
            taken
        });
        model.refill(*now);
        given
    }

    fn pull(&mut self, proxy: SupplierProxyId) {
        let World { channel, model, proxies, flights, random, now, .. } = self;
        let (queue, member) = proxies[&proxy];
        let queue = model.queues.get_mut(&queue).unwrap();
        let max = 1 + random.below(5) as usize;
        // Whoever pulls takes more, and at once, also where he is pushed to.
        let it = &mut queue.members[member];
        let paced_until = std::mem::replace(&mut it.paced_until, Instant::ZERO);
        it.is_blocked &= !it.is_connected || it.is_suspended;
        let expected = queue.next_batch(*now, member, max);
        let given = channel.pull(*now, proxy, max as u32, &mut |batch| {
            let offsets: Vec<u64> = batch.iter().map(|it| it.offset).collect();
            assert_eq!(offsets, expected);
            queue.give(*now, member, &offsets, offsets.len());
            if batch.is_acknowledged {
                flights.extend(batch.iter().map(|it| (batch.proxy, it.delivery, it.offset)));
            }
            offsets.len()
        });
        assert_eq!(given, Some(expected.len()));
        queue.members[member].paced_until = paced_until;
        model.refill(*now);
    }

    fn acknowledge(&mut self) {
        let place = self.random.below(self.flights.len() as u64) as usize;
        let (proxy, delivery, offset) = self.flights.swap_remove(place);
        let Some((queue, member)) = self.proxies.get(&proxy).copied() else { return };
        let queue = self.model.queues.get_mut(&queue).unwrap();
        let is_here =
            |state: State| matches!(state, State::InFlight { member: holder, .. } if holder == member);
        let held = queue.items.iter().position(|it| it.kept.offset == offset && is_here(it.state));
        let action = self.random.below(10);
        let result = match action {
            0..6 => self.channel.acknowledge(self.now, proxy, delivery),
            _ => self.channel.reject(self.now, proxy, delivery, action == 9),
        };
        // It may be in flight again under another name.
        let Some(held) = held.filter(|_| result.is_ok()) else {
            assert!(result.is_err(), "an unknown delivery was acknowledged");
            return;
        };
        if action < 6 {
            queue.items.remove(held);
            queue.stats.settled += 1;
        } else {
            queue.fail(self.now, offset, action == 9);
        }
        self.model.refill(self.now);
    }

    fn step(&mut self) {
        let proxies: Vec<SupplierProxyId> = self.proxies.keys().copied().collect();
        let proxy = match proxies.len() as u64 {
            0 => return self.attach(),
            len => proxies[self.random.below(len) as usize],
        };
        let (queue, member) = self.proxies[&proxy];
        let now = self.now;
        match self.random.below(100) {
            0..35 => self.push(),
            35..50 => self.deliver(),
            // One that is pushed to may pull too.
            50..58 => self.pull(proxy),
            58..72 if !self.flights.is_empty() => self.acknowledge(),
            72..82 => {
                self.now = now + millis(self.random.below(12));
                self.channel.handle_timeout(self.now);
                self.model.advance(self.now);
            }
            82..88 if !self.model.pending.is_empty() => {
                let place = self.random.below(self.model.pending.len() as u64) as usize;
                let last = self.model.pending[place].0.offset;
                let is_failed = self.random.chance(200);
                if is_failed {
                    self.channel.persist_failed(now, 0, last);
                } else {
                    self.channel.persisted(now, last);
                }
                self.model.written(now, last, is_failed);
            }
            88..90 => {
                let queue = self.model.queues.get_mut(&queue).unwrap();
                let is = !queue.members[member].is_suspended;
                queue.members[member].is_suspended = is;
                self.channel.suspend_supplier_proxy(proxy, is).unwrap();
            }
            90..93 => {
                let queue = self.model.queues.get_mut(&queue).unwrap();
                let is = !queue.members[member].is_connected;
                queue.members[member].is_blocked = false;
                queue.members[member].is_connected = is;
                if !is {
                    queue.disconnect(now, member);
                    self.model.refill(now);
                }
                self.channel.set_connected(now, proxy, is).unwrap();
            }
            93..96 => {
                self.model.queues.get_mut(&queue).unwrap().members[member].is_blocked = false;
                self.channel.writable(proxy);
            }
            96 => self.change(queue, proxy),
            97 if self.proxies.len() > 1 => self.remove(queue, member, proxy),
            98 if self.proxies.len() < 8 => self.attach(),
            _ => {
                self.channel.spread(now, u64::MAX);
                self.model.spread(now);
            }
        }
    }

    /// Other properties while events are queued; what is acknowledged how stays, since it decides what keys mean.
    fn change(&mut self, queue: usize, proxy: SupplierProxyId) {
        let mut qos = self.qos();
        let queue = self.model.queues.get_mut(&queue).unwrap();
        qos.acknowledgement = Some(queue.settings.acknowledgement);
        if queue.settings.acknowledgement == Acknowledgement::None {
            (qos.tries_max, qos.in_flight_max, qos.acknowledge_timeout) = (None, None, None);
        }
        self.channel.set_supplier_proxy_qos(self.now, proxy, qos).unwrap();
        queue.set(Settings::resolve(&[&qos]));
        self.model.refill(self.now);
    }

    fn remove(&mut self, queue: usize, member: usize, proxy: SupplierProxyId) {
        self.channel.remove_supplier_proxy(self.now, proxy).unwrap();
        self.proxies.remove(&proxy);
        if self.proxies.values().any(|(other, _)| *other == queue) {
            let queue = self.model.queues.get_mut(&queue).unwrap();
            queue.disconnect(self.now, member);
            queue.members[member].is_gone = true;
        } else {
            self.model.queues.remove(&queue);
        }
        self.model.refill(self.now);
    }

    fn check(&mut self) {
        self.channel.check_invariants();
        while let Some(output) = self.channel.poll_output() {
            match output {
                Output::Confirmed { first, last, .. } => self.confirmed.extend(first..=last),
                Output::Lost { receipt, .. } => self.lost.push(receipt),
                Output::DeadLetter { .. } => self.deaths += 1,
                Output::Persist { .. } | Output::Pull { .. } | Output::Readable { .. } => {}
                Output::Configured | Output::ConsumerKept { .. } | Output::ConsumerGone { .. } => {}
                Output::Hooked { .. } => {}
            }
        }
        assert_eq!(self.confirmed, self.model.confirmed, "confirmed");
        assert_eq!(self.lost, self.model.lost, "lost");
        let (_, len, _, stats) = self.channel.buffer(self.supplier).unwrap();
        let Model { spread, expired, discarded, failed, .. } = self.model;
        assert_eq!(
            (stats.spread, stats.expired, stats.discarded, stats.failed),
            (spread, expired, discarded, failed)
        );
        assert_eq!(len as usize, self.model.buffer.len());
        assert_eq!(self.channel.stats().unwanted, self.model.unwanted);
        self.sharing = self.sharing.max(self.channel.stats().sharing);
        for (proxy, (queue, _)) in &self.proxies {
            let queue = &self.model.queues[queue];
            let (settings, len, bytes, stats) = self.channel.queue(*proxy).unwrap();
            assert_eq!(settings, queue.settings);
            assert_eq!(stats, queue.stats, "{queue:#?} at {:?}", self.now);
            assert_eq!((len as usize, bytes), (queue.items.len(), queue.bytes()));
            let reasons = self.channel.why(self.now, *proxy).unwrap();
            assert!(!reasons.is_empty(), "there is always a reason, and it has a text");
        }
    }
}

/// Runs a script; how many events were delivered, discarded, expired, dead, and how many queues shared a lane.
fn run(seed: u64) -> [u64; 5] {
    let mut world = World::new(seed);
    (0..if world.is_quiet { 3 } else { 0 }).for_each(|_| world.attach());
    for _ in 0..60 + world.random.below(60) {
        world.step();
        world.check();
    }
    let stats = world.model.queues.values().map(|queue| queue.stats);
    stats.fold([0, 0, 0, 0, world.sharing], |sum, it| {
        let [delivered, discarded, expired, dead, sharing] = sum;
        let (delivered, discarded) = (delivered + it.delivered, discarded + it.discarded);
        [delivered, discarded, expired + it.expired, dead + it.dead, sharing]
    })
}

#[test]
fn seeds() {
    let number = |name: &str| std::env::var(name).ok().map(|it| it.parse::<u64>().expect("a number"));
    if let Some(seed) = number("CLUSTERCORE_SEED") {
        println!("seed {seed}: {:?}", run(seed));
        return;
    }
    let first = number("CLUSTERCORE_SEED_FIRST").unwrap_or(0);
    let count = number("CLUSTERCORE_SEEDS").unwrap_or(10_000);
    let mut sums = [0; 5];
    for seed in first..first + count {
        let outcome = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|_| {
            panic!("seed {seed} failed; again: CLUSTERCORE_SEED={seed} cargo test -p clustercore-channel --test sim_channel seeds")
        });
        (0..5).for_each(|place| sums[place] += outcome[place]);
    }
    println!("delivered, discarded, expired, dead, sharing: {sums:?}");
    assert!(sums.iter().all(|sum| *sum >= count / 10), "scripts reach everything: {sums:?}");
}
