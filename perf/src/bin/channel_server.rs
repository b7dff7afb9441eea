//! A channel server for the benchmarks: TCP, open to everybody, on one thread, until it is ended.

use clap::Parser;
use clustercore::channel::engine::access::Access;
use clustercore::channel::engine::hub::HubConfig;
use clustercore::channel::{ChannelServer, ChannelServerConfig};
use clustercore::io::DriverChoice;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves event channels over TCP.
#[derive(Parser)]
struct Options {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    clustercore_perf::socket::raise_descriptor_limit();
    match serve(Options::parse().listen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(listen: SocketAddr) -> clustercore::Result<()> {
    let hub = HubConfig { access: Access::open(), ..HubConfig::default() };
    let config = ChannelServerConfig { hub, ..ChannelServerConfig::default() };
    let mut server = ChannelServer::open(DriverChoice::Auto, Duration::ZERO, config)?;
    server.listen_tcp(listen)?;
    loop {
        server.turn_for(None)?;
    }
}
