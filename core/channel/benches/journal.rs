//! What it costs to have a record on disk before it is acknowledged: 256 in flight, 256 bytes each.
//!
//! `cargo bench -p clustercore-channel --features journal --bench journal` prints one JSON line; `-- --quick` does the same
//! with few records. The file lies in `JOURNAL_FOLDER`, or in the current folder: not on a tmpfs, which would sync nothing.

use clustercore_channel::Instant as Moment;
use clustercore_channel::journal::{Journal, JournalOptions};
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return; // A test runner asks for test names; there are none.
    }
    let quick = args.iter().any(|arg| arg == "--quick" || arg == "--test");
    let (rounds, records) = if quick { (1, 2_000) } else { (5, 300_000) };
    let mut rates: Vec<f64> = (0..rounds).map(|_| round(records)).collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "{{\"bench\":\"journal\",\"case\":\"append_256_in_flight\",\"unit\":\"records/s\",\"median\":{:.0},\"min\":{:.0},\
         \"max\":{:.0},\"runs\":{rounds},\"records\":{records},\"command\":\"{}\"}}",
        rates[rates.len() / 2],
        rates[0],
        rates[rates.len() - 1],
        if quick { QUICK_COMMAND } else { COMMAND },
    );
}

/// Records per second, acknowledged.
fn round(records: u64) -> f64 {
    let folder = std::env::var("JOURNAL_FOLDER").unwrap_or_else(|_| ".".into());
    let folder = std::path::Path::new(&folder).join(format!("journal-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the journal");
    let owner: Thread = std::thread::current();
    let journal = Journal::open(&folder.join("journal"), JournalOptions::default(), move || owner.unpark());
    let journal = journal.expect("the journal opens");
    let record: Arc<[u8]> = vec![7; 256].into();
    let (mut appended, mut answered, mut runs) = (0u64, 0u64, Vec::new());
    let begin = Instant::now();
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
    let read = journal.reader().expect("a reader").bounds(1).expect("the journal is read");
    assert_eq!(read, Some((1, records)));
    drop(journal);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    rate
}

const COMMAND: &str = "cargo bench -p clustercore-channel --features journal --bench journal";
const QUICK_COMMAND: &str =
    "cargo bench -p clustercore-channel --features journal --bench journal -- --quick";
