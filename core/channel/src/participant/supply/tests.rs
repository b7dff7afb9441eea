use super::*;
use crate::event::EventLimits;

fn supply(waiting_max: usize, is_patient: bool) -> Supply {
    let mut supply = Supply::new("", SupplyConfig { waiting_max, is_patient, ..SupplyConfig::default() });
    let event = |id: u32| Event::builder(id.to_string(), "/s", "k").build(&EventLimits::default()).unwrap();
    let events: Vec<Event> = (0..10).map(event).collect();
    assert_eq!(supply.queue(&events), Emitted { first: 0, count: waiting_max.min(10) });
    supply
}

#[test]
fn what_there_is_no_room_for_is_not_taken_up() {
    let mut supply = supply(4, true);
    assert_eq!(supply.queue(&[]), Emitted { first: 4, count: 0 });
    let mut out = Vec::new();
    supply.transmit(1, &mut out);
    assert_eq!((supply.sent, supply.unanswered, out.is_empty()), (4, 1, false));
    assert_eq!(supply.on_taken(Instant::ZERO, 0, 4, Code::None), None);
    assert_eq!((supply.first(), supply.untaken(), supply.retry_at()), (4, 0, None));
}

#[test]
fn a_patient_one_waits_longer_each_time_and_not_before_all_is_answered() {
    let mut supply = supply(10, true);
    let mut out = Vec::new();
    supply.transmit(1, &mut out);
    supply.unanswered += 1;
    assert_eq!(supply.on_taken(Instant::ZERO, 0, 3, Code::BufferFull), None);
    assert_eq!(supply.retry_at(), None, "one frame is not answered");
    supply.on_taken(Instant::ZERO, 10, 0, Code::Behind);
    let first = supply.retry_at().unwrap();
    out.clear();
    supply.transmit(1, &mut out);
    assert!(out.is_empty());
    supply.retry();
    supply.transmit(1, &mut out);
    assert!(!out.is_empty());
    supply.on_taken(first, 3, 0, Code::BufferFull);
    let second = supply.retry_at().unwrap();
    assert_eq!(second.saturating_sub(first), 2 * SupplyConfig::default().retry_min);
}

#[test]
fn a_hasty_one_gives_up_what_is_refused_and_goes_on_behind_it() {
    let mut supply = supply(10, false);
    supply.transmit(1, &mut Vec::new());
    assert_eq!(supply.on_taken(Instant::ZERO, 0, 3, Code::BufferFull), Some(3));
    assert_eq!((supply.first(), supply.sent, supply.untaken()), (4, 4, 6));
}
