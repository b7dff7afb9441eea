//! What holds for every target of a web hook; see [`check`].

use clustercore_channel::hook::{Hook, HookConfig, HookMode, HookSpec, Order, State};
use clustercore_channel::{Event, EventLimits, Handed, Instant};
use std::sync::Arc;

/// Gives a hook what a target says, all at once and in pieces as long as the first byte says: it permits the same. Then again with events to
/// be sent: each that is taken up is settled once. True when the target permits.
pub fn check(input: &[u8]) -> bool {
    let Some((piece, said)) = input.split_first() else { return false };
    let piece = usize::from(*piece).max(1);
    let state = permission(said, usize::MAX);
    assert_eq!(permission(said, piece), state);
    for mode in [HookMode::Binary, HookMode::Structured, HookMode::Batched] {
        deliver(said, piece, mode);
    }
    state == State::Granted
}

fn made(mode: HookMode) -> Hook {
    let spec = HookSpec { mode, ..HookSpec::parse("http://127.0.0.1:9/in").expect("a fine address") };
    let config = HookConfig { answer_bytes_max: 256, batch_events_max: 3, ..HookConfig::default() };
    let mut hook = Hook::new(start(), Arc::new(spec), Arc::new(config));
    assert!(matches!(hook.poll_order(), Some(Order::Connect(_))));
    hook.connected(start());
    hook
}

/// Where the hook stands when all is said.
fn permission(said: &[u8], piece: usize) -> State {
    let mut hook = made(HookMode::Binary);
    for part in said.chunks(piece.min(said.len()).max(1)) {
        hook.receive(start(), part);
        hook.check_invariants();
        if hook.state() != State::Asking {
            break;
        }
    }
    if hook.state() == State::Asking {
        hook.lost(start(), "ended");
    }
    hook.check_invariants();
    hook.state()
}

/// Everything that is said is an answer to a request with events, as long as the hook sends any.
fn deliver(said: &[u8], piece: usize, mode: HookMode) {
    let mut hook = made(mode);
    assert!(matches!(hook.poll_order(), Some(Order::Send(_))), "the question");
    hook.receive(start(), GRANT);
    assert_eq!(hook.state(), State::Granted);
    let (mut now, mut next) = (start(), 0);
    let mut under_way = Vec::new();
    let mut parts = said.chunks(piece.min(said.len()).max(1));
    for _ in 0..ROUNDS_MAX {
        let events: Vec<Event> = (0..5).map(event).collect();
        let all: Vec<Handed<'_>> = (next..).zip(&events).map(|(index, event)| handed(event, index)).collect();
        let taken = hook.give(now, all.iter().copied()) as u32;
        under_way.extend(next..next + taken);
        next += taken;
        let mut is_open = true;
        while let Some(order) = hook.poll_order() {
            match order {
                Order::Connect(_) => hook.connected(now),
                Order::Close => is_open = false,
                Order::Send(bytes) => assert!(bytes.starts_with(b"POST /in HTTP/1.1\r\n")),
            }
        }
        match parts.next() {
            Some(part) => hook.receive(now, part),
            None => break,
        }
        hook.check_invariants();
        while let Some(settlement) = hook.poll_settlement() {
            let at = under_way.iter().position(|it| *it == settlement.delivery.index);
            under_way.remove(at.expect("settled once, and given before"));
        }
        if !is_open {
            now = hook.next_timeout().unwrap_or(now).max(now);
            hook.handle_timeout(now);
        }
    }
    // Nothing is left when the link ends and time passes.
    hook.lost(now, "ended");
    while let Some(settlement) = hook.poll_settlement() {
        under_way.retain(|it| *it != settlement.delivery.index);
    }
    hook.check_invariants();
    assert!(under_way.is_empty(), "{under_way:?} in {:?}", hook.state());
}

fn event(id: u32) -> Event {
    let builder = Event::builder(id.to_string(), "/s", "t").body(&b"body"[..]);
    builder.build(&EventLimits::default()).expect("a fine event")
}

fn handed(event: &Event, index: u32) -> Handed<'_> {
    Handed { event, delivery: (index, 1).into(), offset: 0, tries: 0 }
}

fn start() -> Instant {
    Instant::from_nanos(1_000_000_000)
}

const GRANT: &[u8] = b"HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: *\r\nContent-Length: 0\r\n\r\n";
const ROUNDS_MAX: usize = 10_000;
