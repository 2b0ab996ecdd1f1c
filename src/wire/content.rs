//! An alert as it goes on: as a client is shown it, as senders read it back, and as a message to the queue.
//!
//! Elsewhere: an alert as a producer writes it, and the refusals, in [`super::alert`].

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    action::{ActionV1, stored_actions},
    schema,
};
use crate::domain::{Acknowledgement, Action, Alert, BodyFormat, GroupId, UserId};

/// The alert as clients see it, without whom it is for. The audience, the tenant and the policy stay inside (I8).
#[derive(Serialize, ToSchema)]
#[schema(as = ShownAlert)]
pub struct ContentV1<'a> {
    id: &'a str,
    #[schema(value_type = schema::AlertVersion)]
    version: u32,
    /// The system that noticed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    source: Option<&'a str>,
    /// The kind of alert, for preferences and templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    category: Option<&'a str>,
    #[schema(value_type = schema::SeverityWord)]
    severity: &'a str,
    /// `suppressed` and `resolved` withdraw pushes; all but `firing` end the escalation.
    #[schema(value_type = schema::StatusWord)]
    status: &'a str,
    /// One line that makes sense alone.
    #[schema(value_type = schema::Title)]
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body: Option<&'a str>,
    /// How the body is written; `text` when it is not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<schema::BodyFormatWord>)]
    body_format: Option<&'a str>,
    /// http or https.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri")]
    url: Option<&'a str>,
    /// A picture or an avatar, at an https address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri")]
    image: Option<&'a str>,
    /// Its buttons. One with `answer` is pressed by the receipt `answered`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<ActionV1>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    /// Anything the team's own client understands.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    data: &'a Map<String, Value>,
    /// Pushes with the same key replace each other on a phone; the id when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    collapse_key: Option<&'a str>,
    /// There where one of those whom it is for is to take the alert on, by the receipt `acknowledged`: empty, and once somebody did,
    /// who that is. Whoever says `passed_on` has the others told sooner.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    acknowledgement: Option<AcknowledgementV1>,
    /// Alerts of one key are shown as one group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    group_key: Option<&'a str>,
    #[schema(format = DateTime)]
    occurred_at: String,
    /// After this nobody is told any more. An alert that comes later than that is in the inbox as read, and nobody is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    expires_at: Option<String>,
    /// With the status `suppressed`: when the alert fires again by itself, as its next version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    dismissed_until: Option<String>,
}

/// Encodes an alert once, for every inbox and session it goes to.
pub fn content_of(alert: &Alert) -> String {
    let content = ContentV1 {
        id: alert.id.as_str(),
        version: alert.version,
        source: alert.source.as_deref(),
        category: alert.category.as_deref(),
        severity: alert.severity.as_str(),
        status: alert.status.as_str(),
        title: &alert.title,
        body: alert.body.as_deref(),
        body_format: (alert.body_format != BodyFormat::default()).then(|| alert.body_format.as_str()),
        url: alert.url.as_deref(),
        image: alert.image.as_deref(),
        actions: alert.actions.iter().map(ActionV1::of).collect(),
        labels: &alert.labels,
        data: &alert.data,
        collapse_key: alert.collapse_key.as_deref(),
        acknowledgement: None, // It is of the alert as it stands now: `with_acknowledgement`.
        group_key: alert.group_key.as_deref(),
        occurred_at: alert.occurred_at.to_string(),
        expires_at: alert.expires_at.map(|at| at.to_string()),
        dismissed_until: alert.dismissed_until.map(|at| at.to_string()),
    };
    // Text and numbers under text keys always serialize.
    serde_json::to_string(&content).unwrap_or_default()
}

/// Who has an alert that one of its recipients is to take on. Both fields are absent while nobody has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Acknowledgement)]
pub struct AcknowledgementV1 {
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    by: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    at: Option<String>,
}

impl AcknowledgementV1 {
    fn of(acknowledgement: &Acknowledgement) -> Self {
        match acknowledgement {
            Acknowledgement::Open => Self::default(),
            Acknowledgement::Taken { by, at } => {
                Self { by: Some(by.as_str().to_owned()), at: Some(at.to_string()) }
            }
        }
    }
}

/// What clients are given of an alert as [`content_of`] wrote it, with who has it, where it is to be acknowledged. That is no part of what
/// is stored of an alert's text: it changes without a version, and names a person who may be erased.
pub fn with_acknowledgement<'a>(content: &'a str, acknowledgement: Option<&Acknowledgement>) -> Cow<'a, str> {
    let Some(acknowledgement) = acknowledgement else { return Cow::Borrowed(content) };
    // An object with at least an id, so that a field can follow. Text always serializes.
    let Some(open) = content.trim_end().strip_suffix('}') else { return Cow::Borrowed(content) };
    let shown = serde_json::to_string(&AcknowledgementV1::of(acknowledgement)).unwrap_or_default();
    Cow::Owned(format!("{open},\"acknowledgement\":{shown}}}"))
}

/// What senders need of a stored alert. Unknown fields are passed over: a newer version may have written it.
#[derive(Debug, Clone, Deserialize)]
pub struct ShownAlert {
    /// One line.
    pub title: String,
    /// More.
    pub body: Option<String>,
    /// How the body is written, as a word; nothing for plain text.
    #[serde(default)]
    pub body_format: Option<String>,
    /// Where to read on.
    pub url: Option<String>,
    /// A picture.
    #[serde(default)]
    pub image: Option<String>,
    /// Its buttons.
    #[serde(default, deserialize_with = "stored_actions")]
    pub actions: Vec<Action>,
    /// How bad, as a word.
    pub severity: String,
    /// Whether it still goes on, as a word.
    #[serde(default)]
    pub status: String,
    /// The kind of alert.
    pub category: Option<String>,
    /// What pushes replace each other by; the id when absent.
    pub collapse_key: Option<String>,
    /// What lists group by.
    #[serde(default)]
    pub group_key: Option<String>,
    /// When it happened, RFC 3339.
    pub occurred_at: String,
    /// The producer's own fields.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// The buttons of an alert as clients are given it; none of what cannot be read.
pub fn actions_in(content: &str) -> Vec<Action> {
    #[derive(Deserialize)]
    struct Stored {
        #[serde(default, deserialize_with = "stored_actions")]
        actions: Vec<Action>,
    }
    serde_json::from_str::<Stored>(content).map(|stored| stored.actions).unwrap_or_default()
}

/// The alert as a message to `watchbell.alerts`, the form every producer publishes.
pub fn encode_alert(alert: &Alert) -> Vec<u8> {
    let to = json!({
        "users": alert.to.users.iter().map(UserId::as_str).collect::<Vec<_>>(),
        "groups": alert.to.groups.iter().map(GroupId::as_str).collect::<Vec<_>>(),
        "everyone": alert.to.everyone,
    });
    // `content_of` writes an object, so this reads back as one.
    let mut value: Map<String, Value> = serde_json::from_str(&content_of(alert)).unwrap_or_default();
    value.insert("tenant".into(), alert.tenant.as_str().into());
    value.insert("to".into(), to);
    if let Some(policy) = &alert.policy {
        value.insert("policy".into(), policy.as_str().into());
    }
    Value::Object(value).to_string().into_bytes()
}

#[test]
#[allow(clippy::unwrap_used)]
fn who_has_an_alert_is_told_with_what_it_says() {
    let at = "2026-11-30T10:00:00Z".parse().unwrap();
    let taken = Acknowledgement::Taken { by: UserId::parse("ana \"the\" b").unwrap(), at };
    let plain = r#"{"id":"a","title":"t"}"#;
    for (why, content, acknowledgement, expected) in [
        ("nothing is to be acknowledged", plain, None, plain),
        (
            "nobody has it",
            plain,
            Some(&Acknowledgement::Open),
            r#"{"id":"a","title":"t","acknowledgement":{}}"#,
        ),
        (
            "somebody has it",
            plain,
            Some(&taken),
            r#"{"id":"a","title":"t","acknowledgement":{"by":"ana \"the\" b","at":"2026-11-30T10:00:00Z"}}"#,
        ),
        ("it was deleted", "", Some(&taken), ""),
    ] {
        assert_eq!(with_acknowledgement(content, acknowledgement), expected, "{why}");
    }
}
