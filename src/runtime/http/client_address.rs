//! Who is really at the other end, when a proxy is in between.
//!
//! A proxy's word is believed only when its own address is trusted: anybody can send these headers. And only in the one
//! header that the proxy is known to write: most proxies write one of the two and pass the other on as the client sent it.
//! The chain is read from the near end, and the first address that is not a trusted proxy is the client.

use std::{fmt, net::IpAddr, str::FromStr};

use axum::http::HeaderMap;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::AddressPrefix;

/// Hops of one header looked at; a longer chain is somebody playing.
const HOPS_MAX: usize = 20;

/// The first bits that the addresses of one operator's proxies have in common, of either version.
const V4_BITS_MIN: u8 = 8;
const V6_BITS_MIN: u8 = 16;
/// Ranges of version 6 that are wide and are nobody's on the internet.
const PRIVATE_V6: [&str; 2] = ["fc00::/7", "fe80::/10"];

/// Where trusted proxies say who the client is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddressSource {
    /// In the header `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// In the header `Forwarded` (RFC 7239).
    Forwarded,
    /// In a PROXY protocol header, version 2, with which each of their connections begins.
    ProxyProtocol,
}

/// The client's address, as a request extension: for limits and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The client of a request that came from `near`, as far as `trusted` proxies wrote it. What says nothing (an
    /// obfuscated hop, or a garbled one) leaves the proxy that wrote it, so that everybody is counted under some address.
    pub fn of(near: IpAddr, headers: &HeaderMap, trusted: &[Network], source: ClientAddressSource) -> Self {
        if !Network::any_has(trusted, near) {
            return Self(near);
        }
        let (name, read): (_, fn(&str) -> Option<IpAddr>) = match source {
            ClientAddressSource::XForwardedFor => ("x-forwarded-for", address),
            ClientAddressSource::Forwarded => ("forwarded", forwarded_for),
            // The connection has said it already.
            ClientAddressSource::ProxyProtocol => return Self(near),
        };
        let lines = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
        let hops: Vec<Option<IpAddr>> = lines.flat_map(|line| line.split(',')).map(read).collect();
        let mut client = near;
        for hop in hops.into_iter().rev().take(HOPS_MAX) {
            // What is beyond a hop that says nothing cannot be trusted.
            let Some(hop) = hop else { break };
            client = hop;
            if !Network::any_has(trusted, hop) {
                break;
            }
        }
        Self(client)
    }

    /// Who is counted together with it.
    pub fn prefix(self) -> AddressPrefix {
        AddressPrefix::of(self.0)
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

    /// Whether it has more addresses than one operator has, so that strangers are among them.
    pub fn has_strangers(&self) -> bool {
        let is_within = |wide: &str| wide.parse::<IpNet>().is_ok_and(|wide| wide.contains(&self.0));
        match self.0 {
            IpNet::V4(net) => net.prefix_len() < V4_BITS_MIN,
            IpNet::V6(net) => {
                net.prefix_len() < V6_BITS_MIN && !PRIVATE_V6.iter().any(|wide| is_within(wide))
            }
        }
    }

    /// Whether an address is in one of them.
    pub fn any_has(networks: &[Self], address: IpAddr) -> bool {
        networks.iter().any(|network| network.has(address))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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

    use ClientAddressSource::{Forwarded, ProxyProtocol, XForwardedFor};

    fn client(source: ClientAddressSource, near: &str, headers: &[(&'static str, &'static str)]) -> String {
        let trusted: Vec<Network> = ["10.0.0.0/8", "2001:db8:1::/48"].map(|raw| raw.parse().unwrap()).into();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        ClientAddress::of(near.parse().unwrap(), &map, &trusted, source).0.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        const XFF: &str = "x-forwarded-for";
        for (why, near, value, expected) in [
            ("nobody in between", "198.51.100.7", None, "198.51.100.7"),
            ("a stranger claims to be a proxy", "198.51.100.7", Some("203.0.113.9"), "198.51.100.7"),
            ("one proxy", "10.0.0.1", Some("203.0.113.9"), "203.0.113.9"),
            ("with a port", "10.0.0.1", Some("203.0.113.9:4711"), "203.0.113.9"),
            ("two proxies", "10.0.0.1", Some("203.0.113.9, 10.2.3.4"), "203.0.113.9"),
            ("the client forged the far end", "10.0.0.1", Some("1.2.3.4, 203.0.113.9"), "203.0.113.9"),
            ("a private client that is no proxy", "10.0.0.1", Some("1.2.3.4, 192.168.0.9"), "192.168.0.9"),
            ("nonsense at the near end", "10.0.0.1", Some("1.2.3.4, nonsense"), "10.0.0.1"),
            ("nonsense behind a proxy", "10.0.0.1", Some("1.2.3.4, nonsense, 10.2.3.4"), "10.2.3.4"),
            ("nothing at the near end", "10.0.0.1", Some("1.2.3.4, "), "10.0.0.1"),
            ("version 6", "2001:db8:1::5", Some("2001:db8::9"), "2001:db8::9"),
        ] {
            let headers: Vec<_> = value.map(|value| (XFF, value)).into_iter().collect();
            assert_eq!(client(XForwardedFor, near, &headers), expected, "{why}");
        }
    }

    #[test]
    fn the_standard_header_is_read_where_it_is_named() {
        for (why, near, value, expected) in [
            ("one proxy", "10.0.0.1", "for=203.0.113.9;proto=https", "203.0.113.9"),
            ("quoted, version 6", "10.0.0.1", "For=\"[2001:db8::9]:47\"", "2001:db8::9"),
            ("hidden", "10.0.0.1", "for=_hidden", "10.0.0.1"),
            ("not known", "10.0.0.1", "for=unknown", "10.0.0.1"),
            ("it says something else", "10.0.0.1", "proto=https", "10.0.0.1"),
            ("a chain over version 6", "2001:db8:1::5", "for=203.0.113.9, for=10.9.9.9", "203.0.113.9"),
        ] {
            assert_eq!(client(Forwarded, near, &[("forwarded", value)]), expected, "{why}");
        }
    }

    #[test]
    fn one_header_is_believed_and_no_other() {
        let both = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.10")];
        for (source, expected) in
            [(XForwardedFor, "203.0.113.9"), (Forwarded, "203.0.113.10"), (ProxyProtocol, "10.0.0.1")]
        {
            assert_eq!(client(source, "10.0.0.1", &both), expected, "{source:?}");
        }
        for (source, other) in [
            (XForwardedFor, ("forwarded", "for=203.0.113.9")),
            (Forwarded, ("x-forwarded-for", "203.0.113.9")),
        ] {
            assert_eq!(client(source, "10.0.0.1", &[other]), "10.0.0.1", "{source:?} alone");
        }
        let lines = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(client(XForwardedFor, "10.0.0.1", &lines), "203.0.113.9", "the last line is the nearest");
    }

    #[test]
    fn a_network_that_has_strangers_is_known() {
        for (network, expected) in [
            ("0.0.0.0/0", true),
            ("::/0", true),
            ("128.0.0.0/1", true),
            ("8.0.0.0/7", true),
            ("2000::/3", true),
            ("10.0.0.0/8", false),
            ("17.0.0.0/8", false),
            ("192.168.0.0/16", false),
            ("203.0.113.9", false),
            ("2400:cb00::/32", false),
            ("fc00::/7", false),
            ("fd00::/8", false),
            ("fe80::/10", false),
            ("::1", false),
        ] {
            assert_eq!(network.parse::<Network>().unwrap().has_strangers(), expected, "{network}");
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
