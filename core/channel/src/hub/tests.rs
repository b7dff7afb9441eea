use super::*;
use crate::participant::{News, Participant, ParticipantConfig, SupplyConfig};
use crate::principal::{Principal, Right, Rights};
use crate::wire::{Code, Delivered, Frame};
use clustercore_proto::random::Random;

/// A hub and participants, whose links are cut into pieces of random length.
struct World {
    hub: Hub,
    now: Instant,
    rng: Random,
    links: Vec<(Participant, Option<SessionId>)>,
}

impl World {
    fn new(config: HubConfig, seed: u64) -> World {
        let hub = Hub::new(config).unwrap();
        World { hub, now: Instant::from_nanos(1_000_000_000), rng: Random::new(seed), links: Vec::new() }
    }

    fn join(&mut self, token: &str, name: &str) -> usize {
        let config = ParticipantConfig { token: token.into(), name: name.into(), ..Default::default() };
        self.links.push((Participant::new(config), None));
        self.link(self.links.len() - 1);
        self.links.len() - 1
    }

    fn link(&mut self, index: usize) {
        self.links[index].1 = self.hub.connect();
        self.links[index].0.link_made();
    }

    fn cut(&mut self, index: usize) {
        let Some(session) = self.links[index].1.take() else { return };
        self.hub.disconnect(self.now, session);
        self.links[index].0.link_lost();
    }

    fn at(&mut self, index: usize) -> &mut Participant {
        &mut self.links[index].0
    }

    /// Moves bytes both ways until nothing moves any more.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut has_moved = false;
            for index in 0..self.links.len() {
                let (participant, session) = &mut self.links[index];
                participant.handle_timeout(self.now);
                let (Some(bytes), Some(session)) = (participant.poll_send(), *session) else { continue };
                has_moved = true;
                for part in bytes.chunks(1 + self.rng.below(700) as usize) {
                    self.hub.receive(self.now, session, part);
                }
            }
            has_moved |= self.hub.pump(self.now, 100);
            while let Some((id, piece)) = self.hub.poll_send() {
                has_moved = true;
                let link = self.links.iter_mut().find(|(_, session)| *session == Some(id));
                if let Some((participant, _)) = link {
                    for part in piece.as_slice().chunks(1 + self.rng.below(900) as usize) {
                        participant.receive(self.now, part).unwrap();
                    }
                }
                self.hub.sent(id, 0);
            }
            while let Some(id) = self.hub.poll_ended() {
                self.hub.disconnect(self.now, id);
                let link = self.links.iter_mut().find(|(_, session)| *session == Some(id));
                if let Some((participant, session)) = link {
                    participant.link_lost();
                    *session = None;
                }
            }
            if !has_moved {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn pass(&mut self, length: Duration) {
        self.now += length;
        self.settle();
    }

    fn taken(&mut self, index: usize) -> Vec<Delivered> {
        std::iter::from_fn(|| self.at(index).take().map(|(_, it)| it)).collect()
    }

    fn ids(&mut self, index: usize) -> Vec<String> {
        self.taken(index).iter().map(|it| it.event.id().to_string()).collect()
    }

    fn news(&mut self, index: usize) -> Vec<News> {
        std::iter::from_fn(|| self.at(index).poll_news()).collect()
    }

    fn ask(&mut self, index: usize, json: &str) -> Result<String, String> {
        let request = self.at(index).ask(json);
        self.settle();
        let answer = self.news(index).into_iter().find_map(|news| match news {
            News::Answer { request: it, result } if it == request => Some(result),
            _ => None,
        });
        answer.expect("an answer").map_err(|refused| refused.json)
    }
}

fn open() -> HubConfig {
    HubConfig { access: Access::open(), ..HubConfig::default() }
}

fn event(id: impl Into<Text>) -> Event {
    Event::builder(id, "/test", "tested").body(vec![7; 64]).build(&EventLimits::default()).unwrap()
}

fn events(range: std::ops::Range<u32>) -> Vec<Event> {
    range.map(|id| event(id.to_string())).collect()
}

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

    let rude = world.hub.connect().unwrap();
    assert!(!world.hub.receive(world.now, rude, &[1, 0, 0, 0, 0x7f]));
    assert!(!world.hub.receive(world.now, rude, &[1, 0, 0, 0, 0x7f]), "nothing more is read");
}

#[test]
fn a_reader_who_is_slow_gets_what_its_bound_allows_and_holds_up_nobody() {
    let mut world = World::new(HubConfig { unsent_bytes_max: 1000, ..open() }, 3);
    let supplier = world.join("", "supplier");
    let handle = world.at(supplier).supply("", SupplyConfig::default());
    let fast = world.join("", "fast");
    world.at(fast).consume("");
    world.settle();
    let slow = world.hub.connect().unwrap();
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
    world.hub.sent(slow, 0);
    world.hub.pump(world.now, 100);
    let mut last = None;
    while let Some((id, piece)) = world.hub.poll_send() {
        assert_eq!(id, slow);
        last = Some(piece);
    }
    assert!(last.is_some());
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
        assert_eq!(persists.len(), if is_durable { 2 } else { 0 });
        for persist in persists {
            assert_eq!(world.news(supplier), []);
            let now = world.now;
            world.hub.engine().machine(persist.channel).unwrap().persisted(now, persist.offset);
            world.settle();
            let news = world.news(supplier);
            let number = if persist.event.id().as_ref() == "a" { 0 } else { 2 };
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
