//! Calls over real sockets, on both kernel drivers: servers in threads of their own, channels in the test's.

#[allow(dead_code, reason = "each test uses what it needs")]
mod serving;

use clustercore::Code;
use clustercore::calls::{
    CallConfig, CallFailure, Channel, ChannelConfig, ChannelInterceptor, Context, Failure, Interceptor,
    Metadata, Names, Outcome, Place, RetryPolicy, Server, ServerConfig, Service, Status, health_request,
    is_serving,
};
use clustercore::io::DriverChoice;
use clustercore::proto::rpc;
use clustercore::security::{Access, Mode, PrivateKey};
use serving::{LOOPBACK, Running, channel, within};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

fn echo(place: Place) -> Service {
    Service::new("test.Echo").method("Echo", place, |_, arguments, results| {
        results.extend_from_slice(arguments);
        Ok(())
    })
}

fn with(service: Service) -> Server {
    let mut server = Server::new(ServerConfig { workers: 2, queue_max: 4 });
    server.add(service).unwrap();
    server
}

fn call(channel: &Channel, method: &str, arguments: &[u8]) -> Result<Vec<u8>, CallFailure> {
    channel.call(method, arguments.to_vec(), within(10)).wait().map(|reply| reply.results)
}

fn calls_of_all_sizes_come_back(choice: DriverChoice) {
    for place in [Place::Loop, Place::Worker] {
        let server = Running::start(choice, move || with(echo(place)));
        let channel = channel(choice, server.address);
        for len in [0, 1, 32, 1300, 1500, 20_000, 1_000_000] {
            let arguments: Vec<u8> = (0..len).map(|index| index as u8).collect();
            assert_eq!(
                call(&channel, "test.Echo/Echo", &arguments).unwrap(),
                arguments,
                "{len} bytes, {place:?}"
            );
        }
    }
}

fn many_calls_are_outstanding_and_each_gets_its_own_reply(choice: DriverChoice) {
    let server = Running::start(choice, || with(echo(Place::Loop)));
    let channel = channel(choice, server.address);
    for token in 0..3000u64 {
        channel.submit("test.Echo/Echo", token.to_le_bytes().to_vec(), within(10), token);
    }
    let mut seen = vec![false; 3000];
    let until = Instant::now() + Duration::from_secs(20);
    while seen.iter().any(|seen| !seen) {
        assert!(Instant::now() < until, "waited for 20 s");
        channel.turn(Duration::from_millis(10)).unwrap();
        while let Some((token, ended)) = channel.ended() {
            assert_eq!(ended.unwrap().results, token.to_le_bytes());
            assert!(!std::mem::replace(&mut seen[token as usize], true), "{token} has ended twice");
        }
    }
    assert_eq!(channel.outstanding(), 0);
}

fn errors_of_handlers_and_unknown_methods_reach_the_caller(choice: DriverChoice) {
    let server = Running::start(choice, || {
        with(
            Service::new("test.Bad")
                .method("Fail", Place::Worker, |_, _, _| Err(Failure::new(Status::NotFound, "no such thing")))
                .method("Panic", Place::Loop, |_, _, _| panic!("on purpose")),
        )
    });
    let channel = channel(choice, server.address);
    let failed = call(&channel, "test.Bad/Fail", b"").unwrap_err();
    assert_eq!((failed.status, failed.outcome), (Status::NotFound, Outcome::Executed));
    assert_eq!(failed.text, "no such thing");
    let panicked = call(&channel, "test.Bad/Panic", b"").unwrap_err();
    assert_eq!((panicked.status, panicked.outcome), (Status::Internal, Outcome::Executed));
    let unknown = call(&channel, "test.Bad/None", b"").unwrap_err();
    assert_eq!((unknown.status, unknown.outcome), (Status::Unimplemented, Outcome::NotExecuted));
}

fn a_busy_server_says_so_at_once_and_executes_what_it_took(choice: DriverChoice) {
    let executed = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&executed);
    let server = Running::start(choice, move || {
        with(Service::new("test.Slow").method("Wait", Place::Worker, move |_, _, _| {
            counter.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        }))
    });
    let config = ChannelConfig { driver: choice, retry: RetryPolicy::NONE, ..ChannelConfig::default() };
    let channel = Channel::open(&server.address.to_string(), &Names::new(), config).unwrap();
    for token in 0..20 {
        channel.submit("test.Slow/Wait", Vec::new(), within(10), token);
    }
    let (mut done, mut busy) = (0, 0);
    let until = Instant::now() + Duration::from_secs(20);
    while done + busy < 20 {
        assert!(Instant::now() < until, "waited for 20 s");
        channel.turn(Duration::from_millis(10)).unwrap();
        while let Some((_, ended)) = channel.ended() {
            match ended {
                Ok(_) => done += 1,
                Err(failed) => {
                    let expected = (Status::ResourceExhausted, Outcome::NotExecuted);
                    assert_eq!((failed.status, failed.outcome), expected, "{failed}");
                    busy += 1;
                }
            }
        }
    }
    // Two workers and four places to wait; a worker may have taken its call before the queue was full.
    assert!((4..=8).contains(&done), "{done} were executed");
    assert_eq!(executed.load(Ordering::Relaxed), done);
}

fn a_cancelled_call_that_has_not_begun_is_not_executed(choice: DriverChoice) {
    let executed = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&executed);
    let server = Running::start(choice, move || {
        with(Service::new("test.Slow").method("Wait", Place::Worker, move |context: &Context<'_>, _, _| {
            counter.fetch_add(1, Ordering::Relaxed);
            let until = Instant::now() + Duration::from_secs(5);
            while !context.is_cancelled() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(Failure::new(Status::Cancelled, "stopped when asked to"))
        }))
    });
    let channel = channel(choice, server.address);
    let handles: Vec<_> =
        (0..4).map(|token| channel.submit("test.Slow/Wait", Vec::new(), within(10), token)).collect();
    let until = Instant::now() + Duration::from_secs(10);
    while executed.load(Ordering::Relaxed) < 2 {
        assert!(Instant::now() < until, "two workers begin");
        channel.turn(Duration::from_millis(5)).unwrap();
    }
    handles.iter().rev().for_each(|handle| channel.cancel(*handle));
    let mut outcomes = Vec::new();
    while outcomes.len() < 4 {
        assert!(Instant::now() < until, "all four end");
        channel.turn(Duration::from_millis(5)).unwrap();
        while let Some((_, ended)) = channel.ended() {
            let failed = ended.unwrap_err();
            assert_eq!(failed.status, Status::Cancelled, "{failed}");
            outcomes.push(failed.outcome);
        }
    }
    let executed = executed.load(Ordering::Relaxed) as usize;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Executed).count(), executed);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::NotExecuted).count(), 4 - executed);
}

fn a_deadline_is_kept_here_and_known_there(choice: DriverChoice) {
    let server = Running::start(choice, || {
        with(Service::new("test.Slow").method("Left", Place::Worker, |context: &Context<'_>, _, results| {
            let left = context.left().map_or(u64::MAX, |left| left.as_millis() as u64);
            results.extend_from_slice(&left.to_le_bytes());
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        }))
    });
    let channel = channel(choice, server.address);
    let late = channel
        .call(
            "test.Slow/Left",
            Vec::new(),
            CallConfig { timeout: Some(Duration::from_millis(100)), ..CallConfig::default() },
        )
        .wait()
        .unwrap_err();
    assert_eq!((late.status, late.outcome), (Status::DeadlineExceeded, Outcome::Unknown));
    let left = call(&channel, "test.Slow/Left", b"").unwrap();
    let left = u64::from_le_bytes(left[..8].try_into().unwrap());
    assert!((1..=10_000).contains(&left), "{left} ms are left");
}

/// Adds who calls, and refuses who does not say.
struct SaysWho;

impl ChannelInterceptor for SaysWho {
    fn before(&self, method: &str, call: &mut CallConfig) -> Result<(), CallFailure> {
        if method.ends_with("/Echo") {
            call.metadata.push("who", b"the test");
        }
        Ok(())
    }
}

struct Door;

impl Interceptor for Door {
    fn before(&self, context: &Context<'_>) -> Result<(), Failure> {
        match context.metadata.get("who") {
            Some(b"the test") => Ok(()),
            _ => Err(Failure::new(Status::Unauthenticated, "who is there?")),
        }
    }
}

fn interceptors_see_every_call_and_may_refuse_it(choice: DriverChoice) {
    let server = Running::start(choice, || {
        let mut server = with(echo(Place::Loop));
        server.intercept(Door);
        server
    });
    let channel = channel(choice, server.address);
    let refused = call(&channel, "test.Echo/Echo", b"x").unwrap_err();
    assert_eq!((refused.status, refused.outcome), (Status::Unauthenticated, Outcome::NotExecuted));
    channel.intercept(SaysWho);
    assert_eq!(call(&channel, "test.Echo/Echo", b"x").unwrap(), b"x");
    let config =
        CallConfig { metadata: [("who", &b"the test"[..])].into_iter().collect::<Metadata>(), ..within(10) };
    channel.call("test.Echo/Echo", b"y".to_vec(), config).wait().unwrap();
}

fn health_is_asked_as_everybody_asks(choice: DriverChoice) {
    let server = Running::start(choice, || with(echo(Place::Loop)));
    let channel = channel(choice, server.address);
    let check = |service: &str| call(&channel, "grpc.health.v1.Health/Check", &health_request(service));
    assert!(is_serving(&check("").unwrap()) && is_serving(&check("test.Echo").unwrap()));
    server.health.set("test.Echo", false);
    assert!(!is_serving(&check("test.Echo").unwrap()));
    assert_eq!(check("test.None").unwrap_err().status, Status::NotFound);
}

fn a_server_that_ends_leaves_unknown_outcomes_and_idempotent_calls_go_to_the_next(choice: DriverChoice) {
    let slow = || {
        with(Service::new("test.Slow").method("Wait", Place::Worker, |_, arguments, results| {
            std::thread::sleep(Duration::from_millis(u64::from(arguments[0]) * 10));
            results.extend_from_slice(arguments);
            Ok(())
        }))
    };
    let (first, second) = (Running::start(choice, slow), Running::start(choice, slow));
    let mut names = Names::new();
    names.add("test.Slow", first.address, None);
    names.add("test.Slow", second.address, None);
    let config = ChannelConfig {
        driver: choice,
        calls: rpc::Config { silence_max: Duration::from_secs(1), ..rpc::Config::default() },
        ..ChannelConfig::default()
    };
    let channel = Channel::open("test.Slow", &names, config).unwrap();
    channel.call("test.Slow/Wait", vec![0], within(10)).wait().unwrap();
    channel.submit("test.Slow/Wait", vec![50], within(30), 1);
    channel.submit("test.Slow/Wait", vec![50], CallConfig { is_idempotent: true, ..within(30) }, 2);
    channel.turn(Duration::from_millis(50)).unwrap();
    channel.turn(Duration::from_millis(50)).unwrap();
    // Its thread turns no more: nothing is heard of the calls, then of the connection.
    drop(first);
    let mut ended = Vec::new();
    let until = Instant::now() + Duration::from_secs(30);
    while ended.len() < 2 {
        assert!(Instant::now() < until, "waited for 30 s");
        channel.turn(Duration::from_millis(20)).unwrap();
        ended.extend(std::iter::from_fn(|| channel.ended()));
    }
    ended.sort_by_key(|(token, _)| *token);
    let failed = ended[0].1.as_ref().unwrap_err();
    assert_eq!((failed.status, failed.outcome), (Status::Unavailable, Outcome::Unknown));
    assert_eq!(ended[1].1.as_ref().unwrap().results, [50], "the idempotent one was made again");
}

fn keys_prove_both_sides(choice: DriverChoice) {
    let (server_key, client_key) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let (server_public, client_public) = (*server_key.public().as_bytes(), *client_key.public().as_bytes());
    let mode = Mode::Secure { key: server_key, access: Access::Any };
    let server = Running::start_at(choice, LOOPBACK, Some(mode), move || {
        with(Service::new("test.Who").method("Am", Place::Loop, move |context: &Context<'_>, _, results| {
            results.push(u8::from(context.caller == Some(client_public)));
            Ok(())
        }))
    });
    let mut names = Names::new();
    names.add("test.Who", server.address, Some(server_public));
    let security = Some(Mode::Secure { key: client_key, access: Access::Any });
    let config = ChannelConfig { driver: choice, security, ..ChannelConfig::default() };
    let channel = Channel::open("test.Who", &names, config).unwrap();
    assert_eq!(call(&channel, "test.Who/Am", b"").unwrap(), [1]);
}

#[test]
fn a_far_server_without_a_key_is_refused_unless_that_is_meant() {
    let error = Channel::open("192.0.2.1:7000", &Names::new(), ChannelConfig::default()).err().unwrap();
    assert_eq!(error.code(), Code::InsecureAddress, "{error}");
    let error = Channel::open("test.None", &Names::new(), ChannelConfig::default()).err().unwrap();
    assert_eq!(error.code(), Code::NoSuchService, "{error}");
}

#[test]
fn a_call_that_cannot_be_made_was_not_executed() {
    // Nobody listens there.
    let taken = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    let channel = channel(DriverChoice::Auto, taken.local_addr().unwrap());
    let config = CallConfig { timeout: Some(Duration::from_millis(200)), ..CallConfig::default() };
    let late = channel.call("test.Echo/Echo", Vec::new(), config).wait().unwrap_err();
    assert_eq!((late.status, late.outcome), (Status::DeadlineExceeded, Outcome::NotExecuted));
}

macro_rules! on_both_drivers {
    ($($name:ident),* $(,)?) => {
        mod uring {
            $(#[test] fn $name() { super::$name(super::DriverChoice::Uring) })*
        }
        mod epoll {
            $(#[test] fn $name() { super::$name(super::DriverChoice::Epoll) })*
        }
    };
}

on_both_drivers!(
    calls_of_all_sizes_come_back,
    many_calls_are_outstanding_and_each_gets_its_own_reply,
    errors_of_handlers_and_unknown_methods_reach_the_caller,
    a_busy_server_says_so_at_once_and_executes_what_it_took,
    a_cancelled_call_that_has_not_begun_is_not_executed,
    a_deadline_is_kept_here_and_known_there,
    interceptors_see_every_call_and_may_refuse_it,
    health_is_asked_as_everybody_asks,
    a_server_that_ends_leaves_unknown_outcomes_and_idempotent_calls_go_to_the_next,
    keys_prove_both_sides,
);
