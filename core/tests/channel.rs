//! A server of channels and its participants on real sockets.

use clustercore::Code;
use clustercore::channel::engine::access::Access;
use clustercore::channel::engine::hub::HubConfig;
use clustercore::channel::engine::participant::{News, ParticipantConfig, SupplyConfig};
use clustercore::channel::engine::{Event, EventLimits};
use clustercore::channel::{ChannelServer, ChannelServerConfig, Link, Participant};
use clustercore::io::DriverChoice;
use clustercore::security::{Access as Clients, Mode, PrivateKey};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

struct Server {
    tcp: SocketAddr,
    udp: SocketAddr,
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<clustercore::channel::engine::hub::HubStats>>,
}

impl Server {
    fn start(choice: DriverChoice) -> Server {
        Server::start_with(choice, None)
    }

    fn start_with(choice: DriverChoice, security: Option<Mode>) -> Server {
        let is_ending = Arc::new(AtomicBool::new(false));
        let (addresses, listening) = std::sync::mpsc::channel();
        let ends = Arc::clone(&is_ending);
        let thread = std::thread::spawn(move || {
            let hub = HubConfig { access: Access::open(), ..HubConfig::default() };
            let config = ChannelServerConfig { hub, security, ..ChannelServerConfig::default() };
            let mut server = ChannelServer::open(choice, Duration::ZERO, config).unwrap();
            let any = "127.0.0.1:0".parse().unwrap();
            addresses.send((server.listen_tcp(any).unwrap(), server.listen_udp(any).unwrap())).unwrap();
            while !ends.load(Ordering::Relaxed) {
                server.turn_for(Some(Duration::from_millis(20))).unwrap();
            }
            server.stats()
        });
        let (tcp, udp) = listening.recv_timeout(LIMIT).unwrap();
        Server { tcp, udp, is_ending, thread: Some(thread) }
    }

    fn end(&mut self) -> clustercore::channel::engine::hub::HubStats {
        self.is_ending.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

fn join(link: Link, choice: DriverChoice) -> Participant {
    Participant::open(choice, Duration::ZERO, link, None, false, ParticipantConfig::default()).unwrap()
}

fn events(range: std::ops::Range<u32>) -> Vec<Event> {
    let event = |id: u32| Event::builder(id.to_string(), "/test", "tested").body(vec![7; 64]);
    range.map(|id| event(id).build(&EventLimits::default()).unwrap()).collect()
}

/// Turns both until `done`.
fn until(
    participants: &mut [&mut Participant],
    what: &str,
    mut done: impl FnMut(&mut [&mut Participant]) -> bool,
) {
    let end = Instant::now() + LIMIT;
    while !done(participants) {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        for participant in participants.iter_mut() {
            participant.turn_for(Some(Duration::from_millis(1))).unwrap();
        }
    }
}

#[test]
fn events_flow_over_tcp_and_datagrams_with_both_drivers() {
    for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
        let mut server = Server::start(choice);
        let mut over_tcp = join(Link::Tcp(server.tcp), choice);
        let mut over_udp = join(Link::Udp(server.udp, None), choice);
        let mut supplier = join(Link::Tcp(server.tcp), choice);
        for consumer in [&mut over_tcp, &mut over_udp] {
            consumer.consume(r#""spec":{"qos":{"length_max":100000}}"#);
            consumer.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
        }
        let handle = supplier.supply("", SupplyConfig::default());
        let (mut sent, mut got) = (0, [0u32; 2]);
        let mut all = [&mut supplier, &mut over_tcp, &mut over_udp];
        until(&mut all, "20,000 events at both", |all| {
            if sent < 20_000 {
                sent += all[0].emit(handle, &events(sent..(sent + 500).min(20_000))).unwrap_or(0) as u32;
            }
            for (index, count) in got.iter_mut().enumerate() {
                while let Some((_, delivered)) = all[index + 1].take() {
                    assert_eq!(delivered.event.id().as_ref(), count.to_string());
                    assert_eq!(delivered.event.body().as_ref(), [7; 64]);
                    *count += 1;
                }
            }
            got == [20_000; 2]
        });
        until(&mut [&mut supplier], "all is taken", |all| all[0].untaken(handle).unwrap() == 0);
        drop((over_tcp, over_udp, supplier));
        let stats = server.end();
        assert_eq!((stats.taken, stats.delivered, stats.violations), (20_000, 40_000, 0));
    }
}

#[test]
fn the_link_is_exchanged_while_events_flow_and_nothing_is_missed() {
    let mut server = Server::start(DriverChoice::Auto);
    let mut consumer = join(Link::Tcp(server.tcp), DriverChoice::Auto);
    let spec = r#""name":"steady","spec":{"qos":{"acknowledgement":"explicit","length_max":100000,"in_flight_max":10000}}"#;
    let consume = consumer.consume(spec);
    consumer.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
    let mut supplier = join(Link::Udp(server.udp, None), DriverChoice::Auto);
    let supply = supplier.supply("", SupplyConfig::default());
    let mut first_seen = Vec::new();
    let mut is_seen = vec![false; 4000];
    let mut sent = 0;
    let links = [
        (1000, true, Link::Udp(server.udp, None)),
        (2000, false, Link::Tcp(server.tcp)),
        (3000, true, Link::Tcp(server.tcp)),
    ];
    let mut exchanged = 0;
    let mut all = [&mut supplier, &mut consumer];
    until(&mut all, "4,000 events over exchanged links", |all| {
        if sent < 4000 {
            sent += all[0].emit(supply, &events(sent..sent + 50)).unwrap_or(0) as u32;
        }
        if let Some((at, is_consumer, link)) = links.get(exchanged)
            && first_seen.len() >= *at
        {
            all[usize::from(*is_consumer)].relink(*link, None).unwrap();
            exchanged += 1;
        }
        let mut names = Vec::new();
        while let Some((_, delivered)) = all[1].take() {
            let id: usize = delivered.event.id().parse().unwrap();
            names.extend(delivered.delivery);
            if !std::mem::replace(&mut is_seen[id], true) {
                first_seen.push(id);
            }
        }
        all[1].machine().acknowledge(consume, &names);
        first_seen.len() == 4000 && all[0].links_made() == 2 && all[1].links_made() == 3
    });
    assert_eq!(exchanged, 3);
    server.end();
}

#[test]
fn what_is_no_protocol_is_told_so_and_others_go_on() {
    use std::io::{Read, Write};
    let mut server = Server::start(DriverChoice::Auto);
    let mut rude = std::net::TcpStream::connect(server.tcp).unwrap();
    rude.set_read_timeout(Some(LIMIT)).unwrap();
    rude.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    rude.read_to_end(&mut answer).unwrap();
    assert!(
        String::from_utf8_lossy(&answer).contains("a frame of 542393671 bytes, limit is 4194304"),
        "{answer:?}"
    );
    let mut polite = join(Link::Tcp(server.tcp), DriverChoice::Auto);
    let error = polite.ask(r#"{"op":"delete"}"#, LIMIT).unwrap_err();
    assert!(error.to_string().contains("is_default"), "{error}");
    let gone = polite.consume(r#""channel":"nowhere""#);
    until(&mut [&mut polite], "told that there is no such channel", |all| {
        let news = std::iter::from_fn(|| all[0].poll_news());
        news.into_iter().any(|it| matches!(it, News::Gone { handle, .. } if handle == gone))
    });
    assert_eq!(server.end().violations, 1);
}

#[test]
fn a_link_with_keys_is_made_with_the_right_one_only() {
    let (key, ours) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let (public, wrong) = (*key.public().as_bytes(), *ours.public().as_bytes());
    let access = Clients::Only([ours.public()].into());
    let mut server = Server::start_with(DriverChoice::Auto, Some(Mode::Secure { key, access }));
    let mode = |key: &PrivateKey| Some(Mode::Secure { key: key.clone(), access: Clients::Any });
    let open = |server_key, security| {
        let link = Link::Udp(server.udp, server_key);
        let config = ParticipantConfig::default();
        Participant::open(DriverChoice::Auto, Duration::ZERO, link, security, false, config)
    };
    open(Some(public), mode(&ours)).unwrap().ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
    // Another key than the server's, a client that is not let in, and one without keys.
    for (server_key, security) in [(Some(wrong), mode(&ours)), (Some(public), None), (None, None)] {
        let mut refused = open(server_key, security).unwrap();
        until(&mut [&mut refused], "refused", |all| all[0].trouble().is_some());
        let error = refused.ask(r#"{"op":"ping"}"#, Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
        assert!(
            error.to_string().contains("the server refuses the handshake: it has another key"),
            "{error}"
        );
        // The same participant, with what is right.
        refused.relink(Link::Udp(server.udp, Some(public)), mode(&ours)).unwrap();
        refused.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
        assert_eq!(refused.trouble(), None);
    }
    assert_eq!(open(None, mode(&ours)).err().unwrap().code(), Code::NoKey);
    server.end();
}

#[test]
fn a_link_that_cannot_be_leaves_the_one_before() {
    let mut server = Server::start(DriverChoice::Auto);
    let mut participant = join(Link::Tcp(server.tcp), DriverChoice::Auto);
    participant.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
    let security = Some(Mode::Secure { key: PrivateKey::generate().unwrap(), access: Clients::Any });
    let error = participant.relink(Link::Udp(server.udp, None), security).unwrap_err();
    assert_eq!(error.code(), Code::NoKey, "{error}");
    let far = Link::parse("udp://192.0.2.1:7").unwrap();
    assert_eq!(participant.relink(far, None).unwrap_err().code(), Code::InsecureAddress);
    participant.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
    assert_eq!(participant.links_made(), 1);
    server.end();
}
