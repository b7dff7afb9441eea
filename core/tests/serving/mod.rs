//! A server of calls in a thread of its own, for the tests of calls.

use clustercore::calls::{CallConfig, Channel, ChannelConfig, Health, Names, Server};
use clustercore::io::DriverChoice;
use clustercore::proto::rpc;
use clustercore::security::Mode;
use clustercore::{EndpointConfig, Shard};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server in a thread of its own, until it is dropped.
pub struct Running {
    pub address: SocketAddr,
    pub health: Health,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn start(choice: DriverChoice, make: impl FnOnce() -> Server + Send + 'static) -> Running {
        Running::start_at(choice, LOOPBACK, None, make)
    }

    pub fn start_at(
        choice: DriverChoice,
        address: SocketAddr,
        security: Option<Mode>,
        make: impl FnOnce() -> Server + Send + 'static,
    ) -> Running {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut server = make();
            let mut shard = Shard::builder().driver(choice).build().unwrap();
            let config =
                EndpointConfig { calls: Some(rpc::Config::default()), security, ..EndpointConfig::default() };
            let endpoint = shard.open_endpoint(address, config).unwrap();
            tell.send((shard.endpoint_address(endpoint).unwrap(), server.health().clone())).unwrap();
            while !flag.load(Ordering::Relaxed) {
                server.turn(&mut shard, Some(Duration::from_millis(5))).unwrap();
            }
        });
        let (address, health) = told.recv().unwrap();
        Running { address, health, is_over, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub fn channel(choice: DriverChoice, address: SocketAddr) -> Channel {
    let config = ChannelConfig { driver: choice, ..ChannelConfig::default() };
    Channel::open(&address.to_string(), &Names::new(), config).unwrap()
}

pub fn within(seconds: u64) -> CallConfig {
    CallConfig { timeout: Some(Duration::from_secs(seconds)), ..CallConfig::default() }
}
