//! The engine in one thread: one supplier, three consumers with a filter of three terms each, in batches.
//!
//! `cargo bench -p clustercore-channel --bench channel`. Each line: what, events per second of processor time, nanoseconds of
//! processor time and of the wall per event, and what was delivered.

use clustercore_channel::channel::{ConsumerProxySpec, SupplierProxySpec};
use clustercore_channel::predicate::{Closure, Undecided};
use clustercore_channel::{Channel, ChannelConfig, Event, EventLimits, Fields, Filter, Instant, Qos, Value};
use std::hint::black_box;

fn filter(zone: &'static str) -> Filter {
    Closure::shared(format!("load > 10 && cores <= 8 && zone != {zone}"), move |event: &Event| {
        let load = matches!(event.field("load"), Some(Value::Int(load)) if load > 10);
        let cores = matches!(event.field("cores"), Some(Value::Int(cores)) if cores <= 8);
        match event.field("zone") {
            Some(Value::Text(is)) => Ok(load && cores && is != zone),
            _ => Err(Undecided),
        }
    })
}

fn events(count: usize) -> Vec<Event> {
    let made = (0..count).map(|number| {
        let builder = Event::builder(number.to_string(), "/node/1", "load.changed").field("load", 20);
        let builder = builder.field("cores", 4).field("zone", "east").body(vec![7; 64]);
        builder.build(&EventLimits::default()).expect("within the limits")
    });
    made.collect()
}

fn run(what: &str, consumers: usize, filters: &[Option<Filter>], batch: usize, rounds: usize) {
    let mut channel = Channel::new("bench", ChannelConfig::default());
    let supplier = channel.create_consumer_proxy(ConsumerProxySpec::default()).expect("room for one");
    for consumer in 0..consumers {
        let filter = filters[consumer % filters.len()].clone();
        let qos = Qos { batch_max: Some(batch as u32), ..Qos::default() };
        let spec = SupplierProxySpec { filter, qos, ..SupplierProxySpec::default() };
        channel.create_supplier_proxy(Instant::ZERO, spec).expect("room for all");
    }
    let events = events(batch);
    let (mut delivered, mut bytes) = (0, 0);
    let (begin, begin_ns) = (std::time::Instant::now(), processor_ns());
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
    let count = (rounds * batch) as f64;
    let (wall, nanos) =
        (begin.elapsed().as_nanos() as f64 / count, (processor_ns() - begin_ns) as f64 / count);
    let deliveries = delivered / (rounds * batch);
    let millions = 1000.0 / nanos;
    println!(
        "{what}: {millions:.2} M events/s, {nanos:.1} ns ({wall:.1} wall), {deliveries} deliveries each"
    );
    black_box(bytes);
}

/// Processor time of this thread, which a busy machine does not change much.
fn processor_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--test" || argument == "--quick");
    let scale = if is_quick { 1 } else { 100 };
    let distinct = ["a", "b", "c"].map(|zone| Some(filter(zone)));
    for batch in [1, 64, 512] {
        let rounds = 100 * scale * (512 / batch);
        run(&format!("1 to 3, three filters, batches of {batch}"), 3, &distinct, batch, rounds);
        run(&format!("1 to 3, one filter shared, batches of {batch}"), 3, &distinct[..1], batch, rounds);
        run(&format!("1 to 3, no filter, batches of {batch}"), 3, &[None], batch, rounds);
    }
    run("1 to 1000, one filter shared, batches of 64", 1000, &distinct[..1], 64, 10 * scale);
}
