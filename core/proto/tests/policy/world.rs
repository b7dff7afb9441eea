//! A front end with its child list in virtual time: open arrivals, exponential service times, starts that take
//! a while. Router, scaler, lifecycle and queue are the real ones; everything follows from the seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use clustercore_proto::policy::*;
use clustercore_proto::random::Random;
use clustercore_proto::time::{Duration, Instant};

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    pub router: RouterConfig,
    pub scaler: ScalerConfig,
    /// Whether the scaler runs; without it the list stays as it begins.
    pub scales: bool,
    /// Mean service time of each node in milliseconds; one core each. The first is the front end's own.
    pub service_ms: Vec<f64>,
    /// Back ends on the list at the start.
    pub active_at_start: usize,
    pub start_ms: u64,
    pub queue_max: usize,
    pub queue_ms: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            router: RouterConfig::default(),
            scaler: ScalerConfig { backends_max: 3, ..ScalerConfig::default() },
            scales: true,
            service_ms: vec![10.0; 4],
            active_at_start: 0,
            start_ms: 300,
            queue_max: 200,
            queue_ms: 2000,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub arrived: u64,
    pub served: Vec<u64>,
    /// Turned away by a full queue or by their deadline.
    pub refused: u64,
    pub response_ms_total: f64,
    pub added: u64,
    pub removed: u64,
    pub active_max: usize,
    pub active_at_end: usize,
    /// The longest any request waited in the queue.
    pub queued_ms_max: u64,
}

impl Outcome {
    pub fn reconfigurations(&self) -> u64 {
        self.added + self.removed
    }

    pub fn response_ms_mean(&self) -> f64 {
        self.response_ms_total / self.served.iter().sum::<u64>() as f64
    }
}

struct Node {
    service_ms: f64,
    in_flight: u32,
    core_free_at: u64,
    life: Lifecycle,
}

/// A request is named by the moment of its arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Done { node: usize, arrived_ns: u64 },
    Ready { node: usize },
    Sample,
}

pub struct World {
    setup: Setup,
    random: Random,
    now_ns: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    events_len: u64,
    nodes: Vec<Node>,
    /// The child list: indices into `nodes`.
    list: Vec<usize>,
    router: Router,
    scaler: Scaler,
    queue: RequestQueue<u64>,
    outcome: Outcome,
}

impl World {
    pub fn new(setup: Setup, seed: u64) -> World {
        let node = |&service_ms: &f64| Node {
            service_ms,
            in_flight: 0,
            core_free_at: 0,
            life: Lifecycle::new(LifecycleConfig::default(), seed),
        };
        let nodes: Vec<Node> = setup.service_ms.iter().map(node).collect();
        let mut world = World {
            random: Random::new(seed),
            now_ns: 0,
            events: BinaryHeap::new(),
            events_len: 0,
            list: Vec::new(),
            router: Router::new(setup.router, seed),
            scaler: Scaler::new(setup.scaler),
            queue: RequestQueue::new(setup.queue_max),
            outcome: Outcome { served: vec![0; nodes.len()], ..Outcome::default() },
            nodes,
            setup,
        };
        for node in 1..=world.setup.active_at_start {
            world.handle(node, LifecycleEvent::Start);
            world.handle(node, LifecycleEvent::Ready);
            world.list.push(node);
        }
        world
    }

    /// Runs for `seconds` with `rate` arrivals per second as a function of the second, then lets all finish.
    pub fn run(mut self, seconds: u64, rate: impl Fn(f64) -> f64) -> Outcome {
        let end_ns = seconds * 1_000_000_000;
        self.at(0, Event::Arrival);
        self.at(0, Event::Sample);
        while let Some(Reverse((at_ns, _, event))) = self.events.pop() {
            self.now_ns = at_ns;
            match event {
                Event::Arrival if at_ns < end_ns => {
                    let gap_ms = self.exponential(1000.0 / rate(at_ns as f64 / 1e9));
                    self.at(at_ns + 1 + (gap_ms * 1e6) as u64, Event::Arrival);
                    self.outcome.arrived += 1;
                    self.send(at_ns);
                }
                Event::Arrival => {}
                Event::Done { node, arrived_ns } => self.done(node, arrived_ns),
                Event::Ready { node } => {
                    self.handle(node, LifecycleEvent::Ready);
                    self.list.push(node);
                    self.outcome.active_max = self.outcome.active_max.max(self.active());
                    self.drain_queue();
                }
                Event::Sample => {
                    self.sample();
                    // Long enough after the end for every hold time.
                    if at_ns < end_ns + 30_000_000_000 {
                        self.at(at_ns + 20_000_000, Event::Sample);
                    }
                }
            }
            self.check_invariants();
        }
        assert!(self.queue.is_empty(), "nobody waits for ever");
        self.outcome.active_at_end = self.active();
        self.outcome
    }

    fn send(&mut self, arrived_ns: u64) {
        match self.pick() {
            Some(node) => self.serve(node, arrived_ns),
            None => {
                let deadline = self.now() + Duration::from_millis(self.setup.queue_ms);
                if self.queue.push(self.now(), arrived_ns, deadline).is_err() {
                    self.outcome.refused += 1;
                }
            }
        }
    }

    /// Where a request goes now, or `None` when it has to wait.
    fn pick(&mut self) -> Option<usize> {
        let list = List { nodes: &self.nodes, list: &self.list };
        match self.router.pick(&list) {
            Pick::Backend(index) => Some(self.list[index]),
            Pick::Empty => Some(0),
            Pick::Saturated => None,
        }
    }

    fn serve(&mut self, node: usize, arrived_ns: u64) {
        let service_ns = (self.exponential(self.nodes[node].service_ms) * 1e6) as u64;
        let target = &mut self.nodes[node];
        target.in_flight += 1;
        target.core_free_at = target.core_free_at.max(self.now_ns) + service_ns;
        let done_at = target.core_free_at;
        self.at(done_at, Event::Done { node, arrived_ns });
    }

    fn done(&mut self, node: usize, arrived_ns: u64) {
        self.nodes[node].in_flight -= 1;
        self.outcome.served[node] += 1;
        self.outcome.response_ms_total += (self.now_ns - arrived_ns) as f64 / 1e6;
        self.end_drain(node);
        self.drain_queue();
    }

    fn drain_queue(&mut self) {
        while !self.queue.is_empty() {
            let Some(node) = self.pick() else { break };
            let Some(arrived_ns) = self.queue.pop(self.now()) else { break };
            let queued_ms = (self.now_ns - arrived_ns) / 1_000_000;
            self.outcome.queued_ms_max = self.outcome.queued_ms_max.max(queued_ms);
            self.serve(node, arrived_ns);
        }
    }

    fn sample(&mut self) {
        let refused = &mut self.outcome.refused;
        self.queue.expire(Instant::from_nanos(self.now_ns), &mut |_| *refused += 1);
        if !self.setup.scales {
            return;
        }
        let load = |node: &Node| Load { in_flight: node.in_flight, cores: 1, weight: 1 };
        let child = |&node: &usize| ChildSample {
            key: BackendKey(node as u32),
            load: load(&self.nodes[node]),
            state: self.nodes[node].life.state(),
        };
        let children: Vec<ChildSample> = self.list.iter().map(child).collect();
        let count = |state| self.nodes[1..].iter().filter(|node| node.life.state() == state).count();
        let sample = Sample {
            local: load(&self.nodes[0]),
            children: &children,
            pool_idle: count(LifecycleState::Idle),
            starting: count(LifecycleState::Starting),
        };
        match self.scaler.step(Instant::from_nanos(self.now_ns), &sample) {
            Decision::Nothing => {}
            Decision::Add { .. } => {
                let idle = |node: &usize| self.nodes[*node].life.state() == LifecycleState::Idle;
                let node = (1..self.nodes.len()).find(idle).expect("the pool has an idle node");
                self.outcome.added += 1;
                self.handle(node, LifecycleEvent::Start);
                self.at(self.now_ns + self.setup.start_ms * 1_000_000, Event::Ready { node });
            }
            Decision::Remove { key, .. } => {
                self.outcome.removed += 1;
                self.handle(key.0 as usize, LifecycleEvent::Drain);
                self.end_drain(key.0 as usize);
            }
        }
    }

    fn end_drain(&mut self, node: usize) {
        let is_draining = self.nodes[node].life.state() == LifecycleState::Draining;
        if is_draining && self.nodes[node].in_flight == 0 {
            self.handle(node, LifecycleEvent::Drained);
            self.handle(node, LifecycleEvent::Released);
            self.list.retain(|other| *other != node);
        }
    }

    fn handle(&mut self, node: usize, event: LifecycleEvent) {
        self.nodes[node].life.handle(Instant::from_nanos(self.now_ns), event).expect("a step of the table");
    }

    fn active(&self) -> usize {
        self.list.iter().filter(|node| self.nodes[**node].life.state() == LifecycleState::Active).count()
    }

    fn check_invariants(&self) {
        self.queue.check_invariants();
        self.nodes.iter().for_each(|node| node.life.check_invariants());
        let in_flight: u64 = self.nodes.iter().map(|node| u64::from(node.in_flight)).sum();
        let ended = self.outcome.served.iter().sum::<u64>() + self.outcome.refused;
        let total = ended + in_flight + self.queue.len() as u64;
        assert_eq!(total, self.outcome.arrived, "every request is somewhere, once");
        for node in &self.nodes[1..] {
            assert!(node.in_flight == 0 || node.life.state() != LifecycleState::Idle, "none is cut off");
            // The thresholds bound what a back end ever has.
            let bound = self.setup.router.thresholds.high.div_ceil(100);
            assert!(node.in_flight <= bound, "High gets nothing");
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now_ns)
    }

    fn at(&mut self, at_ns: u64, event: Event) {
        self.events_len += 1;
        self.events.push(Reverse((at_ns, self.events_len, event)));
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        let uniform = (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        -mean * (1.0 - uniform).ln()
    }
}

struct List<'a> {
    nodes: &'a [Node],
    list: &'a [usize],
}

impl Candidates for List<'_> {
    fn len(&self) -> usize {
        self.list.len()
    }
    fn load(&self, index: usize) -> Load {
        Load { in_flight: self.nodes[self.list[index]].in_flight, cores: 1, weight: 1 }
    }
    fn is_eligible(&self, index: usize) -> bool {
        self.nodes[self.list[index]].life.state() == LifecycleState::Active
    }
    fn warmth(&self, _index: usize) -> u32 {
        1000
    }
}
