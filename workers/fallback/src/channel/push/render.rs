//! What a phone is shown: Apple's payloads, and what makes every push fit.
//!
//! What holds here:
//! - A payload is at most [`PAYLOAD_BYTES_MAX`] bytes: the body gives way first, then the title, then the
//!   link. Ids never do, so the app can always fetch the rest.
//! - The token of a receipt has about a hundred bytes, and never gives way either.
//! - Buttons and a picture give way before the title does, and have room of their own beside it.
//! - A text is shortened between characters, with an ellipsis.
//! - A text that changes the direction of writing is isolated, so that it cannot reorder what a phone shows beside it.
//!
//! Elsewhere: Google's messages in `fcm_message`, browsers' in `webpush_message`.

use apns_h2::{DefaultNotificationBuilder, NotificationBuilder, request::payload::PayloadLike};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use watchbell::domain::{Secret, Severity, text::isolated};

use super::job::PushContent;
use crate::channel::{
    error::SendError,
    message::{ACKNOWLEDGE, AlertContent, Button, WITHDRAWN_ALERTS_MAX},
    text::shorten,
};

/// The same bound at Apple and at Google.
/// <https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification>,
/// <https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type>
pub(super) const PAYLOAD_BYTES_MAX: usize = 4096;

/// Apple's bound for `apns-collapse-id`; Google's tag gets the same text.
const COLLAPSE_ID_BYTES_MAX: usize = 64;

/// How long a withdrawal is kept for a phone or a browser that is off. Longer than most alerts are shown for.
pub(super) const WITHDRAWAL_TTL_S: i64 = 24 * 60 * 60;

/// Google's longest time to live, and the push services' of browsers.
const TTL_S_MAX: i64 = 28 * 24 * 60 * 60;

/// The payload for Apple, with the token by which the app says that it has it.
///
/// # Errors
/// [`SendError::Rejected`] when not even the ids fit.
pub(super) fn apns_payload(content: &PushContent, receipt: Option<&Secret>) -> Result<String, SendError> {
    match content {
        PushContent::Alert(alert) => {
            fit(alert, PAYLOAD_BYTES_MAX, |text| apns_alert(alert, text, receipt)).ok_or_else(does_not_fit)
        }
        // Apple wants no `badge` beside `content-available`, so the app sets it.
        PushContent::Withdrawal { user, alerts, unread } => {
            fit_ids(alerts, PAYLOAD_BYTES_MAX, |ids, more| {
                let mut data = json!({"withdraw": ids, "user": user, "unread": unread});
                if more {
                    data["more"] = json!(true);
                }
                apns_json(DefaultNotificationBuilder::new().content_available(), None, &data)
            })
            .ok_or_else(does_not_fit)
        }
        // It is made in `apns_activity`, of what is here.
        PushContent::Activity(_) => {
            Err(SendError::Rejected { reason: "it shows no notification".to_owned() })
        }
    }
}

/// The payload for Apple when the whole one was too large after all: the title's beginning and the ids.
pub(super) fn apns_payload_bare(alert: &AlertContent, receipt: Option<&Secret>) -> String {
    let title = shorten(&alert.title, 100).unwrap_or_default();
    apns_alert(alert, Text { title: &isolated(&title), body: None, url: None, has_extras: false }, receipt)
}

fn apns_alert(alert: &AlertContent, text: Text<'_>, receipt: Option<&Secret>) -> String {
    let mut builder = DefaultNotificationBuilder::new().title(text.title);
    if let Some(body) = text.body {
        builder = builder.body(body);
    }
    if let Some(category) = &alert.category {
        builder = builder.thread_id(category.as_str());
    }
    builder = match interruption_level(alert.severity) {
        TIME_SENSITIVE => builder.time_sensitive_interruption_level(),
        _ => builder.active_interruption_level(),
    };
    if rings(alert.severity) {
        builder = builder.sound("default");
    }
    // The app's notification service extension may say `delivered` and add buttons. Where there is none it changes nothing.
    builder = builder.mutable_content();
    // The server's count, never "one more": pushes may be lost, and other devices read too.
    builder = builder.badge(u32::try_from(alert.unread).unwrap_or(u32::MAX));
    let mut data = json!({"alert": alert.alert, "user": alert.user});
    if let Some(receipt) = receipt {
        data["receipt"] = json!(receipt.expose());
    }
    if let Some(url) = text.url {
        data["url"] = json!(url);
    }
    let extras = Extras::of(alert, text);
    let category = category_of(&extras.actions);
    if let Some(category) = &category {
        builder = builder.category(category);
        data["actions"] = json!(extras.actions);
    }
    if let Some(image) = extras.image {
        data["image"] = json!(image);
    }
    if let Some(own) = extras.data {
        data["data"] = json!(own);
    }
    apns_json(builder, Some(relevance_score(alert.severity)), &data)
}

fn apns_json(builder: DefaultNotificationBuilder<'_>, relevance: Option<f64>, data: &Value) -> String {
    let mut payload = builder.build("", Default::default());
    // The builder writes a 0 where it was not asked for.
    payload.aps.mutable_content = payload.aps.mutable_content.filter(|&asked| asked == 1);
    payload.data.insert("watchbell".into(), data.clone());
    let text = payload.to_json_string().expect("a payload of texts, numbers and JSON values serializes");
    let Some(relevance) = relevance else { return text };
    // The builder does not know the key.
    let mut payload: Value = serde_json::from_str(&text).expect("it was JSON a moment ago");
    payload["aps"]["relevance-score"] = json!(relevance);
    payload.to_string()
}

/// Breaks through a focus, for which the app needs the capability of that name; without it the system takes it for `active`.
const TIME_SENSITIVE: &str = "time-sensitive";

/// How an Apple device interrupts its person. `critical` of Apple's would break through the mute switch, for which they want an
/// entitlement. `passive` would not even light the screen, and what comes here has already gone unseen on every other one.
pub(super) fn interruption_level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info | Severity::Warning => "active",
        Severity::Critical => TIME_SENSITIVE,
    }
}

/// Which of an app's alerts an Apple device puts first in its summary: from 0 to 1.
pub(super) fn relevance_score(severity: Severity) -> f64 {
    match severity {
        Severity::Info => 0.2,
        Severity::Warning => 0.6,
        Severity::Critical => 1.0,
    }
}

/// Whether it makes a sound.
pub(super) fn rings(severity: Severity) -> bool {
    match severity {
        Severity::Info => false,
        Severity::Warning | Severity::Critical => true,
    }
}

/// How long a push of this alert is worth keeping, in seconds.
pub(super) fn ttl_s(alert: &AlertContent, now: Timestamp) -> i64 {
    alert.expires_at.duration_since(now).as_secs().clamp(0, TTL_S_MAX)
}

/// `key`, or a UUID made of it when it is too long or not plain enough for a header.
pub(super) fn collapse_id(key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
    if plain && key.len() <= COLLAPSE_ID_BYTES_MAX {
        key.to_owned()
    } else {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()).to_string()
    }
}

/// What stands beside the text, as far as it is short enough.
pub(super) struct Extras<'a> {
    pub(super) actions: Vec<Value>,
    pub(super) image: Option<&'a str>,
    /// The producer's own fields, as they are.
    pub(super) data: Option<&'a Map<String, Value>>,
}

/// The bytes of JSON that the buttons of a push may take; those that come after are left out, and found in the app.
const ACTIONS_BYTES_MAX: usize = 1_536;
/// The longest address of a picture in a push, in bytes.
const IMAGE_BYTES_MAX: usize = 512;
/// The bytes of JSON that the producer's own fields may take in a push. They are never cut, because nobody could decrypt half of one.
const DATA_BYTES_MAX: usize = 2_048;

impl<'a> Extras<'a> {
    pub(super) fn of(alert: &'a AlertContent, text: Text<'_>) -> Self {
        if !text.has_extras {
            return Self { actions: Vec::new(), image: None, data: None };
        }
        let mut room = ACTIONS_BYTES_MAX;
        let shown = |button: &Button| {
            let action = push_action(button);
            room = room.checked_sub(action.to_string().len())?;
            Some(action)
        };
        let actions = alert.actions.iter().map_while(shown).collect();
        let image = alert.image.as_deref().filter(|image| image.len() <= IMAGE_BYTES_MAX);
        let has_room =
            |data: &&Map<String, Value>| !data.is_empty() && json!(data).to_string().len() <= DATA_BYTES_MAX;
        Self { actions, image, data: Some(&alert.data).filter(has_room) }
    }
}

/// A button as apps and service workers are given it: it leads to `url`, sends an answer (`"answers": true`), or
/// acknowledges the alert for everybody (`"acknowledges": true`).
fn push_action(button: &Button) -> Value {
    let title = isolated(&button.title);
    if button.id == ACKNOWLEDGE {
        return json!({"id": button.id, "title": title, "acknowledges": true});
    }
    match (&button.answer, &button.link) {
        (None, Some(url)) => json!({"id": button.id, "title": title, "url": url}),
        _ => json!({"id": button.id, "title": title, "answers": true}),
    }
}

/// The name of a set of buttons: `watchbell:approve,deny`. Apple shows the buttons that an app has registered under the name;
/// an app that knows its producers registers them at its start, any other app from its extension, by the list beside it.
pub(super) fn category_of(actions: &[Value]) -> Option<String> {
    let ids: Vec<&str> = actions.iter().filter_map(|action| action["id"].as_str()).collect();
    (!ids.is_empty()).then(|| format!("watchbell:{}", ids.join(",")))
}

/// The parts of an alert that may be shortened or left out.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) title: &'a str,
    pub(super) body: Option<&'a str>,
    pub(super) url: Option<&'a str>,
    /// Whether buttons and a picture have room.
    pub(super) has_extras: bool,
}

/// The payload that `make` writes of this text, if it fits. Isolated last: a text that was shortened may have lost the end of what
/// it began.
fn fitting(text: Text<'_>, bytes_max: usize, make: impl Fn(Text<'_>) -> String) -> Option<String> {
    let (title, body) = (isolated(text.title), text.body.map(isolated));
    let shown = Text { title: &title, body: body.as_deref(), ..text };
    Some(make(shown)).filter(|json| json.len() <= bytes_max)
}

fn whole(alert: &AlertContent) -> Text<'_> {
    Text { title: &alert.title, body: alert.body.as_deref(), url: alert.url.as_deref(), has_extras: true }
}

/// The payload that `make` writes of the whole alert; `None` when it does not fit as it is.
pub(super) fn fit_whole(
    alert: &AlertContent,
    bytes_max: usize,
    make: impl Fn(Text<'_>) -> String,
) -> Option<String> {
    fitting(whole(alert), bytes_max, make)
}

/// The payload that `make` writes of as much of the alert's text as fits; `None` when the ids alone do not.
pub(super) fn fit(
    alert: &AlertContent,
    bytes_max: usize,
    make: impl Fn(Text<'_>) -> String,
) -> Option<String> {
    let fitting = |text: Text<'_>| fitting(text, bytes_max, &make);
    let whole = whole(alert);
    let shortened = |text: Text<'_>| {
        let body =
            text.body.and_then(|body| longest(body, |part| fitting(Text { body: Some(part), ..text })));
        body.or_else(|| fitting(Text { body: None, ..text }))
            .or_else(|| longest(text.title, |part| fitting(Text { title: part, body: None, ..text })))
    };
    let bare = Text { has_extras: false, ..whole };
    // A text that is cut says more than a button whose alert nobody understands, so the title is never cut for them.
    let is_whole = Text { body: None, ..whole };
    let with_extras = || fitting(is_whole).and_then(|_| shortened(whole));
    fitting(whole)
        .or_else(with_extras)
        .or_else(|| fitting(bare))
        .or_else(|| shortened(bare))
        .or_else(|| shortened(Text { url: None, ..bare }))
}

/// What `accept` makes of the longest beginning of `text`, with an ellipsis, that it accepts.
fn longest(text: &str, accept: impl Fn(&str) -> Option<String>) -> Option<String> {
    // A byte of text is at least a byte of JSON, so there is no need to try longer ones.
    let (mut fits, mut too_long) = (0, text.len().min(PAYLOAD_BYTES_MAX) + 1);
    let mut best = None;
    while too_long - fits > 1 {
        let middle = fits + (too_long - fits) / 2;
        match shorten(text, middle).and_then(|part| accept(&part)) {
            Some(json) => (fits, best) = (middle, Some(json)),
            // No character in so few bytes: more bytes may do.
            None if shorten(text, middle).is_none() => fits = middle,
            None => too_long = middle,
        }
    }
    best
}

/// What `make` writes of the first ids that fit, told whether there are more.
pub(super) fn fit_ids(
    ids: &[String],
    bytes_max: usize,
    make: impl Fn(&[String], bool) -> String,
) -> Option<String> {
    let payload = |count: usize| make(&ids[..count], count < ids.len());
    let (mut fits, mut too_many) = (0, ids.len().min(WITHDRAWN_ALERTS_MAX) + 1);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        if payload(middle).len() <= bytes_max { fits = middle } else { too_many = middle }
    }
    Some(payload(fits)).filter(|json| json.len() <= bytes_max)
}

pub(super) fn does_not_fit() -> SendError {
    SendError::Rejected { reason: "the ids alone are larger than a push may be".to_owned() }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
