//! A stream against a plain map of what has come.

use super::*;
use alloc::collections::BTreeSet;
use alloc::vec;
use proptest::prelude::*;

const FREE: Limits = Limits { message_bytes_max: 10_000, is_crowded: false };

/// A stream, and what it has handed out.
struct Receiver {
    stream: ReceiveStream,
    lens: Vec<usize>,
    out: Vec<(Sequence, Vec<u8>)>,
    /// Cost of what was handed out, and of what was charged.
    cost: u64,
    charged: u64,
}

impl Receiver {
    fn new(kind: StreamKind, lens: Vec<usize>) -> Receiver {
        let stream = ReceiveStream::new(StreamId::new(0, kind).unwrap(), 1 << 20);
        Receiver { stream, lens, out: vec![], cost: 0, charged: 0 }
    }

    fn payload(&self, sequence: Sequence) -> Vec<u8> {
        (0..self.lens[sequence as usize]).map(|place| sequence as u8 ^ place as u8).collect()
    }

    fn messages(&mut self, first: Sequence, count: u32, limits: Limits) -> Result<(), Trouble> {
        let payloads: Vec<_> =
            (first..first + u64::from(count)).map(|sequence| self.payload(sequence)).collect();
        let mut content = vec![];
        for payload in &payloads {
            varint::put(&mut content, payload.len() as u64);
            content.extend_from_slice(payload);
        }
        let frame = MessagesFrame {
            stream: self.stream.id,
            first,
            count,
            payload_bytes: payloads.iter().map(Vec::len).sum(),
            longest: payloads.iter().map(Vec::len).max().unwrap_or(0),
            content: &content,
        };
        let Receiver { stream, out, cost, charged, .. } = self;
        stream.on_messages(&frame, 7, limits, &mut charging(charged), &mut |first, count, its, found| {
            *cost += its;
            if let Content::Lent { place, bytes } = &found {
                assert_eq!(content[place - 7..][..bytes.len()], **bytes, "the place is where they lie");
            }
            take(out, first, count, found);
        })
    }

    fn fragment(
        &mut self,
        sequence: Sequence,
        offset: usize,
        len: usize,
        limits: Limits,
    ) -> Result<(), Trouble> {
        let whole = self.payload(sequence);
        let frame = FragmentFrame {
            stream: self.stream.id,
            sequence,
            total: whole.len() as u64,
            offset: offset as u64,
            bytes: &whole[offset..offset + len],
        };
        let Receiver { stream, out, cost, charged, .. } = self;
        stream.on_fragment(
            Instant::ZERO,
            &frame,
            limits,
            &mut charging(charged),
            &mut |first, count, its, found| {
                *cost += its;
                take(out, first, count, found);
            },
        )
    }
}

fn charging(charged: &mut u64) -> impl FnMut(u64) -> bool {
    |cost| {
        *charged += cost;
        true
    }
}

fn take(out: &mut Vec<(Sequence, Vec<u8>)>, first: Sequence, count: u32, content: Content<'_>) {
    let before = out.len();
    let mut add = |bytes: &[u8]| out.push((first + (out.len() - before) as u64, bytes.to_vec()));
    match &content {
        Content::Lent { bytes, .. } => messages(bytes).for_each(&mut add),
        Content::Kept(bytes) => messages(bytes).for_each(&mut add),
        Content::Single { bytes, .. } => add(bytes),
        Content::Whole(bytes) => add(bytes),
    }
    assert_eq!(out.len() - before, count as usize);
}

#[test]
fn a_message_that_comes_whole_after_some_of_its_parts_is_paid_for_once() {
    for kind in [StreamKind::Ordered, StreamKind::Unordered] {
        let mut receiver = Receiver::new(kind, vec![10, 3000, 10]);
        receiver.fragment(1, 0, 1200, FREE).unwrap();
        receiver.messages(1, 2, FREE).unwrap();
        receiver.fragment(1, 1200, 1800, FREE).unwrap();
        receiver.messages(0, 1, FREE).unwrap();
        receiver.stream.check_invariants();
        let mut sequences: Vec<_> = receiver.out.iter().map(|(sequence, _)| *sequence).collect();
        sequences.sort_unstable();
        assert_eq!(sequences, [0, 1, 2], "{kind:?}");
        assert_eq!((receiver.charged, receiver.cost), (3020 + 48, 3020 + 48));
        assert_eq!(receiver.stream.oldest_progress(), None, "nothing is half received any more");
    }
}

#[test]
fn parts_that_contradict_the_whole_are_refused() {
    let mut receiver = Receiver::new(StreamKind::Ordered, vec![10, 3000, 10]);
    receiver.fragment(1, 0, 1200, FREE).unwrap();
    receiver.lens[1] = 2999;
    assert_eq!(receiver.messages(1, 1, FREE), Err(Trouble::Violation(CloseCode::Message)));
}

#[test]
fn what_fills_the_lowest_gap_is_taken_however_many_gaps_there_are() {
    for kind in [StreamKind::Ordered, StreamKind::Unordered] {
        let mut receiver = Receiver::new(kind, vec![1; 2 * GAPS_MAX + 10]);
        let mut next = 1;
        while receiver.messages(next, 1, FREE) == Ok(()) {
            next += 2;
        }
        assert!(receiver.stream.gaps() >= GAPS_MAX && receiver.stream.gaps() <= GAPS_MAX + 2);
        assert_eq!(receiver.messages(next, 1, FREE), Err(Trouble::Later));
        assert_eq!(receiver.messages(1, 1, FREE), Ok(()), "nothing new in it");
        assert_eq!(receiver.messages(0, 1, FREE), Ok(()));
        assert_eq!(receiver.messages(2, 1, FREE), Ok(()));
        assert_eq!(receiver.out.iter().filter(|(sequence, _)| *sequence < 4).count(), 4);
        let crowded = Limits { is_crowded: true, ..FREE };
        let mut other = Receiver::new(kind, vec![3000; 4]);
        assert_eq!(other.fragment(1, 0, 10, crowded), Err(Trouble::Later));
        assert_eq!(other.fragment(0, 0, 10, crowded), Ok(()));
        assert_eq!(other.messages(2, 1, crowded), Err(Trouble::Later));
    }
}

#[test]
fn many_small_messages_that_are_held_share_their_memory() {
    let mut receiver = Receiver::new(StreamKind::Ordered, vec![0; 10_001]);
    for sequence in 1..=10_000 {
        receiver.messages(sequence, 1, FREE).unwrap();
    }
    assert!(receiver.stream.held.len() < 10, "{}", receiver.stream.held.len());
    receiver.messages(0, 1, FREE).unwrap();
    assert_eq!(receiver.out.len(), 10_001);
    assert!(receiver.out.iter().map(|(sequence, _)| *sequence).eq(0..=10_000));
}

#[test]
fn a_longer_message_than_allowed_is_refused_whole_and_in_parts() {
    let limits = Limits { message_bytes_max: 100, is_crowded: false };
    let refused = Err(Trouble::Violation(CloseCode::Message));
    let mut receiver = Receiver::new(StreamKind::Unordered, vec![100, 101]);
    assert_eq!(receiver.messages(0, 1, limits), Ok(()));
    assert_eq!(receiver.messages(1, 1, limits), refused);
    assert_eq!(receiver.fragment(1, 0, 5, limits), refused);
}

#[test]
fn more_than_the_credit_is_refused() {
    let mut receiver = Receiver::new(StreamKind::Ordered, vec![100, 100]);
    receiver.stream.credit = 2 * 116 - 1;
    assert_eq!(receiver.messages(0, 1, FREE), Ok(()));
    assert_eq!(receiver.messages(1, 1, FREE), Err(Trouble::Violation(CloseCode::FlowControl)));
    let mut receiver = Receiver::new(StreamKind::Ordered, vec![100, 100]);
    receiver.stream.credit = 115;
    assert_eq!(receiver.fragment(0, 0, 1, FREE), Err(Trouble::Violation(CloseCode::FlowControl)));
}

/// A frame of a script: messages from one to another, or a part of one (in thousandths of its length).
#[derive(Clone, Copy, Debug)]
enum Step {
    Messages(u64, u64),
    Fragment(u64, usize, usize),
}

fn script() -> impl Strategy<Value = (Vec<usize>, Vec<Step>)> {
    let len = prop_oneof![3 => 0usize..5, 1 => 1usize..3000];
    proptest::collection::vec(len, 1..30).prop_flat_map(|lens| {
        let count = lens.len() as u64;
        let step = prop_oneof![
            (0..count, 1u64..8).prop_map(|(first, more)| Step::Messages(first, more)),
            (0..count, 0usize..1000, 1usize..1000)
                .prop_map(|(at, from, more)| Step::Fragment(at, from, more)),
        ];
        (Just(lens), proptest::collection::vec(step, 0..120))
    })
}

proptest! {
    #[test]
    fn each_message_comes_once_and_is_charged_once(is_ordered: bool, (lens, steps) in script()) {
        let kind = if is_ordered { StreamKind::Ordered } else { StreamKind::Unordered };
        let count = lens.len() as u64;
        let mut receiver = Receiver::new(kind, lens.clone());
        // The plain truth: which bytes of each message have come, and which messages are whole.
        let mut parts: BTreeMap<Sequence, BTreeSet<usize>> = BTreeMap::new();
        let mut whole = BTreeSet::new();
        let all = Step::Messages(0, count);
        for step in steps.into_iter().chain([all]) {
            match step {
                Step::Messages(first, more) => {
                    let end = (first + more).min(count);
                    receiver.messages(first, (end - first) as u32, FREE).unwrap();
                    whole.extend(first..end);
                }
                Step::Fragment(at, from, more) => {
                    let len = lens[at as usize];
                    let (offset, wanted) = (len * from / 1000, (len * more / 1000).max(1));
                    let wanted = wanted.min(len - offset);
                    if wanted == 0 {
                        continue;
                    }
                    receiver.fragment(at, offset, wanted, FREE).unwrap();
                    let here = parts.entry(at).or_default();
                    here.extend(offset..offset + wanted);
                    if here.len() == len {
                        whole.insert(at);
                    }
                }
            }
            receiver.stream.check_invariants();
            let due: BTreeSet<Sequence> = if is_ordered {
                (0..).take_while(|sequence| whole.contains(sequence)).collect()
            } else {
                whole.clone()
            };
            let came: BTreeSet<Sequence> = receiver.out.iter().map(|(sequence, _)| *sequence).collect();
            prop_assert_eq!(&came, &due);
            prop_assert_eq!(came.len(), receiver.out.len(), "each once");
            let cost = |sequence: &Sequence| lens[*sequence as usize] as u64 + MESSAGE_COST;
            let begun: BTreeSet<Sequence> = whole.iter().chain(parts.keys()).copied().collect();
            prop_assert_eq!(receiver.charged, begun.iter().map(cost).sum::<u64>());
            prop_assert_eq!(receiver.stream.charged, receiver.charged);
            prop_assert_eq!(receiver.cost, due.iter().map(cost).sum::<u64>());
        }
        if is_ordered {
            prop_assert!(receiver.out.iter().map(|(sequence, _)| *sequence).eq(0..count));
        }
        for (sequence, bytes) in &receiver.out {
            prop_assert_eq!(bytes, &receiver.payload(*sequence));
        }
        prop_assert_eq!(receiver.stream.gaps(), 0, "nothing is kept at the end");
    }
}
