//! A conversation as a capture file, with what our own decoder says of each packet: for the test of the Wireshark dissector
//! (`cargo xtask check --only dissector`).

use super::net::Conditions;
use super::world::World;
use clustercore_proto::datagram::{Config, DataHeader, Frame, Frames, HEADER_BYTES, StreamId, StreamKind};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
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
    let Some(header) = DataHeader::read(packet) else {
        let kinds = [(0x61, "Init"), (0x63, "Cookie"), (0x65, "Accept"), (0x69, "Reset"), (0x67, "Versions")];
        let found = kinds.into_iter().find(|(kind, _)| *kind == packet[0]);
        return found.expect("a packet of ours").1.to_owned();
    };
    let mut line = format!("Data {}: ", header.number);
    if is_keyed {
        line.push_str("protected");
        return line;
    }
    let mut frames = Frames::new(&packet[HEADER_BYTES..packet.len() - 4]);
    let mut separator = "";
    while let Some(frame) = frames.next_frame().unwrap() {
        line.push_str(separator);
        separator = ", ";
        let written = match frame {
            Frame::Ping => write!(line, "ping"),
            Frame::Acknowledgement(frame) => write!(line, "acknowledgement {}", frame.largest),
            Frame::Window(credit) => write!(line, "window {credit}"),
            Frame::StreamWindow(stream, credit) => {
                write!(line, "stream window {} {credit}", stream.to_wire())
            }
            Frame::Messages(frame) => {
                write!(line, "messages {} {} {}", frame.stream.to_wire(), frame.first, frame.count)
            }
            Frame::Fragment(frame) => write!(
                line,
                "fragment {} {} {}/{}",
                frame.stream.to_wire(),
                frame.sequence,
                frame.offset,
                frame.total
            ),
            Frame::Latest(stream, sequence, _) => write!(line, "latest {} {sequence}", stream.to_wire()),
            Frame::Unreliable(stream, content) => {
                let count = clustercore_proto::datagram::messages(content).count();
                write!(line, "unreliable {} {count}", stream.to_wire())
            }
            Frame::Challenge(_) => write!(line, "challenge"),
            Frame::Response(_) => write!(line, "response"),
            Frame::Close { code, .. } => write!(line, "close {code}"),
        };
        written.unwrap();
    }
    line
}

/// Appends a record of the file format: IPv4, UDP, the packet. Source: draft-ietf-opsawg-pcap.
fn put_record(out: &mut Vec<u8>, index: usize, from: SocketAddr, to: SocketAddr, packet: &[u8]) {
    let len = 28 + packet.len() as u32;
    for word in [index as u32 / 1000, index as u32 % 1000 * 1000, len, len] {
        out.extend(word.to_le_bytes());
    }
    out.extend([0x45, 0]);
    out.extend((len as u16).to_be_bytes());
    // Checks of zero: not computed.
    out.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    for address in [from, to] {
        match address.ip() {
            IpAddr::V4(ip) => out.extend(ip.octets()),
            IpAddr::V6(_) => panic!("the simulator has addresses of IPv4"),
        }
    }
    out.extend(from.port().to_be_bytes());
    out.extend(to.port().to_be_bytes());
    out.extend((8 + packet.len() as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(packet);
}

/// Writes `clear` and `keyed`, each as `.pcap` and `.txt`, to the folder that `CLUSTERCORE_CAPTURES` names, if it names one.
#[test]
fn a_conversation_has_every_kind_of_packet_and_frame() {
    let folder = std::env::var_os("CLUSTERCORE_CAPTURES").map(PathBuf::from);
    for is_keyed in [false, true] {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65_535, 101u32] {
            file.extend(word.to_le_bytes());
        }
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
