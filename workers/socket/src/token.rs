//! Whose token is believed: JWTs (RFC 7519) signed with HS256, RS256, ES256 or EdDSA.
//!
//! The key decides the algorithm, never the token's header, so that nobody can have an RSA key taken for a secret.

use std::{fmt, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use tokio_util::sync::CancellationToken;
use watchbell::{
    domain::{GroupId, Secret, Tenant, Topic, TopicPattern, UserId, UserKey},
    runtime::config::AuthConfig,
};

use crate::jwks::{self, Jwks, Key, Refreshed};

/// The longest token looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Who a token says it is, until when, and what else they may read. Cheap to clone: one a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The person.
    pub user: UserKey,
    /// The token's time is over then.
    pub expires_at: Timestamp,
    /// When it was made, in whole seconds; none when it does not say, and then no revocation is older than it.
    pub issued_at: Option<Timestamp>,
    /// None for most people, who have only their inbox.
    pub grants: Option<Arc<Grants>>,
}

/// What a token allows beyond the inbox of its user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Topics of the tenant that may be read (I8).
    pub topics: Box<[TopicPattern]>,
    /// Groups the user belongs to.
    pub groups: Box<[GroupId]>,
}

impl Identity {
    /// Whether this topic, of their own tenant, may be read.
    pub fn may_read(&self, topic: &Topic) -> bool {
        self.topics().iter().any(|pattern| pattern.allows(topic))
    }

    /// The topics that may be read.
    pub fn topics(&self) -> &[TopicPattern] {
        self.grants.as_ref().map_or(&[], |grants| &grants.topics)
    }

    /// The groups they belong to, as far as the token says.
    pub fn groups(&self) -> &[GroupId] {
        self.grants.as_ref().map_or(&[], |grants| &grants.groups)
    }
}

impl Grants {
    /// Those of a token. A word that is not a pattern or a group of ours allows nothing and is passed over, because
    /// sign-in services put their own under the same names.
    fn of(claims: &Claims) -> Option<Arc<Self>> {
        let topics: Box<[_]> =
            claims.topics.words().filter_map(|word| TopicPattern::parse(word).ok()).collect();
        let groups: Box<[_]> = claims.groups.words().filter_map(|word| GroupId::parse(word).ok()).collect();
        let any = !topics.is_empty() || !groups.is_empty();
        any.then(|| Arc::new(Self { topics, groups }))
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
    /// Its key is not known, and the keys have not been read since it came: it may be good a little later.
    #[error("the token's key is not known yet: try again")]
    UnknownKey,
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
    /// Seconds since 1970; some sign-in services write a fraction.
    #[serde(default, deserialize_with = "whole_seconds", skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// The tenant's id; the configured one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    topics: Words,
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    groups: Words,
}

/// A claim of several words: a list, or a text with blanks between them as `scope` has it (RFC 8693, section 4.2).
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Words {
    List(Vec<String>),
    Text(String),
    /// Somebody else's claim of the same name.
    #[serde(skip_serializing)]
    Other(IgnoredAny),
}

impl Default for Words {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Words {
    fn words(&self) -> impl Iterator<Item = &str> {
        let (list, text): (&[String], &str) = match self {
            Self::List(list) => (list, ""),
            Self::Text(text) => (&[], text),
            Self::Other(_) => (&[], ""),
        };
        list.iter().map(String::as_str).chain(text.split_whitespace())
    }

    fn is_empty(&self) -> bool {
        self.words().next().is_none()
    }
}

fn whole_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    // Saturates, which makes nonsense very old or very new, and then a revocation or the expiry decides.
    Ok(Option::<f64>::deserialize(from)?.map(|seconds| seconds.floor() as i64))
}

/// Knows the keys.
pub struct Authenticator {
    keys: Vec<(DecodingKey, Validation)>,
    pub(crate) jwks: Option<Jwks>,
    leeway_s: i64,
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
            !keys.is_empty() || config.jwks_url.is_some(),
            "auth.hs256_secret, auth.public_key_files or auth.jwks_url must be given, or nobody could sign in"
        );
        let jwks = config.jwks_url.as_deref().map(|url| Jwks::new(url, config)).transpose();
        let keys = keys.into_iter().map(|(key, algorithm)| (key, validation(config, algorithm))).collect();
        let default_tenant = config.default_tenant.as_deref().map(Tenant::parse).transpose();
        Ok(Self {
            keys,
            jwks: jwks.context("auth.jwks_url")?,
            leeway_s: config.leeway.as_secs() as i64,
            default_tenant: default_tenant.context("auth.default_tenant")?,
        })
    }

    /// Reads `auth.jwks_url`, if there is one, whenever it is time to or a token names a new key, until `stop`.
    pub async fn keep_keys(&self, stop: &CancellationToken) {
        if let Some(jwks) = &self.jwks {
            jwks.keep(stop).await;
        }
    }

    /// Checks a token at a moment, with a look at `auth.jwks_url` when its key is not known yet.
    ///
    /// # Errors
    /// [`TokenError`], and [`TokenError::UnknownKey`] only when the keys could not be read or were read just before.
    pub async fn identify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        let verified = self.verify(token, now);
        let (Some(jwks), Err(TokenError::UnknownKey)) = (&self.jwks, &verified) else { return verified };
        let refreshed = jwks.refresh().await;
        match self.verify(token, now) {
            Err(TokenError::UnknownKey) if refreshed == Refreshed::Since => Err(TokenError::Invalid),
            verified => verified,
        }
    }

    /// Checks a token at a moment, with the keys that are known.
    ///
    /// # Errors
    /// [`TokenError`]. Which part was wrong is not told to whoever forged it.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let claims = self.claims_of(token)?;
        if claims.exp.saturating_add(self.leeway_s) <= now.as_second() {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|nbf| nbf.saturating_sub(self.leeway_s) > now.as_second()) {
            return Err(TokenError::Invalid);
        }
        let grants = Grants::of(&claims);
        let issued_at = claims.iat.and_then(|second| Timestamp::from_second(second).ok());
        let tenant = match claims.tenant {
            Some(tenant) => Tenant::parse(tenant).map_err(|_| TokenError::Invalid)?,
            None => self.default_tenant.clone().ok_or(TokenError::Invalid)?,
        };
        let user = UserId::parse(claims.sub).map_err(|_| TokenError::Invalid)?;
        let expires_at =
            Timestamp::from_second(claims.exp.saturating_add(self.leeway_s)).unwrap_or(Timestamp::MAX);
        Ok(Identity { user: UserKey::new(tenant, user), expires_at, issued_at, grants })
    }

    /// What the token says, once a key of ours has signed it.
    fn claims_of(&self, token: &str) -> Result<Claims, TokenError> {
        if let Some(claims) = self.keys.iter().find_map(|(key, validation)| signed(token, key, validation)) {
            return Ok(claims);
        }
        let Some(jwks) = &self.jwks else { return Err(TokenError::Invalid) };
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        let keys = jwks.keys();
        // A token without `kid` may be of any key.
        let named = |key: &&Key| header.kid.is_none() || key.kid == header.kid;
        let mut candidates = keys.iter().filter(named).peekable();
        let is_known = header.kid.is_some() && candidates.peek().is_some();
        let claims = candidates.find_map(|key| signed(token, &key.key, &key.validation));
        let may_be_new = !is_known && jwks::ALGORITHMS.contains(&header.alg);
        claims.ok_or(if may_be_new { TokenError::UnknownKey } else { TokenError::Invalid })
    }
}

fn signed(token: &str, key: &DecodingKey, validation: &Validation) -> Option<Claims> {
    Some(jsonwebtoken::decode::<Claims>(token, key, validation).ok()?.claims)
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
pub(crate) fn validation(config: &AuthConfig, algorithm: Algorithm) -> Validation {
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

/// A token of somebody's inbox, issued now, for demos and tests.
///
/// # Errors
/// The secret cannot sign.
pub fn mint(
    secret: &Secret,
    config: &AuthConfig,
    user: &UserKey,
    expires_at: Timestamp,
) -> anyhow::Result<String> {
    NewToken { user, issued_at: Timestamp::now(), expires_at, grants: &Grants::default() }
        .sign(secret, config)
}

/// A token to be made, for `watchbell token`. A team's own sign-in makes them in production.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// Whose.
    pub user: &'a UserKey,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When its time is over.
    pub expires_at: Timestamp,
    /// What it allows beyond the inbox.
    pub grants: &'a Grants,
}

impl NewToken<'_> {
    /// Signs it with HS256, for the audience and by the issuer that are configured.
    ///
    /// # Errors
    /// The secret cannot sign.
    pub fn sign(&self, secret: &Secret, config: &AuthConfig) -> anyhow::Result<String> {
        let claims = Claims {
            sub: self.user.user.to_string(),
            exp: self.expires_at.as_second(),
            nbf: None,
            iat: Some(self.issued_at.as_second()),
            tenant: Some(self.user.tenant.to_string()),
            aud: config.audience.clone(),
            iss: config.issuer.clone(),
            topics: Words::List(self.grants.topics.iter().map(TopicPattern::to_string).collect()),
            groups: Words::List(self.grants.groups.iter().map(GroupId::to_string).collect()),
        };
        let key = EncodingKey::from_secret(secret.expose().as_bytes());
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
pub(crate) mod tests;
