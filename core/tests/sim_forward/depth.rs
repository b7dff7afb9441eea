//! Requests that we answer ourselves, thousands in one piece: on a small stack, since an embedding program chooses its own.

use crate::{Front, ip};
use clustercore::Shard;
use clustercore::forward::ForwarderConfig;
use clustercore::io::sim::{SimConfig, SimNet};
use clustercore::io::{Chunk, Driver, Event, ListenOptions, StreamOptions};
use std::net::SocketAddr;
use std::time::Duration;

#[test]
fn thousands_of_pipelined_requests_without_a_back_end_are_answered_one_by_one() {
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let answers = small.spawn(|| answers(REQUESTS)).expect("a thread").join().expect("the stack holds");
    assert_eq!(answers, REQUESTS);
}

fn answers(requests: usize) -> usize {
    let net = SimNet::new(SimConfig { segment_bytes_max: 60_000, ..SimConfig::default() });
    let server = SocketAddr::new(ip(1), 80);
    let mut shard = Shard::with_driver(net.host(ip(1)), "sim", 1);
    let web = shard.add_forwarder(ForwarderConfig::default()).expect("a good configuration");
    shard.listen(web, server, &ListenOptions::default()).expect("a fresh host");
    let mut front = Front { shard };
    let mut client = net.host(ip(2));
    let stream = client.connect(server, &StreamOptions::default()).expect("there is room");
    client.send(stream, Chunk::Owned(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(requests)));
    let mut received = Vec::new();
    let mut inbox = Vec::new();
    for _ in 0..1_000_000 {
        client.turn(Some(Duration::ZERO), &mut inbox).expect("the simulated driver goes on");
        for event in inbox.drain(..) {
            match event {
                Event::Connected { .. } => client.recv(stream),
                Event::Data { lease, .. } => {
                    received.extend_from_slice(client.bytes(&lease));
                    client.release(lease);
                }
                _ => {}
            }
        }
        front.shard.turn().expect("the simulated driver goes on");
        front.shard.events().for_each(drop);
        if received.len() >= requests * ANSWER_BYTES || (!net.step() && !client.pending()) {
            break;
        }
    }
    received.windows(12).filter(|window| window == b"HTTP/1.1 503").count()
}

const REQUESTS: usize = 5000;
const ANSWER_BYTES: usize = 71;
