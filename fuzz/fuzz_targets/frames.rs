//! The splitter of WebSocket frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| switchboard::fuzzing::frames(input));
