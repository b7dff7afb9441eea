//! Captures as files, and packets in the words of the Wireshark dissector.

use clustercore_proto::datagram::{DataHeader, Frame, Frames};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// The summary of a packet without a connection.
pub fn long_in_words(packet: &[u8]) -> &'static str {
    let kinds = [(0x61, "Init"), (0x63, "Cookie"), (0x65, "Accept"), (0x69, "Reset"), (0x67, "Versions")];
    kinds.into_iter().find(|(kind, _)| *kind == packet[0]).expect("a packet of ours").1
}

/// The summary of a data packet whose frames can be read.
pub fn data_in_words(header: &DataHeader, frames: &[u8]) -> String {
    let mut line = format!("Data {}: ", header.number);
    let mut frames = Frames::new(frames);
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

/// What a capture begins with: packets of IP, times in microseconds. Source: draft-ietf-opsawg-pcap.
pub fn file_head() -> Vec<u8> {
    [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65_535, 101u32].into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Appends a record of the file format: IPv4, UDP, the packet. Source: draft-ietf-opsawg-pcap.
pub fn put_record(out: &mut Vec<u8>, index: usize, from: SocketAddr, to: SocketAddr, packet: &[u8]) {
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
