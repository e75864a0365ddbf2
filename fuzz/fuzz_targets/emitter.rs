//! Messages of emitters and servers of other systems over Redis.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| switchboard::fuzzing::emitter(input));
