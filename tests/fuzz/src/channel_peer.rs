//! What holds for every participant of a channel server, and for every server of a participant; see [`check`].

use clustercore_channel::access::Access;
use clustercore_channel::hub::{Hub, HubConfig, Persist, SessionId};
use clustercore_channel::participant::{Participant, ParticipantConfig, SupplyConfig};
use clustercore_channel::wire::{Frame, FrameError, Splitter, piece, piece_frames, put_stored, take_stored};
use clustercore_channel::{Duration, EventLimits, Instant};

/// Gives bytes to a hub as a participant's, after a Hello, all at once and in pieces as long as the first byte says: both answer the same.
/// Gives the same bytes to a participant as its server's, and reads them as a part of a call that is a link. True when the hub did not end the connection.
pub fn check(input: &[u8]) -> bool {
    let Some((piece, rest)) = input.split_first() else { return false };
    let (is_alive, whole) = answers(rest, usize::MAX);
    let (_, pieces) = answers(rest, usize::from(*piece).max(1));
    assert_eq!(pieces, whole);
    read_all(&whole);
    serve(rest, usize::from(*piece).max(1));
    keep(rest, *piece);
    read_part(rest);
    is_alive
}

/// A part is read or refused; what is in it, and anything else, comes back from a part of its own.
fn read_part(part: &[u8]) {
    assert_eq!(piece_frames(&piece(part)), Ok(part));
    if let Ok(frames) = piece_frames(part) {
        assert_eq!(piece_frames(&piece(frames)), Ok(frames));
    }
}

fn answers(input: &[u8], piece: usize) -> (bool, Vec<u8>) {
    let limits = EventLimits { body_bytes_max: 1024, ..EventLimits::default() };
    let config = HubConfig {
        access: Access::open(),
        limits,
        frame_bytes_max: 8192,
        handles_max: 4,
        linger: Duration::from_secs(1),
        ..HubConfig::default()
    };
    let mut hub = Hub::new(config).expect("a fine configuration");
    let mut now = Instant::from_nanos(1_000_000_000);
    let id = hub.connect(now).expect("room for one");
    let mut hello = Vec::new();
    Frame::Hello { version: 1, token: "", name: "fuzz" }.put(&mut hello);
    let mut is_alive = hub.receive(now, id, &hello);
    for part in input.chunks(piece.min(input.len()).max(1)) {
        is_alive &= hub.receive(now, id, part);
    }
    let mut out = Vec::new();
    for _ in 0..ROUNDS {
        hub.pump(now, 10);
        drain(&mut hub, id, &mut out);
        now += Duration::from_millis(100);
    }
    hub.disconnect(now, id);
    hub.pump(now + Duration::from_secs(2), 10);
    assert_eq!(hub.sessions(), 0);
    for channel in hub.engine().list(&root()).into_iter().map(|(id, _)| id).collect::<Vec<_>>() {
        let machine = hub.engine().machine(channel).expect("listed");
        machine.check_invariants();
        assert_eq!(machine.supplier_proxies().count(), 0, "nobody is left");
    }
    (is_alive, out)
}

/// Whatever a participant does, what a hub wants to be on disk comes back from there.
fn keep(input: &[u8], seed: u8) {
    let config = HubConfig { access: Access::open(), is_durable: true, ..HubConfig::default() };
    let mut hub = Hub::new(config.clone()).expect("a fine configuration");
    let now = Instant::from_nanos(1_000_000_000);
    let id = hub.connect(now).expect("room for one");
    let mut hello = Vec::new();
    Frame::Hello { version: 1, token: "", name: "fuzz" }.put(&mut hello);
    hub.receive(now, id, &hello);
    hub.receive(now, id, input);
    let (mut out, mut count) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        hub.pump(now, 10);
        while let Some(persist) = hub.poll_persist() {
            count += 1;
            // Some are written.
            let is_written = (u64::from(seed) >> (count % 8)) & 1 == 1;
            match persist {
                Persist::Event { channel, offset, event } => {
                    let mut stored = Vec::new();
                    put_stored(&mut stored, offset, &event);
                    assert_eq!(take_stored(&stored, &EventLimits::default()), Ok((offset, event)));
                    match is_written {
                        true => hub.persisted(now, channel, offset, 1),
                        false => hub.persist_failed(now, channel, offset, offset, 1),
                    }
                }
                Persist::Record(record) => hub.recorded(now, record, is_written),
            }
        }
        drain(&mut hub, id, &mut out);
    }
    read_all(&out);
    let mut again = Hub::new(config).expect("a fine configuration");
    let default = hub.engine().default_channel();
    for channel in hub.engine().list(&root()).into_iter().map(|(id, _)| id).collect::<Vec<_>>() {
        let mut restored = again.engine().default_channel();
        if channel != default {
            let (name, config) = hub.describe_channel(channel).expect("listed");
            restored = again.restore_channel(&name, &config).expect("it was there");
            assert_eq!(again.describe_channel(restored), Some((name, config)));
        }
        again.restore_next(restored, 5);
        let machine = hub.engine().machine(channel).expect("listed");
        machine.check_invariants();
        let kept = machine.supplier_proxies().filter(|(_, spec)| spec.is_kept());
        for proxy in kept.map(|(proxy, _)| proxy).collect::<Vec<_>>() {
            let (owner, name, spec) = hub.describe_consumer(channel, proxy).expect("it is there");
            again.restore_consumer(now, restored, (&owner, &name), &spec, 5).expect("it was there");
        }
        again.restored(now, restored);
    }
}

fn drain(hub: &mut Hub, id: SessionId, out: &mut Vec<u8>) {
    while let Some((to, piece)) = hub.poll_send() {
        assert_eq!(to, id);
        out.extend_from_slice(piece.as_slice());
        hub.sent(id, 0);
    }
}

/// All that a hub says is frames.
fn read_all(bytes: &[u8]) {
    let mut splitter = Splitter::new(1 << 20);
    let each = &mut |frame: &[u8]| {
        let frame: Result<Frame<'_>, FrameError> = Frame::parse(frame);
        assert!(frame.is_ok(), "{frame:?}");
        true
    };
    splitter.feed(bytes, each).expect("no frame is too long");
    assert_eq!(splitter.waiting(), 0);
}

/// A participant takes anything from its server: it goes on, or says that this is no server.
fn serve(input: &[u8], piece: usize) {
    let mut participant = Participant::new(ParticipantConfig { frame_bytes_max: 8192, ..Default::default() });
    let now = Instant::from_nanos(1);
    participant.link_made();
    participant.consume("");
    participant.supply("", SupplyConfig::default());
    for part in input.chunks(piece) {
        if participant.receive(now, part).is_err() {
            participant.link_lost();
            break;
        }
    }
    while participant.poll_news().is_some() || participant.take().is_some() {}
}

fn root() -> clustercore_channel::Principal {
    clustercore_channel::Principal::new("root", clustercore_channel::Rights::ALL)
}

const ROUNDS: usize = 5;
