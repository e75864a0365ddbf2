//! Frames of plain WebSocket clients.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| switchboard::fuzzing::envelope(input));
