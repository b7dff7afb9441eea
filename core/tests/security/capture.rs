//! A sealed conversation as a capture file with the log of its keys, and what our own decoder says of each packet: for the test of the
//! Wireshark dissector (`cargo xtask test --only dissector`).

use super::pipe::{Odds, Pipe};
use super::wireshark::{data_in_words, file_head, long_in_words, put_record};
use clustercore::security::{Access, EndpointSecurity, Mode, PacketKeys, PacketProtector, PrivateKey};
use clustercore_proto::datagram::{Config, DataHeader, HEADER_BYTES, Protector, StreamId, WireId};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// What opens the packets for each connection id, by the log of keys.
fn protectors(log: &str) -> BTreeMap<u64, PacketProtector> {
    let lines = log.lines().map(|line| {
        let [label, id, secret] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!((label, id.len(), secret.len()), ("CLUSTERCORE_1_SECRET_0", 16, 64));
        let mut bytes = Zeroizing::new([0; 32]);
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&secret[2 * place..2 * place + 2], 16).unwrap();
        }
        let keys = PacketKeys::new(bytes.clone(), bytes);
        (u64::from_str_radix(id, 16).unwrap(), PacketProtector::Secure(Box::new(keys)))
    });
    lines.collect()
}

/// Writes `sealed.pcap`, `.keys` and `.txt` to the folder that `CLUSTERCORE_CAPTURES` names, if it names one.
#[test]
fn a_capture_can_be_read_with_the_log_of_keys() {
    let folder = std::env::var_os("CLUSTERCORE_CAPTURES").map(PathBuf::from);
    let log_path = std::env::temp_dir().join(format!("clustercore-capture-{}.keys", std::process::id()));
    let keys = [(); 2].map(|()| PrivateKey::generate().unwrap());
    let server = *keys[1].public().as_bytes();
    let mut security =
        keys.map(|key| EndpointSecurity::new(Mode::Secure { key, access: Access::Any }, 4000).unwrap());
    security[0].log_keys(&log_path).unwrap();
    // Each direction changes its key several times.
    let config = Config { key_packets_max: 20, ..Config::default() };
    let mut pipe = Pipe::new(1, config, Odds::default(), security);
    let connection = pipe.connect(Some(server));
    assert!(pipe.run(Duration::from_secs(5), |pipe| pipe.accepted().is_some()));
    let (back, _) = pipe.accepted().unwrap();
    for round in 0..60 {
        pipe.ends[0]
            .endpoint
            .send(connection, StreamId::DEFAULT, &vec![round; 40 * usize::from(round)])
            .unwrap();
        pipe.ends[1].endpoint.send(back, StreamId::DEFAULT, &[round; 9]).unwrap();
        pipe.run(Duration::from_millis(20), |_| false);
    }
    let updates = pipe.ends.iter().map(|end| end.endpoint.stats().key_updates);
    assert!(updates.min().unwrap() >= 2, "the capture has several phases");
    let log = std::fs::read_to_string(&log_path).unwrap();
    std::fs::remove_file(&log_path).unwrap();
    let mut protectors = protectors(&log);
    let (mut file, mut lines) = (file_head(), String::new());
    for (index, (to, packet)) in std::mem::take(&mut pipe.seen).into_iter().enumerate() {
        put_record(&mut file, index, pipe.ends[1 - to].address, pipe.ends[to].address, &packet);
        let line = match DataHeader::read(&packet) {
            None => long_in_words(&packet).to_owned(),
            Some(header) => {
                let WireId(target) = header.target;
                let mut opened = packet.clone();
                let protector = protectors.get_mut(&target).expect("a secret for that id");
                assert!(protector.open(header.number, header.phase, &mut opened), "packet {index}");
                data_in_words(&header, &opened[HEADER_BYTES..opened.len() - protector.trailer_bytes()])
            }
        };
        writeln!(lines, "{line}").unwrap();
    }
    assert!(lines.contains("messages") && lines.contains("Accept"), "{lines}");
    if let Some(folder) = folder {
        std::fs::write(folder.join("sealed.pcap"), &file).unwrap();
        std::fs::write(folder.join("sealed.keys"), &log).unwrap();
        std::fs::write(folder.join("sealed.txt"), &lines).unwrap();
    }
}
