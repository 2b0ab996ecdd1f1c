//! Which addresses are on the public internet, for calls whose target a client names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is on the public internet. By the registries of special-purpose addresses,
/// <https://www.iana.org/assignments/iana-ipv4-special-registry> and `…-ipv6-…`.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let special = v4.is_unspecified()
        || a == 0
        || v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast()
        || v4.is_documentation()
        || (a == 100 && (64..128).contains(&b)) // Shared by carriers (RFC 6598).
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)) // Benchmarks (RFC 2544).
        || a >= 240;
    !special
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    // What stands for an IPv4 address leads where that leads.
    if let Some(v4) = v6.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [first, second, ..] = v6.segments();
    // 2000::/3 is all that is given out; of it, 6to4 and Teredo carry IPv4 addresses, and 2001:db8 is for documents.
    let given_out = (first & 0xe000) == 0x2000;
    given_out && first != 0x2002 && !(first == 0x2001 && (second == 0 || second == 0x0db8))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_the_internet_is_called() {
        for (why, address, expected) in [
            ("a public one", "93.184.215.14", true),
            ("loopback", "127.0.0.1", false),
            ("all of loopback", "127.9.9.9", false),
            ("nowhere", "0.0.0.0", false),
            ("private, 10", "10.0.0.1", false),
            ("private, 172.16", "172.31.255.255", false),
            ("just outside it", "172.32.0.1", true),
            ("private, 192.168", "192.168.1.1", false),
            ("the cloud's metadata", "169.254.169.254", false),
            ("a carrier's", "100.64.0.1", false),
            ("just outside it", "100.128.0.1", true),
            ("multicast", "224.0.0.1", false),
            ("reserved", "250.0.0.1", false),
            ("public, version 6", "2606:2800:220:1::1", true),
            ("loopback, version 6", "::1", false),
            ("unique local", "fd00::1", false),
            ("link local", "fe80::1", false),
            ("loopback in disguise", "::ffff:127.0.0.1", false),
            ("loopback through 6to4", "2002:7f00:1::", false),
            ("Teredo", "2001:0:1::1", false),
            ("NAT64 of a private one", "64:ff9b::10.0.0.1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{why}: {address}");
        }
    }
}
