use super::*;
use crate::channel::engine::engine::EngineConfig;
use crate::channel::engine::hub::HubConfig;
use crate::channel::engine::journal::JournalOptions;
use crate::channel::engine::principal::{Principal, Rights};
use crate::channel::engine::{ChannelConfig, Event, EventLimits, Reliability};
use std::path::PathBuf;

/// A hub and its keeper, in a folder that goes with the test.
struct Bench {
    folder: PathBuf,
    hub: Hub,
    keeper: Option<Keeper>,
    now: Instant,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let folder = std::env::temp_dir().join(format!("clustercore-keeper-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut bench = Bench { folder, hub: hub(), keeper: None, now: Instant::from_nanos(1 << 60) };
        bench.reopen();
        bench
    }

    fn config(&self) -> JournalConfig {
        let options = JournalOptions { record_bytes_max: 1000, ..JournalOptions::default() };
        JournalConfig { path: self.folder.join("journal"), options }
    }

    fn reopen(&mut self) {
        self.keeper = None;
        self.hub = hub();
        let keeper = Keeper::open(&self.config(), None, &mut self.hub, self.now);
        self.keeper = Some(keeper.unwrap());
        self.settle();
    }

    fn keeper(&mut self) -> &mut Keeper {
        self.keeper.as_mut().unwrap()
    }

    fn emit(&mut self, channel: ChannelId, sizes: &[usize]) {
        let event = |size: &usize| {
            let builder = Event::builder(size.to_string(), "/test", "tested").body(vec![7; *size]);
            builder.reliability(Reliability::Persistent).build(&EventLimits::default()).unwrap()
        };
        let (now, root) = (self.now, root());
        let mut face = self.hub.engine().emit(&root, channel).unwrap();
        let proxy = face.shared();
        let events: Vec<Event> = sizes.iter().map(event).collect();
        assert_eq!(face.push(now, proxy, &events).taken, sizes.len() as u64);
        self.settle();
    }

    /// Until everything is answered.
    fn settle(&mut self) {
        let end = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let (now, keeper) = (self.now, self.keeper.as_mut().unwrap());
            keeper.complete(&mut self.hub, now);
            let is_busy = self.hub.pump(now, 100) | keeper.append(&mut self.hub, now);
            if !is_busy && keeper.in_flight.is_empty() {
                return;
            }
            assert!(keeper.next_timeout(now) <= now + DEAF_WAIT, "nobody is rung here");
            assert!(std::time::Instant::now() < end, "it is not answered");
            std::thread::yield_now();
        }
    }

    /// Lets time go by until what is not needed is gone from the journal.
    fn pass(&mut self) {
        self.now += FORGET_RHYTHM;
        self.settle();
        // What is to be forgotten goes with a commit, this one at the latest.
        let number = self.keeper().channels.len() as u32 + 100;
        self.keeper().journal.append(number, Instant::ZERO, [].into()).unwrap();
        let mut runs = Vec::new();
        while self.keeper().journal.poll(&mut runs) == 0 {
            std::thread::yield_now();
        }
    }

    /// Places in the channel of the records that the journal has.
    fn places(&mut self, number: u32) -> Vec<u64> {
        let reader = self.keeper().journal.reader().unwrap();
        let records = reader.read(number, 0, 1000, usize::MAX).unwrap();
        let place = |bytes: &[u8]| take_stored(bytes, &EventLimits::default()).unwrap().0;
        records.iter().map(|record| place(&record.bytes)).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.keeper = None;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn hub() -> Hub {
    let default_channel = ChannelConfig { retention_events_max: 3, ..ChannelConfig::default() };
    let engine = EngineConfig { default_channel, ..EngineConfig::default() };
    Hub::new(HubConfig { engine, is_durable: true, ..HubConfig::default() }).unwrap()
}

fn root() -> Principal {
    Principal::new("root", Rights::ALL)
}

#[test]
fn what_a_record_cannot_hold_is_lost_alone() {
    let mut bench = Bench::new("large");
    let id = bench.hub.engine().default_channel();
    bench.emit(id, &[1, 5000, 2]);
    assert_eq!((bench.hub.stats().written, bench.hub.stats().not_written), (2, 1));
    assert!(bench.hub.failure().is_none());
    assert_eq!(bench.places(0), [0, 2]);
}

#[test]
fn what_the_channel_does_not_keep_is_forgotten_and_its_places_are_not_used_again() {
    let mut bench = Bench::new("forget");
    let id = bench.hub.engine().default_channel();
    bench.emit(id, &[1, 2, 3, 4, 5]);
    assert_eq!(bench.places(0), [0, 1, 2, 3, 4]);
    bench.pass();
    assert_eq!(bench.places(0), [2, 3, 4]);
    bench.reopen();
    let id = bench.hub.engine().default_channel();
    let machine = bench.hub.engine().machine(id).unwrap();
    assert_eq!((machine.retained_from(), machine.offset_next(), machine.stats().events), (2, 5, 3));
    bench.emit(id, &[6]);
    bench.pass();
    assert_eq!(bench.places(0), [3, 4, 5]);
}

#[test]
fn a_channel_that_is_deleted_takes_all_with_it_and_another_of_its_name_is_another() {
    let mut bench = Bench::new("delete");
    let keeps = || ChannelConfig { retention_events_max: 9, ..ChannelConfig::default() };
    let first = bench.hub.engine().create(&root(), "load", keeps()).unwrap();
    bench.emit(first, &[1, 2]);
    // In one turn: deleted, made again, filled.
    bench.hub.engine().delete(&root(), first).unwrap();
    let second = bench.hub.engine().create(&root(), "load", keeps()).unwrap();
    bench.emit(second, &[3]);
    let names = |bench: &mut Bench| -> Vec<(u32, String)> {
        let all = bench.keeper().journal.reader().unwrap().channels().unwrap();
        all.into_iter().map(|it| (it.number, it.name)).collect()
    };
    assert_eq!(names(&mut bench), [(0, "default".into()), (2, "load".into())]);
    assert_eq!((bench.places(1), bench.places(2)), (vec![], vec![0]));
    bench.reopen();
    let id = bench.hub.engine().find("load").unwrap();
    assert_eq!(bench.hub.engine().machine(id).unwrap().stats().events, 1);
    let third = bench.hub.engine().create(&root(), "more", keeps()).unwrap();
    bench.emit(third, &[4]);
    assert_eq!(names(&mut bench).last(), Some(&(3, "more".to_string())));
}

#[test]
fn a_journal_that_cannot_be_read_is_refused_in_words() {
    let mut bench = Bench::new("wrong");
    let second = Keeper::open(&bench.config(), None, &mut hub(), bench.now).map(|_| ()).unwrap_err();
    assert!(second.to_string().contains("cannot lock journal"), "{second}");
    let mut config = bench.config();
    config.options.queue_bytes_max = 999;
    let bounds = Keeper::open(&config, None, &mut hub(), bench.now).map(|_| ()).unwrap_err();
    assert_eq!(bounds.code(), Code::BadConfiguration);
    bench.keeper().journal.append(0, Instant::ZERO, b"no event".as_slice().into()).unwrap();
    let config = bench.config();
    bench.keeper = None;
    let wrong = Keeper::open(&config, None, &mut hub(), bench.now).map(|_| ()).unwrap_err();
    assert!(wrong.to_string().contains("channel \"default\": the record at 2: Malformed"), "{wrong}");
}
