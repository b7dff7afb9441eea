//! One writer and some readers, against plain vectors.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Publish,
    PublishMany(usize),
    Claim(usize),
    Read { reader: usize, max: usize, consume: usize },
    ForEach { reader: usize, max: usize },
    Subscribe,
    Leave(usize),
    Reclaim,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Publish),
        2 => (0..12usize).prop_map(Op::PublishMany),
        1 => (0..12usize).prop_map(Op::Claim),
        4 => (0..4usize, 0..12usize, 0..12usize)
            .prop_map(|(reader, max, consume)| Op::Read { reader, max, consume }),
        2 => (0..4usize, 0..12usize).prop_map(|(reader, max)| Op::ForEach { reader, max }),
        2 => Just(Op::Subscribe),
        1 => (0..4usize).prop_map(Op::Leave),
        1 => Just(Op::Reclaim),
    ]
}

enum End {
    One(Writer<Box<u64>>),
    Many(SharedWriter<Box<u64>>),
}

/// A reader, the position that it must be at, and what it has missed and a batch left unread has told already.
struct Model {
    reader: Reader<Box<u64>>,
    next: u64,
    told: u64,
}

fn when_full() -> impl Strategy<Value = WhenFull> {
    prop_oneof![
        Just(WhenFull::Refuse),
        Just(WhenFull::DropNewest),
        (1..4usize).prop_map(|at_once| WhenFull::DropOldest { at_once }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_log_with_cursors(
        is_multi: bool, capacity in 3..9usize, when_full in when_full(), ops in prop::collection::vec(op(), 0..120),
    ) {
        let options = Options { capacity, readers_max: 3, when_full };
        let (mut end, ring) = if is_multi {
            let (writer, ring) = multi(options);
            (End::Many(writer), ring)
        } else {
            let (writer, ring) = single(options);
            (End::One(writer), ring)
        };
        let capacity = capacity.next_power_of_two() as u64;
        // All events are their own position, so that what is published is a number.
        let (mut published, mut floor, mut dropped) = (0u64, 0u64, 0u64);
        let mut readers: Vec<Model> = vec![];
        for op in ops {
            match op {
                Op::Publish | Op::PublishMany(_) => {
                    let wanted = if let Op::PublishMany(wanted) = op { wanted as u64 } else { 1 };
                    let slowest = readers.iter().map(|model| model.next.max(floor)).min().unwrap_or(published);
                    let free = capacity.saturating_sub(published - slowest);
                    let fits = match when_full {
                        WhenFull::DropOldest { .. } => wanted.min(capacity),
                        _ => wanted.min(free),
                    };
                    let mut events: Vec<_> = (published..published + wanted).map(Box::new).collect();
                    let result = match (&mut end, &op) {
                        (End::One(writer), Op::Publish) => writer.publish(events.pop().unwrap()).map_err(|_| Full(())).map(|()| 1),
                        (End::Many(writer), Op::Publish) => writer.publish(events.pop().unwrap()).map_err(|_| Full(())).map(|()| 1),
                        (End::One(writer), _) => writer.publish_from(&mut events),
                        (End::Many(writer), _) => writer.publish_from(&mut events),
                    };
                    let is_dropped = when_full == WhenFull::DropNewest && fits < wanted;
                    let expected = if is_dropped { fits.max(u64::from(matches!(op, Op::Publish))) } else { fits };
                    let refused = wanted > 0 && fits == 0 && !is_dropped;
                    prop_assert_eq!(result, if refused { Err(Full(())) } else { Ok(expected as usize) });
                    dropped += if is_dropped { wanted - fits } else { 0 };
                    published += fits;
                }
                Op::Claim(wanted) => {
                    let End::One(writer) = &mut end else { continue };
                    let Some(claim) = writer.claim(wanted) else { continue };
                    prop_assert!(claim.len() <= wanted);
                    published += claim.fill_from((published..).map(Box::new)) as u64;
                }
                Op::Read { reader, max, consume } => {
                    let Some(model) = readers.get_mut(reader) else { continue };
                    let lag = published - model.next;
                    prop_assert_eq!(model.reader.lag(), lag);
                    let Some(batch) = model.reader.read(max) else {
                        prop_assert!(lag == 0 || max == 0);
                        continue;
                    };
                    let start = batch.position();
                    prop_assert_eq!(start + model.told, model.next + batch.missed());
                    let may_miss = matches!(when_full, WhenFull::DropOldest { .. });
                    prop_assert!(batch.missed() == 0 || may_miss);
                    floor = floor.max(if batch.missed() > 0 { start } else { 0 });
                    prop_assert!(published - start <= capacity && batch.len() <= max);
                    let seen: Vec<_> = batch.iter().map(|event| **event).collect();
                    prop_assert_eq!(seen, (start..start + batch.len() as u64).collect::<Vec<_>>());
                    let consume = consume.min(batch.len());
                    if consume == 0 {
                        // Dropped unread, the loss is told again.
                        (model.told, model.next) = (batch.missed(), start);
                        drop(batch);
                    } else {
                        model.told = 0;
                        batch.consume(consume);
                        model.next = start + consume as u64;
                    }
                }
                Op::ForEach { reader, max } => {
                    let Some(model) = readers.get_mut(reader) else { continue };
                    let mut got = vec![];
                    model.reader.for_each(max, |event| got.push(**event));
                    if let (Some(first), Some(last)) = (got.first(), got.last()) {
                        prop_assert_eq!(last - first + 1, got.len() as u64);
                        prop_assert!(*first >= model.next);
                        model.next = last + 1;
                        model.told = 0;
                    }
                }
                Op::Subscribe => match ring.subscribe() {
                    Ok(reader) => readers.push(Model { reader, next: published, told: 0 }),
                    Err(_) => prop_assert_eq!(readers.len(), 3),
                },
                Op::Leave(reader) => {
                    if reader < readers.len() {
                        readers.swap_remove(reader);
                    }
                }
                Op::Reclaim => match &mut end {
                    End::One(writer) => writer.reclaim(),
                    End::Many(writer) => writer.reclaim(),
                },
            }
            prop_assert_eq!(ring.readers(), readers.len());
            prop_assert_eq!(ring.counters().published, published);
            prop_assert_eq!(ring.counters().dropped_newest, dropped);
        }
    }
}
