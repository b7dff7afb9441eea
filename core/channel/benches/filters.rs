//! What a filter costs: our program beside the library, three terms.
//!
//! `cargo bench -p clustercore-channel --bench filters` prints one JSON line; `-- --quick` does the same with tiny counts.
//! Both take turns (ours, library, ours), and both must find the same events. Times are nanoseconds per event.

use clustercore_channel::filter::{Filter, FilterLimits};
use clustercore_channel::{Event, EventLimits};
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return; // A test runner asks for test names; there are none.
    }
    let quick = args.iter().any(|arg| arg == "--quick" || arg == "--test");
    let (rounds, turns) = if quick { (1, 10) } else { (15, 20_000) };
    let filter = Filter::compile(SOURCE, &FilterLimits::default()).expect("the filter is valid");
    assert!(filter.is_lowered());
    let events: Vec<Event> = (0..8).map(event).collect();
    let (mut ours, mut library) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let ours_found = timed(&events, turns * 10, &mut ours, |event| filter.matches(event) == Ok(true));
        let found = timed(&events, turns, &mut library, |event| filter.matches_by_library(event) == Ok(true));
        assert_eq!(ours_found, found * 10);
        timed(&events, turns * 10, &mut ours, |event| filter.matches(event) == Ok(true));
    }
    ours.sort_by(f64::total_cmp);
    library.sort_by(f64::total_cmp);
    let (median, peer) = (ours[ours.len() / 2], library[library.len() / 2]);
    println!(
        "{{\"bench\":\"filter\",\"case\":\"three_terms\",\"unit\":\"ns/event\",\"median\":{median:.1},\"min\":{:.1},\
         \"max\":{:.1},\"runs\":{},\"peer\":\"cel\",\"peer_median\":{peer:.1},\"ratio\":{:.3},\"command\":\"{}\"}}",
        ours[0],
        ours[ours.len() - 1],
        ours.len(),
        median / peer,
        if quick { QUICK_COMMAND } else { COMMAND },
    );
}

/// Runs `passes` over all events `turns` times; how many passed.
fn timed(events: &[Event], turns: usize, samples: &mut Vec<f64>, passes: impl Fn(&Event) -> bool) -> usize {
    let begin = Instant::now();
    let mut found = 0;
    for _ in 0..turns {
        found += events.iter().filter(|event| passes(black_box(event))).count();
    }
    samples.push(begin.elapsed().as_nanos() as f64 / (turns * events.len()) as f64);
    found
}

/// Half of them pass; the others fall at the last term.
fn event(number: i64) -> Event {
    let builder = Event::builder("1", "/node/7", "com.example.load").priority(200);
    let builder = builder.field("zone", "east").field("load", number as f64 / 8.0);
    builder.build(&EventLimits::default()).expect("the event is valid")
}

const SOURCE: &str = "type == 'com.example.load' && zone == 'east' && load >= 0.5";
const COMMAND: &str = "cargo bench -p clustercore-channel --bench filters";
const QUICK_COMMAND: &str = "cargo bench -p clustercore-channel --bench filters -- --quick";
