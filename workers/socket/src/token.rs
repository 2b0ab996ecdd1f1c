//! Whose token is believed: JWTs (RFC 7519) signed with HS256, RS256, ES256 or EdDSA.
//!
//! The key decides the algorithm, never the token's header, so that nobody can have an RSA key taken for a secret.

use std::fmt;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use watchbell::{
    domain::{Secret, Tenant, UserId, UserKey},
    runtime::config::AuthConfig,
};

/// Clocks may differ by this much, in seconds.
const LEEWAY_S: i64 = 30;
/// The longest token looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Who a token says it is, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The person.
    pub user: UserKey,
    /// The token's time is over then.
    pub expires_at: Timestamp,
}

impl Identity {
    pub(crate) fn may_read(&self, _: &watchbell::domain::Topic) -> bool {
        true
    }
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was good once: get a new one.
    #[error("the token has expired")]
    Expired,
    /// It is not one of ours: forged, garbled, for somebody else, or without what is needed.
    #[error("the token is not valid here")]
    Invalid,
}

/// What a token has to say. Anything else is passed over.
#[derive(Serialize, Deserialize)]
struct Claims {
    /// The user's id.
    sub: String,
    /// Seconds since 1970.
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    /// The tenant's id; the configured one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
}

/// Knows the keys.
pub struct Authenticator {
    keys: Vec<(DecodingKey, Validation)>,
    default_tenant: Option<Tenant>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Reads the keys.
    ///
    /// # Errors
    /// Names the setting: no key at all, or a file that is not one.
    pub fn new(config: &AuthConfig) -> anyhow::Result<Self> {
        let mut keys = Vec::new();
        if let Some(secret) = &config.hs256_secret {
            keys.push((DecodingKey::from_secret(secret.expose().as_bytes()), Algorithm::HS256));
        }
        for file in &config.public_key_files {
            let name = file.display();
            let pem = std::fs::read(file)
                .with_context(|| format!("auth.public_key_files: {name} cannot be read"))?;
            keys.push(public_key(&pem).with_context(|| {
                format!("auth.public_key_files: {name} is not a PEM public key of RSA, P-256 or Ed25519")
            })?);
        }
        ensure!(
            !keys.is_empty(),
            "auth.hs256_secret or auth.public_key_files must be given, or nobody could sign in"
        );
        let keys = keys.into_iter().map(|(key, algorithm)| (key, validation(config, algorithm))).collect();
        let default_tenant = config.default_tenant.as_deref().map(Tenant::parse).transpose();
        Ok(Self { keys, default_tenant: default_tenant.context("auth.default_tenant")? })
    }

    /// Checks a token at a moment.
    ///
    /// # Errors
    /// [`TokenError`]. Which part was wrong is not told to whoever forged it.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let claims = self
            .keys
            .iter()
            .find_map(|(key, validation)| jsonwebtoken::decode::<Claims>(token, key, validation).ok())
            .ok_or(TokenError::Invalid)?
            .claims;
        if claims.exp.saturating_add(LEEWAY_S) <= now.as_second() {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|nbf| nbf.saturating_sub(LEEWAY_S) > now.as_second()) {
            return Err(TokenError::Invalid);
        }
        let tenant = match claims.tenant {
            Some(tenant) => Tenant::parse(tenant).map_err(|_| TokenError::Invalid)?,
            None => self.default_tenant.clone().ok_or(TokenError::Invalid)?,
        };
        let user = UserId::parse(claims.sub).map_err(|_| TokenError::Invalid)?;
        let expires_at =
            Timestamp::from_second(claims.exp.saturating_add(LEEWAY_S)).unwrap_or(Timestamp::MAX);
        Ok(Identity { user: UserKey::new(tenant, user), expires_at })
    }
}

fn public_key(pem: &[u8]) -> anyhow::Result<(DecodingKey, Algorithm)> {
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        return Ok((key, Algorithm::RS256));
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        return Ok((key, Algorithm::ES256));
    }
    match DecodingKey::from_ed_pem(pem) {
        Ok(key) => Ok((key, Algorithm::EdDSA)),
        Err(_) => bail!("unknown kind of key"),
    }
}

/// Signature, audience and issuer; times are checked by [`Authenticator::verify`], against its own clock.
fn validation(config: &AuthConfig, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.required_spec_claims = ["exp", "sub"].into_iter().map(str::to_owned).collect();
    match &config.audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        None => validation.validate_aud = false,
    }
    if let Some(issuer) = &config.issuer {
        validation.set_issuer(&[issuer]);
        validation.required_spec_claims.insert("iss".to_owned());
    }
    validation
}

/// Makes a token, for `watchbell token`, demos and tests. A team's own sign-in makes them in production.
///
/// # Errors
/// The secret cannot sign.
pub fn mint(
    secret: &Secret,
    config: &AuthConfig,
    user: &UserKey,
    expires_at: Timestamp,
) -> anyhow::Result<String> {
    let claims = Claims {
        sub: user.user.to_string(),
        exp: expires_at.as_second(),
        nbf: None,
        tenant: Some(user.tenant.to_string()),
        aud: config.audience.clone(),
        iss: config.issuer.clone(),
    };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
