mod overload;

use super::proxy::{Intake, Outlet};
use super::*;
use crate::event::{EventLimits, Reliability};
use crate::id::SupplierProxyId;
use crate::output::{Handed, Refusal};
use crate::predicate::{Change, Closure, Filter, Mapping, Undecided};
use crate::qos::{Acknowledgement, Discard, Order};

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn event(id: u32) -> Event {
    Event::builder(id.to_string(), "s", "t").build(&EventLimits::default()).unwrap()
}

fn keyed(id: u32, key: &str) -> Event {
    event(id).to_builder().key(key).build(&EventLimits::default()).unwrap()
}

fn persistent(id: u32) -> Event {
    event(id).to_builder().reliability(Reliability::Persistent).build(&EventLimits::default()).unwrap()
}

fn id_is(ids: &'static [&'static str]) -> Filter {
    Closure::shared(format!("id in {ids:?}"), move |event: &Event| match &**event.id() {
        "13" => Err(Undecided),
        id => Ok(ids.contains(&id)),
    })
}

fn explicit() -> Qos {
    Qos {
        acknowledgement: Some(Acknowledgement::Explicit),
        acknowledge_timeout: Some(millis(100)),
        backoff: Some(millis(10)),
        ..Qos::default()
    }
}

fn supplier(channel: &mut Channel) -> crate::ConsumerProxyId {
    channel.create_consumer_proxy(ConsumerProxySpec::default()).unwrap()
}

fn consumer(channel: &mut Channel, qos: Qos) -> SupplierProxyId {
    let spec = SupplierProxySpec { qos, ..SupplierProxySpec::default() };
    channel.create_supplier_proxy(at(0), spec).unwrap().proxy
}

fn note(handed: Handed<'_>) -> (u32, crate::DeliveryId) {
    (handed.event.id().parse().unwrap(), handed.delivery)
}

/// Everything that is delivered at `now`, by proxy.
fn deliver(channel: &mut Channel, now: Instant) -> Vec<(SupplierProxyId, u32, crate::DeliveryId)> {
    let mut all = Vec::new();
    channel.spread(now, u64::MAX);
    while channel.deliver(now, 100, &mut |batch| {
        all.extend(batch.iter().map(note).map(|(id, delivery)| (batch.proxy, id, delivery)));
        batch.len()
    }) > 0
    {}
    channel.check_invariants();
    all
}

fn ids(channel: &mut Channel, now: Instant, of: SupplierProxyId) -> Vec<u32> {
    deliver(channel, now).into_iter().filter(|(proxy, ..)| *proxy == of).map(|(_, id, _)| id).collect()
}

fn pull(channel: &mut Channel, now: Instant, proxy: SupplierProxyId, max: u32) -> Vec<u32> {
    let mut got = Vec::new();
    let sink = &mut |batch: Batch<'_>| {
        got.extend(batch.iter().map(|it| note(it).0));
        batch.len()
    };
    channel.pull(now, proxy, max, sink).unwrap();
    got
}

fn outputs(channel: &mut Channel) -> Vec<Output> {
    std::iter::from_fn(|| channel.poll_output()).collect()
}

#[test]
fn push_and_pull_mix_in_all_four_ways() {
    for (from, to) in [Mode::Push, Mode::Pull].into_iter().flat_map(|it| [(it, Mode::Push), (it, Mode::Pull)])
    {
        let mut channel = Channel::new("c", ChannelConfig::default());
        let spec = ConsumerProxySpec { mode: from, ..ConsumerProxySpec::default() };
        let supplier = channel.create_consumer_proxy(spec).unwrap();
        let spec = SupplierProxySpec { mode: to, ..SupplierProxySpec::default() };
        let consumer = channel.create_supplier_proxy(at(0), spec).unwrap().proxy;
        if to == Mode::Pull {
            assert!(pull(&mut channel, at(0), consumer, 10).is_empty());
        }
        if from == Mode::Push {
            channel.push(at(0), supplier, &[event(1), event(2)]);
        } else {
            assert_eq!(outputs(&mut channel), [Output::Pull { proxy: supplier, max: 64 }]);
            channel.pulled(at(0), supplier, &[event(1), event(2)]);
            assert_eq!(outputs(&mut channel), [Output::Pull { proxy: supplier, max: 64 }]);
            channel.pulled(at(0), supplier, &[]);
            assert!(outputs(&mut channel).is_empty(), "who had nothing is left alone for a while");
            channel.handle_timeout(at(10));
            assert_eq!(outputs(&mut channel), [Output::Pull { proxy: supplier, max: 64 }]);
        }
        if to == Mode::Push {
            assert_eq!(ids(&mut channel, at(20), consumer), [1, 2]);
        } else {
            channel.spread(at(20), 100);
            assert_eq!(outputs(&mut channel), [Output::Readable { proxy: consumer }]);
            assert_eq!(pull(&mut channel, at(20), consumer, 1), [1]);
            assert_eq!(pull(&mut channel, at(20), consumer, 9), [2]);
        }
    }
}

#[test]
fn direct_events_go_before_all_others_whatever_the_pace() {
    let direct = vec![crate::predicate::TypePattern { domain: None, kind: Some("alarm".into()) }];
    let mut channel = Channel::new("c", ChannelConfig { direct, ..ChannelConfig::default() });
    let supplier = supplier(&mut channel);
    let consumer =
        consumer(&mut channel, Qos { pacing: Some(millis(50)), batch_max: Some(1), ..Qos::default() });
    channel.push(at(0), supplier, &[event(1), event(2)]);
    assert_eq!(ids(&mut channel, at(0), consumer), [1]);
    let alarm = Event::builder("3", "s", "alarm").build(&EventLimits::default()).unwrap();
    channel.push(at(1), supplier, &[alarm]);
    assert_eq!(ids(&mut channel, at(1), consumer), [3]);
    assert_eq!(ids(&mut channel, at(49), consumer), [0u32; 0]);
    assert_eq!(ids(&mut channel, at(50), consumer), [2]);
    assert_eq!(channel.buffer(supplier).unwrap().3.direct, 1);
}

#[test]
fn a_group_filters_sets_suspends_and_removes_its_proxies() {
    let mut channel = Channel::new("c", ChannelConfig::default());
    let supplier = supplier(&mut channel);
    let spec =
        |filter| GroupSpec { name: "g".into(), side: Side::SupplierAdmin, qos: Qos::default(), filter };
    let group = channel.create_group(spec(Some(id_is(&["1", "2"])))).unwrap();
    let with = |filter| SupplierProxySpec { group: Some(group), filter, ..SupplierProxySpec::default() };
    let both = channel.create_supplier_proxy(at(0), with(Some(id_is(&["2", "3"])))).unwrap().proxy;
    let only = channel.create_supplier_proxy(at(0), with(None)).unwrap().proxy;
    channel.push(at(0), supplier, &[event(1), event(2), event(3), event(13)]);
    let mut got: Vec<_> =
        deliver(&mut channel, at(0)).into_iter().map(|(proxy, id, _)| (id, proxy)).collect();
    got.sort();
    assert_eq!(got, [(1, only), (2, both), (2, only)]);
    assert_eq!(channel.why(at(0), only), Some(vec![Reason::Empty { rejected: 2, failed: 1 }]));
    channel.suspend_group(group, true).unwrap();
    channel.push(at(0), supplier, &[event(2)]);
    assert_eq!(deliver(&mut channel, at(0)), []);
    assert_eq!(channel.why(at(0), both), Some(vec![Reason::GroupSuspended]));
    let qos = Qos { length_max: Some(1), batch_max: Some(1), ..Qos::default() };
    channel.set_group(at(0), group, qos, None).unwrap();
    channel.push(at(0), supplier, &[event(3)]);
    channel.suspend_group(group, false).unwrap();
    let got = deliver(&mut channel, at(0)).into_iter().map(|(_, id, _)| id).collect::<Vec<_>>();
    assert_eq!(got, [3, 3], "the new bound let the older one give way, the filter of the group is gone");
    let wrong = ConsumerProxySpec { group: Some(group), ..ConsumerProxySpec::default() };
    assert_eq!(channel.create_consumer_proxy(wrong), Err(ManageError::NoSuchGroup));
    assert_eq!(channel.groups(Side::SupplierAdmin).count(), 1);
    channel.remove_group(at(0), group).unwrap();
    assert_eq!((channel.supplier_proxies().count(), channel.why(at(0), both)), (0, None));
}

#[test]
fn mapping_filters_change_priority_and_lifetime_for_one_or_for_all() {
    let mut channel = Channel::new("c", ChannelConfig::default());
    let urgent = Mapping { filter: id_is(&["3"]), change: Change::Priority(250) };
    let brief = Mapping { filter: id_is(&["2"]), change: Change::Lifetime(millis(5)) };
    let spec = ConsumerProxySpec { mappings: vec![urgent], ..ConsumerProxySpec::default() };
    let supplier = channel.create_consumer_proxy(spec).unwrap();
    let qos = Qos { order: Some(Order::Priority), ..Qos::default() };
    let spec = SupplierProxySpec { mappings: vec![brief], qos, ..SupplierProxySpec::default() };
    let one = channel.create_supplier_proxy(at(0), spec).unwrap().proxy;
    let other = consumer(&mut channel, qos);
    channel.push(at(0), supplier, &[event(1), event(2), event(3)]);
    channel.spread(at(0), 10);
    let got = deliver(&mut channel, at(5));
    let of = |wanted| got.iter().filter(|it| it.0 == wanted).map(|it| it.1).collect::<Vec<u32>>();
    assert_eq!((of(one), of(other)), (vec![3, 1], vec![3, 1, 2]));
    assert_eq!(channel.queue(one).unwrap().3.expired, 1);
}

#[test]
fn events_with_a_key_keep_their_order_across_members_and_tries() {
    let mut channel = Channel::new("c", ChannelConfig::default());
    let supplier = supplier(&mut channel);
    let spec = || SupplierProxySpec {
        qos: explicit(),
        consumer_group: Some("g".into()),
        ..SupplierProxySpec::default()
    };
    let members = [0, 1].map(|_| channel.create_supplier_proxy(at(0), spec()).unwrap().proxy);
    let differs = SupplierProxySpec { filter: Some(id_is(&["1"])), ..spec() };
    let refused = channel.create_supplier_proxy(at(0), differs);
    assert_eq!(refused, Err(ManageError::GroupDiffers { what: "filter" }));
    channel.push(at(0), supplier, &[keyed(1, "a"), keyed(2, "a"), keyed(3, "b")]);
    let first = deliver(&mut channel, at(0));
    assert_eq!(first.iter().map(|it| it.1).collect::<Vec<_>>(), [1, 3]);
    let holder = first[0].0;
    channel.reject(at(1), holder, first[0].2, false).unwrap();
    assert_eq!(deliver(&mut channel, at(10)), [], "2 does not overtake 1, which waits for its next try");
    assert!(channel.why(at(10), members[0]).unwrap().contains(&Reason::KeyBusy { events: 1, keys: 2 }));
    let again = deliver(&mut channel, at(11));
    assert_eq!(again.iter().map(|it| it.1).collect::<Vec<_>>(), [1]);
    channel.acknowledge(at(12), again[0].0, again[0].2).unwrap();
    assert!(channel.acknowledge(at(12), again[0].0, again[0].2).is_err(), "once");
    let last = deliver(&mut channel, at(12));
    assert_eq!(last.iter().map(|it| it.1).collect::<Vec<_>>(), [2]);
    channel.set_connected(at(13), last[0].0, false).unwrap();
    let moved = deliver(&mut channel, at(13));
    assert_eq!(moved.iter().filter(|it| it.1 == 2).count(), 1);
    assert_ne!(moved[0].0, last[0].0, "the other member has it now");
}

#[test]
fn what_is_never_acknowledged_becomes_a_dead_letter() {
    let mut channel = Channel::new("c", ChannelConfig::default());
    let supplier = supplier(&mut channel);
    let proxy = consumer(&mut channel, Qos { tries_max: Some(2), ..explicit() });
    channel.push(at(0), supplier, &[event(1), event(2)]);
    let got = deliver(&mut channel, at(0));
    channel.reject(at(0), proxy, got[1].2, true).unwrap();
    assert_eq!(outputs(&mut channel), [Output::DeadLetter { proxy, event: event(2), tries: 1 }]);
    assert_eq!(channel.next_timeout(), Some(at(100)));
    assert_eq!(ids(&mut channel, at(100), proxy), [0u32; 0]);
    assert_eq!(channel.next_timeout(), Some(at(110)));
    assert_eq!(ids(&mut channel, at(110), proxy), [1]);
    channel.handle_timeout(at(210));
    assert_eq!(outputs(&mut channel), [Output::DeadLetter { proxy, event: event(1), tries: 2 }]);
    assert_eq!((channel.queue(proxy).unwrap().3.dead, channel.stats().events), (2, 0));
    assert_eq!(channel.next_timeout(), None);
}

#[test]
fn what_is_given_back_was_not_tried_and_comes_again_in_its_place() {
    let mut channel = Channel::new("c", ChannelConfig::default());
    let supplier = supplier(&mut channel);
    let proxy = consumer(&mut channel, Qos { tries_max: Some(1), batch_max: Some(2), ..explicit() });
    channel.push(at(0), supplier, &[event(1), event(2), event(3)]);
    for _ in 0..5 {
        let got = deliver(&mut channel, at(0));
        assert_eq!(got.iter().map(|it| it.1).collect::<Vec<_>>(), [1, 2, 3]);
        got.iter().for_each(|it| channel.give_back(at(0), proxy, it.2).unwrap());
        assert!(channel.give_back(at(0), proxy, got[0].2).is_err(), "once");
        channel.check_invariants();
    }
    let got = deliver(&mut channel, at(0));
    channel.reject(at(0), proxy, got[0].2, false).unwrap();
    assert_eq!(outputs(&mut channel), [Output::DeadLetter { proxy, event: event(1), tries: 1 }]);
}

#[test]
fn a_supplier_is_told_when_it_is_on_disk_and_consumers_get_it_then() {
    let config = ChannelConfig { repeats_window: 8, ..ChannelConfig::default() };
    let mut channel = Channel::new("c", config);
    let supplier = supplier(&mut channel);
    let consumer = consumer(&mut channel, Qos::default());
    let pushed = channel.push(at(0), supplier, &[persistent(1), persistent(2), event(3)]);
    assert_eq!((pushed.taken, pushed.unwritten, pushed.refusal), (3, 2, None));
    assert_eq!(ids(&mut channel, at(0), consumer), [0u32; 0]);
    let persist = |offset, id| Output::Persist { offset, event: persistent(id) };
    assert_eq!(outputs(&mut channel), [persist(0, 1), persist(1, 2)]);
    assert_eq!(channel.push(at(0), supplier, &[persistent(1)]).refusal, Some(Refusal::InProgress));
    assert_eq!(channel.why(at(0), consumer), Some(vec![Reason::Unwritten { events: 3 }]));
    channel.persisted(at(1), 0);
    assert_eq!(outputs(&mut channel), [Output::Confirmed { proxy: supplier, first: 0, last: 0 }]);
    assert_eq!(ids(&mut channel, at(1), consumer), [1]);
    channel.persist_failed(at(2), 1, 1);
    let lost = Output::Lost { proxy: supplier, receipt: 1, reason: Refusal::NotWritten };
    assert_eq!(outputs(&mut channel), [lost]);
    assert_eq!(ids(&mut channel, at(2), consumer), [3]);
    assert_eq!(channel.push(at(3), supplier, &[persistent(1)]).repeats, 1);
    assert_eq!(channel.push(at(3), supplier, &[persistent(2)]).unwritten, 1, "what failed may come again");
}

#[test]
fn a_durable_consumer_goes_on_where_it_was_after_a_restart() {
    let mut channel = Channel::new("c", ChannelConfig::default());
    for offset in 5..9 {
        channel.restore(offset, at(offset), persistent(offset as u32));
    }
    let spec = |start| SupplierProxySpec { start, is_durable: true, ..SupplierProxySpec::default() };
    let attached = channel.create_supplier_proxy(at(20), spec(Start::Offset(7))).unwrap();
    channel.restored(at(20));
    let supplier = supplier(&mut channel);
    channel.push(at(21), supplier, &[event(9)]);
    assert_eq!((attached.first, channel.position(attached.proxy)), (7, Some(7)));
    assert_eq!(ids(&mut channel, at(21), attached.proxy), [7, 8, 9]);
    assert_eq!((channel.position(attached.proxy), channel.needed_from()), (Some(10), 10));
    assert_eq!(channel.stats().events, 0, "nothing is kept that nobody wants");
    let late = channel.create_supplier_proxy(at(22), spec(Start::Earliest));
    assert_eq!(late, Err(ManageError::NoRetention));
}

#[test]
fn a_replay_begins_at_an_offset_or_a_time_and_costs_its_own_bound() {
    let config = ChannelConfig { retention_events_max: 100, ..ChannelConfig::default() };
    let mut channel = Channel::new("c", config);
    let supplier = supplier(&mut channel);
    for id in 0..150 {
        channel.push(at(u64::from(id)), supplier, &[event(id)]);
        channel.spread(at(u64::from(id)), 1);
    }
    let small = Qos { length_max: Some(4), batch_max: Some(4), ..Qos::default() };
    let mut from = |start| {
        let spec = SupplierProxySpec { start, qos: small, ..SupplierProxySpec::default() };
        let attached = channel.create_supplier_proxy(at(200), spec).unwrap();
        assert!(channel.queue(attached.proxy).unwrap().1 <= 4);
        let got = ids(&mut channel, at(200), attached.proxy);
        assert_eq!(channel.queue(attached.proxy).unwrap().3.discarded, 0);
        (attached.first, got)
    };
    assert_eq!(from(Start::Offset(140)), (140, (140..150).collect()));
    assert_eq!(from(Start::Time(at(145))), (145, (145..150).collect()));
    assert_eq!(from(Start::Offset(3)), (50, (50..150).collect()));
    assert_eq!(from(Start::Earliest), (50, (50..150).collect()));
    assert_eq!(from(Start::Now), (150, vec![]));
}

#[test]
fn a_slow_consumer_fills_its_own_queue_only() {
    let mut channel = Channel::new("c", ChannelConfig::default());
    let supplier = supplier(&mut channel);
    let slow = consumer(&mut channel, Qos { length_max: Some(10), batch_max: Some(10), ..Qos::default() });
    let quick = consumer(&mut channel, Qos::default());
    let mut got = Vec::new();
    for id in 0..1000 {
        channel.push(at(0), supplier, &[event(id)]);
        channel.spread(at(0), 10);
        channel.deliver(at(0), 10, &mut |batch| {
            if batch.proxy == slow {
                return 0;
            }
            got.extend(batch.iter().map(|it| note(it).0));
            batch.len()
        });
        assert!(channel.stats().events <= 11);
    }
    assert_eq!(got, (0..1000).collect::<Vec<u32>>());
    let (_, len, _, stats) = channel.queue(slow).unwrap();
    assert_eq!((len, stats.discarded, stats.delivered), (10, 990, 0));
    assert_eq!(channel.why(at(0), slow), Some(vec![Reason::Blocked]));
    channel.writable(slow);
    assert_eq!(ids(&mut channel, at(0), slow), (990..1000).collect::<Vec<u32>>());
    assert_eq!(channel.queue(quick).unwrap().3.discarded, 0);
}

#[test]
fn a_queue_that_refuses_holds_up_its_supplier_until_there_is_room() {
    let mut channel = Channel::new("c", ChannelConfig::default());
    let qos = Qos { length_max: Some(2), batch_max: Some(2), ..Qos::default() };
    let spec = ConsumerProxySpec { qos, ..ConsumerProxySpec::default() };
    let [one, other] = [0, 1].map(|_| channel.create_consumer_proxy(spec.clone()).unwrap());
    let lossless = Qos { discard: Some(Discard::Refuse), ..qos };
    let spec = SupplierProxySpec {
        mode: Mode::Pull,
        qos: lossless,
        filter: Some(id_is(&["1", "2", "3", "4", "5"])),
        ..SupplierProxySpec::default()
    };
    let careful = channel.create_supplier_proxy(at(0), spec).unwrap().proxy;
    let all = consumer(&mut channel, Qos::default());
    for id in 1..=5 {
        let pushed = channel.push(at(0), one, &[event(id)]);
        let full = Some(Refusal::BufferFull { length: 2 });
        assert_eq!(pushed.refusal, if id == 5 { full } else { None });
        channel.spread(at(0), 10);
    }
    channel.push(at(0), other, &[event(9)]);
    assert_eq!(ids(&mut channel, at(0), all), [1, 2, 9], "who sends nothing for the full queue goes on");
    assert_eq!(pull(&mut channel, at(0), careful, 1), [1]);
    channel.spread(at(0), 10);
    assert_eq!(pull(&mut channel, at(0), careful, 9), [2, 3]);
    channel.spread(at(0), 10);
    assert_eq!(pull(&mut channel, at(0), careful, 9), [4]);
    assert_eq!(channel.queue(careful).unwrap().3.discarded, 0);
}

#[test]
fn the_engine_says_why_nothing_is_delivered() {
    let mut channel = Channel::new("c", ChannelConfig::default());
    let supplier = supplier(&mut channel);
    let proxy = consumer(&mut channel, Qos { in_flight_max: Some(1), pacing: Some(millis(5)), ..explicit() });
    assert_eq!(channel.why(at(0), proxy), Some(vec![Reason::Empty { rejected: 0, failed: 0 }]));
    let later = event(1).to_builder().start(at(7)).build(&EventLimits::default()).unwrap();
    channel.push(at(0), supplier, &[later]);
    channel.spread(at(0), 10);
    assert_eq!(channel.why(at(0), proxy), Some(vec![Reason::NotBefore { at: at(7), events: 1 }]));
    channel.push(at(0), supplier, &[event(2), event(3)]);
    channel.spread(at(0), 10);
    assert_eq!(channel.why(at(0), proxy), Some(vec![Reason::Turn]));
    let got = deliver(&mut channel, at(0));
    let full = Reason::WindowFull { in_flight: 1, max: 1 };
    assert_eq!(channel.why(at(0), proxy), Some(vec![full, Reason::Paced { until: at(5) }]));
    assert_eq!(full.to_string(), "waiting for acknowledgement of 1 of at most 1");
    channel.acknowledge(at(1), proxy, got[0].2).unwrap();
    assert_eq!(channel.why(at(1), proxy), Some(vec![Reason::Paced { until: at(5) }]));
    channel.set_connected(at(1), proxy, false).unwrap();
    channel.suspend_supplier_proxy(proxy, true).unwrap();
    assert_eq!(channel.why(at(6), proxy), Some(vec![Reason::Disconnected, Reason::Suspended]));
    channel.set_connected(at(6), proxy, true).unwrap();
    channel.suspend_supplier_proxy(proxy, false).unwrap();
    assert_eq!(ids(&mut channel, at(6), proxy), [3]);
}

#[test]
fn suppliers_are_refused_by_name_of_the_limit() {
    let mut channel = Channel::new("c", ChannelConfig { events_max: 3, ..ChannelConfig::default() });
    let supplier = supplier(&mut channel);
    let pushed = channel.push(at(0), supplier, &[event(1), event(2), event(3), event(4)]);
    let size = event(1).size() as u64;
    assert_eq!(pushed.refusal, Some(Refusal::ChannelFull { events: 3, bytes: 3 * size }));
    channel.spread(at(0), 10);
    assert_eq!((channel.stats().unwanted, channel.stats().events), (3, 0));
    channel.suspend_consumer_proxy(supplier, true).unwrap();
    assert_eq!(channel.push(at(0), supplier, &[event(1)]).refusal, Some(Refusal::Suspended));
    channel.suspend_consumer_proxy(supplier, false).unwrap();
    channel.remove_consumer_proxy(at(0), supplier).unwrap();
    assert_eq!(channel.push(at(0), supplier, &[event(1)]).refusal, Some(Refusal::NoSuchProxy));
    let small = Qos { bytes_max: Some(1024), ..Qos::default() };
    let spec = ConsumerProxySpec { qos: small, ..ConsumerProxySpec::default() };
    let supplier = channel.create_consumer_proxy(spec).unwrap();
    let large = event(1).to_builder().body(vec![0; 2000]).build(&EventLimits::default()).unwrap();
    let bytes = large.size();
    let refusal = channel.push(at(0), supplier, &[large]).refusal.unwrap();
    assert_eq!(refusal, Refusal::TooLarge { bytes, max: 1024 });
    assert!(!refusal.is_retryable());
}

#[test]
fn weighted_suppliers_get_their_shares_and_none_starves() {
    let mut channel = Channel::new("c", ChannelConfig::default());
    channel.set_turns(Discipline::Weighted, Discipline::RoundRobin);
    let consumer = consumer(&mut channel, Qos::default());
    let suppliers: Vec<_> = [1, 3]
        .map(|weight| {
            let qos = Qos { weight: Some(weight), ..Qos::default() };
            channel.create_consumer_proxy(ConsumerProxySpec { qos, ..ConsumerProxySpec::default() }).unwrap()
        })
        .into();
    for id in 0..100 {
        channel.push(at(0), suppliers[0], &[event(id)]);
        channel.push(at(0), suppliers[1], &[event(1000 + id)]);
    }
    channel.spread(at(0), 40);
    let mut got = Vec::new();
    channel.deliver(at(0), 10, &mut |batch| {
        got.extend(batch.iter().map(|it| note(it).0));
        batch.len()
    });
    let share = got.iter().filter(|id| **id < 1000).count();
    assert_eq!((got.len(), share), (40, 10));
    assert_eq!(channel.queue(consumer).unwrap().3.delivered, 40);
}

#[test]
fn an_idle_consumer_takes_less_than_two_kibibytes() {
    // Each in its place with a generation, one member and one route entry, and the name.
    let fixed = size_of::<Outlet>() + size_of::<Queue>() + 2 * 8 + 2 * 4;
    assert!(fixed <= 1024, "{} of its proxy, {} of its queue", size_of::<Outlet>(), size_of::<Queue>());
    let delivery = size_of::<crate::delivery::Delivery>();
    assert!(delivery <= 72, "{delivery} of a delivery");
    assert!(size_of::<Intake>() <= 768, "{} of a supplier's proxy", size_of::<Intake>());
    let mut channel = Channel::new("c", ChannelConfig::default());
    for _ in 0..10_000 {
        consumer(&mut channel, Qos::default());
    }
    assert_eq!((channel.timers.len(), channel.outlet_turns.len()), (0, 0), "who is idle costs no work");
}
