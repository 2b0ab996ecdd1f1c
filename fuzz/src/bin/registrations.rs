//! What somebody registers about themselves: push tokens, subscriptions, addresses, preferences.
#![no_main]

use url::{Host, Url};
use watchbell::domain::internet::is_public;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(endpoint) = watchbell_socket::fuzzing::registration(bytes) else { return };
    // What is registered is what will be called, so it must mean the same to whoever calls it.
    let url = Url::parse(&endpoint).expect("an endpoint is an address");
    let is_outside = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name.contains('.') && !name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => is_public(address.into()),
        Some(Host::Ipv6(address)) => is_public(address.into()),
        None => false,
    };
    assert!(is_outside && url.scheme() == "https", "{endpoint} leads into our own network");
});
