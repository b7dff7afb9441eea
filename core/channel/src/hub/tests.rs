mod groups;
mod hooks;
mod limits;
mod record;
mod world;

use super::*;
use crate::participant::{News, SupplyConfig};
use crate::principal::{Principal, Right, Rights};
use crate::wire::Code;
use world::{World, event, events, open};

#[test]
fn what_one_emits_all_who_want_it_get_in_order_and_it_is_written_once() {
    let mut world = World::new(open(), 1);
    let consumers: Vec<usize> = (0..5).map(|_| world.join("", "consumer")).collect();
    consumers.iter().for_each(|it| assert_eq!(world.at(*it).consume(""), 1));
    let odd = world.join("", "odd");
    world.at(odd).consume(r#""spec":{"filter":"id.endsWith('1')"}"#);
    let supplier = world.join("", "supplier");
    let handle = world.at(supplier).supply("", SupplyConfig::default());
    world.settle();
    world.at(supplier).emit(handle, &events(0..100)).unwrap();
    world.settle();
    let all: Vec<String> = (0..100).map(|it| it.to_string()).collect();
    for consumer in consumers {
        assert_eq!(world.ids(consumer), all);
    }
    assert_eq!(world.ids(odd), ["1", "11", "21", "31", "41", "51", "61", "71", "81", "91"]);
    let stats = world.hub.stats();
    assert_eq!((stats.taken, stats.delivered), (100, 510));
    // Two batches of 64 at most, written for the first and shared by four; and those of the filter.
    assert_eq!((stats.shared, stats.batches), (8, 3));
}

#[test]
fn who_does_not_say_who_he_is_is_sent_away_and_rights_hold() {
    let ann = Principal::new("ann", Rights::NONE.and(Right::Consume));
    let access = Access::new().with_token("reader", ann);
    let mut world = World::new(HubConfig { access, ..HubConfig::default() }, 2);
    let wrong = world.join("guess", "mallory");
    world.settle();
    let [News::Bye { message }] = &world.news(wrong)[..] else { panic!("no Bye") };
    assert!(message.contains("secret"), "{message}");
    assert_eq!((world.hub.sessions(), world.hub.stats().violations), (0, 1));

    let ann = world.join("reader", "");
    world.at(ann).consume("");
    let handle = world.at(ann).supply("", SupplyConfig::default());
    world.settle();
    let news = world.news(ann);
    assert_eq!(news[0], News::Welcome { principal: "ann".into() });
    assert!(
        matches!(&news[1], News::Gone { handle: it, message } if *it == handle && message.contains("denied"))
    );
    assert!(world.ask(ann, r#"{"op":"create","channel":"x"}"#).unwrap_err().contains("denied"));
    assert!(world.ask(ann, r#"{"op":"describe"}"#).unwrap_err().contains("denied"));

    let rude = world.hub.connect(world.now).unwrap();
    assert!(!world.hub.receive(world.now, rude, &[1, 0, 0, 0, 0x7f]));
    assert!(!world.hub.receive(world.now, rude, &[1, 0, 0, 0, 0x7f]), "nothing more is read");
}

#[test]
fn a_consumer_with_a_name_misses_nothing_while_its_link_is_exchanged() {
    let mut world = World::new(open(), 6);
    let consumer = world.join("", "consumer");
    let spec = r#""name":"steady","spec":{"qos":{"acknowledgement":"explicit"}}"#;
    let handle = world.at(consumer).consume(spec);
    let supplier = world.join("", "supplier");
    let supply = world.at(supplier).supply("", SupplyConfig::default());
    world.settle();
    world.at(supplier).emit(supply, &events(0..10)).unwrap();
    world.settle();
    let first = world.taken(consumer);
    assert_eq!(first.len(), 10);
    let names: Vec<_> = first.iter().take(4).filter_map(|it| it.delivery).collect();
    world.at(consumer).acknowledge(handle, &names);
    world.settle();
    world.cut(consumer);
    world.at(supplier).emit(supply, &events(10..15)).unwrap();
    world.settle();
    world.link(consumer);
    world.settle();
    let mut again = world.taken(consumer);
    again.sort_by_key(|it| it.offset);
    let ids: Vec<String> = again.iter().map(|it| it.event.id().to_string()).collect();
    assert_eq!(ids, (4..15).map(|it| it.to_string()).collect::<Vec<_>>());
    assert_eq!(again.iter().map(|it| it.tries.min(1)).sum::<u16>(), 6, "six of them a second time");
    // Nobody can take its place while it is there, and after its time it is gone.
    let other = world.join("", "other");
    world.at(other).consume(spec);
    world.settle();
    assert!(
        world
            .news(other)
            .iter()
            .any(|it| matches!(it, News::Gone { message, .. } if message.contains("in_use")))
    );
    world.cut(consumer);
    world.pass(Duration::from_secs(31));
    assert!(world.ask(other, r#"{"op":"why","consumer":"steady"}"#).unwrap_err().contains("no_such_proxy"));
}

#[test]
fn a_consumer_whose_earlier_connection_is_still_there_asks_again_for_a_while() {
    let mut world = World::new(open(), 9);
    let consumer = world.join("", "consumer");
    world.at(consumer).consume(r#""name":"steady","spec":{"qos":{"acknowledgement":"explicit"}}"#);
    world.settle();
    // The server does not hear that the link is gone.
    let earlier = world.links[consumer].1.unwrap();
    world.at(consumer).link_lost();
    world.link(consumer);
    world.settle();
    let supplier = world.join("", "supplier");
    let supply = world.at(supplier).supply("", SupplyConfig::default());
    world.at(supplier).emit(supply, &events(0..3)).unwrap();
    world.settle();
    world.pass(Duration::from_secs(1));
    assert_eq!(world.ids(consumer), [""; 0], "they went into the earlier connection");
    world.hub.disconnect(world.now, earlier);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.ids(consumer), ["0", "1", "2"]);
    assert!(!world.news(consumer).iter().any(|it| matches!(it, News::Gone { .. })));
    // It gives up when the earlier one stays.
    world.at(consumer).link_lost();
    world.link(consumer);
    for _ in 0..500 {
        world.pass(Duration::from_millis(200));
    }
    let news = world.news(consumer);
    assert!(news.iter().any(|it| matches!(it, News::Gone { message, .. } if message.contains("in_use"))));
}

#[test]
fn all_four_mixes_of_push_and_pull_carry_events() {
    for (pulled, pulls) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut world = World::new(open(), 7);
        let mode = |is: bool| if is { r#""spec":{"mode":"pull"}"# } else { "" };
        let consumer = world.join("", "consumer");
        let consume = world.at(consumer).consume(mode(pulls));
        let supplier = world.join("", "supplier");
        let supply = world.at(supplier).supply(mode(pulled), SupplyConfig::default());
        world.settle();
        if pulled {
            let wanted = world.news(supplier);
            assert!(
                wanted.iter().any(|it| matches!(it, News::Wanted { handle, max: 64 } if *handle == supply))
            );
        }
        world.at(supplier).emit(supply, &events(0..3)).unwrap();
        world.settle();
        if pulls {
            assert!(world.ids(consumer).is_empty());
            world.at(consumer).pull(consume, 2);
            world.settle();
            assert_eq!(world.ids(consumer), ["0", "1"]);
            world.at(consumer).pull(consume, 2);
            world.settle();
            assert_eq!(world.ids(consumer), ["2"]);
            world.at(consumer).pull(consume, 2);
            world.settle();
            world.news(consumer);
            world.at(supplier).emit(supply, &[event("late")]).unwrap();
            world.settle();
            assert!(world.news(consumer).contains(&News::Readable { handle: consume }));
            world.at(consumer).pull(consume, 2);
            world.settle();
            assert_eq!(world.ids(consumer), ["late"]);
        } else {
            assert_eq!(world.ids(consumer), ["0", "1", "2"], "pulled {pulled}");
        }
    }
}

#[test]
fn persistent_events_are_confirmed_when_written_and_lost_when_not() {
    let persistent = |id: &str| {
        let builder = event(id).to_builder().reliability(crate::Reliability::Persistent);
        builder.build(&EventLimits::default()).unwrap()
    };
    for is_durable in [true, false] {
        let mut world = World::new(HubConfig { is_durable, ..open() }, 8);
        let consumer = world.join("", "consumer");
        world.at(consumer).consume("");
        let supplier = world.join("", "supplier");
        let supply = world.at(supplier).supply("", SupplyConfig::default());
        world.settle();
        world.news(supplier);
        world.at(supplier).emit(supply, &[persistent("a"), event("b"), persistent("c")]).unwrap();
        world.settle();
        let persists: Vec<Persist> = std::iter::from_fn(|| world.hub.poll_persist()).collect();
        // The default channel itself is the first.
        assert_eq!(persists.len(), if is_durable { 3 } else { 0 });
        for persist in persists {
            let Persist::Event { channel, offset, event } = persist else { continue };
            assert_eq!(world.news(supplier), []);
            world.hub.persisted(world.now, channel, offset, 1);
            world.settle();
            let news = world.news(supplier);
            let number = if event.id().as_ref() == "a" { 0 } else { 2 };
            assert_eq!(news, [News::Confirmed { handle: supply, first: number, count: 1 }]);
        }
        if is_durable {
            assert_eq!(world.ids(consumer), ["a", "b", "c"]);
        } else {
            let lost = |number| News::Lost { handle: supply, number, code: Code::NotWritten };
            assert_eq!(world.news(supplier), [lost(0), lost(2)]);
            assert_eq!(world.ids(consumer), ["b"]);
        }
    }
}

#[test]
fn channels_are_made_described_and_deleted_by_asking() {
    let mut world = World::new(open(), 9);
    let admin = world.join("", "admin");
    assert_eq!(world.ask(admin, r#"{"op":"list"}"#), Ok(r#"{"channels":["default"]}"#.into()));
    let config = r#"{"op":"create","channel":"load","config":{"retention_events_max":100,"qos":{"order":"priority"}}}"#;
    assert_eq!(world.ask(admin, config), Ok("{}".into()));
    assert!(world.ask(admin, config).unwrap_err().contains("name_taken"));
    let consume = world.at(admin).consume(r#""channel":"load","name":"c""#);
    world.settle();
    let described = world.ask(admin, r#"{"op":"describe","channel":"load"}"#).unwrap();
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    assert_eq!(described["consumers"][0]["settings"]["order"], "priority");
    assert_eq!(described["consumers"][0]["why"][0]["reason"], "empty");
    let set = format!(r#"{{"op":"set","handle":{consume},"qos":{{"batch_max":5000}}}}"#);
    assert!(world.ask(admin, &set).unwrap_err().contains("batch_max is 5000, possible are 1 to 4096"));
    let set = format!(r#"{{"op":"set","handle":{consume},"qos":{{"batch_max":7}},"filter":"priority > 3"}}"#);
    assert_eq!(world.ask(admin, &set), Ok("{}".into()));
    let validate = r#"{"op":"validate","channel":"load","qos":{"pacing":0.5},"filter":"priority >"}"#;
    assert!(world.ask(admin, validate).unwrap_err().contains("\"filter\""));
    let validate = r#"{"op":"validate","channel":"load","qos":{"pacing":0.5}}"#;
    assert!(world.ask(admin, validate).unwrap().contains(r#""pacing":0.5"#));
    let suspend = r#"{"op":"suspend","channel":"load","consumer":"c"}"#;
    assert_eq!(world.ask(admin, suspend), Ok("{}".into()));
    let why = world.ask(admin, r#"{"op":"why","channel":"load","consumer":"c"}"#).unwrap();
    assert!(why.contains("\"suspended\""), "{why}");
    for wrong in ["{", "[]", r#"{"op":"fly"}"#, r#"{"op":"list","wings":2}"#, r#"{"op":"consume"}"#] {
        assert!(world.ask(admin, wrong).is_err(), "{wrong}");
    }
    assert_eq!(world.ask(admin, r#"{"op":"delete","channel":"load"}"#), Ok("{}".into()));
    assert!(world.ask(admin, r#"{"op":"delete"}"#).unwrap_err().contains("is_default"));
}

#[test]
fn a_description_says_how_far_each_consumer_is() {
    let mut world = World::new(open(), 9);
    let lazy = world.join("", "lazy");
    let consume = world.at(lazy).consume(r#""name":"lazy","spec":{"mode":"pull"}"#);
    let supplier = world.join("", "supplier");
    let supply = world.at(supplier).supply("", SupplyConfig::default());
    world.settle();
    world.at(supplier).emit(supply, &events(0..5)).unwrap();
    world.settle();
    world.at(lazy).pull(consume, 2);
    world.settle();
    let described = world.ask(supplier, r#"{"op":"describe"}"#).unwrap();
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    let at = |offset: u64| described["offset_next"].as_u64().unwrap() - offset;
    assert_eq!(described["consumers"][0]["position"], at(3));
}

#[test]
fn dead_letters_go_to_their_channel() {
    let mut world = World::new(HubConfig { dead_letter_channel: Some("dead".into()), ..open() }, 10);
    let admin = world.join("", "admin");
    world.ask(admin, r#"{"op":"create","channel":"dead"}"#).unwrap();
    world.at(admin).consume(r#""channel":"dead""#);
    let consume = world.at(admin).consume(r#""spec":{"qos":{"acknowledgement":"explicit"}}"#);
    let supply = world.at(admin).supply("", SupplyConfig::default());
    world.settle();
    world.at(admin).emit(supply, &[event("bad")]).unwrap();
    world.settle();
    let delivered = world.taken(admin);
    let names: Vec<_> = delivered.iter().filter_map(|it| it.delivery).collect();
    world.at(admin).reject(consume, &names, true);
    world.settle();
    let dead = world.taken(admin);
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].event.fields()[0].name.as_ref(), "deadchannel");
    assert_eq!(world.hub.stats().dead_letters, 1);
}

/// Suppliers and consumers with links that come and go at random: what a patient supplier emits reaches every consumer with a name, in the
/// supplier's order, and repeats are known by their id.
#[test]
fn links_that_come_and_go_lose_nothing_that_was_taken_up() {
    for seed in 0..60 {
        let mut world = World::new(HubConfig { unsent_bytes_max: 4000, ..open() }, seed);
        let spec = r#""name":"c","spec":{"qos":{"acknowledgement":"explicit","tries_max":1000,"length_max":100000}}"#;
        let count = 1 + world.rng.below(3) as usize;
        let consumers: Vec<usize> = (0..count).map(|_| world.join("", "consumer")).collect();
        let handles: Vec<u64> = consumers
            .iter()
            .map(|it| {
                let spec = spec.replace("\"c\"", &format!("\"c{it}\""));
                world.at(*it).consume(&spec)
            })
            .collect();
        world.settle();
        let supplier = world.join("", "supplier");
        let supply = world.at(supplier).supply("", SupplyConfig::default());
        let (mut emitted, mut got) = (0u32, vec![Vec::new(); count]);
        for _ in 0..150 {
            match world.rng.below(6) {
                0 => {
                    let some = 1 + world.rng.below(40) as u32;
                    world.at(supplier).emit(supply, &events(emitted..emitted + some)).unwrap();
                    emitted += some;
                }
                1 => {
                    let index = world.rng.below(world.links.len() as u64) as usize;
                    match world.links[index].1 {
                        Some(_) => world.cut(index),
                        None => world.link(index),
                    }
                }
                2 => world.now += Duration::from_millis(world.rng.below(500)),
                3 => world.settle(),
                _ => {
                    let which = world.rng.below(count as u64) as usize;
                    let delivered = world.taken(consumers[which]);
                    let names: Vec<_> = delivered.iter().filter_map(|it| it.delivery).collect();
                    world.at(consumers[which]).acknowledge(handles[which], &names);
                    got[which].extend(delivered);
                }
            }
        }
        for index in 0..world.links.len() {
            if world.links[index].1.is_none() {
                world.link(index);
            }
        }
        for _ in 0..50 {
            world.pass(Duration::from_millis(700));
            for which in 0..count {
                let delivered = world.taken(consumers[which]);
                let names: Vec<_> = delivered.iter().filter_map(|it| it.delivery).collect();
                world.at(consumers[which]).acknowledge(handles[which], &names);
                got[which].extend(delivered);
            }
        }
        assert_eq!(world.at(supplier).untaken(supply), Ok(0), "seed {seed}");
        for delivered in &got {
            // By offset, the first of each id: the supplier's order, nothing missing.
            let mut all: Vec<(u64, u32)> =
                delivered.iter().map(|it| (it.offset, it.event.id().parse().unwrap())).collect();
            all.sort_unstable();
            let mut seen = std::collections::HashSet::new();
            let order: Vec<u32> = all.into_iter().map(|(_, id)| id).filter(|id| seen.insert(*id)).collect();
            assert_eq!(order, (0..emitted).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}

#[test]
fn http_and_the_protocol_meet_in_one_channel() {
    let mut world = World::new(open(), 11);
    let consumer = world.join("", "consumer");
    world.at(consumer).consume("");
    let supplier = world.join("", "supplier");
    let supply = world.at(supplier).supply("", SupplyConfig::default());
    world.settle();
    let http = world.hub.connect_http(world.now).unwrap();
    let exchange = |world: &mut World, request: &str| {
        let now = world.now;
        world.hub.receive_http(now, http, request.as_bytes());
        world.settle();
        let mut answer = Vec::new();
        while let Some((id, bytes)) = world.hub.poll_http(now) {
            assert_eq!(id, http);
            answer.extend_from_slice(&bytes);
        }
        String::from_utf8(answer).unwrap()
    };
    let post = "POST /events HTTP/1.1\r\nHost: a\r\nce-specversion: 1.0\r\nce-id: 7\r\nce-source: /web\r\nce-type: t\r\n\
                Content-Length: 4\r\n\r\nbody";
    assert!(exchange(&mut world, post).starts_with("HTTP/1.1 202 "));
    assert_eq!(world.ids(consumer), ["7"]);
    // A GET that waits is answered by what a participant emits.
    let get = "GET /channels/default/events?consumer=web&wait=5 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(exchange(&mut world, get), "");
    world.at(supplier).emit(supply, &[event("late")]).unwrap();
    let answer = exchange(&mut world, "");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"id\":\"late\""), "{answer}");
    assert!(exchange(&mut world, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert_eq!(world.hub.poll_http_ended(), Some(http));
}
