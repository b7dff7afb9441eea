//! What a filter costs: our program beside the library, three terms.
//!
//! `cargo bench -p clustercore-channel --bench filters` prints one JSON line for each case; `-- --quick` does the same with tiny
//! counts. Both take turns (ours, library, ours), and both must find the same events. Times are nanoseconds of processor time.

use clustercore_channel::filter::{Filter, FilterLimits};
use clustercore_channel::{Event, EventLimits};
use measure::{Row, Size, schedule_ns};
use std::hint::black_box;

mod measure;

fn main() {
    let size = Size::asked();
    let (rounds, turns) = match size {
        Size::Nothing => return,
        Size::Quick => (1, 10),
        Size::Full => (15, 20_000),
    };
    for (case, source) in CASES {
        let filter = Filter::compile(source, &FilterLimits::default()).expect("the filter is valid");
        assert!(filter.is_lowered());
        let events: Vec<Event> = (0..8).map(event).collect();
        let (mut samples, mut library) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let ours = |event: &Event| filter.matches(event) == Ok(true);
            let theirs = |event: &Event| filter.matches_by_library(event) == Ok(true);
            let found = timed(&events, turns * 10, &mut samples, ours);
            assert_eq!(found, timed(&events, turns, &mut library, theirs) * 10);
            timed(&events, turns * 10, &mut samples, ours);
        }
        library.sort_by(f64::total_cmp);
        let peer = ("peer_median", format!("{:.1}", library[library.len() / 2]));
        let more = vec![("peer", "\"cel\"".into()), peer];
        Row { bench: "filter", case, unit: "ns/event", samples, more, command: size.command(COMMAND) }
            .print();
    }
}

/// Runs `passes` over all events `turns` times; how many passed.
fn timed(events: &[Event], turns: usize, samples: &mut Vec<f64>, passes: impl Fn(&Event) -> bool) -> usize {
    let begin = processor_ns();
    let mut found = 0;
    for _ in 0..turns {
        found += events.iter().filter(|event| passes(black_box(event))).count();
    }
    samples.push((processor_ns() - begin) as f64 / (turns * events.len()) as f64);
    found
}

/// Half of them pass; the others fall at the last term.
fn event(number: i64) -> Event {
    let builder = Event::builder("1", "/node/7", "com.example.load").priority(200);
    let builder = builder.field("zone", "east").field("load", number as f64 / 8.0);
    builder.build(&EventLimits::default()).expect("the event is valid")
}

fn processor_ns() -> u64 {
    schedule_ns("/proc/thread-self".as_ref())
}

const CASES: [(&str, &str); 3] = [
    ("three_terms", "type == 'com.example.load' && zone == 'east' && load >= 0.5"),
    ("three_terms_or", "(type == 'com.example.rest' || zone == 'east') && load >= 0.5"),
    ("three_terms_failing", "type == 'com.example.load' && region == 'east' && load >= 0.5"),
];

const COMMAND: &str = "cargo bench -p clustercore-channel --bench filters";
