//! Packets of datagrams: headers, bodies, frames.
#![no_main]

use clustercore_fuzz::datagram::packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    packet::check(input);
});
