//! Who is really at the other end, when a proxy is in between.
//!
//! A proxy's word is believed only when its own address is trusted: anybody can send these headers. The chain is read
//! from the near end, and the first address that is not a trusted proxy is the client.

use std::{net::IpAddr, str::FromStr};

use axum::http::HeaderMap;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Hops of one header looked at; a longer chain is somebody playing.
const HOPS_MAX: usize = 20;

/// The client's address, as a request extension: for limits and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The client of a request that came from `near`: of `Forwarded` (RFC 7239) when there is one, else of
    /// `X-Forwarded-For`, as far as `trusted` proxies wrote it.
    pub fn of(near: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Self {
        if !Network::any_has(trusted, near) {
            return Self(near);
        }
        let text = |name: &str| {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.collect::<Vec<_>>().join(",")
        };
        let forwarded = text("forwarded");
        let hops: Vec<Option<IpAddr>> = match forwarded.is_empty() {
            false => forwarded.split(',').map(forwarded_for).collect(),
            true => text("x-forwarded-for").split(',').map(address).collect(),
        };
        let mut client = near;
        for hop in hops.into_iter().rev().take(HOPS_MAX) {
            // An obfuscated or garbled hop says nothing, and what is beyond it cannot be trusted.
            let Some(hop) = hop else { break };
            client = hop;
            if !Network::any_has(trusted, hop) {
                break;
            }
        }
        Self(client)
    }
}

/// `for=` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(value.trim_matches('"'))
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(raw: &str) -> Option<IpAddr> {
    let raw = raw.trim();
    let bare = match raw.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => raw,
    };
    let without_port = || bare.rsplit_once(':').and_then(|(host, _)| host.parse().ok());
    bare.parse().ok().or_else(without_port).map(|ip: IpAddr| ip.to_canonical())
}

/// A range of addresses: `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether an address is in it.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether an address is in one of them.
    pub fn any_has(networks: &[Self], address: IpAddr) -> bool {
        networks.iter().any(|network| network.has(address))
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let one = || raw.parse::<IpAddr>().map(IpNet::from);
        raw.parse()
            .or_else(|_| one())
            .map(Self)
            .map_err(|_| "must be an address or a range of them, like 10.0.0.0/8")
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "2001:db8:1::/48"].map(|raw| raw.parse().unwrap()).into();
        for (why, near, header, value, expected) in [
            ("nobody in between", "198.51.100.7", None, "", "198.51.100.7"),
            (
                "a stranger claims to be a proxy",
                "198.51.100.7",
                Some("x-forwarded-for"),
                "203.0.113.9",
                "198.51.100.7",
            ),
            ("one proxy", "10.0.0.1", Some("x-forwarded-for"), "203.0.113.9", "203.0.113.9"),
            ("with a port", "10.0.0.1", Some("x-forwarded-for"), "203.0.113.9:4711", "203.0.113.9"),
            ("two proxies", "10.0.0.1", Some("x-forwarded-for"), "203.0.113.9, 10.2.3.4", "203.0.113.9"),
            (
                "the client forged the far end",
                "10.0.0.1",
                Some("x-forwarded-for"),
                "1.2.3.4, 203.0.113.9",
                "203.0.113.9",
            ),
            (
                "nonsense at the near end",
                "10.0.0.1",
                Some("x-forwarded-for"),
                "1.2.3.4, nonsense",
                "10.0.0.1",
            ),
            (
                "the standard header",
                "10.0.0.1",
                Some("forwarded"),
                "for=203.0.113.9;proto=https",
                "203.0.113.9",
            ),
            ("quoted, version 6", "10.0.0.1", Some("forwarded"), "For=\"[2001:db8::9]:47\"", "2001:db8::9"),
            ("hidden", "10.0.0.1", Some("forwarded"), "for=_hidden", "10.0.0.1"),
            (
                "a chain over version 6",
                "2001:db8:1::5",
                Some("forwarded"),
                "for=203.0.113.9, for=10.9.9.9",
                "203.0.113.9",
            ),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(name) = header {
                headers.insert(name, value.parse().unwrap());
            }
            let expected = ClientAddress(expected.parse().unwrap());
            assert_eq!(ClientAddress::of(near.parse().unwrap(), &headers, &trusted), expected, "{why}");
        }
    }

    #[test]
    fn a_network_has_what_it_says() {
        for (network, address, expected) in [
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.255.0.1", true),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::/0", "2001:db8::1", true),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.has(address.parse().unwrap()), expected, "{address} in {network}");
        }
        for nonsense in ["", "10.0.0.0/33", "ten", "10.0.0.0/x", " 10.0.0.0/8"] {
            assert!(nonsense.parse::<Network>().is_err(), "{nonsense}");
        }
    }
}
