//! What proxies, or whoever claims to be one, write about the client.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchbell::runtime::http::fuzzing::client_of(bytes));
