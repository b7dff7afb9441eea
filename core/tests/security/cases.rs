//! What must hold when keys change, are wrong, or are missing.

use super::pipe::{Odds, Pipe};
use clustercore::security::{Access, EndpointSecurity, Mode, PrivateKey};
use clustercore_proto::datagram::{
    Config, ConnectError, Connection, DataHeader, Event, GoneReason, RefuseCode, SendError, StreamId,
    StreamKind,
};
use clustercore_proto::random::Random;
use std::collections::HashSet;
use std::time::Duration;

const PORT: u16 = 4000;
const SOME: Odds = Odds { loss: 30, reorder: 100, repeat: 30, damage: 10 };

fn config() -> Config {
    Config { key_packets_max: 20, handshake_timeout: Duration::from_secs(5), ..Config::default() }
}

fn key() -> PrivateKey {
    PrivateKey::generate().unwrap()
}

fn secure(key: &PrivateKey, access: Access) -> EndpointSecurity {
    EndpointSecurity::new(Mode::Secure { key: key.clone(), access }, PORT).unwrap()
}

fn clear() -> EndpointSecurity {
    EndpointSecurity::new(Mode::Clear, PORT).unwrap()
}

/// A client with that key that is the only one whom the server lets in, and the server's public key.
fn only(client: &PrivateKey, server: &PrivateKey) -> [EndpointSecurity; 2] {
    [secure(client, Access::Any), secure(server, Access::Only(HashSet::from([client.public()])))]
}

fn open(pipe: &mut Pipe, server: Option<&PrivateKey>) -> [Connection; 2] {
    let name = pipe.connect(server.map(|key| *key.public().as_bytes()));
    assert!(pipe.run(Duration::from_secs(5), |pipe| {
        pipe.ends[0].events.iter().any(|event| matches!(event, Event::Connected { .. }))
    }));
    let stream = StreamId::DEFAULT;
    pipe.ends[0].endpoint.send(name, stream, b"hello").unwrap();
    assert!(pipe.run(Duration::from_secs(5), |pipe| !pipe.ends[1].arrived.is_empty()));
    [name, pipe.accepted().unwrap().0]
}

fn reason(pipe: &Pipe, end: usize) -> Option<&GoneReason> {
    pipe.ends[end].events.iter().find_map(|event| match event {
        Event::Gone { reason, .. } => Some(reason),
        _ => None,
    })
}

/// Sends `count` messages each way and sees that each arrives once, the ordered ones in order.
fn talk(pipe: &mut Pipe, names: [Connection; 2], count: usize, seed: u64) {
    let mut random = Random::new(seed);
    let streams = [StreamKind::Ordered, StreamKind::Unordered].map(|kind| StreamId::new(7, kind).unwrap());
    let mut sent: [Vec<(StreamId, Vec<u8>)>; 2] = Default::default();
    pipe.ends.iter_mut().for_each(|end| end.arrived.clear());
    for index in 0..count {
        for end in 0..2 {
            let stream = streams[random.below(2) as usize];
            let len = if random.chance(50) { 5000 } else { random.below(600) as usize };
            let mut message = vec![random.next_u64() as u8; len];
            message.extend_from_slice(&(index as u32).to_le_bytes());
            match pipe.ends[end].endpoint.send(names[end], stream, &message) {
                Ok(_) => sent[end].push((stream, message)),
                Err(SendError::WouldBlock) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        pipe.run(Duration::from_millis(1), |_| false);
    }
    let done = |pipe: &Pipe| (0..2).all(|end| pipe.ends[1 - end].arrived.len() >= sent[end].len());
    assert!(pipe.run(Duration::from_secs(60), done), "everything arrives");
    for end in 0..2 {
        for stream in streams {
            let of = |(of, message): &(StreamId, Vec<u8>)| (*of == stream).then(|| message.clone());
            let mut sent: Vec<_> = sent[end].iter().filter_map(of).collect();
            let arrived = &pipe.ends[1 - end].arrived;
            let mut arrived: Vec<_> = arrived
                .iter()
                .filter(|(_, of, _)| *of == stream)
                .map(|(_, _, message)| message.clone())
                .collect();
            if stream.kind() == StreamKind::Unordered {
                sent.sort();
                arrived.sort();
            }
            assert!(sent == arrived, "end {end}, {stream:?}: {} sent, {} arrived", sent.len(), arrived.len());
        }
    }
}

#[test]
fn everything_arrives_while_keys_change_and_packets_are_lost_and_reordered() {
    for seed in 0..8 {
        let (client, server) = (key(), key());
        let mut pipe = Pipe::new(seed, config(), SOME, only(&client, &server));
        let names = open(&mut pipe, Some(&server));
        assert_eq!(pipe.accepted().unwrap().1, Some(*client.public().as_bytes()));
        talk(&mut pipe, names, 400, seed);
        for end in &pipe.ends {
            let stats = end.endpoint.stats();
            assert!(stats.key_updates >= 5, "seed {seed}: {stats:?}");
            assert!(stats.packets_lost > 0 && stats.packets_corrupt > 0, "seed {seed}: {stats:?}");
            assert_eq!(stats.violations, 0, "seed {seed}");
        }
        assert_eq!((reason(&pipe, 0), reason(&pipe, 1)), (None, None));
    }
}

#[test]
fn without_damage_no_packet_is_taken_for_a_forged_one() {
    let (client, server) = (key(), key());
    let odds = Odds { reorder: 100, repeat: 100, ..Odds::default() };
    let mut pipe = Pipe::new(3, config(), odds, only(&client, &server));
    let names = open(&mut pipe, Some(&server));
    talk(&mut pipe, names, 400, 3);
    for end in &pipe.ends {
        let stats = end.endpoint.stats();
        assert!(stats.key_updates >= 5, "{stats:?}");
        assert_eq!(stats.packets_corrupt, 0, "{stats:?}");
    }
}

#[test]
fn clear_mode_delivers_the_same() {
    let mut pipe = Pipe::new(5, config(), SOME, [clear(), clear()]);
    let names = open(&mut pipe, None);
    assert_eq!(pipe.accepted().unwrap().1, None);
    talk(&mut pipe, names, 200, 5);
}

#[test]
fn nothing_of_a_message_is_to_be_seen_on_the_way() {
    let (client, server) = (key(), key());
    let mut pipe = Pipe::new(1, config(), Odds::default(), only(&client, &server));
    let [name, _] = open(&mut pipe, Some(&server));
    let secret = b"a secret of twenty-odd bytes";
    pipe.ends[0].endpoint.send(name, StreamId::DEFAULT, secret).unwrap();
    assert!(pipe.run(Duration::from_secs(1), |pipe| pipe.ends[1].arrived.len() == 2));
    assert_eq!(pipe.ends[1].arrived[1].2, secret);
    let identity = client.public();
    let shown = [&secret[..], &identity.as_bytes()[..], &b"hello"[..]];
    for (_, datagram) in &pipe.seen {
        for part in shown {
            assert!(!datagram.windows(part.len()).any(|window| window == part));
        }
    }
}

/// The connection comes to nothing: the client is told why, no message passes, and the server holds nothing afterwards.
#[track_caller]
fn comes_to_nothing(mut pipe: Pipe, server: Option<&PrivateKey>, expected: &[GoneReason]) {
    let name = pipe.connect(server.map(|key| *key.public().as_bytes()));
    let _ = pipe.ends[0].endpoint.send(name, StreamId::DEFAULT, b"hello");
    assert!(pipe.run(Duration::from_secs(30), |pipe| reason(pipe, 0).is_some()));
    pipe.run(Duration::from_secs(30), |_| false);
    let reason = reason(&pipe, 0).unwrap();
    assert!(expected.contains(reason), "{reason:?}");
    assert!(pipe.ends.iter().all(|end| end.arrived.is_empty()));
    assert_eq!(pipe.accepted(), None);
    assert_eq!(pipe.ends.each_ref().map(|end| end.endpoint.connections()), [0, 0]);
}

#[test]
fn who_has_a_wrong_key_gets_no_connection() {
    let refused = [GoneReason::Refused(RefuseCode::Handshake)];
    let (client, server) = (key(), key());
    let new = |security| Pipe::new(1, config(), Odds::default(), security);
    // Not on the list; not the server that is meant; one end without security.
    comes_to_nothing(
        new(only(&key(), &server)).with_client(secure(&client, Access::Any)),
        Some(&server),
        &refused,
    );
    comes_to_nothing(new(only(&client, &server)), Some(&key()), &refused);
    comes_to_nothing(new([clear(), secure(&server, Access::Any)]), None, &refused);
    // A server in clear mode may take a sealed message for parameters, by chance; its answer is none to the client.
    let either = [&refused[..], &[GoneReason::Unreachable]].concat();
    comes_to_nothing(new([secure(&client, Access::Any), clear()]), Some(&server), &either);
}

#[test]
fn a_key_that_is_needed_is_asked_for() {
    let (client, server) = (key(), key());
    let mut pipe = Pipe::new(1, config(), Odds::default(), only(&client, &server));
    let to = pipe.ends[1].address;
    assert_eq!(pipe.ends[0].endpoint.connect(pipe.now, to, None), Err(ConnectError::NoKey));
    let key = Some(*server.public().as_bytes());
    let mut pipe = Pipe::new(1, config(), Odds::default(), [clear(), clear()]);
    assert_eq!(pipe.ends[0].endpoint.connect(pipe.now, to, key), Err(ConnectError::NoKey));
}

#[test]
fn forged_packets_change_nothing() {
    let (client, server) = (key(), key());
    let mut pipe = Pipe::new(1, config(), Odds::default(), only(&client, &server));
    let names = open(&mut pipe, Some(&server));
    let (_, example) =
        pipe.seen.iter().rfind(|(to, bytes)| *to == 1 && DataHeader::read(bytes).is_some()).unwrap().clone();
    let header = DataHeader::read(&example).unwrap();
    let before = pipe.ends[1].endpoint.stats().packets_corrupt;
    let mut random = Random::new(9);
    for index in 0..200 {
        // A right header with any number and phase, and made-up content.
        let header = DataHeader { phase: random.chance(500), number: header.number + 1 + index, ..header };
        let mut forged = example.clone();
        header.write(&mut forged);
        pipe.inject(1, forged);
    }
    pipe.run(Duration::from_millis(50), |_| false);
    assert_eq!(pipe.ends[1].endpoint.stats().packets_corrupt - before, 200);
    talk(&mut pipe, names, 50, 1);
}

#[test]
fn a_recorded_handshake_and_its_packets_say_nothing_again() {
    let (client, server) = (key(), key());
    let mut pipe = Pipe::new(1, config(), Odds::default(), only(&client, &server));
    open(&mut pipe, Some(&server));
    let recorded: Vec<_> =
        pipe.seen.iter().filter(|(to, _)| *to == 1).map(|(_, bytes)| bytes.clone()).collect();
    // To the same program, and to the next run of it.
    for round in 0..2 {
        pipe.ends[1].arrived.clear();
        pipe.ends[1].events.clear();
        for datagram in &recorded {
            pipe.inject(1, datagram.clone());
        }
        pipe.run(Duration::from_secs(20), |_| false);
        assert!(pipe.ends[1].arrived.is_empty(), "round {round}");
        assert_eq!(pipe.accepted(), None, "round {round}");
        let config = Config { epoch: 9, ..config() };
        pipe.restart(1, config, secure(&server, Access::Any));
    }
}

#[test]
fn a_restarted_server_is_noticed_at_once() {
    for is_secure in [true, false] {
        let (client, server) = (key(), key());
        let security = if is_secure { only(&client, &server) } else { [clear(), clear()] };
        let mut pipe = Pipe::new(1, config(), Odds::default(), security);
        let [name, _] = open(&mut pipe, is_secure.then_some(&server));
        let next = if is_secure { secure(&server, Access::Any) } else { clear() };
        pipe.restart(1, Config { epoch: 9, ..config() }, next);
        pipe.ends[0].endpoint.send(name, StreamId::DEFAULT, b"are you there?").unwrap();
        // By the token of its Reset: no time-out is as short.
        assert!(pipe.run(Duration::from_millis(50), |pipe| reason(pipe, 0).is_some()));
        assert_eq!(reason(&pipe, 0), Some(&GoneReason::Restarted));
    }
}

#[test]
fn another_key_cannot_say_that_the_server_was_restarted() {
    let (client, server) = (key(), key());
    let mut pipe = Pipe::new(1, config(), Odds::default(), only(&client, &server));
    let [name, _] = open(&mut pipe, Some(&server));
    pipe.restart(1, Config { epoch: 9, ..config() }, secure(&key(), Access::Any));
    pipe.ends[0].endpoint.send(name, StreamId::DEFAULT, b"are you there?").unwrap();
    assert!(pipe.run(Duration::from_secs(120), |pipe| reason(pipe, 0).is_some()));
    assert_eq!(reason(&pipe, 0), Some(&GoneReason::Silent));
    assert!(pipe.ends[1].endpoint.stats().resets_sent > 0);
}
