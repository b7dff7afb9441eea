//! PROXY headers of both versions.
#![no_main]

use clustercore_fuzz::proxy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = proxy::check(input);
});
