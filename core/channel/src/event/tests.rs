use super::*;

fn full() -> EventBuilder {
    Event::builder("e1", "/node/7", "load.changed")
        .domain("performance")
        .name("cpu")
        .content_type("application/json")
        .schema("https://example.org/load")
        .time(Instant::from_nanos(5))
        .priority(200)
        .expiry(Instant::from_nanos(9))
        .start(Instant::from_nanos(7))
        .reliability(Reliability::Persistent)
        .key("node7")
        .sequence(42)
        .field("load", 0.75)
        .field("cores", 8)
        .field("healthy", true)
        .field("zone", "east")
        .field("raw", &b"\x00\x01"[..])
        .body(&b"{}"[..])
}

#[test]
fn every_attribute_and_field_has_its_value() {
    let event = full().build(&EventLimits::default()).unwrap();
    let expected = [
        ("id", Value::Text("e1")),
        ("source", Value::Text("/node/7")),
        ("type", Value::Text("load.changed")),
        ("domain", Value::Text("performance")),
        ("subject", Value::Text("cpu")),
        ("name", Value::Text("cpu")),
        ("datacontenttype", Value::Text("application/json")),
        ("dataschema", Value::Text("https://example.org/load")),
        ("time", Value::Time(Instant::from_nanos(5))),
        ("priority", Value::Int(200)),
        ("expirytime", Value::Time(Instant::from_nanos(9))),
        ("starttime", Value::Time(Instant::from_nanos(7))),
        ("reliability", Value::Text("persistent")),
        ("partitionkey", Value::Text("node7")),
        ("sequence", Value::Int(42)),
        ("load", Value::Float(0.75)),
        ("cores", Value::Int(8)),
        ("healthy", Value::Bool(true)),
        ("zone", Value::Text("east")),
        ("raw", Value::Bytes(b"\x00\x01")),
    ];
    for (name, value) in expected {
        assert_eq!(event.field(name), Some(value), "{name}");
    }
    assert_eq!(event.field("absent"), None);
    let bare = Event::builder("1", "s", "t").build(&EventLimits::default()).unwrap();
    assert!(["domain", "subject", "time", "priority", "sequence"].iter().all(|it| bare.field(it).is_none()));
}

#[test]
fn clones_are_one_in_memory_and_a_rebuilt_event_is_equal() {
    let event = full().build(&EventLimits::default()).unwrap();
    assert!(event.is_same(&event.clone()));
    let again = event.to_builder().build(&EventLimits::default()).unwrap();
    assert!(!again.is_same(&event) && again == event);
    let changed = event.to_builder().id("e2").build(&EventLimits::default()).unwrap();
    assert!(changed != event && Arc::ptr_eq(changed.body(), event.body()));
    assert_eq!(size_of::<Event>(), 8);
}

#[test]
fn each_limit_is_kept_to_the_byte() {
    let limits = EventLimits {
        attribute_bytes_max: 4,
        fields_max: 2,
        field_name_bytes_max: 3,
        field_bytes_max: 5,
        body_bytes_max: 6,
        event_bytes_max: 93,
    };
    let fine = || Event::builder("1234", "s", "t");
    assert!(fine().body(vec![0; 6]).field("abc", "12345").field("b", 1).build(&limits).is_ok());
    let too_long = |builder: EventBuilder| match builder.build(&limits) {
        Err(EventError::TooLong { what, len, max }) => {
            assert_eq!(len, max + 1);
            what
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(too_long(fine().id("12345")), "id");
    assert_eq!(too_long(fine().key("12345")), "ordering key");
    assert_eq!(too_long(fine().field("abcd", 1)), "the name of a field");
    assert_eq!(too_long(fine().field("a", "123456")), "a field");
    assert_eq!(too_long(fine().field("a", vec![0u8; 6])), "a field");
    assert_eq!(too_long(fine().body(vec![0; 7])), "body");
    let large = fine().body(vec![0; 6]).field("abc", "12345").field("bc", "1234").name("1234");
    assert_eq!(too_long(large), "the whole");
    let many = fine().field("a", 1).field("b", 1).field("c", 1).build(&limits);
    assert_eq!(many, Err(EventError::TooManyFields { len: 3, max: 2 }));
}

#[test]
fn what_could_break_a_header_or_hide_an_attribute_is_refused() {
    let limits = EventLimits::default();
    let fine = || Event::builder("1", "s", "t");
    let injected = fine().name("x\r\nSet-Cookie: a").build(&limits);
    assert_eq!(injected, Err(EventError::ControlCharacter { what: "name", character: 13 }));
    assert!(fine().field("a", "x\ny").build(&limits).is_err());
    assert_eq!(fine().id("").build(&limits), Err(EventError::Missing { what: "id" }));
    for name in RESERVED {
        let reserved = fine().field(name, 1).build(&limits);
        assert_eq!(reserved, Err(EventError::FieldReserved { name: name.into() }));
    }
    for name in ["", "A", "a-b", "ä", "a b"] {
        assert_eq!(fine().field(name, 1).build(&limits), Err(EventError::FieldName { name: name.into() }));
    }
    let twice = fine().field("a", 1).field("a", 2).build(&limits);
    assert_eq!(twice, Err(EventError::FieldTwice { name: "a".into() }));
}

#[test]
fn domain_and_type_do_not_run_into_each_other() {
    assert_ne!(kind_hash("ab", "c"), kind_hash("a", "bc"));
    assert_eq!(Reliability::from_name("persistent"), Some(Reliability::Persistent));
    assert_eq!(Reliability::from_name("always"), None);
}
