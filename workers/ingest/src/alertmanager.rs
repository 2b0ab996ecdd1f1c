//! `POST /v1/hooks/alertmanager`: Alertmanager's webhook, version 4
//! (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>).
//!
//! What holds here:
//! - One alert of Alertmanager is one of ours. Its id is made from what both of an HA pair agree on, so the second
//!   post of the pair, and every repetition, is a duplicate (I2).
//! - 2xx only when confirmed. 5xx is repeated within the group interval, 4xx is not: so 4xx is only for what
//!   will never be right.
//! - What is too long is cut between characters, what is too much is left out and counted in `data.left_out`: a long
//!   annotation must not keep people from being told.
//!
//! Elsewhere: how one alert is translated in [`translate`].

mod translate;

use std::collections::BTreeMap;

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use tracing::{info, warn};
use watchbell::{
    broker::Message,
    domain::{Alert, Audience, GroupId, Status, Tenant, UserId},
    wire::Problem,
};

use crate::{
    App, Shared, alerts,
    count::What,
    limits::{ALERTS_MAX, READS_PER_REQUEST_MAX},
    publish, request, store_problem,
};
use translate::{Context, Stored};

/// Accepts what Alertmanager posts.
pub async fn accept(
    State(shared): App,
    Extension(tenant): Extension<Tenant>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    request::expect_type(&parts.headers, &["application/json"])?;
    let body = request::body(body).await?;
    let trace = publish::trace_of(&parts.headers);
    let messages = messages_of(&shared, &tenant, &uri, &body, trace).await.inspect_err(|problem| {
        if problem.status < 500 {
            What::Alert.count("invalid", 1);
            let (field, reason) = (problem.field.as_deref(), problem.detail.as_deref());
            // It comes again with the next group interval and no earlier: somebody has to mend the configuration.
            warn!(%tenant, field, reason, "A post of Alertmanager was refused");
        }
    })?;
    let accepted = messages.len();
    publish::publish(&shared, What::Alert, messages).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "accepted": accepted }))).into_response())
}

async fn messages_of(
    shared: &Shared,
    tenant: &Tenant,
    uri: &Uri,
    body: &[u8],
    trace: Option<&str>,
) -> Result<Vec<Message>, Problem> {
    let query = Query::of(uri)?;
    alerts::check_policy(tenant, query.policy.as_deref(), &shared.ingest.policies)?;
    let hook = Hook::parse(body)?;
    if hook.truncated_alerts > 0 {
        let missing = hook.truncated_alerts;
        info!(%tenant, missing, "Alertmanager left out {missing} alerts: see `max_alerts` of its webhook_config");
    }
    let context =
        Context { hook: &hook, tenant, policy: query.policy.as_deref(), now: shared.ingest.clock.now() };
    let mut alerts = Vec::with_capacity(hook.alerts.len());
    for (index, alert) in hook.alerts.iter().enumerate() {
        let alert =
            audience_of(&alert.labels, &query).and_then(|to| translate::alert_of(&context, alert, to));
        alerts.push((index, alert.map_err(|problem| problem.at_index(index))?));
    }
    let numbered = stream::iter(alerts).map(|(index, alert)| async move {
        let alert = Alert { version: version_of(shared, &alert).await?, ..alert };
        publish::ready(&alert, trace).map_err(|problem| problem.at_index(index))
    });
    numbered.buffered(READS_PER_REQUEST_MAX).try_collect().await
}

/// The post. What it has beyond this is passed over: Alertmanager adds fields in minor versions.
#[derive(Deserialize)]
struct Hook {
    version: String,
    #[serde(rename = "groupKey")]
    group_key: String,
    #[serde(rename = "truncatedAlerts", default)]
    truncated_alerts: u64,
    receiver: String,
    #[serde(rename = "externalURL", default)]
    external_url: String,
    alerts: Vec<HookAlert>,
}

/// One alert of it.
#[derive(Deserialize)]
struct HookAlert {
    #[serde(default)]
    status: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(rename = "startsAt")]
    starts_at: String,
    /// Year 1 while it fires.
    #[serde(rename = "endsAt", default)]
    ends_at: String,
    #[serde(rename = "generatorURL", default)]
    generator_url: String,
    fingerprint: String,
}

impl Hook {
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let hook: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            if !error.inner().is_data() {
                return request::not_json(error.inner());
            }
            let path = error.path().to_string();
            let field = if matches!(path.as_str(), "." | "?") { "body".to_owned() } else { path };
            // The reader's own words would repeat values.
            Problem::invalid(
                field,
                "is not what a webhook of Alertmanager, version 4, has there, or is missing a field",
            )
        })?;
        reader.end().map_err(|error| request::not_json(&error))?;
        if hook.version != "4" {
            return Err(Problem::invalid(
                "version",
                "must be \"4\", the one that Alertmanager 0.6 and later send",
            ));
        }
        if hook.alerts.len() > ALERTS_MAX {
            let detail =
                format!("has more than {ALERTS_MAX}: set `max_alerts: {ALERTS_MAX}` in webhook_config");
            return Err(Problem::invalid("alerts", detail));
        }
        Ok(hook)
    }
}

/// What the operator wrote behind the address in `webhook_config`.
#[derive(Debug, Default)]
struct Query {
    audience: Audience,
    policy: Option<String>,
}

impl Query {
    fn of(uri: &Uri) -> Result<Self, Problem> {
        let given = request::query(uri, &["users", "groups", "everyone", "policy"])?;
        let text = |name: &str| given.get(name).map(String::as_str).unwrap_or_default();
        let everyone = match text("everyone") {
            "" | "false" => false,
            "true" => true,
            _ => return Err(Problem::invalid("everyone", "must be true or false")),
        };
        let users = request::list("users", text("users"), |text| UserId::parse(text))?;
        let groups = request::list("groups", text("groups"), |text| GroupId::parse(text))?;
        Ok(Self { audience: Audience { users, groups, everyone }, policy: given.get("policy").cloned() })
    }
}

/// Whom an alert is for: its own labels, which a rule's author wrote for this alert, before the address, which is for all.
fn audience_of(labels: &BTreeMap<String, String>, query: &Query) -> Result<Audience, Problem> {
    const USERS: &str = "watchbell_users";
    const GROUPS: &str = "watchbell_groups";
    let text = |name: &str| labels.get(name).map(String::as_str).unwrap_or_default();
    let users = request::list("labels.watchbell_users", text(USERS), |text| UserId::parse(text))?;
    let groups = request::list("labels.watchbell_groups", text(GROUPS), |text| GroupId::parse(text))?;
    let own = Audience { users, groups, everyone: false };
    match (own.is_empty(), query.audience.is_empty()) {
        (false, _) => Ok(own),
        (true, false) => Ok(query.audience.clone()),
        (true, true) => Err(Problem::invalid(
            "to",
            "Nobody is named. Add ?users=ana,ben, ?groups=ops or ?everyone=true to the url in webhook_config, or the \
             label watchbell_users or watchbell_groups to the alert.",
        )),
    }
}

async fn version_of(shared: &Shared, alert: &Alert) -> Result<u32, Problem> {
    let latest = shared.ingest.store.latest(&alert.tenant, &alert.id).await;
    let latest = latest.map_err(|error| store_problem(&error))?;
    let stored = latest.map(|latest| Stored { version: latest.version, over: is_over(&latest.content) });
    Ok(translate::next_version(alert.status, stored))
}

fn is_over(content: &str) -> bool {
    #[derive(Deserialize)]
    struct Content {
        status: String,
    }
    serde_json::from_str::<Content>(content).is_ok_and(|content| content.status == Status::Resolved.as_str())
}
