//! Back ends come and go: add, drain, remove, under load.

use crate::backend::Backend;
use crate::front::{Front, child, config, until};
use crate::gate::Gate;
use crate::wire::{Cut, Wire, assert_same, content, get, post};
use clustercore::counters::Counter;
use clustercore::forward::{ForwardEvent, ForwarderConfig};
use clustercore::io::DriverChoice;
use clustercore::proto::policy::{BackendKey, Policy, RouterConfig};
use clustercore::{Code, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

crate::on_both_drivers!(
    a_thousand_changes_under_load_fail_nobody,
    a_drain_waits_for_what_is_in_flight,
    a_drain_has_a_deadline,
    a_drain_ends_when_its_last_client_gives_up,
    draining_closes_kept_connections,
    removal_tries_elsewhere_or_says_502,
    removal_cuts_a_response_in_its_body,
    waiting_requests_go_to_a_new_back_end,
    keys_are_never_used_again,
);

fn drain(front: &Front, key: BackendKey, deadline: Duration) -> Result<(), Error> {
    front.run(move |shard, web| shard.drain_backend(web, key, deadline))
}

fn remove(front: &Front, key: BackendKey) -> Result<(), Error> {
    front.run(move |shard, web| shard.remove_backend(web, key))
}

fn drained(front: &Front, key: BackendKey, in_flight: u32) -> bool {
    front.events().contains(&ForwardEvent::BackendDrained { backend: key, in_flight })
}

fn a_thousand_changes_under_load_fail_nobody(driver: DriverChoice) {
    let stable = Backend::plain("stable");
    let passing = [Backend::plain("a"), Backend::plain("b")];
    let settings = ForwarderConfig {
        router: RouterConfig { policy: Policy::RoundRobin, ..RouterConfig::default() },
        ..config()
    };
    let front = Front::new(driver, settings, &[&stable]);
    let (ended, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = |id: u64, mut client: Wire| {
        let (ended, served) = (Arc::clone(&ended), Arc::clone(&served));
        std::thread::spawn(move || {
            let body = content(id, 300 + 9000 * id as usize);
            while !ended.load(Ordering::Acquire) {
                // Not idempotent: nothing of it may be repeated, so nothing of it may fail.
                client.send(post("/echo", &body));
                let response = client.response();
                assert_eq!(response.status(), 200);
                assert_same(&response.body, &body);
                assert_eq!(client.get("/hello").status(), 200);
                served.fetch_add(2, Ordering::AcqRel);
            }
        })
    };
    let clients = (0..4).map(|id| load(id, front.client())).collect::<Vec<_>>();
    for round in 0..1000 {
        let key = front.add(child(&passing[round % 2]));
        if round % 4 == 0 {
            // Now and then it is certainly in use when it is told to go.
            until("it is asked", || front.requests().last().is_some_and(|requests| *requests > 0));
        }
        drain(&front, key, Duration::from_secs(20)).expect("it is there");
        front.until_event("it is drained", |event| {
            *event == ForwardEvent::BackendDrained { backend: key, in_flight: 0 }
        });
        remove(&front, key).expect("it is there");
    }
    ended.store(true, Ordering::Release);
    for client in clients {
        client.join().expect("every request was served");
    }
    let failed = [Counter::Answered502, Counter::Answered503, Counter::Answered504, Counter::ResponsesCut];
    assert_eq!(failed.map(|counter| front.counter(counter)), [0; 4]);
    assert_eq!(front.counter(Counter::Responses2xx), served.load(Ordering::Acquire));
}

fn a_drain_waits_for_what_is_in_flight(driver: DriverChoice) {
    let (gate, other) = (Gate::new("gate"), Backend::plain("other"));
    let front = Front::new(driver, config(), &[&gate.backend, &other]);
    let key = front.keys()[0];
    let mut client = front.client();
    client.send(get("/"));
    until("it is in flight", || gate.paths().len() == 1);
    drain(&front, key, Duration::from_secs(20)).expect("it is there");
    let again = drain(&front, key, Duration::from_secs(20)).expect_err("it is draining");
    assert_eq!(again.code(), Code::WrongState);
    assert_eq!(front.client().get("/").body, b"other", "no new request");
    assert!(!drained(&front, key, 0));
    gate.allow(1);
    assert_eq!(client.response().body, b"gate");
    front.until("it is drained", |front| drained(front, key, 0));
    remove(&front, key).expect("it is there");
    assert_eq!(remove(&front, key).expect_err("it is gone").code(), Code::NoSuchBackend);
    assert_eq!(client.get("/").body, b"other", "the client never noticed");
    let told = |event: &ForwardEvent| matches!(event, ForwardEvent::BackendDrained { .. });
    assert_eq!(front.events().iter().filter(|event| told(event)).count(), 1);
}

fn a_drain_has_a_deadline(driver: DriverChoice) {
    let gate = Gate::new("gate");
    let front = Front::new(driver, config(), &[&gate.backend]);
    let key = front.keys()[0];
    let mut client = front.client();
    client.send(get("/"));
    until("it is in flight", || gate.paths().len() == 1);
    drain(&front, key, Duration::from_millis(50)).expect("it is there");
    front.until("the deadline is told", |front| drained(front, key, 1));
    // What is in flight goes on until the owner takes it away.
    gate.allow(1);
    assert_eq!(client.response().body, b"gate");
    assert_eq!(front.events().len(), 1, "told once");
}

fn a_drain_ends_when_its_last_client_gives_up(driver: DriverChoice) {
    let gate = Gate::new("gate");
    let front = Front::new(driver, config(), &[&gate.backend]);
    let key = front.keys()[0];
    let mut client = front.client();
    client.send(get("/"));
    until("it is in flight", || gate.paths().len() == 1);
    drain(&front, key, Duration::from_secs(300)).expect("it is there");
    client.reset();
    front.until("it is drained", |front| drained(front, key, 0));
}

fn draining_closes_kept_connections(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let key = front.keys()[0];
    let mut clients = (0..5).map(|_| front.client()).collect::<Vec<_>>();
    for client in &mut clients {
        assert_eq!(client.get("/").status(), 200);
    }
    let open = |front: &Front| front.run(|shard, _| clustercore::io::Driver::streams_open(shard.driver()));
    assert!(open(&front) > 5);
    drain(&front, key, Duration::from_secs(20)).expect("it is there");
    front.until("kept connections end", |front| open(front) == 5);
}

fn removal_tries_elsewhere_or_says_502(driver: DriverChoice) {
    let (gate, other) = (Gate::new("gate"), Backend::plain("other"));
    let front = Front::new(driver, config(), &[&gate.backend, &other]);
    let key = front.keys()[0];
    let (mut reader, mut writer) = (front.client(), front.client());
    reader.send(get("/"));
    writer.send(post("/", b"once"));
    until("both are in flight", || gate.paths().len() == 2);
    remove(&front, key).expect("it is there");
    assert_eq!(reader.response().body, b"other", "a GET may be repeated");
    assert_eq!(writer.response().status(), 502, "a POST may not");
    assert_eq!(front.counter(Counter::Retries), 1);
    assert_eq!(writer.get("/").body, b"other");
}

fn removal_cuts_a_response_in_its_body(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        if connection.request().is_ok() {
            connection.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun");
            let _ = connection.wire.rest();
        }
    });
    let front = Front::new(driver, config(), &[&backend]);
    let mut client = front.client();
    client.send(get("/"));
    assert_eq!(client.head().expect("it begins").status(), 200);
    assert_eq!(client.bytes(5).expect("and goes on"), b"begun");
    remove(&front, front.keys()[0]).expect("it is there");
    assert_eq!(client.rest(), (Vec::new(), Cut::Reset));
}

fn waiting_requests_go_to_a_new_back_end(driver: DriverChoice) {
    let (gate, new) = (Gate::new("gate"), Backend::plain("new"));
    let front = Front::new(driver, config(), &[]);
    front.add(clustercore::forward::BackendConfig { in_flight_max: 1, ..child(&gate.backend) });
    let mut clients = (0..4).map(|_| front.client()).collect::<Vec<_>>();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(get("/"));
        front.until_counter(Counter::Requests, index as u64 + 1);
    }
    front.until_counter(Counter::QueueLength, 3);
    front.add(child(&new));
    for client in &mut clients[1..] {
        assert_eq!(client.response().body, b"new");
    }
    gate.allow(1);
    assert_eq!(clients[0].response().body, b"gate");
}

fn keys_are_never_used_again(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[]);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let key = front.add(child(&backend));
        assert!(!seen.contains(&key));
        seen.push(key);
        assert_eq!(front.client().get("/").status(), 200);
        remove(&front, key).expect("it is there");
    }
    assert_eq!(front.client().get("/").status(), 503);
}
