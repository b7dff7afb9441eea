//! What idle peers cost in memory: a listener that says how many it has and how much it has allocated, and a caller that has many.
//!
//! ```text
//! clustercore-idle-peers --listen 127.0.0.1:7000           prints a JSON line whenever the number of peers stands still
//! clustercore-idle-peers --to 127.0.0.1:7000 --count 10000 connects, prints "connected", and stays until it is told to end
//! ```
//!
//! What is allocated is counted by the allocator itself; what is resident is the runner's to read.

use clap::Parser;
use clustercore::Shard;
use clustercore::messages::EndpointConfig;
use clustercore::proto::datagram::{Config, Event};
use clustercore::security::{Access, Mode, PrivateKey, PublicKey};
use serde_json::json;
use std::alloc::{GlobalAlloc, Layout};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// The allocator of the other programs, with a count of the bytes that are allocated.
struct Counting(mimalloc::MiMalloc);

static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

// SAFETY: everything is passed on to an allocator that keeps the contract; counting changes nothing about it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Relaxed: a statistic, read by the thread that allocates.
        LIVE_BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // Relaxed: as above.
        LIVE_BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { self.0.dealloc(pointer, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(mimalloc::MiMalloc);

/// Has many peers that say nothing.
#[derive(Parser)]
struct Options {
    /// Be called, on this address.
    #[arg(long, required_unless_present = "to")]
    listen: Option<SocketAddr>,
    /// Call, at this address.
    #[arg(long, conflicts_with = "listen")]
    to: Option<SocketAddr>,
    /// Connections of the caller.
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// With keys: the listener writes its public key to this file, the caller reads it there.
    #[arg(long)]
    key: Option<PathBuf>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    match options.to {
        Some(to) => call(&options, to),
        None => listen(&options),
    }
}

fn config(key: Option<PrivateKey>, connections_max: usize) -> EndpointConfig {
    let machine = Config {
        connections_max,
        idle_timeout: Duration::from_secs(600),
        // All come within seconds, from one address.
        answers_per_second: 1_000_000,
        handshake_timeout: Duration::from_secs(30),
        ..Config::default()
    };
    EndpointConfig {
        machine,
        security: key.map(|key| Mode::Secure { key, access: Access::Any }),
        ..EndpointConfig::default()
    }
}

fn listen(options: &Options) -> Result<(), Failure> {
    let address = options.listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
    let key = options.key.as_ref().map(|_| PrivateKey::generate()).transpose()?;
    if let (Some(path), Some(key)) = (&options.key, &key) {
        std::fs::write(path, key.public().to_string())?;
    }
    let mut shard = Shard::builder().build()?;
    let endpoint = shard.open_endpoint(address, config(key, 65_536))?;
    println!("listening on {}", shard.endpoint_address(endpoint)?);
    let (mut peers, mut told, mut changed) = (0i64, -1, Instant::now());
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        shard.turn_for(Some(Duration::from_millis(100)))?;
        for (_, event) in shard.connection_events() {
            peers += match event {
                Event::Accepted { .. } => 1,
                Event::Gone { .. } => -1,
                _ => continue,
            };
            changed = Instant::now();
        }
        if peers != told && changed.elapsed() > STILL_AFTER {
            told = peers;
            // Relaxed: this thread is the one that allocates.
            println!("{}", json!({ "peers": peers, "live_bytes": LIVE_BYTES.load(Ordering::Relaxed) }));
        }
    }
    Ok(())
}

fn call(options: &Options, to: SocketAddr) -> Result<(), Failure> {
    let key = options.key.as_ref().map(|_| PrivateKey::generate()).transpose()?;
    let server = match &options.key {
        Some(path) => {
            let text = std::fs::read_to_string(path)?;
            Some(*PublicKey::parse(text.trim())?.as_bytes())
        }
        None => None,
    };
    let mut shard = Shard::builder().build()?;
    let endpoint = shard.open_endpoint((Ipv4Addr::LOCALHOST, 0).into(), config(key, options.count.max(1)))?;
    let (mut begun, mut connected) = (0, 0);
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        // Few at a time: the listener's half-open ones have a bound.
        while begun < options.count && begun - connected < AT_A_TIME {
            shard.connect(endpoint, to, server)?;
            begun += 1;
        }
        shard.turn_for(Some(Duration::from_millis(100)))?;
        for (_, event) in shard.connection_events() {
            match event {
                Event::Connected { .. } => connected += 1,
                Event::Gone { reason, .. } => return Err(format!("a connection is over: {reason:?}").into()),
                _ => continue,
            }
            if connected == options.count {
                println!("connected");
            }
        }
    }
    Ok(())
}

const AT_A_TIME: usize = 64;
const STILL_AFTER: Duration = Duration::from_millis(1500);
/// Nobody waits longer.
const LIMIT: Duration = Duration::from_secs(300);
