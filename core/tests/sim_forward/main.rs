//! The forwarder in the simulator: services that die, stall, talk nonsense and come back at every point of an exchange; clients that
//! pipeline, upload and read slowly. Whatever happens, an answer taken for whole is whole and the right one, a POST is executed at most once,
//! nothing leaks, and after the faults have ended every request is served.
//!
//! One seed is one run: `cargo xtask sim --seed N`, or `CLUSTERCORE_SEED=N cargo test -p clustercore --test sim_forward`.

mod client;
mod content;
mod depth;
mod service;

use client::Client;
use clustercore::Shard;
use clustercore::counters::Counter;
use clustercore::forward::{BackendConfig, ForwarderConfig};
use clustercore::io::sim::{Actor, SimConfig, SimDriver, SimNet, Simulation, SimulationEnd};
use clustercore::io::{Driver, Instant, ListenOptions};
use clustercore::proto::policy::{HealthConfig, Policy, Thresholds};
use clustercore::shard::ForwarderId;
use service::{Ledger, Service};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

struct Front {
    shard: Shard<SimDriver>,
}

#[allow(clippy::large_enum_variant)]
enum Anyone {
    Front(Front),
    Service(Service),
    Client(Client),
}

impl Actor for Anyone {
    fn turn(&mut self) {
        match self {
            Anyone::Front(front) => {
                front.shard.turn_for(Some(Duration::ZERO)).expect("the simulated driver goes on");
                front.shard.events().for_each(drop);
            }
            Anyone::Service(service) => service.turn(),
            Anyone::Client(client) => client.turn(),
        }
    }
    fn is_pending(&self) -> bool {
        match self {
            Anyone::Front(front) => front.shard.driver().pending(),
            Anyone::Service(service) => service.is_pending(),
            Anyone::Client(client) => client.is_pending(),
        }
    }
    fn next_timeout(&self) -> Option<Instant> {
        match self {
            Anyone::Front(front) => {
                let shard = &front.shard;
                shard
                    .next_timeout()
                    .map(|timeout| shard.driver().now() + timeout.max(Duration::from_nanos(1)))
            }
            Anyone::Service(service) => service.next_timeout(),
            Anyone::Client(client) => client.next_timeout(),
        }
    }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn config(seed: u64) -> ForwarderConfig {
    let mut config = ForwarderConfig {
        name: "sim".into(),
        response_timeout: Duration::from_secs(2),
        body_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(1),
        health: (!seed.is_multiple_of(3)).then(HealthConfig::default),
        window_bytes: 32 << 10,
        splice_bytes_min: 128 << 10,
        ..ForwarderConfig::default()
    };
    config.router.policy =
        [Policy::Levels, Policy::RoundRobin, Policy::LeastRequests, Policy::PowerOfTwo][(seed % 4) as usize];
    config.router.thresholds = Thresholds { medium: 200, high: 1600 };
    config
}

fn run(seed: u64) {
    let net = SimNet::new(SimConfig { seed, ..SimConfig::default() });
    let ledger = Rc::new(RefCell::new(Ledger { faults: true, ..Ledger::default() }));
    let mut shard = Shard::with_driver(net.host(ip(1)), "sim", seed);
    let web = shard.add_forwarder(config(seed)).unwrap();
    let server: SocketAddr = SocketAddr::new(ip(1), 80);
    shard.listen(web, server, &ListenOptions::default()).unwrap();
    let mut actors = Vec::new();
    for number in 0..3 {
        let address = SocketAddr::new(ip(10 + number), 80);
        shard.add_backend(web, BackendConfig::new(address)).unwrap();
        actors.push(Anyone::Service(Service::new(&net, address, &ledger, seed * 7 + u64::from(number))));
    }
    actors.push(Anyone::Front(Front { shard }));
    let base = seed * 1_000_000;
    for number in 0..4u64 {
        let first = base + number * 10_000;
        let host = ip(100 + number as u8);
        actors.push(Anyone::Client(Client::new(&net, host, server, first..first + 12, &ledger)));
    }
    let mut simulation = Simulation::new(net.clone(), 2_000_000);
    let done = |actors: &mut [Anyone]| {
        actors.iter().all(|actor| !matches!(actor, Anyone::Client(client) if !client.is_done()))
    };
    let end = simulation.run(&mut actors, done);
    assert_eq!(end, SimulationEnd::Reached, "seed {seed}: with faults {}", state(&actors, web));

    // The faults end; the network heals; whoever was ejected gets the time to come back.
    ledger.borrow_mut().faults = false;
    let pause = net.now() + Duration::from_secs(120);
    let end = simulation.run(&mut actors, |_| net.now() >= pause);
    assert!(end != SimulationEnd::RoundsUsedUp, "seed {seed}: at rest {}", state(&actors, web));
    net.advance_to(pause);
    let mut before = Vec::new();
    for actor in &mut actors {
        if let Anyone::Client(client) = actor {
            before.push((client.answers.refused, client.answers.cut));
            client.ask_more(6);
        }
    }
    let end = simulation.run(&mut actors, done);
    assert_eq!(end, SimulationEnd::Reached, "seed {seed}: healed {}", state(&actors, web));
    let after: Vec<_> = actors
        .iter()
        .filter_map(|actor| match actor {
            Anyone::Client(client) => Some((client.answers.refused, client.answers.cut)),
            _ => None,
        })
        .collect();
    assert_eq!(
        before,
        after,
        "seed {seed}: requests failed although nothing was wrong {}",
        state(&actors, web)
    );

    let ledger = ledger.borrow();
    assert_eq!(ledger.violations, Vec::<String>::new(), "seed {seed}");
    // Nothing leaks: with the clients gone, no request is active, no buffer is lent, only kept connections are open.
    let settle = net.now() + Duration::from_secs(200);
    simulation.run(&mut actors, |_| net.now() >= settle);
    for actor in &actors {
        if let Anyone::Front(front) = actor {
            let counter = |counter| front.shard.counter(web, counter).unwrap();
            assert_eq!(counter(Counter::RequestsActive), 0, "seed {seed}");
            assert_eq!(counter(Counter::ClientsOpen), 0, "seed {seed}");
            assert_eq!(counter(Counter::QueueLength), 0, "seed {seed}");
            assert_eq!(front.shard.driver().buffers().lent(), 0, "seed {seed}");
            assert_eq!(front.shard.driver().streams_open(), 0, "seed {seed}: idle links end in time");
            for backend in front.shard.backends(web).unwrap() {
                assert_eq!(backend.in_flight, 0, "seed {seed}: {backend:?}");
            }
        }
    }
}

fn state(actors: &[Anyone], web: ForwarderId) -> String {
    let mut text = String::new();
    for actor in actors {
        match actor {
            Anyone::Front(front) => {
                for (counter, label, ..) in clustercore::counters::COUNTERS {
                    let value = front.shard.counter(web, *counter).unwrap();
                    if value > 0 {
                        text.push_str(&format!("{label}={value} "));
                    }
                }
            }
            Anyone::Client(client) => text.push_str(&format!("{:?} ", client.answers)),
            Anyone::Service(_) => {}
        }
        text.push_str(&format!("pending={} next={:?}; ", actor.is_pending(), actor.next_timeout()));
    }
    text
}

#[test]
fn an_answer_taken_for_whole_is_whole() {
    if let Ok(seed) = std::env::var("CLUSTERCORE_SEED") {
        return run(seed.parse().expect("CLUSTERCORE_SEED is a number"));
    }
    let count = std::env::var("CLUSTERCORE_SEEDS").map_or(SEEDS, |count| count.parse().expect("a number"));
    for seed in 1..=count {
        run(seed);
    }
}

#[test]
fn a_post_is_executed_at_most_once() {
    // The client never sends a POST twice, so more than one execution is the forwarder's doing. PUT and GET may be repeated.
    for seed in 1..=SEEDS / 4 {
        posts(seed);
    }
}

fn posts(seed: u64) {
    let net = SimNet::new(SimConfig { seed, ..SimConfig::default() });
    let ledger = Rc::new(RefCell::new(Ledger { faults: true, ..Ledger::default() }));
    let mut shard = Shard::with_driver(net.host(ip(1)), "sim", seed);
    let web = shard.add_forwarder(config(seed)).unwrap();
    let server: SocketAddr = SocketAddr::new(ip(1), 80);
    shard.listen(web, server, &ListenOptions::default()).unwrap();
    let mut actors = Vec::new();
    for number in 0..3 {
        let address = SocketAddr::new(ip(10 + number), 80);
        shard.add_backend(web, BackendConfig::new(address)).unwrap();
        actors.push(Anyone::Service(Service::new(&net, address, &ledger, seed * 11 + u64::from(number))));
    }
    actors.push(Anyone::Front(Front { shard }));
    let mut client = Client::new(&net, ip(100), server, 0..40, &ledger);
    client.posts_only = true;
    actors.push(Anyone::Client(client));
    let done = |actors: &mut [Anyone]| {
        actors.iter().all(|actor| !matches!(actor, Anyone::Client(client) if !client.is_done()))
    };
    let end = Simulation::new(net, 2_000_000).run(&mut actors, done);
    assert_eq!(end, SimulationEnd::Reached, "seed {seed}");
    let twice: Vec<_> =
        ledger.borrow().executed.iter().filter(|(_, count)| **count > 1).map(|(id, _)| *id).collect();
    assert_eq!(twice, Vec::<u64>::new(), "seed {seed}: executed more than once");
}

/// `CLUSTERCORE_SEEDS=N` runs as many as wanted.
const SEEDS: u64 = 60;
