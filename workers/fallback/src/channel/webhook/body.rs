//! What is posted. The words of a message never change their meaning; a receiver passes over those it does not know.

use serde::Serialize;
use serde_json::{Map, Value};

use watchbell::domain::BodyFormat;

use crate::channel::message::{AlertContent, Button, Job, Message, Withdrawal};

/// One message.
#[derive(Serialize)]
struct Body<'a> {
    /// The same as in `webhook-id`.
    id: String,
    r#type: &'static str,
    tenant: &'a str,
    user: &'a str,
    /// The alert, or a name with `~` for one message about several.
    alert: &'a str,
    /// Why nobody needs to be told any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'static str>,
    /// The ids of earlier messages about this alert, oldest first, which this one takes the place of.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    replaces: &'a [String],
    /// Unread alerts of the user.
    unread: u64,
    #[serde(flatten)]
    content: Option<Content<'a>>,
}

/// What the alert says.
#[derive(Serialize)]
struct Content<'a> {
    severity: &'static str,
    status: &'static str,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// `markdown`, where the body is not plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    /// Its buttons. The `url` of one with an `answer` leads the person to a page that asks for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<ShownButton<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    data: &'a Map<String, Value>,
    occurred_at: String,
    expires_at: String,
}

/// A button.
#[derive(Serialize)]
struct ShownButton<'a> {
    id: &'a str,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
}

/// The JSON of a job: the same for every try. None of what a program is never told.
pub(super) fn of(job: &Job<'_>) -> Option<Vec<u8>> {
    let body = |r#type, alert, because, unread, content| Body {
        id: job.attempt.to_string(),
        r#type,
        tenant: job.user.tenant.as_str(),
        user: job.user.user.as_str(),
        alert,
        because,
        replaces: &job.shown,
        unread,
        content,
    };
    let body = match &job.message {
        Message::Activity(_) => return None,
        Message::Alert(alert) => body("alert", &*alert.alert, None, alert.unread, Some(content_of(alert))),
        Message::Withdrawal(Withdrawal { alerts, unread, because, content }) => {
            let alert = alerts.first().map(String::as_str).unwrap_or_default();
            let content = content.as_deref().map(content_of);
            body("withdrawal", alert, Some(because.as_str()), *unread, content)
        }
    };
    // Text and numbers under text keys always serialize.
    Some(serde_json::to_vec(&body).unwrap_or_default())
}

fn shown(button: &Button) -> ShownButton<'_> {
    let Button { id, title, link, answer } = button;
    ShownButton { id, title, url: link.as_deref(), answer: answer.as_deref() }
}

fn content_of(alert: &AlertContent) -> Content<'_> {
    Content {
        severity: alert.severity.as_str(),
        status: alert.status.as_str(),
        title: &alert.title,
        body: alert.body.as_deref(),
        body_format: (alert.body_format != BodyFormat::Text).then(|| alert.body_format.as_str()),
        url: alert.url.as_deref(),
        image: alert.image.as_deref(),
        actions: alert.actions.iter().map(shown).collect(),
        group_key: alert.group_key.as_deref(),
        category: alert.category.as_deref(),
        data: &alert.data,
        occurred_at: alert.occurred_at.to_string(),
        expires_at: alert.expires_at.to_string(),
    }
}
