//! `watchbell audit`: who changed what, the newest first.

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::json;
use watchbell::{
    domain::{Tenant, audit::as_logged},
    runtime::{Config, config::parse_duration},
    store::{AuditEntry, AuditQuery},
};

use crate::{cli::AuditArgs, output};

pub(crate) async fn run(config: &Config, args: AuditArgs) -> anyhow::Result<()> {
    let wanted = AuditQuery {
        tenant: args.tenant.as_deref().map(Tenant::parse).transpose().context("--tenant")?,
        since: args.since.as_deref().map(|text| since_of(text, Timestamp::now())).transpose()?,
        actor: args.actor.as_deref().map(as_logged),
        object: args.object.as_deref().map(as_logged),
        before: None,
        limit: args.limit,
    };
    let store = super::store(config, &args.data).await?;
    let entries = store.audit_entries(&wanted).await?;
    store.close().await;
    for entry in &entries {
        output::line(if args.json { to_json(entry) } else { to_line(entry) });
    }
    if entries.len() == wanted.limit {
        output::note("There may be more: --limit, or a later --since.");
    }
    Ok(())
}

/// A time, or how long ago it was.
fn since_of(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Some(ago) = parse_duration(text) {
        return now.checked_sub(ago).context("--since is too long ago");
    }
    match text.parse() {
        Ok(at) => Ok(at),
        Err(_) => {
            bail!("--since must be a duration such as 24h or 7d, or a time such as 2026-11-30T12:00:00Z")
        }
    }
}

fn to_line(entry: &AuditEntry) -> String {
    let AuditEntry { tenant, at, actor, action, object, outcome, .. } = entry;
    let tenant = tenant.as_ref().map_or("-", Tenant::as_str);
    let [actor, object, outcome] = [actor, object, outcome].map(|text| output::inline(text));
    format!("{at}  {tenant:<16} {actor:<24} {action:<16} {object}  {outcome}")
}

fn to_json(entry: &AuditEntry) -> String {
    let AuditEntry { id, tenant, at, actor, action, object, outcome } = entry;
    json!({
        "id": id,
        "tenant": tenant.as_ref().map(Tenant::as_str),
        "at": at.to_string(),
        "actor": actor,
        "action": action,
        "object": object,
        "outcome": outcome,
    })
    .to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("24h", Some("2026-11-29T12:00:00Z")),
            ("7d", Some("2026-11-23T12:00:00Z")),
            ("2026-11-30T08:00:00Z", Some("2026-11-30T08:00:00Z")),
            ("yesterday", None),
            ("24", None),
        ] {
            let since = since_of(text, now).ok();
            assert_eq!(since, expected.map(|text| text.parse().unwrap()), "{text}");
        }
    }
}
