use super::*;
use crate::counters::Counter;
use crate::forward::{BackendConfig, BackendState, ForwarderConfig, Service};
use crate::io::{DriverChoice, ListenOptions};
use std::net::SocketAddr;
use std::sync::Arc;

fn shard() -> Shard {
    Shard::builder().driver(DriverChoice::Epoll).build().unwrap()
}

#[test]
fn whoever_turns_first_owns_the_shard() {
    let mut shard = shard();
    let any = "127.0.0.1:0".parse().unwrap();
    let web = shard.add_forwarder(ForwarderConfig::default()).unwrap();
    shard.listen(web, any, &ListenOptions::default()).expect("before the first turn anybody may");
    let config = || BackendConfig::new("127.0.0.1:9".parse().unwrap());
    let key = shard.add_backend(web, config()).unwrap();
    let mut shard = std::thread::spawn(move || {
        shard.turn().unwrap();
        shard
    })
    .join()
    .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let results = [
        shard.turn(),
        shard.add_forwarder(ForwarderConfig::default()).map(drop),
        shard.listen(web, any, &ListenOptions::default()).map(drop),
        shard.listen_fd(web, listener.into()).map(drop),
        shard.add_backend(web, config()).map(drop),
        shard.set_local(web, Some(config())).map(drop),
        shard.drain_backend(web, key, Duration::from_secs(1)),
        shard.remove_backend(web, key),
        shard.remove_forwarder(web),
    ];
    for (call, result) in results.into_iter().enumerate() {
        assert_eq!(result.map_err(|error| error.code()), Err(Code::WrongThread), "call {call}");
    }
    let status = shard.backends(web).unwrap();
    assert_eq!(status.len(), 1, "nothing of it was done");
    assert_eq!((status[0].key, status[0].state), (key, BackendState::Active));
}

#[test]
fn a_place_is_used_again_and_the_old_id_reaches_nobody() {
    let mut shard = shard();
    let [first, second] = [(); 2].map(|()| shard.add_forwarder(ForwarderConfig::default()).unwrap());
    let key = shard.add_backend(first, BackendConfig::new("127.0.0.1:9".parse().unwrap())).unwrap();
    shard.drain_backend(first, key, Duration::from_secs(1)).unwrap();
    shard.remove_forwarder(first).unwrap();
    assert_eq!(shard.remove_forwarder(first).unwrap_err().code(), Code::NoSuchForwarder);
    let again = shard.add_forwarder(ForwarderConfig::default()).unwrap();
    assert_eq!((again.index(), again.generation()), (first.index(), first.generation() + 1));
    let any = "127.0.0.1:0".parse().unwrap();
    let config = || BackendConfig::new("127.0.0.1:9".parse().unwrap());
    let results = [
        shard.listen(first, any, &ListenOptions::default()).map(drop),
        shard.add_backend(first, config()).map(drop),
        shard.set_local(first, Some(config())).map(drop),
        shard.drain_backend(first, key, Duration::from_secs(1)),
        shard.remove_backend(first, key),
        shard.remove_forwarder(first),
        shard.backends(first).map(drop),
        shard.counters(first).map(drop),
        shard.latency(first).map(drop),
        shard.forwarder_mut(first).map(drop),
    ];
    for (call, result) in results.into_iter().enumerate() {
        assert_eq!(result.map_err(|error| error.code()), Err(Code::NoSuchForwarder), "call {call}");
    }
    assert!(shard.backends(again).unwrap().is_empty());
    assert_eq!(shard.events().count(), 0, "the event was of the one before");
    let third = shard.add_forwarder(ForwarderConfig::default()).unwrap();
    assert!(third != again && third != second);
    let service = Service::new(ForwarderConfig::default(), 1);
    let twice = shard.attach_at(second, Arc::clone(&service)).unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    let beyond = shard.attach_at(ForwarderId::new(u16::MAX, 0), service).unwrap_err();
    assert_eq!(beyond.code(), Code::TooLarge);
}

#[test]
fn a_later_deadline_is_not_met_by_an_older_forwarders_timer() {
    let mut shard = shard();
    let config = || BackendConfig::new("127.0.0.1:9".parse().unwrap());
    // The same place and the same key as the next one's.
    let web = shard.add_forwarder(ForwarderConfig::default()).unwrap();
    let key = shard.add_backend(web, config()).unwrap();
    shard.drain_backend(web, key, Duration::from_millis(1)).unwrap();
    shard.remove_forwarder(web).unwrap();
    let web = shard.add_forwarder(ForwarderConfig::default()).unwrap();
    assert_eq!(shard.add_backend(web, config()).unwrap(), key);
    shard.backend(web, key).unwrap().on_start(0);
    shard.drain_backend(web, key, Duration::from_millis(60)).unwrap();
    let begun = std::time::Instant::now();
    let mut told = Vec::new();
    for _ in 0..100 {
        shard.turn_for(Some(Duration::from_millis(10))).unwrap();
        told.extend(shard.events());
        if !told.is_empty() {
            break;
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(60), "told before its own deadline");
    assert_eq!(told, [(web, ForwardEvent::BackendDrained { backend: key, in_flight: 1 })]);
}

/// A shard with a forwarder that listens, and where.
fn listening(config: ForwarderConfig) -> (Shard, ForwarderId, SocketAddr) {
    let mut shard = shard();
    let web = shard.add_forwarder(config).unwrap();
    let address = shard.listen(web, "127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
    (shard, web, address)
}

/// Turns until as many clients are open.
fn turn_until_open(shard: &mut Shard, web: ForwarderId, clients: u64) {
    for _ in 0..2000 {
        if shard.forwarder(web).unwrap().counters().get(Counter::ClientsOpen) == clients {
            return;
        }
        shard.turn_for(Some(Duration::from_millis(5))).unwrap();
    }
    panic!("never {clients} clients");
}

#[test]
fn short_connections_share_the_timer_of_their_slot() {
    let (mut shard, web, address) = listening(ForwarderConfig::default());
    for _ in 0..50 {
        let client = std::net::TcpStream::connect(address).unwrap();
        turn_until_open(&mut shard, web, 1);
        drop(client);
        turn_until_open(&mut shard, web, 0);
    }
    assert_eq!(shard.forwarder(web).unwrap().counters().get(Counter::ClientsAccepted), 50);
    assert!(shard.wheel.len() <= 2, "{} timers wait for clients that are gone", shard.wheel.len());
}

#[test]
fn a_client_in_a_used_slot_has_a_deadline_of_its_own() {
    let idle_timeout = Duration::from_millis(60);
    let (mut shard, web, address) = listening(ForwarderConfig { idle_timeout, ..ForwarderConfig::default() });
    let first = std::net::TcpStream::connect(address).unwrap();
    turn_until_open(&mut shard, web, 1);
    drop(first);
    turn_until_open(&mut shard, web, 0);
    std::thread::sleep(Duration::from_millis(30));
    let begun = std::time::Instant::now();
    let _second = std::net::TcpStream::connect(address).unwrap();
    turn_until_open(&mut shard, web, 1);
    turn_until_open(&mut shard, web, 0);
    assert!(begun.elapsed() >= idle_timeout, "closed at the deadline of the client before");
    assert_eq!(shard.forwarder(web).unwrap().counters().get(Counter::IdleTimeouts), 1);
}
