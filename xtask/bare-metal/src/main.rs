//! A program without an operating system's help: no standard library, no libc, its own heap.
//!
//! It exists to show that `clustercore-proto` needs only `core` and `alloc`. It runs as a plain Linux
//! process, since that is what the machine at hand can run, and uses the kernel only to say how it ended.
#![no_std]
#![no_main]

extern crate alloc;

mod heap;
mod memory;
mod process;

use alloc::vec::Vec;
use core::hint::black_box;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use clustercore_proto::forward::http::{Framing, HeadLimits, RequestContext, forward_request};
use clustercore_proto::policy::{Candidates, Load, Pick, Policy, Router, RouterConfig};
use clustercore_proto::random::Random;
use clustercore_proto::time::{Instant, Wheel};

/// Called by the entry point in `process.rs`; the returned number is the exit status: 0 when all is well,
/// else which part is not.
///
/// One use of a function that is compiled in the protocol crate itself draws its whole object file into
/// the link, unused functions included.
fn run() -> u8 {
    if !timers_fire() {
        return 1;
    }
    if !a_request_is_rewritten() {
        return 2;
    }
    if !the_idle_back_end_is_picked() {
        return 3;
    }
    0
}

fn timers_fire() -> bool {
    let mut random = Random::new(black_box(7));
    let mut wheel = Wheel::with_tick(Duration::from_millis(1), 64);
    for key in 0..TIMERS {
        wheel.insert(Instant::ZERO + Duration::from_micros(random.below(1_000_000)), key);
    }
    let (mut fired, mut sum) = (0, 0);
    wheel.advance(Instant::ZERO + Duration::from_secs(2), &mut |key| {
        fired += 1;
        sum += key;
    });
    fired == TIMERS && sum == TIMERS * (TIMERS - 1) / 2
}

fn a_request_is_rewritten() -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let context = RequestContext {
        client: address,
        local: address,
        secure: false,
        via: "clustercore",
        trust_forwarded: false,
        fields: &[],
    };
    let head = black_box(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    let mut out = Vec::new();
    match forward_request(head, &context, &HeadLimits::default(), &mut out) {
        Ok(Some(plan)) => {
            plan.framing == Framing::Length(3) && !plan.keep_alive && out.starts_with(b"POST / HTTP/1.1\r\n")
        }
        _ => false,
    }
}

fn the_idle_back_end_is_picked() -> bool {
    let config = RouterConfig { policy: Policy::LeastRequests, ..RouterConfig::default() };
    Router::new(config, 7).pick(&BusyBut(black_box(2))) == Pick::Backend(2)
}

/// Four back ends, of which one has nothing to do.
struct BusyBut(usize);

impl Candidates for BusyBut {
    fn len(&self) -> usize {
        4
    }

    fn load(&self, index: usize) -> Load {
        Load { in_flight: u32::from(index != self.0), cores: 1, weight: 1 }
    }

    fn is_eligible(&self, _index: usize) -> bool {
        true
    }

    fn warmth(&self, _index: usize) -> u32 {
        1000
    }
}

const TIMERS: u32 = 50;
