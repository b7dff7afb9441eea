//! `clustercore-linked-service`: files of 1 to 500 KiB from memory, for requests that come in messages.
//!
//! What a service is that links the library: it has no TCP port at all. `/1k` to `/500k` as nginx serves them in these measurements.

use clap::Parser;
use clustercore::job::LinkedService;
use clustercore::{EndpointConfig, Shard};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Answers requests in messages.
#[derive(Parser)]
struct Options {
    /// Where front ends send to.
    #[arg(long)]
    listen: SocketAddr,
    /// "yes": clear messages outside loopback.
    #[arg(long, default_value = "no")]
    insecure: String,
    /// End after so many seconds; 0: never.
    #[arg(long, default_value_t = 0.0)]
    seconds: f64,
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), clustercore::Error> {
    let options = Options::parse();
    let mut shard = Shard::builder().build()?;
    let mut config = EndpointConfig { insecure: options.insecure == "yes", ..EndpointConfig::default() };
    config.machine.message_bytes_max = clustercore::proto::job::MESSAGE_BYTES_MAX;
    config.machine.is_path_known = options.listen.ip().is_loopback();
    config.machine.acknowledgement_pause = Duration::from_micros(250);
    let endpoint = shard.open_endpoint(options.listen, config)?;
    println!("listening on {}", shard.endpoint_address(endpoint)?);
    let mut service = LinkedService::new(endpoint, 1 << 20, 4096);
    let files: Vec<(String, Vec<u8>)> = [1, 10, 100, 200, 300, 400, 500]
        .into_iter()
        .map(|kib| (format!("GET /{kib}k "), file(kib)))
        .collect();
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    let end = (options.seconds > 0.0).then(|| Instant::now() + Duration::from_secs_f64(options.seconds));
    while end.is_none_or(|end| Instant::now() < end) {
        shard.turn_for(end.map(|_| Duration::from_millis(100)))?;
        // What became of connections is nothing to us.
        shard.connection_events().for_each(drop);
        service.collect(&mut shard);
        while let Some(request) = service.next_request() {
            let found = files.iter().find(|(start, _)| request.bytes.starts_with(start.as_bytes()));
            service.answer(&mut shard, request.id, found.map_or(&missing, |(_, answer)| answer));
        }
    }
    Ok(())
}

/// A whole answer, with the head that nginx would give.
fn file(kib: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..1024usize).map(|index| (index * 167 + (index >> 8)) as u8).collect();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nServer: linked\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
         Accept-Ranges: bytes\r\n\r\n",
        1024 * kib
    )
    .into_bytes();
    for _ in 0..kib {
        answer.extend_from_slice(&block);
    }
    answer
}
