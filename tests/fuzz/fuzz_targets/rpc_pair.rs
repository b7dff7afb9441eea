//! Two machines of calls, and what the input makes of the messages between them.
#![no_main]

use clustercore_fuzz::rpc::pair;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    pair::check(input);
});
