//! What a message says: one alert, or a summary of several.

use jiff::Timestamp;
use watchbell::{
    domain::{Action, BodyFormat, Channel, Severity, Status, UserKey, channel::Removal},
    store::{Bundle, Escalation, EscalationKey},
    wire::alert::ShownAlert,
};

use super::not_sent::NotSent;
use crate::channel::{AlertContent, Button};

/// Alerts that a summary names.
const NAMED_MAX: usize = 10;

/// What a provider is to show for an escalation: its alert, or the alerts that its summary is about.
///
/// # Errors
/// The stored alert is of a form that this version does not know.
pub(super) fn content_to_show(
    key: &EscalationKey,
    escalation: &Escalation,
    channel: Channel,
) -> Result<AlertContent, NotSent> {
    let content = match &escalation.bundle {
        Some(bundle) => summary_content(key, bundle, channel, escalation),
        None => alert_content(key.alert.to_string(), key, &escalation.content, escalation),
    };
    content.ok_or_else(|| NotSent::Nowhere("the stored alert cannot be read by this version".to_owned()))
}

/// An action as a button. Where one that answers leads is known once its link is signed.
fn button_of(action: &Action) -> Button {
    Button {
        id: action.id.clone(),
        title: action.title.clone(),
        link: action.url().map(str::to_owned),
        answer: action.answer().map(str::to_owned),
    }
}

/// One alert. `None`: the stored content cannot be read.
pub(super) fn alert_content(
    alert: String,
    key: &EscalationKey,
    content: &str,
    escalation: &Escalation,
) -> Option<AlertContent> {
    content_for(alert, &key.user, content, (escalation.progress.expires_at, escalation.unread))
}

/// The same for a person of whom only that much is known: until when they are told, and what their badge shows.
pub(super) fn content_for(
    alert: String,
    user: &UserKey,
    content: &str,
    (expires_at, unread): (Timestamp, u64),
) -> Option<AlertContent> {
    let shown: ShownAlert = serde_json::from_str(content).ok()?;
    Some(AlertContent {
        user: user.user.as_str().to_owned(),
        tenant: user.tenant.to_string(),
        collapse_key: shown.collapse_key.unwrap_or_else(|| alert.clone()),
        group_key: shown.group_key,
        alert,
        title: shown.title,
        body: shown.body,
        body_format: shown.body_format.and_then(|word| word.parse().ok()).unwrap_or_default(),
        url: shown.url,
        image: shown.image,
        actions: shown.actions.iter().map(button_of).collect(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        severity: shown.severity.parse().unwrap_or(Severity::Warning),
        status: shown.status.parse().unwrap_or(Status::Firing),
        data: shown.data,
        category: shown.category,
        expires_at,
        occurred_at: shown.occurred_at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        unread,
    })
}

/// A summary: the number of alerts, and the newest of them by title. A single alert is shown as it is.
fn summary_content(
    key: &EscalationKey,
    bundle: &Bundle,
    channel: Channel,
    escalation: &Escalation,
) -> Option<AlertContent> {
    let own = key.alert.to_string();
    let (newest, content) = bundle.shown.first()?;
    if bundle.open == 1 {
        // On a device it is taken away by the id that it was shown under, which is the summary's.
        return match channel.facts().removal {
            Removal::ByDevice => {
                let single = alert_content(own.clone(), key, content, escalation)?;
                // A button would answer the summary, which nobody can.
                Some(AlertContent { collapse_key: own, actions: Vec::new(), ..single })
            }
            Removal::ByMessage | Removal::Never => {
                alert_content(newest.to_string(), key, content, escalation)
            }
        };
    }
    let named: Vec<AlertContent> = bundle
        .shown
        .iter()
        .filter_map(|(id, content)| alert_content(id.to_string(), key, content, escalation))
        .take(NAMED_MAX)
        .collect();
    let mut lines: Vec<String> =
        named.iter().map(|alert| format!("{}: {}", alert.severity, alert.title)).collect();
    let more = bundle.open.saturating_sub(named.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let newest = named.first()?;
    Some(AlertContent {
        alert: own.clone(),
        user: newest.user.clone(),
        tenant: newest.tenant.clone(),
        title: format!("{} new alerts", bundle.open),
        body: Some(lines.join("\n")),
        body_format: BodyFormat::Text,
        url: None,
        image: None,
        actions: Vec::new(),
        answers_at: None,
        is_mandatory: false,
        is_to_acknowledge: false,
        severity: named.iter().map(|alert| alert.severity).max()?,
        status: Status::Firing,
        data: serde_json::Map::new(),
        category: None,
        collapse_key: own,
        group_key: None,
        expires_at: escalation.progress.expires_at,
        occurred_at: newest.occurred_at,
        unread: escalation.unread,
    })
}
