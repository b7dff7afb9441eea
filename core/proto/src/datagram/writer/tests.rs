//! What is written comes back from the packets, whatever its size and theirs.

use super::*;
use crate::datagram::builder::PACKETS_MAX;
use crate::datagram::config::PACKET_BYTES_MAX;
use crate::datagram::frame::{Frame, Frames};
use crate::datagram::id::StreamKind;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

const STREAM: StreamId = StreamId::DEFAULT;

fn payload(sequence: Sequence, len: usize) -> Vec<u8> {
    (0..len).map(|place| (sequence as usize * 7 + place) as u8).collect()
}

/// What came back.
#[derive(Default)]
struct Read {
    messages: Vec<(Sequence, Vec<u8>)>,
    unreliable: Vec<Vec<u8>>,
    /// Bytes of messages in parts, with their length in all.
    parts: BTreeMap<Sequence, (u64, Vec<u8>)>,
}

/// Reads all closed trains and checks their form.
fn read(writer: &mut Writer, shape: Shape, out: &mut Read) {
    writer.close();
    while let Some(written) = writer.pop() {
        let packets: Vec<&[u8]> = written.buffer.chunks(written.stride).collect();
        assert_eq!(packets.len(), written.count as usize);
        assert!(written.count <= PACKETS_MAX && written.stride <= shape.packet_bytes);
        assert!(written.buffer.len() <= shape.train_bytes_max.max(shape.packet_bytes));
        for (index, packet) in packets.into_iter().enumerate() {
            let mut frames = Frames::new(&packet[HEADER_BYTES..packet.len() - shape.trailer]);
            let mut is_eliciting = false;
            while let Some(frame) = frames.next_frame().unwrap() {
                is_eliciting |= !matches!(frame, Frame::Unreliable(..));
                match frame {
                    Frame::Messages(frame) => {
                        let found = crate::datagram::event::messages(frame.content);
                        out.messages.extend((frame.first..).zip(found.map(<[u8]>::to_vec)));
                    }
                    Frame::Fragment(part) => {
                        let (total, bytes) = out.parts.entry(part.sequence).or_default();
                        *total = part.total;
                        assert_eq!(bytes.len() as u64, part.offset, "parts come in order");
                        bytes.extend_from_slice(part.bytes);
                        if bytes.len() as u64 == part.total {
                            out.messages.push((part.sequence, core::mem::take(bytes)));
                        }
                    }
                    Frame::Unreliable(_, content) => {
                        out.unreliable.extend(crate::datagram::event::messages(content).map(<[u8]>::to_vec))
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(written.eliciting >> index & 1 == 1, is_eliciting);
        }
    }
    assert!(writer.is_empty() && writer.bytes() == 0);
}

fn shapes() -> impl Strategy<Value = Shape> {
    let packet_bytes = prop_oneof![Just(1200), Just(1472), Just(8972), 1200..=PACKET_BYTES_MAX];
    (packet_bytes, prop_oneof![Just(4usize), Just(16)], 1000..65_000usize).prop_map(
        |(packet_bytes, trailer, train)| Shape {
            packet_bytes,
            trailer,
            train_bytes_max: train.max(2 * packet_bytes),
        },
    )
}

fn lens() -> impl Strategy<Value = Vec<usize>> {
    let len = prop_oneof![6 => 0usize..100, 2 => 1000usize..1500, 1 => 0usize..200_000];
    proptest::collection::vec(len, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn messages_and_parts_come_back_in_order(shape in shapes(), lens in lens(), claims: u64, lazy: u64) {
        let (mut writer, mut pool) = (Writer::default(), Pool::default());
        let unreliable = StreamId::new(3, StreamKind::Unreliable).unwrap();
        let (mut sent, mut sent_lazily) = (vec![], vec![]);
        for (index, &len) in lens.iter().enumerate() {
            let sequence = sent.len() as u64;
            let bytes = payload(sequence, len);
            let fits = MESSAGE_HEAD_MAX + len + 5 <= shape.room();
            if fits && lazy >> (index % 64) & 1 == 1 {
                prop_assert!(writer.unreliable(&mut pool, shape, unreliable, &bytes));
                sent_lazily.push(bytes);
                continue;
            }
            if fits && claims >> (index % 64) & 1 == 1 {
                // Five bytes more are asked for than written.
                let claim = writer.claim(&mut pool, shape, STREAM, sequence, len + 5).unwrap();
                let open = writer.open().unwrap();
                open.claimed(&claim)[..len].copy_from_slice(&bytes);
                open.commit(&claim, len);
            } else {
                writer.message(&mut pool, shape, STREAM, sequence, &bytes);
            }
            sent.push((sequence, bytes));
        }
        let mut found = Read::default();
        read(&mut writer, shape, &mut found);
        prop_assert_eq!(found.messages, sent);
        prop_assert_eq!(found.unreliable, sent_lazily);
        prop_assert!(found.parts.values().all(|(_, bytes)| bytes.is_empty()));
    }
}

#[test]
fn what_is_longer_than_a_packet_cannot_be_claimed_or_be_unreliable() {
    let shape = Shape { packet_bytes: 1200, trailer: 16, train_bytes_max: 10_000 };
    let (mut writer, mut pool) = (Writer::default(), Pool::default());
    let most = shape.room() - MESSAGE_HEAD_MAX;
    let stream = StreamId::new(0, StreamKind::Unreliable).unwrap();
    assert!(writer.claim(&mut pool, shape, STREAM, 0, most + 1).is_none());
    assert!(!writer.unreliable(&mut pool, shape, stream, &vec![0; most + 1]));
    assert!(writer.claim(&mut pool, shape, STREAM, 0, most).is_some());
    assert!(writer.unreliable(&mut pool, shape, stream, &vec![0; most]));
}

#[test]
fn a_train_with_nothing_in_it_is_given_up() {
    let shape = Shape { packet_bytes: 1200, trailer: 16, train_bytes_max: 10_000 };
    let (mut writer, mut pool) = (Writer::default(), Pool::default());
    writer.packet(&mut pool, shape, 100);
    assert!(writer.is_empty());
    writer.close();
    assert!(writer.front().is_none());
    writer.relax(&mut pool);
    assert!(writer.open().is_none() && writer.bytes() == 0);
}
