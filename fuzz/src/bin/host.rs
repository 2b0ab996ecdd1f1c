//! Which host a request is for: its target, then a `Host` a line.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchbell::runtime::http::fuzzing::request_for_host(bytes));
