//! Requests, answers and streams from one dialect to another. What must hold is written in `bodies`, which ordinary
//! tests run too.
#![no_main]

#[path = "../../crates/wire/tests/it/fuzz_bodies.rs"]
#[expect(dead_code, reason = "each target runs one of the bodies")]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::translate(input));
