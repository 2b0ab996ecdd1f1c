//! A stored alert, read back from what clients are given of it: for whoever decides about it again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::action::stored_actions;
use crate::domain::{Action, Alert, AlertId, Audience, Severity, Status, Tenant};

/// What `content_of` wrote, of this version or of another one: unknown fields are passed over, and what cannot be read is
/// left out. It was checked on its way in, by the rules of that day, and is not refused by those of today.
#[derive(Deserialize)]
struct StoredV1 {
    version: u32,
    source: Option<String>,
    category: Option<String>,
    severity: String,
    status: String,
    title: String,
    body: Option<String>,
    body_format: Option<String>,
    url: Option<String>,
    image: Option<String>,
    #[serde(default, deserialize_with = "stored_actions")]
    actions: Vec<Action>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    data: Map<String, Value>,
    collapse_key: Option<String>,
    group_key: Option<String>,
    occurred_at: String,
    expires_at: Option<String>,
    dismissed_until: Option<String>,
}

/// The alert with this content, and the policy that is stored beside it. Its audience is whoever holds it. `None` when that
/// is not what `content_of` wrote.
pub fn stored_alert(tenant: &Tenant, id: &AlertId, content: &str, policy: Option<&str>) -> Option<Alert> {
    let stored: StoredV1 = serde_json::from_str(content).ok()?;
    let time = |text: Option<String>| text.and_then(|text| text.parse::<Timestamp>().ok());
    Some(Alert {
        id: id.clone(),
        version: stored.version,
        tenant: tenant.clone(),
        to: Audience::default(),
        source: stored.source,
        category: stored.category,
        severity: stored.severity.parse().unwrap_or(Severity::Warning),
        status: stored.status.parse().unwrap_or(Status::Firing),
        title: stored.title,
        body: stored.body,
        body_format: stored.body_format.and_then(|word| word.parse().ok()).unwrap_or_default(),
        url: stored.url,
        image: stored.image,
        actions: stored.actions,
        labels: stored.labels,
        data: stored.data,
        policy: policy.map(str::to_owned),
        collapse_key: stored.collapse_key,
        group_key: stored.group_key,
        occurred_at: stored.occurred_at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        is_dated: true,
        expires_at: time(stored.expires_at),
        dismissed_until: time(stored.dismissed_until),
    })
}

#[test]
#[allow(clippy::unwrap_used)]
fn a_stored_alert_is_what_was_published_but_for_its_audience() {
    let json = serde_json::json!({
        "to": {"users": ["ana"]}, "tenant": "acme", "id": "a", "version": 3, "source": "s", "category": "c",
        "severity": "critical", "status": "suppressed", "title": "t", "body": "b", "body_format": "markdown",
        "url": "https://a.example/", "image": "https://a.example/a.png", "group_key": "g",
        "actions": [{"id": "yes", "title": "Yes", "answer": "y"}, {"id": "r", "title": "Runbook", "url": "https://a.example/r"}],
        "labels": {"env": "prod"}, "data": {"n": 1}, "policy": "p", "collapse_key": "k",
        "occurred_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-03T00:00:00Z",
        "dismissed_until": "2026-01-02T00:00:00Z",
    });
    let nothing = crate::wire::alert::Defaults { tenant: None, id: None, now: Timestamp::UNIX_EPOCH };
    let published = crate::wire::parse_alert(json.to_string().as_bytes(), &nothing).unwrap();
    let content = crate::wire::content_of(&published);
    let back = stored_alert(&published.tenant, &published.id, &content, Some("p")).unwrap();
    assert_eq!(back, Alert { to: Audience::default(), ..published });
    assert_eq!(stored_alert(&back.tenant, &back.id, "{}", None), None);
}
