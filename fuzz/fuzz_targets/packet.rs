//! One Socket.IO packet of a client.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| switchboard::fuzzing::packet(input));
