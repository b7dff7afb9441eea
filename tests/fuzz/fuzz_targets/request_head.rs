//! Request heads. The first byte chooses whether the client is a trusted proxy.
#![no_main]

use clustercore_fuzz::heads;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((choice, head)) = input.split_first() {
        let _ = heads::check_request(head, choice & 1 != 0);
    }
});
