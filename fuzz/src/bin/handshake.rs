//! A request for a session: its query, then a header a line.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchbell_socket::fuzzing::handshake(bytes));
