//! Tokens made here, for demos, tests and `watchbell token`. A team's own sign-in makes them in production.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use watchbell::{
    domain::{GroupId, Secret, TopicPattern, UserKey},
    runtime::config::AuthConfig,
};

use super::identity::Grants;

/// A token of somebody's inbox, issued now.
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

/// A token to be made.
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
    /// A claim is configured that cannot be written from here (a pointer), or the secret cannot sign.
    pub fn sign(&self, secret: &Secret, config: &AuthConfig) -> anyhow::Result<String> {
        for (setting, claim) in [
            ("user_claim", &config.user_claim),
            ("tenant_claim", &config.tenant_claim),
            ("topics_claim", &config.topics_claim),
        ] {
            anyhow::ensure!(
                !claim.starts_with('/'),
                "auth.{setting} points into another claim: let your sign-in service make the token"
            );
        }
        let mut claims = json!({
            "exp": self.expires_at.as_second(),
            "iat": self.issued_at.as_second(),
            "sub": self.user.user.as_str(),
        });
        claims[&config.user_claim] = json!(self.user.user.as_str());
        claims[&config.tenant_claim] = json!(self.user.tenant.to_string());
        if let Some(audience) = &config.audience {
            claims["aud"] = json!(audience);
        }
        if let Some(issuer) = &config.issuer {
            claims["iss"] = json!(issuer);
        }
        let Grants { topics, groups } = self.grants;
        if !topics.is_empty() {
            claims[&config.topics_claim] = topics.iter().map(TopicPattern::to_string).collect();
        }
        if !groups.is_empty() {
            claims["groups"] = groups.iter().map(GroupId::to_string).collect();
        }
        let key = EncodingKey::from_secret(secret.expose().as_bytes());
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
    }
}
