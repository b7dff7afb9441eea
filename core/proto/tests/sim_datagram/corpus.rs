//! The fuzz targets of datagrams as plain tests: their corpus, and inputs from fixed seeds.

use super::datagram::{packet, pair, peer};
use super::replay::{generate, replay};
use clustercore_proto::random::Random;

#[test]
fn corpus_of_packets() {
    replay("datagram_packet", packet::check);
}

#[test]
fn corpus_of_a_hostile_peer() {
    replay("datagram_peer", peer::check);
}

#[test]
fn corpus_of_two_endpoints() {
    replay("datagram_pair", |input| pair::check(input) > 0);
}

#[test]
fn any_packet_is_read_or_refused() {
    let mut read = 0;
    generate(50_000, 200, |input| {
        // As it is, and as a packet of each kind.
        packet::check(input);
        for kind in [0x40, 0x61, 0x63, 0x65, 0x67, 0x69, 0x6b] {
            let mut input = input.to_vec();
            if let Some(first) = input.first_mut() {
                *first = kind;
            }
            read += u32::from(packet::check(&input));
        }
    });
    assert!(read > 1000, "{read}");
}

/// Steps with frames that are nearly right: what a plain generator of bytes does not find.
fn steps(random: &mut Random) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..random.below(200) {
        if random.chance(300) {
            input.extend([random.below(256) as u8, random.below(256) as u8, random.below(20) as u8]);
            continue;
        }
        let mut frames = Vec::new();
        for _ in 0..1 + random.below(3) {
            frame(random, &mut frames);
        }
        input.push((random.below(4) << 6 | if random.chance(200) { 3 } else { 0 }) as u8);
        input.extend((frames.len() as u16).to_le_bytes());
        input.extend(frames);
    }
    input
}

fn frame(random: &mut Random, out: &mut Vec<u8>) {
    let stream = random.below(8) as u8 & !2;
    let first = random.below(30) as u8;
    match random.below(6) {
        0 => out.extend([4, random.below(128) as u8]),
        1..=2 => {
            let lens: Vec<u8> = (0..1 + random.below(6)).map(|_| random.below(20) as u8).collect();
            let content: Vec<u8> =
                lens.iter().flat_map(|&len| std::iter::once(len).chain((0..len).map(|_| 7))).collect();
            out.extend([6, stream & !2, first, lens.len() as u8, 0, content.len() as u8, 0]);
            out.extend(content);
        }
        3 => {
            // The totals follow from the sequence, mostly.
            let total = if random.chance(950) { 20 + first % 8 } else { random.below(60) as u8 };
            let offset = random.below(u64::from(total)) as u8;
            let len = (1 + random.below(20) as u8).min(total - offset).max(1);
            out.extend([7, stream & !2, first, total, offset, len, 0]);
            out.extend(vec![7; usize::from(len)]);
        }
        4 => {
            out.extend([8, 2 + 4 * random.below(2) as u8, first, 3, 0, 1, 2, 3]);
        }
        _ => out.extend([9, 3, 4, 0, 1, 9, 1, 9]),
    }
}

#[test]
fn a_hostile_peer_harms_nobody_but_itself() {
    generate(3000, 600, |input| {
        peer::check(input);
    });
    let survived = (0..3000).filter(|&seed| peer::check(&steps(&mut Random::new(seed)))).count();
    assert!((100..2900).contains(&survived), "some are caught, some are within their rights: {survived}");
}

#[test]
fn two_endpoints_come_to_rest_whatever_happened() {
    let mut delivered = 0;
    generate(400, 200, |input| delivered += pair::check(input));
    assert!(delivered > 1000, "{delivered}");
}
