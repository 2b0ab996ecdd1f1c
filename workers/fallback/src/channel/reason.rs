//! What may be written down about a refusal: the provider's word, without the token, the address and the texts of the message
//! (I12).

use watchbell::domain::text::without_addresses;

/// The longest reason kept, in characters.
const REASON_CHARS_MAX: usize = 200;

/// Shorter texts are not looked for: that would blank out half of each sentence, and they give nothing away.
const SECRET_BYTES_MIN: usize = 4;

/// `text` on one line, without `secrets`, without anything that looks like an address, and of bounded length.
pub(crate) fn tidy(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN) {
        text = replace_ignoring_case(&text, secret, "[redacted]");
    }
    let text = without_addresses(&text);
    match text.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A code such as `BadDeviceToken` or `QUOTA_EXCEEDED`, if `text` has the shape of one: letters and `_`,
/// and too short for a token. What has another shape is not repeated.
pub(super) fn code_word(text: &str) -> Option<&str> {
    let shaped = text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    ((1..=48).contains(&text.len()) && shaped).then_some(text)
}

/// Relays like to write addresses in lower case.
fn replace_ignoring_case(text: &str, needle: &str, by: &str) -> String {
    // Only ASCII letters change case here, so positions in both texts agree.
    let (folded, needle) = (text.to_ascii_lowercase(), needle.to_ascii_lowercase());
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for (at, found) in folded.match_indices(&needle) {
        kept.push_str(&text[from..at]);
        kept.push_str(by);
        from = at + found.len();
    }
    kept.push_str(&text[from..]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_relay_says_is_kept_without_whom_it_was_about() {
        let said = "5.1.1 <Ana@Example.org>: Recipient\r\naddress rejected";
        assert_eq!(tidy(said, &["ana@example.org"]), "5.1.1 <[redacted]>: Recipient address rejected");
        assert_eq!(tidy(said, &[]), "5.1.1 [address] Recipient address rejected");
        assert_eq!(tidy("a b", &["a"]), "a b", "too short to be a secret");
        assert_eq!(tidy(&"é".repeat(500), &[]).chars().count(), REASON_CHARS_MAX + 1);
    }

    #[test]
    fn a_code_has_the_shape_of_a_code() {
        for (text, expected) in [
            ("BadDeviceToken", true),
            ("QUOTA_EXCEEDED", true),
            ("", false),
            ("740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad", false),
            ("two words", false),
        ] {
            assert_eq!(code_word(text).is_some(), expected, "{text}");
        }
    }
}
