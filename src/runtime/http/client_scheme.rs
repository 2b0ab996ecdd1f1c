//! Whether the client reached us over TLS, which ends at a proxy: we speak plain HTTP ourselves.

use std::net::IpAddr;

use axum::http::HeaderMap;

use super::{ClientAddressSource, Network};

/// The scheme that a client uses, as a request extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientScheme {
    /// Nobody who is believed says anything else.
    #[default]
    Http,
    /// TLS ended at a proxy that is believed.
    Https,
}

impl ClientScheme {
    /// The scheme of a request that came from `near`, if that is one of the `trusted` proxies: what the last
    /// `X-Forwarded-Proto` says, or the last `proto` where proxies write `Forwarded`. The last is the one that the nearest
    /// proxy wrote. The PROXY protocol does not say.
    pub fn of(near: IpAddr, headers: &HeaderMap, trusted: &[Network], source: ClientAddressSource) -> Self {
        let (name, read): (_, fn(&str) -> &str) = match source {
            ClientAddressSource::XForwardedFor => ("x-forwarded-proto", str::trim),
            ClientAddressSource::Forwarded => ("forwarded", forwarded_proto),
            ClientAddressSource::ProxyProtocol => return Self::Http,
        };
        if !Network::any_has(trusted, near) {
            return Self::Http;
        }
        let lines = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
        let last = lines.flat_map(|line| line.split(',')).next_back();
        match last.is_some_and(|element| read(element).eq_ignore_ascii_case("https")) {
            true => Self::Https,
            false => Self::Http,
        }
    }

    /// As it stands before `://`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// `proto=` of one element of `Forwarded` (RFC 7239).
fn forwarded_proto(element: &str) -> &str {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let value = pairs.find(|(name, _)| name.eq_ignore_ascii_case("proto")).map(|(_, value)| value);
    value.unwrap_or_default().trim_matches('"')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    use ClientAddressSource::{Forwarded, ProxyProtocol, XForwardedFor};

    #[test]
    fn a_proxy_that_is_believed_says_how_it_was_reached() {
        let trusted: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
        let xfp = "x-forwarded-proto";
        for (why, source, near, headers, expected) in [
            ("nobody says anything", XForwardedFor, "10.0.0.1", &[][..], ClientScheme::Http),
            ("TLS ended there", XForwardedFor, "10.0.0.1", &[(xfp, "https")], ClientScheme::Https),
            ("in any case", XForwardedFor, "10.0.0.1", &[(xfp, "HTTPS")], ClientScheme::Https),
            ("it did not", XForwardedFor, "10.0.0.1", &[(xfp, "http")], ClientScheme::Http),
            ("a stranger says so", XForwardedFor, "198.51.100.7", &[(xfp, "https")], ClientScheme::Http),
            (
                "the client said so first",
                XForwardedFor,
                "10.0.0.1",
                &[(xfp, "https, http")],
                ClientScheme::Http,
            ),
            (
                "the same on two lines",
                XForwardedFor,
                "10.0.0.1",
                &[(xfp, "https"), (xfp, "http")],
                ClientScheme::Http,
            ),
            ("nonsense", XForwardedFor, "10.0.0.1", &[(xfp, "x")], ClientScheme::Http),
            (
                "the other header is the client's",
                XForwardedFor,
                "10.0.0.1",
                &[("forwarded", "proto=https")],
                ClientScheme::Http,
            ),
            (
                "the standard header",
                Forwarded,
                "10.0.0.1",
                &[("forwarded", "for=203.0.113.9;proto=https")],
                ClientScheme::Https,
            ),
            (
                "the nearest hop of it",
                Forwarded,
                "10.0.0.1",
                &[("forwarded", "proto=https, for=203.0.113.9; Proto=\"http\"")],
                ClientScheme::Http,
            ),
            ("then this one is the client's", Forwarded, "10.0.0.1", &[(xfp, "https")], ClientScheme::Http),
            ("no header is a proxy's", ProxyProtocol, "10.0.0.1", &[(xfp, "https")], ClientScheme::Http),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            assert_eq!(ClientScheme::of(near.parse().unwrap(), &map, &trusted, source), expected, "{why}");
        }
    }
}
