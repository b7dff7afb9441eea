//! Response heads. The first byte chooses the request that they answer.
#![no_main]

use clustercore_fuzz::heads;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((choice, head)) = input.split_first() {
        let _ = heads::check_response(head, &heads::request_plan(*choice));
    }
});
