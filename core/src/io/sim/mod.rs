//! The driver in virtual time: hosts, byte streams and datagrams on a network that a seed decides.
//!
//! [`SimNet`] holds clock, hosts and faults; [`SimNet::host`] makes a [`SimDriver`] whose `turn` never waits. Nothing
//! happens between two calls of [`SimNet::step`], so a program on several hosts is stepped by one thread and the same seed
//! gives the same run to the byte; [`Simulation`] does the stepping, [`SimNet::trace_hash`] tells whether two runs were the same.
//!
//! Streams behave as the kernel's: bounded socket buffers, segments of random size in order, half-close, reset on
//! data for a closed socket or on a close with unread bytes, backlog, refused and timed-out connects. A partition holds stream
//! segments until it heals (a kernel would send them again) and drops datagrams.

mod datagram;
mod net;
mod simulation;
mod sockets;
mod splice;
mod stream;
mod trace;

pub use simulation::{Actor, Simulation, SimulationEnd};
pub use sockets::SimSockets;

use super::readiness::ReadinessDriver;
use super::{BuffersConfig, DriverConfig, Instant};
use net::Net;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// The driver of one program on one simulated host.
pub type SimDriver = ReadinessDriver<SimSockets>;

/// What the network is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SimConfig {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Shortest time a packet takes.
    pub latency_min: Duration,
    /// Longest time a packet takes (jitter is the difference).
    pub latency_max: Duration,
    /// Bytes of a stream segment at most; each is of random size from 1.
    pub segment_bytes_max: usize,
    /// Bytes a stream's sending side holds before `send` says that it is full.
    pub send_buffer_bytes: usize,
    /// Bytes a stream's receiving side holds, read or under way.
    pub receive_buffer_bytes: usize,
    /// Of 1000 sends, how many take only a part although there is room for more.
    pub partial_send_per_mille: u32,
    /// Of 1000 datagrams, how many are lost.
    pub loss_per_mille: u32,
    /// Of 1000 datagrams, how many arrive twice.
    pub duplicate_per_mille: u32,
    /// Of 1000 datagrams, how many are delayed by up to ten times the longest latency.
    pub reorder_per_mille: u32,
    /// Of 1000 datagrams, how many arrive with one bit changed.
    pub corrupt_per_mille: u32,
    /// Of 1000 datagrams that are capable of it (ECT), how many arrive with a mark of congestion (CE).
    pub mark_per_mille: u32,
    /// Bytes a datagram socket holds unread, unless its options say otherwise; what arrives beyond is dropped.
    pub datagram_buffer_bytes: usize,
    /// An unanswered connect fails with `ETIMEDOUT` after this time.
    pub connect_timeout: Duration,
    /// Keep the text of the trace, not only its hash.
    pub trace_text: bool,
}

impl Default for SimConfig {
    fn default() -> Self {
        SimConfig {
            seed: 0,
            latency_min: Duration::from_micros(50),
            latency_max: Duration::from_micros(500),
            segment_bytes_max: 1460,
            send_buffer_bytes: 64 << 10,
            receive_buffer_bytes: 64 << 10,
            partial_send_per_mille: 100,
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            reorder_per_mille: 0,
            corrupt_per_mille: 0,
            mark_per_mille: 0,
            datagram_buffer_bytes: 256 << 10,
            connect_timeout: Duration::from_secs(10),
            trace_text: false,
        }
    }
}

/// The simulated network. Clones are the same network.
#[derive(Clone)]
pub struct SimNet(Rc<RefCell<Net>>);

impl SimNet {
    /// A network without hosts, at time zero.
    pub fn new(config: SimConfig) -> SimNet {
        SimNet(Rc::new(RefCell::new(Net::new(config))))
    }

    /// A program on the host with this address, with small buffers. Several programs may share a host.
    pub fn host(&self, ip: IpAddr) -> SimDriver {
        let buffers = BuffersConfig { shared_count: 64, shared_size: 4096, block_bytes_max: 4 << 20 };
        let config = DriverConfig { streams_max: 1024, buffers, ..DriverConfig::default() };
        self.host_with(ip, config).expect("these buffers can always be had")
    }

    /// The same with bounds of one's own. Errors: as `Buffers::new`.
    pub fn host_with(&self, ip: IpAddr, config: DriverConfig) -> std::io::Result<SimDriver> {
        let program = self.0.borrow_mut().add_program(ip);
        SimDriver::with_sockets(config, SimSockets::new(Rc::clone(&self.0), program, config.mask))
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.0.borrow().now
    }

    /// When the next thing happens on the network, if anything will.
    pub fn next_event(&self) -> Option<Instant> {
        self.0.borrow().next_event()
    }

    /// Goes to the next event and lets it (and all of the same moment) happen. `false`: nothing will.
    pub fn step(&self) -> bool {
        self.next_event().is_some_and(|at| {
            self.advance_to(at);
            true
        })
    }

    /// Goes to that time; all that happens until then happens.
    pub fn advance_to(&self, at: Instant) {
        self.0.borrow_mut().advance_to(at);
    }

    /// A number below `bound` from the seed, for the choices of a test.
    pub fn random_below(&self, bound: u64) -> u64 {
        self.0.borrow_mut().random.below(bound)
    }

    /// Nothing passes between the two hosts until `heal`.
    pub fn partition(&self, one: IpAddr, other: IpAddr) {
        self.0.borrow_mut().partition(one, other);
    }

    /// Ends a partition; what was held is delivered.
    pub fn heal(&self, one: IpAddr, other: IpAddr) {
        self.0.borrow_mut().heal(one, other);
    }

    /// Nothing passes to or from the host, and nobody is told, until `unblackhole`.
    pub fn blackhole(&self, ip: IpAddr) {
        self.0.borrow_mut().set_blackhole(ip, true);
    }

    /// Ends `blackhole`.
    pub fn unblackhole(&self, ip: IpAddr) {
        self.0.borrow_mut().set_blackhole(ip, false);
    }

    /// The programs on the host do not run: their turns do nothing, and bytes pile up to the bounds of the sockets.
    pub fn pause(&self, ip: IpAddr) {
        self.0.borrow_mut().set_paused(ip, true);
    }

    /// The programs run again.
    pub fn resume(&self, ip: IpAddr) {
        self.0.borrow_mut().set_paused(ip, false);
    }

    /// The programs on the host die: connections are reset, listeners gone, their drivers do nothing any more. `host` starts new ones.
    pub fn crash(&self, ip: IpAddr) {
        self.0.borrow_mut().crash(ip);
    }

    /// Resets the connection between the two addresses, at both ends. `false`: there is none.
    pub fn reset(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.0.borrow_mut().reset_between(local, remote)
    }

    /// Connects to that address are refused, listener or not, until `accept`.
    pub fn refuse(&self, address: SocketAddr) {
        self.0.borrow_mut().set_refused(address, true);
    }

    /// Ends `refuse`.
    pub fn accept(&self, address: SocketAddr) {
        self.0.borrow_mut().set_refused(address, false);
    }

    /// A line of the test's own in the trace.
    pub fn note(&self, text: &str) {
        self.0.borrow_mut().note(text);
    }

    /// Hash of all that has happened: equal for equal runs.
    pub fn trace_hash(&self) -> u64 {
        self.0.borrow().trace.hash()
    }

    /// The last lines of the trace, oldest first; empty unless `trace_text`.
    pub fn trace_text(&self) -> String {
        self.0.borrow().trace.text()
    }
}

#[cfg(test)]
mod tests;
