//! Merging, comparing and compacting updates of documents.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| switchboard::fuzzing::updates(input));
