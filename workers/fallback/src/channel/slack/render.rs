//! The message in Slack: blocks, and a text for notifications and screen readers, within Slack's limits.
//!
//! `&`, `<` and `>` are escaped everywhere, so that nothing an alert says becomes a mention, a link or a call to everybody:
//! <https://docs.slack.dev/messaging/formatting-message-text/>. Limits:
//! <https://docs.slack.dev/reference/block-kit/blocks/section-block/> and `…/block-elements/button-element/`.

use serde_json::{Value, json};
use watchbell::domain::{Severity, Status, StopReason, text::closed};

use crate::channel::message::{AlertContent, Button, Withdrawal};

/// Characters of a section's text, once it is escaped.
const SECTION_CHARS_MAX: usize = 3_000;
/// Characters of a title, once it is escaped: a title has fewer, but each may become five.
const TITLE_CHARS_MAX: usize = 2_000;
/// Characters of a context's text, once it is escaped.
const CONTEXT_CHARS_MAX: usize = 1_000;
/// Characters of a button's address. One that is cut would lead elsewhere, so a longer one has no button.
const URL_CHARS_MAX: usize = 3_000;

/// A message that shows an alert.
pub(super) fn alert(alert: &AlertContent) -> Value {
    let (mark, word) = match (alert.status, alert.severity) {
        (Status::Resolved, _) => (":white_check_mark:", "resolved"),
        (_, Severity::Info) => (":large_blue_circle:", "info"),
        (_, Severity::Warning) => (":large_yellow_circle:", "warning"),
        (_, Severity::Critical) => (":red_circle:", "critical"),
    };
    let title = title_of(alert);
    let mut blocks = vec![section(&format!("{mark} *{title}*"))];
    if let Some(body) = alert.body.as_deref().filter(|body| !body.trim().is_empty()) {
        blocks.push(section(&escaped(&closed(body), SECTION_CHARS_MAX)));
    }
    blocks.push(context(&context_of(word, alert)));
    blocks.extend(buttons(alert));
    message(&format!("{word}: {title}"), &blocks)
}

/// What stands in its place once nobody needs to be told any more.
pub(super) fn withdrawal(withdrawal: &Withdrawal) -> Value {
    let because = match withdrawal.because {
        StopReason::Seen => "seen",
        StopReason::Read => "read",
        StopReason::Dismissed => "dismissed",
        StopReason::Snoozed => "snoozed",
        StopReason::Acknowledged => "acknowledged",
        StopReason::Suppressed => "suppressed",
        StopReason::Resolved => "resolved",
        StopReason::Expired => "expired",
        StopReason::Exhausted => "no longer told",
    };
    let Some(alert) = &withdrawal.content else {
        return message(because, &[section(&format!(":white_check_mark: {because}"))]);
    };
    let title = title_of(alert);
    let mut blocks =
        vec![section(&format!(":white_check_mark: ~{title}~")), context(&context_of(because, alert))];
    blocks.extend(actions(alert.url.as_deref().and_then(open).as_slice()));
    message(&format!("{because}: {title}"), &blocks)
}

/// Links are not unfolded: what they show is fetched by Slack, and pushes the alert off the screen.
fn message(text: &str, blocks: &[Value]) -> Value {
    json!({"text": text, "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
}

/// `verbatim`: no name in it is taken for a channel or a member.
fn text(escaped: &str) -> Value {
    json!({"type": "mrkdwn", "text": escaped, "verbatim": true})
}

fn section(escaped: &str) -> Value {
    json!({"type": "section", "text": text(escaped)})
}

fn context(escaped: &str) -> Value {
    json!({"type": "context", "elements": [text(escaped)]})
}

/// The alert's own buttons, and the one that opens it. One that answers leads to a page that asks for the answer.
fn buttons(alert: &AlertContent) -> Option<Value> {
    let own = alert.actions.iter().filter_map(|Button { id, title, link, .. }| {
        button(&format!("alert.{id}"), &closed(title), link.as_deref()?)
    });
    actions(&own.chain(alert.url.as_deref().and_then(open)).collect::<Vec<_>>())
}

fn actions(elements: &[Value]) -> Option<Value> {
    (!elements.is_empty()).then(|| json!({"type": "actions", "elements": elements}))
}

fn open(url: &str) -> Option<Value> {
    button("open", "Open", url)
}

/// `plain_text` is shown as it is, so that nothing in a label is escaped or a mention.
fn button(id: &str, label: &str, url: &str) -> Option<Value> {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let fits = url.chars().count() <= URL_CHARS_MAX;
    let label = json!({"type": "plain_text", "text": label});
    (is_web && fits).then(|| json!({"type": "button", "text": label, "url": url, "action_id": id}))
}

fn context_of(word: &str, alert: &AlertContent) -> String {
    let category = alert.category.iter().map(|category| escaped(&closed(category), CONTEXT_CHARS_MAX / 2));
    std::iter::once(word.to_owned()).chain(category).collect::<Vec<_>>().join(" · ")
}

/// On one line: a format does not go over the end of one.
fn title_of(alert: &AlertContent) -> String {
    let line = alert.title.split_whitespace().collect::<Vec<_>>().join(" ");
    escaped(&closed(&line), TITLE_CHARS_MAX)
}

/// `text` with its three special characters escaped, in at most `chars_max` characters of which none is half an escape.
fn escaped(text: &str, chars_max: usize) -> String {
    let (mut made, mut chars) = (String::with_capacity(text.len()), 0);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let mut buffer = [0; 4];
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            c => c.encode_utf8(&mut buffer),
        };
        // One place is kept for the ellipsis, unless this is the end.
        let room = chars_max - usize::from(rest.peek().is_some());
        chars += piece.chars().count();
        if chars > room {
            made.push('…');
            break;
        }
        made.push_str(piece);
    }
    made
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
