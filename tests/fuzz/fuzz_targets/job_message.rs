//! Messages between front end and job handler.
#![no_main]

use clustercore_fuzz::job;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    job::check(input);
});
