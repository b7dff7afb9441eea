//! A server of channels and its participants on real sockets.

mod calls;
mod links;
mod sim;

use clustercore::calls::Stats;
use clustercore::channel::engine::access::Access;
use clustercore::channel::engine::hub::{HubConfig, HubStats};
use clustercore::channel::engine::participant::{News, ParticipantConfig, SupplyConfig};
use clustercore::channel::engine::{Event, EventLimits};
use clustercore::channel::{ChannelServer, ChannelServerConfig, Link, Participant};
use clustercore::io::DriverChoice;
use clustercore::security::Mode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

struct Server {
    tcp: SocketAddr,
    udp: SocketAddr,
    rpc: SocketAddr,
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<(HubStats, Stats)>>,
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
            let (tcp, udp) = (server.listen_tcp(any).unwrap(), server.listen_udp(any).unwrap());
            addresses.send((tcp, udp, server.listen_rpc(any).unwrap())).unwrap();
            while !ends.load(Ordering::Relaxed) {
                server.turn_for(Some(Duration::from_millis(20))).unwrap();
            }
            (server.stats(), server.call_stats().unwrap())
        });
        let (tcp, udp, rpc) = listening.recv_timeout(LIMIT).unwrap();
        Server { tcp, udp, rpc, is_ending, thread: Some(thread) }
    }

    fn end(&mut self) -> HubStats {
        self.end_counting_calls().0
    }

    fn end_counting_calls(&mut self) -> (HubStats, Stats) {
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
fn events_flow_over_tcp_datagrams_and_calls_with_both_drivers() {
    for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
        let mut server = Server::start(choice);
        let mut over_tcp = join(Link::Tcp(server.tcp), choice);
        let mut over_udp = join(Link::Udp(server.udp, None), choice);
        let mut over_rpc = join(Link::Rpc(server.rpc, None), choice);
        let mut supplier = join(Link::Tcp(server.tcp), choice);
        for consumer in [&mut over_tcp, &mut over_udp, &mut over_rpc] {
            consumer.consume(r#""spec":{"qos":{"length_max":100000}}"#);
            consumer.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
        }
        let handle = supplier.supply("", SupplyConfig::default());
        let (mut sent, mut got) = (0, [0u32; 3]);
        let mut all = [&mut supplier, &mut over_tcp, &mut over_udp, &mut over_rpc];
        until(&mut all, "20,000 events at each", |all| {
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
            got == [20_000; 3]
        });
        until(&mut [&mut supplier], "all is taken", |all| all[0].untaken(handle).unwrap() == 0);
        drop((over_tcp, over_udp, over_rpc, supplier));
        let stats = server.end();
        assert_eq!((stats.taken, stats.delivered, stats.violations), (20_000, 60_000, 0));
    }
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
