//! A conversation as a capture file, with what our own decoder says of each packet: for the test of the Wireshark dissector
//! (`cargo xtask check --only dissector`).

use super::net::Conditions;
use super::wireshark::{data_in_words, file_head, long_in_words, put_record};
use super::world::World;
use clustercore_proto::datagram::{Config, DataHeader, HEADER_BYTES, StreamId, StreamKind};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What was sent in a conversation with everything in it.
fn conversation(is_keyed: bool) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
    let config = Config { receive_window: 100_000, stream_window: 50_000, ..small() };
    let mut world = World::new(5, 2, config, Conditions::default(), is_keyed);
    world.net.record = Some(Vec::new());
    let link = world.connect(0, 1).unwrap();
    world.run_for(Duration::from_millis(20));
    let kinds = [StreamKind::Ordered, StreamKind::Unordered, StreamKind::Latest, StreamKind::Unreliable];
    for (number, kind) in kinds.into_iter().enumerate() {
        let stream = StreamId::new(number as u32 * 40, kind).unwrap();
        for len in [0, 10, 300] {
            world.send(link, 0, stream, len).unwrap();
            world.send(link, 1, stream, len).unwrap();
        }
        world.run_for(Duration::from_millis(20));
    }
    for _ in 0..8 {
        world.send(link, 0, StreamId::DEFAULT, 7000).unwrap();
        world.run_for(Duration::from_millis(20));
    }
    world.nodes[0].address.set_port(30_000);
    world.send(link, 0, StreamId::DEFAULT, 5).unwrap();
    world.run_for(Duration::from_millis(50));
    world.crash(1);
    world.send(link, 0, StreamId::DEFAULT, 50).unwrap();
    world.run_for(Duration::from_millis(50));
    let again = world.connect(0, 1).unwrap();
    world.run_for(Duration::from_millis(20));
    world.close(again, 0, false);
    world.run_for(Duration::from_millis(500));
    world.net.record.take().unwrap()
}

fn small() -> Config {
    Config { message_bytes_max: 10_000, send_buffer_bytes: 100_000, ..Config::default() }
}

/// In the words of the dissector.
fn summary(packet: &[u8], is_keyed: bool) -> String {
    match DataHeader::read(packet) {
        None => long_in_words(packet).to_owned(),
        Some(header) if is_keyed => format!("Data {}: protected", header.number),
        Some(header) => data_in_words(&header, &packet[HEADER_BYTES..packet.len() - 4]),
    }
}

/// Writes `clear` and `keyed`, each as `.pcap` and `.txt`, to the folder that `CLUSTERCORE_CAPTURES` names, if it names one.
#[test]
fn a_conversation_has_every_kind_of_packet_and_frame() {
    let folder = std::env::var_os("CLUSTERCORE_CAPTURES").map(PathBuf::from);
    for is_keyed in [false, true] {
        let mut file = file_head();
        let mut lines = String::new();
        for (index, (from, to, packet)) in conversation(is_keyed).into_iter().enumerate() {
            put_record(&mut file, index, from, to, &packet);
            writeln!(lines, "{}", summary(&packet, is_keyed)).unwrap();
        }
        let words: &[&str] = if is_keyed {
            &["Init", "Cookie", "Accept", "Reset", "protected"]
        } else {
            &[
                "Init",
                "Cookie",
                "Accept",
                "Reset",
                "ping",
                "acknowledgement",
                " window",
                "stream window",
                "messages",
                "fragment",
                "latest",
                "unreliable",
                "challenge",
                "response",
                "close 300",
            ]
        };
        for word in words {
            assert!(lines.contains(word), "no {word} in\n{lines}");
        }
        if let Some(folder) = &folder {
            let name = if is_keyed { "keyed" } else { "clear" };
            std::fs::write(folder.join(name).with_extension("pcap"), &file).unwrap();
            std::fs::write(folder.join(name).with_extension("txt"), &lines).unwrap();
        }
    }
}
