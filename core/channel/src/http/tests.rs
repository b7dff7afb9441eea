mod bench;

use super::*;
use crate::channel::{ChannelConfig, SupplierProxySpec};
use crate::engine::EngineConfig;
use crate::event::Reliability;
use crate::principal::{Principal, Rights};
use crate::qos::Qos;
use bench::{BATCH, Bench, STRUCTURED, at, event, parted};

#[test]
fn an_event_goes_in_and_comes_out() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("bob", "GET", "/channels/default/events?consumer=c", "", ""), (204, String::new()));
    let binary = "POST /channels/default/events HTTP/1.1\r\nHost: h\r\nAuthorization: bearer ann\r\n\
        ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\nCe-Subject: a%20b\r\nContent-Type: text/plain\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    assert_eq!(bench.give(binary.as_bytes()), "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(bench.post("ann", "2", ""), (202, String::new()));
    let batch = format!("[{},{}]", event("3", ""), event("4", r#","load":5"#));
    assert_eq!(bench.ask("ann", "POST", "/events", BATCH, &batch), (202, String::new()));
    let taken = bench.ask("bob", "GET", "/channels/default/events?consumer=c&max=3", "", "");
    let expected = r#"[{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"a b","deliveryoffset":"0","datacontenttype":"text/plain","data":"hello"},{"specversion":"1.0","id":"2","source":"/s","type":"t","deliveryoffset":"1"},{"specversion":"1.0","id":"3","source":"/s","type":"t","deliveryoffset":"2"}]"#;
    assert_eq!(taken, (200, expected.into()));
    let (status, body) = bench.ask("bob", "GET", "/events?consumer=c", "", "");
    assert!(status == 200 && body.contains(r#""load":5"#), "{body}");
    assert_eq!(bench.ask("bob", "GET", "/events?consumer=c", "", "").0, 204);
}

#[test]
fn persistent_events_are_acknowledged_when_they_are_written() {
    let mut bench = Bench::new();
    bench.ask("bob", "GET", "/events", "", "");
    assert_eq!(bench.post("ann", "1", r#","reliability":"persistent""#), (204, String::new()));
    bench.persisted = false;
    let reliable = r#","reliability":"persistent""#;
    let batch = format!("[{},{},{}]", event("2", reliable), event("3", ""), event("4", reliable));
    assert_eq!(bench.ask("ann", "POST", "/", BATCH, &batch), (0, String::new()));
    let id = bench.engine.default_channel();
    bench.engine.machine(id).unwrap().persisted(bench.now, 1);
    assert_eq!(bench.give(b""), "", "the last one is not written");
    bench.engine.machine(id).unwrap().persist_failed(bench.now, 3, 3);
    let (status, body) = parted(&bench.give(b""));
    assert!(status == 503 && body.contains(r#""accepted":2,"of":3,"lost":[2]"#), "{body}");
    assert_eq!(bench.post("ann", "5", reliable), (0, String::new()));
    let (status, body) = parted(&bench.pass(30_000));
    assert!(
        status == 503 && body.contains("not known in time") && body.contains(r#""accepted":0,"of":1"#),
        "{body}"
    );
}

#[test]
fn a_batch_without_room_says_how_many_were_taken() {
    let mut config = EngineConfig::default();
    config.default_channel = ChannelConfig { events_max: 2, ..config.default_channel };
    let mut bench = Bench::with(config, HttpLimits::default());
    let batch = format!("[{},{},{}]", event("1", ""), event("2", ""), event("3", ""));
    let text = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ann\r\nContent-Type: {BATCH}\r\nContent-Length: {}\r\n\r\n{batch}",
        batch.len()
    );
    let answer = bench.give(text.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nRetry-After: 1\r\n") && answer.contains(r#""accepted":2,"of":3}"#),
        "{answer}"
    );
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[test]
fn a_consumer_waits_until_something_comes_or_time_is_up() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("bob", "GET", "/events?wait=2.5", "", ""), (0, String::new()));
    assert_eq!(bench.face.next_timeout(), Some(at(2500)));
    let ann = Principal::new("ann", Rights::ALL);
    let id = bench.engine.default_channel();
    let made = crate::Event::builder("7", "s", "t").build(&Default::default()).unwrap();
    let mut emit = bench.engine.emit(&ann, id).unwrap();
    let shared = emit.shared();
    emit.push(at(0), shared, &[made]);
    let (status, body) = parted(&bench.give(b""));
    assert!(status == 200 && body.contains(r#""id":"7""#), "{body}");
    // A second request waits behind the one that waits, and is answered after it.
    let two = "GET /events?wait=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer bob\r\n\r\nGET /channels HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer bob\r\n\r\n";
    assert_eq!(bench.give(two.as_bytes()), "");
    assert_eq!(bench.pass(999), "");
    let both = bench.pass(1);
    assert!(both.starts_with("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n"), "{both}");
}

#[test]
fn deliveries_are_acknowledged_by_their_ids() {
    let mut bench = Bench::new();
    let made = bench.ask(
        "bob",
        "PUT",
        "/channels/default/consumers/c%201",
        "",
        r#"{"qos":{"acknowledgement":"explicit","tries_max":2,"backoff":0},"filter":"load > 3"}"#,
    );
    assert_eq!(made, (201, r#"{"first":0}"#.into()));
    for (id, load) in [("1", 5), ("2", 1), ("3", 6), ("4", 7)] {
        bench.post("ann", id, &format!(r#","load":{load}"#));
    }
    let (_, body) = bench.ask("bob", "GET", "/events?consumer=c+1", "", "");
    let ids: Vec<&str> =
        body.split("\"deliveryid\":\"").skip(1).map(|it| it.split('"').next().unwrap()).collect();
    assert_eq!(ids.len(), 3, "{body}");
    let orders = format!(
        r#"{{"acknowledge":["{}","9-9"],"reject":["{}"],"reject_for_good":["{}"]}}"#,
        ids[0], ids[1], ids[2]
    );
    let told = bench.ask("bob", "POST", "/channels/default/acknowledge?consumer=c%201", "", &orders);
    assert_eq!(told, (200, r#"{"acknowledged":1,"rejected":2,"unknown":["9-9"]}"#.into()));
    let (status, body) = bench.ask("bob", "GET", "/events?consumer=c%201", "", "");
    assert!(
        status == 200 && body.contains(r#""id":"3""#) && body.contains(r#""deliverytries":"1""#),
        "{body}"
    );
    let (_, body) = bench.ask("bob", "GET", "/channels/default/why?consumer=c%201", "", "");
    assert!(body.starts_with(r#"{"consumer":"c 1","reasons":[{"reason":"in_flight","events":1,"#), "{body}");
    let wrong = bench.ask(
        "bob",
        "POST",
        "/channels/default/acknowledge?consumer=c%201",
        "",
        r#"{"acknowledge":["1"]}"#,
    );
    assert_eq!(wrong.0, 400);
}

#[test]
fn channels_are_made_told_of_changed_and_deleted() {
    let mut bench = Bench::new();
    let put = bench.ask("root", "PUT", "/channels/a%2Fb", "", r#"{"events_max":10,"qos":{"weight":2}}"#);
    assert_eq!(put, (201, String::new()));
    assert_eq!(bench.ask("root", "PUT", "/channels/a%2Fb", "", "").0, 409);
    let (_, body) = bench.ask("root", "GET", "/channels", "", "");
    assert_eq!(
        body,
        r#"{"channels":[{"name":"default","is_default":true},{"name":"a/b","is_default":false}]}"#
    );
    let (_, body) = bench.ask("root", "GET", "/channels/a%2Fb", "", "");
    assert!(
        body.starts_with(r#"{"name":"a/b","config":{"qos":{"weight":2},"direct":[],"events_max":10,"#),
        "{body}"
    );
    let trial = bench.ask("root", "PATCH", "/channels/a%2Fb?validate=true", "", r#"{"qos":{"weight":9}}"#);
    assert!(trial.0 == 200 && trial.1.contains(r#""weight":9"#), "{trial:?}");
    let patch = bench.ask(
        "root",
        "PATCH",
        "/channels/a%2Fb",
        "",
        r#"{"qos":{"priority":3},"consumer_turns":"weighted"}"#,
    );
    assert!(
        patch.0 == 200 && patch.1.contains(r#""priority":3"#) && patch.1.contains(r#""weight":2"#),
        "{patch:?}"
    );
    let wrong = bench.ask("root", "PATCH", "/channels/a%2Fb", "", r#"{"qos":{"weight":0,"length_max":0}}"#);
    assert_eq!(wrong.0, 422);
    assert!(
        wrong.1.contains(r#""problems":[{"property":"length_max","value":0,"min":1,"max":16777216,"#),
        "{wrong:?}"
    );
    assert_eq!(bench.ask("root", "DELETE", "/channels/a%2Fb", "", "").0, 204);
    assert_eq!(bench.ask("root", "DELETE", "/channels/a%2Fb", "", "").0, 404);
    assert_eq!(bench.ask("root", "DELETE", "/channels/default", "", "").0, 409);
}

#[test]
fn consumers_are_ones_own() {
    let mut bench = Bench::new();
    bench.ask("bob", "PUT", "/channels/default/consumers/c", "", "");
    assert_eq!(bench.ask("bob", "PUT", "/channels/default/consumers/c", "", "").0, 409);
    let patch = bench.ask(
        "bob",
        "PATCH",
        "/channels/default/consumers/c",
        "",
        r#"{"qos":{"priority":1},"filter":"load > 1"}"#,
    );
    assert!(patch.0 == 200 && patch.1.contains(r#""priority":1"#), "{patch:?}");
    let wrong = bench.ask("bob", "PATCH", "/channels/default/consumers/c", "", r#"{"filter":"load >"}"#);
    assert!(wrong.0 == 400 && wrong.1.contains("filter: "), "{wrong:?}");
    assert_eq!(
        bench.ask("bob", "PATCH", "/channels/default/consumers/c", "", r#"{"is_durable":true}"#).0,
        400
    );
    let (_, body) = bench.ask("bob", "GET", "/channels/default/consumers/c", "", "");
    assert!(
        body.contains(r#""name":"c","owner":"bob","mode":"pull""#) && body.contains(r#""filter":"load > 1""#),
        "{body}"
    );
    let id = bench.engine.default_channel();
    let spec = SupplierProxySpec { name: "d".into(), owner: "eve".into(), ..SupplierProxySpec::default() };
    bench.engine.machine(id).unwrap().create_supplier_proxy(at(0), spec).unwrap();
    assert_eq!(bench.ask("bob", "GET", "/channels/default/consumers/d", "", "").0, 404);
    assert_eq!(bench.ask("root", "GET", "/channels/default/consumers/d", "", "").0, 200);
    let count = |body: &str| body.matches(r#""owner""#).count();
    assert_eq!(count(&bench.ask("bob", "GET", "/channels/default/consumers", "", "").1), 1);
    assert_eq!(count(&bench.ask("root", "GET", "/channels/default/consumers", "", "").1), 2);
    assert_eq!(bench.ask("root", "GET", "/events?consumer=d", "", "").0, 409, "it is pushed to");
    assert_eq!(bench.ask("bob", "DELETE", "/channels/default/consumers/c", "", "").0, 204);
    assert_eq!(bench.ask("bob", "DELETE", "/channels/default/consumers/c", "", "").0, 404);
}

#[test]
fn nobody_does_what_he_may_not() {
    let mut bench = Bench::new();
    assert_eq!(bench.post("eve", "1", "").0, 401);
    assert_eq!(Bench::new().post("", "1", "").0, 401);
    let table = [
        ("bob", "POST", "/", 403),
        ("ann", "GET", "/events", 403),
        ("ann", "GET", "/channels/default/consumers", 403),
        ("ann", "GET", "/channels/default", 200),
        ("ann", "PUT", "/channels/x", 403),
        ("ann", "DELETE", "/channels/default", 403),
        ("ann", "GET", "/channels/x", 403),
        ("root", "GET", "/channels/x", 404),
        ("root", "GET", "/x", 404),
        ("root", "PUT", "/channels", 405),
        ("root", "GET", "/channels?x=1", 400),
        ("root", "GET", "/events?max=0", 400),
        ("root", "GET", "/events?wait=61", 400),
        ("root", "GET", "/events?max=1&max=1", 400),
        ("root", "GET", "/channels/%ff", 400),
        ("root", "GET", "/channels/%", 400),
        ("root", "PUT", "/channels/%0d%0aX", 400),
    ];
    for (who, method, target, status) in table {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(who, method, target, "", "").0, status, "{who} {method} {target}");
    }
    let answer = Bench::new().give(b"GET /channels HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert!(answer.contains("\r\nWWW-Authenticate: Bearer\r\n"), "{answer}");
    let in_target = "GET /channels?access_token=bob HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(Bench::new().give(in_target.as_bytes()).starts_with("HTTP/1.1 200"));
}

#[test]
fn events_that_are_none_are_told_what_is_wrong() {
    let mut bench = Bench::new();
    let mut ask = |kind: &str, body: &str| bench.ask("ann", "POST", "/", kind, body);
    assert_eq!(ask("text/plain", "hello").0, 415);
    assert_eq!(ask("application/cloudevents+avro", "x").0, 415);
    let (status, body) = ask(STRUCTURED, "{");
    assert!(status == 400 && body.contains("malformed JSON"), "{body}");
    let (status, body) = ask(BATCH, &format!("[{},{{}}]", event("1", "")));
    assert!(
        status == 400 && body.contains("event 1 of the batch: attribute specversion is missing"),
        "{body}"
    );
    assert!(body.contains(r#""index":1,"accepted":0"#), "{body}");
    let long = "x".repeat(2000);
    assert_eq!(ask(STRUCTURED, &event(&long, "")).0, 413);
}

#[test]
fn senders_of_web_hooks_learn_whether_they_may_push() {
    let mut bench = Bench::new();
    let text = "OPTIONS /channels/default/events HTTP/1.1\r\nHost: h\r\nWebHook-Request-Origin: events.example.com\r\nWebHook-Request-Rate: 120\r\n\r\n";
    let expected = "HTTP/1.1 204 No Content\r\nAllow: GET, POST, OPTIONS\r\nWebHook-Allowed-Origin: events.example.com\r\nWebHook-Allowed-Rate: 60\r\n\r\n";
    assert_eq!(bench.give(text.as_bytes()), expected);
    let other = text.replace("events.example.com", "other.example.com");
    assert_eq!(bench.give(other.as_bytes()), "HTTP/1.1 204 No Content\r\nAllow: GET, POST, OPTIONS\r\n\r\n");
    assert!(bench.give(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 204"));
}

#[test]
fn byte_by_byte_is_as_all_at_once() {
    let body = event("1", "");
    let one = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ann\r\nContent-Type: {STRUCTURED}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let text = format!(
        "{one}{one}HEAD /channels HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ann\r\n\r\nGET / HTTP/1.1\n"
    );
    let whole = Bench::new().give(text.as_bytes());
    let mut bench = Bench::new();
    let single: String = text.bytes().map(|byte| bench.give(&[byte])).collect();
    assert_eq!(single, whole);
    assert_eq!(whole.matches("202 Accepted").count(), 2);
    assert!(whole.contains("400 Bad Request") && whole.contains("Connection: close"), "{whole}");
    assert!(bench.face.is_closed() && bench.face.next_timeout().is_none());
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let limits = HttpLimits { body_bytes_max: 10, ..HttpLimits::default() };
    let mut bench = Bench::with(EngineConfig::default(), limits);
    let head = "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ann\r\n";
    let answer = bench.give(format!("{head}Content-Length: 11\r\nExpect: 100-continue\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413") && bench.face.is_closed(), "{answer}");
    let mut bench = Bench::with(EngineConfig::default(), limits);
    let answer = bench.give(format!("{head}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n").as_bytes());
    assert_eq!(answer, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(bench.give(b"hello").starts_with("HTTP/1.1 415"));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n5\r\nabcde\r\n");
    assert!(bench.give(chunked.as_bytes()).starts_with("HTTP/1.1 413"));
    let mut bench = Bench::with(EngineConfig::default(), limits);
    let stranger = bench.give(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
    assert!(stranger.starts_with("HTTP/1.1 401") && bench.face.is_closed(), "no body is awaited");
}

#[test]
fn a_reader_who_does_not_read_is_not_written_to_without_end() {
    let limits = HttpLimits { output_bytes_max: 300, ..HttpLimits::default() };
    let mut bench = Bench::with(EngineConfig::default(), limits);
    let one = "GET /channels HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer bob\r\n\r\n";
    let many = one.repeat(2000);
    let taken = bench.face.receive(at(0), many.as_bytes(), &mut bench.engine, &bench.access);
    assert!(taken < many.len() && !bench.face.wants_bytes());
    let first = bench.face.poll_output().unwrap();
    assert!(first.len() < 600, "{}", first.len());
    let rest = bench.give(&many.as_bytes()[taken..]);
    let whole = String::from_utf8(first).unwrap() + &rest;
    assert_eq!(whole.matches("HTTP/1.1 200 OK").count(), 2000);
}

#[test]
fn time_ends_what_does_not_go_on() {
    let mut bench = Bench::new();
    assert_eq!(bench.face.next_timeout(), Some(at(90_000)));
    bench.pass(1000);
    assert_eq!(bench.give(b"GET / HT"), "");
    assert_eq!(bench.face.next_timeout(), Some(at(31_000)));
    assert_eq!(bench.pass(29_999), "");
    assert!(bench.pass(1).starts_with("HTTP/1.1 408"));
    assert!(bench.face.is_closed());
    let mut bench = Bench::new();
    assert_eq!((bench.pass(90_000), bench.face.is_closed()), (String::new(), true));
}

#[test]
fn old_clients_are_kept_only_when_they_ask() {
    let mut bench = Bench::new();
    let kept =
        bench.give(b"GET /channels HTTP/1.0\r\nAuthorization: Bearer bob\r\nConnection: keep-alive\r\n\r\n");
    assert!(kept.contains("\r\nConnection: keep-alive\r\n") && !bench.face.is_closed(), "{kept}");
    let last = bench.give(b"GET /channels HTTP/1.0\r\nAuthorization: Bearer bob\r\n\r\n");
    assert!(last.contains("\r\nConnection: close\r\n") && bench.face.is_closed(), "{last}");
}

#[test]
fn a_batch_ends_where_it_is_long_enough() {
    let limits = HttpLimits { pull_bytes_max: 100, ..HttpLimits::default() };
    let mut bench = Bench::with(EngineConfig::default(), limits);
    bench.ask("bob", "PUT", "/channels/default/consumers/default", "", "");
    for id in ["1", "2", "3"] {
        bench.post("ann", id, "");
    }
    let counts =
        [(); 3].map(|()| bench.ask("bob", "GET", "/events", "", "").1.matches("specversion").count());
    assert_eq!(counts, [2, 1, 0]);
}

#[test]
fn a_channels_reliability_holds_for_events_that_say_nothing() {
    let mut config = EngineConfig::default();
    config.default_channel.qos = Qos { reliability: Some(Reliability::Persistent), ..Qos::default() };
    let mut bench = Bench::with(config, HttpLimits::default());
    assert_eq!(bench.post("ann", "1", "").0, 204);
}
