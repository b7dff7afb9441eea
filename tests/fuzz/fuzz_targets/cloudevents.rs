//! CloudEvents in all modes. The first byte chooses the mode.
#![no_main]

use clustercore_fuzz::cloudevents;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    cloudevents::check(input);
});
