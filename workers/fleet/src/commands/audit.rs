//! `watchbell audit`: who changed what, the newest first.

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::json;
use watchbell::{
    domain::{Tenant, audit::as_logged},
    runtime::Config,
    store::{AuditEntry, AuditQuery},
};

use crate::{cli::AuditArgs, output};

pub(crate) async fn run(config: &Config, args: AuditArgs) -> anyhow::Result<()> {
    let wanted = AuditQuery {
        tenant: args.tenant.as_deref().map(Tenant::parse).transpose().context("--tenant")?,
        since: args
            .since
            .as_deref()
            .map(|text| super::moment("--since", text, Timestamp::now()))
            .transpose()?,
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
    if entries.is_empty() {
        output::note("There are no such entries.");
    }
    if entries.len() == wanted.limit {
        output::note("There may be more: --limit, or a later --since.");
    }
    Ok(())
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
