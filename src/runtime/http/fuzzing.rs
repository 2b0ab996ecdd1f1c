//! A way in for `fuzz/`: what a proxy, or whoever claims to be one, writes about the client. It panics where something does
//! not hold.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue};

use super::{ClientAddress, ClientAddressSource, Network};

/// Headers of a request that came from a trusted proxy: a line of `Forwarded`, then lines of `X-Forwarded-For`.
pub fn client_of(bytes: &[u8]) {
    let near = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let trusted: Vec<Network> =
        ["10.0.0.0/8", "fd00::/8"].iter().filter_map(|range| range.parse().ok()).collect();
    let mut headers = HeaderMap::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let name = if number == 0 { "forwarded" } else { "x-forwarded-for" };
        // What is no value of a header does not come through the parser of HTTP either.
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    for source in [
        ClientAddressSource::XForwardedFor,
        ClientAddressSource::Forwarded,
        ClientAddressSource::ProxyProtocol,
    ] {
        let ClientAddress(client) = ClientAddress::of(near, &headers, &trusted, source);
        assert_eq!(client, client.to_canonical(), "one client has one address");
        assert_eq!(
            ClientAddress::of(near, &headers, &[], source),
            ClientAddress(near),
            "nobody's word is believed"
        );
    }
}
