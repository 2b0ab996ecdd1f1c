//! The check of addresses that signed requests are posted to: for the channel of webhooks, and for outcomes.

use anyhow::{anyhow, ensure};

use crate::{
    domain::{Secret, web_address::web_address},
    wire::standard_webhooks::SigningSecret,
};

/// Whether an address can be called, and what is posted there be signed.
///
/// # Errors
/// Names the key, `secret` or `url`, and never repeats its value.
pub fn check_signed(
    secret: Option<&Secret>,
    url: Option<&Secret>,
    private_endpoints: bool,
) -> anyhow::Result<()> {
    if let Some(secret) = secret {
        SigningSecret::parse(secret).map_err(|why| anyhow!("secret {why}"))?;
    }
    if let Some(url) = url {
        web_address(url.expose()).map_err(|why| anyhow!("url {why}"))?;
        ensure!(
            private_endpoints || url.expose().starts_with("https://"),
            "url must begin with https://; http:// needs private_endpoints"
        );
    }
    Ok(())
}
