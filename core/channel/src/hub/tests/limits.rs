//! What is refused, what is slow, what is too large.

use super::super::*;
use super::world::{World, event, events, open};
use crate::event::Event;
use crate::participant::{News, Participant, ParticipantConfig, SupplyConfig};
use crate::wire::{Code, Frame};

#[test]
fn a_reader_who_is_slow_gets_what_its_bound_allows_and_holds_up_nobody() {
    let mut world = World::new(HubConfig { unsent_bytes_max: 1000, ..open() }, 3);
    let supplier = world.join("", "supplier");
    let handle = world.at(supplier).supply("", SupplyConfig::default());
    let fast = world.join("", "fast");
    world.at(fast).consume("");
    world.settle();
    let slow = world.hub.connect(world.now).unwrap();
    let mut hello = Vec::new();
    Frame::Hello { version: 1, token: "", name: "slow" }.put(&mut hello);
    let json = r#"{"op":"consume","handle":1,"name":"slow","spec":{"qos":{"length_max":50}}}"#;
    Frame::Ask { request: 1, json }.put(&mut hello);
    world.hub.receive(world.now, slow, &hello);
    let mut waiting = 0;
    for round in 0..10 {
        world.at(supplier).emit(handle, &events(round * 100..round * 100 + 100)).unwrap();
        let now = world.now;
        world.at(supplier).handle_timeout(now);
        while let Some(bytes) = world.at(supplier).poll_send() {
            let session = world.links[supplier].1.unwrap();
            world.hub.receive(world.now, session, &bytes);
        }
        for _ in 0..10 {
            world.hub.pump(world.now, 100);
            while let Some((id, piece)) = world.hub.poll_send() {
                let link = world.links.iter_mut().find(|(_, it)| *it == Some(id));
                match link {
                    Some((participant, _)) => {
                        participant.receive(world.now, piece.as_slice()).unwrap();
                        world.hub.sent(id, 0);
                    }
                    None => {
                        waiting += piece.as_slice().len();
                        world.hub.sent(slow, waiting);
                    }
                }
            }
        }
    }
    assert_eq!(world.ids(fast).len(), 1000);
    assert!(waiting < 1000 + 64 * 100, "{waiting} bytes for one who reads nothing");
    let why = world.ask(fast, r#"{"op":"why","consumer":"slow"}"#).unwrap();
    assert!(why.contains("\"blocked\""), "{why}");
    // As soon as it reads it gets the newest that its queue holds.
    let mut reader = Participant::new(ParticipantConfig::default());
    assert_eq!(reader.consume(""), 1);
    world.hub.sent(slow, 0);
    world.hub.pump(world.now, 100);
    while let Some((id, piece)) = world.hub.poll_send() {
        assert_eq!(id, slow);
        reader.receive(world.now, piece.as_slice()).unwrap();
        world.hub.sent(slow, 0);
    }
    let ids: Vec<String> =
        std::iter::from_fn(|| reader.take()).map(|(_, it)| it.event.id().to_string()).collect();
    assert_eq!(ids, (950..1000).map(|it| it.to_string()).collect::<Vec<_>>());
}

#[test]
fn who_says_nothing_or_reads_nothing_is_sent_away() {
    let mut world = World::new(HubConfig { unread_bytes_max: 2000, ..open() }, 12);
    world.hub.connect(world.now).unwrap();
    let asks = world.hub.connect(world.now).unwrap();
    let mut hello = Vec::new();
    Frame::Hello { version: 1, token: "", name: "asks" }.put(&mut hello);
    assert!(world.hub.receive(world.now, asks, &hello));
    let mut ask = Vec::new();
    Frame::Ask { request: 1, json: r#"{"op":"describe"}"# }.put(&mut ask);
    let asked = (0..100).take_while(|_| world.hub.receive(world.now, asks, &ask)).count();
    assert!((1..10).contains(&asked), "{asked} answers that nobody reads");
    world.settle();
    assert_eq!((world.hub.sessions(), world.hub.stats().violations), (1, 1));
    world.pass(Duration::from_millis(9999));
    assert_eq!(world.hub.sessions(), 1);
    world.pass(Duration::from_millis(1));
    assert_eq!((world.hub.sessions(), world.hub.stats().violations), (0, 2));
}

#[test]
fn a_batch_of_large_events_goes_in_pieces_that_the_reader_has_room_for() {
    let mut world = World::new(open(), 13);
    let consumers = [world.join("", "one"), world.join("", "other")];
    for consumer in consumers {
        world.at(consumer).consume(r#""spec":{"qos":{"bytes_max":1000000000}}"#);
    }
    let acknowledges = world.join("", "acknowledges");
    let spec = r#""spec":{"qos":{"bytes_max":1000000000,"acknowledgement":"explicit"}}"#;
    world.at(acknowledges).consume(spec);
    let supplier = world.join("", "supplier");
    let spec = r#""spec":{"qos":{"bytes_max":1000000000}}"#;
    let supply = world.at(supplier).supply(spec, SupplyConfig::default());
    world.settle();
    let large = |id: u32| Event::builder(id.to_string(), "/test", "large").body(vec![7; 400_000]);
    let large: Vec<Event> = (0..9).map(|id| large(id).build(&EventLimits::default()).unwrap()).collect();
    world.at(supplier).emit(supply, &large).unwrap();
    world.settle();
    for consumer in [consumers[0], consumers[1], acknowledges] {
        assert_eq!(world.ids(consumer), (0..9).map(|it| it.to_string()).collect::<Vec<_>>());
    }
    // Two at a time, written once for the two that get the same.
    let stats = world.hub.stats();
    assert_eq!((stats.batches, stats.shared, stats.delivered), (10, 5, 27));
}

#[test]
fn a_supplier_who_is_refused_sends_again_and_the_order_holds() {
    let mut world = World::new(open(), 4);
    let supplier = world.join("", "supplier");
    let spec = r#""spec":{"qos":{"length_max":8}}"#;
    let handle = world.at(supplier).supply(spec, SupplyConfig::default());
    let hasty = SupplyConfig { is_patient: false, ..SupplyConfig::default() };
    let hasty = world.at(supplier).supply(spec, hasty);
    let consumer = world.join("", "consumer");
    world
        .at(consumer)
        .consume(r#""spec":{"mode":"pull","qos":{"length_max":4,"batch_max":4,"discard":"refuse"}}"#);
    world.settle();
    world.at(supplier).emit(handle, &events(0..100)).unwrap();
    world.settle();
    assert_eq!(world.at(supplier).untaken(handle), Ok(100 - 8), "the buffer is full");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.at(supplier).untaken(handle), Ok(100 - 12), "the queue is full");
    let mut got = Vec::new();
    for _ in 0..200 {
        world.at(consumer).pull(1, 3);
        world.pass(Duration::from_millis(100));
        got.extend(world.ids(consumer));
    }
    assert_eq!(got, (0..100).map(|it| it.to_string()).collect::<Vec<_>>());
    world.news(supplier);
    world.at(supplier).emit(hasty, &events(0..20)).unwrap();
    world.settle();
    let refused: Vec<u64> = world
        .news(supplier)
        .iter()
        .filter_map(|news| match news {
            News::Refused { number, code: Code::BufferFull, .. } => Some(*number),
            _ => None,
        })
        .collect();
    assert_eq!(
        refused,
        [8, 13, 14, 15, 16, 17, 18, 19],
        "8 in the buffer, then 4 more, which went on to the queue"
    );
    assert_eq!(world.at(supplier).untaken(hasty), Ok(0));
}

#[test]
fn an_event_that_breaks_the_limits_is_left_out_and_those_behind_it_go_on() {
    let limits = EventLimits { body_bytes_max: 100, ..EventLimits::default() };
    let mut world = World::new(HubConfig { limits, ..open() }, 5);
    let consumer = world.join("", "consumer");
    world.at(consumer).consume("");
    let supplier = world.join("", "supplier");
    let handle = world.at(supplier).supply("", SupplyConfig::default());
    world.settle();
    world.news(supplier);
    let large = Event::builder("large", "/test", "tested").body(vec![0; 101]);
    let large = large.build(&EventLimits::default()).unwrap();
    world.at(supplier).emit(handle, &[event("1"), large, event("2")]).unwrap();
    world.settle();
    assert_eq!(world.ids(consumer), ["1", "2"]);
    let [News::Refused { number: 1, code: Code::Invalid, message, .. }] = &world.news(supplier)[..] else {
        panic!("not refused")
    };
    assert_eq!(message, "body of the event is 101 bytes, limit is 100");
}

#[test]
fn frames_of_one_event_that_are_refused_come_again_in_order() {
    let mut world = World::new(open(), 40);
    let supplier = world.join("", "supplier");
    let spec = r#""spec":{"qos":{"length_max":8}}"#;
    let handle = world.at(supplier).supply(spec, SupplyConfig::default());
    let consumer = world.join("", "consumer");
    world.at(consumer).consume("");
    world.settle();
    for event in events(0..16) {
        world.at(supplier).emit(handle, &[event]).unwrap();
    }
    for _ in 0..50 {
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(world.at(supplier).untaken(handle), Ok(0));
    assert_eq!(world.ids(consumer), (0..16).map(|it| it.to_string()).collect::<Vec<_>>());
}
