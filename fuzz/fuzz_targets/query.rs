//! Query strings of Engine.IO requests, event streams and polls.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| switchboard::fuzzing::query(input));
