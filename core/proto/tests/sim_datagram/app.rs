//! What the programs on both sides keep in mind: what was sent on each stream, what has arrived, what was said to be unconfirmed.

use clustercore_proto::datagram::{Sequence, StreamId, StreamKind};
use clustercore_proto::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// The bytes of a message: they follow from who sends it on which stream as which one.
pub fn payload(tag: u64, stream: StreamId, sequence: Sequence, len: usize) -> Vec<u8> {
    let mut random =
        Random::new(tag ^ u64::from(stream.to_wire()) << 32 ^ sequence.wrapping_mul(0x9e37_79b9));
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// One direction of one connection.
#[derive(Default, Debug)]
pub struct Direction {
    pub streams: BTreeMap<StreamId, Sides>,
    /// Bytes of unreliable messages say who they are.
    pub unreliable_sent: u64,
    pub unreliable_seen: BTreeSet<u64>,
}

#[derive(Default, Debug)]
pub struct Sides {
    /// Lengths of what was sent, by sequence.
    pub sent: Vec<usize>,
    pub arrived: BTreeSet<Sequence>,
    pub next: Sequence,
    pub unconfirmed: BTreeSet<Sequence>,
}

impl Direction {
    pub fn on_sent(&mut self, stream: StreamId, sequence: Sequence, len: usize) {
        if stream.kind() != StreamKind::Unreliable {
            let side = self.streams.entry(stream).or_default();
            assert_eq!(sequence, side.sent.len() as u64, "sequences are given in order");
            side.sent.push(len);
        }
    }

    /// A message has arrived: it must be one that was sent, whole, and its turn.
    pub fn on_arrived(&mut self, tag: u64, stream: StreamId, sequence: Sequence, bytes: &[u8]) {
        if stream.kind() == StreamKind::Unreliable {
            let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            assert!(number < self.unreliable_sent, "never sent");
            assert_eq!(bytes[8..], payload(tag, stream, number, bytes.len() - 8));
            assert!(
                self.unreliable_seen.insert(number),
                "{stream:?}: unreliable message {number} came twice"
            );
            return;
        }
        let side = self.streams.entry(stream).or_default();
        let len = *side
            .sent
            .get(sequence as usize)
            .unwrap_or_else(|| panic!("{stream:?}: {sequence} was never sent"));
        assert_eq!(bytes.len(), len, "{stream:?} {sequence}");
        assert!(
            bytes == payload(tag, stream, sequence, len),
            "{stream:?} {sequence}: other bytes than were sent"
        );
        assert!(side.arrived.insert(sequence), "{stream:?}: {sequence} came twice");
        match stream.kind() {
            StreamKind::Ordered => assert_eq!(sequence, side.next, "{stream:?}: out of turn"),
            StreamKind::Latest => {
                assert!(sequence >= side.next, "{stream:?}: an older value after a newer one")
            }
            _ => {}
        }
        side.next = sequence + 1;
    }

    /// Everything owed has arrived.
    pub fn is_complete(&self) -> bool {
        self.streams.iter().all(|(stream, side)| match stream.kind() {
            StreamKind::Latest => side.next == side.sent.len() as u64,
            _ => side.arrived.len() == side.sent.len(),
        })
    }

    /// The connection is over: what has not arrived must have been named.
    pub fn check_unconfirmed(&self) {
        for (stream, side) in &self.streams {
            if stream.kind() == StreamKind::Latest {
                continue;
            }
            for sequence in 0..side.sent.len() as u64 {
                assert!(
                    side.arrived.contains(&sequence) || side.unconfirmed.contains(&sequence),
                    "{stream:?}: {sequence} is neither there nor named"
                );
            }
        }
    }

    pub fn messages(&self) -> usize {
        self.streams.values().map(|side| side.arrived.len()).sum()
    }
}
