//! How connections are taken in, and how the listener is told to end.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::course::Patience;
use crate::{
    domain::internet::is_public,
    runtime::{
        config::HttpConfig,
        http::{AddressPrefix, ClientAddressSource, Network, ShareBounds},
    },
};

/// How long a connection of a proxy is kept between two requests at the least. Longer than balancers keep theirs (nginx
/// and ALB: 60 s), so that it is they who close, and no request is sent into a connection that we are closing.
const KEEP_ALIVE_OF_PROXIES: Duration = Duration::from_secs(75);
/// Connections of the listener for operations: probes and collectors of metrics are few.
const OPERATIONS_CONNECTIONS_MAX: usize = 64;

/// How connections are taken in.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Addresses whose word about the client is believed.
    pub trusted_proxies: Arc<[Network]>,
    /// Where they say who the client is.
    pub client_address: ClientAddressSource,
    /// How long is waited for a peer.
    pub patience: Patience,
    /// Connections that speak HTTP at once. Those that were taken over, or gave their place back, do not count.
    pub connections_max: usize,
    /// How many of them one peer may have.
    pub share: ShareBounds,
}

impl Listening {
    /// As configured.
    pub fn of(config: &HttpConfig) -> Self {
        Self {
            trusted_proxies: config.trusted_proxies.as_slice().into(),
            client_address: config.client_address,
            patience: Patience {
                head: config.head_timeout,
                keep_alive: config.keep_alive,
                body: config.body_timeout,
                stall: config.stall_timeout,
                bytes_per_second_min: config.bytes_per_second_min,
            },
            connections_max: config.connections_max,
            share: ShareBounds {
                public_max: config.connections_per_address_max,
                private_max: config.connections_per_private_address_max,
            },
        }
    }

    /// For the operations endpoints: nobody stands in between, and who asks is not counted.
    pub fn of_operations(config: &HttpConfig) -> Self {
        Self {
            trusted_proxies: Arc::new([]),
            connections_max: OPERATIONS_CONNECTIONS_MAX,
            share: ShareBounds { public_max: 0, private_max: 0 },
            ..Self::of(config)
        }
    }

    /// Whether connections from there begin with a PROXY protocol header.
    pub(super) fn speaks_proxy_protocol(&self, peer: IpAddr) -> bool {
        self.client_address == ClientAddressSource::ProxyProtocol && self.is_trusted(peer)
    }

    /// Whose connections are counted together with one from there, and how many they may be; `None`: it is not counted.
    /// A trusted proxy carries everybody's requests, so its own address says nothing about who has how much.
    pub(super) fn share_of(&self, peer: IpAddr) -> Option<Share> {
        if self.is_trusted(peer) {
            return None;
        }
        Some(Share { prefix: AddressPrefix::of(peer), max: self.share.of(peer)? })
    }

    /// How long is waited for a peer at this address. Whoever may be a proxy (a trusted one, or from a private address)
    /// keeps connections for the requests of others.
    pub(super) fn patience_with(&self, peer: IpAddr) -> Patience {
        let mut patience = self.patience;
        if self.is_trusted(peer) || !is_public(peer) {
            patience.keep_alive = patience.keep_alive.max(KEEP_ALIVE_OF_PROXIES);
        }
        patience
    }

    fn is_trusted(&self, peer: IpAddr) -> bool {
        Network::any_has(&self.trusted_proxies, peer)
    }
}

impl Default for Listening {
    fn default() -> Self {
        Self::of(&HttpConfig::default())
    }
}

/// How many connections are counted together, and how many they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Whose they are.
    pub prefix: AddressPrefix,
    /// How many they may be.
    pub max: usize,
}

/// How the listener is told to end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// From when this fires every answer is the last of its connection, so that balancers take theirs elsewhere while
    /// everything is still served.
    pub leaving: CancellationToken,
    /// When this fires nothing more is taken in.
    pub stop: CancellationToken,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn behind(proxy: &str) -> Listening {
        Listening {
            trusted_proxies: Arc::new([proxy.parse().unwrap()]),
            share: ShareBounds { public_max: 2, private_max: 20 },
            ..Listening::default()
        }
    }

    #[test]
    fn a_trusted_proxy_is_not_counted_by_its_address() {
        let listening = behind("10.0.0.0/8");
        for (address, expected) in [("93.184.215.14", Some(2)), ("192.168.0.9", Some(20)), ("10.0.0.1", None)]
        {
            let share = listening.share_of(address.parse().unwrap());
            assert_eq!(share.map(|share| share.max), expected, "{address}");
        }
    }

    #[test]
    fn who_may_be_a_proxy_keeps_its_connections_longer() {
        let listening = behind("93.184.215.0/24");
        for (why, address, is_longer) in [
            ("a stranger", "8.8.8.8", false),
            ("a trusted proxy", "93.184.215.14", true),
            ("a proxy that nobody named", "10.0.0.1", true),
        ] {
            let keep_alive = listening.patience_with(address.parse().unwrap()).keep_alive;
            assert_eq!(keep_alive > listening.patience.keep_alive, is_longer, "{why}");
        }
    }
}
