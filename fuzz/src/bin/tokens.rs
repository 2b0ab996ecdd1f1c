//! Tokens that nobody signed, claims that somebody signed, the keys of a sign-in service, and links of mails.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchbell_socket::fuzzing::token(bytes));
