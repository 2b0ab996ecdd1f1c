//! JSON that is almost JSON. One annotation that was cut inside an emoji, or a value that is not a number, must not keep
//! the rest of a post from being told.
//!
//! What is mended: bytes that are no UTF-8, halves of surrogate pairs (as JavaScript writes a cut emoji), control
//! characters inside of texts, and `NaN` and `Infinity` (as Python writes them), which become `null`. So does what is nested
//! deeper than anybody reads, and a number that is too large for one becomes a text. Whatever else is wrong stays so, and
//! is refused.

/// What a half of a pair and bytes that are no text become.
const REPLACEMENT: &str = "\\ufffd";
/// Words that stand for numbers that JSON does not have.
const NO_NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// How deep lists and objects may be nested: what is deeper becomes `null`. Less than `serde_json` takes.
const DEPTH_MAX: usize = 64;

/// The same JSON with what can be mended.
pub fn mended(json: &[u8]) -> String {
    let text = String::from_utf8_lossy(json);
    let mut whole = String::with_capacity(text.len());
    let mut rest: &str = &text;
    let (mut is_text, mut depth) = (false, 0_usize);
    while let Some(c) = rest.chars().next() {
        let taken = match (is_text, c) {
            (false, '-' | 'I' | 'N' | '0'..='9') => number(rest, &mut whole),
            (false, '[' | '{') if depth == DEPTH_MAX => {
                whole.push_str("null");
                container_len(rest)
            }
            (false, '[' | '{') => {
                depth += 1;
                whole.push(c);
                1
            }
            (false, ']' | '}') => {
                depth = depth.saturating_sub(1);
                whole.push(c);
                1
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

/// Copies the number that `rest` begins with. Returns the bytes it had.
fn number(rest: &str, whole: &mut String) -> usize {
    if let Some(word) = NO_NUMBERS.iter().find(|word| rest.starts_with(**word)) {
        whole.push_str("null");
        return word.len();
    }
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    // At least the character that led here, whatever it is.
    let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len()).max(1);
    let digits = &rest[..len];
    match digits.parse::<f64>() {
        Ok(size) if size.is_infinite() => whole.push_str(&format!("\"{digits}\"")),
        Ok(_) | Err(_) => whole.push_str(digits),
    }
    len
}

/// The bytes of the list or object that `rest` begins with; all of it when it does not end.
fn container_len(rest: &str) -> usize {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in rest.bytes().enumerate() {
        match (is_text, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => is_text = !is_text,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    rest.len()
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
#[allow(clippy::unwrap_used)]
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
    fn what_is_nested_too_deep_becomes_nothing_and_the_rest_is_read() {
        let nested = |levels: usize, open: &str, close: &str| {
            format!(r#"{{"deep": {}"]}}\""{}, "a": [1, {{}}]}}"#, open.repeat(levels), close.repeat(levels))
        };
        for (why, levels, open, close) in
            [("lists", 122, "[", "]"), ("objects", 128, r#"{"a": "#, "}"), ("many", 100_000, "[", "]")]
        {
            let found: Value = serde_json::from_str(&mended(nested(levels, open, close).as_bytes())).unwrap();
            assert_eq!(found["a"], json!([1, {}]), "{why}");
            assert!(!found["deep"].is_null(), "{why}: what is not too deep stays");
        }
        let unended = format!(r#"{{"deep": {}, "a": 1}}"#, "[".repeat(1_000));
        assert!(serde_json::from_str::<Value>(&mended(unended.as_bytes())).is_err());
    }

    #[test]
    fn a_number_that_is_too_large_becomes_a_text() {
        let digits = "9".repeat(400);
        let given = format!(
            r#"{{"a": 1e999, "b": -1E+999, "c": [{digits}], "d": -7.5e-3, "e": 18446744073709551616}}"#
        );
        let found: Value = serde_json::from_str(&mended(given.as_bytes())).unwrap();
        assert_eq!(
            found,
            json!({"a": "1e999", "b": "-1E+999", "c": [digits], "d": -0.0075, "e": 18446744073709551616_f64})
        );
    }

    #[test]
    fn whatever_else_is_wrong_is_refused_still() {
        for given in [r#"{"a": "#, r#"["\ud8"#, r#"["\"#, "[1, Nan]", r#"{"a" 1}"#, ""] {
            assert!(serde_json::from_str::<Value>(&mended(given.as_bytes())).is_err(), "{given}");
        }
    }
}
