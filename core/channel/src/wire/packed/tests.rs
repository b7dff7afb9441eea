use super::*;
use crate::event::EventBuilder;
use proptest::prelude::*;

fn any_text(max: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::char::range(' ', 'ÿ'), 0..max)
        .prop_map(|all| all.into_iter().filter(|it| !it.is_control()).collect())
}

fn any_value() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        any::<bool>().prop_map(FieldValue::from),
        any::<i64>().prop_map(FieldValue::from),
        (-1e300..1e300).prop_map(FieldValue::from),
        any_text(9).prop_map(FieldValue::from),
        any::<Vec<u8>>().prop_map(FieldValue::from),
        (1u64..).prop_map(|it| Instant::from_nanos(it).into()),
    ]
}

prop_compose! {
    pub(crate) fn any_event()(
        id in "[a-z]{1,5}", source in "[ab]{1,2}", kind in "[ab]{1,2}",
        texts in proptest::collection::vec(any_text(6), 5),
        body in any::<Vec<u8>>(),
        times in any::<[Option<u64>; 3]>(),
        header in any::<(Option<u8>, Option<bool>, Option<u64>)>(),
        fields in proptest::collection::btree_map("f[a-z0-9]{1,4}", any_value(), 0..4),
    ) -> Event {
        let mut builder = Event::builder(id, source, kind)
            .domain(&*texts[0]).name(&*texts[1]).content_type(&*texts[2]).schema(&*texts[3]).key(&*texts[4])
            .body(body);
        let [time, expiry, start] = times.map(|it| it.map(Instant::from_nanos));
        builder = time.into_iter().fold(builder, EventBuilder::time);
        builder = expiry.into_iter().fold(builder, EventBuilder::expiry);
        builder = start.into_iter().fold(builder, EventBuilder::start);
        builder = header.0.into_iter().fold(builder, EventBuilder::priority);
        let reliability = |is| if is { Reliability::Persistent } else { Reliability::BestEffort };
        builder = header.1.map(reliability).into_iter().fold(builder, EventBuilder::reliability);
        builder = header.2.into_iter().fold(builder, EventBuilder::sequence);
        builder = fields.into_iter().fold(builder, |builder, (name, value)| builder.field(name, value));
        builder.build(&EventLimits::default()).unwrap()
    }
}

proptest! {
    #[test]
    fn events_come_back_one_behind_the_other(events in proptest::collection::vec(any_event(), 0..8)) {
        let mut bytes = Vec::new();
        let mut packer = Packer::default();
        events.iter().for_each(|event| packer.put(&mut bytes, event));
        let (mut reader, mut unpacker) = (Reader::new(&bytes), Unpacker::default());
        for event in &events {
            let back = unpacker.take(&mut reader, &EventLimits::default()).unwrap();
            prop_assert_eq!(&back, event);
            prop_assert_eq!(back.size(), event.size());
        }
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn cut_off_bytes_are_malformed(event in any_event(), cut in 0usize..100) {
        let mut bytes = Vec::new();
        Packer::default().put(&mut bytes, &event);
        bytes.truncate(cut.min(bytes.len() - 1));
        let taken = Unpacker::default().take(&mut Reader::new(&bytes), &EventLimits::default());
        prop_assert!(taken == Err(WireError::Malformed) || matches!(taken, Err(WireError::Event(_))), "{:?}", taken);
    }
}

#[test]
fn what_is_the_same_again_costs_nothing() {
    let event = |id: &str| {
        Event::builder(id, "/node/7", "load.changed").body(&b"x"[..]).build(&EventLimits::default()).unwrap()
    };
    let mut packer = Packer::default();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    packer.put(&mut first, &event("1"));
    packer.put(&mut second, &event("2"));
    assert_eq!((first.len(), second.len()), (1 + 2 + 8 + 13 + 2, 1 + 2 + 2));
}

#[test]
fn an_event_beyond_the_limits_is_told_from_one_that_cannot_be_read() {
    let event = Event::builder("1", "/a", "b").body(vec![0; 100]).build(&EventLimits::default()).unwrap();
    let mut bytes = Vec::new();
    Packer::default().put(&mut bytes, &event);
    let limits = EventLimits { body_bytes_max: 99, ..EventLimits::default() };
    let error = Unpacker::default().take(&mut Reader::new(&bytes), &limits).unwrap_err();
    assert_eq!(error.to_string(), "body of the event is 100 bytes, limit is 99");
    let mut bad = bytes.clone();
    bad[0] |= 0x80;
    bad.insert(1, 0x80);
    bad.insert(2, 0x02);
    let error = Unpacker::default().take(&mut Reader::new(&bad), &EventLimits::default()).unwrap_err();
    assert_eq!(error, WireError::Malformed);
}

#[test]
fn texts_that_come_again_in_another_frame_are_not_kept_twice() {
    let limits = EventLimits::default();
    let event = |id: &str| Event::builder(id, "/source", "kind").domain("d").build(&limits).unwrap();
    let frames = ["1", "2"].map(|id| {
        let mut bytes = Vec::new();
        Packer::default().put(&mut bytes, &event(id));
        bytes
    });
    let mut unpacker = Unpacker::default();
    let events = frames.map(|bytes| {
        unpacker.begin();
        unpacker.take(&mut Reader::new(&bytes), &limits).unwrap()
    });
    assert_eq!(events, ["1", "2"].map(event));
    for of in [Event::source, Event::kind, Event::domain] {
        assert!(std::sync::Arc::ptr_eq(of(&events[0]), of(&events[1])));
    }
    // Without a text of its own an event has that of the one before it in its frame, not that of another frame.
    let mut bare = Vec::new();
    varint::put(&mut bare, has::SAME_SOURCE | has::SAME_KIND | has::SAME_DOMAIN | has::SAME_CONTENT_TYPE);
    put_text(&mut bare, "3");
    unpacker.begin();
    let error = unpacker.take(&mut Reader::new(&bare), &limits).unwrap_err();
    assert!(matches!(error, WireError::Event(EventError::Missing { what: "source" })), "{error}");
}
