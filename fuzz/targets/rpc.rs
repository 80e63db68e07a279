//! See `toolscout::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| toolscout::fuzzing::rpc(data));
