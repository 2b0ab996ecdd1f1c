//! Ways in for `fuzz/`: which host a request is for, and what a proxy, or whoever claims to be one, writes about the client.
//! They panic where something does not hold.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue, Request, Uri, header};

use super::{AllowedHosts, ClientAddress, ClientAddressSource, Host, Network, listener::host_of};

/// The head of a request to a process that has a few names: its target, then a `Host` a line.
pub fn request_for_host(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let target = String::from_utf8_lossy(lines.next().unwrap_or_default());
    // What these do not take does not come through the parser of HTTP either.
    let Ok(target) = target.parse::<Uri>() else { return };
    let mut request = Request::new(());
    *request.uri_mut() = target;
    for line in lines {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        request.headers_mut().append(header::HOST, value);
    }
    let public = Some("https://alerts.example.com:8443/inbox");
    let hosts = AllowedHosts::new(Ipv4Addr::LOCALHOST.into(), public, &["box.lan".to_owned()]);
    let is_for_us = hosts.allow_request(&request);
    if host_of(&request).is_err() || !is_for_us {
        return;
    }
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let of_target = request.uri().authority().map(|authority| authority.as_str());
    for authority in named.into_iter().chain(of_target) {
        assert!(is_ours(authority), "{authority} is another's");
        let small = authority.to_ascii_lowercase();
        assert_eq!(Host::of(&small), Host::of(authority), "hosts are not told apart by case");
    }
}

/// Whether an authority is one of those that [`request_for_host`] allows, told in another way than the check does: it is the text of one
/// of them, and behind that at most a port.
fn is_ours(authority: &str) -> bool {
    let authority = authority.to_ascii_lowercase();
    let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, end)) if port(end) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => &authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_loopback =
        |text: &str| text.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback());
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => is_loopback(address),
        None => {
            ["localhost", "box.lan", "alerts.example.com"].contains(&host)
                || host.ends_with(".localhost")
                || is_loopback(host)
        }
    }
}

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
