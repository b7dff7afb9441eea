use super::*;
use std::sync::mpsc;
use std::time;

/// A journal in a folder of its own, which goes with it.
struct Bench {
    folder: PathBuf,
    news: mpsc::Receiver<()>,
    journal: Option<Journal>,
    options: JournalOptions,
}

impl Bench {
    fn new(name: &str, options: JournalOptions) -> Bench {
        let folder = std::env::temp_dir().join(format!("clustercore-journal-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let (_, news) = mpsc::channel();
        let mut bench = Bench { folder, news, journal: None, options };
        bench.reopen();
        bench
    }

    fn reopen(&mut self) {
        self.journal = None;
        let (sender, news) = mpsc::channel();
        let wake = move || {
            let _ = sender.send(()); // nobody listens while the journal is closed
        };
        self.journal = Some(Journal::open(&self.path(), self.options, wake).unwrap());
        self.news = news;
    }

    fn path(&self) -> PathBuf {
        self.folder.join("journal")
    }

    fn journal(&self) -> &Journal {
        self.journal.as_ref().unwrap()
    }

    /// Appends and waits until all is answered; the offsets in the order of the appends.
    fn write(&self, records: &[(u32, u64, &str)]) -> Vec<u64> {
        for &(channel, at, text) in records {
            self.journal().append(channel, Instant::from_nanos(at), text.as_bytes().into()).unwrap();
        }
        let (mut offsets, mut runs) = (Vec::new(), Vec::new());
        while offsets.len() < records.len() {
            self.news.recv_timeout(time::Duration::from_secs(20)).expect("the journal answers");
            self.journal().poll(&mut runs);
            for run in runs.drain(..) {
                let first = run.outcome.unwrap();
                offsets.extend(first..first + run.count);
            }
        }
        offsets
    }

    /// Says something of a channel and waits until it is written; at which offset.
    fn change(&self, channel: u32, change: Change) -> u64 {
        self.journal().change(channel, change).unwrap();
        let mut runs = Vec::new();
        while self.journal().poll(&mut runs) == 0 {
            self.news.recv_timeout(time::Duration::from_secs(20)).expect("the journal answers");
        }
        runs[0].outcome.clone().unwrap()
    }

    fn texts(&self, channel: u32) -> Vec<String> {
        let records = self.journal().reader().unwrap().read(channel, 0, 1000, usize::MAX).unwrap();
        records.into_iter().map(|record| String::from_utf8(record.bytes).unwrap()).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.journal = None;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn what_was_acknowledged_is_there_after_opening_anew() {
    let mut bench = Bench::new("reopen", JournalOptions::default());
    let offsets = bench.write(&[(1, 10, "a"), (2, 20, "b"), (1, 15, "c")]);
    assert_eq!(offsets, [1, 2, 3]);
    bench.journal().set_position(1, "reader", 2).unwrap();
    bench.reopen();
    assert_eq!(bench.texts(1), ["a", "c"]);
    let reader = bench.journal().reader().unwrap();
    assert_eq!(reader.positions(1).unwrap(), [("reader".to_string(), 2)]);
    assert_eq!(reader.bounds(1).unwrap(), Some((1, 3)));
    assert_eq!(reader.bounds(7).unwrap(), None);
    // The time of "c" had gone back.
    let times: Vec<_> = reader.read(1, 0, 10, 9).unwrap().iter().map(|record| record.at.as_nanos()).collect();
    assert_eq!(times, [10, 20]);
    assert_eq!(bench.write(&[(1, 30, "d")]), [4]);
}

#[test]
fn reading_begins_at_an_offset_or_a_time_and_keeps_to_its_bounds() {
    let bench = Bench::new("read", JournalOptions::default());
    let all: Vec<(u32, u64, &str)> = (0..50).map(|i| (i % 3, u64::from(i) * 10, "four")).collect();
    bench.write(&all);
    let reader = bench.journal().reader().unwrap();
    let offsets = |from, records, bytes| -> Vec<u64> {
        reader.read(1, from, records, bytes).unwrap().iter().map(|record| record.offset).collect()
    };
    assert_eq!(offsets(0, 3, 100), [2, 5, 8]);
    assert_eq!(offsets(6, 3, 8), [8, 11]);
    assert_eq!(offsets(6, 3, 0), [8]);
    for (channel, at) in (0..4).flat_map(|channel| (0..520).map(move |at| (channel, at))) {
        let expected = all.iter().zip(1u64..).find(|((c, t, _), _)| *c == channel && *t >= at).map(|it| it.1);
        assert_eq!(reader.offset_at(channel, Instant::from_nanos(at)).unwrap(), expected, "{channel} {at}");
    }
}

#[test]
fn retention_removes_the_oldest_and_offsets_are_not_used_again() {
    let mut bench = Bench::new("retention", JournalOptions::default());
    let by_count = Retention { records_max: 2, ..Retention::default() };
    let by_bytes = Retention { bytes_max: 5, ..Retention::default() };
    let by_age = Retention { age_max: Duration::from_nanos(10), ..Retention::default() };
    for (channel, retention) in [(1, by_count), (2, by_bytes), (3, by_age)] {
        bench.journal().set_retention(channel, retention).unwrap();
    }
    bench.write(&[(1, 1, "a"), (1, 2, "b"), (1, 3, "c"), (2, 4, "ddd"), (2, 5, "ee"), (2, 6, "f")]);
    bench.write(&[(3, 7, "g"), (3, 12, "h"), (3, 18, "i")]);
    assert_eq!((bench.texts(1), bench.texts(2), bench.texts(3)).1, ["ee", "f"]);
    assert_eq!(bench.texts(1), ["b", "c"]);
    assert_eq!(bench.texts(3), ["h", "i"]);
    bench.journal().trim(Instant::from_nanos(100)).unwrap();
    assert_eq!(bench.change(1, Change::RemoveChannel), 10);
    assert_eq!(bench.write(&[(4, 1, "j")]), [11]);
    assert!(bench.texts(1).is_empty() && bench.texts(3).is_empty());
    bench.change(4, Change::RemoveChannel);
    bench.reopen();
    assert_eq!(bench.write(&[(4, 1, "k")]), [13]);
}

#[test]
fn what_is_not_needed_goes_and_the_next_number_stays() {
    let mut bench = Bench::new("forget", JournalOptions::default());
    bench.change(1, channel("one"));
    bench.write(&[(1, 1, "a"), (2, 2, "b"), (1, 3, "c"), (1, 4, "d")]);
    bench.journal().forget(1, 5).unwrap();
    bench.journal().set_next(1, 7).unwrap();
    bench.journal().set_next(1, 6).unwrap();
    bench.write(&[(2, 5, "e")]);
    assert_eq!((bench.texts(1), bench.texts(2).len()), (vec!["d".to_string()], 2));
    bench.reopen();
    assert_eq!(bench.journal().reader().unwrap().channels().unwrap()[0].next, 7);
    assert_eq!(bench.texts(1), ["d"]);
}

#[test]
fn channels_and_consumers_are_there_after_opening_anew_and_go_with_all_that_is_theirs() {
    let mut bench = Bench::new("channels", JournalOptions::default());
    bench.change(1, channel("one"));
    bench.change(2, channel("two"));
    bench.change(2, channel("second"));
    let consumer = |number, spec: &str| Change::Consumer {
        number,
        owner: "ann".into(),
        name: format!("reader {number}").into(),
        spec: spec.into(),
    };
    for number in [7, 8, 9] {
        bench.change(2, consumer(number, "{}"));
        bench.journal().set_position(2, &number.to_string(), u64::from(number)).unwrap();
    }
    bench.change(2, consumer(8, "new"));
    bench.change(2, Change::RemoveConsumer { number: 9 });
    bench.reopen();
    let reader = bench.journal().reader().unwrap();
    let names = |reader: &Reader| -> Vec<_> {
        reader.channels().unwrap().into_iter().map(|it| (it.number, it.name, it.next)).collect()
    };
    assert_eq!(names(&reader), [(1, "one".into(), 0), (2, "second".into(), 0)]);
    let consumers = reader.consumers(2).unwrap();
    let seen: Vec<_> = consumers.iter().map(|it| (it.number, &*it.spec, it.position)).collect();
    assert_eq!(seen, [(7, "{}", Some(7)), (8, "new", Some(8))]);
    assert_eq!((&*consumers[0].owner, &*consumers[0].name), ("ann", "reader 7"));
    // What was appended before its removal goes with it, in the same commit or not.
    for number in 0..20 {
        bench.journal().append(2, Instant::from_nanos(number), b"gone".as_slice().into()).unwrap();
    }
    bench.journal().set_position(2, "7", 3).unwrap();
    bench.journal().change(2, Change::RemoveChannel).unwrap();
    bench.reopen();
    let reader = bench.journal().reader().unwrap();
    assert_eq!(names(&reader), [(1, "one".into(), 0)]);
    assert!(reader.consumers(2).unwrap().is_empty() && reader.positions(2).unwrap().is_empty());
    assert_eq!(reader.bounds(2).unwrap(), None);
}

fn channel(name: &str) -> Change {
    Change::Channel { name: name.into(), config: "{}".into() }
}

#[test]
fn what_is_in_flight_is_bounded() {
    let options = JournalOptions {
        queue_records_max: 2,
        queue_bytes_max: 100,
        record_bytes_max: 90,
        positions_max: 1,
        ..JournalOptions::default()
    };
    let bench = Bench::new("bounds", options);
    let append = |len| bench.journal().append(1, Instant::ZERO, vec![0; len].into());
    assert_eq!(append(91), Err(AppendError::TooLarge { len: 91, max: 90 }));
    assert_eq!((append(1), append(1)), (Ok(Ticket(0)), Ok(Ticket(1))));
    // Also when it has been written: nobody has asked for the answer yet.
    assert_eq!(append(1), Err(AppendError::Full { len: 2, max: 2 }));
    bench.news.recv_timeout(time::Duration::from_secs(20)).unwrap();
    assert!(append(1).is_err());
    let mut runs = Vec::new();
    while runs.iter().map(|run: &Completion| run.count).sum::<u64>() < 2 {
        bench.journal().poll(&mut runs);
        std::thread::yield_now();
    }
    assert_eq!(append(1), Ok(Ticket(2)));
    let name = "x".repeat(257);
    let too_long = AppendError::TooLarge { len: 257, max: 256 };
    assert_eq!(bench.journal().set_position(1, &name, 1), Err(too_long));
}

#[test]
fn one_at_a_time_has_it_open_and_another_file_is_refused() {
    let bench = Bench::new("lock", JournalOptions::default());
    let second = Journal::open(&bench.path(), JournalOptions::default(), || ());
    assert_eq!(second.unwrap_err().action, "lock");
    let other = bench.folder.join("other");
    std::fs::write(&other, b"this is no database, but long enough to be looked at".repeat(100)).unwrap();
    assert_eq!(Journal::open(&other, JournalOptions::default(), || ()).unwrap_err().action, "open");
}
