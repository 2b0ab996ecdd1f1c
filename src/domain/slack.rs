//! Where somebody is written to in Slack: a conversation or a member by id, or an incoming webhook's address.
//!
//! An incoming webhook's address is all that is needed to post there, so it is a secret. Only Slack's own hosts are taken, so
//! that nobody makes us call another.

use super::Secret;

/// What incoming webhooks of Slack, and of Slack for governments, begin with.
pub const HOOK_PREFIXES: [&str; 2] =
    ["https://hooks.slack.com/services/", "https://hooks.slack-gov.com/services/"];
/// What an id begins with: channels, direct messages, groups, and two kinds of members.
const KINDS: [char; 5] = ['C', 'D', 'G', 'U', 'W'];
/// How long the rest of an id is.
const ID_BYTES: std::ops::RangeInclusive<usize> = 5..=20;
/// How long each of the three parts behind a hook's prefix is at the most.
const PART_BYTES_MAX: usize = 80;
/// The longest address, in bytes: three parts behind the longer prefix.
pub const SLACK_BYTES_MAX: usize = HOOK_PREFIXES[1].len() + 3 * PART_BYTES_MAX + 2;

/// Why a text is not an address in Slack, and what is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be the id of a channel or a member such as C0123456789, or an incoming webhook such as https://hooks.slack.com/services/T…/B…/…"
)]
pub struct InvalidSlackAddress;

/// An address as it was given.
///
/// # Errors
/// [`InvalidSlackAddress`] says what is accepted.
pub fn slack_address(text: &str) -> Result<Secret, InvalidSlackAddress> {
    let hook = HOOK_PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
    match hook.map_or_else(|| is_id(text), is_hook) {
        true => Ok(Secret::from(text)),
        false => Err(InvalidSlackAddress),
    }
}

fn is_id(text: &str) -> bool {
    let rest = text.strip_prefix(KINDS).unwrap_or_default();
    ID_BYTES.contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// `TEAM/HOOK/SECRET`.
fn is_hook(rest: &str) -> bool {
    let is_part = |part: &str| {
        (1..=PART_BYTES_MAX).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    rest.split('/').count() == 3 && rest.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_id_or_a_hook_of_slacks() {
        for (why, text, good) in [
            ("a channel", "C0123456789", true),
            ("a member", "U0123ABCD", true),
            ("a hook", "https://hooks.slack.com/services/T000/B000/abcDEF123", true),
            ("a hook for governments", "https://hooks.slack-gov.com/services/T000/B000/abcDEF123", true),
            ("a name, which may be given to another channel", "#alerts", false),
            ("a workspace", "T0123456789", false),
            ("too short", "C012", false),
            ("in small letters", "c0123456789", false),
            ("another host", "https://hooks.example.com/services/T000/B000/abc", false),
            ("a host that begins as Slack's", "https://hooks.slack.com.example.com/services/T/B/a", false),
            ("not encrypted", "http://hooks.slack.com/services/T000/B000/abc", false),
            ("a path that leads elsewhere", "https://hooks.slack.com/services/../B000/abc", false),
            ("a part too many", "https://hooks.slack.com/services/T/B/a/b", false),
            ("a part missing", "https://hooks.slack.com/services/T/B", false),
            ("a query", "https://hooks.slack.com/services/T/B/a?b", false),
            ("nothing", "", false),
        ] {
            assert_eq!(slack_address(text).is_ok(), good, "{why}");
        }
    }
}
