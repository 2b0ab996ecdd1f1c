//! What Slack answers: pure functions, and the tables that specify them.
//!
//! Sources: <https://docs.slack.dev/reference/methods/chat.postMessage/>, <https://docs.slack.dev/reference/methods/chat.update/>
//! (errors), <https://docs.slack.dev/apis/web-api/rate-limits/>,
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/> and
//! <https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks> (incoming webhooks).

use std::fmt;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::channel::{
    error::{Blame, SendError, ThrottleScope},
    http, reason,
};

/// Names a message: its channel and its time. It is kept with the attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::channel) struct MessageRef {
    pub(super) channel: String,
    /// Slack's name for a message in a channel: its time.
    pub(super) ts: String,
}

impl MessageRef {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (channel, ts) = text.split_once(':')?;
        Some(Self { channel: channel.to_owned(), ts: ts.to_owned() })
    }

    /// Whether the message was sent to `address`. Messages to a member stand in a conversation of their own.
    pub(super) fn is_in(&self, address: &str) -> bool {
        self.channel == address || address.starts_with(['U', 'W']) && self.channel.starts_with('D')
    }
}

impl fmt::Display for MessageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.channel, self.ts)
    }
}

/// Why a method did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::channel) enum Refused {
    /// The message that was to be changed is not there any more, or may not be changed.
    NotChanged {
        /// Slack's word.
        reason: String,
        /// It is not there.
        is_gone: bool,
    },
    /// What the refusal would be for any message.
    Other(SendError),
}

impl From<Refused> for SendError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotChanged { reason, .. } => Self::Rejected { reason },
            Refused::Other(error) => error,
        }
    }
}

/// What a method answers: 200 for nearly everything, with `ok` and a word.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MethodAnswer {
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
}

/// What the answer of a method means.
pub(in crate::channel) fn of_method(
    status: u16,
    body: &[u8],
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<MessageRef, Refused> {
    let answer: Option<MethodAnswer> = serde_json::from_slice(body).ok();
    let word = answer.as_ref().and_then(|answer| answer.error.as_deref()).and_then(reason::code_word);
    let has_word = word.is_some();
    let reason = word.map_or_else(|| format!("HTTP {status}"), str::to_owned);
    let retry_after = http::retry_after(headers, now);
    match (status, answer) {
        (200, Some(MethodAnswer { ok: true, channel: Some(channel), ts: Some(ts), .. })) => {
            Ok(MessageRef { channel, ts })
        }
        (429, _) => Err(Refused::Other(throttled(headers, reason, now))),
        (200..=299 | 400..=499, Some(_)) if has_word => Err(match &*reason {
            "ratelimited" | "rate_limited" => Refused::Other(throttled(headers, reason, now)),
            "message_not_found" => Refused::NotChanged { reason, is_gone: true },
            "cant_update_message" | "edit_window_closed" => Refused::NotChanged { reason, is_gone: false },
            _ => Refused::Other(of_word(reason, headers, now)),
        }),
        (300..=499, _) => Err(Refused::Other(SendError::Rejected { reason })),
        // 5xx, and a success without what it has to say: something that is not Slack answered.
        _ => Err(Refused::Other(SendError::Unavailable { retry_after, reason })),
    }
}

/// What the answer of `auth.test` means, which names no message.
pub(super) fn of_auth_test(
    status: u16,
    body: &[u8],
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<(), SendError> {
    let answer: MethodAnswer = serde_json::from_slice(body).unwrap_or_default();
    match (status, answer.ok) {
        (200, true) => Ok(()),
        _ => of_method(status, body, headers, now).map(drop).map_err(SendError::from),
    }
}

/// What a word means that is not about changing a message. One that we do not know costs the message alone.
fn of_word(reason: String, headers: &HeaderMap, now: Timestamp) -> SendError {
    match &*reason {
        // The token, whoever is written to.
        "invalid_auth"
        | "not_authed"
        | "token_revoked"
        | "token_expired"
        | "account_inactive"
        | "not_allowed_token_type"
        | "org_login_required"
        | "ekm_access_denied"
        | "accesslimited" => SendError::ConfigFault { blame: Blame::Everybody, reason },
        // What the bot may do, which differs from one conversation to another.
        "missing_scope"
        | "no_permission"
        | "access_denied"
        | "team_access_not_granted"
        | "restricted_action"
        | "restricted_action_read_only_channel"
        | "restricted_action_non_threadable_channel"
        | "enterprise_is_restricted" => SendError::ConfigFault { blame: Blame::Device, reason },
        "channel_not_found"
        | "is_archived"
        | "not_in_channel"
        | "user_not_found"
        | "cannot_dm_bot"
        | "messages_tab_disabled" => SendError::AddressRefused { reason },
        // A limit of the conversation, which ends by itself.
        "message_limit_exceeded" => SendError::Throttled {
            retry_after: http::retry_after(headers, now),
            scope: ThrottleScope::Device,
            reason,
        },
        "internal_error"
        | "fatal_error"
        | "service_unavailable"
        | "request_timeout"
        | "team_added_to_org" => {
            SendError::Unavailable { retry_after: http::retry_after(headers, now), reason }
        }
        // `msg_too_long`, `msg_blocks_too_long`, `invalid_blocks`, `no_text`, `invalid_arguments`, …
        _ => SendError::Rejected { reason },
    }
}

/// Slack does not say of whom: this conversation, this method, or all of the workspace.
fn throttled(headers: &HeaderMap, reason: String, now: Timestamp) -> SendError {
    let retry_after = http::retry_after(headers, now);
    SendError::Throttled { retry_after, scope: ThrottleScope::Unnamed, reason }
}

/// What the answer of an incoming webhook means: a status, and a word as plain text.
pub(in crate::channel) fn of_hook(
    status: u16,
    body: &[u8],
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<(), SendError> {
    let word = std::str::from_utf8(body).ok().map(str::trim).and_then(reason::code_word);
    let reason = word.map_or_else(|| format!("HTTP {status}"), str::to_owned);
    Err(match (status, &*reason) {
        (200, _) => return Ok(()),
        (429, _) => throttled(headers, reason, now),
        // The hook was removed, or what it posts to.
        (404 | 410, _)
        | (
            400..=499,
            "no_service"
            | "no_service_id"
            | "no_team"
            | "no_active_hooks"
            | "team_disabled"
            | "invalid_token"
            | "user_not_found"
            | "channel_not_found"
            | "channel_is_archived",
        ) => SendError::AddressRefused { reason },
        (400..=499, "action_prohibited" | "posting_to_general_channel_denied") => {
            SendError::ConfigFault { blame: Blame::Device, reason }
        }
        (300..=499, _) => SendError::Rejected { reason },
        _ => SendError::Unavailable { retry_after: http::retry_after(headers, now), reason },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use reqwest::header::RETRY_AFTER;

    use super::*;
    use crate::channel::Disposition;

    const DROP: Disposition = Disposition::DropMessage;
    const RETRY: Disposition = Disposition::Retry { wait_min: Duration::from_secs(7) };
    const FAULT: Disposition = Disposition::ConfigFault;
    const SUPPRESS: Disposition = Disposition::SuppressAddress;

    fn headers() -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, "7".parse().unwrap())])
    }

    fn method(status: u16, body: &str) -> Result<MessageRef, Refused> {
        of_method(status, body.as_bytes(), &headers(), Timestamp::UNIX_EPOCH)
    }

    /// Every row of the table of methods.
    #[test]
    fn every_word_of_a_method_has_its_consequence() {
        for (status, word, code, expected) in [
            (200, "ratelimited", "throttled", RETRY),
            (429, "ratelimited", "throttled", RETRY),
            (200, "message_limit_exceeded", "throttled", RETRY),
            (200, "invalid_auth", "config_fault", FAULT),
            (200, "token_revoked", "config_fault", FAULT),
            (200, "account_inactive", "config_fault", FAULT),
            (200, "missing_scope", "config_fault", FAULT),
            (200, "channel_not_found", "address_refused", SUPPRESS),
            (200, "is_archived", "address_refused", SUPPRESS),
            (200, "not_in_channel", "address_refused", SUPPRESS),
            (200, "msg_too_long", "rejected", DROP),
            (200, "invalid_blocks", "rejected", DROP),
            (200, "a_word_of_tomorrow", "rejected", DROP),
            (200, "internal_error", "unavailable", RETRY),
            (503, "service_unavailable", "unavailable", RETRY),
        ] {
            let error: SendError =
                method(status, &format!(r#"{{"ok":false,"error":"{word}"}}"#)).unwrap_err().into();
            assert_eq!((error.code(), error.disposition()), (code, expected), "{word}");
            assert_eq!(error.reason(), word);
        }
        for (status, body, code, expected) in [
            (429, "", "throttled", RETRY),
            (500, "<p>no", "unavailable", RETRY),
            (200, "<p>a proxy", "unavailable", RETRY),
            (200, r#"{"ok":true}"#, "unavailable", RETRY),
            (302, "", "rejected", DROP),
            (404, "<p>", "rejected", DROP),
            (200, r#"{"ok":false,"error":"xoxb-1 not a word"}"#, "unavailable", RETRY),
        ] {
            let error: SendError = method(status, body).unwrap_err().into();
            assert_eq!((error.code(), error.disposition()), (code, expected), "{status} {body}");
            assert_eq!(error.reason(), format!("HTTP {status}"), "{body}");
        }
        let blamed = |word: &str| match method(200, &format!(r#"{{"error":"{word}"}}"#)) {
            Err(Refused::Other(SendError::ConfigFault { blame, .. })) => Some(blame),
            _ => None,
        };
        assert_eq!(blamed("invalid_auth"), Some(Blame::Everybody), "the token is everybody's");
        assert_eq!(blamed("missing_scope"), Some(Blame::Device), "it may do for others");
    }

    #[test]
    fn a_message_that_cannot_be_changed_is_told_from_one_that_is_gone() {
        for (word, expected) in
            [("message_not_found", true), ("cant_update_message", false), ("edit_window_closed", false)]
        {
            let refused = method(200, &format!(r#"{{"ok":false,"error":"{word}"}}"#));
            assert_eq!(refused, Err(Refused::NotChanged { reason: word.to_owned(), is_gone: expected }));
        }
    }

    /// Every row of the table of incoming webhooks.
    #[test]
    fn every_answer_of_a_hook_has_its_consequence() {
        for (status, word, code, expected) in [
            (400, "invalid_payload", "rejected", DROP),
            (400, "no_text", "rejected", DROP),
            (400, "user_not_found", "address_refused", SUPPRESS),
            (403, "invalid_token", "address_refused", SUPPRESS),
            (403, "action_prohibited", "config_fault", FAULT),
            (404, "no_service", "address_refused", SUPPRESS),
            (404, "channel_not_found", "address_refused", SUPPRESS),
            (410, "channel_is_archived", "address_refused", SUPPRESS),
            (429, "rate_limited", "throttled", RETRY),
            (500, "rollup_error", "unavailable", RETRY),
            (302, "", "rejected", DROP),
        ] {
            let error = of_hook(status, word.as_bytes(), &headers(), Timestamp::UNIX_EPOCH).unwrap_err();
            assert_eq!((error.code(), error.disposition()), (code, expected), "{status} {word}");
        }
        assert_eq!(of_hook(200, b"ok", &HeaderMap::new(), Timestamp::UNIX_EPOCH), Ok(()));
    }

    #[test]
    fn a_message_is_known_by_its_place() {
        let place = method(200, r#"{"ok":true,"channel":"D01","ts":"1405895017.000506"}"#).unwrap();
        assert_eq!(MessageRef::parse(&place.to_string()), Some(place.clone()));
        for (address, expected) in [("D01", true), ("U0123ABCD", true), ("C0123ABCD", false)] {
            assert_eq!(place.is_in(address), expected, "{address}");
        }
        assert_eq!(MessageRef::parse("no place"), None);
    }
}
