//! What answers of the Bot API mean. Pure.
//!
//! Rules: <https://core.telegram.org/bots/api#making-requests> (the shape of an answer, `parameters`) and
//! <https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this> (limits). What a refusal is about
//! is only in `description`, which Telegram does not list; the sentences below are those of its own server
//! (<https://github.com/tdlib/telegram-bot-api>). One that is not known costs the message and never the address.

use std::time::Duration;

use serde::Deserialize;

use crate::channel::{
    error::{Blame, SendError, ThrottleScope},
    http::RETRY_AFTER_MAX,
};

/// What a method did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::channel) enum Reply {
    /// What it was asked for, or nothing was left to do; with the number of the message that was sent or edited.
    Done(Option<i64>),
    /// There is no such message any more, or it cannot be edited.
    Gone,
    /// It cannot be deleted any more.
    Stays,
}

/// What was answered for a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::channel) enum Answered {
    With(Reply),
    /// The group has become a supergroup, which has this id.
    Moved(i64),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    result: serde_json::Value,
    description: String,
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

/// Parts of descriptions by which a chat cannot be written to any more, until somebody does something about it.
const CLOSED_CHATS: [&str; 11] = [
    "bot was blocked by the user",
    "user is deactivated",
    "bot was kicked",
    "bot is not a member",
    "bot can't initiate conversation",
    "bots can't send messages to bots",
    "bot can't send messages to bots",
    "chat not found",
    "user not found",
    "group chat was deactivated",
    "peer_id_invalid",
];

/// Parts of descriptions by which the bot may not write there, until an administrator of the group allows it.
const NO_RIGHTS: [&str; 4] =
    ["not enough rights", "have no rights to send", "need administrator rights", "chat_write_forbidden"];

/// Reads the answer to one call.
///
/// # Errors
/// [`SendError`] says why nothing was done.
pub(in crate::channel) fn read(status: u16, body: &[u8]) -> Result<Answered, SendError> {
    // A front end may answer with a page; then the status decides.
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    // Where the body got lost, the status counts: sent again, the message would stand there twice.
    if status == 200 {
        let message = body.result.get("message_id").and_then(serde_json::Value::as_i64);
        return Ok(Answered::With(Reply::Done(message)));
    }
    let said = body.description.to_lowercase();
    let says = |part: &str| said.contains(part);
    let reason = if body.description.is_empty() { format!("status {status}") } else { body.description };
    Err(match status {
        400 if body.parameters.migrate_to_chat_id.is_some() => {
            return Ok(Answered::Moved(body.parameters.migrate_to_chat_id.unwrap_or_default()));
        }
        400 if says("message is not modified") => return Ok(Answered::With(Reply::Done(None))),
        400 if says("message to edit not found")
            || says("message to delete not found")
            || says("message can't be edited")
            || says("message_id_invalid") =>
        {
            return Ok(Answered::With(Reply::Gone));
        }
        400 if says("message can't be deleted") => return Ok(Answered::With(Reply::Stays)),
        400 | 403 if CLOSED_CHATS.into_iter().any(says) => SendError::AddressRefused { reason },
        400 | 403 if NO_RIGHTS.into_iter().any(says) => {
            SendError::ConfigFault { blame: Blame::Device, reason }
        }
        // A token that is garbled leads to no method at all.
        401 | 404 => SendError::ConfigFault { blame: Blame::Everybody, reason },
        429 => SendError::Throttled {
            retry_after: body
                .parameters
                .retry_after
                .map(|wait| Duration::from_secs(wait).min(RETRY_AFTER_MAX)),
            // There are limits for a chat, for a group and for the bot, and it is not said which was met.
            scope: ThrottleScope::Unnamed,
            reason,
        },
        300..=499 => SendError::Rejected { reason },
        _ => SendError::Unavailable {
            retry_after: body
                .parameters
                .retry_after
                .map(|wait| Duration::from_secs(wait).min(RETRY_AFTER_MAX)),
            reason,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_answer_of_telegram_has_its_consequence() {
        let done = |message| Ok(Answered::With(Reply::Done(message)));
        for (status, body, expected) in [
            (200, json!({"ok": true, "result": {"message_id": 7}}), done(Some(7))),
            (200, json!({"ok": true, "result": true}), done(None)),
            (
                400,
                json!({"description": "Bad Request: group chat was upgraded to a supergroup chat", "parameters": {"migrate_to_chat_id": -1007}}),
                Ok(Answered::Moved(-1007)),
            ),
            (
                400,
                json!({"description": "Bad Request: message is not modified: specified new message content"}),
                done(None),
            ),
            (
                400,
                json!({"description": "Bad Request: message to edit not found"}),
                Ok(Answered::With(Reply::Gone)),
            ),
            (
                400,
                json!({"description": "Bad Request: message to delete not found"}),
                Ok(Answered::With(Reply::Gone)),
            ),
            (
                400,
                json!({"description": "Bad Request: message can't be edited"}),
                Ok(Answered::With(Reply::Gone)),
            ),
            (
                400,
                json!({"description": "Bad Request: message can't be deleted for everyone"}),
                Ok(Answered::With(Reply::Stays)),
            ),
            (400, json!({"description": "Bad Request: chat not found"}), Err("address_refused")),
            (403, json!({"description": "Forbidden: bot was blocked by the user"}), Err("address_refused")),
            (403, json!({"description": "Forbidden: user is deactivated"}), Err("address_refused")),
            (
                403,
                json!({"description": "Forbidden: bot was kicked from the supergroup chat"}),
                Err("address_refused"),
            ),
            (
                403,
                json!({"description": "Forbidden: bot can't initiate conversation with a user"}),
                Err("address_refused"),
            ),
            // It has been answered for minutes to everybody, and says nothing lasting of the person.
            (403, json!({"description": "Forbidden: bot can't send messages to the user"}), Err("rejected")),
            (
                400,
                json!({"description": "Bad Request: not enough rights to send text messages to the chat"}),
                Err("config_fault"),
            ),
            (
                400,
                json!({"description": "Bad Request: need administrator rights in the channel chat"}),
                Err("config_fault"),
            ),
            (400, json!({"description": "Bad Request: message is too long"}), Err("rejected")),
            (401, json!({"description": "Unauthorized"}), Err("config_fault")),
            (404, json!({"description": "Not Found"}), Err("config_fault")),
            (409, json!({"description": "Conflict"}), Err("rejected")),
            (
                429,
                json!({"description": "Too Many Requests: retry after 7", "parameters": {"retry_after": 7}}),
                Err("throttled"),
            ),
            (500, json!({"description": "Internal Server Error"}), Err("unavailable")),
            (502, json!("<html>"), Err("unavailable")),
            (302, json!("<html>"), Err("rejected")),
            (200, json!("<html>"), done(None)),
        ] {
            let read = read(status, body.to_string().as_bytes()).map_err(|error| error.code());
            assert_eq!(read, expected, "{status} {body}");
        }
    }

    #[test]
    fn a_token_is_everybodys_and_rights_are_one_groups() {
        for (status, description, expected) in [
            (401, "Unauthorized", Blame::Everybody),
            (400, "Bad Request: not enough rights to send text messages to the chat", Blame::Device),
            (403, "Forbidden: CHAT_WRITE_FORBIDDEN", Blame::Device),
        ] {
            let body = json!({"description": description}).to_string();
            let Err(SendError::ConfigFault { blame, .. }) = read(status, body.as_bytes()) else {
                panic!("{description} is nobody's fault");
            };
            assert_eq!(blame, expected, "{description}");
        }
    }

    #[test]
    fn a_wait_is_believed_for_an_hour_at_most() {
        for (said, expected) in [(7, 7), (86_400, 3_600), (u64::MAX, 3_600)] {
            let body = json!({"parameters": {"retry_after": said}}).to_string();
            let Err(SendError::Throttled { retry_after, .. }) = read(429, body.as_bytes()) else {
                panic!("{said} is no wait");
            };
            assert_eq!(retry_after, Some(Duration::from_secs(expected)));
        }
    }
}
