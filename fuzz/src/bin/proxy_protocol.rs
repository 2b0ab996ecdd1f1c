//! What a balancer says before the request.
#![no_main]

use futures_util::FutureExt as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut stream = bytes;
    // Bytes in memory are always ready. Read or refused.
    let _ = watchbell::runtime::http::proxy_protocol::read(&mut stream).now_or_never();
});
