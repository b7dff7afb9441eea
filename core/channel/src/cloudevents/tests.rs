use super::*;
use crate::event::{Event, EventError, EventLimits, FieldValue, Reliability};
use crate::json::JsonError;
use clustercore_proto::time::Instant;

const LIMITS: EventLimits = EventLimits {
    attribute_bytes_max: 1024,
    fields_max: 8,
    field_name_bytes_max: 20,
    field_bytes_max: 4096,
    body_bytes_max: 4096,
    event_bytes_max: 1 << 16,
};

fn full() -> Event {
    let builder = Event::builder("e1", "/node/7", "load.changed")
        .domain("performance")
        .name("cpu \u{20ac}")
        .content_type("application/json")
        .schema("https://example.org/load")
        .time(Instant::from_nanos(5))
        .priority(200)
        .expiry(Instant::from_nanos(9_000_000_000))
        .start(Instant::from_nanos(7))
        .reliability(Reliability::Persistent)
        .key("node7")
        .sequence(u64::MAX)
        .field("load", 0.75)
        .field("cores", 8)
        .field("large", i64::MIN)
        .field("healthy", true)
        .field("zone", "east \"1\"")
        .field("raw", &b"\x00\x01"[..])
        .field("seen", Instant::from_nanos(1_500_000_000));
    builder.body(&b"{\"a\": [1, 2.50]}"[..]).build(&LIMITS).unwrap()
}

fn headers(event: &Event) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    encode_headers(event, |name, value| fields.push((name.into(), value.into())));
    fields
}

fn from_headers(fields: &[(&str, &str)], body: &[u8]) -> Result<Event, CloudEventError> {
    decode_binary(fields.iter().map(|(name, value)| (*name, value.as_bytes())), body, &LIMITS)
}

fn from_json(text: &str) -> Result<Event, CloudEventError> {
    decode_json(text.as_bytes(), &LIMITS)
}

/// An event of JSON with further members.
fn json_with(members: &str) -> Result<Event, CloudEventError> {
    from_json(&format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t"{members}}}"#))
}

const BARE: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "s"), ("ce-type", "t")];

#[test]
fn every_attribute_has_its_place_in_json() {
    let mut out = String::new();
    encode_json(&full(), &mut out);
    let expected = concat!(
        r#"{"specversion":"1.0","id":"e1","source":"/node/7","type":"load.changed","subject":"cpu €","#,
        r#""dataschema":"https://example.org/load","domain":"performance","time":"1970-01-01T00:00:00.000000005Z","#,
        r#""expirytime":"1970-01-01T00:00:09Z","starttime":"1970-01-01T00:00:00.000000007Z","priority":200,"#,
        r#""reliability":"persistent","partitionkey":"node7","sequence":"18446744073709551615","load":"0.75","#,
        r#""cores":8,"large":"-9223372036854775808","healthy":true,"zone":"east \"1\"","raw":"AAE=","#,
        r#""seen":"1970-01-01T00:00:01.5Z","fieldtypes":"load:float,large:int,raw:bytes,seen:time","#,
        r#""datacontenttype":"application/json","data":{"a": [1, 2.50]}}"#,
    );
    assert_eq!(out, expected);
    assert_eq!(from_json(&out).as_ref(), Ok(&full()));
}

#[test]
fn every_attribute_has_its_field_in_binary_mode() {
    let fields = headers(&full());
    let value = |name: &str| fields.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
    assert_eq!(value("content-type"), Some("application/json"));
    assert_eq!(value("ce-subject"), Some("cpu%20%E2%82%AC"));
    assert_eq!(value("ce-priority"), Some("200"));
    assert_eq!(value("ce-datacontenttype"), None);
    let types = "load:float,cores:int,large:int,healthy:bool,raw:bytes,seen:time";
    assert_eq!(value("ce-fieldtypes"), Some(types));
    let lent = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    assert_eq!(decode_binary(lent, full().body(), &LIMITS), Ok(full()));
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let mut writer = BatchWriter::default();
    writer.push(&full(), &[]);
    writer.push(&full(), &[("zone", "west"), ("deliveryid", "1-2")]);
    assert_eq!((writer.len(), writer.is_empty()), (2, false));
    let text = writer.finish();
    let narrow = decode_batch(text.as_bytes(), &EventLimits { fields_max: 7, ..LIMITS }, 2).unwrap_err();
    assert!(narrow.is_too_large() && narrow.to_string().starts_with("event 1 of the batch: "), "{narrow}");
    let events = decode_batch(text.as_bytes(), &LIMITS, 2).unwrap();
    assert_eq!(events[0], full());
    let zone = events[1].fields().iter().filter(|field| &*field.name == "zone").map(|field| &field.value);
    assert_eq!(zone.collect::<Vec<_>>(), [&FieldValue::Text("west".into())]);
    let too_many = decode_batch(text.as_bytes(), &LIMITS, 1);
    assert_eq!(too_many, Err(CloudEventError::TooManyEvents { max: 1 }));
    let second = decode_batch(br#"[{"specversion":"1.0","id":"1","source":"s","type":"t"},{}]"#, &LIMITS, 9);
    assert!(matches!(second, Err(CloudEventError::InBatch { index: 1, .. })), "{second:?}");
    assert_eq!(BatchWriter::default().finish(), "[]");
    assert_eq!(decode_batch(b" [ ] ", &LIMITS, 0), Ok(vec![]));
}

#[test]
fn bodies_go_as_what_they_are() {
    let body_of = |content_type: &str, body: &[u8]| {
        let event =
            Event::builder("1", "s", "t").content_type(content_type).body(body).build(&LIMITS).unwrap();
        let mut out = String::new();
        encode_json(&event, &mut out);
        let again = from_json(&out).unwrap();
        assert_eq!((again.body(), again.content_type()), (event.body(), event.content_type()), "{out}");
        let at = out.find("\"data").filter(|_| out.contains("\"data\"") || out.contains("\"data_base64\""));
        let data = out.rfind("\"data\":").or(out.rfind("\"data_base64\":"));
        data.filter(|_| at.is_some()).map_or(String::new(), |at| out[at..out.len() - 1].into())
    };
    assert_eq!(body_of("application/json", b"null"), r#""data":null"#);
    assert_eq!(body_of("application/json", b"\"x\""), r#""data":"x""#);
    assert_eq!(body_of("application/json", b"{x"), r#""data_base64":"e3g=""#);
    assert_eq!(body_of("text/plain", "é\"".as_bytes()), r#""data":"é\"""#);
    assert_eq!(body_of("text/x+json", b"x"), r#""data_base64":"eA==""#);
    assert_eq!(body_of("text/json", b"[1]"), r#""data":[1]"#);
    assert_eq!(body_of("text/plain", b"\xff"), r#""data_base64":"/w==""#);
    assert_eq!(body_of("text/plain; charset=latin1", b"a"), r#""data_base64":"YQ==""#);
    assert_eq!(body_of("application/octet-stream", b"a"), r#""data_base64":"YQ==""#);
    assert_eq!(body_of("", b"{}"), r#""data_base64":"e30=""#);
    assert_eq!(body_of("application/json", b""), "");
}

#[test]
fn data_is_read_by_its_content_type() {
    let implied = json_with(r#","data":"just a string""#).unwrap();
    assert_eq!(
        (&**implied.body(), &**implied.content_type()),
        (&b"\"just a string\""[..], "application/json")
    );
    let xml = json_with(r#","datacontenttype":"application/xml","data":"<a b=\"c\"/>""#).unwrap();
    assert_eq!(&**xml.body(), b"<a b=\"c\"/>");
    for members in [
        r#","data":1,"data_base64":"YQ==""#,
        r#","data_base64":"YQ""#,
        r#","data_base64":1"#,
        r#","data_base64":"Y Q=""#,
        r#","datacontenttype":"text/plain","data":{}"#,
        r#","datacontenttype":"text/plain;charset=utf-16","data":"a""#,
        r#","datacontenttype":"text/plain","data":"\udc00""#,
    ] {
        assert!(json_with(members).is_err(), "{members}");
    }
}

#[test]
fn a_known_event_of_others_is_read() {
    let text = r#"{
        "specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext", "subject": null,
        "id" : "C234-1234-1234", "time" : "2018-04-05T17:31:00Z", "comexampleextension1" : "value",
        "comexampleothervalue" : 5, "unsetextension": null, "datacontenttype" : "application/json",
        "data" : { "appinfoA" : "abc" } }"#;
    let event = from_json(text).unwrap();
    assert_eq!(event.fields().len(), 2);
    assert_eq!(event.fields()[1].value, FieldValue::Int(5));
    assert_eq!(&**event.body(), br#"{ "appinfoA" : "abc" }"#);
    assert_eq!((&**event.name(), event.time().unwrap().as_nanos()), ("", 1_522_949_460_000_000_000));
}

#[test]
fn what_is_wrong_is_named() {
    let wrong = |members: &str| json_with(members).unwrap_err().to_string();
    let table = [
        (r#","priority":256"#, r#"attribute priority is "256", wanted is a number from 0 to 255"#),
        (r#","priority":true"#, r#"attribute priority is "true", wanted is a number from 0 to 255"#),
        (r#","subject":"""#, "attribute subject is empty: leave it out or give it a value"),
        (r#","subject":5"#, r#"attribute subject is "5", wanted is a text"#),
        (
            r#","time":"yesterday""#,
            r#"attribute time is "yesterday", wanted is a timestamp of RFC 3339 between 1970 and 2554"#,
        ),
        (
            r#","reliability":"always""#,
            r#"attribute reliability is "always", wanted is besteffort or persistent"#,
        ),
        (r#","sequence":"-1""#, r#"attribute sequence is "-1", wanted is a decimal number"#),
        (r#","Load":1"#, r#"attribute name "Load" is not made of the letters a to z and digits"#),
        (
            r#","load":0.5"#,
            "load is 0.5, wanted is true, false, a text, or a whole number of 64 bits: send others as text",
        ),
        (
            r#","load":[]"#,
            "load is [], wanted is true, false, a text, or a whole number of 64 bits: send others as text",
        ),
        (r#","id":"2""#, r#"member "id" is given twice: give it once"#),
        (r#","name":"x""#, r#"field name "name" is that of an attribute: choose another"#),
        (
            r#","a":"x","fieldtypes":"a:int""#,
            r#"attribute a is "x", wanted is a value of the type that fieldtypes names"#,
        ),
        (
            r#","a":"x","fieldtypes":"a""#,
            r#"attribute fieldtypes is "a", wanted is NAME:TYPE, and commas between them"#,
        ),
        (
            r#","a":1,"fieldtypes":"a:time""#,
            r#"attribute fieldtypes is "a:time", wanted is the type that the field has already"#,
        ),
    ];
    for (members, message) in table {
        assert_eq!(wrong(members), message);
    }
    let missing = |text| from_json(text).unwrap_err();
    assert_eq!(
        missing(r#"{"id":"1","source":"s","type":"t"}"#),
        CloudEventError::Missing { name: "specversion" }
    );
    assert_eq!(
        missing(r#"{"specversion":"1.0","id":"1","type":"t"}"#),
        CloudEventError::Missing { name: "source" }
    );
    assert_eq!(missing(r#"{"specversion":"0.3"}"#), CloudEventError::Version { value: "0.3".into() });
    let encoding = decode_json(b"{\"\xff\":1}", &LIMITS).unwrap_err();
    assert_eq!(encoding, CloudEventError::Json(JsonError::Encoding { valid: 2 }));
}

#[test]
fn fields_of_binary_mode_are_held_to_the_binding() {
    let with = |field: (&'static str, &'static str)| {
        let fields: Vec<_> = BARE.into_iter().chain([field]).collect();
        from_headers(&fields, b"")
    };
    let fine = with(("CE-Subject", "\"a b\" %41")).unwrap();
    assert_eq!(&**fine.name(), "a b A");
    assert!(with(("accept", "\u{ff}")).is_ok() && with(("c", "")).is_ok());
    for (name, value) in [
        ("ce-id", "2"),
        ("ce-subject", "%"),
        ("ce-subject", "\u{e9}"),
        ("ce-subject", "%0d%0aSet-Cookie:%20a"),
        ("ce-datacontenttype", "text/plain"),
        ("ce-a-b", "1"),
        ("ce-", "1"),
        ("ce-data", "1"),
        ("ce-priority", "+5"),
        ("ce-priority", ""),
        ("content-type", ""),
        ("content-type", "\u{e9}"),
    ] {
        assert!(with((name, value)).is_err(), "{name}: {value}");
    }
    assert_eq!(from_headers(&BARE[1..], b""), Err(CloudEventError::Missing { name: "specversion" }));
    let large = from_headers(&BARE, &[0; 4097]).unwrap_err();
    assert!(large.is_too_large());
    assert_eq!(large, EventError::TooLong { what: "body", len: 4097, max: 4096 }.into());
}

#[test]
fn an_event_about_events_goes_in_structured_mode() {
    let of = |content_type: &str| {
        Event::builder("1", "s", "t").content_type(content_type).build(&EventLimits::default()).unwrap()
    };
    for content_type in [MEDIA_TYPE, BATCH_MEDIA_TYPE, "application/cloudevents+avro", "a/\u{e9}", " a/b"] {
        assert!(!fits_binary(&of(content_type)), "{content_type}");
    }
    assert!(fits_binary(&of("")) && fits_binary(&of("text/plain; charset=utf-8")));
}
