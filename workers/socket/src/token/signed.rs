//! One token of a sign-in service, checked by keys that are read for it.
//!
//! It is for who signs in a few times a day, as operators do: the keys are those of this moment, and none are kept.

use jiff::Timestamp;
use serde_json::{Map, Value};
use watchbell::runtime::config::AuthConfig;

use super::{
    authenticator::{Authenticator, TOKEN_BYTES_MAX},
    claims::ClaimName,
    refusal::{Refusal, TokenError},
};

/// Why nothing is known of a token.
#[derive(Debug, thiserror::Error)]
pub enum FreshKeysError {
    /// The keys cannot be read now.
    #[error("the keys cannot be read: {0:#}")]
    Keys(anyhow::Error),
    /// The keys were read, and the token is not believed.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// What a token says that one of the keys at `config.jwks_url` has signed, for `config.audience` and by `config.issuer`, whose time is
/// not over. Makes one request.
///
/// # Errors
/// [`FreshKeysError`].
pub async fn claims_by_fresh_keys(
    config: &AuthConfig,
    token: &str,
    now: Timestamp,
) -> Result<Map<String, Value>, FreshKeysError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::from(Refusal::TooLong { max: TOKEN_BYTES_MAX }).into());
    }
    let authenticator = with_fresh_keys(config).await.map_err(FreshKeysError::Keys)?;
    let claims = authenticator.claims_of(token)?;
    authenticator.check_times(&claims, now)?;
    Ok(claims.0)
}

async fn with_fresh_keys(config: &AuthConfig) -> anyhow::Result<Authenticator> {
    let authenticator = Authenticator::new(config)?;
    match &authenticator.jwks {
        None => Ok(authenticator),
        Some(jwks) => {
            let set = jwks.fetch_set().await?;
            authenticator.with_keys_of(&set, config)
        }
    }
}

/// The claim of this name; one that begins with `/` is a JSON pointer (RFC 6901), as in the section `[auth]`.
pub fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    ClaimName::new(name.into()).found_in(claims)
}
