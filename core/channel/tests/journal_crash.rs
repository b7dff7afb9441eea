//! The journal against the real thing: SIGKILL under load, a full disk, a failing fsync.
//!
//! Each case runs this program again as a child that appends with 256 in flight and says on its standard output what was
//! acknowledged. `JOURNAL_ROUNDS=200` kills it that often (20 otherwise). A failing fsync comes from a small library that
//! is put before the C library (`LD_PRELOAD`), since SQLite's own way to fail, a file system of one's own, is unsafe code.
#![cfg(feature = "journal")]

mod disk;

use clustercore_channel::Instant;
use clustercore_channel::journal::{AppendError, Completion, Failure, Journal, JournalOptions};
use disk::Folder;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Offset to number, as the child said.
type Acknowledged = HashMap<u64, u64>;

#[test]
fn what_was_acknowledged_survives_sigkill() {
    let folder = Folder::new("kill");
    let rounds: u64 = std::env::var("JOURNAL_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(20);
    let mut acknowledged = Acknowledged::new();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..rounds {
        let before = acknowledged.len();
        let mut child =
            spawn(child_command(&folder.journal(), "kill").env("JOURNAL_BASE", (round << 32).to_string()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // From the first acknowledgement on it is under load.
        let first =
            lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("A ")).expect("it acknowledges");
        note(&first, &mut acknowledged);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let reader = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_micros((random >> 33) % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        // The last line may have been cut.
        reader.join().unwrap().iter().for_each(|line| note(line, &mut acknowledged));
        assert!(acknowledged.len() > before);
        let highest = check(&folder.journal(), &acknowledged);
        let position = open(&folder.journal()).reader().unwrap().positions(0).unwrap();
        assert!(position.iter().all(|(_, offset)| *offset <= highest), "{position:?} {highest}");
    }
    println!("{} acknowledged records in {rounds} rounds", acknowledged.len());
}

#[test]
fn a_full_disk_fails_what_does_not_fit_and_nothing_is_acknowledged_after_it() {
    let folder = Folder::new("full");
    let mount = "mount -t tmpfs -o size=8m none \"$JOURNAL_FOLDER\" && exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", mount]).env("JOURNAL_FOLDER", &folder.0);
    let probe = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no mount namespace with a tmpfs (needs root)");
        return;
    }
    let lines = run(child_arguments(&mut command, &folder.journal(), "full"));
    assert!(lines.iter().any(|line| line == "F DiskFull"), "{lines:?}");
}

#[test]
fn a_write_beyond_the_file_size_limit_fails_its_records() {
    let folder = Folder::new("limit");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' 25; ulimit -f 2048; exec \"$0\" \"$@\""]);
    let lines = run(child_arguments(&mut command, &folder.journal(), "limit"));
    assert!(lines.iter().any(|line| line.starts_with("F Disk")), "{lines:?}");
    check_lines(&folder.journal(), &lines);
}

#[test]
fn a_failing_fsync_fails_its_records() {
    let folder = Folder::new("fsync");
    let Some(library) = disk::failing_fsync(&folder) else { return };
    let mut command = child_command(&folder.journal(), "fsync");
    command.env("LD_PRELOAD", &library).env("FAIL_FSYNC", folder.0.join("fail"));
    let lines = run(&mut command);
    assert!(lines.iter().any(|line| line.starts_with("F Disk") && !line.contains("Full")), "{lines:?}");
    check_lines(&folder.journal(), &lines);
}

/// Not a test: what the others run in a process of its own.
#[test]
#[ignore = "run by the other tests, as a child"]
fn child() {
    let Ok(path) = std::env::var("JOURNAL_CHILD") else { return };
    let mode = std::env::var("JOURNAL_MODE").unwrap();
    let base: u64 = std::env::var("JOURNAL_BASE").map_or(0, |it| it.parse().unwrap());
    let path = PathBuf::from(path);
    let filler = path.with_extension("filler");
    if mode == "full" {
        std::fs::write(&filler, vec![1; 5 << 20]).unwrap();
    }
    let mut acknowledged = Acknowledged::new();
    let journal = open(&path);
    let failed = append_until_failure(&journal, base, &mode, &mut acknowledged);
    let cause = journal.failure().expect("it is broken");
    drop(journal);
    assert!(!acknowledged.is_empty(), "something was acknowledged before");
    // Those of one commit failed by themselves (none, when it held nothing but positions); all others in flight because of it.
    let (own, others): (Vec<_>, Vec<_>) = failed.iter().partition(|failure| **failure != Failure::Broken);
    assert!(own.len() <= 1 && others.len() <= 1, "{failed:?}");
    writeln!(std::io::stdout(), "F {:?}", own.first().copied().unwrap_or(&cause)).unwrap();
    if mode == "full" {
        std::fs::remove_file(&filler).unwrap();
        check(&path, &acknowledged);
        // There is room again: a journal opened anew acknowledges.
        let journal = open(&path);
        journal.append(0, Instant::ZERO, record(0)).unwrap();
        assert!(matches!(answers(&journal, 1)[..], [Completion { outcome: Ok(_), .. }]));
    }
}

/// Appends with 256 in flight; the failures, one for each run of them.
fn append_until_failure(
    journal: &Journal,
    base: u64,
    mode: &str,
    acknowledged: &mut Acknowledged,
) -> Vec<Failure> {
    let (mut appended, mut answered) = (0u64, 0u64);
    let (mut runs, mut failed) = (Vec::new(), Vec::new());
    while answered < appended || failed.is_empty() {
        while appended - answered < 256 && failed.is_empty() {
            let number = base + appended;
            match journal.append((number % 3) as u32, Instant::ZERO, record(number)) {
                Ok(ticket) => assert_eq!(ticket.0, appended),
                Err(error) => {
                    assert_eq!(error, AppendError::Broken);
                    break;
                }
            }
            appended += 1;
        }
        if journal.poll(&mut runs) == 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
        let mut said = String::new();
        for run in runs.drain(..) {
            assert_eq!(run.first.0, answered, "answers come in the order of the appends");
            answered += run.count;
            match run.outcome {
                Ok(first) => {
                    assert!(failed.is_empty(), "nothing is acknowledged after a failure");
                    for place in 0..run.count {
                        acknowledged.insert(first + place, base + run.first.0 + place);
                    }
                    said += &format!("A {first} {} {}\n", base + run.first.0, run.count);
                    let _ = journal.set_position(0, "consumer", first);
                }
                Err(failure) => failed.push(failure),
            }
        }
        std::io::stdout().write_all(said.as_bytes()).unwrap();
        if mode == "fsync" && answered > 2000 {
            std::fs::write(std::env::var("FAIL_FSYNC").unwrap(), b"").unwrap();
        }
    }
    assert_eq!(journal.append(0, Instant::ZERO, record(0)), Err(AppendError::Broken));
    assert!(journal.failure().is_some());
    failed
}

fn answers(journal: &Journal, count: u64) -> Vec<Completion> {
    let mut runs: Vec<Completion> = Vec::new();
    while runs.iter().map(|run| run.count).sum::<u64>() < count {
        journal.poll(&mut runs);
        std::thread::sleep(Duration::from_millis(1));
    }
    runs
}

/// Opens the journal anew and compares; the highest offset.
fn check(path: &Path, acknowledged: &Acknowledged) -> u64 {
    let journal = open(path);
    let reader = journal.reader().unwrap();
    let (mut found, mut highest) = (0, 0);
    for channel in 0..3 {
        let mut from = 0;
        loop {
            let records = reader.read(channel, from, 10_000, 64 << 20).unwrap();
            let Some(last) = records.last() else { break };
            from = last.offset + 1;
            highest = highest.max(last.offset);
            for it in &records {
                if let Some(number) = acknowledged.get(&it.offset) {
                    assert_eq!(it.bytes[..], record(*number)[..], "at {}", it.offset);
                    found += 1;
                }
            }
        }
    }
    assert_eq!(found, acknowledged.len(), "acknowledged records are lost");
    highest
}

fn check_lines(path: &Path, lines: &[String]) {
    let mut acknowledged = Acknowledged::new();
    lines.iter().for_each(|line| note(line, &mut acknowledged));
    assert!(!acknowledged.is_empty());
    check(path, &acknowledged);
}

/// Reads `A offset number count`; a line that was cut says nothing.
fn note(line: &str, acknowledged: &mut Acknowledged) {
    let numbers: Vec<u64> = line.split(' ').skip(1).filter_map(|it| it.parse().ok()).collect();
    if let ("A", [offset, number, count]) = (&line[..line.len().min(1)], &numbers[..]) {
        acknowledged.extend((0..*count).map(|place| (offset + place, number + place)));
    }
}

/// The record with this number: 8 to 400 bytes that follow from it.
fn record(number: u64) -> Arc<[u8]> {
    let len = 8 + (number.wrapping_mul(0x9e37_79b9) >> 7) as usize % 393;
    number.to_le_bytes().into_iter().cycle().take(len).collect()
}

fn open(path: &Path) -> Journal {
    Journal::open(path, JournalOptions::default(), || ()).unwrap()
}

fn child_command(path: &Path, mode: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(CHILD).env("JOURNAL_CHILD", path).env("JOURNAL_MODE", mode).stdout(Stdio::piped());
    command
}

/// The child behind another program that starts it.
fn child_arguments<'a>(command: &'a mut Command, path: &Path, mode: &str) -> &'a mut Command {
    command.arg(std::env::current_exe().unwrap()).args(CHILD);
    command.env("JOURNAL_CHILD", path).env("JOURNAL_MODE", mode).stdout(Stdio::piped())
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap()
}

fn run(command: &mut Command) -> Vec<String> {
    let output = spawn(command).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    text.lines().map(String::from).collect()
}

const CHILD: [&str; 5] = ["child", "--exact", "--ignored", "--nocapture", "--quiet"];
