//! A request of a producer: its headers, an empty line, and one alert, several, lines, or a CloudEvent.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchbell_ingest::fuzzing::post(bytes));
