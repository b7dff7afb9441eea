//! Two drivers that can reach each other, on the kernel's loopback or on a simulated network.

use crate::node::Node;
use clustercore::io::epoll::EpollDriver;
use clustercore::io::sim::{SimConfig, SimNet};
use clustercore::io::uring::UringDriver;
use clustercore::io::{
    BuffersConfig, Close, DatagramsConfig, Driver, DriverConfig, Features, ListenerId, StreamId,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Makes the two drivers of one kind.
pub type Make = dyn Fn(DriverConfig) -> World;

/// The stage of a case: `left` connects, `right` listens.
pub struct World {
    pub left: Node,
    pub right: Node,
    net: Option<SimNet>,
    /// Where `right` can listen; port 0.
    address: SocketAddr,
}

/// Few and small buffers, so that bounds are met.
pub fn small() -> DriverConfig {
    DriverConfig {
        streams_max: 64,
        submissions: 64,
        buffers: BuffersConfig { shared_count: 16, shared_size: 4096, block_bytes_max: 1 << 20 },
        datagrams: DatagramsConfig { buffers: 8, trains_queued_max: 64 },
        pipes_max: 4,
        spin_ns: 0,
        mask: Features::ALL,
    }
}

pub fn uring(config: DriverConfig) -> World {
    kernel(|| Box::new(UringDriver::new(config).expect("io_uring is there")))
}

pub fn uring_masked(mask: Features) -> impl Fn(DriverConfig) -> World {
    move |config| uring(DriverConfig { mask, ..config })
}

pub fn epoll(config: DriverConfig) -> World {
    kernel(|| Box::new(EpollDriver::new(config).expect("epoll is there")))
}

pub fn epoll_masked(config: DriverConfig) -> World {
    epoll(DriverConfig { mask: Features::NONE, ..config })
}

/// The simulator in fair weather; `random.rs` has the foul one.
pub fn sim(config: DriverConfig) -> World {
    sim_with(SimConfig { seed: 1, ..SimConfig::default() }, config)
}

pub fn sim_with(weather: SimConfig, config: DriverConfig) -> World {
    let net = SimNet::new(weather);
    let ip = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    let host = |last| Node::new(Box::new(net.host_with(ip(last), config).expect("buffers can be had")));
    let (left, right) = (host(1), host(2));
    World { left, right, net: Some(net), address: SocketAddr::new(ip(2), 0) }
}

/// Two drivers on loopback.
pub fn kernel(mut make: impl FnMut() -> Box<dyn Driver>) -> World {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    World { left: Node::new(make()), right: Node::new(make()), net: None, address }
}

impl World {
    /// More bytes than all socket buffers between the two can hold.
    pub fn more_than_sockets_hold(&self) -> usize {
        if self.is_sim() { 300_000 } else { 24 << 20 }
    }

    pub fn is_sim(&self) -> bool {
        self.net.is_some()
    }

    /// Where a socket of `left` may be bound.
    pub fn left_address(&self) -> SocketAddr {
        if self.is_sim() { SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 0) } else { self.address }
    }

    /// Where a socket of `right` may be bound.
    pub fn right_address(&self) -> SocketAddr {
        self.address
    }

    /// `right` listens.
    pub fn listen(&mut self) -> (ListenerId, SocketAddr) {
        let listener = self.right.listen(self.address);
        (listener, self.right.driver.listener_address(listener).expect("a listener has an address"))
    }

    /// A connection to that address: the stream at `left`, the one at `right`.
    pub fn connect(&mut self, address: SocketAddr) -> (StreamId, StreamId) {
        let left = self.left.connect(address);
        let count = self.right.accepted.len();
        self.until(|world| world.right.accepted.len() > count && world.left.seen(left).connected.is_some());
        assert_eq!(self.left.seen(left).connected, Some(Ok(())));
        (left, self.right.accepted[count])
    }

    /// Listens and connects.
    pub fn connected(&mut self) -> (StreamId, StreamId) {
        let (_, address) = self.listen();
        self.connect(address)
    }

    /// Turns both until the condition holds; panics after a generous time without it.
    #[track_caller]
    pub fn until(&mut self, mut condition: impl FnMut(&mut World) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            let moved = self.round();
            assert!(moved || !self.is_sim() || condition(self), "nothing will happen any more");
            assert!(Instant::now() < deadline, "what was waited for did not come");
        }
    }

    /// Turns both until nothing happens any more.
    pub fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let mut idle = 0;
        while idle < 10 {
            idle = if self.round() { 0 } else { idle + 1 };
            assert!(Instant::now() < deadline, "it never becomes quiet");
        }
    }

    /// Turns both a few times.
    pub fn some_rounds(&mut self, count: u64) {
        for _ in 0..count {
            self.round();
        }
    }

    /// One of the two.
    pub fn node(&mut self, left: bool) -> &mut Node {
        if left { &mut self.left } else { &mut self.right }
    }

    /// One turn of each, waiting a moment in the kernel when nothing happens. `false`: nothing happened.
    fn round(&mut self) -> bool {
        let count = self.left.turn(Duration::ZERO) + self.right.turn(Duration::ZERO);
        if count > 0 || self.left.driver.pending() || self.right.driver.pending() {
            return true;
        }
        match &self.net {
            Some(net) => net.step(),
            None => self.left.turn(MOMENT) + self.right.turn(MOMENT) > 0,
        }
    }

    /// Closes all, and checks that nothing is left over.
    #[track_caller]
    pub fn finish(mut self) {
        self.until(|world| {
            // Also those that were still to be accepted.
            for node in [&mut world.left, &mut world.right] {
                node.release_held();
                for stream in node.open() {
                    node.close(stream, Close::Abort);
                }
            }
            let is_over = |node: &Node| node.driver.streams_open() == 0 && node.driver.buffers().lent() == 0;
            is_over(&world.left) && is_over(&world.right)
        });
    }
}

/// Bytes that are the same only for the same seed and place.
pub fn text(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|place| ((place * 31) ^ (place >> 8) ^ (seed * 101)) as u8).collect()
}

const PATIENCE: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(1);
