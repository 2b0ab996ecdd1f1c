//! What a timeline says of a decision, and what a summary says of its alerts.

use jiff::Timestamp;
use watchbell::{
    domain::{
        Channel, Severity, Status, StopReason, UserId, channel::Removal, next_step::Because, policy::Unless,
        restraint::Held,
    },
    store::{Bundle, EscalationKey, Walk},
    wire::alert::ShownAlert,
};

use crate::channel::AlertContent;

/// Alerts that a summary names.
const NAMED_MAX: usize = 10;

/// Why a step is done with.
pub(crate) fn advanced(channel: Channel, because: Because) -> String {
    match because {
        Because::Accepted => format!("{channel} step done; the next channel waits its turn"),
        Because::NobodyToReach => format!("{channel} step skipped: {}", channel.facts().phrases.nobody),
        Because::Failed => format!("{channel} step failed for good: on to the next at once"),
        Because::NextIsDue => format!("{channel} step still being retried, but the next channel is due"),
        Because::OptedOut => format!("{channel} step skipped: the user has turned it off"),
        Because::PutOff => {
            format!(
                "{channel} step put off, for its provider is in trouble: the next channel is used at once, and what was put off is sent when it can be"
            )
        }
        Because::ToldBefore => format!("{channel} step skipped: as much or worse was told before"),
        Because::TooOld => format!("{channel} step skipped: it came due too late to be news"),
        Because::Unless(unless) => format!("{channel} step skipped by its policy: {}", reason_of(unless)),
    }
}

fn reason_of(unless: Unless) -> String {
    match unless {
        Unless::Told(channel) => format!("{} was accepted", channel.facts().phrases.one),
        Unless::Quiet => "these are the user's quiet hours".to_owned(),
        Unless::Info => "it is only for information".to_owned(),
        Unless::Warning => "it is a warning or less".to_owned(),
    }
}

/// Why a step waits, and until when.
pub(crate) fn held(held: Held, until: Timestamp) -> String {
    match held {
        Held::Quiet => format!("deferred until {until}: these are the user's quiet hours"),
        Held::Summary(channel) => format!("held until {until}: {}", channel.facts().phrases.held),
        Held::Rate => format!("held until {until}: the tenant sends more than it may"),
        Held::SetAside => "set aside: it cannot be carried on".to_owned(),
    }
}

/// How a walk ended.
pub(crate) fn finished(reason: StopReason, taken_by: Option<&UserId>) -> String {
    match (reason, taken_by) {
        (StopReason::Exhausted, _) => "escalation ended: no channel is left".to_owned(),
        (StopReason::Acknowledged, Some(user)) => format!("escalation ended: {user} saw it first"),
        (StopReason::Snoozed, _) => "escalation ended: snoozed; it begins anew when that is over".to_owned(),
        (reason, _) => format!("escalation ended: {reason}"),
    }
}

/// What a summary did, for the timelines of the alerts it was about.
pub(crate) fn summary_done(channel: Channel, because: Because, walk: &Walk) -> String {
    let last = walk.progress.attempts.iter().rev().find(|attempt| walk.progress.is_of_this_walk(attempt));
    let attempt = last.map(|attempt| format!(", attempt {}", attempt.id)).unwrap_or_default();
    // One alert alone is sent as it is, so it is no summary to whoever gets it.
    let is_alone = walk.bundle.as_ref().is_some_and(|bundle| bundle.open == 1);
    let told = match is_alone {
        true => format!("told by {channel}"),
        false => format!("told in a {}", channel.facts().phrases.summary),
    };
    match because {
        Because::Accepted => format!("{told}{attempt}: accepted by the provider"),
        because => format!("not {told}{attempt}: {}", advanced(channel, because)),
    }
}

/// What one alert says.
pub(crate) fn content_of(
    alert: String,
    key: &EscalationKey,
    content: &str,
    walk: &Walk,
) -> Option<AlertContent> {
    let shown: ShownAlert = serde_json::from_str(content).ok()?;
    Some(AlertContent {
        user: key.user.user.to_string(),
        tenant: key.user.tenant.to_string(),
        collapse_key: shown.collapse_key.unwrap_or_else(|| alert.clone()),
        alert,
        title: shown.title,
        body: shown.body,
        url: shown.url,
        severity: shown.severity.parse().unwrap_or(Severity::Warning),
        status: shown.status.parse().unwrap_or(Status::Firing),
        data: shown.data,
        category: shown.category,
        expires_at: walk.progress.expires_at,
        occurred_at: shown.occurred_at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        unread: walk.unread,
    })
}

/// What a summary says: how many, and the newest by name. One alone is said as it is.
pub(crate) fn summary_of(
    key: &EscalationKey,
    bundle: &Bundle,
    channel: Channel,
    walk: &Walk,
) -> Option<AlertContent> {
    let own = key.alert.to_string();
    let (newest, content) = bundle.shown.first()?;
    if bundle.open == 1 {
        // On a device it is taken away by the id that it was shown under.
        return match channel.facts().removal {
            Removal::ByDevice => {
                let single = content_of(own.clone(), key, content, walk)?;
                Some(AlertContent { collapse_key: own, ..single })
            }
            Removal::ByMessage | Removal::Never => content_of(newest.to_string(), key, content, walk),
        };
    }
    let named: Vec<AlertContent> = bundle
        .shown
        .iter()
        .filter_map(|(id, content)| content_of(id.to_string(), key, content, walk))
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
        url: None,
        severity: named.iter().map(|alert| alert.severity).max()?,
        status: Status::Firing,
        data: serde_json::Map::new(),
        category: None,
        collapse_key: own,
        expires_at: walk.progress.expires_at,
        occurred_at: newest.occurred_at,
        unread: walk.unread,
    })
}
