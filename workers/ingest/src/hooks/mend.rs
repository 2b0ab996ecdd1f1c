//! JSON that is almost JSON. One annotation that was cut inside an emoji, or a value that is not a number, must not keep
//! the rest of a post from being told.
//!
//! What is mended: bytes that are no UTF-8, halves of surrogate pairs (as JavaScript writes a cut emoji), control
//! characters inside of texts, and `NaN` and `Infinity` (as Python writes them), which become `null`. Whatever else is
//! wrong stays so, and is refused.

/// What a half of a pair and bytes that are no text become.
const REPLACEMENT: &str = "\\ufffd";
/// Words that stand for numbers that JSON does not have.
const NO_NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// The same JSON with what can be mended.
pub fn mended(json: &[u8]) -> String {
    let text = String::from_utf8_lossy(json);
    let mut whole = String::with_capacity(text.len());
    let mut rest: &str = &text;
    let mut is_text = false;
    while let Some(c) = rest.chars().next() {
        let taken = match (is_text, c) {
            (false, '-' | 'I' | 'N') => {
                if let Some(word) = NO_NUMBERS.iter().find(|word| rest.starts_with(**word)) {
                    whole.push_str("null");
                    word.len()
                } else {
                    whole.push(c);
                    c.len_utf8()
                }
            }
            (true, '\\') => escape(rest, &mut whole),
            (true, c) if c.is_ascii_control() => {
                whole.push_str(&format!("\\u{:04x}", u32::from(c)));
                1
            }
            (_, c) => {
                is_text ^= c == '"';
                whole.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    whole
}

/// Copies the escape that `rest` begins with; a half of a pair is replaced. Returns the bytes it had.
fn escape(rest: &str, whole: &mut String) -> usize {
    const ESCAPE: usize = "\\ud83d".len();
    let unit = |from: usize| {
        let digits = rest.get(from..from + ESCAPE)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let copied = match (unit(0), unit(ESCAPE)) {
        (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * ESCAPE,
        (Some(0xd800..=0xdfff), _) => {
            whole.push_str(REPLACEMENT);
            return ESCAPE;
        }
        // `\"`, `\\`, `\n`, `\u0041`, or something that is refused later.
        _ => rest.chars().take(2).map(char::len_utf8).sum(),
    };
    whole.push_str(&rest[..copied]);
    copied
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_almost_json_is_read() {
        for (why, given, expected) in [
            (
                "JSON stays as it is",
                br#"{"a": "\\\"\ud83d\udc22 NaN", "b": [-1, "\u0041"]}"#.as_slice(),
                json!({"a": "\\\"🐢 NaN", "b": [-1, "A"]}),
            ),
            ("the first half of an emoji", br#"["cut \ud83d"]"#, json!(["cut \u{fffd}"])),
            ("the second half", br#"["\udc22 cut"]"#, json!(["\u{fffd} cut"])),
            ("the halves in the wrong order", br#"["\udc22\ud83d"]"#, json!(["\u{fffd}\u{fffd}"])),
            ("a half before a character", br#"["\ud83d\u0041"]"#, json!(["\u{fffd}A"])),
            ("no UTF-8", b"[\"a\xffb\"]", json!(["a\u{fffd}b"])),
            ("a line break inside of a text", b"[\"a\nb\t\"]", json!(["a\nb\t"])),
            (
                "no numbers",
                br#"{"a": NaN, "b": -Infinity, "c": [Infinity]}"#,
                json!({"a": null, "b": null, "c": [null]}),
            ),
        ] {
            let found: Option<Value> = serde_json::from_str(&mended(given)).ok();
            assert_eq!(found, Some(expected), "{why}");
        }
    }

    #[test]
    fn whatever_else_is_wrong_is_refused_still() {
        for given in [r#"{"a": "#, r#"["\ud8"#, r#"["\"#, "[1, Nan]", r#"{"a" 1}"#, ""] {
            assert!(serde_json::from_str::<Value>(&mended(given.as_bytes())).is_err(), "{given}");
        }
    }
}
