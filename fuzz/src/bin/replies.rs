//! What providers, push services and receivers of webhooks answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchbell_fallback::channel::fuzzing::reply(bytes));
