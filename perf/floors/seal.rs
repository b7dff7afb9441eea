//! Floor: AES-128-GCM of aws-lc-rs over packets of one length, sealed and opened in place, and nothing else.
//!
//! Prints one JSON line: CPU nanoseconds to seal and to open one packet. What secure messages cost beyond clear ones is judged by it.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use clap::Parser;
use clustercore_perf::cpu;
use serde_json::json;
use std::time::{Duration, Instant};

/// Seals and opens packets as fast as one core does.
#[derive(Parser)]
struct Options {
    /// Bytes of a packet, header and tag included.
    #[arg(long, default_value_t = 1472)]
    packet: usize,
    /// How long.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

fn main() {
    let options = Options::parse();
    let packet = options.packet.max(HEADER + TAG + 1);
    let key = UnboundKey::new(&AES_128_GCM, &[7; 16]).expect("a key of 16 bytes");
    let key = LessSafeKey::new(key);
    // As many packets as a train has: they are in the cache when they are sealed, and not all in the first level of it.
    let mut train = vec![0x5a_u8; packet * PACKETS];
    let (mut seal_ns, mut open_ns, mut packets, mut number) = (0, 0, 0u64, 0u64);
    let until = Instant::now() + Duration::from_secs_f64(options.seconds);
    while Instant::now() < until {
        let started = cpu::thread_ns();
        for (index, packet) in (0u64..).zip(train.chunks_mut(packet)) {
            let (header, rest) = packet.split_at_mut(HEADER);
            let (content, tag_room) = rest.split_at_mut(rest.len() - TAG);
            let sealed = key.seal_in_place_separate_tag(nonce(number + index), Aad::from(&*header), content);
            tag_room.copy_from_slice(sealed.expect("a short packet").as_ref());
        }
        let sealed = cpu::thread_ns();
        for (index, packet) in (0u64..).zip(train.chunks_mut(packet)) {
            let (header, sealed) = packet.split_at_mut(HEADER);
            let opened = key.open_in_place(nonce(number + index), Aad::from(&*header), sealed);
            opened.expect("what was sealed under the same number");
        }
        let opened = cpu::thread_ns();
        seal_ns += sealed - started;
        open_ns += opened - sealed;
        packets += PACKETS as u64;
        number += PACKETS as u64;
    }
    let per_packet = |ns: u64| ns as f64 / packets.max(1) as f64;
    let checksum: u64 = train.iter().map(|byte| u64::from(*byte)).sum();
    let report = json!({
        "packet": packet,
        "packets": packets,
        "seal_ns": per_packet(seal_ns),
        "open_ns": per_packet(open_ns),
        "seal_open_ns": per_packet(seal_ns + open_ns),
        "checksum": format!("{checksum:016x}"),
    });
    println!("{report}");
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

const HEADER: usize = 16;
const TAG: usize = 16;
const PACKETS: usize = 44;
