//! Streamed calls over real sockets, on both kernel drivers.

#[allow(dead_code, reason = "each test uses what it needs")]
mod serving;

use clustercore::Code;
use clustercore::calls::{
    CallConfig, Channel, ChannelConfig, Context, Failure, Names, Outcome, Parts, Place, Server, ServerConfig,
    Service, Status,
};
use clustercore::io::DriverChoice;
use serving::{Running, channel, within};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

fn with(service: Service) -> Server {
    let mut server = Server::new(ServerConfig { workers: 2, queue_max: 4 });
    server.add(service).unwrap();
    server
}

/// Sends every part back.
fn echo(_: &Context<'_>, arguments: &[u8], parts: &Parts, results: &mut Vec<u8>) -> Result<(), Failure> {
    let mut count = 0u32;
    while let Some(part) = parts.next()? {
        count += 1;
        parts.send(&part)?;
    }
    results.extend_from_slice(arguments);
    results.extend_from_slice(&count.to_le_bytes());
    Ok(())
}

/// Sends as many parts of 1000 bytes as the arguments say, and counts them in `sent`.
fn count_to(sent: Arc<AtomicU64>) -> Service {
    Service::new("test.Stream").streamed("Count", move |_, arguments, parts, _| {
        for number in 0..u32::from_le_bytes(arguments[..4].try_into().unwrap()) {
            let mut part = vec![0; 1000];
            part[..4].copy_from_slice(&number.to_le_bytes());
            parts.send(&part)?;
            sent.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })
}

fn parts_go_both_ways_in_order(choice: DriverChoice) {
    let server = Running::start(choice, || with(Service::new("test.Stream").streamed("Echo", echo)));
    let channel = channel(choice, server.address);
    let stream = channel.stream("test.Stream/Echo", b"first".to_vec(), within(20));
    for len in [0, 1, 1300, 20_000, 65_536] {
        let part: Vec<u8> = (0..len).map(|index| index as u8).collect();
        stream.send(&part).unwrap();
        assert_eq!(stream.take().unwrap().as_deref(), Some(&part[..]), "{len} bytes");
    }
    stream.end();
    assert_eq!(stream.take().unwrap(), None);
    let reply = stream.status().unwrap();
    assert_eq!(reply.results, [b"first", &5u32.to_le_bytes()[..]].concat());
    assert_eq!(channel.outstanding(), 0);
}

fn arguments_come_in_parts_and_results_whole(choice: DriverChoice) {
    let server = Running::start(choice, || {
        with(Service::new("test.Stream").streamed("Sum", |_, _, parts, results| {
            let mut sum = 0u64;
            while let Some(part) = parts.next()? {
                sum += part.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            }
            results.extend_from_slice(&sum.to_le_bytes());
            Ok(())
        }))
    });
    let channel = channel(choice, server.address);
    let stream = channel.stream("test.Stream/Sum", Vec::new(), within(20));
    // More than the window, of parts that take as much for themselves as for their bytes.
    for _ in 0..40_000 {
        stream.send(&[1; 16]).unwrap();
    }
    stream.end();
    assert_eq!(stream.status().unwrap().results, (40_000u64 * 16).to_le_bytes());
}

fn a_reader_that_waits_makes_the_handler_wait(choice: DriverChoice) {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let server = Running::start(choice, move || with(count_to(counter)));
    let channel = channel(choice, server.address);
    let stream = channel.stream("test.Stream/Count", 2000u32.to_le_bytes().to_vec(), within(30));
    stream.end();
    // The window of the call, and as much in the line of its handler.
    let most = 2 * u64::from(WINDOW_PARTS);
    let until = Instant::now() + Duration::from_secs(20);
    while sent.load(Ordering::Relaxed) < most {
        assert!(Instant::now() < until, "{} parts were sent in 20 s", sent.load(Ordering::Relaxed));
        channel.turn(Duration::from_millis(10)).unwrap();
    }
    for _ in 0..20 {
        channel.turn(Duration::from_millis(10)).unwrap();
    }
    assert_eq!(sent.load(Ordering::Relaxed), most, "no more until parts are taken");
    for number in 0..2000u32 {
        let part = stream.take().unwrap().unwrap();
        assert_eq!(part[..4], number.to_le_bytes());
    }
    assert_eq!(stream.take().unwrap(), None);
    stream.status().unwrap();
    assert_eq!(sent.load(Ordering::Relaxed), 2000);
}

fn a_handler_that_does_not_read_makes_the_caller_wait(choice: DriverChoice) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = Running::start(choice, || {
        with(Service::new("test.Stream").streamed("Late", move |_, _, parts, results| {
            wait.lock().unwrap().recv().unwrap();
            let mut count = 0u32;
            while parts.next()?.is_some() {
                count += 1;
            }
            results.extend_from_slice(&count.to_le_bytes());
            Ok(())
        }))
    });
    let channel = channel(choice, server.address);
    let stream = channel.stream("test.Stream/Late", Vec::new(), within(30));
    let mut sent = 0;
    let until = Instant::now() + Duration::from_secs(20);
    while sent < WINDOW_PARTS {
        assert!(Instant::now() < until, "{sent} parts were sent in 20 s");
        match stream.try_send(&[0; 1000]).unwrap() {
            true => sent += 1,
            false => channel.turn(Duration::from_millis(10)).unwrap(),
        }
    }
    for _ in 0..20 {
        assert!(!stream.try_send(&[0; 1000]).unwrap(), "no more until parts are read");
        channel.turn(Duration::from_millis(10)).unwrap();
    }
    go.send(()).unwrap();
    for _ in 0..1000 {
        stream.send(&[0; 1000]).unwrap();
    }
    stream.end();
    assert_eq!(stream.status().unwrap().results, (WINDOW_PARTS + 1000).to_le_bytes());
    let stats = channel.stats();
    // The end of the parts is one too.
    assert_eq!(stats.parts_sent, u64::from(WINDOW_PARTS) + 1001);
    assert!(stats.parts_blocked >= 21, "{stats:?}");
}

fn a_handler_that_fails_ends_the_stream_behind_its_parts(choice: DriverChoice) {
    let server = Running::start(choice, || {
        with(Service::new("test.Stream").streamed("Fail", |_, _, parts, _| {
            parts.send(b"one")?;
            Err(Failure::new(Status::NotFound, "no two"))
        }))
    });
    let channel = channel(choice, server.address);
    let stream = channel.stream("test.Stream/Fail", Vec::new(), within(20));
    assert_eq!(stream.take().unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(stream.take().unwrap(), None);
    assert_eq!(stream.send(b"late").unwrap_err().code(), Code::NoSuchCall);
    let failed = stream.status().unwrap_err();
    assert_eq!((failed.status, failed.outcome), (Status::NotFound, Outcome::Executed));
    assert_eq!(failed.text, "no two");
}

fn a_part_that_is_too_long_is_refused_on_both_sides(choice: DriverChoice) {
    let server = Running::start(choice, || {
        with(Service::new("test.Stream").streamed("Long", |_, _, parts, _| parts.send(&[0; 65_537])))
    });
    let channel = channel(choice, server.address);
    let stream = channel.stream("test.Stream/Long", Vec::new(), within(20));
    assert_eq!(stream.send(&[0; 65_537]).unwrap_err().code(), Code::TooLarge);
    assert_eq!(stream.status().unwrap_err().status, Status::OutOfRange);
}

fn whole_and_streamed_methods_are_not_mixed_up(choice: DriverChoice) {
    let server = Running::start(choice, || {
        with(Service::new("test.Stream").streamed("Echo", echo).method(
            "Whole",
            Place::Loop,
            |_, _, _| Ok(()),
        ))
    });
    let channel = channel(choice, server.address);
    let streamed = channel.stream("test.Stream/Whole", Vec::new(), within(20)).status().unwrap_err();
    let whole = channel.call("test.Stream/Echo", Vec::new(), within(20)).wait().unwrap_err();
    for failed in [streamed, whole] {
        let expected = (Status::InvalidArgument, Outcome::NotExecuted);
        assert_eq!((failed.status, failed.outcome), expected, "{failed}");
    }
}

fn a_dropped_stream_lets_its_handler_go(choice: DriverChoice) {
    let (tell, told) = mpsc::channel();
    let has_begun = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&has_begun);
    let server = Running::start(choice, || {
        with(Service::new("test.Stream").streamed("Wait", move |_, _, parts, _| {
            flag.store(true, Ordering::Relaxed);
            let ended = parts.next().map(|_| ());
            let status = parts.status();
            tell.send((ended.clone().map_err(|failure| failure.status), status)).unwrap();
            ended
        }))
    });
    let channel = channel(choice, server.address);
    let stream = channel.stream("test.Stream/Wait", Vec::new(), within(20));
    let until = Instant::now() + Duration::from_secs(10);
    while !has_begun.load(Ordering::Relaxed) {
        assert!(Instant::now() < until, "waited for 10 s");
        channel.turn(Duration::from_millis(10)).unwrap();
    }
    drop(stream);
    let until = Instant::now() + Duration::from_secs(10);
    let seen = loop {
        channel.turn(Duration::from_millis(10)).unwrap();
        if let Ok(seen) = told.try_recv() {
            break seen;
        }
        assert!(Instant::now() < until, "waited for 10 s");
    };
    assert_eq!(seen, (Err(Status::Cancelled), Status::Cancelled));
    // Its place is free once the server has replied, and the channel goes on.
    while channel.outstanding() > 0 {
        assert!(Instant::now() < until, "waited for 10 s");
        channel.turn(Duration::from_millis(10)).unwrap();
    }
    channel.stream("test.Stream/None", Vec::new(), within(20)).status().unwrap_err();
}

fn a_server_that_ends_lets_waiting_handlers_go(choice: DriverChoice) {
    let has_begun = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&has_begun);
    let server = Running::start(choice, move || {
        with(Service::new("test.Stream").streamed("Wait", move |_, _, parts, _| {
            flag.store(true, Ordering::Relaxed);
            parts.next().map(|_| ())
        }))
    });
    let channel = channel(choice, server.address);
    let stream = channel.stream("test.Stream/Wait", Vec::new(), within(20));
    let until = Instant::now() + Duration::from_secs(10);
    while !has_begun.load(Ordering::Relaxed) {
        assert!(Instant::now() < until, "waited for 10 s");
        channel.turn(Duration::from_millis(10)).unwrap();
    }
    // Joins its threads: hangs if one of them still waits for a part.
    drop(server);
    drop(stream);
}

fn a_deadline_ends_a_stream_on_both_sides(choice: DriverChoice) {
    let (tell, told) = mpsc::channel();
    let server = Running::start(choice, || {
        with(Service::new("test.Stream").streamed("Wait", move |_, _, parts, _| {
            let failure = parts.next().unwrap_err();
            tell.send(failure.status).unwrap();
            Err(failure)
        }))
    });
    let channel = channel(choice, server.address);
    let config = CallConfig { timeout: Some(Duration::from_secs(1)), ..CallConfig::default() };
    let stream = channel.stream("test.Stream/Wait", Vec::new(), config);
    let late = stream.status().unwrap_err();
    // The handler may have said so before the caller's clock did.
    assert_eq!(late.status, Status::DeadlineExceeded, "{late}");
    assert_ne!(late.outcome, Outcome::NotExecuted, "{late}");
    let seen = told.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(matches!(seen, Status::DeadlineExceeded | Status::Cancelled), "{seen}");
}

fn many_streams_are_told_of_by_their_tokens(choice: DriverChoice) {
    let sent = Arc::new(AtomicU64::new(0));
    let server = Running::start(choice, move || {
        let mut server = Server::new(ServerConfig { workers: 4, queue_max: 64 });
        server.add(count_to(sent)).unwrap();
        server
    });
    let channel = channel(choice, server.address);
    let streams: Vec<_> = (0..20u64)
        .map(|token| {
            let arguments = (token as u32 * 20).to_le_bytes().to_vec();
            let stream = channel.stream_with_token("test.Stream/Count", arguments, within(30), token);
            stream.end();
            stream
        })
        .collect();
    let (mut taken, mut ended) = (vec![0u64; 20], 0);
    let until = Instant::now() + Duration::from_secs(30);
    while ended < 20 {
        assert!(Instant::now() < until, "waited for 30 s: {ended} have ended");
        channel.turn(Duration::from_millis(10)).unwrap();
        while let Some(token) = channel.stirred() {
            let stream = &streams[token as usize];
            while let Poll::Ready(Some(_)) = stream.try_take() {
                taken[token as usize] += 1;
            }
            if let Some(status) = stream.try_status() {
                status.unwrap();
                ended += 1;
            }
        }
    }
    assert!((0..20).all(|token| taken[token as usize] == token * 20), "{taken:?}");
}

fn a_stream_is_awaited_beside_calls(choice: DriverChoice) {
    let server = Running::start(choice, || with(Service::new("test.Stream").streamed("Echo", echo)));
    let channel = channel(choice, server.address);
    let stream = channel.stream("test.Stream/Echo", Vec::new(), within(20));
    let echoed = channel.block_on(async {
        while !stream.try_send(b"part").unwrap() {
            stream.stirred().await;
        }
        stream.end();
        loop {
            match stream.try_take() {
                Poll::Ready(part) => break part,
                Poll::Pending => stream.stirred().await,
            }
        }
    });
    assert_eq!(echoed.unwrap().as_deref(), Some(&b"part"[..]));
    stream.status().unwrap();
}

fn the_owner_answers_a_stream_in_its_loop(choice: DriverChoice) {
    use clustercore::proto::rpc;
    use clustercore::{EndpointConfig, Shard};
    let is_over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_over);
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut shard = Shard::builder().driver(choice).build().unwrap();
        let config = EndpointConfig { calls: Some(rpc::Config::default()), ..EndpointConfig::default() };
        let endpoint = shard.open_endpoint(serving::LOOPBACK, config).unwrap();
        let mut server = Server::new(ServerConfig::default());
        server.add(Service::new("test.Stream").deferred_streamed("Double")).unwrap();
        tell.send(shard.endpoint_address(endpoint).unwrap()).unwrap();
        let mut open = Vec::new();
        while !flag.load(Ordering::Relaxed) {
            server.turn(&mut shard, Some(Duration::from_millis(5))).unwrap();
            open.extend(std::iter::from_fn(|| server.deferred()));
            while server.stirred().is_some() {}
            let mut done = Vec::new();
            for (index, call) in open.iter().enumerate() {
                let parts = call.parts.as_ref().unwrap();
                while let Poll::Ready(next) = parts.try_next() {
                    match next.unwrap() {
                        Some(part) => assert!(parts.try_send(&part.repeat(2)).is_ready()),
                        None => {
                            done.push(index);
                            break;
                        }
                    }
                }
            }
            for index in done.into_iter().rev() {
                let call = open.swap_remove(index);
                server.reply(&mut shard, call.endpoint, call.call, Ok(b"done")).unwrap();
            }
        }
        assert_eq!(server.streamed(), 0);
    });
    let channel = channel(choice, told.recv().unwrap());
    let stream = channel.stream("test.Stream/Double", Vec::new(), within(20));
    for part in [&b"a"[..], b"bc"] {
        stream.send(part).unwrap();
        assert_eq!(stream.take().unwrap().unwrap(), part.repeat(2));
    }
    stream.end();
    assert_eq!(stream.status().unwrap().results, b"done");
    is_over.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

#[test]
fn a_stream_that_cannot_be_made_ends_not_executed() {
    let taken = std::net::UdpSocket::bind(serving::LOOPBACK).unwrap();
    let channel =
        Channel::open(&taken.local_addr().unwrap().to_string(), &Names::new(), ChannelConfig::default())
            .unwrap();
    let config = CallConfig { timeout: Some(Duration::from_millis(200)), ..CallConfig::default() };
    let stream = channel.stream("test.Stream/Echo", Vec::new(), config);
    assert!(!stream.try_send(b"x").unwrap(), "there is no room before it is made");
    let late = stream.status().unwrap_err();
    assert_eq!((late.status, late.outcome), (Status::DeadlineExceeded, Outcome::NotExecuted));
}

/// Parts of 1000 bytes that the window of a call has room for.
const WINDOW_PARTS: u32 = (256 << 10) / 1016;

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
    parts_go_both_ways_in_order,
    arguments_come_in_parts_and_results_whole,
    a_reader_that_waits_makes_the_handler_wait,
    a_handler_that_does_not_read_makes_the_caller_wait,
    a_handler_that_fails_ends_the_stream_behind_its_parts,
    a_part_that_is_too_long_is_refused_on_both_sides,
    whole_and_streamed_methods_are_not_mixed_up,
    a_dropped_stream_lets_its_handler_go,
    a_server_that_ends_lets_waiting_handlers_go,
    a_deadline_ends_a_stream_on_both_sides,
    many_streams_are_told_of_by_their_tokens,
    a_stream_is_awaited_beside_calls,
    the_owner_answers_a_stream_in_its_loop,
);
