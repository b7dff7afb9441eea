//! A forwarder from the command line: one shard, one service, fixed back ends.
//!
//! ```text
//! clustercore-forward --listen 127.0.0.1:8080 --backend 127.0.0.2:80 --backend 127.0.0.3:80
//!     [--job 127.0.0.2:7000] [--job-insecure yes] [--mode http|tcp] [--policy p2c|levels|rr|least] [--medium-percent N --high-percent N]
//!     [--driver auto|uring|epoll] [--spin-us N] [--seconds N]
//! ```
//!
//! `--job` names the job handler of the back end before it: requests go there in messages. `--job-insecure yes` lets them go in clear outside
//! loopback.

use clustercore::forward::{BackendConfig, ForwarderConfig, JobAddress, Mode};
use clustercore::io::{DriverChoice, ListenOptions};
use clustercore::proto::policy::{Policy, Thresholds};
use clustercore::{Shard, counters};
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn main() {
    if let Err(error) = run() {
        eprintln!("clustercore-forward: {error}");
        std::process::exit(2);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut listen: SocketAddr = "127.0.0.1:8080".parse()?;
    let mut backends: Vec<BackendConfig> = Vec::new();
    let mut driver = DriverChoice::Auto;
    let mut spin = Duration::ZERO;
    let mut end: Option<Instant> = None;
    let mut config = ForwarderConfig { name: "forward".into(), health: None, ..ForwarderConfig::default() };
    // Fixed back ends and no load manager: nobody is ever too busy.
    config.router.thresholds = Thresholds { medium: u32::MAX - 1, high: u32::MAX };
    config.router.policy = Policy::PowerOfTwo;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--listen" => listen = value.parse()?,
            "--backend" => backends.push(BackendConfig::new(value.parse()?)),
            "--job" => {
                let backend = backends.last_mut().ok_or("--job without a --backend before it")?;
                backend.job = Some(JobAddress { address: value.parse()?, key: None });
            }
            "--job-insecure" => config.job_insecure = value == "yes",
            "--driver" => driver = value.parse()?,
            "--spin-us" => spin = Duration::from_micros(value.parse()?),
            "--seconds" => end = Some(Instant::now() + Duration::from_secs(value.parse()?)),
            "--mode" if value == "tcp" => config.mode = Mode::Tcp,
            "--mode" => config.mode = Mode::Http,
            "--medium-percent" => config.router.thresholds.medium = value.parse()?,
            "--high-percent" => config.router.thresholds.high = value.parse()?,
            "--policy" => {
                config.router.policy = match value.as_str() {
                    "p2c" => Policy::PowerOfTwo,
                    "levels" => Policy::Levels,
                    "rr" => Policy::RoundRobin,
                    "least" => Policy::LeastRequests,
                    _ => {
                        return Err(
                            format!("policy is {value:?}; it must be p2c, levels, rr or least").into()
                        );
                    }
                }
            }
            _ => return Err(format!("{name} is not an option").into()),
        }
    }
    let mut shard = Shard::builder().driver(driver).spin(spin).build()?;
    let service = shard.add_forwarder(config)?;
    for backend in &backends {
        shard.add_backend(service, backend.clone())?;
    }
    let address = shard.listen(service, listen, &ListenOptions::default())?;
    println!("listening on {address}, {} back ends, driver {}", backends.len(), shard.driver_report());
    while end.is_none_or(|end| Instant::now() < end) {
        shard.turn_for(end.map(|_| Duration::from_millis(100)))?;
        for (_, event) in shard.events() {
            eprintln!("{event:?}");
        }
    }
    for (counter, label, unit, _) in counters::COUNTERS {
        let value = shard.counter(service, *counter)?;
        if value > 0 {
            println!("{label} {value} {unit}");
        }
    }
    Ok(())
}
