//! `watchbell token`

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use watchbell::{
    domain::{GroupId, TopicPattern, UserId, UserKey},
    runtime::Config,
};
use watchbell_socket::token::{Grants, NewToken};

use crate::{cli::TokenArgs, output, up};

pub(crate) fn run(config: &Config, args: &TokenArgs) -> anyhow::Result<()> {
    let secret = match &config.auth.hs256_secret {
        Some(secret) => secret.clone(),
        None => up::secret_of(&args.data)
            .context("auth.hs256_secret is not configured, so that of `up` is looked for")?,
    };
    let tenant = super::tenant(args.tenant.as_deref(), config)?;
    let user = UserKey::new(tenant, UserId::parse(&args.user).context("--user")?);
    let issued_at = Timestamp::now();
    let expires_at = issued_at + SignedDuration::from_secs(i64::from(args.seconds));
    let grants = Grants {
        topics: args
            .topics
            .iter()
            .map(|topic| TopicPattern::parse(topic))
            .collect::<Result<_, _>>()
            .context("--topics")?,
        groups: args.groups.iter().map(GroupId::parse).collect::<Result<_, _>>().context("--groups")?,
    };
    let token = NewToken { user: &user, issued_at, expires_at, grants: &grants };
    output::line(token.sign(&secret, &config.auth)?);
    Ok(())
}
