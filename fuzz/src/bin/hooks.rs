//! What other products post: a byte that says to which hook, what stands behind its address, a line break, and the body.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchbell_ingest::fuzzing::hook(bytes));
