//! A connection to channels over HTTP. The first byte is the length of the pieces in which the bytes come.
#![no_main]

use clustercore_fuzz::http_face;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    http_face::check(input);
});
