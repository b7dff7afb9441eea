//! Frames of a peer that means harm, after a handshake.
#![no_main]

use clustercore_fuzz::datagram::peer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    peer::check(input);
});
