use super::*;

fn every_frame(deliveries: Deliveries<'_>) -> Vec<Frame<'_>> {
    vec![
        Frame::Hello { version: 1, token: "secret", name: "me" },
        Frame::Ask { request: 300, json: "{}" },
        Frame::Emit { handle: 1, first: 9, count: 0, events: b"packed" },
        Frame::Pull { handle: 2, max: 64 },
        Frame::Acknowledge { handle: 2, deliveries },
        Frame::Reject { handle: 2, is_for_good: true, deliveries },
        Frame::Welcome { version: 1, frame_bytes_max: 1 << 20, principal: "ann" },
        Frame::Answer { request: 300, is_done: false, json: "{\"error\":1}" },
        Frame::Taken {
            handle: 1,
            first: 5,
            count: 6,
            unwritten: 2,
            refusal: Code::BufferFull,
            message: "full",
        },
        Frame::Confirmed { handle: 1, first: 5, count: 9 },
        Frame::Lost { handle: 1, number: 10, refusal: Code::NotWritten },
        Frame::Deliver { handle: 2, offset: 7, count: 1, is_acknowledged: false, events: b"packed" },
        Frame::Deliver { handle: 2, offset: 7, count: 1, is_acknowledged: true, events: b"packed" },
        Frame::Readable { handle: 2 },
        Frame::Wanted { handle: 1, max: 10 },
        Frame::Gone { handle: 1, message: "deleted" },
        Frame::Bye { message: "ending" },
    ]
}

#[test]
fn every_frame_comes_back_and_no_shorter_one_passes_for_it() {
    let names = [DeliveryId { index: 1, generation: 2 }, DeliveryId { index: 300, generation: u32::MAX }];
    let mut packed = Vec::new();
    Deliveries::pack(&mut packed, &names);
    let deliveries = Deliveries::packed(2, &packed);
    assert_eq!(deliveries.iter().collect::<Vec<_>>(), names);
    for frame in every_frame(deliveries) {
        let mut bytes = Vec::new();
        frame.put(&mut bytes);
        assert_eq!(bytes[..4], (bytes.len() as u32 - 4).to_le_bytes());
        assert_eq!(Frame::parse(&bytes[4..]), Ok(frame));
        let is_open_ended = matches!(frame, Frame::Ask { .. } | Frame::Answer { .. });
        let is_open_ended = is_open_ended || matches!(frame, Frame::Emit { .. } | Frame::Deliver { .. });
        if !is_open_ended {
            let shorter = Frame::parse(&bytes[4..bytes.len() - 1]);
            assert_eq!(shorter, Err(FrameError::Malformed { kind: bytes[4] }), "{frame:?}");
            bytes.push(0);
            assert_eq!(Frame::parse(&bytes[4..]), Err(FrameError::Malformed { kind: bytes[4] }), "{frame:?}");
        }
    }
}

#[test]
fn unknown_types_and_counts_that_cannot_be_are_refused() {
    assert_eq!(Frame::parse(&[]), Err(FrameError::Malformed { kind: 0 }));
    assert_eq!(Frame::parse(&[0x7f, 1]), Err(FrameError::Malformed { kind: 0x7f }));
    // More deliveries than there are bytes for.
    assert!(Frame::parse(&[kind::ACKNOWLEDGE, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1]).is_err());
    // A refusal that there is not.
    assert!(Frame::parse(&[kind::LOST, 1, 1, 200]).is_err());
}
