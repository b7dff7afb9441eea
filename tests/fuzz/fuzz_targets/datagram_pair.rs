//! Two endpoints on a network that the input spoils.
#![no_main]

use clustercore_fuzz::datagram::pair;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    pair::check(input);
});
