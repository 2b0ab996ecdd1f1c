//! Keeps calls to addresses that strangers name out of our own network.
//!
//! A Web Push endpoint is what a client says, and the address of a webhook is what a producer says, so calling it could reach
//! into our own network. Names are looked up here, at the moment of connecting, and their private addresses are left out. A
//! check at registration would not be enough, because the owner of the name can change its address afterwards.

use std::{io, net::SocketAddr};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use watchbell::domain::internet::is_public;

/// Looks names up and keeps their public addresses only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(io::Error::other("the name has no public address").into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether the host is an address in a private network. A name is judged when it is looked up; an address is not looked up.
pub(crate) fn is_in_private_network(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.parse().is_ok_and(|address| !is_public(address))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_home_is_not_followed() {
        let found = PublicOnly.resolve("localhost".parse().unwrap()).await;
        assert!(found.is_err());
    }
}
