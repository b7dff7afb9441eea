//! The face for remote calls, as strangers see it: who has stubs of docs/protocol/channels.proto, and who has not.

use super::*;
use clustercore::EndpointConfig;
use clustercore::calls::{CallConfig, Channel, ChannelConfig, Names, Status, Streamed};
use clustercore::channel::engine::wire::{Frame, VERSION};
use clustercore::proto::datagram::{Event as ConnectionEvent, GoneReason, StreamId, StreamKind};
use clustercore::shard::Shard;

const CONNECT: &str = "clustercore.channel.v1.Channels/Connect";

fn channel(server: &Server) -> Channel {
    Channel::open(&server.rpc.to_string(), &Names::new(), ChannelConfig::default()).unwrap()
}

fn config() -> CallConfig {
    CallConfig { timeout: Some(LIMIT), ..CallConfig::default() }
}

/// A message `Piece` with these frames, short ones.
fn piece(frames: &[u8]) -> Vec<u8> {
    [&[0x0a, u8::try_from(frames.len()).unwrap()], frames].concat()
}

fn hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::Hello { version: VERSION, token: "", name: "stranger" }.put(&mut bytes);
    bytes
}

/// The frames of the next part.
fn next(call: &Streamed) -> Vec<u8> {
    let part = call.take().unwrap().expect("a part comes");
    assert_eq!((part[0], usize::from(part[1])), (0x0a, part.len() - 2));
    part[2..].to_vec()
}

#[test]
fn stubs_of_any_language_may_speak_and_an_end_is_answered_after_what_was_said() {
    let mut server = Server::start(DriverChoice::Auto);
    let channel = channel(&server);
    // The first frame in the arguments, and cut in the middle; another link on the same connection meanwhile.
    let hello = hello();
    let (first, second) = hello.split_at(7);
    let one = channel.stream(CONNECT, piece(first), config());
    let other = channel.stream(CONNECT, piece(&hello), config());
    one.send(&piece(second)).unwrap();
    for call in [&one, &other] {
        let welcome = next(call);
        assert_eq!(welcome[4], 0x81, "{welcome:?}");
    }
    let mut ask = Vec::new();
    Frame::Ask { request: 1, json: r#"{"op":"ping"}"# }.put(&mut ask);
    one.send(&piece(&ask)).unwrap();
    one.end();
    let answer = next(&one);
    assert!(answer[4] == 0x82 && answer.ends_with(b"{}"), "{answer:?}");
    assert_eq!(one.status().unwrap().results, b"");
    other.cancel();
    assert_eq!(other.status().unwrap_err().status, Status::Cancelled);
    drop(channel);
    let stats = server.end();
    assert_eq!((stats.sessions, stats.violations), (2, 0));
}

#[test]
fn what_is_no_link_is_refused_and_others_go_on() {
    let mut server = Server::start(DriverChoice::Auto);
    let mut polite = join(Link::Rpc(server.rpc, None), DriverChoice::Auto);
    polite.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
    let channel = channel(&server);
    let whole = channel.call(CONNECT, Vec::new(), config()).wait().unwrap_err();
    assert_eq!(whole.status, Status::InvalidArgument, "{whole:?}");
    let other =
        channel.call("clustercore.channel.v1.Channels/Other", Vec::new(), config()).wait().unwrap_err();
    assert_eq!(other.status, Status::Unimplemented, "{other:?}");
    // Parts that are no message end the call, frames that are none too, after a Bye that says why.
    let none = channel.stream(CONNECT, b"\x0a\x05abc".to_vec(), config()).status().unwrap_err();
    assert_eq!(
        (none.status, none.text.contains("no clustercore.channel.v1.Piece")),
        (Status::InvalidArgument, true)
    );
    let rude = channel.stream(CONNECT, piece(b"GET / HTTP/1.1\r\n\r\n"), config());
    let bye = next(&rude);
    assert!(
        String::from_utf8_lossy(&bye).contains("a frame of 542393671 bytes, limit is 4194304"),
        "{bye:?}"
    );
    assert_eq!(rude.status().unwrap_err().status, Status::Aborted);
    polite.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
    assert_eq!(polite.links_made(), 1);
    assert_eq!(server.end().violations, 1);
}

#[test]
fn bytes_that_are_no_calls_are_counted_and_messages_of_no_call_end_the_connection() {
    let mut server = Server::start(DriverChoice::Auto);
    let mut shard = Shard::builder().build().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let endpoint = shard.open_endpoint(any, EndpointConfig::default()).unwrap();
    let connection = shard.connect(endpoint, server.rpc, None).unwrap();
    let end = Instant::now() + LIMIT;
    let mut gone = None;
    while gone.is_none() {
        assert!(Instant::now() < end, "the connection does not end");
        shard.turn_for(Some(Duration::from_millis(5))).unwrap();
        let news: Vec<_> = shard.connection_events().map(|(_, event)| event).collect();
        for event in news {
            match event {
                ConnectionEvent::Connected { .. } => {
                    let calls = StreamId::new(1 << 29, StreamKind::Unordered).unwrap();
                    // No message of calls, a part of no call, and one with what cannot be.
                    for bytes in [&b"\xff\xff\xff"[..], b"\x26\x00\x01\x00", b"\x20\x00\x01abc"] {
                        shard.send(endpoint, connection, calls, bytes).unwrap();
                    }
                    shard.send(endpoint, connection, StreamId::DEFAULT, b"events?").unwrap();
                }
                ConnectionEvent::Gone { reason, .. } => gone = Some(reason),
                _ => {}
            }
        }
    }
    match gone {
        Some(GoneReason::ClosedByPeer { text, .. }) => {
            assert_eq!(text, b"this address takes calls: the one of udp is another");
        }
        other => panic!("{other:?}"),
    }
    // The other way round: a link for calls to the address for datagrams.
    let mut lost = join(Link::Rpc(server.udp, None), DriverChoice::Auto);
    until(&mut [&mut lost], "told why", |all| all[0].trouble().is_some_and(|it| it.contains("closed")));
    let mut polite = join(Link::Rpc(server.rpc, None), DriverChoice::Auto);
    polite.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
    let (_, calls) = server.end_counting_calls();
    assert_eq!((calls.malformed, calls.served), (2, 1));
}
