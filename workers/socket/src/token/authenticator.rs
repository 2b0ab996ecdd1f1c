//! Whose token is believed: JWTs (RFC 7519) signed with HS256, RS256, ES256 or EdDSA.
//!
//! The key decides the algorithm, never the token's header, so that nobody can have an RSA key taken for a secret.

use std::{fmt, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use tokio_util::sync::CancellationToken;
use watchbell::{
    domain::{GroupId, Tenant, TopicPattern, UserId, UserKey},
    runtime::{Current, config::AuthConfig},
};

use super::{
    claims::{ClaimName, ClaimNames, Claims},
    identity::{Grants, Identity},
    jwks::{self, Jwks, Refreshed, VerificationKey},
    refusal::{ClaimProblem, Refusal, RefusalLog, TokenError},
    validation::validation,
};

/// The longest token looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A key of the configuration, and what is asked of the tokens that it signed.
type OwnKey = (DecodingKey, Validation);

/// Knows the keys.
pub struct Authenticator {
    keys: Current<Vec<OwnKey>>,
    pub(crate) jwks: Option<Jwks>,
    names: ClaimNames,
    leeway_s: i64,
    default_tenant: Option<Tenant>,
    refusals: RefusalLog,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("keys", &self.keys.get().len()).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Reads the keys.
    ///
    /// # Errors
    /// Names the setting: no key at all, or a file that is not one.
    pub fn new(config: &AuthConfig) -> anyhow::Result<Self> {
        let keys = Current::new(own_keys(config)?);
        let jwks = config.jwks_url.as_deref().map(|url| Jwks::new(url, config)).transpose();
        let default_tenant = config.default_tenant.as_deref().map(Tenant::parse).transpose();
        Ok(Self {
            keys,
            jwks: jwks.context("auth.jwks_url")?,
            names: ClaimNames::new(config)?,
            leeway_s: config.leeway.as_secs() as i64,
            default_tenant: default_tenant.context("auth.default_tenant")?,
            refusals: RefusalLog::default(),
        })
    }

    /// Reads the keys of the configuration anew: `auth.hs256_secret`, the one before it, and `auth.public_key_files`. Sessions that are open
    /// go on until their token ends.
    ///
    /// # Errors
    /// As [`Authenticator::new`]; the keys stay as they were.
    pub fn replace_keys(&self, config: &AuthConfig) -> anyhow::Result<()> {
        self.keys.replace(own_keys(config)?);
        Ok(())
    }

    /// Believes these keys of a set besides, as if they had been read from `auth.jwks_url`.
    pub(crate) fn with_keys_of(self, set: &[u8], config: &AuthConfig) -> anyhow::Result<Self> {
        let others = jwks::keys_of(set, config)?.into_iter().map(|key| (key.key, key.validation));
        self.keys.replace(own_keys(config)?.into_iter().chain(others).collect());
        Ok(self)
    }

    /// Reads `auth.jwks_url`, if there is one, whenever it is time to or a token names a new key, until `stop`.
    pub async fn keep_keys(&self, stop: &CancellationToken) {
        if let Some(jwks) = &self.jwks {
            jwks.keep(stop).await;
        }
    }

    /// Checks a token at a moment, with a look at `auth.jwks_url` when its key is not known yet. A refusal is logged.
    ///
    /// # Errors
    /// [`TokenError`], and [`TokenError::UnknownKey`] only when the keys could not be read or were read just before.
    pub async fn identify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        let identified = self.verify_with_new_keys(token, now).await;
        if let Err(error) = &identified {
            self.refusals.tell(error, now);
        }
        identified
    }

    async fn verify_with_new_keys(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        let verified = self.verify(token, now);
        let (Some(jwks), Err(TokenError::UnknownKey)) = (&self.jwks, &verified) else { return verified };
        let refreshed = jwks.refresh().await;
        match self.verify(token, now) {
            Err(TokenError::UnknownKey) if refreshed == Refreshed::Since => Err(Refusal::Signature.into()),
            verified => verified,
        }
    }

    /// Checks a token at a moment, with the keys that are known.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong { max: TOKEN_BYTES_MAX }.into());
        }
        let claims = self.claims_of(token)?;
        let expires_at = self.check_times(&claims, now)?;
        let issued_at = claims.seconds("iat")?.and_then(|second| Timestamp::from_second(second).ok());
        let grants = grants_of(&claims, &self.names);
        Ok(Identity { user: self.user_of(&claims)?, expires_at, issued_at, grants })
    }

    /// When the token's time is over, if it is not over now and has begun.
    pub(super) fn check_times(&self, claims: &Claims, now: Timestamp) -> Result<Timestamp, TokenError> {
        let expires = claims.seconds("exp")?.ok_or_else(|| missing("exp"))?;
        let over = expires.saturating_add(self.leeway_s);
        if over <= now.as_second() {
            return Err(TokenError::Expired);
        }
        let begins_later = |second: i64| second.saturating_sub(self.leeway_s) > now.as_second();
        if claims.seconds("nbf")?.is_some_and(begins_later) {
            return Err(Refusal::NotYet.into());
        }
        // It would outlive every revocation until then.
        if claims.seconds("iat")?.is_some_and(begins_later) {
            return Err(Refusal::FromTheFuture.into());
        }
        Ok(Timestamp::from_second(over).unwrap_or(Timestamp::MAX))
    }

    fn user_of(&self, claims: &Claims) -> Result<UserKey, Refusal> {
        let ClaimNames { user, tenant, .. } = &self.names;
        let name = claims.name(user)?.ok_or_else(|| Refusal::claim(user, ClaimProblem::Missing))?;
        let id = UserId::parse_new(name).map_err(|_| Refusal::claim(user, ClaimProblem::NotAUser))?;
        let tenant = match claims.name(tenant)? {
            Some(name) => {
                Tenant::parse(name).map_err(|_| Refusal::claim(tenant, ClaimProblem::NotATenant))?
            }
            None => {
                let default = self.default_tenant.clone();
                default.ok_or_else(|| Refusal::claim(tenant, ClaimProblem::NoTenant))?
            }
        };
        Ok(UserKey::new(tenant, id))
    }

    /// What the token says, once a key of ours has signed it.
    pub(super) fn claims_of(&self, token: &str) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::NotAToken)?;
        let own = self.keys.get();
        if let Some(done) = first_signed(token, own.iter().map(|(key, validation)| (key, validation))) {
            return Ok(understood(done?, &header)?);
        }
        let Some(jwks) = &self.jwks else { return Err(Refusal::Signature.into()) };
        let keys = jwks.keys();
        // A token without `kid` may be of any key.
        let named = |key: &&VerificationKey| header.kid.is_none() || key.kid == header.kid;
        let mut candidates = keys.iter().filter(named).peekable();
        let is_known = header.kid.is_some() && candidates.peek().is_some();
        match first_signed(token, candidates.map(|key| (&key.key, &key.validation))) {
            Some(done) => Ok(understood(done?, &header)?),
            None if !is_known && jwks::ALGORITHMS.contains(&header.alg) => Err(TokenError::UnknownKey),
            None => Err(Refusal::Signature.into()),
        }
    }
}

fn own_keys(config: &AuthConfig) -> anyhow::Result<Vec<OwnKey>> {
    let secrets = [&config.hs256_secret, &config.hs256_previous_secret].into_iter().flatten();
    let mut keys: Vec<_> = secrets
        .map(|secret| (DecodingKey::from_secret(secret.expose().as_bytes()), Algorithm::HS256))
        .collect();
    for file in &config.public_key_files {
        let name = file.display();
        let pem =
            std::fs::read(file).with_context(|| format!("auth.public_key_files: {name} cannot be read"))?;
        keys.push(public_key(&pem).with_context(|| {
            format!("auth.public_key_files: {name} is not a PEM public key of RSA, P-256 or Ed25519")
        })?);
    }
    ensure!(
        !keys.is_empty() || config.jwks_url.is_some(),
        "auth.hs256_secret, auth.public_key_files or auth.jwks_url must be given, or nobody could sign in"
    );
    Ok(keys.into_iter().map(|(key, algorithm)| (key, validation(config, algorithm))).collect())
}

/// What a token allows beyond the inbox. A word that is not a pattern or a group of ours allows nothing and is passed
/// over, because sign-in services put their own under the same names.
fn grants_of(claims: &Claims, names: &ClaimNames) -> Option<Arc<Grants>> {
    let patterns = claims.words(&names.topics).into_iter();
    let topics: Box<[_]> = patterns.filter_map(|word| TopicPattern::parse(word).ok()).collect();
    let words = claims.words(&ClaimName::new("groups".into())).into_iter();
    let groups: Box<[_]> = words.filter_map(|word| GroupId::parse(word).ok()).collect();
    let any = !topics.is_empty() || !groups.is_empty();
    any.then(|| Arc::new(Grants { topics, groups }))
}

/// What the first key makes of a token that it has signed; `None` when no key has.
fn first_signed<'a>(
    token: &str,
    keys: impl Iterator<Item = (&'a DecodingKey, &'a Validation)>,
) -> Option<Result<Claims, Refusal>> {
    keys.map(|(key, validation)| signed(token, key, validation))
        .find(|signed| signed.as_ref().err().is_none_or(Refusal::is_behind_the_signature))
}

fn signed(token: &str, key: &DecodingKey, validation: &Validation) -> Result<Claims, Refusal> {
    let decoded = jsonwebtoken::decode(token, key, validation);
    decoded.map(|token| Claims(token.claims)).map_err(|error| Refusal::of(error.kind()))
}

/// Refuses extensions that have to be understood: we know none (RFC 7515, section 4.1.11).
fn understood(claims: Claims, header: &jsonwebtoken::Header) -> Result<Claims, Refusal> {
    match header.crit {
        Some(_) => Err(Refusal::Critical),
        None => Ok(claims),
    }
}

fn missing(claim: &str) -> Refusal {
    Refusal::Claim { claim: claim.to_owned(), problem: ClaimProblem::Missing }
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

#[cfg(test)]
#[path = "authenticator_tests.rs"]
pub(crate) mod tests;
