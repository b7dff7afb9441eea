use super::*;
use clustercore_proto::datagram::{DataHeader, HEADER_BYTES, WireId};
use proptest::prelude::*;

/// Both ends of a connection.
fn pair() -> [PacketProtector; 2] {
    let secrets = || (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
    let ((a, b), (c, d)) = (secrets(), secrets());
    [PacketKeys::new(a, b), PacketKeys::new(d, c)].map(|keys| PacketProtector::Secure(Box::new(keys)))
}

/// A packet as the machine makes it: header, frames, sealed.
fn sealed(by: &mut PacketProtector, number: u64, content: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; HEADER_BYTES];
    let header = DataHeader { phase: by.phase(), source_shard: 3, number, target: WireId(0x1234_5678) };
    header.write(&mut packet);
    packet.extend_from_slice(content);
    packet.resize(packet.len() + by.trailer_bytes(), 0);
    by.seal(number, &mut packet);
    packet
}

/// The content of a packet, when it opens.
fn opened(by: &mut PacketProtector, packet: &[u8]) -> Option<Vec<u8>> {
    let header = DataHeader::read(packet)?;
    let mut packet = packet.to_vec();
    let is_good = by.open(header.number, header.phase, &mut packet);
    is_good.then(|| packet[HEADER_BYTES..packet.len() - by.trailer_bytes()].to_vec())
}

fn reopened(by: &mut PacketProtector, packet: &[u8]) -> Option<Vec<u8>> {
    let header = DataHeader::read(packet)?;
    let mut packet = packet.to_vec();
    let is_good = by.reopen(header.number, header.phase, &mut packet);
    is_good.then(|| packet[HEADER_BYTES..packet.len() - by.trailer_bytes()].to_vec())
}

fn keys(of: &PacketProtector) -> &PacketKeys {
    match of {
        PacketProtector::Secure(keys) => keys,
        PacketProtector::Clear => panic!("in clear mode"),
    }
}

#[test]
fn a_sealed_packet_opens_at_the_other_end_only() {
    let [mut a, mut b] = pair();
    let packet = sealed(&mut a, 7, b"content");
    assert!(!packet.windows(7).any(|window| window == b"content"), "what is sealed cannot be read");
    assert_eq!(opened(&mut b, &packet).unwrap(), b"content");
    assert_eq!(opened(&mut a, &packet), None, "the two directions have keys of their own");
    assert_eq!(opened(&mut PacketProtector::Clear, &packet), None);
    let other = sealed(&mut a, 8, b"content");
    assert_ne!(packet[HEADER_BYTES..], other[HEADER_BYTES..], "the number is part of the nonce");
}

#[test]
fn every_flipped_bit_is_noticed() {
    for (mut seal, mut open) in [pair().into(), (PacketProtector::Clear, PacketProtector::Clear)] {
        let packet = sealed(&mut seal, 99, b"some frames of a packet");
        for bit in 0..packet.len() * 8 {
            let mut changed = packet.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(&mut open, &changed), None, "bit {bit}");
        }
        assert!(opened(&mut open, &packet).is_some(), "and nothing of it did harm");
    }
}

#[test]
fn another_number_or_length_does_not_open() {
    let [mut a, mut b] = pair();
    let packet = sealed(&mut a, 5, b"content");
    let mut copy = packet.clone();
    assert!(!b.open(6, false, &mut copy), "the number of the nonce, not only that of the header");
    for len in 0..packet.len() {
        let mut short = packet[..len].to_vec();
        assert!(!b.open(5, false, &mut short));
    }
    let longer = [&packet[..], &[0]].concat();
    assert_eq!(opened(&mut b, &longer), None);
    let mut tiny = [0; 3];
    a.seal(1, &mut tiny);
    assert!(!PacketProtector::Clear.open(0, false, &mut tiny));
}

#[test]
fn packets_of_both_phases_open_in_any_order() {
    let [mut a, mut b] = pair();
    let mut old: Vec<_> = (0..10).map(|number| sealed(&mut a, number, b"old")).collect();
    a.update_key();
    assert!(a.phase());
    let mut new: Vec<_> = (10..20).map(|number| sealed(&mut a, number, b"new")).collect();
    assert_eq!(opened(&mut b, &old.remove(3)).unwrap(), b"old");
    // The newest first.
    assert_eq!(opened(&mut b, &new.remove(9)).unwrap(), b"new");
    for (old, new) in old.iter().rev().zip(&new) {
        assert_eq!(opened(&mut b, old).unwrap(), b"old");
        assert_eq!(opened(&mut b, new).unwrap(), b"new");
    }
    b.forget_old_key();
    assert_eq!(opened(&mut b, &old[0]), None, "forgotten");
    assert_eq!(opened(&mut b, &new[0]).unwrap(), b"new");
    assert!(!b.phase(), "the other direction has a phase of its own");
}

#[test]
fn a_second_update_is_followed_while_the_old_key_is_still_there() {
    let [mut a, mut b] = pair();
    for phase in 0..6u64 {
        let late = sealed(&mut a, phase * 10, b"late");
        let packet = sealed(&mut a, phase * 10 + 5, b"first");
        assert_eq!(opened(&mut b, &packet).unwrap(), b"first", "phase {phase}");
        a.update_key();
        let next = sealed(&mut a, phase * 10 + 9, b"next");
        assert_eq!(opened(&mut b, &next).unwrap(), b"next", "phase {phase}");
        assert_eq!(opened(&mut b, &late).unwrap(), b"late", "phase {phase}");
    }
}

#[test]
fn a_forged_phase_changes_nothing() {
    let [mut a, mut b] = pair();
    let packet = sealed(&mut a, 5, b"content");
    let mut forged = packet.clone();
    forged[0] ^= 1;
    for _ in 0..100 {
        assert_eq!(opened(&mut b, &forged), None);
    }
    assert!(!keys(&b).open_phase && keys(&b).open_old.is_none());
    assert_eq!(opened(&mut b, &packet).unwrap(), b"content");
    a.update_key();
    let next = sealed(&mut a, 6, b"next");
    assert_eq!(opened(&mut b, &next).unwrap(), b"next");
}

#[test]
fn own_packets_are_reopened_after_an_update() {
    let [mut a, mut b] = pair();
    let old = sealed(&mut a, 1, b"old");
    a.update_key();
    let new = sealed(&mut a, 2, b"new");
    a.forget_old_key();
    assert_eq!(reopened(&mut a, &old).unwrap(), b"old", "kept: it may have to be sent again");
    assert_eq!(reopened(&mut a, &new).unwrap(), b"new");
    assert_eq!(reopened(&mut b, &new), None, "not somebody else's");
    a.update_key();
    assert_eq!(reopened(&mut a, &new).unwrap(), b"new");
    assert_eq!(reopened(&mut a, &old), None, "two updates ago");
}

#[test]
fn keys_of_all_phases_differ_and_follow_from_the_secret_alone() {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..2 {
        let [mut a, _] = pair();
        for _ in 0..4 {
            let mut packet = vec![0; HEADER_BYTES + 32 + TAG_BYTES];
            // The same number, header and content under every key.
            a.seal(1, &mut packet);
            seen.insert(packet);
            a.update_key();
        }
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn nothing_secret_is_shown() {
    let [a, _] = pair();
    let shown = format!("{a:?}");
    assert!(shown.contains("PacketKey") && !shown.contains("[1, 1") && !shown.contains("prefix"), "{shown}");
}

#[derive(Clone, Debug)]
enum Act {
    /// Seal a packet; it is under way.
    Send(Vec<u8>),
    /// One of those under way arrives, perhaps again.
    Arrive(usize),
    /// Something like one of those under way arrives.
    Forge(usize, usize),
    /// The sender changes its key, when the receiver has heard of this one and the previous one is out of use.
    Update,
    Forget,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..64).prop_map(Act::Send),
        4 => any::<usize>().prop_map(Act::Arrive),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(which, bit)| Act::Forge(which, bit)),
        1 => Just(Act::Update),
        1 => Just(Act::Forget),
    ];
    proptest::collection::vec(act, 1..200)
}

proptest! {
    /// Whatever is reordered, repeated, forged: what was sealed with this key or the one before opens, and nothing else does.
    #[test]
    fn what_was_sealed_opens_and_nothing_else(acts in acts()) {
        let [mut a, mut b] = pair();
        let (mut under_way, mut number, mut generation) = (Vec::<(u64, Vec<u8>, Vec<u8>)>::new(), 0, 0u64);
        // Of the newest key that the receiver has seen; whether it still has the one before.
        let (mut heard, mut has_old) = (0u64, false);
        let mut is_heard = false;
        for act in acts {
            match act {
                Act::Send(content) => {
                    number += 1;
                    under_way.push((generation, content.clone(), sealed(&mut a, number, &content)));
                    let packet = &under_way.last().unwrap().2;
                    prop_assert_eq!(reopened(&mut a, packet), Some(content));
                }
                Act::Arrive(which) if !under_way.is_empty() => {
                    let (of, content, packet) = &under_way[which % under_way.len()];
                    let got = opened(&mut b, packet);
                    if *of >= heard || (has_old && *of + 1 == heard) {
                        prop_assert_eq!(got.as_ref(), Some(content));
                    } else {
                        prop_assert_eq!(got, None);
                    }
                    if *of > heard {
                        (heard, has_old) = (*of, true);
                    }
                    is_heard |= *of == generation;
                }
                Act::Forge(which, bit) if !under_way.is_empty() => {
                    let mut packet = under_way[which % under_way.len()].2.clone();
                    let bit = bit % (packet.len() * 8);
                    packet[bit / 8] ^= 1 << (bit % 8);
                    prop_assert_eq!(opened(&mut b, &packet), None);
                }
                Act::Update if is_heard => {
                    a.update_key();
                    generation += 1;
                    is_heard = false;
                }
                Act::Forget => {
                    b.forget_old_key();
                    has_old = false;
                }
                _ => {}
            }
        }
    }

    #[test]
    fn any_bytes_are_opened_or_refused(packet in proptest::collection::vec(any::<u8>(), 0..100), number: u64, phase: bool) {
        for mut protector in [PacketProtector::Clear, pair().into_iter().next().unwrap()] {
            let is_secure = matches!(protector, PacketProtector::Secure(_));
            let is_good = protector.open(number, phase, &mut packet.clone());
            prop_assert!(!(is_good && is_secure));
        }
    }
}
