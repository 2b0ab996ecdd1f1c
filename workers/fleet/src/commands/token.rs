//! `watchbell token`

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use watchbell::{
    domain::{UserId, UserKey},
    runtime::Config,
};
use watchbell_socket::token::mint;

use crate::{cli::TokenArgs, output};

pub(crate) fn run(config: &Config, args: &TokenArgs) -> anyhow::Result<()> {
    let secret = config.auth.hs256_secret.as_ref();
    let secret =
        secret.context("auth.hs256_secret is not configured, and tokens can only be made with it")?;
    let tenant = super::tenant(args.tenant.as_deref(), config)?;
    let user = UserKey::new(tenant, UserId::parse(&args.user).context("--user")?);
    let expires_at = Timestamp::now() + SignedDuration::from_secs(i64::from(args.seconds));
    output::line(mint(secret, &config.auth, &user, expires_at)?);
    Ok(())
}
