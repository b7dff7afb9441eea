//! One end of a transfer between two programs, which may be written in different languages: see `tests/matrix`.
//!
//! ```text
//! clustercore-peer receive               prints its address, then what it has received
//! clustercore-peer send 127.0.0.1:9000   prints what it has sent
//! ```
//!
//! Message `n` of 500 has `n * n % 3000` bytes, but every hundredth has 100,000; byte `i` is the lowest one of `n * 31 + i * 7`.
//! The words on the sum are those of 64-bit FNV-1a over all bytes in their order.

use clustercore::proto::datagram::{Event, GoneReason, SendError, StreamId};
use clustercore::{EndpointConfig, Shard};
use std::error::Error;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["receive"] => receive(),
        ["send", address] => send(address),
        _ => Err("usage: clustercore-peer receive | send IP:PORT".into()),
    }
}

fn receive() -> Result<(), Box<dyn Error>> {
    let mut shard = Shard::builder().build()?;
    let endpoint = shard.open_endpoint("127.0.0.1:0".parse()?, EndpointConfig::default())?;
    println!("{}", shard.endpoint_address(endpoint)?);
    let (mut count, mut sum) = (0, FNV_OFFSET);
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        shard.turn_within(Some(Duration::from_millis(100)))?;
        for run in shard.messages() {
            for (sequence, payload) in (run.first..).zip(run.iter()) {
                if sequence != count {
                    return Err(format!("message {sequence} came in the place of {count}").into());
                }
                (count, sum) = (count + 1, add(sum, payload));
            }
        }
        for (_, event) in shard.connection_events() {
            if let Event::Gone { reason, .. } = event {
                let GoneReason::ClosedByPeer { code, text } = reason else {
                    return Err(format!("{reason:?}").into());
                };
                println!("{count} messages, sum {sum:016x}, end {code} {}", String::from_utf8_lossy(&text));
                return Ok(());
            }
        }
    }
    Err(format!("after {count} messages nothing came for {LIMIT:?}").into())
}

fn send(address: &str) -> Result<(), Box<dyn Error>> {
    let mut shard = Shard::builder().build()?;
    let endpoint = shard.open_endpoint("127.0.0.1:0".parse()?, EndpointConfig::default())?;
    let connection = shard.connect(endpoint, address.parse()?, None)?;
    let (mut sent, mut sum, mut is_connected) = (0, FNV_OFFSET, false);
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        shard.turn_within(Some(Duration::from_millis(100)))?;
        for (_, event) in shard.connection_events() {
            match event {
                Event::Connected { .. } => is_connected = true,
                Event::Gone { reason: GoneReason::Closed, unconfirmed, .. } if unconfirmed.is_empty() => {
                    println!("{sent} messages, sum {sum:016x}");
                    return Ok(());
                }
                Event::Gone { reason, .. } => return Err(format!("{reason:?}").into()),
                _ => {}
            }
        }
        while is_connected && sent < MESSAGES {
            let payload = payload(sent);
            match shard.send(endpoint, connection, StreamId::DEFAULT, &payload) {
                Ok(_) => (sent, sum) = (sent + 1, add(sum, &payload)),
                Err(SendError::WouldBlock) => break,
                Err(error) => return Err(clustercore::Error::from(error).into()),
            }
            if sent == MESSAGES {
                shard.close_connection(endpoint, connection, 300, "done", true)?;
            }
        }
    }
    Err(format!("{sent} messages were sent within {LIMIT:?}").into())
}

fn payload(number: usize) -> Vec<u8> {
    let len = if number % 100 == 99 { 100_000 } else { number * number % 3000 };
    (0..len).map(|place| (number * 31 + place * 7) as u8).collect()
}

fn add(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

const MESSAGES: usize = 500;
const LIMIT: Duration = Duration::from_secs(30);
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
