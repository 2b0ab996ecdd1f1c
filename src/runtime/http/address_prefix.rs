//! What of an address tells one peer from another: all of an IPv4 address, the first 64 bits of an IPv6 address.
//!
//! A household or a rented machine is given a whole /64 of IPv6 addresses and may use another for each connection, so a
//! bound by whole addresses would hold nobody.

use std::net::{IpAddr, Ipv6Addr};

use crate::domain::internet::is_public;

/// The bits of an IPv6 address that its owner cannot choose.
const V6_MASK: u128 = !0 << 64;

/// Whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressPrefix(IpAddr);

impl AddressPrefix {
    /// The one that an address belongs to.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & V6_MASK)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// How much everybody of one [`AddressPrefix`] may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareBounds {
    /// From an address on the internet. 0: any number.
    pub public_max: usize,
    /// From a loopback or private address, which may stand for many people: behind a balancer or a gateway that puts its
    /// own address in the place of theirs, everybody has it. 0: any number.
    pub private_max: usize,
}

impl ShareBounds {
    /// How much an address may have; `None`: any number.
    pub fn of(self, address: IpAddr) -> Option<usize> {
        let max = if is_public(address.to_canonical()) { self.public_max } else { self.private_max };
        (max > 0).then_some(max)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_choose_an_address_is_one_peer() {
        for (why, one, other, are_one) in [
            ("the same", "93.184.215.14", "93.184.215.14", true),
            ("neighbours of version 4", "93.184.215.14", "93.184.215.15", false),
            ("one household of version 6", "2600:1f00:1:2::1", "2600:1f00:1:2:ffff:ffff:ffff:ffff", true),
            ("the household beside it", "2600:1f00:1:2::1", "2600:1f00:1:3::1", false),
            ("version 4 written as version 6", "::ffff:93.184.215.14", "93.184.215.14", true),
            ("and those keep all their bits", "::ffff:93.184.215.14", "::ffff:93.184.215.15", false),
        ] {
            let prefix = |text: &str| AddressPrefix::of(text.parse().unwrap());
            assert_eq!(prefix(one) == prefix(other), are_one, "{why}");
        }
    }

    #[test]
    fn a_private_address_has_a_bound_of_its_own() {
        let bounds = ShareBounds { public_max: 2, private_max: 50 };
        for (address, expected) in [
            ("93.184.215.14", Some(2)),
            ("::ffff:93.184.215.14", Some(2)),
            ("2600:1f00::1", Some(2)),
            ("127.0.0.1", Some(50)),
            ("10.1.2.3", Some(50)),
            ("100.64.0.1", Some(50)),
            ("::1", Some(50)),
            ("fd00::1", Some(50)),
        ] {
            assert_eq!(bounds.of(address.parse().unwrap()), expected, "{address}");
        }
        let none = ShareBounds { public_max: 0, private_max: 0 };
        assert_eq!(none.of("93.184.215.14".parse().unwrap()), None, "0 is no bound");
    }
}
