//! What the rings cost, beside rtrb, crossbeam's `ArrayQueue` and disruptor in the same run.
//!
//! `cargo bench -p clustercore-queue --bench queues` prints one JSON line for each case and peer;
//! `-- --quick` does the same with tiny counts, to see that it works. Contenders take turns
//! (ours, peers, ours, ...), so that a busy machine is busy for all; each run checks the sum of what
//! arrived. All wait alike: spin shortly, then yield. Times are nanoseconds per item, or one way.

mod contenders;

use std::process::Command;

use contenders::{lone, many, one, ping};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return; // A test runner asks for test names; there are none.
    }
    let quick = args.iter().any(|arg| arg == "--quick" || arg == "--test");
    // Many short rounds: most fit between two interruptions of a busy machine, and the median drops the rest.
    let (rounds, items, turns) = if quick { (1, 20_000, 1_000) } else { (25, 500_000, 5_000) };

    contenders::pin(0);
    for case in cases() {
        let count = if case.unit == "ns/item" { items } else { turns };
        let mut samples: Vec<Vec<f64>> = case.contenders.iter().map(|_| vec![]).collect();
        for _ in 0..rounds {
            for (index, (_, run)) in case.contenders.iter().enumerate() {
                samples[index].push(run(count));
            }
            samples[0].push((case.contenders[0].1)(count));
        }
        report(&case, samples, quick);
    }
}

type Run = fn(u64) -> f64;

/// One question; the first contender is ours, one named "floor" is the bare machine.
struct Case {
    name: &'static str,
    unit: &'static str,
    contenders: Vec<(&'static str, Run)>,
}

fn cases() -> Vec<Case> {
    let case = |name, unit, contenders| Case { name, unit, contenders };
    vec![
        case(
            "spsc_item",
            "ns/item",
            vec![
                ("ours", one::ours as Run),
                ("rtrb", one::rtrb),
                ("disruptor", one::disruptor),
                ("ArrayQueue", one::array_queue),
            ],
        ),
        case(
            "spsc_chunk_64",
            "ns/item",
            vec![
                ("ours", one::ours_chunks as Run),
                ("rtrb", one::rtrb_chunks),
                ("disruptor", one::disruptor_chunks),
            ],
        ),
        case(
            "mpsc_2_senders_item",
            "ns/item",
            vec![
                ("ours", many::ours as Run),
                ("ArrayQueue", many::array_queue),
                ("disruptor", many::disruptor),
            ],
        ),
        case(
            "mpsc_2_senders_batch_16",
            "ns/item",
            vec![
                ("ours", many::ours_batches as Run),
                ("ArrayQueue", many::array_queue),
                ("disruptor", many::disruptor_batches),
            ],
        ),
        case(
            "one_way_spsc",
            "ns",
            vec![
                ("ours", ping::spsc as Run),
                ("floor", ping::atomics),
                ("rtrb", ping::rtrb),
                ("ArrayQueue", ping::array_queue),
            ],
        ),
        case(
            "one_way_mpsc",
            "ns",
            vec![("ours", ping::mpsc as Run), ("floor", ping::atomics), ("ArrayQueue", ping::array_queue)],
        ),
        case("bell_ring_awake", "ns/item", vec![("ours", lone::ring as Run)]),
        case("lease_take_return", "ns/item", vec![("ours", lone::lease as Run), ("Vec 2048 B", lone::vec)]),
        case("lease_slice_drop", "ns/item", vec![("ours", lone::slice as Run), ("Arc", lone::arc)]),
    ]
}

/// Prints a line for each peer, or one when there is none.
fn report(case: &Case, mut samples: Vec<Vec<f64>>, quick: bool) {
    for series in &mut samples {
        series.sort_by(f64::total_cmp);
    }
    let median = |series: &[f64]| series[series.len() / 2];
    let ours = &samples[0];
    let named = |name| case.contenders.iter().position(|contender| contender.0 == name);
    let floor = named("floor").map_or("null".to_string(), |index| format!("{:.3}", median(&samples[index])));
    let mut peers: Vec<_> = (1..samples.len()).filter(|&index| case.contenders[index].0 != "floor").collect();
    if peers.is_empty() {
        peers.push(0);
    }
    for index in peers {
        let (peer, ratio) = if index == 0 {
            ("null".to_string(), "null".to_string())
        } else {
            let ratio = median(ours) / median(&samples[index]);
            (format!("\"{}\"", case.contenders[index].0), format!("{ratio:.3}"))
        };
        let peer_median =
            if index == 0 { "null".to_string() } else { format!("{:.3}", median(&samples[index])) };
        println!(
            "{{\"bench\":\"queue\",\"case\":\"{}\",\"unit\":\"{}\",\"median\":{:.3},\"min\":{:.3},\"max\":{:.3},\
             \"runs\":{},\"floor\":{floor},\"peer\":{peer},\"peer_median\":{peer_median},\"peer_min\":{:.3},\"ratio\":{ratio},\
             \"command\":\"{}\",\"commit\":\"{}\"}}",
            case.name,
            case.unit,
            median(ours),
            ours[0],
            ours[ours.len() - 1],
            ours.len(),
            samples[index][0],
            if quick { QUICK_COMMAND } else { COMMAND },
            commit(),
        );
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
