//! What holds for every connection to channels over HTTP; see [`check`].

use clustercore_channel::access::Access;
use clustercore_channel::channel::ChannelConfig;
use clustercore_channel::filter::{FilterLimits, Filters};
use clustercore_channel::http::{HttpConfig, HttpFace, HttpLimits};
use clustercore_channel::{
    Duration, Engine, EngineConfig, EventLimits, Instant, Output, Principal, Qos, Reliability, Rights,
};
use std::sync::Arc;

/// Gives what a client sends to a connection, all at once and in pieces as long as the first byte says: both answer the same, and
/// end when time passes. True when nothing was refused.
pub fn check(input: &[u8]) -> bool {
    let Some((piece, rest)) = input.split_first() else { return false };
    let whole = answers(rest, usize::MAX);
    assert_eq!(answers(rest, usize::from(*piece).max(1)), whole);
    let text = String::from_utf8(whole).expect("answers are text");
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 "));
    !text.is_empty() && !text.contains("HTTP/1.1 4") && !text.contains("HTTP/1.1 5")
}

/// All that goes back to the client, but for whether it was told to go on with its body: that depends on when the body comes.
fn answers(input: &[u8], piece: usize) -> Vec<u8> {
    let mut now = Instant::from_nanos(1_000_000_000);
    let qos = Qos { reliability: Some(Reliability::Persistent), ..Qos::default() };
    let default_channel =
        ChannelConfig { qos, events_max: 16, retention_events_max: 4, ..ChannelConfig::default() };
    let config = EngineConfig { channels_max: 3, default_channel, ..EngineConfig::default() };
    let mut engine = Engine::new(config).expect("a fine configuration");
    let access = Access::new().with_anonymous(Principal::new("root", Rights::ALL));
    let mut face = HttpFace::new(now, Arc::new(http_config()));
    let mut out = Vec::new();
    for part in input.chunks(piece.min(input.len()).max(1)) {
        let mut part = part;
        // Without an answer in between there is no room for more, and the owner reads no more.
        for _ in 0..ROUNDS_MAX {
            let taken = face.receive(now, part, &mut engine, &access);
            part = &part[taken..];
            let sent = face.poll_output().unwrap_or_default();
            out.extend(&sent);
            if sent.is_empty() && (part.is_empty() || taken == 0) {
                break;
            }
        }
        if !part.is_empty() {
            break;
        }
    }
    for _ in 0..ROUNDS_MAX {
        turn(now, &mut engine, &mut face, &access);
        out.extend(face.poll_output().unwrap_or_default());
        face.receive(now, b"", &mut engine, &access);
        out.extend(face.poll_output().unwrap_or_default());
        let Some(next) = face.next_timeout() else { break };
        now = now.max(next);
        engine.handle_timeout(now);
        face.handle_timeout(now, &mut engine, &access);
    }
    out.extend(face.poll_output().unwrap_or_default());
    assert!(face.is_closed(), "a connection ends when nothing comes");
    let ids: Vec<_> =
        engine.list(&Principal::new("root", Rights::ALL)).into_iter().map(|(id, _)| id).collect();
    ids.into_iter().for_each(|id| engine.machine(id).expect("listed").check_invariants());
    without(&out, b"HTTP/1.1 100 Continue\r\n\r\n")
}

/// What an owner does: turns for suppliers, what the engine wants, and telling the connection. Each second event is written.
fn turn(now: Instant, engine: &mut Engine, face: &mut HttpFace, access: &Access) {
    let root = Principal::new("root", Rights::ALL);
    let ids: Vec<_> = engine.list(&root).into_iter().map(|(id, _)| id).collect();
    for id in ids {
        engine.machine(id).expect("listed").spread(now, 100);
    }
    while let Some((id, output)) = engine.poll_output() {
        if let (Output::Persist { offset, .. }, Some(machine)) = (&output, engine.machine(id)) {
            if offset % 2 == 0 {
                machine.persisted(now, *offset);
            } else {
                machine.persist_failed(now, *offset, *offset);
            }
        }
        face.stirred(now, id, &output, engine, access);
    }
}

fn http_config() -> HttpConfig {
    let limits = HttpLimits {
        body_bytes_max: 4096,
        batch_events_max: 8,
        pull_events_max: 8,
        pull_bytes_max: 1024,
        output_bytes_max: 2048,
        wait_max: Duration::from_secs(5),
        ..HttpLimits::default()
    };
    let filter_limits = FilterLimits { source_bytes_max: 64, ..FilterLimits::default() };
    let event_limits = EventLimits { body_bytes_max: 1024, ..EventLimits::default() };
    HttpConfig {
        limits,
        event_limits,
        filters: Arc::new(Filters::new(filter_limits)),
        ..HttpConfig::default()
    }
}

fn without(bytes: &[u8], part: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = bytes;
    while let Some((byte, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(part) {
            rest = after;
        } else {
            kept.push(*byte);
            rest = tail;
        }
    }
    kept
}

const ROUNDS_MAX: usize = 10_000;
