//! A participant of a channel server, and a server of a participant. The first byte is the length of the pieces in which the bytes come.
#![no_main]

use clustercore_fuzz::channel_peer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    channel_peer::check(input);
});
