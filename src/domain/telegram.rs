//! The id of a Telegram chat: a person's, a group's or a channel's, as the Bot API names it.
//!
//! What holds here:
//! - One chat has one form: digits without zeros in front, with a minus for groups and channels.
//! - A name (`@ana`) is not taken: a bot cannot write to a person by name, and names change hands.
//! - An id is never repeated in a refusal (I12).
//!
//! Rules: <https://core.telegram.org/bots/api#chat>, which says that an id has at most 52 significant bits.

use super::Secret;

/// The largest id, either way.
const CHAT_ID_MAX: u64 = (1 << 52) - 1;
/// The longest text that the API's description permits, in bytes: an id with zeros in front and blanks around it.
pub const CHAT_ID_BYTES_MAX: usize = 32;

/// Why a text is not the id of a chat, and what is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the number of a Telegram chat, such as 123456789, or -1001234567890 for a group")]
pub struct InvalidChatId;

/// A chat's id in its one form.
///
/// # Errors
/// [`InvalidChatId`] says what is accepted.
pub fn chat_id(raw: &str) -> Result<Secret, InvalidChatId> {
    let text = raw.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    // A sign of its own is no digit, so `+5` and `--5` are refused here.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidChatId);
    }
    match digits.parse::<u64>() {
        Ok(number @ 1..=CHAT_ID_MAX) => {
            let sign = if text.starts_with('-') { "-" } else { "" };
            Ok(Secret::from(format!("{sign}{number}")))
        }
        _ => Err(InvalidChatId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_has_one_form() {
        for (why, raw, expected) in [
            ("a person", "123456789", Some("123456789")),
            ("a group", "-1001234567890", Some("-1001234567890")),
            ("blanks come from files and forms", " 42\n", Some("42")),
            ("zeros in front are the same chat", "-0042", Some("-42")),
            ("the largest", "4503599627370495", Some("4503599627370495")),
            ("one more", "4503599627370496", None),
            ("nobody", "0", None),
            ("no number at all", "", None),
            ("only a sign", "-", None),
            ("two signs", "--5", None),
            ("a plus", "+5", None),
            ("a name", "@ana", None),
            ("a fraction", "1.5", None),
            ("other digits", "١٢٣", None),
        ] {
            assert_eq!(chat_id(raw).ok(), expected.map(Secret::from), "{why}");
        }
    }
}
