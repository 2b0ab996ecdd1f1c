//! One tenant's webhook: an outcome is posted as it is on the exchange, signed by the scheme of Standard Webhooks.
//!
//! What holds here:
//! - 2xx is the only answer that means "told"; a redirect is not followed.
//! - Only the public internet is called, by https, unless the operator allows more for this address.
//! - Neither the address nor an answer is repeated in a log: both may hold a password.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use reqwest::{Client, Url, header::CONTENT_TYPE};
use watchbell::{
    runtime::config::WebhookTarget,
    wire::standard_webhooks::{self, SigningSecret},
};

use super::not_told::NotTold;
use crate::channel::{
    SetupError,
    http::{self, Calls, Protocol},
    public_only::{PublicOnly, is_in_private_network},
};

/// From the first byte sent to the last received. Within fallback's drain, so that leaving tells nothing twice.
const CALL_MAX: Duration = Duration::from_secs(10);

/// Posts to one address.
pub(super) struct Webhook {
    client: Client,
    url: Url,
    secrets: Vec<SigningSecret>,
}

impl Webhook {
    /// Checks the address.
    ///
    /// # Errors
    /// It is none, or one that may not be called.
    pub(super) fn new(target: &WebhookTarget) -> Result<Self, SetupError> {
        let fault = SetupError::Endpoint("tenants.NAME.outcomes.url");
        let Ok(url) = Url::parse(target.url.expose()) else { return Err(fault) };
        let may_be_called =
            target.private_endpoints || url.scheme() == "https" && !is_in_private_network(&url);
        if !may_be_called || !matches!(url.scheme(), "http" | "https") {
            return Err(fault);
        }
        let client = http::client(Calls {
            protocol: Protocol::Negotiated,
            timeout: CALL_MAX,
            trust_root_pem: None,
            identity_pem: None,
            resolver: (!target.private_endpoints).then(|| Arc::new(PublicOnly)),
            stand_ins: &[],
        })?;
        Ok(Self { client, url, secrets: target.secrets.clone() })
    }

    /// Posts one outcome. `id` is the same for every try.
    pub(super) async fn post(&self, id: &str, body: Vec<u8>, now: Timestamp) -> Result<(), NotTold> {
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        for (name, value) in standard_webhooks::headers(&self.secrets, id, now, &body) {
            request = request.header(name, value);
        }
        let answer = http::exchange(request.body(body)).await.map_err(|error| NotTold {
            wait_min: Duration::ZERO,
            // A kind and a cause, without the address.
            reason: error.reason().to_owned(),
        })?;
        match answer.status {
            200..=299 => Ok(()),
            status => Err(NotTold {
                wait_min: http::retry_after(&answer.headers, now).unwrap_or_default(),
                reason: format!("it answered {status}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use watchbell::domain::Secret;

    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_called_unless_more_is_allowed() {
        let secret = Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let secrets = vec![SigningSecret::parse(&secret).unwrap()];
        for (url, public, private) in [
            ("https://backend.acme.example/hook?key=1", true, true),
            ("https://10.0.0.1/hook", false, true),
            ("https://[::1]/hook", false, true),
            ("https://169.254.169.254/latest", false, true),
            ("http://backend.acme.example/hook", false, true),
            ("ftp://backend.acme.example/hook", false, false),
            ("https://", false, false),
        ] {
            for (private_endpoints, expected) in [(false, public), (true, private)] {
                let target =
                    WebhookTarget { url: Secret::from(url), secrets: secrets.clone(), private_endpoints };
                assert_eq!(Webhook::new(&target).is_ok(), expected, "{url} {private_endpoints}");
            }
        }
    }
}
