//! What the hooks have in common: whom their alerts are for, and how what is too long is made to fit.

use axum::http::Uri;
use watchbell::{
    domain::{Audience, GroupId, UserId, alert::bounds},
    wire::Problem,
};

use crate::request;

/// What the operator wrote behind the address of the hook.
#[derive(Debug, Default)]
pub struct Query {
    pub audience: Audience,
    pub policy: Option<String>,
}

impl Query {
    /// Reads it.
    ///
    /// # Errors
    /// 422 names the parameter.
    pub fn of(uri: &Uri) -> Result<Self, Problem> {
        let given = request::query(uri, &["users", "groups", "everyone", "policy"])?;
        let text = |name: &str| given.get(name).map(String::as_str).unwrap_or_default();
        let everyone = match text("everyone") {
            "" | "false" => false,
            "true" => true,
            _ => return Err(Problem::invalid("everyone", "must be true or false")),
        };
        let users = request::list("users", text("users"), |text| UserId::parse(text))?;
        let groups = request::list("groups", text("groups"), |text| GroupId::parse(text))?;
        Ok(Self { audience: Audience { users, groups, everyone }, policy: given.get("policy").cloned() })
    }
}

/// Whether a browser opens it, and it fits.
pub fn is_usable_url(url: &str) -> bool {
    let web = url.starts_with("https://") || url.starts_with("http://");
    web && url.len() <= bounds::URL_BYTES_MAX && !url.chars().any(char::is_control)
}

/// A text for one line: blanks in place of newlines and control characters, which a title must not have.
pub fn one_line(text: &str) -> String {
    let words: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clip(words.trim(), bounds::TITLE_CHARS_MAX, usize::MAX)
}

/// `text` without control characters other than newlines and tabs, cut between characters with `…` when it
/// is longer than `chars_max` characters or `bytes_max` bytes of JSON.
pub fn clip(text: &str, chars_max: usize, bytes_max: usize) -> String {
    const CUT: char = '…';
    let text = text.replace(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t'), "");
    if text.chars().nth(chars_max).is_none() && escaped_len(&text) <= bytes_max {
        return text;
    }
    let mut room = bytes_max.saturating_sub(CUT.len_utf8());
    let fits = |c: &char| match room.checked_sub(escaped_char_len(*c)) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    text.chars().take(chars_max.saturating_sub(1)).take_while(fits).chain([CUT]).collect()
}

/// Bytes of a text inside a JSON string, at most.
pub fn escaped_len(text: &str) -> usize {
    text.chars().map(escaped_char_len).sum()
}

/// Bytes of a character inside a JSON string, at most.
fn escaped_char_len(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        c if c.is_ascii_control() => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        for (why, text, chars_max, bytes_max, expected) in [
            ("fits to the character", "żółw", 4, usize::MAX, "żółw"),
            ("one character too many", "żółwi", 4, usize::MAX, "żół…"),
            ("fits to the byte", "żó", usize::MAX, 4, "żó"),
            ("cut inside a character", "żółw", usize::MAX, 6, "ż…"),
            ("escapes count", "\"\"\"", usize::MAX, 5, "\"…"),
            ("control characters go, lines stay", "a\0\u{1b}b\n\tc", 9, usize::MAX, "ab\n\tc"),
        ] {
            assert_eq!(clip(text, chars_max, bytes_max), expected, "{why}");
        }
    }

    #[test]
    fn a_title_of_several_lines_becomes_one() {
        assert_eq!(one_line(" Disk full\non db-1\u{7}\n"), "Disk full on db-1");
    }
}
