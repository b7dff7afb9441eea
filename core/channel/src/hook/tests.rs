mod target;

use super::*;
use crate::event::{Event, EventLimits};
use crate::id::DeliveryId;
use crate::output::Handed;
use clustercore_proto::random::Random;
use clustercore_proto::time::{Duration, Instant};
use std::sync::Arc;
use target::{World, event, handed};

const GRANT: &[u8] = b"HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: clustercore\r\nContent-Length: 0\r\n\r\n";
const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

fn at(millis: u64) -> Instant {
    Instant::from_nanos(1_000_000_000) + Duration::from_millis(millis)
}

fn made(url: &str, mode: HookMode) -> Hook {
    let spec = HookSpec { mode, ..HookSpec::parse(url).unwrap() };
    Hook::new(at(0), Arc::new(spec), Arc::new(HookConfig::default()))
}

fn orders(hook: &mut Hook) -> Vec<Order> {
    hook.check_invariants();
    std::iter::from_fn(|| hook.poll_order()).collect()
}

fn sent(hook: &mut Hook) -> String {
    let all = orders(hook);
    let [Order::Send(bytes)] = &all[..] else { panic!("no request: {all:?}") };
    String::from_utf8(bytes.clone()).unwrap()
}

fn verdicts(hook: &mut Hook) -> Vec<(u32, Verdict)> {
    std::iter::from_fn(|| hook.poll_settlement()).map(|it| (it.delivery.index, it.verdict)).collect()
}

/// Connected and permitted.
fn granted(mode: HookMode, answer: &[u8]) -> Hook {
    let mut hook = made("http://127.0.0.1:9/in", mode);
    assert_eq!(orders(&mut hook), [Order::Connect("127.0.0.1:9".parse().unwrap())]);
    hook.connected(at(1));
    sent(&mut hook);
    hook.receive(at(2), answer);
    assert_eq!((hook.state(), orders(&mut hook)), (State::Granted, vec![]), "{}", hook.why());
    hook
}

fn give(hook: &mut Hook, now: Instant, events: &[Event]) -> usize {
    let all: Vec<Handed<'_>> =
        events.iter().enumerate().map(|(index, it)| handed(it, index as u32)).collect();
    hook.give(now, all.iter().copied())
}

#[test]
fn the_target_is_asked_before_anything_is_sent() {
    let mut hook = made("http://127.0.0.1:9/in?a=1", HookMode::Binary);
    assert_eq!(give(&mut hook, at(0), &[event(1)]), 0, "not before it is granted");
    assert_eq!(orders(&mut hook), [Order::Connect("127.0.0.1:9".parse().unwrap())]);
    hook.connected(at(1));
    let request =
        "OPTIONS /in?a=1 HTTP/1.1\r\nHost: 127.0.0.1:9\r\nWebHook-Request-Origin: clustercore\r\n\r\n";
    assert_eq!(sent(&mut hook), request);
    for byte in GRANT {
        assert_eq!(hook.state(), State::Asking);
        hook.receive(at(2), &[*byte]);
    }
    assert_eq!(hook.state(), State::Granted);
    assert!(hook.poll_room() && !hook.poll_room(), "what was refused is offered again, once");
}

#[test]
fn one_that_withholds_gets_nothing_and_is_asked_again() {
    let answers: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: other\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 405 No\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: *\r\nWebHook-Allowed-Rate: 0\r\nContent-Length: 0\r\n\r\n",
    ];
    for answer in answers {
        let mut hook = made("http://127.0.0.1:9/", HookMode::Binary);
        hook.connected(at(1));
        orders(&mut hook);
        hook.receive(at(2), answer);
        assert_eq!((hook.state(), give(&mut hook, at(3), &[event(1)])), (State::Withheld, 0));
        assert!(!hook.why().is_empty());
        // The connection rests for its time, then the question comes again.
        hook.handle_timeout(at(50_000));
        assert_eq!(orders(&mut hook), [Order::Close]);
        let due = hook.next_timeout().unwrap();
        assert_eq!(due, at(60_002));
        hook.handle_timeout(due);
        assert_eq!(hook.state(), State::Asking);
        hook.connected(due);
        hook.receive(due, GRANT);
        assert_eq!(hook.state(), State::Granted);
    }
}

#[test]
fn each_mode_has_its_form() {
    let mut hook = granted(HookMode::Binary, GRANT);
    assert_eq!(give(&mut hook, at(3), &[event(7), event(8)]), 1);
    let request = sent(&mut hook);
    assert!(
        request
            .starts_with("POST /in HTTP/1.1\r\nHost: 127.0.0.1:9\r\nWebHook-Request-Origin: clustercore\r\n")
    );
    assert!(
        request.contains("\r\nce-id: 7\r\n") && request.ends_with("\r\nContent-Length: 4\r\n\r\nbody"),
        "{request}"
    );
    assert_eq!(give(&mut hook, at(3), &[event(8)]), 0, "one request at a time");
    hook.receive(at(4), TAKEN);
    assert_eq!(verdicts(&mut hook), [(0, Verdict::Taken)]);
    assert!(hook.poll_room());

    let mut hook = granted(HookMode::Structured, GRANT);
    assert_eq!(give(&mut hook, at(3), &[event(7)]), 1);
    let request = sent(&mut hook);
    assert!(
        request.contains("Content-Type: application/cloudevents+json\r\n")
            && request.contains("\"id\":\"7\"")
    );

    let mut hook = granted(HookMode::Batched, GRANT);
    let events: Vec<Event> = (0..300).map(event).collect();
    assert_eq!(give(&mut hook, at(3), &events), 256, "as many as a batch may have");
    let request = sent(&mut hook);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Content-Type: application/cloudevents-batch+json\r\n"));
    assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
    let batch = crate::cloudevents::decode_batch(body.as_bytes(), &EventLimits::default(), 300).unwrap();
    assert_eq!(batch, events[..256]);
    hook.receive(at(4), TAKEN);
    assert_eq!(verdicts(&mut hook).len(), 256);
}

#[test]
fn the_status_says_what_becomes_of_the_event() {
    let cases: [(&str, State, Verdict); 9] = [
        ("200 OK\r\nContent-Length: 0", State::Granted, Verdict::Taken),
        ("202 Accepted\r\nTransfer-Encoding: chunked", State::Granted, Verdict::Taken),
        ("429 Slow\r\nRetry-After: 7\r\nContent-Length: 0", State::Waiting, Verdict::Returned),
        ("503 Down\r\nRetry-After: 7\r\nContent-Length: 0", State::Waiting, Verdict::Returned),
        ("503 Down\r\nContent-Length: 0", State::Waiting, Verdict::Failed),
        ("500 Oops\r\nContent-Length: 0", State::Waiting, Verdict::Failed),
        ("400 Bad\r\nContent-Length: 0", State::Granted, Verdict::Failed),
        ("301 There\r\nLocation: /\r\nContent-Length: 0", State::Granted, Verdict::Failed),
        ("410 Gone\r\nContent-Length: 0", State::Gone, Verdict::Returned),
    ];
    for (answer, state, verdict) in cases {
        let mut hook = granted(HookMode::Structured, GRANT);
        give(&mut hook, at(3), &[event(1)]);
        sent(&mut hook);
        let end = if answer.contains("chunked") { "\r\n\r\n2\r\nok\r\n0\r\n\r\n" } else { "\r\n\r\n" };
        hook.receive(at(4), format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 {answer}{end}").as_bytes());
        assert_eq!((hook.state(), verdicts(&mut hook)), (state, vec![(0, verdict)]), "{answer}");
        if answer.contains("Retry-After") {
            assert_eq!(hook.next_timeout(), Some(at(7004)));
            assert_eq!(give(&mut hook, at(7003), &[event(1)]), 0);
            hook.handle_timeout(at(7004));
            assert!(hook.poll_room());
            assert_eq!(give(&mut hook, at(7004), &[event(1)]), 1);
        }
    }
}

#[test]
fn one_that_does_not_read_binary_mode_gets_structured_mode() {
    let mut hook = granted(HookMode::Binary, GRANT);
    give(&mut hook, at(3), &[event(1)]);
    sent(&mut hook);
    let unknown = b"HTTP/1.1 415 No\r\nContent-Length: 0\r\n\r\n";
    hook.receive(at(4), unknown);
    assert_eq!((hook.state(), verdicts(&mut hook)), (State::Granted, vec![(0, Verdict::Returned)]));
    give(&mut hook, at(5), &[event(1)]);
    assert!(sent(&mut hook).contains("application/cloudevents+json"));
    hook.receive(at(6), unknown);
    assert_eq!(verdicts(&mut hook), [(0, Verdict::Failed)], "not read either");
}

#[test]
fn the_granted_rate_holds() {
    let answer = b"HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: *\r\nWebHook-Allowed-Rate: 60\r\nContent-Length: 0\r\n\r\n";
    let mut hook = granted(HookMode::Binary, answer);
    assert_eq!(give(&mut hook, at(10), &[event(1), event(2)]), 1);
    sent(&mut hook);
    hook.receive(at(20), TAKEN);
    assert!(!hook.poll_room());
    assert_eq!(give(&mut hook, at(1009), &[event(2)]), 0);
    assert_eq!(hook.next_timeout(), Some(at(1010)));
    hook.handle_timeout(at(1010));
    assert!(hook.poll_room());
    assert_eq!(give(&mut hook, at(1010), &[event(2)]), 1);
}

#[test]
fn what_was_not_sent_is_not_a_try_and_what_was_is_one() {
    // The target's end of a connection that rested crosses with the request.
    let mut hook = granted(HookMode::Binary, GRANT);
    give(&mut hook, at(3), &[event(1)]);
    sent(&mut hook);
    hook.lost(at(4), "reset");
    assert_eq!((hook.state(), verdicts(&mut hook)), (State::Granted, vec![(0, Verdict::Returned)]));
    assert_eq!(orders(&mut hook), [Order::Close]);
    // Offered again it connects, and a new connection that ends is a try.
    assert_eq!(give(&mut hook, at(5), &[event(1)]), 0);
    assert!(matches!(orders(&mut hook)[..], [Order::Connect(_)]));
    hook.connected(at(6));
    assert!(hook.poll_room());
    assert_eq!(give(&mut hook, at(6), &[event(1)]), 1);
    sent(&mut hook);
    hook.lost(at(7), "reset");
    assert_eq!((hook.state(), verdicts(&mut hook)), (State::Waiting, vec![(0, Verdict::Failed)]));
    assert_eq!(orders(&mut hook), [Order::Close]);
    // A target that is not there costs no event a try, and the waits grow.
    give(&mut hook, at(7), &[event(1)]);
    let mut waits = Vec::new();
    for _ in 0..10 {
        let due = hook.next_timeout().unwrap();
        hook.handle_timeout(due);
        orders(&mut hook);
        hook.lost(due, "refused");
        assert_eq!((hook.state(), verdicts(&mut hook)), (State::Waiting, vec![]));
        waits.push(hook.next_timeout().unwrap().saturating_sub(due).as_millis());
    }
    assert_eq!(waits, [400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000]);
}

#[test]
fn an_answer_may_end_with_its_connection_and_none_may_be_too_long() {
    let mut hook = granted(HookMode::Binary, GRANT);
    give(&mut hook, at(3), &[event(1)]);
    sent(&mut hook);
    hook.receive(at(4), b"HTTP/1.0 200 OK\r\n\r\nfine");
    assert_eq!(verdicts(&mut hook), []);
    hook.lost(at(5), "ended");
    assert_eq!(verdicts(&mut hook), [(0, Verdict::Taken)]);

    let mut hook = granted(HookMode::Binary, GRANT);
    give(&mut hook, at(3), &[event(1)]);
    sent(&mut hook);
    hook.receive(at(4), b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    hook.receive(at(5), &[b'x'; 70_000]);
    assert_eq!(verdicts(&mut hook), [(0, Verdict::Failed)]);
    assert!(hook.why().contains("above 65536 bytes, the limit"), "{}", hook.why());
    assert_eq!(orders(&mut hook), [Order::Close]);
}

#[test]
fn time_outs_hold_for_connections_and_answers() {
    let mut hook = made("http://127.0.0.1:9/", HookMode::Binary);
    orders(&mut hook);
    assert_eq!(hook.next_timeout(), Some(at(5000)));
    hook.handle_timeout(at(5000));
    assert_eq!((hook.state(), orders(&mut hook)), (State::Waiting, vec![Order::Close]));
    let mut hook = granted(HookMode::Binary, GRANT);
    give(&mut hook, at(3), &[event(1)]);
    sent(&mut hook);
    hook.receive(at(9000), b"HTTP/1.1 20");
    assert_eq!(hook.next_timeout(), Some(at(10_003)));
    hook.handle_timeout(at(10_003));
    assert_eq!((hook.state(), verdicts(&mut hook)), (State::Waiting, vec![(0, Verdict::Failed)]));
    assert!(hook.why().contains("no answer within 10s"), "{}", hook.why());
}

/// A target that is slow, refuses, dies, sends garbage or answers twice: each event that it was given is settled once, what is taken it has, and
/// when it is well again it gets everything.
#[test]
fn an_unwell_target_gets_everything_in_the_end() {
    for seed in 0..400 {
        let mut world = World::new(seed, 20 + Random::new(seed).below(30) as u32);
        world.run(400, false);
        world.run(4000, true);
        assert!(
            world.is_done(),
            "seed {seed}: {} left, {:?}, {}",
            world.left(),
            world.hook.state(),
            world.hook.why()
        );
    }
}

#[test]
fn settlements_name_their_deliveries() {
    let mut hook = granted(HookMode::Batched, GRANT);
    let events = [event(1), event(2)];
    let all = [handed(&events[0], 5), handed(&events[1], 9)];
    assert_eq!(hook.give(at(3), all.iter().copied()), 2);
    hook.receive(at(4), TAKEN);
    let names: Vec<DeliveryId> =
        std::iter::from_fn(|| hook.poll_settlement()).map(|it| it.delivery).collect();
    assert_eq!(names, [(5, 1).into(), (9, 1).into()]);
    assert_eq!(hook.stats(), HookStats { requests: 2, taken: 2, ..HookStats::default() });
}
