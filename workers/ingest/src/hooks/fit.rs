//! How what is too long or too much for an alert is made to fit, so that people are told in any case.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use watchbell::domain::{alert::bounds, text::is_line};

/// The body of an alert of a hook, in bytes of JSON, however it is escaped.
const BODY_BYTES_MAX: usize = 20 * 1024;
/// Its labels, likewise.
const LABELS_BYTES_MAX: usize = 16 * 1024;
/// Its `data`, likewise: with the body and the labels it fits an alert.
const DATA_BYTES_MAX: usize = 16 * 1024;
/// How deep a value of `data` may be nested: clients read the alert inside of other JSON, which has a bound as a whole.
const DATA_DEPTH_MAX: usize = 32;
/// Labels that say whom an alert is for begin with this. They are not what it is about, so they are not kept.
pub const AUDIENCE_PREFIX: &str = "watchbell_";

/// A body of an alert.
pub fn body(text: &str) -> String {
    clip(text.trim_end(), bounds::BODY_CHARS_MAX, BODY_BYTES_MAX)
}

/// The labels that fit, and how many do not.
pub fn labels(labels: &BTreeMap<String, String>) -> (BTreeMap<String, String>, usize) {
    let mut kept = BTreeMap::new();
    let (mut bytes, mut left_out) = (0, 0);
    for (name, value) in labels.iter().filter(|(name, _)| !name.starts_with(AUDIENCE_PREFIX)) {
        let value = clip(value, usize::MAX, bounds::LABEL_BYTES_MAX);
        let cost = escaped_len(name) + escaped_len(&value);
        let is_name = name.len() <= bounds::LABEL_BYTES_MAX && is_line(name);
        if !is_name || kept.len() == bounds::LABELS_MAX || bytes + cost > LABELS_BYTES_MAX {
            left_out += 1;
            continue;
        }
        bytes += cost;
        kept.insert(name.clone(), value);
    }
    (kept, left_out)
}

/// The entries of `data` that fit, in their order; of those that do not, how many bytes they have.
pub fn data(
    entries: impl IntoIterator<Item = (&'static str, Value)>,
) -> (Map<String, Value>, Map<String, Value>) {
    let (mut kept, mut left_out) = (Map::new(), Map::new());
    let mut room = DATA_BYTES_MAX;
    for (name, value) in entries.into_iter().filter(|(_, value)| !is_nothing(value)) {
        let bytes = value.to_string().len();
        match room.checked_sub(bytes + name.len()) {
            Some(rest) if !has_nul(&value) && depth_of(&value) <= DATA_DEPTH_MAX => {
                room = rest;
                kept.insert(name.to_owned(), value);
            }
            Some(_) | None => drop(left_out.insert(format!("{name}_bytes"), json!(bytes))),
        }
    }
    (kept, left_out)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// How many lists and objects are inside of one another.
fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth_of).max().unwrap_or_default(),
        Value::Object(object) => 1 + object.values().map(depth_of).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Whether a text in it has a character that PostgreSQL cannot store.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(has_nul),
        Value::Object(object) => object.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The address itself when a browser opens it.
pub fn url(url: Option<String>) -> Option<String> {
    url.map(|url| url.trim().to_owned()).filter(|url| is_usable_url(url))
}

/// Whether a browser opens it, and it fits.
fn is_usable_url(url: &str) -> bool {
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
fn escaped_len(text: &str) -> usize {
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

    #[test]
    fn too_many_labels_are_left_out_and_counted() {
        let mut given: BTreeMap<String, String> =
            (0..70).map(|n| (format!("l{n:02}"), "v".to_owned())).collect();
        given.insert("watchbell_users".into(), "ana".into());
        for unusable in ["", " ", "\u{200b}", "a\nb"] {
            given.insert(unusable.into(), "v".into());
        }
        let (kept, left_out) = labels(&given);
        assert_eq!((kept.len(), left_out), (bounds::LABELS_MAX, 10), "the audience is not missed");
    }

    #[test]
    fn data_that_is_too_long_is_left_out_and_its_length_is_said() {
        let long = "x".repeat(DATA_BYTES_MAX);
        let deep = (0..=DATA_DEPTH_MAX).fold(json!(1), |inside, _| json!([inside]));
        let (kept, left_out) = data([
            ("a", json!("1")),
            ("long", json!(long)),
            ("none", Value::Null),
            ("blank", json!(" ")),
            ("nul", json!({"deep": ["\u{0}"]})),
            ("deep", deep),
            ("b", json!({"c": 2})),
        ]);
        assert_eq!(Value::Object(kept), json!({"a": "1", "b": {"c": 2}}));
        assert_eq!(
            Value::Object(left_out),
            json!({"long_bytes": DATA_BYTES_MAX + 2, "nul_bytes": 19, "deep_bytes": 2 * DATA_DEPTH_MAX + 3})
        );
    }

    #[test]
    fn an_address_is_one_that_a_browser_opens() {
        let long = format!("https://{}", "x".repeat(bounds::URL_BYTES_MAX));
        for (given, expected) in [
            (Some("https://a/b"), Some("https://a/b")),
            (Some(" http://a "), Some("http://a")),
            (Some("javascript:alert(1)"), None),
            (Some(long.as_str()), None),
            (Some("https://a\nb"), None),
            (None, None),
        ] {
            assert_eq!(url(given.map(str::to_owned)).as_deref(), expected);
        }
    }
}
