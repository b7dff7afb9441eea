//! Messages of calls.
#![no_main]

use clustercore_fuzz::rpc::message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    message::check(input);
});
