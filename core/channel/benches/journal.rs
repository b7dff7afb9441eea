//! What it costs to have a record on disk before it is acknowledged: 256 in flight, 256 bytes each.
//!
//! `cargo bench -p clustercore-channel --features journal --bench journal` prints one JSON line; `-- --quick` does the same
//! with few records. The file lies in `JOURNAL_FOLDER`, or in the current folder: not on a tmpfs, which would sync nothing.

use clustercore_channel::Instant as Moment;
use clustercore_channel::journal::{Journal, JournalOptions};
use measure::{Row, Size, schedule_ns};
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

mod measure;

fn main() {
    let size = Size::asked();
    let (rounds, records) = match size {
        Size::Nothing => return,
        Size::Quick => (1, 2_000),
        Size::Full => (9, 300_000),
    };
    let rounds: Vec<(f64, f64)> = (0..rounds).map(|_| round(records)).collect();
    let mut processor: Vec<f64> = rounds.iter().map(|(_, processor)| *processor).collect();
    processor.sort_by(f64::total_cmp);
    let median = format!("{:.1}", processor[processor.len() / 2]);
    let more = vec![("records", records.to_string()), ("processor_ns_per_record", median)];
    let (samples, command) = (rounds.into_iter().map(|(rate, _)| rate).collect(), size.command(COMMAND));
    Row { bench: "journal", case: "append_256_in_flight", unit: "records/s", samples, more, command }.print();
}

/// Records per second, acknowledged, and nanoseconds of processor time for each, of both threads.
fn round(records: u64) -> (f64, f64) {
    let folder = std::env::var("JOURNAL_FOLDER").unwrap_or_else(|_| ".".into());
    let folder = std::path::Path::new(&folder).join(format!("journal-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the journal");
    let owner: Thread = std::thread::current();
    let journal = Journal::open(&folder.join("journal"), JournalOptions::default(), move || owner.unpark());
    let journal = journal.expect("the journal opens");
    let record: Arc<[u8]> = vec![7; 256].into();
    let (mut appended, mut answered, mut runs) = (0u64, 0u64, Vec::new());
    let (begin, begin_ns) = (Instant::now(), process_ns());
    while answered < records {
        while appended < records && appended - answered < 256 {
            journal.append(1, Moment::from_nanos(appended), record.clone()).expect("the queue has room");
            appended += 1;
        }
        if journal.poll(&mut runs) == 0 {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        for run in runs.drain(..) {
            run.outcome.expect("the record is written");
            answered += run.count;
        }
    }
    let rate = records as f64 / begin.elapsed().as_secs_f64();
    let processor = (process_ns() - begin_ns) as f64 / records as f64;
    let read = journal.reader().expect("a reader").bounds(1).expect("the journal is read");
    assert_eq!(read, Some((1, records)));
    drop(journal);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    (rate, processor)
}

/// Processor time of all threads that are there.
fn process_ns() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    threads.map(|thread| schedule_ns(&thread.path())).sum()
}

const COMMAND: &str = "cargo bench -p clustercore-channel --features journal --bench journal";
