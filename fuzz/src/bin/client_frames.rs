//! What a client sends over a WebSocket. The first byte says into what reads the rest is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    watchbell_socket::fuzzing::client_bytes(bytes, usize::from(*cut) * 16 + 1);
});
