//! What goes to disk, who waits for it, and what comes back.

use super::super::*;
use super::world::{World, event, open};
use crate::participant::{News, SupplyConfig};
use crate::wire::Code;

fn durable() -> World {
    let mut world = World::new(HubConfig { is_durable: true, linger: Duration::from_secs(1), ..open() }, 11);
    world.settle();
    records(&mut world);
    world
}

/// The records that wait to be written.
fn records(world: &mut World) -> Vec<Record> {
    let all = std::iter::from_fn(|| world.hub.poll_persist());
    let records = all.map(|it| if let Persist::Record(record) = it { record } else { panic!("{it:?}") });
    records.collect()
}

/// Asks, says that what is to be written is or is not; the answer, and the records.
fn ask(world: &mut World, who: usize, json: &str, is_written: bool) -> (Result<String, String>, Vec<Record>) {
    let request = world.at(who).ask(json);
    world.settle();
    assert_eq!(answers(world, who, request), [], "nobody is told before it is on disk");
    let records = records(world);
    for record in &records {
        world.hub.recorded(world.now, *record, is_written);
    }
    world.settle();
    (answers(world, who, request).remove(0), records)
}

fn answers(world: &mut World, who: usize, request: u64) -> Vec<Result<String, String>> {
    let of = |news| match news {
        News::Answer { request: it, result } if it == request => Some(result.map_err(|it| it.json)),
        _ => None,
    };
    world.news(who).into_iter().filter_map(of).collect()
}

#[test]
fn channels_are_on_disk_before_they_are_there_for_anybody_who_asked() {
    let mut world = durable();
    let admin = world.join("", "admin");
    let create = r#"{"op":"create","channel":"load","config":{"retention_events_max":7}}"#;
    let (answer, records) = ask(&mut world, admin, create, true);
    let id = world.hub.engine().find("load").unwrap();
    assert_eq!((answer, records), (Ok("{}".into()), vec![Record::Channel(id)]));
    let (name, config) = world.hub.describe_channel(id).unwrap();
    assert!(&*name == "load" && config.contains("\"retention_events_max\":7"), "{config}");
    // What was changed is written again, and stays when that fails.
    assert_eq!(world.ask(admin, r#"{"op":"set","channel":"load","qos":{"priority":3}}"#), Ok("{}".into()));
    assert_eq!(self::records(&mut world), [Record::Channel(id)]);
    world.hub.recorded(world.now, Record::Channel(id), false);
    assert!(world.hub.engine().find("load").is_some());
    let (answer, records) = ask(&mut world, admin, r#"{"op":"delete","channel":"load"}"#, true);
    assert_eq!((answer, records), (Ok("{}".into()), vec![Record::ChannelGone(id)]));
    let (answer, _) = ask(&mut world, admin, create, false);
    assert!(answer.unwrap_err().contains("not_written"));
    assert!(world.hub.engine().find("load").is_none());
}

#[test]
fn over_http_too_nothing_is_there_before_it_is_on_disk() {
    let mut world = durable();
    let http = world.hub.connect_http(world.now).unwrap();
    let ask = |world: &mut World, request: &str, is_written: bool| -> String {
        let bytes =
            format!("{request} HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n{{\"is_durable\": true}}");
        let bytes = if request.contains("consumers") {
            bytes
        } else {
            format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n")
        };
        world.hub.receive_http(world.now, http, bytes.as_bytes());
        world.settle();
        assert!(world.hub.poll_http(world.now).is_none(), "{request}");
        for record in records(world) {
            world.hub.recorded(world.now, record, is_written);
        }
        let (_, answer) = world.hub.poll_http(world.now).expect("an answer");
        String::from_utf8(answer).unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    let statuses: Vec<String> = [
        ("PUT /channels/a", true),
        ("PUT /channels/b", false),
        ("PUT /channels/a/consumers/c", true),
        ("PUT /channels/a/consumers/d", false),
    ]
    .map(|(request, is_written)| ask(&mut world, request, is_written))
    .into();
    assert_eq!(statuses, ["201", "503", "201", "503"]);
    let id = world.hub.engine().find("a").unwrap();
    assert_eq!(world.hub.engine().machine(id).unwrap().supplier_proxies().count(), 1);
    assert!(world.hub.engine().find("b").is_none());
    assert_eq!(ask(&mut world, "DELETE /channels/a", true), "204");
    // What does not come in time is not known.
    world.hub.receive_http(world.now, http, b"PUT /channels/c HTTP/1.1\r\nHost: h\r\n\r\n");
    world.pass(HttpLimits::default().write_timeout);
    let (_, answer) = world.hub.poll_http(world.now).expect("an answer");
    assert!(String::from_utf8(answer).unwrap().starts_with("HTTP/1.1 503"));
}

#[test]
fn durable_consumers_with_a_name_are_kept_and_outlive_their_links() {
    let mut world = durable();
    let reader = world.join("", "reader");
    let spec = r#""name":"steady","spec":{"is_durable":true,"filter":"true"}"#;
    world.at(reader).consume(r#""name":"passing""#);
    world.at(reader).consume(r#""spec":{"is_durable":true}"#);
    let handle = world.at(reader).consume(spec);
    world.settle();
    let [Record::Consumer(channel, proxy)] = records(&mut world)[..] else { panic!("one is kept") };
    world.hub.recorded(world.now, Record::Consumer(channel, proxy), true);
    let (owner, name, json) = world.hub.describe_consumer(channel, proxy).unwrap();
    assert_eq!((&*owner, &*name), ("anybody", "steady"));
    assert!(json.contains("\"filter\":\"true\"") && !json.contains("steady"), "{json}");
    world.cut(reader);
    world.pass(Duration::from_secs(5));
    let names = |world: &mut World| -> Vec<String> {
        let machine = world.hub.engine().machine(channel).unwrap();
        machine.supplier_proxies().map(|(_, spec)| spec.name.to_string()).collect()
    };
    assert_eq!(names(&mut world), ["steady"]);
    world.link(reader);
    world.settle();
    world.at(reader).close(handle);
    world.settle();
    assert_eq!(records(&mut world), [Record::ConsumerGone(channel, proxy)]);
    // One that cannot be written is not made.
    let handle = world.at(reader).consume(spec);
    world.settle();
    world.news(reader);
    let [record] = records(&mut world)[..] else { panic!("one is to be kept") };
    world.hub.recorded(world.now, record, false);
    world.settle();
    let news = world.news(reader);
    let is_refused =
        |it: &News| matches!(it, News::Answer { result: Err(it), .. } if it.json.contains("not_written"));
    let is_gone = |it: &News| matches!(it, News::Gone { handle: it, .. } if *it == handle);
    assert!(news.iter().any(|it| is_refused(it) || is_gone(it)), "{news:?}");
    assert!(!names(&mut world).contains(&"steady".into()));
}

#[test]
fn what_was_kept_comes_back_with_its_place_in_the_order() {
    let mut world = durable();
    let (now, hub) = (world.now, &mut world.hub);
    let id = hub.restore_channel("load", r#"{"repeats_window":10,"seed":3}"#).unwrap();
    for offset in [4, 6, 7] {
        hub.restore_event(id, offset, now, event(offset.to_string()));
    }
    hub.restore_next(id, 20);
    hub.restore_consumer(now, id, ("anybody", "steady"), r#"{"is_durable":true}"#, 6).unwrap();
    assert!(hub.restore_channel("load", "{}").unwrap_err().to_string().contains("load"));
    let error = hub.restore_consumer(now, id, ("a", "b"), r#"{"filter":"("}"#, 0).unwrap_err();
    assert!(error.to_string().contains("filter"), "{error}");
    hub.restored(now, id);
    world.settle();
    assert_eq!(records(&mut world), [], "it is on disk already");
    let reader = world.join("", "reader");
    world.at(reader).consume(r#""channel":"load","name":"steady""#);
    let supplier = world.join("", "supplier");
    let supply = world.at(supplier).supply(r#""channel":"load""#, SupplyConfig::default());
    world.settle();
    world.at(supplier).emit(supply, &[event("7"), event("new")]).unwrap();
    world.settle();
    let taken = world.taken(reader);
    let seen: Vec<_> = taken.iter().map(|it| (it.offset, it.event.id().to_string())).collect();
    assert_eq!(seen, [(6, "6".into()), (7, "7".into()), (20, "new".into())]);
}

#[test]
fn a_member_of_a_consumer_group_is_kept_with_what_the_group_wants() {
    let mut world = durable();
    let reader = world.join("", "reader");
    let spec = |name: &str, filter: &str| {
        format!(r#""name":"{name}","spec":{{"is_durable":true,"consumer_group":"g"{filter}}}"#)
    };
    let filter = r#","filter":"id == '1'""#;
    let first = world.at(reader).consume(&spec("first", filter));
    world.at(reader).consume(&spec("second", ""));
    world.at(reader).consume(&spec("third", filter));
    world.settle();
    world.at(reader).close(first);
    world.settle();
    let mut again = Hub::new(HubConfig { is_durable: true, ..open() }).unwrap();
    let id = again.engine().default_channel();
    let now = world.now;
    again.restore_next(id, 0);
    let mut count = 0;
    for record in records(&mut world) {
        let Record::Consumer(channel, proxy) = record else { continue };
        let Some((owner, name, spec)) = world.hub.describe_consumer(channel, proxy) else { continue };
        assert!(spec.contains("id == '1'"), "{name}: {spec}");
        again.restore_consumer(now, id, (&owner, &name), &spec, 0).unwrap();
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn a_disk_that_fails_refuses_what_is_to_be_kept_and_says_why() {
    let mut world = durable();
    let admin = world.join("", "admin");
    world.at(admin).consume("");
    let supply = world.at(admin).supply("", SupplyConfig::default());
    let persistent =
        event("p").to_builder().reliability(crate::Reliability::Persistent).build(&EventLimits::default());
    let persistent = persistent.unwrap();
    world.settle();
    world.at(admin).emit(supply, std::slice::from_ref(&persistent)).unwrap();
    world.settle();
    world.news(admin);
    world.hub.set_failure(world.now, "the disk is full: make room, then start anew");
    world.settle();
    world.at(admin).emit(supply, &[persistent, event("q")]).unwrap();
    world.settle();
    let lost = |number| News::Lost { handle: supply, number, code: Code::NotWritten };
    assert_eq!(world.news(admin), [lost(0), lost(1)]);
    assert_eq!(world.ids(admin), ["q"]);
    assert_eq!((world.hub.stats().written, world.hub.stats().not_written), (0, 2));
    let error = world.ask(admin, r#"{"op":"create","channel":"x"}"#).unwrap_err();
    assert!(error.contains("not_written") && error.contains("the disk is full"), "{error}");
    let described = world.ask(admin, r#"{"op":"describe"}"#).unwrap();
    assert!(described.contains(r#""is_durable":true,"failure":"the disk is full"#), "{described}");
    let why = world.ask(admin, r#"{"op":"why","handle":1}"#).unwrap();
    assert!(why.contains("the disk is full"), "{why}");
}

#[test]
fn a_durable_web_hook_goes_on_where_it_was_and_with_its_secrets() {
    let mut world = durable();
    let admin = world.join("", "admin");
    let spec = r#"{"is_durable":true,"hook":{"url":"http://127.0.0.1:9/in?key=secret","token":"t0ken"}}"#;
    let hook = format!(r#"{{"op":"hook","name":"there","spec":{spec}}}"#);
    let (answer, records) = ask(&mut world, admin, &hook, true);
    let [Record::Consumer(channel, proxy)] = records[..] else { panic!("{records:?}") };
    assert_eq!(answer, Ok(r#"{"first":0}"#.into()));
    let described = world.ask(admin, r#"{"op":"describe"}"#).unwrap();
    assert!(described.contains("http://127.0.0.1:9/in\"") && !described.contains("t0ken"), "{described}");
    let (owner, name, spec) = world.hub.describe_consumer(channel, proxy).unwrap();

    let restored = |config: HubConfig| {
        let mut hub = Hub::new(HubConfig { is_durable: true, ..config }).unwrap();
        let id = hub.engine().default_channel();
        hub.restore_next(id, 5);
        hub.restore_consumer(world.now, id, (&owner, &name), &spec, 3).unwrap();
        hub.restored(world.now, id);
        hub.pump(world.now, 10);
        let mut orders = std::iter::from_fn(|| hub.poll_hook()).map(|(_, order)| order);
        let address = "127.0.0.1:9".parse().unwrap();
        orders.any(|order| order == crate::hook::Order::Connect(address))
    };
    assert!(spec.contains("key=secret") && spec.contains("t0ken"));
    assert!(restored(open()), "it is asked again");
    let hooks = HookConfig { targets: crate::hook::HookTargets::Nowhere, ..HookConfig::default() };
    assert!(!restored(HubConfig { hooks, ..open() }), "it may not lead there any more");
}
