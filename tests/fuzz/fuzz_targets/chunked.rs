//! Chunked bodies. The first byte is the length of the pieces in which they come.
#![no_main]

use clustercore_fuzz::chunks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((piece, body)) = input.split_first() {
        chunks::check(body, usize::from(*piece).max(1));
    }
});
