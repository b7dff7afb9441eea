//! Reliable messages and plain datagrams over real sockets, on both kernel drivers.

use clustercore::io::{DatagramOptions, DriverChoice, Train};
use clustercore::log::LogLevel;
use clustercore::messages::EndpointConfig;
use clustercore::proto::datagram::{Config, Connection, Event, GoneReason, SendError, StreamId};
use clustercore::security::{Access, Mode, PrivateKey};
use clustercore::{Code, EndpointId, Shard};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

struct End {
    shard: Shard,
    endpoint: EndpointId,
    address: SocketAddr,
    arrived: Vec<(Connection, StreamId, u64, Vec<u8>)>,
    events: Vec<Event>,
}

impl End {
    fn new(choice: DriverChoice, machine: Config) -> End {
        let mut shard = Shard::builder().driver(choice).build().unwrap();
        let endpoint =
            shard.open_endpoint(LOOPBACK, EndpointConfig { machine, ..EndpointConfig::default() }).unwrap();
        let address = shard.endpoint_address(endpoint).unwrap();
        End { shard, endpoint, address, arrived: Vec::new(), events: Vec::new() }
    }

    fn turn(&mut self) {
        self.shard.turn().unwrap();
        for run in self.shard.messages() {
            for (sequence, payload) in (run.first..).zip(run.iter()) {
                self.arrived.push((run.connection, run.stream, sequence, payload.to_vec()));
            }
        }
        self.events.extend(self.shard.connection_events().map(|(_, event)| event));
    }
}

fn until(ends: &mut [&mut End], mut done: impl FnMut(&[&mut End]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done(ends) {
        assert!(Instant::now() < deadline, "waited for 20 s");
        ends.iter_mut().for_each(|end| end.turn());
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn pair(choice: DriverChoice, machine: &Config) -> (End, End, Connection) {
    let (mut client, mut server) = (End::new(choice, machine.clone()), End::new(choice, machine.clone()));
    let connection = client.shard.connect(client.endpoint, server.address, None).unwrap();
    until(&mut [&mut client, &mut server], |ends| {
        ends[0].events.iter().any(|event| matches!(event, Event::Connected { .. }))
            && ends[1].events.iter().any(|event| matches!(event, Event::Accepted { .. }))
    });
    (client, server, connection)
}

fn messages_of_all_sizes_arrive_once_and_in_order(choice: DriverChoice) {
    let (mut client, mut server, connection) = pair(choice, &Config::default());
    let sizes: Vec<usize> =
        (0..2000).map(|index| index * 7 % 1300).chain([200_000, 0, 1 << 20, 64]).collect();
    let payload = |index: usize, len: usize| vec![index as u8; len];
    let mut next = 0;
    until(&mut [&mut client, &mut server], |_| true);
    while next < sizes.len() {
        match client.shard.send(client.endpoint, connection, StreamId::DEFAULT, &payload(next, sizes[next])) {
            Ok(sequence) => {
                assert_eq!(sequence, next as u64);
                next += 1;
            }
            Err(SendError::WouldBlock) => {
                client.turn();
                server.turn();
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    until(&mut [&mut client, &mut server], |ends| ends[1].arrived.len() == sizes.len());
    for (index, (_, _, sequence, bytes)) in server.arrived.iter().enumerate() {
        assert_eq!((*sequence, bytes), (index as u64, &payload(index, sizes[index])));
    }
    assert_eq!(client.shard.endpoint_stats(client.endpoint).unwrap().packets_lost, 0);
}

fn a_message_is_written_in_place_and_answered(choice: DriverChoice) {
    let (mut client, mut server, connection) = pair(choice, &Config::default());
    let (stream, endpoint) = (StreamId::DEFAULT, client.endpoint);
    let written = client.shard.send_with(endpoint, connection, stream, 100, |room| {
        room[..5].copy_from_slice(b"hello");
        5
    });
    assert_eq!(written, Ok(0));
    until(&mut [&mut client, &mut server], |ends| ends[1].arrived.len() == 1);
    let (back, stream, _, bytes) = server.arrived[0].clone();
    assert_eq!(bytes, b"hello");
    server.shard.send(server.endpoint, back, stream, b"and hello to you").unwrap();
    until(&mut [&mut client, &mut server], |ends| ends[0].arrived.len() == 1);
}

fn closing_tells_the_peer_and_what_was_sent_arrives_before(choice: DriverChoice) {
    let (mut client, mut server, connection) = pair(choice, &Config::default());
    for _ in 0..100 {
        client.shard.send(client.endpoint, connection, StreamId::DEFAULT, &[7; 1000]).unwrap();
    }
    client.shard.close_connection(client.endpoint, connection, 300, "bye", true).unwrap();
    until(&mut [&mut client, &mut server], |ends| {
        ends.iter().all(|end| end.events.iter().any(|event| matches!(event, Event::Gone { .. })))
    });
    assert_eq!(server.arrived.len(), 100);
    let expected = GoneReason::ClosedByPeer { code: 300, text: b"bye".to_vec() };
    assert!(
        server.events.iter().any(|event| matches!(event, Event::Gone { reason, .. } if *reason == expected))
    );
    let refused = client.shard.send(client.endpoint, connection, StreamId::DEFAULT, b"too late");
    assert_eq!(refused, Err(SendError::NotOpen));
}

fn a_peer_that_is_not_there_is_gone_with_its_reason(choice: DriverChoice) {
    let machine = Config { handshake_timeout: Duration::from_millis(300), ..Config::default() };
    let mut client = End::new(choice, machine);
    let silent = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    client.shard.connect(client.endpoint, silent.local_addr().unwrap(), None).unwrap();
    until(&mut [&mut client], |ends| !ends[0].events.is_empty());
    let is_unreachable = |event: &Event| matches!(event, Event::Gone { reason: GoneReason::Unreachable, .. });
    assert!(client.events.iter().any(is_unreachable), "{:?}", client.events);
}

fn garbage_is_counted_and_dropped(choice: DriverChoice) {
    let (mut client, mut server, connection) = pair(choice, &Config::default());
    let stranger = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    for len in 0..200 {
        let bytes: Vec<u8> = (0..len).map(|place| (place * 37 + len) as u8 | 0x40).collect();
        stranger.send_to(&bytes, server.address).unwrap();
    }
    client.shard.send(client.endpoint, connection, StreamId::DEFAULT, b"still there").unwrap();
    until(&mut [&mut client, &mut server], |ends| ends[1].arrived.len() == 1);
    let stats = server.shard.endpoint_stats(server.endpoint).unwrap();
    assert!(stats.packets_malformed + stats.packets_unknown >= 190, "{stats:?}");
}

fn with_keys_both_ends_are_proven_and_a_stranger_is_refused(choice: DriverChoice) {
    let (client_key, server_key) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let server_public = server_key.public();
    let open = |key: PrivateKey, access: Access| {
        let mode = Mode::Secure { key, access };
        let mut shard = Shard::builder().driver(choice).build().unwrap();
        let config = EndpointConfig { security: Some(mode), ..EndpointConfig::default() };
        let endpoint = shard.open_endpoint(LOOPBACK, config).unwrap();
        let address = shard.endpoint_address(endpoint).unwrap();
        End { shard, endpoint, address, arrived: Vec::new(), events: Vec::new() }
    };
    let mut server = open(server_key, Access::Only([client_key.public()].into()));
    let mut client = open(client_key, Access::Any);
    let connection =
        client.shard.connect(client.endpoint, server.address, Some(*server_public.as_bytes())).unwrap();
    until(&mut [&mut client, &mut server], |ends| {
        ends[0].events.iter().any(|event| matches!(event, Event::Connected { .. }))
    });
    client.shard.send(client.endpoint, connection, StreamId::DEFAULT, &[9; 200_000]).unwrap();
    until(&mut [&mut client, &mut server], |ends| ends[1].arrived.len() == 1);
    assert_eq!(server.arrived[0].3, vec![9; 200_000]);
    let mut stranger = open(PrivateKey::generate().unwrap(), Access::Any);
    stranger.shard.connect(stranger.endpoint, server.address, Some(*server_public.as_bytes())).unwrap();
    until(&mut [&mut stranger, &mut server], |ends| !ends[0].events.is_empty());
    let is_refused = |event: &Event| matches!(event, Event::Gone { reason: GoneReason::Refused(_), .. });
    assert!(stranger.events.iter().all(is_refused), "{:?}", stranger.events);
}

fn a_trace_tells_of_every_packet_and_a_key_log_of_both_directions(choice: DriverChoice) {
    let folder = std::env::temp_dir().join(format!("clustercore-trace-{}-{choice:?}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (client_key, server_key) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let server_public = server_key.public();
    let open = |name: &str, key: PrivateKey| {
        let mut shard = Shard::builder().driver(choice).build().unwrap();
        let config = EndpointConfig {
            security: Some(Mode::Secure { key, access: Access::Any }),
            trace_path: Some(folder.join(format!("{name}.sqlog"))),
            key_log_path: Some(folder.join(format!("{name}.keys"))),
            ..EndpointConfig::default()
        };
        let endpoint = shard.open_endpoint(LOOPBACK, config).unwrap();
        let address = shard.endpoint_address(endpoint).unwrap();
        End { shard, endpoint, address, arrived: Vec::new(), events: Vec::new() }
    };
    let (mut server, mut client) = (open("server", server_key), open("client", client_key));
    let warned = client.shard.take_logs().into_iter().filter(|record| record.level == LogLevel::Warn);
    assert!(warned.map(|record| record.text).any(|text| text.contains("WRITES ITS KEYS to")));
    let connection =
        client.shard.connect(client.endpoint, server.address, Some(*server_public.as_bytes())).unwrap();
    until(&mut [&mut client, &mut server], |ends| {
        ends[0].events.iter().any(|event| matches!(event, Event::Connected { .. }))
    });
    client.shard.send(client.endpoint, connection, StreamId::DEFAULT, &[9; 200_000]).unwrap();
    client.shard.close_connection(client.endpoint, connection, 300, "bye", true).unwrap();
    until(&mut [&mut client, &mut server], |ends| {
        ends.iter().all(|end| end.events.iter().any(|event| matches!(event, Event::Gone { .. })))
    });
    let stats = server.shard.endpoint_stats(server.endpoint).unwrap();
    server.shard.close_endpoint(server.endpoint).unwrap();
    client.shard.close_endpoint(client.endpoint).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let trace = read("server.sqlog");
    assert!(trace.starts_with("\x1e{\"file_schema\":") && trace.ends_with("}}\n"));
    let received = "\"name\":\"datagram:packet_received\"";
    let data = |line: &&str| line.contains(received) && line.contains("\"packet_type\":\"data\"");
    assert_eq!(trace.lines().filter(data).count() as u64, stats.packets_received);
    assert!(trace.contains("\"trigger\":\"closed_by_peer\",\"code\":300,\"reason\":\"bye\""));
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let keys = sorted(read("client.keys"));
    assert_eq!(keys, sorted(read("server.keys")), "both ends have the same secrets");
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|line| line.len() == 22 + 1 + 16 + 1 + 64), "{keys:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

fn plain_datagrams_come_as_they_were_sent(choice: DriverChoice) {
    let mut shard = Shard::builder().driver(choice).build().unwrap();
    let one = shard.bind(LOOPBACK, &DatagramOptions::default()).unwrap();
    let two = shard.bind(LOOPBACK, &DatagramOptions::default()).unwrap();
    let to = shard.socket_address(two).unwrap();
    shard.turn().unwrap();
    shard.send_to(one, to, Train::owned((0..250).collect(), 100)).unwrap();
    shard.send_to(one, to, Train::owned(b"alone".to_vec(), 5)).unwrap();
    let mut arrived = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while arrived.len() < 4 {
        assert!(Instant::now() < deadline);
        shard.turn_for(Some(Duration::from_millis(10))).unwrap();
        for train in shard.datagrams() {
            assert_eq!((train.socket, train.from), (two, shard.socket_address(one).unwrap()));
            arrived.extend(train.iter().map(<[u8]>::to_vec));
        }
    }
    let lengths: Vec<usize> = arrived.iter().map(Vec::len).collect();
    assert_eq!(lengths, [100, 100, 50, 5]);
    assert_eq!(arrived[2], (200..250).collect::<Vec<u8>>());
    shard.close_socket(two).unwrap();
    assert_eq!(shard.socket_address(two).unwrap_err().code(), Code::NoSuchSocket);
}

fn clear_messages_outside_loopback_must_be_asked_for(choice: DriverChoice) {
    let mut shard = Shard::builder().driver(choice).build().unwrap();
    let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let error = shard.open_endpoint(anywhere, EndpointConfig::default()).unwrap_err();
    assert_eq!(error.code(), Code::InsecureAddress, "{error}");
    let config = EndpointConfig { insecure: true, ..EndpointConfig::default() };
    let endpoint = shard.open_endpoint(anywhere, config).unwrap();
    let error = shard.connect(endpoint, "127.0.0.1:9".parse().unwrap(), Some([1; 32])).unwrap_err();
    assert_eq!(error.code(), Code::BadConfiguration, "a key that nobody would check: {error}");
    shard.close_endpoint(endpoint).unwrap();
    assert_eq!(shard.close_endpoint(endpoint).unwrap_err().code(), Code::NoSuchEndpoint);
    let machine = Config { packet_bytes_max: 100, ..Config::default() };
    let error = shard.open_endpoint(LOOPBACK, EndpointConfig { machine, ..EndpointConfig::default() });
    assert!(error.unwrap_err().to_string().contains("packet_bytes_max is 100"));
    let keys = EndpointConfig { key_log_path: Some("/nowhere/keys".into()), ..EndpointConfig::default() };
    let error = shard.open_endpoint(LOOPBACK, keys).unwrap_err();
    assert_eq!(error.code(), Code::BadConfiguration, "a clear endpoint has no keys: {error}");
    let trace = EndpointConfig { trace_path: Some("/nowhere/trace".into()), ..EndpointConfig::default() };
    let error = shard.open_endpoint(LOOPBACK, trace).unwrap_err();
    assert!(error.to_string().starts_with("make the trace /nowhere/trace: No such file"), "{error}");
}

macro_rules! on_both_drivers {
    ($($case:ident),+ $(,)?) => {
        mod uring {
            $(#[test] fn $case() { super::$case(super::DriverChoice::Uring) })+
        }
        mod epoll {
            $(#[test] fn $case() { super::$case(super::DriverChoice::Epoll) })+
        }
    };
}

on_both_drivers!(
    messages_of_all_sizes_arrive_once_and_in_order,
    a_message_is_written_in_place_and_answered,
    closing_tells_the_peer_and_what_was_sent_arrives_before,
    a_peer_that_is_not_there_is_gone_with_its_reason,
    garbage_is_counted_and_dropped,
    with_keys_both_ends_are_proven_and_a_stranger_is_refused,
    a_trace_tells_of_every_packet_and_a_key_log_of_both_directions,
    plain_datagrams_come_as_they_were_sent,
    clear_messages_outside_loopback_must_be_asked_for,
);
