//! Links of all kinds on a simulated network that loses, repeats, delays and damages datagrams, and is cut now and then: whatever becomes of
//! links, a named consumer that acknowledges sees every event that the server has taken.
//!
//! One seed: `CLUSTERCORE_SEED=7 cargo test -p clustercore --test channel sim`.

use super::*;
use clustercore::io::sim::{SimConfig, SimDriver, SimNet};
use std::net::IpAddr;

const EVENTS: u32 = 1500;
const ROUND: Duration = Duration::from_millis(1);
/// Ten minutes: a server needs one of them to notice that a silent connection is gone.
const ROUNDS_MAX: u32 = 600_000;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

struct World {
    net: SimNet,
    server: ChannelServer<SimDriver>,
    supplier: Participant<SimDriver>,
    consumer: Participant<SimDriver>,
    links: [Link; 3],
}

impl World {
    /// The supplier and the consumer have links of these kinds: TCP, UDP, RPC.
    fn new(config: SimConfig, kinds: [u64; 2]) -> World {
        let net = SimNet::new(config);
        let hub =
            HubConfig { access: Access::open(), linger: Duration::from_secs(120), ..HubConfig::default() };
        let config = ChannelServerConfig { hub, insecure: true, ..ChannelServerConfig::default() };
        let wall = Duration::from_secs(1_000_000_000);
        let mut server = ChannelServer::with_driver(net.host(ip(1)), wall, config).unwrap();
        let links = [
            Link::Tcp(server.listen_tcp(SocketAddr::new(ip(1), 1)).unwrap()),
            Link::Udp(server.listen_udp(SocketAddr::new(ip(1), 2)).unwrap(), None),
            Link::Rpc(server.listen_rpc(SocketAddr::new(ip(1), 3)).unwrap(), None),
        ];
        let join = |last: u8, kind: u64| {
            let link = links[kind as usize % 3];
            Participant::with_driver(net.host(ip(last)), link, None, ParticipantConfig::default()).unwrap()
        };
        let (supplier, consumer) = (join(2, kinds[0]), join(3, kinds[1]));
        World { net, server, supplier, consumer, links }
    }

    fn consumers(&mut self) -> usize {
        let engine = self.server.hub().engine();
        let channel = engine.default_channel();
        engine.machine(channel).map_or(0, |channel| channel.supplier_proxies().count())
    }

    /// One millisecond.
    fn round(&mut self) {
        self.server.turn_for(Some(Duration::ZERO)).unwrap();
        self.supplier.turn_for(Some(Duration::ZERO)).unwrap();
        self.consumer.turn_for(Some(Duration::ZERO)).unwrap();
        self.net.advance_to(self.net.now() + ROUND);
    }

    /// Exchanges a link, or cuts the network, or heals it.
    fn disturb(&mut self) {
        let link = self.links[self.net.random_below(3) as usize];
        let last = 2 + self.net.random_below(2) as u8;
        match self.net.random_below(400) {
            0 => self.supplier.relink(link, None).unwrap(),
            1 => self.consumer.relink(link, None).unwrap(),
            2 => self.net.partition(ip(1), ip(last)),
            3..=12 => self.heal(),
            _ => {}
        }
    }

    fn heal(&self) {
        self.net.heal(ip(1), ip(2));
        self.net.heal(ip(1), ip(3));
    }
}

fn run(seed: u64) {
    let config = SimConfig {
        seed,
        loss_per_mille: 20,
        duplicate_per_mille: 20,
        reorder_per_mille: 20,
        corrupt_per_mille: 5,
        ..SimConfig::default()
    };
    let mut world = World::new(config, [seed, seed / 3]);
    let spec = r#""name":"steady","spec":{"qos":{"acknowledgement":"explicit","length_max":100000,"tries_max":1000}}"#;
    let consume = world.consumer.consume(spec);
    while world.consumers() == 0 {
        assert!(world.net.now().as_nanos() < 60_000_000_000, "seed {seed}: no consumer");
        world.round();
    }
    let supply = world.supplier.supply("", SupplyConfig::default());
    let (mut sent, mut seen, mut is_seen) = (0, 0, vec![false; EVENTS as usize]);
    for round in 0.. {
        assert!(
            round < ROUNDS_MAX,
            "seed {seed}: {seen} of {EVENTS} events after {round} rounds, {sent} sent"
        );
        if sent < EVENTS {
            sent += world.supplier.emit(supply, &events(sent..sent + 1)).unwrap_or(0) as u32;
            world.disturb();
        } else {
            world.heal();
        }
        let mut names = Vec::new();
        while let Some((_, delivered)) = world.consumer.take() {
            let id: usize = delivered.event.id().parse().unwrap();
            names.extend(delivered.delivery);
            seen += u32::from(!std::mem::replace(&mut is_seen[id], true));
        }
        world.consumer.machine().acknowledge(consume, &names);
        for news in std::iter::from_fn(|| world.consumer.poll_news()) {
            assert!(!matches!(news, News::Gone { .. } | News::Bye { .. }), "seed {seed}: {news:?}");
        }
        world.round();
        if seen == EVENTS && world.supplier.untaken(supply).unwrap() == 0 {
            break;
        }
    }
    assert_eq!(world.server.stats().violations, 0, "seed {seed}");
}

#[test]
fn no_event_is_missed_whatever_becomes_of_links() {
    if let Ok(seed) = std::env::var("CLUSTERCORE_SEED") {
        return run(seed.parse().expect("CLUSTERCORE_SEED is a number"));
    }
    let count = std::env::var("CLUSTERCORE_SEEDS").map_or(12, |count| count.parse().expect("a number"));
    (0..count).for_each(run);
}

#[test]
fn a_quiet_link_stays() {
    for kind in 0..3 {
        let mut world = World::new(SimConfig::default(), [kind, kind]);
        world.consumer.consume("");
        for _ in 0..150_000 {
            world.round();
        }
        let supply = world.supplier.supply("", SupplyConfig::default());
        world.supplier.emit(supply, &events(0..1)).unwrap();
        for _ in 0..100 {
            world.round();
        }
        assert!(world.consumer.take().is_some(), "{:?}", world.links[kind as usize]);
        assert_eq!((world.supplier.links_made(), world.consumer.links_made()), (1, 1));
    }
}
