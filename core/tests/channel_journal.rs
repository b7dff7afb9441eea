//! A channel server with a journal in a process of its own: SIGKILL under load, a clean end, a full disk.
//!
//! Each case runs this program again as a server that says on its standard output where it listens. `JOURNAL_ROUNDS=200` kills it that often
//! (5 otherwise).

#[path = "../channel/tests/disk/mod.rs"]
mod disk;

use clustercore::channel::engine::access::Access;
use clustercore::channel::engine::hub::HubConfig;
use clustercore::channel::engine::participant::{Handle, News, ParticipantConfig, SupplyConfig};
use clustercore::channel::engine::wire::{Code, Delivered};
use clustercore::channel::engine::{Event, EventLimits, Reliability};
use clustercore::channel::{ChannelServer, ChannelServerConfig, JournalConfig, Link, Participant};
use clustercore::io::DriverChoice;
use disk::Folder;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn what_was_confirmed_survives_sigkill() {
    let folder = Folder::new("kill");
    let rounds: u64 = std::env::var("JOURNAL_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(5);
    let mut confirmed: HashSet<u64> = HashSet::new();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let (mut next, mut total) = (0, 0);
    for round in 0..rounds {
        let mut server = Server::start(&folder.journal());
        let mut supplier = server.join();
        if round % CHECK_RHYTHM == 0 {
            let config = r#"{"retention_events_max":100000000,"retention_bytes_max":1000000000,"repeats_window":4096}"#;
            let create = format!(r#"{{"op":"create","channel":"load","config":{config}}}"#);
            supplier.ask(&create, LIMIT).unwrap();
        }
        let before = confirmed.len();
        let handle = supplier.supply(r#""channel":"load""#, SupplyConfig::default());
        let (base, mut emitted) = (next, 0);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // From the first confirmation on it is under load.
        let (mut kill_at, end) = (None, Instant::now() + LIMIT);
        while kill_at.is_none_or(|at| Instant::now() < at) {
            assert!(Instant::now() < end, "nothing is confirmed within {LIMIT:?}");
            let batch: Vec<Event> = (emitted..emitted + 64).map(|it| event(base + it)).collect();
            emitted += supplier.emit(handle, &batch).unwrap_or(0) as u64;
            supplier.turn_for(Some(Duration::from_millis(1))).unwrap();
            note(&mut supplier, handle, base, &mut confirmed);
            if kill_at.is_none() && confirmed.len() > before {
                kill_at = Some(Instant::now() + Duration::from_micros((random >> 33) % 100_000));
            }
        }
        server.kill();
        // What the server had sent is read to its end.
        while supplier.is_linked() {
            assert!(Instant::now() < end, "the link does not end");
            supplier.turn_for(Some(Duration::from_millis(1))).unwrap();
        }
        note(&mut supplier, handle, base, &mut confirmed);
        next = base + emitted;
        if (round + 1) % CHECK_RHYTHM == 0 || round + 1 == rounds {
            check(&folder.journal(), &confirmed);
            total += confirmed.len();
            confirmed.clear();
        }
    }
    println!("{total} confirmed events of {next} emitted in {rounds} rounds, all read back");
}

/// Reads everything back from a server that is started anew, sends the last event again, and deletes the channel.
fn check(journal: &Path, confirmed: &HashSet<u64>) {
    let server = Server::start(journal);
    let mut consumer = server.join();
    consumer.consume(r#""channel":"load","spec":{"start":"earliest","qos":{"length_max":1000000}}"#);
    consumer.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
    let described = consumer.ask(r#"{"op":"describe","channel":"load"}"#, LIMIT).unwrap();
    let next = number_of(&described, "offset_next");
    let mut seen = HashSet::new();
    let mut offset = None;
    let end = Instant::now() + LIMIT;
    while offset.is_none_or(|offset| offset + 1 < next) {
        assert!(Instant::now() < end, "{offset:?} of {next}");
        consumer.turn_for(Some(Duration::from_millis(5))).unwrap();
        while let Some((_, Delivered { event, offset: own, .. })) = consumer.take() {
            assert!(offset.is_none_or(|before| before < own), "in order");
            offset = Some(own);
            let number: u64 = event.id().parse().unwrap();
            assert_eq!(event, self::event(number));
            assert!(seen.insert(number), "event {number} twice");
        }
    }
    let lost = confirmed.difference(&seen).count();
    assert_eq!(lost, 0, "of {} confirmed, {} were read back", confirmed.len(), seen.len());
    // What is there is known as a repeat, which takes no place.
    let mut supplier = server.join();
    let handle = supplier.supply(r#""channel":"load""#, SupplyConfig::default());
    let last: Vec<Event> = seen.iter().max().map(|number| event(*number)).into_iter().collect();
    supplier.emit(handle, &last).unwrap();
    while supplier.untaken(handle).unwrap() > 0 {
        assert!(Instant::now() < end, "the repeat is not taken");
        supplier.turn_for(Some(Duration::from_millis(5))).unwrap();
    }
    let described = supplier.ask(r#"{"op":"describe","channel":"load"}"#, LIMIT).unwrap();
    assert_eq!((number_of(&described, "offset_next"), number_of(&described, "repeats")), (next, 1));
    supplier.ask(r#"{"op":"delete","channel":"load"}"#, LIMIT).unwrap();
}

/// What is confirmed; nothing is lost while the disk is well.
fn note(supplier: &mut Participant, handle: Handle, base: u64, confirmed: &mut HashSet<u64>) {
    while let Some(news) = supplier.poll_news() {
        match news {
            News::Confirmed { handle: it, first, count } if it == handle => {
                confirmed.extend(base + first..base + first + count);
            }
            News::Lost { .. } | News::Refused { .. } | News::Gone { .. } => panic!("{news:?}"),
            _ => {}
        }
    }
}

#[test]
fn channels_and_durable_consumers_go_on_where_they_were() {
    let folder = Folder::new("again");
    let consume = r#""channel":"load","name":"steady","spec":{"is_durable":true,"qos":{"acknowledgement":"explicit"},"filter":"int(id) % 2 == 0"}"#;
    // What nobody has acknowledged comes after each kill.
    for is_killed in [false, true, true] {
        let mut server = Server::start(&folder.journal());
        let mut participant = server.join();
        let create = r#"{"op":"create","channel":"load","config":{"qos":{"reliability":"persistent"}}}"#;
        assert_eq!(participant.ask(create, LIMIT).is_ok(), !is_killed);
        let consumer = participant.consume(consume);
        participant.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
        if !is_killed {
            participant.ask(r#"{"op":"create","channel":"gone"}"#, LIMIT).unwrap();
            participant.ask(r#"{"op":"delete","channel":"gone"}"#, LIMIT).unwrap();
            let handle = participant.supply(r#""channel":"load""#, SupplyConfig::default());
            participant.emit(handle, &(0..20).map(event).collect::<Vec<_>>()).unwrap();
            let got = take(&mut participant, 10);
            let done: Vec<_> = got[..4].iter().filter_map(|it| it.delivery).collect();
            participant.machine().acknowledge(consumer, &done);
            participant.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
            server.end();
            continue;
        }
        let listed = participant.ask(r#"{"op":"list"}"#, LIMIT).unwrap();
        assert_eq!(listed, r#"{"channels":["default","load"]}"#);
        let got = take(&mut participant, 6);
        let ids: Vec<u64> = got.iter().map(|it| it.event.id().parse().unwrap()).collect();
        assert_eq!(ids, [8, 10, 12, 14, 16, 18]);
        server.kill();
    }
}

fn take(participant: &mut Participant, count: usize) -> Vec<Delivered> {
    let (mut taken, end) = (Vec::new(), Instant::now() + LIMIT);
    while taken.len() < count {
        assert!(Instant::now() < end, "{} of {count}", taken.len());
        participant.turn_for(Some(Duration::from_millis(5))).unwrap();
        taken.extend(std::iter::from_fn(|| participant.take()).map(|(_, it)| it));
    }
    taken
}

#[test]
fn a_journal_without_room_holds_up_and_loses_nothing() {
    let folder = Folder::new("room");
    let mut command = Command::new(std::env::current_exe().unwrap());
    let server = Server::spawn(command.env("JOURNAL_QUEUE", "3"), &folder.journal());
    let mut participant = server.join();
    participant.consume(r#""spec":{"qos":{"length_max":1000000}}"#);
    let handle = participant.supply("", SupplyConfig::default());
    let mut confirmed = HashSet::new();
    let (mut emitted, end) = (0, Instant::now() + LIMIT);
    while confirmed.len() < 500 {
        assert!(Instant::now() < end, "{} confirmed", confirmed.len());
        if emitted < 500 {
            let batch: Vec<Event> = (emitted..500).map(event).collect();
            emitted += participant.emit(handle, &batch).unwrap_or(0) as u64;
        }
        participant.turn_for(Some(Duration::from_millis(5))).unwrap();
        note(&mut participant, handle, 0, &mut confirmed);
    }
    let ids: Vec<u64> = take(&mut participant, 500).iter().map(|it| it.event.id().parse().unwrap()).collect();
    assert_eq!(ids, (0..500).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_loses_what_does_not_fit_and_others_flow() {
    let folder = Folder::new("full");
    let probe = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no mount namespace with a tmpfs (needs root)");
        return;
    }
    let mount = "mount -t tmpfs -o size=4m none \"$JOURNAL_FOLDER\" && exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", mount]).env("JOURNAL_FOLDER", &folder.0);
    let server = Server::spawn(command.arg(std::env::current_exe().unwrap()), &folder.journal());
    is_broken_by_load(&server, "the disk is full");
}

#[test]
fn a_failing_fsync_loses_what_was_to_be_written_and_others_flow() {
    let folder = Folder::new("fsync");
    let Some(library) = disk::failing_fsync(&folder) else { return };
    let switch = folder.0.join("fail");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("LD_PRELOAD", &library).env("FAIL_FSYNC", &switch);
    let server = Server::spawn(&mut command, &folder.journal());
    std::fs::write(&switch, b"").unwrap();
    is_broken_by_load(&server, "could not be written");
}

/// Emits persistent events until some are lost: from then on all are, the others flow, and the server says why.
fn is_broken_by_load(server: &Server, why: &str) {
    let mut participant = server.join();
    participant.consume(r#""spec":{"qos":{"length_max":1000000}}"#);
    let handle = participant.supply("", SupplyConfig::default());
    let (mut emitted, mut confirmed, mut lost) = (0u64, 0, 0);
    let end = Instant::now() + LIMIT;
    while lost == 0 || confirmed + lost < emitted {
        assert!(Instant::now() < end, "{emitted} emitted, {confirmed} confirmed, {lost} lost");
        if lost == 0 {
            let batch: Vec<Event> = (emitted..emitted + 64).map(event).collect();
            emitted += participant.emit(handle, &batch).unwrap_or(0) as u64;
        }
        participant.turn_for(Some(Duration::from_millis(1))).unwrap();
        while participant.take().is_some() {}
        while let Some(news) = participant.poll_news() {
            match news {
                News::Confirmed { count, .. } => {
                    assert_eq!(lost, 0, "nothing is confirmed after a loss");
                    confirmed += count;
                }
                News::Lost { code, .. } => {
                    assert_eq!(code, Code::NotWritten);
                    lost += 1;
                }
                News::Refused { .. } | News::Gone { .. } => panic!("{news:?}"),
                _ => {}
            }
        }
    }
    let flows = event(emitted).to_builder().reliability(Reliability::BestEffort);
    participant.emit(handle, &[flows.build(&EventLimits::default()).unwrap()]).unwrap();
    assert_eq!(take(&mut participant, 1)[0].event.id().as_ref(), emitted.to_string());
    let described = participant.ask(r#"{"op":"describe"}"#, LIMIT).unwrap();
    assert!(
        described.contains("takes no persistent events any more") && described.contains(why),
        "{described}"
    );
    let refused = participant.ask(r#"{"op":"create","channel":"x"}"#, LIMIT).unwrap_err().to_string();
    assert!(refused.contains("not_written"), "{refused}");
}

/// Not a test: the server that the others talk to, until its standard input ends.
#[test]
#[ignore = "run by the other tests, as a child"]
fn child() {
    let Ok(path) = std::env::var("JOURNAL_CHILD") else { return };
    let hub = HubConfig { access: Access::open(), ..HubConfig::default() };
    let mut journal = JournalConfig::new(path);
    if let Some(max) = std::env::var("JOURNAL_QUEUE").ok().and_then(|it| it.parse().ok()) {
        journal.options.queue_records_max = max;
    }
    let journal = Some(journal);
    let config = ChannelServerConfig { hub, journal, ..ChannelServerConfig::default() };
    let mut server = ChannelServer::open(DriverChoice::Auto, Duration::ZERO, config).unwrap();
    println!("{}", server.listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap());
    let waker = server.waker().unwrap();
    let is_ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ends = is_ended.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
        waker.wake();
    });
    while !is_ended.load(std::sync::atomic::Ordering::Relaxed) {
        server.turn_for(None).unwrap();
    }
}

struct Server {
    child: Child,
    link: Link,
    /// It may say something at its end.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start(journal: &Path) -> Server {
        Server::spawn(&mut Command::new(std::env::current_exe().unwrap()), journal)
    }

    fn spawn(command: &mut Command, journal: &Path) -> Server {
        command.args(["child", "--exact", "--ignored", "--nocapture", "--quiet"]);
        command.env("JOURNAL_CHILD", journal).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut addresses = lines.by_ref().map_while(Result::ok).filter_map(|line| line.parse().ok());
        let link = Link::Tcp(addresses.next().expect("it listens"));
        Server { child, link, _lines: lines }
    }

    fn join(&self) -> Participant {
        let config = ParticipantConfig::default();
        Participant::open(DriverChoice::Auto, Duration::ZERO, self.link, None, false, config).unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(&mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The event with this number: persistent, with 8 to 400 bytes that follow from it.
fn event(number: u64) -> Event {
    let len = 8 + (number.wrapping_mul(0x9e37_79b9) >> 7) as usize % 393;
    let body: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(len).collect();
    let builder = Event::builder(number.to_string(), "/test", "tested").body(body);
    builder.reliability(Reliability::Persistent).build(&EventLimits::default()).unwrap()
}

/// The first number of this name.
fn number_of(json: &str, name: &str) -> u64 {
    let rest = json.split_once(&format!("\"{name}\":")).expect("it is there").1;
    rest.split(|it: char| !it.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Everything is read back after so many rounds, and after the last; then another channel begins.
const CHECK_RHYTHM: u64 = 5;
