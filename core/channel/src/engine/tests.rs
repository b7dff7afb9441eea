use super::*;
use crate::event::EventLimits;
use crate::principal::{Grant, Rights};

const NOW: Instant = Instant::ZERO;

fn event(id: &str) -> Event {
    Event::builder(id, "s", "t").build(&EventLimits::default()).unwrap()
}

fn person(name: &str, channel: &str, rights: &[Right]) -> Principal {
    let rights = rights.iter().fold(Rights::NONE, |rights, right| rights.and(*right));
    Principal { name: name.into(), grants: vec![Grant { channel: Some(channel.into()), rights }] }
}

#[test]
fn channels_come_and_go_within_their_number_and_the_default_stays() {
    let root = Principal::new("root", Rights::ALL);
    let config = EngineConfig { channels_max: 2, ..EngineConfig::default() };
    let mut engine = Engine::new(config).unwrap();
    let made = engine.create(&root, "a", ChannelConfig::default()).unwrap();
    let again = engine.create(&root, "a", ChannelConfig::default());
    assert_eq!(again, Err(EngineError::NameTaken { name: "a".into() }));
    let third = engine.create(&root, "b", ChannelConfig::default());
    assert_eq!(third, Err(EngineError::TooMany { max: 2 }));
    assert_eq!(engine.create(&root, "a\n", ChannelConfig::default()), Err(EngineError::Name));
    assert_eq!(engine.list(&root).len(), 2);
    engine.delete(&root, made).unwrap();
    assert_eq!(engine.delete(&root, made), Err(EngineError::NoSuchChannel));
    assert_eq!(engine.delete(&root, engine.default_channel()), Err(EngineError::IsDefault));
    let next = engine.create(&root, "b", ChannelConfig::default()).unwrap();
    assert!(next.index == made.index && next != made);
    assert!(engine.machine(made).is_none());
}

#[test]
fn every_face_is_refused_without_its_right() {
    let mut engine = Engine::new(EngineConfig::default()).unwrap();
    let id = engine.default_channel();
    let all = [Right::Emit, Right::Consume, Right::Administer];
    let opened: Vec<[bool; 3]> = all
        .iter()
        .map(|right| {
            let who = person("ann", "default", &[*right]);
            [
                engine.emit(&who, id).is_ok(),
                engine.consume(&who, id).is_ok(),
                engine.administer(&who, id).is_ok(),
            ]
        })
        .collect();
    assert_eq!(opened, [[true, false, false], [false, true, false], [true, true, true]]);
    let other = person("bob", "elsewhere", &all);
    let denied = engine.emit(&other, id).err().unwrap();
    assert!(matches!(denied, EngineError::Denied(Denied { right: Right::Emit, .. })), "{denied}");
    assert!(engine.create(&other, "third", ChannelConfig::default()).is_err());
    assert!(engine.list(&other).is_empty());
}

#[test]
fn a_proxy_of_another_is_no_proxy_but_for_administrators() {
    let mut engine = Engine::new(EngineConfig::default()).unwrap();
    let id = engine.default_channel();
    let (ann, bob) = (
        person("ann", "default", &[Right::Emit, Right::Consume]),
        person("bob", "default", &[Right::Emit, Right::Consume]),
    );
    let root = Principal::new("root", Rights::ALL);
    let own = engine.emit(&ann, id).unwrap().connect(ConsumerProxySpec::default()).unwrap();
    let pull = SupplierProxySpec { mode: Mode::Pull, ..SupplierProxySpec::default() };
    let inbox = engine.consume(&ann, id).unwrap().connect(NOW, pull).unwrap().proxy;
    assert_eq!(
        engine.emit(&bob, id).unwrap().push(NOW, own, &[event("1")]).refusal,
        Some(Refusal::NoSuchProxy)
    );
    assert_eq!(engine.emit(&ann, id).unwrap().push(NOW, own, &[event("1")]).taken, 1);
    assert_eq!(engine.emit(&root, id).unwrap().push(NOW, own, &[event("2")]).taken, 1);
    let shared = engine.emit(&bob, id).unwrap().shared();
    assert_eq!(engine.emit(&bob, id).unwrap().push(NOW, shared, &[event("3")]).taken, 1);
    assert!(engine.emit(&bob, id).unwrap().disconnect(NOW, shared).is_err());
    engine.machine(id).unwrap().spread(NOW, 100);
    let mut take =
        |who: &Principal| engine.consume(who, id).unwrap().pull(NOW, inbox, 9, &mut |batch| batch.len());
    assert_eq!([take(&bob), take(&ann)], [None, Some(3)]);
    assert!(engine.consume(&bob, id).unwrap().why(NOW, inbox).is_none());
    assert!(engine.consume(&bob, id).unwrap().disconnect(NOW, inbox).is_err());
    assert!(engine.consume(&ann, id).unwrap().disconnect(NOW, inbox).is_ok());
}

#[test]
fn a_channel_that_nobody_reaches_still_meets_its_deadline() {
    let root = Principal::new("root", Rights::ALL);
    let mut engine = Engine::new(EngineConfig::default()).unwrap();
    let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
    let mut channel = |name: &str, millis| {
        let id = engine.create(&root, name, ChannelConfig::default()).unwrap();
        let channel = engine.machine(id).unwrap();
        let consumer = channel.create_supplier_proxy(NOW, SupplierProxySpec::default()).unwrap().proxy;
        let supplier = channel.create_consumer_proxy(ConsumerProxySpec::default()).unwrap();
        let event = event("1").to_builder().expiry(at(millis)).build(&EventLimits::default()).unwrap();
        channel.push(NOW, supplier, &[event]);
        channel.spread(NOW, u64::MAX);
        (id, consumer)
    };
    let (late, early, deleted) = (channel("late", 30), channel("early", 20), channel("deleted", 10));
    // Reached, or found without output since: the deadline is the same.
    assert_eq!(engine.next_timeout(), Some(at(10)));
    configured(&mut engine, 4);
    assert_eq!(engine.next_timeout(), Some(at(10)));
    engine.delete(&root, deleted.0).unwrap();
    assert_eq!(engine.next_timeout(), Some(at(20)));
    engine.handle_timeout(at(20));
    let expired =
        |engine: &mut Engine, (id, consumer)| engine.machine(id).unwrap().queue(consumer).unwrap().3.expired;
    assert_eq!((expired(&mut engine, early), expired(&mut engine, late)), (1, 0));
    assert!(engine.poll_output().is_none());
    assert_eq!(engine.next_timeout(), Some(at(30)));
    engine.handle_timeout(at(30));
    assert_eq!((expired(&mut engine, late), engine.next_timeout()), (1, None));
}

#[test]
fn outputs_of_every_channel_that_was_reached_come_out() {
    let root = Principal::new("root", Rights::ALL);
    let mut engine = Engine::new(EngineConfig::default()).unwrap();
    let spec = ConsumerProxySpec { mode: Mode::Pull, ..ConsumerProxySpec::default() };
    let ids: Vec<ChannelId> = ["a", "b", "c"]
        .map(|name| engine.create(&root, name, ChannelConfig::default()).unwrap())
        .into_iter()
        .rev()
        .collect();
    configured(&mut engine, 4);
    assert!(engine.poll_output().is_none());
    for id in &ids {
        engine.emit(&root, *id).unwrap().connect(spec.clone()).unwrap();
    }
    let asked: Vec<ChannelId> = std::iter::from_fn(|| engine.poll_output()).map(|(id, _)| id).collect();
    assert_eq!(asked, ids);
}

/// So many channels, the default one among them, say that they were made.
fn configured(engine: &mut Engine, count: usize) {
    let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).map(|(_, output)| output).collect();
    assert_eq!(outputs, vec![Output::Configured; count]);
}
