//! Who gets a request, who waits, and who is trusted.

use crate::backend::Backend;
use crate::front::{Front, child, config, until};
use crate::gate::{Gate, Moody};
use crate::wire::get;
use clustercore::counters::Counter;
use clustercore::forward::{BackendConfig, ForwardEvent, ForwarderConfig};
use clustercore::io::DriverChoice;
use clustercore::proto::policy::{
    Backoff, Cause, FailureKind, HealthConfig, Policy, ProbeConfig, RouterConfig, Thresholds,
};
use std::sync::atomic::Ordering;
use std::time::Duration;

crate::on_both_drivers!(
    the_queue_is_bounded_and_served_in_order,
    who_waits_too_long_gets_503,
    who_gives_up_leaves_the_queue,
    levels_fill_the_list_from_its_head,
    the_local_instance_serves_while_the_list_is_empty,
    weights_share_the_requests,
    a_new_back_end_warms_up,
    a_failing_back_end_is_ejected_and_returns,
    probes_eject_and_bring_back,
);

/// One core, two requests in flight at most.
fn pair(gate: &Gate) -> BackendConfig {
    BackendConfig { in_flight_max: 2, ..child(&gate.backend) }
}

fn the_queue_is_bounded_and_served_in_order(driver: DriverChoice) {
    let gate = Gate::new("gate");
    let settings = ForwarderConfig { queue_max: 3, retry_after: 7, ..config() };
    let front = Front::new(driver, settings, &[]);
    front.add(pair(&gate));
    let mut clients = Vec::new();
    for index in 0..5u64 {
        let mut client = front.client();
        client.send(get(&format!("/{index}")));
        front.until_counter(Counter::Requests, index + 1);
        clients.push(client);
    }
    front.until_counter(Counter::QueueLength, 3);
    let mut late = front.client();
    let refused = late.get("/late");
    assert_eq!((refused.status(), refused.field("retry-after")), (503, Some("7")));
    assert_eq!(front.counter(Counter::QueueLength), 3);
    let saturated = |event: &ForwardEvent| matches!(event, ForwardEvent::Saturated { .. });
    assert_eq!(front.events().iter().filter(|event| saturated(event)).count(), 1, "told once");
    for served in 1..=3 {
        gate.allow(1);
        until("the next one has come", || gate.paths().len() == 2 + served);
    }
    gate.allow(2);
    for client in &mut clients {
        assert_eq!(client.response().body, b"gate");
    }
    assert_eq!(gate.paths()[2..], ["/2", "/3", "/4"], "in the order of their coming");
    gate.allow(1);
    assert_eq!(late.get("/again").body, b"gate", "the connection of the refused one goes on");
    assert_eq!(front.counter(Counter::Queued), 3);
}

fn who_waits_too_long_gets_503(driver: DriverChoice) {
    let gate = Gate::new("gate");
    let settings = ForwarderConfig { queue_timeout: Duration::from_millis(80), ..config() };
    let front = Front::new(driver, settings, &[]);
    front.add(pair(&gate));
    let mut clients = (0..4).map(|_| front.client()).collect::<Vec<_>>();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(get("/"));
        front.until_counter(Counter::Requests, index as u64 + 1);
    }
    for client in &mut clients[2..] {
        let response = client.response();
        assert_eq!((response.status(), response.field("retry-after")), (503, Some("1")));
    }
    gate.allow(2);
    for client in &mut clients[..2] {
        assert_eq!(client.response().body, b"gate");
    }
    assert_eq!(front.counter(Counter::Answered503), 2);
}

fn who_gives_up_leaves_the_queue(driver: DriverChoice) {
    let gate = Gate::new("gate");
    let front = Front::new(driver, config(), &[]);
    front.add(pair(&gate));
    let mut clients = (0..4).map(|_| front.client()).collect::<Vec<_>>();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(get(&format!("/{index}")));
        front.until_counter(Counter::Requests, index as u64 + 1);
    }
    clients.remove(2).reset();
    front.until_counter(Counter::QueueLength, 1);
    gate.allow(3);
    for client in &mut clients {
        assert_eq!(client.response().body, b"gate");
    }
    assert!(!gate.paths().contains(&"/2".to_string()));
}

fn levels_fill_the_list_from_its_head(driver: DriverChoice) {
    let (first, second) = (Gate::new("first"), Gate::new("second"));
    let mut settings = config();
    settings.router.thresholds = Thresholds { medium: 200, high: 400 };
    let front = Front::new(driver, settings, &[]);
    for gate in [&first, &second] {
        front.add(BackendConfig { cores: 1, ..child(&gate.backend) });
    }
    let mut clients = Vec::new();
    let mut shares = Vec::new();
    for index in 0..9u64 {
        let mut client = front.client();
        client.send(get("/"));
        front.until_counter(Counter::Requests, index + 1);
        clients.push(client);
        let requests = front.requests();
        shares.push((requests[0], requests[1]));
    }
    // Low until two are in flight, in list order; then both are Medium and take turns; at four they are High and get nothing.
    assert_eq!(shares[..4], [(1, 0), (2, 0), (2, 1), (2, 2)]);
    assert_eq!(shares[5], (3, 3), "round robin");
    assert_eq!(shares[7..], [(4, 4), (4, 4)], "the ninth waits");
    assert_eq!(front.counter(Counter::QueueLength), 1);
    first.allow(5);
    second.allow(5);
    for client in &mut clients {
        assert_eq!(client.response().status(), 200);
    }
    // Nobody is busy: the first takes all that come one by one.
    first.allow(5);
    let before = front.requests()[0];
    for _ in 0..4 {
        assert_eq!(clients[0].get("/").body, b"first");
    }
    assert_eq!(front.requests()[0], before + 4);
}

fn the_local_instance_serves_while_the_list_is_empty(driver: DriverChoice) {
    let (local, other) = (Backend::plain("local"), Backend::plain("other"));
    let front = Front::new(driver, config(), &[]);
    let instance = child(&local);
    front.run(move |shard, web| shard.set_local(web, Some(instance))).expect("the forwarder is there");
    let mut client = front.client();
    assert_eq!(client.get("/").body, b"local");
    let key = front.add(child(&other));
    assert_eq!(client.get("/").body, b"other");
    front.run(move |shard, web| shard.drain_backend(web, key, Duration::from_secs(9))).expect("it is there");
    assert_eq!(client.get("/").body, b"local", "nobody else may be asked");
    front.run(move |shard, web| shard.remove_backend(web, key)).expect("it is there");
    assert_eq!(client.get("/").body, b"local");
}

fn weights_share_the_requests(driver: DriverChoice) {
    let (heavy, light) = (Backend::plain("heavy"), Backend::plain("light"));
    let settings = ForwarderConfig {
        router: RouterConfig { policy: Policy::RoundRobin, ..RouterConfig::default() },
        ..config()
    };
    let front = Front::new(driver, settings, &[]);
    front.add(BackendConfig { weight: 3, ..child(&heavy) });
    let key = front.add(child(&light));
    let mut client = front.client();
    for _ in 0..40 {
        client.get("/");
    }
    let shares = front.requests();
    assert!((28..=32).contains(&shares[0]) && shares[0] + shares[1] == 40, "{shares:?}");
    front
        .run(move |shard, web| shard.backend(web, key).map(|backend| backend.set_weight(3)))
        .expect("it is there");
    for _ in 0..40 {
        client.get("/");
    }
    let after = front.requests();
    assert!((18..=22).contains(&(after[0] - shares[0])), "{shares:?} {after:?}");
}

/// Trust that ends after three failures and comes back soon.
fn health() -> HealthConfig {
    HealthConfig {
        failures_max: 3,
        window_requests_min: 1000,
        ejection: Backoff {
            base: Duration::from_millis(100),
            max: Duration::from_millis(100),
            jitter_per_mille: 0,
        },
        trial_successes: 2,
        slow_start: Duration::ZERO,
        ..HealthConfig::default()
    }
}

fn a_new_back_end_warms_up(driver: DriverChoice) {
    let (old, new) = (Backend::plain("old"), Backend::plain("new"));
    let slow_start = Duration::from_millis(1500);
    let settings = ForwarderConfig {
        health: Some(HealthConfig { slow_start, ..health() }),
        router: RouterConfig { policy: Policy::RoundRobin, ..RouterConfig::default() },
        ..config()
    };
    let front = Front::new(driver, settings, &[&old]);
    std::thread::sleep(slow_start);
    front.add(child(&new));
    let mut client = front.client();
    for _ in 0..40 {
        client.get("/");
    }
    let warming = front.requests();
    assert!(warming[1] < warming[0] / 2, "{warming:?}");
    std::thread::sleep(slow_start);
    for _ in 0..40 {
        client.get("/");
    }
    let warm = front.requests();
    assert!((18..=22).contains(&(warm[1] - warming[1])), "{warming:?} {warm:?}");
}

fn a_failing_back_end_is_ejected_and_returns(driver: DriverChoice) {
    let (bad, good) = (Moody::new(true), Moody::new(false));
    let settings = ForwarderConfig {
        health: Some(health()),
        router: RouterConfig { policy: Policy::RoundRobin, ..RouterConfig::default() },
        ..config()
    };
    let front = Front::new(driver, settings, &[&bad.backend, &good.backend]);
    let key = front.keys()[0];
    let mut client = front.client();
    let statuses = (0..6).map(|_| client.get("/").status()).collect::<Vec<_>>();
    assert_eq!(statuses.iter().filter(|status| **status == 500).count(), 3, "{statuses:?}");
    let cause = Cause::Failures { count: 3, last: FailureKind::ServerError };
    let duration = Duration::from_millis(100);
    front.until("the ejection is told", |front| {
        front.events() == [ForwardEvent::BackendEjected { backend: key, duration, cause }]
    });
    assert_eq!(front.counter(Counter::Ejections), 1);
    bad.sick.store(false, Ordering::Release);
    // It returns by requests that try it.
    until("it is trusted again", || {
        assert_eq!(client.get("/").status(), 200);
        front.events().last() == Some(&ForwardEvent::BackendReturned { backend: key })
    });
    let before = front.requests()[0];
    for _ in 0..10 {
        client.get("/");
    }
    assert_eq!(front.requests()[0], before + 5, "its turn comes again");
}

fn probes_eject_and_bring_back(driver: DriverChoice) {
    let (moody, good) = (Moody::new(false), Moody::new(false));
    let probe = ProbeConfig {
        interval: Duration::from_millis(15),
        timeout: Duration::from_secs(5),
        rise: 2,
        fall: 2,
    };
    let settings = ForwarderConfig {
        health: Some(HealthConfig { probe: Some(probe), ..health() }),
        probe_path: "/probe?deep=1".into(),
        ..config()
    };
    let front = Front::new(driver, settings, &[&moody.backend, &good.backend]);
    let key = front.keys()[0];
    until("it is probed", || moody.backend.requests().len() >= 3);
    let probe = moody.backend.last();
    assert!(probe.first().starts_with("GET /probe?deep=1 HTTP/1.1"), "{probe:?}");
    assert_eq!(probe.field("host"), Some(moody.backend.address.to_string().as_str()));
    assert!(front.events().is_empty());
    moody.sick.store(true, Ordering::Release);
    front.until_event("probes eject it", |event| {
        matches!(event, ForwardEvent::BackendEjected { backend, cause: Cause::Probes { count: 2 }, .. }
            if *backend == key)
    });
    assert!(front.counter(Counter::ProbesFailed) >= 2);
    let mut client = front.client();
    for _ in 0..5 {
        assert_eq!(client.get("/").status(), 200, "requests go to the other one");
    }
    moody.sick.store(false, Ordering::Release);
    until("it returns", || {
        assert_eq!(client.get("/").status(), 200);
        front.events().last() == Some(&ForwardEvent::BackendReturned { backend: key })
    });
}
