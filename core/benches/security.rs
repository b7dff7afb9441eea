//! What protecting one packet costs: JSON lines, one per case, in nanoseconds per packet of 1,400 bytes.
//!
//! Cases that are compared take turns, so that a change of the machine's speed hits all; turns are short, so that another program's hits few. `cargo bench -p clustercore --bench security`;
//! with `-- --quick` a few rounds only, to see that it runs.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use clustercore::proto::datagram::{Protector, Security};
use clustercore::security::{Access, EndpointSecurity, Mode, PacketProtector, PrivateKey, crc32c};

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let bench = Bench { runs: if quick { 3 } else { 501 }, rounds: if quick { 100 } else { 400 } };
    let mut packet = [7; PACKET_BYTES];

    let bare = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[1; 16]).expect("a key of 16 bytes"));
    let (mut client, mut server) = connection();
    let (mut bare_number, mut number) = (0, 0);
    let mut bare_packet = packet;
    bench.compare(&mut [
        ("bare_seal_open", &mut || {
            bare_number += 1;
            let nonce = |number: u64| {
                let mut bytes = [0; 12];
                bytes[4..].copy_from_slice(&number.to_be_bytes());
                Nonce::assume_unique_for_key(bytes)
            };
            let (header, sealed) = bare_packet.split_at_mut(16);
            let (content, tag_room) = sealed.split_at_mut(PACKET_BYTES - 32);
            let tag = bare.seal_in_place_separate_tag(nonce(bare_number), Aad::from(&*header), content);
            tag_room.copy_from_slice(tag.expect("a short packet").as_ref());
            black_box(&mut *sealed);
            let opened = bare.open_in_place(nonce(bare_number), Aad::from(&*header), sealed);
            assert!(opened.is_ok());
            usize::from(sealed[9])
        }),
        ("secure_seal_open", &mut || {
            number += 1;
            client.seal(number, &mut packet);
            black_box(&mut packet);
            assert!(server.open(number, false, &mut packet));
            usize::from(packet[25])
        }),
    ]);

    let content = [7; PACKET_BYTES];
    let mut clear = PacketProtector::Clear;
    let mut clear_packet = content;
    bench.compare(&mut [
        ("crc32c", &mut || crc32c::crc32c(black_box(&content)) as usize),
        ("crc_fast", &mut || {
            crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, black_box(&content)) as usize
        }),
        ("chosen", &mut || crc32c(black_box(&content)) as usize),
        ("clear_seal_open", &mut || {
            clear.seal(1, &mut clear_packet);
            assert!(clear.open(1, false, black_box(&mut clear_packet)));
            usize::from(clear_packet[1399])
        }),
    ]);
    let short = [7; 64];
    bench.compare(&mut [
        ("crc32c_64", &mut || crc32c::crc32c(black_box(&short)) as usize),
        ("crc_fast_64", &mut || {
            crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, black_box(&short)) as usize
        }),
    ]);

    let bench = Bench { runs: bench.runs, rounds: 1 };
    bench.compare(&mut [("handshake_both_ends", &mut || {
        let (client, _) = connection();
        client.trailer_bytes()
    })]);
}

/// Both ends of a connection in secure mode.
fn connection() -> (PacketProtector, PacketProtector) {
    let key = PrivateKey::generate().expect("randomness");
    let public = *key.public().as_bytes();
    let mut security =
        EndpointSecurity::new(Mode::Secure { key, access: Access::Any }, 1).expect("randomness");
    let (mut pending, message) = security.initiate(Some(public), &[0; 80]).expect("a good key");
    let (server, answer) = security.respond(&message, &[0; 80]).expect("a good message");
    let client = security.finish(&mut pending, &answer).expect("a good answer");
    (client.protector, server.protector)
}

struct Bench {
    runs: usize,
    rounds: usize,
}

type Case<'a> = (&'a str, &'a mut dyn FnMut() -> usize);

impl Bench {
    /// Prints the time per call of each case, and its ratio to the first: the median over runs that lie side by side.
    fn compare(&self, cases: &mut [Case<'_>]) {
        let mut checksums = vec![0usize; cases.len()];
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
        for _ in 0..self.runs {
            for (index, (_, work)) in cases.iter_mut().enumerate() {
                let start = Instant::now();
                for _ in 0..self.rounds {
                    checksums[index] = checksums[index].wrapping_add(work());
                }
                times[index].push(start.elapsed().as_nanos() as f64 / self.rounds as f64);
            }
        }
        for (index, (name, _)) in cases.iter().enumerate() {
            let ratios = times[index].iter().zip(&times[0]).map(|(own, first)| own / first);
            println!(
                "{{\"bench\":\"security\",\"case\":\"{name}\",\"unit\":\"ns\",\"median\":{:.1},\"min\":{:.1},\
                 \"ratio\":{:.3},\"runs\":{},\"checksum\":{}}}",
                median(times[index].iter().copied()),
                times[index].iter().copied().fold(f64::MAX, f64::min),
                median(ratios),
                self.runs,
                checksums[index],
            );
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const PACKET_BYTES: usize = 1400;
