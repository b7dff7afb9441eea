//! More than a consumer can take, and consumers that are alike.

use super::*;

/// A supplier gives ten events for each that the consumer takes, a thousand times; what became of them: taken, refused, delivered
/// ids, and the counters of the queue.
fn ten_times(discard: Discard) -> (u64, u64, Vec<u32>, crate::QueueStats) {
    let mut channel = Channel::new("main", ChannelConfig::default());
    let buffer = Qos { length_max: Some(32), ..Qos::default() };
    let spec = ConsumerProxySpec { qos: buffer, ..ConsumerProxySpec::default() };
    let supplier = channel.create_consumer_proxy(spec).unwrap();
    let qos = Qos { length_max: Some(64), discard: Some(discard), ..Qos::default() };
    let qos = Qos { batch_max: Some(1), pacing: Some(millis(10)), ..qos };
    let slow = consumer(&mut channel, qos);
    let (mut taken, mut refused, mut got) = (0, 0, Vec::new());
    for number in 0..10_000 {
        let now = at(u64::from(number));
        let pushed = channel.push(now, supplier, &[event(number)]);
        taken += pushed.taken;
        refused += u64::from(pushed.refusal.is_some());
        got.extend(ids(&mut channel, now, slow));
        let (_, len, ..) = channel.queue(slow).unwrap();
        assert!(len <= 64, "the queue's bound holds");
    }
    let (_, len, _, stats) = channel.queue(slow).unwrap();
    let (_, buffered, _, intake) = channel.buffer(supplier).unwrap();
    assert_eq!(taken + refused, 10_000);
    assert_eq!((intake.taken, intake.refused), (taken, refused));
    assert_eq!(taken, intake.spread + u64::from(buffered), "what was taken is spread or in the buffer");
    assert_eq!(intake.spread, stats.queued);
    assert_eq!(stats.queued, stats.settled + stats.discarded + u64::from(len));
    assert_eq!(stats.settled, got.len() as u64);
    assert!(got.is_sorted());
    (taken, refused, got, stats)
}

#[test]
fn a_supplier_ten_times_too_quick_is_held_up_or_events_give_way_by_policy_and_every_one_is_counted() {
    let (taken, refused, got, stats) = ten_times(Discard::Refuse);
    assert_eq!((got.len(), stats.discarded), (1000, 0));
    assert_eq!((taken, refused), (1000 + 64 + 32, 10_000 - 1096), "delivered, in the queue, in the buffer");
    let (taken, refused, got, stats) = ten_times(Discard::Oldest);
    assert_eq!((taken, refused, got.len(), stats.discarded), (10_000, 0, 1000, 10_000 - 1000 - 64));
    assert!(got.last().is_some_and(|last| *last > 9900), "it sees what is new");
    let (taken, refused, got, stats) = ten_times(Discard::Newest);
    assert_eq!((taken, refused, got.len(), stats.discarded), (10_000, 0, 1000, 10_000 - 1000 - 64));
    // One in ten finds room, from the time on that the queue is full.
    assert!(got.windows(2).skip(72).all(|pair| pair[1] == pair[0] + 10), "{got:?}");
}

#[test]
fn consumers_that_are_alike_share_until_one_falls_behind_or_an_event_concerns_each_by_itself() {
    let mut channel = Channel::new("main", ChannelConfig::default());
    let supplier = supplier(&mut channel);
    let qos = Qos { length_max: Some(20), ..Qos::default() };
    let alike: Vec<SupplierProxyId> = (0..4).map(|_| consumer(&mut channel, qos)).collect();
    let other = consumer(&mut channel, Qos { length_max: Some(8), ..Qos::default() });
    channel.push(at(0), supplier, &[event(0)]);
    assert_eq!(deliver(&mut channel, at(0)).len(), 5);
    assert_eq!(channel.stats().sharing, 4, "the small queue stays by itself");
    channel.suspend_supplier_proxy(alike[0], true).unwrap();
    for number in 1..=40 {
        channel.push(at(1), supplier, &[event(number)]);
        assert_eq!(deliver(&mut channel, at(1)).len(), 4);
    }
    assert_eq!(channel.stats().sharing, 3, "the one that does not read has left");
    let (_, len, _, stats) = channel.queue(alike[0]).unwrap();
    assert_eq!((len, stats.discarded, stats.queued), (20, 20, 41), "by its own bound and policy");
    channel.suspend_supplier_proxy(alike[0], false).unwrap();
    assert_eq!(ids(&mut channel, at(2), alike[0]), (21..=40).collect::<Vec<_>>());
    channel.push(at(2), supplier, &[event(41)]);
    assert_eq!(deliver(&mut channel, at(2)).len(), 5);
    assert_eq!(channel.stats().sharing, 4, "it has caught up");
    let expiring = event(42).to_builder().expiry(at(100)).build(&EventLimits::default()).unwrap();
    channel.push(at(3), supplier, &[event(50), expiring, event(51)]);
    channel.spread(at(3), u64::MAX);
    assert_eq!(channel.stats().sharing, 0);
    assert_eq!(ids(&mut channel, at(3), alike[1]), [50, 42, 51]);
    assert!(channel.queue(other).is_some());
    channel.remove_supplier_proxy(at(4), alike[2]).unwrap();
    channel.push(at(4), supplier, &[event(52)]);
    assert_eq!(deliver(&mut channel, at(4)).len(), 4);
    channel.set_supplier_proxy_qos(at(5), alike[1], Qos { length_max: Some(30), ..Qos::default() }).unwrap();
    channel.push(at(5), supplier, &[event(53)]);
    assert_eq!(deliver(&mut channel, at(5)).len(), 4);
    channel.check_invariants();
}

#[test]
fn a_consumer_that_is_pushed_to_and_pulls_may_go_at_once() {
    let mut channel = Channel::new("main", ChannelConfig::default());
    let supplier = supplier(&mut channel);
    let [first, second, third] = [(); 3].map(|()| consumer(&mut channel, Qos::default()));
    channel.push(at(0), supplier, &[event(0)]);
    channel.spread(at(0), 10);
    assert_eq!(pull(&mut channel, at(0), first, 9), [0]);
    assert_eq!(pull(&mut channel, at(0), second, 9), [0]);
    channel.check_invariants();
    channel.remove_supplier_proxy(at(1), first).unwrap();
    channel.set_supplier_proxy_qos(at(1), second, explicit()).unwrap();
    channel.push(at(1), supplier, &[event(1)]);
    assert_eq!(deliver(&mut channel, at(1)).len(), 3, "two for the third");
    assert_eq!(channel.queue(third).unwrap().1, 0);
}
