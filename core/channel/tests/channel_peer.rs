//! Participants of a channel server: the inputs of `tests/fuzz/corpus/channel_peer` are taken or end the connection as their names say, and
//! generated ones are answered alike however they are cut.

use clustercore_channel::wire::{Code, Deliveries, Frame, put_emit};
use clustercore_channel::{DeliveryId, Event, EventLimits};
use proptest::prelude::*;
use std::path::PathBuf;

#[path = "../../../tests/fuzz/src/channel_peer.rs"]
mod channel_peer;

#[test]
fn inputs_of_the_corpus() {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "../../tests/fuzz/corpus/channel_peer"].iter().collect();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_alive = channel_peer::check(&std::fs::read(&path).unwrap());
        assert_eq!(is_alive, name.starts_with("good"), "{name}");
        count += 1;
    }
    assert!(count >= 8, "{count} inputs in {}", folder.display());
}

fn frames() -> Vec<Vec<u8>> {
    let event =
        |id: &str| Event::builder(id, "/s", "k").body(&b"body"[..]).build(&EventLimits::default()).unwrap();
    let mut packed = Vec::new();
    Deliveries::pack(&mut packed, &[DeliveryId { index: 0, generation: 0 }]);
    let deliveries = Deliveries::packed(1, &packed);
    let asks = [
        r#"{"op":"supply","handle":1}"#,
        r#"{"op":"supply","handle":1,"spec":{"mode":"pull","qos":{"length_max":2}}}"#,
        r#"{"op":"consume","handle":2,"name":"c","spec":{"qos":{"acknowledgement":"explicit","tries_max":1}}}"#,
        r#"{"op":"consume","handle":3,"spec":{"mode":"pull","filter":"priority > 3"}}"#,
        r#"{"op":"create","channel":"x"}"#,
        r#"{"op":"delete","channel":"x"}"#,
        r#"{"op":"consume","handle":4,"channel":"x"}"#,
        r#"{"op":"close","handle":1}"#,
        r#"{"op":"set","handle":2,"qos":{"batch_max":1},"filter":null}"#,
        r#"{"op":"suspend","handle":2}"#,
        r#"{"op":"why","consumer":"c"}"#,
        r#"{"op":"describe"}"#,
        r#"{"op":"#,
    ];
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut put = |frame: Frame<'_>| {
        let mut bytes = Vec::new();
        frame.put(&mut bytes);
        all.push(bytes);
    };
    asks.iter().for_each(|json| put(Frame::Ask { request: 1, json }));
    put(Frame::Pull { handle: 3, max: 2 });
    put(Frame::Acknowledge { handle: 2, deliveries });
    put(Frame::Reject { handle: 2, is_for_good: true, deliveries });
    put(Frame::Lost { handle: 1, number: 1, refusal: Code::NotWritten });
    put(Frame::Taken { handle: 2, first: 0, count: 9, unwritten: 0, refusal: Code::BufferFull, message: "" });
    for first in [0, 1, 3] {
        let mut bytes = Vec::new();
        put_emit(&mut bytes, 1, first, [event("a"), event("b"), event("c")].iter());
        all.push(bytes);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn frames_are_answered_alike_however_they_are_cut(
        piece in 1u8..60,
        parts in prop::collection::vec(prop::sample::select(frames()), 0..16),
    ) {
        let mut input = vec![piece];
        parts.iter().for_each(|part| input.extend_from_slice(part));
        channel_peer::check(&input);
    }

    #[test]
    fn bytes_break_nothing(input in prop::collection::vec(any::<u8>(), 0..200)) {
        channel_peer::check(&input);
    }
}
