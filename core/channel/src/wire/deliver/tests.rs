use super::*;
use crate::wire::Frame;

#[test]
fn deliveries_come_back_with_offset_tries_and_name() {
    let limits = EventLimits::default();
    let events: Vec<Event> = (0..4)
        .map(|it| Event::builder(format!("{it}"), "/s", "k").body(vec![it; 9]).build(&limits).unwrap())
        .collect();
    // Offsets go back where an event is handed over again.
    let offsets = [70, 71, 12, u64::MAX];
    for is_acknowledged in [false, true] {
        let handed = events.iter().zip(offsets).enumerate().map(|(index, (event, offset))| Handed {
            event,
            delivery: DeliveryId { index: index as u32, generation: 9 },
            offset,
            tries: index as u16,
        });
        let mut bytes = Vec::new();
        put_deliver(&mut bytes, 8, is_acknowledged, handed.clone());
        let frame = Frame::parse(&bytes[4..]).unwrap();
        let Frame::Deliver { handle: 8, offset, count, is_acknowledged: is, events } = frame else {
            panic!("{frame:?}")
        };
        let mut back = Vec::new();
        take_delivered((offset, count, is), events, &limits, &mut |it| back.push(it)).unwrap();
        let expected: Vec<Delivered> = handed
            .map(|it| Delivered {
                event: it.event.clone(),
                offset: it.offset,
                tries: if is { it.tries } else { 0 },
                delivery: is.then_some(it.delivery),
            })
            .collect();
        assert_eq!((&back, is), (&expected, is_acknowledged));
        let mut views = Vec::new();
        view_delivered((offset, count, is), events, &mut |it| views.push((it.event, it.offset, it.delivery)))
            .unwrap();
        for ((view, offset, delivery), whole) in views.iter().zip(&back) {
            assert_eq!((view.id, view.body), (&**whole.event.id(), &whole.event.body()[..]));
            assert_eq!((*offset, *delivery), (whole.offset, whole.delivery));
        }
        assert_eq!(views.len(), back.len());
        assert_eq!((views[0].0.source, views[1].0.source), (Some("/s"), None), "said once");
        let short = take_delivered((offset, count + 1, is), events, &limits, &mut |_| {});
        assert_eq!(short, Err(WireError::Malformed));
        let long = take_delivered((offset, count - 1, is), events, &limits, &mut |_| {});
        assert_eq!(long, Err(WireError::Malformed));
    }
}
