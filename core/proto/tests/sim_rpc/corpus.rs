//! The fuzz targets of calls as plain tests: their corpus, and inputs from fixed seeds.

use super::replay::{generate, replay};
use super::rpc::{message, pair};

#[test]
fn corpus_of_messages() {
    replay("rpc_message", message::check);
}

#[test]
fn corpus_of_two_machines() {
    replay("rpc_pair", |input| pair::check(input) > 0);
}

#[test]
fn any_message_is_read_or_refused() {
    let mut read = 0;
    generate(50_000, 100, |input| {
        for kind in 0x20..0x28 {
            let mut input = input.to_vec();
            if let Some(first) = input.first_mut() {
                *first = kind;
            }
            read += u32::from(message::check(&input));
        }
    });
    assert!(read > 10_000, "{read} could be read");
}

#[test]
fn any_wishes_and_losses_leave_two_machines_whole() {
    let mut ended = 0;
    generate(5_000, 800, |input| ended += pair::check(input));
    assert!(ended > 500, "{ended} calls ended well");
}
