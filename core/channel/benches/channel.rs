//! The engine in one thread: one supplier, three consumers with a filter of three terms each, in batches.
//!
//! `cargo bench -p clustercore-channel --bench channel` prints one JSON line for each case: nanoseconds of processor time,
//! beside them those of the wall, events per second of processor time, and deliveries for each event. Runs of the cases take turns.
//! A word after `--` chooses the cases that have it in their names.

use clustercore_channel::channel::{ConsumerProxySpec, SupplierProxySpec};
use clustercore_channel::predicate::{Closure, Undecided};
use clustercore_channel::{Channel, ChannelConfig, Engine, EngineConfig, Event, EventLimits, Fields};
use clustercore_channel::{Filter, FilterLimits, Instant, Principal, Qos, Rights, Value, filter};
use measure::{Row, Size, schedule_ns};
use std::hint::black_box;
use std::sync::Arc;

mod measure;

/// What one run of a case took.
struct Sample {
    /// Nanoseconds of processor time and of the wall, per event.
    processor: f64,
    wall: f64,
    /// Deliveries per event.
    deliveries: usize,
}

/// A case: its name, and one run of it at this scale.
type Case = (String, Box<dyn Fn(usize) -> Sample>);

fn main() {
    let size = Size::asked();
    let (scale, runs) = match size {
        Size::Nothing => return,
        Size::Quick => (1, 1),
        Size::Full => (30, 7),
    };
    let mut cases = cases();
    if let Some(part) = std::env::args().skip(1).find(|arg| !arg.starts_with('-')) {
        cases.retain(|(case, _)| case.contains(&part));
    }
    let mut samples: Vec<Vec<Sample>> = cases.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs {
        cases.iter().zip(&mut samples).for_each(|((_, run), samples)| samples.push(run(scale)));
    }
    for ((case, _), samples) in cases.iter().zip(samples) {
        let mut walls: Vec<f64> = samples.iter().map(|it| it.wall).collect();
        walls.sort_by(f64::total_cmp);
        let mut processor: Vec<f64> = samples.iter().map(|it| it.processor).collect();
        processor.sort_by(f64::total_cmp);
        // The account of a thread moves by ticks: a quick run may have taken none.
        let rate = 1e9 / processor[processor.len() / 2].max(0.1);
        let more = vec![
            ("wall_median", format!("{:.1}", walls[walls.len() / 2])),
            ("events_per_second", format!("{rate:.0}")),
            ("deliveries", samples[0].deliveries.to_string()),
        ];
        let (unit, command) = ("ns/event", size.command(COMMAND));
        Row { bench: "channel", case, unit, samples: processor, more, command }.print();
    }
}

fn cases() -> Vec<Case> {
    let distinct = ["a", "b", "c"].map(|zone| Some(expression(zone)));
    let closures = ["a", "b", "c"].map(|zone| Some(closure(zone)));
    let mut cases: Vec<Case> = Vec::new();
    for batch in [1, 64, 512] {
        let filters =
            [("three_filters", &distinct[..]), ("one_filter", &distinct[..1]), ("no_filter", &[None])];
        for (what, filters) in filters {
            let filters = filters.to_vec();
            let run = move |scale| run(3, &filters, batch, 100 * scale * (512 / batch));
            cases.push((format!("1_to_3_{what}_batch_{batch}"), Box::new(run)));
        }
    }
    let run_closures = move |scale| run(3, &closures, 64, 800 * scale);
    cases.push(("1_to_3_three_closures_batch_64".into(), Box::new(run_closures)));
    let shared = distinct[..1].to_vec();
    cases
        .push(("1_to_1000_one_filter_batch_64".into(), Box::new(move |scale| run(1000, &shared, 64, scale))));
    cases.push(("build_three_fields".into(), Box::new(|scale| build(500 * scale))));
    cases.push(("engine_256_channels_idle_turn".into(), Box::new(|scale| idle_turns(500 * scale))));
    cases.push(("set_qos_of_one_of_1000".into(), Box::new(|scale| set_qos(10 * scale.div_ceil(10)))));
    cases
}

/// In CEL, as people write it.
fn expression(zone: &str) -> Filter {
    let source = format!("load > 10 && cores <= 8 && zone != '{zone}'");
    let filter = filter::Filter::compile(&source, &FilterLimits::default()).expect("the filter is valid");
    assert!(filter.is_lowered());
    Arc::new(filter)
}

/// The same as a function of a program.
fn closure(zone: &'static str) -> Filter {
    Closure::shared(format!("load > 10 && cores <= 8 && zone != {zone}"), move |event: &Event| {
        let load = matches!(event.field("load"), Some(Value::Int(load)) if load > 10);
        let cores = matches!(event.field("cores"), Some(Value::Int(cores)) if cores <= 8);
        match event.field("zone") {
            Some(Value::Text(is)) => Ok(load && cores && is != zone),
            _ => Err(Undecided),
        }
    })
}

fn event(number: usize, body: &Arc<[u8]>) -> Event {
    let builder = Event::builder(number.to_string(), "/node/1", "load.changed").field("load", 20);
    let builder = builder.field("cores", 4).field("zone", "east").body(body.clone());
    builder.build(&EventLimits::default()).expect("within the limits")
}

/// One supplier, so many consumers, batches through all of the channel.
fn run(consumers: usize, filters: &[Option<Filter>], batch: usize, rounds: usize) -> Sample {
    let mut channel = Channel::new("bench", ChannelConfig::default());
    let supplier = channel.create_consumer_proxy(ConsumerProxySpec::default()).expect("room for one");
    for consumer in 0..consumers {
        let filter = filters[consumer % filters.len()].clone();
        let qos = Qos { batch_max: Some(batch as u32), ..Qos::default() };
        let spec = SupplierProxySpec { filter, qos, ..SupplierProxySpec::default() };
        channel.create_supplier_proxy(Instant::ZERO, spec).expect("room for all");
    }
    let body: Arc<[u8]> = vec![7; 64].into();
    let events: Vec<Event> = (0..batch).map(|number| event(number, &body)).collect();
    let (mut delivered, mut bytes) = (0, 0);
    let sample = timed(rounds * batch, || {
        for round in 0..rounds {
            let now = Instant::from_nanos(round as u64 * 1000);
            channel.push(now, supplier, &events);
            channel.spread(now, u64::MAX);
            delivered += channel.deliver(now, u32::MAX, &mut |batch| {
                bytes += batch.iter().map(|it| it.event.body().len()).sum::<usize>();
                batch.len()
            });
            while channel.poll_output().is_some() {}
        }
    });
    black_box(bytes);
    Sample { deliveries: delivered / (rounds * batch), ..sample }
}

/// Events are made and dropped.
fn build(count: usize) -> Sample {
    let body: Arc<[u8]> = vec![7; 64].into();
    timed(count, || (0..count).for_each(|number| drop(black_box(event(number, &body)))))
}

/// What the owner of an engine asks in each turn of its loop, where nothing has happened in 255 of 256 channels.
fn idle_turns(count: usize) -> Sample {
    let mut engine = Engine::new(EngineConfig::default()).expect("a valid default");
    let root = Principal::new("root", Rights::ALL);
    for number in 1..256 {
        engine.create(&root, number.to_string(), ChannelConfig::default()).expect("room for all");
    }
    timed(count, || {
        for turn in 0..count {
            engine.handle_timeout(Instant::from_nanos(turn as u64 * 1000));
            black_box(engine.next_timeout());
            while engine.poll_output().is_some() {}
        }
    })
}

/// One of a thousand consumers changes its quality of service.
fn set_qos(count: usize) -> Sample {
    let mut channel = Channel::new("bench", ChannelConfig::default());
    let mut create = || channel.create_supplier_proxy(Instant::ZERO, SupplierProxySpec::default());
    let proxies: Vec<_> = (0..1000).map(|_| create().expect("room for all").proxy).collect();
    timed(count, || {
        for turn in 0..count {
            let qos = Qos { batch_max: Some(1 + turn as u32 % 2), ..Qos::default() };
            channel.set_supplier_proxy_qos(Instant::ZERO, proxies[turn % 1000], qos).expect("valid");
        }
    })
}

fn timed(count: usize, work: impl FnOnce()) -> Sample {
    let (begin, begin_ns) = (std::time::Instant::now(), processor_ns());
    work();
    let processor = (processor_ns() - begin_ns) as f64 / count as f64;
    Sample { processor, wall: begin.elapsed().as_nanos() as f64 / count as f64, deliveries: 0 }
}

fn processor_ns() -> u64 {
    schedule_ns("/proc/thread-self".as_ref())
}

const COMMAND: &str = "cargo bench -p clustercore-channel --bench channel";
