//! What the target of a web hook says. The first byte is the length of the pieces in which the bytes come.
#![no_main]

use clustercore_fuzz::hook;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    hook::check(input);
});
