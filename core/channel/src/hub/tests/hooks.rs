//! Consumers that are an address, with targets in memory.

use super::*;
use crate::hook::{HookTargets, Order, Prefix};
use clustercore_proto::random::Random;

/// Targets of all hooks of a hub: they answer every request at once, by the script.
struct Target {
    /// The statuses of the answers to come, with further fields; 204 where there is none.
    script: Vec<String>,
    bodies: Vec<String>,
    opened: Vec<HookId>,
    is_dead: bool,
    is_granting: bool,
}

impl Target {
    fn new() -> Target {
        let (script, bodies, opened) = (Vec::new(), Vec::new(), Vec::new());
        Target { script, bodies, opened, is_dead: false, is_granting: true }
    }

    fn die(&mut self, world: &mut World) {
        self.is_dead = true;
        for id in std::mem::take(&mut self.opened) {
            world.hub.hook_lost(world.now, id, "reset");
        }
    }

    /// Lets events flow until nothing moves.
    fn settle(&mut self, world: &mut World) {
        for _ in 0..10_000 {
            world.settle();
            let Some((id, order)) = world.hub.poll_hook() else { return };
            match order {
                Order::Connect(_) if self.is_dead => world.hub.hook_lost(world.now, id, "refused"),
                Order::Connect(_) => {
                    self.opened.push(id);
                    world.hub.hook_connected(world.now, id);
                }
                Order::Close => self.opened.retain(|it| *it != id),
                Order::Send(bytes) => {
                    let answer = self.answer(&String::from_utf8(bytes).unwrap());
                    world.hub.receive_hook(world.now, id, answer.as_bytes());
                }
            }
        }
        panic!("it does not come to rest");
    }

    fn answer(&mut self, request: &str) -> String {
        if request.starts_with("OPTIONS") {
            let grant = if self.is_granting { "WebHook-Allowed-Origin: *\r\n" } else { "" };
            return format!("HTTP/1.1 200 OK\r\n{grant}Content-Length: 0\r\n\r\n");
        }
        let status = if self.script.is_empty() { "204 Yes".into() } else { self.script.remove(0) };
        if status.starts_with('2') {
            self.bodies.push(request.into());
        }
        let length = if status.starts_with("204") { "" } else { "Content-Length: 0\r\n" };
        format!("HTTP/1.1 {status}\r\n{length}\r\n")
    }

    fn ids(&self) -> Vec<String> {
        let id = |request: &String| request.split("ce-id: ").nth(1)?.split("\r\n").next().map(String::from);
        self.bodies.iter().filter_map(id).collect()
    }
}

fn described(world: &mut World, admin: usize) -> serde_json::Value {
    serde_json::from_str(&world.ask(admin, r#"{"op":"describe"}"#).unwrap()).unwrap()
}

const HOOK: &str = r#"{"op":"hook","name":"h","spec":{"hook":{"url":"http://127.0.0.1:9/in?key=k3"},"qos":{"backoff":0.1}}}"#;

#[test]
fn an_address_gets_events_and_its_maker_may_leave() {
    let (mut world, mut target) = (World::new(open(), 1), Target::new());
    let maker = world.join("", "maker");
    assert!(world.ask(maker, HOOK).unwrap().contains("\"first\""));
    assert!(world.ask(maker, HOOK).unwrap_err().contains("in_use"));
    world.cut(maker);
    let admin = world.join("", "admin");
    let supply = world.at(admin).supply("", SupplyConfig::default());
    world.at(admin).emit(supply, &events(0..50)).unwrap();
    target.settle(&mut world);
    assert_eq!(target.ids(), (0..50).map(|it| it.to_string()).collect::<Vec<_>>());
    let consumer = &described(&mut world, admin)["consumers"][0];
    assert_eq!((&consumer["mode"], &consumer["is_connected"]), (&"push".into(), &true.into()));
    assert_eq!(consumer["hook"]["url"], "http://127.0.0.1:9/in", "without what may be a secret");
    assert_eq!(
        (&consumer["hook_state"]["state"], &consumer["hook_state"]["taken"]),
        (&"granted".into(), &50.into())
    );
    assert_eq!(consumer["stats"]["settled"], 50);
    assert!(world.ask(admin, r#"{"op":"why","consumer":"h"}"#).unwrap().contains("\"hook_state\""));
    // Its proxy is nobody's to consume from, not even at once; and it goes with it.
    world.at(admin).ask(&HOOK.replace("\"h\"", "\"i\""));
    world.at(admin).consume(r#""name":"i""#);
    world.at(admin).consume(r#""name":"h""#);
    world.settle();
    let is_told = |it: &News| matches!(it, News::Gone { message, .. } if message.contains("web hook"));
    assert_eq!(world.news(admin).iter().filter(|it| is_told(it)).count(), 2);
    for name in ["h", "i"] {
        world.ask(admin, &format!(r#"{{"op":"remove","consumer":"{name}"}}"#)).unwrap();
    }
    target.settle(&mut world);
    assert!(target.opened.is_empty(), "the connection is closed");
    assert_eq!(world.hub.hooks.next_timeout(), None);
}

#[test]
fn hooks_are_for_those_who_may_consume_and_lead_where_they_may() {
    let ann = Principal::new("ann", Rights::NONE.and(Right::Emit));
    let mut config = HubConfig { access: Access::open().with_token("emitter", ann), ..HubConfig::default() };
    config.hooks.hooks_max = 2;
    let mut world = World::new(config, 2);
    let (bob, ann) = (world.join("", "bob"), world.join("emitter", "ann"));
    assert!(world.ask(ann, HOOK).unwrap_err().contains("denied"));
    let url = |url: &str| HOOK.replace("http://127.0.0.1:9/in?key=k3", url);
    let refused = |world: &mut World, json: &str, why: &str| {
        let error = world.ask(bob, json).unwrap_err();
        assert!(error.contains(why), "{json}: {error}");
    };
    refused(&mut world, &url("http://192.0.2.1/"), "hook_targets");
    refused(&mut world, &url("http://169.254.169.254/latest"), "hook_targets");
    refused(&mut world, &url("https://127.0.0.1/"), "https is not offered");
    refused(&mut world, &url("http://localhost/"), "names are not looked up");
    refused(&mut world, r#"{"op":"hook","name":"h"}"#, "hook, a member of spec");
    refused(&mut world, &HOOK.replace("\"h\"", "\"\""), "name is missing");
    refused(
        &mut world,
        &HOOK.replace("\"backoff\":0.1", "\"acknowledgement\":\"none\""),
        "acknowledges by its answers",
    );
    world.hub.set_hook_targets(HookTargets::Networks(vec![Prefix::parse("192.0.2.0/24").unwrap()]));
    refused(&mut world, HOOK, "hook_targets");
    world.ask(bob, &url("http://192.0.2.1/")).unwrap();
    world.ask(bob, &url("http://192.0.2.1/").replace("\"h\"", "\"i\"")).unwrap();
    refused(&mut world, &url("http://192.0.2.1/").replace("\"h\"", "\"j\""), "hooks_max");
    world.at(bob).consume(r#""name":"x","spec":{"hook":{"url":"http://192.0.2.1/"}}"#);
    world.settle();
    assert!(
        world
            .news(bob)
            .iter()
            .any(|it| matches!(it, News::Gone { message, .. } if message.contains("op hook")))
    );
}

#[test]
fn they_are_made_over_http_too() {
    let (mut world, mut target) = (World::new(open(), 3), Target::new());
    let http = world.hub.connect_http(world.now).unwrap();
    let put = |world: &mut World, name: &str, body: &str| {
        let request = format!(
            "PUT /channels/default/consumers/{name} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        world.hub.receive_http(world.now, http, request.as_bytes());
        let (_, answer) = world.hub.poll_http(world.now).unwrap();
        String::from_utf8(answer).unwrap()
    };
    let answer = put(&mut world, "far", r#"{"hook":{"url":"http://192.0.2.1/"}}"#);
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("hook_targets"), "{answer}");
    let answer =
        put(&mut world, "near", r#"{"hook":{"url":"http://[::1]:9/","mode":"batched","token":"t0"}}"#);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let admin = world.join("", "admin");
    let supply = world.at(admin).supply("", SupplyConfig::default());
    target.settle(&mut world);
    world.at(admin).emit(supply, &events(0..20)).unwrap();
    target.settle(&mut world);
    let first = &target.bodies[0];
    assert!(first.contains("\r\nHost: [::1]:9\r\nAuthorization: Bearer t0\r\n"), "{first}");
    assert!(first.contains("application/cloudevents-batch+json") && target.bodies.len() < 20, "{first}");
    let consumer = &described(&mut world, admin)["consumers"][0];
    assert_eq!(consumer["hook_state"]["taken"], 20);
    assert!(!consumer.to_string().contains("t0"), "{consumer}");
}

#[test]
fn one_that_is_gone_is_removed_and_one_that_refuses_makes_dead_letters() {
    let config = HubConfig { dead_letter_channel: Some("dead".into()), ..open() };
    let (mut world, mut target) = (World::new(config, 4), Target::new());
    let admin = world.join("", "admin");
    world.ask(admin, r#"{"op":"create","channel":"dead"}"#).unwrap();
    world.at(admin).consume(r#""channel":"dead""#);
    world.ask(admin, &HOOK.replace("\"backoff\":0.1", "\"backoff\":0.1,\"tries_max\":3")).unwrap();
    let supply = world.at(admin).supply("", SupplyConfig::default());
    target.settle(&mut world);
    // Put off is not tried.
    target.script.extend([
        "429 No\r\nRetry-After: 1".into(),
        "400 No".into(),
        "400 No".into(),
        "400 No".into(),
    ]);
    world.at(admin).emit(supply, &[event("bad")]).unwrap();
    for _ in 0..40 {
        target.settle(&mut world);
        world.now += Duration::from_millis(100);
    }
    target.settle(&mut world);
    assert_eq!((world.ids(admin), target.script.len()), (vec!["bad".to_string()], 0));
    world.at(admin).emit(supply, &[event("good")]).unwrap();
    target.settle(&mut world);
    assert_eq!(target.ids(), ["good"]);
    target.script.push("410 Gone".into());
    world.at(admin).emit(supply, &[event("late")]).unwrap();
    target.settle(&mut world);
    assert_eq!(described(&mut world, admin)["consumers"].as_array().unwrap().len(), 0);
    assert!(target.opened.is_empty());
}

#[test]
fn one_that_withholds_is_shown_and_gets_nothing_before_it_grants() {
    let (mut world, mut target) = (World::new(open(), 5), Target::new());
    target.is_granting = false;
    let admin = world.join("", "admin");
    world.ask(admin, HOOK).unwrap();
    let supply = world.at(admin).supply("", SupplyConfig::default());
    world.at(admin).emit(supply, &events(0..3)).unwrap();
    target.settle(&mut world);
    let consumer = &described(&mut world, admin)["consumers"][0];
    assert_eq!(
        (&consumer["hook_state"]["state"], &consumer["is_connected"]),
        (&"withheld".into(), &false.into())
    );
    assert!(consumer["hook_state"]["why"].as_str().unwrap().contains("WebHook-Allowed-Origin"));
    target.is_granting = true;
    world.now += Duration::from_secs(61);
    target.settle(&mut world);
    assert_eq!(target.ids(), ["0", "1", "2"]);
}

/// Targets that die and come back, are busy, and fail: nothing that was not acknowledged is lost.
#[test]
fn a_target_that_dies_and_comes_back_loses_nothing() {
    for seed in 0..60 {
        let (mut world, mut target) = (World::new(open(), seed), Target::new());
        let mut rng = Random::new(seed);
        let admin = world.join("", "admin");
        let spec = HOOK.replace("\"backoff\":0.1", "\"backoff\":0.1,\"tries_max\":1000");
        world.ask(admin, &spec).unwrap();
        let supply = world.at(admin).supply("", SupplyConfig::default());
        let mut emitted = 0;
        for _ in 0..200 {
            match rng.below(8) {
                0 => {
                    let some = 1 + rng.below(4) as u32;
                    world.at(admin).emit(supply, &events(emitted..emitted + some)).unwrap();
                    emitted += some;
                }
                1 => target.die(&mut world),
                2 => target.is_dead = false,
                3 => target.script.push("503 No\r\nRetry-After: 2".into()),
                4 => target.script.push("500 No".into()),
                5 => world.now += Duration::from_millis(rng.below(3000)),
                _ => target.settle(&mut world),
            }
        }
        target.is_dead = false;
        target.script.clear();
        for _ in 0..200 {
            target.settle(&mut world);
            world.now += Duration::from_millis(500);
        }
        let consumer = &described(&mut world, admin)["consumers"][0];
        let mut ids = target.ids();
        ids.sort_by_key(|id| id.parse::<u32>().unwrap());
        ids.dedup();
        assert_eq!(ids, (0..emitted).map(|it| it.to_string()).collect::<Vec<_>>(), "seed {seed}: {consumer}");
        assert_eq!(
            (&consumer["queue_length"], &consumer["stats"]["settled"]),
            (&0.into(), &emitted.into()),
            "seed {seed}"
        );
    }
}
