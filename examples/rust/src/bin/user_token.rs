//! Mints the token with which a user's browser or app opens their inbox.
//!
//! ```text
//! cargo run -p watchbell-examples --bin example-user-token ana
//! ```
//!
//! Reads `WATCHBELL_JWT_SECRET` (the secret of `auth.hs256_secret`) and `WATCHBELL_TENANT` from its environment.
//! Your backend does this for whoever is signed in there, and for nobody else.

#![allow(clippy::print_stdout)]

use std::{
    env,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

const LIFETIME: Duration = Duration::from_secs(15 * 60);

fn main() -> anyhow::Result<()> {
    let secret = env::var("WATCHBELL_JWT_SECRET").context("WATCHBELL_JWT_SECRET")?;
    let tenant = env::var("WATCHBELL_TENANT").context("WATCHBELL_TENANT")?;
    let user = env::args().nth(1).context("whose token?")?;
    println!("{}", user_token(&secret, &tenant, &user)?);
    Ok(())
}

fn user_token(secret: &str, tenant: &str, user: &str) -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let claims = json!({
        "sub": user,
        "tenant": tenant,
        "iat": now.as_secs(),
        "exp": (now + LIFETIME).as_secs(),
        // What may be read beside the inbox; leave it out where there are no topics.
        "topics": ["monitor:*"],
    });
    let key = EncodingKey::from_secret(secret.as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}
