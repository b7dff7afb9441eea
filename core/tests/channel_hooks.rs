//! Web hooks of a server of channels on real sockets: targets that grant, withhold, put off, die and come back.

use clustercore::channel::engine::access::Access;
use clustercore::channel::engine::cloudevents::{decode_batch, decode_json};
use clustercore::channel::engine::hook::HookTargets;
use clustercore::channel::engine::hub::HubConfig;
use clustercore::channel::engine::participant::{ParticipantConfig, SupplyConfig};
use clustercore::channel::engine::{Event, EventLimits};
use clustercore::channel::{ChannelServer, ChannelServerConfig, Link, Participant};
use clustercore::io::DriverChoice;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

/// A thread that goes on until it is ended.
struct Running {
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(work: impl FnOnce(Arc<AtomicBool>) + Send + 'static) -> Running {
        let is_ending = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_ending);
        Running { is_ending, thread: Some(std::thread::spawn(move || work(ends))) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking(), "a thread has failed");
        }
    }
}

fn serve(choice: DriverChoice) -> (Running, SocketAddr) {
    let (addresses, listening) = std::sync::mpsc::channel();
    let running = Running::start(move |is_ending| {
        let hub = HubConfig { access: Access::open(), ..HubConfig::default() };
        let config = ChannelServerConfig { hub, ..ChannelServerConfig::default() };
        let mut server = ChannelServer::open(choice, Duration::ZERO, config).unwrap();
        addresses.send(server.listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
        while !is_ending.load(Ordering::Relaxed) {
            server.turn_for(Some(STEP)).unwrap();
        }
    });
    (running, listening.recv_timeout(LIMIT).unwrap())
}

/// What a target does, and what it has got.
#[derive(Default)]
struct Book {
    is_withholding: bool,
    /// Status lines with fields of the answers to come; 204 where there is none.
    script: VecDeque<&'static str>,
    /// Ids of events that were answered by 2xx, in order.
    taken: Vec<String>,
    requests: usize,
}

struct Target {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    running: Option<Running>,
}

impl Target {
    fn start() -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut target = Target { address, book: Arc::default(), running: None };
        target.run(listener);
        target
    }

    /// Its connections go with it.
    fn die(&mut self) {
        self.running = None;
    }

    fn come_back(&mut self) {
        self.run(TcpListener::bind(self.address).unwrap());
    }

    fn run(&mut self, listener: TcpListener) {
        let book = Arc::clone(&self.book);
        listener.set_nonblocking(true).unwrap();
        self.running = Some(Running::start(move |is_ending| {
            let mut streams = Vec::new();
            while !is_ending.load(Ordering::Relaxed) {
                if let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    streams.push((stream, Vec::new()));
                }
                streams.retain_mut(|(stream, input)| converse(stream, input, &book));
                std::thread::sleep(Duration::from_millis(1));
            }
        }));
    }

    fn taken(&self) -> Vec<String> {
        self.book.lock().unwrap().taken.clone()
    }
}

/// Answers what is there; false when the other side has gone.
fn converse(stream: &mut TcpStream, input: &mut Vec<u8>, book: &Mutex<Book>) -> bool {
    let mut bytes = [0; 65_536];
    match stream.read(&mut bytes) {
        Ok(0) => return false,
        Ok(len) => input.extend_from_slice(&bytes[..len]),
        Err(error) => return error.kind() == ErrorKind::WouldBlock,
    }
    let Some(head_len) = input.windows(4).position(|it| it == b"\r\n\r\n").map(|at| at + 4) else {
        return true;
    };
    let head = String::from_utf8(input[..head_len].to_vec()).unwrap().to_ascii_lowercase();
    let field = |name: &str| head.split(&format!("\r\n{name}: ")).nth(1)?.split("\r\n").next();
    let len = head_len + field("content-length").map_or(0, |it| it.parse().unwrap());
    if input.len() < len {
        return true;
    }
    let body: Vec<u8> = input.drain(..len).skip(head_len).collect();
    let mut book = book.lock().unwrap();
    let answer = if head.starts_with("options ") {
        let grant = "WebHook-Allowed-Origin: clustercore\r\nWebHook-Allowed-Rate: *\r\n";
        format!(
            "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
            if book.is_withholding { "" } else { grant }
        )
    } else {
        book.requests += 1;
        let status = book.script.pop_front().unwrap_or("204 No Content");
        if status.starts_with('2') {
            let limits = EventLimits::default();
            let ids = match field("content-type") {
                Some("application/cloudevents+json") => {
                    vec![decode_json(&body, &limits).unwrap().id().to_string()]
                }
                Some("application/cloudevents-batch+json") => {
                    decode_batch(&body, &limits, 1000).unwrap().iter().map(|it| it.id().to_string()).collect()
                }
                _ => vec![field("ce-id").unwrap().to_string()],
            };
            book.taken.extend(ids);
        }
        format!(
            "HTTP/1.1 {status}\r\n{}\r\n",
            if status.starts_with("204") { "" } else { "Content-Length: 0\r\n" }
        )
    };
    stream.write_all(answer.as_bytes()).is_ok()
}

fn join(server: SocketAddr) -> Participant {
    let link = Link::Tcp(server);
    Participant::open(DriverChoice::Auto, Duration::ZERO, link, None, false, ParticipantConfig::default())
        .unwrap()
}

fn hook(participant: &mut Participant, target: &Target, name: &str, mode: &str) {
    let json = format!(
        r#"{{"op":"hook","name":"{name}","spec":{{"hook":{{"url":"http://{}/in","mode":"{mode}"}},"qos":{{"length_max":10000}}}}}}"#,
        target.address
    );
    participant.ask(&json, LIMIT).unwrap();
}

fn emit(participant: &mut Participant, handle: u64, range: std::ops::Range<u32>) {
    let event = |id: u32| Event::builder(id.to_string(), "/test", "tested").body(vec![b'x'; 64]);
    let all: Vec<Event> = range.map(|id| event(id).build(&EventLimits::default()).unwrap()).collect();
    assert_eq!(participant.emit(handle, &all).unwrap(), all.len());
    until(participant, "all is taken", |participant| participant.untaken(handle).unwrap() == 0);
}

fn until(participant: &mut Participant, what: &str, mut done: impl FnMut(&mut Participant) -> bool) {
    let end = Instant::now() + LIMIT;
    while !done(participant) {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        participant.turn_for(Some(Duration::from_millis(5))).unwrap();
    }
}

fn ids(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|it| it.to_string()).collect()
}

#[test]
fn events_arrive_in_every_mode_with_both_drivers() {
    for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
        let (_running, server) = serve(choice);
        let mut participant = join(server);
        let targets = ["binary", "structured", "batched"].map(|mode| (mode, Target::start()));
        for (mode, target) in &targets {
            hook(&mut participant, target, mode, mode);
        }
        let handle = participant.supply("", SupplyConfig::default());
        emit(&mut participant, handle, 0..300);
        for (mode, target) in &targets {
            until(&mut participant, mode, |_| target.taken().len() >= 300);
            assert_eq!(target.taken(), ids(0..300), "{mode}");
        }
        assert!(targets[2].1.book.lock().unwrap().requests < 300, "a batch has several");
    }
}

#[test]
fn one_that_withholds_its_permission_gets_nothing() {
    let (_running, server) = serve(DriverChoice::Auto);
    let mut participant = join(server);
    let target = Target::start();
    target.book.lock().unwrap().is_withholding = true;
    hook(&mut participant, &target, "h", "binary");
    let handle = participant.supply("", SupplyConfig::default());
    emit(&mut participant, handle, 0..3);
    until(&mut participant, "it is withheld", |participant| {
        let described = participant.ask(r#"{"op":"describe"}"#, LIMIT).unwrap();
        described
            .contains(r#""hook_state":{"state":"withheld","why":"the target answered OPTIONS by 200 without"#)
    });
    assert_eq!(target.book.lock().unwrap().requests, 0);
}

#[test]
fn one_that_puts_off_gets_the_event_again_and_one_that_says_gone_is_removed() {
    let (_running, server) = serve(DriverChoice::Auto);
    let mut participant = join(server);
    let target = Target::start();
    target.book.lock().unwrap().script.extend([
        "429 Later\r\nRetry-After: 1",
        "500 Oops",
        "204 No Content",
        "410 Gone",
    ]);
    hook(&mut participant, &target, "h", "structured");
    let handle = participant.supply("", SupplyConfig::default());
    emit(&mut participant, handle, 0..1);
    until(&mut participant, "it is taken", |_| target.taken() == ids(0..1));
    assert_eq!(target.book.lock().unwrap().requests, 3);
    emit(&mut participant, handle, 1..2);
    until(&mut participant, "it is removed", |participant| {
        let described = participant.ask(r#"{"op":"describe"}"#, LIMIT).unwrap();
        described.contains(r#""consumers":[]"#)
    });
}

#[test]
fn a_target_that_dies_and_comes_back_loses_nothing() {
    for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
        let (_running, server) = serve(choice);
        let mut participant = join(server);
        let mut target = Target::start();
        hook(&mut participant, &target, "h", "binary");
        let handle = participant.supply("", SupplyConfig::default());
        for round in 0..3 {
            let first = round * 400;
            emit(&mut participant, handle, first..first + 200);
            until(&mut participant, "some arrive", |_| target.taken().len() > first as usize);
            target.die();
            emit(&mut participant, handle, first + 200..first + 400);
            target.come_back();
        }
        until(&mut participant, "all arrive", |_| {
            let mut taken = target.taken();
            taken.sort_by_key(|id| id.parse::<u32>().unwrap());
            taken.dedup();
            taken == ids(0..1200)
        });
    }
}

#[test]
fn who_listens_to_others_lets_no_hook_into_its_own_machine() {
    type Listen = fn(&mut ChannelServer, SocketAddr) -> clustercore::Result<SocketAddr>;
    let all: [Listen; 4] = [
        ChannelServer::listen_tcp,
        ChannelServer::listen_udp,
        ChannelServer::listen_rpc,
        ChannelServer::listen_http,
    ];
    for listen in all {
        let config = ChannelServerConfig { insecure: true, ..ChannelServerConfig::default() };
        let mut server = ChannelServer::open(DriverChoice::Auto, Duration::ZERO, config).unwrap();
        listen(&mut server, "127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(*server.hub().hook_targets(), HookTargets::Loopback);
        let config = ChannelServerConfig { insecure: true, ..ChannelServerConfig::default() };
        let mut server = ChannelServer::open(DriverChoice::Auto, Duration::ZERO, config).unwrap();
        listen(&mut server, "0.0.0.0:0".parse().unwrap()).unwrap();
        assert_eq!(*server.hub().hook_targets(), HookTargets::Nowhere);
    }
}
