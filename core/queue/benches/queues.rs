//! What the rings cost, beside rtrb, crossbeam's `ArrayQueue` and disruptor in the same run.
//!
//! `cargo bench -p clustercore-queue --bench queues` prints one JSON line for each case and peer;
//! `-- --quick` does the same with tiny counts, to see that it works, and a word picks the cases with it in their name. Contenders take turns
//! (ours, peers, ours, ...), so that a busy machine is busy for all; each run checks the sum of what
//! arrived. All wait alike: spin shortly, then yield. Times are nanoseconds per item, or one way.

mod contenders;

use std::process::Command;

use contenders::{events, lone, many, one, ping, urgent};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return; // A test runner asks for test names; there are none.
    }
    let quick = args.iter().any(|arg| arg == "--quick" || arg == "--test");
    // Many short rounds: most fit between two interruptions of a busy machine, and the median drops the rest.
    let (rounds, items, turns) = if quick { (1, 20_000, 1_000) } else { (25, 500_000, 5_000) };

    let only = args.iter().find(|arg| !arg.starts_with('-'));
    contenders::pin(0);
    for case in cases() {
        if only.is_some_and(|part| !case.name.contains(part.as_str())) {
            continue;
        }
        let count = if case.unit == "ns/item" { items } else { turns };
        for &(peer, run) in &case.peers {
            let mut samples = Samples::default();
            for _ in 0..rounds {
                // A-B-A for each pair by itself: what ran just before leaves its mark on the scheduler.
                samples.ours.push((case.ours)(count));
                samples.peer.push(run(count));
                samples.ours.push((case.ours)(count));
                samples.floor.extend(case.floor.map(|floor| floor(count)));
            }
            report(&case, Some(peer), samples, quick);
        }
        if case.peers.is_empty() {
            let ours = (0..rounds).map(|_| (case.ours)(count)).collect();
            report(&case, None, Samples { ours, ..Samples::default() }, quick);
        }
    }
}

type Run = fn(u64) -> f64;

/// One question: our answer, that of others, and that of the bare machine where there is one.
#[derive(Clone)]
struct Case {
    name: &'static str,
    unit: &'static str,
    ours: Run,
    floor: Option<Run>,
    peers: Vec<(&'static str, Run)>,
}

impl Case {
    fn new(name: &'static str, ours: Run, peers: &[(&'static str, Run)]) -> Self {
        Self { name, unit: "ns/item", ours, floor: None, peers: peers.to_vec() }
    }

    fn one_way(name: &'static str, ours: Run, peers: &[(&'static str, Run)]) -> Self {
        Self { unit: "ns", floor: Some(ping::atomics), ..Self::new(name, ours, peers) }
    }
}

/// What was measured of one pair, in the case's unit.
#[derive(Default)]
struct Samples {
    ours: Vec<f64>,
    peer: Vec<f64>,
    floor: Vec<f64>,
}

fn cases() -> Vec<Case> {
    let mut cases = rings().to_vec();
    cases.extend(event_queues());
    cases
}

/// The event queue: one ring for many readers, and the ordered ones.
fn event_queues() -> [Case; 10] {
    [
        Case::new("events_1_1_item", events::ours, &[("disruptor", one::disruptor)]),
        Case::new("events_1_1_batch_64", events::ours_batches, &[("disruptor", one::disruptor_chunks)]),
        Case::new("events_1_3_item", events::ours_to_three, &[("disruptor", events::disruptor_to_three)]),
        Case::new(
            "events_1_3_batch_64",
            events::ours_batches_to_three,
            &[("disruptor", events::disruptor_batches_to_three)],
        ),
        Case::new("events_3_1_item", events::ours_from_three, &[("disruptor", events::disruptor_from_three)]),
        Case::new(
            "events_3_1_batch_16",
            events::ours_batches_from_three,
            &[("disruptor", events::disruptor_batches_from_three)],
        ),
        Case::one_way("one_way_events", ping::events, &[("atomics", ping::atomics)]),
        Case::new("priority_2_producers_item", urgent::ours, &[("Mutex<BinaryHeap>", urgent::heap)]),
        Case::new(
            "priority_2_producers_batch_16",
            urgent::ours_batches,
            &[("Mutex<BinaryHeap>", urgent::heap_batches)],
        ),
        Case::new("deadline_2_producers_item", urgent::ours_deadline, &[("Mutex<BinaryHeap>", urgent::heap)]),
    ]
}

fn rings() -> [Case; 9] {
    [
        Case::new(
            "spsc_item",
            one::ours,
            &[("rtrb", one::rtrb), ("disruptor", one::disruptor), ("ArrayQueue", one::array_queue)],
        ),
        Case::new(
            "spsc_chunk_64",
            one::ours_chunks,
            &[("rtrb", one::rtrb_chunks), ("disruptor", one::disruptor_chunks)],
        ),
        Case::new(
            "mpsc_2_senders_item",
            many::ours,
            &[("ArrayQueue", many::array_queue), ("disruptor", many::disruptor)],
        ),
        Case::new(
            "mpsc_2_senders_batch_16",
            many::ours_batches,
            &[("ArrayQueue", many::array_queue), ("disruptor", many::disruptor_batches)],
        ),
        Case::one_way("one_way_spsc", ping::spsc, &[("rtrb", ping::rtrb), ("ArrayQueue", ping::array_queue)]),
        Case::one_way("one_way_mpsc", ping::mpsc, &[("ArrayQueue", ping::array_queue)]),
        Case::new("bell_ring_awake", lone::ring, &[]),
        Case::new("lease_take_return", lone::lease, &[("Vec of 2048 bytes", lone::vec)]),
        Case::new("lease_slice_drop", lone::slice, &[("Arc", lone::arc)]),
    ]
}

/// Prints the line of one pair. `ratio` is ours by the peer's, of the medians.
fn report(case: &Case, peer: Option<&str>, mut samples: Samples, quick: bool) {
    let ours = Spread::of(&mut samples.ours).expect("ours ran");
    let theirs = Spread::of(&mut samples.peer);
    let floor = Spread::of(&mut samples.floor);
    let number = |value: Option<f64>| value.map_or("null".to_string(), |value| format!("{value:.3}"));
    println!(
        "{{\"bench\":\"queue\",\"case\":\"{}\",\"unit\":\"{}\",\"median\":{:.3},\"min\":{:.3},\"max\":{:.3},\
         \"runs\":{},\"floor\":{},\"peer\":{},\"peer_median\":{},\"peer_min\":{},\"ratio\":{},\
         \"command\":\"{}\",\"commit\":\"{}\"}}",
        case.name,
        case.unit,
        ours.median,
        ours.min,
        ours.max,
        samples.ours.len(),
        number(floor.map(|floor| floor.median)),
        peer.map_or("null".to_string(), |peer| format!("\"{peer}\"")),
        number(theirs.map(|theirs| theirs.median)),
        number(theirs.map(|theirs| theirs.min)),
        number(theirs.map(|theirs| ours.median / theirs.median)),
        if quick { QUICK_COMMAND } else { COMMAND },
        commit(),
    );
}

#[derive(Clone, Copy)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// `None` when nothing was measured.
    fn of(samples: &mut [f64]) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let (&min, &max) = (samples.first()?, samples.last()?);
        Some(Self { min, median: samples[samples.len() / 2], max })
    }
}

/// The short commit, with a mark when the tree differs from it; "unknown" outside a checkout.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_string() };
    match git(&["status", "--porcelain", "--", env!("CARGO_MANIFEST_DIR")]) {
        Some(changes) if !changes.is_empty() => commit + "-dirty",
        _ => commit,
    }
}

const COMMAND: &str = "cargo bench -p clustercore-queue --bench queues";
const QUICK_COMMAND: &str = "cargo bench -p clustercore-queue --bench queues -- --quick";
