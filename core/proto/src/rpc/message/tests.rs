use super::*;
use crate::rpc::Metadata;
use alloc::vec;
use core::time::Duration;
use proptest::prelude::*;

#[test]
fn a_call_without_extras_is_a_short_head_and_its_arguments() {
    let mut bytes = vec![];
    let arguments = Arguments { method: Method(7), bytes: b"xy", has_parts: false };
    put_call(&mut bytes, 3, 200, &arguments, &CallOptions::default());
    assert_eq!(bytes, [0x20, 3, 200, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0, b'x', b'y']);
}

#[test]
fn a_timeout_is_rounded_up_to_a_millisecond() {
    let mut bytes = vec![];
    let options = CallOptions { timeout: Some(Duration::from_micros(1)), ..CallOptions::default() };
    put_call(&mut bytes, 0, 1, &Arguments { method: Method(0), bytes: b"", has_parts: false }, &options);
    let Ok(Message::Call(call)) = Message::read(&bytes) else { panic!("{bytes:?}") };
    assert_eq!(call.timeout_ms, Some(1));
}

#[test]
fn unknown_kinds_flags_and_states_are_refused_and_so_is_a_tail() {
    let bad: [&[u8]; 9] = [
        &[],
        &[0x1f, 0, 0],
        &[0x28, 0, 0],
        &[0x22, 0, 0, 4],
        &[0x23, 0, 0, 0],
        &[0x26, 0, 0, 4],
        &[0x21, 0, 0, 0, 8],
        &[0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8],
        &[0x25, 1],
    ];
    for bytes in bad {
        assert_eq!(Message::read(bytes), Err(Malformed), "{bytes:?}");
    }
    assert_eq!(Message::read(&[0x21, 0, 0, 0, 4, 1, 0xff]), Err(Malformed), "a text is UTF-8");
}

proptest! {
    #[test]
    fn calls_and_replies_come_back(
        slot: u32, sequence: u64, method: u64, timeout in proptest::option::of(0u64..1 << 40),
        pairs in proptest::collection::vec(("[a-z]{0,5}", proptest::collection::vec(any::<u8>(), 0..9)), 0..4),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        flag: bool, text in ".{0,9}", status in 0u8..17,
    ) {
        let mut metadata = Metadata::new();
        pairs.iter().for_each(|(key, value)| metadata.push(key, value));
        let metadata = metadata.borrow();
        let timeout_ms = timeout;
        let options = CallOptions { timeout: timeout.map(Duration::from_millis), metadata, ..CallOptions::default() };
        let method = Method(method);
        let mut out = vec![];
        put_call(&mut out, slot, sequence, &Arguments { method, bytes: &bytes, has_parts: flag }, &options);
        prop_assert_eq!(Message::read(&out), Ok(Message::Call(CallMessage {
            slot, sequence, method, timeout_ms, metadata, has_parts: flag, arguments: &bytes,
        })));
        let status = Status::from_code(status);
        out.clear();
        put_reply(&mut out, slot, sequence, &Results { status, is_not_executed: flag, metadata, text: &text, bytes: &bytes });
        prop_assert_eq!(Message::read(&out), Ok(Message::Reply(ReplyMessage {
            slot, sequence, status, is_not_executed: flag, metadata, text: &text, results: &bytes,
        })));
        out.clear();
        let part = PartMessage { slot, sequence, is_of_results: !flag, is_last: flag, bytes: &bytes };
        put_part(&mut out, &part);
        prop_assert_eq!(Message::read(&out), Ok(Message::Part(part)));
        out.clear();
        put_settled(&mut out);
        put_settlement(&mut out, slot, sequence);
        put_settlement(&mut out, 0, 1);
        let Ok(Message::Settled { pairs }) = Message::read(&out) else { panic!("{out:?}") };
        prop_assert_eq!(settlements(pairs).collect::<Vec<_>>(), vec![(slot, sequence), (0, 1)]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), kind in 0x1fu8..0x29) {
        let _ = Message::read(&bytes);
        let mut with_kind = vec![kind];
        with_kind.extend(bytes);
        let _ = Message::read(&with_kind);
    }
}
