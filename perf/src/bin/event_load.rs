//! The load driver of event distribution; see `clustercore_perf::fan_out`.

use clap::Parser;
use clustercore_perf::fan_out::connection::LoadError;
use clustercore_perf::fan_out::driver::Driver;
use clustercore_perf::fan_out::plan::{Plan, Speech};
use clustercore_perf::fan_out::protocol::{Durable, Protocol};
use clustercore_perf::fan_out::{append, bare, channel, mqtt, nats, redis};
use clustercore_perf::socket;
use serde_json::json;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let plan = Plan::parse();
    if let Err(error) = plan.check() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    socket::raise_descriptor_limit();
    let outcome = match (plan.protocol, plan.in_flight) {
        (Speech::Redis, Some(in_flight)) => keep(&plan, redis::Redis, in_flight),
        (other, Some(_)) => {
            eprintln!("--in-flight: {other:?} has no acknowledgement that an event is on disk; Redis has");
            return ExitCode::FAILURE;
        }
        (Speech::Bare, _) => drive(&plan, bare::Bare),
        (Speech::Redis, _) => drive(&plan, redis::Redis),
        (Speech::Nats, _) => drive(&plan, nats::Nats),
        (Speech::Mqtt, _) => drive(&plan, mqtt::Mqtt { run: std::process::id() }),
        (Speech::Clustercore, _) => drive(&plan, channel::Channel),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn keep(plan: &Plan, protocol: impl Durable, in_flight: usize) -> Result<(), LoadError> {
    println!("{}", append::run(plan, protocol, in_flight)?);
    Ok(())
}

fn drive(plan: &Plan, protocol: impl Protocol) -> Result<(), LoadError> {
    let mut driver = Driver::connect(plan, protocol)?;
    if plan.hold {
        println!("{}", json!({ "held": plan.subscribers }));
        return driver.hold();
    }
    println!("{}", driver.run()?);
    Ok(())
}
