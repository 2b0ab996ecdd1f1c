//! The file of an operator.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchbell::runtime::config::fuzzing::settings(bytes));
